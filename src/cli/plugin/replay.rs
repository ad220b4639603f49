//! A plugin over what was said already: what it would have said, and what that costs, before anybody enables it. It is
//! asked in the order of time, all rooms together, as a server would have asked it: what it remembers, it remembers.

mod counts;
mod kept;
mod merge;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use confab_protocol::limits::PAGE_ROOMS_MAX;
use confab_protocol::model::{CaseId, Millis, RoomId, RoomName, Seq, UserId};
use serde_json::json;

use self::counts::{Counts, Found, NAMED_MAX};
use self::kept::{People, Standing, Windows};
use self::merge::{Merge, Text, Way};
use super::{fuel_json, open_lab, read_pair};
use crate::cli::backup::teller;
use crate::clock::{Clock, SystemClock, thread_cpu_time};
use crate::config::Config;
use crate::core::context::Context as Known;
use crate::core::earlier::Earlier;
use crate::core::hook::{MessageEvent, Ruling, TextKind};
use crate::core::store::Store;
use crate::core::target::{About, Target};
use crate::files::read_text_bounded;
use crate::open_existing_store;
use crate::plugin::installed;
use crate::plugin::lab::{Fuel, Subject};

/// The hook that is asked. What others are asked about, the store does not know any more.
const ASKED: &str = "message";
/// After so many texts it is looked whether it is time to tell how far it is.
const LOOK_EVERY: u64 = 100;
/// So much of a transcript is kept as it is.
const TRANSCRIPT_BYTES_MAX: usize = 1 << 20;

/// A file of settings has at most so many bytes.
const SETTINGS_BYTES_MAX: u64 = 1 << 20;

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
    /// Newest ones, at their time.
    edits: u64,
    /// Older ones: what they made of their messages is not looked at.
    edits_skipped: u64,
    /// Messages that were judged by another text than their first.
    texts_replaced: u64,
    /// Texts of those of whom it is not known how long they were in the room.
    places_unknown: u64,
    cpu: Duration,
    /// The cost that each run finds again.
    fuel: Fuel,
    counts: Counts,
    /// Every verdict that is not "allow", in order: two runs that are alike have the same hash.
    transcript: String,
}

impl Tally {
    fn texts(&self) -> u64 {
        self.messages + self.edits
    }

    fn note(&mut self, text: &Text, standing: &Standing, (ruling, fuel): &(Ruling, u64), samples: usize) {
        let mut place = format!("{}/{}", text.room, text.message.seq.0);
        if text.kind == TextKind::Edit {
            place.push_str(":edit");
            self.edits += 1;
        } else {
            self.messages += 1;
            self.texts_replaced += u64::from(text.message.edited);
        }
        self.places_unknown += u64::from(!standing.is_known_at(text.time));
        self.fuel.note(&place, *fuel);
        for mark in &ruling.marks {
            self.counts.note(mark.verdict, &mark.rule, &place, samples);
        }
        if !ruling.marks.is_empty() {
            // All of it: also another text in the place of this one, and what only moderators are told.
            let _ = writeln!(self.transcript, "{place} {ruling:?}");
        }
        // It is a hash in the end: what was written so far can be that as well.
        if self.transcript.len() > TRANSCRIPT_BYTES_MAX {
            self.transcript = installed::hash(self.transcript.as_bytes());
        }
    }
}

