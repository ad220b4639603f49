//! Users, devices and refresh tokens.

use confab_protocol::command::Member;
use confab_protocol::model::{DeviceId, DisplayName, Millis, RoomKind, RoomRole, UserId, Username};
use rusqlite::{Connection, OptionalExtension, params};

use super::rows::{Sql, get, user};
use crate::core::store::{Created, LoggedIn, NewLogin, NewRefresh, NewUser, Refreshed, Result, User};

/// An identical refresh so soon after is the same client trying twice, not a thief.
const REUSE_GRACE_MS: u64 = 10_000;

pub(super) fn has_owner(connection: &Connection) -> Result<bool> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM users WHERE role = 1")?;
    Ok(statement.exists([])?)
}

pub(super) fn create_user(connection: &Connection, new: NewUser) -> Result<Created> {
    if new.role.number() == 1 && has_owner(connection)? {
        return Ok(Created::OwnerExists);
    }
    Ok(if insert_user(connection, &new)? { Created::Yes } else { Created::NameTaken })
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
        "INSERT INTO users (id, username, display_name, role, password_hash, self_room, created_ms)
         VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (username) DO NOTHING",
    )?;
    let (username, display_name) = (new.username.as_str(), new.display_name.as_str());
    let (id, role, room, created) = (Sql(new.id), Sql(new.role), Sql(new.self_room), Sql(new.created));
    if statement.execute(params![id, username, display_name, role, new.password_hash, room, created])? == 0 {
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
        "SELECT id, username, display_name, role, self_room, token_version, created_ms, password_hash
         FROM users WHERE username = ?",
    )?;
    Ok(statement.query_row([username.as_str()], |row| Ok((user(row)?, row.get(7)?))).optional()?)
}

pub(super) fn set_password_hash(connection: &Connection, user: UserId, hash: String) -> Result<()> {
    connection.prepare_cached("UPDATE users SET password_hash = ? WHERE id = ?")?.execute(params![hash, Sql(user)])?;
    Ok(())
}

pub(super) fn set_display_name(connection: &Connection, user: UserId, name: DisplayName) -> Result<()> {
    let mut statement = connection.prepare_cached(
        "UPDATE users SET display_name = ?1
         WHERE id = ?2 AND EXISTS (SELECT 1 FROM devices d WHERE d.user = ?2 AND d.active)",
    )?;
    statement.execute(params![name.as_str(), Sql(user)])?;
    Ok(())
}

pub(super) fn find_identity(connection: &Connection, id: UserId, device: DeviceId) -> Result<Option<(User, u32)>> {
    let mut statement = connection.prepare_cached(
        "SELECT u.id, username, display_name, role, self_room, token_version, u.created_ms, d.login
         FROM users u JOIN devices d ON d.user = u.id WHERE u.id = ? AND d.id = ? AND d.active",
    )?;
    Ok(statement.query_row(params![Sql(id), Sql(device)], |row| Ok((user(row)?, row.get(7)?))).optional()?)
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

pub(super) fn log_in(connection: &Connection, login: NewLogin) -> Result<LoggedIn> {
    let (user, device) = (Sql(login.user), Sql(login.device));
    let mut statement = connection.prepare_cached(
        "SELECT id, count(*) OVER () FROM devices WHERE user = ? AND active AND id <> ? ORDER BY created_ms, id LIMIT 1",
    )?;
    let others: Option<(DeviceId, u32)> =
        statement.query_row(params![user, device], |row| Ok((get(row, 0)?, row.get(1)?))).optional()?;
    let oldest = others.filter(|(_, count)| *count >= login.devices_max).map(|(oldest, _)| oldest);
    if let Some(oldest) = oldest {
        log_out(connection, login.user, oldest)?;
    }
    let mut statement = connection.prepare_cached(
        "INSERT INTO devices (id, user, name, active, created_ms) VALUES (?, ?, ?, 1, ?)
         ON CONFLICT (user, id) DO UPDATE SET active = 1, name = excluded.name, login = login + (active = 0)
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
    Ok(LoggedIn { login: number, ended: oldest })
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
    // Once a later token was spent, the holder of this one has the next: who still offers it is somebody else.
    let is_stolen = match spent {
        Some(spent) => now.since(spent) > REUSE_GRACE_MS || is_spent_after(connection, family, spent)?,
        None => false,
    };
    if is_stolen {
        connection.prepare_cached("DELETE FROM refresh_tokens WHERE family = ?")?.execute([family])?;
        end_device(connection, user, device)?;
        return Ok(Refreshed::Reused(user, device));
    }
    if now >= idle || now >= absolute {
        return Ok(Refreshed::Expired);
    }
    connection
        .prepare_cached("UPDATE refresh_tokens SET spent_ms = coalesce(spent_ms, ?) WHERE hash = ?")?
        .execute(params![Sql(now), hash])?;
    let next = NewRefresh { absolute_until: absolute, ..next };
    insert_refresh(connection, &next, family, user, device)?;
    Ok(Refreshed::Yes(user, device))
}

fn is_spent_after(connection: &Connection, family: [u8; 16], spent: Millis) -> Result<bool> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM refresh_tokens WHERE family = ? AND spent_ms > ?")?;
    Ok(statement.exists(params![family, Sql(spent)])?)
}

pub(super) fn log_out(connection: &Connection, user: UserId, device: DeviceId) -> Result<()> {
    connection
        .prepare_cached("DELETE FROM refresh_tokens WHERE user = ? AND device = ?")?
        .execute(params![Sql(user), Sql(device)])?;
    end_device(connection, user, device)
}

fn end_device(connection: &Connection, user: UserId, device: DeviceId) -> Result<()> {
    connection
        .prepare_cached("UPDATE devices SET active = 0 WHERE user = ? AND id = ?")?
        .execute(params![Sql(user), Sql(device)])?;
    Ok(())
}
