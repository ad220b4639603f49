//! What stands beside messages: earlier texts, reactions, pins, mentions, read markers.

use confab_protocol::command::{MessageState, ReactionCount};
use confab_protocol::limits::REACTIONS_MAX;
use confab_protocol::model::{
    Emoji, Envelope, Millis, RoomId, RoomName, RoomSettings, Seq, Topic, UserId, Username, Visibility,
};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::logs::{checksum, envelope};
use super::rooms::visibility;
use super::rows::{Sql, get};
use crate::core::append::{Effect, Facts, InviteHash, InviteState, MESSAGE_KIND, Rewrite, TargetKey, TargetState};
use crate::core::cases::REPEATED_MAX;
use crate::core::seal::{Place as SealedAt, Vault};
use crate::core::store::{Error, NewInvite, Result};

pub(super) fn write(connection: &Connection, vault: &Vault, effect: &Effect) -> Result<()> {
    match effect {
        Effect::Rewrite(rewrite) => return write_over(connection, vault, rewrite),
        Effect::React((room, seq), emoji, user, comes) => {
            const COMES: &str =
                "INSERT INTO reactions (room, seq, emoji, user) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING";
            const GOES: &str = "DELETE FROM reactions WHERE room = ? AND seq = ? AND emoji = ? AND user = ?";
            let mut statement = connection.prepare_cached(if *comes { COMES } else { GOES })?;
            statement.execute(params![Sql(*room), Sql(*seq), emoji.as_str(), Sql(*user)])?;
        }
        Effect::Pin((room, seq), pinned) => {
            let mut statement =
                connection.prepare_cached("UPDATE entries SET pinned = ? WHERE room = ? AND seq = ?")?;
            statement.execute(params![pinned, Sql(*room), Sql(*seq)])?;
        }
        Effect::Settings(room, settings, key) => {
            let mut statement = connection.prepare_cached(
                "UPDATE rooms SET name = ?, name_key = ?, topic = ?, slow_mode_ms = ?, retention_ms = ?, since_join = ?,
                     knocks = ?, rights = ?
                 WHERE id = ?",
            )?;
            let (name, topic) = (settings.name.as_str(), settings.topic.as_str());
            statement.execute(params![
                name,
                key.as_str(),
                topic,
                settings.slow_mode_ms,
                Sql(Millis(settings.retention_ms)),
                settings.visibility == Visibility::SinceJoin,
                settings.knocks,
                Sql(settings.rights),
                Sql(*room)
            ])?;
        }
        Effect::Mention((room, seq), user) => {
            let mut statement = connection
                .prepare_cached("INSERT INTO mentions (user, room, seq) VALUES (?, ?, ?) ON CONFLICT DO NOTHING")?;
            statement.execute(params![Sql(*user), Sql(*room), Sql(*seq)])?;
        }
        Effect::ForgetInvites((room, author)) => {
            let mut statement = connection.prepare_cached("DELETE FROM invites WHERE room = ? AND author = ?")?;
            statement.execute(params![Sql(*room), Sql(*author)])?;
        }
        Effect::Release(key, about) => return super::moderation::release(connection, *key, *about),
        Effect::Evidence(row) => {
            if let Some(seq) = row.seq {
                super::moderation::keep_evidence(connection, row, seq)?;
            }
        }
        Effect::EvidenceAgain(case, about, now) => {
            return super::evidence::keep_again(connection, *case, *about, *now, REPEATED_MAX);
        }
        Effect::ForgetAllInvites(room) => {
            connection.prepare_cached("DELETE FROM invites WHERE room = ?")?.execute([Sql(*room)])?;
        }
        Effect::UseInvite(hash) => {
            let mut statement =
                connection.prepare_cached("UPDATE invites SET uses_left = uses_left - 1 WHERE hash = ?")?;
            statement.execute([hash])?;
        }
        Effect::Read((room, user), seq, number) => {
            let mut statement = connection.prepare_cached(
                "UPDATE members SET read_seq = ?3, read_number = ?4 WHERE room = ?1 AND user = ?2 AND read_seq < ?3",
            )?;
            statement.execute(params![Sql(*room), Sql(*user), Sql(*seq), number.cast_signed()])?;
        }
    }
    Ok(())
}

