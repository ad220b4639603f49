//! Stories with the verdicts that they must have, and what ordinary people's chat comes to.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use confab_plugin::golden::{Hooks, check_folder};
use confab_plugin::message::{Event, Guest as Message};
use confab_plugin::{Verdict, lifecycle};

use super::{Config, Flood, Look, Print};

thread_local! {
    static COUNTS: Cell<Vec<(String, String)>> = const { Cell::new(Vec::new()) };
}

fn init(config: String) -> Result<(), String> {
    <Flood as lifecycle::Guest>::init(config)
}

#[test]
fn goldens() {
    let message = Some(<Flood as Message>::decide as fn(Event) -> Verdict);
    check_folder(
        concat!(env!("CARGO_MANIFEST_DIR"), "/goldens"),
        Hooks { init: Some(init), message, ..Hooks::default() },
    );
}

#[test]
fn operators_are_told_what_is_wrong() {
    for (json, expected) in [
        (r#"{"mesages": 3}"#, "unknown field `mesages`"),
        (r#"{"messages": "3"}"#, "invalid type"),
        (r#"{"messages": 101}"#, "messages = 101: give 0 to 100"),
        (r#"{"caps_percent": 10}"#, "caps_percent = 10: give 50 to 100"),
        (r#"{"within_seconds": 0}"#, "within_seconds = 0: give 1 to 3600"),
        (r#"{"repeat_action": "ban"}"#, "unknown variant `ban`"),
        ("[", "configuration of flood: "),
    ] {
        let error = init(json.to_owned()).expect_err(json);
        assert!(error.contains(expected) && !error.contains('\n'), "{error}");
    }
    init(r#"{"messages": 0, "caps_action": "off"}"#.to_owned()).expect("good");
}

#[test]
fn texts_that_look_the_same_are_the_same() {
    let print = |text: &str| Print::of(text, 80).hash;
    let long = "come all of you to the very best place of them all";
    for (one, other, is_same) in [
        ("buy it now", "buy  it\nnow!!", true),
        ("buy it now", "buy it not", false),
        ("c", "c++", false),
        ("guess 41", "guess 42", false),
        (long, &format!("12 {long} - 4821 :)"), true),
        (long, &format!("{long} tomorrow"), false),
        ("+1", "-1", false),
    ] {
        assert_eq!(print(one) == print(other), is_same, "{one:?} {other:?}");
    }
}

#[test]
fn lines_letters_and_emoji_are_counted() {
    for (body, lines, emoji, upper, lower) in [
        ("one\ntwo\r\nthree\rfour\u{2028}five\n", 5, 0, 0, 19),
        ("\u{130}STANBUL \u{df}\u{17f}", 1, 0, 8, 2),
        ("\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}\u{1f44d}\u{1f3fd}\u{1f1e9}\u{1f1ea}", 1, 3, 0, 0),
        ("\u{1f7e9}\u{1f7e8}\u{2b1b}\u{2b1c}", 1, 1, 0, 0),
        ("\u{13a0}\u{13a1} \u{65e5}\u{672c} \u{2654} \u{2192}", 1, 0, 0, 0),
    ] {
        assert_eq!(Look::of(body), Look { lines, emoji, upper, lower }, "{body:?}");
    }
}

#[test]
fn anything_is_decided() {
    let pieces = ["A", "\u{1f600}", "\u{200d}", " ", "\n", "\u{130}", "\u{301}", "'", "\u{0}", "9", ","];
    for (seed, length) in (0..400_u32).zip((0..).step_by(7)) {
        let at = |n: u32| (n.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 7) as usize % pieces.len();
        let body: String = (0..length).map(|n| pieces[at(n * seed)]).collect();
        let look = Look::of(&body);
        super::shout::is_shouting(&Config::DEFAULT, &look, &body);
        assert!(Print::of(&body, 80).length <= body.len() as u32);
    }
}

/// Counts what is found, and lets it pass.
fn counted(event: Event) -> Verdict {
    let body = event.body.clone();
    let finding = match <Flood as Message>::decide(event) {
        Verdict::Flag(it) => Some(("flag", it.finding)),
        Verdict::Hold(it) => Some(("hold", it)),
        Verdict::Bounce(it) => Some(("bounce", it.finding)),
        Verdict::Reject(it) => Some(("reject", it.finding)),
        _ => None,
    };
    let mut counts = COUNTS.take();
    counts.extend(finding.map(|(verdict, it)| (format!("{verdict} {}", it.rule), body)));
    COUNTS.set(counts);
    Verdict::Allow
}

/// What ordinary chat comes to with the defaults; run with `--ignored --nocapture`.
#[test]
#[ignore = "long, and reads data that is not part of the repository"]
fn ordinary_chat() {
    const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/chat-ubuntu-irc.tsv.gz");
    let Some(lines) = chat(PATH) else {
        println!("flood: {PATH} is not there or zcat is not: NOTHING WAS MEASURED");
        return;
    };
    let folder = std::env::temp_dir().join(format!("confab-flood-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("folder");
    std::fs::write(folder.join("chat.jsonl"), &lines).expect("file");
    let hooks = Hooks { init: Some(init), message: Some(counted), ..Hooks::default() };
    check_folder(folder.to_str().expect("utf-8"), hooks);
    std::fs::remove_dir_all(&folder).expect("remove");
    let mut rules = BTreeMap::<String, Vec<String>>::new();
    for (rule, body) in COUNTS.take() {
        rules.entry(rule).or_default().push(body);
    }
    println!("{} messages", lines.lines().count());
    for (rule, bodies) in &rules {
        println!("{rule}: {}", bodies.len());
        if rule.ends_with("rate") || rule.starts_with("bounce") {
            assert!(bodies.len() * 10_000 < lines.lines().count(), "{rule}: too many for ordinary chat");
        }
    }
}

/// The chat as a golden file that expects nothing: minutes as days have them, their messages spread evenly.
fn chat(path: &str) -> Option<String> {
    std::fs::metadata(path).ok()?;
    let output = std::process::Command::new("zcat").arg(path).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.splitn(4, '\t').collect()).collect();
    let mut story = String::new();
    for minute in rows.chunk_by(|one, other| one[..2] == other[..2]) {
        let number = |text: &str| text.parse::<u64>().expect("number");
        let (day, time) = (minute[0][0], minute[0][1]);
        let days = (number(&day[..4]) * 12 + number(&day[5..7])) * 31 + number(&day[8..10]);
        let start = ((days * 24 + number(&time[..2])) * 60 + number(&time[3..5])) * 60_000;
        for (at, row) in (0..).zip(minute) {
            let author =
                row[2].bytes().fold(7_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
            let time_ms = start + at * 60_000 / minute.len() as u64;
            let body = if row[3].trim().is_empty() { "-" } else { row[3] };
            let case = serde_json::json!({ "author": author, "time_ms": time_ms, "body": body });
            writeln!(story, "{case}").expect("string");
        }
    }
    Some(story)
}