pub(super) fn run(config: &Config, wanted: &Wanted) -> anyhow::Result<()> {
    let pair = read_pair(&wanted.component)?;
    let settings = match &wanted.settings {
        Some(path) => {
            let text = read_text_bounded(path, SETTINGS_BYTES_MAX).with_context(|| path.display().to_string())?;
            let table: toml::Table =
                toml::from_str(&text).map_err(|error| anyhow!("{}: {}", path.display(), error.message()))?;
            json!(table).to_string()
        }
        None => config.plugins.config.get(&pair.id).map_or_else(|| "{}".to_owned(), ToString::to_string),
    };
    let lab = open_lab(&pair)?;
    let silent = not_asked(&pair.id, &lab.hooks())?;
    let subject = lab.subject(&settings).map_err(|error| anyhow!("{}: {error}", pair.id))?;
    let clock = SystemClock::new();
    let start = clock.elapsed();
    let from = wanted.since.map_or(Millis(0), |since| Millis(clock.now().0.saturating_sub(since)));
    let tally = crate::cli::runtime()?.block_on(async {
        let store = open_existing_store(config).await?;
        let replayed = replay(&*store, &subject, wanted, from).await;
        store.close().await;
        replayed
    })?;
    print(&tally, &silent, clock.elapsed().saturating_sub(start), wanted.json);
    Ok(())
}

/// The hooks that it has and a replay does not ask. Where those are all, it could only say that nothing was found.
fn not_asked(id: &str, hooks: &[&'static str]) -> anyhow::Result<Vec<&'static str>> {
    let others: Vec<&'static str> = hooks.iter().copied().filter(|hook| *hook != ASKED).collect();
    anyhow::ensure!(
        others.len() < hooks.len(),
        "{id} has no hook {ASKED}, and a replay asks no other: it has {}; golden files try those that decide",
        others.join(", ")
    );
    Ok(others)
}

async fn replay(store: &dyn Store, subject: &Subject, wanted: &Wanted, from: Millis) -> anyhow::Result<Tally> {
    let (mut tally, mut people, mut windows) = (Tally::default(), People::default(), Windows::default());
    let mut knowns = HashMap::new();
    let (rooms, reads_history) = (rooms(store, wanted.room.as_deref()).await?, subject.reads_history());
    let tell = teller();
    let tell = |texts: u64, Way { done, of }: Way| tell(&format!("{texts} messages looked at, {done} of {of} entries"));
    let mut merge = Merge::begin(store, rooms, from, reads_history, &|way| tell(0, way)).await?;
    while let Some(text) = merge.next(store).await? {
        let standing = people.standing(store, &text).await?;
        let earlier = if reads_history { Some(windows.before(store, &text).await?) } else { None };
        let known = if subject.reads_context() { Some(known_of(store, text.room, &mut knowns).await?) } else { None };
        let about = about(&text);
        let start = thread_cpu_time();
        let decided = subject.decide_counted(&event(&text, &standing, (earlier.as_ref(), known, &about)));
        tally.cpu += thread_cpu_time().saturating_sub(start);
        tally.note(&text, &standing, &decided, wanted.samples);
        if tally.texts().is_multiple_of(LOOK_EVERY) {
            tell(tally.texts(), merge.way());
        }
    }
    tally.edits_skipped = merge.passed();
    Ok(tally)
}

/// With their ends.
async fn rooms(store: &dyn Store, name: Option<&str>) -> anyhow::Result<Vec<(RoomId, Seq)>> {
    if let Some(name) = name {
        let heads = store.heads(vec![find(store, name).await?]).await?;
        anyhow::ensure!(!heads.is_empty(), "there is no room {name}");
        return Ok(heads.into_iter().map(|(room, _, head)| (room, head)).collect());
    }
    let (mut rooms, mut after) = (Vec::new(), RoomId::NONE);
    loop {
        let page = store.list_rooms(UserId::NONE, false, after, PAGE_ROOMS_MAX).await?;
        let Some(last) = page.last() else { return Ok(rooms) };
        after = last.id;
        rooms.extend(page.iter().map(|room| (room.id, room.head)));
    }
}

/// By its id, or of an open one by its name.
async fn find(store: &dyn Store, name: &str) -> anyhow::Result<RoomId> {
    if let Ok(id) = name.parse() {
        return Ok(id);
    }
    let wanted = RoomName::parse(name).map_err(|error| anyhow!("{name}: {error}"))?;
    let missing = || format!("there is no open room {name}; one that is not open is named by its id");
    store.find_room(wanted).await?.with_context(missing)
}

/// What is known of a room today. Of who wrote there, and how, nothing is: that was then.
async fn known_of(store: &dyn Store, room: RoomId, knowns: &mut HashMap<RoomId, Known>) -> anyhow::Result<Known> {
    if let Some(known) = knowns.get(&room) {
        return Ok(*known);
    }
    let room_today = store.context(room, UserId::NONE, CaseId::NONE).await?.room;
    let known = Known { room: room_today, ..Known::default() };
    knowns.insert(room, known);
    Ok(known)
}

fn event<'a>(
    text: &'a Text,
    standing: &'a Standing,
    (earlier, context, about): (Option<&'a Arc<[Earlier]>>, Option<Known>, &'a About),
) -> MessageEvent<'a> {
    let author = text.message.author;
    MessageEvent {
        kind: text.kind,
        room: text.room,
        author,
        username: &standing.username,
        role: standing.role,
        account_created: author.created(),
        member: standing.member,
        now: text.time,
        body: &text.message.body,
        earlier,
        context,
        about: Some(about),
    }
}

