//! Keyed GCRA buckets (ITU-T I.371): a key and the time in, Ok or a reject with the wait out.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use confab_protocol::model::UserId;
use confab_protocol::reject::{Reject, RejectCode};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

use super::auth::Lane;
use super::network::{Suspects, network};
use crate::clock::Clock;
use crate::config;
use crate::metrics::Metrics;

/// Our clock as governor wants it.
#[derive(Clone)]
struct Elapsed(Arc<dyn Clock>);

impl governor::clock::Clock for Elapsed {
    type Instant = Nanos;
    fn now(&self) -> Nanos {
        Nanos::from(self.0.elapsed())
    }
}

type Buckets<K> = RateLimiter<K, DashMapStateStore<K>, Elapsed, NoOpMiddleware<Nanos>>;

/// The time in which `login_tries` are allowed.
const LOGIN_WINDOW: Duration = Duration::from_secs(15 * 60);

/// Times `login_tries` that one account takes from all networks together.
const ACCOUNT_TRIES_FACTOR: u32 = 20;

/// Times `strangers_per_minute` that logins of one network are carried on.
const REFRESH_FACTOR: u32 = 10;
/// Passwords that somebody who is logged in may be asked for.
const PASSWORDS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(5).unwrap();

/// Typing of one user, in the long run and at once: a device sends one in four seconds.
const NEWS_PER_SECOND: NonZeroU32 = NonZeroU32::new(2).unwrap();
const NEWS_BURST: NonZeroU32 = NonZeroU32::new(20).unwrap();

/// How one user shows and who is here: every device says so, and asks for its rooms, when it comes back.
const PRESENCE_PER_SECOND: NonZeroU32 = NonZeroU32::new(10).unwrap();
const PRESENCE_BURST: NonZeroU32 = NonZeroU32::new(200).unwrap();
/// Searches of one user: each may look at many messages.
const SEARCHES_PER_SECOND: NonZeroU32 = NonZeroU32::new(1).unwrap();
const SEARCHES_BURST: NonZeroU32 = NonZeroU32::new(10).unwrap();

/// The bounds that the operator sets.
struct Rates {
    sends: Buckets<UserId>,
    /// Password checks of one account from one network.
    logins: Buckets<(IpAddr, Box<str>)>,
    /// Of one account, from everywhere.
    accounts: Buckets<Box<str>>,
    strangers: Buckets<IpAddr>,
    refreshes: Buckets<IpAddr>,
}

/// Zero counts as one.
fn at_least_one(value: u32) -> NonZeroU32 {
    NonZeroU32::new(value).unwrap_or(NonZeroU32::MIN)
}

impl Rates {
    fn new(config: &config::Limits, clock: &Elapsed) -> Self {
        let sends =
            Quota::per_second(at_least_one(config.sends_per_second)).allow_burst(at_least_one(config.sends_burst));
        let tries_in = |tries: u32| {
            let tries = at_least_one(tries);
            Quota::with_period(LOGIN_WINDOW / tries.get()).unwrap_or(Quota::per_minute(tries)).allow_burst(tries)
        };
        let everywhere = config.login_tries.saturating_mul(ACCOUNT_TRIES_FACTOR);
        let strangers = Quota::per_minute(at_least_one(config.strangers_per_minute));
        let refreshes = Quota::per_minute(at_least_one(config.strangers_per_minute.saturating_mul(REFRESH_FACTOR)));
        Self {
            sends: RateLimiter::dashmap_with_clock(sends, clock.clone()),
            refreshes: RateLimiter::dashmap_with_clock(refreshes, clock.clone()),
            logins: RateLimiter::dashmap_with_clock(tries_in(config.login_tries), clock.clone()),
            accounts: RateLimiter::dashmap_with_clock(tries_in(everywhere), clock.clone()),
            strangers: RateLimiter::dashmap_with_clock(strangers, clock.clone()),
        }
    }
}

/// The bounds on what users do.
pub struct Limits {
    rates: RwLock<Arc<Rates>>,
    news: Buckets<UserId>,
    presence: Buckets<UserId>,
    searches: Buckets<UserId>,
    passwords: Buckets<UserId>,
    suspects: Suspects,
    clock: Elapsed,
    metrics: Metrics,
}

impl Limits {
    /// Buckets as configured.
    #[must_use]
    pub fn new(config: &config::Limits, clock: Arc<dyn Clock>, metrics: Metrics) -> Self {
        let clock = Elapsed(clock);
        let of_users = |per_second, burst| {
            RateLimiter::dashmap_with_clock(Quota::per_second(per_second).allow_burst(burst), clock.clone())
        };
        Self {
            rates: RwLock::new(Arc::new(Rates::new(config, &clock))),
            news: of_users(NEWS_PER_SECOND, NEWS_BURST),
            presence: of_users(PRESENCE_PER_SECOND, PRESENCE_BURST),
            searches: of_users(SEARCHES_PER_SECOND, SEARCHES_BURST),
            passwords: RateLimiter::dashmap_with_clock(Quota::per_minute(PASSWORDS_PER_MINUTE), clock.clone()),
            suspects: Suspects::default(),
            clock,
            metrics,
        }
    }

