//! What a replay asks a plugin that remembers: in the order of time over all rooms, as whom, and with which edits. The
//! store is written at chosen times, by nobody's server.

use std::cell::Cell;

use bytes::Bytes;
use confab::clock::{Clock, SystemClock};
use confab::core::append::{Act, Amend, Change, Decision, Item, Order, Said};
use confab::core::audit::AuditKey;
use confab::core::names::user_key;
use confab::core::seal::Vault;
use confab::core::store::{NewRoom, NewUser, RoomShape, Store, new_incarnation};
use confab::store::sqlite::Sqlite;
use confab_protocol::codec::encode_entry;
use confab_protocol::model::{
    Body, ClientId, DisplayName, Entry, EntryContent, MembershipChange, Millis, RoomId, RoomName, RoomRole, Seq,
    ServerRole, Topic, UserId, Username,
};
use serde_json::{Value, json};

use super::{built, with_replaced};
use crate::support::process::{Place, run};

const START: Millis = Millis(1_770_000_000_000);
/// The rooms, in the order of their ids.
const HALL: RoomId = RoomId::from_u128(1);
const DEN: RoomId = RoomId::from_u128(2);
/// One that is not open.
const CELL: RoomId = RoomId::from_u128(3);
/// Long enough not to be a word that everybody says again and again.
const TEXT: &str = "has anybody seen my keys";

struct Past {
    place: Place,
    store: Sqlite,
    count: Cell<u128>,
}

impl Past {
    fn begin() -> Self {
        let place = Place::with("plugins.chain = []");
        std::fs::create_dir_all(&place.data_dir).unwrap();
        let store = Sqlite::open(&place.data_dir.join("confab.db"), 1, Vault::default()).unwrap();
        Self { place, store, count: Cell::new(1) }
    }

    fn next(&self) -> u128 {
        self.count.replace(self.count.get() + 1)
    }

    /// An account that is so many seconds old when everything begins.
    async fn user(&self, name: &str, role: ServerRole, age: u64) -> UserId {
        let username = Username::parse(name).unwrap();
        let created = Millis(START.0 - age * 1_000);
        let user = NewUser {
            id: UserId::new(created, self.next()),
            username_key: user_key(&username),
            username,
            display_name: DisplayName::parse(name).unwrap(),
            role,
            password_hash: None,
            self_room: RoomId::new(created, self.next()),
            incarnation: new_incarnation(self.next()),
            created,
            audit_key: AuditKey::from_u128(self.next()),
            ticket: None,
        };
        let id = user.id;
        self.store.create_user(user).await.unwrap();
        id
    }

    /// Appends at so many seconds from the start on; its seq.
    async fn append(&self, at: u64, room: RoomId, author: UserId, content: EntryContent, change: Change) -> Seq {
        let client_id = ClientId::from_u128(self.next());
        let item = Item {
            room,
            author,
            client_id,
            digest: client_id.to_bytes(),
            payload: encode_entry(&Entry { author, client_id, content }),
            altered: false,
            change,
            // Not a room's: each time it is looked whether they may.
            acl_version: u64::MAX,
            order: Order::none(),
            then: Vec::new(),
            beside: None,
        };
        let decided = self.store.append(vec![item], START.after(at * 1_000)).await.unwrap();
        let Decision::Append { seq, .. } = decided[0].decision else { panic!("{:?}", decided[0].decision) };
        seq
    }

    async fn room(&self, room: RoomId, owner: UserId, name: &str) {
        self.room_as(false, room, owner, name).await;
    }

    async fn room_as(&self, is_private: bool, room: RoomId, owner: UserId, name: &str) {
        let (name, topic) = (RoomName::parse(name).unwrap(), Topic::parse("").unwrap());
        let content = EntryContent::RoomCreated { name: name.clone(), topic: topic.clone() };
        let shape = RoomShape::named(name, topic, is_private);
        let new = NewRoom { shape, incarnation: new_incarnation(self.next()), created: START };
        self.append(0, room, owner, content, Change::CreateRoom(Box::new(new))).await;
    }

