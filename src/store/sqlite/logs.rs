//! Reading logs, and what was decided without appending.

use confab_protocol::command::{Appended, History, HistoryRange};
use confab_protocol::limits::{PAGE_BYTES_MAX, PAGE_ITEMS_MAX};
use confab_protocol::model::{CaseId, ClientId, Envelope, Incarnation, Millis, RoomId, RoomRole, Seq, UserId};
use rusqlite::{Connection, DropBehavior, OptionalExtension, Row, Transaction, params};

use super::moderation;
use super::rooms::bound;
use super::rows::{Sql, get};
use crate::core::append::{appended_at, edited_id, is_void_for, void};
use crate::core::history::around_page;
use crate::core::seal::{Place as SealedAt, Vault};
use crate::core::store::{Error, LogPage, LogState, Outcome, Place, Recorded, Result, Unappended};

pub(super) fn find_recorded(
    connection: &Connection,
    vault: &Vault,
    room: RoomId,
    author: UserId,
    client_id: ClientId,
) -> Result<Option<Recorded>> {
    let key = params![Sql(client_id), Sql(author), Sql(room)];
    let digest = |stored: &[u8]| vault.open_digest(SealedAt::Unappended(room, author, client_id), stored);
    let mut statement = connection.prepare_cached(
        "SELECT digest, seq, time_ms, altered FROM entries WHERE client_id = ? AND author = ? AND room = ?",
    )?;
    let appended = |row: &Row<'_>| {
        let (seq, time) = (get(row, 1)?, get(row, 2)?);
        let appended = Appended { seq, time, altered: row.get(3)?, duplicate: false };
        Ok((row.get::<_, Vec<u8>>(0)?, Outcome::Appended(appended)))
    };
    if let Some((stored, outcome)) = statement.query_row(key, appended).optional()? {
        return Ok(Some(Recorded { digest: digest(&stored)?, outcome }));
    }
    let mut statement = connection.prepare_cached(
        "SELECT digest, case_id, code, detail FROM unappended WHERE client_id = ? AND author = ? AND room = ?",
    )?;
    let unappended = |row: &Row<'_>| {
        let case: Option<Sql<CaseId>> = row.get(1)?;
        let outcome = match case {
            Some(case) => Outcome::Held(case.0),
            None => Outcome::Refused { code: row.get(2)?, detail: row.get(3)? },
        };
        Ok((row.get::<_, Vec<u8>>(0)?, outcome))
    };
    let found = statement.query_row(key, unappended).optional()?;
    found.map(|(stored, outcome)| Ok(Recorded { digest: digest(&stored)?, outcome })).transpose()
}

pub(super) fn record(connection: &Connection, vault: &Vault, unappended: Unappended) -> Result<Option<Recorded>> {
    super::seal::check(connection, vault)?;
    let known = find_recorded(connection, vault, unappended.room, unappended.author, unappended.client_id)?;
    if known.is_some() {
        return Ok(known);
    }
    let (case, code, detail) = match &unappended.outcome {
        Outcome::Held(case) => (Some(Sql(*case)), 0, ""),
        Outcome::Refused { code, detail } => (None, *code, detail.as_str()),
        // An appended entry is recorded by being there.
        Outcome::Appended(_) => return Ok(None),
    };
    let mut statement = connection.prepare_cached(
        "INSERT INTO unappended (room, author, client_id, digest, case_id, code, detail, payload, time_ms)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    let (room, author, client_id) = (Sql(unappended.room), Sql(unappended.author), Sql(unappended.client_id));
    let at = SealedAt::Unappended(unappended.room, unappended.author, unappended.client_id);
    let (payload, time) = (vault.seal(at, &unappended.payload), Sql(unappended.time));
    statement.execute(params![
        room,
        author,
        client_id,
        vault.seal_digest(at, unappended.digest),
        case,
        code,
        detail,
        payload,
        time
    ])?;
    if let Some(new) = unappended.case() {
        moderation::open_case(connection, &new)?;
        let edited = match edited_id(&unappended) {
            Some(id) => find_recorded(connection, vault, unappended.room, unappended.author, id)?,
            None => None,
        };
        moderation::keep_around_held(connection, &new.row, appended_at(edited))?;
    }
    moderation::audit(connection, unappended.audit)?;
    Ok(None)
}

/// The log as this reader may see it, and their place in it; and whether they are given what others are not.
fn log_state(connection: &Connection, room: RoomId, reader: UserId) -> Result<Option<(LogState, Option<Place>, bool)>> {
    let mut statement = connection.prepare_cached(
        "SELECT incarnation, max(first_seq, iif(since_join, coalesce(join_seq, 0), 0)), head, m.role, leave_seq, join_seq,
             coalesce(r.kind <> 2 AND min(m.role, u.role) <= 3, 0)
         FROM rooms r LEFT JOIN members m ON m.room = r.id AND m.user = ?2 LEFT JOIN users u ON u.id = m.user
         WHERE r.id = ?1",
    )?;
    let state = |row: &Row<'_>| {
        let incarnation: Incarnation = get(row, 0)?;
        let (role, left): (Option<Sql<RoomRole>>, Option<Sql<Seq>>) = (row.get(3)?, row.get(4)?);
        let joined: Option<Sql<Seq>> = row.get(5)?;
        let place = role.zip(joined).map(|(role, joined)| {
            let left = left.map(|sql| sql.0);
            Place { role: role.0, left, joined: joined.0 }
        });
        Ok((LogState { incarnation, first_seq: get(row, 1)?, head: get(row, 2)? }, place, row.get(6)?))
    };
    Ok(statement.query_row(params![Sql(room), Sql(reader)], state).optional()?)
}

