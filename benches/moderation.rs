//! The stock plugins over what people really write, on one core: what the chain costs a message with 0, 1, 3 and 6 of
//! them, beside the same rules in native Rust; what they say of ordinary chat; and what they find in labelled sets.
//! Reads `../shared/data`, and says so when that is not there.

mod support;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use confab::clock::{Clock, SystemClock};
use confab::config::{Config, Plugins};
use confab::core::hook::{MessageEvent, Moderator, Presently, Ruling, TextKind};
use confab::metrics::Metrics;
use confab::plugin::PluginSet;
use confab_plugin::message::{Event, Guest, Kind};
use confab_plugin::normal::{plain, skeleton};
use confab_plugin::{Role, RoomRole, Verdict, lifecycle};
use confab_protocol::model::{Millis, RoomId, RoomRole as MemberRole, ServerRole, UserId};
use support::process::Cores;
use support::{elapsed, median, print_table, verdict};

const CHAIN: [&str; 6] = ["sanitize", "words", "links", "mentions", "newcomer", "flood"];
const ROUNDS: usize = 9;
/// Messages of the log that costs are measured over, each round.
const MEASURED: usize = 4_000;
/// One stock plugin, microseconds a message.
const PLUGIN_MAX_US: f64 = 4.0;
const MORNING: u64 = 1_770_000_000_000;

/// A message of the log.
struct Said {
    author: u128,
    time: Millis,
    body: String,
}

fn main() {
    if !support::is_wanted() {
        return;
    }
    let Some(log) = log() else {
        println!("not measured: chat-ubuntu-irc.tsv.gz is not there");
        return;
    };
    // Loading starts threads, which inherit the core.
    let _cores = Cores::claim();
    costs(&log);
    ordinary(&log);
    labelled();
}

fn read(name: &str) -> Option<String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(name);
    let output = path.exists().then(|| Command::new("zcat").arg(&path).output())?.ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// With a minute's messages spread over the minute, as the log has no seconds.
fn log() -> Option<Vec<Said>> {
    let text = read("chat-ubuntu-irc.tsv.gz")?;
    let (mut said, mut days): (Vec<Said>, BTreeMap<String, u64>) = (Vec::new(), BTreeMap::new());
    for line in text.lines() {
        let [day, minute, nick, body] = line.splitn(4, '\t').collect::<Vec<_>>()[..] else { continue };
        let next = days.len() as u64;
        let day = *days.entry(day.to_owned()).or_insert(next);
        let Some((hour, minute)) = minute.split_once(':') else { continue };
        let minutes: u64 = hour.parse::<u64>().unwrap_or(0) * 60 + minute.parse::<u64>().unwrap_or(0);
        let at = MORNING + (day * 1_440 + minutes) * 60_000;
        let author = nick
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
        said.push(Said { author: author.into(), time: Millis(at), body: body.to_owned() });
    }
    for of_minute in said.chunk_by_mut(|one, other| one.time == other.time) {
        let step = 60_000 / of_minute.len() as u64;
        for (number, one) in (0..).zip(of_minute) {
            one.time.0 += number * step;
        }
    }
    Some(said)
}

fn load(chain: &[&str]) -> PluginSet {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let chain = chain.iter().map(|&id| id.to_owned()).collect();
    let plugins = Plugins { chain, ..Config::default().plugins };
    let loaded = PluginSet::load(&plugins, confab::assets::PLUGINS, None, &clock, &Metrics::new());
    loaded.unwrap_or_else(|error| panic!("{error}; build them with `cargo xtask plugins`"))
}

/// As an account of long standing writes.
fn event(said: &Said) -> MessageEvent<'_> {
    MessageEvent {
        kind: TextKind::New,
        room: RoomId::from_u128(1),
        author: UserId::from_u128(said.author),
        username: "somebody",
        role: ServerRole::User,
        account_created: Millis(1),
        member: Some(Presently { role: MemberRole::Member, joined: Millis(1) }),
        now: said.time,
        body: &said.body,
        earlier: None,
        context: None,
        about: None,
    }
}

fn costs(log: &[Said]) {
    let messages = log.get(..MEASURED).unwrap_or(log);
    let mut rows = Vec::new();
    let mut none = 0.0;
    for count in [0, 1, 3, 6] {
        let chain = CHAIN.get(..count).unwrap_or_default();
        let sandboxed = sandboxed_us(&load(chain), messages);
        let native = native_us(chain, messages);
        if count == 0 {
            none = sandboxed;
        }
        let each = (sandboxed - none) / (count.max(1) as f64);
        rows.push(vec![
            if count == 0 { "none".into() } else { chain.join(" ") },
            format!("{sandboxed:.2}"),
            format!("{native:.2}"),
            format!("{each:.2}"),
            verdict(each <= PLUGIN_MAX_US),
        ]);
    }
    let head = ["chain, real messages", "sandboxed us", "native us", "each plugin us", "<= 4"];
    print_table("What the chain costs a message", &head, &rows);
}

fn sandboxed_us(plugins: &PluginSet, messages: &[Said]) -> f64 {
    support::run(async {
        let mut rounds = [0.0; ROUNDS];
        for round in &mut rounds {
            let start = elapsed();
            for said in messages {
                black_box(plugins.decide_message(black_box(event(said))).await);
            }
            *round = us_each(start, messages.len());
        }
        median(&rounds)
    })
}

