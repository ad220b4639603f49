//! A page of the embedded database goes bad while the server is down. It may refuse to start or refuse requests; it
//! must not panic, and never give an altered log for a good one.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use confab_client::{Client, Command, Error, Options, Page, Reply, Room};
use confab_protocol::codec::decode_entry;
use confab_protocol::model::{Cursor, Envelope, Seq};
use tokio::time::{Instant, sleep, timeout};

use super::Rng;
use super::cast::{Failures, Person};
use super::stage::{Kind, Props, Stage, Stillborn, assert_calm};
use crate::support::people::message;
use crate::support::process::PATIENCE;
use crate::support::raw::{client_id, publish};

const MESSAGES: usize = 600;

/// What happens to the page.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Harm {
    /// None, to know that what is refused is refused for its harm.
    None,
    /// A bit of a message's text.
    Text,
    /// A bit anywhere in the page.
    Bit,
    /// A bit in the page's head, which says what it is and how much it holds.
    Head,
    /// Twenty bytes anywhere.
    Bytes,
    /// A disk sector of zeros.
    Sector,
    /// All of it is noise.
    Noise,
}

const HARMS: [Harm; 7] = [Harm::None, Harm::Text, Harm::Bit, Harm::Head, Harm::Bytes, Harm::Sector, Harm::Noise];

/// How a server fared with one harm.
#[derive(Clone, Default, Debug)]
pub struct Fared {
    pub runs: u64,
    /// It said in one line why it does not start.
    pub not_started: u64,
    /// It served, and refused something.
    pub refused: u64,
    /// It served everything as it was.
    pub unharmed: u64,
    /// It served something else as if it were good.
    pub wrong: Vec<String>,
}

/// How servers fared, by harm.
pub type Toll = BTreeMap<String, Fared>;

/// What was stored: per room, what each seq says.
type Truth = Vec<(Room, BTreeMap<Seq, String>)>;

/// Damages a database so many times, each time the good one; when the time for it is up, in each way once.
pub async fn run(seed: u64, count: usize, budget: Duration) -> Toll {
    let mut rng = Rng::new(seed);
    let mut stage = Stage::set(Kind::Sqlite, Props::default(), 1).await;
    let people = stage.invite(&["author".to_owned(), "reader".to_owned()]);
    let truth = fill(&stage, &people, &mut rng).await;
    stage.drain();
    let file = stage.place.data_dir.join("confab.db");
    let good = fs::read(&file).unwrap();
    let (mut toll, deadline) = (Toll::new(), Instant::now() + budget);
    for n in 0..count {
        if n >= HARMS.len() && Instant::now() >= deadline {
            break;
        }
        let harm = HARMS[n % HARMS.len()];
        let (bad, what) = spoil(&good, harm, &mut rng);
        fs::write(&file, bad).unwrap();
        for rest in ["confab.db-wal", "confab.db-shm"] {
            let _ = fs::remove_file(stage.place.data_dir.join(rest));
        }
        let fared = toll.entry(format!("{harm:?}")).or_default();
        fared.runs += 1;
        serve(&stage, &people, &truth, fared, &what).await;
    }
    toll
}

/// Prints how it went, and fails if a server gave out what nobody said.
pub fn judge(toll: &Toll) {
    for (harm, Fared { runs, not_started, refused, unharmed, wrong }) in toll {
        let wrong = wrong.len();
        eprintln!(
            "damaged page: {harm} | {runs} runs | {not_started} not started | {refused} refused requests | {unharmed} \
             served all as it was | {wrong} served something else"
        );
    }
    let good = toll.get("None").map_or((0, 0), |fared| (fared.unharmed, fared.runs));
    assert!(good.0 == good.1 && good.1 > 0, "what is not damaged is not served: {toll:?}");
    let wrong: Vec<&String> = toll.values().flat_map(|fared| &fared.wrong).collect();
    assert!(wrong.is_empty(), "an altered log was given for a good one:\n{wrong:#?}");
}

