//! The group commit: read what a batch needs, let the core decide, write what it made of it.

use std::collections::BTreeSet;

use confab_protocol::model::{Millis, RoomId, Seq};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::logs::{checksum, find_recorded};
use super::rows::{Sql, get};
use super::seal;
use super::{effects, moderation};
use crate::core::append::{
    Audience, Decided, Decision, Facts, Item, MemberKey, MemberState, Needs, Numbers, RoomState, decide,
};
use crate::core::seal::{Place as SealedAt, Vault};
use crate::core::store::{NewRoom, Restriction, Result, RoomShape, pair_bytes};

pub(super) fn append(connection: &Connection, vault: &Vault, batch: Vec<Item>, now: Millis) -> Result<Vec<Decided>> {
    seal::check(connection, vault)?;
    let needs = Needs::of(&batch);
    let mut facts = needs.facts();
    read_facts(connection, vault, &mut facts, &needs)?;
    for key in facts.late_members(&batch) {
        read_member(connection, &mut facts, key)?;
    }
    let decided = decide(&mut facts, batch, now);
    for (room, new) in &facts.created {
        create_room(connection, *room, new)?;
    }
    let mut touched = BTreeSet::new();
    let mut numbers = Numbers::of(&facts, &decided);
    for (item, decision) in decided.iter().flat_map(Decided::all) {
        if let Decision::Append { seq, time, audience, .. } = decision {
            insert(connection, vault, &mut numbers, item, *audience, (*seq, *time))?;
            touched.insert(item.room);
        }
        moderation::write_beside(connection, &facts.left_beside(item, decision))?;
    }
    for effect in &facts.effects {
        effects::write(connection, vault, effect)?;
    }
    for key in &facts.changed_members {
        write_member(connection, &facts, *key)?;
    }
    for room in touched {
        write_room(connection, &facts, room)?;
    }
    Ok(decided)
}

fn read_facts(connection: &Connection, vault: &Vault, facts: &mut Facts, needs: &Needs) -> Result<()> {
    for room in &needs.rooms {
        let mut statement = connection.prepare_cached(
            "SELECT incarnation, head, last_ms, acl_version, members, messages, slow_mode_ms, kind, rights FROM rooms WHERE id = ?",
        )?;
        let state = |row: &Row<'_>| {
            let (acl_version, messages): (i64, i64) = (row.get(3)?, row.get(5)?);
            Ok(RoomState {
                incarnation: get(row, 0)?,
                head: get(row, 1)?,
                last_time: get(row, 2)?,
                acl_version: acl_version.cast_unsigned(),
                members: row.get(4)?,
                messages: messages.cast_unsigned(),
                slow_mode_ms: row.get(6)?,
                kind: get(row, 7)?,
                rights: get(row, 8)?,
            })
        };
        facts.rooms.extend(statement.query_row([Sql(*room)], state).optional()?.map(|state| (*room, state)));
    }
    for key in &needs.keys {
        let (room, author, client_id) = *key;
        facts
            .recorded
            .extend(find_recorded(connection, vault, room, author, client_id)?.map(|recorded| (*key, recorded)));
    }
    for key in &needs.names {
        let mut statement = connection.prepare_cached("SELECT 1 FROM rooms WHERE name_key = ? AND kind = 1")?;
        if statement.exists([key.as_str()])? {
            facts.names.insert(key.clone());
        }
    }
    for room in &needs.settings {
        facts.settings.extend(effects::settings(connection, *room)?.map(|settings| (*room, settings)));
    }
    for pair in &needs.pairs {
        if super::rooms::find_direct(connection, *pair)?.is_some() {
            facts.pairs.insert(*pair);
        }
    }
    for hash in &needs.invites {
        facts.invites.extend(effects::invite(connection, *hash)?.map(|state| (*hash, state)));
    }
    for target in &needs.targets {
        facts.targets.extend(effects::target(connection, *target)?.map(|state| (*target, state)));
    }
    for target in &needs.cases {
        facts.cases.extend(moderation::open_about(connection, *target)?.map(|case| (*target, case)));
    }
    for (target, user) in &needs.reactions {
        effects::read_reactions(connection, facts, *target, *user)?;
    }
    needs.members.iter().try_for_each(|key| read_member(connection, facts, *key))
}

