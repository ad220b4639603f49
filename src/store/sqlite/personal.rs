//! What is held on a person, and how it goes.

use confab_protocol::close::CloseCode;
use confab_protocol::model::{AuditId, CaseId, DisplayName, Envelope, RoomId, Seq, UserId, Username};
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Value, json};

use super::logs::checksum;
use super::rows::{Sql, get};
use crate::core::names::Key;
use crate::core::seal::{Place as SealedAt, Vault};
use crate::core::store::{Held, Result, Scrub};

pub(super) fn rooms_ever(connection: &Connection, user: UserId) -> Result<Vec<RoomId>> {
    let mut statement = connection.prepare_cached("SELECT room FROM members WHERE user = ? ORDER BY room")?;
    Ok(statement.query_map([Sql(user)], |row| get(row, 0))?.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn records(connection: &Connection, vault: &Vault, user: UserId) -> Result<Vec<Value>> {
    let mut records = Vec::new();
    let mut devices = connection.prepare_cached("SELECT name, active, created_ms FROM devices WHERE user = ?")?;
    let device = |row: &rusqlite::Row<'_>| {
        let (name, active, created): (String, bool, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(json!({ "kind": "device", "name": name, "active": active, "createdMs": created }))
    };
    for record in devices.query_map([Sql(user)], device)? {
        records.push(record?);
    }
    let mut reactions = connection.prepare_cached("SELECT room, seq, emoji FROM reactions WHERE user = ?")?;
    let reaction = |row: &rusqlite::Row<'_>| {
        let (room, seq, emoji): (RoomId, i64, String) = (get(row, 0)?, row.get(1)?, row.get(2)?);
        Ok(json!({ "kind": "reaction", "room": room.to_string(), "seq": seq, "emoji": emoji }))
    };
    for record in reactions.query_map([Sql(user)], reaction)? {
        records.push(record?);
    }
    let mut held = connection
        .prepare_cached("SELECT room, time_ms, code, detail, payload, client_id FROM unappended WHERE author = ?")?;
    let mut rows = held.query([Sql(user)])?;
    while let Some(row) = rows.next()? {
        let (room, time, code): (RoomId, i64, i64) = (get(row, 0)?, row.get(1)?, row.get(2)?);
        let (detail, payload): (String, Vec<u8>) = (row.get(3)?, row.get(4)?);
        let payload = vault.open(SealedAt::Unappended(room, user, get(row, 5)?), payload.into())?;
        records.push(crate::core::personal::unappended(room, time.cast_unsigned(), code, &detail, &payload));
    }
    let mut said = connection.prepare_cached(
        "SELECT case_id, time_ms, act, text FROM case_events WHERE actor = ? AND text <> '' ORDER BY case_id, n",
    )?;
    let event = |row: &rusqlite::Row<'_>| {
        let (case, time, text): (CaseId, i64, String) = (get(row, 0)?, row.get(1)?, row.get(3)?);
        Ok(crate::core::personal::said_of_case(case, time.cast_unsigned(), get(row, 2)?, &text))
    };
    for record in said.query_map([Sql(user)], event)? {
        records.push(record?);
    }
    let mut kept = connection.prepare_cached(
        "SELECT case_id, room, seq, rev, time_ms, payload FROM evidence WHERE author = ?
         ORDER BY case_id, seq, rev",
    )?;
    let mut rows = kept.query([Sql(user)])?;
    while let Some(row) = rows.next()? {
        let (case, room, seq): (CaseId, RoomId, Seq) = (get(row, 0)?, get(row, 1)?, get(row, 2)?);
        let (rev, time, payload): (u32, i64, Vec<u8>) = (row.get(3)?, row.get(4)?, row.get(5)?);
        let payload = vault.open(SealedAt::Entry(room, seq, rev), payload.into())?;
        records.push(crate::core::personal::kept_with_case(case, room, (seq, rev), time.cast_unsigned(), &payload));
    }
    let mut noted = connection
        .prepare_cached("SELECT audit_id, kept_ms, note FROM finding_notes WHERE author = ? ORDER BY audit_id")?;
    let note = |row: &rusqlite::Row<'_>| {
        let (record, time, note): (AuditId, i64, String) = (get(row, 0)?, row.get(1)?, row.get(2)?);
        Ok(crate::core::personal::noted_by_plugin(record, time.cast_unsigned(), &note))
    };
    for record in noted.query_map([Sql(user)], note)? {
        records.push(record?);
    }
    Ok(records)
}

