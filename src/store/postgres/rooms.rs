//! Rooms and members, for reading; they change only with an append.

use confab_protocol::command::{Member, Room};
use confab_protocol::model::{Incarnation, Millis, RoomId, RoomName, RoomRole, Seq, UserId, Visibility};
use deadpool_postgres::Client;
use tokio_postgres::Row;
use uuid::Uuid;

use super::rows::{Stored, get, get_optional, plain};
use crate::core::names::room_key;
use crate::core::store::{Error, Membership, Pair, Restriction, Result, pair_bytes};

pub(super) async fn ping(client: &Client) -> Result<()> {
    let statement = client.prepare_cached("SELECT pg_is_in_recovery()").await?;
    let row = client.query_one(&statement, &[]).await?;
    if plain(&row, 0)? {
        return Err(Error::Unavailable("the database is read-only: a standby".to_owned()));
    }
    Ok(())
}

pub(super) async fn find_room(client: &Client, name: RoomName) -> Result<Option<RoomId>> {
    // By the index of keys, of which there is one: a plan made while the table is empty has no other to choose.
    const SQL: &str = "SELECT id FROM rooms WHERE name_key = $1 AND name = $2 AND kind = 1";
    let statement = client.prepare_cached(SQL).await?;
    let row = client.query_opt(&statement, &[&room_key(&name).as_str(), &name.as_str()]).await?;
    row.map(|row| get(&row, 0)).transpose()
}

pub(super) async fn find_direct(client: &Client, pair: Pair) -> Result<Option<RoomId>> {
    let statement = client.prepare_cached("SELECT id FROM rooms WHERE pair = $1").await?;
    let row = client.query_opt(&statement, &[&pair_bytes(pair).as_slice()]).await?;
    row.map(|row| get(&row, 0)).transpose()
}

pub(super) async fn find_self_room(client: &Client, user: UserId) -> Result<Option<RoomId>> {
    let statement = client.prepare_cached("SELECT self_room FROM users WHERE id = $1").await?;
    let row = client.query_opt(&statement, &[&user.sql()]).await?;
    row.map(|row| get(&row, 0)).transpose()
}

pub(super) const fn visibility(since_join: bool) -> Visibility {
    if since_join { Visibility::SinceJoin } else { Visibility::All }
}

/// The columns that every query of rooms selects, in this order.
fn read_room(row: &Row) -> Result<Room> {
    let retention: Millis = get(row, 11)?;
    Ok(Room {
        id: get(row, 0)?,
        kind: get(row, 1)?,
        name: plain(row, 2)?,
        topic: plain(row, 3)?,
        incarnation: get(row, 4)?,
        first_seq: get(row, 5)?,
        head: get(row, 6)?,
        role: get_optional(row, 7)?,
        members: get(row, 8)?,
        created: get(row, 9)?,
        slow_mode_ms: get(row, 10)?,
        retention_ms: retention.0,
        visibility: visibility(plain(row, 12)?),
        knocks: plain(row, 13)?,
        rights: get(row, 14)?,
        read_seq: get(row, 15)?,
        unread: get(row, 16)?,
        mentions: get(row, 17)?,
    })
}

pub(super) async fn room(client: &Client, room: RoomId, user: UserId) -> Result<Option<Room>> {
    const SQL: &str = "SELECT r.id, r.kind, coalesce(r.name, ''), r.topic, r.incarnation,
             greatest(r.first_seq, CASE WHEN r.since_join THEN m.join_seq END), r.head, m.role, r.members,
             r.created_ms, r.slow_mode_ms, r.retention_ms, r.since_join, r.knocks, r.rights,
             coalesce(m.read_seq, 0)::bigint,
             coalesce(r.messages - m.read_number, 0)::integer,
             (SELECT count(*)::integer FROM mentions t WHERE t.user_id = $2 AND t.room = r.id AND t.seq > m.read_seq)
         FROM rooms r LEFT JOIN members m ON m.room = r.id AND m.user_id = $2 AND m.leave_seq IS NULL WHERE r.id = $1";
    let statement = client.prepare_cached(SQL).await?;
    let row = client.query_opt(&statement, &[&room.sql(), &user.sql()]).await?;
    row.as_ref().map(read_room).transpose()
}

