//! What the stock lists find in real texts, and what a message costs. Reads `../../../shared/data`, and says so when
//! that is not there. `cargo test --release -p confab-words --test measure -- --ignored --nocapture`

#![expect(clippy::disallowed_methods, reason = "a test that measures")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use confab_plugin::message::{Event, Guest, Kind};
use confab_plugin::normal::{plain, skeleton};
use confab_plugin::{Form, Role, RoomRole, Verdict, lifecycle};
use confab_words::Words;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
const ALL_FLAGGED: &str = r#"{"profanity": "flag"}"#;

fn init(config: &str) {
    <Words as lifecycle::Guest>::init(config.into()).unwrap();
}

fn event(body: &str) -> Event {
    let plain = plain(body).into_owned();
    Event {
        kind: Kind::New,
        room: (0, 1),
        author: (0, 1),
        username: "somebody".into(),
        role: Role::User,
        room_role: RoomRole::Member,
        account_age_seconds: 0,
        member_seconds: 0,
        time_ms: 0,
        body: body.into(),
        skeleton: skeleton(&plain).into_owned(),
        plain,
    }
}

/// The verdict's name, its rule, and what it was found in.
fn judge(body: &str) -> Option<(&'static str, String, String)> {
    let event = event(body);
    let forms = (event.body.clone(), event.plain.clone(), event.skeleton.clone());
    let (name, finding) = match Words::decide(event) {
        Verdict::Allow | Verdict::Replace(_) => return None,
        Verdict::Flag(it) => ("flag", it.finding),
        Verdict::Hold(it) => ("hold", it),
        Verdict::Shadow(it) => ("shadow", it),
        Verdict::Bounce(it) => ("bounce", it.finding),
        Verdict::Reject(it) => ("reject", it.finding),
    };
    let span = finding.where_.expect("every finding has its place");
    let text = match span.form {
        Form::Body => forms.0,
        Form::Plain => forms.1,
        Form::Skeleton => forms.2,
    };
    let note = if finding.note.is_empty() { String::new() } else { format!(" ({})", finding.note) };
    Some((name, finding.rule, format!("{}{note}", &text[span.start as usize..span.end as usize])))
}

/// The lines of a file, by columns.
fn lines(name: &str) -> Option<Vec<Vec<String>>> {
    let path = PathBuf::from(DATA).join(name);
    if !path.exists() {
        println!("NOT MEASURED: {} is not there", path.display());
        return None;
    }
    let read = Command::new("zcat").arg(&path).output().expect("zcat");
    let text = String::from_utf8_lossy(&read.stdout).into_owned();
    Some(text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect())
}

fn labelled(name: &str, wanted: &[&str]) {
    let Some(lines) = lines(name) else { return };
    // Label -> texts, found, held or more.
    let mut labels: BTreeMap<String, (usize, usize, usize)> = BTreeMap::new();
    let mut causes: BTreeMap<(String, String), usize> = BTreeMap::new();
    for line in lines.iter().filter(|line| line.len() == 2) {
        let entry = labels.entry(line[0].clone()).or_default();
        entry.0 += 1;
        if let Some((verdict, rule, cause)) = judge(&line[1]) {
            entry.1 += 1;
            entry.2 += usize::from(verdict != "flag");
            if !wanted.contains(&line[0].as_str()) {
                *causes.entry((rule, cause)).or_default() += 1;
            }
        }
    }
    for (label, (texts, found, held)) in &labels {
        let share = |part: usize| 100.0 * part as f64 / *texts as f64;
        println!("{name} {label}: {texts}, found {:.2} %, of them held {:.2} %", share(*found), share(*held));
    }
    let sum = |is_wanted: bool, of: fn(&(usize, usize, usize)) -> usize| -> usize {
        labels.iter().filter(|(label, _)| wanted.contains(&label.as_str()) == is_wanted).map(|(_, it)| of(it)).sum()
    };
    let (good, bad, all) = (sum(true, |it| it.1), sum(false, |it| it.1), sum(true, |it| it.0));
    println!("{name} precision {:.3}, recall {:.3}", good as f64 / (good + bad) as f64, good as f64 / all as f64);
    show(causes, 25);
}

fn show(causes: BTreeMap<(String, String), usize>, most: usize) {
    let mut causes: Vec<_> = causes.into_iter().collect();
    causes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    for ((rule, cause), count) in causes.iter().take(most) {
        println!("    {count:4} {rule}: {cause}");
    }
}

#[test]
#[ignore = "measures"]
fn what_is_found_in_labelled_texts() {
    for (config, about) in [("{}", "default"), (ALL_FLAGGED, "profanity flagged")] {
        println!("== {about}");
        init(config);
        labelled("labelled-offensive-en.tsv.gz", &["hate", "offensive"]);
        labelled("labelled-spam-en.tsv.gz", &["spam"]);
    }
}

