//! What is held on a person, and how it goes.

use std::time::Duration;

use confab_protocol::close::CloseCode;
use confab_protocol::model::{AuditId, CaseAct, CaseId, DisplayName, Envelope, RoomId, Seq, UserId, Username};
use deadpool_postgres::Client;
use serde_json::{Value, json};
use tokio_postgres::types::ToSql;

use super::rows::{Stored, get, plain};
use super::standing::end_all;
use super::{moderation, seal};
use crate::core::names::Key;
use crate::core::personal::{kept_with_case, noted_by_plugin, said_of_case, unappended};
use crate::core::seal::{Place, Vault};
use crate::core::store::{Held, Result, Scrub};

/// Tables that words of people stand in.
pub(super) const COMPACT: &str = "VACUUM (FULL, ANALYZE) users, devices, refresh_tokens, members, rooms, entries, \
     entry_revisions, reactions, mentions, invites, unappended, case_events, evidence, finding_notes, search, \
     search_progress";

/// How often, and after which wait, it is looked whether somebody reads an older state.
const OLDER_TRIES: u32 = 60;
const OLDER_EVERY: Duration = Duration::from_millis(500);

/// Waits for those who began before now: what they may still see is kept by a table that is written anew. An `ANALYZE` by
/// the database itself is one of them. `false`: somebody takes too long.
pub(super) async fn wait_for_older(client: &tokio_postgres::Client) -> Result<bool> {
    const NOW: &str = "SELECT pg_current_xact_id()::xid::text";
    const OLDER: &str = "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = current_database()
             AND pid <> pg_backend_pid() AND backend_xmin IS NOT NULL AND age(backend_xmin) >= age($1::text::xid))";
    let row = client.query_one(NOW, &[]).await?;
    let now: String = plain(&row, 0)?;
    for _ in 0..OLDER_TRIES {
        let row = client.query_one(OLDER, &[&now]).await?;
        if !plain::<bool>(&row, 0)? {
            return Ok(true);
        }
        tokio::time::sleep(OLDER_EVERY).await;
    }
    Ok(false)
}

pub(super) async fn rooms_ever(client: &mut Client, user: UserId) -> Result<Vec<RoomId>> {
    let statement = client.prepare_cached("SELECT room FROM members WHERE user_id = $1 ORDER BY room").await?;
    client.query(&statement, &[&user.sql()]).await?.iter().map(|row| get(row, 0)).collect()
}

pub(super) async fn records(client: &mut Client, vault: &Vault, user: UserId) -> Result<Vec<Value>> {
    let mut records = Vec::new();
    let rows = async |sql: &str| {
        let statement = client.prepare_cached(sql).await?;
        Result::Ok(client.query(&statement, &[&user.sql()]).await?)
    };
    for row in rows("SELECT name, active, created_ms FROM devices WHERE user_id = $1").await? {
        let (name, active, created): (String, bool, i64) = (plain(&row, 0)?, plain(&row, 1)?, plain(&row, 2)?);
        records.push(json!({ "kind": "device", "name": name, "active": active, "createdMs": created }));
    }
    for row in rows("SELECT room, seq, emoji FROM reactions WHERE user_id = $1").await? {
        let (room, seq, emoji): (RoomId, i64, String) = (get(&row, 0)?, plain(&row, 1)?, plain(&row, 2)?);
        records.push(json!({ "kind": "reaction", "room": room.to_string(), "seq": seq, "emoji": emoji }));
    }
    for row in rows("SELECT room, time_ms, code, detail, payload, client_id FROM unappended WHERE author = $1").await? {
        let (room, time, code): (RoomId, i64, i32) = (get(&row, 0)?, plain(&row, 1)?, plain(&row, 2)?);
        let (detail, payload): (String, Vec<u8>) = (plain(&row, 3)?, plain(&row, 4)?);
        let payload = vault.open(Place::Unappended(room, user, get(&row, 5)?), payload.into())?;
        records.push(unappended(room, time.cast_unsigned(), code.into(), &detail, &payload));
    }
    const SAID: &str = "SELECT case_id, time_ms, act, text FROM case_events
         WHERE actor = $1 AND text <> '' ORDER BY case_id, n";
    for row in rows(SAID).await? {
        let (case, time, act): (CaseId, i64, CaseAct) = (get(&row, 0)?, plain(&row, 1)?, get(&row, 2)?);
        records.push(said_of_case(case, time.cast_unsigned(), act, plain(&row, 3)?));
    }
    const KEPT: &str = "SELECT case_id, room, seq, rev, time_ms, payload FROM evidence
         WHERE author = $1 ORDER BY case_id, seq, rev";
    for row in rows(KEPT).await? {
        let (case, room, seq): (CaseId, RoomId, Seq) = (get(&row, 0)?, get(&row, 1)?, get(&row, 2)?);
        let (rev, time, payload): (u32, i64, Vec<u8>) = (get(&row, 3)?, plain(&row, 4)?, plain(&row, 5)?);
        let payload = vault.open(Place::Entry(room, seq, rev), payload.into())?;
        records.push(kept_with_case(case, room, (seq, rev), time.cast_unsigned(), &payload));
    }
    for row in rows("SELECT audit_id, kept_ms, note FROM finding_notes WHERE author = $1 ORDER BY audit_id").await? {
        let (record, time): (AuditId, i64) = (get(&row, 0)?, plain(&row, 1)?);
        records.push(noted_by_plugin(record, time.cast_unsigned(), plain(&row, 2)?));
    }
    Ok(records)
}

