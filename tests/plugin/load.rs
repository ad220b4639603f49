//! What is refused before a server runs, and that the refusal says what to do.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::symlink;
use std::path::Path;

use confab::config::{Config, Mode, Plugins};
use confab::core::hook::Moderator;
use confab::metrics::Metrics;
use confab::plugin::installed::{Entry, Home, Installed, Kept};
use serde_json::{Value, json};

use super::{built, folder, plugins, with_replaced};
use crate::support::guests::{copied, load, load_with};

fn assert_refused(plugins: &Plugins, words: &[&str]) {
    let Err(error) = load(plugins) else { panic!("it was loaded; expected {words:?}") };
    assert!(!error.contains(char::is_control), "one line, which moves nothing on a terminal: {error:?}");
    for word in words {
        assert!(error.contains(word), "{word:?} is missing: {error}");
    }
}

/// The hostile guest alone, with one of its files changed.
fn hostile(folder: &Path) -> Plugins {
    Plugins { chain: vec!["hostile".into()], ..plugins(folder) }
}

#[test]
fn what_is_granted_loads_and_is_ready() {
    let folder = folder();
    let set = load(&plugins(folder.path())).unwrap();
    assert!(set.is_ready());
    let stock = Plugins { dir: None, chain: vec!["sanitize".into()], grant: BTreeMap::new(), ..plugins(folder.path()) };
    assert!(load(&stock).unwrap().is_ready(), "the stock plugin is inside the server and wants nothing");
    assert!(load(&Plugins { chain: Vec::new(), ..stock }).unwrap().is_ready(), "no plugin at all is a choice");
}

#[test]
fn a_missing_file_is_named() {
    let folder = folder();
    let mut nobody = hostile(folder.path());
    nobody.chain = vec!["nobody".into()];
    assert_refused(&nobody, &["plugin nobody", "nobody.wasm", "No such file"]);
    nobody.dir = None;
    assert_refused(&nobody, &["plugin nobody", "nobody.wasm", "plugins.dir"]);
    std::fs::remove_file(folder.path().join("hostile.toml")).unwrap();
    assert_refused(&hostile(folder.path()), &["plugin hostile", "hostile.toml"]);
}

#[test]
fn a_path_is_no_plugin_id() {
    // The chain names plugins; it must not reach outside the folder.
    let folder = folder();
    let inner = folder.path().join("inner");
    std::fs::create_dir(&inner).unwrap();
    let mut outside = hostile(&inner);
    outside.chain = vec!["../hostile".into()];
    assert_refused(&outside, &["plugin ../hostile", "no id of a plugin"]);
}

#[test]
fn a_bad_manifest_is_explained() {
    let folder = folder();
    let path = folder.path().join("hostile.toml");
    let good = std::fs::read_to_string(&path).unwrap();
    for (manifest, word) in [
        (good.replace("id = \"hostile\"", "id = \"other\""), "other"),
        (good.replace("id = \"hostile\"", "id = \"\\u001b[2Jother\""), "id in the manifest"),
        (good.replace("api = \"0.1\"", "api = \"0.9\""), "0.9"),
        (good.replace("\"login\"", "\"dream\""), "dream"),
        (good.replace("\"message\", ", ""), "hook message"),
        (good.replace("\"hold\"", "\"explode\""), "explode"),
        (format!("{good}\nnetwork = true\n"), "network"),
        ("= nonsense =".to_owned(), "manifest"),
        (String::new(), "manifest"),
    ] {
        std::fs::write(&path, manifest).unwrap();
        assert_refused(&hostile(folder.path()), &["plugin hostile", word]);
    }
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    assert_refused(&hostile(folder.path()), &["plugin hostile", "UTF-8"]);
}

#[test]
fn a_capability_must_be_declared_and_granted() {
    let folder = folder();
    let ungranted = Plugins { grant: BTreeMap::new(), ..hostile(folder.path()) };
    let words = ["plugin hostile", "capability log", "plugins.grant", "`confab plugin grant hostile log,kv`"];
    assert_refused(&ungranted, &words);
    let misspelt = Plugins { grant: super::granted(&["logs"]), ..hostile(folder.path()) };
    assert_refused(&misspelt, &["log", "plugins.grant"]);
    let path = folder.path().join("hostile.toml");
    let undeclared = std::fs::read_to_string(&path).unwrap().replace("[\"log\", \"kv\"]", "[]");
    std::fs::write(&path, undeclared).unwrap();
    assert_refused(&hostile(folder.path()), &["plugin hostile", "log", "manifest"]);
}

