//! When a plugin fails for many, it is taken out of service for a while, and its declared rule decides.
//! Pure: time is an argument.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use confab_protocol::model::UserId;

/// Failures older than this do not count.
const WINDOW: Duration = Duration::from_secs(60);
/// Distinct authors whose messages failed: one author alone cannot open it.
const AUTHORS_MAX: usize = 5;
/// Of the last so many calls ...
const CALLS: u32 = 500;
/// ... so many failures (1 %) by at least two authors open it too.
const FAILURES_MAX: usize = 5;
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Whether a call may be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Permission {
    Granted,
    /// Granted as the one call that tells whether it is well again.
    Probe,
    Refused,
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
        until: Duration,
        pause: Duration,
    },
    HalfOpen {
        pause: Duration,
    },
}

#[derive(Debug, Default)]
struct Inner {
    state: State,
    failures: VecDeque<(Duration, UserId)>,
    /// Of the share that is counted now: calls, and those of them that failed.
    calls: u32,
    failed: usize,
    /// Whether nobody is told of it any more.
    is_over: bool,
}

#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<Inner>);

impl Breaker {
    pub(super) fn ask(&self, now: Duration) -> Permission {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match inner.state {
            State::Closed => Permission::Granted,
            State::Open { until, pause } if now >= until => {
                inner.state = State::HalfOpen { pause };
                Permission::Probe
            }
            State::Open { .. } | State::HalfOpen { .. } => Permission::Refused,
        }
    }

    /// Notes how a permitted call went.
    pub(super) fn record(&self, permission: Permission, now: Duration, failed_for: Option<UserId>) -> Noted {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let was_closed = matches!(inner.state, State::Closed);
        match (permission, failed_for) {
            (Permission::Probe, None) => *inner = Inner { is_over: inner.is_over, ..Inner::default() },
            (Permission::Probe, Some(_)) => {
                let pause = match inner.state {
                    State::HalfOpen { pause } => (pause * 2).min(LONGEST_PAUSE),
                    _ => FIRST_PAUSE,
                };
                inner.state = State::Open { until: now + pause, pause };
            }
            (_, None) => inner.count_call(),
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
    /// Every so many calls the share starts anew; authors only age.
    fn count_call(&mut self) {
        self.calls += 1;
        if self.calls >= CALLS {
            (self.calls, self.failed) = (0, 0);
        }
    }

    fn count_failure(&mut self, now: Duration, author: UserId) {
        self.failures.retain(|(time, _)| now.saturating_sub(*time) <= WINDOW);
        // One author who repeats a trapping message fills nothing.
        if self.failures.iter().filter(|(_, other)| *other == author).count() < FAILURES_MAX {
            self.failures.push_back((now, author));
        }
        self.count_call();
        self.failed += 1;
        let mut authors: Vec<UserId> = self.failures.iter().map(|(_, author)| *author).collect();
        authors.sort_unstable();
        authors.dedup();
        let share = self.calls >= CALLS / 5 && self.failed >= FAILURES_MAX && authors.len() >= 2;
        if authors.len() >= AUTHORS_MAX || share {
            self.state = State::Open { until: now + FIRST_PAUSE, pause: FIRST_PAUSE };
            self.failures.clear();
            (self.calls, self.failed) = (0, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn note_failure(breaker: &Breaker, now: Duration, author: u128) -> Noted {
        breaker.record(breaker.ask(now), now, Some(UserId::from_u128(author)))
    }

    fn fail(breaker: &Breaker, now: Duration, author: u128) -> i64 {
        note_failure(breaker, now, author).state
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
        assert_eq!(breaker.ask(SECOND * 2), Permission::Refused);
    }

    #[test]
    fn old_failures_do_not_count() {
        let breaker = Breaker::default();
        for author in 0..20 {
            assert_eq!(fail(&breaker, SECOND * 61 * u32::try_from(author).unwrap(), author), 0);
        }
    }

    #[test]
    fn it_probes_with_growing_pauses_and_closes_when_well() {
        let breaker = Breaker::default();
        for author in 0..5 {
            fail(&breaker, SECOND, author);
        }
        assert_eq!(breaker.ask(SECOND * 6), Permission::Probe);
        assert_eq!(breaker.ask(SECOND * 6), Permission::Refused, "one probe at a time");
        assert_eq!(breaker.record(Permission::Probe, SECOND * 6, Some(UserId::from_u128(1))).state, 2);
        assert_eq!(breaker.ask(SECOND * 15), Permission::Refused);
        assert_eq!(breaker.ask(SECOND * 16), Permission::Probe);
        assert_eq!(breaker.record(Permission::Probe, SECOND * 16, None).state, 0);
        assert_eq!(breaker.ask(SECOND * 16), Permission::Granted);
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
        assert_eq!(breaker.ask(SECOND * 60), Permission::Probe);
        let failed = breaker.record(Permission::Probe, SECOND * 60, Some(UserId::from_u128(1)));
        assert_eq!(failed, Noted { state: 2, turn: None });
        assert_eq!(breaker.ask(SECOND * 600), Permission::Probe);
        assert_eq!(breaker.record(Permission::Probe, SECOND * 600, None), Noted { state: 0, turn: Some(Turn::Closed) });
        assert_eq!(breaker.record(Permission::Granted, SECOND * 600, None), Noted { state: 0, turn: None });
    }

    #[test]
    fn what_is_over_turns_once_more_at_most() {
        let open = || {
            let breaker = Breaker::default();
            for author in 0..5 {
                note_failure(&breaker, SECOND, author);
            }
            breaker
        };
        let breaker = open();
        assert_eq!([breaker.end(), breaker.end()], [Some(Turn::Closed), None]);
        assert_eq!(breaker.ask(SECOND * 60), Permission::Probe);
        assert_eq!(breaker.record(Permission::Probe, SECOND * 60, None), Noted { state: 0, turn: None });
        let turns: Vec<_> = (0..5).map(|author| note_failure(&breaker, SECOND * 60, author).turn).collect();
        assert_eq!(turns, [None; 5], "it is still over");
        let breaker = open();
        assert_eq!(breaker.ask(SECOND * 60), Permission::Probe);
        assert_eq!(breaker.end(), Some(Turn::Closed), "half open is not closed");
        assert_eq!(Breaker::default().end(), None);
    }
}
