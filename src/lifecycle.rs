//! Shutdown in two steps: soft (stop accepting, tell clients, finish) and hard (drop everything).

use std::time::Duration;

use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};
use tokio_util::task::TaskTracker;

/// How long connections may take to leave after a soft shutdown.
pub const DRAIN: Duration = Duration::from_secs(8);

/// Handed to everything that runs: when to stop, and where to be counted.
#[derive(Clone, Debug, Default)]
pub struct Lifecycle {
    soft: CancellationToken,
    hard: CancellationToken,
    tasks: TaskTracker,
}

impl Lifecycle {
    /// Runs a task that shutdown waits for.
    pub fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let hard = self.hard.clone();
        // Boxed here: inlined, each wrapper would hold room for a copy of it.
        let task = Box::pin(task);
        self.tasks.spawn(async move {
            hard.run_until_cancelled(task).await;
        });
    }

    /// Resolves when work should wind down.
    pub fn draining(&self) -> WaitForCancellationFuture<'_> {
        self.soft.cancelled()
    }

    /// Whether it is winding down.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.soft.is_cancelled()
    }

    /// Winds down, waits at most [`DRAIN`], then drops what is left.
    pub async fn shut_down(&self) {
        self.soft.cancel();
        self.tasks.close();
        if tokio::time::timeout(DRAIN, self.tasks.wait()).await.is_err() {
            tracing::warn!(left = self.tasks.len(), "connections did not leave in time");
        }
        self.hard.cancel();
        self.tasks.wait().await;
    }
}
