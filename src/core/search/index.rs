//! The index follows the logs: entry by entry from a cursor of each room, so that an edit or a deletion, which are
//! entries, reach it in their order and nothing is forgotten over a crash.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use confab_protocol::codec::decode_entry;
use confab_protocol::command::FoundAt;
use confab_protocol::limits::PAGE_ITEMS_MAX;
use confab_protocol::model::{EntryContent, Envelope, RoomId, UserId};

use super::{Indexed, Progress, Step, place};
use crate::core::Core;
use crate::core::commits::Fresh;
use crate::core::seal::Blinder;
use crate::core::store::{Error, Result, Store};
use crate::lifecycle::Lifecycle;

/// Appends are gathered for so long.
const FOLLOW_EVERY: Duration = Duration::from_millis(500);
/// All rooms are looked through this often: retention and other servers change them too.
const LOOK_THROUGH_EVERY: Duration = Duration::from_secs(60);
/// While there are appends, the index rests so many times as long as it works: it takes a tenth of a core from them.
/// Otherwise it rests as long as it works, for there are readers too.
const REST_FACTOR: u32 = 9;
/// A rest at most.
const REST_MAX: Duration = Duration::from_secs(1);
/// After a failure.
const PAUSE: Duration = Duration::from_secs(10);

/// Who reads for the index: nobody, who is given what everybody is. What others do not see is not to be found either,
/// not even by where a search stops.
const STRANGER: UserId = UserId::from_u128(u128::MAX);

/// Follows until the server drains.
pub async fn follow(core: Arc<Core>, fresh: Arc<Fresh>, lifecycle: Lifecycle) {
    if core.store.words().is_none() {
        return;
    }
    let mut looked_through = None;
    loop {
        let now = core.clock.elapsed();
        let is_due = looked_through.is_none_or(|at| now.saturating_sub(at) >= LOOK_THROUGH_EVERY);
        let rooms = if is_due { None } else { fresh.take() };
        if rooms.is_none() {
            looked_through = Some(now);
        }
        let mut pause = FOLLOW_EVERY;
        if let Err(error) = follow_once(&core, &fresh, rooms, &lifecycle).await {
            core.unavailable(&error);
            (pause, looked_through) = (PAUSE, None);
        }
        tokio::select! {
            () = lifecycle.draining() => return,
            () = tokio::time::sleep(pause) => {}
        }
        tokio::select! {
            () = lifecycle.draining() => return,
            () = tokio::time::sleep(LOOK_THROUGH_EVERY), if looked_through.is_some() => {}
            () = std::future::ready(()), if looked_through.is_none() || fresh.has_some() => {}
            () = fresh.more() => {}
        }
    }
}

async fn follow_once(core: &Core, fresh: &Fresh, rooms: Option<Vec<RoomId>>, lifecycle: &Lifecycle) -> Result<()> {
    let mut follower = Follower::start(&*core.store, rooms).await?;
    let mut since = core.clock.elapsed();
    let mut gathered = since;
    while !lifecycle.is_draining() {
        match follower.step(&*core.store).await {
            Ok(true) => {}
            Ok(false) => break,
            // One room that cannot be read does not keep the others back; it is tried again with the next look at all.
            Err(error @ Error::Corrupt(_)) => drop(core.unavailable(&error)),
            Err(error) => return Err(error),
        }
        core.metrics.index_rooms_behind.set(i64::try_from(follower.behind.len()).unwrap_or(i64::MAX));
        let now = core.clock.elapsed();
        let factor = if fresh.has_some() { REST_FACTOR } else { 1 };
        tokio::time::sleep((now.saturating_sub(since) * factor).min(REST_MAX)).await;
        if fresh.has_some() {
            // What grew meanwhile is not kept waiting by a room with a long way to go.
            if now.saturating_sub(gathered) >= FOLLOW_EVERY {
                gathered = now;
                follower.add(&*core.store, fresh.take()).await?;
            }
        }
        since = core.clock.elapsed();
    }
    Ok(())
}

/// Brings the index of rooms up to their logs, a page of each in turn: one with a long history does not keep the others
/// waiting.
pub struct Follower {
    behind: VecDeque<Progress>,
}

impl Follower {
    /// For these rooms, or for all that are behind.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn start(store: &dyn Store, rooms: Option<Vec<RoomId>>) -> Result<Self> {
        Ok(Self { behind: store.index_behind(rooms).await?.into() })
    }

    /// These too, or all that are behind.
    async fn add(&mut self, store: &dyn Store, rooms: Option<Vec<RoomId>>) -> Result<()> {
        for progress in store.index_behind(rooms).await? {
            if self.behind.iter().all(|other| other.room != progress.room) {
                self.behind.push_front(progress);
            }
        }
        Ok(())
    }

    /// One page. `false`: that was all.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn step(&mut self, store: &dyn Store) -> Result<bool> {
        let Some(mut progress) = self.behind.pop_front() else { return Ok(false) };
        let page = store.read(progress.room, STRANGER, progress.indexed, PAGE_ITEMS_MAX).await?;
        if let Some(page) = page.filter(|page| page.state.incarnation == progress.incarnation) {
            progress.first_seq = page.state.first_seq;
            let (has_some, head) = (!page.entries.is_empty(), page.state.head);
            let to = page.entries.last().map_or(progress.indexed, |entry| entry.seq);
            let room = progress.room;
            let Some(blinder) = store.words() else { return Ok(false) };
            // Milliseconds, for a page of long texts: not on a thread that connections wait for.
            let changes = tokio::task::spawn_blocking(move || changes(room, &page.entries, &blinder)).await;
            let changes = changes.map_err(|error| Error::Corrupt(format!("room {room} cannot be indexed: {error}")))?;
            let step = Step { from: progress, to, changes };
            if !store.index(step).await? {
                self.add(store, Some(vec![room])).await?;
                return Ok(true);
            }
            progress.indexed = to;
            if has_some && to < head {
                self.behind.push_back(progress);
            }
        }
        Ok(true)
    }
}

/// What entries change for the index, each message once as it reads at last.
fn changes(room: RoomId, entries: &[Envelope], blinder: &Blinder) -> Vec<Indexed> {
    let mut changes = BTreeMap::new();
    let mut says = |entry: &Envelope| {
        let at = FoundAt { time: entry.time, room, seq: entry.seq };
        let words = super::says(entry).unwrap_or_default();
        let words = words.into_iter().map(|word| blinder.blind(word)).collect();
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
