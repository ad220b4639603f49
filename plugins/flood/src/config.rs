//! What the operator may set.

use confab_plugin::{Verdict, bounce, flag, hold, reject};
use serde::Deserialize;

/// How sure a rule that counts is, percent.
const SCORE: u8 = 80;
/// Entries that one author's record has room for must be enough for what is counted in it.
pub(crate) const COUNT_MAX: u32 = 100;
const SECONDS_MAX: u32 = 3_600;

/// What becomes of a message that a rule found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    Off,
    Flag,
    Hold,
    Bounce,
    Reject,
}

impl Action {
    pub(crate) fn is_on(self) -> bool {
        self != Self::Off
    }

    pub(crate) fn verdict(self, rule: &str, label: &str, reason: &str) -> Verdict {
        match self {
            Self::Off => Verdict::Allow,
            Self::Flag => flag(rule, label, SCORE),
            Self::Hold => hold(rule),
            Self::Bounce => bounce(rule, reason),
            Self::Reject => reject(rule, reason),
        }
    }
}

/// See the head of the crate.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) messages: u32,
    pub(crate) within_seconds: u32,
    pub(crate) reactions: u32,
    pub(crate) repeats: u32,
    pub(crate) repeats_within_seconds: u32,
    pub(crate) short_length: u32,
    pub(crate) short_repeats: u32,
    pub(crate) repeat_action: Action,
    pub(crate) copies: u32,
    pub(crate) copies_least: u32,
    pub(crate) copies_within_seconds: u32,
    pub(crate) copies_action: Action,
    pub(crate) lines: u32,
    pub(crate) run: u32,
    pub(crate) emoji: u32,
    pub(crate) caps_least: u32,
    pub(crate) caps_percent: u32,
    pub(crate) caps_action: Action,
    pub(crate) exempt_moderators: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Config {
    pub(crate) const DEFAULT: Self = Self {
        messages: 12,
        within_seconds: 10,
        reactions: 30,
        repeats: 3,
        repeats_within_seconds: 60,
        short_length: 12,
        short_repeats: 10,
        repeat_action: Action::Hold,
        copies: 4,
        copies_least: 40,
        copies_within_seconds: 60,
        copies_action: Action::Hold,
        lines: 40,
        run: 80,
        emoji: 40,
        caps_least: 24,
        caps_percent: 85,
        caps_action: Action::Flag,
        exempt_moderators: true,
    };

    pub(crate) fn parse(json: &str) -> Result<Self, String> {
        let config: Self = serde_json::from_str(json).map_err(|error| format!("configuration of flood: {error}"))?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        for (name, value, least, most) in [
            ("messages", self.messages, 0, COUNT_MAX),
            ("repeats", self.repeats, 0, COUNT_MAX),
            ("short_repeats", self.short_repeats, 0, COUNT_MAX),
            ("within_seconds", self.within_seconds, 1, SECONDS_MAX),
            ("repeats_within_seconds", self.repeats_within_seconds, 1, SECONDS_MAX),
            ("copies_within_seconds", self.copies_within_seconds, 1, SECONDS_MAX),
            ("caps_percent", self.caps_percent, 50, 100),
        ] {
            if !(least..=most).contains(&value) {
                return Err(format!("configuration of flood: {name} = {value}: give {least} to {most}"));
            }
        }
        Ok(())
    }

    /// How long something of an author must be remembered, milliseconds.
    pub(crate) fn keep_ms(&self) -> u64 {
        let longest = self.within_seconds.max(self.repeats_within_seconds).max(self.copies_within_seconds);
        u64::from(longest) * 1_000
    }
}
