//! A hundred reloads of a whole server while people write over both transports as fast as they may: no message is lost,
//! decided twice or not decided, and each shows which generation of the plugins decided it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use confab::config::Mode;
use confab::plugin::installed::{Entry, Home, Installed, Kept};
use confab_protocol::codec::encode_client_frame;
use confab_protocol::command::{ClientFrame, Reply, ServerFrame};
use confab_protocol::model::{Envelope, RoomId, Seq};
use confab_protocol::reject::Reject;
use tokio::time::Instant;

use super::reload::{hang_up, set};
use crate::plugin::{built, with_replaced};
use crate::support::people::message;
use crate::support::process::{PATIENCE, Place, Running, eventually};
use crate::support::raw::{Raw, Received, Target, client_id, publish};
use crate::support::{TRANSPORTS, Transport};

const RELOADS: u32 = 100;
/// Connections, half of them over each transport.
const WRITERS: usize = 4;
/// Messages that a writer waits for.
const IN_FLIGHT: usize = 8;
/// In the order in which they are asked. The first one is installed, and signs: behind the others it would have them asked
/// twice.
const PLUGINS: [&str; 4] = ["hostile", "sanitize", "words", "flood"];
/// What is said here as fast as may be is no flood, and a slow machine is no reason to hold anything.
const KEYS: &str = "plugins.chain = [\"hostile\", \"sanitize\", \"words\", \"flood\"]\n\
                    plugins.config.flood = { messages = 0, repeats = 0, short_repeats = 0, copies = 0 }\n\
                    plugins.call_budget_ms = 500\nplugins.chain_budget_ms = 2000";
/// The word by which one component signs, and that of the other.
const WORDS: [&str; 2] = ["signed", "sealed"];
const GENERATION: &str = "confab_plugin_generation";

/// The installed plugin that signs what is said: two components by turns, and another configuration each time, so that a
/// signature tells both, and that they belong together.
struct Signer<'a> {
    place: &'a Place,
    home: Home,
    manifest: Vec<u8>,
    /// In the order of [`WORDS`].
    components: [Kept; 2],
}

impl<'a> Signer<'a> {
    fn in_place(place: &'a Place) -> Self {
        let read = |extension: &str| std::fs::read(built(&format!("test-plugins/hostile.{extension}"))).unwrap();
        let (home, wasm, manifest) = (Home::of(&place.data_dir), read("wasm"), read("toml"));
        let [from, to] = WORDS.map(|word| format!(" {word} "));
        let other = with_replaced(&wasm, &from, &to);
        let components = [&wasm, &other].map(|wasm| home.keep("hostile", wasm, &manifest, None).unwrap());
        Self { place, home, manifest, components }
    }

    /// For the next reload.
    fn write(&self, config: &str, component: &Kept) {
        set(self.place, &[("plugins.config.hostile", config)]);
        let (id, Kept { sha256, files }) = ("hostile".to_owned(), component.clone());
        let grant = vec!["log".to_owned(), "kv".to_owned()];
        let entry = Entry { id, mode: Mode::Enforce, sha256, files, grant, earlier: Vec::new() };
        self.home.write(&Installed { plugins: vec![entry] }).unwrap();
    }

    fn write_generation(&self, generation: u32) {
        self.write(&generation.to_string(), &self.components[generation as usize % 2]);
    }

