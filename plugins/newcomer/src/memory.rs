//! Counters: a letter for what is counted, and of whom.

use confab_plugin::{Id, kv};

/// Adds, and gives the sum in the window that is open.
pub(crate) fn count(key: &Key, by: i64, within_seconds: u32) -> i64 {
    kv::add(&key.0, by, u64::from(within_seconds) * 1_000)
}

pub(crate) struct Key(String);

impl Key {
    pub(crate) fn of(what: char) -> Self {
        let mut key = String::with_capacity(81);
        key.push(what);
        Self(key)
    }

    /// Of a person, and so forgotten with their account.
    pub(crate) fn about(user: Id, what: &str) -> Self {
        Self(kv::about(user, what))
    }

    pub(crate) fn id(self, (high, low): Id) -> Self {
        self.number(high).number(low)
    }

    pub(crate) fn number(mut self, number: u64) -> Self {
        let digits = (0..16).rev().filter_map(|at| char::from_digit((number >> (at * 4)) as u32 & 0xf, 16));
        self.0.extend(digits);
        self
    }
}
