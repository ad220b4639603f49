//! The group commit: one transaction in two pipelined round trips. The first locks the batch's rooms in the order of
//! their ids and reads what the decisions need in statements behind the locks; then pure code decides; the second
//! writes everything and commits.

use confab_protocol::model::Millis;
use deadpool_postgres::{Client, Pool};
use futures_util::future::{join, join3, join4, join5};
use tokio_postgres::error::{DbError, Severity};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};
use uuid::Uuid;

use super::columns::{Columns, RoomColumns};
use super::rows::{Stored, get, get_optional, plain};
use super::{TRIES_MAX, effects, is_retryable, logs, moderation, rooms, seal};
use crate::core::append::{
    Decided, Decision, Facts, Item, MemberKey, MemberState, Needs, RoomState, decide, refused_findings,
};
use crate::core::names::Key;
use crate::core::seal::Vault;
use crate::core::store::{Error, Restriction, Result, RoomShape, pair_bytes};

/// Between tries to learn what became of a commit, milliseconds.
const ASK_AGAIN_MS: u64 = 200;

const LOCK: &str = "SELECT id, incarnation, head, last_ms, acl_version, members, messages, slow_mode_ms,
         kind, rights FROM rooms WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE";
const RECORDED: &str = "SELECT e.room, e.author, e.client_id, e.digest, e.seq, e.time_ms, e.altered
     FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS k (room, author, client_id)
     JOIN entries e ON e.client_id = k.client_id AND e.author = k.author AND e.room = k.room";
const UNAPPENDED: &str = "SELECT e.room, e.author, e.client_id, e.digest, e.case_id, e.code, e.detail
     FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS k (room, author, client_id)
     JOIN unappended e ON e.client_id = k.client_id AND e.author = k.author AND e.room = k.room";
// In one order for everybody, and held: a read marker moves without its room's lock.
const MEMBERS: &str = "SELECT m.room, m.user_id, m.role, m.join_seq, m.leave_seq, m.restriction, m.until_ms,
         m.last_post_ms, m.read_seq, m.read_number, u.role, m.knocked_ms
     FROM unnest($1::uuid[], $2::uuid[]) AS k (room, user_id)
     JOIN members m ON m.room = k.room AND m.user_id = k.user_id JOIN users u ON u.id = m.user_id
     ORDER BY m.room, m.user_id FOR NO KEY UPDATE OF m";
const NAMES: &str = "SELECT name_key FROM rooms WHERE name_key = ANY($1) AND kind = 1";

const INSERT_ROOMS: &str = "INSERT INTO rooms (id, kind, name, name_key, topic, pair, incarnation, created_ms)
     SELECT * FROM unnest($1::uuid[], $2::smallint[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::bigint[],
         $8::bigint[])";
const INSERT_ENTRIES: &str =
    "INSERT INTO entries (room, seq, time_ms, kind, author, client_id, digest, altered, payload, number, target)
     SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::smallint[], $5::uuid[], $6::uuid[],
         $7::bytea[], $8::boolean[], $9::bytea[], $10::bigint[], $11::bigint[])";
// A read marker may move on without the room's lock: only who comes in begins with another.
const WRITE_MEMBERS: &str = "INSERT INTO members AS m (room, user_id, role, join_seq, leave_seq, restriction, until_ms,
         last_post_ms, read_seq, read_number, knocked_ms)
     SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::bigint[], $5::bigint[], $6::smallint[],
         $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[])
     ON CONFLICT (room, user_id) DO UPDATE
     SET role = excluded.role, join_seq = excluded.join_seq, leave_seq = excluded.leave_seq,
         restriction = excluded.restriction, until_ms = excluded.until_ms, last_post_ms = excluded.last_post_ms,
         knocked_ms = excluded.knocked_ms,
         read_seq = CASE WHEN m.join_seq = excluded.join_seq THEN m.read_seq ELSE excluded.read_seq END,
         read_number = CASE WHEN m.join_seq = excluded.join_seq THEN m.read_number ELSE excluded.read_number END";
const WRITE_ROOMS: &str = "UPDATE rooms r SET head = u.head, last_ms = u.last_ms, acl_version = u.acl_version,
         members = u.members, messages = u.messages
     FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::integer[], $6::bigint[])
         AS u (id, head, last_ms, acl_version, members, messages)
     WHERE r.id = u.id";

