//! Password hashing: bcrypt over a peppered pre-hash (bcrypt alone cuts at 72 bytes), on a bounded pool, so
//! that a storm of logins costs a known share of the machine.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use confab_protocol::command::Secret;
use confab_protocol::model::AuditId;
use confab_protocol::reject::{Reject, RejectCode};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::queue::{Place, Queue};
use super::{KeyError, Lane, read_or_create};
use crate::clock::{Clock, random_bytes};
use crate::config;
use crate::core::audit::AuditKey;
use crate::metrics::Metrics;

/// What the key of refresh tokens is made with.
const REFRESH_LABEL: &[u8] = b"confab/refresh/1";
/// What the keys of the audit's hashes are made with.
const AUDIT_LABEL: &[u8] = b"confab/audit/1";

/// Hashes and checks passwords.
pub struct Passwords {
    pepper: [u8; 32],
    cost: u32,
    /// Checked for users that do not exist, so that they take as long as those that do.
    dummy: String,
    queue: Arc<Queue>,
    clock: Arc<dyn Clock>,
}

impl Passwords {
    pub(super) fn open(
        keys: &Path,
        config: &config::Auth,
        clock: &Arc<dyn Clock>,
        metrics: &Metrics,
    ) -> Result<Self, KeyError> {
        let path = keys.join("pepper");
        let bytes = read_or_create(&path, || random_bytes::<32>().to_vec())?;
        let pepper = bytes.try_into().map_err(|_| KeyError::new(&path, "must hold 32 bytes"))?;
        let (salt, begun) = (clock.random().to_ne_bytes(), clock.elapsed());
        let dummy =
            bcrypt::hash_with_salt(b"nobody", config.bcrypt_cost, salt).map_err(|error| KeyError::new(&path, error))?;
        let hash_time = clock.elapsed().saturating_sub(begun);
        Ok(Self {
            pepper,
            cost: config.bcrypt_cost,
            dummy: dummy.to_string(),
            queue: Queue::new(config.hashing_threads, config.hashing_queue, hash_time, metrics.clone()),
            clock: Arc::clone(clock),
        })
    }

    /// A place among those that wait for a hash. Taken before anything else is spent on a stranger's login.
    ///
    /// # Errors
    /// [`RejectCode::Busy`] when too many come first.
    pub fn reserve(&self, lane: Lane) -> Result<Place, Reject> {
        self.queue.enter(lane)
    }

    /// The hash to store.
    ///
    /// # Errors
    /// [`RejectCode::Busy`]: the wait was too long. [`RejectCode::Internal`] when the pool is gone.
    pub async fn hash(&self, place: Place, password: &Secret) -> Result<String, Reject> {
        let (input, cost) = (self.pre_hash(password), self.cost);
        let hashed = self.run(place, move || bcrypt::hash_with_salt(input, cost, random_bytes())).await?;
        Ok(hashed.map_err(|_| RejectCode::Internal)?.to_string())
    }

    /// Whether the password is that of the hash; without a hash it takes as long and is wrong. So it does for a hash of
    /// a lower cost than is configured now.
    ///
    /// # Errors
    /// [`RejectCode::Busy`]: the wait was too long. [`RejectCode::Internal`] when the pool is gone.
    pub async fn verify(&self, place: Place, password: &Secret, hash: Option<&str>) -> Result<bool, Reject> {
        let (input, known) = (self.pre_hash(password), hash.is_some());
        let hash = hash.unwrap_or(&self.dummy).to_owned();
        let more = rest_of_work(cost_of(&hash).unwrap_or(self.cost), self.cost);
        let work = move || {
            let right = bcrypt::verify(&input, &hash).unwrap_or(false);
            // Who is let in gets a new hash, which takes longer than any of it.
            for cost in more.filter(|_| !right) {
                let _ = std::hint::black_box(bcrypt::hash_with_salt(&input, cost, [0; 16]));
            }
            right
        };
        Ok(self.run(place, work).await? && known)
    }

    /// Whether a stored hash costs something else than is configured now.
    #[must_use]
    pub fn is_outdated(&self, hash: &str) -> bool {
        cost_of(hash) != Some(self.cost)
    }

    /// What follows a refresh token: the same, whichever server is asked, and as often as it is.
    pub(super) fn refresh_token_after(&self, token: &Secret) -> Secret {
        let key = hmac(&self.pepper, REFRESH_LABEL);
        Secret::new(URL_SAFE_NO_PAD.encode(hmac(&key, token.expose().as_bytes())))
    }

    /// Of a text, for a record. Its number is in it, so that no hash tells by another that two texts are one; the pepper is,
    /// so that who has the store alone confirms no guess.
    pub(super) fn audit_hash(&self, key: AuditKey, record: AuditId, text: &str) -> [u8; 32] {
        let key = hmac(&hmac(&self.pepper, AUDIT_LABEL), &key.to_bytes());
        hmac(&key, &[record.to_bytes().as_slice(), text.as_bytes()].concat())
    }

    /// base64(HMAC-SHA256(pepper, password)): 43 bytes whatever the password, so bcrypt cuts nothing.
    fn pre_hash(&self, password: &Secret) -> String {
        STANDARD_NO_PAD.encode(hmac(&self.pepper, password.expose().as_bytes()))
    }

