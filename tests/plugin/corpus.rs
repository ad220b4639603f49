//! The corpus of `plugins/corpus`: what people write in sixteen languages, through each stock plugin with its defaults,
//! in the sandbox. Ordinary texts pass as they are; how much of the abuse is found is counted, and must not get less.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use confab::core::hook::{MessageEvent, Presently, Verdict};
use confab::plugin::lab::Subject;
use confab_protocol::model::{Body, Millis, RoomId, RoomRole, UserId};
use serde::Deserialize;

use crate::support::guests::{lab, message_event};

const LANGUAGES: [&str; 16] =
    ["ar", "de", "en", "es", "fr", "hi", "it", "ja", "ko", "pl", "pt", "ru", "tr", "uk", "vi", "zh"];
/// In the order of the chain: what sanitize makes of a text is what the others see.
const PLUGINS: [&str; 6] = ["sanitize", "words", "links", "mentions", "newcomer", "flood"];

/// Of what a plugin finds, the least share that is abuse. Only flags on lines with a `known` can lower it.
const PRECISION_MIN: f64 = 0.95;
/// Of all abuse, the least share that some plugin finds; what none is made for by default is in it. Seen: 0.72.
const RECALL_MIN: f64 = 0.70;
/// Of what a plugin is made for, the least share that it finds. Seen: 0.94 (words), 0.99 (links), 1 (the others).
const OWN_RECALL_MIN: f64 = 0.92;

const LINES_MIN: usize = 40;
/// A morning in 2026; each line an hour after the one before, so that none remembers another.
const MORNING: u64 = 1_770_000_000_000;
const HOUR: u64 = 3_600_000;

/// See `plugins/corpus/README.md`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    text: String,
    label: Label,
    why: String,
    plugin: Option<String>,
    #[serde(default)]
    new: bool,
    #[serde(default = "once")]
    times: u64,
    #[serde(default = "once")]
    authors: u64,
    becomes: Option<String>,
    known: Option<String>,
    #[serde(skip)]
    language: String,
    #[serde(skip)]
    number: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Label {
    Ok,
    Spam,
    Link,
    MassMention,
    Evasion,
    Profanity,
}

const fn once() -> u64 {
    1
}

/// What a plugin did, the stronger the later.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Done {
    Altered,
    Flagged,
    Held,
    Refused,
}

/// Of one plugin in one language, or in all.
#[derive(Clone, Copy, Default, Debug)]
struct Row {
    lines: u32,
    done: [u32; 4],
    found: u32,
    falsely: u32,
    /// Lines that this plugin is made for, and those of them that it found.
    own: u32,
    own_found: u32,
}

/// What came of all lines.
#[derive(Default)]
struct Outcome {
    rows: BTreeMap<(usize, String), Row>,
    /// By language: abuse, and what of it some plugin found.
    abuse: BTreeMap<String, (u32, u32)>,
    wrong: Vec<String>,
    missed: Vec<String>,
}

#[test]
fn ordinary_texts_pass_and_abuse_is_found_in_sixteen_languages() {
    let lines: Vec<Line> = LANGUAGES.iter().flat_map(|language| read(language)).collect();
    let (subjects, mut outcome) = (subjects(), Outcome::default());
    for (place, line) in (1..).zip(&lines) {
        judge(&subjects, place, line, &mut outcome);
    }
    eprintln!("{}", outcome.table());
    eprintln!("missed, though a plugin is made for it:\n{}", outcome.missed.join("\n"));
    assert!(outcome.wrong.is_empty(), "{} lines:\n{}", outcome.wrong.len(), outcome.wrong.join("\n"));
    for (at, id) in PLUGINS.iter().enumerate() {
        let row = outcome.of_all(at);
        let (precision, recall) = (row.precision().expect("it finds some"), row.recall().expect("some are its own"));
        assert!(precision >= PRECISION_MIN, "{id}: precision {precision:.3}");
        assert!(recall >= OWN_RECALL_MIN, "{id}: recall {recall:.3} of its own");
    }
    let (all, found) = outcome.abuse.values().fold((0, 0), |sum, it| (sum.0 + it.0, sum.1 + it.1));
    let recall = share(found, all).expect("there is abuse");
    assert!(recall >= RECALL_MIN, "recall of the whole: {recall:.3}");
}

