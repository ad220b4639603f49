//! The threads that own the connections. Jobs of the writer that wait together share one transaction and
//! one sync; each runs in a savepoint of its own, so that one that fails takes nothing else with it. A job that is alone,
//! as a batch of messages mostly is, needs none: a savepoint copies every page before it is changed.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, InterruptHandle, Transaction, TransactionBehavior};
use tokio::sync::{OwnedMutexGuard, mpsc, oneshot};

use crate::core::store::{Error, Result};

/// Jobs that may wait; callers wait past that.
const JOBS_MAX: usize = 1_024;
/// One search, and as long again for its turn.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(3);
/// How often, and after which wait, the WAL is merged if somebody reads an older state.
const MERGE_TRIES: u32 = 10;
const MERGE_EVERY: Duration = Duration::from_millis(500);
/// How long another process is waited for that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Jobs that share a commit.
const COMMIT_JOBS_MAX: usize = 64;

enum Task {
    Write(WriteJob),
    /// Outside of every transaction, after all that was asked before.
    Alone(AloneJob),
    Close(oneshot::Sender<()>),
}

/// Does its work, unless the transaction is broken already; returns why it failed, and what tells the caller once
/// the transaction is durable or is not.
type WriteJob = Box<dyn FnOnce(Result<&Connection>) -> (Option<Error>, Tell) + Send>;
type Tell = Box<dyn FnOnce(Option<Error>) + Send>;
type AloneJob = Box<dyn FnOnce(&Connection) + Send>;
type ReadJob = Box<dyn FnOnce(&Connection) + Send>;

fn gone() -> Error {
    Error::Unavailable("the store has stopped".to_owned())
}

/// The one connection that writes.
pub(super) struct Writer {
    tasks: mpsc::Sender<Task>,
}

impl Writer {
    pub(super) fn start(connection: Connection) -> Self {
        let (tasks, waiting) = mpsc::channel(JOBS_MAX);
        thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || write_all(connection, waiting))
            .expect("a thread for the store can be started");
        Self { tasks }
    }

    /// Ends the thread after everything that waits; the WAL is merged into the database then.
    pub(super) async fn close(&self) {
        let (answer, answered) = oneshot::channel();
        if self.tasks.send(Task::Close(answer)).await.is_ok() {
            let _ = answered.await;
        }
    }

    /// Writes the file anew, merges the WAL into it and empties that. `secure_delete` alone does not do it: a page that
    /// is put together anew keeps pieces of earlier rows in its gap. `false`: somebody reads an older state all the time.
    pub(super) async fn compact(&self) -> Result<bool> {
        self.run_alone(vacuum).await?;
        for _ in 1..MERGE_TRIES {
            if self.run_alone(merge).await? {
                return Ok(true);
            }
            // Whoever reads at the moment is soon done.
            tokio::time::sleep(MERGE_EVERY).await;
        }
        self.run_alone(merge).await
    }

    async fn run_alone<T: Send + 'static>(&self, work: fn(&Connection) -> Result<T>) -> Result<T> {
        let (answer, answered) = oneshot::channel();
        let job: AloneJob = Box::new(move |connection| {
            let _ = answer.send(work(connection));
        });
        self.tasks.send(Task::Alone(job)).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }

    /// Runs a job; what it returns is durable.
    pub(super) async fn run<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job: WriteJob = Box::new(move |connection| {
            let result = connection.and_then(work);
            let error = result.as_ref().err().cloned();
            let tell = move |failure: Option<Error>| {
                // The caller may have gone; what is durable stays.
                let _ = answer.send(failure.map_or(result, Err));
            };
            (error, Box::new(tell))
        });
        self.tasks.send(Task::Write(job)).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

