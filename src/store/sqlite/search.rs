//! Searches: an index of words in a file of its own, which follows the logs and can be made anew from them.

use std::collections::HashMap;
use std::path::Path;

use confab_protocol::command::FoundAt;
use confab_protocol::model::{Envelope, Incarnation, RoomId, Seq, UserId};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};

use super::logs;
use super::rooms::bound;
use super::rows::{Sql, get};
use crate::core::seal::{Opener, Vault};
use crate::core::search::words::to_text;
use crate::core::search::{Indexed, Matches, Progress, Step, Wanted, place, time_of};
use crate::core::store::{Error, Result};

/// Written into the file; one of another version is made anew.
const VERSION: i64 = 2;
/// Matches that one search looks at: many may be stale.
const LOOKS_MAX: usize = 2_000;
/// What one step forgets of what is not kept any more.
const FORGET_MAX: usize = 1_000;

/// The words are cut and folded by the core: a word is what stands between two spaces. The room is a word as well, so that
/// only rooms that the reader is in are looked at: what stands elsewhere must not show in how long it takes or where
/// it ends.
const SCHEMA: &str = "
    BEGIN IMMEDIATE;
    CREATE TABLE progress (
        room        BLOB PRIMARY KEY,
        incarnation INTEGER NOT NULL,
        seq         INTEGER NOT NULL,            -- of the log, up to which it follows
        first_seq   INTEGER NOT NULL             -- of the log, as of then
    ) WITHOUT ROWID, STRICT;
    CREATE TABLE places (
        id   INTEGER PRIMARY KEY,                -- by time; see core::search
        room BLOB NOT NULL,
        seq  INTEGER NOT NULL,
        UNIQUE (room, seq)
    ) STRICT;
    CREATE VIRTUAL TABLE texts USING fts5(room, words, tokenize='ascii');
    INSERT INTO texts (texts, rank) VALUES ('secure-delete', 1);
    PRAGMA user_version = 2;
    COMMIT;";

/// Opens the index for writing, or begins a new one where there is none that can be read, or one of other words.
pub(super) fn open(path: &Path, vault: &Vault) -> Result<Connection> {
    let mode = vault.index_mode();
    let connection = connect(path)?;
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let found = number("user_version").and_then(|version| Ok((version, number("application_id")?)));
    match found.map_err(Error::from) {
        Ok((VERSION, was)) if was == i64::from(mode) => return Ok(connection),
        Ok((0, _)) if connection.execute_batch(SCHEMA).is_ok() => return mark(connection, mode),
        Ok((VERSION, _)) if vault.opener() == Opener::Tool => {
            return Err(Error::Unavailable(super::super::OTHER_INDEX.to_owned()));
        }
        // Within the file, because somebody may have it open.
        Ok((VERSION, _)) => {
            tracing::warn!("the index of words is of other settings: it is made anew");
            connection
                .execute_batch("BEGIN IMMEDIATE; DROP TABLE texts; DROP TABLE places; DROP TABLE progress; COMMIT;")?;
            connection.execute_batch(SCHEMA)?;
            let connection = mark(connection, mode)?;
            // What was dropped is overwritten (`secure_delete`), and goes from the WAL too if nobody reads.
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
            return Ok(connection);
        }
        // Somebody else is at work, or the disk is full.
        Err(error @ (Error::Unavailable(_) | Error::Busy(_))) => return Err(error),
        Ok(_) | Err(Error::Corrupt(_)) if vault.opener() == Opener::Tool => {
            let what = "the index of words is of another version or damaged: start the server first";
            return Err(Error::Unavailable(what.to_owned()));
        }
        Ok(_) | Err(Error::Corrupt(_)) => {}
    }
    tracing::warn!("the index of words is of another version or damaged: it is made anew");
    drop(connection);
    begin_anew(path, mode)
}

/// Writes into it what its words are, which is a number of 32 bits that nobody else uses in a file of our own.
fn mark(connection: Connection, mode: i32) -> Result<Connection> {
    connection.pragma_update(None, "application_id", mode)?;
    Ok(connection)
}

fn begin_anew(path: &Path, mode: i32) -> Result<Connection> {
    let failed = |error: std::io::Error| Error::Unavailable(format!("the index of words cannot be made anew: {error}"));
    for ending in ["-wal", "-shm"] {
        let mut file = path.as_os_str().to_owned();
        file.push(ending);
        match std::fs::remove_file(file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
    }
    // Emptied and not removed: it stays for this user alone.
    std::fs::File::create(path).map_err(failed)?;
    let connection = connect(path)?;
    connection.execute_batch(SCHEMA)?;
    mark(connection, mode)
}

fn connect(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    // What is lost with the power is made again from the log; nothing else may be.
    let configured = connection
        .pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))
        .and_then(|()| connection.pragma_update(None, "synchronous", "NORMAL"))
        .and_then(|()| connection.pragma_update(None, "secure_delete", true));
    match configured {
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::NotADatabase) => {}
        other => other?,
    }
    Ok(connection)
}

