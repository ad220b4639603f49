//! Whose things a plugin failed on lately, each time that it was shown them: what they say next is tried once, and not more
//! often than every so often, so that one author does not keep all the others waiting. Pure: time is an argument.

use std::collections::VecDeque;
use std::time::Duration;

use confab_protocol::model::UserId;

/// So many things of one author that were passed over ...
const PASSED_MAX: usize = 2;
/// ... within so long are enough.
const WITHIN: Duration = Duration::from_secs(60);
/// Of such an author nothing is tried for so long after something that failed. A message that loops takes a quarter of that:
/// somebody who goes on with ten a second would take one of the two calls at a time that all plugins have, and the plugin
/// would never catch up.
const TRY_EVERY: Duration = Duration::from_secs(1);
/// So many are remembered, of all authors.
const REMEMBERED_MAX: usize = 1_000;

/// What was tried and passed over, the oldest first.
#[derive(Default)]
pub(super) struct Passed(VecDeque<(Duration, UserId)>);

impl Passed {
    /// Whether the next thing of this author is tried once.
    pub(super) fn is_enough(&self, author: UserId, now: Duration) -> bool {
        let of_author = self.0.iter().filter(|(time, it)| *it == author && is_recent(*time, now));
        of_author.count() >= PASSED_MAX
    }

    /// Whether it is too soon to try the next thing of this author at all.
    pub(super) fn is_too_soon(&self, author: UserId, now: Duration) -> bool {
        let newest = self.0.iter().rev().find(|(_, it)| *it == author);
        newest.is_some_and(|(time, _)| now.saturating_sub(*time) < TRY_EVERY) && self.is_enough(author, now)
    }

    /// One more was tried and passed over.
    pub(super) fn note(&mut self, author: UserId, now: Duration) {
        self.0.retain(|(time, _)| is_recent(*time, now));
        // Of one author no more than is asked for: they crowd out nobody.
        if self.is_enough(author, now)
            && let Some(oldest) = self.0.iter().position(|(_, it)| *it == author)
        {
            self.0.remove(oldest);
        }
        self.0.push_back((now, author));
        if self.0.len() > REMEMBERED_MAX {
            self.0.pop_front();
        }
    }
}

fn is_recent(time: Duration, now: Duration) -> bool {
    now.saturating_sub(time) <= WITHIN
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn user(id: u128) -> UserId {
        UserId::from_u128(id)
    }

    #[test]
    fn two_within_a_minute_are_enough_for_as_long_as_they_go_on() {
        let mut passed = Passed::default();
        passed.note(user(1), SECOND);
        passed.note(user(2), SECOND);
        assert!(!passed.is_enough(user(1), SECOND), "one of each");
        for n in 2..200 {
            passed.note(user(1), SECOND * n);
            assert!(passed.is_enough(user(1), SECOND * n) && !passed.is_enough(user(2), SECOND * n));
        }
        assert!(passed.is_enough(user(1), SECOND * 258));
        assert!(!passed.is_enough(user(1), SECOND * 259), "one of them is older than a minute");
    }

    #[test]
    fn whom_it_is_enough_of_is_tried_once_a_second() {
        let mut passed = Passed::default();
        passed.note(user(1), SECOND);
        assert!(!passed.is_too_soon(user(1), SECOND), "one is not enough");
        passed.note(user(2), SECOND);
        let mut tries = 0;
        for n in 10..60 {
            let now = SECOND / 10 * n;
            assert!(!passed.is_too_soon(user(2), now));
            if !passed.is_too_soon(user(1), now) {
                passed.note(user(1), now);
                tries += 1;
            }
        }
        assert_eq!(tries, 5, "of fifty in five seconds");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut passed = Passed::default();
        for _ in 0..1_000 {
            passed.note(user(0), SECOND);
        }
        assert_eq!(passed.0.len(), PASSED_MAX);
        for author in 1..2_000 {
            passed.note(user(author), SECOND);
        }
        assert_eq!(passed.0.len(), REMEMBERED_MAX);
        passed.note(user(1), SECOND * 62);
        assert_eq!(passed.0.len(), 1);
    }
}