#[test]
fn what_is_no_component_is_refused() {
    let folder = folder();
    let path = folder.path().join("hostile.wasm");
    let whole = std::fs::read(&path).unwrap();
    for wasm in [
        b"".to_vec(),
        b"garbage".to_vec(),
        b"\0asm\x01\0\0\0".to_vec(), // a core module
        whole[..whole.len() / 2].to_vec(),
        b"(component)".to_vec(), // text is for people
    ] {
        std::fs::write(&path, wasm).unwrap();
        assert_refused(&hostile(folder.path()), &["plugin hostile", "not a component", "confab plugin build"]);
    }
}

/// What may never end is not begun, and what is longer than any plugin is not read.
#[test]
fn files_that_no_plugin_has_are_refused() {
    let folder = folder();
    let (plugins, path) = (hostile(folder.path()), |name: &str| folder.path().join(name));
    std::fs::create_dir(path("hostile.goldens")).unwrap();
    let story = path("hostile.goldens/story.jsonl");
    symlink("/dev/null", &story).unwrap();
    assert_refused(&plugins, &["plugin hostile", "story.jsonl", "no regular file"]);
    std::fs::remove_file(&story).unwrap();
    for (name, bytes) in [("hostile.toml", 65 << 10), ("hostile.wasm", 129 << 20)] {
        let good = std::fs::read(path(name)).unwrap();
        // A hole behind it, which takes no room.
        File::options().write(true).open(path(name)).unwrap().set_len(bytes).unwrap();
        assert_refused(&plugins, &["plugin hostile", name, "too long"]);
        std::fs::remove_file(path(name)).unwrap();
        symlink("/dev/null", path(name)).unwrap();
        assert_refused(&plugins, &["plugin hostile", name, "no regular file"]);
        std::fs::remove_file(path(name)).unwrap();
        std::fs::write(path(name), good).unwrap();
    }
    load(&plugins).unwrap();
}

#[test]
fn another_contract_is_refused() {
    let folder = folder();
    let path = folder.path().join("hostile.wasm");
    std::fs::write(&path, b"\0asm\x0d\0\x01\0").unwrap(); // an empty component
    assert_refused(&hostile(folder.path()), &["plugin hostile", "hook message"]);
    let wasm = std::fs::read(built("test-plugins/hostile.wasm")).unwrap();
    for (from, to, word) in [
        ("confab:plugin/message@0.1.0", "confab:plugin/message@0.9.0", "contract 0.9.0, this server speaks 0.1"),
        ("confab:plugin/log@0.1.0", "confab:plugin/log@0.9.0", "`confab plugin new` writes"),
        ("confab:plugin/types@0.1.0", "confab:plugin/types@0.9.0", "contract 0.9.0"),
        ("confab:plugin/log@0.1.0", "confab:plugin/net@0.1.0", "imports net"),
        ("confab:plugin/log@0.1.0", "wasi:clocks12/log@0.1.0", "imports wasi:clocks12/log@0.1.0"),
        ("confab:plugin/log@0.1.0", "wasi:clocks12/log@0.1.0", "without it by --stub-wasi"),
    ] {
        std::fs::write(&path, with_replaced(&wasm, from, to)).unwrap();
        assert_refused(&hostile(folder.path()), &["plugin hostile", word]);
    }
}

#[test]
fn memory_that_cannot_hold_the_guest_is_told_at_load() {
    let folder = folder();
    let tight = Plugins { memory_mib: 1, ..hostile(folder.path()) };
    assert_refused(&tight, &["plugin hostile", "cannot be instantiated", "plugins.memory_mib", "interpreted"]);
}

/// It would look like one that holds.
#[test]
fn a_configuration_that_nobody_reads_is_refused() {
    let folder = copied(&["test-plugins/surveyor"]);
    let configured = |table: Value| Plugins {
        chain: vec!["surveyor".into()],
        grant: [("surveyor".to_owned(), vec!["context".to_owned()])].into(),
        config: [("surveyor".to_owned(), table)].into(),
        ..plugins(folder.path())
    };
    load(&configured(json!({}))).unwrap();
    assert_refused(&configured(json!({ "lists": ["mine"] })), &["plugin surveyor", "exports no lifecycle"]);
}

