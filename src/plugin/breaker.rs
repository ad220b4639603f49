//! When a plugin fails for many, it is taken out of service for a while, and its declared rule decides.
//! Pure: time is an argument.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use confab_protocol::model::UserId;

/// Within this an author counts once, however often they repeat what it fails on.
const WINDOW: Duration = Duration::from_secs(60);
/// Distinct authors whose messages failed within it: one author alone cannot open it.
const AUTHORS_MAX: usize = 5;
/// Of the last so many calls ...
const CALLS: u64 = 500;
/// ... and of so long ...
const SHARE_TIME: Duration = Duration::from_secs(600);
/// ... so many failures (1 %) ...
const FAILURES_MAX: usize = 5;
/// ... by so many authors open it too: where few write, five do not fail within a minute. Two are somebody with a second
/// account.
const SHARE_AUTHORS_MIN: usize = 3;
/// Fewer calls are no share.
const CALLS_MIN: u64 = CALLS / 5;
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// One that opens again within so long after it was closed begins with twice the pause of before: a plugin that fails for half
/// of those who write would open and close every few seconds, with two records of the audit each time. One that stayed closed
/// for longer starts anew.
const SETTLED_AFTER: Duration = Duration::from_secs(60);
/// That doubles up to here and no further. The price of it is that five accounts can lengthen pauses: they open it whenever
/// they like, and a probe of somebody else that goes well does not shorten what comes then. By [`LONGEST_PAUSE`] they would
/// have a plugin out of service for five minutes by five messages, which is all that is said where its `on_error` is "closed".
const LONGEST_REOPENED: Duration = Duration::from_secs(40);
/// Longer than a call can take: a probe that told nothing by then never will, for its thread died of it.
const PROBE_MAX: Duration = Duration::from_secs(10);
/// So many are remembered whose probes failed.
const PROBERS_MAX: usize = 16;

/// Whether a call may be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Permission {
    Granted,
    /// Granted as the one call that tells whether it is well again.
    Probe,
    Refused,
    /// Refused to whom a probe failed for: it waits for somebody else's.
    Barred,
}

/// What is to be told: it was taken out of service, or it is back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Turn {
    Opened,
    Closed,
}

/// What came of a call that was noted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Noted {
    /// As its metric: 0 closed, 1 half open, 2 open.
    pub(super) state: i64,
    /// For the one call that turned it. A probe that fails turns nothing.
    pub(super) turn: Option<Turn>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Closed,
    Open {
        /// Whose probe failed waits for one more pause.
        until: Duration,
        pause: Duration,
    },
    HalfOpen {
        /// When the probe is not waited for any more.
        until: Duration,
        pause: Duration,
    },
}

/// A call that failed, and counts.
#[derive(Debug)]
struct Failed {
    time: Duration,
    /// Which of the calls.
    call: u64,
    author: UserId,
}

#[derive(Debug, Default)]
struct Inner {
    state: State,
    /// Since it was closed.
    calls: u64,
    /// The oldest first. They are few: of fewer than [`AUTHORS_MAX`] authors in each window, or it would be open.
    failures: VecDeque<Failed>,
    /// Whose probes failed since it opened, the last one at the end.
    probers: VecDeque<UserId>,
    /// Whose probe failed, and nobody else's, since the pause was this long.
    alone: Option<UserId>,
    /// When it was closed last, and after which pause.
    closed: Option<(Duration, Duration)>,
    /// Whether nobody is told of it any more.
    is_over: bool,
}

#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<Inner>);

impl Breaker {
    /// Whether something that this person said or does may be shown to it.
    pub(super) fn ask(&self, now: Duration, who: UserId) -> Permission {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let pause = match inner.state {
            State::Closed => return Permission::Granted,
            State::Open { until, .. } | State::HalfOpen { until, .. } if now < until => return Permission::Refused,
            // Whose probe failed tells nothing new; but where nobody else comes, they are let through in the end.
            State::Open { until, pause } if now < until + pause && inner.probers.contains(&who) => {
                return Permission::Barred;
            }
            State::Open { pause, .. } | State::HalfOpen { pause, .. } => pause,
        };
        inner.state = State::HalfOpen { until: now + PROBE_MAX, pause };
        Permission::Probe
    }

    /// Notes how a permitted call went.
    pub(super) fn record(&self, permission: Permission, now: Duration, failed_for: Option<UserId>) -> Noted {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let was_closed = matches!(inner.state, State::Closed);
        match (permission, failed_for) {
            (Permission::Probe, None) => inner.close(now),
            (Permission::Probe, Some(author)) => inner.reopen(now, author),
            // It began before this opened, which is known by now.
            _ if !was_closed => {}
            (_, None) => inner.calls += 1,
            (_, Some(author)) => inner.count_failure(now, author),
        }
        let state = match inner.state {
            State::Closed => 0,
            State::HalfOpen { .. } => 1,
            State::Open { .. } => 2,
        };
        let turn = match inner.state {
            _ if inner.is_over => None,
            State::Open { .. } if was_closed => Some(Turn::Opened),
            State::Closed if !was_closed => Some(Turn::Closed),
            _ => None,
        };
        Noted { state, turn }
    }

