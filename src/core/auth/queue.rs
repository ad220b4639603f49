//! Who waits for a hash, and who is next. Who is known comes first. Among strangers it is the network that asked least
//! lately, and of equals the newest: in a flood the oldest are late already, and whoever comes first would wait behind
//! all of them. Nobody waits longer than [`WAIT_MAX`]: who cannot be served by then is refused at once.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use confab_protocol::reject::{Reject, RejectCode};
use tokio::sync::oneshot;

use crate::metrics::Metrics;

/// The longest wait of anybody for a thread; the hash comes on top.
pub const WAIT_MAX: Duration = Duration::from_secs(5);
/// The shortest wait that is told to those who are refused.
const RETRY_MIN: Duration = Duration::from_secs(1);
/// What a hash took counts for so much of the average.
const SMOOTHING: u32 = 8;

/// How somebody waits for a hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lane {
    /// Who is logged in, or was let in before: from there, or on that device.
    Known,
    /// Anybody else.
    Stranger {
        /// How often somebody asked from their network lately and was not let in.
        tries: u32,
    },
}

/// A place in the line. The least is next.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Turn {
    Known(u64),
    Stranger(u32, Reverse<u64>),
}

impl Turn {
    const FIRST_STRANGER: Self = Self::Stranger(0, Reverse(u64::MAX));

    fn is_stranger(self) -> bool {
        self >= Self::FIRST_STRANGER
    }
}

struct State {
    waiting: BTreeMap<Turn, oneshot::Sender<()>>,
    running: BTreeSet<Turn>,
    arrivals: u64,
    /// What a hash takes on this machine, lately.
    hash_time: Duration,
}

/// The line before the threads that hash.
pub(super) struct Queue {
    state: Mutex<State>,
    threads: usize,
    /// Threads that strangers may keep busy: half, but one at least.
    strangers: usize,
    waiting_max: usize,
    metrics: Metrics,
}

