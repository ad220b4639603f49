//! Reading logs, and what was decided without appending.

use bytes::Bytes;
use confab_protocol::command::Appended;
use confab_protocol::limits::{PAGE_BYTES_MAX, PAGE_ITEMS_MAX};
use confab_protocol::model::{CaseId, ClientId, Envelope, RoomId, Seq, UserId};
use deadpool_postgres::{Client, GenericClient};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::rooms::bound;
use super::rows::{Stored, get, get_optional, plain};
use crate::core::store::{Error, LogPage, LogState, Outcome, Place, Recorded, Result, Unappended};

/// `digest, seq, time_ms, altered` from a column on.
pub(super) fn appended(row: &Row, from: usize) -> Result<Recorded> {
    let (seq, time) = (get(row, from + 1)?, get(row, from + 2)?);
    let appended = Appended { seq, time, altered: plain(row, from + 3)?, duplicate: false };
    Ok(Recorded { digest: digest(row, from)?, outcome: Outcome::Appended(appended) })
}

/// `digest, case_id, code, detail` from a column on.
pub(super) fn unappended(row: &Row, from: usize) -> Result<Recorded> {
    let case: Option<uuid::Uuid> = plain(row, from + 1)?;
    let outcome = match case {
        Some(case) => Outcome::Held(CaseId::from_u128(case.as_u128())),
        None => {
            let code: i32 = plain(row, from + 2)?;
            let code = u16::try_from(code).map_err(|_| Error::Corrupt(format!("reject code {code}")))?;
            Outcome::Refused { code, detail: plain(row, from + 3)? }
        }
    };
    Ok(Recorded { digest: digest(row, from)?, outcome })
}

fn digest(row: &Row, index: usize) -> Result<[u8; 16]> {
    let bytes: &[u8] = plain(row, index)?;
    bytes.try_into().map_err(|_| Error::Corrupt(format!("a digest of {} bytes", bytes.len())))
}

pub(super) async fn find_recorded(
    client: &impl GenericClient,
    room: RoomId,
    author: UserId,
    client_id: ClientId,
) -> Result<Option<Recorded>> {
    let (room, author, client_id) = (room.sql(), author.sql(), client_id.sql());
    let key: [&(dyn ToSql + Sync); 3] = [&client_id, &author, &room];
    let statement = client
        .prepare_cached(
            "SELECT digest, seq, time_ms, altered FROM entries WHERE client_id = $1 AND author = $2 AND room = $3",
        )
        .await?;
    if let Some(row) = client.query_opt(&statement, &key).await? {
        return appended(&row, 0).map(Some);
    }
    let statement = client
        .prepare_cached(
            "SELECT digest, case_id, code, detail FROM unappended WHERE client_id = $1 AND author = $2 AND room = $3",
        )
        .await?;
    client.query_opt(&statement, &key).await?.map(|row| unappended(&row, 0)).transpose()
}