async fn fill(stage: &Stage, people: &[Person], rng: &mut Rng) -> Truth {
    let failures = Failures::default();
    let rooms = stage.furnish(2, people, &failures).await;
    let mut truth: Truth = rooms.into_iter().map(|room| (room, BTreeMap::new())).collect();
    let (client, _) = people[0].connect(&failures).await;
    for n in 0..MESSAGES {
        let (room, log) = &mut truth[usize::from(n % 4 == 0)];
        let text = format!("message {n} {} end", "lorem ipsum ".repeat(rng.below(30) as usize));
        let answer = client.request(publish(room.id, client_id(), &text)).await.unwrap();
        let Reply::Appended(appended) = answer else { panic!("{answer:?}") };
        log.insert(appended.seq, text);
    }
    truth
}

/// Harms a page that holds messages, in the middle of the file.
fn spoil(good: &[u8], harm: Harm, rng: &mut Rng) -> (Vec<u8>, String) {
    let size = match u16::from_be_bytes([good[16], good[17]]) {
        1 => 65_536,
        size => usize::from(size),
    };
    let (word, mut bad) = (b"lorem ipsum ", good.to_vec());
    let places: Vec<usize> =
        good.windows(word.len()).enumerate().filter(|(_, at)| at == word).map(|(at, _)| at).collect();
    let place = places[places.len() / 4 + rng.below(places.len() as u64 / 2) as usize];
    let start = place / size * size;
    let anywhere = |rng: &mut Rng| start + rng.below(size as u64) as usize;
    let mut flip = |at: usize, rng: &mut Rng| bad[at] ^= 1 << rng.below(8);
    let at = match harm {
        Harm::Text => place + rng.below(word.len() as u64) as usize,
        Harm::Head => start + rng.below(12) as usize,
        Harm::Sector => start + rng.below(size as u64 / 512) as usize * 512,
        Harm::None | Harm::Bit | Harm::Bytes | Harm::Noise => anywhere(rng),
    };
    match harm {
        Harm::None => {}
        // The lowest bit: still a letter.
        Harm::Text => bad[at] ^= 1,
        Harm::Bit | Harm::Head => flip(at, rng),
        Harm::Bytes => (0..20).for_each(|_| flip(anywhere(rng), rng)),
        Harm::Sector => bad[at..at + 512].fill(0),
        Harm::Noise => bad[start..start + size].fill_with(|| rng.next() as u8),
    }
    (bad, format!("{harm:?} at {} of page {}", at - start, start / size + 1))
}

/// Starts a server on it and asks for everything.
async fn serve(stage: &Stage, people: &[Person], truth: &Truth, fared: &mut Fared, what: &str) {
    let mut server = Stillborn::start(&stage.place);
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = server.ended() {
            assert_calm(&server.log());
            let log = server.log();
            let lines = log.lines().filter(|line| line.starts_with("confab: ")).count();
            assert!(!status.success() && lines == 1, "{what}: {status} without one clear line: {log}");
            fared.not_started += 1;
            return;
        }
        if matches!(stage.place.ops_get("/healthz"), Some((200, _))) {
            break;
        }
        assert!(Instant::now() < deadline, "{what}: neither started nor refused to: {}", server.log());
        sleep(Duration::from_millis(10)).await;
    }
    let (mut refusals, mut wrong, mut missing) = (0, Vec::new(), Vec::new());
    match enter(&people[1]).await {
        Some(client) => {
            for (room, log) in truth {
                refusals += forwards(&client, room, log, &mut wrong).await;
                refusals += backwards(&client, room, log, &mut wrong, &mut missing).await;
            }
        }
        None => refusals += 1,
    }
    // Pages of messages skip what is no message, and so cannot tell that one is missing; the log itself can, and says so.
    if refusals == 0 {
        wrong.append(&mut missing);
    }
    assert!(server.ended().is_none(), "{what}: the server ended: {}", server.log());
    assert_eq!(stage.place.ops_get("/healthz").map(|(status, _)| status), Some(200), "{what}");
    server.kill_after(Duration::ZERO);
    fared.refused += u64::from(refusals > 0);
    fared.unharmed += u64::from(refusals == 0 && wrong.is_empty());
    fared.wrong.extend(wrong.first().map(|first| format!("{what}: {first} ({} in all)", wrong.len())));
}

