//! Limits by a clock that is set by hand.

use super::*;
use confab_protocol::limits::IN_FLIGHT_MAX;
use confab_protocol::model::Millis;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Default)]
struct Hand(AtomicU64);

impl Hand {
    fn set(&self, ms: u64) {
        self.0.store(ms, Ordering::Relaxed);
    }
}

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

const ALICE: UserId = UserId::from_u128(1);
const BOB: UserId = UserId::from_u128(2);
const ROOM: RoomId = RoomId::from_u128(3);
const OTHER_ROOM: RoomId = RoomId::from_u128(4);

fn limits(change: impl FnOnce(&mut config::Limits)) -> (Limits, Arc<Hand>) {
    let (clock, mut config) = (Arc::new(Hand::default()), config::Config::default().limits);
    change(&mut config);
    (Limits::new(&config, clock.clone(), Metrics::new()), clock)
}

fn refused(result: Result<(), Reject>) -> u64 {
    let reject = result.expect_err("it was let pass");
    assert!(reject.is(RejectCode::RateLimited) && reject.retry_after_ms > 0, "{reject:?}");
    reject.retry_after_ms.into()
}

impl Limits {
    fn count(&self, limit: Limit) -> u64 {
        self.metrics.limited_total.with_label_values(&[limit.name()]).get()
    }
}

#[test]
fn a_burst_then_the_rate_and_the_wait_is_told() {
    let (limits, clock) = limits(|config| (config.sends_per_second, config.sends_burst) = (10, 3));
    for _ in 0..3 {
        assert!(limits.check_send(ALICE).is_ok());
    }
    let wait = refused(limits.check_send(ALICE));
    assert_eq!(wait, 100);
    assert!(limits.check_send(BOB).is_ok(), "keys are apart");
    clock.set(wait - 1);
    assert!(limits.check_send(ALICE).is_err());
    clock.set(wait);
    assert!(limits.check_send(ALICE).is_ok(), "the wait that was told is enough");
    clock.set(10_000);
    limits.evict();
    assert_eq!(limits.sends.len(), 0);
    limits.replace(&config::Limits { sends_burst: 1, ..config::Config::default().limits });
    assert!(limits.check_send(ALICE).is_ok() && limits.check_send(ALICE).is_err(), "another bound holds at once");
    assert_eq!(limits.count(Limit::SendsPerUser), 3);
}

#[test]
fn commands_are_weighed_for_each_connection_and_for_its_user() {
    let (limits, clock) = limits(|config| (config.commands_per_second, config.commands_burst) = (20, 100));
    let (one, other) = (Meter::default(), Meter::default());
    let asked = Command::Sessions;
    let weight = cost(&asked);
    let ask = |meter: &Meter, user| limits.check_command(meter, user, &asked);
    for _ in 0..50 / weight {
        assert!(ask(&one, Some(ALICE)).is_ok());
    }
    let wait = refused(ask(&one, Some(ALICE)));
    assert!(limits.check_command(&one, Some(ALICE), &Command::Ping).is_ok(), "what costs less fits in yet");
    assert!(ask(&other, Some(ALICE)).is_ok(), "her other connection has its own half");
    assert_eq!(limits.count(Limit::CommandsPerConnection), 1);
    // All of them together reach the bound of the user; another user is not held up.
    let mut meters: Vec<Meter> = std::iter::repeat_with(Meter::default).take(20).collect();
    let passed = meters.iter().filter(|meter| ask(meter, Some(ALICE)).is_ok()).count() as u32;
    assert!((passed + 1 + 50 / weight) * weight < 100, "{passed}");
    assert!(limits.count(Limit::CommandsPerUser) > 0);
    assert!(ask(&meters.remove(0), Some(BOB)).is_ok());
    // Nobody yet: the connection alone.
    let stranger = Meter::default();
    let pings = (0..100).filter(|_| limits.check_command(&stranger, None, &Command::Ping).is_ok()).count();
    assert_eq!(pings, 50);
    clock.set(wait + 1_000);
    assert!(ask(&one, Some(ALICE)).is_ok());
    clock.set(60_000);
    limits.evict();
    assert_eq!(limits.commands.len(), 0);
}

#[test]
fn a_user_has_so_much_for_each_room() {
    let (limits, clock) = limits(|config| {
        (config.sends_per_second, config.sends_burst, config.sends_per_room_per_second) = (1_000, 4, 2);
    });
    for tick in 0..4 {
        clock.set(tick);
        assert!(limits.check_post(ALICE, ROOM, 1).is_ok());
    }
    clock.set(4);
    let wait = refused(limits.check_post(ALICE, ROOM, 1));
    assert!(limits.check_post(ALICE, OTHER_ROOM, 1).is_ok() && limits.check_post(BOB, ROOM, 1).is_ok());
    clock.set(4 + wait);
    assert!(limits.check_post(ALICE, ROOM, 1).is_ok(), "the wait that was told is enough");
    assert_eq!((limits.count(Limit::SendsPerRoom), limits.count(Limit::SendsPerUser)), (1, 0));
    clock.set(60_000);
    limits.evict();
    assert_eq!((limits.room_sends.len(), limits.deliveries.len()), (0, 0));
}

#[test]
fn a_user_has_so_much_held() {
    let (limits, clock) = limits(|_| {});
    assert_eq!((0..60).filter(|_| limits.check_hold(ALICE).is_ok()).count(), 10);
    assert_eq!(refused(limits.check_hold(ALICE)), 60_000);
    assert!(limits.check_hold(BOB).is_ok() && limits.check_post(ALICE, ROOM, 1).is_ok());
    clock.set(60_000);
    assert!(limits.check_hold(ALICE).is_ok() && limits.check_hold(ALICE).is_err());
    assert_eq!(limits.count(Limit::HoldsPerUser), 52);
    clock.set(3_600_000);
    limits.evict();
    assert_eq!(limits.holds.len(), 0);
}

