//! What every server on the store has to heed: logins that ended, rights that changed, the level. Heard at once where it
//! was said, and within half a second elsewhere, the command line included.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use confab_protocol::close::CloseCode;
use confab_protocol::model::UserId;
use tokio::sync::Mutex;

use super::Core;
use super::personal::is_erased;
use super::standing::{Controls, Level, Revoked};
use super::store::{Result, Store};
use crate::metrics::Metrics;

/// What plugins remember of the erased is forgotten once more after so long: what is under way when their connections are
/// closed, and the closing itself, is shown to those who observe a little later.
const FORGET_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// How far it was heard.
pub struct Watch {
    heard: Mutex<Heard>,
    level: AtomicU8,
}

#[derive(Default)]
struct Heard {
    epoch: u64,
    /// Who was erased, and when they are forgotten once more.
    erased: Vec<(UserId, Duration)>,
}

impl Watch {
    /// From now on.
    ///
    /// # Errors
    /// The store's.
    pub async fn begin(store: &dyn Store, metrics: &Metrics) -> Result<Self> {
        let Controls { epoch, level, .. } = store.controls(i64::MAX.cast_unsigned()).await?;
        metrics.emergency_level.set(i64::from(level as u8));
        let heard = Mutex::new(Heard { epoch, ..Heard::default() });
        Ok(Self { heard, level: AtomicU8::new(level as u8) })
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
        let mut heard = self.watch.heard.lock().await;
        let Controls { epoch, level, revoked } = self.store.controls(heard.epoch).await?;
        let is_out = |it: &&Revoked| it.device.is_none() && it.code == CloseCode::LoggedOut;
        let out: Vec<UserId> = revoked.iter().filter(is_out).map(|it| it.user).collect();
        for revoked in revoked {
            self.delivery.revoke(revoked);
        }
        let before = self.watch.level.swap(level as u8, Ordering::Relaxed);
        if before != level as u8 {
            tracing::warn!(level = level as u8, "{}", level.text());
        }
        self.metrics.emergency_level.set(i64::from(level as u8));
        // Last: a store that fails here has all of it heard again.
        self.forget_erased(&mut heard, out).await?;
        heard.epoch = epoch;
        Ok(())
    }

    /// What plugins remember goes with an account. Who was put out of it everywhere may have been erased: nothing else
    /// tells a server that runs.
    async fn forget_erased(&self, heard: &mut Heard, mut out: Vec<UserId>) -> Result<()> {
        let now = self.clock.elapsed();
        for (user, _) in heard.erased.extract_if(.., |(_, at)| *at <= now) {
            self.moderator.forget(user);
        }
        if out.is_empty() {
            return Ok(());
        }
        out.sort_unstable();
        out.dedup();
        for member in self.store.find_users(out).await?.iter().filter(|member| is_erased(member)) {
            self.moderator.forget(member.user);
            heard.erased.push((member.user, now + FORGET_AGAIN_AFTER));
        }
        Ok(())
    }

    /// As [`Self::heed`], where it was said; a store that fails is heard later.
    pub(super) async fn heed_now(&self) {
        if let Err(error) = self.heed().await {
            self.unavailable(&error);
        }
    }
}
