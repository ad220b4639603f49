//! Logins, keys, tickets, and what every server on the database heeds. The lock of the controls is the last that a
//! transaction takes.

use confab_protocol::close::CloseCode;
use confab_protocol::model::{DeviceId, Millis, SanctionKind, ServerRole, UserId};
use deadpool_postgres::{Client, Transaction};
use tokio_postgres::types::ToSql;

use super::moderation::add_records;
use super::rows::{Stored, get, get_optional, plain, user};
use crate::core::cases::NewRecord;
use crate::core::restriction::{changed, role_changed};
use crate::core::standing::{
    Controls, FoundKey, Level, LoginRow, NewKey, NewTicket, REVOKED_KEPT, Revoked, Scopes, Standing, TicketKind,
};
use crate::core::store::{Restrict, Restriction, Result, User};

async fn run(transaction: &Transaction<'_>, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<u64> {
    let statement = transaction.prepare_cached(sql).await?;
    Ok(transaction.execute(&statement, params).await?)
}

pub(super) async fn find_identity(client: &Client, id: UserId, device: DeviceId) -> Result<Option<Standing>> {
    const SQL: &str = "SELECT u.id, username, display_name, role, self_room, token_version, u.created_ms, restriction,
             until_ms, audit_key, d.login, d.scopes, (SELECT epoch FROM controls)
         FROM users u JOIN devices d ON d.user_id = u.id WHERE u.id = $1 AND d.id = $2 AND d.active";
    let statement = client.prepare_cached(SQL).await?;
    let Some(row) = client.query_opt(&statement, &[&id.sql(), &device.sql()]).await? else { return Ok(None) };
    let scopes = u8::try_from(plain::<i16>(&row, 11)?).unwrap_or_default();
    let epoch = plain::<i64>(&row, 12)?.cast_unsigned();
    Ok(Some(Standing { user: user(&row)?, login: get(&row, 10)?, scopes: Scopes::from_number(scopes), epoch }))
}

pub(super) async fn find_user(client: &Client, id: UserId) -> Result<Option<User>> {
    const SQL: &str = "SELECT id, username, display_name, role, self_room, token_version, created_ms, restriction,
             until_ms, audit_key
         FROM users WHERE id = $1";
    let statement = client.prepare_cached(SQL).await?;
    client.query_opt(&statement, &[&id.sql()]).await?.map(|row| user(&row)).transpose()
}

pub(super) async fn logins(client: &Client, user: UserId) -> Result<Vec<LoginRow>> {
    const SQL: &str = "SELECT d.id, name, created_ms, seen_ms, k.hash IS NOT NULL
         FROM devices d LEFT JOIN api_keys k ON k.user_id = d.user_id AND k.device = d.id
         WHERE d.user_id = $1 AND d.active ORDER BY d.id";
    let statement = client.prepare_cached(SQL).await?;
    let rows = client.query(&statement, &[&user.sql()]).await?;
    rows.iter()
        .map(|row| {
            Ok(LoginRow {
                device: get(row, 0)?,
                name: plain(row, 1)?,
                created: get(row, 2)?,
                seen: get(row, 3)?,
                is_key: plain(row, 4)?,
            })
        })
        .collect()
}

/// Ends all logins of somebody, or all but one, and forgets what could begin them again.
pub(super) async fn end_all(
    transaction: &Transaction<'_>,
    user: UserId,
    except: Option<DeviceId>,
    code: CloseCode,
) -> Result<()> {
    const END: &str = "UPDATE devices SET active = false
         WHERE user_id = $1 AND active AND id IS DISTINCT FROM $2 RETURNING id";
    let params: [&(dyn ToSql + Sync); 2] = [&user.sql(), &except.map(Stored::sql)];
    // As whoever logs in does: no login begins meanwhile.
    run(transaction, "SELECT 1 FROM users WHERE id = $1 FOR NO KEY UPDATE", &params[..1]).await?;
    let statement = transaction.prepare_cached(END).await?;
    let ended = transaction.query(&statement, &params).await?;
    for sql in [
        "DELETE FROM refresh_tokens WHERE user_id = $1 AND device IS DISTINCT FROM $2",
        "DELETE FROM api_keys WHERE user_id = $1 AND device IS DISTINCT FROM $2",
    ] {
        run(transaction, sql, &params).await?;
    }
    if except.is_none() {
        return revoke(transaction, user, None, code).await;
    }
    for row in &ended {
        revoke(transaction, user, Some(get(row, 0)?), code).await?;
    }
    Ok(())
}

