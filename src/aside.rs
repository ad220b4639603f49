//! What plugins do beside the messages: a task for each that observes, for each that observes sessions, for each that ticks
//! and for each that acts, and none where none does.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::time::sleep;

use crate::acting::Acting;
use crate::clock::Clock;
use crate::core::commits::Commits;
use crate::core::observe::Observers as _;
use crate::core::observe::follow::Following;
use crate::core::observe::sessions::{SessionObservers as _, Sessions, Waiting};
use crate::core::store::Result;
use crate::lifecycle::Lifecycle;
use crate::plugin::PluginSet;

/// What a task is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Duty {
    Observe,
    Sessions,
    Tick,
    Act,
}

type Task = (Duty, String);

/// See the head of this file.
pub(crate) struct Aside {
    following: Following,
    plugins: Arc<PluginSet>,
    commits: Arc<Commits>,
    sessions: Arc<Sessions>,
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
            sessions: Arc::new(Sessions::new(Arc::clone(&following.clock), following.metrics.clone())),
            following,
            plugins: Arc::clone(plugins),
            commits: Arc::clone(commits),
            running: Mutex::default(),
            reloads: watch::Sender::new(0),
        }))
    }

    /// Where it is told who comes and goes.
    pub(crate) fn sessions(&self) -> Arc<Sessions> {
        Arc::clone(&self.sessions)
    }

    /// Starts what is missing; what is not wanted any more ends by itself. To be called again after a reload.
    pub(crate) fn keep_up(self: &Arc<Self>, acting: &Arc<Acting>) {
        self.reloads.send_modify(|count| *count += 1);
        for task in self.wanted() {
            if self.running().insert(task.clone()) {
                let this = Arc::clone(self);
                // From now on, and not from when the task comes to it.
                let waiting = (task.0 == Duty::Sessions).then(|| self.sessions.follow(&task.1));
                // It has the core, which the others have no need to keep.
                let acting = (task.0 == Duty::Act).then(|| Arc::clone(acting));
                self.lifecycle.spawn(async move { this.run(task, waiting, acting).await });
            }
        }
    }

    fn wanted(&self) -> Vec<Task> {
        let duties = [
            (Duty::Observe, self.plugins.observers()),
            (Duty::Sessions, self.plugins.session_observers()),
            (Duty::Tick, self.plugins.ticking()),
            (Duty::Act, self.plugins.deputies()),
        ];
        duties.into_iter().flat_map(|(duty, plugins)| plugins.into_iter().map(move |plugin| (duty, plugin))).collect()
    }

    fn running(&self) -> MutexGuard<'_, HashSet<Task>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(&self, task: Task, mut waiting: Option<Waiting>, acting: Option<Arc<Acting>>) {
        loop {
            match &task {
                (Duty::Observe, plugin) => self.observe(plugin).await,
                (Duty::Sessions, plugin) => self.show_sessions(plugin, waiting.as_mut()).await,
                (Duty::Tick, plugin) => self.tick(plugin).await,
                (Duty::Act, plugin) => self.act(plugin, acting.as_deref()).await,
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
        tokio::select! {
            () = self.following.follow(plugin, &fresh) => {}
            () = self.gone(PluginSet::observers, plugin) => {}
        }
    }

    async fn show_sessions(&self, plugin: &str, waiting: Option<&mut Waiting>) {
        let Some(waiting) = waiting else { return };
        tokio::select! {
            () = self.sessions.show(plugin, waiting, &*self.plugins, &self.lifecycle) => {}
            () = self.gone(PluginSet::session_observers, plugin) => {}
        }
    }

    async fn act(&self, plugin: &str, acting: Option<&Acting>) {
        let Some(acting) = acting else { return };
        acting.act(plugin, self.reloads.subscribe()).await;
    }

    /// Resolves when it is none of these any more.
    async fn gone(&self, those: fn(&PluginSet) -> Vec<String>, plugin: &str) {
        let mut reloads = self.reloads.subscribe();
        // The one who sends is this.
        while those(&self.plugins).iter().any(|it| it == plugin) && reloads.changed().await.is_ok() {}
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
