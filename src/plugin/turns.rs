//! What one plugin wants done, until it is done: a line for each room, the rooms in turn, within bounds. One room is no way to
//! keep the others from being served.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use confab_protocol::model::RoomId;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::clock::Clock;
use crate::core::buckets::{Bucket, Quota};
use crate::core::deputy::{Deed, What};

/// Of one plugin, that wait to be done; and of those in one room.
const WAITING_MAX: usize = 256;
const ROOM_WAITING_MAX: usize = 64;
const _: () = assert!(ROOM_WAITING_MAX < WAITING_MAX);
/// Of one plugin, in the long run and at once ...
const ACTS_PER_SECOND: u32 = 10;
const ACTS_BURST: u32 = 30;
/// ... and in one room, which leaves others their share.
const ROOM_ACTS_PER_SECOND: u32 = 5;
const ROOM_ACTS_BURST: u32 = 15;
const _: () = assert!(ROOM_ACTS_PER_SECOND < ACTS_PER_SECOND && ROOM_ACTS_BURST < ACTS_BURST);
/// A case keeps up to eleven messages for months.
const CASE_UNITS: u32 = 5;
/// Buckets of rooms that are kept before those that are full again are looked for: more than can be taken from at a time.
const BUCKETS_MAX: usize = 128;

/// A deed whose turn it is, or will be.
pub(crate) struct Turn {
    pub(crate) deed: Deed,
    /// How often it was tried.
    pub(crate) tries: u32,
    due: Duration,
}

/// What one plugin wants done, over all its generations. One task does it.
pub(crate) struct Turns {
    lines: Mutex<Lines>,
    more: Notify,
    bucket: Bucket,
    quota: Quota,
    room_quota: Quota,
}

#[derive(Default)]
struct Lines {
    /// Of each room where something waits.
    rooms: HashMap<RoomId, VecDeque<Turn>>,
    /// Those rooms, each once: the first is served next.
    order: VecDeque<RoomId>,
    /// In all lines.
    count: usize,
    /// Of rooms that something was taken from lately.
    buckets: HashMap<RoomId, Bucket>,
    /// Nobody does them any more.
    is_closed: bool,
}

impl Lines {
    /// Of the first room in turn where something may be done now.
    fn take(&mut self, now: Duration) -> Option<Turn> {
        let is_due = |room: &RoomId| self.due(*room).is_some_and(|due| due <= now);
        let at = self.order.iter().position(is_due)?;
        let room = self.order.remove(at)?;
        let line = self.rooms.get_mut(&room)?;
        let turn = line.pop_front()?;
        if line.is_empty() {
            self.rooms.remove(&room);
        } else {
            self.order.push_back(room);
        }
        self.count = self.count.saturating_sub(1);
        Some(turn)
    }

    /// What is wanted in one room is done in its order: the first of its line is waited for.
    fn due(&self, room: RoomId) -> Option<Duration> {
        Some(self.rooms.get(&room)?.front()?.due)
    }

    fn line(&mut self, room: RoomId) -> &mut VecDeque<Turn> {
        if !self.rooms.contains_key(&room) {
            self.order.push_back(room);
        }
        self.count += 1;
        self.rooms.entry(room).or_default()
    }
}

impl Default for Turns {
    fn default() -> Self {
        let per_second = |units, burst| Quota::new(units, Duration::from_secs(1), burst);
        Self {
            lines: Mutex::default(),
            more: Notify::new(),
            bucket: Bucket::default(),
            quota: per_second(ACTS_PER_SECOND, ACTS_BURST),
            room_quota: per_second(ROOM_ACTS_PER_SECOND, ROOM_ACTS_BURST),
        }
    }
}

