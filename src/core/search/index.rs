//! The index follows the logs: entry by entry from a cursor of each room, so that an edit or a deletion, which are
//! entries, reach it in their order and nothing is forgotten over a crash.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use confab_protocol::codec::decode_entry;
use confab_protocol::command::FoundAt;
use confab_protocol::limits::PAGE_ITEMS_MAX;
use confab_protocol::model::{EntryContent, Envelope, RoomId, UserId};
use tokio::sync::Notify;

use super::{Indexed, Step, place};
use crate::core::Core;
use crate::core::store::{Result, Store};
use crate::lifecycle::Lifecycle;

/// Rooms that are remembered one by one; past that all are looked through.
const FRESH_ROOMS_MAX: usize = 10_000;
/// Appends are gathered for so long.
const FOLLOW_EVERY: Duration = Duration::from_millis(500);
/// All rooms are looked through this often: retention and other servers change them too.
const LOOK_THROUGH_EVERY: Duration = Duration::from_secs(60);
/// After a failure.
const PAUSE: Duration = Duration::from_secs(10);

/// Rooms that something was appended to.
#[derive(Default)]
pub struct Fresh {
    rooms: Mutex<HashSet<RoomId>>,
    has_some: Notify,
}

impl Fresh {
    /// Something was appended to these.
    pub fn note(&self, rooms: impl Iterator<Item = RoomId>) {
        let mut fresh = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let was_empty = fresh.is_empty();
        if fresh.len() < FRESH_ROOMS_MAX {
            fresh.extend(rooms);
        }
        if was_empty && !fresh.is_empty() {
            drop(fresh);
            self.has_some.notify_one();
        }
    }

    /// Takes what was noted; `None`: too many to tell.
    fn take(&self) -> Option<Vec<RoomId>> {
        let fresh = std::mem::take(&mut *self.rooms.lock().unwrap_or_else(PoisonError::into_inner));
        (fresh.len() < FRESH_ROOMS_MAX).then(|| fresh.into_iter().collect())
    }
}

/// Follows until the server drains.
pub async fn follow(core: Arc<Core>, fresh: Arc<Fresh>, lifecycle: Lifecycle) {
    let mut rooms = None;
    loop {
        let wait = match bring_on(&*core.store, rooms, || lifecycle.is_draining()).await {
            Ok(()) => FOLLOW_EVERY,
            Err(error) => {
                core.unavailable(&error);
                PAUSE
            }
        };
        tokio::select! {
            () = lifecycle.draining() => return,
            () = tokio::time::sleep(wait) => {}
        }
        let is_failed = wait == PAUSE;
        rooms = tokio::select! {
            () = lifecycle.draining() => return,
            () = tokio::time::sleep(LOOK_THROUGH_EVERY) => None,
            () = std::future::ready(()), if is_failed => None,
            () = fresh.has_some.notified() => fresh.take(),
        };
    }
}

/// Brings the index of these rooms up to their logs, of all that are behind if none are named, unless it is to stop.
///
/// # Errors
/// Those of the store.
pub async fn bring_on(store: &dyn Store, rooms: Option<Vec<RoomId>>, is_to_stop: impl Fn() -> bool) -> Result<()> {
    // A page of each in turn: a room with a long history does not keep the others waiting.
    let mut behind = VecDeque::from(store.index_behind(rooms).await?);
    while let Some(mut progress) = behind.pop_front().filter(|_| !is_to_stop()) {
        let page = store.read(progress.room, UserId::NONE, progress.indexed, PAGE_ITEMS_MAX).await?;
        let Some(page) = page.filter(|page| page.state.incarnation == progress.incarnation) else { continue };
        progress.first_seq = page.state.first_seq;
        let to = page.entries.last().map_or(progress.indexed, |entry| entry.seq);
        let step = Step { from: progress, to, changes: changes(progress.room, &page.entries) };
        store.index(step).await?;
        progress.indexed = to;
        if !page.entries.is_empty() && to < page.state.head {
            behind.push_back(progress);
        }
    }
    Ok(())
}

/// What entries change for the index, each message once as it reads at last.
fn changes(room: RoomId, entries: &[Envelope]) -> Vec<Indexed> {
    let mut changes = BTreeMap::new();
    let mut says = |entry: &Envelope| {
        let at = FoundAt { time: entry.time, room, seq: entry.seq };
        let words = super::says(entry).unwrap_or_default();
        changes.insert(entry.seq, Indexed { seq: entry.seq, place: place(at), words });
    };
    for entry in entries {
        match decode_entry(&entry.payload).map(|entry| entry.content) {
            Ok(EntryContent::Message(_) | EntryContent::Tombstone { .. }) => says(entry),
            Ok(EntryContent::Edit(_)) => entry.rewritten.iter().for_each(|it| says(it)),
            _ => {}
        }
    }
    for entry in entries {
        if let Ok(EntryContent::Deletion { seqs, .. }) = decode_entry(&entry.payload).map(|entry| entry.content) {
            changes.extend(seqs.into_iter().map(|seq| (seq, Indexed { seq, place: 0, words: Vec::new() })));
        }
    }
    changes.into_values().collect()
}