/// A check that cannot fail is none.
#[test]
fn what_is_wrong_with_a_line_is_told() {
    let subjects = subjects();
    let cases = [
        (r#"{"text": "you piece of shit", "label": "ok", "why": "x"}"#, "words flag"),
        (r#"{"text": "@everyone hello", "label": "ok", "why": "x"}"#, "mentions bounce"),
        (r#"{"text": "a\u202eb", "label": "ok", "why": "x"}"#, "sanitize makes \"ab\" of it"),
        (r#"{"text": "a\u202eb", "label": "ok", "why": "x", "becomes": "ba"}"#, "sanitize makes \"ab\" of it"),
        (r#"{"text": "@everyone hello", "label": "ok", "why": "x", "known": "x"}"#, "mentions bounce"),
        (r#"{"text": "hello", "label": "ok", "why": "x", "known": "x"}"#, "take its `known` away"),
        (r#"{"text": "you piece of shit", "label": "ok", "why": "x", "known": "x"}"#, ""),
        (r#"{"text": "hello", "label": "ok", "why": "x", "becomes": "hi"}"#, "sanitize leaves it as it is"),
        (r#"{"text": "kill yourself", "label": "profanity", "why": "x", "plugin": "none"}"#, "name words"),
        (r#"{"text": "hello", "label": "ok", "why": "x"}"#, ""),
        (r#"{"text": "hello", "label": "spam", "why": "x", "plugin": "words"}"#, ""),
    ];
    for (place, (json, told)) in (1..).zip(cases) {
        let line = Line { language: "xx".to_owned(), number: 1, ..serde_json::from_str(json).unwrap() };
        let mut outcome = Outcome::default();
        judge(&subjects, place, &line, &mut outcome);
        assert_eq!(outcome.wrong.is_empty(), told.is_empty(), "{json}: {:?}", outcome.wrong);
        assert!(outcome.wrong.iter().all(|it| it.starts_with("xx:1: ") && it.contains(told)), "{:?}", outcome.wrong);
    }
}

#[test]
fn the_corpus_is_well_formed() {
    let mut texts = BTreeSet::new();
    for language in LANGUAGES {
        let lines = read(language);
        let ordinary = lines.iter().filter(|line| line.label == Label::Ok).count();
        assert!(lines.len() >= LINES_MIN, "{language} has {} lines", lines.len());
        assert!(ordinary * 2 >= lines.len(), "{language}: most lines are ordinary, not {ordinary} of {}", lines.len());
        for line in &lines {
            let place = line.place();
            assert!(Body::parse(&line.text).is_ok(), "{place}: no body of a message");
            assert!(!line.why.is_empty(), "{place}: say why");
            assert!((1..=20).contains(&line.times) && (1..=20).contains(&line.authors), "{place}: how often");
            let is_known = |it: &str| it == "none" || PLUGINS.contains(&it);
            match &line.plugin {
                Some(plugin) => assert!(line.label != Label::Ok && is_known(plugin), "{place}: {plugin}"),
                None => assert!(line.label == Label::Ok, "{place}: which plugin is it for? or \"none\""),
            }
            assert!(line.known.is_none() || line.label == Label::Ok, "{place}: what is missed needs no `known`");
            assert!(texts.insert(line.text.clone()), "{place}: twice");
        }
    }
    let folder = std::fs::read_dir(folder()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let files: BTreeSet<String> = folder.filter(|name| name.ends_with(".jsonl")).collect();
    let read = BTreeSet::from(LANGUAGES.map(|language| format!("{language}.jsonl")));
    assert_eq!(files, read, "each file is read");
}

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/plugins/corpus"))
}

fn read(language: &str) -> Vec<Line> {
    let path = folder().join(format!("{language}.jsonl"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let line = |(number, line): (usize, &str)| {
        let read = serde_json::from_str(line).unwrap_or_else(|error| panic!("{language}:{number}: {error}"));
        Line { language: language.to_owned(), number, ..read }
    };
    (1..).zip(text.lines()).map(line).collect()
}

fn subjects() -> [Subject; 6] {
    PLUGINS.map(|id| lab(&format!("plugins/{id}")).subject("{}").unwrap())
}

fn judge(subjects: &[Subject; 6], place: u64, line: &Line, outcome: &mut Outcome) {
    let (is_ok, mut is_found, mut is_false) = (line.label == Label::Ok, false, false);
    let mut body = line.text.clone();
    for (at, (id, subject)) in PLUGINS.iter().zip(subjects).enumerate() {
        let (done, told) = send(subject, place, line, &body);
        let is_sanitizer = *id == "sanitize";
        if is_sanitizer && let Some(Verdict::Replace(text)) = &told.verdict {
            body.clone_from(text);
        }
        let is_own = if is_sanitizer { line.becomes.is_some() } else { line.plugin.as_deref() == Some(id) };
        let is_wrong = done.is_some() && is_ok && !(is_sanitizer && line.becomes.is_some());
        let row = outcome.rows.entry((at, line.language.clone())).or_default();
        row.note(done, is_wrong, is_own);
        is_false |= is_wrong;
        is_found |= done.is_some() && (done > Some(Done::Altered) || line.plugin.as_deref() == Some(id));
        if is_sanitizer {
            let expected = line.becomes.as_ref().unwrap_or(&line.text);
            if body != *expected && (is_ok || line.becomes.is_some()) {
                let what =
                    if done.is_some() { format!("makes {body:?} of it") } else { "leaves it as it is".to_owned() };
                outcome.wrong.push(format!("{}: sanitize {what}: {:?}", line.place(), line.text));
            }
        } else if is_wrong && (line.known.is_none() || done > Some(Done::Flagged)) {
            outcome.wrong.push(format!("{}: {id} {} on {:?}", line.place(), told.how, line.text));
        }
        if done.is_none() && is_own {
            outcome.missed.push(format!("{}: {id}: {:?}", line.place(), line.text));
        }
        if done > Some(Done::Altered) && line.plugin.as_deref() == Some("none") {
            outcome.wrong.push(format!("{}: found, so name {id}: {:?}", line.place(), line.text));
        }
    }
    if line.known.is_some() && !is_false {
        outcome.wrong.push(format!("{}: it passes now, take its `known` away: {:?}", line.place(), line.text));
    }
    if !is_ok {
        let abuse = outcome.abuse.entry(line.language.clone()).or_default();
        *abuse = (abuse.0 + 1, abuse.1 + u32::from(is_found));
    }
}

/// The strongest that came of a text.
#[derive(Default)]
struct Told {
    verdict: Option<Verdict>,
    /// For the reader of a failure.
    how: String,
}

/// Sends a line as often as it says, each time a second later, to a room of its own.
fn send(subject: &Subject, place: u64, line: &Line, body: &str) -> (Option<Done>, Told) {
    let (mut strongest, mut told) = (None, Told::default());
    for author in 0..line.authors {
        for time in 0..line.times {
            let now = MORNING + place * HOUR + (author * line.times + time) * 1_000;
            let since = |ago: u64| Millis(if line.new { now - ago } else { 1 });
            let ruling = subject.decide(&MessageEvent {
                room: RoomId::from_u128(place.into()),
                author: UserId::from_u128(u128::from(place) * 1_000 + u128::from(author)),
                account_created: since(60_000),
                member: Some(Presently { role: RoomRole::Member, joined: since(30_000) }),
                now: Millis(now),
                ..message_event(body)
            });
            for mark in &ruling.marks {
                assert!(mark.rule != "failed", "{}: {}", line.place(), mark.note);
                let done = match mark.verdict {
                    "replace" => Done::Altered,
                    "flag" => Done::Flagged,
                    "hold" => Done::Held,
                    "bounce" | "reject" | "shadow" => Done::Refused,
                    other => panic!("{}: {other}", line.place()),
                };
                if strongest < Some(done) {
                    strongest = Some(done);
                    told =
                        Told { verdict: Some(ruling.verdict.clone()), how: format!("{} {}", mark.verdict, mark.rule) };
                }
            }
        }
    }
    (strongest, told)
}

fn share(part: u32, whole: u32) -> Option<f64> {
    (whole > 0).then(|| f64::from(part) / f64::from(whole))
}

impl Line {
    fn place(&self) -> String {
        format!("{}:{}", self.language, self.number)
    }
}

impl Row {
    fn note(&mut self, done: Option<Done>, is_wrong: bool, is_own: bool) {
        let is_done = u32::from(done.is_some());
        self.lines += 1;
        if let Some(done) = done {
            self.done[done as usize] += 1;
        }
        self.found += is_done;
        self.falsely += u32::from(is_wrong);
        self.own += u32::from(is_own);
        self.own_found += if is_own { is_done } else { 0 };
    }

    fn and(mut self, other: &Self) -> Self {
        self.lines += other.lines;
        self.done.iter_mut().zip(other.done).for_each(|(sum, it)| *sum += it);
        self.found += other.found;
        self.falsely += other.falsely;
        self.own += other.own;
        self.own_found += other.own_found;
        self
    }

    fn precision(&self) -> Option<f64> {
        share(self.found - self.falsely, self.found)
    }

    fn recall(&self) -> Option<f64> {
        share(self.own_found, self.own)
    }
}

impl Outcome {
    fn of_all(&self, plugin: usize) -> Row {
        self.rows.iter().filter(|(key, _)| key.0 == plugin).fold(Row::default(), |sum, (_, row)| sum.and(row))
    }

    fn table(&self) -> String {
        let told = |share: Option<f64>| share.map_or("-".to_owned(), |it| format!("{it:.3}"));
        let mut table =
            "plugin    in   lines  altered  flagged  held  refused  precision  recall of its own\n".to_owned();
        let mut write = |id: &str, language: &str, row: &Row| {
            let [altered, flagged, held, refused] = row.done;
            let (precision, recall) = (told(row.precision()), told(row.recall()));
            writeln!(
                table,
                "{id:9} {language:4} {:>5} {altered:>8} {flagged:>8} {held:>5} {refused:>8} {precision:>10} {recall:>7} \
                 ({} of {})",
                row.lines, row.own_found, row.own
            )
            .unwrap();
        };
        for ((plugin, language), row) in &self.rows {
            write(PLUGINS[*plugin], language, row);
        }
        for (plugin, id) in PLUGINS.iter().enumerate() {
            write(id, "all", &self.of_all(plugin));
        }
        for (language, (all, found)) in &self.abuse {
            let recall = told(share(*found, *all));
            writeln!(table, "all six   {language}: {found} of {all} found, recall {recall}").unwrap();
        }
        table
    }
}