impl Turns {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// # Errors
    /// Why it is not taken, as metrics spell it.
    pub(super) fn push(&self, deed: Deed, now: Duration) -> Result<(), &'static str> {
        let room = deed.what.room();
        let mut lines = self.lock();
        if lines.is_closed {
            return Err("dropped");
        }
        let in_room = lines.rooms.get(&room).map_or(0, VecDeque::len);
        if lines.count >= WAITING_MAX || in_room >= ROOM_WAITING_MAX {
            return Err("full");
        }
        self.pay(&mut lines, &deed.what, now)?;
        lines.line(room).push_back(Turn { deed, tries: 0, due: Duration::ZERO });
        drop(lines);
        self.more.notify_one();
        Ok(())
    }

    /// What is wanted in shadow mode costs what it would cost, and waits for nobody.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub(super) fn charge(&self, what: &What, now: Duration) -> Result<(), &'static str> {
        self.pay(&mut self.lock(), what, now)
    }

    fn pay(&self, lines: &mut Lines, what: &What, now: Duration) -> Result<(), &'static str> {
        let room = what.room();
        let units = if matches!(what, What::Case { .. }) { CASE_UNITS } else { 1 };
        // What the room has no more of costs the others nothing, and what the plugin has no more of costs the room nothing: who
        // pays holds the lock, so that what a look finds is there afterwards.
        let has_units = lines.buckets.get(&room).is_none_or(|bucket| bucket.has(&self.room_quota, units, now));
        if !has_units || self.bucket.take(&self.quota, units, now).is_err() {
            return Err("limited");
        }
        if !lines.buckets.contains_key(&room) && lines.buckets.len() >= BUCKETS_MAX {
            lines.buckets.retain(|_, bucket| bucket.take(&self.room_quota, 0, now) != Ok(Duration::ZERO));
        }
        // A new one is full.
        let _ = lines.buckets.entry(room).or_default().take(&self.room_quota, units, now);
        Ok(())
    }

    /// Somebody does them from now on.
    pub(crate) fn open(&self) {
        self.lock().is_closed = false;
    }

    /// The next one that may be done at that time, if there is one.
    pub(crate) fn take(&self, now: Duration) -> Option<Turn> {
        self.lock().take(now)
    }

    /// To be tried again then, before what else waits in its room. It was taken in before, so there is room for it.
    pub(crate) fn put_back(&self, turn: Turn, due: Duration) {
        let room = turn.deed.what.room();
        self.lock().line(room).push_front(Turn { due, ..turn });
    }

    /// The next one, as soon as there is one. Whoever stops waiting for it loses none.
    pub(crate) async fn next(&self, clock: &dyn Clock) -> Turn {
        loop {
            let now = clock.elapsed();
            let due = match self.take_or_due(now) {
                Ok(turn) => return turn,
                Err(due) => due,
            };
            let more = self.more.notified();
            match due {
                None => more.await,
                Some(due) => tokio::select! {
                    () = more => {}
                    () = sleep(due.saturating_sub(now)) => {}
                },
            }
        }
    }

    /// # Errors
    /// When the first of those that wait may be done, if any does.
    fn take_or_due(&self, now: Duration) -> Result<Turn, Option<Duration>> {
        let mut lines = self.lock();
        lines.take(now).ok_or_else(|| lines.order.iter().filter_map(|room| lines.due(*room)).min())
    }

    /// Nobody does them any more: those that are left.
    pub(crate) fn close(&self) -> Vec<Deed> {
        let mut lines = self.lock();
        lines.is_closed = true;
        lines.count = 0;
        lines.order.clear();
        std::mem::take(&mut lines.rooms).into_values().flatten().map(|turn| turn.deed).collect()
    }
}

#[cfg(test)]
mod tests {
    use confab_protocol::model::{ClientId, Millis, ReportReason, Seq, UserId};

    use super::*;
    use crate::core::hook::Mark;

    fn deed(room: u128, n: u64) -> Deed {
        let mark = Mark {
            plugin: "x".into(),
            hash: "".into(),
            enforced: true,
            verdict: "delete",
            rule: String::new(),
            label: String::new(),
            score: 0,
            span: None,
            note: String::new(),
            shown: String::new(),
        };
        let what = What::Delete { room: RoomId::from_u128(room), seq: Seq(n) };
        Deed { id: ClientId::new(Millis(1), n.into()), what, mark }
    }

    const fn second(second: u64) -> Duration {
        Duration::from_secs(second)
    }

    fn place(deed: &Deed) -> (u128, u64) {
        let What::Delete { room, seq } = deed.what else { panic!() };
        (room.as_u128(), seq.0)
    }

    /// All that may be done at that time.
    fn served(turns: &Turns, now: Duration) -> Vec<(u128, u64)> {
        std::iter::from_fn(|| turns.take(now)).map(|turn| place(&turn.deed)).collect()
    }

