//! The golden files of the stock plugins, in the sandbox. Each plugin runs the same files natively in its own tests, so
//! both say the same.
//!
//! `BLESS=1 cargo test -p confab --test main plugin::goldens` writes down what they say, and the instructions that each
//! line takes: look at what changed before you commit it.

use std::path::Path;

use confab_plugin::golden::{Hooks, check_folder};
use serde_json::json;

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