#[test]
#[ignore = "measures"]
fn what_is_found_in_ordinary_chat() {
    let Some(lines) = lines("chat-ubuntu-irc.tsv.gz") else { return };
    let texts: Vec<&String> = lines.iter().filter_map(|line| line.get(3)).collect();
    for (config, about) in [("{}", "default"), (ALL_FLAGGED, "profanity flagged")] {
        init(config);
        let (mut verdicts, mut causes) = (BTreeMap::<(String, String), usize>::new(), BTreeMap::new());
        for (verdict, rule, cause) in texts.iter().filter_map(|text| judge(text)) {
            *verdicts.entry((verdict.into(), rule.clone())).or_default() += 1;
            *causes.entry((format!("{verdict} {rule}"), cause)).or_default() += 1;
        }
        println!("== {about}: {} lines", texts.len());
        for ((verdict, rule), count) in &verdicts {
            println!("{verdict} {rule}: {count}, {:.2} of 10,000", 1e4 * *count as f64 / texts.len() as f64);
        }
        show(causes, 60);
    }
}

#[test]
#[ignore = "measures"]
fn what_a_message_costs() {
    let Some(lines) = lines("chat-ubuntu-irc.tsv.gz") else { return };
    for config in ["{}", "{}", ALL_FLAGGED, r#"{"spam": "off"}"#] {
        let started = Instant::now();
        init(config);
        println!("init {config}: {:?}", started.elapsed());
    }
    for config in ["{}", ALL_FLAGGED, r#"{"spam": "off"}"#] {
        init(config);
        let events: Vec<Event> = lines.iter().filter_map(|line| line.get(3)).take(50_000).map(|it| event(it)).collect();
        let (count, started) = (events.len() as u32, Instant::now());
        events.into_iter().for_each(|event| {
            std::hint::black_box(Words::decide(event));
        });
        println!("{config}: {:?} a message of real chat", started.elapsed() / count);
    }
    let regexes: Vec<String> = (0..60).map(|number| format!(r"\bbad(ly|ness)?[- ]word{number}\b")).collect();
    let list = serde_json::json!({ "name": "own", "action": "flag", "regexes": regexes });
    init(&serde_json::json!({ "profanity": "flag", "lists": [list] }).to_string());
    println!("with 60 regexes of the operator's own:");
    for (about, body) in [
        ("60 bytes", "does anybody know how to mount a usb disk on this machine??".to_owned()),
        ("60 bytes, odd", "does anybody know h0w to mount a usb disk on this machinnnne".to_owned()),
        ("60 bytes, not ASCII", "kennt jemand ein Ger\u{e4}t, das \u{fc}ber USB so schnell geht wie das".to_owned()),
        ("16 KiB of words", "all the words of a long text ".repeat(564)),
        ("16 KiB of one letter", "u".repeat(16 * 1024)),
        ("16 KiB of spelled letters", "f u c k ".repeat(2048)),
        ("16 KiB of a slur's beginning", "nigge ".repeat(2730)),
        ("16 KiB of allowed words", "maine coon ".repeat(1489)),
        ("16 KiB of hits", "fuck ".repeat(3276)),
        ("16 KiB of signs", "free win prize ".repeat(1092)),
        ("16 KiB that is not ASCII", "gr\u{fc}\u{df}e an alle w\u{f6}rter ".repeat(650)),
        ("16 KiB of what a regex has, not ASCII", "badly word7\u{e9} ".repeat(1170)),
        ("16 KiB of ones", "1l".repeat(8192)),
    ] {
        let rounds = if body.len() > 100 { 20 } else { 20_000 };
        let events: Vec<Event> = (0..rounds).map(|_| event(&body)).collect();
        let started = Instant::now();
        events.into_iter().for_each(|event| {
            std::hint::black_box(Words::decide(event));
        });
        println!("{about}: {:?}", started.elapsed() / rounds);
    }
}

/// Bytes that the process had at most so far.
fn most_memory() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<usize>().ok()
}

#[test]
#[ignore = "measures; by itself, or what others took counts"]
fn what_lists_take_in_memory() {
    println!("before: {:?} KiB", most_memory());
    init("{}");
    println!("stock lists: {:?} KiB", most_memory());
    for count in [1_000_u64, 5_000] {
        let mut seed = 1_u64;
        let mut word = || -> String {
            let mut letter = || {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                char::from(b'a' + ((seed >> 33) % 26) as u8)
            };
            (0..9).map(|_| letter()).collect()
        };
        let words: Vec<String> = (0..count).map(|_| word()).collect();
        let list = serde_json::json!({ "name": "many", "action": "flag", "words": words });
        let started = Instant::now();
        init(&serde_json::json!({ "spam": "off", "lists": [list] }).to_string());
        println!("{count} words: {:?} KiB, init {:?}", most_memory(), started.elapsed());
    }
}
