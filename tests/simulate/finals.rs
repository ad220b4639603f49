//! The end of a run: everything is at rest, the whole log of each room is read by two clients in two ways, before and
//! after a crash, and each reader must have got all of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use confab_client::{Client, Command, Page, Reply, Room};
use confab_protocol::codec::decode_entry;
use confab_protocol::model::{Cursor, Envelope, RoomId, Seq};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::cast::{Person, Reader, Scene};
use super::hash;
use super::history::{CaughtUp, Entry, Final, Id};
use crate::support::people::message;
use crate::support::process::PATIENCE;

/// The log stands still for so long before it is read.
const REST: Duration = Duration::from_millis(300);

/// What the checker is told of an entry.
pub fn entry_of(envelope: &Envelope) -> Entry {
    let entry = decode_entry(&envelope.payload).expect("an entry that can be read");
    let text = message(&envelope.payload);
    Entry {
        seq: envelope.seq.0,
        author: entry.author.as_u128(),
        client_id: entry.client_id.as_u128(),
        hash: hash(text.as_ref().map_or(&envelope.payload[..], String::as_bytes)),
        time_ms: envelope.time.0,
        is_message: text.is_some(),
    }
}

/// A client that came for this alone.
pub struct Auditor {
    client: Client,
    id: Id,
}

impl Auditor {
    pub async fn new(person: &Person, scene: &Scene, id: Id) -> Self {
        let (client, _) = person.connect(&scene.failures).await;
        Self { client, id }
    }

    async fn page(&self, cursor: Cursor, limit: usize) -> Page {
        let asked = timeout(PATIENCE, self.client.request(Command::Sync { cursor, limit })).await;
        match asked.expect("a page is waited for") {
            Ok(Reply::Page(page)) => page,
            other => panic!("no page: {other:?}"),
        }
    }

    async fn page_before(&self, room: RoomId, before: Seq, limit: usize) -> Page {
        let asked = timeout(PATIENCE, self.client.history(room, before, limit)).await;
        asked.expect("a page is waited for").unwrap_or_else(|error| panic!("no page: {error}"))
    }

    async fn heads(&self, rooms: &[Room]) -> Vec<u64> {
        let mut heads = Vec::new();
        for room in rooms {
            heads.push(self.page_before(room.id, Seq(0), 1).await.head.0);
        }
        heads
    }

    /// The head of each room, once none of them moves any more.
    pub async fn rest(&self, rooms: &[Room]) -> Vec<u64> {
        let (deadline, mut before) = (Instant::now() + PATIENCE, self.heads(rooms).await);
        loop {
            sleep(REST).await;
            let heads = self.heads(rooms).await;
            if heads == before {
                return heads;
            }
            assert!(Instant::now() < deadline, "the logs go on although nobody writes");
            before = heads;
        }
    }

    /// All of a log, forwards.
    pub async fn sync(&self, room: &Room, limit: usize) -> Final {
        let mut cursor = Cursor { room: room.id, incarnation: room.incarnation, seq: Seq(0) };
        let mut entries = Vec::new();
        loop {
            let page = self.page(cursor, limit).await;
            entries.extend(page.entries.iter().map(entry_of));
            if page.next == Seq(0) {
                return self.view(room, entries, page.head);
            }
            assert!(page.next > cursor.seq, "the pages do not go on: {:?} after {:?}", page.next, cursor.seq);
            cursor.seq = page.next;
        }
    }

    /// All messages of a log, backwards; what it holds beside them is taken from the other view.
    pub async fn history(&self, room: &Room, limit: usize, other: &Final) -> Final {
        let (mut entries, mut before, mut head) = (Vec::new(), Seq(0), None);
        loop {
            let page = self.page_before(room.id, before, limit).await;
            entries.extend(page.entries.iter().rev().map(entry_of));
            let head = *head.get_or_insert(page.head);
            if page.next == Seq(0) {
                entries.extend(other.entries.iter().filter(|entry| !entry.is_message));
                // Stable: what stands twice still does.
                entries.sort_by_key(|entry| entry.seq);
                return self.view(room, entries, head);
            }
            assert!(before == Seq(0) || page.next < before, "the pages do not go on");
            before = page.next;
        }
    }

    fn view(&self, room: &Room, entries: Vec<Entry>, head: Seq) -> Final {
        let first_seq = entries.first().map_or(0, |entry| entry.seq);
        Final { reader: self.id, room: room.id.as_u128(), entries, first_seq, head: head.0 }
    }
}

/// A reader that runs, and how far it has got.
pub struct Following {
    pub id: Id,
    pub reached: Arc<Vec<AtomicU64>>,
    task: Option<JoinHandle<()>>,
}

impl Following {
    /// Starts it on a runtime.
    pub fn start(reader: Reader, on: &Handle) -> Self {
        let (id, reached) = (reader.id, Arc::clone(&reader.reached));
        let task = Some(on.spawn(reader.run()));
        Self { id, reached, task }
    }

    /// That it still runs; else fails with what it failed with.
    pub async fn check(&mut self) {
        if let Some(task) = self.task.take_if(|task| task.is_finished()) {
            task.await.expect("a reader failed");
            panic!("a reader ended");
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Waits until each reader has got everything there is, and writes that down.
pub async fn catch_up(scene: &Scene, readers: &mut [Following], heads: &[u64], asked: u64) {
    let deadline = Instant::now() + PATIENCE;
    for following in readers {
        for (index, (room, head)) in scene.rooms.iter().zip(heads).enumerate() {
            while following.reached[index].load(Ordering::SeqCst) < *head {
                following.check().await;
                let reached = following.reached[index].load(Ordering::SeqCst);
                let what = format!("reader {:x} has {reached} of {head} in {}", following.id, room.name);
                assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
                sleep(Duration::from_millis(10)).await;
            }
            let (reader, room, head) = (following.id, room.id.as_u128(), *head);
            scene.recorder.record(CaughtUp { reader, room, head, asked });
        }
        following.check().await;
    }
}
