//! The golden files of the stock plugins, in the sandbox. Each plugin runs the same files natively in its own tests, so
//! both say the same.
//!
//! `BLESS=1 cargo test -p confab --test main plugin::goldens` writes down what they say, and the instructions that each
//! line takes: look at what changed before you commit it.

use std::path::Path;

use confab_plugin::golden::{HOOKS, Hooks, KINDS, ROLES, ROOM_ROLES, check_folder};
use serde_json::{Value, json};

use super::context::natively;
use crate::support::guests::lab;

const STOCK: [&str; 6] = ["sanitize", "words", "links", "mentions", "newcomer", "flood"];

#[test]
fn the_stock_plugins_pass_their_golden_files_in_the_sandbox() {
    for id in STOCK {
        let lab = lab(&format!("plugins/{id}"));
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins").join(id).join("goldens");
        if std::env::var_os("BLESS").is_some_and(|value| value == "1") {
            eprintln!("{id}: {:?}", lab.bless(&folder).unwrap());
        }
        let report = lab.goldens(&folder).unwrap();
        eprintln!("{id}: {} stories, {} lines, {:?}", report.stories, report.lines, report.fuel);
        assert!(report.wrong.is_empty(), "{id}:\n{}", report.wrong.join("\n"));
        assert!(report.lines >= 10, "{id} has {} golden lines", report.lines);
    }
}

/// A check that cannot fail is none.
#[test]
fn a_wrong_line_is_told_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wrong.jsonl");
    let lines = "{\"body\": \"plain\"}\n\n{\"body\": \"a\\u202eb\"}\n{\"body\": \"x\", \"expect\": \"reject\"}\n";
    std::fs::write(&file, lines).unwrap();
    let lab = lab("plugins/sanitize");
    let report = lab.goldens(folder.path()).unwrap();
    assert_eq!((report.stories, report.lines, report.wrong.len()), (1, 3, 2), "{:?}", report.wrong);
    assert!(report.wrong[0].contains("wrong.jsonl:3: ") && report.wrong[0].contains("found"), "{:?}", report.wrong);
    assert!(report.wrong[1].contains("wrong.jsonl:4: "), "{:?}", report.wrong);
    for (line, word) in [
        ("{\"body\": 1}", "wrong.jsonl:1"),
        ("{\"nobody\": \"x\"}", "nobody"),
        ("{", "wrong.jsonl:1"),
        // It is read as the configuration, and the plugin takes no such key.
        (" { \"config\": {\"nobody\": 1}}", "nobody"),
        (" { \"config\": {\"nobody\": 1}}", "wrong.jsonl: "),
        ("{\"body\": \"x\"}\n{\"config\": {}}", "wrong.jsonl:2: the configuration"),
    ] {
        std::fs::write(&file, line).unwrap();
        let error = lab.goldens(folder.path()).unwrap_err();
        assert!(error.contains(word), "{error}");
    }
    std::fs::write(&file, "{\"kind\": \"shout\", \"body\": \"x\"}").unwrap();
    let error = lab.bless(folder.path()).unwrap_err();
    assert!(error.contains("wrong.jsonl:1: no kind shout"), "{error}");
}

