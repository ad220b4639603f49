//! The bounds on what peers do: for each a bucket by its key, Ok or a reject with the wait out. Many a time per message:
//! nothing here allocates but for a key that is new.

use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use confab_protocol::close::CloseCode;
use confab_protocol::command::Command;
use confab_protocol::model::{RoomId, UserId};
use confab_protocol::reject::{Reject, RejectCode};

use super::auth::Lane;
use super::buckets::{Bucket, Buckets, Quota};
use super::costs::cost;
use super::excess::Excess;
use super::network::{Suspects, network};
use crate::clock::Clock;
use crate::config;
use crate::metrics::Metrics;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// The time in which `login_tries` are allowed.
const LOGIN_WINDOW: Duration = Duration::from_secs(15 * 60);

/// Times `login_tries` that one account takes from all networks together.
const ACCOUNT_TRIES_FACTOR: u32 = 20;

/// Times `strangers_per_minute` that logins of one network are carried on.
const REFRESH_FACTOR: u32 = 10;
/// Passwords that somebody who is logged in may be asked for.
const PASSWORDS_PER_MINUTE: u32 = 5;
/// The same of all who are logged in from one network: each is up to two hashes before everybody else's.
const PASSWORDS_PER_NETWORK: u32 = 10;

/// Typing of one user, in the long run and at once: a device sends one in four seconds.
const NEWS_PER_SECOND: u32 = 2;
const NEWS_BURST: u32 = 20;

/// How one user shows and who is here: every device says so, and asks for its rooms, when it comes back.
const PRESENCE_PER_SECOND: u32 = 10;
const PRESENCE_BURST: u32 = 200;
/// Searches of one user: each may look at many messages.
const SEARCHES_PER_SECOND: u32 = 1;
const SEARCHES_BURST: u32 = 10;

/// Reports and appeals of one user: a report keeps up to eleven messages for months, and moderators are told of each appeal in
/// their own logs, at once.
const REPORTS_PER_MINUTE: u32 = 1;
const REPORTS_BURST: u32 = 20;

/// New cases of one room that its moderators are told of, each in their own logs; others they find in the list.
const CASE_NOTES_PER_MINUTE: u32 = 6;

/// One connection may ask for this part of what all of its user's may: one that has run wild leaves the others some.
const CONNECTION_SHARE: u32 = 2;

/// Requests of one connection that may be refused as too fast at once, and per second in the long run: a thousand in 10 s.
/// Each is told to wait until those before it are forgotten, so that a client that does is never near this, not even
/// with all the requests in flight that it may have.
const REFUSALS_BURST: u32 = 1_000;
const REFUSALS_PER_SECOND: u32 = 100;

macro_rules! limits {
    ($($variant:ident = $name:literal, $text:literal;)+) => {
        /// What is refused.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        enum Limit { $($variant),+ }

        impl Limit {
            /// As metrics spell it.
            const fn name(self) -> &'static str { match self { $(Self::$variant => $name),+ } }
        }

        /// Each limit by the value of its label, and what it bounds; for docs/METRICS.md.
        pub const LIMITS: &[(&str, &str)] = &[$(($name, $text)),+];
    };
}

limits! {
    CommandsPerConnection = "commands_per_connection",
        "what commands of one connection cost together: half of `commands_per_second` and `commands_burst`";
    CommandsPerUser = "commands_per_user",
        "what commands of all connections of a user cost together: `commands_per_second`, `commands_burst`";
    SendsPerUser = "sends_per_user", "what a user says and changes: `sends_per_second`, `sends_burst`";
    SendsPerRoom = "sends_per_user_and_room",
        "what a user says and changes in one room: `sends_per_room_per_second`, `sends_burst`";
    HoldsPerUser = "holds_per_user",
        "texts of a user that plugins hold, each a case: `holds_per_minute`, `holds_burst`";
    DeliveriesPerRoom = "deliveries_per_room",
        "what is said in a room times the connections that follow it: `room_deliveries_per_second`";
    NewsPerUser = "news_per_user", "that a user types: 2 per second, 20 at once";
    PresencePerUser = "presence_per_user", "how a user shows, and who is here: 10 per second, 200 at once";
    SearchesPerUser = "searches_per_user", "searches of a user: 1 per second, 10 at once";
    ReportsPerUser = "reports_per_user",
        "reports and appeals of a user, which messages are kept for and moderators told of: 1 per minute, 20 at once";
    LoginsPerAccount = "logins_per_account", "passwords tried of one account from one network: `login_tries`";
    LoginsEverywhere = "logins_per_account_everywhere", "the same from all networks: 20 times `login_tries`";
    OwnPassword = "own_password_per_user", "passwords asked of somebody who is logged in: 5 per minute";
    OwnPasswordFrom = "own_password_per_network", "the same of all from one network: 10 per minute";
    Strangers = "strangers_per_network", "registrations, logins and resets of one network: `strangers_per_minute`";
    Refreshes = "refreshes_per_network", "refresh tokens from one network that are not good: 10 times `strangers_per_minute`";
    BadTokens = "bad_tokens_per_network",
        "access tokens and API keys from one network that are not good: `strangers_per_minute`";
}