fn write_all(mut connection: Connection, mut waiting: mpsc::Receiver<Task>) {
    let mut closing = None;
    while closing.is_none()
        && let Some(first) = waiting.blocking_recv()
    {
        let (mut jobs, mut alone) = (Vec::with_capacity(1), None);
        let mut next = Some(first);
        while let Some(task) = next {
            match task {
                Task::Write(job) => jobs.push(job),
                Task::Alone(job) => {
                    alone = Some(job);
                    break;
                }
                Task::Close(answer) => {
                    closing = Some(answer);
                    break;
                }
            }
            next = if jobs.len() < COMMIT_JOBS_MAX { waiting.try_recv().ok() } else { None };
        }
        let mut done = Vec::with_capacity(jobs.len());
        let failure = commit(&mut connection, jobs, &mut done).err();
        for tell in done {
            tell(failure.clone());
        }
        if let Some(job) = alone {
            job(&connection);
        }
    }
    let Some(answer) = closing else { return };
    waiting.close();
    if let Err(error) = merge(&connection) {
        // Nothing is lost: the next start merges it.
        tracing::warn!(%error, "the store's WAL could not be merged");
    }
    drop(connection);
    let _ = answer.send(());
}

/// It needs as much room again, for which there may be no memory.
fn vacuum(connection: &Connection) -> Result<()> {
    connection.pragma_update(None, "temp_store", "FILE")?;
    let written = connection.execute_batch("VACUUM");
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(written?)
}

/// `false`: somebody reads an older state. Nobody is waited for, because no other process could write meanwhile.
fn merge(connection: &Connection) -> Result<bool> {
    connection.busy_timeout(Duration::ZERO)?;
    let merged = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(merged? == 0)
}

/// All of it is durable, or none of it, and every caller is told the first reason.
fn commit(connection: &mut Connection, mut jobs: Vec<WriteJob>, done: &mut Vec<Tell>) -> Result<()> {
    let begun = connection.transaction_with_behavior(TransactionBehavior::Immediate);
    let (mut transaction, mut broken) = match begun {
        Ok(transaction) => (Some(transaction), None),
        Err(error) => (None, Some(Error::from(error))),
    };
    if jobs.len() == 1
        && let Some(transaction) = transaction.take()
        && let Some(job) = jobs.pop()
    {
        let (failed, tell) = job(Ok(&transaction));
        done.push(tell);
        return finish(transaction, failed);
    }
    for job in jobs {
        let tell = match (&broken, &mut transaction) {
            (None, Some(transaction)) => {
                let (failure, tell) = run_in_savepoint(transaction, job);
                broken = failure;
                tell
            }
            (Some(error), _) => job(Err(error.clone())).1,
            (None, None) => job(Err(gone())).1,
        };
        done.push(tell);
    }
    match (broken, transaction) {
        (None, Some(transaction)) => Ok(transaction.commit()?),
        (Some(error), _) => {
            tracing::error!(%error, jobs = done.len(), "a transaction of the store failed");
            Err(error)
        }
        (None, None) => Err(gone()),
    }
}

/// A job that failed knows why by itself, and nobody else is concerned.
fn finish(transaction: Transaction<'_>, failed: Option<Error>) -> Result<()> {
    let Some(failed) = failed else { return Ok(transaction.commit()?) };
    // SQLite rolls back by itself on some errors, which are worth knowing.
    if transaction.rollback().is_err() {
        tracing::error!(error = %failed, jobs = 1, "a transaction of the store failed");
    }
    Ok(())
}

/// Why the whole transaction is broken, if it is, and what tells the job's caller.
fn run_in_savepoint(transaction: &mut Transaction<'_>, job: WriteJob) -> (Option<Error>, Tell) {
    let savepoint = match transaction.savepoint() {
        Ok(savepoint) => savepoint,
        Err(error) => {
            let error = Error::from(error);
            return (Some(error.clone()), job(Err(error)).1);
        }
    };
    let (failed, tell) = job(Ok(&savepoint));
    let finished = if failed.is_none() { savepoint.commit() } else { savepoint.finish() };
    // SQLite rolls everything back by itself on some errors; the job's own says more than the missing savepoint.
    (finished.err().map(|error| failed.unwrap_or_else(|| error.into())), tell)
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

/// A connection for what may take long, one job at a time and each for so long only: readers of logs do not wait for it.
pub(super) struct Searcher {
    reader: Readers,
    interrupt: InterruptHandle,
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// A job's turn, which goes with the job and not with whoever asked for it.
struct Turn {
    is_over: Arc<Mutex<bool>>,
    _turn: OwnedMutexGuard<()>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        // Before the next one's turn.
        *self.is_over.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }
}

/// Stops a job that nobody waits for any more, and no other one.
struct Stop<'a> {
    is_over: Arc<Mutex<bool>>,
    interrupt: &'a InterruptHandle,
}

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        let is_over = self.is_over.lock().unwrap_or_else(PoisonError::into_inner);
        if !*is_over {
            self.interrupt.interrupt();
        }
    }
}

