//! Users, devices and refresh tokens.

use confab_protocol::close::CloseCode;
use confab_protocol::command::Member;
use confab_protocol::model::{DeviceId, DisplayName, Millis, RoomKind, RoomRole, UserId, Username};
use rusqlite::{Connection, OptionalExtension, params};

use super::rows::{Sql, get, user};
use super::standing::{has_ticket, revoke, spend_ticket};
use crate::core::audit::AuditKey;
use crate::core::standing::TicketKind;
use crate::core::store::{Created, LoggedIn, NewLogin, NewRefresh, NewUser, Refreshed, Result, User};

/// An identical refresh so soon after is the same client trying twice, not a thief.
const REUSE_GRACE_MS: u64 = 10_000;

pub(super) fn has_owner(connection: &Connection) -> Result<bool> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM users WHERE role = 1")?;
    Ok(statement.exists([])?)
}

pub(super) fn create_user(connection: &Connection, new: NewUser) -> Result<Created> {
    if let Some(ticket) = new.ticket
        && !has_ticket(connection, ticket, TicketKind::Account, new.created)?
    {
        return Ok(Created::TicketInvalid);
    }
    if new.role.number() == 1 && has_owner(connection)? {
        return Ok(Created::OwnerExists);
    }
    if !insert_user(connection, &new)? {
        return Ok(Created::NameTaken);
    }
    if let Some(ticket) = new.ticket {
        // It is good: nobody else writes in between.
        spend_ticket(connection, ticket, TicketKind::Account, new.created)?;
    }
    Ok(Created::Yes)
}

pub(super) fn import_users(connection: &Connection, users: Vec<NewUser>) -> Result<usize> {
    let mut created = 0;
    for user in &users {
        created += usize::from(insert_user(connection, user)?);
    }
    Ok(created)
}

fn insert_user(connection: &Connection, new: &NewUser) -> Result<bool> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO users (id, username, username_key, display_name, role, password_hash, self_room, created_ms, audit_key)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (username) DO NOTHING ON CONFLICT (username_key) DO NOTHING",
    )?;
    let (username, key, display_name) = (new.username.as_str(), new.username_key.as_str(), new.display_name.as_str());
    let (id, role, room, created) = (Sql(new.id), Sql(new.role), Sql(new.self_room), Sql(new.created));
    let (hash, audit_key) = (&new.password_hash, Sql(new.audit_key));
    let added = statement.execute(params![id, username, key, display_name, role, hash, room, created, audit_key])?;
    if added == 0 {
        return Ok(false);
    }
    let mut statement = connection
        .prepare_cached("INSERT INTO rooms (id, kind, incarnation, created_ms, members) VALUES (?, ?, ?, ?, 1)")?;
    statement.execute(params![room, Sql(RoomKind::SelfLog), Sql(new.incarnation), created])?;
    let mut statement =
        connection.prepare_cached("INSERT INTO members (room, user, role, join_seq) VALUES (?, ?, ?, 0)")?;
    // One's own log is the server's to write and one's own to read.
    statement.execute(params![room, id, Sql(RoomRole::Guest)])?;
    Ok(true)
}

pub(super) fn find_login(connection: &Connection, username: Username) -> Result<Option<(User, Option<String>)>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, username, display_name, role, self_room, token_version, created_ms, restriction, until_ms,
                audit_key, password_hash
         FROM users WHERE username = ?",
    )?;
    Ok(statement.query_row([username.as_str()], |row| Ok((user(row)?, row.get(10)?))).optional()?)
}

pub(super) fn has_device(connection: &Connection, username: Username, device: DeviceId) -> Result<bool> {
    let mut statement = connection
        .prepare_cached("SELECT 1 FROM users u JOIN devices d ON d.user = u.id WHERE u.username = ? AND d.id = ?")?;
    Ok(statement.exists(params![username.as_str(), Sql(device)])?)
}

pub(super) fn set_password_hash(connection: &Connection, user: UserId, old: String, new: String) -> Result<bool> {
    let mut statement =
        connection.prepare_cached("UPDATE users SET password_hash = ? WHERE id = ? AND password_hash = ?")?;
    Ok(statement.execute(params![new, Sql(user), old])? > 0)
}

pub(super) fn set_display_name(connection: &Connection, user: UserId, name: DisplayName) -> Result<()> {
    let mut statement = connection.prepare_cached(
        "UPDATE users SET display_name = ?1
         WHERE id = ?2 AND EXISTS (SELECT 1 FROM devices d WHERE d.user = ?2 AND d.active)",
    )?;
    statement.execute(params![name.as_str(), Sql(user)])?;
    Ok(())
}

pub(super) fn find_users(connection: &Connection, users: Vec<UserId>) -> Result<Vec<Member>> {
    let mut statement = connection.prepare_cached("SELECT username, display_name FROM users WHERE id = ?")?;
    let mut found = Vec::with_capacity(users.len());
    for user in users {
        let member =
            |row: &rusqlite::Row<'_>| Ok(Member { user, username: row.get(0)?, display_name: row.get(1)?, role: None });
        found.extend(statement.query_row([Sql(user)], member).optional()?);
    }
    Ok(found)
}

pub(super) fn hash_keys(connection: &Connection, users: Vec<UserId>) -> Result<Vec<(UserId, AuditKey)>> {
    let mut statement =
        connection.prepare_cached("SELECT audit_key FROM users WHERE id = ? AND audit_key IS NOT NULL")?;
    let mut found = Vec::with_capacity(users.len());
    for user in users {
        let key: Option<AuditKey> = statement.query_row([Sql(user)], |row| get(row, 0)).optional()?;
        found.extend(key.map(|key| (user, key)));
    }
    Ok(found)
}

