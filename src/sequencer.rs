//! Group commit: what queued while the last commit ran is the next batch; an idle writer commits at once.
//! One batch at a time per writer of the store, so the order of the queue is the order of the log.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};

use crate::clock::Clock;
use crate::core::append::{Decided, Decision, Item};
use crate::core::log::{Log, Receipt};
use crate::core::store::{Error, Store};
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;
use crate::tail::Tail;

/// Entries in one commit.
pub const BATCH_ENTRIES_MAX: usize = 500;
/// Payload bytes in one commit, with which collecting stops.
pub const BATCH_BYTES_MAX: usize = 512 * 1024;
/// Items that may wait; past that senders wait, each connection with at most one.
const QUEUE_ENTRIES_MAX: usize = 4_096;

type Waiter = oneshot::Sender<Result<Decision, Error>>;

/// The queue before the store's writer.
pub struct Sequencer {
    queue: mpsc::Sender<(Item, Waiter)>,
    metrics: Metrics,
}

impl Sequencer {
    /// Starts the one task that commits.
    pub fn start(
        store: Arc<dyn Store>,
        tail: Tail,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
        lifecycle: &Lifecycle,
    ) -> Self {
        let (queue, items) = mpsc::channel(QUEUE_ENTRIES_MAX);
        let committer = Committer { store, tail, clock, metrics: metrics.clone() };
        lifecycle.spawn(committer.run(items));
        Self { queue, metrics }
    }
}

#[async_trait]
impl Log for Sequencer {
    async fn append(&self, item: Item) -> Receipt {
        let (waiter, receipt) = oneshot::channel();
        self.metrics.append_queue.inc();
        // A closed queue drops the waiter, which the receipt tells as unavailable.
        if self.queue.send((item, waiter)).await.is_err() {
            self.metrics.append_queue.dec();
        }
        receipt
    }
}

struct Committer {
    store: Arc<dyn Store>,
    tail: Tail,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
}

impl Committer {
    /// Ends when the last handle to the queue is dropped and everything in it is answered.
    async fn run(self, mut items: mpsc::Receiver<(Item, Waiter)>) {
        while let Some(first) = items.recv().await {
            let (batch, waiters) = collect(first, &mut items);
            self.metrics.append_queue.sub(i64::try_from(batch.len()).unwrap_or(0));
            self.metrics.append_batch_entries.observe(batch.len() as f64);
            self.commit(batch, waiters).await;
        }
    }

    async fn commit(&self, batch: Vec<Item>, waiters: Vec<Waiter>) {
        let orders: Vec<_> = batch.iter().map(|item| (item.room, item.order.clone())).collect();
        let start = self.clock.elapsed();
        let committed = self.store.append(batch, self.clock.now()).await;
        self.metrics.append_seconds.observe(self.clock.elapsed().saturating_sub(start).as_secs_f64());
        match committed {
            Ok(decided) => {
                self.tail.deliver(&decided);
                let all = decided.iter().flat_map(Decided::all);
                let appended = all.filter(|(_, decision)| matches!(decision, Decision::Append { .. })).count();
                self.metrics.entries_total.inc_by(appended as u64);
                for (Decided { decision, .. }, waiter) in decided.into_iter().zip(waiters) {
                    // The author may have gone; the entry stands all the same.
                    let _ = waiter.send(Ok(decision));
                }
            }
            Err(error) => {
                for (room, order) in orders {
                    order.mark_broken(room);
                }
                for waiter in waiters {
                    let _ = waiter.send(Err(Error::Unavailable(error.to_string())));
                }
                // A store that fails fails fast: do not spin on it.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

fn collect(first: (Item, Waiter), items: &mut mpsc::Receiver<(Item, Waiter)>) -> (Vec<Item>, Vec<Waiter>) {
    let mut bytes = first.0.payload.len();
    let (mut batch, mut waiters) = (vec![first.0], vec![first.1]);
    while batch.len() < BATCH_ENTRIES_MAX && bytes < BATCH_BYTES_MAX {
        let Ok((item, waiter)) = items.try_recv() else { break };
        bytes += item.payload.len();
        batch.push(item);
        waiters.push(waiter);
    }
    (batch, waiters)
}
