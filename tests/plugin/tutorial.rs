//! docs/PLUGINS.md, line by line: each command of a `console` block is run, and what it prints is compared. `...` stands
//! for whatever it likes. What its commands print with `--json` is read afterwards, of the plugin that is there then.
//!
//! `BLESS=1 cargo test -p confab --test main plugin::tutorial` writes down what cargo locks for a new plugin, with the
//! versions of this workspace.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use confab_client::{Error, Room};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::Transport;
use crate::support::people::Person;
use crate::support::process::{Place, Running};

const DOCUMENT: &str = include_str!("../../docs/PLUGINS.md");

/// How long somebody may be at it: its commands and builds, on any machine.
const TUTORIAL_MAX: Duration = Duration::from_secs(600);
/// What a new plugin's lock is made of.
const LOCK: &str = "src/cli/plugin/scaffold/Cargo.lock.in";

/// A command, and the lines that it is to print.
struct Step<'a> {
    command: &'a str,
    expected: Vec<&'a str>,
}

fn steps() -> Vec<Step<'static>> {
    let mut steps: Vec<Step<'_>> = Vec::new();
    let mut is_inside = false;
    for line in DOCUMENT.lines() {
        match line.strip_prefix("```") {
            Some(rest) => is_inside = rest == "console",
            None if !is_inside => {}
            None => match line.strip_prefix("$ ") {
                Some(command) => steps.push(Step { command, expected: Vec::new() }),
                None => steps.last_mut().expect("a command comes first").expected.push(line),
            },
        }
    }
    steps
}

/// Whether a line is as the pattern says.
fn is_alike(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split("...");
    let Some(mut rest) = parts.next().and_then(|first| line.strip_prefix(first)) else { return false };
    let mut last = None;
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
        last = Some(part);
    }
    rest.is_empty() || last == Some("")
}

