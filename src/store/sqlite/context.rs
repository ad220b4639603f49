//! What plugins are told of a room and of who writes there, in bounded time.

use confab_protocol::model::{CaseId, RoomId, RoomKind, UserId};
use rusqlite::{Connection, Row, params};

use super::rooms::bound;
use super::rows::Sql;
use crate::core::context::{CASES_MAX, COUNTED_MAX, Context, ENTRIES_MAX, RoomContext};
use crate::core::store::Result;

/// The plus keeps SQLite from making an index of the entries, to ask it once.
pub(super) fn read(connection: &Connection, room: RoomId, author: UserId, cases_from: CaseId) -> Result<Context> {
    const SQL: &str = "SELECT (SELECT count(*) FROM (SELECT 1 FROM (
                     SELECT kind, decision, appeal_decision FROM cases
                     WHERE subject = ?2 AND id >= ?3 ORDER BY id DESC LIMIT ?4)
                 WHERE kind IN (1, 2, 3) AND decision NOT IN (1, 2) AND appeal_decision <> 7 LIMIT ?6)),
                (SELECT count(*) FROM (SELECT 1 FROM (
                     SELECT author, kind FROM entries WHERE room = ?1 ORDER BY seq DESC LIMIT ?5)
                 WHERE +author = ?2 AND kind IN (1, 65) LIMIT ?6)),
                r.kind, r.slow_mode_ms, r.members, r.messages
         FROM (SELECT 1) LEFT JOIN rooms r ON r.id = ?1";
    let [cases, entries, counted] = [CASES_MAX, ENTRIES_MAX, COUNTED_MAX].map(bound);
    let mut statement = connection.prepare_cached(SQL)?;
    Ok(statement.query_row(params![Sql(room), Sql(author), Sql(cases_from), cases, entries, counted], context)?)
}

fn context(row: &Row<'_>) -> rusqlite::Result<Context> {
    let kind: Option<Sql<RoomKind>> = row.get(2)?;
    let room = match kind {
        Some(Sql(kind)) => {
            let (slow_mode_ms, members, messages): (u32, u32, i64) = (row.get(3)?, row.get(4)?, row.get(5)?);
            let (members, messages) = (members.into(), messages.cast_unsigned());
            Some(RoomContext { kind, slow_mode_ms, members, messages })
        }
        None => None,
    };
    Ok(Context { transport: "", room, prior_flags: row.get(0)?, messages_here: row.get(1)? })
}