    /// A configuration that it does not take, and a component that is none: the generation before goes on.
    async fn fail_to_reload(&self, server: &Running, generation: u32, load: &Load) {
        let broken = self.home.keep("hostile", b"no component", &self.manifest, None).unwrap();
        let good = &self.components[generation as usize % 2];
        let number = generation.to_string();
        let faults = [(r#""impossible""#, good), (number.as_str(), &broken)];
        for (count, (config, component)) in faults.into_iter().enumerate() {
            self.write(config, component);
            hang_up(server);
            let is_told = || self.place.err().matches("nothing was reloaded").count() == count + 1;
            eventually("it is refused", || is_told().then_some(()));
            load.goes_on().await;
        }
        assert_eq!(self.place.metric(GENERATION), f64::from(generation + 1), "{}", self.place.err());
    }
}

/// What the writers and the test tell each other.
#[derive(Default)]
struct Load {
    /// The newest that is known to decide.
    generation: AtomicU32,
    answered: AtomicUsize,
    is_over: AtomicBool,
}

impl Load {
    /// Until so many were answered that one of them was sent after this began.
    async fn goes_on(&self) {
        let enough = self.answered.load(Ordering::SeqCst) + WRITERS * IN_FLIGHT + 1;
        let deadline = Instant::now() + PATIENCE;
        while self.answered.load(Ordering::SeqCst) < enough {
            assert!(Instant::now() < deadline, "nothing is answered any more");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// A message, and what its author was told of it.
struct Told {
    text: String,
    /// The newest generation that was known when it was sent.
    known: u32,
    answer: Result<Reply, Reject>,
}

/// Says one thing after the other, without waiting for each answer, until the test is over.
async fn write(mut raw: Raw, room: RoomId, name: String, load: Arc<Load>) -> Vec<Told> {
    let (mut waiting, mut told, mut number) = (HashMap::new(), Vec::new(), 0_u32);
    loop {
        let mut frames = Vec::new();
        while waiting.len() < IN_FLIGHT && !load.is_over.load(Ordering::SeqCst) {
            let (id, text) = (raw.take_id(), format!("sign {name} {number}"));
            let command = Ok(publish(room, client_id(), &text));
            frames.push(encode_client_frame(&ClientFrame::Request { id, command }));
            waiting.insert(id, (text, load.generation.load(Ordering::SeqCst)));
            number += 1;
        }
        raw.send_all(&frames).await;
        if waiting.is_empty() {
            return told;
        }
        match raw.next().await {
            Received::Frame(ServerFrame::Reply { id, result: answer }) => {
                let (text, known) = waiting.remove(&id).expect("each is answered once");
                told.push(Told { text, known, answer });
                load.answered.fetch_add(1, Ordering::SeqCst);
            }
            Received::Frame(_) => {}
            Received::Closed(close) => panic!("{name}: {close}"),
        }
    }
}

/// What a plugin has decided of messages, whatever it said.
fn decided(place: &Place, plugin: &str) -> usize {
    let text = place.ops_get("/metrics").expect("metrics").1;
    let name = format!("confab_plugin_verdicts_total{{hook=\"message\",plugin=\"{plugin}\",");
    let count = |line: &str| line.strip_prefix(name.as_str())?.rsplit_once(' ')?.1.parse::<usize>().ok();
    text.lines().filter_map(count).sum()
}

/// What somebody said, without its signature, and the generation that signed it.
fn unsigned(text: &str) -> (&str, u32) {
    let (rest, generation) = text.rsplit_once(' ').unwrap_or_default();
    let generation: u32 = generation.parse().unwrap_or_else(|_| panic!("not signed: {text:?}"));
    let said = rest.strip_suffix(WORDS[generation as usize % 2]).unwrap_or_else(|| panic!("of two: {text:?}"));
    (said.trim_end(), generation)
}

/// Everything that was said, where it stands, and which generation signed it. What each author said stands in the order
/// in which they said it, and was decided by no older generation than what they said before.
fn read_log(log: &[Envelope]) -> HashMap<String, Vec<(Seq, u32)>> {
    let mut places: HashMap<String, Vec<(Seq, u32)>> = HashMap::new();
    let mut last: HashMap<String, (u32, u32)> = HashMap::new();
    for (index, entry) in log.iter().enumerate() {
        assert_eq!(entry.seq.0, index as u64 + 1, "without a gap");
        let Some(text) = message(&entry.payload) else { continue };
        let (said, generation) = unsigned(&text);
        let (author, number) = said.rsplit_once(' ').unwrap();
        let number: u32 = number.parse().unwrap();
        let (latest, newest) = last.entry(author.to_owned()).or_default();
        assert!(*latest <= number, "not in their order: {text:?}");
        assert!(*newest <= generation, "by a generation that had gone: {text:?}");
        (*latest, *newest) = (number, generation);
        places.entry(said.to_owned()).or_default().push((entry.seq, generation));
    }
    places
}

/// Somebody new in the room, on a connection of their own.
async fn enter(place: &Place, transport: Transport, name: &str) -> (Raw, RoomId) {
    let target = Target::new(place.http, place.quic, &place.data_dir);
    let person = place.register(transport, name).await;
    let mut raw = Raw::enter(&target, transport, &person.session.access_token).await;
    let room = raw.join("press").await.id;
    (raw, room)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_reloads_under_load_lose_nothing_and_decide_nothing_twice() {
    let place = Place::with(KEYS);
    let signer = Signer::in_place(&place);
    signer.write_generation(0);
    let server = place.serve();
    let mut entered = Vec::new();
    for (number, transport) in TRANSPORTS.into_iter().cycle().take(WRITERS).enumerate() {
        let name = format!("writer-{number}");
        entered.push((enter(&place, transport, &name).await, name));
    }
    let before = PLUGINS.map(|plugin| decided(&place, plugin));

    let (start, load) = (Instant::now(), Arc::new(Load::default()));
    let begin = |((raw, room), name)| tokio::spawn(write(raw, room, name, Arc::clone(&load)));
    let writers: Vec<_> = entered.into_iter().map(begin).collect();
    load.goes_on().await;
    for generation in 1..=RELOADS {
        signer.write_generation(generation);
        hang_up(&server);
        let is_taken_up = || place.metric(GENERATION) == f64::from(generation + 1);
        eventually("it is taken up", || is_taken_up().then_some(()));
        load.generation.store(generation, Ordering::SeqCst);
        load.goes_on().await;
        if generation == RELOADS / 2 {
            signer.fail_to_reload(&server, generation, &load).await;
        }
    }
    load.is_over.store(true, Ordering::SeqCst);
    let mut told = Vec::new();
    for writer in writers {
        told.extend(writer.await.unwrap());
    }
    let (seconds, messages) = (start.elapsed().as_secs_f64(), told.len());
    let counts = PLUGINS.map(|plugin| decided(&place, plugin));

    let (mut reader, room) = enter(&place, Transport::Quic, "reader").await;
    let places = read_log(&reader.sync_all(room, 0).await);
    let at = |told: &Told| places.get(&told.text).map(Vec::as_slice).unwrap_or_default();
    let (mut lost, mut twice, mut refused) = (0, 0, Vec::new());
    for told in &told {
        match &told.answer {
            Ok(Reply::Appended(appended)) => match at(told) {
                [(seq, generation)] if *seq == appended.seq => {
                    assert!(appended.altered && *generation >= told.known, "{}: {generation}", told.text);
                }
                [_, _, ..] => twice += 1,
                _ => lost += 1,
            },
            other => refused.push((&told.text, other)),
        }
    }
    // One that is missing hides none that is too many: what nobody decided would not be signed.
    let rose: Vec<usize> = counts.iter().zip(before).map(|(count, before)| count - before).collect();
    twice += rose.iter().map(|rose| rose.saturating_sub(messages)).sum::<usize>();
    let undecided: usize = rose.iter().map(|rose| messages.saturating_sub(*rose)).sum();
    println!(
        "{RELOADS} reloads under load: messages lost, decided twice or undecided: {lost}, {twice}, {undecided} \
         ({messages} messages by {WRITERS} connections, {seconds:.1} s, 2 reloads refused, {} messages refused)",
        refused.len()
    );
    assert_eq!((lost, twice, undecided), (0, 0, 0));
    assert!(refused.is_empty(), "{refused:?}");
    assert_eq!(places.len(), messages, "nothing is there that nobody said");
    let used: BTreeSet<u32> = places.values().flatten().map(|(_, generation)| *generation).collect();
    assert!(used.iter().copied().eq(0..=RELOADS), "each of them decided something: {used:?}");
}
