//! All rows of a store out of it, and into it, as the database itself writes and reads them.

use std::pin::{Pin, pin};

use bytes::{Bytes, BytesMut};
use deadpool_postgres::{ClientWrapper, Transaction};
use futures_util::{SinkExt, StreamExt};
use tokio_postgres::{CopyInSink, IsolationLevel};

use super::rows::plain;
use crate::core::backup::rows::{HEADER, TRAILER};
use crate::core::backup::{Column, Kind, Sink, Source, TABLES, Table, level_of};
use crate::core::store::Result;

/// Rows are sent in pieces of about so many bytes.
const PIECE_BYTES: usize = 64 * 1024;
/// On a connection of its own: it takes as long as it takes.
const UNBOUND: &str = "SET lock_timeout = 0; SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0";

fn names(table: &Table) -> String {
    table.columns.iter().map(|column| column.name).collect::<Vec<_>>().join(", ")
}

/// In the order that bytes have, whatever the database's language. Made of names in this program alone.
fn copy_out(table: &Table) -> String {
    let key = |column: &Column| match column.kind {
        Kind::Text => [column.name, " COLLATE \"C\""].concat(),
        _ => column.name.to_owned(),
    };
    let key = table.columns.iter().take(table.key).map(key).collect::<Vec<_>>().join(", ");
    let columns = names(table);
    ["COPY (SELECT ", &columns, " FROM ", table.name, " ORDER BY ", &key, ") TO STDOUT (FORMAT binary)"].concat()
}

/// As [`copy_out`].
fn copy_in(table: &Table) -> String {
    ["COPY ", table.name, " (", &names(table), ") FROM STDIN (FORMAT binary)"].concat()
}

pub(super) async fn dump(mut client: ClientWrapper, mut sink: Box<dyn Sink>) -> Result<()> {
    client.batch_execute(UNBOUND).await?;
    let moment =
        client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true).start().await?;
    const COUNT: &str = "SELECT coalesce(sum(head - first_seq + 1), 0)::bigint FROM rooms";
    let entries: i64 = plain(&moment.query_one(COUNT, &[]).await?, 0)?;
    sink.expect_entries(entries.cast_unsigned());
    for table in TABLES {
        let mut pieces = pin!(moment.copy_out(&copy_out(table)).await?);
        while let Some(piece) = pieces.next().await {
            // The database sends a row at a time.
            sink.write(table, &piece?, 1)?;
        }
    }
    moment.commit().await?;
    sink.finish()
}

pub(super) async fn load(mut client: ClientWrapper, mut source: Box<dyn Source>) -> Result<bool> {
    // Whoever wants to write waits, and finds it filled.
    const LOCK: &str = "LOCK TABLE users, rooms IN SHARE ROW EXCLUSIVE MODE";
    const IS_USED: &str = "SELECT EXISTS (SELECT 1 FROM users) OR EXISTS (SELECT 1 FROM rooms)";
    const LEVEL: &str = "UPDATE controls SET level = greatest(level, $1::smallint), epoch = epoch + 1";
    client.batch_execute(UNBOUND).await?;
    let transaction = client.transaction().await?;
    transaction.batch_execute(LOCK).await?;
    if plain(&transaction.query_one(IS_USED, &[]).await?, 0)? {
        return Ok(false);
    }
    // Of a server that was started and not used.
    transaction.batch_execute("DELETE FROM seal_keys").await?;
    let mut filling: Option<Filling> = None;
    while let Some((table, row)) = source.next_row()? {
        if let Some(level) = level_of(table, row) {
            finish(filling.take()).await?;
            transaction.execute(LEVEL, &[&(level as i16)]).await?;
            continue;
        }
        let mut at = match filling.take() {
            Some(at) if at.table == table => at,
            other => {
                finish(other).await?;
                begin(&transaction, table).await?
            }
        };
        at.piece.extend_from_slice(row.bytes());
        if at.piece.len() >= PIECE_BYTES {
            at.rows.send(at.piece.split().freeze()).await?;
        }
        filling = Some(at);
    }
    finish(filling).await?;
    transaction.batch_execute("DELETE FROM search; DELETE FROM search_progress").await?;
    transaction.commit().await?;
    // The planner knows nothing of what it has not counted.
    if let Err(error) = client.batch_execute("ANALYZE").await {
        tracing::warn!(%error, "the tables could not be counted; autovacuum will do it");
    }
    Ok(true)
}

/// A table that is being filled.
struct Filling {
    table: &'static Table,
    rows: Pin<Box<CopyInSink<Bytes>>>,
    piece: BytesMut,
}

async fn begin(transaction: &Transaction<'_>, table: &'static Table) -> Result<Filling> {
    let rows = Box::pin(transaction.copy_in(&copy_in(table)).await?);
    Ok(Filling { table, rows, piece: BytesMut::from(&HEADER[..]) })
}

async fn finish(filling: Option<Filling>) -> Result<()> {
    let Some(Filling { mut rows, mut piece, .. }) = filling else { return Ok(()) };
    piece.extend_from_slice(&TRAILER);
    rows.send(piece.freeze()).await?;
    rows.as_mut().finish().await?;
    Ok(())
}
