//! The only place that reads the time, the monotonic clock and the source of randomness. Everything else
//! gets them as arguments or through [`Clock`], so that tests can hold them.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use confab_protocol::model::Millis;

/// Time and randomness.
pub trait Clock: Send + Sync + 'static {
    /// Wall-clock time.
    fn now(&self) -> Millis;
    /// Time that never goes back, since some fixed moment.
    fn elapsed(&self) -> Duration;
    /// 128 bits from a cryptographic source.
    fn random(&self) -> u128;
}

/// The machine's own.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// Starts counting [`Clock::elapsed`] now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    fn now(&self) -> Millis {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    fn random(&self) -> u128 {
        u128::from_ne_bytes(random_bytes())
    }
}

/// Bytes from the cryptographic source.
///
/// # Panics
/// When the operating system has no randomness to give; going on would be worse.
#[must_use]
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// CPU time that the calling thread has used: the clock of plugin budgets, because a thread that was
/// descheduled is not guilty.
#[must_use]
pub fn thread_cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanos)
}
