//! Posting: rooms side by side, and within a room one send in flight, so that file order is room order.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use confab_client::model::{Body, ClientId, Millis, RoomId, TextError};
use confab_client::{Client, Command, Error, Publish, Reject, RejectCode, Reply, RoomTarget};
use futures_util::{StreamExt, TryStreamExt};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::chatlog::{ChatLog, Day, Post, username};
use crate::pool::{Lease, Pool};
use crate::progress::Progress;
use crate::record::{Outcome, Recorder, Sent};
use crate::{Access, raw};

/// A request without an answer for so long, across reconnects, ends the run.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// How fast, and how much at a time.
#[derive(clap::Args, Clone)]
pub(crate) struct Pace {
    /// Connections open at once.
    #[arg(long, default_value_t = 200, value_name = "N")]
    connections: usize,
    /// Rooms that are posted to at once. Fewer rooms share the connections better; 0 takes all.
    #[arg(long, default_value_t = 24, value_name = "N")]
    rooms: usize,
    /// Sends in flight in one room; above 1 the order of a room is no longer that of the file.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) window: usize,
    /// So many times real time, all rooms at once and each from its first minute; without it as fast as
    /// the server acknowledges.
    #[arg(long, value_name = "N")]
    speed: Option<f64>,
}

/// What came of it.
pub(crate) struct Summary {
    outcomes: BTreeMap<&'static str, usize>,
    /// (code, whether the text was blank, whether only this client said so) -> how often
    rejects: BTreeMap<(u16, bool, bool), usize>,
    messages: usize,
    rooms: usize,
    joins: usize,
    retries: usize,
    connections: String,
    duration: Duration,
    /// Of acknowledged sends, ascending.
    latencies: Vec<Duration>,
}

impl Summary {
    /// Fails unless every message is in its room, or was rejected for having no text.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let rejected: usize = self.rejects.iter().filter(|((_, blank, _), _)| !blank).map(|(_, count)| count).sum();
        let held = self.outcomes.get("held").copied().unwrap_or(0);
        if rejected + held > 0 {
            bail!("{rejected} messages with a text were rejected, {held} were held for review");
        }
        Ok(())
    }

    pub(crate) fn altered(&self) -> usize {
        self.outcomes.get("altered").copied().unwrap_or(0)
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.duration.as_secs_f64();
        let count = |name| self.outcomes.get(name).copied().unwrap_or(0);
        let acked = count("acked") + count("altered");
        writeln!(f, "posted: {} messages in {} rooms in {seconds:.1} s", self.messages, self.rooms)?;
        writeln!(
            f,
            "  acknowledged {acked}, {:.0} a second; {} of them altered",
            acked as f64 / seconds,
            self.altered()
        )?;
        writeln!(f, "  held {}, {} joins, {} waits for a rate limit", count("held"), self.joins, self.retries)?;
        for ((code, is_blank, is_local), count) in &self.rejects {
            let name = RejectCode::from_number(*code).map_or("unknown", RejectCode::name);
            let what = if *is_blank { "blank" } else { "not blank" };
            let who = if *is_local { "by the client library alone" } else { "by the server" };
            writeln!(f, "  rejected {who}: {code} {name}, {count} messages, {what}")?;
        }
        writeln!(f, "  connections: {}", self.connections)?;
        let share = |share: f64| {
            let index = ((self.latencies.len() as f64 * share) as usize).min(self.latencies.len().saturating_sub(1));
            self.latencies.get(index).map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
        };
        write!(
            f,
            "  acknowledged after p50 {:.2} ms, p99 {:.2} ms, at most {:.2} ms",
            share(0.5),
            share(0.99),
            share(1.0)
        )
    }
}

struct Posting {
    log: Arc<ChatLog>,
    pool: Arc<Pool>,
    pace: Pace,
    /// For frames that the client library refuses to send.
    raw_url: Option<String>,
    recorder: Recorder,
    progress: Progress,
    tally: Mutex<Tally>,
    joins: AtomicUsize,
    retries: AtomicUsize,
}

#[derive(Default)]
struct Tally {
    outcomes: BTreeMap<&'static str, usize>,
    rejects: BTreeMap<(u16, bool, bool), usize>,
    latencies: Vec<Duration>,
}

/// One room while it is posted to.
struct Room<'a> {
    id: RoomId,
    day: &'a Day,
    started: Instant,
    /// Who has joined; locked while somebody does, so that each does so once.
    joined: tokio::sync::Mutex<HashSet<usize>>,
}