/// What was said before. It is a message, whoever saw it; what is damaged stays so.
fn keep(connection: &Connection, rewrite: &Rewrite) -> Result<()> {
    let (room, seq) = rewrite.target;
    let mut statement = connection
        .prepare_cached("SELECT time_ms, rev, payload, kind, checksum FROM entries WHERE room = ? AND seq = ?")?;
    let before = |row: &Row<'_>| {
        let (time, rev, payload): (Millis, u32, Vec<u8>) = (get(row, 0)?, row.get(1)?, row.get(2)?);
        let (kind, stored): (u8, u32) = (row.get(3)?, row.get(4)?);
        let is_good = checksum(room, seq, time, rev, kind, &payload) == stored;
        let sum = if is_good { checksum(room, seq, time, rev, MESSAGE_KIND, &payload) } else { stored };
        Ok((time, rev, payload, sum))
    };
    let found = statement.query_row(params![Sql(room), Sql(seq)], before).optional()?;
    let Some((time, rev, payload, sum)) = found else { return Ok(()) };
    connection
        .prepare_cached(
            "INSERT INTO entry_revisions (room, seq, rev, time_ms, payload, checksum, replaced_ms, written_ms)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            Sql(room),
            Sql(seq),
            rev,
            Sql(time),
            payload,
            sum,
            Sql(rewrite.replaced),
            Sql(rewrite.written)
        ])?;
    Ok(())
}

fn write_over(connection: &Connection, vault: &Vault, rewrite: &Rewrite) -> Result<()> {
    let (room, seq) = (Sql(rewrite.target.0), Sql(rewrite.target.1));
    keep(connection, rewrite)?;
    let payload = vault.seal(SealedAt::Entry(rewrite.target.0, rewrite.target.1, rewrite.rev), &rewrite.payload);
    let sum = checksum(rewrite.target.0, rewrite.target.1, rewrite.said, rewrite.rev, rewrite.kind, &payload);
    connection
        .prepare_cached(
            "UPDATE entries SET payload = ?3, rev = ?4, kind = ?5, checksum = ?6, pinned = iif(?5 IN (1, 65), pinned, 0)
             WHERE room = ?1 AND seq = ?2",
        )?
        .execute(params![room, seq, payload, rewrite.rev, rewrite.kind, sum])?;
    // An edit says anew whom it mentions.
    connection.prepare_cached("DELETE FROM mentions WHERE room = ? AND seq = ?")?.execute(params![room, seq])?;
    if rewrite.is_tombstone() {
        connection.prepare_cached("DELETE FROM reactions WHERE room = ? AND seq = ?")?.execute(params![room, seq])?;
    }
    Ok(())
}

pub(super) fn target(connection: &Connection, (room, seq): TargetKey) -> Result<Option<TargetState>> {
    let mut statement = connection.prepare_cached(
        "SELECT author, kind, time_ms, rev, pinned, CASE WHEN rev > 0 THEN
             (SELECT r.written_ms FROM entry_revisions r WHERE r.room = e.room AND r.seq = e.seq AND r.rev = e.rev - 1)
             END
         FROM entries e WHERE room = ? AND seq = ?",
    )?;
    let state = |row: &Row<'_>| {
        let (author, time) = (get(row, 0)?, get(row, 2)?);
        let written: Option<Sql<Millis>> = row.get(5)?;
        let written = written.map(|sql| sql.0);
        Ok(TargetState { author, kind: row.get(1)?, time, rev: row.get(3)?, pinned: row.get(4)?, written })
    };
    Ok(statement.query_row(params![Sql(room), Sql(seq)], state).optional()?)
}

pub(super) fn invite(connection: &Connection, hash: InviteHash) -> Result<Option<InviteState>> {
    let mut statement =
        connection.prepare_cached("SELECT room, author, uses_left, expires_ms FROM invites WHERE hash = ?")?;
    let state = |row: &Row<'_>| {
        Ok(InviteState { room: get(row, 0)?, author: get(row, 1)?, uses_left: row.get(2)?, expires: get(row, 3)? })
    };
    Ok(statement.query_row([hash], state).optional()?)
}