/// What one connection asked for lately, and how much of it was refused.
#[derive(Debug, Default)]
pub struct Meter {
    commands: Bucket,
    refusals: Bucket,
}

/// The bounds on what users do.
pub struct Limits {
    /// Of the [`Meter`] of each connection.
    connection_commands: Quota,
    connection_refusals: Quota,
    commands: Buckets<UserId>,
    sends: Buckets<UserId>,
    room_sends: Buckets<(UserId, RoomId)>,
    holds: Buckets<UserId>,
    deliveries: Buckets<RoomId>,
    news: Buckets<UserId>,
    presence: Buckets<UserId>,
    searches: Buckets<UserId>,
    reports: Buckets<UserId>,
    passwords: Buckets<UserId>,
    passwords_from: Buckets<IpAddr>,
    /// Password checks of one account from one network.
    logins: Buckets<(IpAddr, Box<str>)>,
    /// Of one account, from everywhere.
    accounts: Buckets<Box<str>>,
    strangers: Buckets<IpAddr>,
    refreshes: Buckets<IpAddr>,
    bad_tokens: Buckets<IpAddr>,
    /// What moderators are told of new cases of a room.
    case_notes: Buckets<RoomId>,
    /// What is kept of what plugins find.
    pub(super) excess: Excess,
    suspects: Suspects,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
}

impl Limits {
    /// Buckets as configured.
    #[must_use]
    pub fn new(config: &config::Limits, clock: Arc<dyn Clock>, metrics: Metrics) -> Self {
        fn buckets<K: Hash + Eq>(units: u32, time: Duration, burst: u32) -> Buckets<K> {
            Buckets::new(Quota::new(units, time, burst))
        }
        /// Those that the configuration sets, below.
        fn unset<K: Hash + Eq>() -> Buckets<K> {
            buckets(1, SECOND, 1)
        }
        let limits = Self {
            connection_commands: Quota::new(1, SECOND, 1),
            connection_refusals: Quota::new(REFUSALS_PER_SECOND, SECOND, REFUSALS_BURST),
            commands: unset(),
            sends: unset(),
            room_sends: unset(),
            holds: unset(),
            deliveries: unset(),
            news: buckets(NEWS_PER_SECOND, SECOND, NEWS_BURST),
            presence: buckets(PRESENCE_PER_SECOND, SECOND, PRESENCE_BURST),
            searches: buckets(SEARCHES_PER_SECOND, SECOND, SEARCHES_BURST),
            reports: buckets(REPORTS_PER_MINUTE, MINUTE, REPORTS_BURST),
            passwords: buckets(PASSWORDS_PER_MINUTE, MINUTE, PASSWORDS_PER_MINUTE),
            passwords_from: buckets(PASSWORDS_PER_NETWORK, MINUTE, PASSWORDS_PER_NETWORK),
            logins: unset(),
            accounts: unset(),
            strangers: unset(),
            refreshes: unset(),
            bad_tokens: unset(),
            case_notes: buckets(CASE_NOTES_PER_MINUTE, MINUTE, CASE_NOTES_PER_MINUTE),
            excess: Excess::default(),
            suspects: Suspects::default(),
            clock,
            metrics,
        };
        limits.replace(config);
        limits
    }

    /// Other bounds from now on. What was taken stays taken.
    pub fn replace(&self, config: &config::Limits) {
        let (commands, burst) = (config.commands_per_second, config.commands_burst);
        self.commands.quota().replace(commands, SECOND, burst);
        self.connection_commands.replace(commands / CONNECTION_SHARE, SECOND, burst / CONNECTION_SHARE);
        self.sends.quota().replace(config.sends_per_second, SECOND, config.sends_burst);
        self.room_sends.quota().replace(config.sends_per_room_per_second, SECOND, config.sends_burst);
        self.holds.quota().replace(config.holds_per_minute, MINUTE, config.holds_burst);
        let deliveries = config.room_deliveries_per_second;
        self.deliveries.quota().replace(deliveries, SECOND, deliveries);
        let tries = config.login_tries;
        self.logins.quota().replace(tries, LOGIN_WINDOW, tries);
        let everywhere = tries.saturating_mul(ACCOUNT_TRIES_FACTOR);
        self.accounts.quota().replace(everywhere, LOGIN_WINDOW, everywhere);
        let strangers = config.strangers_per_minute;
        self.strangers.quota().replace(strangers, MINUTE, strangers);
        self.bad_tokens.quota().replace(strangers, MINUTE, strangers);
        let refreshes = strangers.saturating_mul(REFRESH_FACTOR);
        self.refreshes.quota().replace(refreshes, MINUTE, refreshes);
    }