pub(super) async fn end_logins(client: &mut Client, user: UserId, except: DeviceId) -> Result<()> {
    let transaction = client.transaction().await?;
    end_all(&transaction, user, Some(except), CloseCode::LoggedOut).await?;
    Ok(transaction.commit().await?)
}

pub(super) async fn change_password(
    client: &mut Client,
    user: UserId,
    old: String,
    new: String,
    device: DeviceId,
) -> Result<bool> {
    const SQL: &str = "UPDATE users SET password_hash = $1 WHERE id = $2 AND password_hash = $3
             AND EXISTS (SELECT 1 FROM devices d WHERE d.user_id = $2 AND d.id = $4 AND d.active)";
    let transaction = client.transaction().await?;
    // Whoever ends the login meanwhile holds this: it is seen by the statement that follows.
    run(&transaction, "SELECT 1 FROM users WHERE id = $1 FOR NO KEY UPDATE", &[&user.sql()]).await?;
    if run(&transaction, SQL, &[&new, &user.sql(), &old, &device.sql()]).await? == 0 {
        return Ok(false);
    }
    end_all(&transaction, user, Some(device), CloseCode::LoggedOut).await?;
    transaction.commit().await?;
    Ok(true)
}

pub(super) async fn restrict(client: &mut Client, restrict: Restrict) -> Result<bool> {
    const FOUND: &str = "SELECT restriction, until_ms FROM users WHERE id = $1 AND role > $2 FOR NO KEY UPDATE";
    const SET: &str = "UPDATE users SET restriction = $2, until_ms = $3 WHERE id = $1";
    let Restrict { user, below, kind, .. } = restrict;
    let transaction = client.transaction().await?;
    let statement = transaction.prepare_cached(FOUND).await?;
    let found = transaction.query_opt(&statement, &[&user.sql(), &rank(below)]).await?;
    let Some(found) = found else { return Ok(false) };
    let number = u8::try_from(plain::<i16>(&found, 0)?).unwrap_or(u8::MAX);
    let had = Restriction::from_numbers(number, plain::<i64>(&found, 1)?.cast_unsigned());
    let Some((has, record)) = restrict.apply(had) else { return Ok(false) };
    let (number, until) = Restriction::to_numbers(has);
    run(&transaction, SET, &[&user.sql(), &i16::from(number), &until.cast_signed()]).await?;
    add_records(&transaction, &[record]).await?;
    match kind {
        SanctionKind::Ban => end_all(&transaction, user, None, CloseCode::Banned).await?,
        SanctionKind::Kick => end_all(&transaction, user, None, CloseCode::LoggedOut).await?,
        SanctionKind::Mute | SanctionKind::Shadow | SanctionKind::Lift => {
            revoke(&transaction, user, None, CloseCode::RightsChanged).await?;
        }
    }
    transaction.commit().await?;
    Ok(true)
}

/// The number that those of lower rank are above.
fn rank(below: Option<ServerRole>) -> i16 {
    below.map_or(0, |role| role.number().into())
}

pub(super) async fn set_server_role(
    client: &mut Client,
    user: UserId,
    below: Option<ServerRole>,
    role: ServerRole,
    record: NewRecord,
) -> Result<bool> {
    const FOUND: &str = "SELECT role FROM users WHERE id = $1 AND role > $2 AND role <> 1 FOR NO KEY UPDATE";
    let transaction = client.transaction().await?;
    let statement = transaction.prepare_cached(FOUND).await?;
    let found = transaction.query_opt(&statement, &[&user.sql(), &rank(below)]).await?;
    let Some(found) = found else { return Ok(false) };
    run(&transaction, "UPDATE users SET role = $2 WHERE id = $1", &[&user.sql(), &role.sql()]).await?;
    add_records(&transaction, &[role_changed(record, get(&found, 0)?, role)]).await?;
    revoke(&transaction, user, None, CloseCode::RightsChanged).await?;
    transaction.commit().await?;
    Ok(true)
}

