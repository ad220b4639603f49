//! Reading everything back by another account: through history pages and through sync pages, compared with
//! each other, with the record and with the log.

mod compare;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use confab_client::model::{Cursor, Envelope, RoomName, Seq};
use confab_client::{Client, Command, Event, Options, Page, Reply, Room, RoomTarget};
use futures_util::{StreamExt, TryStreamExt};

use self::compare::{Comparison, Findings};
use crate::Access;
use crate::chatlog::{ChatLog, READER};
use crate::post::{answer, read_token_file};
use crate::progress::Progress;
use crate::record::{Outcome, Record};

/// Rooms read at once.
const ROOMS_AT_ONCE: usize = 8;
/// The most that the server gives.
const PAGE: usize = 200;

/// What was read and what is wrong with it.
pub(crate) struct Report {
    history: Reading,
    sync: Reading,
    findings: Findings,
}

/// One way of reading all.
#[derive(Default)]
struct Reading {
    rooms: Vec<Vec<Envelope>>,
    pages: usize,
    duration: Duration,
}

impl Report {
    /// Fails when anything differs.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        if self.findings.wrong > 0 {
            bail!("{} things differ", self.findings.wrong);
        }
        Ok(())
    }

    pub(crate) const fn altered(&self) -> usize {
        self.findings.altered
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries: usize = self.rooms.iter().map(Vec::len).sum();
        let seconds = self.duration.as_secs_f64();
        write!(f, "{entries} in {} pages in {seconds:.1} s, {:.0} a second", self.pages, entries as f64 / seconds)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "read back by {READER}:")?;
        writeln!(f, "  messages through history: {}", self.history)?;
        writeln!(f, "  entries through sync: {}", self.sync)?;
        write!(f, "{}", self.findings)
    }
}

pub(crate) async fn run(
    log: &Arc<ChatLog>,
    access: &Access,
    record: Record,
    any_order: bool,
) -> anyhow::Result<Report> {
    let tokens = read_token_file(&access.tokens)?;
    let token = tokens.get(READER).with_context(|| format!("no token for {READER}"))?;
    let server = access.servers()?.into_iter().next().context("no server")?;
    let (client, mut events) = Client::connect(Options::new(server).access_token(token));
    wait_for_welcome(&mut events).await?;
    // Nothing is followed; what comes is not of interest, but must be taken.
    let taking = tokio::spawn(async move { while events.recv().await.is_some() {} });

    let rooms = join_all(&client, log).await?;
    let acked = record.0.values().filter(|sent| matches!(sent.outcome, Outcome::Acked { .. })).count();
    let history = read_all("read back", acked, &rooms, |room| read_history(&client, room)).await?;
    let sync = read_all("read by sync", acked, &rooms, |room| read_sync(&client, room)).await?;

    let mut comparison = Comparison::new(log, &record, any_order);
    for (day, ((room, messages), entries)) in log.days.iter().zip(rooms.iter().zip(&history.rooms).zip(&sync.rooms)) {
        comparison.compare_room(day, room, messages, entries);
    }
    let authors = comparison.authors();
    for chunk in authors.chunks(PAGE) {
        match answer(client.request(Command::Profiles(chunk.to_vec()))).await?? {
            Reply::Members { members, .. } => comparison.compare_profiles(&members),
            _ => bail!("the server answered something unexpected"),
        }
    }
    let findings = comparison.finish();
    drop(client);
    answer(taking).await??;
    Ok(Report { history, sync, findings })
}

async fn wait_for_welcome(events: &mut tokio::sync::mpsc::Receiver<Event>) -> anyhow::Result<()> {
    loop {
        match answer(events.recv()).await?.context("the session ended before it began")? {
            Event::Welcome(welcome) if welcome.identity.is_some() => return Ok(()),
            Event::Welcome(_) => bail!("the token was not taken"),
            Event::Stopped(close) | Event::Offline { close, .. } => bail!("cannot connect: {close}"),
            _ => {}
        }
    }
}

/// Joins rooms that must exist: the reader makes none.
async fn join_all(client: &Client, log: &ChatLog) -> anyhow::Result<Vec<Room>> {
    let join = |name: &str| {
        let name = name.to_owned();
        async move {
            let target = RoomTarget::Name(RoomName::parse(&name)?);
            match answer(client.request(Command::JoinRoom(target))).await?.with_context(|| name)? {
                Reply::Room(room) => Ok(room),
                _ => bail!("the server answered something unexpected"),
            }
        }
    };
    let joins = futures_util::stream::iter(&log.days).map(|day| join(&day.room));
    joins.buffered(ROOMS_AT_ONCE).try_collect().await
}

async fn read_all<'a, F>(
    what: &'static str,
    total: usize,
    rooms: &'a [Room],
    read: impl Fn(&'a Room) -> F,
) -> anyhow::Result<Reading>
where
    F: Future<Output = anyhow::Result<(Vec<Envelope>, usize)>>,
{
    let progress = Progress::new(what, total)?;
    let started = Instant::now();
    let mut reading = Reading::default();
    let mut reads = futures_util::stream::iter(rooms).map(read).buffered(ROOMS_AT_ONCE);
    while let Some((entries, pages)) = reads.try_next().await? {
        progress.add(entries.len());
        reading.rooms.push(entries);
        reading.pages += pages;
    }
    reading.duration = started.elapsed();
    Ok(reading)
}

/// Newest page first; the result ascends.
async fn read_history(client: &Client, room: &Room) -> anyhow::Result<(Vec<Envelope>, usize)> {
    let mut pages: Vec<Page> = Vec::new();
    let mut before = Seq(0);
    loop {
        let page = answer(client.history(room.id, before, PAGE)).await??;
        if page.next != Seq(0) && before != Seq(0) && page.next >= before {
            bail!("history of {} does not move: next {} before {}", room.name, page.next.0, before.0);
        }
        before = page.next;
        pages.push(page);
        if before == Seq(0) {
            break;
        }
    }
    let count = pages.len();
    Ok((pages.into_iter().rev().flat_map(|page| page.entries).collect(), count))
}

async fn read_sync(client: &Client, room: &Room) -> anyhow::Result<(Vec<Envelope>, usize)> {
    let (mut entries, mut pages) = (Vec::new(), 0);
    let mut cursor = Cursor { room: room.id, incarnation: room.incarnation, seq: Seq(0) };
    loop {
        let Reply::Page(page) = answer(client.request(Command::Sync { cursor, limit: PAGE })).await?? else {
            bail!("the server answered something unexpected")
        };
        pages += 1;
        entries.extend(page.entries);
        if page.next == Seq(0) {
            return Ok((entries, pages));
        }
        if page.next <= cursor.seq {
            bail!("sync of {} does not move: next {} after {}", room.name, page.next.0, cursor.seq.0);
        }
        cursor.seq = page.next;
    }
}
