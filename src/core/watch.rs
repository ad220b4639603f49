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
    /// Who was put out everywhere, until it is known whether they were erased.
    unasked: Vec<UserId>,
    /// Who was erased, and when they are forgotten once more.
    erased: Vec<(UserId, Duration)>,
}

impl Heard {
    /// Obeys what was revoked up to this epoch: once, whatever fails behind it. Who logs in meanwhile is not to be closed for
    /// what was said of their earlier login.
    fn obey(&mut self, epoch: u64, revoked: Vec<Revoked>, revoke: impl Fn(Revoked)) {
        let is_out = |it: &&Revoked| it.device.is_none() && it.code == CloseCode::LoggedOut;
        self.unasked.extend(revoked.iter().filter(is_out).map(|it| it.user));
        self.unasked.sort_unstable();
        self.unasked.dedup();
        revoked.into_iter().for_each(revoke);
        self.epoch = epoch;
    }
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
        heard.obey(epoch, revoked, |it| self.delivery.revoke(it));
        let before = self.watch.level.swap(level as u8, Ordering::Relaxed);
        if before != level as u8 {
            tracing::warn!(level = level as u8, "{}", level.text());
        }
        self.metrics.emergency_level.set(i64::from(level as u8));
        self.forget_erased(&mut heard).await
    }

    /// What plugins remember goes with an account. Who was put out of it everywhere may have been erased: nothing else
    /// tells a server that runs.
    async fn forget_erased(&self, heard: &mut Heard) -> Result<()> {
        let now = self.clock.elapsed();
        for (user, _) in heard.erased.extract_if(.., |(_, at)| *at <= now) {
            self.moderator.forget(user);
        }
        if heard.unasked.is_empty() {
            return Ok(());
        }
        // A store that fails here is asked about them the next time.
        let found = self.store.find_users(heard.unasked.clone()).await?;
        heard.unasked.clear();
        for member in found.iter().filter(|member| is_erased(member)) {
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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use confab_protocol::model::DeviceId;

    use super::*;

    #[test]
    fn what_was_revoked_is_obeyed_once_and_who_was_put_out_waits_to_be_asked_about() {
        let [alice, bob, carol] = [1, 2, 3].map(UserId::from_u128);
        let out = |epoch, user| Revoked { epoch, user, device: None, code: CloseCode::LoggedOut };
        let (mut heard, obeyed) = (Heard::default(), RefCell::new(Vec::new()));
        let mut obey = |epoch, revoked| {
            heard.obey(epoch, revoked, |it| obeyed.borrow_mut().push(it.epoch));
            (heard.epoch, heard.unasked.clone())
        };
        let at_one = Revoked { device: Some(DeviceId::from_u128(9)), ..out(2, carol) };
        let of_role = Revoked { code: CloseCode::RightsChanged, ..out(3, carol) };
        // From the epoch on that is told here, also where nobody could be asked about since.
        assert_eq!(obey(4, vec![out(1, bob), at_one, of_role]), (4, vec![bob]));
        assert_eq!(obey(6, vec![out(5, alice), out(6, bob)]), (6, vec![alice, bob]));
        assert_eq!(obey(6, Vec::new()), (6, vec![alice, bob]), "until they were");
        assert_eq!(obeyed.into_inner(), [1, 2, 3, 5, 6]);
    }
}
