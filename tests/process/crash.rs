//! kill -9 and SIGTERM: what was acknowledged is there, once, and clients come back by themselves.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use confab_client::{Client, Command, Event, Options, Reply, Room};
use confab_protocol::close::CloseCode;
use confab_protocol::model::{Cursor, Seq};
use tokio::time::Instant;

use crate::support::people::{Person, message};
use crate::support::process::{PATIENCE, Place};
use crate::support::{TRANSPORTS, Transport};

const KILLS: usize = 5;
const WRITERS: usize = 8;
const ACKS_A_ROUND: usize = 150;

type Acks = Arc<Mutex<Vec<(Seq, String)>>>;

/// Says one thing after the other until told to stop; across restarts, because the client is.
async fn write(client: Client, room: Room, name: String, acks: Acks, count: Arc<AtomicUsize>, stop: Arc<AtomicUsize>) {
    let mut n = 0;
    while stop.load(Ordering::Relaxed) == 0 {
        let text = format!("{name} {n}");
        let appended = client.say(room.id, &text).await.unwrap();
        acks.lock().unwrap().push((appended.seq, text));
        count.fetch_add(1, Ordering::Relaxed);
        n += 1;
    }
}

/// Every entry of a room from its beginning.
async fn whole_log(person: &Person, room: &Room) -> Vec<(Seq, Option<String>)> {
    let (mut log, mut cursor) = (Vec::new(), Cursor { room: room.id, incarnation: room.incarnation, seq: Seq(0) });
    loop {
        let sync = Command::Sync { cursor, limit: 0 };
        let Reply::Page(page) = person.client.request(sync).await.unwrap() else { panic!() };
        log.extend(page.entries.iter().map(|entry| (entry.seq, message(&entry.payload))));
        if page.next == Seq(0) {
            return log;
        }
        cursor.seq = page.next;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_kill_9_once_and_in_place() {
    let place = Place::new();
    let mut server = place.serve();
    let (acks, count, stop) = (Acks::default(), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut writers = Vec::new();
    let mut kept = Vec::new();
    for (index, transport) in TRANSPORTS.into_iter().enumerate() {
        let person = place.register(transport, &format!("writer-{index}")).await;
        let room = person.client.join("ledger").await.unwrap();
        let mut events = person.events;
        let draining = tokio::spawn(async move { while events.recv().await.is_some() {} });
        for n in 0..WRITERS / TRANSPORTS.len() {
            let (client, name) = (person.client.clone(), format!("{transport:?}-{n}"));
            let task = write(client, room.clone(), name, Arc::clone(&acks), Arc::clone(&count), Arc::clone(&stop));
            writers.push(tokio::spawn(task));
        }
        kept.push((person.client, draining));
    }
    for round in 1..=KILLS {
        let (target, deadline) = (count.load(Ordering::Relaxed) + ACKS_A_ROUND, Instant::now() + PATIENCE);
        while count.load(Ordering::Relaxed) < target {
            assert!(Instant::now() < deadline, "round {round}: too few acknowledgements");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // In the middle: all writers wait for an answer at this moment.
        server.kill();
        server = place.serve();
    }
    stop.store(1, Ordering::Relaxed);
    for (index, writer) in writers.into_iter().enumerate() {
        // Less than QUIC's idle timeout: the new server tells clients of the old one that they are unknown.
        let ended = tokio::time::timeout(PATIENCE * 2 / 3, writer).await;
        ended.unwrap_or_else(|_| panic!("writer {index} of {WRITERS} waits for ever; {}", place.err())).unwrap();
    }
    let acks = std::mem::take(&mut *acks.lock().unwrap());
    assert!(acks.len() >= KILLS * ACKS_A_ROUND);

    let reader = place.register(Transport::Quic, "reader").await;
    let room = reader.client.join("ledger").await.unwrap();
    let log = whole_log(&reader, &room).await;
    for (index, (seq, _)) in log.iter().enumerate() {
        assert_eq!(seq.0, index as u64 + 1, "without a gap");
    }
    let mut places: HashMap<&str, Vec<Seq>> = HashMap::new();
    for (seq, text) in log.iter().filter_map(|(seq, text)| Some((*seq, text.as_deref()?))) {
        places.entry(text).or_default().push(seq);
    }
    for (seq, text) in &acks {
        assert_eq!(places.get(text.as_str()), Some(&vec![*seq]), "{text:?} was acknowledged at {seq:?}");
    }
    assert_eq!(places.len(), acks.len(), "nothing is there that nobody sent");
    eprintln!("{} messages acknowledged across {KILLS} kills, each there once", acks.len());
    drop(server);
}

/// Waits for an event and gives what it was made into.
async fn until<T>(person: &mut Person, what: &str, mut pick: impl FnMut(Event) -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Some(picked) = pick(person.events.recv().await.expect("the session ended")) {
                return picked;
            }
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("not seen: {what}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_drains_and_clients_come_back() {
    let place = Place::new();
    let mut server = place.serve();
    let mut people = Vec::new();
    for transport in TRANSPORTS {
        let person = place.register(transport, &format!("{transport:?}")).await;
        let room = person.enter("dock").await;
        person.client.say(room.id, &format!("{transport:?} is here")).await.unwrap();
        people.push((person, room));
    }
    let start = Instant::now();
    server.terminate();
    for (person, _) in &mut people {
        let close = until(person, "offline", |event| match event {
            Event::Offline { close, .. } => Some(close),
            _ => None,
        })
        .await;
        assert_eq!(close.code, CloseCode::GoingAway.number(), "{close:?}");
    }
    let ready = place.ops_get("/readyz");
    assert!(ready.as_ref().is_none_or(|(status, _)| *status == 503), "{ready:?}");
    assert_eq!(server.wait().code(), Some(0), "{}", place.err());
    let took = start.elapsed();
    eprintln!("drained in {took:?}");
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert!(!place.err().contains("panicked"), "{}", place.err());
    let wal = std::fs::metadata(place.data_dir.join("confab.db-wal"));
    assert!(wal.is_err() || wal.is_ok_and(|wal| wal.len() == 0), "the WAL is merged");

    let _server = place.serve();
    for (person, _) in &mut people {
        until(person, "welcome", |event| matches!(event, Event::Welcome(_)).then_some(())).await;
    }
    let room = people[0].1.clone();
    let said = people[0].0.client.say(room.id, "and on we go").await.unwrap();
    for (person, _) in &mut people {
        loop {
            if person.hear().await.contains(&(said.seq, "and on we go".to_owned())) {
                break;
            }
        }
    }
    assert_eq!(people[1].0.history(&room).await.len(), 3);
}

/// Somebody who neither reads nor leaves does not keep the server.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_peer_does_not_stop_a_drain() {
    let place = Place::new();
    let mut server = place.serve();
    let silent: Vec<_> = (0..3).map(|_| std::net::TcpStream::connect(place.http).unwrap()).collect();
    let (client, events) = Client::connect(Options::new(place.address(Transport::Quic)));
    let start = Instant::now();
    server.terminate();
    assert_eq!(server.wait().code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    drop((silent, client, events));
}
