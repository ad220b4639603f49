//! What goes because its time is over: entries by the retention of their room, and what is kept beside the logs for
//! moderators, by the server's.

use confab_protocol::model::Millis;

use super::Core;
use super::store::Result;
use crate::config;

const DAY_MS: u64 = 24 * 3600 * 1000;

/// What is older is forgotten.
#[derive(Clone, Copy, Debug)]
pub struct Before {
    /// Earlier texts of messages, by when they were replaced.
    pub replaced: Millis,
    /// What was held or refused.
    pub unappended: Millis,
    /// What was said that cases are about, and what was said of it, by when it was kept.
    pub evidence: Millis,
}

/// How long things are kept that stand beside the logs, milliseconds; `None`: as long as what they belong to.
#[derive(Clone, Copy, Debug)]
pub struct Ages {
    replaced: Option<u64>,
    unappended: Option<u64>,
    evidence: Option<u64>,
}

impl From<&config::Retention> for Ages {
    fn from(config: &config::Retention) -> Self {
        let age = |days: u32| (days > 0).then(|| u64::from(days) * DAY_MS);
        Self {
            replaced: age(config.earlier_texts_days),
            unappended: age(config.refused_days),
            evidence: age(config.evidence_days),
        }
    }
}

impl Ages {
    fn before(self, now: Millis) -> Before {
        // Nothing is older than the epoch.
        let before = |age: Option<u64>| age.map_or(Millis(0), |age| Millis(now.0.saturating_sub(age)));
        Before { replaced: before(self.replaced), unappended: before(self.unappended), evidence: before(self.evidence) }
    }
}

impl Core {
    /// One transaction of each kind, of at most so many rows. Returns how many went; 0 when nothing is left.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn retire_some(&self, ages: Ages, limit: usize) -> Result<usize> {
        let now = self.clock.now();
        let retired = self.store.retire(now, limit).await?;
        self.metrics.entries_retired_total.inc_by(retired as u64);
        Ok(retired + self.store.forget(ages.before(now), limit).await?)
    }
}