/// Of an edit its message, without the text that stood there before; whether a message was an answer is not looked up.
fn about(text: &Text) -> About {
    let Earlier { seq, author, .. } = text.message;
    About((text.kind == TextKind::Edit).then_some(Target { seq, author, body: None }))
}

fn row_json(verdict: &str, rule: &str, Found { count, samples }: &Found) -> serde_json::Value {
    json!({ "verdict": verdict, "rule": rule, "count": count, "samples": samples })
}

fn print(tally: &Tally, silent: &[&str], took: Duration, json: bool) {
    let (messages, texts, seconds) = (tally.messages, tally.texts(), took.as_secs_f64().max(1e-9));
    let each = tally.cpu.as_secs_f64() * 1e6 / (texts.max(1) as f64);
    let hash = installed::hash(tally.transcript.as_bytes());
    let rate = texts as f64 / seconds;
    let Tally { edits, edits_skipped, texts_replaced, places_unknown, .. } = tally;
    if json {
        let verdicts: Vec<_> =
            tally.counts.rows().map(|(verdict, rule, found)| row_json(verdict, rule, found)).collect();
        let found = json!({ "messages": messages, "edits": edits, "edits_skipped": edits_skipped,
            "texts_replaced": texts_replaced, "places_unknown": places_unknown, "seconds": seconds, "per_second": rate,
            "us_each": each, "fuel": fuel_json(&tally.fuel), "verdicts": verdicts, "transcript": hash,
            "not_asked": silent });
        println!("{found}");
        return;
    }
    println!("{messages} messages in {seconds:.1} s, {rate:.0} a second, {each:.1} us of CPU each in the plugin");
    let Fuel { max, max_at, .. } = &tally.fuel;
    if texts > 0 {
        println!("fuel: {:.0} a message, at most {max} ({max_at})", tally.fuel.mean());
    }
    println!(
        "edits: {edits}, and {edits_skipped} older ones left out; texts that were replaced since are judged as they \
         read now: {texts_replaced}"
    );
    println!(
        "roles: as they are now; how long the author was in the room is unknown where they left or came again since: \
         {places_unknown}"
    );
    if !silent.is_empty() {
        println!("hooks that it has and a replay does not ask: {}", silent.join(", "));
    }
    for (verdict, rule, Found { count, samples }) in tally.counts.rows() {
        let share = *count as f64 * 1e4 / texts.max(1) as f64;
        println!("{count:>9}  {share:>8.2} of 10,000  {verdict} {rule}  {}", samples.join(" "));
    }
    if tally.counts.has_others() {
        println!("other: there are more than {NAMED_MAX} pairs of a verdict and a rule; those that came later are one");
    }
    println!("transcript {hash}");
}
