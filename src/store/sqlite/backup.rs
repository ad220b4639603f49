//! All rows of a store out of it, and into it.

use std::path::Path;

use confab_protocol::model::{Millis, RoomId, Seq};
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, OpenFlags, params_from_iter};

use super::logs::checksum;
use crate::core::backup::rows::{HEADER, Row, TRAILER};
use crate::core::backup::{Column, Kind, Sink, Source, TABLES, Table, level_of};
use crate::core::store::{Error, Result};

/// Rows are handed on in pieces of about so many bytes.
const PIECE_BYTES: usize = 64 * 1024;

/// As this store calls a column.
fn local(column: &Column) -> &'static str {
    if column.name == "user_id" { "user" } else { column.name }
}

/// Tables whose rows this store keeps a checksum of, behind the columns that both stores have.
fn has_checksum(table: &Table) -> bool {
    matches!(table.name, "entries" | "entry_revisions")
}

fn names(table: &Table) -> Vec<&'static str> {
    table.columns.iter().map(local).chain(has_checksum(table).then_some("checksum")).collect()
}

/// Made of names in this program alone.
fn select(table: &Table) -> String {
    let names = names(table);
    let key = names.iter().take(table.key).copied().collect::<Vec<_>>().join(", ");
    ["SELECT ", &names.join(", "), " FROM ", table.name, " ORDER BY ", &key].concat()
}

/// As [`select`].
fn insert(table: &Table) -> String {
    let names = names(table);
    let values = vec!["?"; names.len()].join(", ");
    ["INSERT INTO ", table.name, " (", &names.join(", "), ") VALUES (", &values, ")"].concat()
}

/// The checksum that belongs to a row, where there is one.
fn sum(table: &Table, row: &Row) -> Option<u32> {
    // Earlier texts are of messages.
    const MESSAGE: i64 = 1;
    let number = |name| row.number(table.position(name)).unwrap_or_default();
    let kind = row.number(table.position("kind")).unwrap_or(MESSAGE);
    let (room, seq, time) = (row.id(table.position("room"))?, number("seq"), number("time_ms"));
    let payload = row.field(table.position("payload"))?;
    has_checksum(table).then(|| {
        let (seq, time) = (Seq(seq.cast_unsigned()), Millis(time.cast_unsigned()));
        checksum(RoomId::from_u128(room), seq, time, number("rev") as u32, kind as u8, payload)
    })
}

/// By a connection of its own, which sees one moment however long it takes.
pub(super) fn dump(path: &Path, mut sink: Box<dyn Sink>) -> Result<()> {
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    let moment = connection.unchecked_transaction()?;
    let entries: i64 =
        moment.query_row("SELECT coalesce(sum(head - first_seq + 1), 0) FROM rooms", [], |row| row.get(0))?;
    sink.expect_entries(entries.cast_unsigned());
    TABLES.iter().try_for_each(|table| dump_table(&moment, table, &mut *sink))?;
    sink.finish()
}

fn dump_table(connection: &Connection, table: &'static Table, sink: &mut dyn Sink) -> Result<()> {
    let mut statement = connection.prepare(&select(table))?;
    let mut rows = statement.query([])?;
    let (mut piece, mut count) = (HEADER.to_vec(), 0);
    while let Some(row) = rows.next()? {
        let mut encoded = Row::begin(table);
        for (index, column) in table.columns.iter().enumerate() {
            push(&mut encoded, column, row.get_ref(index)?).map_err(|what| corrupt(table, column, what))?;
        }
        if let Some(sum) = sum(table, &encoded)
            && row.get::<_, u32>(table.columns.len())? != sum
        {
            let (room, seq) = (encoded.id(0).unwrap_or_default(), encoded.number(1).unwrap_or_default());
            let what = format!("entry {seq} of room {} is damaged: its checksum differs", RoomId::from_u128(room));
            return Err(Error::Corrupt(what));
        }
        piece.extend(encoded.bytes());
        count += 1;
        if piece.len() >= PIECE_BYTES {
            sink.write(table, &piece, count)?;
            piece.clear();
            count = 0;
        }
    }
    piece.extend(TRAILER);
    sink.write(table, &piece, count)
}

fn corrupt(table: &Table, column: &Column, what: &str) -> Error {
    Error::Corrupt(format!("table {}, column {}: {what}", table.name, column.name))
}

fn push(row: &mut Row, column: &Column, value: ValueRef<'_>) -> std::result::Result<(), &'static str> {
    match (column.kind, value) {
        (_, ValueRef::Null) => row.push(None),
        (Kind::Id | Kind::Bytes, ValueRef::Blob(bytes)) | (Kind::Text, ValueRef::Text(bytes)) => row.push(Some(bytes)),
        (Kind::Flag, ValueRef::Integer(number)) => row.push(Some(&[u8::from(number != 0)])),
        (Kind::Small, ValueRef::Integer(number)) => {
            row.push(Some(&i16::try_from(number).map_err(|_| "out of range")?.to_be_bytes()));
        }
        (Kind::Int, ValueRef::Integer(number)) => {
            row.push(Some(&i32::try_from(number).map_err(|_| "out of range")?.to_be_bytes()));
        }
        (Kind::Long, ValueRef::Integer(number)) => row.push(Some(&number.to_be_bytes())),
        _ => return Err("is of another kind"),
    }
    Ok(())
}

/// Fills a store that has no account; `false`: it has. All of it is one transaction.
pub(super) fn load(connection: &Connection, mut source: Box<dyn Source>) -> Result<bool> {
    let is_used: bool =
        connection
            .query_row("SELECT EXISTS (SELECT 1 FROM users) OR EXISTS (SELECT 1 FROM rooms)", [], |row| row.get(0))?;
    if is_used {
        return Ok(false);
    }
    // Of a server that was started and not used.
    connection.execute("DELETE FROM seal_keys", [])?;
    while let Some((table, row)) = source.next_row()? {
        if let Some(level) = level_of(table, row) {
            connection.execute("UPDATE controls SET level = max(level, ?), epoch = epoch + 1", [level as u8])?;
            continue;
        }
        let sum = sum(table, row);
        let fields = table.columns.iter().enumerate().map(|(index, column)| value(column, row, index));
        let values = fields.chain(sum.map(|sum| ToSqlOutput::from(i64::from(sum))));
        connection.prepare_cached(&insert(table))?.execute(params_from_iter(values))?;
    }
    Ok(true)
}

fn value<'a>(column: &Column, row: &'a Row, index: usize) -> ToSqlOutput<'a> {
    let Some(field) = row.field(index) else { return ToSqlOutput::Owned(Value::Null) };
    match column.kind {
        Kind::Id | Kind::Bytes => ToSqlOutput::Borrowed(ValueRef::Blob(field)),
        Kind::Text => ToSqlOutput::Borrowed(ValueRef::Text(field)),
        Kind::Flag | Kind::Small | Kind::Int | Kind::Long => {
            ToSqlOutput::Owned(row.number(index).map_or(Value::Null, Value::Integer))
        }
    }
}
