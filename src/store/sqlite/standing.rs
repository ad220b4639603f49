//! Logins, keys, tickets, and what every server on the store heeds.

use confab_protocol::close::CloseCode;
use confab_protocol::model::{DeviceId, Millis, SanctionKind, ServerRole, UserId};
use rusqlite::{Connection, OptionalExtension, params};

use super::moderation::add_record;
use super::rows::{Sql, get, user};
use crate::core::cases::NewRecord;
use crate::core::restriction::{changed, role_changed};
use crate::core::standing::{
    Controls, FoundKey, Level, LoginRow, NewKey, NewTicket, REVOKED_KEPT, Revoked, Scopes, Standing, TicketKind,
};
use crate::core::store::{Restrict, Restriction, Result, User};

pub(super) fn find_identity(connection: &Connection, id: UserId, device: DeviceId) -> Result<Option<Standing>> {
    let mut statement = connection.prepare_cached(
        "SELECT u.id, username, display_name, role, self_room, token_version, u.created_ms, restriction, until_ms,
                audit_key, d.login, d.scopes, (SELECT epoch FROM controls)
         FROM users u JOIN devices d ON d.user = u.id WHERE u.id = ? AND d.id = ? AND d.active",
    )?;
    let standing = |row: &rusqlite::Row<'_>| {
        let epoch = row.get::<_, i64>(12)?.cast_unsigned();
        Ok(Standing { user: user(row)?, login: row.get(10)?, scopes: Scopes::from_number(row.get(11)?), epoch })
    };
    Ok(statement.query_row(params![Sql(id), Sql(device)], standing).optional()?)
}

pub(super) fn find_user(connection: &Connection, id: UserId) -> Result<Option<User>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, username, display_name, role, self_room, token_version, created_ms, restriction, until_ms, audit_key
         FROM users WHERE id = ?",
    )?;
    Ok(statement.query_row([Sql(id)], user).optional()?)
}

pub(super) fn logins(connection: &Connection, user: UserId) -> Result<Vec<LoginRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT d.id, name, created_ms, seen_ms, k.hash IS NOT NULL
         FROM devices d LEFT JOIN api_keys k ON k.user = d.user AND k.device = d.id
         WHERE d.user = ? AND d.active ORDER BY d.id",
    )?;
    let login = |row: &rusqlite::Row<'_>| {
        Ok(LoginRow {
            device: get(row, 0)?,
            name: row.get(1)?,
            created: get(row, 2)?,
            seen: get(row, 3)?,
            is_key: row.get(4)?,
        })
    };
    Ok(statement.query_map([Sql(user)], login)?.collect::<rusqlite::Result<_>>()?)
}

/// Ends all logins of somebody, or all but one, and forgets what could begin them again.
pub(super) fn end_all(connection: &Connection, user: UserId, except: Option<DeviceId>, code: CloseCode) -> Result<()> {
    let mut statement =
        connection.prepare_cached("SELECT id FROM devices WHERE user = ? AND active AND id IS NOT ?")?;
    let devices = statement
        .query_map(params![Sql(user), except.map(Sql)], |row| get::<DeviceId>(row, 0))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    for sql in [
        "UPDATE devices SET active = 0 WHERE user = ? AND id IS NOT ?",
        "DELETE FROM refresh_tokens WHERE user = ? AND device IS NOT ?",
        "DELETE FROM api_keys WHERE user = ? AND device IS NOT ?",
    ] {
        connection.prepare_cached(sql)?.execute(params![Sql(user), except.map(Sql)])?;
    }
    match except {
        None => revoke(connection, user, None, code),
        Some(_) => devices.into_iter().try_for_each(|device| revoke(connection, user, Some(device), code)),
    }
}

pub(super) fn end_logins(connection: &Connection, user: UserId, except: DeviceId) -> Result<()> {
    end_all(connection, user, Some(except), CloseCode::LoggedOut)
}

pub(super) fn change_password(
    connection: &Connection,
    user: UserId,
    old: String,
    new: String,
    device: DeviceId,
) -> Result<bool> {
    let mut statement = connection.prepare_cached(
        "UPDATE users SET password_hash = ?1 WHERE id = ?2 AND password_hash = ?3
             AND EXISTS (SELECT 1 FROM devices d WHERE d.user = ?2 AND d.id = ?4 AND d.active)",
    )?;
    if statement.execute(params![new, Sql(user), old, Sql(device)])? == 0 {
        return Ok(false);
    }
    end_logins(connection, user, device)?;
    Ok(true)
}

