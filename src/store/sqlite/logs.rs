//! The logs themselves: append a batch, read pages.

use std::collections::BTreeSet;

use bytes::Bytes;
use confab_protocol::command::Appended;
use confab_protocol::limits::{PAGE_BYTES_MAX, PAGE_ITEMS_MAX};
use confab_protocol::model::{CaseId, ClientId, Envelope, Incarnation, Millis, RoomId, RoomKind, Seq, UserId};
use rusqlite::{Connection, DropBehavior, OptionalExtension, Row, Transaction, params};

use super::rooms::bound;
use super::rows::{Sql, get};
use crate::core::append::{Decided, Decision, Facts, Item, MemberKey, MemberState, Needs, RoomState, decide};
use crate::core::store::{LogPage, LogState, NewRoom, Outcome, Place, Recorded, Result, Unappended};

pub(super) fn append(connection: &Connection, batch: Vec<Item>, now: Millis) -> Result<Vec<Decided>> {
    let mut facts = Facts::default();
    read_facts(connection, &mut facts, &Needs::of(&batch))?;
    for key in facts.late_members(&batch) {
        read_member(connection, &mut facts, key)?;
    }
    let decided = decide(&mut facts, batch, now);
    for (room, new) in &facts.created {
        create_room(connection, *room, new)?;
    }
    let mut touched = BTreeSet::new();
    for (item, decision) in decided.iter().flat_map(Decided::all) {
        if let Decision::Append { seq, time, .. } = decision {
            insert(connection, item, *seq, *time)?;
            touched.insert(item.room);
        }
    }
    for key in &facts.changed_members {
        write_member(connection, &facts, *key)?;
    }
    for room in touched {
        write_room(connection, &facts, room)?;
    }
    Ok(decided)
}

fn read_facts(connection: &Connection, facts: &mut Facts, needs: &Needs) -> Result<()> {
    for room in &needs.rooms {
        let mut statement = connection.prepare_cached(
            "SELECT incarnation, head, last_ms, acl_version, members, messages FROM rooms WHERE id = ?",
        )?;
        let state = |row: &Row<'_>| {
            let (head, last_time, acl, messages): (Seq, Millis, i64, i64) =
                (get(row, 1)?, get(row, 2)?, row.get(3)?, row.get(5)?);
            let (acl_version, messages) = (acl.cast_unsigned(), messages.cast_unsigned());
            Ok(RoomState { incarnation: get(row, 0)?, head, last_time, acl_version, members: row.get(4)?, messages })
        };
        facts.rooms.extend(statement.query_row([Sql(*room)], state).optional()?.map(|state| (*room, state)));
    }
    for key in &needs.keys {
        let (room, author, client_id) = *key;
        facts.recorded.extend(find_recorded(connection, room, author, client_id)?.map(|recorded| (*key, recorded)));
    }
    for name in &needs.names {
        let mut statement = connection.prepare_cached("SELECT 1 FROM rooms WHERE name = ?")?;
        if statement.exists([name.as_str()])? {
            facts.names.insert(name.clone());
        }
    }
    needs.members.iter().try_for_each(|key| read_member(connection, facts, *key))
}

fn read_member(connection: &Connection, facts: &mut Facts, key: MemberKey) -> Result<()> {
    let mut statement =
        connection.prepare_cached("SELECT role, join_seq, leave_seq FROM members WHERE room = ? AND user = ?")?;
    let member = |row: &Row<'_>| {
        let left: Option<Sql<Seq>> = row.get(2)?;
        Ok(MemberState { role: get(row, 0)?, join_seq: get(row, 1)?, leave_seq: left.map(|sql| sql.0) })
    };
    let member = statement.query_row(params![Sql(key.0), Sql(key.1)], member).optional()?;
    facts.members.extend(member.map(|member| (key, member)));
    Ok(())
}

fn write_member(connection: &Connection, facts: &Facts, key: MemberKey) -> Result<()> {
    let Some(member) = facts.members.get(&key) else { return Ok(()) };
    let mut statement = connection.prepare_cached(
        "INSERT INTO members (room, user, role, join_seq, leave_seq) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (room, user) DO UPDATE SET role = excluded.role, join_seq = excluded.join_seq,
             leave_seq = excluded.leave_seq",
    )?;
    let (join_seq, leave_seq) = (Sql(member.join_seq), member.leave_seq.map(Sql));
    statement.execute(params![Sql(key.0), Sql(key.1), Sql(member.role), join_seq, leave_seq])?;
    Ok(())
}

fn write_room(connection: &Connection, facts: &Facts, room: RoomId) -> Result<()> {
    let Some(state) = facts.rooms.get(&room) else { return Ok(()) };
    let mut statement = connection.prepare_cached(
        "UPDATE rooms SET head = ?2, last_ms = ?3, acl_version = ?4, members = ?5, messages = ?6 WHERE id = ?1",
    )?;
    let (acl, messages) = (state.acl_version.cast_signed(), state.messages.cast_signed());
    statement.execute(params![Sql(room), Sql(state.head), Sql(state.last_time), acl, state.members, messages])?;
    Ok(())
}

fn create_room(connection: &Connection, room: RoomId, new: &NewRoom) -> Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO rooms (id, kind, name, topic, incarnation, created_ms) VALUES (?, ?, ?, ?, ?, ?)",
    )?;
    let (id, kind, incarnation, created) = (Sql(room), Sql(RoomKind::Channel), Sql(new.incarnation), Sql(new.created));
    statement.execute(params![id, kind, new.name.as_str(), new.topic.as_str(), incarnation, created])?;
    Ok(())
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
