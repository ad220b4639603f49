//! Searches: a table of words beside the logs, which follows them.

use confab_protocol::command::FoundAt;
use confab_protocol::model::{Incarnation, RoomId, Seq, UserId};
use deadpool_postgres::Client;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::logs::envelope;
use super::rooms::bound;
use super::rows::{Stored, get, plain};
use crate::core::seal::Vault;
use crate::core::search::words::to_tsvector;
use crate::core::search::{Matches, Progress, Step, Wanted, place, time_of};
use crate::core::store::{Error, Result};

pub(super) async fn behind(client: &mut Client, rooms: Option<Vec<RoomId>>) -> Result<Vec<Progress>> {
    const BEHIND: &str = "SELECT r.id, r.incarnation, r.first_seq, coalesce(p.seq, 0)
         FROM rooms r LEFT JOIN search_progress p ON p.room = r.id AND p.incarnation = r.incarnation
         WHERE ($1::uuid[] IS NULL OR r.id = ANY ($1)) AND (r.head > coalesce(p.seq, 0) OR r.first_seq > p.first_seq)";
    let statement = client.prepare_cached(BEHIND).await?;
    let rooms: Option<Vec<_>> = rooms.map(|rooms| rooms.into_iter().map(Stored::sql).collect());
    let progress = |row| {
        let (room, incarnation) = (get(row, 0)?, get(row, 1)?);
        Ok(Progress { room, incarnation, first_seq: get(row, 2)?, indexed: get(row, 3)? })
    };
    client.query(&statement, &[&rooms]).await?.iter().map(progress).collect()
}

pub(super) async fn index(client: &mut Client, vault: &Vault, step: Step) -> Result<bool> {
    const BEGIN: &str = "INSERT INTO search_progress (room, incarnation, seq, first_seq) VALUES ($1, $2, 0, 1)
         ON CONFLICT (room) DO NOTHING";
    const LOCK: &str = "SELECT incarnation, seq FROM search_progress WHERE room = $1 FOR UPDATE";
    // All of it, where it is another history.
    const FORGET_BEFORE: &str = "DELETE FROM search WHERE room = $1 AND seq < $2";
    const FORGET: &str = "DELETE FROM search WHERE room = $1 AND seq = ANY ($2::bigint[])";
    const SAY: &str = "INSERT INTO search (room, seq, place, words)
         SELECT $1, u.seq, u.place, u.words::tsvector FROM unnest($2::bigint[], $3::bigint[], $4::text[]) u (seq, place, words)
         ON CONFLICT (room, seq) DO UPDATE SET words = excluded.words";
    const MOVE_ON: &str = "UPDATE search_progress SET incarnation = $2, seq = $3, first_seq = $4 WHERE room = $1";
    let Step { from: Progress { room, incarnation, first_seq, indexed }, to, changes } = step;
    let (room, incarnation_sql) = (room.sql(), incarnation.sql());
    let (gone, said): (Vec<_>, Vec<_>) = changes.into_iter().partition(|change| change.words.is_empty());
    let gone: Vec<i64> = gone.iter().map(|change| change.seq.sql()).collect();
    let seqs: Vec<i64> = said.iter().map(|change| change.seq.sql()).collect();
    let places: Vec<i64> = said.iter().map(|change| change.place).collect();
    let words: Vec<String> = said.iter().map(|change| to_tsvector(&change.words)).collect();
    let transaction = client.transaction().await?;
    let run = async |sql: &str, params: &[&(dyn ToSql + Sync)]| {
        let statement = transaction.prepare_cached(sql).await?;
        Result::Ok(transaction.query(&statement, params).await?)
    };
    // Another server may have begun an index of other words: nothing of ours comes into it.
    let mode = run("SELECT mode FROM search_mode FOR SHARE", &[]).await?;
    if mode.first().map(|row| plain::<i32>(row, 0)).transpose()? != Some(vault.index_mode()) {
        return Err(Error::Unavailable(super::super::OTHER_INDEX.to_owned()));
    }
    run(BEGIN, &[&room, &incarnation_sql]).await?;
    let rows = run(LOCK, &[&room]).await?;
    let at = rows.first().map(|row| -> Result<Seq> {
        let other: Incarnation = get(row, 0)?;
        if other == incarnation { get(row, 1) } else { Ok(Seq(0)) }
    });
    // Another server was here meanwhile.
    if at.transpose()? != Some(indexed) {
        return Ok(false);
    }
    let until = if indexed == Seq(0) { i64::MAX } else { first_seq.sql() };
    run(FORGET_BEFORE, &[&room, &until]).await?;
    run(FORGET, &[&room, &gone]).await?;
    run(SAY, &[&room, &seqs, &places, &words]).await?;
    run(MOVE_ON, &[&room, &incarnation_sql, &to.sql(), &first_seq.sql()]).await?;
    transaction.commit().await?;
    Ok(true)
}