#[test]
fn a_room_costs_by_its_followers() {
    let (limits, clock) = limits(|config| {
        (config.sends_per_second, config.sends_burst, config.sends_per_room_per_second) = (1_000, 1_000, 1_000);
        config.room_deliveries_per_second = 1_000;
    });
    let posts =
        |user, room, followers| (0..100).take_while(|_| limits.check_post(user, room, followers).is_ok()).count();
    assert_eq!(posts(ALICE, ROOM, 300), 3);
    assert_eq!(posts(BOB, ROOM, 300), 0, "the room's bound is everybody's");
    assert_eq!(posts(BOB, OTHER_ROOM, 1), 100, "and no other room's");
    let wait = refused(limits.check_post(ALICE, ROOM, 300));
    clock.set(wait);
    assert!(limits.check_post(ALICE, ROOM, 300).is_ok());
    // A room that is larger than its bound is slow, and not silent.
    clock.set(10_000);
    assert_eq!(posts(ALICE, ROOM, 50_000), 1);
    assert_eq!(refused(limits.check_post(ALICE, ROOM, 50_000)), 1_000);
}

#[test]
fn who_is_too_fast_takes_nothing_from_the_room() {
    let (limits, _clock) = limits(|config| {
        (config.sends_burst, config.room_deliveries_per_second) = (2, 300);
    });
    for _ in 0..100 {
        let _ = limits.check_post(ALICE, ROOM, 100);
    }
    assert!(limits.check_post(BOB, ROOM, 100).is_ok());
}

#[test]
fn bad_tokens_are_counted_by_network() {
    let (limits, clock) = limits(|config| config.strangers_per_minute = 2);
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    assert!(limits.note_bad_token(ip("10.1.2.3")).is_ok() && limits.note_bad_token(ip("10.1.2.4")).is_ok());
    assert_eq!(refused(limits.note_bad_token(ip("10.1.2.5"))), 30_000);
    assert!(limits.note_bad_token(ip("10.1.3.3")).is_ok());
    clock.set(120_000);
    limits.evict();
    assert_eq!(limits.bad_tokens.len(), 0);
}

#[test]
fn a_right_password_gives_back_its_own_try_alone() {
    let (limits, clock) = limits(|config| config.login_tries = 5);
    let from: IpAddr = "10.1.2.3".parse().unwrap();
    let check = || limits.check_login(from, "Alice", Lane::Known);
    for _ in 0..4 {
        assert!(check().is_ok());
    }
    for _ in 0..9 {
        assert!(check().is_ok());
        limits.give_back_login(from, "ALICE", Duration::ZERO);
    }
    assert!(check().is_ok());
    assert_eq!(refused(check()), 180_000, "the wrong ones stay");
    // What came back by itself meanwhile is not given back once more: that would be another's.
    clock.set(180_000);
    assert!(check().is_ok());
    clock.set(360_000);
    limits.give_back_login(from, "alice", Duration::from_secs(180));
    assert!(check().is_ok());
    assert_eq!(refused(check()), 180_000);
}

#[test]
fn right_passwords_count_from_everywhere_together() {
    let (limits, _clock) = limits(|config| config.login_tries = 1);
    let from: IpAddr = "10.1.2.3".parse().unwrap();
    for _ in 0..ACCOUNT_TRIES_FACTOR {
        assert!(limits.check_login(from, "alice", Lane::Known).is_ok());
        limits.give_back_login(from, "alice", Duration::ZERO);
    }
    assert_eq!(refused(limits.check_login(from, "alice", Lane::Known)), 45_000);
    assert_eq!(limits.count(Limit::LoginsEverywhere), 1);
}

/// A refusal that the core gave with a wait of so many milliseconds; what is told, or that it is enough.
fn refuse(limits: &Limits, meter: &Meter, wait_ms: u64) -> Result<u64, CloseCode> {
    let mut reject = Reject::retry(RejectCode::RateLimited, wait_ms);
    limits.note_refusal(meter, &mut reject).map(|()| reject.retry_after_ms.into())
}

#[test]
fn who_does_not_heed_is_sent_away() {
    let (limits, _clock) = limits(|_| {});
    let (meter, other) = (Meter::default(), Meter::default());
    let told = (0..2_000).take_while(|_| refuse(&limits, &meter, 1).is_ok()).count();
    assert_eq!(told, 1_000);
    assert_eq!(refuse(&limits, &meter, 1), Err(CloseCode::TooManyRequests));
    assert_eq!(refuse(&limits, &other, 70), Ok(70), "connections are apart, and a longer wait is told as it is");
}

/// All that may be in flight, each asked again as soon as it may: for an hour, and every single one refused.
#[test]
fn who_heeds_is_never_near_that() {
    let (limits, clock) = limits(|_| {});
    let (meter, mut due) = (Meter::default(), [0; IN_FLIGHT_MAX]);
    let mut longest = 0;
    loop {
        let next = due.iter_mut().min().unwrap();
        if *next > 3_600_000 {
            break;
        }
        clock.set(*next);
        let wait = refuse(&limits, &meter, 1).expect("it heeded");
        longest = longest.max(wait);
        *next += wait;
    }
    assert!(longest <= 2_000, "a fifth of what there is: {longest} ms");
}
