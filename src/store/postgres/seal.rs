//! Keys that sealed something here, and sealing anew.

use std::collections::BTreeMap;

use confab_protocol::model::{CaseId, ClientId, RoomId, Seq, UserId};
use deadpool_postgres::{Client, GenericClient, Transaction};
use tokio_postgres::Row;
use uuid::Uuid;

use super::rooms::bound;
use super::rows::{Stored, get, plain};
use crate::core::seal::{KnownKey, Opener, Place, Resealed, ResealedTo, Vault};
use crate::core::store::{Error, Result};

/// Before the store is used: with keys that do not open what is in it, it is not.
pub(super) async fn admit(client: &mut Client, vault: &mut Vault) -> Result<()> {
    let transaction = client.transaction().await?;
    // Servers that start together do it one after the other.
    transaction.batch_execute("LOCK TABLE seal_keys, search_mode IN EXCLUSIVE MODE").await?;
    let rows = transaction.query("SELECT id, fingerprint FROM seal_keys ORDER BY id", &[]).await?;
    let known = |row: &Row| Ok((get(row, 0)?, plain(row, 1)?));
    let known = rows.iter().map(known).collect::<Result<Vec<KnownKey>>>()?;
    let new = vault.admit(&known).map_err(|what| Error::Unavailable(format!("store.seal_keys: {what}")))?;
    if let Some((id, fingerprint)) = new {
        const REMEMBER: &str = "INSERT INTO seal_keys (id, fingerprint) VALUES ($1, $2)";
        transaction.execute(REMEMBER, &[&id.sql(), &fingerprint]).await?;
    }
    begin_index(&transaction, vault).await?;
    Ok(transaction.commit().await?)
}

/// An index of other words is dropped; nothing of it stays in the tables' files.
async fn begin_index(transaction: &Transaction<'_>, vault: &Vault) -> Result<()> {
    let mode = transaction.query_opt("SELECT mode FROM search_mode", &[]).await?;
    let mode: Option<i32> = mode.map(|row| plain(&row, 0)).transpose()?;
    if mode == Some(vault.index_mode()) {
        return Ok(());
    }
    if vault.opener() == Opener::Tool && mode.is_some() {
        return Err(Error::Unavailable(super::super::OTHER_INDEX.to_owned()));
    }
    transaction.batch_execute("TRUNCATE search, search_progress; DELETE FROM search_mode").await?;
    transaction.execute("INSERT INTO search_mode (mode) VALUES ($1)", &[&vault.index_mode()]).await?;
    Ok(())
}

/// What a transaction reads that writes what may be sealed; see [`check_rows`]. It holds a lock of the table until it ends.
pub(super) const KNOWN: &str = "SELECT id FROM seal_keys";

pub(super) fn check_rows(vault: &Vault, rows: &[Row]) -> Result<()> {
    let known = rows.iter().map(|row| get(row, 0)).collect::<Result<Vec<u32>>>()?;
    vault.check(&known)
}

/// Within a transaction that writes what may be sealed.
pub(super) async fn check(transaction: &Transaction<'_>, vault: &Vault) -> Result<()> {
    let statement = transaction.prepare_cached(KNOWN).await?;
    check_rows(vault, &transaction.query(&statement, &[]).await?)
}

/// Waits for everybody who may be writing with them.
pub(super) async fn forget_keys(client: &mut Client, vault: &Vault) -> Result<()> {
    let ids: Vec<i32> = vault.replaced().into_iter().map(Stored::sql).collect();
    let transaction = client.transaction().await?;
    transaction.batch_execute("LOCK TABLE seal_keys IN ACCESS EXCLUSIVE MODE").await?;
    transaction.execute("DELETE FROM seal_keys WHERE id = ANY ($1)", &[&ids]).await?;
    Ok(transaction.commit().await?)
}

/// The rooms' locks, in the order in which everybody takes them: nobody who writes entries waits for us while we wait for
/// them.
async fn lock(transaction: &Transaction<'_>, rooms: impl Iterator<Item = RoomId>) -> Result<()> {
    const LOCK: &str = "SELECT id FROM rooms WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE";
    let rooms: Vec<Uuid> = rooms.map(Stored::sql).collect();
    let statement = transaction.prepare_cached(LOCK).await?;
    transaction.query(&statement, &[&rooms]).await?;
    Ok(())
}