pub(super) fn restrict(connection: &Connection, restrict: Restrict) -> Result<bool> {
    let Restrict { user, below, kind, .. } = restrict;
    let mut found = connection.prepare_cached("SELECT restriction, until_ms FROM users WHERE id = ? AND role > ?")?;
    let had =
        |row: &rusqlite::Row<'_>| Ok(Restriction::from_numbers(row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned()));
    let had = found.query_row(params![Sql(user), number(below)], had).optional()?;
    let Some((has, record)) = had.and_then(|had| restrict.apply(had)) else { return Ok(false) };
    let (number, until) = Restriction::to_numbers(has);
    connection.prepare_cached("UPDATE users SET restriction = ?, until_ms = ? WHERE id = ?")?.execute(params![
        number,
        until.cast_signed(),
        Sql(user)
    ])?;
    add_record(connection, &record)?;
    match kind {
        SanctionKind::Ban => end_all(connection, user, None, CloseCode::Banned)?,
        SanctionKind::Kick => end_all(connection, user, None, CloseCode::LoggedOut)?,
        SanctionKind::Mute | SanctionKind::Shadow | SanctionKind::Lift => {
            revoke(connection, user, None, CloseCode::RightsChanged)?;
        }
    }
    Ok(true)
}

/// The number that those of lower rank are above.
fn number(below: Option<ServerRole>) -> u8 {
    below.map_or(0, ServerRole::number)
}

pub(super) fn set_server_role(
    connection: &Connection,
    user: UserId,
    below: Option<ServerRole>,
    role: ServerRole,
    record: NewRecord,
) -> Result<bool> {
    let mut found = connection.prepare_cached("SELECT role FROM users WHERE id = ? AND role > ? AND role <> 1")?;
    let had: Option<ServerRole> = found.query_row(params![Sql(user), number(below)], |row| get(row, 0)).optional()?;
    let Some(had) = had else { return Ok(false) };
    connection.prepare_cached("UPDATE users SET role = ? WHERE id = ?")?.execute(params![Sql(role), Sql(user)])?;
    add_record(connection, &role_changed(record, had, role))?;
    revoke(connection, user, None, CloseCode::RightsChanged)?;
    Ok(true)
}

/// A ticket that is good: also, whoever gave it may still do so. Role 2 is an admin, 3 a moderator.
macro_rules! good_ticket {
    () => {
        "hash = ?1 AND kind = ?2 AND uses_left > 0 AND expires_ms >= ?3
             AND (author = zeroblob(16) OR EXISTS (
                 SELECT 1 FROM users a WHERE a.id = author AND a.restriction IN (0, 3)
                     AND (kind = 2 AND a.role <= 3
                         OR kind = 1 AND a.role <= 2 AND a.role < (SELECT u.role FROM users u WHERE u.id = tickets.user))))"
    };
}

