//! `confab plugin replay` of each stock plugin over a million stored messages (SQLite, 256 accounts that come one after
//! the other, 8 rooms): its rate, what the plugin would have said, and whether a second run says the same of each message and
//! takes as many instructions. The messages are those of `../shared/data/chat-ubuntu-irc.tsv.gz`, again and again, one in two
//! seconds, each by the account that stands for its nick; and a few made-up ones where that is not there. The store takes half a
//! gigabyte beside what was built, and goes with the end of it.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use confab::core::append::{Change, Decision, Item, Order, Said};
use confab::core::audit::AuditKey;
use confab::core::names::user_key;
use confab::core::seal::Vault;
use confab::core::store::{Created, NewRoom, NewUser, RoomShape, Store, new_incarnation};
use confab::store::sqlite::Sqlite;
use confab_protocol::codec::encode_entry;
use confab_protocol::model::{
    Body, ClientId, DisplayName, Entry, EntryContent, MembershipChange, Millis, RoomId, RoomName, RoomRole, ServerRole,
    Topic, UserId, Username,
};
use futures_util::future::join_all;
use serde_json::Value;
use support::server::data_dir;
use support::{elapsed, print_table};

const MESSAGES: u128 = 1_000_000;
const ROOMS: u128 = 8;
const AUTHORS: usize = 256;
/// Messages that are stored at a time, and have the same one ...
const BATCH: usize = 125;
/// ... and how many times share a commit.
const BATCHES: usize = 16;
const EVERY_MS: u64 = 2_000;
const NOW: Millis = Millis(1_700_000_000_000);
const PLUGINS: [&str; 6] = ["sanitize", "words", "links", "mentions", "newcomer", "flood"];
/// What is another in each run; all else is to be the same.
const TIMES: [&str; 3] = ["seconds", "per_second", "us_each"];

/// What is stored at a time.
type Batch = (Vec<Item>, Millis);

/// What was said, and a number for who said it.
struct Line {
    nick: usize,
    body: Body,
}

fn main() {
    if !support::is_wanted() {
        return;
    }
    let folder = data_dir();
    let start = elapsed();
    support::run(fill(&folder.path().join("confab.db"), &lines()));
    println!("{MESSAGES} messages stored in {:.1} s", (elapsed() - start).as_secs_f64());
    let config = folder.path().join("confab.toml");
    std::fs::write(&config, format!("data_dir = \"{}\"\n", folder.path().display()))
        .expect("the target folder can be written");
    let rows: Vec<_> = PLUGINS.iter().map(|id| replay(&config, id)).collect();
    let head = ["plugin", "messages", "per second", "us of CPU each", "fuel each", "verdicts", "twice the same"];
    print_table("A replay over what was stored", &head, &rows);
    println!("all of it in {:.0} s", (elapsed() - start).as_secs_f64());
}

fn lines() -> Vec<Line> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let log = Command::new("zcat").arg(root.join("../shared/data/chat-ubuntu-irc.tsv.gz")).output();
    let text = log.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let line = |line: &str| {
        let mut columns = line.splitn(4, '\t').skip(2);
        let nick = columns.next()?.bytes().fold(7_usize, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
        Some(Line { nick, body: Body::parse(columns.next()?).ok()? })
    };
    let said: Vec<Line> = text.lines().filter_map(line).collect();
    if said.is_empty() {
        println!("made-up messages: chat-ubuntu-irc.tsv.gz is not there");
        let few = ["good morning", "how do I mount that?", "see https://example.org/page", "thank you, it works"];
        let line = |(nick, text): (usize, &&str)| Some(Line { nick, body: Body::parse(text).ok()? });
        return few.iter().enumerate().filter_map(line).collect();
    }
    said
}

async fn fill(path: &Path, lines: &[Line]) {
    let store = Sqlite::open(path, 1, Vault::default()).expect("a fresh file");
    let owner = account(&store, 0, NOW).await;
    append_all(&store, vec![((0..ROOMS).map(|n| room(owner, n)).collect(), NOW)]).await;
    let (mut said, mut authors, mut now) = (lines.iter().cycle(), Vec::with_capacity(AUTHORS), NOW);
    let mut waiting = Vec::with_capacity(BATCHES);
    for first in (0..MESSAGES).step_by(BATCH) {
        // The first one at once, the last one when the last messages are written.
        while (authors.len() as u128) * MESSAGES <= first * AUTHORS as u128 {
            append_all(&store, std::mem::take(&mut waiting)).await;
            let author = account(&store, authors.len() as u128 + 1, now).await;
            append_all(&store, vec![((0..ROOMS).map(|n| join(author, n)).collect(), now)]).await;
            authors.push(author);
        }
        let message = |n: u128| {
            let line = said.next().expect("it has no end");
            let author = authors[line.nick % authors.len()];
            let content = EntryContent::Message(line.body.clone().into());
            item(n + 1, n % ROOMS, author, content, Change::Message(Said::default()))
        };
        waiting.push(((first..).take(BATCH).map(message).collect(), now));
        if waiting.len() == BATCHES {
            append_all(&store, std::mem::take(&mut waiting)).await;
        }
        now = now.after(BATCH as u64 * EVERY_MS);
    }
    append_all(&store, waiting).await;
    store.close().await;
}