/// Drops all of it: the logs are others now.
pub(super) fn clear(connection: &Connection) -> Result<()> {
    Ok(connection.execute_batch("DELETE FROM texts; DELETE FROM places; DELETE FROM progress")?)
}

/// Lets a reader of the store see the index beside it.
pub(super) fn attach(connection: &Connection, path: &Path) -> Result<()> {
    let path = path.to_str().ok_or_else(|| Error::Unavailable("the data directory's path is not UTF-8".to_owned()))?;
    connection.execute("ATTACH DATABASE ? AS words", [path])?;
    Ok(())
}

pub(super) fn behind(connection: &Connection, rooms: Option<Vec<RoomId>>) -> Result<Vec<Progress>> {
    const ALL: &str = "SELECT r.id, r.incarnation, r.first_seq, coalesce(p.seq, 0)
         FROM rooms r LEFT JOIN words.progress p ON p.room = r.id AND p.incarnation = r.incarnation
         WHERE r.head > coalesce(p.seq, 0) OR r.first_seq > p.first_seq";
    const ONE: &str = "SELECT r.id, r.incarnation, r.first_seq, coalesce(p.seq, 0)
         FROM rooms r LEFT JOIN words.progress p ON p.room = r.id AND p.incarnation = r.incarnation
         WHERE r.id = ? AND (r.head > coalesce(p.seq, 0) OR r.first_seq > p.first_seq)";
    let progress = |row: &Row<'_>| {
        let (room, incarnation) = (get(row, 0)?, get(row, 1)?);
        Ok(Progress { room, incarnation, first_seq: get(row, 2)?, indexed: get(row, 3)? })
    };
    let Some(rooms) = rooms else {
        let mut statement = connection.prepare_cached(ALL)?;
        return Ok(statement.query_map([], progress)?.collect::<rusqlite::Result<_>>()?);
    };
    let mut statement = connection.prepare_cached(ONE)?;
    let mut behind = Vec::new();
    for room in rooms {
        behind.extend(statement.query_row([Sql(room)], progress).optional()?);
    }
    Ok(behind)
}

/// `mode`: see [`Vault::index_mode`]. An index that holds other words by now is left alone.
pub(super) fn index(connection: &Connection, mode: i32, step: Step) -> Result<bool> {
    if connection.pragma_query_value(None, "application_id", |row| row.get::<_, i32>(0))? != mode {
        return Err(Error::Unavailable(super::super::OTHER_INDEX.to_owned()));
    }
    let Step { from: Progress { room, incarnation, first_seq, indexed }, to, changes } = step;
    let at = |row: &Row<'_>| Ok((get(row, 0)?, get(row, 1)?));
    let at: Option<(Incarnation, Seq)> = connection
        .prepare_cached("SELECT incarnation, seq FROM progress WHERE room = ?")?
        .query_row([Sql(room)], at)
        .optional()?;
    let at = at.filter(|(other, _)| *other == incarnation).map_or(Seq(0), |(_, seq)| seq);
    if at != indexed {
        return Ok(false);
    }
    let until = if indexed == Seq(0) { Seq(u64::MAX >> 1) } else { first_seq };
    let old: Vec<Seq> = connection
        .prepare_cached("SELECT seq FROM places WHERE room = ? AND seq < ? LIMIT ?")?
        .query_map(params![Sql(room), Sql(until), bound(FORGET_MAX)], |row| get(row, 0))?
        .collect::<rusqlite::Result<_>>()?;
    for seq in &old {
        say(connection, room, &Indexed { seq: *seq, place: 0, words: Vec::new() })?;
    }
    if old.len() == FORGET_MAX {
        // The rest goes with the next one: a step is short.
        return Ok(false);
    }
    for change in &changes {
        say(connection, room, change)?;
    }
    connection
        .prepare_cached("INSERT OR REPLACE INTO progress (room, incarnation, seq, first_seq) VALUES (?, ?, ?, ?)")?
        .execute(params![Sql(room), Sql(incarnation), Sql(to), Sql(first_seq)])?;
    Ok(true)
}