pub(crate) async fn run(log: Arc<ChatLog>, access: &Access, pace: &Pace, record: &Path) -> anyhow::Result<Summary> {
    let tokens = read_tokens(&access.tokens, &log)?;
    if pace.connections == 0 || pace.window == 0 {
        bail!("at least one connection and a window of one are needed");
    }
    let rooms_at_once = match pace.rooms {
        _ if pace.speed.is_some() => log.days.len(),
        0 => log.days.len(),
        rooms => rooms,
    };
    let posting = Arc::new(Posting {
        pool: Pool::new(access.servers()?, tokens, pace.connections),
        pace: pace.clone(),
        raw_url: access.servers.iter().find(|url| url.starts_with("ws://")).cloned(),
        recorder: Recorder::create(record)?,
        progress: Progress::new("posted", log.len())?,
        tally: Mutex::default(),
        joins: AtomicUsize::new(0),
        retries: AtomicUsize::new(0),
        log,
    });
    let started = Instant::now();
    let turns = Arc::new(Semaphore::new(rooms_at_once.max(1)));
    let mut rooms = JoinSet::new();
    for day in 0..posting.log.days.len() {
        let turn = Arc::clone(&turns).acquire_owned().await?;
        let posting = Arc::clone(&posting);
        rooms.spawn(async move {
            let posted = posting.post_room(day).await;
            drop(turn);
            posted
        });
        while let Some(done) = rooms.try_join_next() {
            done??;
        }
    }
    while let Some(done) = rooms.join_next().await {
        done??;
    }
    posting.recorder.finish()?;
    let duration = started.elapsed();
    posting.pool.close().await?;
    Ok(posting.summary(&access.servers, duration))
}

impl Posting {
    async fn post_room(&self, day: usize) -> anyhow::Result<()> {
        let day = self.log.days.get(day).context("no such day")?;
        let Some(first) = day.posts.first() else { return Ok(()) };
        let lease = self.pool.lease(first.nick).await?;
        let made = answer(lease.client()?.join(&day.room)).await?.with_context(|| format!("room {}", day.room))?;
        drop(lease);
        let room = Room {
            id: made.id,
            day,
            started: Instant::now(),
            joined: tokio::sync::Mutex::new(HashSet::from([first.nick])),
        };
        let sends = futures_util::stream::iter(0..day.posts.len()).map(|index| self.post(&room, index));
        sends.buffered(self.pace.window).try_collect().await
    }

    async fn post(&self, room: &Room<'_>, index: usize) -> anyhow::Result<()> {
        let post = room.day.posts.get(index).context("no such message")?;
        self.wait_for_time(room, post).await;
        let lease = self.pool.lease(post.nick).await?;
        self.join(room, post.nick, &lease).await?;
        let client_id = lease.client()?.new_client_id();
        let outcome = match Body::parse(&post.text) {
            Ok(body) => self.send(room.id, client_id, body, lease.client()?).await,
            Err(error) => {
                drop(lease);
                self.send_raw(room.id, client_id, post, error).await
            }
        };
        let outcome = outcome.with_context(|| format!("line {} of the log", post.line))?;
        self.recorder.write(&Sent { line: post.line, room: room.id, client_id, outcome })?;
        self.count(post, outcome);
        self.progress.add(1);
        Ok(())
    }

    async fn wait_for_time(&self, room: &Room<'_>, post: &Post) {
        let first = room.day.posts.first().map_or(0, |post| post.minute);
        if let Some(speed) = self.pace.speed.filter(|speed| *speed > 0.0) {
            let due = f64::from(post.minute.saturating_sub(first)) * 60.0 / speed;
            tokio::time::sleep_until((room.started + Duration::from_secs_f64(due)).into()).await;
        }
    }

    async fn join(&self, room: &Room<'_>, nick: usize, lease: &Lease) -> anyhow::Result<()> {
        let mut joined = room.joined.lock().await;
        if joined.contains(&nick) {
            return Ok(());
        }
        let join = Command::JoinRoom(RoomTarget::Id(room.id));
        let reply = answer(lease.client()?.request(join)).await?;
        reply.with_context(|| format!("{} joins {}", username(nick), room.day.room))?;
        self.joins.fetch_add(1, Ordering::Relaxed);
        joined.insert(nick);
        Ok(())
    }