/// In their order: what waits at the same time is written in one go.
async fn append_all(store: &Sqlite, batches: Vec<Batch>) {
    let appended = join_all(batches.into_iter().map(|(items, now)| store.append(items, now))).await;
    for decided in appended.into_iter().flat_map(|decided| decided.expect("the disk can be written")) {
        assert!(matches!(decided.decision, Decision::Append { .. }), "{:?}", decided.decision);
    }
}

/// The first one owns the server and the rooms.
async fn account(store: &Sqlite, n: u128, now: Millis) -> UserId {
    let name = format!("replay{n}");
    let username = Username::parse(&name).expect("a name");
    let id = UserId::new(now, n);
    let user = NewUser {
        id,
        username_key: user_key(&username),
        username,
        display_name: DisplayName::parse(&name).expect("a name"),
        role: if n == 0 { ServerRole::Owner } else { ServerRole::User },
        password_hash: None,
        self_room: RoomId::from_u128((1 << 100) + n),
        incarnation: new_incarnation(n + 1),
        created: now,
        audit_key: AuditKey::from_u128(n),
        ticket: None,
    };
    assert_eq!(store.create_user(user).await.expect("the disk can be written"), Created::Yes, "{name}");
    id
}

fn room(owner: UserId, n: u128) -> Item {
    let (name, topic) = (RoomName::parse(&format!("replay {n}")), Topic::parse(""));
    let (name, topic) = (name.expect("a name"), topic.expect("may be empty"));
    let content = EntryContent::RoomCreated { name: name.clone(), topic: topic.clone() };
    let shape = RoomShape::named(name, topic, false);
    let new = NewRoom { shape, incarnation: new_incarnation(n), created: NOW };
    item(u128::MAX - n, n, owner, content, Change::CreateRoom(Box::new(new)))
}

fn join(user: UserId, n: u128) -> Item {
    let (change, role) = (MembershipChange::Joined, RoomRole::Member);
    let display_name = DisplayName::parse("somebody").expect("a name");
    let content = EntryContent::Membership { user, change, role, display_name };
    // An id is of its author and room.
    item(u128::MAX - n, n, user, content, Change::Join(None))
}

fn item(id: u128, room: u128, author: UserId, content: EntryContent, change: Change) -> Item {
    let (room, client_id) = (RoomId::from_u128(room + 2), ClientId::from_u128(id));
    let payload = encode_entry(&Entry { author, client_id, content });
    let (digest, order) = (client_id.to_bytes(), Order::none());
    let (altered, acl_version, then, beside) = (false, 0, Vec::new(), None);
    Item { room, author, client_id, digest, payload, altered, change, acl_version, order, then, beside }
}

fn replay(config: &Path, id: &str) -> Vec<String> {
    let component = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("target/assets/plugins/{id}.wasm"));
    let run = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_confab"));
        command.arg("--config").arg(config).args(["plugin", "--json", "replay"]).arg(&component);
        let output = command.output().expect("the program starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).expect("an object")
    };
    let [one, two] = [run(), run()];
    let seconds = |found: &Value| found["seconds"].as_f64().unwrap_or_default();
    println!("{id}: {:.1} s, and {:.1} s again", seconds(&one), seconds(&two));
    let count = |verdict: &Value| {
        let word = |name: &str| verdict[name].as_str().unwrap_or_default().to_owned();
        format!("{} {} {}", verdict["count"], word("verdict"), word("rule"))
    };
    let verdicts: Vec<String> = one["verdicts"].as_array().into_iter().flatten().map(count).collect();
    assert_eq!(one["messages"].as_u64().map(u128::from), Some(MESSAGES), "all of them");
    let number = |name: &str| format!("{:.1}", one[name].as_f64().unwrap_or_default());
    let fuel = format!("{:.0}", one["fuel"]["mean"].as_f64().unwrap_or_default());
    let row = [id.to_owned(), one["messages"].to_string(), number("per_second"), number("us_each"), fuel];
    row.into_iter().chain([verdicts.join(", "), likeness(&one, &two)]).collect()
}

/// How the second run was like the first: counts, places, fuel, and the hash of every verdict in its order.
fn likeness(one: &Value, two: &Value) -> String {
    let [one, two] = [one, two].map(|found| found.as_object().expect("an object"));
    let is_other = |name: &&String| !TIMES.contains(&name.as_str()) && one.get(*name) != two.get(*name);
    let others: Vec<&str> = one.keys().filter(is_other).map(String::as_str).collect();
    if others.is_empty() { "yes".to_owned() } else { format!("NO: {}", others.join(" ")) }
}
