//! The operator's configuration: `plugins.config.words`.

use confab_plugin::{Finding, Flagging, Refusal, Verdict};
use serde::Deserialize;

use crate::automod;

/// What is done about a match; from the mildest to the strongest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    Off,
    Flag,
    Shadow,
    Bounce,
    Hold,
    Reject,
}

/// The table; what is left out has the value of [`Config::default`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    pub slurs: Action,
    pub harassment: Action,
    pub profanity: Action,
    pub spam: Action,
    pub allow: Vec<String>,
    pub exempt_moderators: bool,
    pub lists: Vec<List>,
    pub automod: Vec<automod::Rule>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            slurs: Action::Hold,
            harassment: Action::Flag,
            profanity: Action::Off,
            spam: Action::Flag,
            allow: Vec::new(),
            exempt_moderators: false,
            lists: Vec::new(),
            automod: Vec::new(),
        }
    }
}

/// A list of the operator's own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct List {
    pub name: String,
    pub action: Action,
    #[serde(default)]
    pub words: Vec<String>,
    #[serde(default)]
    pub regexes: Vec<String>,
    #[serde(default)]
    pub allow: Vec<String>,
    #[serde(default)]
    pub reason: String,
    /// Whether odd spellings of the words are found, too.
    #[serde(default = "yes")]
    pub evasion: bool,
}

const fn yes() -> bool {
    true
}

impl Config {
    /// Reads it.
    ///
    /// # Errors
    /// One line for the operator.
    pub(crate) fn read(json: &str) -> Result<Self, String> {
        let json = if json.trim().is_empty() { "{}" } else { json };
        let config: Self = serde_json::from_str(json).map_err(|error| format!("configuration: {error}"))?;
        for list in &config.lists {
            let is_good = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
            if list.name.is_empty() || list.name.len() > 48 || !list.name.bytes().all(is_good) {
                return Err(format!("list {:?}: a name has 1 to 48 of a-z 0-9 . _ -", list.name));
            }
            if list.words.is_empty() && list.regexes.is_empty() {
                return Err(format!("list {:?}: it has neither words nor regexes", list.name));
            }
        }
        Ok(config)
    }
}

/// What a match is of, and what is done about it.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// As findings name it: `words.slurs`.
    pub name: String,
    pub label: String,
    pub action: Action,
    /// What the author is told; empty: the server's own words.
    pub reason: String,
    /// Whether only names that people show are looked at.
    pub is_for_profiles: bool,
}

impl Rule {
    /// A rule for all texts.
    pub(crate) fn new(label: &str, action: Action, reason: &str) -> Self {
        let (name, label, reason) = (format!("words.{label}"), label.to_owned(), reason.to_owned());
        Self { name, label, action, reason, is_for_profiles: false }
    }

    /// The verdict on a text in which this was found.
    pub(crate) fn verdict(&self, action: Action, score: u8, finding: Finding) -> Verdict {
        let refusal = |finding| Refusal { reason: self.reason.clone(), finding };
        match action {
            Action::Off => Verdict::Allow,
            Action::Flag => Verdict::Flag(Flagging { label: self.label.clone(), score, finding }),
            Action::Shadow => Verdict::Shadow(finding),
            Action::Bounce => Verdict::Bounce(refusal(finding)),
            Action::Hold => Verdict::Hold(finding),
            Action::Reject => Verdict::Reject(refusal(finding)),
        }
    }
}
