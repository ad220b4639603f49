//! How far plugins were shown the logs. A row of the room that is none says that a plugin began: what was there then is none
//! of its, and rooms without a row are newer than that.

use confab_protocol::model::{RoomId, RoomKind, Seq};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::rows::{Sql, get};
use crate::core::store::Result;

pub(super) fn begin(connection: &Connection, plugin: String) -> Result<()> {
    const MARK: &str = "INSERT OR IGNORE INTO observed (plugin, room, seq) VALUES (?, ?, 0)";
    const HEADS: &str =
        "INSERT OR IGNORE INTO observed (plugin, room, seq) SELECT ?, id, head FROM rooms WHERE kind <> ?";
    let is_new = connection.prepare_cached(MARK)?.execute(params![plugin, Sql(RoomId::NONE)])? > 0;
    if is_new {
        connection.prepare_cached(HEADS)?.execute(params![plugin, Sql(RoomKind::SelfLog)])?;
    }
    Ok(())
}

pub(super) fn unobserved(
    connection: &Connection,
    plugin: String,
    rooms: Option<Vec<RoomId>>,
) -> Result<Vec<(RoomId, Seq)>> {
    const ALL: &str =
        "SELECT r.id, coalesce(o.seq, 0) FROM rooms r LEFT JOIN observed o ON o.plugin = ?1 AND o.room = r.id
         WHERE r.head > coalesce(o.seq, 0) AND r.kind <> ?2";
    const ONE: &str =
        "SELECT r.id, coalesce(o.seq, 0) FROM rooms r LEFT JOIN observed o ON o.plugin = ?1 AND o.room = r.id
         WHERE r.head > coalesce(o.seq, 0) AND r.kind <> ?2 AND r.id = ?3";
    let cursor = |row: &Row<'_>| Ok((get(row, 0)?, get(row, 1)?));
    let own = Sql(RoomKind::SelfLog);
    let Some(rooms) = rooms else {
        let mut statement = connection.prepare_cached(ALL)?;
        return Ok(statement.query_map(params![plugin, own], cursor)?.collect::<rusqlite::Result<_>>()?);
    };
    let mut statement = connection.prepare_cached(ONE)?;
    let mut behind = Vec::new();
    for room in rooms {
        behind.extend(statement.query_row(params![plugin, own, Sql(room)], cursor).optional()?);
    }
    Ok(behind)
}

pub(super) fn observed(connection: &Connection, plugin: String, cursors: Vec<(RoomId, Seq)>) -> Result<()> {
    const MOVE_ON: &str = "INSERT INTO observed (plugin, room, seq) VALUES (?, ?, ?)
         ON CONFLICT (plugin, room) DO UPDATE SET seq = max(seq, excluded.seq)";
    let mut statement = connection.prepare_cached(MOVE_ON)?;
    for (room, seq) in cursors {
        statement.execute(params![plugin, Sql(room), Sql(seq)])?;
    }
    Ok(())
}
