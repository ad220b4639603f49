//! When to try again: exponential, with full jitter, so that a restarted server is not stormed.

use crate::model::Millis;

const FIRST_MS: u64 = 250;
const LONGEST_MS: u64 = 30_000;

/// Counts failures and draws delays from a seeded generator (splitmix64; it need not be secret).
#[derive(Debug)]
pub(super) struct Backoff {
    seed: u64,
    failures: u32,
}

impl Backoff {
    pub(super) const fn new(seed: u64) -> Self {
        Self { seed, failures: 0 }
    }

    pub(super) const fn reset(&mut self) {
        self.failures = 0;
    }

    /// The time of the next attempt: at least `at_least_ms` from now, plus a random share of the window.
    pub(super) fn next(&mut self, now: Millis, at_least_ms: u64) -> Millis {
        let window = (FIRST_MS << self.failures.min(10)).min(LONGEST_MS);
        self.failures = self.failures.saturating_add(1);
        now.after(at_least_ms.saturating_add(self.below(window)))
    }

    /// A random number below the bound; 0 for a bound of 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_and_are_bounded() {
        let mut backoff = Backoff::new(7);
        for failure in 0..50 {
            let delay = backoff.next(Millis(0), 100).0 - 100;
            assert!(delay < LONGEST_MS && delay < FIRST_MS << failure.min(10), "{failure}: {delay}");
        }
        backoff.reset();
        assert!(backoff.next(Millis(0), 0).0 < FIRST_MS);
    }
}
