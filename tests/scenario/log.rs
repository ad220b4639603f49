//! Exactly once, in one order, for everybody: live, read back, and after a restart.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use confab::core::append::{Change, Item, Order, Said};
use confab_protocol::codec::{decode_entry, encode_entry, encode_server_frame};
use confab_protocol::command::{Appended, Command, Edit, Reply, ResumeOutcome, Secret, ServerFrame, Write};
use confab_protocol::limits::FRAME_BYTES_MAX;
use confab_protocol::model::{
    Body, ClientId, Cursor, Entry, EntryContent, Envelope, Incarnation, Millis, RoomId, Seq, UserId,
};

use super::bare_server;
use crate::support::people::message;
use crate::support::raw::{PATIENCE, Raw, Target, accounts, appended, client_id, now, publish, resend, spawn};
use crate::support::{TRANSPORTS, TestServer, Transport};

/// Consecutive from this seq on, and time never goes back.
fn assert_run(entries: &[Envelope], first: u64) {
    for (entry, seq) in entries.iter().zip(first..) {
        assert_eq!(entry.seq, Seq(seq), "a gap or a jump");
    }
    assert!(entries.windows(2).all(|pair| pair[0].time <= pair[1].time), "time went back");
}

fn client_id_of(entry: &Envelope) -> ClientId {
    decode_entry(&entry.payload).unwrap().client_id
}