/// How a try of a transaction ended.
enum Tried {
    /// It is durable.
    Committed(Vec<Decided>),
    /// It is not, and somebody else was in the way: the same batch may be tried again.
    Again(Vec<Item>, Error),
    /// It is not.
    Failed(Error),
    /// The connection was lost after the commit was sent.
    Unknown(Vec<Decided>),
}

pub(super) async fn append(pool: &Pool, vault: &Vault, batch: Vec<Item>, now: Millis) -> Result<Vec<Decided>> {
    let mut batch = batch;
    for _ in 0..TRIES_MAX {
        let client = pool.get().await?;
        match attempt(&client, vault, batch, now).await {
            Tried::Committed(decided) => return Ok(decided),
            Tried::Failed(error) => {
                abandon(client);
                return Err(error);
            }
            Tried::Again(same, error) => {
                tracing::debug!(%error, "a batch is tried again");
                abandon(client);
                batch = same;
            }
            Tried::Unknown(decided) => {
                abandon(client);
                match resolve(pool, decided).await {
                    Ok(decided) => return Ok(decided),
                    Err(same) => batch = same,
                }
            }
        }
    }
    Err(Error::Unavailable("other writers were in the way again and again".to_owned()))
}

/// A connection that may be inside a failed transaction is not for others.
fn abandon(client: Client) {
    drop(Client::take(client));
}

async fn attempt(client: &Client, vault: &Vault, batch: Vec<Item>, now: Millis) -> Tried {
    let failed = |error: Failure, batch| match error {
        Failure::Again(error) => Tried::Again(batch, error),
        Failure::Final(error) => Tried::Failed(error),
    };
    let needs = Needs::of(&batch);
    let mut facts = needs.facts();
    if let Err(error) = read_facts(client, vault, &mut facts, &needs, &batch).await {
        return failed(error, batch);
    }
    let decided = decide(&mut facts, batch, now);
    let is_kept = |(item, decision): (&Item, &Decision)| {
        matches!(decision, Decision::Append { .. }) || !refused_findings(item, decision).is_empty()
    };
    let is_durable = decided.iter().flat_map(Decided::all).any(is_kept);
    if !is_durable {
        // Nothing is written: how the transaction ends is all the same.
        return match client.batch_execute("ROLLBACK").await {
            Ok(()) => Tried::Committed(decided),
            Err(error) => Tried::Failed(error.into()),
        };
    }
    match write(client, vault, &facts, &decided).await {
        Ok(()) => Tried::Committed(decided),
        Err(Fate::Unknown) => Tried::Unknown(decided),
        Err(Fate::Undone(error)) if is_retryable(&error) => Tried::Again(items(decided), error.into()),
        Err(Fate::Undone(error)) => Tried::Failed(error.into()),
    }
}

/// What an error says of the transaction.
enum Fate {
    /// It is rolled back.
    Undone(tokio_postgres::Error),
    /// The connection broke, and the commit may have been under way.
    Unknown,
}

impl Fate {
    /// The database refused a statement: then the commit was a rollback. One that dies tells so in place of an answer,
    /// whatever it had done by then.
    fn of(error: tokio_postgres::Error) -> Self {
        let is_refusal = |db: &DbError| db.parsed_severity() == Some(Severity::Error);
        if error.as_db_error().is_some_and(is_refusal) { Self::Undone(error) } else { Self::Unknown }
    }
}

fn items(decided: Vec<Decided>) -> Vec<Item> {
    decided.into_iter().map(|decided| decided.item).collect()
}

/// Why the facts could not be read; nothing was written in any case.
enum Failure {
    Again(Error),
    Final(Error),
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        if is_retryable(&error) { Self::Again(error.into()) } else { Self::Final(error.into()) }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        if matches!(error, Error::Busy(_)) { Self::Again(error) } else { Self::Final(error) }
    }
}

