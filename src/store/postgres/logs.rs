//! Reading logs, and what was decided without appending.

use bytes::Bytes;
use confab_protocol::command::{Appended, History, HistoryRange};
use confab_protocol::limits::{PAGE_BYTES_MAX, PAGE_ITEMS_MAX};
use confab_protocol::model::{CaseId, ClientId, Envelope, RoomId, Seq, UserId};
use deadpool_postgres::{Client, GenericClient};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::moderation;
use super::rooms::bound;
use super::rows::{Stored, get, get_optional, plain};
use crate::core::append::{appended_at, edited_id, is_void_for, void};
use crate::core::history::around_page;
use crate::core::seal::{Place as SealedAt, Vault};
use crate::core::store::{Error, LogPage, LogState, Outcome, Place, Recorded, Result, Unappended};

/// What a client id is unique in.
type Key = (RoomId, UserId, ClientId);

/// `digest, seq, time_ms, altered` from a column on.
pub(super) fn appended(vault: &Vault, key: Key, row: &Row, from: usize) -> Result<Recorded> {
    let (seq, time) = (get(row, from + 1)?, get(row, from + 2)?);
    let appended = Appended { seq, time, altered: plain(row, from + 3)?, duplicate: false };
    Ok(Recorded { digest: digest(vault, key, row, from)?, outcome: Outcome::Appended(appended) })
}

/// `digest, case_id, code, detail` from a column on.
pub(super) fn unappended(vault: &Vault, key: Key, row: &Row, from: usize) -> Result<Recorded> {
    let case: Option<uuid::Uuid> = plain(row, from + 1)?;
    let outcome = match case {
        Some(case) => Outcome::Held(CaseId::from_u128(case.as_u128())),
        None => {
            let code: i32 = plain(row, from + 2)?;
            let code = u16::try_from(code).map_err(|_| Error::Corrupt(format!("reject code {code}")))?;
            Outcome::Refused { code, detail: plain(row, from + 3)? }
        }
    };
    Ok(Recorded { digest: digest(vault, key, row, from)?, outcome })
}

fn digest(vault: &Vault, (room, author, client_id): Key, row: &Row, index: usize) -> Result<[u8; 16]> {
    vault.open_digest(SealedAt::Unappended(room, author, client_id), plain(row, index)?)
}

pub(super) async fn find_recorded(
    client: &impl GenericClient,
    vault: &Vault,
    room: RoomId,
    author: UserId,
    client_id: ClientId,
) -> Result<Option<Recorded>> {
    let of = (room, author, client_id);
    let (room, author, client_id) = (room.sql(), author.sql(), client_id.sql());
    let key: [&(dyn ToSql + Sync); 3] = [&client_id, &author, &room];
    let statement = client
        .prepare_cached(
            "SELECT digest, seq, time_ms, altered FROM entries WHERE client_id = $1 AND author = $2 AND room = $3",
        )
        .await?;
    if let Some(row) = client.query_opt(&statement, &key).await? {
        return appended(vault, of, &row, 0).map(Some);
    }
    let statement = client
        .prepare_cached(
            "SELECT digest, case_id, code, detail FROM unappended WHERE client_id = $1 AND author = $2 AND room = $3",
        )
        .await?;
    client.query_opt(&statement, &key).await?.map(|row| unappended(vault, of, &row, 0)).transpose()
}

