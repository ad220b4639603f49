//! Keys that sealed something here, and sealing anew.

use confab_protocol::model::{CaseId, Millis, RoomId, Seq};
use rusqlite::{Connection, Row, params};

use super::logs::checksum;
use super::rooms::bound;
use super::rows::{Sql, get};
use crate::core::seal::{KnownKey, Place, Resealed, ResealedTo, Vault};
use crate::core::store::{Error, Result};

/// Before the store is used: with keys that do not open what is in it, it is not.
pub(super) fn admit(connection: &Connection, vault: &mut Vault) -> Result<()> {
    let mut statement = connection.prepare("SELECT id, fingerprint FROM seal_keys ORDER BY id")?;
    let known: Vec<KnownKey> =
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<_>>()?;
    if let Some((id, fingerprint)) =
        vault.admit(&known).map_err(|what| Error::Unavailable(format!("store.seal_keys: {what}")))?
    {
        connection.execute("INSERT INTO seal_keys (id, fingerprint) VALUES (?, ?)", params![id, fingerprint])?;
    }
    Ok(())
}

/// Within a transaction that writes what may be sealed.
pub(super) fn check(connection: &Connection, vault: &Vault) -> Result<()> {
    let mut statement = connection.prepare_cached("SELECT id FROM seal_keys")?;
    let known: Vec<u32> = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    vault.check(&known)
}

pub(super) fn forget_keys(connection: &Connection, vault: &Vault) -> Result<()> {
    for id in vault.replaced() {
        connection.execute("DELETE FROM seal_keys WHERE id = ?", [id])?;
    }
    Ok(())
}

pub(super) fn reseal(connection: &Connection, vault: &Vault, from: Resealed, limit: usize) -> Result<Resealed> {
    check(connection, vault)?;
    match from.at {
        ResealedTo::Entry(room, seq) => reseal_entries(connection, vault, from, (room, seq), limit),
        ResealedTo::Revision(room, seq, rev) => reseal_revisions(connection, vault, from, (room, seq, rev), limit),
        ResealedTo::Unappended(..) => reseal_unappended(connection, vault, from, limit),
        ResealedTo::Evidence(case, seq, rev) => reseal_evidence(connection, vault, from, (case, seq, rev), limit),
        ResealedTo::End => Ok(from),
    }
}

fn check_sum(stored: u32, found: u32, room: RoomId, seq: Seq) -> Result<()> {
    if stored == found {
        return Ok(());
    }
    Err(Error::Corrupt(format!("entry {} of room {room} is damaged: its checksum differs", seq.0)))
}

/// The same words under the key that seals now.
fn renew(vault: &Vault, place: Place, stored: Vec<u8>) -> Result<Vec<u8>> {
    Ok(vault.seal(place, &vault.open(place, stored.into())?).into_owned())
}

fn reseal_entries(
    connection: &Connection,
    vault: &Vault,
    from: Resealed,
    after: (RoomId, Seq),
    limit: usize,
) -> Result<Resealed> {
    let mut statement = connection.prepare_cached(
        "SELECT room, seq, rev, time_ms, kind, author, client_id, digest, payload, checksum FROM entries
         WHERE (room, seq) > (?, ?) ORDER BY room, seq LIMIT ?",
    )?;
    let mut rows = statement.query(params![Sql(after.0), Sql(after.1), bound(limit)])?;
    let (mut last, mut looked, mut sealed) = (None, 0, 0);
    while let Some(row) = rows.next()? {
        let (room, seq): (RoomId, Seq) = (get(row, 0)?, get(row, 1)?);
        let (rev, time, kind): (u32, Millis, u8) = (row.get(2)?, get(row, 3)?, row.get(4)?);
        let (digest, stored): (Vec<u8>, Vec<u8>) = (row.get(7)?, row.get(8)?);
        (last, looked) = (Some(ResealedTo::Entry(room, seq)), looked + 1);
        if vault.is_as_now(&stored) && vault.is_digest_as_now(&digest) {
            continue;
        }
        // Another checksum would make a damaged row pass for what somebody said.
        check_sum(row.get(9)?, checksum(room, seq, time, rev, kind, &stored), room, seq)?;
        let by = Place::Unappended(room, get(row, 5)?, get(row, 6)?);
        let digest = vault.seal_digest(by, vault.open_digest(by, &digest)?);
        let payload = renew(vault, Place::Entry(room, seq, rev), stored)?;
        let sum = checksum(room, seq, time, rev, kind, &payload);
        connection
            .prepare_cached("UPDATE entries SET payload = ?3, digest = ?4, checksum = ?5 WHERE room = ?1 AND seq = ?2")?
            .execute(params![Sql(room), Sql(seq), payload, digest, sum])?;
        sealed += 1;
    }
    Ok(from.then(last, looked, sealed))
}