/// As `confab plugin install` does it, and as a server loads it.
#[test]
fn what_was_changed_after_it_was_installed_is_refused() {
    let (place, stories) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let line = "{\"body\": \"reject\", \"expect\": \"reject\"}\n";
    std::fs::write(stories.path().join("first.jsonl"), line).unwrap();
    let read = |extension: &str| std::fs::read(built(&format!("test-plugins/hostile.{extension}"))).unwrap();
    let home = Home::of(place.path());
    let kept = home.keep("hostile", &read("wasm"), &read("toml"), Some(stories.path())).unwrap();
    let Kept { sha256, files } = kept;
    let folder = place.path().join("plugins/hostile").join(&files);
    let (id, grant) = ("hostile".to_owned(), vec!["log".to_owned(), "kv".to_owned()]);
    let entry = Entry { id, mode: Mode::Enforce, sha256, files, grant, earlier: Vec::new() };
    home.write(&Installed { plugins: vec![entry.clone()] }).unwrap();
    let plugins = Plugins { chain: Vec::new(), ..Config::default().plugins };
    let start = || load_with(&plugins, Some(place.path()), &Metrics::new()).map(drop);
    start().unwrap();
    for (file, end) in [("hostile.wasm", "\0"), ("hostile.toml", "# more\n"), ("hostile.goldens/first.jsonl", line)] {
        let path = folder.join(file);
        let good = std::fs::read(&path).unwrap();
        std::fs::write(&path, [&good[..], end.as_bytes()].concat()).unwrap();
        let error = start().unwrap_err();
        assert!(error.contains(&format!("{file} is not as it was installed")), "{error}");
        std::fs::write(&path, good).unwrap();
    }
    start().unwrap();
    let files = format!("../hostile/{}", entry.files);
    home.write(&Installed { plugins: vec![Entry { files, ..entry }] }).unwrap();
    let error = start().unwrap_err();
    assert!(error.contains("plugin hostile") && error.contains("no SHA-256"), "{error}");
}

/// Nothing ends a compiler, so what is too much for it is counted before.
#[test]
fn a_function_that_is_too_long_is_not_compiled() {
    fn sized(bytes: &[u8]) -> Vec<u8> {
        let length = bytes.len();
        // In four bytes, whatever it is.
        let digits = [0, 7, 14, 21].map(|shift| ((length >> shift) & 0x7f) as u8 | if shift < 21 { 0x80 } else { 0 });
        [&digits[..], bytes].concat()
    }
    let folder = folder();
    let path = folder.path().join("hostile.wasm");
    let good = std::fs::read(&path).unwrap();
    // Beside what is in it, a module of one function that does nothing for so long.
    let with_nops = |count: usize| {
        let body = sized(&[&[0_u8][..], &vec![0x01; count], &[0x0b]].concat());
        let code = sized(&[&[1_u8][..], &body].concat());
        let module = [&b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x0a"[..], &code].concat();
        std::fs::write(&path, [&good[..], &[1], &sized(&module)].concat()).unwrap();
    };
    with_nops(1_000);
    load(&hostile(folder.path())).unwrap();
    with_nops(1 << 20);
    assert_refused(&hostile(folder.path()), &["plugin hostile", "1048578 bytes in one function", "at most 1048576"]);
}

/// Less of a compiler to trust: what no compiled guest needs is off.
#[test]
fn what_no_guest_needs_is_not_compiled() {
    /// The type of a function without parameters, and one function of it with this body.
    fn function(body: &[u8]) -> Vec<u8> {
        let length = body.len() as u8;
        [&[0x01, 4, 1, 0x60, 0, 0, 0x03, 2, 1, 0, 0x0a, length + 2, 1, length][..], body].concat()
    }
    let folder = folder();
    let path = folder.path().join("hostile.wasm");
    let good = std::fs::read(&path).unwrap();
    // Beside what is in it, a module of these sections.
    let with_module = |sections: &[u8]| {
        let module = [&b"\0asm\x01\0\0\0"[..], sections].concat();
        std::fs::write(&path, [&good[..], &[1, module.len() as u8], &module].concat()).unwrap();
    };
    for ordinary in [vec![0x05, 3, 1, 0, 1], function(&[0, 0x01, 0x0b])] {
        with_module(&ordinary);
        load(&hostile(folder.path())).unwrap();
    }
    for (sections, told) in [
        (vec![0x05, 3, 1, 4, 1], "memory64"),
        (vec![0x05, 4, 1, 3, 1, 1], "threads"),
        // Of a tag.
        (vec![0x01, 4, 1, 0x60, 0, 0, 0x0d, 3, 1, 0, 0], "exceptions"),
        // Of a structure without fields.
        (vec![0x01, 3, 1, 0x5f, 0], "gc"),
        // Of a function that is given a function of the type before.
        (vec![0x01, 9, 2, 0x60, 0, 0, 0x60, 1, 0x63, 0, 0], "function references"),
        (function(&[0, 0x12, 0, 0x0b]), "tail calls"),
        // Two vectors of nothing, one of which says where what is of the other stands.
        (function(&[0, 0x41, 0, 0xfd, 0x0f, 0x41, 0, 0xfd, 0x0f, 0xfd, 0x80, 0x02, 0x1a, 0x0b]), "relaxed SIMD"),
    ] {
        with_module(&sections);
        assert_refused(&hostile(folder.path()), &["plugin hostile", "not a component", told]);
    }
}