pub(super) fn find_invite(connection: &Connection, hash: InviteHash) -> Result<Option<RoomId>> {
    Ok(invite(connection, hash)?.map(|invite| invite.room))
}

pub(super) fn create_invite(connection: &Connection, new: NewInvite) -> Result<bool> {
    connection.prepare_cached("DELETE FROM invites WHERE expires_ms < ?")?.execute([Sql(new.now)])?;
    let mut statement = connection.prepare_cached(
        "INSERT INTO invites (hash, room, author, uses_left, expires_ms, created_ms)
         SELECT ?1, ?2, ?3, ?4, ?5, ?6 FROM members m JOIN users u ON u.id = m.user JOIN rooms r ON r.id = m.room
         WHERE m.room = ?2 AND m.user = ?3 AND m.leave_seq IS NULL
             AND min(m.role, iif(u.role <= 3, u.role, 255)) <= iif(r.rights = 0, 3, (r.rights >> 8) & 15)
             AND (m.restriction IN (0, 3) OR (m.until_ms > 0 AND m.until_ms <= ?6))",
    )?;
    let (room, author, expires, now) = (Sql(new.room), Sql(new.author), Sql(new.expires), Sql(new.now));
    let is_kept = statement.execute(params![new.hash, room, author, new.uses, expires, now])? > 0;
    if is_kept {
        super::moderation::add_record(connection, &new.record)?;
    }
    Ok(is_kept)
}

pub(super) fn read_reactions(
    connection: &Connection,
    facts: &mut Facts,
    target: TargetKey,
    user: UserId,
) -> Result<()> {
    let mut statement = connection.prepare_cached(
        "SELECT emoji, max(user = ?3) FROM reactions WHERE room = ?1 AND seq = ?2 GROUP BY emoji LIMIT ?4",
    )?;
    let mut rows = statement.query(params![Sql(target.0), Sql(target.1), Sql(user), REACTIONS_MAX])?;
    while let Some(row) = rows.next()? {
        let text: String = row.get(0)?;
        let emoji = Emoji::parse(&text).map_err(|error| Error::Corrupt(format!("a reaction {error}")))?;
        if row.get(1)? {
            facts.reactions.insert((target, emoji.clone(), user));
        }
        facts.emojis.entry(target).or_default().insert(emoji);
    }
    Ok(())
}

pub(super) fn find_entries(
    connection: &Connection,
    vault: &Vault,
    room: RoomId,
    seqs: Vec<Seq>,
) -> Result<Vec<Envelope>> {
    let mut statement = connection
        .prepare_cached("SELECT seq, time_ms, rev, payload, checksum, kind FROM entries WHERE room = ? AND seq = ?")?;
    let mut found = Vec::with_capacity(seqs.len());
    for seq in seqs {
        found
            .extend(statement.query_row(params![Sql(room), Sql(seq)], |row| envelope(vault, row, room, 0)).optional()?);
    }
    found.sort_by_key(|entry| entry.seq);
    Ok(found)
}

pub(super) fn settings(connection: &Connection, room: RoomId) -> Result<Option<RoomSettings>> {
    let mut statement = connection.prepare_cached(
        "SELECT name, topic, slow_mode_ms, retention_ms, since_join, knocks, rights FROM rooms WHERE id = ?",
    )?;
    let columns = |row: &Row<'_>| {
        let (name, topic): (Option<String>, String) = (row.get(0)?, row.get(1)?);
        let retention: Sql<Millis> = row.get(3)?;
        Ok((name, topic, row.get(2)?, retention.0.0, visibility(row.get(4)?), row.get(5)?, get(row, 6)?))
    };
    let found = statement.query_row([Sql(room)], columns).optional()?;
    let Some((Some(name), topic, slow_mode_ms, retention_ms, visibility, knocks, rights)) = found else {
        return Ok(None);
    };
    let bad = |error| Error::Corrupt(format!("settings of room {room}: {error}"));
    let (name, topic) = (RoomName::parse(&name).map_err(bad)?, Topic::parse(&topic).map_err(bad)?);
    Ok(Some(RoomSettings { name, topic, slow_mode_ms, retention_ms, visibility, knocks, rights }))
}