fn reseal_revisions(
    connection: &Connection,
    vault: &Vault,
    from: Resealed,
    after: (RoomId, Seq, u32),
    limit: usize,
) -> Result<Resealed> {
    // Of messages.
    const KIND: u8 = 1;
    let mut statement = connection.prepare_cached(
        "SELECT room, seq, rev, time_ms, payload, checksum FROM entry_revisions
         WHERE (room, seq, rev) > (?, ?, ?) ORDER BY room, seq, rev LIMIT ?",
    )?;
    let mut rows = statement.query(params![Sql(after.0), Sql(after.1), after.2, bound(limit)])?;
    let (mut last, mut looked, mut sealed) = (None, 0, 0);
    while let Some(row) = rows.next()? {
        let (room, seq, rev): (RoomId, Seq, u32) = (get(row, 0)?, get(row, 1)?, row.get(2)?);
        let (time, stored): (Millis, Vec<u8>) = (get(row, 3)?, row.get(4)?);
        (last, looked) = (Some(ResealedTo::Revision(room, seq, rev)), looked + 1);
        if vault.is_as_now(&stored) {
            continue;
        }
        check_sum(row.get(5)?, checksum(room, seq, time, rev, KIND, &stored), room, seq)?;
        let payload = renew(vault, Place::Entry(room, seq, rev), stored)?;
        let sum = checksum(room, seq, time, rev, KIND, &payload);
        connection
            .prepare_cached(
                "UPDATE entry_revisions SET payload = ?4, checksum = ?5 WHERE room = ?1 AND seq = ?2 AND rev = ?3",
            )?
            .execute(params![Sql(room), Sql(seq), rev, payload, sum])?;
        sealed += 1;
    }
    Ok(from.then(last, looked, sealed))
}

fn reseal_unappended(connection: &Connection, vault: &Vault, from: Resealed, limit: usize) -> Result<Resealed> {
    let ResealedTo::Unappended(room, author, client_id) = from.at else { return Ok(from) };
    let mut statement = connection.prepare_cached(
        "SELECT room, author, client_id, digest, payload FROM unappended
         WHERE (room, author, client_id) > (?, ?, ?) ORDER BY room, author, client_id LIMIT ?",
    )?;
    let mut rows = statement.query(params![Sql(room), Sql(author), Sql(client_id), bound(limit)])?;
    let (mut last, mut looked, mut sealed) = (None, 0, 0);
    while let Some(row) = rows.next()? {
        let (room, author, client_id) = key(row)?;
        let (digest, stored): (Vec<u8>, Vec<u8>) = (row.get(3)?, row.get(4)?);
        (last, looked) = (Some(ResealedTo::Unappended(room, author, client_id)), looked + 1);
        if vault.is_as_now(&stored) && vault.is_digest_as_now(&digest) {
            continue;
        }
        let place = Place::Unappended(room, author, client_id);
        let digest = vault.seal_digest(place, vault.open_digest(place, &digest)?);
        let payload = renew(vault, place, stored)?;
        connection
            .prepare_cached(
                "UPDATE unappended SET payload = ?, digest = ? WHERE client_id = ? AND author = ? AND room = ?",
            )?
            .execute(params![payload, digest, Sql(client_id), Sql(author), Sql(room)])?;
        sealed += 1;
    }
    Ok(from.then(last, looked, sealed))
}

fn reseal_evidence(
    connection: &Connection,
    vault: &Vault,
    from: Resealed,
    after: (CaseId, Seq, u32),
    limit: usize,
) -> Result<Resealed> {
    let mut statement = connection.prepare_cached(
        "SELECT case_id, seq, rev, room, payload FROM evidence WHERE (case_id, seq, rev) > (?, ?, ?)
         ORDER BY case_id, seq, rev LIMIT ?",
    )?;
    let mut rows = statement.query(params![Sql(after.0), Sql(after.1), after.2, bound(limit)])?;
    let (mut last, mut looked, mut sealed) = (None, 0, 0);
    while let Some(row) = rows.next()? {
        let (case, seq, rev): (CaseId, Seq, u32) = (get(row, 0)?, get(row, 1)?, row.get(2)?);
        (last, looked) = (Some(ResealedTo::Evidence(case, seq, rev)), looked + 1);
        let stored: Vec<u8> = row.get(4)?;
        if vault.is_as_now(&stored) {
            continue;
        }
        let payload = renew(vault, Place::Entry(get(row, 3)?, seq, rev), stored)?;
        connection
            .prepare_cached("UPDATE evidence SET payload = ?4 WHERE case_id = ?1 AND seq = ?2 AND rev = ?3")?
            .execute(params![Sql(case), Sql(seq), rev, payload])?;
        sealed += 1;
    }
    Ok(from.then(last, looked, sealed))
}

fn key(row: &Row<'_>) -> Result<(RoomId, confab_protocol::model::UserId, confab_protocol::model::ClientId)> {
    Ok((get(row, 0)?, get(row, 1)?, get(row, 2)?))
}
