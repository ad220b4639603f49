//! Group commit: what queued while the last commit ran is the next batch; an idle writer commits at once.
//! One batch at a time per writer of the store, so the order of the queue is the order of the log.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use confab_protocol::model::RoomId;
use tokio::sync::{mpsc, oneshot};

use crate::clock::Clock;
use crate::core::append::{Decided, Decision, Item, Order};
use crate::core::cases::kind_name;
use crate::core::commits::Commits;
use crate::core::log::{Log, Receipt};
use crate::core::store::{Error, Store};
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;
use crate::tail::Tail;

/// Entries in one commit, and rows that are written beside them.
pub const BATCH_ENTRIES_MAX: usize = 500;
/// Payload bytes in one commit, with which collecting stops.
pub const BATCH_BYTES_MAX: usize = 512 * 1024;
/// Items that may wait; past that senders wait, each connection with at most one.
const QUEUE_ENTRIES_MAX: usize = 4_096;

type Waiter = oneshot::Sender<Result<Decision, Error>>;
/// What is to be appended, or nothing: then who waits is told once everything before it has its outcome.
type Queued = (Option<Item>, Waiter);

/// An answer that takes longer is not waited for: the authors are told to try again, and what was appended all the
/// same is found by their client ids.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The queues before the store's writers.
pub struct Sequencer {
    lanes: Vec<mpsc::Sender<Queued>>,
    metrics: Metrics,
}

impl Sequencer {
    /// Starts one task for each writer of the store.
    pub fn start(
        store: Arc<dyn Store>,
        tail: Tail,
        commits: Arc<Commits>,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
        lifecycle: &Lifecycle,
    ) -> Self {
        let committer = Committer { store, tail, commits, clock, metrics: metrics.clone() };
        let start = |_| {
            let (queue, items) = mpsc::channel(QUEUE_ENTRIES_MAX);
            lifecycle.spawn(committer.clone().run(items));
            queue
        };
        Self { lanes: (0..committer.store.writers().max(1)).map(start).collect(), metrics }
    }

    async fn queue(&self, room: RoomId, item: Option<Item>) -> Receipt {
        let (waiter, receipt) = oneshot::channel();
        // A room has one lane, so that what is sent to it in order is appended in order. The low bits are random.
        let lane = room.as_u128() as usize % self.lanes.len();
        let Some(queue) = self.lanes.get(lane) else { return receipt };
        // A closed queue drops the waiter, which the receipt tells as unavailable. Who gives up before there is room was not in it.
        if let Ok(place) = queue.reserve().await {
            self.metrics.append_queue.inc();
            place.send((item, waiter));
        }
        receipt
    }
}

#[async_trait]
impl Log for Sequencer {
    async fn append(&self, item: Item) -> Receipt {
        self.queue(item.room, Some(item)).await
    }

    async fn settled(&self, room: RoomId) -> Result<(), Error> {
        let told = async { self.queue(room, None).await.await };
        match tokio::time::timeout(ANSWER_TIMEOUT, told).await {
            Ok(Ok(told)) => told.map(drop),
            Ok(Err(_)) => Err(Error::Unavailable("the server is going down".to_owned())),
            Err(_) => Err(late()),
        }
    }
}

fn late() -> Error {
    Error::Unavailable("the store did not answer in time".to_owned())
}

#[derive(Clone)]
struct Committer {
    store: Arc<dyn Store>,
    tail: Tail,
    commits: Arc<Commits>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
}

impl Committer {
    /// Ends when the last handle to the queue is dropped and everything in it is answered.
    async fn run(self, mut items: mpsc::Receiver<Queued>) {
        while let Some(first) = items.recv().await {
            let Batch { items: batch, waiters, marks } = collect(first, &mut items);
            self.metrics.append_queue.sub(i64::try_from(batch.len() + marks.len()).unwrap_or(0));
            if !batch.is_empty() {
                self.metrics.append_batch_entries.observe(batch.len() as f64);
                self.commit(batch, waiters, &mut items).await;
            }
            for mark in marks {
                let _ = mark.send(Ok(Decision::Unchanged));
            }
        }
    }

