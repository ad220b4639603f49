//! Users, devices and refresh tokens. Locks are taken in one order, so that nobody waits in a circle: the user's row,
//! the device's, its tokens.

use confab_protocol::close::CloseCode;
use confab_protocol::command::Member;
use confab_protocol::model::{DeviceId, DisplayName, Millis, RoomKind, RoomRole, ServerRole, UserId, Username};
use deadpool_postgres::{Client, Transaction};
use uuid::Uuid;

use super::rows::{Stored, get, get_optional, plain, user};
use super::standing::{revoke, spend_ticket};
use crate::core::audit::AuditKey;
use crate::core::standing::TicketKind;
use crate::core::store::{Created, LoggedIn, NewLogin, NewRefresh, NewUser, Refreshed, Result, User};

/// An identical refresh so soon after is the same client trying twice, not a thief.
const REUSE_GRACE_MS: u64 = 10_000;

pub(super) async fn has_owner(client: &Client) -> Result<bool> {
    let statement = client.prepare_cached("SELECT 1 FROM users WHERE role = 1").await?;
    Ok(client.query_opt(&statement, &[]).await?.is_some())
}

pub(super) async fn create_user(client: &mut Client, new: NewUser) -> Result<Created> {
    let transaction = client.transaction().await?;
    let created = insert_users(&transaction, std::slice::from_ref(&new)).await?;
    // After the account, whose name others may wait for; it goes again where the invitation is not good.
    if let Some(ticket) = new.ticket
        && created > 0
        && spend_ticket(&transaction, ticket, TicketKind::Account, new.created).await?.is_none()
    {
        transaction.rollback().await?;
        return Ok(Created::TicketInvalid);
    }
    transaction.commit().await?;
    if created > 0 {
        return Ok(Created::Yes);
    }
    // What was in the way is committed, else the insert would have waited for it; and neither goes away again.
    let is_owned = new.role == ServerRole::Owner && has_owner(client).await?;
    Ok(if is_owned { Created::OwnerExists } else { Created::NameTaken })
}

pub(super) async fn import_users(client: &mut Client, users: Vec<NewUser>) -> Result<usize> {
    let transaction = client.transaction().await?;
    let created = insert_users(&transaction, &users).await?;
    transaction.commit().await?;
    Ok(created)
}

/// Inserts those that nothing is in the way of, each with a log of their own; how many.
async fn insert_users(transaction: &Transaction<'_>, users: &[NewUser]) -> Result<usize> {
    // By key, so that two lists with the same names in different orders do not wait for each other.
    const SQL: &str = "WITH listed AS (
             SELECT DISTINCT ON (username_key) *
             FROM unnest($1::uuid[], $2::text[], $3::text[], $4::smallint[], $5::text[], $6::uuid[], $7::bigint[],
                         $8::bigint[], $9::text[], $10::uuid[])
                 WITH ORDINALITY
                 AS l (id, username, display_name, role, password_hash, self_room, incarnation, created_ms, username_key,
                       audit_key, place)
             ORDER BY username_key, place
         ), added AS (
             INSERT INTO users (id, username, username_key, display_name, role, password_hash, self_room, created_ms,
                 audit_key)
             SELECT id, username, username_key, display_name, role, password_hash, self_room, created_ms, audit_key
             FROM listed ORDER BY username_key
             ON CONFLICT DO NOTHING RETURNING id
         ), logs AS (
             INSERT INTO rooms (id, kind, incarnation, created_ms, members)
             SELECT self_room, $11::smallint, incarnation, created_ms, 1 FROM listed JOIN added USING (id)
         )
         INSERT INTO members (room, user_id, role, join_seq)
         SELECT self_room, id, $12::smallint, 0 FROM listed JOIN added USING (id)";
    fn each<'a, T>(users: &'a [NewUser], of: impl Fn(&'a NewUser) -> T) -> Vec<T> {
        users.iter().map(of).collect()
    }
    let statement = transaction.prepare_cached(SQL).await?;
    let created = transaction
        .execute(
            &statement,
            &[
                &each(users, |new| new.id.sql()),
                &each(users, |new| new.username.as_str()),
                &each(users, |new| new.display_name.as_str()),
                &each(users, |new| new.role.sql()),
                &each(users, |new| new.password_hash.as_deref()),
                &each(users, |new| new.self_room.sql()),
                &each(users, |new| new.incarnation.sql()),
                &each(users, |new| new.created.sql()),
                &each(users, |new| new.username_key.as_str()),
                &each(users, |new| new.audit_key.sql()),
                &RoomKind::SelfLog.sql(),
                // One's own log is the server's to write and one's own to read.
                &RoomRole::Guest.sql(),
            ],
        )
        .await?;
    Ok(usize::try_from(created).unwrap_or(users.len()))
}