/// What the server does with a message that a plugin does not survive is not what the plugin says of it.
#[test]
fn a_line_that_the_plugin_fails_at_is_wrong_and_is_not_blessed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.jsonl");
    let hostile = lab("test-plugins/hostile");
    for (line, how) in [
        (json!({ "body": "trap", "expect": "hold" }), "trap"),
        (json!({ "body": "loop", "expect": "hold" }), "fuel"),
        (json!({ "body": "trap" }), "trap"),
    ] {
        let text = format!("{line}\n");
        std::fs::write(&file, &text).unwrap();
        let wrong = hostile.goldens(folder.path()).unwrap().wrong;
        let told = format!("bad.jsonl:1: the plugin failed: {how}");
        assert!(wrong.len() == 1 && wrong[0].ends_with(&told), "{wrong:?}");
        let error = hostile.bless(folder.path()).unwrap_err();
        assert!(error.ends_with(&told), "{error}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    }
    // Who means it says so.
    std::fs::write(&file, json!({ "body": "trap", "expect": "hold", "rule": "failed" }).to_string()).unwrap();
    assert_eq!(hostile.goldens(folder.path()).unwrap().wrong, [""; 0]);
}

/// Who misspelled a word reads which there are, natively too.
#[test]
fn a_word_that_is_none_is_told_with_those_that_are() {
    let goldens = tempfile::tempdir().unwrap();
    let folder = goldens.path().to_str().unwrap();
    let lab = lab("test-plugins/surveyor");
    let wrong = |lines: &[Value]| {
        let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
        std::fs::write(goldens.path().join("all.jsonl"), lines.join("\n")).unwrap();
        lab.goldens(goldens.path()).unwrap().wrong
    };
    let hooks = Hooks {
        message: Some(|event| natively::decide(&event)),
        join: Some(|event| natively::decide_join(&event)),
        ..Hooks::default()
    };
    for (line, words) in [
        (json!({ "kind": "shout" }), "no kind shout; there are new, edit, reaction, room, display-name"),
        (json!({ "role": "smile" }), "no role smile; there are owner, admin, moderator, user, bot"),
        (json!({ "room_role": "smile" }), "no room role smile; there are none, owner, admin, moderator, member, guest"),
        (json!({ "hook": "shout" }), "no hook shout; there are message, join, invite, role-change, register, login,"),
        (json!({ "hook": "login" }), "the plugin has no hook login; it has message, join"),
        (json!({ "context": { "transport": "pigeon" } }), "no transport pigeon; there are quic, websocket"),
        (json!({ "context": { "room": { "kind": "round" } } }), "no kind of room round; there are open, private,"),
    ] {
        let wrong = wrong(&[line]);
        assert!(wrong.len() == 1 && wrong[0].contains(words), "{wrong:?}");
        let natively = std::panic::catch_unwind(|| check_folder(folder, hooks)).unwrap_err();
        let told = natively.downcast_ref::<String>().unwrap();
        assert!(told.contains(words), "{told}");
    }
    // Each word that is told is one.
    let fields = [("hook", &HOOKS[..]), ("kind", &KINDS), ("role", &ROLES), ("room_role", &ROOM_ROLES)];
    for (field, words) in fields {
        let lines: Vec<Value> = words.iter().map(|word| json!({ field: word })).collect();
        let wrong = wrong(&lines);
        assert!(!wrong.iter().any(|line| line.contains("; there are ")), "{wrong:?}");
    }
}

/// What a server keeps of a name or a reason is what a line is compared with, natively too.
#[test]
fn what_a_server_cuts_is_cut_natively() {
    let (rule, label) = ("ule".repeat(22), "abel".repeat(16));
    // 256 bytes, of which marks of direction go afterwards.
    let reason = format!("{}rea", "reason ".repeat(25));
    let line = |body: &str, expect: &str| json!({ "body": body, "expect": expect });
    let (mut bounced, mut flagged) = (line("bounce at length", "bounce"), line("flag at length", "flag"));
    (bounced["rule"], bounced["text"]) = (json!(rule[..64]), json!(reason));
    (flagged["rule"], flagged["label"]) = (json!(rule[..64]), json!(label));
    let goldens = tempfile::tempdir().unwrap();
    let lines = [bounced, flagged, line("replace by the same", "allow")].map(|line| format!("{line}\n"));
    std::fs::write(goldens.path().join("all.jsonl"), lines.concat()).unwrap();
    let found = lab("test-plugins/surveyor").goldens(goldens.path()).unwrap();
    assert_eq!((found.lines, found.wrong), (lines.len(), Vec::new()));
    let hooks = Hooks { message: Some(|event| natively::decide(&event)), ..Hooks::default() };
    check_folder(goldens.path().to_str().unwrap(), hooks);
}
