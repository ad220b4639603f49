//! A plugin over what was said already: what it would have said, and what that costs, before anybody enables it.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};
use confab_protocol::codec::decode_entry;
use confab_protocol::limits::{PAGE_ITEMS_MAX, PAGE_ROOMS_MAX};
use confab_protocol::model::{EntryContent, Envelope, Millis, RoomId, RoomName, RoomRole, Seq, ServerRole, UserId};
use serde_json::json;

use super::{fuel_json, open_lab, read_pair};
use crate::clock::{Clock, SystemClock, thread_cpu_time};
use crate::config::Config;
use crate::core::access::STRANGER;
use crate::core::earlier::{Earlier, Window};
use crate::core::hook::{MessageEvent, Presently, Ruling, TextKind};
use crate::core::store::Store;
use crate::open_existing_store;
use crate::plugin::installed;
use crate::plugin::lab::{Fuel, Subject};

/// Progress is told after so many messages.
const TOLD_EVERY: u64 = 100_000;

/// What is asked for.
pub(super) struct Wanted {
    pub(super) component: PathBuf,
    pub(super) room: Option<String>,
    pub(super) since: Option<u64>,
    pub(super) settings: Option<PathBuf>,
    pub(super) samples: usize,
    pub(super) json: bool,
}

/// What was found so far.
#[derive(Default)]
struct Tally {
    messages: u64,
    cpu: Duration,
    /// The cost that each run finds again.
    fuel: Fuel,
    /// By verdict and rule.
    counts: BTreeMap<(String, String), u64>,
    samples: BTreeMap<(String, String), Vec<String>>,
    /// Every verdict that is not "allow", in order: two runs that are alike have the same hash.
    transcript: String,
}

impl Tally {
    fn note(&mut self, place: &str, (ruling, fuel): &(Ruling, u64), samples: usize) {
        self.messages += 1;
        self.fuel.note(place, *fuel);
        for mark in &ruling.marks {
            let key = (mark.verdict.to_owned(), mark.rule.clone());
            let found = self.samples.entry(key.clone()).or_default();
            if found.len() < samples {
                found.push(place.to_owned());
            }
            let _ = writeln!(self.transcript, "{place} {} {} {}", mark.verdict, mark.rule, mark.shown);
            *self.counts.entry(key).or_default() += 1;
            // It is a hash in the end: what was written so far can be that as well.
            if self.transcript.len() > 1 << 20 {
                self.transcript = installed::hash(self.transcript.as_bytes());
            }
        }
        if self.messages.is_multiple_of(TOLD_EVERY) {
            eprintln!("  {} messages", self.messages);
        }
    }
}

pub(super) fn run(config: &Config, wanted: &Wanted) -> anyhow::Result<()> {
    let pair = read_pair(&wanted.component)?;
    let settings = match &wanted.settings {
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
            let table: toml::Table = toml::from_str(&text).map_err(|error| anyhow!("{}", error.message()))?;
            json!(table).to_string()
        }
        None => config.plugins.config.get(&pair.id).map_or_else(|| "{}".to_owned(), ToString::to_string),
    };
    let subject = open_lab(&pair)?.subject(&settings).map_err(|error| anyhow!("{}: {error}", pair.id))?;
    let clock = SystemClock::new();
    let start = clock.elapsed();
    let from = wanted.since.map_or(Millis(0), |since| Millis(clock.now().0.saturating_sub(since)));
    let tally = crate::cli::runtime()?.block_on(async {
        let store = open_existing_store(config).await?;
        let replayed = replay(&*store, &subject, wanted, from).await;
        store.close().await;
        replayed
    })?;
    print(&tally, clock.elapsed().saturating_sub(start), wanted.json);
    Ok(())
}

async fn replay(store: &dyn Store, subject: &Subject, wanted: &Wanted, from: Millis) -> anyhow::Result<Tally> {
    let mut tally = Tally::default();
    let mut names = HashMap::new();
    for room in rooms(store, wanted.room.as_deref()).await? {
        let (mut after, mut before) = (Seq(0), Window::default());
        loop {
            let page = store.read(room, UserId::NONE, after, PAGE_ITEMS_MAX).await?;
            let entries = page.map(|page| page.entries).unwrap_or_default();
            let Some(last) = entries.last() else { break };
            let mut seen = seen_by_everybody(store, subject, room, after).await?;
            after = last.seq;
            learn_names(store, &entries, &mut names).await?;
            for entry in &entries {
                if entry.time >= from {
                    decide(subject, room, entry, &names, &before, &mut tally, wanted.samples)?;
                }
                before.extend(seen.remove(&entry.seq));
            }
        }
    }
    Ok(tally)
}