pub(super) fn create_ticket(connection: &Connection, ticket: NewTicket) -> Result<()> {
    let NewTicket { hash, kind, user, author, uses, expires, now } = ticket;
    connection.prepare_cached("DELETE FROM tickets WHERE expires_ms < ?")?.execute([Sql(now)])?;
    connection
        .prepare_cached(
            "INSERT INTO tickets (hash, kind, user, author, uses_left, expires_ms) VALUES (?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![hash, kind as u8, Sql(user), Sql(author), uses, Sql(expires)])?;
    Ok(())
}

pub(super) fn has_ticket(connection: &Connection, hash: [u8; 32], kind: TicketKind, now: Millis) -> Result<bool> {
    let mut statement = connection.prepare_cached(concat!("SELECT 1 FROM tickets WHERE ", good_ticket!()))?;
    Ok(statement.exists(params![hash, kind as u8, Sql(now)])?)
}

/// One use of a ticket: whose it is, if it was good.
pub(super) fn spend_ticket(
    connection: &Connection,
    hash: [u8; 32],
    kind: TicketKind,
    now: Millis,
) -> Result<Option<UserId>> {
    let mut statement = connection.prepare_cached(concat!(
        "UPDATE tickets SET uses_left = uses_left - 1 WHERE ",
        good_ticket!(),
        " RETURNING user"
    ))?;
    Ok(statement.query_row(params![hash, kind as u8, Sql(now)], |row| get(row, 0)).optional()?)
}

pub(super) fn reset_password(
    connection: &Connection,
    ticket: [u8; 32],
    hash: String,
    now: Millis,
) -> Result<Option<UserId>> {
    let Some(user) = spend_ticket(connection, ticket, TicketKind::Reset, now)? else { return Ok(None) };
    connection
        .prepare_cached("UPDATE users SET password_hash = ?, token_version = token_version + 1 WHERE id = ?")?
        .execute(params![hash, Sql(user)])?;
    // Others that are under way for the same account are nobody's any more.
    connection
        .prepare_cached("DELETE FROM tickets WHERE user = ? AND kind = ?")?
        .execute(params![Sql(user), TicketKind::Reset as u8])?;
    end_all(connection, user, None, CloseCode::LoggedOut)?;
    Ok(Some(user))
}

pub(super) fn create_key(connection: &Connection, key: NewKey) -> Result<()> {
    let NewKey { hash, user, device, name, scopes, expires, now } = key;
    connection
        .prepare_cached(
            "INSERT INTO devices (id, user, name, active, created_ms, seen_ms, scopes) VALUES (?, ?, ?, 1, ?, ?, ?)",
        )?
        .execute(params![Sql(device), Sql(user), name, Sql(now), Sql(now), scopes.number()])?;
    connection
        .prepare_cached("INSERT INTO api_keys (hash, user, device, expires_ms) VALUES (?, ?, ?, ?)")?
        .execute(params![hash, Sql(user), Sql(device), Sql(expires)])?;
    Ok(())
}

pub(super) fn find_key(connection: &Connection, hash: [u8; 32]) -> Result<Option<FoundKey>> {
    let mut statement = connection.prepare_cached("SELECT user, device, expires_ms FROM api_keys WHERE hash = ?")?;
    let found =
        |row: &rusqlite::Row<'_>| Ok(FoundKey { user: get(row, 0)?, device: get(row, 1)?, expires: get(row, 2)? });
    Ok(statement.query_row([hash], found).optional()?)
}

pub(super) fn controls(connection: &Connection, since: u64) -> Result<Controls> {
    let (epoch, level): (i64, u8) = connection
        .prepare_cached("SELECT epoch, level FROM controls")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut statement = connection
        .prepare_cached("SELECT user, device, code, epoch FROM revocations WHERE epoch > ? ORDER BY epoch")?;
    let revoked = |row: &rusqlite::Row<'_>| {
        let device: Option<Sql<DeviceId>> = row.get(1)?;
        let code = CloseCode::from_number(row.get(2)?).unwrap_or(CloseCode::LoggedOut);
        let epoch = row.get::<_, i64>(3)?.cast_unsigned();
        Ok(Revoked { epoch, user: get(row, 0)?, device: device.map(|sql| sql.0), code })
    };
    let revoked = statement.query_map([since.cast_signed()], revoked)?.collect::<rusqlite::Result<_>>()?;
    Ok(Controls { epoch: epoch.cast_unsigned(), level: Level::from_number(level), revoked })
}

pub(super) fn set_level(connection: &Connection, level: Level, record: NewRecord) -> Result<()> {
    let had: u8 = connection.prepare_cached("SELECT level FROM controls")?.query_row([], |row| row.get(0))?;
    add_record(connection, &changed(record, &had.to_string(), &(level as u8).to_string()))?;
    connection.prepare_cached("UPDATE controls SET level = ?, epoch = epoch + 1")?.execute([level as u8])?;
    Ok(())
}

/// Tells every server to close connections.
pub(super) fn revoke(connection: &Connection, user: UserId, device: Option<DeviceId>, code: CloseCode) -> Result<()> {
    let epoch: i64 = connection
        .prepare_cached("UPDATE controls SET epoch = epoch + 1 RETURNING epoch")?
        .query_row([], |row| row.get(0))?;
    connection
        .prepare_cached("INSERT INTO revocations (epoch, user, device, code) VALUES (?, ?, ?, ?)")?
        .execute(params![epoch, Sql(user), device.map(Sql), code.number()])?;
    connection
        .prepare_cached("DELETE FROM revocations WHERE epoch <= ?")?
        .execute([epoch - REVOKED_KEPT.cast_signed()])?;
    Ok(())
}