    async fn comes_or_goes(&self, at: u64, room: RoomId, user: UserId, comes: bool) {
        let (change, kind) = match comes {
            true => (Change::Join(None), MembershipChange::Joined),
            false => (Change::Leave, MembershipChange::Left),
        };
        let display_name = DisplayName::parse("somebody").unwrap();
        let content = EntryContent::Membership { user, change: kind, role: RoomRole::Member, display_name };
        self.append(at, room, user, content, change).await;
    }

    async fn say(&self, at: u64, room: RoomId, author: UserId, text: &str) -> Seq {
        self.say_as(Said::default(), at, room, author, text).await
    }

    async fn say_as(&self, said: Said, at: u64, room: RoomId, author: UserId, text: &str) -> Seq {
        let content = EntryContent::Message(Body::parse(text).unwrap().into());
        self.append(at, room, author, content, Change::Message(said)).await
    }

    async fn edit(&self, at: u64, room: RoomId, author: UserId, seq: Seq, text: &str) {
        self.edit_as(false, (at, room, author), seq, text).await;
    }

    async fn edit_as(&self, shadowed: bool, (at, room, author): (u64, RoomId, UserId), seq: Seq, text: &str) {
        let act = Act::Edit(seq, self.message(author, text), Vec::new());
        let amend = Amend { server_role: ServerRole::User, shadowed, decided: false, act };
        self.append(at, room, author, EntryContent::Edit(seq), Change::Amend(Box::new(amend))).await;
    }

    fn message(&self, author: UserId, text: &str) -> Bytes {
        let content = EntryContent::Message(Body::parse(text).unwrap().into());
        encode_entry(&Entry { author, client_id: ClientId::from_u128(self.next()), content })
    }

    /// Two rooms of an owner, and a member of both.
    async fn with_rooms() -> (Self, UserId, UserId) {
        let past = Self::begin();
        let owner = past.user("olivia", ServerRole::Owner, 10_000_000).await;
        let member = past.user("mark", ServerRole::User, 10_000_000).await;
        for (room, name) in [(HALL, "hall"), (DEN, "den")] {
            past.room(room, owner, name).await;
            past.comes_or_goes(0, room, member, true).await;
        }
        (past, owner, member)
    }

    /// What two runs say alike.
    fn replay(&self, id: &str, more: &[&str]) -> Value {
        let component = built(&format!("plugins/{id}.wasm"));
        let mut arguments = vec!["plugin", "--json", "replay", component.to_str().unwrap()];
        arguments.extend(more);
        let found = || {
            let printed = run(&mut self.place.command(&arguments), "").assert_good();
            let mut found: Value = serde_json::from_str(printed.trim()).unwrap();
            for time in ["seconds", "per_second", "us_each"] {
                found.as_object_mut().unwrap().remove(time).unwrap();
            }
            found
        };
        let one = found();
        assert_eq!(one, found(), "a second run says the same");
        one
    }
}

