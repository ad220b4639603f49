//! Discord's AutoMod rules as configuration of the stock plugins.

mod rules;

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, anyhow};
use serde_json::{Value as Json, json};
use toml::{Table, Value};

use self::rules::{Import, import};
use crate::assets;
use crate::files::read_bounded;
use crate::plugin::lab::Lab;

/// Discord's own limits keep all rules of a server below a tenth of it.
const BYTES_MAX: u64 = 1 << 20;
/// The keys of a rule, in the order in which people read them.
const KEYS: [&str; 5] = ["name", "trigger_type", "enabled", "actions", "trigger_metadata"];

/// Prints what a file of rules comes to.
pub(super) fn run(file: &Path, json: bool) -> anyhow::Result<()> {
    let place = || file.display().to_string();
    let mut import = import(&read_bounded(file, BYTES_MAX).with_context(place)?).with_context(place)?;
    disable_what_is_refused(&mut import)?;
    note_chain(&mut import);
    if json {
        let (mentions, words) = (mentions_table(&import), words_table(&import.rules));
        println!("{}", json!({ "mentions": mentions, "words": words, "notes": import.notes }));
    } else {
        print!("{}", text(&import));
    }
    Ok(())
}

/// What is printed for `words`.
fn words_table(rules: &[Table]) -> Json {
    json!({ "automod": rules })
}

/// What is printed for `mentions`; nothing where no rule is about them.
fn mentions_table(import: &Import) -> Option<Json> {
    import.mentions.map(|(most, action)| json!({ "most": most, "most_action": action }))
}

/// A stock plugin, if this program has it.
fn stock(id: &str) -> anyhow::Result<Option<Lab>> {
    let asset = |extension: &str| {
        let name = format!("{id}.{extension}");
        assets::PLUGINS.iter().find(|(it, _)| *it == name).map(|(_, bytes)| *bytes)
    };
    let (Some(wasm), Some(manifest)) = (asset("wasm"), asset("toml")) else { return Ok(None) };
    Lab::open(id, wasm, manifest).map(Some).map_err(|error| anyhow!("{id}: {error}"))
}

/// A server does not start with what a plugin refuses: a rule because of which it is refused, alone or with those before
/// it, is there, for who mends it, and disabled. What is told at the end is about all that is printed, as one.
fn disable_what_is_refused(import: &mut Import) -> anyhow::Result<()> {
    let (Some(words), Some(mentions)) = (stock("words")?, stock("mentions")?) else {
        import.note("this program has no stock plugins: whether `words` and `mentions` take these rules was not tried");
        return Ok(());
    };
    let taken = |rules: &[Table]| words.subject(&words_table(rules).to_string()).map(drop);
    let mut notes = Vec::new();
    if taken(&import.rules).is_err() {
        for count in 1..=import.rules.len() {
            let Some(so_far) = import.rules.get_mut(..count) else { break };
            let Err(error) = taken(so_far) else { continue };
            let Some(rule) = so_far.last_mut() else { break };
            rule.insert("enabled".to_owned(), Value::Boolean(false));
            let name = rule.get("name").and_then(Value::as_str).unwrap_or_default();
            notes.push(format!("rule {name:?}: it is disabled, for with those before it `words` {error}"));
        }
        if let Err(error) = taken(&import.rules) {
            notes.push(format!("no server starts with all of this: `words` {error}"));
        }
    }
    if let Some(table) = mentions_table(import)
        && let Err(error) = mentions.subject(&table.to_string())
    {
        notes.push(format!("no server starts with all of this: `mentions` {error}"));
    }
    notes.iter().for_each(|note| import.note(note));
    Ok(())
}

/// Before all others: an operator must not believe in what nobody is asked about.
fn note_chain(import: &mut Import) {
    let used = [("`words`", !import.rules.is_empty()), ("`mentions`", import.mentions.is_some())];
    let used: Vec<&str> = used.into_iter().filter(|(_, is_used)| *is_used).map(|(id, _)| id).collect();
    if !used.is_empty() {
        let ids = used.join(" and ");
        let why = "a server does not start with keys for a plugin that it has not";
        import.notes.insert(0, format!("{ids} must be in plugins.chain for this to have an effect: {why}"));
    }
}

