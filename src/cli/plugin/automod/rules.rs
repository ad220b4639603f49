//! Rules of Discord's AutoMod, as its API gives them, and what of them the stock plugins do. What has no counterpart is
//! told, one line each: an operator must not believe in what is not there.

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::Value as Json;
use toml::{Table, Value};

/// Discord has ten or so.
const RULES_MAX: usize = 100;
/// The most that the plugin `mentions` takes.
const MENTIONS_MAX: i64 = 100;

/// Trigger types.
const KEYWORDS: i64 = 1;
const SPAM: i64 = 3;
const PRESETS: i64 = 4;
const MENTIONS: i64 = 5;
const PROFILES: i64 = 6;

/// Action types.
const BLOCK: i64 = 1;
const ALERT: i64 = 2;
const TIMEOUT: i64 = 3;
const BLOCK_MEMBER: i64 = 4;

#[derive(Deserialize)]
struct Rule {
    name: String,
    trigger_type: i64,
    #[serde(default = "yes")]
    enabled: bool,
    trigger_metadata: Option<Metadata>,
    #[serde(default)]
    actions: Vec<Action>,
    #[serde(default)]
    exempt_roles: Vec<Json>,
    #[serde(default)]
    exempt_channels: Vec<Json>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    keyword_filter: Vec<String>,
    regex_patterns: Vec<String>,
    allow_list: Vec<String>,
    presets: Vec<i64>,
    mention_total_limit: Option<i64>,
    mention_raid_protection_enabled: bool,
}

#[derive(Deserialize)]
struct Action {
    #[serde(rename = "type")]
    number: i64,
    metadata: Option<ActionMetadata>,
}

#[derive(Deserialize)]
struct ActionMetadata {
    custom_message: Option<String>,
}

const fn yes() -> bool {
    true
}

/// What became of the rules.
#[derive(Default)]
pub(super) struct Import {
    /// For `plugins.config.words.automod`, in the form that the plugin takes.
    pub(super) rules: Vec<Table>,
    /// For `plugins.config.mentions`: how many different names, and what is done about more.
    pub(super) mentions: Option<(i64, &'static str)>,
    /// What has no counterpart, a line each.
    pub(super) notes: Vec<String>,
}

/// Reads what the API gave.
pub(super) fn import(json: &[u8]) -> anyhow::Result<Import> {
    let rules = match serde_json::from_slice::<Json>(json).context("it is no JSON")? {
        Json::Array(rules) => rules,
        // One rule, as the API gives it when it is asked for that.
        Json::Object(rule) if rule.contains_key("trigger_type") => vec![Json::Object(rule)],
        _ => bail!("it is no array of rules, as GET /guilds/<id>/auto-moderation/rules gives it"),
    };
    if rules.len() > RULES_MAX {
        bail!("it has {} rules: at most {RULES_MAX}", rules.len());
    }
    let mut import = Import::default();
    for (number, rule) in (1..).zip(rules) {
        match serde_json::from_value::<Rule>(rule) {
            Ok(rule) => import.add(&rule),
            Err(error) => import.note(&format!("rule {number}: it cannot be read, and is left out: {error}")),
        }
    }
    Ok(import)
}

impl Import {
    /// In one line, whatever it quotes.
    pub(super) fn note(&mut self, note: &str) {
        self.notes.push(note.chars().map(|c| if c.is_control() { ' ' } else { c }).collect());
    }

    fn note_of(&mut self, rule: &Rule, why: &str) {
        self.note(&format!("rule {:?}: {why}", rule.name));
    }

    fn add(&mut self, rule: &Rule) {
        let none = Metadata::default();
        let metadata = rule.trigger_metadata.as_ref().unwrap_or(&none);
        match rule.trigger_type {
            KEYWORDS | PRESETS | PROFILES => self.add_words(rule, metadata),
            MENTIONS => self.add_mentions(rule, metadata),
            SPAM => {
                self.note_of(rule, "what Discord takes for spam is not known; the plugin `flood` has rules of its own");
            }
            other => self.note_of(rule, &format!("no trigger_type {other} is known: it is left out")),
        }
    }