pub(super) async fn list_rooms(
    client: &Client,
    user: UserId,
    joined_only: bool,
    after: RoomId,
    limit: usize,
) -> Result<Vec<Room>> {
    const JOINED: &str = "SELECT r.id, r.kind, coalesce(r.name, ''), r.topic, r.incarnation,
             greatest(r.first_seq, CASE WHEN r.since_join THEN m.join_seq END), r.head, m.role, r.members,
             r.created_ms, r.slow_mode_ms, r.retention_ms, r.since_join, r.knocks, r.rights,
             coalesce(m.read_seq, 0)::bigint,
             coalesce(r.messages - m.read_number, 0)::integer,
             (SELECT count(*)::integer FROM mentions t WHERE t.user_id = $1 AND t.room = r.id AND t.seq > m.read_seq)
         FROM members m JOIN rooms r ON r.id = m.room
         WHERE m.user_id = $1 AND m.leave_seq IS NULL AND m.room > $2 AND r.kind <> 3 ORDER BY m.room LIMIT $3";
    const OPEN: &str = "SELECT r.id, r.kind, coalesce(r.name, ''), r.topic, r.incarnation,
             greatest(r.first_seq, CASE WHEN r.since_join THEN m.join_seq END), r.head, m.role, r.members,
             r.created_ms, r.slow_mode_ms, r.retention_ms, r.since_join, r.knocks, r.rights,
             coalesce(m.read_seq, 0)::bigint,
             coalesce(r.messages - m.read_number, 0)::integer,
             (SELECT count(*)::integer FROM mentions t WHERE t.user_id = $1 AND t.room = r.id AND t.seq > m.read_seq)
         FROM rooms r LEFT JOIN members m ON m.room = r.id AND m.user_id = $1 AND m.leave_seq IS NULL
         WHERE r.kind = 1 AND r.id > $2 ORDER BY r.id LIMIT $3";
    let statement = client.prepare_cached(if joined_only { JOINED } else { OPEN }).await?;
    let rows = client.query(&statement, &[&user.sql(), &after.sql(), &bound(limit)]).await?;
    rows.iter().map(read_room).collect()
}

pub(super) async fn list_members(client: &Client, room: RoomId, after: UserId, limit: usize) -> Result<Vec<Member>> {
    const SQL: &str = "SELECT u.id, u.username, u.display_name, m.role FROM members m JOIN users u ON u.id = m.user_id
         WHERE m.room = $1 AND m.user_id > $2 AND m.leave_seq IS NULL ORDER BY m.user_id LIMIT $3";
    let member = |row: &Row| {
        Ok(Member {
            user: get(row, 0)?,
            username: plain(row, 1)?,
            display_name: plain(row, 2)?,
            role: Some(get(row, 3)?),
        })
    };
    let statement = client.prepare_cached(SQL).await?;
    let rows = client.query(&statement, &[&room.sql(), &after.sql(), &bound(limit)]).await?;
    rows.iter().map(member).collect()
}

pub(super) async fn membership(client: &Client, room: RoomId, user: UserId) -> Result<Option<Membership>> {
    const SQL: &str = "SELECT m.role, r.acl_version, m.restriction, m.until_ms, r.rights,
                coalesce((SELECT time_ms FROM entries e WHERE e.room = m.room AND e.seq = m.join_seq), 0)
         FROM members m JOIN rooms r ON r.id = m.room
         WHERE m.room = $1 AND m.user_id = $2 AND m.leave_seq IS NULL";
    let statement = client.prepare_cached(SQL).await?;
    let Some(row) = client.query_opt(&statement, &[&room.sql(), &user.sql()]).await? else { return Ok(None) };
    let (acl_version, restriction, until): (i64, i16, i64) = (plain(&row, 1)?, plain(&row, 2)?, plain(&row, 3)?);
    let restriction = u8::try_from(restriction).unwrap_or_default();
    let restriction = Restriction::from_numbers(restriction, until.cast_unsigned());
    let (role, rights, joined) = (get(&row, 0)?, get(&row, 4)?, get(&row, 5)?);
    Ok(Some(Membership { role, restriction, joined, rights, acl_version: acl_version.cast_unsigned() }))
}

