//! What plugins that exist rely on: the files of the contract stay as they are, and a component that was made with them
//! once still loads and decides.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use confab::plugin::lab::Lab;
use sha2::{Digest, Sha256};

/// The first contract.
const CONTRACT: &str = "sdk/wit/since_v0_1";
/// What its files were, in lines as `sha256sum` writes them.
const RECORD: &str = "tests/plugin/frozen/since_v0_1.txt";
const RECORD_HEADER: &str =
    "# SHA-256 of the files of sdk/wit/since_v0_1, which a release freezes: `plugin::frozen`.\n";

/// Told to whoever changed it.
const WHAT_TO_DO: &str = "Plugins that exist were made with these files, and are not made anew. What is added is a new \
    interface in a new file, or a new folder beside this one; what is there stays, word for word. As long as nothing was \
    released the list may be rewritten: BLESS=1 cargo test -p confab --test main plugin::frozen";

/// The example in C as clang 19 built it in November 2026. It is never built anew: that it was made before what is here
/// now is the point.
const COMPONENT: &[u8] = include_bytes!("frozen/example-c-v0_1.wasm");
const COMPONENT_SHA256: &str = "7392b305dc305f1b376ddf15c5874558531fcb6a05658d5c97d08090a473a80c";
/// As it stood beside it.
const MANIFEST: &[u8] =
    b"id = \"example-c\"\nversion = \"0.1.0\"\napi = \"0.1\"\nhooks = [\"message\"]\ncapabilities = []\n";
/// It is part of every clone.
const COMPONENT_BYTES_MAX: usize = 16 * 1024;

/// tests/plugins/imports as it was built first, with what a plugin can be granted: the one in C imports nothing. Nor is it
/// ever built anew.
const IMPORTER: &str = "tests/plugin/frozen/imports-v0_1.wasm";
const IMPORTER_SHA256: &str = "9e63f9a12851437938bdfdcfa1d2a5886b815c9cb20198d98bbe835f7b01191e";
const IMPORTER_MANIFEST: &[u8] = b"id = \"imports\"\nversion = \"0.1.0\"\napi = \"0.1\"\nhooks = [\"message\"]\n\
    capabilities = [\"log\", \"kv\", \"metrics\", \"history\", \"context\", \"actions\"]\n";
/// Rust brings an allocator and more.
const IMPORTER_BYTES_MAX: usize = 64 * 1024;
/// One of each capability, by the rule that it is found by; the first is only there to be remembered.
const IMPORTER_STORY: &str = r#"{"body": "hello"}
{"body": "again", "expect": "bounce", "rule": "kv"}
{"body": "echo", "history": [{"author": 2, "body": "echo"}], "expect": "hold", "rule": "history"}
{"body": "where", "context": {"transport": "quic", "room": {"members": 3}, "prior_flags": 1, "messages_here": 2}, "expect": "flag", "rule": "context", "label": "here"}
{"body": "act", "expect": "reject", "rule": "actions"}
{"body": "echo"}
{"body": "where"}
"#;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Every file below a folder, by its path from there.
fn files(folder: &Path) -> BTreeMap<PathBuf, String> {
    let (mut files, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(inner) = folders.pop() {
        for file in std::fs::read_dir(inner).unwrap() {
            let path = file.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.insert(path.strip_prefix(folder).unwrap().to_owned(), sha256(&std::fs::read(&path).unwrap()));
            }
        }
    }
    files
}

#[test]
fn the_contract_is_as_it_was_recorded() {
    let (record, now) = (root().join(RECORD), files(&root().join(CONTRACT)));
    if std::env::var_os("BLESS").is_some_and(|value| value == "1") {
        let lines = now.iter().map(|(path, hash)| format!("{hash}  {}\n", path.display()));
        std::fs::write(&record, RECORD_HEADER.to_owned() + &lines.collect::<String>()).unwrap();
        return;
    }
    let text = std::fs::read_to_string(&record).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let recorded: BTreeMap<PathBuf, String> =
        lines.map(|line| line.split_once("  ").unwrap()).map(|(hash, path)| (path.into(), hash.to_owned())).collect();
    assert!(!recorded.is_empty(), "{RECORD} records nothing");
    for (path, hash) in &recorded {
        let (found, path) = (now.get(path), path.display());
        assert!(found.is_some(), "{CONTRACT}/{path} is gone. {WHAT_TO_DO}");
        assert_eq!(found, Some(hash), "{CONTRACT}/{path} is not as it was. {WHAT_TO_DO}");
    }
    if let Some(path) = now.keys().find(|path| !recorded.contains_key(*path)) {
        panic!("{CONTRACT}/{} is new, and to be recorded in {RECORD} with its SHA-256. {WHAT_TO_DO}", path.display());
    }
}

#[test]
fn a_component_of_the_first_contract_still_loads_and_decides() {
    assert_eq!(sha256(COMPONENT), COMPONENT_SHA256, "the component was built anew: its age is what is tested");
    assert!(COMPONENT.len() < COMPONENT_BYTES_MAX, "{} bytes", COMPONENT.len());
    let lab = Lab::open("example-c", COMPONENT, MANIFEST).unwrap();
    assert_eq!((lab.hooks(), lab.imports()), (vec!["message"], Vec::new()));
    let report = lab.goldens(&root().join("plugins/examples/goldens")).unwrap();
    assert!(report.wrong.is_empty(), "{}", report.wrong.join("\n"));
    assert!(report.lines >= 7, "{} lines", report.lines);
}

#[test]
fn a_component_that_imports_all_of_the_first_contract_still_loads_and_decides() {
    let component = std::fs::read(root().join(IMPORTER)).unwrap();
    assert_eq!(sha256(&component), IMPORTER_SHA256, "the component was built anew: its age is what is tested");
    assert!(component.len() < IMPORTER_BYTES_MAX, "{} bytes", component.len());
    let lab = Lab::open("imports", &component, IMPORTER_MANIFEST).unwrap();
    let mut imports = lab.imports();
    imports.sort();
    assert_eq!(
        (lab.hooks(), imports.join(" ")),
        (vec!["message"], "actions context history kv log metrics".to_owned())
    );
    let goldens = tempfile::tempdir().unwrap();
    std::fs::write(goldens.path().join("all.jsonl"), IMPORTER_STORY).unwrap();
    let report = lab.goldens(goldens.path()).unwrap();
    assert_eq!((report.lines, report.wrong), (IMPORTER_STORY.lines().count(), Vec::new()));
}