    /// May this be asked for, by what it costs, over this connection and by this user if there is one yet?
    ///
    /// # Errors
    /// [`RejectCode::RateLimited`] with the wait.
    pub fn check_command(&self, meter: &Meter, user: Option<UserId>, command: &Command) -> Result<(), Reject> {
        let (cost, now) = (cost(command), self.now());
        let taken = meter.commands.take(&self.connection_commands, cost, now);
        taken.map_err(|wait| self.refuse(Limit::CommandsPerConnection, wait))?;
        let Some(user) = user else { return Ok(()) };
        self.commands.take(user, cost, now).map_err(|wait| self.refuse(Limit::CommandsPerUser, wait))
    }

    /// A request was refused as too fast: it is to wait at least until those that were refused before it are forgotten.
    ///
    /// # Errors
    /// [`CloseCode::TooManyRequests`] when too many were, of this connection.
    pub fn note_refusal(&self, meter: &Meter, reject: &mut Reject) -> Result<(), CloseCode> {
        let forgotten = meter.refusals.take(&self.connection_refusals, 1, self.now());
        let wait_ms = millis(forgotten.map_err(|_| CloseCode::TooManyRequests)?);
        reject.retry_after_ms = reject.retry_after_ms.max(u32::try_from(wait_ms).unwrap_or(u32::MAX));
        Ok(())
    }

    /// May this user send another message?
    ///
    /// # Errors
    /// [`RejectCode::RateLimited`] with the wait.
    pub fn check_send(&self, user: UserId) -> Result<(), Reject> {
        self.check(&self.sends, user, Limit::SendsPerUser)
    }

    /// May this user say something more in that room, which so many connections follow? Their own bounds come first:
    /// whoever is too fast takes nothing from the room's.
    ///
    /// # Errors
    /// [`RejectCode::RateLimited`] with the wait.
    pub fn check_post(&self, user: UserId, room: RoomId, followers: usize) -> Result<(), Reject> {
        self.check_send(user)?;
        self.check(&self.room_sends, (user, room), Limit::SendsPerRoom)?;
        let deliveries = u32::try_from(followers.max(1)).unwrap_or(u32::MAX);
        let taken = self.deliveries.take(room, deliveries, self.now());
        taken.map_err(|wait| self.refuse(Limit::DeliveriesPerRoom, wait))
    }

    /// May one more text of this user be held? Each is a case, and moderators work through all of them.
    ///
    /// # Errors
    /// [`RejectCode::RateLimited`] with the wait.
    pub fn check_hold(&self, user: UserId) -> Result<(), Reject> {
        self.check(&self.holds, user, Limit::HoldsPerUser)
    }

    /// May this user say once more that they type?
    ///
    /// # Errors
    /// [`RejectCode::RateLimited`] with the wait.
    pub fn check_news(&self, user: UserId) -> Result<(), Reject> {
        self.check(&self.news, user, Limit::NewsPerUser)
    }

    /// May this user say once more how they show, or ask who is here?
    ///
    /// # Errors
    /// [`RejectCode::RateLimited`] with the wait.
    pub fn check_presence(&self, user: UserId) -> Result<(), Reject> {
        self.check(&self.presence, user, Limit::PresencePerUser)
    }

    /// May this user search once more?
    ///
    /// # Errors
    /// [`RejectCode::RateLimited`] with the wait.
    pub fn check_search(&self, user: UserId) -> Result<(), Reject> {
        self.check(&self.searches, user, Limit::SearchesPerUser)
    }

    /// May another password of this account be tried from there? The name is as typed, folded. Whoever guesses from
    /// elsewhere does not keep the owner out: what strangers try together counts for strangers alone.
    ///
    /// # Errors
    /// [`RejectCode::RateLimited`] with the wait.
    pub fn check_login(&self, from: IpAddr, username: &str, lane: Lane) -> Result<(), Reject> {
        let name: Box<str> = username.to_ascii_lowercase().into();
        self.check(&self.logins, (network(from), name.clone()), Limit::LoginsPerAccount)?;
        // Apart from those who are known, who are bounded, too: others may have come by the id of a device.
        let kind = if lane == Lane::Known { "known " } else { "stranger " };
        self.check(&self.accounts, [kind, &name].concat().into(), Limit::LoginsEverywhere)
    }

