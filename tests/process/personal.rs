//! An archive of what is held on somebody, and its erasure, by the real binary beside a running server.

use std::path::Path;

use confab_client::{Client, Options};
use confab_protocol::command::{Command, Delete, Edit, History, React, Register, Reply, SanctionUser, Search, Secret};
use confab_protocol::model::{
    Body, DeviceName, DisplayName, Emoji, Reason, RoomId, SanctionKind, Seq, UserId, Username,
};
use tokio::time::Instant;

use crate::support::Transport;
use crate::support::commands::write;
use crate::support::people::{PASSWORD, Person, message};
use crate::support::postgres::Cluster;
use crate::support::process::{PATIENCE, Place, eventually, run};
use crate::support::raw::{client_id, publish};

/// Stands in everything that is theirs, and nowhere else.
const CANARY: &str = "zebracanary7";
/// More than a page, and than one deletion may name.
const MESSAGES: usize = 250;
/// Of one message: more than a page of earlier texts.
const EDITS: usize = 201;

async fn register(place: &Place) -> (Client, UserId) {
    let (client, mut events) = Client::connect(Options::new(place.address(Transport::WebSocket)));
    let register = Register {
        username: Username::parse(CANARY).unwrap(),
        password: Secret::new(PASSWORD),
        display_name: Some(DisplayName::parse(&format!("{CANARY} Doe")).unwrap()),
        device: DeviceName::parse(&format!("phone of {CANARY}")).unwrap(),
        owner_token: None,
        invite: None,
    };
    let reply = client.request(Command::Register(register)).await.unwrap();
    let Reply::Session(session) = reply else { panic!("{reply:?}") };
    tokio::spawn(async move { while events.recv().await.is_some() {} });
    (client, session.identity.user)
}

/// What somebody leaves who was there for a while; rooms that the owner is in too.
async fn live(owner: &Person, victim: &Client, id: UserId) -> [RoomId; 3] {
    let hall = owner.enter("hall").await;
    victim.join("hall").await.unwrap();
    let club = victim.join("hall").await.unwrap().id;
    assert_eq!(club, hall.id);
    let club = owner.enter("club").await.id;
    victim.join("club").await.unwrap();
    let greeting = owner.client.say(club, "who is it?").await.unwrap();
    for n in 0..MESSAGES {
        victim.say(club, &format!("{CANARY} speaks {n}")).await.unwrap();
    }
    let Reply::Appended(first) = victim.request(publish(hall.id, client_id(), "before")).await.unwrap() else {
        panic!()
    };
    let body = |text: &str| Body::parse(text).unwrap();
    for n in 1..=EDITS {
        let body = body(&format!("{n} times {CANARY}"));
        victim.request(Command::Edit(Edit { write: write(hall.id), seq: first.seq, body })).await.unwrap();
    }
    let gone = victim.say(hall.id, &format!("{CANARY} thinks better of it")).await.unwrap();
    victim.request(Command::Delete(Delete { write: write(hall.id), seqs: vec![gone.seq] })).await.unwrap();
    let emoji = Emoji::parse("\u{1f44d}").unwrap();
    victim
        .request(Command::React(React { write: write(club), seq: greeting.seq, emoji, remove: false }))
        .await
        .unwrap();
    let direct = Command::Direct { client_id: client_id(), user: id };
    let Reply::Room(direct) = owner.client.request(direct).await.unwrap() else { panic!() };
    victim.say(direct.id, &format!("between us: {CANARY}")).await.unwrap();
    // They are put out of one room, and stay in the other.
    let reason = Reason::parse(&format!("{CANARY} was rude")).unwrap();
    let kick = SanctionUser { write: write(hall.id), user: id, kind: SanctionKind::Kick, duration_ms: 0, reason };
    owner.client.request(Command::Sanction(kick)).await.unwrap();
    [hall.id, club, direct.id]
}

async fn texts(owner: &Person, room: RoomId) -> Vec<String> {
    let (mut texts, mut before) = (Vec::new(), Seq(0));
    loop {
        let reply = owner.client.request(Command::History(History::before(room, before, 200))).await.unwrap();
        let Reply::Page(page) = reply else { panic!("{reply:?}") };
        texts.extend(page.entries.iter().filter_map(|entry| message(&entry.payload)));
        before = page.next;
        if before == Seq(0) {
            return texts;
        }
    }
}