pub(super) async fn reseal(client: &mut Client, vault: &Vault, from: Resealed, limit: usize) -> Result<Resealed> {
    let transaction = client.transaction().await?;
    check(&transaction, vault).await?;
    let to = match from.at {
        ResealedTo::Entry(room, seq) => reseal_entries(&transaction, vault, from, (room, seq), limit).await?,
        ResealedTo::Revision(room, seq, rev) => {
            reseal_revisions(&transaction, vault, from, (room, seq, rev), limit).await?
        }
        ResealedTo::Unappended(room, author, client_id) => {
            reseal_unappended(&transaction, vault, from, (room, author, client_id), limit).await?
        }
        ResealedTo::Evidence(case, seq, rev) => {
            reseal_evidence(&transaction, vault, from, (case, seq, rev), limit).await?
        }
        ResealedTo::End => from,
    };
    transaction.commit().await?;
    Ok(to)
}

/// A payload, and a digest where there is one, under the key that seals now; `None`: they are.
fn renew(
    vault: &Vault,
    place: Place,
    stored: &[u8],
    digest: Option<(Place, &[u8])>,
) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
    if vault.is_as_now(stored) && digest.is_none_or(|(_, digest)| vault.is_digest_as_now(digest)) {
        return Ok(None);
    }
    let payload = vault.seal(place, &vault.open(place, stored.to_vec().into())?).into_owned();
    let digest = digest.map(|(by, digest)| Result::Ok(vault.seal_digest(by, vault.open_digest(by, digest)?)));
    Ok(Some((payload, digest.transpose()?.unwrap_or_default())))
}

async fn reseal_entries(
    transaction: &Transaction<'_>,
    vault: &Vault,
    from: Resealed,
    after: (RoomId, Seq),
    limit: usize,
) -> Result<Resealed> {
    const ROWS: &str = "SELECT room, seq, rev, author, client_id, digest, payload FROM entries
         WHERE (room, seq) > ($1, $2) ORDER BY room, seq LIMIT $3";
    // Somebody may have written it over since it was read.
    const WRITE: &str = "UPDATE entries SET payload = $3, digest = $4
         WHERE room = $1 AND seq = $2 AND payload = $5 AND digest = $6";
    let rows = transaction.prepare_cached(ROWS).await?;
    let rows = transaction.query(&rows, &[&after.0.sql(), &after.1.sql(), &bound(limit)]).await?;
    let (mut last, mut renewed) = (None, BTreeMap::new());
    for row in &rows {
        let (room, seq, rev): (RoomId, Seq, u32) = (get(row, 0)?, get(row, 1)?, get(row, 2)?);
        let by = Place::Unappended(room, get(row, 3)?, get(row, 4)?);
        last = Some(ResealedTo::Entry(room, seq));
        let (old_digest, old): (&[u8], &[u8]) = (plain(row, 5)?, plain(row, 6)?);
        if let Some(new) = renew(vault, Place::Entry(room, seq, rev), old, Some((by, old_digest)))? {
            renewed.insert((room, seq), (new, old, old_digest));
        }
    }
    lock(transaction, renewed.keys().map(|(room, _)| *room)).await?;
    let write = transaction.prepare_cached(WRITE).await?;
    for ((room, seq), ((payload, digest), old, old_digest)) in &renewed {
        transaction.execute(&write, &[&room.sql(), &seq.sql(), payload, digest, old, old_digest]).await?;
    }
    Ok(from.then(last, rows.len() as u64, renewed.len() as u64))
}

async fn reseal_revisions(
    transaction: &Transaction<'_>,
    vault: &Vault,
    from: Resealed,
    after: (RoomId, Seq, u32),
    limit: usize,
) -> Result<Resealed> {
    const ROWS: &str = "SELECT room, seq, rev, payload FROM entry_revisions
         WHERE (room, seq, rev) > ($1, $2, $3) ORDER BY room, seq, rev LIMIT $4";
    const WRITE: &str = "UPDATE entry_revisions SET payload = $4 WHERE room = $1 AND seq = $2 AND rev = $3";
    let rows = transaction.prepare_cached(ROWS).await?;
    let (room, seq, rev) = (after.0.sql(), after.1.sql(), after.2.sql());
    let rows = transaction.query(&rows, &[&room, &seq, &rev, &bound(limit)]).await?;
    let (mut last, mut renewed) = (None, BTreeMap::new());
    for row in &rows {
        let (room, seq, rev): (RoomId, Seq, u32) = (get(row, 0)?, get(row, 1)?, get(row, 2)?);
        last = Some(ResealedTo::Revision(room, seq, rev));
        if let Some((payload, _)) = renew(vault, Place::Entry(room, seq, rev), plain(row, 3)?, None)? {
            renewed.insert((room, seq, rev), payload);
        }
    }
    lock(transaction, renewed.keys().map(|(room, ..)| *room)).await?;
    let write = transaction.prepare_cached(WRITE).await?;
    for ((room, seq, rev), payload) in &renewed {
        transaction.execute(&write, &[&room.sql(), &seq.sql(), &rev.sql(), payload]).await?;
    }
    Ok(from.then(last, rows.len() as u64, renewed.len() as u64))
}