/// As a part of the configuration file.
fn text(import: &Import) -> String {
    let mut text = String::new();
    for note in &import.notes {
        let _ = writeln!(text, "# {note}");
    }
    if let Some((most, action)) = import.mentions {
        let _ = writeln!(text, "\n[plugins.config.mentions]\nmost = {most}\nmost_action = \"{action}\"");
    }
    for rule in &import.rules {
        let _ = writeln!(text, "\n[[plugins.config.words.automod]]");
        for (key, value) in KEYS.iter().filter_map(|key| Some((key, rule.get(*key)?))) {
            let _ = writeln!(text, "{key} = {value}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use confab_plugin::lifecycle::Guest;

    use super::*;

    /// As `GET /guilds/<id>/auto-moderation/rules` gives them.
    const RULES: &str = r#"[
        {"id": "969707018069872670", "guild_id": "613425648685547541", "name": "Keyword \"Filter\"\n1",
            "creator_id": "423457898095789043", "trigger_type": 1, "event_type": 1, "enabled": true,
            "actions": [{"type": 1, "metadata": {"custom_message": "Please keep it civil."}},
                {"type": 2, "metadata": {"channel_id": "123456789123456789"}},
                {"type": 3, "metadata": {"duration_seconds": 60}}],
            "trigger_metadata": {"keyword_filter": ["cat*", "*dog", "it's \"so\""], "regex_patterns": ["(b|c)at\\b"],
                "allow_list": ["bobcat"], "mention_total_limit": 0},
            "exempt_roles": ["323456789123456789"], "exempt_channels": []},
        {"name": "Presets", "trigger_type": 4, "event_type": 1, "enabled": true, "exempt_roles": [],
            "actions": [{"type": 1, "metadata": {"custom_message": null}}, {"type": 9, "metadata": {}}],
            "trigger_metadata": {"presets": [1, 3, 7], "allow_list": []}},
        {"name": "Names", "trigger_type": 6, "event_type": 2, "enabled": false, "actions": [{"type": 4}],
            "trigger_metadata": {"keyword_filter": ["staff*"], "regex_patterns": []}},
        {"name": "Mentions", "trigger_type": 5, "enabled": true, "actions": [{"type": 1, "metadata": {}}],
            "trigger_metadata": {"mention_total_limit": 20, "mention_raid_protection_enabled": true}},
        {"name": "Fewer", "trigger_type": 5, "enabled": true, "actions": [{"type": 2, "metadata": {}}],
            "trigger_metadata": {"mention_total_limit": 8}},
        {"name": "Spam", "trigger_type": 3, "enabled": true, "actions": [{"type": 1}], "trigger_metadata": {}},
        {"name": "New", "trigger_type": 77, "enabled": true, "actions": [{"type": 1}], "trigger_metadata": null},
        {"name": "Empty", "trigger_type": 1, "enabled": true, "actions": [{"type": 1}], "trigger_metadata": {}},
        {"trigger_type": "one"}
    ]"#;

    #[test]
    fn the_stock_plugins_take_what_is_printed() {
        let import = import(RULES.as_bytes()).unwrap();
        let printed: Table = toml::from_str(&text(&import)).unwrap();
        let config = &printed["plugins"]["config"];
        let rules = config["words"]["automod"].as_array().unwrap();
        assert_eq!(rules.len(), 3);
        assert_eq!(rules[0]["name"].as_str(), Some("Keyword \"Filter\"\n1"));
        assert_eq!(rules[0]["trigger_metadata"]["regex_patterns"][0].as_str(), Some(r"(b|c)at\b"));
        assert_eq!(rules[0]["actions"][0]["metadata"]["custom_message"].as_str(), Some("Please keep it civil."));
        assert_eq!(rules[2]["enabled"].as_bool(), Some(false));
        assert_eq!(<confab_words::Words as Guest>::init(json!(config["words"]).to_string()), Ok(()));
        assert_eq!(config["mentions"]["most"].as_integer(), Some(8));
        assert_eq!(config["mentions"]["most_action"].as_str(), Some("flag"));
        assert_eq!(<confab_mentions::Mentions as Guest>::init(json!(config["mentions"]).to_string()), Ok(()));
    }

    #[test]
    fn what_has_no_counterpart_is_told_in_a_line() {
        let import = import(RULES.as_bytes()).unwrap();
        let told = [
            ("Filter", "no channel"),
            ("Filter", "nobody gets a timeout: what matches is refused"),
            ("Filter", "exempt"),
            ("\"Presets\"", "no preset 7"),
            ("\"Presets\"", "no action type 9"),
            ("\"Mentions\"", "raids"),
            ("\"Fewer\"", "no channel"),
            ("\"Fewer\"", "the lowest limit"),
            ("\"Spam\"", "`flood`"),
            ("\"New\"", "no trigger_type 77"),
            ("\"Empty\"", "neither keywords nor patterns"),
            ("rule 9", "cannot be read"),
        ];
        assert_eq!(import.notes.len(), told.len(), "{:#?}", import.notes);
        for (note, (rule, why)) in import.notes.iter().zip(told) {
            assert!(note.contains(rule) && note.contains(why) && !note.contains('\n'), "{rule} {why}: {note}");
        }
    }

    #[test]
    fn what_is_no_list_of_rules_is_refused() {
        for (json, why) in [
            ("", "no JSON"),
            ("[1", "no JSON"),
            ("7", "no array of rules"),
            (r#"{"message": "401: Unauthorized", "code": 0}"#, "no array of rules"),
        ] {
            let error = import(json.as_bytes()).err().map(|error| format!("{error:#}")).unwrap_or_default();
            assert!(error.contains(why), "{json}: {error}");
        }
        let many = format!("[{}{{}}]", "{},".repeat(100));
        assert!(import(many.as_bytes()).err().is_some_and(|error| error.to_string().contains("at most 100")));
        // Odd ones are told, and nothing else.
        for json in ["[]", "[null, 7, [], {}]", r#"[{"name": "A", "trigger_type": 1e300}]"#] {
            let import = import(json.as_bytes()).unwrap();
            assert!(import.rules.is_empty() && import.mentions.is_none(), "{json}");
        }
    }
}
