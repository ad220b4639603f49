//! What a room's retention has run out for goes, from the oldest on, with everything that stands beside it.

use confab_protocol::model::{Millis, RoomId, Seq};
use deadpool_postgres::Client;

use super::rooms::bound;
use super::rows::{Stored, get, get_optional, plain};
use crate::core::store::{Before, Result};

pub(super) async fn retire(client: &mut Client, now: Millis, limit: usize) -> Result<usize> {
    const DUE: &str = "SELECT r.id FROM rooms r
         WHERE r.retention_ms > 0 AND EXISTS (
             SELECT 1 FROM entries e WHERE e.room = r.id AND e.seq = r.first_seq AND e.time_ms < $1 - r.retention_ms)
         LIMIT 1";
    const LOCK: &str = "SELECT first_seq, $2 - retention_ms FROM rooms
         WHERE id = $1 AND retention_ms > 0 FOR NO KEY UPDATE";
    // Times never go back within a room: what is too old stands at the front.
    const LAST: &str = "SELECT max(seq) FROM (
             SELECT seq FROM entries WHERE room = $1 AND seq >= $2 AND time_ms < $3 ORDER BY seq LIMIT $4) old";
    let statement = client.prepare_cached(DUE).await?;
    let Some(row) = client.query_opt(&statement, &[&now.sql()]).await? else { return Ok(0) };
    let room: RoomId = get(&row, 0)?;
    let transaction = client.transaction().await?;
    let statement = transaction.prepare_cached(LOCK).await?;
    // Somebody else may have been here first, or it is kept for ever by now.
    let row = transaction.query_opt(&statement, &[&room.sql(), &now.sql()]).await?;
    let Some(row) = row else { return Ok(0) };
    let (first, before): (Seq, i64) = (get(&row, 0)?, plain(&row, 1)?);
    let statement = transaction.prepare_cached(LAST).await?;
    let row = transaction.query_one(&statement, &[&room.sql(), &first.sql(), &before, &bound(limit)]).await?;
    let Some(last): Option<Seq> = get_optional(&row, 0)? else { return Ok(0) };
    for sql in [
        "DELETE FROM entry_revisions WHERE room = $1 AND seq <= $2",
        "DELETE FROM reactions WHERE room = $1 AND seq <= $2",
        "DELETE FROM mentions WHERE room = $1 AND seq <= $2",
        "DELETE FROM entries WHERE room = $1 AND seq <= $2",
    ] {
        let statement = transaction.prepare_cached(sql).await?;
        transaction.execute(&statement, &[&room.sql(), &last.sql()]).await?;
    }
    let statement = transaction.prepare_cached("DELETE FROM unappended WHERE room = $1 AND time_ms < $2").await?;
    transaction.execute(&statement, &[&room.sql(), &before]).await?;
    let statement = transaction.prepare_cached("UPDATE rooms SET first_seq = $2 WHERE id = $1").await?;
    transaction.execute(&statement, &[&room.sql(), &last.next().sql()]).await?;
    transaction.commit().await?;
    Ok(usize::try_from(last.next().0 - first.0).unwrap_or(limit))
}

pub(super) async fn forget(client: &mut Client, before: Before, limit: usize) -> Result<usize> {
    let transaction = client.transaction().await?;
    let mut count = 0;
    for (sql, before) in [
        (
            "DELETE FROM entry_revisions WHERE (room, seq, rev) IN
                 (SELECT room, seq, rev FROM entry_revisions WHERE replaced_ms < $1 ORDER BY replaced_ms LIMIT $2)",
            before.replaced,
        ),
        (
            "DELETE FROM unappended WHERE (room, author, client_id) IN
                 (SELECT room, author, client_id FROM unappended WHERE time_ms < $1 ORDER BY time_ms LIMIT $2)",
            before.unappended,
        ),
        (
            "DELETE FROM evidence WHERE (case_id, seq, rev) IN
                 (SELECT case_id, seq, rev FROM evidence WHERE kept_ms < $1 ORDER BY kept_ms LIMIT $2)",
            before.evidence,
        ),
        (
            "DELETE FROM finding_notes WHERE audit_id IN
                 (SELECT audit_id FROM finding_notes WHERE kept_ms < $1 ORDER BY kept_ms LIMIT $2)",
            before.evidence,
        ),
        (
            "UPDATE case_events SET text = '' WHERE (case_id, n) IN
                 (SELECT case_id, n FROM case_events WHERE text <> '' AND time_ms < $1 ORDER BY time_ms LIMIT $2)",
            before.evidence,
        ),
    ] {
        let statement = transaction.prepare_cached(sql).await?;
        count += transaction.execute(&statement, &[&before.sql(), &bound(limit)]).await?;
    }
    transaction.commit().await?;
    Ok(usize::try_from(count).unwrap_or(limit))
}
