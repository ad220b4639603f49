//! What the operator may say.

use serde::{Deserialize, Deserializer, de};

/// What is done about a link; the later the stricter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    #[default]
    #[serde(alias = "allow")]
    Off,
    Flag,
    Hold,
    Bounce,
    Reject,
}

/// Whose links are let be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Exempt {
    Nobody,
    /// The moderators of the server.
    Server,
    /// These, and those of a room from what does not deceive.
    Moderators,
}

impl<'de> Deserialize<'de> for Exempt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ExemptVisitor)
    }
}

/// A word beside `true` and `false`.
struct ExemptVisitor;

impl de::Visitor<'_> for ExemptVisitor {
    type Value = Exempt;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("true, false or \"server\"")
    }

    fn visit_bool<E: de::Error>(self, is: bool) -> Result<Exempt, E> {
        Ok(if is { Exempt::Moderators } else { Exempt::Nobody })
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<Exempt, E> {
        if word == "server" { Ok(Exempt::Server) } else { Err(E::invalid_value(de::Unexpected::Str(word), &self)) }
    }
}

/// The keys of the table; see the crate's head.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) allow: Vec<String>,
    pub(crate) deny: Vec<String>,
    pub(crate) deny_action: Action,
    pub(crate) others: Action,
    pub(crate) lookalike_action: Action,
    pub(crate) near_action: Action,
    pub(crate) protected: Vec<String>,
    pub(crate) stock_protected: bool,
    pub(crate) userinfo_action: Action,
    pub(crate) ip_action: Action,
    pub(crate) shorteners_action: Action,
    pub(crate) shorteners: Vec<String>,
    pub(crate) invites_action: Action,
    pub(crate) newcomers_action: Action,
    pub(crate) newcomers_account_seconds: u64,
    pub(crate) newcomers_member_seconds: u64,
    pub(crate) exempt_moderators: Exempt,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            deny: Vec::new(),
            deny_action: Action::Reject,
            others: Action::Off,
            lookalike_action: Action::Hold,
            near_action: Action::Flag,
            protected: Vec::new(),
            stock_protected: true,
            userinfo_action: Action::Hold,
            ip_action: Action::Flag,
            shorteners_action: Action::Flag,
            shorteners: Vec::new(),
            invites_action: Action::Off,
            newcomers_action: Action::Off,
            newcomers_account_seconds: 24 * 3600,
            newcomers_member_seconds: 3600,
            exempt_moderators: Exempt::Moderators,
        }
    }
}

/// Reads the table.
///
/// # Errors
/// One line for the operator.
pub(crate) fn parse(json: &str) -> Result<Config, String> {
    serde_json::from_str(json).map_err(|error| format!("links: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::Judge;

    #[test]
    fn what_is_wrong_is_told_in_a_line() {
        for (json, expected) in [
            (r#"{"alow": []}"#, "unknown field `alow`"),
            (r#"{"others": "ban"}"#, "unknown variant `ban`"),
            (r#"{"deny": ["https://evil.example/x"]}"#, "links: deny: \"https://evil.example/x\" is no host"),
            (r#"{"allow": [""]}"#, "links: allow: \"\" is no host"),
            (r#"{"protected": ["two words.com"]}"#, "links: protected: "),
            (r#"{"exempt_moderators": "room"}"#, "expected true, false or \"server\""),
            (r#"{"exempt_moderators": 1}"#, "expected true, false or \"server\""),
        ] {
            let error = parse(json).and_then(|config| Judge::new(config).map(|_| ())).unwrap_err();
            assert!(error.contains(expected) && !error.contains('\n'), "{json}: {error}");
        }
        assert!(parse("{}").and_then(Judge::new).is_ok());
    }
}