    /// Other bounds from now on; everybody begins anew.
    pub fn replace(&self, config: &config::Limits) {
        *self.rates.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Rates::new(config, &self.clock));
    }

    fn rates(&self) -> Arc<Rates> {
        Arc::clone(&self.rates.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// May this user send another message?
    ///
    /// # Errors
    /// [`RejectCode::RateLimited`] with the wait.
    pub fn check_send(&self, user: UserId) -> Result<(), Reject> {
        self.check(&self.rates().sends, &user, "sends_per_user")
    }

    /// May this user say once more that they type?
    ///
    /// # Errors
    /// [`RejectCode::RateLimited`] with the wait.
    pub fn check_news(&self, user: UserId) -> Result<(), Reject> {
        self.check(&self.news, &user, "news_per_user")
    }

    /// May this user say once more how they show, or ask who is here?
    ///
    /// # Errors
    /// [`RejectCode::RateLimited`] with the wait.
    pub fn check_presence(&self, user: UserId) -> Result<(), Reject> {
        self.check(&self.presence, &user, "presence_per_user")
    }

    /// May this user search once more?
    ///
    /// # Errors
    /// [`RejectCode::RateLimited`] with the wait.
    pub fn check_search(&self, user: UserId) -> Result<(), Reject> {
        self.check(&self.searches, &user, "searches_per_user")
    }

    /// May another password of this account be tried from there? The name is as typed, folded. Whoever guesses from
    /// elsewhere does not keep the owner out: what strangers try together counts for strangers alone.
    ///
    /// # Errors
    /// [`RejectCode::RateLimited`] with the wait.
    pub fn check_login(&self, from: IpAddr, username: &str, lane: Lane) -> Result<(), Reject> {
        let rates = self.rates();
        let name: Box<str> = username.to_ascii_lowercase().into();
        self.check(&rates.logins, &(network(from), name.clone()), "logins_per_account")?;
        // Apart from those who are known, who are bounded, too: others may have come by the id of a device.
        let kind = if lane == Lane::Known { "known " } else { "stranger " };
        self.check(&rates.accounts, &[kind, &name].concat().into(), "logins_per_account_everywhere")
    }

    /// May this user be asked for their password once more?
    ///
    /// # Errors
    /// [`RejectCode::RateLimited`] with the wait.
    pub fn check_own_password(&self, user: UserId) -> Result<(), Reject> {
        self.check(&self.passwords, &user, "own_password_per_user")
    }

    /// May a login from there be carried on once more? They are known, so they may ten times as often.
    ///
    /// # Errors
    /// [`RejectCode::RateLimited`] with the wait.
    pub fn check_refresh(&self, from: IpAddr) -> Result<(), Reject> {
        self.check(&self.rates().refreshes, &network(from), "refreshes_per_network")
    }

    /// May somebody from there, whom nobody knows yet, ask for anything that costs?
    ///
    /// # Errors
    /// [`RejectCode::RateLimited`] with the wait.
    pub fn check_stranger(&self, from: IpAddr) -> Result<(), Reject> {
        self.check(&self.rates().strangers, &network(from), "strangers_per_network")
    }

    /// Where a stranger from there waits for a hash, which is a try.
    pub fn lane(&self, from: IpAddr) -> Lane {
        Lane::Stranger { tries: self.suspects.note(from, self.clock.0.elapsed()) }
    }

    /// A password was wrong.
    pub fn note_wrong(&self, from: IpAddr) {
        self.suspects.note(from, self.clock.0.elapsed());
    }

    /// Somebody who waited there was let in.
    pub fn note_right(&self, from: IpAddr) {
        self.suspects.forgive(from);
    }

    /// Drops the keys that are back to normal; to be called now and then.
    pub fn evict(&self) {
        let rates = self.rates();
        rates.sends.retain_recent();
        self.news.retain_recent();
        self.presence.retain_recent();
        self.searches.retain_recent();
        rates.logins.retain_recent();
        rates.accounts.retain_recent();
        rates.strangers.retain_recent();
        rates.refreshes.retain_recent();
        self.passwords.retain_recent();
        self.suspects.evict(self.clock.0.elapsed());
    }

    fn check<K: std::hash::Hash + Eq + Clone>(&self, buckets: &Buckets<K>, key: &K, limit: &str) -> Result<(), Reject> {
        buckets.check_key(key).map_err(|not_until| {
            self.metrics.limited_total.with_label_values(&[limit]).inc();
            let wait = not_until.wait_time_from(governor::clock::Clock::now(&self.clock));
            Reject::retry(RejectCode::RateLimited, u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use confab_protocol::model::Millis;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[derive(Default)]
    struct Hand(AtomicU64);

    impl Clock for Hand {
        fn now(&self) -> Millis {
            Millis(self.0.load(Ordering::Relaxed))
        }
        fn elapsed(&self) -> Duration {
            Duration::from_millis(self.0.load(Ordering::Relaxed))
        }
        fn random(&self) -> u128 {
            0
        }
    }

    #[test]
    fn a_burst_then_the_rate_and_the_wait_is_told() {
        let clock = Arc::new(Hand::default());
        let config = config::Limits { sends_per_second: 10, sends_burst: 3, ..config::Config::default().limits };
        let limits = Limits::new(&config, clock.clone(), Metrics::new());
        let (alice, bob) = (UserId::from_u128(1), UserId::from_u128(2));
        for _ in 0..3 {
            assert!(limits.check_send(alice).is_ok());
        }
        let reject = limits.check_send(alice).unwrap_err();
        assert!(reject.is(RejectCode::RateLimited) && (1..=100).contains(&reject.retry_after_ms), "{reject:?}");
        assert!(limits.check_send(bob).is_ok(), "keys are apart");
        clock.0.store(u64::from(reject.retry_after_ms), Ordering::Relaxed);
        assert!(limits.check_send(alice).is_ok(), "the wait that was told is enough");
        clock.0.store(10_000, Ordering::Relaxed);
        limits.evict();
        assert_eq!(limits.rates().sends.len(), 0);
        limits.replace(&config::Limits { sends_burst: 1, ..config });
        assert!(limits.check_send(alice).is_ok() && limits.check_send(alice).is_err(), "another bound holds at once");
    }
}