pub(super) async fn find_login(client: &Client, username: Username) -> Result<Option<(User, Option<String>)>> {
    const SQL: &str =
        "SELECT id, username, display_name, role, self_room, token_version, created_ms, restriction, until_ms,
             audit_key, password_hash
         FROM users WHERE username = $1";
    let statement = client.prepare_cached(SQL).await?;
    let row = client.query_opt(&statement, &[&username.as_str()]).await?;
    row.map(|row| Ok((user(&row)?, plain(&row, 10)?))).transpose()
}

pub(super) async fn has_device(client: &Client, username: Username, device: DeviceId) -> Result<bool> {
    const SQL: &str = "SELECT 1 FROM users u JOIN devices d ON d.user_id = u.id WHERE u.username = $1 AND d.id = $2";
    let statement = client.prepare_cached(SQL).await?;
    Ok(client.query_opt(&statement, &[&username.as_str(), &device.sql()]).await?.is_some())
}

pub(super) async fn set_password_hash(client: &Client, user: UserId, old: String, new: String) -> Result<bool> {
    const SQL: &str = "UPDATE users SET password_hash = $1 WHERE id = $2 AND password_hash = $3";
    let statement = client.prepare_cached(SQL).await?;
    Ok(client.execute(&statement, &[&new, &user.sql(), &old]).await? > 0)
}

pub(super) async fn set_display_name(client: &Client, user: UserId, name: DisplayName) -> Result<()> {
    const SET: &str = "UPDATE users SET display_name = $1
         WHERE id = $2 AND EXISTS (SELECT 1 FROM devices d WHERE d.user_id = $2 AND d.active)";
    let statement = client.prepare_cached(SET).await?;
    client.execute(&statement, &[&name.as_str(), &user.sql()]).await?;
    Ok(())
}

pub(super) async fn find_users(client: &Client, users: Vec<UserId>) -> Result<Vec<Member>> {
    const SQL: &str = "SELECT u.id, u.username, u.display_name
         FROM unnest($1::uuid[]) WITH ORDINALITY AS l (id, place) JOIN users u ON u.id = l.id ORDER BY l.place";
    let ids: Vec<Uuid> = users.into_iter().map(Stored::sql).collect();
    let statement = client.prepare_cached(SQL).await?;
    let rows = client.query(&statement, &[&ids]).await?;
    rows.iter()
        .map(|row| {
            Ok(Member { user: get(row, 0)?, username: plain(row, 1)?, display_name: plain(row, 2)?, role: None })
        })
        .collect()
}

pub(super) async fn hash_keys(client: &Client, users: Vec<UserId>) -> Result<Vec<(UserId, AuditKey)>> {
    const SQL: &str = "SELECT id, audit_key FROM users WHERE id = ANY ($1::uuid[]) AND audit_key IS NOT NULL";
    let ids: Vec<Uuid> = users.into_iter().map(Stored::sql).collect();
    let statement = client.prepare_cached(SQL).await?;
    let rows = client.query(&statement, &[&ids]).await?;
    rows.iter().map(|row| Ok((get(row, 0)?, get(row, 1)?))).collect()
}