/// Posts with so many in flight; each client id with what was acknowledged, in the order of sending.
async fn post_all(
    raw: &mut Raw,
    room: RoomId,
    texts: impl IntoIterator<Item = String>,
    window: usize,
) -> Vec<(ClientId, Appended)> {
    let (mut waiting, mut acks) = (VecDeque::new(), Vec::new());
    for text in texts {
        if waiting.len() == window {
            let (id, request) = waiting.pop_front().unwrap();
            acks.push((id, appended(raw.reply(request).await)));
        }
        let id = client_id();
        waiting.push_back((id, raw.begin(publish(room, id, &text)).await));
    }
    for (id, request) in waiting {
        acks.push((id, appended(raw.reply(request).await)));
    }
    acks
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_writers_and_four_readers_agree() {
    const WRITERS: usize = 8;
    const MESSAGES: usize = 200;
    let server = TestServer::start().await;
    let target = Target::from(&server);
    let names: Vec<String> = (0..WRITERS + 4).map(|index| format!("person-{index}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let tokens = accounts(&server.config, &names).await;
    let mut people = Vec::new();
    for (index, (_, token)) in tokens.iter().enumerate() {
        people.push(Raw::enter(&target, TRANSPORTS[index % 2], token).await);
    }
    let mut room = people[0].join("busy").await;
    for person in &mut people[1..] {
        room = person.join("busy").await;
    }
    let mut readers = people.split_off(WRITERS);
    for reader in &mut readers {
        let resumed = reader.resume(room.id, room.incarnation, room.head).await;
        assert_eq!((resumed.outcome, resumed.head), (ResumeOutcome::Recovered, room.head));
    }
    let writing: Vec<_> = people
        .into_iter()
        .enumerate()
        .map(|(index, mut writer)| {
            let texts = (0..MESSAGES).map(move |number| format!("{index}: {number}"));
            let room = room.id;
            spawn(async move { post_all(&mut writer, room, texts, 32).await })
        })
        .collect();
    let last = Seq(room.head.0 + (WRITERS * MESSAGES) as u64);
    // They read while the others write.
    let reading: Vec<_> = readers
        .into_iter()
        .map(|mut reader| spawn(async move { (reader.hear_until(room.id, last).await, reader) }))
        .collect();
    let mut acks = HashMap::new();
    for writer in writing {
        let mine = writer.await.unwrap();
        assert!(mine.windows(2).all(|pair| pair[0].1.seq < pair[1].1.seq), "a writer's own order");
        assert!(mine.iter().all(|(_, ack)| !ack.duplicate && !ack.altered));
        acks.extend(mine);
    }
    let mut logs = Vec::new();
    for reader in reading {
        let (heard, mut reader) = reader.await.unwrap();
        assert_run(&heard, room.head.0 + 1);
        assert_eq!(heard.len(), WRITERS * MESSAGES);
        assert_eq!(reader.history_all(room.id, 0).await, heard, "history is what was heard");
        logs.push(heard);
    }
    assert!(logs.windows(2).all(|pair| pair[0] == pair[1]), "readers differ");
    for entry in &logs[0] {
        let ack = acks.remove(&client_id_of(entry)).expect("an entry that nobody sent, or twice");
        assert_eq!((ack.seq, ack.time), (entry.seq, entry.time));
    }
    assert!(acks.is_empty(), "acknowledged and not in the log: {}", acks.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_id_is_appended_once() {
    let (server, target) = bare_server().await;
    for transport in TRANSPORTS {
        let name = format!("alice-{transport:?}");
        let token = accounts(&server.config, &[&name]).await.remove(0).1;
        let mut alice = Raw::enter(&target, transport, &token).await;
        let room = alice.join(&format!("once {transport:?}")).await;
        let id = client_id();
        let first = appended(alice.request(publish(room.id, id, "hello")).await);
        assert!(!first.duplicate);
        for again in [resend(room.id, id, "hello"), publish(room.id, id, "hello")] {
            let again = appended(alice.request(again).await);
            assert_eq!(again, Appended { duplicate: true, ..first });
        }
        assert_eq!(alice.refusal(resend(room.id, id, "other")).await, 3003);
        assert_eq!(alice.refusal(publish(room.id, id, "other")).await, 3003);
        // The reply was lost, and before it the request: both look the same to a client.
        let early = client_id();
        let resent = appended(alice.request(resend(room.id, early, "early")).await);
        assert_eq!((resent.seq, resent.duplicate), (first.seq.next(), false));
        let late = appended(alice.request(publish(room.id, early, "early")).await);
        assert_eq!(late, Appended { duplicate: true, ..resent });
        let at_age = |age_ms| ClientId::new(Millis(now().0 - age_ms), u128::from(u64::MAX / 3));
        let day = 24 * 3_600 * 1_000;
        assert_eq!(alice.refusal(publish(room.id, at_age(day + 1), "old")).await, 3004);
        assert_eq!(alice.refusal(resend(room.id, at_age(day + 1), "old")).await, 3004);
        assert!(!appended(alice.request(publish(room.id, at_age(day - 60_000), "young enough")).await).duplicate);
        let log = alice.sync_all(room.id, 0).await;
        let texts: Vec<_> = log.iter().filter_map(|entry| message(&entry.payload)).collect();
        assert_eq!(texts, ["hello", "early", "young enough"]);
        // The outcome stays what it was, whatever became of the right to post.
        let left = alice.request(Command::LeaveRoom(confab_protocol::command::RoomTarget::Id(room.id))).await;
        assert_eq!(left, Ok(Reply::Ok));
        assert_eq!(appended(alice.request(resend(room.id, id, "hello")).await), Appended { duplicate: true, ..first });
    }
    // Per transport: three duplicates by then and one after leaving.
    assert!(server.metric("confab_entries_duplicate_total").await >= 8.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_connections_with_one_client_id_append_one_entry() {
    let (server, target) = bare_server().await;
    let token = accounts(&server.config, &["alice"]).await.remove(0).1;
    let mut one = Raw::enter(&target, Transport::Quic, &token).await;
    let mut two = Raw::enter(&target, Transport::WebSocket, &token).await;
    let room = one.join("twice").await;
    let ids: Vec<ClientId> = (0..60).map(|_| client_id()).collect();
    let (mut asked_one, mut asked_two) = (Vec::new(), Vec::new());
    for (index, id) in ids.iter().enumerate() {
        let command = if index % 2 == 0 { publish(room.id, *id, "same") } else { resend(room.id, *id, "same") };
        asked_one.push(one.begin(command.clone()).await);
        asked_two.push(two.begin(command).await);
    }
    for (a, b) in asked_one.into_iter().zip(asked_two) {
        let (a, b) = (appended(one.reply(a).await), appended(two.reply(b).await));
        assert_eq!((a.seq, a.time), (b.seq, b.time));
        assert!(a.duplicate != b.duplicate, "one appended it and the other found it: {a:?} {b:?}");
    }
    let log = one.history_all(room.id, 0).await;
    let unique: HashSet<ClientId> = log.iter().map(client_id_of).collect();
    assert_eq!((log.len(), unique.len()), (ids.len(), ids.len()));
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_any_size_hold_the_same() {
    let (server, target) = bare_server().await;
    let token = accounts(&server.config, &["alice"]).await.remove(0).1;
    let mut alice = Raw::enter(&target, Transport::WebSocket, &token).await;
    let room = alice.join("pages").await;
    // Small ones are bounded by number, large ones by bytes.
    let texts = (0..450).map(|number| if number % 9 == 0 { "\u{1f600}".repeat(3_900) } else { format!("{number}") });
    let acks = post_all(&mut alice, room.id, texts, 32).await;
    let log = alice.sync_all(room.id, 0).await;
    assert_run(&log, 1);
    assert_eq!(log.len(), 451, "with the entry of the room itself");
    let messages: Vec<Envelope> = log.iter().filter(|entry| message(&entry.payload).is_some()).cloned().collect();
    let ids: Vec<ClientId> = messages.iter().map(client_id_of).collect();
    assert_eq!(ids, acks.iter().map(|(id, _)| *id).collect::<Vec<_>>());
    let mut reader = Raw::enter(&target, Transport::Quic, &token).await;
    for limit in [1, 7, 199, 200, 0] {
        assert_eq!(reader.sync_all(room.id, limit).await, log, "sync by {limit}");
        assert_eq!(reader.history_all(room.id, limit).await, messages, "history by {limit}");
    }
    let page = reader.sync_page(Cursor { room: room.id, incarnation: Incarnation(0), seq: Seq(0) }, 0).await;
    let frame = encode_server_frame(&ServerFrame::Reply { id: 1, result: Ok(Reply::Page(page)) });
    assert!(frame.len() <= FRAME_BYTES_MAX, "{} bytes", frame.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_loses_nothing_and_resume_brings_what_was_missed() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let start = || TestServer::start_in(Arc::clone(&folder), |config| config.plugins.chain.clear());
    let server = start().await;
    let mut target = Target::from(&server);
    let token = accounts(&server.config, &["alice"]).await.remove(0).1;
    let mut alice = Raw::enter(&target, Transport::Quic, &token).await;
    let room = alice.join("durable").await;
    let first = post_all(&mut alice, room.id, (0..120).map(|number| format!("before {number}")), 16).await;
    let known = first[39].1.seq;
    let log = alice.sync_all(room.id, 0).await;

    drop(server);
    assert_eq!(alice.closed().await.code, 4000);
    until_refused(&target).await;
    let server = start().await;
    target = Target::from(&server);
    for transport in TRANSPORTS {
        let mut alice = Raw::enter(&target, transport, &token).await;
        let resumed = alice.resume(room.id, room.incarnation, known).await;
        assert_eq!(resumed.outcome, ResumeOutcome::Recovered);
        assert_eq!(resumed.incarnation, room.incarnation);
        let last = log.last().unwrap().seq;
        let heard = alice.hear_until(room.id, resumed.head).await;
        let missed: Vec<Envelope> = alice.sync_all(room.id, 0).await.into_iter().skip(known.0 as usize).collect();
        assert_eq!(heard, missed);
        assert_eq!(heard[..(last.0 - known.0) as usize], log[known.0 as usize..]);
        // What was acknowledged before is still known by its id, and what is new follows on.
        let (id, ack) = first[7];
        let again = appended(alice.request(resend(room.id, id, "before 7")).await);
        assert_eq!(again, Appended { duplicate: true, ..ack });
        let next = alice.say(room.id, "after").await;
        assert_eq!(next.seq, resumed.head.next());
        assert_run(&alice.hear_until(room.id, next.seq).await, known.0 + 1);
    }
}

/// Waits until nobody listens there any more.
async fn until_refused(target: &Target) {
    let refused = async {
        while tokio::net::TcpStream::connect(target.http).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, refused).await.expect("the server went on listening");
}

/// Fills a room in the server's own store, as fast as an import.
async fn import(server: &TestServer, room: RoomId, author: UserId, count: usize) {
    let store = confab::open_store(&server.config).await.unwrap();
    let item = |number: usize| {
        let (client_id, body) = (client_id(), Body::parse(&format!("import {number}")).unwrap());
        let payload = encode_entry(&Entry { author, client_id, content: EntryContent::Message(body.into()) });
        let (change, order) = (Change::Message(Said::default()), Order::none());
        Item {
            room,
            author,
            client_id,
            digest: [0; 16],
            payload,
            altered: false,
            change,
            acl_version: 0,
            order,
            then: Vec::new(),
            beside: None,
        }
    };
    for start in (0..count).step_by(500) {
        let batch = (start..count.min(start + 500)).map(item).collect();
        store.append(batch, now()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_is_replayed_up_to_ten_thousand_entries() {
    let (server, target) = bare_server().await;
    let (user, token) = accounts(&server.config, &["alice"]).await.remove(0);
    let mut alice = Raw::enter(&target, Transport::Quic, &token).await;
    let room = alice.join("long").await;
    import(&server, room.id, user, 10_100).await;
    for transport in TRANSPORTS {
        let mut reader = Raw::enter(&target, transport, &token).await;
        let head = alice.say(room.id, "the head").await.seq;
        let at_bound = reader.resume(room.id, room.incarnation, Seq(head.0 - 10_000)).await;
        assert_eq!((at_bound.outcome, at_bound.head), (ResumeOutcome::Recovered, head));
        let heard = reader.hear_until(room.id, head).await;
        assert_eq!(heard.len(), 10_000);
        assert_run(&heard, head.0 - 10_000 + 1);

        let mut late = Raw::enter(&target, transport, &token).await;
        let too_long = late.resume(room.id, room.incarnation, Seq(head.0 - 10_001)).await;
        assert_eq!(too_long.outcome, ResumeOutcome::GapTooLong);
        assert_eq!((too_long.first_seq, too_long.head), (Seq(1), head));
        let next = alice.say(room.id, "live again").await;
        let heard = late.hear_until(room.id, next.seq).await;
        assert_run(&heard, next.seq.0);
        assert_eq!(heard.len(), 1, "live from the head on, nothing before");
        // The rest is there to be paged.
        let cursor = Cursor { room: room.id, incarnation: room.incarnation, seq: Seq(head.0 - 10_001) };
        assert_eq!(late.sync_page(cursor, 3).await.entries[0].seq, Seq(head.0 - 10_000));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_of_another_history_is_told() {
    let (server, target) = bare_server().await;
    let token = accounts(&server.config, &["alice"]).await.remove(0).1;
    for transport in TRANSPORTS {
        let mut alice = Raw::enter(&target, transport, &token).await;
        let room = alice.join("restored").await;
        let head = alice.say(room.id, "before").await.seq;
        let other = Incarnation(room.incarnation.0 ^ 1);
        for (incarnation, seq) in [(other, Seq(1)), (room.incarnation, head.next()), (Incarnation(0), Seq(u64::MAX))] {
            let resumed = alice.resume(room.id, incarnation, seq).await;
            assert_eq!(resumed.outcome, ResumeOutcome::IncarnationChanged, "{incarnation:?} {seq:?}");
            assert_eq!((resumed.incarnation, resumed.head), (room.incarnation, head));
            let cursor = Cursor { room: room.id, incarnation, seq };
            assert_eq!(alice.refusal(Command::Sync { cursor, limit: 0 }).await, 3006);
        }
        let live = alice.say(room.id, "after").await;
        let heard = alice.hear_until(room.id, live.seq).await;
        assert_eq!(heard.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [live.seq]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_that_come_while_others_write_miss_nothing() {
    let (server, target) = bare_server().await;
    let tokens: Vec<Secret> =
        accounts(&server.config, &["writer", "reader"]).await.into_iter().map(|it| it.1).collect();
    let mut writer = Raw::enter(&target, Transport::WebSocket, &tokens[0]).await;
    let room = writer.join("moving").await;
    let mut first = Raw::enter(&target, Transport::Quic, &tokens[1]).await;
    first.join("moving").await;
    let texts = (0..1_500).map(|number| format!("{number}"));
    let writing = spawn(async move { post_all(&mut writer, room.id, texts, 48).await });
    let mut reading = Vec::new();
    for index in 0..8 {
        let mut reader = Raw::enter(&target, TRANSPORTS[index % 2], &tokens[1]).await;
        let from = Seq((index as u64) * 3);
        assert_eq!(
            reader.resume(room.id, room.incarnation, Seq(from.0.min(2))).await.outcome,
            ResumeOutcome::Recovered
        );
        let from = from.0.min(2);
        reading.push(spawn(async move { (from, reader.hear_until(room.id, Seq(1_502)).await) }));
    }
    writing.await.unwrap();
    let log = first.sync_all(room.id, 0).await;
    for reader in reading {
        let (from, mut heard) = reader.await.unwrap();
        // As `chat.capnp` has it: right after it became live a push may begin with what is known.
        let mut known = Seq(from);
        heard.retain(|entry| {
            let is_new = entry.seq > known;
            known = known.max(entry.seq);
            is_new
        });
        assert_run(&heard, from + 1);
        assert_eq!(heard, log[from as usize..]);
    }
}

/// Who moderates is told what a message said before, the newest of it, as far as a page goes; and where it goes on.
#[tokio::test(flavor = "multi_thread")]
async fn earlier_texts_are_told_from_the_newest_page_on() {
    let (server, target) = bare_server().await;
    let people = accounts(&server.config, &["alice"]).await;
    // She made the room, and moderates it.
    let mut alice = Raw::enter(&target, Transport::Quic, &people[0].1).await;
    let room = alice.join("den").await.id;
    let seq = appended(alice.request(publish(room, client_id(), "text 0")).await).seq;
    for n in 1..=201 {
        let body = Body::parse(&format!("text {n}")).unwrap();
        let write = Write { room, client_id: client_id(), resend: false };
        appended(alice.request(Command::Edit(Edit { write, seq, body })).await);
    }
    let mut told = async |before| {
        let page = alice.request(Command::Revisions { room, seq, before }).await;
        let Ok(Reply::Page(page)) = page else { panic!("{page:?}") };
        let texts: Vec<_> = page.entries.iter().map(|it| (it.rev, message(&it.payload).unwrap())).collect();
        (texts, page.next.0)
    };
    let texts = |revs: std::ops::RangeInclusive<u32>| revs.map(|n| (n, format!("text {n}"))).collect::<Vec<_>>();
    assert_eq!(told(0).await, (texts(1..=200), 1), "and there is one more");
    assert_eq!(told(1).await, (texts(0..=0), 0), "which is the last");
    assert_eq!(told(150).await, (texts(0..=149), 0));
}
