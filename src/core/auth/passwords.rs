//! Password hashing: bcrypt over a peppered pre-hash (bcrypt alone cuts at 72 bytes), on a bounded pool, so
//! that a storm of logins costs a known share of the machine.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use confab_protocol::command::Secret;
use confab_protocol::reject::{Reject, RejectCode};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::sync::Semaphore;

use super::{KeyError, read_or_create};
use crate::clock::{Clock, random_bytes};
use crate::config;
use crate::metrics::Metrics;

/// Told to those who must wait for a free place, milliseconds.
const BUSY_RETRY_MS: u64 = 1_000;

/// Hashes and checks passwords.
pub struct Passwords {
    pepper: [u8; 32],
    cost: u32,
    /// Checked for users that do not exist, so that they take as long as those that do.
    dummy: String,
    permits: Arc<Semaphore>,
    /// Taken first by those whose network guessed wrong lately: the others find a thread free.
    suspects: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    waiting_max: usize,
    metrics: Metrics,
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
        let salt = clock.random().to_ne_bytes();
        let dummy =
            bcrypt::hash_with_salt(b"nobody", config.bcrypt_cost, salt).map_err(|error| KeyError::new(&path, error))?;
        Ok(Self {
            pepper,
            cost: config.bcrypt_cost,
            dummy: dummy.to_string(),
            permits: Arc::new(Semaphore::new(config.hashing_threads)),
            suspects: Arc::new(Semaphore::new((config.hashing_threads / 2).max(1))),
            waiting: Arc::default(),
            waiting_max: config.hashing_queue.saturating_add(config.hashing_threads),
            metrics: metrics.clone(),
        })
    }

    /// A place among those that wait for a hash. Taken before anything else is spent on a login.
    ///
    /// # Errors
    /// [`RejectCode::Busy`] when too many wait.
    pub fn reserve(&self, lane: Lane) -> Result<Place, Reject> {
        let max = match lane {
            Lane::Open => self.waiting_max,
            Lane::Suspect => self.waiting_max / 2,
        };
        let taken = self.waiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| (n < max).then_some(n + 1));
        taken.map_err(|_| Reject::retry(RejectCode::Busy, BUSY_RETRY_MS))?;
        self.metrics.hashing_queue.inc();
        Ok(Place { waiting: Arc::clone(&self.waiting), lane, metrics: self.metrics.clone() })
    }

    /// The hash to store.
    ///
    /// # Errors
    /// [`RejectCode::Internal`] when the pool is gone.
    pub async fn hash(&self, place: Place, password: &Secret) -> Result<String, Reject> {
        let (input, cost) = (self.pre_hash(password), self.cost);
        let hashed = self.run(place, move || bcrypt::hash_with_salt(input, cost, random_bytes())).await?;
        Ok(hashed.map_err(|_| RejectCode::Internal)?.to_string())
    }

    /// Whether the password is that of the hash; without a hash it takes as long and is wrong.
    ///
    /// # Errors
    /// [`RejectCode::Internal`] when the pool is gone.
    pub async fn verify(&self, place: Place, password: &Secret, hash: Option<&str>) -> Result<bool, Reject> {
        let (input, known) = (self.pre_hash(password), hash.is_some());
        let hash = hash.unwrap_or(&self.dummy).to_owned();
        let right = self.run(place, move || bcrypt::verify(input, &hash)).await?;
        Ok(right.unwrap_or(false) && known)
    }

    /// Whether a stored hash costs something else than is configured now: others would take another time than unknown users.
    #[must_use]
    pub fn is_outdated(&self, hash: &str) -> bool {
        hash.split('$').nth(2).and_then(|cost| cost.parse::<u32>().ok()).is_none_or(|cost| cost != self.cost)
    }

    /// base64(HMAC-SHA256(pepper, password)): 43 bytes whatever the password, so bcrypt cuts nothing.
    fn pre_hash(&self, password: &Secret) -> String {
        // Any key length is fine for HMAC.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.pepper) else { return String::new() };
        mac.update(password.expose().as_bytes());
        STANDARD_NO_PAD.encode(mac.finalize().into_bytes())
    }

    /// Place and permit belong to the work, not to who waits for it: a peer that hangs up frees neither early.
    async fn run<T: Send + 'static>(
        &self,
        place: Place,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Reject> {
        let acquire = async |of: &Arc<Semaphore>| {
            Arc::clone(of).acquire_owned().await.map_err(|_| Reject::from(RejectCode::Unavailable))
        };
        let turn = if place.lane == Lane::Suspect { Some(acquire(&self.suspects).await?) } else { None };
        let permit = acquire(&self.permits).await?;
        let work = move || {
            let _held = (place, permit, turn);
            work()
        };
        Ok(tokio::task::spawn_blocking(work).await.map_err(|_| RejectCode::Internal)?)
    }
}

/// Who waits for a hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lane {
    /// Anybody.
    Open,
    /// From a network that guessed wrong lately: half of the threads and of the places at most.
    Suspect,
}

/// One of the bounded places in the queue; given back when the work is done, or was never begun.
pub struct Place {
    waiting: Arc<AtomicUsize>,
    lane: Lane,
    metrics: Metrics,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.waiting.fetch_sub(1, Ordering::AcqRel);
        self.metrics.hashing_queue.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[tokio::test]
    async fn hanging_up_frees_no_place_early() {
        let dir = tempfile::tempdir().unwrap();
        let config =
            config::Auth { bcrypt_cost: 10, hashing_threads: 1, hashing_queue: 1, ..config::Config::default().auth };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let passwords = Passwords::open(dir.path(), &config, &clock, &Metrics::new()).unwrap();
        let secret = Secret::new("correct horse");
        for _ in 0..2 {
            let hashing = passwords.hash(passwords.reserve(Lane::Open).unwrap(), &secret);
            // Begun and given up at once.
            assert!(futures_util::FutureExt::now_or_never(hashing).is_none());
        }
        // The first is at work on its thread; the second never got one and is gone.
        assert_eq!(passwords.waiting.load(Ordering::Acquire), 1);
        let _second = passwords.reserve(Lane::Open).unwrap();
        assert!(passwords.reserve(Lane::Open).is_err_and(|reject| reject.is(RejectCode::Busy)));
    }
}