pub(super) async fn record(client: &mut Client, new: Unappended) -> Result<Option<Recorded>> {
    let (case, code, detail) = match &new.outcome {
        Outcome::Held(case) => (Some(case.sql()), 0, ""),
        Outcome::Refused { code, detail } => (None, i32::from(*code), detail.as_str()),
        // An appended entry is recorded by being there.
        Outcome::Appended(_) => return Ok(None),
    };
    let transaction = client.transaction().await?;
    // As an append does: no other outcome of the same client id comes in between.
    let lock = transaction.prepare_cached("SELECT 1 FROM rooms WHERE id = $1 FOR NO KEY UPDATE").await?;
    transaction.query_opt(&lock, &[&new.room.sql()]).await?;
    let known = find_recorded(&transaction, new.room, new.author, new.client_id).await?;
    if known.is_none() {
        let insert = transaction
            .prepare_cached(
                "INSERT INTO unappended (room, author, client_id, digest, case_id, code, detail, note, payload, time_ms)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            )
            .await?;
        let (room, author, client_id) = (new.room.sql(), new.author.sql(), new.client_id.sql());
        let (digest, payload): (&[u8], &[u8]) = (&new.digest, &new.payload);
        let values: [&(dyn ToSql + Sync); 10] =
            [&room, &author, &client_id, &digest, &case, &code, &detail, &new.note, &payload, &new.time.sql()];
        transaction.execute(&insert, &values).await?;
    }
    transaction.commit().await?;
    Ok(known)
}

/// Columns that each row of a page begins with: the log, the reader's place in it, and whether there is an entry.
fn page_head(row: &Row) -> Result<(LogState, Option<Place>)> {
    let state = LogState { incarnation: get(row, 0)?, first_seq: get(row, 1)?, head: get(row, 2)? };
    let left = get_optional(row, 4)?;
    Ok((state, get_optional(row, 3)?.map(|role| Place { role, left })))
}

fn envelope(row: &Row) -> Result<Option<Envelope>> {
    let Some(seq) = get_optional(row, 5)? else { return Ok(None) };
    let (rev, payload): (i32, &[u8]) = (plain(row, 7)?, plain(row, 8)?);
    let (time, rev) = (get(row, 6)?, rev.cast_unsigned());
    Ok(Some(Envelope { seq, time, rev, payload: Bytes::copy_from_slice(payload) }))
}

/// One statement and so one snapshot: head, rights and entries agree. Rows past the bytes of a page stay where they
/// are.
const AFTER: &str = "SELECT r.incarnation, r.first_seq, r.head, m.role, m.leave_seq, e.seq, e.time_ms, e.rev, e.payload
     FROM rooms r LEFT JOIN members m ON m.room = r.id AND m.user_id = $2
     LEFT JOIN LATERAL (
         SELECT seq, time_ms, rev, payload, sum(octet_length(payload)) OVER (ORDER BY seq) AS bytes
         FROM entries WHERE room = r.id AND seq > $3 ORDER BY seq LIMIT $4
     ) e ON e.bytes <= $5 OR e.bytes = octet_length(e.payload)
     WHERE r.id = $1 ORDER BY e.seq";
const MESSAGES_BEFORE: &str =
    "SELECT r.incarnation, r.first_seq, r.head, m.role, m.leave_seq, e.seq, e.time_ms, e.rev, e.payload
     FROM rooms r LEFT JOIN members m ON m.room = r.id AND m.user_id = $2
     LEFT JOIN LATERAL (
         SELECT seq, time_ms, rev, payload, sum(octet_length(payload)) OVER (ORDER BY seq DESC) AS bytes
         FROM entries WHERE room = r.id AND seq < $3 AND kind = 1 ORDER BY seq DESC LIMIT $4
     ) e ON e.bytes <= $5 OR e.bytes = octet_length(e.payload)
     WHERE r.id = $1 ORDER BY e.seq";

pub(super) async fn read(
    client: &mut Client,
    room: RoomId,
    reader: UserId,
    after: Seq,
    limit: usize,
) -> Result<Option<LogPage>> {
    page(client, AFTER, room, reader, after, limit).await
}

pub(super) async fn history(
    client: &mut Client,
    room: RoomId,
    reader: UserId,
    before: Seq,
    limit: usize,
) -> Result<Option<LogPage>> {
    let before = if before == Seq(0) { Seq(u64::MAX) } else { before };
    page(client, MESSAGES_BEFORE, room, reader, before, limit).await
}

async fn page(
    client: &Client,
    sql: &str,
    room: RoomId,
    reader: UserId,
    from: Seq,
    limit: usize,
) -> Result<Option<LogPage>> {
    let statement = client.prepare_cached(sql).await?;
    let (limit, bytes) = (bound(limit.min(PAGE_ITEMS_MAX)), bound(PAGE_BYTES_MAX));
    let rows = client.query(&statement, &[&room.sql(), &reader.sql(), &from.sql(), &limit, &bytes]).await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let (state, reader) = page_head(first)?;
    let entries = rows.iter().filter_map(|row| envelope(row).transpose()).collect::<Result<_>>()?;
    Ok(Some(LogPage { state, reader, entries }))
}
