//! How far plugins were shown the logs. A row of the room that is none says that a plugin began: what was there then is none
//! of its, and rooms without a row are newer than that.

use confab_protocol::model::{RoomId, RoomKind, Seq};
use deadpool_postgres::Client;

use super::rows::{Stored, get};
use crate::core::store::Result;

pub(super) async fn begin(client: &mut Client, plugin: String) -> Result<()> {
    const MARK: &str = "INSERT INTO observed (plugin, room, seq) VALUES ($1, $2, 0) ON CONFLICT DO NOTHING";
    const HEADS: &str = "INSERT INTO observed (plugin, room, seq) SELECT $1, id, head FROM rooms WHERE kind <> $2
         ON CONFLICT DO NOTHING";
    let transaction = client.transaction().await?;
    let mark = transaction.prepare_cached(MARK).await?;
    if transaction.execute(&mark, &[&plugin, &RoomId::NONE.sql()]).await? > 0 {
        let heads = transaction.prepare_cached(HEADS).await?;
        transaction.execute(&heads, &[&plugin, &RoomKind::SelfLog.sql()]).await?;
    }
    transaction.commit().await?;
    Ok(())
}

pub(super) async fn unobserved(
    client: &mut Client,
    plugin: String,
    rooms: Option<Vec<RoomId>>,
) -> Result<Vec<(RoomId, Seq)>> {
    const BEHIND: &str =
        "SELECT r.id, coalesce(o.seq, 0) FROM rooms r LEFT JOIN observed o ON o.plugin = $1 AND o.room = r.id
         WHERE ($3::uuid[] IS NULL OR r.id = ANY ($3)) AND r.head > coalesce(o.seq, 0) AND r.kind <> $2";
    let statement = client.prepare_cached(BEHIND).await?;
    let rooms: Option<Vec<_>> = rooms.map(|rooms| rooms.into_iter().map(Stored::sql).collect());
    let rows = client.query(&statement, &[&plugin, &RoomKind::SelfLog.sql(), &rooms]).await?;
    rows.iter().map(|row| Ok((get(row, 0)?, get(row, 1)?))).collect()
}

/// In the order of their ids, so that two servers do not wait for each other.
pub(super) async fn observed(client: &mut Client, plugin: String, mut cursors: Vec<(RoomId, Seq)>) -> Result<()> {
    const MOVE_ON: &str = "INSERT INTO observed (plugin, room, seq)
         SELECT $1, u.room, u.seq FROM unnest($2::uuid[], $3::bigint[]) u (room, seq)
         ON CONFLICT (plugin, room) DO UPDATE SET seq = greatest(observed.seq, excluded.seq)";
    cursors.sort_unstable();
    let (rooms, seqs): (Vec<_>, Vec<_>) = cursors.into_iter().map(|(room, seq)| (room.sql(), seq.sql())).unzip();
    let statement = client.prepare_cached(MOVE_ON).await?;
    client.execute(&statement, &[&plugin, &rooms, &seqs]).await?;
    Ok(())
}