/// Once through the index, the newest of it, and only these are read from the logs. What is hidden from the reader must show
/// neither in what is found nor in where the look ends; in rooms that hide nothing that costs one comparison.
macro_rules! search {
    ($rooms:literal) => {
        concat!(
            "WITH hits AS MATERIALIZED (
                 SELECT room, seq, place FROM search
                 WHERE words @@ $2::text::tsquery AND (place, room, seq) < ($3, $4, $5)
                     AND (room <> ALL (ARRAY(SELECT m.room FROM members m JOIN rooms r ON r.id = m.room AND r.since_join
                             WHERE m.user_id = $1 AND m.leave_seq IS NULL))
                         OR seq >= (SELECT m.join_seq FROM members m WHERE m.room = search.room AND m.user_id = $1)) AND ",
            $rooms,
            "    ORDER BY place DESC, room DESC, seq DESC LIMIT $6)
             SELECT h.room, h.seq, h.place, e.seq, e.time_ms, e.rev, e.payload FROM hits h
             LEFT JOIN entries e ON e.room = h.room AND e.seq = h.seq AND e.kind = 1
             ORDER BY h.place DESC, h.room DESC, h.seq DESC"
        )
    };
}

const ALL: &str = search!(
    "$7::uuid IS NULL AND room = ANY (ARRAY(SELECT m.room FROM members m WHERE m.user_id = $1 AND m.leave_seq IS NULL))"
);
const ONE: &str = search!(
    "room = $7 AND EXISTS (SELECT 1 FROM members m WHERE m.room = $7 AND m.user_id = $1 AND m.leave_seq IS NULL)"
);

pub(super) async fn search(client: &mut Client, vault: &Vault, reader: UserId, wanted: Wanted) -> Result<Matches> {
    let (query, room) = (wanted.query.to_tsquery(), wanted.room.map(Stored::sql));
    let before = wanted.before.map_or((i64::MAX, Uuid::max(), i64::MAX), |at| (place(at), at.room.sql(), at.seq.sql()));
    let transaction = client.transaction().await?;
    transaction.batch_execute("SET LOCAL statement_timeout = '3s'").await?;
    let statement = transaction.prepare_cached(if room.is_some() { ONE } else { ALL }).await?;
    let (reader, limit) = (reader.sql(), bound(wanted.limit));
    let params: [&(dyn ToSql + Sync); 7] = [&reader, &query, &before.0, &before.1, &before.2, &limit, &room];
    let rows = transaction.query(&statement, &params).await?;
    transaction.commit().await?;
    let mut matches = Matches { messages: Vec::new(), stopped: None };
    for row in &rows {
        let (room, seq, place): (RoomId, Seq, i64) = (get(row, 0)?, get(row, 1)?, plain(row, 2)?);
        matches.messages.extend(envelope(vault, row, room, 3)?.map(|message| (room, message)));
        if rows.len() == wanted.limit {
            matches.stopped = Some(FoundAt { time: time_of(place), room, seq });
        }
    }
    Ok(matches)
}