    #[test]
    fn it_is_bounded_by_rate_and_by_number() {
        let turns = Turns::default();
        let taken = |room, count, at| (0..count).filter(|n| turns.push(deed(room, *n), second(at)).is_ok()).count();
        // One room leaves something to the others, and all together have no more than the plugin.
        assert_eq!((taken(1, 1_000, 5), taken(2, 10, 5), taken(3, 1_000, 5)), (15, 10, 5));
        assert_eq!((taken(1, 1_000, 6), taken(4, 1_000, 6)), (5, 5));
        // As fast as it may, and nobody does anything.
        let (mut full, mut all) = (0, 40);
        for at in 100..200 {
            for n in 0..10_u64 {
                match turns.push(deed(u128::from(n / 2), n), second(at)) {
                    Ok(()) => all += 1,
                    Err(outcome) => {
                        assert_eq!(outcome, "full");
                        full += 1;
                    }
                }
            }
        }
        assert_eq!((all, full), (WAITING_MAX, 1_040 - WAITING_MAX));
        assert_eq!(turns.close().len(), WAITING_MAX);
        assert_eq!(turns.push(deed(1, 1), second(900)), Err("dropped"));
        turns.open();
        assert_eq!(turns.push(deed(1, 1), second(900)), Ok(()));
    }

    #[test]
    fn what_the_plugin_has_no_more_of_costs_its_room_nothing() {
        let turns = Turns::default();
        let taken = |room, count, at| (0..count).filter(|n| turns.push(deed(room, *n), second(at)).is_ok()).count();
        assert_eq!((taken(3, 1, 5), taken(1, 15, 5), taken(2, 14, 5)), (1, 15, 14));
        // All that the plugin has by then is there for the room, which had nearly all of its own.
        assert_eq!((taken(3, 100, 5), taken(3, 100, 6)), (0, 10));
    }

    #[test]
    fn a_room_has_a_line_of_its_own_that_ends() {
        let turns = Turns::default();
        let outcomes: Vec<_> = (1..=70).map(|n| turns.push(deed(1, n), second(n))).collect();
        assert_eq!(outcomes.iter().filter(|it| it.is_ok()).count(), ROOM_WAITING_MAX);
        assert_eq!(outcomes.last(), Some(&Err("full")));
        assert_eq!(turns.push(deed(2, 1), second(70)), Ok(()));
    }

    #[test]
    fn rooms_are_served_in_turn_and_each_in_its_order() {
        let turns = Turns::default();
        for (room, n) in [(1, 1), (1, 2), (1, 3), (2, 1), (3, 1), (3, 2)] {
            turns.push(deed(room, n), second(5)).unwrap();
        }
        assert_eq!(served(&turns, second(5)), [(1, 1), (2, 1), (3, 1), (1, 2), (3, 2), (1, 3)]);
        let lines = turns.lock();
        assert!(lines.order.is_empty() && lines.rooms.is_empty() && lines.count == 0);
    }

    /// What is to be tried again keeps what comes behind it in its room waiting, and no other room.
    #[test]
    fn what_is_tried_again_waits_for_its_time() {
        let turns = Turns::default();
        for (room, n) in [(1, 1), (1, 2), (2, 1)] {
            turns.push(deed(room, n), second(5)).unwrap();
        }
        let mut turn = turns.take(second(5)).unwrap();
        assert_eq!((place(&turn.deed), turn.tries), ((1, 1), 0));
        turn.tries += 1;
        turns.put_back(turn, second(7));
        assert_eq!(served(&turns, second(6)), [(2, 1)]);
        assert_eq!(turns.take_or_due(second(6)).err(), Some(Some(second(7))));
        assert_eq!(turns.take(second(7)).map(|turn| (place(&turn.deed), turn.tries)), Some(((1, 1), 1)));
        assert_eq!(served(&turns, second(7)), [(1, 2)]);
        assert_eq!(turns.take_or_due(second(7)).err(), Some(None));
    }

    #[test]
    fn a_case_counts_as_five() {
        let turns = Turns::default();
        let case = |n: u64| {
            let (about, seq, reason) = (UserId::from_u128(2), None, ReportReason::Spam);
            let what = What::Case { room: RoomId::from_u128((n % 3).into()), about, seq, reason };
            Deed { what, ..deed(1, n) }
        };
        assert_eq!((0..100).filter(|n| turns.push(case(*n), second(5)).is_ok()).count(), 6);
    }

    #[test]
    fn buckets_of_rooms_are_not_kept_for_ever() {
        let turns = Turns::default();
        for n in 0..1_000_u64 {
            let _ = turns.push(deed(n.into(), n), second(n));
            turns.take(second(n)).unwrap();
        }
        assert!(turns.lock().buckets.len() <= BUCKETS_MAX);
    }
}