    /// The place belongs to the work, not to who waits for it: a peer that hangs up does not free it early.
    async fn run<T: Send + 'static>(
        &self,
        mut place: Place,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Reject> {
        place.wait().await?;
        let clock = Arc::clone(&self.clock);
        let work = move || {
            let begun = clock.elapsed();
            let done = work();
            place.note_time(clock.elapsed().saturating_sub(begun));
            done
        };
        Ok(tokio::task::spawn_blocking(work).await.map_err(|_| RejectCode::Internal)?)
    }
}

fn hmac(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    // Any key length is fine for HMAC.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return [0; 32] };
    mac.update(message);
    mac.finalize().into_bytes().into()
}

fn cost_of(hash: &str) -> Option<u32> {
    hash.split('$').nth(2)?.parse().ok()
}

/// The costs of the hashes that are still to be made, so that it was the work of one of `wanted` in all: each is twice
/// the one before, and the first is as much as was done.
fn rest_of_work(done: u32, wanted: u32) -> Range<u32> {
    done..wanted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    fn passwords(dir: &tempfile::TempDir, bcrypt_cost: u32) -> Passwords {
        let config =
            config::Auth { bcrypt_cost, hashing_threads: 1, hashing_queue: 1, ..config::Config::default().auth };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        Passwords::open(dir.path(), &config, &clock, &Metrics::new()).unwrap()
    }

    const STRANGER: Lane = Lane::Stranger { tries: 0 };

    #[tokio::test]
    async fn hanging_up_frees_no_place_early() {
        let dir = tempfile::tempdir().unwrap();
        let passwords = passwords(&dir, 10);
        let secret = Secret::new("correct horse");
        for _ in 0..2 {
            let hashing = passwords.hash(passwords.reserve(STRANGER).unwrap(), &secret);
            // Begun and given up at once.
            assert!(futures_util::FutureExt::now_or_never(hashing).is_none());
        }
        // The first is at work on its thread; the second never got one and is gone.
        let _second = passwords.reserve(STRANGER).unwrap();
        let refused = passwords.reserve(Lane::Stranger { tries: 1 });
        assert!(refused.is_err_and(|reject| reject.is(RejectCode::Busy)));
    }

    /// Work, not time: a hash of cost n is 2^n rounds.
    #[test]
    fn an_older_hash_is_as_much_work_as_a_new_one() {
        for wanted in 4..=20_u32 {
            for done in 4..=wanted {
                let rounds: u64 = rest_of_work(done, wanted).map(|cost| 1 << cost).sum();
                assert_eq!((1 << done) + rounds, 1_u64 << wanted, "{done} to {wanted}");
            }
        }
    }

    #[tokio::test]
    async fn a_hash_of_a_lower_cost_is_good_and_outdated() {
        let dir = tempfile::tempdir().unwrap();
        let (before, now) = (passwords(&dir, 4), passwords(&dir, 6));
        let (right, wrong) = (Secret::new("correct horse"), Secret::new("wrong horse"));
        let place = |of: &Passwords| of.reserve(STRANGER).unwrap();
        let hash = before.hash(place(&before), &right).await.unwrap();
        assert!(now.is_outdated(&hash) && !before.is_outdated(&hash));
        assert!(now.verify(place(&now), &right, Some(&hash)).await.unwrap());
        assert!(!now.verify(place(&now), &wrong, Some(&hash)).await.unwrap());
        assert!(!now.verify(place(&now), &Secret::new("nobody"), None).await.unwrap());
    }

    #[test]
    fn tokens_follow_each_other_by_the_key_alone() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (one, twin, stranger) = (passwords(&dir, 4), passwords(&dir, 4), passwords(&other, 4));
        let first = Secret::new("first");
        let second = one.refresh_token_after(&first);
        assert_eq!(second.expose(), twin.refresh_token_after(&first).expose());
        assert_ne!(second.expose(), stranger.refresh_token_after(&first).expose());
        assert_ne!(second.expose(), one.refresh_token_after(&second).expose());
        assert_eq!(second.expose().len(), super::super::opaque().0.expose().len(), "nobody tells them apart");
    }

    #[test]
    fn a_hash_of_the_audit_is_of_its_text_record_account_and_server() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (one, twin, stranger) = (passwords(&dir, 4), passwords(&dir, 4), passwords(&other, 4));
        let [alice, bob] = [1, 2].map(AuditKey::from_u128);
        let [first, second] = [1, 2].map(AuditId::from_u128);
        let hash = one.audit_hash(alice, first, "hello");
        assert_eq!(hash, twin.audit_hash(alice, first, "hello"), "whoever has all of it gets the same");
        for (what, another) in [
            ("text", one.audit_hash(alice, first, "hello!")),
            ("record", one.audit_hash(alice, second, "hello")),
            ("account", one.audit_hash(bob, first, "hello")),
            ("server", stranger.audit_hash(alice, first, "hello")),
        ] {
            assert_ne!(hash, another, "another {what}");
        }
        assert_eq!(format!("{alice:?}"), "AuditKey", "no log tells it");
    }
}
