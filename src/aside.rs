//! What plugins do beside the messages: a task for each that observes and for each that ticks, and none where none does.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::time::sleep;

use crate::clock::Clock;
use crate::core::commits::Commits;
use crate::core::observe::Observers as _;
use crate::core::observe::follow::Following;
use crate::core::store::Result;
use crate::lifecycle::Lifecycle;
use crate::plugin::PluginSet;

/// What a task is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Duty {
    Observe,
    Tick,
}

type Task = (Duty, String);

/// See the head of this file.
pub(crate) struct Aside {
    following: Following,
    plugins: Arc<PluginSet>,
    commits: Arc<Commits>,
    clock: Arc<dyn Clock>,
    lifecycle: Lifecycle,
    running: Mutex<HashSet<Task>>,
    /// Counts the reloads: other plugins may be there, or the same ones otherwise.
    reloads: watch::Sender<u64>,
}

impl Aside {
    /// For these plugins, before anybody is let in: so one that is new misses nothing that is said from now on.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn begin(
        following: Following,
        plugins: &Arc<PluginSet>,
        commits: &Arc<Commits>,
    ) -> Result<Arc<Self>> {
        for plugin in plugins.observers() {
            following.store.begin_observing(plugin).await?;
        }
        Ok(Arc::new(Self {
            clock: Arc::clone(&following.clock),
            lifecycle: following.lifecycle.clone(),
            following,
            plugins: Arc::clone(plugins),
            commits: Arc::clone(commits),
            running: Mutex::default(),
            reloads: watch::Sender::new(0),
        }))
    }

    /// Starts what is missing; what is not wanted any more ends by itself. To be called again after a reload.
    pub(crate) fn keep_up(self: &Arc<Self>) {
        self.reloads.send_modify(|count| *count += 1);
        for task in self.wanted() {
            if self.running().insert(task.clone()) {
                let this = Arc::clone(self);
                self.lifecycle.spawn(async move { this.run(task).await });
            }
        }
    }

    fn wanted(&self) -> Vec<Task> {
        let observers = self.plugins.observers().into_iter().map(|plugin| (Duty::Observe, plugin));
        observers.chain(self.plugins.ticking().into_iter().map(|plugin| (Duty::Tick, plugin))).collect()
    }

    fn running(&self) -> MutexGuard<'_, HashSet<Task>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(&self, task: Task) {
        loop {
            match &task {
                (Duty::Observe, plugin) => self.observe(plugin).await,
                (Duty::Tick, plugin) => self.tick(plugin).await,
            }
            // A reload may have brought it back meanwhile, and left it to this task.
            let mut running = self.running();
            if self.lifecycle.is_draining() || !self.wanted().contains(&task) {
                running.remove(&task);
                return;
            }
        }
    }

    async fn observe(&self, plugin: &str) {
        let fresh = self.commits.follow();
        let mut reloads = self.reloads.subscribe();
        let gone = async {
            // The one who sends is this.
            while self.plugins.observers().iter().any(|it| it == plugin) && reloads.changed().await.is_ok() {}
        };
        tokio::select! {
            () = self.following.follow(plugin, &fresh) => {}
            () = gone => {}
        }
    }

    /// One call at a time: the next one is due so long after the one before began.
    async fn tick(&self, plugin: &str) {
        let mut reloads = self.reloads.subscribe();
        let mut last = self.clock.elapsed();
        while let Some(every) = self.plugins.tick_every(plugin) {
            tokio::select! {
                () = self.lifecycle.draining() => return,
                _ = reloads.changed() => continue,
                () = sleep((last + every).saturating_sub(self.clock.elapsed())) => {}
            }
            last = self.clock.elapsed();
            self.plugins.tick(plugin).await;
        }
    }
}