pub(super) fn revisions(
    connection: &Connection,
    vault: &Vault,
    room: RoomId,
    seq: Seq,
    before: u32,
) -> Result<Vec<Envelope>> {
    let mut statement = connection.prepare_cached(
        "SELECT seq, time_ms, rev, payload, checksum, 1 FROM entry_revisions WHERE room = ? AND seq = ? AND rev < ?
         ORDER BY rev DESC LIMIT 200",
    )?;
    let rows = statement.query_map(params![Sql(room), Sql(seq), before], |row| envelope(vault, row, room, 0))?;
    let mut revisions = super::logs::within_page(rows)?;
    revisions.reverse();
    Ok(revisions)
}

pub(super) fn message_states(
    connection: &Connection,
    room: RoomId,
    reader: UserId,
    seqs: Vec<Seq>,
) -> Result<Vec<MessageState>> {
    let mut pins = connection
        .prepare_cached("SELECT pinned, kind = 65 AND author <> ?3 FROM entries WHERE room = ?1 AND seq = ?2")?;
    let mut answers = connection.prepare_cached(
        "SELECT count(*) FROM entries WHERE room = ? AND target = ? AND kind IN (1, 65) AND kind = 1",
    )?;
    let mut reactions = connection.prepare_cached(
        "SELECT emoji, count(*), max(user = ?3) FROM reactions WHERE room = ?1 AND seq = ?2 GROUP BY emoji ORDER BY emoji",
    )?;
    let mut states = Vec::new();
    for seq in seqs {
        let key = params![Sql(room), Sql(seq)];
        let count = |row: &Row<'_>| Ok(ReactionCount { emoji: row.get(0)?, count: row.get(1)?, mine: row.get(2)? });
        let given = reactions.query_map(params![Sql(room), Sql(seq), Sql(reader)], count)?;
        let flags = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let (pinned, shadowed) =
            pins.query_row(params![Sql(room), Sql(seq), Sql(reader)], flags).optional()?.unwrap_or_default();
        let state = MessageState {
            seq,
            pinned,
            shadowed,
            replies: answers.query_row(key, |row| row.get(0))?,
            reactions: given.collect::<rusqlite::Result<_>>()?,
        };
        states.push(state);
    }
    states.retain(|state| state.pinned || state.shadowed || state.replies > 0 || !state.reactions.is_empty());
    Ok(states)
}

pub(super) fn read_position(connection: &Connection, room: RoomId, seq: Seq) -> Result<Option<(Seq, u64)>> {
    let mut statement = connection.prepare_cached(
        "SELECT min(head, ?2), coalesce(
             (SELECT number FROM entries
              WHERE room = ?1 AND seq <= ?2 AND number IS NOT NULL ORDER BY seq DESC LIMIT 1),
             -- None is left up to there: the one before the next, or all that there were.
             (SELECT number - 1 FROM entries
              WHERE room = ?1 AND seq > ?2 AND number IS NOT NULL ORDER BY seq LIMIT 1), messages)
         FROM rooms WHERE id = ?1",
    )?;
    let position = |row: &Row<'_>| {
        let number: i64 = row.get(1)?;
        Ok((get(row, 0)?, number.cast_unsigned()))
    };
    Ok(statement.query_row(params![Sql(room), Sql(seq)], position).optional()?)
}

pub(super) fn find_members(connection: &Connection, room: RoomId, names: Vec<Username>) -> Result<Vec<UserId>> {
    let mut statement = connection.prepare_cached(
        "SELECT u.id FROM users u JOIN members m ON m.room = ? AND m.user = u.id AND m.leave_seq IS NULL
         WHERE u.username = ?",
    )?;
    let mut found = Vec::new();
    for name in names {
        let row: Option<UserId> =
            statement.query_row(params![Sql(room), name.as_str()], |row| get(row, 0)).optional()?;
        found.extend(row);
    }
    Ok(found)
}
