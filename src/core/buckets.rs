//! GCRA (ITU-T I.371) with units: a bucket is one number, the time at which it will be full again. How fast it fills and
//! how much it holds stands beside it and may change while it is in use. The time is passed in.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Locks of a map of buckets; a power of two.
const SHARDS: usize = 16;

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// How fast buckets fill and how much they hold.
#[derive(Debug)]
pub struct Quota {
    /// The time in which one unit comes back, nanoseconds; at least one.
    unit: AtomicU64,
    /// The time in which an empty bucket fills, nanoseconds.
    full: AtomicU64,
}

impl Quota {
    /// So many units in that time in the long run, and so many at once. Zero counts as one.
    #[must_use]
    pub fn new(units: u32, time: Duration, burst: u32) -> Self {
        let quota = Self { unit: AtomicU64::new(1), full: AtomicU64::new(1) };
        quota.replace(units, time, burst);
        quota
    }

    /// Other bounds from now on. What was taken stays taken, but nobody waits longer than a new bucket takes to fill.
    pub fn replace(&self, units: u32, time: Duration, burst: u32) {
        let unit = (nanos(time) / u64::from(units.max(1))).max(1);
        self.unit.store(unit, Ordering::Relaxed);
        self.full.store(unit.saturating_mul(u64::from(burst.max(1))), Ordering::Relaxed);
    }

    /// When a bucket will be full that would have been at `full_at`, once so many units are taken from it now; or when
    /// it will be without that, and how long to wait for them. More than it can hold is as much as it holds: else it
    /// would be refused for ever.
    fn take(&self, full_at: u64, units: u32, now: u64) -> (u64, Result<(), Duration>) {
        let (unit, full) = (self.unit.load(Ordering::Relaxed), self.full.load(Ordering::Relaxed));
        let latest = now.saturating_add(full);
        let before = full_at.clamp(now, latest);
        let after = before.saturating_add(unit.saturating_mul(u64::from(units)).min(full));
        if after <= latest { (after, Ok(())) } else { (before, Err(Duration::from_nanos(after - latest))) }
    }
}

/// A bucket that stands by itself, full at first.
#[derive(Debug, Default)]
pub struct Bucket(AtomicU64);

impl Bucket {
    /// Whether it holds so many units; nothing is taken.
    pub fn has(&self, quota: &Quota, units: u32, now: Duration) -> bool {
        quota.take(self.0.load(Ordering::Relaxed), units, nanos(now)).1.is_ok()
    }

    /// Takes so many units; how long until it is full again.
    ///
    /// # Errors
    /// The wait for them; nothing was taken then.
    pub fn take(&self, quota: &Quota, units: u32, now: Duration) -> Result<Duration, Duration> {
        let now = nanos(now);
        let mut full_at = self.0.load(Ordering::Relaxed);
        loop {
            let (next, taken) = quota.take(full_at, units, now);
            match self.0.compare_exchange_weak(full_at, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return taken.map(|()| Duration::from_nanos(next.saturating_sub(now))),
                Err(other) => full_at = other,
            }
        }
    }
}

/// A bucket for each key, full at first; the keys of full ones are dropped by [`Self::evict`].
#[derive(Debug)]
pub struct Buckets<K> {
    quota: Quota,
    hasher: RandomState,
    shards: [Mutex<HashMap<K, u64>>; SHARDS],
}

impl<K: Hash + Eq> Buckets<K> {
    /// All of this quota.
    #[must_use]
    pub fn new(quota: Quota) -> Self {
        Self { quota, hasher: RandomState::new(), shards: std::array::from_fn(|_| Mutex::default()) }
    }

    /// What all of them keep to.
    pub const fn quota(&self) -> &Quota {
        &self.quota
    }

    /// Takes so many units from the bucket of a key.
    ///
    /// # Errors
    /// The wait for them; nothing was taken then.
    pub fn take(&self, key: K, units: u32, now: Duration) -> Result<(), Duration> {
        let mut shard = self.shard(&key);
        let full_at = shard.entry(key).or_default();
        let (next, taken) = self.quota.take(*full_at, units, nanos(now));
        *full_at = next;
        taken
    }

    /// Puts back a unit that was taken at that moment: as much of it as did not come back by itself since, and so nothing
    /// of what others took.
    pub fn give_back(&self, key: &K, taken: Duration, now: Duration) {
        let left = self.quota.unit.load(Ordering::Relaxed).saturating_sub(nanos(now.saturating_sub(taken)));
        if let Some(full_at) = self.shard(key).get_mut(key) {
            *full_at = full_at.saturating_sub(left);
        }
    }

    /// Drops the keys whose buckets are full again.
    pub fn evict(&self, now: Duration) {
        let now = nanos(now);
        for shard in &self.shards {
            let mut shard = lock(shard);
            shard.retain(|_, full_at| *full_at > now);
            shard.shrink_to_fit();
        }
    }