    /// Its plugin is taken out, or runs by something else from now on: what late calls do turns nothing. Returns what that
    /// turns itself.
    pub(super) fn end(&self) -> Option<Turn> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let was_over = std::mem::replace(&mut inner.is_over, true);
        (!was_over && !matches!(inner.state, State::Closed)).then_some(Turn::Closed)
    }
}

impl Inner {
    /// A probe went well.
    fn close(&mut self, now: Duration) {
        let closed = match self.state {
            State::Closed => self.closed,
            State::Open { pause, .. } | State::HalfOpen { pause, .. } => Some((now, pause)),
        };
        *self = Self { closed, is_over: self.is_over, ..Self::default() };
    }

    /// A probe failed: the pause is longer only once it failed for two. Until then it may be what that one says, so that
    /// somebody else tells at once.
    fn reopen(&mut self, now: Duration, author: UserId) {
        let State::HalfOpen { pause, .. } = self.state else { return };
        self.probers.retain(|it| *it != author);
        self.probers.push_back(author);
        if self.probers.len() > PROBERS_MAX {
            self.probers.pop_front();
        }
        if self.alone.is_some_and(|other| other != author) {
            let pause = (pause * 2).min(LONGEST_PAUSE);
            self.alone = None;
            self.state = State::Open { until: now + pause, pause };
        } else {
            self.alone = Some(author);
            self.state = State::Open { until: now, pause };
        }
    }

    /// How long it pauses if it opens now.
    fn first_pause(&self, now: Duration) -> Duration {
        let flaps = |(at, _): &(Duration, Duration)| now.saturating_sub(*at) <= SETTLED_AFTER;
        let before = self.closed.filter(flaps);
        before.map_or(FIRST_PAUSE, |(_, pause)| (pause * 2).min(LONGEST_REOPENED))
    }

    fn count_failure(&mut self, now: Duration, author: UserId) {
        self.calls += 1;
        let before = self.calls.saturating_sub(CALLS);
        let is_recent = |it: &Failed| now.saturating_sub(it.time) <= WINDOW;
        let is_of_share = |it: &Failed| it.call > before && now.saturating_sub(it.time) <= SHARE_TIME;
        self.failures.retain(|it| is_recent(it) || is_of_share(it));
        // One author who repeats a trapping message fills nothing.
        if !self.failures.iter().any(|it| it.author == author && is_recent(it)) {
            self.failures.push_back(Failed { time: now, call: self.calls, author });
        }
        let (_, recent) = count(self.failures.iter().filter(|it| is_recent(it)));
        let (failures, authors) = count(self.failures.iter().filter(|it| is_of_share(it)));
        let share = self.calls >= CALLS_MIN && failures >= FAILURES_MAX && authors >= SHARE_AUTHORS_MIN;
        if recent >= AUTHORS_MAX || share {
            let pause = self.first_pause(now);
            self.state = State::Open { until: now + pause, pause };
            self.failures.clear();
        }
    }
}

