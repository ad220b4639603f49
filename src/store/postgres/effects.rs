//! What stands beside messages: earlier texts, reactions, pins, mentions, read markers.

use confab_protocol::command::{MessageState, ReactionCount};
use confab_protocol::model::{
    Emoji, Envelope, Millis, RoomId, RoomName, RoomSettings, Seq, Topic, UserId, Username, Visibility,
};
use deadpool_postgres::Client;
use futures_util::future::join_all;
use tokio_postgres::Statement;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::logs::{envelope, within_page};
use super::rooms::visibility;
use super::rows::{Params, Stored, by_ref, get, get_optional, plain};
use crate::core::append::{Effect, Facts, InviteHash, InviteState, Needs, Rewrite, TargetKey, TargetState};
use crate::core::cases::REPEATED_MAX;
use crate::core::seal::{Place, Vault};
use crate::core::store::{Error, NewInvite, Result};

const KEEP: &str = "INSERT INTO entry_revisions (room, seq, rev, time_ms, payload, replaced_ms, written_ms)
     SELECT room, seq, rev, time_ms, payload, $3, $4 FROM entries WHERE room = $1 AND seq = $2";
const WRITE_OVER: &str =
    "UPDATE entries SET payload = $3, rev = $4, kind = $5, pinned = pinned AND $5 IN (1::smallint, 65::smallint)
     WHERE room = $1 AND seq = $2";
const CLEAR_REACTIONS: &str = "DELETE FROM reactions WHERE room = $1 AND seq = $2";
const CLEAR_MENTIONS: &str = "DELETE FROM mentions WHERE room = $1 AND seq = $2";
const REACT: &str = "INSERT INTO reactions (room, seq, emoji, user_id) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
const UNREACT: &str = "DELETE FROM reactions WHERE room = $1 AND seq = $2 AND emoji = $3 AND user_id = $4";
const PIN: &str = "UPDATE entries SET pinned = $3 WHERE room = $1 AND seq = $2";
const SETTINGS: &str = "UPDATE rooms SET name = $2, name_key = $3, topic = $4, slow_mode_ms = $5, retention_ms = $6,
         since_join = $7, knocks = $8, rights = $9 WHERE id = $1";
const MENTION: &str = "INSERT INTO mentions (room, seq, user_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
const READ: &str = "UPDATE members SET read_seq = $3, read_number = $4
     WHERE room = $1 AND user_id = $2 AND read_seq < $3";

const FORGET_ALL_INVITES: &str = "DELETE FROM invites WHERE room = $1";
const FORGET_INVITES: &str = "DELETE FROM invites WHERE room = $1 AND author = $2";
const USE_INVITE: &str = "UPDATE invites SET uses_left = uses_left - 1 WHERE hash = $1";
// What was held is posted: its case is about that message from now on.
const LINK: &str = "UPDATE cases SET seq = $4 WHERE id =
     (SELECT case_id FROM unappended WHERE client_id = $1 AND author = $2 AND room = $3)";
const RELEASE: &str = "DELETE FROM unappended WHERE client_id = $1 AND author = $2 AND room = $3";

/// The statements of all effects, in order.
pub(super) fn all(vault: &Vault, effects: &[Effect]) -> impl Iterator<Item = (&'static str, Params)> {
    effects.iter().flat_map(move |effect| statements(vault, effect))
}