    /// The password that was tried at that moment was right, and so no guess: it counts for its network no more. From
    /// everywhere together it does, for it was a hash.
    pub fn give_back_login(&self, from: IpAddr, username: &str, taken: Duration) {
        let name: Box<str> = username.to_ascii_lowercase().into();
        self.logins.give_back(&(network(from), name), taken, self.now());
    }

    /// May this user be asked for their password once more?
    ///
    /// # Errors
    /// [`RejectCode::RateLimited`] with the wait.
    pub fn check_own_password(&self, user: UserId, from: IpAddr) -> Result<(), Reject> {
        self.check(&self.passwords, user, Limit::OwnPassword)?;
        self.check(&self.passwords_from, network(from), Limit::OwnPasswordFrom)
    }

    /// A refresh token from there was not good. One that is good is never counted, and so never refused for what others
    /// do. Those whose login has ended are among them, so ten times as many as strangers.
    ///
    /// # Errors
    /// [`RejectCode::RateLimited`] with the wait, when too many were not.
    pub fn note_bad_refresh(&self, from: IpAddr) -> Result<(), Reject> {
        self.check(&self.refreshes, network(from), Limit::Refreshes)
    }

    /// May somebody from there, whom nobody knows yet, ask for anything that costs?
    ///
    /// # Errors
    /// [`RejectCode::RateLimited`] with the wait.
    pub fn check_stranger(&self, from: IpAddr) -> Result<(), Reject> {
        self.check(&self.strangers, network(from), Limit::Strangers)
    }

    /// A token from there was not good. One that is good is never counted, and so never refused for what others do.
    ///
    /// # Errors
    /// [`RejectCode::RateLimited`] with the wait, when too many were not.
    pub fn note_bad_token(&self, from: IpAddr) -> Result<(), Reject> {
        self.check(&self.bad_tokens, network(from), Limit::BadTokens)
    }

    /// May this user report, or appeal, once more?
    ///
    /// # Errors
    /// [`RejectCode::RateLimited`] with the wait.
    pub fn check_report(&self, user: UserId) -> Result<(), Reject> {
        self.check(&self.reports, user, Limit::ReportsPerUser)
    }

    /// Whether the moderators of a room are told of one more new case. Nobody is refused anything by it.
    pub fn may_tell(&self, room: RoomId) -> bool {
        self.case_notes.take(room, 1, self.now()).is_ok()
    }

    /// Where a stranger from there waits for a hash, which is a try.
    pub fn lane(&self, from: IpAddr) -> Lane {
        Lane::Stranger { tries: self.suspects.note(from, self.now()) }
    }

    /// A password was wrong.
    pub fn note_wrong(&self, from: IpAddr) {
        self.suspects.note(from, self.now());
    }

    /// Somebody who waited there was let in.
    pub fn note_right(&self, from: IpAddr) {
        self.suspects.forgive(from);
    }

    /// Drops the keys that are back to normal; to be called now and then.
    pub fn evict(&self) {
        let now = self.now();
        self.commands.evict(now);
        self.sends.evict(now);
        self.room_sends.evict(now);
        self.holds.evict(now);
        self.deliveries.evict(now);
        self.news.evict(now);
        self.presence.evict(now);
        self.searches.evict(now);
        self.reports.evict(now);
        self.passwords.evict(now);
        self.passwords_from.evict(now);
        self.logins.evict(now);
        self.accounts.evict(now);
        self.strangers.evict(now);
        self.refreshes.evict(now);
        self.bad_tokens.evict(now);
        self.case_notes.evict(now);
        self.suspects.evict(now);
    }

    fn now(&self) -> Duration {
        self.clock.elapsed()
    }

    fn check<K: Hash + Eq>(&self, buckets: &Buckets<K>, key: K, limit: Limit) -> Result<(), Reject> {
        buckets.take(key, 1, self.now()).map_err(|wait| self.refuse(limit, wait))
    }

    fn refuse(&self, limit: Limit, wait: Duration) -> Reject {
        self.metrics.limited_total.with_label_values(&[limit.name()]).inc();
        Reject::retry(RejectCode::RateLimited, millis(wait))
    }
}

/// Rounded up: who waits so long has waited long enough.
fn millis(wait: Duration) -> u64 {
    u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