fn read_member(connection: &Connection, facts: &mut Facts, key: MemberKey) -> Result<()> {
    let mut statement = connection.prepare_cached(
        "SELECT m.role, join_seq, leave_seq, m.restriction, m.until_ms, last_post_ms, read_seq, read_number, u.role,
             knocked_ms
         FROM members m JOIN users u ON u.id = m.user WHERE room = ? AND user = ?",
    )?;
    let member = |row: &Row<'_>| {
        let left: Option<Sql<Seq>> = row.get(2)?;
        let (until, number): (Sql<Millis>, i64) = (row.get(4)?, row.get(7)?);
        Ok(MemberState {
            role: get(row, 0)?,
            server_role: Some(get(row, 8)?),
            join_seq: get(row, 1)?,
            leave_seq: left.map(|sql| sql.0),
            restriction: Restriction::from_numbers(row.get(3)?, until.0.0),
            last_post: get(row, 5)?,
            knocked: get(row, 9)?,
            read: (get(row, 6)?, number.cast_unsigned()),
        })
    };
    let member = statement.query_row(params![Sql(key.0), Sql(key.1)], member).optional()?;
    facts.members.extend(member.map(|member| (key, member)));
    Ok(())
}

fn write_member(connection: &Connection, facts: &Facts, key: MemberKey) -> Result<()> {
    let Some(member) = facts.members.get(&key) else { return Ok(()) };
    let mut statement = connection.prepare_cached(
        "INSERT INTO members (room, user, role, join_seq, leave_seq, restriction, until_ms, last_post_ms, read_seq,
             read_number, knocked_ms)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (room, user) DO UPDATE SET role = excluded.role, join_seq = excluded.join_seq,
             leave_seq = excluded.leave_seq, restriction = excluded.restriction, until_ms = excluded.until_ms,
             last_post_ms = excluded.last_post_ms, read_seq = excluded.read_seq, read_number = excluded.read_number,
             knocked_ms = excluded.knocked_ms",
    )?;
    let (restriction, until) = Restriction::to_numbers(member.restriction);
    statement.execute(params![
        Sql(key.0),
        Sql(key.1),
        Sql(member.role),
        Sql(member.join_seq),
        member.leave_seq.map(Sql),
        restriction,
        Sql(Millis(until)),
        Sql(member.last_post),
        Sql(member.read.0),
        member.read.1.cast_signed(),
        Sql(member.knocked),
    ])?;
    Ok(())
}

fn write_room(connection: &Connection, facts: &Facts, room: RoomId) -> Result<()> {
    let Some(state) = facts.rooms.get(&room) else { return Ok(()) };
    let mut statement = connection.prepare_cached(
        "UPDATE rooms SET head = ?2, last_ms = ?3, acl_version = ?4, members = ?5, messages = ?6 WHERE id = ?1",
    )?;
    let (acl, messages) = (state.acl_version.cast_signed(), state.messages.cast_signed());
    statement.execute(params![Sql(room), Sql(state.head), Sql(state.last_time), acl, state.members, messages])?;
    Ok(())
}

fn create_room(connection: &Connection, room: RoomId, new: &NewRoom) -> Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO rooms (id, kind, name, name_key, topic, pair, incarnation, created_ms)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    let (name, key, topic, pair) = match &new.shape {
        RoomShape::Named { name, key, topic, .. } => (Some(name.as_str()), Some(key.as_str()), topic.as_str(), None),
        RoomShape::Direct { pair, .. } => (None, None, "", Some(pair_bytes(*pair))),
    };
    let (id, kind, incarnation, created) = (Sql(room), Sql(new.shape.kind()), Sql(new.incarnation), Sql(new.created));
    statement.execute(params![id, kind, name, key, topic, pair, incarnation, created])?;
    Ok(())
}

fn insert(
    connection: &Connection,
    vault: &Vault,
    numbers: &mut Numbers,
    item: &Item,
    audience: Audience,
    (seq, time): (Seq, Millis),
) -> Result<()> {
    let kind = audience.kind(item.change.kind());
    let payload = vault.seal(SealedAt::Entry(item.room, seq, 0), &item.payload);
    let sum = checksum(item.room, seq, time, 0, kind, &payload);
    let digest = vault.seal_digest(SealedAt::Unappended(item.room, item.author, item.client_id), item.digest);
    let mut statement = connection.prepare_cached(
        "INSERT INTO entries (room, seq, time_ms, kind, author, client_id, digest, altered, payload, number, target,
             checksum)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    let (room, seq, time, author, client_id) =
        (Sql(item.room), Sql(seq), Sql(time), Sql(item.author), Sql(item.client_id));
    statement.execute(params![
        room,
        seq,
        time,
        kind,
        author,
        client_id,
        digest,
        item.altered,
        payload,
        numbers.take(item, audience).map(u64::cast_signed),
        item.change.target().map(Sql),
        sum,
    ])?;
    Ok(())
}