/// Each prepared: nothing may overtake another.
pub(super) async fn prepare(
    client: &Client,
    statements: Vec<(&'static str, Params)>,
) -> std::result::Result<Vec<(Statement, Params)>, tokio_postgres::Error> {
    let mut prepared = Vec::new();
    for (sql, params) in statements {
        prepared.push((client.prepare_cached(sql).await?, params));
    }
    Ok(prepared)
}

/// Sends them all at once.
pub(super) async fn write(
    client: &Client,
    prepared: Vec<(Statement, Params)>,
) -> std::result::Result<(), tokio_postgres::Error> {
    let execute =
        |(statement, params): (Statement, Params)| async move { client.execute(&statement, &by_ref(&params)).await };
    // Polled in this order at first, and so sent in it.
    for result in join_all(prepared.into_iter().map(execute)).await {
        result?;
    }
    Ok(())
}

fn statements(vault: &Vault, effect: &Effect) -> Vec<(&'static str, Params)> {
    let key = |(room, seq): &TargetKey| -> Params { vec![Box::new(room.sql()), Box::new(seq.sql())] };
    let with = |mut params: Params, more: Params| {
        params.extend(more);
        params
    };
    match effect {
        Effect::Rewrite(rewrite) => write_over(vault, rewrite, &key),
        Effect::React(target, emoji, user, comes) => {
            let more: Params = vec![Box::new(emoji.as_str().to_owned()), Box::new(user.sql())];
            vec![(if *comes { REACT } else { UNREACT }, with(key(target), more))]
        }
        Effect::Pin(target, pinned) => vec![(PIN, with(key(target), vec![Box::new(*pinned)]))],
        Effect::Settings(room, settings, key) => {
            let (name, topic) = (settings.name.as_str().to_owned(), settings.topic.as_str().to_owned());
            let key = key.as_str().to_owned();
            let mut params: Params = vec![Box::new(room.sql()), Box::new(name), Box::new(key), Box::new(topic)];
            params.push(Box::new(settings.slow_mode_ms.sql()));
            params.push(Box::new(Millis(settings.retention_ms).sql()));
            params.push(Box::new(settings.visibility == Visibility::SinceJoin));
            params.push(Box::new(settings.knocks));
            params.push(Box::new(settings.rights.sql()));
            vec![(SETTINGS, params)]
        }
        Effect::ForgetInvites((room, author)) => {
            vec![(FORGET_INVITES, vec![Box::new(room.sql()), Box::new(author.sql())])]
        }
        Effect::Release((room, author, client_id), about) => {
            let held = || -> Params { vec![Box::new(client_id.sql()), Box::new(author.sql()), Box::new(room.sql())] };
            vec![(LINK, with(held(), vec![Box::new(about.sql())])), (RELEASE, held())]
        }
        Effect::Evidence(row) => super::moderation::kept(row).into_iter().collect(),
        Effect::EvidenceAgain(case, about, now) => super::evidence::again(*case, *about, *now, REPEATED_MAX).into(),
        Effect::ForgetAllInvites(room) => vec![(FORGET_ALL_INVITES, vec![Box::new(room.sql())])],
        Effect::UseInvite(hash) => vec![(USE_INVITE, vec![Box::new(hash.to_vec())])],
        Effect::Mention(target, user) => vec![(MENTION, with(key(target), vec![Box::new(user.sql())]))],
        Effect::Read((room, user), seq, number) => {
            let params: Params =
                vec![Box::new(room.sql()), Box::new(user.sql()), Box::new(seq.sql()), Box::new(number.cast_signed())];
            vec![(READ, params)]
        }
    }
}

fn write_over(vault: &Vault, rewrite: &Rewrite, key: &dyn Fn(&TargetKey) -> Params) -> Vec<(&'static str, Params)> {
    let target = &rewrite.target;
    let mut keep = key(target);
    keep.push(Box::new(rewrite.replaced.sql()));
    keep.push(Box::new(rewrite.written.sql()));
    let mut over = key(target);
    let place = Place::Entry(target.0, target.1, rewrite.rev);
    over.push(Box::new(vault.seal(place, &rewrite.payload).into_owned()));
    over.push(Box::new(rewrite.rev.cast_signed()));
    over.push(Box::new(i16::from(rewrite.kind)));
    // An edit says anew whom it mentions.
    let mut all = vec![(KEEP, keep), (WRITE_OVER, over), (CLEAR_MENTIONS, key(target))];
    if rewrite.is_tombstone() {
        all.push((CLEAR_REACTIONS, key(target)));
    }
    all
}

/// What a batch needs to know of messages that it is about.
pub(super) async fn read_targets(client: &Client, facts: &mut Facts, needs: &Needs) -> Result<()> {
    const TARGETS: &str = "SELECT e.room, e.seq, e.author, e.kind, e.time_ms, e.rev, e.pinned, CASE WHEN e.rev > 0 THEN
             (SELECT r.written_ms FROM entry_revisions r WHERE r.room = e.room AND r.seq = e.seq AND r.rev = e.rev - 1)
             END
         FROM unnest($1::uuid[], $2::bigint[]) AS k (room, seq) JOIN entries e ON e.room = k.room AND e.seq = k.seq";
    if needs.targets.is_empty() {
        return Ok(());
    }
    let (rooms, seqs): (Vec<Uuid>, Vec<i64>) = needs.targets.iter().map(|(room, seq)| (room.sql(), seq.sql())).unzip();
    let statement = client.prepare_cached(TARGETS).await?;
    for row in client.query(&statement, &[&rooms, &seqs]).await? {
        let (kind, rev): (i16, i32) = (plain(&row, 3)?, plain(&row, 5)?);
        let state = TargetState {
            author: get(&row, 2)?,
            kind: u8::try_from(kind).map_err(|_| Error::Corrupt(format!("kind {kind}")))?,
            time: get(&row, 4)?,
            rev: rev.cast_unsigned(),
            pinned: plain(&row, 6)?,
            written: get_optional(&row, 7)?,
        };
        facts.targets.insert((get(&row, 0)?, get(&row, 1)?), state);
    }
    read_reactions(client, facts, needs).await
}

/// The different reactions to each message that somebody reacts to now, and whether theirs is among them.
async fn read_reactions(client: &Client, facts: &mut Facts, needs: &Needs) -> Result<()> {
    const EMOJIS: &str = "SELECT DISTINCT r.room, r.seq, r.emoji
         FROM unnest($1::uuid[], $2::bigint[]) AS k (room, seq) JOIN reactions r ON r.room = k.room AND r.seq = k.seq";
    const MINE: &str = "SELECT r.room, r.seq, r.emoji, r.user_id
         FROM unnest($1::uuid[], $2::bigint[], $3::uuid[]) AS k (room, seq, user_id)
         JOIN reactions r ON r.room = k.room AND r.seq = k.seq AND r.user_id = k.user_id";
    if needs.reactions.is_empty() {
        return Ok(());
    }
    let keys = needs.reactions.iter().map(|((room, seq), user)| (room.sql(), (seq.sql(), user.sql())));
    let (rooms, (seqs, users)): (Vec<Uuid>, (Vec<i64>, Vec<Uuid>)) = keys.unzip();
    let emoji = |row: &tokio_postgres::Row| {
        Emoji::parse(plain(row, 2)?).map_err(|error| Error::Corrupt(format!("a reaction {error}")))
    };
    let statement = client.prepare_cached(EMOJIS).await?;
    for row in client.query(&statement, &[&rooms, &seqs]).await? {
        facts.emojis.entry((get(&row, 0)?, get(&row, 1)?)).or_default().insert(emoji(&row)?);
    }
    let statement = client.prepare_cached(MINE).await?;
    for row in client.query(&statement, &[&rooms, &seqs, &users]).await? {
        facts.reactions.insert(((get(&row, 0)?, get(&row, 1)?), emoji(&row)?, get(&row, 3)?));
    }
    Ok(())
}

pub(super) async fn invite(client: &Client, hash: InviteHash) -> Result<Option<InviteState>> {
    let statement =
        client.prepare_cached("SELECT room, author, uses_left, expires_ms FROM invites WHERE hash = $1").await?;
    let row = client.query_opt(&statement, &[&hash.as_slice()]).await?;
    let state = |row: tokio_postgres::Row| {
        Ok(InviteState { room: get(&row, 0)?, author: get(&row, 1)?, uses_left: get(&row, 2)?, expires: get(&row, 3)? })
    };
    row.map(state).transpose()
}

pub(super) async fn find_invite(client: &Client, hash: InviteHash) -> Result<Option<RoomId>> {
    Ok(invite(client, hash).await?.map(|invite| invite.room))
}

pub(super) async fn create_invite(client: &mut Client, new: NewInvite) -> Result<bool> {
    const LOCK: &str = "SELECT 1 FROM rooms WHERE id = $1 FOR NO KEY UPDATE";
    const INSERT: &str = "INSERT INTO invites (hash, room, author, uses_left, expires_ms, created_ms)
         SELECT $1, $2, $3, $4, $5, $6 FROM members m JOIN users u ON u.id = m.user_id JOIN rooms r ON r.id = m.room
         WHERE m.room = $2 AND m.user_id = $3 AND m.leave_seq IS NULL
             AND least(m.role, CASE WHEN u.role <= 3 THEN u.role END)
                 <= CASE WHEN r.rights = 0 THEN 3 ELSE (r.rights >> 8) & 15 END
             AND (m.restriction IN (0, 3) OR (m.until_ms > 0 AND m.until_ms <= $6))";
    let transaction = client.transaction().await?;
    // Whoever is put out of the room is put out before or after, and with what they invited.
    let lock = transaction.prepare_cached(LOCK).await?;
    transaction.query_opt(&lock, &[&new.room.sql()]).await?;
    let forget = transaction.prepare_cached("DELETE FROM invites WHERE expires_ms < $1").await?;
    transaction.execute(&forget, &[&new.now.sql()]).await?;
    let insert = transaction.prepare_cached(INSERT).await?;
    let (room, author, uses, expires) = (new.room.sql(), new.author.sql(), new.uses.sql(), new.expires.sql());
    let params: [&(dyn ToSql + Sync); 6] = [&new.hash.as_slice(), &room, &author, &uses, &expires, &new.now.sql()];
    let is_kept = transaction.execute(&insert, &params).await? > 0;
    if is_kept {
        super::moderation::add_records(&transaction, std::slice::from_ref(&new.record)).await?;
    }
    transaction.commit().await?;
    Ok(is_kept)
}

pub(super) async fn find_entries(
    client: &Client,
    vault: &Vault,
    room: RoomId,
    seqs: Vec<Seq>,
) -> Result<Vec<Envelope>> {
    const SQL: &str = "SELECT seq, time_ms, rev, payload FROM entries WHERE room = $1 AND seq = ANY($2) ORDER BY seq";
    let seqs: Vec<i64> = seqs.into_iter().map(Stored::sql).collect();
    let statement = client.prepare_cached(SQL).await?;
    let rows = client.query(&statement, &[&room.sql(), &seqs]).await?;
    rows.iter().filter_map(|row| envelope(vault, row, room, 0).transpose()).collect()
}

pub(super) async fn settings(client: &Client, room: RoomId) -> Result<Option<RoomSettings>> {
    const SQL: &str = "SELECT name, topic, slow_mode_ms, retention_ms, since_join, knocks, rights FROM rooms
         WHERE id = $1 AND name IS NOT NULL";
    let statement = client.prepare_cached(SQL).await?;
    let Some(row) = client.query_opt(&statement, &[&room.sql()]).await? else { return Ok(None) };
    let bad = |error| Error::Corrupt(format!("settings of room {room}: {error}"));
    let retention: Millis = get(&row, 3)?;
    Ok(Some(RoomSettings {
        name: RoomName::parse(plain(&row, 0)?).map_err(bad)?,
        topic: Topic::parse(plain(&row, 1)?).map_err(bad)?,
        slow_mode_ms: get(&row, 2)?,
        retention_ms: retention.0,
        visibility: visibility(plain(&row, 4)?),
        knocks: plain(&row, 5)?,
        rights: get(&row, 6)?,
    }))
}

pub(super) async fn revisions(
    client: &Client,
    vault: &Vault,
    room: RoomId,
    seq: Seq,
    before: u32,
) -> Result<Vec<Envelope>> {
    const SQL: &str = "SELECT seq, time_ms, rev, payload FROM entry_revisions WHERE room = $1 AND seq = $2 AND rev < $3
         ORDER BY rev DESC LIMIT 200";
    let statement = client.prepare_cached(SQL).await?;
    let rows = client.query(&statement, &[&room.sql(), &seq.sql(), &before.sql()]).await?;
    let revisions =
        rows.iter().filter_map(|row| envelope(vault, row, room, 0).transpose()).collect::<Result<Vec<_>>>()?;
    let mut revisions = within_page(revisions);
    revisions.reverse();
    Ok(revisions)
}

pub(super) async fn message_states(
    client: &Client,
    room: RoomId,
    reader: UserId,
    seqs: Vec<Seq>,
) -> Result<Vec<MessageState>> {
    const STATES: &str = "SELECT e.seq, e.pinned,
             (SELECT count(*)::integer FROM entries a WHERE a.room = $1 AND a.target = e.seq AND a.kind = 1),
             e.kind = 65 AND e.author <> $3
         FROM entries e WHERE e.room = $1 AND e.seq = ANY($2) ORDER BY e.seq";
    const REACTIONS: &str = "SELECT seq, emoji, count(*)::integer, bool_or(user_id = $3) FROM reactions
         WHERE room = $1 AND seq = ANY($2) GROUP BY seq, emoji ORDER BY seq, emoji COLLATE \"C\"";
    let seqs: Vec<i64> = seqs.into_iter().map(Stored::sql).collect();
    let statement = client.prepare_cached(STATES).await?;
    let rows = client.query(&statement, &[&room.sql(), &seqs, &reader.sql()]).await?;
    let state = |row: &tokio_postgres::Row| {
        let (reactions, shadowed) = (Vec::new(), plain(row, 3)?);
        Ok(MessageState { seq: get(row, 0)?, pinned: plain(row, 1)?, replies: get(row, 2)?, reactions, shadowed })
    };
    let mut states = rows.iter().map(state).collect::<Result<Vec<_>>>()?;
    let statement = client.prepare_cached(REACTIONS).await?;
    for row in client.query(&statement, &[&room.sql(), &seqs, &reader.sql()]).await? {
        let seq: Seq = get(&row, 0)?;
        let reaction = ReactionCount { emoji: plain(&row, 1)?, count: get(&row, 2)?, mine: plain(&row, 3)? };
        if let Some(state) = states.iter_mut().find(|state| state.seq == seq) {
            state.reactions.push(reaction);
        }
    }
    states.retain(|state| state.pinned || state.shadowed || state.replies > 0 || !state.reactions.is_empty());
    Ok(states)
}

pub(super) async fn read_position(client: &Client, room: RoomId, seq: Seq) -> Result<Option<(Seq, u64)>> {
    const SQL: &str = "SELECT least(head, $2), coalesce(
             (SELECT number FROM entries
              WHERE room = $1 AND seq <= $2 AND number IS NOT NULL ORDER BY seq DESC LIMIT 1),
             -- None is left up to there: the one before the next, or all that there were.
             (SELECT number - 1 FROM entries
              WHERE room = $1 AND seq > $2 AND number IS NOT NULL ORDER BY seq LIMIT 1), messages)
         FROM rooms WHERE id = $1";
    let statement = client.prepare_cached(SQL).await?;
    let row = client.query_opt(&statement, &[&room.sql(), &seq.sql()]).await?;
    let position = |row: tokio_postgres::Row| {
        let number: i64 = plain(&row, 1)?;
        Ok((get(&row, 0)?, number.cast_unsigned()))
    };
    row.map(position).transpose()
}

pub(super) async fn find_members(client: &Client, room: RoomId, names: Vec<Username>) -> Result<Vec<UserId>> {
    const SQL: &str = "SELECT u.id FROM unnest($2::text[]) WITH ORDINALITY AS l (name, place)
         JOIN users u ON u.username = l.name
         JOIN members m ON m.room = $1 AND m.user_id = u.id AND m.leave_seq IS NULL ORDER BY l.place";
    let names: Vec<&str> = names.iter().map(Username::as_str).collect();
    let statement = client.prepare_cached(SQL).await?;
    let rows = client.query(&statement, &[&room.sql(), &names]).await?;
    rows.iter().map(|row| get(row, 0)).collect()
}