pub(super) fn count_held(connection: &Connection, user: UserId) -> Result<Held> {
    let count = |sql: &str| -> Result<u64> {
        Ok(connection.prepare_cached(sql)?.query_row([Sql(user)], |row| row.get::<_, i64>(0))?.cast_unsigned())
    };
    Ok(Held {
        devices: count("SELECT count(*) FROM devices WHERE user = ?")?,
        reactions: count("SELECT count(*) FROM reactions WHERE user = ?")?,
        mentions: count("SELECT count(*) FROM mentions WHERE user = ?")?,
        unappended: count("SELECT count(*) FROM unappended WHERE author = ?")?,
        invites: count("SELECT count(*) FROM invites WHERE author = ?")?,
        evidence: count("SELECT count(*) FROM evidence WHERE author = ?")?,
        cases: count(
            "SELECT count(*) FROM cases WHERE subject = ?1 OR id IN (SELECT case_id FROM case_events WHERE actor = ?1)",
        )?,
    })
}

pub(super) fn lock_account(connection: &Connection, user: UserId, display_name: DisplayName) -> Result<()> {
    connection
        .prepare_cached("UPDATE users SET display_name = ? WHERE id = ?")?
        .execute(params![display_name.as_str(), Sql(user)])?;
    for sql in [
        "UPDATE users SET password_hash = NULL, token_version = token_version + 1 WHERE id = ?",
        "DELETE FROM tickets WHERE user = ?",
    ] {
        connection.prepare_cached(sql)?.execute([Sql(user)])?;
    }
    super::standing::end_all(connection, user, None, CloseCode::LoggedOut)
}

pub(super) fn scrub(connection: &Connection, vault: &Vault, room: RoomId, scrub: Scrub) -> Result<()> {
    super::seal::check(connection, vault)?;
    for seq in scrub.said {
        let key = params![Sql(room), Sql(seq)];
        connection.prepare_cached("DELETE FROM entry_revisions WHERE room = ? AND seq = ?")?.execute(key)?;
        // A digest tells whether somebody said a text that can be guessed.
        connection
            .prepare_cached("UPDATE entries SET digest = zeroblob(16) WHERE room = ? AND seq = ?")?
            .execute(key)?;
    }
    for (Envelope { seq, .. }, payload) in scrub.rewritten {
        rewrite(connection, vault, room, seq, &payload)?;
    }
    Ok(())
}

fn rewrite(connection: &Connection, vault: &Vault, room: RoomId, seq: Seq, payload: &[u8]) -> Result<()> {
    let stands = connection
        .prepare_cached("SELECT time_ms, rev, kind FROM entries WHERE room = ? AND seq = ?")?
        .query_row(params![Sql(room), Sql(seq)], |row| Ok((get(row, 0)?, row.get::<_, u32>(1)?, row.get::<_, u8>(2)?)))
        .optional()?;
    let Some((time, rev, kind)) = stands else { return Ok(()) };
    let payload = vault.seal(SealedAt::Entry(room, seq, rev + 1), payload);
    let sum = checksum(room, seq, time, rev + 1, kind, &payload);
    connection
        .prepare_cached("UPDATE entries SET payload = ?3, rev = ?4, checksum = ?5 WHERE room = ?1 AND seq = ?2")?
        .execute(params![Sql(room), Sql(seq), payload, rev + 1, sum])?;
    Ok(())
}

pub(super) fn erase_account(
    connection: &Connection,
    user: UserId,
    self_room: RoomId,
    (username, key): (Username, Key),
    display_name: DisplayName,
) -> Result<()> {
    lock_account(connection, user, display_name)?;
    for sql in [
        "DELETE FROM devices WHERE user = ?",
        "DELETE FROM reactions WHERE user = ?",
        "DELETE FROM mentions WHERE user = ?",
        "DELETE FROM unappended WHERE author = ?",
        "DELETE FROM invites WHERE author = ?",
    ] {
        connection.prepare_cached(sql)?.execute([Sql(user)])?;
    }
    super::moderation::erase(connection, user)?;
    connection.prepare_cached("DELETE FROM entries WHERE room = ?")?.execute([Sql(self_room)])?;
    connection.prepare_cached("UPDATE rooms SET first_seq = head + 1 WHERE id = ?")?.execute([Sql(self_room)])?;
    connection
        .prepare_cached("UPDATE users SET username = ?2, username_key = ?3, role = 4, audit_key = NULL WHERE id = ?1")?
        .execute(params![Sql(user), username.as_str(), key.as_str()])?;
    Ok(())
}