fn verdicts(found: &Value) -> Vec<String> {
    let word = |verdict: &Value, name: &str| verdict[name].as_str().unwrap().to_owned();
    let line = |it: &Value| {
        let samples: Vec<&str> = it["samples"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
        format!("{} {} {}: {}", it["count"], word(it, "verdict"), word(it, "rule"), samples.join(" "))
    };
    found["verdicts"].as_array().unwrap().iter().map(line).collect()
}

/// The fourth of a minute is held, wherever it is said: room by room there would be none, for time would run backwards.
#[tokio::test(flavor = "multi_thread")]
async fn rooms_are_replayed_together_in_the_order_of_time() {
    let (past, owner, member) = Past::with_rooms().await;
    past.say(0, DEN, member, TEXT).await;
    past.say(20, HALL, member, TEXT).await;
    past.say(40, DEN, member, TEXT).await;
    let fourth = past.say(50, HALL, member, TEXT).await;
    // Whom the server lets alone is let alone here.
    for at in 100..110 {
        past.say(at, if at % 2 == 0 { HALL } else { DEN }, owner, TEXT).await;
    }
    past.store.close().await;

    let found = past.replay("flood", &[]);
    assert_eq!(verdicts(&found), [format!("1 hold flood.repeat: {HALL}/{}", fourth.0)]);
    assert_eq!((&found["messages"], &found["places_unknown"]), (&json!(14), &json!(0)));
    assert!(found["fuel"]["max"].as_u64().unwrap() > 0, "{found}");
    // Of one room it is no more than twice.
    let found = past.replay("flood", &["--room", "hall"]);
    assert_eq!((verdicts(&found), &found["messages"]), (Vec::new(), &json!(7)));
}

/// A young account is new where it came in, not since there is such an account.
#[tokio::test(flavor = "multi_thread")]
async fn it_is_asked_with_roles_and_places_as_they_are() {
    let (past, owner, _) = Past::with_rooms().await;
    let young = past.user("yara", ServerRole::User, 2_000).await;
    let leaver = past.user("leo", ServerRole::User, 2_000).await;
    let moderator = past.user("mona", ServerRole::Moderator, 2_000).await;
    for user in [young, leaver, moderator] {
        past.comes_or_goes(10, HALL, user, true).await;
    }
    let link = "see https://example.org/page";
    let first = past.say(20, HALL, young, link).await;
    past.say(30, HALL, moderator, link).await;
    past.say(40, HALL, owner, link).await;
    // It is not new there any more.
    past.say(800, HALL, young, link).await;
    let gone = past.say(810, HALL, leaver, link).await;
    past.comes_or_goes(820, HALL, leaver, false).await;
    past.store.close().await;

    let found = past.replay("newcomer", &[]);
    assert_eq!(verdicts(&found), [format!("2 hold newcomer.link: {HALL}/{} {HALL}/{}", first.0, gone.0)]);
    assert_eq!((&found["messages"], &found["places_unknown"]), (&json!(5), &json!(1)), "{found}");
    assert_eq!(found["not_asked"], json!(["join", "register"]), "{found}");

    let component = built("plugins/newcomer.wasm");
    let printed = run(&mut past.place.command(&["plugin", "replay", component.to_str().unwrap()]), "").assert_good();
    assert!(printed.contains("left or came again since: 1\n"), "{printed}");
    assert!(printed.contains("\nhooks that it has and a replay does not ask: join, register\n"), "{printed}");
}

/// It would be told that nothing was found, whatever was said.
#[test]
fn a_plugin_that_is_not_asked_about_messages_is_not_replayed() {
    let place = Place::with("plugins.chain = []");
    let component = place.folder.path().join("newcomer.wasm");
    let wasm = std::fs::read(built("plugins/newcomer.wasm")).unwrap();
    // What it exports by this name is no hook.
    let other = with_replaced(&wasm, "confab:plugin/message@0.1.0", "confab:plugin/massage@0.1.0");
    std::fs::write(&component, other).unwrap();
    let manifest = std::fs::read_to_string(built("plugins/newcomer.toml")).unwrap();
    let hooks = "\"message\", ";
    assert!(manifest.contains(hooks), "{manifest}");
    std::fs::write(component.with_extension("toml"), manifest.replace(hooks, "")).unwrap();
    let replayed = run(&mut place.command(&["plugin", "replay", component.to_str().unwrap()]), "");
    replayed.assert_refused(1, &["newcomer has no hook message", "golden files", "join, register"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_edit_is_asked_for_at_its_time() {
    let (past, _, member) = Past::with_rooms().await;
    let edited = past.say(0, HALL, member, "the first thing that I said").await;
    past.say(200, DEN, member, TEXT).await;
    past.edit(205, HALL, member, edited, "the second thing that I said").await;
    past.say(210, DEN, member, TEXT).await;
    past.say(220, HALL, member, TEXT).await;
    past.edit(230, HALL, member, edited, TEXT).await;
    past.store.close().await;

    let found = past.replay("flood", &[]);
    assert_eq!(verdicts(&found), [format!("1 hold flood.repeat: {HALL}/{}:edit", edited.0)]);
    let counted = ["messages", "edits", "edits_skipped", "texts_replaced"].map(|name| found[name].as_u64().unwrap());
    assert_eq!(counted, [4, 1, 1, 1]);
    assert_eq!(found["fuel"]["total"].as_u64().unwrap() / 5, found["fuel"]["mean"].as_f64().unwrap() as u64);
}

/// An edit that its author alone sees made nothing of a message that others see: it is none. Of a message that nobody
/// else sees it did.
#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_nobody_sees_counts_where_nobody_sees_its_message() {
    let (past, _, member) = Past::with_rooms().await;
    let seen = past.say(0, HALL, member, "the first thing that I said").await;
    let beside = past.say(5, HALL, member, "and another thing beside it").await;
    past.edit_as(true, (10, HALL, member), seen, "nobody reads this at all").await;
    past.edit(20, HALL, member, seen, TEXT).await;
    for at in [30, 31, 32] {
        past.edit_as(true, (at, HALL, member), seen, "nobody reads this either").await;
    }
    past.edit_as(true, (40, HALL, member), beside, "nobody reads this as well").await;
    let said = Said { shadowed: true, ..Said::default() };
    let unseen = past.say_as(said, 50, DEN, member, "what is said to nobody").await;
    for (at, text) in [(60, "what is said to nobody yet"), (70, "what is said to nobody ever")] {
        past.edit_as(true, (at, DEN, member), unseen, text).await;
    }
    past.store.close().await;

    let found = past.replay("flood", &[]);
    let counted = ["messages", "edits", "edits_skipped", "texts_replaced"].map(|name| found[name].as_u64().unwrap());
    assert_eq!(counted, [3, 2, 1, 2], "{found}");
    // Counted as edits they were the same text again and again.
    assert_eq!(verdicts(&found), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_is_not_open_is_named_by_its_id() {
    let (past, owner, _) = Past::with_rooms().await;
    past.room_as(true, CELL, owner, "cell").await;
    for (at, room) in [(10, HALL), (20, CELL), (30, CELL)] {
        past.say(at, room, owner, TEXT).await;
    }
    past.store.close().await;

    let messages = |more: &[&str]| past.replay("flood", more)["messages"].clone();
    let [hall, cell] = [HALL, CELL].map(|room| room.to_string());
    assert_eq!((messages(&[]), messages(&["--room", "hall"])), (json!(1), json!(1)));
    assert_eq!((messages(&["--room", &hall]), messages(&["--room", &cell])), (json!(1), json!(2)));
    let component = built("plugins/flood.wasm");
    let replay = |room: &str| {
        let arguments = ["plugin", "replay", component.to_str().unwrap(), "--room", room];
        run(&mut past.place.command(&arguments), "")
    };
    replay("cell").assert_refused(1, &["no open room cell", "by its id"]);
    let nowhere = RoomId::from_u128(99).to_string();
    replay(&nowhere).assert_refused(1, &["there is no room", &nowhere]);
}

/// What is older than `--since` is neither told nor remembered.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_looked_at_and_told_can_be_said() {
    const HOUR: u64 = 3_600;
    let (past, _, member) = Past::with_rooms().await;
    let lately = (SystemClock::new().now().0 - START.0) / 1_000 - HOUR;
    let mut said = Vec::new();
    for at in [100, 110, lately, lately + 10, lately + 20] {
        said.push(past.say(at, HALL, member, TEXT).await);
    }
    past.store.close().await;
    let place = |number: usize| format!("{HALL}/{}", said[number].0);

    assert_eq!(verdicts(&past.replay("flood", &[])), Vec::<String>::new());
    let file = past.place.folder.path().join("flood.toml");
    let settings = ["--settings", file.to_str().unwrap()];
    std::fs::write(&file, "repeats = 1\n").unwrap();
    let found = past.replay("flood", &settings);
    assert_eq!(verdicts(&found), [format!("3 hold flood.repeat: {} {} {}", place(1), place(3), place(4))]);
    let found = past.replay("flood", &[&settings[..], &["--samples", "1"]].concat());
    assert_eq!(verdicts(&found), [format!("3 hold flood.repeat: {}", place(1))]);
    let found = past.replay("flood", &[&settings[..], &["--since", "2h"]].concat());
    assert_eq!(verdicts(&found), [format!("2 hold flood.repeat: {} {}", place(3), place(4))]);
    assert_eq!(found["messages"], json!(3));

    // Without a file it is as the configuration has it.
    past.place.rewrite("plugins.chain = []", "plugins.chain = []\nplugins.config.flood = { repeats = 2 }");
    assert_eq!(verdicts(&past.replay("flood", &[])), [format!("1 hold flood.repeat: {}", place(4))]);
    std::fs::remove_file(&file).unwrap();
    let component = built("plugins/flood.wasm");
    let arguments = ["plugin", "replay", component.to_str().unwrap(), settings[0], settings[1]];
    run(&mut past.place.command(&arguments), "").assert_refused(1, &["flood.toml"]);
}