impl Queue {
    /// `hash_time`: what a hash took the first time.
    pub(super) fn new(threads: usize, waiting_max: usize, hash_time: Duration, metrics: Metrics) -> Arc<Self> {
        let (waiting, running) = (BTreeMap::new(), BTreeSet::new());
        let state = Mutex::new(State { waiting, running, arrivals: 0, hash_time });
        Arc::new(Self { state, threads, strangers: threads.div_ceil(2), waiting_max, metrics })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place. Somebody who would be served later may lose theirs for it.
    ///
    /// # Errors
    /// [`RejectCode::Busy`] with a wait, when too many come first.
    pub(super) fn enter(self: &Arc<Self>, lane: Lane) -> Result<Place, Reject> {
        let mut state = self.lock();
        state.arrivals += 1;
        let turn = match lane {
            Lane::Known => Turn::Known(state.arrivals),
            Lane::Stranger { tries } => Turn::Stranger(tries, Reverse(state.arrivals)),
        };
        let (sender, granted) = oneshot::channel();
        state.waiting.insert(turn, sender);
        self.advance(&mut state);
        if self.drop_excess(&mut state) == Some(turn) {
            return Err(self.busy(&state));
        }
        self.metrics.hashing_queue.inc();
        Ok(Place { queue: Arc::clone(self), turn, granted })
    }

    /// Gives free threads to those who are next.
    fn advance(&self, state: &mut State) {
        while state.running.len() < self.threads {
            let Some(next) = state.waiting.first_entry() else { return };
            let turn = *next.key();
            if turn.is_stranger() && state.running.range(Turn::FIRST_STRANGER..).count() >= self.strangers {
                return;
            }
            state.running.insert(turn);
            // Who has gone meanwhile gives the thread back with the place.
            let _ = next.remove().send(());
        }
    }

    /// One came: takes the place of the one that is too many.
    fn drop_excess(&self, state: &mut State) -> Option<Turn> {
        let strangers = state.waiting.range(Turn::FIRST_STRANGER..).count();
        let known = state.waiting.len() - strangers;
        let strangers_max = self.waiting_max.div_ceil(2).min(served_in_time(self.strangers, state.hash_time));
        if strangers > strangers_max || state.waiting.len() > self.waiting_max {
            return state.waiting.pop_last().map(|(turn, _)| turn);
        }
        if known <= served_in_time(self.threads, state.hash_time) {
            return None;
        }
        let newest = state.waiting.range(..Turn::FIRST_STRANGER).next_back().map(|(turn, _)| *turn);
        newest.inspect(|turn| drop(state.waiting.remove(turn)))
    }

    fn busy(&self, state: &State) -> Reject {
        let waiting = u32::try_from(state.waiting.len() / self.strangers).unwrap_or(u32::MAX);
        let wait = state.hash_time.saturating_mul(waiting).clamp(RETRY_MIN, WAIT_MAX);
        Reject::retry(RejectCode::Busy, u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
    }
}

/// How many may wait for so many threads, so that the last of them gets one in time.
fn served_in_time(threads: usize, hash_time: Duration) -> usize {
    let each = usize::try_from(WAIT_MAX.as_micros() / hash_time.as_micros().max(1)).unwrap_or(usize::MAX);
    each.saturating_mul(threads).max(1)
}

/// A place in the line, and then a thread; given back when the work is done, or was never begun.
pub struct Place {
    queue: Arc<Queue>,
    turn: Turn,
    granted: oneshot::Receiver<()>,
}

impl Place {
    /// Waits for a thread.
    ///
    /// # Errors
    /// [`RejectCode::Busy`]: somebody took the place who comes first, or the time is over.
    pub(super) async fn wait(&mut self) -> Result<(), Reject> {
        self.wait_for(WAIT_MAX).await
    }

    async fn wait_for(&mut self, longest: Duration) -> Result<(), Reject> {
        match tokio::time::timeout(longest, &mut self.granted).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(self.queue.busy(&self.queue.lock())),
        }
    }

    /// The work is done, and took so long.
    pub(super) fn note_time(&self, taken: Duration) {
        let mut state = self.queue.lock();
        state.hash_time = (state.hash_time * (SMOOTHING - 1) + taken) / SMOOTHING;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        if !state.running.remove(&self.turn) {
            state.waiting.remove(&self.turn);
        }
        self.queue.advance(&mut state);
        self.queue.metrics.hashing_queue.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: Duration = Duration::from_millis(250);
    const FRESH: Lane = Lane::Stranger { tries: 0 };

    fn queue(threads: usize, waiting_max: usize) -> Arc<Queue> {
        Queue::new(threads, waiting_max, HASH, Metrics::new())
    }

    fn is_next(place: &mut Place) -> bool {
        place.granted.try_recv().is_ok()
    }

    fn is_refused(place: &mut Place) -> bool {
        place.granted.try_recv() == Err(oneshot::error::TryRecvError::Closed)
    }

    #[test]
    fn the_known_come_first_then_the_network_that_asked_least_then_the_newest() {
        let queue = queue(1, 64);
        let running = queue.enter(FRESH).unwrap();
        let lanes = [Lane::Stranger { tries: 1 }, FRESH, FRESH, Lane::Known, Lane::Known, Lane::Stranger { tries: 9 }];
        let mut places: Vec<_> = lanes.map(|lane| Some(queue.enter(lane).unwrap())).into();
        drop(running);
        for expected in [3, 4, 2, 1, 0, 5] {
            let next: Vec<_> = (0..lanes.len()).filter(|at| places[*at].as_mut().is_some_and(is_next)).collect();
            assert_eq!(next, [expected], "one at a time, in this order");
            places[expected] = None;
        }
        assert!(queue.lock().running.is_empty() && queue.lock().waiting.is_empty());
    }

    #[test]
    fn strangers_leave_threads_and_places_to_the_known() {
        let queue = queue(4, 8);
        let mut strangers: Vec<_> = (0..6).map(|_| queue.enter(FRESH).unwrap()).collect();
        assert_eq!(strangers.iter_mut().filter_map(|place| is_next(place).then_some(())).count(), 2);
        let mut known: Vec<_> = (0..2).map(|_| queue.enter(Lane::Known).unwrap()).collect();
        assert!(known.iter_mut().all(is_next), "at once, whatever waits");
        // Four wait: of equals the newest has the place of the oldest, and whoever asked more often has none.
        let _newest = queue.enter(FRESH).unwrap();
        assert!(is_refused(&mut strangers[2]) && !is_refused(&mut strangers[3]));
        let refused = queue.enter(Lane::Stranger { tries: 1 }).err().unwrap();
        assert!(refused.is(RejectCode::Busy) && refused.retry_after_ms >= 1_000, "{refused:?}");
        // The other half of the places is theirs, and when it is full those of the strangers, too.
        let more: Vec<_> = (0..8).map(|_| queue.enter(Lane::Known).unwrap()).collect();
        assert!(is_refused(&mut strangers[3]));
        assert!(queue.enter(Lane::Known).is_err(), "but not more than may wait");
        drop(more);
    }

    #[test]
    fn no_more_wait_than_are_served_in_time() {
        let queue = queue(1, 1_000);
        let places: Vec<_> = (0..1_000).filter_map(|tries| queue.enter(Lane::Stranger { tries }).ok()).collect();
        let in_time = usize::try_from(WAIT_MAX.as_millis() / HASH.as_millis()).unwrap();
        assert_eq!(places.len(), 1 + in_time);
        let known: Vec<_> = (0..1_000).filter_map(|_| queue.enter(Lane::Known).ok()).collect();
        assert_eq!(known.len(), in_time);
        // On a machine that became slow, fewer.
        for _ in 0..100 {
            places[0].note_time(HASH * 2);
        }
        drop(known);
        let known: Vec<_> = (0..1_000).filter_map(|_| queue.enter(Lane::Known).ok()).collect();
        assert!(known.len() <= in_time / 2 + 1, "{}", known.len());
    }

    #[tokio::test]
    async fn a_wait_has_an_end_and_leaves_nothing() {
        let queue = queue(1, 64);
        let mut running = queue.enter(FRESH).unwrap();
        running.wait_for(Duration::ZERO).await.unwrap();
        let mut place = queue.enter(FRESH).unwrap();
        assert!(place.wait_for(Duration::from_millis(1)).await.unwrap_err().is(RejectCode::Busy));
        drop(place);
        assert!(queue.lock().waiting.is_empty());
    }
}