    async fn send(&self, room: RoomId, client_id: ClientId, body: Body, client: &Client) -> anyhow::Result<Outcome> {
        loop {
            let publish = Publish { room, client_id, resend: false, body: body.clone(), reply_to: None };
            let sent = Instant::now();
            match answer(client.request(Command::Publish(publish))).await? {
                Ok(reply) => {
                    self.tally().latencies.push(sent.elapsed());
                    return outcome(Ok(reply));
                }
                Err(Error::Rejected(reject)) if reject.is(RejectCode::RateLimited) => {
                    self.retries.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(reject.retry_after_ms.into())).await;
                }
                Err(Error::Rejected(reject)) => return outcome(Err(reject)),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// A text that the client library's own type refuses: the server must refuse it as well.
    async fn send_raw(&self, room: RoomId, id: ClientId, post: &Post, error: TextError) -> anyhow::Result<Outcome> {
        let code = match error {
            TextError::Blank => RejectCode::BodyBlank,
            TextError::TooLong => RejectCode::BodyTooLong,
            TextError::Invalid => RejectCode::BodyInvalid,
        };
        let Some(url) = &self.raw_url else { return Ok(Outcome::RefusedHere(code.number())) };
        let place = self.pool.place().await?;
        let answered = answer(raw::publish(url, self.pool.token(post.nick)?, room, id, &post.text)).await??;
        drop(place);
        outcome(answered)
    }

    fn tally(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, post: &Post, outcome: Outcome) {
        let is_blank = post.text.trim().is_empty();
        let mut tally = self.tally();
        let (name, reject) = match outcome {
            Outcome::Acked { altered: false, .. } => ("acked", None),
            Outcome::Acked { altered: true, .. } => ("altered", None),
            Outcome::Held => ("held", None),
            Outcome::Rejected(code) => ("rejected", Some((code, is_blank, false))),
            Outcome::RefusedHere(code) => ("rejected", Some((code, is_blank, true))),
        };
        *tally.outcomes.entry(name).or_default() += 1;
        if let Some(reject) = reject {
            *tally.rejects.entry(reject).or_default() += 1;
        }
    }

    fn summary(&self, urls: &[String], duration: Duration) -> Summary {
        let mut tally = std::mem::take(&mut *self.tally());
        tally.latencies.sort_unstable();
        let counts = self.pool.counts();
        let made = urls.iter().zip(&counts.made).map(|(url, made)| {
            let scheme = url.split(':').next().unwrap_or_default();
            format!("{} over {scheme}", made.load(Ordering::Relaxed))
        });
        let mut connections: Vec<String> = made.collect();
        connections.push(format!("at most {} open", counts.peak.load(Ordering::Relaxed)));
        let first = counts.first_reason.lock().unwrap_or_else(PoisonError::into_inner);
        let offline = counts.offline.load(Ordering::Relaxed);
        connections.push(match &*first {
            Some(reason) => format!("{offline} lost or refused, the first by: {reason}"),
            None => "none lost".to_owned(),
        });
        Summary {
            outcomes: tally.outcomes,
            rejects: tally.rejects,
            messages: self.log.len(),
            rooms: self.log.days.len(),
            joins: self.joins.load(Ordering::Relaxed),
            retries: self.retries.load(Ordering::Relaxed),
            connections: connections.join(", "),
            duration,
            latencies: tally.latencies,
        }
    }
}

/// What a request came to, or an error when nothing comes.
pub(crate) async fn answer<T>(request: impl Future<Output = T>) -> anyhow::Result<T> {
    tokio::time::timeout(ANSWER_TIMEOUT, request).await.context("no answer for too long")
}

fn outcome(answered: Result<Reply, Reject>) -> anyhow::Result<Outcome> {
    match answered {
        Ok(Reply::Appended(appended)) => {
            Ok(Outcome::Acked { seq: appended.seq, time: Millis(appended.time.0), altered: appended.altered })
        }
        Ok(Reply::Held(_)) => Ok(Outcome::Held),
        Ok(_) => bail!("the server answered something unexpected"),
        Err(reject) => Ok(Outcome::Rejected(reject.code)),
    }
}

/// The token of each nick of the log, where the file has one.
fn read_tokens(path: &Path, log: &ChatLog) -> anyhow::Result<Vec<Option<String>>> {
    let mut tokens = read_token_file(path)?;
    Ok((0..log.nicks.len()).map(|nick| tokens.remove(&username(nick))).collect())
}

/// By user name.
pub(crate) fn read_token_file(path: &Path) -> anyhow::Result<HashMap<String, String>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let pair = |line: &str| line.split_once('\t').map(|(name, token)| (name.to_owned(), token.to_owned()));
    text.lines().map(|line| pair(line).context("tokens: a line is name<TAB>token")).collect()
}
