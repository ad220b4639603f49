//! What plugins want done is done here: by a task for each that acts, one thing after another in the order in which it was
//! wanted, beside everything else.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use confab_protocol::reject::{Reject, RejectCode};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::StartError;
use crate::core::Core;
use crate::core::deputy::{Deed, DeputyError};
use crate::lifecycle::Lifecycle;
use crate::plugin::{LoadError, PluginSet, Waiting};

/// What may pass is tried so often ...
const TRIES_MAX: u32 = 5;
/// ... and waited for so long each time: what takes longer is given up, for everything behind it waits too.
const WAIT_MIN: Duration = Duration::from_millis(100);
const WAIT_MAX: Duration = Duration::from_secs(5);
/// What waits when the server drains has so long to be done, beside what is done at that moment.
const DRAIN_MAX: Duration = Duration::from_secs(2);

/// See the head of this file.
pub(crate) struct Acting {
    core: Arc<Core>,
    plugins: Arc<PluginSet>,
    lifecycle: Lifecycle,
    /// Those that have a task, by their ids.
    running: Mutex<HashSet<String>>,
    /// Counts the reloads: other plugins may be there, or the same ones otherwise.
    reloads: watch::Sender<u64>,
}

impl Acting {
    /// For these plugins, before anybody is let in: each that acts has its account then.
    ///
    /// # Errors
    /// An account of that name which is somebody's; those of the store.
    pub(crate) async fn begin(
        core: &Arc<Core>,
        plugins: &Arc<PluginSet>,
        lifecycle: &Lifecycle,
    ) -> Result<Arc<Self>, StartError> {
        for plugin in plugins.deputies() {
            match core.deputy(&plugin).await {
                Ok(_) => {}
                Err(DeputyError::Store(error)) => return Err(error.into()),
                Err(error) => return Err(LoadError::new(&plugin, &error).into()),
            }
        }
        Ok(Arc::new(Self {
            core: Arc::clone(core),
            plugins: Arc::clone(plugins),
            lifecycle: lifecycle.clone(),
            running: Mutex::default(),
            reloads: watch::Sender::new(0),
        }))
    }

    /// Starts what is missing; what is not wanted any more ends by itself. To be called again after a reload.
    pub(crate) fn keep_up(self: &Arc<Self>) {
        self.reloads.send_modify(|count| *count += 1);
        for plugin in self.plugins.deputies() {
            if self.running().insert(plugin.clone()) {
                let this = Arc::clone(self);
                self.lifecycle.spawn(async move { this.run(plugin).await });
            }
        }
    }

    fn running(&self) -> MutexGuard<'_, HashSet<String>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(&self, plugin: String) {
        loop {
            self.act(&plugin).await;
            // A reload may have brought it back meanwhile, and left it to this task.
            let mut running = self.running();
            if self.lifecycle.is_draining() || !self.plugins.deputies().contains(&plugin) {
                running.remove(&plugin);
                return;
            }
        }
    }

    /// For as long as it is the same plugin, by whatever component.
    async fn act(&self, plugin: &str) {
        let Some(waiting) = self.plugins.waiting(plugin) else { return };
        waiting.open();
        // A reload asked nobody: what is refused from now on is explained once.
        if let Err(error) = self.core.deputy(plugin).await {
            tracing::error!(plugin, %error, "a plugin cannot act");
        }
        let mut reloads = self.reloads.subscribe();
        while self.plugins.waiting(plugin).is_some_and(|now| Arc::ptr_eq(&now, &waiting)) {
            tokio::select! {
                biased;
                () = self.lifecycle.draining() => break,
                // The one who sends is this.
                _ = reloads.changed() => {}
                deed = waiting.next() => self.carry_out(deed).await,
            }
        }
        self.wind_up(plugin, &waiting).await;
    }

    /// When the server drains, what waits is done as far as there is time. The rest, and what a plugin wanted that does not
    /// act any more, is dropped.
    async fn wind_up(&self, plugin: &str, waiting: &Waiting) {
        let end = self.core.clock.elapsed() + DRAIN_MAX;
        while self.lifecycle.is_draining() && self.core.clock.elapsed() < end {
            let Some(deed) = waiting.take() else { break };
            self.carry_out(deed).await;
        }
        let left = waiting.close();
        if !left.is_empty() {
            tracing::warn!(plugin, left = left.len(), "what a plugin wanted is not done any more");
        }
        for deed in &left {
            self.count(deed, "dropped");
        }
    }

    async fn carry_out(&self, mut deed: Deed) {
        let mut tries = 1;
        let (reject, outcome) = loop {
            let Err(reject) = self.core.perform(&mut deed).await else { return self.count(&deed, "done") };
            let Some(wait) = wait_for(&reject) else { break (reject, "refused") };
            if tries == TRIES_MAX || wait > WAIT_MAX || !self.rest(wait).await {
                break (reject, "failed");
            }
            tries += 1;
        };
        self.count(&deed, outcome);
        let (plugin, word, room, code) = (&*deed.mark.plugin, deed.what.word(), deed.what.room(), reject.code);
        tracing::warn!(plugin, word, %room, code, outcome, "what a plugin wanted was not done");
    }

    /// `false`: the server drains.
    async fn rest(&self, time: Duration) -> bool {
        tokio::select! {
            () = self.lifecycle.draining() => false,
            () = sleep(time) => true,
        }
    }

    fn count(&self, deed: &Deed, outcome: &str) {
        let labels = [&*deed.mark.plugin, deed.what.word(), outcome];
        self.core.metrics.plugin_actions_total.with_label_values(&labels).inc();
    }
}

/// How long until it may pass; `None`: it will not.
fn wait_for(reject: &Reject) -> Option<Duration> {
    let passes = reject.is(RejectCode::Unavailable) || reject.is(RejectCode::ChangedMeanwhile);
    let wait = Duration::from_millis(reject.retry_after_ms.into());
    (passes || reject.retry_after_ms > 0).then(|| wait.max(WAIT_MIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_waited_for() {
        let wait_of = |code: RejectCode, ms| wait_for(&Reject { retry_after_ms: ms, ..code.into() });
        assert_eq!(wait_of(RejectCode::Forbidden, 0), None);
        assert_eq!(wait_of(RejectCode::UnknownMessage, 0), None);
        assert_eq!(wait_of(RejectCode::Unavailable, 0), Some(WAIT_MIN));
        assert_eq!(wait_of(RejectCode::RateLimited, 1), Some(WAIT_MIN));
        assert_eq!(wait_of(RejectCode::RateLimited, 700), Some(Duration::from_millis(700)));
    }
}