impl Searcher {
    pub(super) fn start(connection: Connection) -> Self {
        let interrupt = connection.get_interrupt_handle();
        Self { reader: Readers::start(vec![connection]), interrupt, turn: Arc::default() }
    }

    pub(super) async fn run<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let late = |_| Error::Unavailable("a search took too long".to_owned());
        let turn = tokio::time::timeout(SEARCH_TIMEOUT, Arc::clone(&self.turn).lock_owned()).await.map_err(late)?;
        let is_over = Arc::new(Mutex::new(false));
        let _stop = Stop { is_over: Arc::clone(&is_over), interrupt: &self.interrupt };
        let turn = Turn { is_over, _turn: turn };
        let job = move |connection: &Connection| {
            let _turn = turn;
            work(connection)
        };
        tokio::time::timeout(SEARCH_TIMEOUT, self.reader.run(job)).await.unwrap_or_else(|elapsed| Err(late(elapsed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer() -> Writer {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t (x INTEGER)").unwrap();
        Writer::start(connection)
    }

    fn insert(connection: &Connection) -> Result<()> {
        Ok(connection.execute("INSERT INTO t VALUES (1)", []).map(drop)?)
    }

    /// Asks for what takes for ever, and goes away: the next one is served, and not stopped in the place of that.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_search_that_nobody_waits_for_ends_and_hits_no_other() {
        const FOR_EVER: &str =
            "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n";
        let searcher = Searcher::start(Connection::open_in_memory().unwrap());
        let endless =
            |connection: &Connection| -> Result<i64> { Ok(connection.query_row(FOR_EVER, [], |row| row.get(0))?) };
        let short =
            |connection: &Connection| -> Result<i64> { Ok(connection.query_row("SELECT 7", [], |row| row.get(0))?) };
        for _ in 0..20 {
            let asked = searcher.run(endless);
            assert!(tokio::time::timeout(Duration::from_millis(20), asked).await.is_err(), "it takes for ever");
            assert_eq!(searcher.run(short).await.unwrap(), 7);
        }
    }

    fn count(connection: &Connection) -> Result<i64> {
        Ok(connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0))?)
    }

    #[tokio::test]
    async fn a_job_that_fails_takes_nothing_with_it() {
        let writer = writer();
        let fails = |connection: &Connection| insert(connection).and(Err::<(), _>(Error::Corrupt("odd".into())));
        let (one, two, three) = tokio::join!(writer.run(insert), writer.run(fails), writer.run(insert));
        assert!(one.is_ok() && matches!(two, Err(Error::Corrupt(_))) && three.is_ok());
        assert_eq!(writer.run(count).await.unwrap(), 2);
    }

    #[tokio::test]
    async fn of_a_broken_transaction_everybody_is_told_the_first_reason() {
        let writer = writer();
        // As SQLite does by itself when a disk is full.
        let breaks = |connection: &Connection| {
            connection.execute_batch("ROLLBACK").unwrap();
            Err::<(), _>(Error::Unavailable("the disk is full".into()))
        };
        let (one, two, three) = tokio::join!(writer.run(insert), writer.run(breaks), writer.run(insert));
        for result in [one, two, three] {
            assert!(matches!(&result, Err(Error::Unavailable(text)) if text.contains("disk")), "{result:?}");
        }
        assert_eq!(writer.run(count).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn closing_finishes_what_waits_and_takes_nothing_more() {
        let writer = writer();
        let (done, ()) = tokio::join!(writer.run(insert), writer.close());
        assert!(done.is_ok());
        assert!(matches!(writer.run(insert).await, Err(Error::Unavailable(_))));
    }
}