/// A session, unless even that cannot be had.
async fn enter(person: &Person) -> Option<Client> {
    let (client, mut events) = Client::connect(Options::new(person.server.clone()).access_token(&person.token));
    let welcome = async {
        loop {
            match events.recv().await? {
                confab_client::Event::Welcome(_) => return Some(()),
                confab_client::Event::Offline { close, .. } if close.code != 0 => return None,
                _ => {}
            }
        }
    };
    timeout(PATIENCE, welcome).await.expect("neither let in nor refused")?;
    crate::support::raw::spawn(async move { while events.recv().await.is_some() {} });
    Some(client)
}

/// Pages from the beginning; where one is refused, beyond it. How many were refused.
async fn forwards(client: &Client, room: &Room, log: &BTreeMap<Seq, String>, wrong: &mut Vec<String>) -> usize {
    let last = log.keys().next_back().map_or(0, |seq| seq.0);
    let (mut after, mut refused) = (0, 0);
    while after < last {
        let cursor = Cursor { room: room.id, incarnation: room.incarnation, seq: Seq(after) };
        let sync = async || match client.request(Command::Sync { cursor, limit: 20 }).await? {
            Reply::Page(page) => Ok(page),
            other => panic!("{other:?}"),
        };
        let Some(entries) = page(sync()).await else {
            refused += 1;
            after += 20;
            continue;
        };
        let mut expected = after;
        for entry in &entries {
            expected += 1;
            if entry.seq.0 != expected {
                wrong.push(format!("{} follows {}", entry.seq.0, expected - 1));
                expected = entry.seq.0;
            }
            compare(entry, log, wrong);
        }
        if entries.is_empty() {
            wrong.push(format!("the log ends at {after} instead of {last}"));
            return refused;
        }
        after = expected;
    }
    refused
}

/// Pages of messages from the end; each page must have all there is between its ends.
async fn backwards(
    client: &Client,
    room: &Room,
    log: &BTreeMap<Seq, String>,
    wrong: &mut Vec<String>,
    missing: &mut Vec<String>,
) -> usize {
    let (mut before, mut refused) = (log.keys().next_back().map_or(1, |seq| seq.0 + 1), 0);
    while log.range(..Seq(before)).next().is_some() {
        let Some(entries) = page(client.history(room.id, Seq(before), 20)).await else {
            refused += 1;
            before = before.saturating_sub(20);
            continue;
        };
        entries.iter().for_each(|entry| compare(entry, log, wrong));
        let Some(first) = entries.first().map(|entry| entry.seq) else {
            missing.push(format!("the history begins at {before}"));
            return refused;
        };
        let there = log.range(first..Seq(before)).count();
        if first.0 >= before || there != entries.len() {
            missing.push(format!("{} of {there} messages from {} to {before}", entries.len(), first.0));
        }
        before = first.0.min(before - 1);
    }
    refused
}

async fn page(asked: impl Future<Output = Result<Page, Error>>) -> Option<Vec<Envelope>> {
    match timeout(PATIENCE, asked).await.expect("neither a page nor a refusal") {
        Ok(page) => Some(page.entries),
        Err(Error::Rejected(_)) => None,
        Err(other) => panic!("{other}"),
    }
}

fn compare(entry: &Envelope, log: &BTreeMap<Seq, String>, wrong: &mut Vec<String>) {
    let text = match decode_entry(&entry.payload) {
        Ok(_) => message(&entry.payload),
        // A client can tell, too.
        Err(_) => return,
    };
    if text.as_deref() != log.get(&entry.seq).map(String::as_str) {
        let good = log.get(&entry.seq).map_or("", String::as_str);
        let text = text.unwrap_or_default();
        let at = text.bytes().zip(good.bytes()).take_while(|(a, b)| a == b).count();
        let from = |text: &str| text.chars().skip(at.saturating_sub(5)).take(20).collect::<String>();
        wrong.push(format!("{} says {:?} instead of {:?}", entry.seq.0, from(&text), from(good)));
    }
}
