//! Searches: a table of words beside the logs, which follows them.

use confab_protocol::model::{Incarnation, RoomId, Seq, UserId};
use deadpool_postgres::Client;
use tokio_postgres::types::ToSql;

use super::logs::envelope;
use super::rooms::bound;
use super::rows::{Stored, get};
use crate::core::search::words::to_tsvector;
use crate::core::search::{Matches, Progress, Step, Wanted};
use crate::core::store::Result;

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

pub(super) async fn index(client: &mut Client, step: Step) -> Result<()> {
    const BEGIN: &str = "INSERT INTO search_progress (room, incarnation, seq, first_seq) VALUES ($1, $2, 0, 1)
         ON CONFLICT (room) DO NOTHING";
    const LOCK: &str = "SELECT incarnation, seq FROM search_progress WHERE room = $1 FOR UPDATE";
    const FORGET: &str = "DELETE FROM search WHERE room = $1 AND (seq < $2 OR $3 OR seq = ANY ($4::bigint[]))";
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
    run(BEGIN, &[&room, &incarnation_sql]).await?;
    let rows = run(LOCK, &[&room]).await?;
    let at = rows.first().map(|row| -> Result<Seq> {
        let other: Incarnation = get(row, 0)?;
        if other == incarnation { get(row, 1) } else { Ok(Seq(0)) }
    });
    // Another server was here meanwhile.
    if at.transpose()? != Some(indexed) {
        return Ok(());
    }
    run(FORGET, &[&room, &first_seq.sql(), &(indexed == Seq(0)), &gone]).await?;
    run(SAY, &[&room, &seqs, &places, &words]).await?;
    run(MOVE_ON, &[&room, &incarnation_sql, &to.sql(), &first_seq.sql()]).await?;
    Ok(transaction.commit().await?)
}

pub(super) async fn search(client: &mut Client, reader: UserId, wanted: Wanted) -> Result<Matches> {
    const SEARCH: &str = "SELECT s.room, e.seq, e.time_ms, e.rev, e.payload
         FROM search s
         JOIN members m ON m.room = s.room AND m.user_id = $1 AND m.leave_seq IS NULL
         JOIN entries e ON e.room = s.room AND e.seq = s.seq AND e.kind = 1
         WHERE s.words @@ $2::text::tsquery AND s.place < $3 AND ($4::uuid IS NULL OR s.room = $4)
         ORDER BY s.place DESC LIMIT $5";
    let statement = client.prepare_cached(SEARCH).await?;
    let (query, room) = (wanted.query.to_tsquery(), wanted.room.map(Stored::sql));
    let params: [&(dyn ToSql + Sync); 5] = [&reader.sql(), &query, &wanted.before, &room, &bound(wanted.limit)];
    let mut messages = Vec::new();
    for row in client.query(&statement, &params).await? {
        let room: RoomId = get(&row, 0)?;
        messages.extend(envelope(&row, 1)?.map(|message| (room, message)));
    }
    Ok(Matches { messages, stopped: None })
}