    async fn commit(&self, batch: Vec<Item>, waiters: Vec<Waiter>, items: &mut mpsc::Receiver<Queued>) {
        let orders: Vec<_> = batch.iter().map(|item| (item.room, item.order.clone())).collect();
        let start = self.clock.elapsed();
        let mut append = self.store.append(batch, self.clock.now());
        let Ok(committed) = tokio::time::timeout(ANSWER_TIMEOUT, &mut append).await else {
            self.metrics.append_unknown_total.inc();
            let late = late();
            fail(orders.into_iter().zip(waiters), &late);
            let committed = self.wait_refusing(append, items, &late).await;
            // Nobody waits for it any more, but readers of the room do.
            return committed.iter().for_each(|decided| self.hand_on(decided));
        };
        self.metrics.append_seconds.observe(self.clock.elapsed().saturating_sub(start).as_secs_f64());
        match committed {
            Ok(decided) => {
                self.hand_on(&decided);
                let all = decided.iter().flat_map(Decided::all);
                let appended = all.filter(|(_, decision)| matches!(decision, Decision::Append { .. })).count();
                self.metrics.entries_total.inc_by(appended as u64);
                for (decided, waiter) in decided.into_iter().zip(waiters) {
                    decided.note_order();
                    // The author may have gone; the entry stands all the same.
                    let _ = waiter.send(Ok(decided.decision));
                }
            }
            Err(error) => {
                fail(orders.into_iter().zip(waiters), &error);
                // A store that fails fails fast: do not spin on it.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    fn hand_on(&self, decided: &[Decided]) {
        self.tail.deliver(decided);
        self.commits.note(decided.iter().map(|decided| decided.item.room));
        for kind in decided.iter().filter_map(|decided| decided.opens) {
            self.metrics.cases_opened_total.with_label_values(&[kind_name(kind)]).inc();
        }
    }

    /// Until the store has answered nothing else is appended; who asks meanwhile is told at once.
    async fn wait_refusing<T>(
        &self,
        answer: impl Future<Output = T>,
        items: &mut mpsc::Receiver<Queued>,
        error: &Error,
    ) -> T {
        let mut answer = std::pin::pin!(answer);
        loop {
            tokio::select! {
                answer = &mut answer => return answer,
                Some((item, waiter)) = items.recv() => {
                    self.metrics.append_queue.dec();
                    match item {
                        Some(item) => fail(std::iter::once(((item.room, item.order), waiter)), error),
                        None => drop(waiter.send(Err(error.clone()))),
                    }
                }
            }
        }
    }
}

/// Tells authors that the store failed; what they queued behind it fails too.
fn fail(items: impl Iterator<Item = ((RoomId, Order), Waiter)>, error: &Error) {
    for ((room, order), waiter) in items {
        order.mark_broken(room);
        let _ = waiter.send(Err(error.clone()));
    }
}

/// Items with who waits for each, and who waits for all of them.
#[derive(Default)]
struct Batch {
    items: Vec<Item>,
    waiters: Vec<Waiter>,
    marks: Vec<Waiter>,
}

fn collect(first: Queued, items: &mut mpsc::Receiver<Queued>) -> Batch {
    let (mut batch, mut weight, mut bytes) = (Batch::default(), 0, 0);
    let mut next = Some(first);
    while let Some((item, waiter)) = next {
        if let Some(item) = item {
            weight += item.change.weight();
            bytes += item.payload.len();
            batch.items.push(item);
            batch.waiters.push(waiter);
        } else {
            batch.marks.push(waiter);
        }
        let has_place = weight < BATCH_ENTRIES_MAX && bytes < BATCH_BYTES_MAX;
        next = if has_place { items.try_recv().ok() } else { None };
    }
    batch
}