    fn add_words(&mut self, rule: &Rule, metadata: &Metadata) {
        let (presets, unknown): (Vec<i64>, Vec<i64>) =
            metadata.presets.iter().copied().partition(|it| (1..=3).contains(it));
        if rule.trigger_type == PRESETS {
            unknown.iter().for_each(|it| self.note_of(rule, &format!("no preset {it} is known")));
            if presets.is_empty() {
                return self.note_of(rule, "it has no preset: it is left out");
            }
        } else if metadata.keyword_filter.is_empty() && metadata.regex_patterns.is_empty() {
            return self.note_of(rule, "it has neither keywords nor patterns: it is left out");
        }
        if strongest(rule).is_none() {
            return self.note_of(rule, "it has no action that is known: it is left out");
        }
        self.note_parts(rule);
        let mut trigger = Table::new();
        let lists = [
            ("keyword_filter", &metadata.keyword_filter),
            ("regex_patterns", &metadata.regex_patterns),
            ("allow_list", &metadata.allow_list),
        ];
        for (key, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
            trigger.insert(key.to_owned(), list.clone().into());
        }
        if rule.trigger_type == PRESETS {
            trigger.insert("presets".to_owned(), presets.into());
        }
        let mut table = Table::new();
        table.insert("name".to_owned(), rule.name.as_str().into());
        table.insert("trigger_type".to_owned(), rule.trigger_type.into());
        table.insert("enabled".to_owned(), rule.enabled.into());
        table.insert("actions".to_owned(), Value::Array(rule.actions.iter().filter_map(action).collect()));
        table.insert("trigger_metadata".to_owned(), trigger.into());
        self.rules.push(table);
    }

    fn add_mentions(&mut self, rule: &Rule, metadata: &Metadata) {
        if !rule.enabled {
            return self.note_of(rule, "it is disabled: it is left out");
        }
        let Some(limit) = metadata.mention_total_limit.filter(|it| (1..=MENTIONS_MAX).contains(it)) else {
            let why = format!("its mention_total_limit is not 1 to {MENTIONS_MAX}: it is left out");
            return self.note_of(rule, &why);
        };
        let Some(action) = strongest(rule) else {
            return self.note_of(rule, "it has no action that is known: it is left out");
        };
        self.note_parts(rule);
        if rule.actions.iter().any(|it| custom_message(it).is_some()) {
            self.note_of(rule, "the plugin `mentions` tells authors its own reason, not the rule's message");
        }
        if metadata.mention_raid_protection_enabled {
            self.note_of(rule, "raids of mentions are not looked for; `per_minute` bounds what an author mentions");
        }
        if self.mentions.is_some() {
            self.note_of(rule, "it is not the first about mentions: the lowest limit counts");
        }
        if self.mentions.is_none_or(|(most, _)| limit < most) {
            self.mentions = Some((limit, action));
        }
    }

    /// What of a rule that is taken is done otherwise, or not at all.
    fn note_parts(&mut self, rule: &Rule) {
        let has = |number: i64| rule.actions.iter().any(|it| it.number == number);
        for unknown in rule.actions.iter().filter(|it| !is_known(it)) {
            self.note_of(rule, &format!("no action type {} is known", unknown.number));
        }
        if has(ALERT) {
            self.note_of(rule, "no channel is alerted: what is found stands in the audit (`confab mod audit`)");
        }
        if has(TIMEOUT) {
            let instead = if has(BLOCK) || has(BLOCK_MEMBER) { "is refused" } else { "is held for a moderator" };
            self.note_of(rule, &format!("nobody gets a timeout: what matches {instead}"));
        }
        if !rule.exempt_roles.is_empty() || !rule.exempt_channels.is_empty() {
            self.note_of(rule, "its exempt roles and channels are Discord's: it holds for everybody everywhere");
        }
    }
}

fn is_known(action: &Action) -> bool {
    matches!(action.number, BLOCK | ALERT | TIMEOUT | BLOCK_MEMBER)
}

fn custom_message(action: &Action) -> Option<&str> {
    action.metadata.as_ref()?.custom_message.as_deref()
}

/// The strongest action, as `mentions` calls it; `words` has the same order.
fn strongest(rule: &Rule) -> Option<&'static str> {
    let has = |number: i64| rule.actions.iter().any(|it| it.number == number);
    if has(BLOCK) || has(BLOCK_MEMBER) {
        Some("reject")
    } else if has(TIMEOUT) {
        Some("hold")
    } else {
        has(ALERT).then_some("flag")
    }
}

/// An action as `words` takes it; `None`: it is not known there.
fn action(action: &Action) -> Option<Value> {
    if !is_known(action) {
        return None;
    }
    let mut table = Table::new();
    table.insert("type".to_owned(), action.number.into());
    if let Some(message) = custom_message(action) {
        let mut metadata = Table::new();
        metadata.insert("custom_message".to_owned(), message.into());
        table.insert("metadata".to_owned(), metadata.into());
    }
    Some(table.into())
}
