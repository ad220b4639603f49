//! What plugins are told of a room and of who writes there, in bounded time and one round trip.

use confab_protocol::model::{CaseId, RoomId, RoomKind, UserId};
use deadpool_postgres::Client;

use super::rooms::bound;
use super::rows::{Stored, get, get_optional, plain};
use crate::core::context::{CASES_MAX, COUNTED_MAX, Context, ENTRIES_MAX, RoomContext};
use crate::core::store::Result;

pub(super) async fn read(client: &Client, room: RoomId, author: UserId, cases_from: CaseId) -> Result<Context> {
    const SQL: &str = "SELECT (SELECT count(*)::integer FROM (SELECT 1 FROM (
                     SELECT kind, decision, appeal_decision FROM cases
                     WHERE subject = $2 AND id >= $3 ORDER BY id DESC LIMIT $4) newest
                 WHERE kind IN (1, 2, 3) AND decision NOT IN (1, 2) AND appeal_decision <> 7 LIMIT $6) counted),
                (SELECT count(*)::integer FROM (SELECT 1 FROM (
                     SELECT author, kind FROM entries WHERE room = $1 ORDER BY seq DESC LIMIT $5) newest
                 WHERE author = $2 AND kind IN (1, 65) LIMIT $6) counted),
                r.kind, r.slow_mode_ms, r.members, r.messages
         FROM (SELECT 1) one LEFT JOIN rooms r ON r.id = $1";
    let [cases, entries, counted] = [CASES_MAX, ENTRIES_MAX, COUNTED_MAX].map(bound);
    let statement = client.prepare_cached(SQL).await?;
    let row = client
        .query_one(&statement, &[&room.sql(), &author.sql(), &cases_from.sql(), &cases, &entries, &counted])
        .await?;
    let room = match get_optional::<RoomKind>(&row, 2)? {
        Some(kind) => {
            let (slow_mode_ms, members): (u32, u32) = (get(&row, 3)?, get(&row, 4)?);
            let (members, messages) = (members.into(), plain::<i64>(&row, 5)?.cast_unsigned());
            Some(RoomContext { kind, slow_mode_ms, members, messages })
        }
        None => None,
    };
    Ok(Context { transport: "", room, prior_flags: get(&row, 0)?, messages_here: get(&row, 1)? })
}
