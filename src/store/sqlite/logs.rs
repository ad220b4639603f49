//! The logs themselves: append a batch, read pages.

use std::collections::HashMap;

use bytes::Bytes;
use confab_protocol::command::Appended;
use confab_protocol::limits::{PAGE_BYTES_MAX, PAGE_ITEMS_MAX};
use confab_protocol::model::{
    CaseId, ClientId, Envelope, Incarnation, Millis, RoomId, RoomKind, RoomRole, Seq, UserId,
};
use confab_protocol::reject::RejectCode;
use rusqlite::{Connection, DropBehavior, OptionalExtension, Row, Transaction, params};

use super::accounts::new_incarnation;
use super::rooms::{bound, membership};
use super::rows::{Sql, get};
use crate::core::append::{Change, Decided, Decision, Facts, Item, RoomState, decide};
use crate::core::store::{LogPage, LogState, NewRoom, Outcome, Place, Recorded, Result, Unappended};

pub(super) fn append(connection: &Connection, batch: Vec<Item>, now: Millis) -> Result<Vec<Decided>> {
    let mut rooms = Rooms::default();
    let mut decided = Vec::with_capacity(batch.len());
    for item in batch {
        let decision = append_item(connection, &mut rooms, &item, now)?;
        let then = match (&item.then, &decision) {
            (Some(then), Decision::Append { .. }) => Some(append_item(connection, &mut rooms, then, now)?),
            _ => None,
        };
        decided.push(Decided { item, decision, then });
    }
    rooms.write(connection)?;
    Ok(decided)
}

fn append_item(connection: &Connection, rooms: &mut Rooms, item: &Item, now: Millis) -> Result<Decision> {
    if let Change::CreateRoom(new) = &item.change
        && let Some(refusal) = create_room(connection, item, new, now)?
    {
        return Ok(refusal);
    }
    let Some(state) = rooms.find(connection, item.room)? else { return Ok(Decision::Refuse(RejectCode::UnknownRoom)) };
    let facts = Facts {
        recorded: find_recorded(connection, item.room, item.author, item.client_id)?,
        membership: &mut || membership(connection, item.room, item.author),
    };
    let decision = decide(state, item, now, facts)?;
    if let Decision::Append { seq, time, .. } = decision {
        insert(connection, item, seq, time)?;
        change_members(connection, item, seq)?;
    }
    Ok(decision)
}

/// The rooms of one batch: read once, moved on in memory, written once.
#[derive(Default)]
struct Rooms {
    states: HashMap<RoomId, RoomState>,
}

impl Rooms {
    fn find(&mut self, connection: &Connection, room: RoomId) -> Result<Option<&mut RoomState>> {
        if !self.states.contains_key(&room) {
            let mut statement =
                connection.prepare_cached("SELECT incarnation, head, last_ms, acl_version FROM rooms WHERE id = ?")?;
            let state = |row: &Row<'_>| {
                let (head, last_time, acl): (Seq, Millis, i64) = (get(row, 1)?, get(row, 2)?, row.get(3)?);
                Ok(RoomState { incarnation: get(row, 0)?, head, last_time, acl_version: acl.cast_unsigned() })
            };
            let Some(state) = statement.query_row([Sql(room)], state).optional()? else { return Ok(None) };
            self.states.insert(room, state);
        }
        Ok(self.states.get_mut(&room))
    }

    fn write(&self, connection: &Connection) -> Result<()> {
        let mut statement =
            connection.prepare_cached("UPDATE rooms SET head = ?2, last_ms = ?3, acl_version = ?4 WHERE id = ?1")?;
        for (room, state) in &self.states {
            let acl = state.acl_version.cast_signed();
            statement.execute(params![Sql(*room), Sql(state.head), Sql(state.last_time), acl])?;
        }
        Ok(())
    }
}

