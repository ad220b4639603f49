//! What plugins want done is done here: by a task for each that acts, one thing after another, the rooms in turn and in each
//! the order in which it was wanted, beside everything else.

use std::sync::Arc;
use std::time::Duration;

use confab_protocol::reject::{Reject, RejectCode};
use tokio::sync::watch;

use crate::StartError;
use crate::core::Core;
use crate::core::deputy::{Deed, DeputyError, Performed};
use crate::lifecycle::Lifecycle;
use crate::plugin::{LoadError, PluginSet, Turn, Turns};

/// What may pass is tried so often ...
const TRIES_MAX: u32 = 8;
/// ... and waited for so long at first, then twice as long each time: eleven seconds in all, in which a store is restarted.
/// What asks for a longer wait is given up, for what is wanted in the same room waits behind it.
const WAIT_MIN: Duration = Duration::from_millis(100);
const WAIT_MAX: Duration = Duration::from_secs(5);
/// What waits when the server drains has so long to be done, beside what is done at that moment.
const DRAIN_MAX: Duration = Duration::from_secs(2);

/// See the head of this file.
pub(crate) struct Acting {
    core: Arc<Core>,
    plugins: Arc<PluginSet>,
    lifecycle: Lifecycle,
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
        Ok(Arc::new(Self { core: Arc::clone(core), plugins: Arc::clone(plugins), lifecycle: lifecycle.clone() }))
    }

    /// For as long as it is the same plugin, by whatever component, which is looked at after each of the reloads. Whoever
    /// tells of them waits for this.
    pub(crate) async fn act(&self, plugin: &str, mut reloads: watch::Receiver<u64>) {
        let Some((turns, _)) = self.plugins.turns(plugin) else { return };
        turns.open();
        // A reload asked nobody: what is refused from now on is explained once.
        if let Err(error) = self.core.deputy(plugin).await {
            tracing::error!(plugin, %error, "a plugin cannot act");
        }
        while self.plugins.turns(plugin).is_some_and(|(now, _)| Arc::ptr_eq(&now, &turns)) {
            tokio::select! {
                biased;
                () = self.lifecycle.draining() => break,
                _ = reloads.changed() => {}
                turn = turns.next(&*self.core.clock) => self.carry_out(&turns, turn).await,
            }
        }
        self.wind_up(plugin, &turns).await;
    }

    /// When the server drains, what waits is done as far as there is time. The rest, and what a plugin wanted that does not
    /// act any more, is dropped.
    async fn wind_up(&self, plugin: &str, turns: &Turns) {
        let end = self.core.clock.elapsed() + DRAIN_MAX;
        while self.lifecycle.is_draining() && self.core.clock.elapsed() < end {
            let Some(turn) = turns.take(Duration::MAX) else { break };
            self.carry_out(turns, turn).await;
        }
        let left = turns.close();
        if !left.is_empty() {
            tracing::warn!(plugin, left = left.len(), "what a plugin wanted is not done any more");
        }
        for deed in &left {
            self.count(deed, "dropped");
        }
    }

    async fn carry_out(&self, turns: &Turns, mut turn: Turn) {
        // What another component of the plugin wanted, perhaps one that was taken back for it, nobody wants any more.
        let mark = &turn.deed.mark;
        if self.plugins.turns(&mark.plugin).is_none_or(|(_, component)| component != mark.hash) {
            return self.count(&turn.deed, "dropped");
        }
        let reject = match self.core.perform(&turn.deed).await {
            Ok(Performed::Now) => return self.count(&turn.deed, "done"),
            Ok(Performed::Before) => return self.count(&turn.deed, "known"),
            Err(reject) => reject,
        };
        turn.tries += 1;
        let outcome = match wait_for(&reject, turn.tries) {
            None => "refused",
            Some(wait) if turn.tries < TRIES_MAX && wait <= WAIT_MAX && !self.lifecycle.is_draining() => {
                return turns.put_back(turn, self.core.clock.elapsed() + wait);
            }
            Some(_) => "failed",
        };
        self.count(&turn.deed, outcome);
        let Deed { what, mark, .. } = &turn.deed;
        let (plugin, word, room, code) = (&*mark.plugin, what.word(), what.room(), reject.code);
        tracing::warn!(plugin, word, %room, code, outcome, "what a plugin wanted was not done");
    }

    fn count(&self, deed: &Deed, outcome: &str) {
        let labels = [&*deed.mark.plugin, deed.what.word(), outcome];
        self.core.metrics.plugin_actions_total.with_label_values(&labels).inc();
    }
}

/// How long until it may pass, after so many tries; `None`: it will not.
fn wait_for(reject: &Reject, tries: u32) -> Option<Duration> {
    let passes = reject.is(RejectCode::Unavailable) || reject.is(RejectCode::ChangedMeanwhile);
    let wait = Duration::from_millis(reject.retry_after_ms.into());
    let doubled = 2_u32.saturating_pow(tries.saturating_sub(1));
    let least = WAIT_MIN.saturating_mul(doubled).min(WAIT_MAX);
    (passes || reject.retry_after_ms > 0).then(|| wait.max(least))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_waited_for() {
        let wait_of = |code: RejectCode, ms| wait_for(&Reject { retry_after_ms: ms, ..code.into() }, 1);
        assert_eq!(wait_of(RejectCode::Forbidden, 0), None);
        assert_eq!(wait_of(RejectCode::UnknownMessage, 0), None);
        assert_eq!(wait_of(RejectCode::Unavailable, 0), Some(WAIT_MIN));
        assert_eq!(wait_of(RejectCode::RateLimited, 1), Some(WAIT_MIN));
        assert_eq!(wait_of(RejectCode::RateLimited, 700), Some(Duration::from_millis(700)));
    }

    #[test]
    fn a_store_that_is_away_has_time_to_come_back() {
        let away = Reject::from(RejectCode::Unavailable);
        let waits: Vec<Duration> = (1..TRIES_MAX).filter_map(|tries| wait_for(&away, tries)).collect();
        assert!(waits.is_sorted() && waits.iter().all(|wait| *wait <= WAIT_MAX), "{waits:?}");
        assert!(waits.iter().sum::<Duration>() > Duration::from_secs(10), "{waits:?}");
        assert_eq!(wait_for(&away, u32::MAX), Some(WAIT_MAX));
    }
}