/// A ticket that is good: also, whoever gave it may still do so. Role 2 is an admin, 3 a moderator.
macro_rules! good_ticket {
    () => {
        "hash = $1 AND kind = $2 AND uses_left > 0 AND expires_ms >= $3
             AND (author = '00000000-0000-0000-0000-000000000000' OR EXISTS (
                 SELECT 1 FROM users a WHERE a.id = author AND a.restriction IN (0, 3)
                     AND (kind = 2 AND a.role <= 3
                         OR kind = 1 AND a.role <= 2 AND a.role < (SELECT u.role FROM users u WHERE u.id = tickets.user_id))))"
    };
}

pub(super) async fn create_ticket(client: &mut Client, ticket: NewTicket) -> Result<()> {
    const INSERT: &str =
        "INSERT INTO tickets (hash, kind, user_id, author, uses_left, expires_ms) VALUES ($1, $2, $3, $4, $5, $6)";
    let NewTicket { hash, kind, user, author, uses, expires, now } = ticket;
    let transaction = client.transaction().await?;
    let (hash, kind) = (hash.as_slice(), kind as i16);
    run(&transaction, INSERT, &[&hash, &kind, &user.sql(), &author.sql(), &uses.sql(), &expires.sql()]).await?;
    let old =
        "DELETE FROM tickets WHERE hash IN (SELECT hash FROM tickets WHERE expires_ms < $1 FOR UPDATE SKIP LOCKED)";
    run(&transaction, old, &[&now.sql()]).await?;
    Ok(transaction.commit().await?)
}

pub(super) async fn has_ticket(client: &Client, hash: [u8; 32], kind: TicketKind, now: Millis) -> Result<bool> {
    const SQL: &str = concat!("SELECT 1 FROM tickets WHERE ", good_ticket!());
    let statement = client.prepare_cached(SQL).await?;
    Ok(client.query_opt(&statement, &[&hash.as_slice(), &(kind as i16), &now.sql()]).await?.is_some())
}

/// One use of a ticket: whose it is, if it was good.
pub(super) async fn spend_ticket(
    transaction: &Transaction<'_>,
    hash: [u8; 32],
    kind: TicketKind,
    now: Millis,
) -> Result<Option<UserId>> {
    const SQL: &str =
        concat!("UPDATE tickets SET uses_left = uses_left - 1 WHERE ", good_ticket!(), " RETURNING user_id");
    let statement = transaction.prepare_cached(SQL).await?;
    let row = transaction.query_opt(&statement, &[&hash.as_slice(), &(kind as i16), &now.sql()]).await?;
    row.map(|row| get(&row, 0)).transpose()
}

pub(super) async fn reset_password(
    client: &mut Client,
    ticket: [u8; 32],
    hash: String,
    now: Millis,
) -> Result<Option<UserId>> {
    const SET: &str = "UPDATE users SET password_hash = $2, token_version = token_version + 1 WHERE id = $1";
    let transaction = client.transaction().await?;
    let Some(user) = spend_ticket(&transaction, ticket, TicketKind::Reset, now).await? else { return Ok(None) };
    run(&transaction, SET, &[&user.sql(), &hash]).await?;
    // Others that are under way for the same account are nobody's any more.
    let others = "DELETE FROM tickets WHERE user_id = $1 AND kind = $2";
    run(&transaction, others, &[&user.sql(), &(TicketKind::Reset as i16)]).await?;
    end_all(&transaction, user, None, CloseCode::LoggedOut).await?;
    transaction.commit().await?;
    Ok(Some(user))
}