pub(super) async fn seat(
    client: &Client,
    room: RoomId,
    user: UserId,
) -> Result<Option<(RoomRole, Option<Restriction>)>> {
    const SQL: &str = "SELECT role, restriction, until_ms FROM members WHERE room = $1 AND user_id = $2";
    let statement = client.prepare_cached(SQL).await?;
    let Some(row) = client.query_opt(&statement, &[&room.sql(), &user.sql()]).await? else { return Ok(None) };
    let (restriction, until): (i16, i64) = (plain(&row, 1)?, plain(&row, 2)?);
    let restriction = u8::try_from(restriction).unwrap_or_default();
    Ok(Some((get(&row, 0)?, Restriction::from_numbers(restriction, until.cast_unsigned()))))
}

/// Who has left the room is what they were: so they count where the server's role lets them decide.
pub(super) async fn has_judge(
    client: &Client,
    room: RoomId,
    except: [UserId; 2],
    rank: u8,
    now: Millis,
) -> Result<bool> {
    const SQL: &str = "SELECT EXISTS (
             SELECT 1 FROM members m JOIN users u ON u.id = m.user_id JOIN rooms r ON r.id = m.room
             WHERE m.room = $1 AND m.leave_seq IS NULL AND m.role <= 3 AND m.role < $4 AND r.kind IN (1, 4)
                 AND u.id NOT IN ($2, $3) AND u.username NOT LIKE 'plugin.%'
                 AND (m.restriction IN (0, 3) OR m.until_ms > 0 AND m.until_ms <= $5)
                 AND (u.restriction IN (0, 3) OR u.until_ms > 0 AND u.until_ms <= $5))
         OR EXISTS (
             SELECT 1 FROM users u LEFT JOIN members m ON m.room = $1 AND m.user_id = u.id
             WHERE u.role <= 3 AND (u.role < $4 OR m.role < $4) AND u.id NOT IN ($2, $3)
                 AND u.username NOT LIKE 'plugin.%'
                 AND (u.restriction IN (0, 3) OR u.until_ms > 0 AND u.until_ms <= $5))";
    let [one, other] = except.map(Stored::sql);
    let statement = client.prepare_cached(SQL).await?;
    plain(&client.query_one(&statement, &[&room.sql(), &one, &other, &i16::from(rank), &now.sql()]).await?, 0)
}

pub(super) async fn counts(client: &Client, room: RoomId, user: UserId) -> Result<(u32, u32)> {
    const SQL: &str = "SELECT (SELECT count(*)::integer FROM members m JOIN rooms r ON r.id = m.room
                 WHERE m.user_id = $1 AND m.leave_seq IS NULL AND r.kind <> 2),
                coalesce((SELECT members FROM rooms WHERE id = $2), 0)";
    let statement = client.prepare_cached(SQL).await?;
    let row = client.query_one(&statement, &[&user.sql(), &room.sql()]).await?;
    Ok((get(&row, 0)?, get(&row, 1)?))
}

pub(super) async fn heads(client: &Client, rooms: Vec<RoomId>) -> Result<Vec<(RoomId, Incarnation, Seq)>> {
    let statement = client.prepare_cached("SELECT id, incarnation, head FROM rooms WHERE id = ANY ($1)").await?;
    let rooms: Vec<Uuid> = rooms.into_iter().map(Stored::sql).collect();
    let head = |row: &Row| Ok((get(row, 0)?, get(row, 1)?, get(row, 2)?));
    client.query(&statement, &[&rooms]).await?.iter().map(head).collect()
}

pub(super) fn bound(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