async fn reseal_unappended(
    transaction: &Transaction<'_>,
    vault: &Vault,
    from: Resealed,
    after: (RoomId, UserId, ClientId),
    limit: usize,
) -> Result<Resealed> {
    const ROWS: &str = "SELECT room, author, client_id, digest, payload FROM unappended
         WHERE (room, author, client_id) > ($1, $2, $3) ORDER BY room, author, client_id LIMIT $4";
    const WRITE: &str =
        "UPDATE unappended SET payload = $4, digest = $5 WHERE room = $1 AND author = $2 AND client_id = $3";
    let rows = transaction.prepare_cached(ROWS).await?;
    let (room, author, client_id): (Uuid, Uuid, Uuid) = (after.0.sql(), after.1.sql(), after.2.sql());
    let rows = transaction.query(&rows, &[&room, &author, &client_id, &bound(limit)]).await?;
    let (mut last, mut renewed) = (None, BTreeMap::new());
    for row in &rows {
        let (room, author, client_id): (RoomId, UserId, ClientId) = (get(row, 0)?, get(row, 1)?, get(row, 2)?);
        let place = Place::Unappended(room, author, client_id);
        last = Some(ResealedTo::Unappended(room, author, client_id));
        if let Some(new) = renew(vault, place, plain(row, 4)?, Some((place, plain(row, 3)?)))? {
            renewed.insert((room, author, client_id), new);
        }
    }
    lock(transaction, renewed.keys().map(|(room, ..)| *room)).await?;
    let write = transaction.prepare_cached(WRITE).await?;
    for ((room, author, client_id), (payload, digest)) in &renewed {
        transaction.execute(&write, &[&room.sql(), &author.sql(), &client_id.sql(), payload, digest]).await?;
    }
    Ok(from.then(last, rows.len() as u64, renewed.len() as u64))
}

/// Nobody writes evidence over: it needs no lock of its room.
async fn reseal_evidence(
    transaction: &Transaction<'_>,
    vault: &Vault,
    from: Resealed,
    after: (CaseId, Seq, u32),
    limit: usize,
) -> Result<Resealed> {
    const ROWS: &str = "SELECT case_id, seq, rev, room, payload FROM evidence
         WHERE (case_id, seq, rev) > ($1, $2, $3) ORDER BY case_id, seq, rev LIMIT $4";
    const WRITE: &str = "UPDATE evidence SET payload = $4 WHERE case_id = $1 AND seq = $2 AND rev = $3";
    let rows = transaction.prepare_cached(ROWS).await?;
    let (case, seq, rev) = (after.0.sql(), after.1.sql(), after.2.sql());
    let rows = transaction.query(&rows, &[&case, &seq, &rev, &bound(limit)]).await?;
    let (mut last, mut renewed) = (None, BTreeMap::new());
    for row in &rows {
        let (case, seq, rev): (CaseId, Seq, u32) = (get(row, 0)?, get(row, 1)?, get(row, 2)?);
        let place = Place::Entry(get(row, 3)?, seq, rev);
        last = Some(ResealedTo::Evidence(case, seq, rev));
        if let Some((payload, _)) = renew(vault, place, plain(row, 4)?, None)? {
            renewed.insert((case, seq, rev), payload);
        }
    }
    let write = transaction.prepare_cached(WRITE).await?;
    for ((case, seq, rev), payload) in &renewed {
        transaction.execute(&write, &[&case.sql(), &seq.sql(), &rev.sql(), payload]).await?;
    }
    Ok(from.then(last, rows.len() as u64, renewed.len() as u64))
}
