//! What an author has who writes in another language than Rust: the contract as files, and a component that is tested as
//! it is, whatever made it.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::guests::copy;
use crate::support::process::{Place, run};

/// Each file of a folder, by name.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let paths = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    paths.map(|path| (name(&path), std::fs::read(&path).unwrap())).collect()
}

#[test]
fn the_contract_is_written_byte_for_byte() {
    let place = Place::new();
    let folder = place.folder.path().join("no-casino/wit");
    let path = folder.to_str().unwrap();
    let write = || run(&mut place.command(&["plugin", "--json", "wit", path]), "");
    let written: Value = serde_json::from_str(write().assert_good().trim()).unwrap();
    let contract = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("sdk/wit/since_v0_1"));
    assert!(contract.contains_key("plugin.wit"));
    assert_eq!(files(&folder), contract, "all of it, and nothing else");
    let names: Vec<&String> = contract.keys().collect();
    assert_eq!(written, json!({ "folder": path, "files": names }));

    // A world of one's own stands beside it, and what is there already is no harm.
    let own = folder.join("own.wit");
    std::fs::write(&own, "world own { export message; export join; }\n").unwrap();
    write().assert_good();
    assert_eq!(files(&folder).len(), contract.len() + 1);

    // What somebody else wrote stays, and nothing is written beside it.
    let other = folder.join("plugin.wit");
    std::fs::write(&other, "package somebody:other;\n").unwrap();
    std::fs::remove_file(folder.join("actions.wit")).unwrap();
    let before = files(&folder);
    write().assert_refused(1, &["plugin.wit is there already", "another folder"]);
    assert_eq!(files(&folder), before);
}

#[test]
fn a_component_is_tested_with_what_stands_beside_it() {
    let place = Place::new();
    let folder = place.folder.path();
    copy("plugins/flood", folder);
    let (component, goldens) = (folder.join("flood.wasm"), folder.join("flood.goldens"));
    let path = component.to_str().unwrap();
    let command = |arguments: &[&str]| run(place.command(&["plugin"]).args(arguments), "");
    let object = |out: &str| -> Value { serde_json::from_str(out.trim()).unwrap() };
    for asked in ["test", "bench"] {
        command(&[asked, path]).assert_refused(1, &["flood.goldens is missing", "first.jsonl"]);
        let nowhere = folder.join("nowhere.wasm");
        command(&[asked, nowhere.to_str().unwrap()]).assert_refused(1, &["nowhere.wasm", "`confab plugin build`"]);
    }

    std::fs::create_dir(&goldens).unwrap();
    // Nothing that is expected is nothing that was tested.
    std::fs::write(goldens.join("first.json"), "{\"body\": \"hello\"}\n").unwrap();
    command(&["test", path]).assert_refused(1, &["flood.goldens has no golden lines", ".jsonl"]);
    let story = goldens.join("first.jsonl");
    std::fs::write(&story, "{\"body\": \"hello\"}\n{\"body\": \"hello\", \"expect\": \"bounce\"}\n").unwrap();
    let failed = command(&["--json", "test", path]);
    failed.assert_refused(1, &["flood does not do what its golden files say"]);
    let found = object(&failed.out);
    assert_eq!((&found["native"], &found["lines"]), (&Value::Null, &json!(2)), "{found}");
    let wrong = found["wrong"].as_array().unwrap();
    assert!(wrong.len() == 1 && wrong[0].as_str().unwrap().contains("first.jsonl:2: "), "{found}");

    let blessed = command(&["test", path, "--bless"]);
    assert!(blessed.err.contains("1 golden lines say something else now, 2 another fuel"), "{blessed:?}");
    let out = blessed.assert_good();
    assert!(out.contains("natively: not run") && out.contains("2 golden lines, 0 wrong"), "{out}");
    let text = std::fs::read_to_string(&story).unwrap();
    assert!(text.lines().count() == 2 && text.lines().all(|line| line.contains("\"fuel\": ")), "{text}");
    assert!(text.contains("\"allow\"") && !text.contains("bounce"), "{text}");
    assert!(!folder.join("target").exists(), "nothing is built");

    // Somebody new says it each time, later: else what counts messages would refuse nearly all. Lines of other hooks, and
    // files that have no others, are left out.
    let joins = "{\"hook\": \"join\"}\n";
    std::fs::write(goldens.join("joins.jsonl"), format!("{{\"config\": {{\"nobody\": 1}}}}\n{joins}")).unwrap();
    std::fs::write(&story, text.clone() + joins).unwrap();
    // As often as it is asked, it may take longer than a command otherwise does.
    let output = place.command(&["plugin", "--json", "bench", path]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let measured = object(&String::from_utf8_lossy(&output.stdout));
    let time = |key: &str| measured[key].as_f64().unwrap();
    assert_eq!(measured["calls"], json!(100_000));
    // All of them, but for one that a busy machine kept waiting.
    assert!(measured["verdicts"]["allow"].as_u64().unwrap() > 99_000, "{measured}");
    assert!(time("mean_us") > 0.0 && time("mean_us") <= time("worst_us"), "{measured}");

    // A line is asked as it is, and a file with its configuration.
    std::fs::write(&story, "{\"body\": \"hello\"}\n{\"kind\": \"shout\", \"body\": \"hello\"}\n").unwrap();
    command(&["bench", path]).assert_refused(1, &["first.jsonl:2: no kind shout"]);
    std::fs::write(goldens.join("second.jsonl"), "{\"config\": {\"nobody\": 1}}\n{\"body\": \"hello\"}\n").unwrap();
    command(&["bench", path]).assert_refused(1, &["second.jsonl: ", "nobody"]);
}

/// It would take as long as the plugin may, 100,000 times, and measure nothing.
#[test]
fn a_bench_ends_with_the_first_call_that_fails() {
    let place = Place::new();
    let folder = place.folder.path();
    copy("test-plugins/hostile", folder);
    let (component, goldens) = (folder.join("hostile.wasm"), folder.join("hostile.goldens"));
    std::fs::create_dir(&goldens).unwrap();
    std::fs::write(goldens.join("bad.jsonl"), "{\"body\": \"hello\"}\n{\"body\": \"loop\"}\n").unwrap();
    let bench = run(&mut place.command(&["plugin", "bench", component.to_str().unwrap()]), "");
    bench.assert_refused(1, &["bad.jsonl:2: the plugin failed: timeout"]);
}