fn say(connection: &Connection, room: RoomId, change: &Indexed) -> Result<()> {
    let id: Option<i64> = connection
        .prepare_cached("SELECT id FROM places WHERE room = ? AND seq = ?")?
        .query_row(params![Sql(room), Sql(change.seq)], |row| row.get(0))
        .optional()?;
    let text = to_text(&change.words);
    match (id, change.words.is_empty()) {
        (None, true) => {}
        (Some(id), true) => {
            connection.prepare_cached("DELETE FROM texts WHERE rowid = ?")?.execute([id])?;
            connection.prepare_cached("DELETE FROM places WHERE id = ?")?.execute([id])?;
        }
        (Some(id), false) => {
            connection.prepare_cached("UPDATE texts SET words = ? WHERE rowid = ?")?.execute(params![text, id])?;
        }
        (None, false) => {
            let mut id = change.place;
            let mut taken = connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM places WHERE id = ?)")?;
            while taken.query_row([id], |row| row.get(0))? {
                id += 1;
            }
            connection.prepare_cached("INSERT INTO places (id, room, seq) VALUES (?, ?, ?)")?.execute(params![
                id,
                Sql(room),
                Sql(change.seq)
            ])?;
            connection.prepare_cached("INSERT INTO texts (rowid, room, words) VALUES (?, ?, ?)")?.execute(params![
                id,
                token(room),
                text
            ])?;
        }
    }
    Ok(())
}

/// A room as one word.
fn token(room: RoomId) -> String {
    format!("{:032x}", room.as_u128())
}

pub(super) fn search(connection: &Connection, vault: &Vault, reader: UserId, wanted: Wanted) -> Result<Matches> {
    let rooms: HashMap<RoomId, Seq> = connection
        .prepare_cached(
            "SELECT m.room, max(r.first_seq, iif(r.since_join, m.join_seq, 0)) FROM members m JOIN rooms r ON r.id = m.room
             WHERE m.user = ?1 AND m.leave_seq IS NULL AND (?2 IS NULL OR m.room = ?2)",
        )?
        .query_map(params![Sql(reader), wanted.room.map(Sql)], |row| Ok((get(row, 0)?, get(row, 1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut matches = Matches { messages: Vec::new(), stopped: None };
    if rooms.is_empty() {
        return Ok(matches);
    }
    let tokens: Vec<String> = rooms.keys().map(|room| format!("\"{}\"", token(*room))).collect();
    let query = format!("room : ({}) AND words : ({})", tokens.join(" OR "), wanted.query.to_fts5());
    // Where a message stands is told to those alone who may see it.
    let is_theirs = |at: &FoundAt| rooms.get(&at.room).is_some_and(|first| at.seq >= *first);
    let before = match wanted.before {
        None => i64::MAX,
        Some(at) if is_theirs(&at) => id_of(connection, at)?,
        Some(at) => place(at),
    };
    let mut statement = connection.prepare_cached(
        "SELECT t.rowid, p.room, p.seq FROM words.texts t JOIN words.places p ON p.id = t.rowid
         WHERE t.texts MATCH ? AND t.rowid < ? ORDER BY t.rowid DESC",
    )?;
    let mut rows = statement.query(params![query, before])?;
    let mut looks = 0;
    while let Some(row) = rows.next()? {
        let (id, room, seq): (i64, RoomId, Seq) = (row.get(0)?, get(row, 1)?, get(row, 2)?);
        // What is hidden from them shows neither in what is found nor in where the look ends.
        if rooms.get(&room).is_none_or(|first| seq < *first) {
            continue;
        }
        matches.messages.extend(message(connection, vault, room, seq)?.map(|message| (room, message)));
        looks += 1;
        if looks == LOOKS_MAX || matches.messages.len() == wanted.limit {
            matches.stopped = Some(FoundAt { time: time_of(id), room, seq });
            break;
        }
    }
    Ok(matches)
}

/// Where a message stands; of one that is gone, where it stood.
fn id_of(connection: &Connection, at: FoundAt) -> Result<i64> {
    let mut statement = connection.prepare_cached("SELECT id FROM words.places WHERE room = ? AND seq = ?")?;
    let id = statement.query_row(params![Sql(at.room), Sql(at.seq)], |row| row.get(0)).optional()?;
    Ok(id.unwrap_or_else(|| place(at)))
}

fn message(connection: &Connection, vault: &Vault, room: RoomId, seq: Seq) -> Result<Option<Envelope>> {
    let mut statement = connection.prepare_cached(
        "SELECT seq, time_ms, rev, payload, checksum, kind FROM entries WHERE room = ? AND seq = ? AND kind = 1",
    )?;
    let found = statement.query_row(params![Sql(room), Sql(seq)], |row| logs::envelope(vault, row, room, 0)).optional();
    match found.map_err(Error::from) {
        // One that is damaged does not hide the others.
        Err(Error::Corrupt(what)) => {
            tracing::error!(what, "a message that was searched for is damaged");
            Ok(None)
        }
        other => other,
    }
}