/// Inserts the room before its first entry; a refusal if the name went meanwhile.
fn create_room(connection: &Connection, item: &Item, new: &NewRoom, now: Millis) -> Result<Option<Decision>> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO rooms (id, kind, name, topic, incarnation, created_ms) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
    )?;
    let (id, kind, created) = (Sql(item.room), Sql(RoomKind::Channel), Sql(now));
    let inserted =
        statement.execute(params![id, kind, new.name.as_str(), new.topic.as_str(), new_incarnation(), created])?;
    if inserted == 1 {
        return Ok(None);
    }
    // The same room again is for the dedupe to find; another one has the name.
    let mut statement = connection.prepare_cached("SELECT 1 FROM rooms WHERE id = ?")?;
    Ok((!statement.exists([id])?).then_some(Decision::Refuse(RejectCode::RoomNameTaken)))
}

fn insert(connection: &Connection, item: &Item, seq: Seq, time: Millis) -> Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO entries (room, seq, time_ms, kind, author, client_id, digest, altered, payload)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    let (room, seq, time, author, client_id) =
        (Sql(item.room), Sql(seq), Sql(time), Sql(item.author), Sql(item.client_id));
    let payload: &[u8] = &item.payload;
    statement.execute(params![
        room,
        seq,
        time,
        item.change.kind(),
        author,
        client_id,
        item.digest,
        item.altered,
        payload
    ])?;
    Ok(())
}

fn change_members(connection: &Connection, item: &Item, seq: Seq) -> Result<()> {
    let (room, user, seq) = (Sql(item.room), Sql(item.author), Sql(seq));
    let by = match item.change {
        Change::Message | Change::SelfNote => return Ok(()),
        Change::CreateRoom(_) | Change::Join(_) => {
            let role = if let Change::Join(role) = item.change { role } else { RoomRole::Owner };
            let mut statement = connection.prepare_cached(
                "INSERT INTO members (room, user, role, join_seq) VALUES (?, ?, ?, ?)
                 ON CONFLICT (room, user) DO UPDATE SET join_seq = excluded.join_seq, leave_seq = NULL,
                     -- An owner who comes back owns it still: nobody else does.
                     role = CASE role WHEN 1 THEN 1 ELSE excluded.role END
                 WHERE leave_seq IS NOT NULL",
            )?;
            i64::from(statement.execute(params![room, user, Sql(role), seq])? == 1)
        }
        Change::Leave => {
            let mut statement = connection.prepare_cached(
                "UPDATE members SET leave_seq = ?3 WHERE room = ?1 AND user = ?2 AND leave_seq IS NULL",
            )?;
            -i64::from(statement.execute(params![room, user, seq])? == 1)
        }
    };
    connection.prepare_cached("UPDATE rooms SET members = members + ?2 WHERE id = ?1")?.execute(params![room, by])?;
    Ok(())
}

pub(super) fn find_recorded(
    connection: &Connection,
    room: RoomId,
    author: UserId,
    client_id: ClientId,
) -> Result<Option<Recorded>> {
    let key = params![Sql(client_id), Sql(author), Sql(room)];
    let mut statement = connection.prepare_cached(
        "SELECT digest, seq, time_ms, altered FROM entries WHERE client_id = ? AND author = ? AND room = ?",
    )?;
    let appended = |row: &Row<'_>| {
        let (seq, time) = (get(row, 1)?, get(row, 2)?);
        let appended = Appended { seq, time, altered: row.get(3)?, duplicate: false };
        Ok(Recorded { digest: row.get(0)?, outcome: Outcome::Appended(appended) })
    };
    if let Some(recorded) = statement.query_row(key, appended).optional()? {
        return Ok(Some(recorded));
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
        Ok(Recorded { digest: row.get(0)?, outcome })
    };
    Ok(statement.query_row(key, unappended).optional()?)
}

pub(super) fn record(connection: &Connection, unappended: Unappended) -> Result<Option<Recorded>> {
    let known = find_recorded(connection, unappended.room, unappended.author, unappended.client_id)?;
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
        "INSERT INTO unappended (room, author, client_id, digest, case_id, code, detail, note, payload, time_ms)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    let (room, author, client_id) = (Sql(unappended.room), Sql(unappended.author), Sql(unappended.client_id));
    let (payload, time): (&[u8], _) = (&unappended.payload, Sql(unappended.time));
    statement.execute(params![
        room,
        author,
        client_id,
        unappended.digest,
        case,
        code,
        detail,
        unappended.note,
        payload,
        time
    ])?;
    Ok(None)
}

