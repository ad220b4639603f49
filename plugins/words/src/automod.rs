//! Discord AutoMod rules, as Discord's API gives them: what of them this plugin can do, as its own.

use serde::Deserialize;

use crate::config::Action;

/// An AutoMod rule. Fields that are not named here, as ids of servers, roles and channels, mean nothing outside
/// Discord.
#[derive(Debug, Deserialize)]
pub(crate) struct Rule {
    pub name: String,
    pub trigger_type: u8,
    #[serde(default)]
    pub trigger_metadata: Metadata,
    #[serde(default)]
    actions: Vec<RuleAction>,
    #[serde(default = "yes")]
    pub enabled: bool,
}

/// What triggers it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Metadata {
    pub keyword_filter: Vec<String>,
    pub regex_patterns: Vec<String>,
    pub allow_list: Vec<String>,
    presets: Vec<u8>,
}

#[derive(Debug, Deserialize)]
struct RuleAction {
    #[serde(rename = "type")]
    number: u8,
    #[serde(default)]
    metadata: Option<ActionMetadata>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ActionMetadata {
    custom_message: Option<String>,
}

const fn yes() -> bool {
    true
}

/// Stock groups that presets stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    Slurs,
    Profanity,
}

/// What of a rule is done here.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// Keywords and patterns; whether only in the names that people show.
    Keywords {
        is_for_profiles: bool,
    },
    Presets(Vec<Group>),
}

impl Rule {
    /// What triggers it.
    ///
    /// # Errors
    /// A rule that is not for this plugin: to leave it out in silence would leave the operator believing in it.
    pub(crate) fn trigger(&self) -> Result<Trigger, String> {
        let elsewhere = |what: &str, plugin: &str| {
            Err(self.error(&format!("{what} is for the plugin `{plugin}`: take the rule out, or set enabled = false")))
        };
        match self.trigger_type {
            1 => Ok(Trigger::Keywords { is_for_profiles: false }),
            6 => Ok(Trigger::Keywords { is_for_profiles: true }),
            3 => elsewhere("spam (trigger_type 3)", "flood"),
            5 => elsewhere("mention spam (trigger_type 5)", "mentions"),
            4 => {
                let group = |preset: &u8| match preset {
                    1 | 2 => Ok(Group::Profanity),
                    3 => Ok(Group::Slurs),
                    other => Err(self.error(&format!("no preset {other} is known"))),
                };
                self.trigger_metadata.presets.iter().map(group).collect::<Result<_, _>>().map(Trigger::Presets)
            }
            other => Err(self.error(&format!("no trigger_type {other} is known"))),
        }
    }

    /// The strongest of its actions.
    ///
    /// # Errors
    /// An action that is not known; none.
    pub(crate) fn action(&self) -> Result<Action, String> {
        let action = |it: &RuleAction| match it.number {
            // Blocks the message; blocks what a member does until the name is another.
            1 | 4 => Ok(Action::Reject),
            2 => Ok(Action::Flag),
            // A timeout is a moderator's to give: they get the message to judge.
            3 => Ok(Action::Hold),
            other => Err(self.error(&format!("no action type {other} is known"))),
        };
        let actions = self.actions.iter().map(action).collect::<Result<Vec<_>, _>>()?;
        actions.into_iter().max().ok_or_else(|| self.error("it has no actions"))
    }

    /// What the author is told.
    pub(crate) fn reason(&self) -> &str {
        let told = self.actions.iter().filter_map(|it| it.metadata.as_ref()?.custom_message.as_deref());
        told.into_iter().next().unwrap_or_default()
    }

    /// Its name as findings have it: `automod.my-rule`. They have a-z and digits alone: where no letter of the name is left,
    /// or another rule has that name, its place in the list tells it from others.
    pub(crate) fn label(&self, number: usize, is_taken: impl Fn(&str) -> bool) -> String {
        let kept = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        let name: String = self.name.chars().map(kept).take(40).collect();
        let name = name.trim_matches('-');
        let mut label = if name.is_empty() { format!("automod.{number}") } else { format!("automod.{name}") };
        while is_taken(&label) {
            label = format!("{label}-{number}");
        }
        label
    }

    /// An error with the rule's name.
    pub(crate) fn error(&self, why: &str) -> String {
        format!("automod rule {:?}: {why}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(json: &str) -> Rule {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_rule_as_the_api_gives_it() {
        let rule = rule(
            r#"{"id": "969707018069872670", "guild_id": "613425648685547541", "name": "Keyword Filter 1",
            "creator_id": "423457898095789043", "trigger_type": 1, "event_type": 1, "enabled": true,
            "actions": [{"type": 1, "metadata": {"custom_message": "Please keep it civil."}},
                {"type": 2, "metadata": {"channel_id": "123456789123456789"}},
                {"type": 3, "metadata": {"duration_seconds": 60}}],
            "trigger_metadata": {"keyword_filter": ["cat*", "*dog", "*ana*"], "regex_patterns": ["(b|c)at"]},
            "exempt_roles": ["323456789123456789"], "exempt_channels": []}"#,
        );
        assert_eq!(rule.trigger(), Ok(Trigger::Keywords { is_for_profiles: false }));
        assert_eq!(rule.action(), Ok(Action::Reject));
        assert_eq!(rule.reason(), "Please keep it civil.");
        assert_eq!(rule.label(1, |_| false), "automod.keyword-filter-1");
    }

    #[test]
    fn each_rule_has_a_name_of_its_own() {
        let mut labels = Vec::new();
        for (number, name) in (1..).zip(["Спам", "мат", "Réseau", "R seau", "!!!", "6", "6"]) {
            let rule = rule(&format!(r#"{{"name": "{name}", "trigger_type": 1}}"#));
            labels.push(rule.label(number, |it| labels.iter().any(|label| label == it)));
        }
        let expected = ["1", "2", "r-seau", "r-seau-4", "5", "6", "6-7"].map(|it| format!("automod.{it}"));
        assert_eq!(labels, expected);
    }

    #[test]
    fn what_is_not_for_this_plugin_is_told_with_its_name() {
        for (trigger, plugin) in [(3, "flood"), (5, "mentions")] {
            let rule = rule(&format!(r#"{{"name": "A", "trigger_type": {trigger}, "actions": [{{"type": 1}}]}}"#));
            let error = rule.trigger().unwrap_err();
            assert!(error.contains("\"A\"") && error.contains(plugin), "{error}");
        }
    }

    #[test]
    fn presets_are_stock_groups() {
        let rule = rule(r#"{"name": "A", "trigger_type": 4, "trigger_metadata": {"presets": [1, 3]}}"#);
        assert_eq!(rule.trigger(), Ok(Trigger::Presets(vec![Group::Profanity, Group::Slurs])));
    }
}