pub(super) async fn count_held(client: &mut Client, user: UserId) -> Result<Held> {
    const COUNT: &str = "SELECT (SELECT count(*) FROM devices WHERE user_id = $1),
         (SELECT count(*) FROM reactions WHERE user_id = $1), (SELECT count(*) FROM mentions WHERE user_id = $1),
         (SELECT count(*) FROM unappended WHERE author = $1), (SELECT count(*) FROM invites WHERE author = $1),
         (SELECT count(*) FROM evidence WHERE author = $1),
         (SELECT count(*) FROM cases WHERE subject = $1
             OR id = ANY (ARRAY(SELECT case_id FROM case_events WHERE actor = $1)))";
    let statement = client.prepare_cached(COUNT).await?;
    let row = client.query_one(&statement, &[&user.sql()]).await?;
    let count = |index| Result::Ok(plain::<i64>(&row, index)?.cast_unsigned());
    Ok(Held {
        devices: count(0)?,
        reactions: count(1)?,
        mentions: count(2)?,
        unappended: count(3)?,
        invites: count(4)?,
        evidence: count(5)?,
        cases: count(6)?,
    })
}

const LOCK: [&str; 2] = [
    "UPDATE users SET password_hash = NULL, token_version = token_version + 1 WHERE id = $1",
    "DELETE FROM tickets WHERE user_id = $1",
];

const SHOW: &str = "UPDATE users SET display_name = $2 WHERE id = $1";

pub(super) async fn lock_account(client: &mut Client, user: UserId, display_name: DisplayName) -> Result<()> {
    let transaction = client.transaction().await?;
    let statement = transaction.prepare_cached(SHOW).await?;
    transaction.execute(&statement, &[&user.sql(), &display_name.as_str()]).await?;
    for sql in LOCK {
        let statement = transaction.prepare_cached(sql).await?;
        transaction.execute(&statement, &[&user.sql()]).await?;
    }
    end_all(&transaction, user, None, CloseCode::LoggedOut).await?;
    Ok(transaction.commit().await?)
}

pub(super) async fn scrub(client: &mut Client, vault: &Vault, room: RoomId, scrub: Scrub) -> Result<()> {
    let (of, room) = (room, room.sql());
    let said: Vec<i64> = scrub.said.iter().map(|seq| seq.sql()).collect();
    let transaction = client.transaction().await?;
    let run = async |sql: &str, params: &[&(dyn ToSql + Sync)]| {
        let statement = transaction.prepare_cached(sql).await?;
        Result::Ok(transaction.execute(&statement, params).await?)
    };
    seal::check(&transaction, vault).await?;
    // As everybody who writes entries does.
    run("SELECT 1 FROM rooms WHERE id = $1 FOR NO KEY UPDATE", &[&room]).await?;
    run("DELETE FROM entry_revisions WHERE room = $1 AND seq = ANY ($2::bigint[])", &[&room, &said]).await?;
    // A digest tells whether somebody said a text that can be guessed.
    run(
        "UPDATE entries SET digest = decode(repeat('00', 16), 'hex') WHERE room = $1 AND seq = ANY ($2::bigint[])",
        &[&room, &said],
    )
    .await?;
    for (Envelope { seq, .. }, payload) in &scrub.rewritten {
        // What it is sealed for is the revision that it becomes.
        const REV: &str = "SELECT rev FROM entries WHERE room = $1 AND seq = $2 FOR UPDATE";
        const WRITE: &str = "UPDATE entries SET payload = $3, rev = $4 WHERE room = $1 AND seq = $2";
        let statement = transaction.prepare_cached(REV).await?;
        let Some(row) = transaction.query_opt(&statement, &[&room, &seq.sql()]).await? else { continue };
        let rev = get::<u32>(&row, 0)? + 1;
        let payload = vault.seal(Place::Entry(of, *seq, rev), payload);
        run(WRITE, &[&room, &seq.sql(), &payload, &rev.sql()]).await?;
    }
    Ok(transaction.commit().await?)
}

pub(super) async fn erase_account(
    client: &mut Client,
    user: UserId,
    self_room: RoomId,
    (username, key): (Username, Key),
    display_name: DisplayName,
) -> Result<()> {
    let transaction = client.transaction().await?;
    let run = async |sql: &str, params: &[&(dyn ToSql + Sync)]| {
        let statement = transaction.prepare_cached(sql).await?;
        Result::Ok(transaction.execute(&statement, params).await?)
    };
    for sql in LOCK {
        run(sql, &[&user.sql()]).await?;
    }
    for sql in [
        "DELETE FROM devices WHERE user_id = $1",
        "DELETE FROM reactions WHERE user_id = $1",
        "DELETE FROM mentions WHERE user_id = $1",
        "DELETE FROM unappended WHERE author = $1",
        "DELETE FROM invites WHERE author = $1",
    ] {
        run(sql, &[&user.sql()]).await?;
    }
    for sql in moderation::ERASE {
        run(sql, &[&user.sql()]).await?;
    }
    run("DELETE FROM entries WHERE room = $1", &[&self_room.sql()]).await?;
    run("UPDATE rooms SET first_seq = head + 1 WHERE id = $1", &[&self_room.sql()]).await?;
    const RENAME: &str = "UPDATE users SET username = $2, username_key = $3, display_name = $4, role = 4,
             audit_key = NULL
         WHERE id = $1";
    let names: [&(dyn ToSql + Sync); 4] = [&user.sql(), &username.as_str(), &key.as_str(), &display_name.as_str()];
    run(RENAME, &names).await?;
    end_all(&transaction, user, None, CloseCode::LoggedOut).await?;
    Ok(transaction.commit().await?)
}