/// A reading transaction. Its end is a commit, which costs less than a rollback and keeps what was read cached.
fn snapshot(connection: &Connection) -> Result<Transaction<'_>> {
    let mut snapshot = connection.unchecked_transaction()?;
    snapshot.set_drop_behavior(DropBehavior::Commit);
    Ok(snapshot)
}

/// CRC-32 of what a page of a log is made of: SQLite's own pages carry no checksum, and a flipped bit in a text would be
/// given for what somebody said.
pub(super) fn checksum(room: RoomId, seq: Seq, time: Millis, rev: u32, kind: u8, payload: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&room.to_bytes());
    crc.update(&seq.0.to_le_bytes());
    crc.update(&time.0.to_le_bytes());
    crc.update(&rev.to_le_bytes());
    crc.update(&[kind]);
    crc.update(payload);
    crc.finalize()
}

/// `seq, time_ms, rev, payload, checksum, kind` of a room from a column on. What was altered on the disk is an error.
pub(super) fn envelope(vault: &Vault, row: &Row<'_>, room: RoomId, from: usize) -> rusqlite::Result<Envelope> {
    let (seq, time): (Seq, Millis) = (get(row, from)?, get(row, from + 1)?);
    let (rev, payload, stored): (u32, Vec<u8>, u32) = (row.get(from + 2)?, row.get(from + 3)?, row.get(from + 4)?);
    if checksum(room, seq, time, rev, row.get(from + 5)?, &payload) != stored {
        return Err(damaged(room, seq, from + 4));
    }
    let unopened = |error: Error| {
        rusqlite::Error::FromSqlConversionFailure(from + 3, rusqlite::types::Type::Blob, error.to_string().into())
    };
    let payload = vault.open(SealedAt::Entry(room, seq, rev), payload.into()).map_err(unopened)?;
    Ok(Envelope { seq, time, rev, payload, rewritten: None })
}

fn damaged(room: RoomId, seq: Seq, column: usize) -> rusqlite::Error {
    let what = format!("entry {} of room {room} is damaged: it is not what was stored", seq.0);
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Blob, what.into())
}

/// An entry, and behind it the message that it edits, if it does.
fn envelope_and_target(vault: &Vault, row: &Row<'_>, room: RoomId) -> rusqlite::Result<Envelope> {
    let is_edit: Option<Sql<Seq>> = row.get(6)?;
    let rewritten = is_edit.map(|_| envelope(vault, row, room, 6)).transpose()?.map(Box::new);
    Ok(Envelope { rewritten, ..envelope(vault, row, room, 0)? })
}