pub(super) async fn create_key(client: &mut Client, key: NewKey) -> Result<()> {
    const DEVICE: &str = "INSERT INTO devices (id, user_id, name, active, created_ms, seen_ms, scopes)
         VALUES ($1, $2, $3, true, $4, $4, $5)";
    const KEY: &str = "INSERT INTO api_keys (hash, user_id, device, expires_ms) VALUES ($1, $2, $3, $4)";
    let NewKey { hash, user, device, name, scopes, expires, now } = key;
    let (user, device, scopes) = (user.sql(), device.sql(), i16::from(scopes.number()));
    let transaction = client.transaction().await?;
    run(&transaction, DEVICE, &[&device, &user, &name, &now.sql(), &scopes]).await?;
    run(&transaction, KEY, &[&hash.as_slice(), &user, &device, &expires.sql()]).await?;
    Ok(transaction.commit().await?)
}

pub(super) async fn find_key(client: &Client, hash: [u8; 32]) -> Result<Option<FoundKey>> {
    let statement = client.prepare_cached("SELECT user_id, device, expires_ms FROM api_keys WHERE hash = $1").await?;
    let row = client.query_opt(&statement, &[&hash.as_slice()]).await?;
    row.map(|row| Ok(FoundKey { user: get(&row, 0)?, device: get(&row, 1)?, expires: get(&row, 2)? })).transpose()
}

pub(super) async fn controls(client: &Client, since: u64) -> Result<Controls> {
    // One statement, so that it is of one moment.
    const SQL: &str = "SELECT c.epoch, c.level, r.user_id, r.device, r.code, r.epoch
         FROM controls c LEFT JOIN revocations r ON r.epoch > $1 ORDER BY r.epoch";
    let statement = client.prepare_cached(SQL).await?;
    let rows = client.query(&statement, &[&since.cast_signed()]).await?;
    let mut controls = Controls::default();
    for row in &rows {
        controls.epoch = plain::<i64>(row, 0)?.cast_unsigned();
        controls.level = Level::from_number(u8::try_from(plain::<i16>(row, 1)?).unwrap_or(u8::MAX));
        let (user, device): (Option<UserId>, Option<DeviceId>) = (get_optional(row, 2)?, get_optional(row, 3)?);
        let code: Option<i16> = plain(row, 4)?;
        let code = code.and_then(|code| CloseCode::from_number(code.cast_unsigned()));
        let code = code.unwrap_or(CloseCode::LoggedOut);
        let epoch = plain::<Option<i64>>(row, 5)?.unwrap_or_default().cast_unsigned();
        controls.revoked.extend(user.map(|user| Revoked { epoch, user, device, code }));
    }
    Ok(controls)
}

pub(super) async fn set_level(client: &mut Client, level: Level, record: NewRecord) -> Result<()> {
    let level = level as i16;
    let transaction = client.transaction().await?;
    let statement = transaction.prepare_cached("SELECT level FROM controls FOR UPDATE").await?;
    let had: i16 = plain(&transaction.query_one(&statement, &[]).await?, 0)?;
    add_records(&transaction, &[changed(record, &had.to_string(), &level.to_string())]).await?;
    run(&transaction, "UPDATE controls SET level = $1, epoch = epoch + 1", &[&level]).await?;
    Ok(transaction.commit().await?)
}

/// Tells every server to close connections.
pub(super) async fn revoke(
    transaction: &Transaction<'_>,
    user: UserId,
    device: Option<DeviceId>,
    code: CloseCode,
) -> Result<()> {
    const SQL: &str = "WITH next AS (UPDATE controls SET epoch = epoch + 1 RETURNING epoch),
         old AS (DELETE FROM revocations WHERE epoch <= (SELECT epoch FROM next) - $4)
         INSERT INTO revocations (epoch, user_id, device, code) SELECT epoch, $1, $2, $3 FROM next";
    let kept = REVOKED_KEPT.cast_signed();
    let code = code.number().cast_signed();
    run(transaction, SQL, &[&user.sql(), &device.map(Stored::sql), &code, &kept]).await?;
    Ok(())
}
