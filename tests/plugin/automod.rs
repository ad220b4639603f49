//! `confab plugin automod`: what it prints is a configuration that a server starts with.

use confab::plugin::lab::Lab;
use serde_json::json;

use super::built;
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
    assert!(told.len() == 1 && told[0].contains("Everything") && told[0].contains("`***`"), "{printed}");
    let config: toml::Table = toml::from_str(&printed).unwrap();
    let config = &config["plugins"]["config"];
    let enabled = |rule: usize| config["words"]["automod"][rule]["enabled"].as_bool();
    assert_eq!((enabled(0), enabled(1)), (Some(true), Some(false)), "{printed}");
    for id in ["words", "mentions"] {
        let (wasm, manifest) = (built(&format!("plugins/{id}.wasm")), built(&format!("plugins/{id}.toml")));
        let lab = Lab::open(id, &std::fs::read(wasm).unwrap(), &std::fs::read(manifest).unwrap()).unwrap();
        assert_eq!(lab.subject(&json!(config[id]).to_string()).err(), None, "{id}");
    }
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
    run(confab().args(["plugin", "automod"]).arg(&file), "").assert_refused(1, &["1048576 bytes"]);
}
