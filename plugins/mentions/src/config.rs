//! What the operator may say.

use serde::Deserialize;

/// More different names are not told apart: they would be compared for too long.
pub(crate) const NAMES_MAX: usize = 100;

/// What is done; the later the stricter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    #[serde(alias = "allow")]
    Off,
    Flag,
    Hold,
    Bounce,
    Reject,
}

/// The keys of the table; see the crate's head.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) most: usize,
    pub(crate) most_action: Action,
    pub(crate) same: usize,
    pub(crate) same_action: Action,
    pub(crate) everyone: Vec<String>,
    pub(crate) everyone_action: Action,
    pub(crate) per_minute: u32,
    pub(crate) per_minute_action: Action,
    pub(crate) exempt_moderators: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            most: 5,
            most_action: Action::Bounce,
            same: 3,
            same_action: Action::Bounce,
            everyone: ["all", "channel", "everyone", "here"].map(str::to_owned).to_vec(),
            everyone_action: Action::Bounce,
            per_minute: 20,
            per_minute_action: Action::Bounce,
            exempt_moderators: true,
        }
    }
}

/// Reads the table.
///
/// # Errors
/// One line for the operator.
pub(crate) fn parse(json: &str) -> Result<Config, String> {
    let config: Config = serde_json::from_str(json).map_err(|error| format!("mentions: {error}"))?;
    if config.most > NAMES_MAX {
        return Err(format!("mentions: most: {} is too many; at most {NAMES_MAX}", config.most));
    }
    if config.same == 0 {
        return Err("mentions: same: it must be at least 1".to_owned());
    }
    let is_name = |name: &String| !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c == '@');
    match config.everyone.iter().find(|name| !is_name(name)) {
        Some(name) => Err(format!("mentions: everyone: {name:?} is no name; write it without the @")),
        None => Ok(config),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_told_in_a_line() {
        for (json, expected) in [
            (r#"{"mots": 3}"#, "unknown field `mots`"),
            (r#"{"most": 1000}"#, "mentions: most: 1000 is too many"),
            (r#"{"same": 0}"#, "mentions: same: "),
            (r#"{"everyone": ["@all"]}"#, "mentions: everyone: \"@all\" is no name"),
            (r#"{"most_action": "ban"}"#, "unknown variant `ban`"),
        ] {
            let error = parse(json).unwrap_err();
            assert!(error.contains(expected) && !error.contains('\n'), "{json}: {error}");
        }
        assert!(parse("{}").is_ok());
    }
}