async fn hits(owner: &Person) -> usize {
    let search = Search { room: None, query: CANARY.to_owned(), before: None, limit: 50 };
    match owner.client.request(Command::Search(search)).await {
        Ok(Reply::Found { hits, .. }) => hits.len(),
        other => panic!("{other:?}"),
    }
}

/// Files below a folder that hold the canary; those of databases are looked at as they are on the disk.
fn files_with_canary(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            found.extend(files_with_canary(&path));
        } else {
            let bytes = std::fs::read(&path).unwrap_or_default();
            if let Some(at) = bytes.windows(CANARY.len()).position(|it| it == CANARY.as_bytes()) {
                let around = &bytes[at.saturating_sub(60)..bytes.len().min(at + 60)];
                found.push(format!("{} at {at}: {}", path.display(), around.escape_ascii()));
            }
        }
    }
    found
}

/// Of a new backup, those that hold the canary.
fn files_in_backup(place: &Place) -> Vec<String> {
    let folder = place.folder.path().join(format!("backup-{}", client_id()));
    run(&mut place.command(&["backup", "create", folder.to_str().unwrap()]), "").assert_good();
    files_with_canary(&folder)
}

/// Up to the erasure, with the server still running.
async fn live_and_erase(place: &Place, compact: bool, has_canary: impl Fn() -> bool) {
    let owner = place.register(Transport::Quic, "owner").await;
    let (victim, id) = register(place).await;
    let rooms = live(&owner, &victim, id).await;
    let deadline = Instant::now() + PATIENCE;
    while hits(&owner).await < 50 {
        assert!(Instant::now() < deadline, "the index does not follow");
        tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    }
    assert!(has_canary(), "where it is looked for later it is now");
    assert!(files_in_backup(place).len() > 3, "and in each table of a backup that names people or what they say");
    let user = |arguments: &[&str]| run(&mut place.command(&[&["user"], arguments].concat()), "");

    let archive = user(&["export", CANARY]).assert_good();
    let records: Vec<serde_json::Value> = archive.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds = |kind: &str| records.iter().filter(|record| record["kind"] == kind).count();
    assert_eq!((kinds("account"), kinds("device"), kinds("reaction"), kinds("room")), (1, 1, 1, 4), "{archive}");
    assert_eq!(kinds("kept with a case"), 1, "what they said where they were put out: {archive}");
    let mut entries = records.iter().filter(|record| record["kind"] == "entry");
    let said = entries.clone().filter(|record| !record["content"]["message"].is_null());
    assert_eq!(said.count(), MESSAGES + 2);
    let edited = entries.find(|record| record["content"]["message"] == format!("{EDITS} times {CANARY}"));
    let earlier: Vec<_> =
        edited.unwrap()["earlier"].as_array().unwrap().iter().map(|it| it["message"].clone()).collect();
    let then = (1..EDITS).map(|n| format!("{n} times {CANARY}"));
    assert_eq!(earlier, ["before".to_owned()].into_iter().chain(then).collect::<Vec<_>>(), "the oldest first");
    let deleted = records.iter().find(|record| !record["content"]["tombstone"].is_null()).unwrap();
    assert!(deleted["earlier"].to_string().contains("thinks better"), "{deleted}");
    assert!(archive.contains("was rude") && !archive.contains("who is it?"), "theirs, and nobody else's");

    let unsure = user(&["erase", CANARY]);
    assert!(unsure.code == Some(2) && unsure.err.contains("--dry-run|--yes"), "{}", unsure.err);
    user(&["erase", "nobody", "--yes"]).assert_refused(1, &["no user nobody"]);
    let rehearsed = user(&["erase", CANARY, "--dry-run"]).assert_good();
    assert!(rehearsed.starts_with("Would erase") && rehearsed.contains("messages: 252 in 3 rooms"), "{rehearsed}");
    assert_eq!(texts(&owner, rooms[1]).await.len(), MESSAGES + 1, "nothing was done");
    let told = user(if compact { &["erase", CANARY, "--yes", "--compact"] } else { &["erase", CANARY, "--yes"] });
    let told = told.assert_good();
    assert!(told.contains("messages: 252") && told.contains("rooms left: 1") && told.contains("Remains"), "{told}");
    user(&["export", CANARY]).assert_refused(1, &["no user"]);
    let again = user(&["erase", &id.to_string(), "--yes"]).assert_good();
    assert!(again.contains("messages: 0 in 3 rooms"), "by the id it may be run again: {again}");

    for room in rooms {
        assert!(texts(&owner, room).await.iter().all(|text| !text.contains(CANARY)), "{room}");
    }
    assert_eq!(texts(&owner, rooms[1]).await, ["who is it?"]);
    assert_eq!(hits(&owner).await, 0);
    let (late, _events) = Client::connect(Options::new(place.address(Transport::Quic)));
    assert!(late.login(CANARY, PASSWORD).await.is_err(), "nobody comes in by that name");
    let (again, _) = register(place).await;
    assert!(again.join("hall").await.is_ok(), "the name is free, and nothing of before comes with it");
    again.request(Command::Logout).await.unwrap();
    let erase = user(&["erase", CANARY, "--yes"]).assert_good();
    assert!(erase.contains("messages: 0"), "{erase}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_on_somebody_is_given_out_and_taken_away() {
    let place = Place::new();
    let mut server = place.serve();
    live_and_erase(&place, false, || files_with_canary(&place.data_dir).len() > 1).await;
    server.terminate();
    assert!(server.wait().success());
    assert_eq!(files_with_canary(&place.data_dir), [""; 0], "in no byte of any file");
    assert_eq!(files_in_backup(&place), [""; 0], "nor in a new backup");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_on_postgres() {
    // Its own, whose files are looked at.
    let cluster = tokio::task::spawn_blocking(Cluster::start).await.unwrap();
    cluster.create_database("chat");
    let place = Place::with(&format!("store.url = {:?}", cluster.url("chat")));
    let mut server = place.serve();
    let base = cluster.data_dir().join("base");
    let has_canary = || {
        // As autovacuum does now and then: the planner's samples must not keep it either.
        cluster.sql("chat", "ANALYZE; CHECKPOINT");
        files_with_canary(&base).len() > 4 && cluster.dump("chat").contains(CANARY)
    };
    live_and_erase(&place, true, has_canary).await;
    assert!(!cluster.dump("chat").contains(CANARY), "in no row");
    assert_eq!(files_in_backup(&place), [""; 0], "nor in a new backup");
    // Names of the second account of that name went after the first compaction.
    let told = run(&mut place.command(&["user", "import", "-"]), &format!("{CANARY}-2\tTwo\n")).assert_good();
    assert!(told.starts_with("1 accounts"), "{told}");
    run(&mut place.command(&["user", "erase", &format!("{CANARY}-2"), "--yes", "--compact"]), "").assert_good();
    server.terminate();
    assert!(server.wait().success());
    cluster.sql("chat", "CHECKPOINT");
    assert_eq!(files_with_canary(&base), [""; 0], "in no byte of the tables' files");
}

/// By what it weighs: nothing else leads out of a plugin's memory before that is full.
#[tokio::test(flavor = "multi_thread")]
async fn what_plugins_remember_of_somebody_goes_with_them() {
    let place = Place::with("plugins.chain = [\"flood\"]");
    let _server = place.serve();
    let remembered = || place.metric("confab_plugin_kv_bytes{plugin=\"flood\"}");
    let mut people = Vec::new();
    for name in ["alice", "bob"] {
        let person = place.register(Transport::Quic, name).await;
        let hall = person.enter("hall").await;
        // Who made the room moderates it, and is not counted.
        person.client.say(hall.id, "hello").await.unwrap();
        people.push(person);
    }
    let carol = place.register(Transport::WebSocket, "carol").await;
    let hall = carol.enter("hall").await;
    let of_one = eventually("it counts for bob", || Some(remembered()).filter(|bytes| *bytes > 0.0));
    carol.client.say(hall.id, "hello").await.unwrap();
    eventually("and for carol", || (remembered() == 2.0 * of_one).then_some(()));
    // A kick ends all logins too, and what is remembered of bob stays.
    run(&mut place.command(&["user", "kick", "bob"]), "").assert_good();
    let rehearsed = run(&mut place.command(&["user", "erase", "carol", "--dry-run"]), "").assert_good();
    assert!(rehearsed.contains("what plugins of servers that run remember"), "{rehearsed}");
    run(&mut place.command(&["user", "erase", "carol", "--yes"]), "").assert_good();
    eventually("it forgets carol", || (remembered() < 2.0 * of_one).then_some(()));
    assert_eq!(remembered(), of_one, "and bob is remembered");
}