fn assert_printed(command: &str, expected: &[&str], printed: &str) {
    let mut lines = printed.lines();
    let mut skips = false;
    for pattern in expected {
        if *pattern == "..." {
            skips = true;
            continue;
        }
        let found = if skips {
            lines.any(|line| is_alike(pattern, line))
        } else {
            lines.next().is_some_and(|it| is_alike(pattern, it))
        };
        assert!(found, "$ {command}\nhas no line {pattern:?}:\n{printed}");
        skips = false;
    }
    assert!(skips || lines.next().is_none(), "$ {command}\nprints more than its lines:\n{printed}");
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn is_blessing() -> bool {
    std::env::var_os("BLESS").is_some_and(|value| value == "1")
}

struct Reader {
    place: Place,
    server: Running,
    author: Person,
    room: Room,
}

impl Reader {
    async fn sit_down() -> Self {
        let place = Place::with("plugins.chain = []");
        let server = place.serve();
        let author = place.register(Transport::WebSocket, "author").await;
        let room = author.enter("lobby").await;
        for text in ["hello", "WHERE IS EVERYBODY TODAY", "NASA says so"] {
            author.client.say(room.id, text).await.unwrap();
        }
        Self { place, server, author, room }
    }

    fn confab(&self, arguments: &[&str]) -> Command {
        let mut confab = self.place.command(arguments);
        // What the workspace is built with is here already.
        confab.current_dir(self.place.folder.path()).env("CARGO_NET_OFFLINE", "true").env_remove("CARGO_TARGET_DIR");
        confab
    }

    async fn do_as_it_says(&self, command: &str) -> String {
        let folder = self.place.folder.path();
        let words: Vec<&str> = command.split(' ').collect();
        match words[..] {
            ["confab", ref arguments @ ..] => {
                let output = self.confab(arguments).output().unwrap();
                let printed = String::from_utf8_lossy(&output.stdout).into_owned();
                assert!(output.status.success(), "{command}\n{printed}{}", String::from_utf8_lossy(&output.stderr));
                if let (["plugin", "new", id], true) = (arguments, is_blessing()) {
                    // Cargo takes out of it what the plugin has no need of.
                    std::fs::copy(root().join("Cargo.lock"), folder.join(id).join("Cargo.lock")).unwrap();
                }
                printed
            }
            ["cat", file] => std::fs::read_to_string(folder.join(file)).unwrap(),
            ["reload"] => {
                self.place.reload(&self.server);
                String::new()
            }
            ["say", ..] => match self.author.client.say(self.room.id, &command["say ".len()..]).await {
                Ok(_) => "posted\n".to_owned(),
                Err(Error::Rejected(reject)) => format!("refused: {} {}\n", reject.code, reject.detail),
                Err(other) => panic!("{other:?}"),
            },
            _ => panic!("nobody can do {command}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tutorial_does_what_it_says() {
    let reader = Reader::sit_down().await;
    let steps = steps();
    assert!(steps.len() >= 14, "{} steps", steps.len());
    let start = Instant::now();
    for Step { command, expected } in steps {
        let printed = reader.do_as_it_says(command).await;
        assert_printed(command, &expected, &printed);
        eprintln!("{:>6.1} s  $ {command}", start.elapsed().as_secs_f64());
    }
    assert!(start.elapsed() < TUTORIAL_MAX, "it takes {:?}", start.elapsed());
    assert_lock_holds(&reader);
    assert_programs_can_read_it(&reader).await;
    assert_told_what_is_wrong(&reader);
}

/// Cargo found in the lock what it builds with, nothing missing and nothing to take out.
fn assert_lock_holds(reader: &Reader) {
    let lock_in = |folder: &str| std::fs::read_to_string(reader.place.folder.path().join(folder).join("Cargo.lock"));
    let built = lock_in("no-shouting").unwrap();
    if is_blessing() {
        const PACKAGE: &str = "\n[[package]]\n";
        let others = built.split(PACKAGE).filter(|part| !part.starts_with("name = \"no-shouting\"\n"));
        std::fs::write(root().join(LOCK), others.collect::<Vec<_>>().join(PACKAGE)).unwrap();
        return;
    }
    let output = reader.confab(&["plugin", "new", "another/no-shouting"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(built, lock_in("another/no-shouting").unwrap(), "BLESS=1 writes {LOCK} anew");
}

/// What the document says that the objects of commands have.
fn documented() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let table = DOCUMENT.lines().skip_while(|line| *line != "### For programs").take_while(|line| *line != "## Hooks");
    // Words in backticks, of each cell; before the first there is nothing.
    let words = |cell: &'static str| cell.split('`').skip(1).step_by(2).collect::<Vec<_>>();
    let mut documented = BTreeMap::new();
    for row in table.filter(|line| line.starts_with("| `")) {
        let cells: Vec<Vec<&str>> = row.split('|').map(words).collect();
        let names: BTreeSet<&str> = cells[2].iter().copied().collect();
        for command in &cells[1] {
            documented.insert(*command, names.clone());
        }
    }
    documented
}

/// One line, whichever command it is, of what the document names; and it names no command that is not asked here.
async fn assert_programs_can_read_it(reader: &Reader) {
    let (documented, mut compared) = (documented(), BTreeSet::new());
    let mut object = async |arguments: &str| {
        let printed = reader.do_as_it_says(&format!("confab plugin --json {arguments}")).await;
        assert_eq!(printed.lines().count(), 1, "{arguments}: {printed}");
        let printed: Value = serde_json::from_str(&printed).unwrap();
        let object = if printed.is_array() { printed[0].clone() } else { printed };
        let names: BTreeSet<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
        let row = documented.get_key_value(arguments.split(' ').next().unwrap_or_default());
        let (command, expected) = row.unwrap_or_else(|| panic!("no row for {arguments}"));
        assert_eq!(names, *expected, "{arguments}");
        compared.insert(*command);
        object
    };
    for arguments in ["list", "promote no-shouting", "top", "replay no-shouting/target/no-shouting.wasm"] {
        object(arguments).await;
    }
    let built = object("build no-shouting").await;
    assert_eq!(built["component"], json!("no-shouting/target/no-shouting.wasm"));
    let component = object("inspect no-shouting/target/no-shouting.wasm").await;
    assert_eq!((&component["bytes"], &component["sha256"]), (&built["bytes"], &built["sha256"]));
    assert_eq!((&component["id"], &component["version"]), (&json!("no-shouting"), &json!("0.1.0")));
    assert_eq!((&component["hooks"], &component["imports"]), (&json!(["message"]), &json!([])));
    assert_eq!((&component["capabilities"], &component["not_asked_yet"]), (&json!([]), &json!([])));
    assert_eq!((&component["class"], &component["on_error"]), (&json!("compiled"), &json!("open")));
    assert!(component["compiled_ms"].is_u64(), "{component}");
    let tested = object("test no-shouting").await;
    assert_eq!((&tested["native"], &tested["lines"], &tested["wrong"]), (&json!(true), &json!(5), &json!([])));
    let fuel = |key: &str| tested["fuel"][key].as_f64().unwrap();
    assert!(fuel("mean") <= fuel("max") && fuel("max") < fuel("total"), "{tested}");
    let contract = object("wit contract").await;
    assert_eq!(contract["folder"], json!("contract"));
    let measured = object("bench no-shouting").await;
    assert_eq!(measured["calls"], json!(100_000));
    let time = |key: &str| measured[key].as_f64().unwrap();
    assert!(time("p50_us") <= time("p99_us") && time("p99_us") <= time("worst_us"), "{measured}");
    let given = |verdict: &str| measured["verdicts"][verdict].as_u64().unwrap();
    assert!(given("allow") > 59_000 && given("bounce") > 39_000, "{measured}");
    make_what_operators_need(reader);
    for arguments in OPERATED {
        object(arguments).await;
    }
    let rows: BTreeSet<&str> = documented.into_keys().collect();
    assert_eq!(compared, rows, "each command of the table");
}

/// What the tutorial has not asked for, in an order in which each has something to do. The space at the end of a grant stands
/// before nothing, which is what this plugin may be granted.
const OPERATED: [&str; 8] = [
    "new loud",
    "automod rules.json",
    "install no-shouting/target/no-shouting.wasm",
    "rollback no-shouting",
    "grant no-shouting ",
    "shadow no-shouting",
    "off no-shouting",
    "remove no-shouting",
];

/// Rules, and another version, so that there is one to go back from.
fn make_what_operators_need(reader: &Reader) {
    let folder = reader.place.folder.path();
    std::fs::write(folder.join("rules.json"), "[]").unwrap();
    let manifest = folder.join("no-shouting/target/no-shouting.toml");
    let first = std::fs::read_to_string(&manifest).unwrap();
    let second = first.replace("version = \"0.1.0\"", "version = \"0.1.1\"");
    assert_ne!(first, second);
    std::fs::write(&manifest, second).unwrap();
}

/// What the native test prints is told where it fails, beside the one object for programs.
fn assert_told_what_is_wrong(reader: &Reader) {
    let story = reader.place.folder.path().join("no-shouting/goldens/first.jsonl");
    let good = std::fs::read_to_string(&story).unwrap();
    std::fs::write(&story, format!("{good}{{\"body\": \"hello\", \"expect\": \"bounce\"}}\n")).unwrap();
    let output = reader.confab(&["plugin", "--json", "test", "no-shouting"]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && told.contains("first.jsonl:6"), "{told}");
    let tested: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&tested["native"], tested["wrong"].as_array().unwrap().len()), (&json!(false), 1), "{tested}");
    std::fs::write(&story, good).unwrap();
}

#[test]
fn lines_are_compared() {
    for (pattern, line, alike) in [
        ("a b", "a b", true),
        ("a b", "a bc", false),
        ("a ... c", "a b c", true),
        ("a ... c", "a b d", false),
        ("a...", "a and more", true),
        ("...c", "b c", true),
    ] {
        assert_eq!(is_alike(pattern, line), alike, "{pattern:?} {line:?}");
    }
}