/// The first round trip; a second one only where rights have changed since they were checked.
async fn read_facts(
    client: &Client,
    vault: &Vault,
    facts: &mut Facts,
    needs: &Needs,
    batch: &[Item],
) -> std::result::Result<(), Failure> {
    let rooms: Vec<Uuid> = needs.rooms.iter().map(|room| room.sql()).collect();
    let keys = needs.keys.iter().map(|(room, author, id)| (room.sql(), (author.sql(), id.sql())));
    let (key_rooms, (authors, ids)): (Vec<_>, (Vec<_>, Vec<_>)) = keys.unzip();
    let [lock, recorded, unappended, known] = prepare(client, [LOCK, RECORDED, UNAPPENDED, seal::KNOWN]).await?;
    // Sent at once, in this order; the server runs each when the one before is done, so these see what was committed
    // while the locks were waited for.
    let key: [&(dyn ToSql + Sync); 3] = [&key_rooms, &authors, &ids];
    let lock_params: [&(dyn ToSql + Sync); 1] = [&rooms];
    let begin = join(client.batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED"), client.query(&known, &[]));
    let ((begun, known), locked, recorded, unappended, members) = join5(
        begin,
        client.query(&lock, &lock_params),
        client.query(&recorded, &key),
        client.query(&unappended, &key),
        query_members(client, needs.members.iter().copied()),
    )
    .await;
    begun?;
    seal::check_rows(vault, &known?)?;
    for row in locked? {
        facts.rooms.insert(get(&row, 0)?, room_state(&row)?);
    }
    for row in recorded? {
        let key = (get(&row, 0)?, get(&row, 1)?, get(&row, 2)?);
        facts.recorded.insert(key, logs::appended(vault, key, &row, 3)?);
    }
    for row in unappended? {
        let key = (get(&row, 0)?, get(&row, 1)?, get(&row, 2)?);
        facts.recorded.insert(key, logs::unappended(vault, key, &row, 3)?);
    }
    add_members(facts, members?)?;
    if !needs.names.is_empty() {
        let wanted: Vec<&str> = needs.names.iter().map(Key::as_str).collect();
        let statement = client.prepare_cached(NAMES).await?;
        for row in client.query(&statement, &[&wanted]).await? {
            let taken: &str = plain(&row, 0)?;
            facts.names.extend(needs.names.iter().find(|key| key.as_str() == taken).cloned());
        }
    }
    for room in &needs.settings {
        facts.settings.extend(effects::settings(client, *room).await?.map(|settings| (*room, settings)));
    }
    for pair in &needs.pairs {
        if rooms::find_direct(client, *pair).await?.is_some() {
            facts.pairs.insert(*pair);
        }
    }
    for hash in &needs.invites {
        facts.invites.extend(effects::invite(client, *hash).await?.map(|state| (*hash, state)));
    }
    effects::read_targets(client, facts, needs).await?;
    moderation::read_open(client, facts, needs).await?;
    let late = facts.late_members(batch);
    add_members(facts, query_members(client, late.into_iter()).await?)?;
    Ok(())
}

async fn prepare<const N: usize>(
    client: &Client,
    texts: [&str; N],
) -> std::result::Result<[Statement; N], tokio_postgres::Error> {
    let mut statements = Vec::with_capacity(N);
    for text in texts {
        statements.push(client.prepare_cached(text).await?);
    }
    Ok(statements.try_into().unwrap_or_else(|_| unreachable!("one for each text")))
}

async fn query_members(
    client: &Client,
    keys: impl ExactSizeIterator<Item = MemberKey>,
) -> std::result::Result<Vec<Row>, tokio_postgres::Error> {
    if keys.len() == 0 {
        return Ok(Vec::new());
    }
    let (rooms, users): (Vec<Uuid>, Vec<Uuid>) = keys.map(|(room, user)| (room.sql(), user.sql())).unzip();
    let statement = client.prepare_cached(MEMBERS).await?;
    client.query(&statement, &[&rooms, &users]).await
}

fn add_members(facts: &mut Facts, rows: Vec<Row>) -> Result<()> {
    for row in rows {
        let (restriction, until, number): (i16, i64, i64) = (plain(&row, 5)?, plain(&row, 6)?, plain(&row, 9)?);
        let restriction = u8::try_from(restriction).unwrap_or_default();
        let member = MemberState {
            role: get(&row, 2)?,
            server_role: Some(get(&row, 10)?),
            join_seq: get(&row, 3)?,
            leave_seq: get_optional(&row, 4)?,
            restriction: Restriction::from_numbers(restriction, until.cast_unsigned()),
            last_post: get(&row, 7)?,
            knocked: get(&row, 11)?,
            read: (get(&row, 8)?, number.cast_unsigned()),
        };
        facts.members.insert((get(&row, 0)?, get(&row, 1)?), member);
    }
    Ok(())
}

fn room_state(row: &Row) -> Result<RoomState> {
    let (acl, messages): (i64, i64) = (plain(row, 4)?, plain(row, 6)?);
    Ok(RoomState {
        incarnation: get(row, 1)?,
        head: get(row, 2)?,
        last_time: get(row, 3)?,
        acl_version: acl.cast_unsigned(),
        members: get(row, 5)?,
        messages: messages.cast_unsigned(),
        slow_mode_ms: get(row, 7)?,
        kind: get(row, 8)?,
        rights: get(row, 9)?,
    })
}

/// The second round trip. `Ok`: it is durable.
async fn write(client: &Client, vault: &Vault, facts: &Facts, decided: &[Decided]) -> std::result::Result<(), Fate> {
    // Before anything is sent: a statement that is still being prepared would be overtaken by the commit.
    let [entries, rooms, created, members] =
        prepare(client, [INSERT_ENTRIES, WRITE_ROOMS, INSERT_ROOMS, WRITE_MEMBERS]).await.map_err(Fate::of)?;
    let columns = Columns::of(vault, facts, decided);
    // What was said is kept as it was said, whatever the batch makes of it.
    let mut others = moderation::beside(facts, decided);
    others.extend(effects::all(vault, &facts.effects));
    let others = effects::prepare(client, others).await.map_err(Fate::of)?;
    let (entry_params, touched) = (columns.params(), RoomColumns::of(facts, &columns.rooms));
    let room_params = touched.params();
    // In this order: rooms before their entries, and the commit last. A statement that fails makes the commit a
    // rollback, which the database does not call an error: so each one counts.
    let before = join3(
        write_created(client, &created, facts),
        write_members(client, &members, facts),
        client.execute(&entries, &entry_params),
    );
    let others = effects::write(client, others);
    let rooms = client.execute(&rooms, &room_params);
    let ((created, members, inserted), affected, moved, committed) =
        join4(before, others, rooms, client.batch_execute("COMMIT")).await;
    created.map_err(Fate::of)?;
    members.map_err(Fate::of)?;
    inserted.map_err(Fate::of)?;
    affected.map_err(Fate::of)?;
    moved.map_err(Fate::of)?;
    committed.map_err(Fate::of)
}

async fn write_created(
    client: &Client,
    statement: &Statement,
    facts: &Facts,
) -> std::result::Result<(), tokio_postgres::Error> {
    if facts.created.is_empty() {
        return Ok(());
    }
    let each = || facts.created.iter();
    let ids: Vec<Uuid> = each().map(|(room, _)| room.sql()).collect();
    let kinds: Vec<i16> = each().map(|(_, new)| new.shape.kind().sql()).collect();
    let (mut names, mut keys, mut topics, mut pairs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (_, new) in each() {
        let (name, key, topic, pair) = match &new.shape {
            RoomShape::Named { name, key, topic, .. } => {
                (Some(name.as_str()), Some(key.as_str()), topic.as_str(), None)
            }
            RoomShape::Direct { pair, .. } => (None, None, "", Some(pair_bytes(*pair).to_vec())),
        };
        names.push(name);
        keys.push(key);
        topics.push(topic);
        pairs.push(pair);
    }
    let incarnations: Vec<i64> = each().map(|(_, new)| new.incarnation.sql()).collect();
    let created: Vec<i64> = each().map(|(_, new)| new.created.sql()).collect();
    client.execute(statement, &[&ids, &kinds, &names, &keys, &topics, &pairs, &incarnations, &created]).await?;
    Ok(())
}

async fn write_members(
    client: &Client,
    statement: &Statement,
    facts: &Facts,
) -> std::result::Result<(), tokio_postgres::Error> {
    if facts.changed_members.is_empty() {
        return Ok(());
    }
    let each = || facts.changed_members.iter().filter_map(|key| Some((key, facts.members.get(key)?)));
    let rooms: Vec<Uuid> = each().map(|(key, _)| key.0.sql()).collect();
    let users: Vec<Uuid> = each().map(|(key, _)| key.1.sql()).collect();
    let roles: Vec<i16> = each().map(|(_, member)| member.role.sql()).collect();
    let joins: Vec<i64> = each().map(|(_, member)| member.join_seq.sql()).collect();
    let leaves: Vec<Option<i64>> = each().map(|(_, member)| member.leave_seq.map(Stored::sql)).collect();
    let restrictions = || each().map(|(_, member)| Restriction::to_numbers(member.restriction));
    let kinds: Vec<i16> = restrictions().map(|(kind, _)| kind.into()).collect();
    let untils: Vec<i64> = restrictions().map(|(_, until)| Millis(until).sql()).collect();
    let posts: Vec<i64> = each().map(|(_, member)| member.last_post.sql()).collect();
    let reads: Vec<i64> = each().map(|(_, member)| member.read.0.sql()).collect();
    let numbers: Vec<i64> = each().map(|(_, member)| member.read.1.cast_signed()).collect();
    let knocks: Vec<i64> = each().map(|(_, member)| member.knocked.sql()).collect();
    let values: [&(dyn ToSql + Sync); 11] =
        [&rooms, &users, &roles, &joins, &leaves, &kinds, &untils, &posts, &reads, &numbers, &knocks];
    client.execute(statement, &values).await?;
    Ok(())
}

/// Learns what became of a commit whose answer was lost, however long that takes: `Err` gives the batch back, which
/// is not in the store then. The locks of its rooms are waited for, so that a commit still under way is over.
async fn resolve(pool: &Pool, decided: Vec<Decided>) -> std::result::Result<Vec<Decided>, Vec<Item>> {
    tracing::warn!(entries = decided.len(), "the answer to a commit was lost; asking what became of it");
    loop {
        match is_committed(pool, &decided).await {
            Ok(true) => return Ok(decided),
            Ok(false) => return Err(items(decided)),
            Err(error) => {
                tracing::debug!(%error, "the fate of a commit is still unknown");
                tokio::time::sleep(std::time::Duration::from_millis(ASK_AGAIN_MS)).await;
            }
        }
    }
}

/// All of it or nothing is in the store. All is looked for: another server may have appended one of the items since, at
/// the very seq that it had here.
async fn is_committed(pool: &Pool, decided: &[Decided]) -> Result<bool> {
    const LOCK: &str = "SELECT id FROM rooms WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE";
    const FOUND: &str = "SELECT count(*) FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::uuid[], $5::uuid[])
             AS k (room, seq, time_ms, author, client_id)
         JOIN entries e ON e.room = k.room AND e.seq = k.seq AND e.time_ms = k.time_ms AND e.author = k.author
             AND e.client_id = k.client_id";
    const KEPT: &str = "SELECT count(*) FROM audit WHERE id = ANY($1)";
    let rooms: Vec<Uuid> = decided.iter().flat_map(Decided::all).map(|(item, _)| item.room.sql()).collect();
    let (mut keys, mut seqs, mut times, mut authors, mut ids) = (vec![], vec![], vec![], vec![], vec![]);
    let mut findings: Vec<Uuid> = Vec::new();
    for (item, decision) in decided.iter().flat_map(Decided::all) {
        findings.extend(refused_findings(item, decision).iter().map(|new| new.id.sql()));
        let Decision::Append { seq, time, .. } = decision else { continue };
        keys.push(item.room.sql());
        seqs.push(seq.sql());
        times.push(time.sql());
        authors.push(item.author.sql());
        ids.push(item.client_id.sql());
    }
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    transaction.query(LOCK, &[&rooms]).await?;
    let row = transaction.query_one(FOUND, &[&keys, &seqs, &times, &authors, &ids]).await?;
    let found: i64 = plain(&row, 0)?;
    // Of a batch that appends nothing what was found tells.
    let row = transaction.query_one(KEPT, &[&findings]).await?;
    let kept: i64 = plain(&row, 0)?;
    let is_all = |count: i64, of: usize| usize::try_from(count).is_ok_and(|count| count == of);
    Ok(is_all(found, keys.len()) && is_all(kept, findings.len()))
}
