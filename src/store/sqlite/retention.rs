//! What a room's retention has run out for goes, from the oldest on, with everything that stands beside it.

use confab_protocol::model::{Millis, RoomId, Seq};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::rooms::bound;
use super::rows::{Sql, get};
use crate::core::store::{Before, Result};

pub(super) fn retire(connection: &Connection, now: Millis, limit: usize) -> Result<usize> {
    // The oldest entry of a room is the first to go: rooms where it may stay are passed over.
    let mut statement = connection.prepare_cached(
        "SELECT r.id, r.first_seq, ?1 - r.retention_ms FROM rooms r
         WHERE r.retention_ms > 0 AND EXISTS (
             SELECT 1 FROM entries e WHERE e.room = r.id AND e.seq = r.first_seq AND e.time_ms < ?1 - r.retention_ms)
         LIMIT 1",
    )?;
    let due = |row: &Row<'_>| Ok((get(row, 0)?, get(row, 1)?, row.get(2)?));
    let due: Option<(RoomId, Seq, i64)> = statement.query_row([Sql(now)], due).optional()?;
    let Some((room, first, before)) = due else { return Ok(0) };
    // Times never go back within a room: what is too old stands at the front.
    let mut statement = connection.prepare_cached(
        "SELECT max(seq) FROM (SELECT seq FROM entries WHERE room = ? AND seq >= ? AND time_ms < ? ORDER BY seq LIMIT ?)",
    )?;
    let last: Seq = statement.query_row(params![Sql(room), Sql(first), before, bound(limit)], |row| get(row, 0))?;
    for sql in [
        "DELETE FROM entry_revisions WHERE room = ? AND seq <= ?",
        "DELETE FROM reactions WHERE room = ? AND seq <= ?",
        "DELETE FROM mentions WHERE room = ? AND seq <= ?",
        "DELETE FROM entries WHERE room = ? AND seq <= ?",
    ] {
        connection.prepare_cached(sql)?.execute(params![Sql(room), Sql(last)])?;
    }
    connection
        .prepare_cached("DELETE FROM unappended WHERE room = ? AND time_ms < ?")?
        .execute(params![Sql(room), before])?;
    connection
        .prepare_cached("UPDATE rooms SET first_seq = ?2 WHERE id = ?1")?
        .execute(params![Sql(room), Sql(last.next())])?;
    Ok(usize::try_from(last.next().0 - first.0).unwrap_or(limit))
}

pub(super) fn forget(connection: &Connection, before: Before, limit: usize) -> Result<usize> {
    let mut count = 0;
    for (sql, before) in [
        (
            "DELETE FROM entry_revisions WHERE (room, seq, rev) IN
                 (SELECT room, seq, rev FROM entry_revisions WHERE replaced_ms < ? ORDER BY replaced_ms LIMIT ?)",
            before.replaced,
        ),
        (
            "DELETE FROM unappended WHERE (room, author, client_id) IN
                 (SELECT room, author, client_id FROM unappended WHERE time_ms < ? ORDER BY time_ms LIMIT ?)",
            before.unappended,
        ),
        (
            "DELETE FROM evidence WHERE (case_id, seq, rev) IN
                 (SELECT case_id, seq, rev FROM evidence WHERE kept_ms < ? ORDER BY kept_ms LIMIT ?)",
            before.evidence,
        ),
        (
            "DELETE FROM finding_notes WHERE audit_id IN
                 (SELECT audit_id FROM finding_notes WHERE kept_ms < ? ORDER BY kept_ms LIMIT ?)",
            before.evidence,
        ),
        (
            "UPDATE case_events SET text = '' WHERE (case_id, n) IN
                 (SELECT case_id, n FROM case_events WHERE text <> '' AND time_ms < ? ORDER BY time_ms LIMIT ?)",
            before.evidence,
        ),
    ] {
        count += connection.prepare_cached(sql)?.execute(params![Sql(before), bound(limit)])?;
    }
    Ok(count)
}
