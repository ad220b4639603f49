//! The threads that own the connections. Jobs of the writer that wait together share one transaction and
//! one sync; each runs in a savepoint of its own, so that one that fails takes nothing else with it.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use crate::core::store::{Error, Result};

/// Jobs that may wait; callers wait past that.
const JOBS_MAX: usize = 1_024;
/// Jobs that share a commit.
const COMMIT_JOBS_MAX: usize = 64;

/// Does its work now and returns what tells the caller, to be called once it is durable (or is not).
type WriteJob = Box<dyn FnOnce(&Connection) -> Done + Send>;
type Done = (bool, Box<dyn FnOnce(Option<Error>) + Send>);
type ReadJob = Box<dyn FnOnce(&Connection) + Send>;

fn gone() -> Error {
    Error::Unavailable("the store has stopped".to_owned())
}

/// The one connection that writes.
pub(super) struct Writer {
    jobs: mpsc::Sender<WriteJob>,
}

impl Writer {
    pub(super) fn start(connection: Connection) -> Self {
        let (jobs, waiting) = mpsc::channel(JOBS_MAX);
        thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || write_all(connection, waiting))
            .expect("a thread for the store can be started");
        Self { jobs }
    }

    /// Runs a job; what it returns is durable.
    pub(super) async fn run<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job: WriteJob = Box::new(move |connection| {
            let result = work(connection);
            let is_good = result.is_ok();
            let done = move |failure: Option<Error>| {
                // The caller may have gone; what is durable stays.
                let _ = answer.send(failure.map_or(result, Err));
            };
            (is_good, Box::new(done))
        });
        self.jobs.send(job).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

fn write_all(mut connection: Connection, mut waiting: mpsc::Receiver<WriteJob>) {
    while let Some(first) = waiting.blocking_recv() {
        let mut jobs = vec![first];
        while jobs.len() < COMMIT_JOBS_MAX {
            let Ok(job) = waiting.try_recv() else { break };
            jobs.push(job);
        }
        let mut done = Vec::with_capacity(jobs.len());
        let failure = commit(&mut connection, jobs, &mut done).err();
        for tell in done {
            let failure = failure.as_ref().map(|error| Error::Unavailable(error.to_string()));
            tell(failure);
        }
    }
}

fn commit(
    connection: &mut Connection,
    jobs: Vec<WriteJob>,
    done: &mut Vec<Box<dyn FnOnce(Option<Error>) + Send>>,
) -> std::result::Result<(), rusqlite::Error> {
    let mut transaction = match connection.transaction_with_behavior(TransactionBehavior::Immediate) {
        Ok(transaction) => transaction,
        Err(error) => {
            // Nothing ran; dropping the jobs tells their callers.
            tracing::error!(%error, jobs = jobs.len(), "the store cannot begin a transaction");
            return Err(error);
        }
    };
    for job in jobs {
        let savepoint = transaction.savepoint()?;
        let (is_good, tell) = job(&savepoint);
        done.push(tell);
        if is_good { savepoint.commit()? } else { savepoint.finish()? }
    }
    transaction.commit()
}

/// Connections that only read.
pub(super) struct Readers {
    jobs: mpsc::Sender<ReadJob>,
}

impl Readers {
    pub(super) fn start(connections: Vec<Connection>) -> Self {
        let (jobs, waiting) = mpsc::channel::<ReadJob>(JOBS_MAX);
        let waiting = Arc::new(Mutex::new(waiting));
        for connection in connections {
            let waiting = Arc::clone(&waiting);
            let read_all = move || {
                loop {
                    let job = waiting.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
                    match job {
                        Some(job) => job(&connection),
                        None => break,
                    }
                }
            };
            thread::Builder::new()
                .name("store-reader".into())
                .spawn(read_all)
                .expect("a thread for the store can be started");
        }
        Self { jobs }
    }

    pub(super) async fn run<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job: ReadJob = Box::new(move |connection| {
            let _ = answer.send(work(connection));
        });
        self.jobs.send(job).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}
