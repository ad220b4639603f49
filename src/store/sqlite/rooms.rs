//! Rooms and members, for reading; they change only with an append.

use confab_protocol::command::{Member, Room};
use confab_protocol::model::{Incarnation, Millis, RoomId, RoomName, RoomRole, Seq, UserId, Visibility};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::rows::{Sql, get};
use crate::core::names::room_key;
use crate::core::store::{Membership, Pair, Restriction, Result, pair_bytes};

pub(super) fn ping(connection: &Connection) -> Result<()> {
    Ok(connection.prepare_cached("SELECT 1 FROM rooms LIMIT 1")?.exists([]).map(drop)?)
}

pub(super) fn find_room(connection: &Connection, name: RoomName) -> Result<Option<RoomId>> {
    let mut statement =
        connection.prepare_cached("SELECT id FROM rooms WHERE name_key = ? AND name = ? AND kind = 1")?;
    Ok(statement.query_row([room_key(&name).as_str(), name.as_str()], |row| get(row, 0)).optional()?)
}

pub(super) fn find_direct(connection: &Connection, pair: Pair) -> Result<Option<RoomId>> {
    let mut statement = connection.prepare_cached("SELECT id FROM rooms WHERE pair = ?")?;
    Ok(statement.query_row([pair_bytes(pair)], |row| get(row, 0)).optional()?)
}

pub(super) fn find_self_room(connection: &Connection, user: UserId) -> Result<Option<RoomId>> {
    let mut statement = connection.prepare_cached("SELECT self_room FROM users WHERE id = ?")?;
    Ok(statement.query_row([Sql(user)], |row| get(row, 0)).optional()?)
}

pub(super) const fn visibility(since_join: bool) -> Visibility {
    if since_join { Visibility::SinceJoin } else { Visibility::All }
}

/// The columns that every query of rooms selects, in this order.
fn read_room(row: &Row<'_>) -> rusqlite::Result<Room> {
    let role: Option<Sql<RoomRole>> = row.get(7)?;
    let retention: Sql<Millis> = row.get(11)?;
    Ok(Room {
        id: get(row, 0)?,
        kind: get(row, 1)?,
        name: row.get(2)?,
        topic: row.get(3)?,
        incarnation: get(row, 4)?,
        first_seq: get(row, 5)?,
        head: get(row, 6)?,
        role: role.map(|sql| sql.0),
        members: row.get(8)?,
        created: get(row, 9)?,
        slow_mode_ms: row.get(10)?,
        retention_ms: retention.0.0,
        visibility: visibility(row.get(12)?),
        knocks: row.get(13)?,
        rights: get(row, 14)?,
        read_seq: get(row, 15)?,
        unread: row.get(16)?,
        mentions: row.get(17)?,
    })
}

pub(super) fn room(connection: &Connection, room: RoomId, user: UserId) -> Result<Option<Room>> {
    const SQL: &str =
        "SELECT r.id, r.kind, coalesce(r.name, ''), r.topic, r.incarnation,
             max(r.first_seq, iif(r.since_join, coalesce(m.join_seq, 0), 0)), r.head, m.role, r.members, r.created_ms,
             r.slow_mode_ms, r.retention_ms, r.since_join, r.knocks, r.rights, coalesce(m.read_seq, 0), coalesce(r.messages - m.read_number, 0),
             (SELECT count(*) FROM mentions t WHERE t.user = ?2 AND t.room = r.id AND t.seq > m.read_seq)
         FROM rooms r LEFT JOIN members m ON m.room = r.id AND m.user = ?2 AND m.leave_seq IS NULL WHERE r.id = ?1";
    Ok(connection.prepare_cached(SQL)?.query_row(params![Sql(room), Sql(user)], read_room).optional()?)
}