pub(super) async fn log_in(client: &mut Client, login: NewLogin) -> Result<Option<LoggedIn>> {
    const UPSERT: &str = "INSERT INTO devices (id, user_id, name, active, created_ms, seen_ms)
         VALUES ($1, $2, $3, true, $4, $4)
         ON CONFLICT (user_id, id) DO UPDATE SET active = true, name = excluded.name, seen_ms = excluded.seen_ms,
             login = devices.login + CASE WHEN devices.active THEN 0 ELSE 1 END
         RETURNING login";
    let (user, device, now) = (login.user.sql(), login.device.sql(), login.now.sql());
    let transaction = client.transaction().await?;
    // Logins of one user count its devices one after the other.
    const LOCK: &str = "SELECT password_hash FROM users WHERE id = $1 FOR NO KEY UPDATE";
    let statement = transaction.prepare_cached(LOCK).await?;
    let row = transaction.query_opt(&statement, &[&user]).await?;
    let current: Option<String> = row.as_ref().map(|row| plain(row, 0)).transpose()?.flatten();
    if login.password_hash.is_some() && login.password_hash != current {
        return Ok(None);
    }
    let oldest = oldest_in_excess(&transaction, &login).await?;
    if let Some(oldest) = oldest {
        end_login(&transaction, login.user, oldest).await?;
    }
    let statement = transaction.prepare_cached(UPSERT).await?;
    let row = transaction.query_one(&statement, &[&device, &user, &login.name.as_str(), &now]).await?;
    let logins = get(&row, 0)?;
    if let Some(refresh) = login.refresh {
        delete_tokens(&transaction, login.user, login.device).await?;
        insert_refresh(&transaction, &refresh, Uuid::from_u128(refresh.family), login.user, login.device).await?;
    }
    delete_expired(&transaction, login.now).await?;
    transaction.commit().await?;
    Ok(Some(LoggedIn { login: logins, ended: oldest }))
}

/// The one of the other devices that was seen last the longest time ago, if there are too many for one more.
async fn oldest_in_excess(transaction: &Transaction<'_>, login: &NewLogin) -> Result<Option<DeviceId>> {
    const SQL: &str = "SELECT id, count(*) OVER () FROM devices WHERE user_id = $1 AND active AND id <> $2
         ORDER BY seen_ms, id LIMIT 1";
    let statement = transaction.prepare_cached(SQL).await?;
    let row = transaction.query_opt(&statement, &[&login.user.sql(), &login.device.sql()]).await?;
    let Some(row) = row else { return Ok(None) };
    let others: i64 = plain(&row, 1)?;
    if others < i64::from(login.devices_max) { Ok(None) } else { get(&row, 0).map(Some) }
}

/// Tokens that nobody can use any more are told apart from unknown ones by nobody. They are of any device: so this
/// is the last a transaction does, and it leaves alone what another one holds.
async fn delete_expired(transaction: &Transaction<'_>, now: Millis) -> Result<()> {
    const SQL: &str = "DELETE FROM refresh_tokens
         WHERE hash IN (SELECT hash FROM refresh_tokens WHERE absolute_ms < $1 FOR UPDATE SKIP LOCKED)";
    let statement = transaction.prepare_cached(SQL).await?;
    transaction.execute(&statement, &[&now.sql()]).await?;
    Ok(())
}

async fn delete_tokens(transaction: &Transaction<'_>, user: UserId, device: DeviceId) -> Result<()> {
    const SQL: &str = "DELETE FROM refresh_tokens WHERE user_id = $1 AND device = $2";
    let statement = transaction.prepare_cached(SQL).await?;
    transaction.execute(&statement, &[&user.sql(), &device.sql()]).await?;
    Ok(())
}

async fn insert_refresh(
    transaction: &Transaction<'_>,
    refresh: &NewRefresh,
    family: Uuid,
    user: UserId,
    device: DeviceId,
) -> Result<()> {
    const SQL: &str = "INSERT INTO refresh_tokens (hash, family, user_id, device, idle_ms, absolute_ms)
         VALUES ($1, $2, $3, $4, $5, $6)";
    let (idle, absolute) = (refresh.idle_until.sql(), refresh.absolute_until.sql());
    let statement = transaction.prepare_cached(SQL).await?;
    let hash = refresh.hash.as_slice();
    transaction.execute(&statement, &[&hash, &family, &user.sql(), &device.sql(), &idle, &absolute]).await?;
    Ok(())
}

/// What is stored of a refresh token.
struct Token {
    family: Uuid,
    user: UserId,
    device: DeviceId,
    idle: Millis,
    absolute: Millis,
    spent: Option<Millis>,
}

pub(super) async fn refresh(client: &mut Client, hash: [u8; 32], next: NewRefresh, now: Millis) -> Result<Refreshed> {
    let transaction = client.transaction().await?;
    let refreshed = spend(&transaction, &hash, next, now).await?;
    transaction.commit().await?;
    Ok(refreshed)
}

