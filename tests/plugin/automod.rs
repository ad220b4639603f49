//! `confab plugin automod`: what it prints is a configuration that a server starts with.

use serde_json::{Value, json};

use crate::support::guests::lab;
use crate::support::process::{confab, run};

const RULES: &str = r#"[
    {"name": "Good", "trigger_type": 1, "enabled": true, "actions": [{"type": 1, "metadata": {}}],
        "trigger_metadata": {"keyword_filter": ["cat*"], "regex_patterns": ["(b|c)at\\b"]}},
    {"name": "Everything", "trigger_type": 1, "enabled": true, "actions": [{"type": 1, "metadata": {}}],
        "trigger_metadata": {"keyword_filter": ["***"]}},
    {"name": "Mentions", "trigger_type": 5, "enabled": true, "actions": [{"type": 1, "metadata": {}}],
        "trigger_metadata": {"mention_total_limit": 20}}
]"#;

#[test]
fn what_the_plugin_does_not_take_is_printed_disabled() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.json");
    std::fs::write(&file, RULES).unwrap();
    let printed = run(confab().args(["plugin", "automod"]).arg(&file), "").assert_good();
    let told: Vec<&str> = printed.lines().filter(|line| line.starts_with('#')).collect();
    assert!(told.len() == 2 && told[1].contains("\"Everything\"") && told[1].contains("`***`"), "{printed}");
    assert!(told[0].contains("`words` and `mentions` must be in plugins.chain"), "{printed}");
    let config: toml::Table = toml::from_str(&printed).unwrap();
    let config = &config["plugins"]["config"];
    let enabled = |rule: usize| config["words"]["automod"][rule]["enabled"].as_bool();
    assert_eq!((enabled(0), enabled(1)), (Some(true), Some(false)), "{printed}");
    for id in ["words", "mentions"] {
        let lab = lab(&format!("plugins/{id}"));
        assert_eq!(lab.subject(&json!(config[id]).to_string()).err(), None, "{id}");
    }
}

/// A rule of so many keywords of so many letters.
fn long_rule(name: &str, start: &str) -> Value {
    let letter = |n: u32| char::from(b'a' + (n % 26) as u8);
    let keyword = |n: u32| format!("{}{}{}{}", start.repeat(26), letter(n), letter(n / 26), letter(n / 676));
    let keywords: Vec<String> = (0..1_000).map(keyword).collect();
    json!({ "name": name, "trigger_type": 1, "enabled": true, "actions": [{ "type": 1 }],
        "trigger_metadata": { "keyword_filter": keywords } })
}

/// Each of them is taken alone, two of them are more than the plugin takes.
#[test]
fn what_is_too_much_together_is_printed_disabled() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.json");
    let short = json!({ "name": "Short", "trigger_type": 1, "enabled": true, "actions": [{ "type": 2 }],
        "trigger_metadata": { "keyword_filter": ["cat*"] } });
    let rules = json!([long_rule("First", "ba"), long_rule("Second", "do"), short]);
    std::fs::write(&file, rules.to_string()).unwrap();
    let printed = run(confab().args(["plugin", "automod", "--json"]).arg(&file), "").assert_good();
    let printed: Value = serde_json::from_str(&printed).unwrap();
    let enabled = [0_usize, 1, 2].map(|rule| printed["words"]["automod"][rule]["enabled"].as_bool());
    assert_eq!(enabled, [Some(true), Some(false), Some(true)]);
    let notes: Vec<&str> = printed["notes"].as_array().unwrap().iter().map(|note| note.as_str().unwrap()).collect();
    assert!(notes.len() == 3 && notes[0].starts_with("`words` must be in plugins.chain"), "{notes:?}");
    assert!(notes[2].contains("rule \"Second\": it is disabled") && notes[2].contains("together"), "{notes:?}");
    let words = lab("plugins/words");
    assert_eq!(words.subject(&printed["words"].to_string()).err(), None, "a server starts with it");
}

#[test]
fn what_is_none_is_refused_in_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.json");
    run(confab().args(["plugin", "automod"]).arg(&file), "").assert_refused(1, &["rules.json"]);
    std::fs::write(&file, r#"{"message": "401: Unauthorized", "code": 0}"#).unwrap();
    let finished = run(confab().args(["plugin", "automod"]).arg(&file), "");
    finished.assert_refused(1, &["rules.json", "no array of rules"]);
    std::fs::write(&file, " ".repeat((1 << 20) + 1)).unwrap();
    run(confab().args(["plugin", "automod"]).arg(&file), "").assert_refused(1, &["is too long: at most 1048576 bytes"]);
}