fn log_state(connection: &Connection, room: RoomId) -> Result<Option<LogState>> {
    let mut statement = connection.prepare_cached("SELECT incarnation, first_seq, head FROM rooms WHERE id = ?")?;
    let state = |row: &Row<'_>| {
        let incarnation: Incarnation = get(row, 0)?;
        Ok(LogState { incarnation, first_seq: get(row, 1)?, head: get(row, 2)? })
    };
    Ok(statement.query_row([Sql(room)], state).optional()?)
}

/// A reading transaction. Its end is a commit, which costs less than a rollback and keeps what was read cached.
fn snapshot(connection: &Connection) -> Result<Transaction<'_>> {
    let mut snapshot = connection.unchecked_transaction()?;
    snapshot.set_drop_behavior(DropBehavior::Commit);
    Ok(snapshot)
}

fn place(connection: &Connection, room: RoomId, reader: UserId) -> Result<Option<Place>> {
    let mut statement = connection.prepare_cached("SELECT role, leave_seq FROM members WHERE room = ? AND user = ?")?;
    let place = |row: &Row<'_>| {
        let left: Option<Sql<Seq>> = row.get(1)?;
        Ok(Place { role: get(row, 0)?, left: left.map(|sql| sql.0) })
    };
    Ok(statement.query_row(params![Sql(room), Sql(reader)], place).optional()?)
}

fn envelope(row: &Row<'_>) -> rusqlite::Result<Envelope> {
    let payload: Vec<u8> = row.get(3)?;
    Ok(Envelope { seq: get(row, 0)?, time: get(row, 1)?, rev: row.get(2)?, payload: Bytes::from(payload) })
}

pub(super) fn read(
    connection: &Connection,
    room: RoomId,
    reader: UserId,
    after: Seq,
    limit: usize,
) -> Result<Option<LogPage>> {
    // One snapshot for all statements, so that head, rights and entries agree.
    let snapshot = snapshot(connection)?;
    let reader = place(&snapshot, room, reader)?;
    let Some(state) = log_state(&snapshot, room)? else { return Ok(None) };
    let mut statement = snapshot.prepare_cached(
        "SELECT seq, time_ms, rev, payload FROM entries WHERE room = ? AND seq > ? ORDER BY seq LIMIT ?",
    )?;
    let rows = statement.query_map(params![Sql(room), Sql(after), bound(limit.min(PAGE_ITEMS_MAX))], envelope)?;
    Ok(Some(LogPage { state, reader, entries: within_page(rows)? }))
}

pub(super) fn history(
    connection: &Connection,
    room: RoomId,
    reader: UserId,
    before: Seq,
    limit: usize,
) -> Result<Option<LogPage>> {
    let snapshot = snapshot(connection)?;
    let reader = place(&snapshot, room, reader)?;
    let Some(state) = log_state(&snapshot, room)? else { return Ok(None) };
    let before = if before == Seq(0) { state.head.next() } else { before };
    let mut statement = snapshot.prepare_cached(
        "SELECT seq, time_ms, rev, payload FROM entries WHERE room = ? AND seq < ? AND kind = 1 ORDER BY seq DESC LIMIT ?",
    )?;
    let rows = statement.query_map(params![Sql(room), Sql(before), bound(limit.min(PAGE_ITEMS_MAX))], envelope)?;
    let mut entries = within_page(rows)?;
    entries.reverse();
    Ok(Some(LogPage { state, reader, entries }))
}

/// Takes rows while they fit a page; at least one.
fn within_page(rows: impl Iterator<Item = rusqlite::Result<Envelope>>) -> Result<Vec<Envelope>> {
    let (mut entries, mut bytes) = (Vec::new(), 0);
    for row in rows {
        let entry = row?;
        bytes += entry.payload.len();
        if bytes > PAGE_BYTES_MAX && !entries.is_empty() {
            break;
        }
        entries.push(entry);
    }
    Ok(entries)
}