pub(super) fn read(
    connection: &Connection,
    vault: &Vault,
    room: RoomId,
    reader: UserId,
    after: Seq,
    limit: usize,
) -> Result<Option<LogPage>> {
    // One snapshot for all statements, so that head, rights and entries agree.
    let snapshot = snapshot(connection)?;
    let Some((state, place, _)) = log_state(&snapshot, room, reader)? else { return Ok(None) };
    let after = after.max(Seq(state.first_seq.0.saturating_sub(1)));
    let mut statement = snapshot.prepare_cached(
        "SELECT e.seq, e.time_ms, e.rev, e.payload, e.checksum, e.kind,
             t.seq, t.time_ms, t.rev, t.payload, t.checksum, t.kind, e.author, e.room FROM entries e
         LEFT JOIN entries t ON e.kind IN (5, 69) AND t.room = e.room AND t.seq = e.target
         WHERE e.room = ? AND e.seq > ? ORDER BY e.seq LIMIT ?",
    )?;
    let limit = bound(limit.min(PAGE_ITEMS_MAX));
    let entry = |row: &Row<'_>| {
        // A room that was altered to sort before its neighbours stops a scan from behind, and none from the front.
        if get::<RoomId>(row, 13)? != room {
            return Err(damaged(room, get(row, 0)?, 13));
        }
        let entry = envelope_and_target(vault, row, room)?;
        Ok(if is_void_for(reader, row.get(5)?, get(row, 12)?) { void(&entry) } else { entry })
    };
    let rows = statement.query_map(params![Sql(room), Sql(after), limit], entry)?;
    Ok(Some(LogPage { state, reader: place, entries: within_page(rows)? }))
}

pub(super) fn history(
    connection: &Connection,
    vault: &Vault,
    reader: UserId,
    history: History,
) -> Result<Option<LogPage>> {
    let snapshot = snapshot(connection)?;
    let (room, limit) = (history.room, history.limit.min(PAGE_ITEMS_MAX));
    let Some((state, place, is_moderator)) = log_state(&snapshot, room, reader)? else { return Ok(None) };
    let who = (reader, is_moderator);
    let [before, after] = match history {
        History { pinned: true, .. } => PINNED,
        History { thread: Some(_), .. } => THREAD,
        _ => ALL,
    };
    let before = |seq, limit| {
        let entries = messages(&snapshot, vault, before, &history, who, (seq, limit))?;
        Result::Ok(entries.into_iter().filter(|entry| entry.seq >= state.first_seq).rev().collect::<Vec<_>>())
    };
    let hidden = Seq(state.first_seq.0.saturating_sub(1));
    let after = |seq: Seq, limit| messages(&snapshot, vault, after, &history, who, (seq.max(hidden), limit));
    let entries = match history.range {
        HistoryRange::Before(Seq(0)) => before(state.head.next(), limit)?,
        HistoryRange::Before(seq) => before(seq, limit)?,
        HistoryRange::After(seq) => after(seq, limit)?,
        HistoryRange::Around(seq) => {
            around_page(before(seq, limit / 2)?, after(Seq(seq.0.saturating_sub(1)), limit.div_ceil(2))?)
        }
    };
    Ok(Some(LogPage { state, reader: place, entries }))
}

/// Messages on one side of a seq, the nearest first. An index serves each filter.
macro_rules! messages {
    ($side:literal, $filter:literal, $order:literal) => {
        concat!(
            "SELECT seq, time_ms, rev, payload, checksum, kind FROM entries WHERE room = ?1 AND seq ",
            $side,
            " ?2 AND kind IN (1, 65) AND (kind = 1 OR author = ?5 OR ?6) AND ",
            $filter,
            " ORDER BY seq ",
            $order,
            " LIMIT ?3"
        )
    };
    ($filter:literal) => {
        [messages!("<", $filter, "DESC"), messages!(">", $filter, "ASC")]
    };
}

const ALL: [&str; 2] = messages!("?4 IS NULL");
const THREAD: [&str; 2] = messages!("target = ?4");
const PINNED: [&str; 2] = messages!("pinned = 1 AND (?4 IS NULL OR target = ?4)");

/// The nearest first.
fn messages(
    connection: &Connection,
    vault: &Vault,
    sql: &str,
    of: &History,
    (reader, is_moderator): (UserId, bool),
    (seq, limit): (Seq, usize),
) -> Result<Vec<Envelope>> {
    let mut statement = connection.prepare_cached(sql)?;
    let thread = of.thread.map(Sql);
    let params = params![Sql(of.room), Sql(seq), bound(limit), thread, Sql(reader), is_moderator];
    within_page(statement.query_map(params, |row| envelope(vault, row, of.room, 0))?)
}

/// Takes rows while they fit a page; at least one.
pub(super) fn within_page(rows: impl Iterator<Item = rusqlite::Result<Envelope>>) -> Result<Vec<Envelope>> {
    let (mut entries, mut bytes) = (Vec::new(), 0);
    for row in rows {
        let entry = row?;
        bytes += entry.payload_bytes();
        if bytes > PAGE_BYTES_MAX && !entries.is_empty() {
            break;
        }
        entries.push(entry);
    }
    Ok(entries)
}