pub(super) fn log_in(connection: &Connection, login: NewLogin) -> Result<Option<LoggedIn>> {
    let (user, device) = (Sql(login.user), Sql(login.device));
    if let Some(hash) = &login.password_hash {
        let mut is_current = connection.prepare_cached("SELECT 1 FROM users WHERE id = ? AND password_hash = ?")?;
        if !is_current.exists(params![user, hash])? {
            return Ok(None);
        }
    }
    let mut statement = connection.prepare_cached(
        "SELECT id, count(*) OVER () FROM devices WHERE user = ? AND active AND id <> ? ORDER BY seen_ms, id LIMIT 1",
    )?;
    let others: Option<(DeviceId, u32)> =
        statement.query_row(params![user, device], |row| Ok((get(row, 0)?, row.get(1)?))).optional()?;
    let oldest = others.filter(|(_, count)| *count >= login.devices_max).map(|(oldest, _)| oldest);
    if let Some(oldest) = oldest {
        log_out(connection, login.user, oldest)?;
    }
    let mut statement = connection.prepare_cached(
        "INSERT INTO devices (id, user, name, active, created_ms, seen_ms) VALUES (?1, ?2, ?3, 1, ?4, ?4)
         ON CONFLICT (user, id) DO UPDATE SET active = 1, name = excluded.name, seen_ms = excluded.seen_ms, login = login + (active = 0)
         RETURNING login",
    )?;
    let number = statement.query_row(params![device, user, login.name.as_str(), Sql(login.now)], |row| row.get(0))?;
    // Tokens that nobody can use any more are told apart from unknown ones by nobody.
    connection.prepare_cached("DELETE FROM refresh_tokens WHERE absolute_ms < ?")?.execute([Sql(login.now)])?;
    if let Some(refresh) = login.refresh {
        connection
            .prepare_cached("DELETE FROM refresh_tokens WHERE user = ? AND device = ?")?
            .execute(params![user, device])?;
        insert_refresh(connection, &refresh, refresh.family.to_be_bytes(), login.user, login.device)?;
    }
    Ok(Some(LoggedIn { login: number, ended: oldest }))
}

fn insert_refresh(
    connection: &Connection,
    refresh: &NewRefresh,
    family: [u8; 16],
    user: UserId,
    device: DeviceId,
) -> Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO refresh_tokens (hash, family, user, device, idle_ms, absolute_ms) VALUES (?, ?, ?, ?, ?, ?)",
    )?;
    let (idle, absolute) = (Sql(refresh.idle_until), Sql(refresh.absolute_until));
    statement.execute(params![refresh.hash, family, Sql(user), Sql(device), idle, absolute])?;
    Ok(())
}

pub(super) fn refresh(connection: &Connection, hash: [u8; 32], next: NewRefresh, now: Millis) -> Result<Refreshed> {
    let mut statement = connection.prepare_cached(
        "SELECT family, user, device, idle_ms, absolute_ms, spent_ms FROM refresh_tokens WHERE hash = ?",
    )?;
    let found = statement.query_row([hash], |row| {
        let spent: Option<Sql<Millis>> = row.get(5)?;
        let (idle, absolute): (Millis, Millis) = (get(row, 3)?, get(row, 4)?);
        let (user, device): (UserId, DeviceId) = (get(row, 1)?, get(row, 2)?);
        Ok((row.get::<_, [u8; 16]>(0)?, user, device, idle, absolute, spent.map(|sql| sql.0)))
    });
    let Some((family, user, device, idle, absolute, spent)) = found.optional()? else { return Ok(Refreshed::Unknown) };
    // Once the next one was spent, its holder has the one behind that: who still offers this one is somebody else.
    let is_stolen = match spent {
        Some(spent) => now.since(spent) > REUSE_GRACE_MS || !is_unspent(connection, next.hash)?,
        None => false,
    };
    if is_stolen {
        connection.prepare_cached("DELETE FROM refresh_tokens WHERE family = ?")?.execute([family])?;
        end_device(connection, user, device)?;
        return Ok(Refreshed::Reused);
    }
    if now >= idle || now >= absolute {
        return Ok(Refreshed::Expired);
    }
    if spent.is_none() {
        connection
            .prepare_cached("UPDATE refresh_tokens SET spent_ms = ? WHERE hash = ?")?
            .execute(params![Sql(now), hash])?;
        let next = NewRefresh { absolute_until: absolute, ..next };
        insert_refresh(connection, &next, family, user, device)?;
    }
    connection.prepare_cached("UPDATE devices SET seen_ms = ? WHERE user = ? AND id = ?")?.execute(params![
        Sql(now),
        Sql(user),
        Sql(device)
    ])?;
    Ok(Refreshed::Yes(user, device))
}

fn is_unspent(connection: &Connection, hash: [u8; 32]) -> Result<bool> {
    let mut statement =
        connection.prepare_cached("SELECT 1 FROM refresh_tokens WHERE hash = ? AND spent_ms IS NULL")?;
    Ok(statement.exists([hash])?)
}

pub(super) fn log_out(connection: &Connection, user: UserId, device: DeviceId) -> Result<()> {
    for sql in [
        "DELETE FROM refresh_tokens WHERE user = ? AND device = ?",
        "DELETE FROM api_keys WHERE user = ? AND device = ?",
    ] {
        connection.prepare_cached(sql)?.execute(params![Sql(user), Sql(device)])?;
    }
    end_device(connection, user, device)
}

fn end_device(connection: &Connection, user: UserId, device: DeviceId) -> Result<()> {
    connection
        .prepare_cached("UPDATE devices SET active = 0 WHERE user = ? AND id = ?")?
        .execute(params![Sql(user), Sql(device)])?;
    revoke(connection, user, Some(device), CloseCode::LoggedOut)
}
