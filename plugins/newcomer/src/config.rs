//! What the operator may set.

use confab_plugin::{ActVerdict, Finding, Flagging, Refusal, Verdict, bounce, flag, hold, reject};
use serde::Deserialize;

/// How sure these rules are, percent: they see who somebody is, not what they want.
const SCORE: u8 = 60;
const SECONDS_MAX: u32 = 86_400;

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

/// What becomes of a wave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ActAction {
    Off,
    Flag,
    Reject,
}

impl ActAction {
    pub(crate) fn is_on(self) -> bool {
        self != Self::Off
    }

    pub(crate) fn verdict(self, rule: &str, label: &str, reason: &str) -> ActVerdict {
        let finding = Finding::of(rule);
        match self {
            Self::Off => ActVerdict::Allow,
            Self::Flag => ActVerdict::Flag(Flagging { label: label.to_owned(), score: SCORE, finding }),
            Self::Reject => ActVerdict::Reject(Refusal { reason: reason.to_owned(), finding }),
        }
    }
}

/// See the head of the crate.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) joins: u32,
    pub(crate) within_seconds: u32,
    pub(crate) account_days: u32,
    pub(crate) joins_action: ActAction,
    pub(crate) alike: u32,
    pub(crate) alike_within_seconds: u32,
    pub(crate) alike_action: ActAction,
    pub(crate) count_invited: bool,
    pub(crate) young_seconds: u32,
    pub(crate) member_seconds: u32,
    pub(crate) first_messages: u32,
    pub(crate) links: bool,
    pub(crate) mentions: u32,
    pub(crate) long_text: u32,
    pub(crate) message_action: Action,
    pub(crate) same_first: u32,
    pub(crate) same_least: u32,
    pub(crate) same_within_seconds: u32,
    pub(crate) same_action: Action,
    pub(crate) name_links: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Config {
    pub(crate) const DEFAULT: Self = Self {
        joins: 20,
        within_seconds: 60,
        account_days: 7,
        joins_action: ActAction::Flag,
        alike: 5,
        alike_within_seconds: 600,
        alike_action: ActAction::Flag,
        count_invited: false,
        young_seconds: 3_600,
        member_seconds: 600,
        first_messages: 3,
        links: true,
        mentions: 2,
        long_text: 2_000,
        message_action: Action::Hold,
        same_first: 3,
        same_least: 24,
        same_within_seconds: 600,
        same_action: Action::Hold,
        name_links: true,
    };

    pub(crate) fn parse(json: &str) -> Result<Self, String> {
        let config: Self = serde_json::from_str(json).map_err(|error| format!("configuration of newcomer: {error}"))?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        for (name, value, least, most) in [
            ("within_seconds", self.within_seconds, 1, SECONDS_MAX),
            ("alike_within_seconds", self.alike_within_seconds, 1, SECONDS_MAX),
            ("same_within_seconds", self.same_within_seconds, 1, SECONDS_MAX),
            ("account_days", self.account_days, 0, 3_650),
            ("mentions", self.mentions, 0, 20),
        ] {
            if !(least..=most).contains(&value) {
                return Err(format!("configuration of newcomer: {name} = {value}: give {least} to {most}"));
            }
        }
        Ok(())
    }
}