/// How many these are, and of how many authors.
fn count<'a>(failures: impl Iterator<Item = &'a Failed>) -> (usize, usize) {
    let authors: Vec<UserId> = failures.map(|it| it.author).collect();
    (authors.len(), authors.iter().collect::<HashSet<_>>().len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const ALICE: u128 = 1;
    const BOB: u128 = 9;

    fn ask(breaker: &Breaker, now: Duration, who: u128) -> Permission {
        breaker.ask(now, UserId::from_u128(who))
    }

    fn note_failure(breaker: &Breaker, now: Duration, author: u128) -> Noted {
        breaker.record(ask(breaker, now, author), now, Some(UserId::from_u128(author)))
    }

    fn fail(breaker: &Breaker, now: Duration, author: u128) -> i64 {
        note_failure(breaker, now, author).state
    }

    /// Since the first second, by five people, of whom Alice is one.
    fn opened() -> Breaker {
        let breaker = Breaker::default();
        for author in 0..5 {
            fail(&breaker, SECOND, author);
        }
        breaker
    }

    #[test]
    fn one_author_alone_never_opens_it_and_five_do() {
        let breaker = Breaker::default();
        for n in 0..1_000 {
            assert_eq!(fail(&breaker, SECOND * (n / 100), 7), 0);
        }
        let breaker = Breaker::default();
        for author in 0..4 {
            assert_eq!(fail(&breaker, SECOND, author), 0);
        }
        assert_eq!(fail(&breaker, SECOND, 4), 2);
        assert_eq!(ask(&breaker, SECOND * 2, BOB), Permission::Refused);
    }

    #[test]
    fn old_failures_do_not_count() {
        let breaker = Breaker::default();
        for author in 0..20 {
            assert_eq!(fail(&breaker, SECOND * 61 * u32::try_from(author).unwrap(), author), 0);
        }
    }

    #[test]
    fn what_one_repeats_is_not_opened_by_a_second() {
        let breaker = Breaker::default();
        for _ in 0..100 {
            breaker.record(Permission::Granted, SECOND, None);
        }
        for author in [ALICE, ALICE, ALICE, ALICE, BOB] {
            assert_eq!(fail(&breaker, SECOND, author), 0);
        }
        // Nor do the two of them with patience.
        for n in 0..100 {
            let author = if n % 2 == 0 { ALICE } else { BOB };
            assert_eq!(fail(&breaker, SECOND * 31 * n, author), 0);
        }
    }

    #[test]
    fn what_counts_is_bounded() {
        let breaker = Breaker::default();
        for n in 0..6_000_u32 {
            assert_eq!(fail(&breaker, SECOND / 5 * n, u128::from(n % 2)), 0);
        }
        let remembered = breaker.0.lock().unwrap().failures.len();
        assert!((1..=22).contains(&remembered), "{remembered}: once a minute each, for ten minutes");
    }

    /// Whether it opens where one of three people fails every so often, after so many calls that go well.
    fn opens_for_three(every: Duration, calls: u32) -> bool {
        let breaker = Breaker::default();
        (0..20_u32).any(|n| {
            for _ in 0..calls {
                breaker.record(Permission::Granted, every * n, None);
            }
            fail(&breaker, every * n, u128::from(n % 3)) != 0
        })
    }

    #[test]
    fn a_share_of_the_calls_opens_it_where_few_write() {
        assert!(opens_for_three(SECOND * 61, 20));
        assert!(!opens_for_three(SECOND * 61, 3), "too few calls");
        assert!(!opens_for_three(SECOND * 61, 130), "less than one of a hundred");
        assert!(!opens_for_three(SECOND * 200, 20), "too long ago");
    }

    #[test]
    fn it_probes_with_growing_pauses_and_closes_when_well() {
        let breaker = opened();
        assert_eq!(ask(&breaker, SECOND * 5, BOB), Permission::Refused);
        assert_eq!(ask(&breaker, SECOND * 6, ALICE), Permission::Probe);
        assert_eq!(ask(&breaker, SECOND * 6, BOB), Permission::Refused, "one probe at a time");
        assert_eq!(breaker.record(Permission::Probe, SECOND * 6, Some(UserId::from_u128(ALICE))).state, 2);
        // It fails for somebody else, too.
        assert_eq!(ask(&breaker, SECOND * 6, BOB), Permission::Probe);
        assert_eq!(breaker.record(Permission::Probe, SECOND * 6, Some(UserId::from_u128(BOB))).state, 2);
        assert_eq!(ask(&breaker, SECOND * 15, 3), Permission::Refused);
        for who in [ALICE, BOB] {
            assert_eq!(ask(&breaker, SECOND * 16, who), Permission::Barred, "others tell more");
        }
        assert_eq!(ask(&breaker, SECOND * 16, 3), Permission::Probe);
        assert_eq!(breaker.record(Permission::Probe, SECOND * 16, None).state, 0);
        assert_eq!(ask(&breaker, SECOND * 16, ALICE), Permission::Granted);
    }

    #[test]
    fn a_pause_does_not_grow_by_one_author() {
        let breaker = opened();
        for n in 1..50 {
            let now = SECOND + FIRST_PAUSE * n;
            let refused = if n == 1 { Permission::Refused } else { Permission::Barred };
            assert_eq!(ask(&breaker, now - SECOND / 5, ALICE), refused);
            assert_eq!(ask(&breaker, now, ALICE), Permission::Probe, "nobody else comes");
            assert_eq!(breaker.record(Permission::Probe, now, Some(UserId::from_u128(ALICE))).state, 2);
        }
    }

    #[test]
    fn a_probe_that_tells_nothing_is_not_waited_for() {
        let breaker = opened();
        assert_eq!(ask(&breaker, SECOND * 6, ALICE), Permission::Probe);
        let late = SECOND * 6 + PROBE_MAX;
        assert_eq!(ask(&breaker, late - SECOND, BOB), Permission::Refused);
        assert_eq!(ask(&breaker, late, BOB), Permission::Probe);
        assert_eq!(ask(&breaker, late, 3), Permission::Refused, "one at a time");
        // Should the first tell something after all, the second still counts.
        assert_eq!(breaker.record(Permission::Probe, late, Some(UserId::from_u128(ALICE))).state, 2);
        let closed = Noted { state: 0, turn: Some(Turn::Closed) };
        assert_eq!(breaker.record(Permission::Probe, late, None), closed);
    }

    #[test]
    fn who_goes_on_keeps_nobody_else_from_it() {
        for (authors, seconds) in [(&[ALICE][..], 6), (&[ALICE, 2][..], 16)] {
            let (breaker, mut refused) = (opened(), SECOND);
            for n in 1..=400_u32 {
                let now = SECOND + SECOND / 5 * n;
                for author in authors {
                    fail(&breaker, now, *author);
                }
                // Bob says something each second.
                if n % 5 != 0 {
                    continue;
                }
                let permission = ask(&breaker, now, BOB);
                if permission == Permission::Refused {
                    refused = now;
                } else {
                    breaker.record(permission, now, None);
                }
            }
            assert!(refused < SECOND * seconds, "{refused:?}");
        }
    }

    /// Half of those who write are told well of, and it opens again as soon as it is closed.
    #[test]
    fn what_opens_again_soon_pauses_longer_and_not_without_end() {
        let (breaker, mut now, mut pauses) = (opened(), SECOND, Vec::new());
        for _ in 0..6 {
            let opened_at = now;
            while ask(&breaker, now, BOB) != Permission::Probe {
                now += SECOND;
            }
            pauses.push((now - opened_at).as_secs());
            assert_eq!(breaker.record(Permission::Probe, now, None).turn, Some(Turn::Closed));
            now += SETTLED_AFTER;
            let turns: Vec<_> = (0..5).map(|author| note_failure(&breaker, now, author).turn).collect();
            assert_eq!(turns[4], Some(Turn::Opened));
        }
        assert_eq!(pauses, [5, 10, 20, 40, 40, 40]);
        // One that was closed for longer than that starts anew.
        now += LONGEST_REOPENED;
        assert_eq!(ask(&breaker, now, BOB), Permission::Probe);
        breaker.record(Permission::Probe, now, None);
        now += SETTLED_AFTER + SECOND;
        for author in 0..5 {
            fail(&breaker, now, author);
        }
        assert_eq!(ask(&breaker, now + FIRST_PAUSE - SECOND, BOB), Permission::Refused);
        assert_eq!(ask(&breaker, now + FIRST_PAUSE, BOB), Permission::Probe);
    }

    #[test]
    fn who_is_remembered_is_bounded() {
        let (breaker, mut now) = (opened(), SECOND);
        for author in 100..200 {
            now += LONGEST_PAUSE;
            assert_eq!(ask(&breaker, now, author), Permission::Probe);
            assert_eq!(breaker.record(Permission::Probe, now, Some(UserId::from_u128(author))).state, 2);
        }
        assert_eq!(breaker.0.lock().unwrap().probers.len(), PROBERS_MAX);
    }

    #[test]
    fn each_turn_is_told_once() {
        let breaker = Breaker::default();
        let turns: Vec<_> = (0..5).map(|author| note_failure(&breaker, SECOND, author).turn).collect();
        assert_eq!(turns, [None, None, None, None, Some(Turn::Opened)]);
        // Calls that began before it opened fail as well.
        for author in 5..20 {
            let late = breaker.record(Permission::Granted, SECOND, Some(UserId::from_u128(author)));
            assert_eq!(late, Noted { state: 2, turn: None });
        }
        assert_eq!(ask(&breaker, SECOND * 60, ALICE), Permission::Probe);
        let failed = breaker.record(Permission::Probe, SECOND * 60, Some(UserId::from_u128(ALICE)));
        assert_eq!(failed, Noted { state: 2, turn: None });
        assert_eq!(ask(&breaker, SECOND * 600, BOB), Permission::Probe);
        assert_eq!(breaker.record(Permission::Probe, SECOND * 600, None), Noted { state: 0, turn: Some(Turn::Closed) });
        assert_eq!(breaker.record(Permission::Granted, SECOND * 600, None), Noted { state: 0, turn: None });
    }

    #[test]
    fn what_is_over_turns_once_more_at_most() {
        let breaker = opened();
        assert_eq!([breaker.end(), breaker.end()], [Some(Turn::Closed), None]);
        assert_eq!(ask(&breaker, SECOND * 60, BOB), Permission::Probe);
        assert_eq!(breaker.record(Permission::Probe, SECOND * 60, None), Noted { state: 0, turn: None });
        let turns: Vec<_> = (0..5).map(|author| note_failure(&breaker, SECOND * 60, author).turn).collect();
        assert_eq!(turns, [None; 5], "it is still over");
        let breaker = opened();
        assert_eq!(ask(&breaker, SECOND * 60, BOB), Permission::Probe);
        assert_eq!(breaker.end(), Some(Turn::Closed), "half open is not closed");
        assert_eq!(Breaker::default().end(), None);
    }
}