    fn shard(&self, key: &K) -> MutexGuard<'_, HashMap<K, u64>> {
        let index = self.hasher.hash_one(key) as usize & (SHARDS - 1);
        #[expect(clippy::indexing_slicing, reason = "masked by the length")]
        lock(&self.shards[index])
    }

    /// Keys that are remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn per_second(units: u32, burst: u32) -> Quota {
        Quota::new(units, Duration::from_secs(1), burst)
    }

    #[test]
    fn a_burst_then_the_rate_and_the_wait_is_exact() {
        let (quota, bucket) = (per_second(10, 3), Bucket::default());
        let start = ms(5_000);
        for taken in 1..=3 {
            assert_eq!(bucket.take(&quota, 1, start), Ok(ms(taken * 100)));
        }
        assert_eq!(bucket.take(&quota, 1, start), Err(ms(100)));
        assert_eq!(bucket.take(&quota, 2, start), Err(ms(200)), "a refusal takes nothing");
        for _ in 0..2 {
            assert!(bucket.has(&quota, 1, ms(5_100)) && !bucket.has(&quota, 2, ms(5_100)), "a look takes nothing");
        }
        let early = Duration::from_nanos(5_099_999_999);
        assert_eq!(bucket.take(&quota, 1, early), Err(Duration::from_nanos(1)));
        assert_eq!(bucket.take(&quota, 1, ms(5_100)), Ok(ms(300)));
        // However long it was left alone, it holds no more than the burst.
        assert_eq!(bucket.take(&quota, 3, ms(900_000)), Ok(ms(300)));
        assert!(bucket.take(&quota, 1, ms(900_000)).is_err());
    }

    #[test]
    fn in_the_long_run_it_is_the_rate_whatever_the_units() {
        let (quota, bucket) = (per_second(100, 50), Bucket::default());
        let mut taken = 0;
        for at in 0..10_000_u64 {
            let units = 1 + (at as u32).wrapping_mul(2_654_435_761) % 9;
            taken += if bucket.take(&quota, units, ms(at)).is_ok() { units } else { 0 };
        }
        assert!((1_000..=1_050).contains(&taken), "ten seconds and the burst: {taken}");
    }

    #[test]
    fn what_costs_more_than_a_bucket_holds_takes_it_whole() {
        let (quota, bucket) = (per_second(10, 5), Bucket::default());
        assert!(bucket.take(&quota, 1_000, ms(0)).is_ok());
        assert_eq!(bucket.take(&quota, u32::MAX, ms(0)), Err(ms(500)));
        assert!(bucket.take(&quota, u32::MAX, ms(500)).is_ok());
    }

    #[test]
    fn another_quota_holds_at_once_and_locks_nobody_out() {
        let (quota, bucket) = (per_second(1, 1_000), Bucket::default());
        assert!(bucket.take(&quota, 1_000, ms(0)).is_ok());
        quota.replace(100, Duration::from_secs(1), 100);
        assert_eq!(bucket.take(&quota, 1, ms(0)), Err(ms(10)), "not for a thousand seconds");
        assert!(bucket.take(&quota, 1, ms(10)).is_ok(), "the wait that was told is enough");
        quota.replace(1, Duration::from_secs(1), 1);
        assert!(bucket.take(&quota, 1, ms(1_010)).is_ok() && bucket.take(&quota, 1, ms(1_010)).is_err());
    }

    #[test]
    fn extremes_neither_panic_nor_let_everything_pass() {
        for (units, time, burst) in [(0, Duration::ZERO, 0), (u32::MAX, Duration::MAX, u32::MAX), (1, Duration::MAX, 1)]
        {
            let (quota, bucket) = (Quota::new(units, time, burst), Bucket::default());
            for now in [Duration::ZERO, Duration::from_secs(1), Duration::MAX] {
                let _ = bucket.take(&quota, u32::MAX, now);
                let _ = bucket.take(&quota, 0, now);
            }
        }
    }

    #[test]
    fn keys_are_apart_and_full_ones_are_dropped() {
        let buckets = Buckets::new(per_second(10, 2));
        for key in 0..100 {
            assert!(buckets.take(key, 2, ms(0)).is_ok());
        }
        assert_eq!(buckets.take(7, 1, ms(0)), Err(ms(100)));
        assert!(buckets.take(7, 1, ms(100)).is_ok());
        buckets.evict(ms(199));
        assert_eq!(buckets.len(), 100, "none of them is full");
        buckets.evict(ms(200));
        assert_eq!(buckets.len(), 1, "only the one that was used again");
        buckets.evict(ms(300));
        assert_eq!(buckets.len(), 0);
    }
}
