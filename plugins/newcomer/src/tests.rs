//! Stories with the verdicts that they must have, and what ordinary people's chat comes to.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;

use confab_plugin::golden::{Hooks, check_folder};
use confab_plugin::message::{Event, Guest as Message};
use confab_plugin::{Verdict, join, lifecycle, register};

use super::{Newcomer, text};

thread_local! {
    static COUNTS: RefCell<BTreeMap<String, u32>> = const { RefCell::new(BTreeMap::new()) };
}

fn hooks(message: fn(Event) -> Verdict) -> Hooks {
    Hooks {
        init: Some(<Newcomer as lifecycle::Guest>::init),
        message: Some(message),
        join: Some(<Newcomer as join::Guest>::decide),
        register: Some(<Newcomer as register::Guest>::decide),
    }
}

#[test]
fn goldens() {
    check_folder(concat!(env!("CARGO_MANIFEST_DIR"), "/goldens"), hooks(<Newcomer as Message>::decide));
}

#[test]
fn operators_are_told_what_is_wrong() {
    let init = |json: &str| <Newcomer as lifecycle::Guest>::init(json.to_owned());
    for (json, expected) in [
        (r#"{"join": 3}"#, "unknown field `join`"),
        (r#"{"joins": -1}"#, "invalid value"),
        (r#"{"mentions": 21}"#, "mentions = 21: give 0 to 20"),
        (r#"{"within_seconds": 0}"#, "within_seconds = 0: give 1 to 86400"),
        (r#"{"joins_action": "hold"}"#, "unknown variant `hold`"),
        ("[", "configuration of newcomer: "),
    ] {
        let error = init(json).expect_err(json);
        assert!(error.contains(expected) && !error.contains('\n'), "{error}");
    }
    init(r#"{"joins": 0, "message_action": "bounce"}"#).expect("good");
}

#[test]
fn links_are_told_from_what_looks_like_them() {
    for link in [
        "see https://example.org",
        "see:www.example.org",
        "hxxp://example.org",
        "(discord.gg/abc)",
        "t.me/abc",
        "**bit.ly/abc**",
        "<https://example.org/a?b>",
        "http://[::1]/",
    ] {
        assert!(text::has_link(link), "{link:?}");
    }
    for other in [
        "meh :///",
        "a ://",
        "c://windows",
        "file:///etc/fstab",
        "www",
        "www. what",
        "awww.so cute",
        "src/main.rs/",
        "node.js/express and asp.net/core",
        "/etc/apt/sources.list.d/x",
        "and/or e.g./i.e. 24/7 v1.2/v1.3",
        "z.b./u.a.",
        "done.yes/no",
        "example.org",
        "std::io::read",
        "....//....",
    ] {
        assert!(!text::has_link(other), "{other:?}");
    }
    assert!(text::has_bare_host("free-coins.xyz!") && text::has_bare_host("join example.com now"));
    assert!(!text::has_bare_host("j. r. r. t.") && !text::has_bare_host("node.js") && !text::has_bare_host(".com"));
}

#[test]
fn names_are_counted_as_the_server_reads_them() {
    for (body, count) in
        [("@a @b @c @d", 3), ("@a @A, @a!", 1), ("mail a@example.org", 0), ("@ @@ @\u{e9}", 0), ("(@a)@b", 2)]
    {
        assert_eq!(text::mentions(body, 2), count, "{body:?}");
    }
}

#[test]
fn names_that_differ_in_digits_are_alike() {
    let shape = |name: &str| text::shape(name);
    assert!(shape("user0001").is_some());
    assert_eq!(shape("user0001"), shape("User-2"));
    assert_eq!(shape("a1.b2.c3"), shape("a77b8c9"));
    assert_ne!(shape("user1"), shape("1user"));
    assert_ne!(shape("user1"), shape("users1"));
    for name in ["anna", "a1", "12345", ""] {
        assert_eq!(shape(name), None, "{name:?}");
    }
}

#[test]
fn anything_is_read() {
    let pieces = ["://", "www.", "a", ".com/", "@", "\u{e9}", "/", "\u{200d}", " ", "1", "]", "."];
    for seed in 0..2_000_u32 {
        let at = |n: u32| (seed.wrapping_add(n).wrapping_mul(2_654_435_761) >> 9) as usize % pieces.len();
        let body: String = (0..seed % 40).map(|n| pieces[at(n * seed)]).collect();
        let _ = (text::has_link(&body), text::has_bare_host(&body), text::print(&body, 0), text::shape(&body));
        assert!(text::mentions(&body, 2) <= 3, "{body:?}");
    }
}

fn count(what: &str, by: u32) {
    COUNTS.with_borrow_mut(|counts| *counts.entry(what.to_owned()).or_default() += by);
}

/// Counts what is found, and lets it pass.
fn counted(event: Event) -> Verdict {
    match <Newcomer as Message>::decide(event) {
        Verdict::Flag(it) => count(&format!("flag {}", it.finding.rule), 1),
        Verdict::Hold(it) => count(&format!("hold {}", it.rule), 1),
        Verdict::Bounce(it) => count(&format!("bounce {}", it.finding.rule), 1),
        Verdict::Reject(it) => count(&format!("reject {}", it.finding.rule), 1),
        _ => {}
    }
    Verdict::Allow
}

/// What ordinary chat comes to with the defaults; run with `--ignored --nocapture`. Once with everybody's account old,
/// and once as if each had registered and come in with their first message of a day.
#[test]
#[ignore = "long, and reads data that is not part of the repository"]
fn ordinary_chat() {
    const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/chat-ubuntu-irc.tsv.gz");
    let Some(rows) = chat(PATH) else {
        println!("newcomer: {PATH} is not there or zcat is not: NOTHING WAS MEASURED");
        return;
    };
    for all_are_new in [false, true] {
        let (story, people) = story(&rows, all_are_new);
        let folder = std::env::temp_dir().join(format!("confab-newcomer-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("folder");
        std::fs::write(folder.join("chat.jsonl"), story).expect("file");
        check_folder(folder.to_str().expect("utf-8"), hooks(counted));
        std::fs::remove_dir_all(&folder).expect("remove");
        let counts = COUNTS.take();
        println!(
            "{} messages, {people} first ones of a nick and day, all are new: {all_are_new}: {counts:?}",
            rows.len()
        );
        assert!(all_are_new || counts.is_empty(), "old accounts are let alone");
    }
}

/// Day, author, time and text; the messages of a minute are spread evenly. Where the clock goes back, another day
/// begins: some of them have twelve hours twice.
type Row = (u64, u64, u64, String);

fn chat(path: &str) -> Option<Vec<Row>> {
    std::fs::metadata(path).ok()?;
    let output = std::process::Command::new("zcat").arg(path).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.splitn(4, '\t').collect()).collect();
    let (mut rows, mut part, mut latest) = (Vec::new(), 0, 0);
    for minute in lines.chunk_by(|one, other| one[..2] == other[..2]) {
        let number = |text: &str| text.parse::<u64>().expect("number");
        let (day, time) = (minute[0][0], minute[0][1]);
        let days = (number(&day[..4]) * 12 + number(&day[5..7])) * 31 + number(&day[8..10]);
        let start = ((days * 24 + number(&time[..2])) * 60 + number(&time[3..5])) * 60_000;
        part += u64::from(start < latest || start / 86_400_000 > latest / 86_400_000);
        latest = start;
        for (at, line) in (0..).zip(minute) {
            let author = line[2].bytes().fold(7, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
            let body = if line[3].trim().is_empty() { "-" } else { line[3] };
            rows.push((part, author, start + at * 60_000 / minute.len() as u64, body.to_owned()));
        }
    }
    Some(rows)
}

/// A golden file that expects nothing, and how many came.
fn story(rows: &[Row], all_are_new: bool) -> (String, usize) {
    let (mut story, mut first, mut came) = (String::new(), HashMap::new(), HashSet::new());
    for (day, author, time_ms, body) in rows {
        let author = if all_are_new { author ^ day } else { *author };
        came.insert((*day, author));
        let since = (time_ms - *first.entry((*day, author)).or_insert(*time_ms)) / 1_000;
        let mut case = serde_json::json!({ "author": author, "time_ms": time_ms, "body": body });
        if all_are_new {
            case["account_age_seconds"] = since.into();
            case["member_seconds"] = since.into();
        }
        writeln!(story, "{case}").expect("string");
    }
    (story, came.len())
}