pub(super) fn list_rooms(
    connection: &Connection,
    user: UserId,
    joined_only: bool,
    after: RoomId,
    limit: usize,
) -> Result<Vec<Room>> {
    const JOINED: &str =
        "SELECT r.id, r.kind, coalesce(r.name, ''), r.topic, r.incarnation,
             max(r.first_seq, iif(r.since_join, coalesce(m.join_seq, 0), 0)), r.head, m.role, r.members, r.created_ms,
             r.slow_mode_ms, r.retention_ms, r.since_join, r.knocks, r.rights, coalesce(m.read_seq, 0), coalesce(r.messages - m.read_number, 0),
             (SELECT count(*) FROM mentions t WHERE t.user = ?1 AND t.room = r.id AND t.seq > m.read_seq)
         FROM members m JOIN rooms r ON r.id = m.room
         WHERE m.user = ?1 AND m.leave_seq IS NULL AND m.room > ?2 AND r.kind <> 3 ORDER BY m.room LIMIT ?3";
    const OPEN: &str =
        "SELECT r.id, r.kind, coalesce(r.name, ''), r.topic, r.incarnation,
             max(r.first_seq, iif(r.since_join, coalesce(m.join_seq, 0), 0)), r.head, m.role, r.members, r.created_ms,
             r.slow_mode_ms, r.retention_ms, r.since_join, r.knocks, r.rights, coalesce(m.read_seq, 0), coalesce(r.messages - m.read_number, 0),
             (SELECT count(*) FROM mentions t WHERE t.user = ?1 AND t.room = r.id AND t.seq > m.read_seq)
         FROM rooms r LEFT JOIN members m ON m.room = r.id AND m.user = ?1 AND m.leave_seq IS NULL
         WHERE r.kind = 1 AND r.id > ?2 ORDER BY r.id LIMIT ?3";
    let mut statement = connection.prepare_cached(if joined_only { JOINED } else { OPEN })?;
    let rows = statement.query_map(params![Sql(user), Sql(after), bound(limit)], read_room)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn list_members(connection: &Connection, room: RoomId, after: UserId, limit: usize) -> Result<Vec<Member>> {
    let mut statement = connection.prepare_cached(
        "SELECT u.id, u.username, u.display_name, m.role FROM members m JOIN users u ON u.id = m.user
         WHERE m.room = ? AND m.user > ? AND m.leave_seq IS NULL ORDER BY m.user LIMIT ?",
    )?;
    let member = |row: &Row<'_>| {
        Ok(Member { user: get(row, 0)?, username: row.get(1)?, display_name: row.get(2)?, role: Some(get(row, 3)?) })
    };
    let rows = statement.query_map(params![Sql(room), Sql(after), bound(limit)], member)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn membership(connection: &Connection, room: RoomId, user: UserId) -> Result<Option<Membership>> {
    let mut statement = connection.prepare_cached(
        "SELECT m.role, r.acl_version, m.restriction, m.until_ms, r.rights,
                coalesce((SELECT time_ms FROM entries e WHERE e.room = m.room AND e.seq = m.join_seq), 0)
         FROM members m JOIN rooms r ON r.id = m.room WHERE m.room = ? AND m.user = ? AND m.leave_seq IS NULL",
    )?;
    let membership = |row: &Row<'_>| {
        let acl_version: i64 = row.get(1)?;
        let until: Sql<Millis> = row.get(3)?;
        let restriction = Restriction::from_numbers(row.get(2)?, until.0.0);
        Ok(Membership {
            role: get(row, 0)?,
            restriction,
            joined: get(row, 5)?,
            rights: get(row, 4)?,
            acl_version: acl_version.cast_unsigned(),
        })
    };
    Ok(statement.query_row(params![Sql(room), Sql(user)], membership).optional()?)
}

pub(super) fn seat(
    connection: &Connection,
    room: RoomId,
    user: UserId,
) -> Result<Option<(RoomRole, Option<Restriction>)>> {
    let mut statement =
        connection.prepare_cached("SELECT role, restriction, until_ms FROM members WHERE room = ? AND user = ?")?;
    let seat = |row: &Row<'_>| {
        let until: Sql<Millis> = row.get(2)?;
        Ok((get(row, 0)?, Restriction::from_numbers(row.get(1)?, until.0.0)))
    };
    Ok(statement.query_row(params![Sql(room), Sql(user)], seat).optional()?)
}

/// Who has left the room is what they were: so they count where the server's role lets them decide.
pub(super) fn has_judge(
    connection: &Connection,
    room: RoomId,
    except: [UserId; 2],
    rank: u8,
    now: Millis,
) -> Result<bool> {
    let [one, other] = except;
    let mut statement = connection.prepare_cached(
        "SELECT EXISTS (
             SELECT 1 FROM members m JOIN users u ON u.id = m.user JOIN rooms r ON r.id = m.room
             WHERE m.room = ?1 AND m.leave_seq IS NULL AND m.role <= 3 AND m.role < ?4 AND r.kind IN (1, 4)
                 AND u.id NOT IN (?2, ?3) AND u.username NOT LIKE 'plugin.%'
                 AND (m.restriction IN (0, 3) OR m.until_ms > 0 AND m.until_ms <= ?5)
                 AND (u.restriction IN (0, 3) OR u.until_ms > 0 AND u.until_ms <= ?5))
         OR EXISTS (
             SELECT 1 FROM users u LEFT JOIN members m ON m.room = ?1 AND m.user = u.id
             WHERE u.role <= 3 AND (u.role < ?4 OR m.role < ?4) AND u.id NOT IN (?2, ?3)
                 AND u.username NOT LIKE 'plugin.%'
                 AND (u.restriction IN (0, 3) OR u.until_ms > 0 AND u.until_ms <= ?5))",
    )?;
    Ok(statement.query_row(params![Sql(room), Sql(one), Sql(other), rank, Sql(now)], |row| row.get(0))?)
}

pub(super) fn counts(connection: &Connection, room: RoomId, user: UserId) -> Result<(u32, u32)> {
    let mut statement = connection.prepare_cached(
        "SELECT count(*) FROM members m JOIN rooms r ON r.id = m.room
             WHERE m.user = ? AND m.leave_seq IS NULL AND r.kind <> 2",
    )?;
    let rooms = statement.query_row([Sql(user)], |row| row.get(0))?;
    let mut statement = connection.prepare_cached("SELECT members FROM rooms WHERE id = ?")?;
    let members = statement.query_row([Sql(room)], |row| row.get(0)).optional()?.unwrap_or(0);
    Ok((rooms, members))
}

pub(super) fn heads(connection: &Connection, rooms: Vec<RoomId>) -> Result<Vec<(RoomId, Incarnation, Seq)>> {
    let mut statement = connection.prepare_cached("SELECT incarnation, head FROM rooms WHERE id = ?")?;
    let mut heads = Vec::with_capacity(rooms.len());
    for room in rooms {
        let head = |row: &Row<'_>| Ok((room, get(row, 0)?, get(row, 1)?));
        heads.extend(statement.query_row([Sql(room)], head).optional()?);
    }
    Ok(heads)
}

pub(super) fn bound(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