async fn spend(transaction: &Transaction<'_>, hash: &[u8], next: NewRefresh, now: Millis) -> Result<Refreshed> {
    const LOCK: &str = "SELECT 1 FROM devices WHERE user_id = $1 AND id = $2 FOR UPDATE";
    const SPEND: &str = "UPDATE refresh_tokens SET spent_ms = $1 WHERE hash = $2";
    let Some(Token { user, device, .. }) = find_token(transaction, hash).await? else { return Ok(Refreshed::Unknown) };
    let statement = transaction.prepare_cached(LOCK).await?;
    transaction.query_opt(&statement, &[&user.sql(), &device.sql()]).await?;
    // Again: whoever held the lock may have spent the token or ended its login.
    let Some(token) = find_token(transaction, hash).await? else { return Ok(Refreshed::Unknown) };
    // Once the next one was spent, its holder has the one behind that: who still offers this one is somebody else.
    let is_stolen = match token.spent {
        Some(spent) => now.since(spent) > REUSE_GRACE_MS || !is_unspent(transaction, &next.hash).await?,
        None => false,
    };
    if is_stolen {
        let statement = transaction.prepare_cached("DELETE FROM refresh_tokens WHERE family = $1").await?;
        transaction.execute(&statement, &[&token.family]).await?;
        end_device(transaction, user, device).await?;
        return Ok(Refreshed::Reused);
    }
    if now >= token.idle || now >= token.absolute {
        return Ok(Refreshed::Expired);
    }
    if token.spent.is_none() {
        let statement = transaction.prepare_cached(SPEND).await?;
        transaction.execute(&statement, &[&now.sql(), &hash]).await?;
        let next = NewRefresh { absolute_until: token.absolute, ..next };
        insert_refresh(transaction, &next, token.family, user, device).await?;
    }
    let statement =
        transaction.prepare_cached("UPDATE devices SET seen_ms = $1 WHERE user_id = $2 AND id = $3").await?;
    transaction.execute(&statement, &[&now.sql(), &user.sql(), &device.sql()]).await?;
    Ok(Refreshed::Yes(user, device))
}

async fn find_token(transaction: &Transaction<'_>, hash: &[u8]) -> Result<Option<Token>> {
    const SQL: &str =
        "SELECT family, user_id, device, idle_ms, absolute_ms, spent_ms FROM refresh_tokens WHERE hash = $1";
    let statement = transaction.prepare_cached(SQL).await?;
    let Some(row) = transaction.query_opt(&statement, &[&hash]).await? else { return Ok(None) };
    Ok(Some(Token {
        family: plain(&row, 0)?,
        user: get(&row, 1)?,
        device: get(&row, 2)?,
        idle: get(&row, 3)?,
        absolute: get(&row, 4)?,
        spent: get_optional(&row, 5)?,
    }))
}

async fn is_unspent(transaction: &Transaction<'_>, hash: &[u8]) -> Result<bool> {
    const SQL: &str = "SELECT 1 FROM refresh_tokens WHERE hash = $1 AND spent_ms IS NULL";
    let statement = transaction.prepare_cached(SQL).await?;
    Ok(transaction.query_opt(&statement, &[&hash]).await?.is_some())
}

pub(super) async fn log_out(client: &mut Client, user: UserId, device: DeviceId) -> Result<()> {
    let transaction = client.transaction().await?;
    end_login(&transaction, user, device).await?;
    transaction.commit().await?;
    Ok(())
}

async fn end_login(transaction: &Transaction<'_>, user: UserId, device: DeviceId) -> Result<()> {
    delete_tokens(transaction, user, device).await?;
    let statement = transaction.prepare_cached("DELETE FROM api_keys WHERE user_id = $1 AND device = $2").await?;
    transaction.execute(&statement, &[&user.sql(), &device.sql()]).await?;
    end_device(transaction, user, device).await
}

async fn end_device(transaction: &Transaction<'_>, user: UserId, device: DeviceId) -> Result<()> {
    let statement =
        transaction.prepare_cached("UPDATE devices SET active = false WHERE user_id = $1 AND id = $2").await?;
    transaction.execute(&statement, &[&user.sql(), &device.sql()]).await?;
    revoke(transaction, user, Some(device), CloseCode::LoggedOut).await
}