/// The same rules, compiled into this program; their events are made beforehand.
fn native_us(chain: &[&str], messages: &[Said]) -> f64 {
    let ask = |id: &str| -> fn(Event) -> Verdict {
        match id {
            "sanitize" => <confab_sanitize::Sanitize as Guest>::decide,
            "words" => <confab_words::Words as Guest>::decide,
            "links" => <confab_links::Links as Guest>::decide,
            "mentions" => <confab_mentions::Mentions as Guest>::decide,
            "newcomer" => <confab_newcomer::Newcomer as Guest>::decide,
            _ => <confab_flood::Flood as Guest>::decide,
        }
    };
    for init in [
        <confab_words::Words as lifecycle::Guest>::init,
        <confab_links::Links as lifecycle::Guest>::init,
        <confab_mentions::Mentions as lifecycle::Guest>::init,
        <confab_newcomer::Newcomer as lifecycle::Guest>::init,
        <confab_flood::Flood as lifecycle::Guest>::init,
    ] {
        init("{}".to_owned()).expect("the defaults are good");
    }
    let chain: Vec<_> = chain.iter().map(|id| ask(id)).collect();
    let mut rounds = [0.0; ROUNDS];
    for round in &mut rounds {
        let events: Vec<Vec<Event>> = messages.iter().map(|said| vec![native_event(said); chain.len()]).collect();
        let start = elapsed();
        for of_message in events {
            for (decide, event) in chain.iter().zip(of_message) {
                black_box(decide(black_box(event)));
            }
        }
        *round = us_each(start, messages.len());
    }
    median(&rounds)
}

fn native_event(said: &Said) -> Event {
    let plain = plain(&said.body).into_owned();
    Event {
        kind: Kind::New,
        room: (0, 1),
        author: ((said.author >> 64) as u64, said.author as u64),
        username: "somebody".into(),
        role: Role::User,
        room_role: RoomRole::Member,
        account_age_seconds: 1 << 30,
        member_seconds: 1 << 30,
        time_ms: said.time.0,
        body: said.body.clone(),
        skeleton: skeleton(&plain).into_owned(),
        plain,
    }
}

fn us_each(start: Duration, count: usize) -> f64 {
    (elapsed() - start).as_secs_f64() * 1e6 / count.max(1) as f64
}

/// What was said, by verdict and rule.
type Counts = BTreeMap<(String, String), u64>;

fn note(counts: &mut Counts, ruling: &Ruling) {
    for mark in &ruling.marks {
        if mark.rule == "failed" {
            println!("{}", mark.note);
        }
        *counts.entry((mark.verdict.to_owned(), format!("{} {}", mark.plugin, mark.rule))).or_default() += 1;
    }
}

fn ordinary(log: &[Said]) {
    let (none, all) = (load(&[]), load(&CHAIN));
    let rate = |plugins: &PluginSet| {
        support::run(async {
            let (start, mut counts) = (elapsed(), Counts::new());
            for said in log {
                note(&mut counts, &plugins.decide_message(event(said)).await);
            }
            (log.len() as f64 / (elapsed() - start).as_secs_f64(), counts)
        })
    };
    let (of_none, _) = rate(&none);
    let (of_all, counts) = rate(&all);
    let refusals: u64 =
        counts.iter().filter(|(key, _)| matches!(key.0.as_str(), "reject" | "bounce")).map(|(_, count)| count).sum();
    let per_ten_thousand = |count: u64| count as f64 * 1e4 / log.len() as f64;
    println!("\n{} ordinary messages, all six: {of_all:.0} a second ({of_none:.0} with none)", log.len());
    println!("rejected or bounced: {:.2} of 10,000", per_ten_thousand(refusals));
    let rows: Vec<_> = counts
        .iter()
        .map(|((verdict, rule), count)| {
            vec![format!("{verdict} by {rule}"), count.to_string(), format!("{:.2}", per_ten_thousand(*count))]
        })
        .collect();
    print_table("Verdicts on ordinary messages", &["verdict", "messages", "of 10,000"], &rows);
}

/// How many of each label got any verdict but "allow" and "replace", by plugin.
fn labelled() {
    for (file, harmless) in [("labelled-offensive-en.tsv.gz", "neither"), ("labelled-spam-en.tsv.gz", "ham")] {
        let Some(text) = read(file) else {
            println!("not measured: {file} is not there");
            continue;
        };
        let lines: Vec<(&str, &str)> = text.lines().filter_map(|line| line.split_once('\t')).collect();
        let mut rows = Vec::new();
        for chain in [&CHAIN[1..2], &CHAIN[2..3], &CHAIN[3..4], &CHAIN[4..5], &CHAIN[5..6], &CHAIN[..]] {
            rows.push(judged(chain, &lines, harmless));
        }
        let head = ["plugin, defaults", "found", "falsely", "missed", "precision", "recall"];
        print_table(&format!("{file}, {} texts, harmless: {harmless}", lines.len()), &head, &rows);
    }
}

fn judged(chain: &[&str], lines: &[(&str, &str)], harmless: &str) -> Vec<String> {
    let plugins = load(chain);
    let (mut found, mut falsely, mut missed) = (0_u32, 0_u32, 0_u32);
    support::run(async {
        for (number, (label, body)) in (1_u64..).zip(lines) {
            if body.is_empty() {
                continue;
            }
            let time = Millis(MORNING + number * 60_000);
            let said = Said { author: number.into(), time, body: (*body).to_owned() };
            let ruling = plugins.decide_message(event(&said)).await;
            let is_found = ruling.marks.iter().any(|mark| mark.verdict != "replace");
            match (is_found, *label == harmless) {
                (true, false) => found += 1,
                (true, true) => falsely += 1,
                (false, false) => missed += 1,
                (false, true) => {}
            }
        }
    });
    let share = |part: u32, rest: u32| {
        if part + rest == 0 { "-".to_owned() } else { format!("{:.3}", f64::from(part) / f64::from(part + rest)) }
    };
    let name = if chain.len() == 1 { chain.concat() } else { "all six".to_owned() };
    vec![name, found.to_string(), falsely.to_string(), missed.to_string(), share(found, falsely), share(found, missed)]
}