pub(super) async fn record(client: &mut Client, vault: &Vault, new: Unappended) -> Result<Option<Recorded>> {
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
    super::seal::check(&transaction, vault).await?;
    let known = find_recorded(&transaction, vault, new.room, new.author, new.client_id).await?;
    if known.is_none() {
        let insert = transaction
            .prepare_cached(
                "INSERT INTO unappended (room, author, client_id, digest, case_id, code, detail, payload, time_ms)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            )
            .await?;
        let (room, author, client_id) = (new.room.sql(), new.author.sql(), new.client_id.sql());
        let at = SealedAt::Unappended(new.room, new.author, new.client_id);
        let (digest, payload) = (vault.seal_digest(at, new.digest), vault.seal(at, &new.payload));
        let values: [&(dyn ToSql + Sync); 9] =
            [&room, &author, &client_id, &digest, &case, &code, &detail, &payload, &new.time.sql()];
        transaction.execute(&insert, &values).await?;
        if let Some(case) = new.case() {
            moderation::open_case(&transaction, &case).await?;
            let edited = match edited_id(&new) {
                Some(id) => find_recorded(&transaction, vault, new.room, new.author, id).await?,
                None => None,
            };
            moderation::keep_around_held(&transaction, &case.row, appended_at(edited)).await?;
        }
        moderation::add_records(&transaction, &new.audit).await?;
    }
    transaction.commit().await?;
    Ok(known)
}

/// What each row of a page has: the log, the reader's place in it, and whether there is an entry.
fn page_head(row: &Row) -> Result<(LogState, Option<Place>)> {
    let state = LogState { incarnation: get(row, 0)?, first_seq: get(row, 1)?, head: get(row, 2)? };
    let left = get_optional(row, 4)?;
    let joined: Option<Seq> = get_optional(row, 13)?;
    Ok((state, get_optional(row, 3)?.zip(joined).map(|(role, joined)| Place { role, left, joined })))
}

/// `seq, time_ms, rev, payload` from a column on; nothing where the seq is null.
pub(super) fn envelope(vault: &Vault, row: &Row, room: RoomId, from: usize) -> Result<Option<Envelope>> {
    let Some(seq) = get_optional(row, from)? else { return Ok(None) };
    let (rev, payload): (i32, &[u8]) = (plain(row, from + 2)?, plain(row, from + 3)?);
    let (time, rev) = (get(row, from + 1)?, rev.cast_unsigned());
    let payload = vault.open(SealedAt::Entry(room, seq, rev), Bytes::copy_from_slice(payload))?;
    Ok(Some(Envelope { seq, time, rev, payload, rewritten: None }))
}

/// An entry of a page, and behind it the message that it edits, if it does.
fn page_entry(vault: &Vault, row: &Row, room: RoomId, reader: UserId) -> Result<Option<Envelope>> {
    let Some(entry) = envelope(vault, row, room, 5)? else { return Ok(None) };
    let (kind, author): (i16, UserId) = (plain(row, 14)?, get(row, 15)?);
    if is_void_for(reader, u8::try_from(kind).unwrap_or_default(), author) {
        return Ok(Some(void(&entry)));
    }
    Ok(Some(Envelope { rewritten: envelope(vault, row, room, 9)?.map(Box::new), ..entry }))
}

/// One statement and so one snapshot: head, rights and entries agree. Rows past the bytes of a page stay where they
/// are.
const AFTER: &str =
    "SELECT r.incarnation, greatest(r.first_seq, CASE WHEN r.since_join THEN m.join_seq END), r.head, m.role, m.leave_seq,
         e.seq, e.time_ms, e.rev, e.payload, e.t_seq, e.t_time_ms, e.t_rev, e.t_payload, m.join_seq,
         e.kind, e.author
     FROM rooms r LEFT JOIN members m ON m.room = r.id AND m.user_id = $2
     LEFT JOIN LATERAL (
         SELECT o.seq, o.time_ms, o.rev, o.payload, o.kind, o.author, t.seq AS t_seq, t.time_ms AS t_time_ms, t.rev AS t_rev,
             t.payload AS t_payload, row_number() OVER (ORDER BY o.seq) AS place,
             sum(octet_length(o.payload) + coalesce(octet_length(t.payload) + 64, 0)) OVER (ORDER BY o.seq) AS bytes
         FROM (SELECT * FROM entries WHERE room = r.id
                 AND seq > greatest($3, CASE WHEN r.since_join THEN m.join_seq - 1 END) ORDER BY seq LIMIT $4) o
         LEFT JOIN entries t ON o.kind IN (5, 69) AND t.room = o.room AND t.seq = o.target
     ) e ON e.bytes <= $5 OR e.place = 1
     WHERE r.id = $1 ORDER BY e.seq";
/// Messages on one side of a seq, the nearest while they fit. An index serves each filter.
macro_rules! messages {
    ($side:literal, $filter:literal, $order:literal) => {
        concat!(
            "SELECT r.incarnation, greatest(r.first_seq, CASE WHEN r.since_join THEN m.join_seq END), r.head, m.role, m.leave_seq, e.seq, e.time_ms, e.rev, e.payload,
                 NULL::bigint, NULL::bigint, NULL::integer, NULL::bytea, m.join_seq, 1::smallint, $2::uuid
             FROM rooms r LEFT JOIN members m ON m.room = r.id AND m.user_id = $2
             LEFT JOIN users u ON u.id = m.user_id
             LEFT JOIN LATERAL (
                 SELECT seq, time_ms, rev, payload, sum(octet_length(payload)) OVER (ORDER BY seq ",
            $order,
            ") AS bytes FROM entries WHERE room = r.id AND seq ",
            $side,
            " $3 AND seq >= coalesce(CASE WHEN r.since_join THEN m.join_seq END, 0) AND kind IN (1, 65)
                     AND (kind = 1 OR author = $2 OR (r.kind <> 2 AND least(m.role, u.role) <= 3)) AND ",
            $filter,
            " ORDER BY seq ",
            $order,
            " LIMIT $4
             ) e ON e.bytes <= $5 OR e.bytes = octet_length(e.payload)
             WHERE r.id = $1 ORDER BY e.seq"
        )
    };
    ($filter:literal) => {
        [messages!("<", $filter, "DESC"), messages!(">", $filter, "ASC")]
    };
}

const ALL: [&str; 2] = messages!("$6::bigint IS NULL");
const THREAD: [&str; 2] = messages!("target = $6::bigint");
const PINNED: [&str; 2] = messages!("pinned AND ($6::bigint IS NULL OR target = $6)");

pub(super) async fn read(
    client: &mut Client,
    vault: &Vault,
    room: RoomId,
    reader: UserId,
    after: Seq,
    limit: usize,
) -> Result<Option<LogPage>> {
    let (limit, bytes) = (bound(limit.min(PAGE_ITEMS_MAX)), bound(PAGE_BYTES_MAX));
    page(client, vault, (room, reader), AFTER, &[&room.sql(), &reader.sql(), &after.sql(), &limit, &bytes]).await
}

pub(super) async fn history(
    client: &mut Client,
    vault: &Vault,
    reader: UserId,
    history: History,
) -> Result<Option<LogPage>> {
    let (client, limit) = (&*client, history.limit.min(PAGE_ITEMS_MAX));
    let (room, who, bytes, thread) =
        (history.room.sql(), reader.sql(), bound(PAGE_BYTES_MAX), history.thread.map(Stored::sql));
    let messages = async |sql, from: Seq, limit| {
        page(client, vault, (history.room, reader), sql, &[&room, &who, &from.sql(), &bound(limit), &bytes, &thread])
            .await
    };
    let [before, after] = match history {
        History { pinned: true, .. } => PINNED,
        History { thread: Some(_), .. } => THREAD,
        _ => ALL,
    };
    match history.range {
        HistoryRange::Before(Seq(0)) => messages(before, Seq(u64::MAX), limit).await,
        HistoryRange::Before(seq) => messages(before, seq, limit).await,
        HistoryRange::After(seq) => messages(after, seq, limit).await,
        HistoryRange::Around(seq) => {
            // Rights and head of the later of two moments: the messages before a seq are no others.
            let before = messages(before, seq, limit / 2).await?;
            let after = messages(after, Seq(seq.0.saturating_sub(1)), limit.div_ceil(2)).await?;
            Ok(before
                .zip(after)
                .map(|(before, after)| LogPage { entries: around_page(before.entries, after.entries), ..after }))
        }
    }
}

async fn page(
    client: &Client,
    vault: &Vault,
    (room, reader): (RoomId, UserId),
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<Option<LogPage>> {
    let statement = client.prepare_cached(sql).await?;
    let rows = client.query(&statement, params).await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let (state, place) = page_head(first)?;
    let entries =
        rows.iter().filter_map(|row| page_entry(vault, row, room, reader).transpose()).collect::<Result<Vec<_>>>()?;
    Ok(Some(LogPage { state, reader: place, entries }))
}

/// Takes entries while they fit a page, what they edit included; at least one.
pub(super) fn within_page(mut entries: Vec<Envelope>) -> Vec<Envelope> {
    let mut bytes = 0;
    let is_too_much = |entry: &Envelope| {
        bytes += entry.payload_bytes();
        bytes > PAGE_BYTES_MAX
    };
    let len = entries.iter().position(is_too_much).unwrap_or(entries.len());
    entries.truncate(len.max(1));
    entries
}