/// The messages of a page that a plugin which asks for them is given, by seq: what only its author sees is none.
async fn seen_by_everybody(
    store: &dyn Store,
    subject: &Subject,
    room: RoomId,
    after: Seq,
) -> anyhow::Result<HashMap<Seq, Earlier>> {
    if !subject.reads_history() {
        return Ok(HashMap::new());
    }
    let page = store.read(room, STRANGER, after, PAGE_ITEMS_MAX).await?;
    let entries = page.map(|page| page.entries).unwrap_or_default();
    Ok(entries.iter().filter_map(Earlier::of).map(|message| (message.seq, message)).collect())
}

/// By id, so that each run takes them in the same order.
async fn rooms(store: &dyn Store, name: Option<&str>) -> anyhow::Result<Vec<RoomId>> {
    if let Some(name) = name {
        let wanted = RoomName::parse(name).map_err(|error| anyhow!("{name}: {error}"))?;
        return Ok(vec![store.find_room(wanted).await?.with_context(|| format!("there is no room {name}"))?]);
    }
    let (mut rooms, mut after) = (Vec::new(), RoomId::NONE);
    loop {
        let page = store.list_rooms(UserId::NONE, false, after, PAGE_ROOMS_MAX).await?;
        let Some(last) = page.last() else { return Ok(rooms) };
        after = last.id;
        rooms.extend(page.iter().map(|room| room.id));
    }
}

async fn learn_names(
    store: &dyn Store,
    entries: &[Envelope],
    names: &mut HashMap<UserId, String>,
) -> anyhow::Result<()> {
    let mut unknown = Vec::new();
    for entry in entries {
        let author = decode_entry(&entry.payload).map_err(|error| anyhow!("{error}"))?.author;
        if author != UserId::NONE && !names.contains_key(&author) && !unknown.contains(&author) {
            unknown.push(author);
        }
    }
    if !unknown.is_empty() {
        for member in store.find_users(unknown).await? {
            names.insert(member.user, member.username);
        }
    }
    Ok(())
}

fn decide(
    subject: &Subject,
    room: RoomId,
    entry: &Envelope,
    names: &HashMap<UserId, String>,
    before: &Window,
    tally: &mut Tally,
    samples: usize,
) -> anyhow::Result<()> {
    let decoded = decode_entry(&entry.payload).map_err(|error| anyhow!("{error}"))?;
    let EntryContent::Message(message) = &decoded.content else { return Ok(()) };
    let earlier = subject.reads_history().then(|| before.messages());
    let event = MessageEvent {
        kind: TextKind::New,
        room,
        author: decoded.author,
        username: names.get(&decoded.author).map_or("", String::as_str),
        // As they are now is not as they were then.
        role: ServerRole::User,
        account_created: decoded.author.created(),
        member: Some(Presently { role: RoomRole::Member, joined: decoded.author.created() }),
        now: entry.time,
        body: message.body.as_str(),
        earlier: earlier.as_ref(),
    };
    let start = thread_cpu_time();
    let decided = subject.decide_counted(&event);
    tally.cpu += thread_cpu_time().saturating_sub(start);
    tally.note(&format!("{room}/{}", entry.seq.0), &decided, samples);
    Ok(())
}

fn print(tally: &Tally, took: Duration, json: bool) {
    let (messages, seconds) = (tally.messages, took.as_secs_f64().max(1e-9));
    let each = tally.cpu.as_secs_f64() * 1e6 / (messages.max(1) as f64);
    let hash = installed::hash(tally.transcript.as_bytes());
    let (rate, samples) = (messages as f64 / seconds, |key| tally.samples.get(key).cloned().unwrap_or_default());
    if json {
        let verdicts: Vec<_> = tally
            .counts
            .iter()
            .map(|(key, count)| json!({ "verdict": key.0, "rule": key.1, "count": count, "samples": samples(key) }))
            .collect();
        let found = json!({ "messages": messages, "seconds": seconds, "per_second": rate, "us_each": each,
            "fuel": fuel_json(&tally.fuel), "verdicts": verdicts, "transcript": hash });
        println!("{found}");
        return;
    }
    println!("{messages} messages in {seconds:.1} s, {rate:.0} a second, {each:.1} us of CPU each in the plugin");
    let Fuel { max, max_at, .. } = &tally.fuel;
    if messages > 0 {
        println!("fuel: {:.0} a message, at most {max} ({max_at})", tally.fuel.mean());
    }
    for (key, count) in &tally.counts {
        let share = *count as f64 * 1e4 / messages.max(1) as f64;
        println!("{count:>9}  {share:>8.2} of 10,000  {} {}  {}", key.0, key.1, samples(key).join(" "));
    }
    println!("transcript {hash}");
}
