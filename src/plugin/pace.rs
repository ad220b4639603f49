//! How long the calls of one hook take on average: a plugin that stays just below its budget each time is ended by no
//! budget, and holds everybody up all the same.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A call counts for one of so many; what was before fades as fast.
const CALLS: u64 = 256;

/// CPU time of a call of late, nanoseconds.
#[derive(Debug, Default)]
pub(super) struct Pace(AtomicU64);

impl Pace {
    /// Notes a call, and tells whether it is one of those that take too long while all do on average: a short one is not
    /// to blame for others. Of two at the same moment one may be lost.
    pub(super) fn is_too_slow(&self, took: Duration, most: Duration) -> bool {
        let (took, most, before) = (nanos(took), nanos(most), self.0.load(Ordering::Relaxed));
        let now = before - before / CALLS + took / CALLS;
        if now != before {
            self.0.store(now, Ordering::Relaxed);
        }
        took > most && now > most
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_few_slow_calls_are_nothing_and_many_are_too_many() {
        let pace = Pace::default();
        let calls = (1..1_000).find(|_| pace.is_too_slow(MS * 4, MS)).unwrap();
        assert!((50..100).contains(&calls), "{calls}");
        assert!(!pace.is_too_slow(MS / 100, MS), "this one was quick");
        assert!(pace.is_too_slow(MS * 4, MS));
        for _ in 0..500 {
            pace.is_too_slow(MS / 100, MS);
        }
        assert!(!pace.is_too_slow(MS * 4, MS), "it is well again");
    }

    #[test]
    fn one_slow_call_among_many_is_nothing() {
        let pace = Pace::default();
        for _ in 0..1_000 {
            assert!(!pace.is_too_slow(MS * 5, MS));
            for _ in 0..9 {
                assert!(!pace.is_too_slow(MS / 100, MS));
            }
        }
        assert!(!Pace::default().is_too_slow(Duration::MAX, Duration::MAX));
    }
}
