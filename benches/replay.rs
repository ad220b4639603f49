//! `confab plugin replay` over a million stored messages (SQLite, 8 rooms): its rate, what the plugin would have said,
//! and whether a second run says the same and takes as many instructions. The messages are those of
//! `../shared/data/chat-ubuntu-irc.tsv.gz`, again and again with their times moved on, and a few made-up ones where that
//! is not there.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use confab::core::append::{Change, Item, Order, Said};
use confab::core::names::user_key;
use confab::core::seal::Vault;
use confab::core::store::{NewRoom, NewUser, RoomShape, Store, new_incarnation};
use confab::store::sqlite::Sqlite;
use confab_protocol::codec::encode_entry;
use confab_protocol::model::{
    Body, ClientId, DisplayName, Entry, EntryContent, Millis, RoomId, RoomName, ServerRole, Topic, UserId, Username,
};
use support::server::data_dir;
use support::{elapsed, print_table};

const MESSAGES: u128 = 1_000_000;
const ROOMS: u128 = 8;
const BATCH: usize = 500;
const NOW: Millis = Millis(1_700_000_000_000);
const AUTHOR: UserId = UserId::from_u128(0x018b_cfe5_6800_7000_8000_0000_0000_0001);
/// The stock plugins that judge a message by itself; the others remember.
const PLUGINS: [&str; 3] = ["words", "links", "mentions"];

fn main() {
    if !support::is_wanted() {
        return;
    }
    let folder = data_dir();
    let start = elapsed();
    support::run(fill(&folder.path().join("confab.db"), &bodies()));
    println!("{MESSAGES} messages stored in {:.1} s", (elapsed() - start).as_secs_f64());
    let config = folder.path().join("confab.toml");
    std::fs::write(&config, format!("data_dir = \"{}\"\n", folder.path().display()))
        .expect("the target folder can be written");
    let rows: Vec<_> = PLUGINS.iter().map(|id| replay(&config, id)).collect();
    let head = ["plugin", "messages", "per second", "us of CPU each", "fuel each", "verdicts", "twice the same"];
    print_table("A replay over what was stored", &head, &rows);
}

fn bodies() -> Vec<Body> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let log = Command::new("zcat").arg(root.join("../shared/data/chat-ubuntu-irc.tsv.gz")).output();
    let text = log.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let said: Vec<Body> = text.lines().filter_map(|line| Body::parse(line.splitn(4, '\t').nth(3)?).ok()).collect();
    if said.is_empty() {
        let few = ["good morning", "how do I mount that?", "see https://example.org/page", "thank you, it works"];
        return few.iter().filter_map(|text| Body::parse(text).ok()).collect();
    }
    said
}

async fn fill(path: &Path, bodies: &[Body]) {
    let store = Sqlite::open(path, 1, Vault::default()).expect("a fresh file");
    let name = |text| Username::parse(text).expect("a name");
    let author = NewUser {
        id: AUTHOR,
        username: name("replay"),
        username_key: user_key(&name("replay")),
        display_name: DisplayName::parse("replay").expect("a name"),
        role: ServerRole::User,
        password_hash: None,
        self_room: RoomId::from_u128(1 << 100),
        incarnation: new_incarnation(1),
        created: NOW,
        ticket: None,
    };
    store.create_user(author).await.expect("a fresh store");
    store.append((0..ROOMS).map(room).collect(), NOW).await.expect("a fresh store");
    let mut said = bodies.iter().cycle();
    for first in (0..MESSAGES).step_by(BATCH) {
        let message = |n: u128| {
            let body = said.next().expect("it has no end").clone();
            item(n + 1, n % ROOMS, EntryContent::Message(body.into()), Change::Message(Said::default()))
        };
        let items = (first..).take(BATCH).map(message).collect();
        let now = NOW.after(u64::try_from(first).unwrap_or(u64::MAX) * 100);
        store.append(items, now).await.expect("nothing is in the way");
    }
    store.close().await;
}

fn room(n: u128) -> Item {
    let (name, topic) = (RoomName::parse(&format!("replay {n}")), Topic::parse(""));
    let (name, topic) = (name.expect("a name"), topic.expect("may be empty"));
    let content = EntryContent::RoomCreated { name: name.clone(), topic: topic.clone() };
    let shape = RoomShape::named(name, topic, false);
    let new = NewRoom { shape, incarnation: new_incarnation(n), created: NOW };
    item(u128::MAX - n, n, content, Change::CreateRoom(Box::new(new)))
}

fn item(id: u128, room: u128, content: EntryContent, change: Change) -> Item {
    let (room, author, client_id) = (RoomId::from_u128(room + 2), AUTHOR, ClientId::from_u128(id));
    let payload = encode_entry(&Entry { author, client_id, content });
    let (digest, order) = (client_id.to_bytes(), Order::none());
    let (altered, acl_version, then, beside) = (false, 0, Vec::new(), None);
    Item { room, author, client_id, digest, payload, altered, change, acl_version, order, then, beside }
}

fn replay(config: &Path, id: &str) -> Vec<String> {
    let component = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("target/assets/plugins/{id}.wasm"));
    let run = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_confab"));
        command.arg("--config").arg(config).args(["plugin", "--json", "replay", "--samples", "0"]).arg(&component);
        let output = command.output().expect("the program starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<serde_json::Value>(&output.stdout).expect("an object")
    };
    let [one, two] = [run(), run()];
    let count = |verdict: &serde_json::Value| {
        let word = |name: &str| verdict[name].as_str().unwrap_or_default().to_owned();
        format!("{} {} {}", verdict["count"], word("verdict"), word("rule"))
    };
    let verdicts: Vec<String> = one["verdicts"].as_array().into_iter().flatten().map(count).collect();
    assert_eq!(one["messages"].as_u64().map(u128::from), Some(MESSAGES), "all of them");
    let is_same = ["transcript", "verdicts", "fuel"].iter().all(|it| one[it] == two[it]);
    let number = |name: &str| format!("{:.1}", one[name].as_f64().unwrap_or_default());
    let fuel = format!("{:.0}", one["fuel"]["mean"].as_f64().unwrap_or_default());
    let row = [id.to_owned(), one["messages"].to_string(), number("per_second"), number("us_each"), fuel];
    row.into_iter().chain([verdicts.join(", "), if is_same { "yes" } else { "NO" }.to_owned()]).collect()
}
