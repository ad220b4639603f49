//! What every server on the store has to heed: logins that ended, rights that changed, the level. Heard at once where it
//! was said, and within half a second elsewhere, the command line included.

use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::Mutex;

use super::Core;
use super::standing::{Controls, Level};
use super::store::{Result, Store};
use crate::metrics::Metrics;

/// How far it was heard.
pub struct Watch {
    epoch: Mutex<u64>,
    level: AtomicU8,
}

impl Watch {
    /// From now on.
    ///
    /// # Errors
    /// The store's.
    pub async fn begin(store: &dyn Store, metrics: &Metrics) -> Result<Self> {
        let Controls { epoch, level, .. } = store.controls(i64::MAX.cast_unsigned()).await?;
        metrics.emergency_level.set(i64::from(level as u8));
        Ok(Self { epoch: Mutex::new(epoch), level: AtomicU8::new(level as u8) })
    }

    /// How much the server lets happen.
    pub fn level(&self) -> Level {
        Level::from_number(self.level.load(Ordering::Relaxed))
    }
}

impl Core {
    /// Hears what was said since the last time, and does it.
    ///
    /// # Errors
    /// The store's.
    pub async fn heed(&self) -> Result<()> {
        // One after the other, so that nothing is heard late and taken for old.
        let mut heard = self.watch.epoch.lock().await;
        let Controls { epoch, level, revoked } = self.store.controls(*heard).await?;
        for revoked in revoked {
            self.delivery.revoke(revoked);
        }
        let before = self.watch.level.swap(level as u8, Ordering::Relaxed);
        if before != level as u8 {
            tracing::warn!(level = level as u8, "{}", level.text());
        }
        self.metrics.emergency_level.set(i64::from(level as u8));
        *heard = epoch;
        Ok(())
    }

    /// As [`Self::heed`], where it was said; a store that fails is heard later.
    pub(super) async fn heed_now(&self) {
        if let Err(error) = self.heed().await {
            self.unavailable(&error);
        }
    }
}
