//! What is held on a person: given out as an archive, or taken away. For operators, beside a running server: entries
//! come and go through the store's own transactions, so readers are told as of any deletion.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use confab_protocol::codec::{decode_entry, encode_entry};
use confab_protocol::command::Member;
use confab_protocol::limits::{DELETE_MAX, PAGE_ITEMS_MAX};
use confab_protocol::model::{
    AuditId, CaseAct, CaseId, ClientId, DisplayName, Entry, EntryContent, Envelope, MembershipChange, Reason, RoomId,
    RoomKind, RoomRole, Sanction, Seq, ServerRole, UserId, Username,
};
use serde_json::{Value, json};

use super::append::{Act, Amend, Change, Decision, Item, Order};
use super::names::{self, ERASED_PREFIX};
use super::search::index::Follower;
use super::store::{Error, Held, Result, Scrub, Store, User};
use crate::clock::Clock;

/// Shown where a name stood.
const ERASED: &str = "erased";
/// Whoever is still connected may write meanwhile: the rooms are looked through until nothing is found.
const PASSES_MAX: u32 = 5;

/// Whether it is an account that was erased, to its end. Nobody else takes such a name; who had one before is taken for one.
pub(super) fn is_erased(member: &Member) -> bool {
    member.username.starts_with(ERASED_PREFIX) && member.display_name == ERASED
}

/// What an erasure found, or a rehearsal of it would have.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Erased {
    pub rooms: u64,
    pub messages: u64,
    /// Entries that name them: comings and goings, and sanctions with their reasons.
    pub names: u64,
    /// Rooms that they were in until now.
    pub left: u64,
    pub held: Held,
}

/// What an entry of a room has of a person.
enum Trace {
    /// They said it.
    Message,
    /// An entry of theirs without words: its digest and earlier texts may be there.
    Wordless,
    /// It names them, and reads like this without.
    Name(EntryContent),
}

fn trace(entry: &Entry, user: UserId) -> Option<Trace> {
    let erased = || DisplayName::parse(ERASED).ok();
    match &entry.content {
        EntryContent::Message(_) if entry.author == user => Some(Trace::Message),
        EntryContent::Membership { user: whose, change, role, display_name }
            if *whose == user && display_name.as_str() != ERASED =>
        {
            let display_name = erased()?;
            Some(Trace::Name(EntryContent::Membership { user, change: *change, role: *role, display_name }))
        }
        EntryContent::Sanction(sanction)
            if (sanction.user == user || entry.author == user) && !sanction.reason.as_str().is_empty() =>
        {
            let reason = Reason::parse("").ok()?;
            Some(Trace::Name(EntryContent::Sanction(Sanction { reason, ..sanction.clone() })))
        }
        // A knock that is left would let in whoever is not there any more.
        EntryContent::Knock | EntryContent::Notice(_) if entry.author == user => Some(Trace::Name(EntryContent::Void)),
        _ => (entry.author == user).then_some(Trace::Wordless),
    }
}

/// All entries of a room, page by page.
async fn each_page(
    store: &dyn Store,
    room: RoomId,
    mut on_page: impl AsyncFnMut(Vec<(Envelope, Entry)>) -> Result<()>,
) -> Result<()> {
    let mut after = Seq(0);
    loop {
        let Some(page) = store.read(room, UserId::NONE, after, PAGE_ITEMS_MAX).await? else { return Ok(()) };
        let Some(last) = page.entries.last().map(|entry| entry.seq) else { return Ok(()) };
        let decode = |entry: Envelope| {
            let decoded = decode_entry(&entry.payload);
            let what = || Error::Corrupt(format!("entry {} of room {room} cannot be read", entry.seq.0));
            decoded.map_err(|_| what()).map(|decoded| (entry, decoded))
        };
        on_page(page.entries.into_iter().map(decode).collect::<Result<_>>()?).await?;
        after = last;
    }
}

/// How far an export is, in entries of the rooms that somebody ever was in: all are looked through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Passed {
    pub entries: u64,
    /// As many as there were when it began.
    pub of: u64,
}

/// Gives everything that is held on somebody, one JSON object at a time. `tell` is told after each page.
///
/// # Errors
/// Those of the store, and of whoever takes it.
pub async fn export(
    store: &dyn Store,
    user: &User,
    give: &mut impl FnMut(Value) -> Result<()>,
    tell: &mut impl FnMut(Passed),
) -> Result<()> {
    let User { id, username, display_name, role, created, .. } = user;
    give(json!({
        "kind": "account", "id": id.to_string(), "username": username.as_str(), "displayName": display_name.as_str(),
        "role": format!("{role:?}"), "createdMs": created.0,
    }))?;
    for record in store.personal_records(*id).await? {
        give(record)?;
    }
    let rooms = store.rooms_ever(*id).await?;
    let heads = store.heads(rooms.clone()).await?;
    let heads: HashMap<RoomId, u64> = heads.into_iter().map(|(room, _, head)| (room, head.0)).collect();
    let (of, mut passed) = (heads.values().sum::<u64>(), 0);
    for room in rooms {
        let (before, head) = (passed, heads.get(&room).copied().unwrap_or_default());
        passed += head;
        let Some(seen) = store.room(room, *id).await? else { continue };
        give(json!({
            "kind": "room", "id": room.to_string(),
            // Who only knocked at a private room does not know its name.
            "name": if seen.role.is_some() || seen.kind == RoomKind::Channel { seen.name.as_str() } else { "" }, "roomKind": format!("{:?}", seen.kind),
            "role": seen.role.map(|role| format!("{role:?}")), "readSeq": seen.read_seq.0,
        }))?;
        let mut records = Vec::new();
        each_page(store, room, async |page| {
            let at = page.last().map_or(0, |(envelope, _)| envelope.seq.0);
            for (envelope, entry) in page {
                if entry.author != *id && trace(&entry, *id).is_none() {
                    continue;
                }
                let mut earlier = VecDeque::new();
                if envelope.rev > 0 && entry.author == *id {
                    earlier = earlier_texts(store, room, envelope.seq).await?;
                }
                records.push(json!({
                    "kind": "entry", "room": room.to_string(), "seq": envelope.seq.0, "timeMs": envelope.time.0,
                    "author": entry.author.to_string(), "content": describe(&entry.content), "earlier": earlier,
                }));
            }
            records.drain(..).try_for_each(&mut *give)?;
            // Who speaks meanwhile is none of it.
            tell(Passed { entries: before + at.min(head), of });
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// All of them, oldest first, however many pages that are.
async fn earlier_texts(store: &dyn Store, room: RoomId, seq: Seq) -> Result<VecDeque<Value>> {
    let (mut texts, mut before) = (VecDeque::new(), u32::MAX);
    loop {
        let page = store.revisions(room, seq, before).await?;
        let Some(first) = page.first() else { return Ok(texts) };
        before = first.rev;
        for revision in page.iter().rev() {
            let entry = decode_entry(&revision.payload).ok();
            entry.into_iter().for_each(|entry| texts.push_front(describe(&entry.content)));
        }
    }
}

/// What an entry says, in the words of the schema.
fn describe(content: &EntryContent) -> Value {
    match content {
        EntryContent::Message(message) => json!({
            "message": message.body.as_str(), "replyTo": message.reply_to.map(|seq| seq.0),
            "mentions": message.mentions.iter().map(ToString::to_string).collect::<Vec<_>>(),
        }),
        EntryContent::RoomCreated { name, topic } => {
            json!({ "roomCreated": { "name": name.as_str(), "topic": topic.as_str() } })
        }
        EntryContent::Settings(settings) => {
            json!({ "roomSettings": { "name": settings.name.as_str(), "topic": settings.topic.as_str() } })
        }
        EntryContent::Membership { user, change, role, display_name } => json!({ "membership": {
            "user": user.to_string(), "change": format!("{change:?}"), "role": format!("{role:?}"),
            "displayName": display_name.as_str(),
        } }),
        EntryContent::Sanction(sanction) => json!({ "sanction": {
            "user": sanction.user.to_string(), "kind": format!("{:?}", sanction.kind),
            "untilMs": sanction.until.map(|until| until.0), "reason": sanction.reason.as_str(),
        } }),
        EntryContent::Reaction { seq, emoji, removed } => {
            json!({ "reaction": { "seq": seq.0, "emoji": emoji.as_str(), "removed": removed } })
        }
        EntryContent::Edit(seq) => json!({ "edit": seq.0 }),
        EntryContent::Deletion { seqs, .. } => json!({ "deletion": seqs.iter().map(|seq| seq.0).collect::<Vec<_>>() }),
        EntryContent::Pin { seq, removed } => json!({ "pin": { "seq": seq.0, "removed": removed } }),
        EntryContent::Tombstone { .. } => json!({ "tombstone": {} }),
        EntryContent::SelfNote(note) => json!({ "selfNote": format!("{note:?}") }),
        EntryContent::Knock => json!({ "knock": {} }),
        EntryContent::Notice(body) => json!({ "notice": body.as_str() }),
        EntryContent::Void | EntryContent::Unknown => json!({}),
    }
}

/// What was held for review or refused, as an object of an archive.
#[must_use]
pub fn unappended(room: RoomId, time_ms: u64, code: i64, detail: &str, payload: &[u8]) -> Value {
    let content = decode_entry(&Bytes::copy_from_slice(payload)).ok().map(|entry| describe(&entry.content));
    json!({
        "kind": if code == 0 { "held" } else { "refused" }, "room": room.to_string(), "timeMs": time_ms, "code": code,
        "detail": detail, "content": content,
    })
}

/// What somebody said of a case, as an object of an archive.
#[must_use]
pub fn said_of_case(case: CaseId, time_ms: u64, act: CaseAct, text: &str) -> Value {
    json!({ "kind": "said of a case", "case": case.to_string(), "timeMs": time_ms, "act": format!("{act:?}"), "text": text })
}

/// What somebody said that is kept with a case, as an object of an archive: each of its texts, the later of a higher `rev`.
#[must_use]
pub fn kept_with_case(case: CaseId, room: RoomId, (seq, rev): (Seq, u32), time_ms: u64, payload: &[u8]) -> Value {
    let content = decode_entry(&Bytes::copy_from_slice(payload)).ok().map(|entry| describe(&entry.content));
    json!({
        "kind": "kept with a case", "case": case.to_string(), "room": room.to_string(), "seq": seq.0, "rev": rev,
        "timeMs": time_ms, "content": content,
    })
}

/// What a plugin noted of what somebody said or did, as an object of an archive.
#[must_use]
pub fn noted_by_plugin(record: AuditId, time_ms: u64, note: &str) -> Value {
    json!({ "kind": "noted by a plugin", "record": record.to_string(), "timeMs": time_ms, "note": note })
}

/// Counts what [`erase`] would take away.
///
/// # Errors
/// Those of the store.
pub async fn rehearse(store: &dyn Store, user: &User) -> Result<Erased> {
    let mut found = Erased { held: store.count_held(user.id).await?, ..Erased::default() };
    for room in store.rooms_ever(user.id).await?.into_iter().filter(|room| *room != user.self_room) {
        found.rooms += 1;
        found.left += u64::from(is_left(store, room, user.id).await?);
        each_page(store, room, async |page| {
            for (_, entry) in page {
                match trace(&entry, user.id) {
                    Some(Trace::Message) => found.messages += 1,
                    Some(Trace::Name(_)) => found.names += 1,
                    Some(Trace::Wordless) | None => {}
                }
            }
            Ok(())
        })
        .await?;
    }
    Ok(found)
}

/// Whether it is a room that one goes out of, and they are in it.
async fn is_left(store: &dyn Store, room: RoomId, user: UserId) -> Result<bool> {
    let room = store.room(room, user).await?;
    Ok(room.is_some_and(|room| room.role.is_some() && matches!(room.kind, RoomKind::Channel | RoomKind::Private)))
}

/// Takes away what is held on somebody: their login at once, then what they said, room by room, then their name. It may
/// be broken off and begun again. `tell` is told after each room.
///
/// # Errors
/// Those of the store.
pub async fn erase(store: &dyn Store, clock: &dyn Clock, user: &User, tell: &mut impl FnMut(Erased)) -> Result<Erased> {
    let mut erased = Erased { held: store.count_held(user.id).await?, ..Erased::default() };
    // A name that nobody can have taken.
    let name = format!("{ERASED_PREFIX}{:016x}", clock.random() as u64);
    let (Ok(username), Ok(display_name)) = (Username::parse(&name), DisplayName::parse(ERASED)) else {
        return Err(Error::Corrupt(format!("{name} cannot be a name")));
    };
    // The shown name goes first: it is written into entries, by others too.
    store.lock_account(user.id, display_name.clone()).await?;
    let mut is_clean = false;
    for pass in 0..PASSES_MAX {
        let mut found = 0;
        let rooms = store.rooms_ever(user.id).await?;
        for room in rooms.iter().filter(|room| **room != user.self_room) {
            erased.rooms += u64::from(pass == 0);
            erased.left += u64::from(leave(store, clock, *room, user).await?);
            found += erase_room(store, clock, *room, user, &mut erased).await?;
            tell(erased);
        }
        // A server that runs follows by itself, but not at once.
        bring_index_on(store, rooms).await?;
        is_clean = found == 0;
        if is_clean {
            break;
        }
    }
    if !is_clean {
        return Err(Error::Unavailable(
            "they go on writing: run it again when their connections have ended".to_owned(),
        ));
    }
    let username_key = names::user_key(&username);
    store.erase_account(user.id, user.self_room, (username, username_key), display_name).await?;
    Ok(erased)
}

/// Until it follows: somebody else may lead it along too.
async fn bring_index_on(store: &dyn Store, rooms: Vec<RoomId>) -> Result<()> {
    for _ in 0..PASSES_MAX {
        let mut follower = Follower::start(store, Some(rooms.clone())).await?;
        let mut is_behind = false;
        while follower.step(store).await? {
            is_behind = true;
        }
        if !is_behind {
            return Ok(());
        }
    }
    Ok(())
}

async fn leave(store: &dyn Store, clock: &dyn Clock, room: RoomId, user: &User) -> Result<bool> {
    if !is_left(store, room, user.id).await? {
        return Ok(false);
    }
    let Ok(display_name) = DisplayName::parse(ERASED) else { return Ok(false) };
    let change = MembershipChange::Left;
    let content = EntryContent::Membership { user: user.id, change, role: RoomRole::Member, display_name };
    append(store, clock, room, user.id, content, Change::Leave).await
}

async fn append(
    store: &dyn Store,
    clock: &dyn Clock,
    room: RoomId,
    author: UserId,
    content: EntryContent,
    change: Change,
) -> Result<bool> {
    let client_id = ClientId::new(clock.now(), clock.random());
    let payload = encode_entry(&Entry { author, client_id, content });
    let (digest, order) = ([0; 16], Order::none());
    let item = Item {
        room,
        author,
        client_id,
        digest,
        payload,
        altered: false,
        change,
        acl_version: 0,
        order,
        then: Vec::new(),
        beside: None,
    };
    let decided = store.append(vec![item], clock.now()).await?;
    Ok(decided.iter().any(|decided| matches!(decided.decision, Decision::Append { .. })))
}

async fn erase_room(
    store: &dyn Store,
    clock: &dyn Clock,
    room: RoomId,
    user: &User,
    erased: &mut Erased,
) -> Result<u64> {
    let mut found = 0;
    each_page(store, room, async |page| {
        let (mut said, mut scrub) = (Vec::new(), Scrub::default());
        for (envelope, entry) in page {
            match trace(&entry, user.id) {
                Some(Trace::Message) => {
                    let content = EntryContent::Tombstone { by_moderator: false };
                    said.push((envelope.seq, encode_entry(&Entry { content, ..entry })));
                    scrub.said.push(envelope.seq);
                }
                Some(Trace::Wordless) => scrub.said.push(envelope.seq),
                Some(Trace::Name(content)) => {
                    scrub.said.push(envelope.seq);
                    scrub.rewritten.push((envelope, encode_entry(&Entry { content, ..entry })));
                }
                None => {}
            }
        }
        for some in said.chunks(DELETE_MAX) {
            if take_back(store, clock, room, user.id, some).await? {
                erased.messages += some.len() as u64;
                continue;
            }
            // One of them was deleted by somebody else meanwhile: the others go one by one.
            for one in some.chunks(1) {
                erased.messages += u64::from(take_back(store, clock, room, user.id, one).await?);
            }
        }
        erased.names += scrub.rewritten.len() as u64;
        found += (said.len() + scrub.rewritten.len()) as u64;
        if !scrub.said.is_empty() || !scrub.rewritten.is_empty() {
            store.scrub(room, scrub).await?;
        }
        Ok(())
    })
    .await?;
    Ok(found)
}

/// Whether all of these were messages of theirs, and are not any more.
async fn take_back(
    store: &dyn Store,
    clock: &dyn Clock,
    room: RoomId,
    user: UserId,
    tombstones: &[(Seq, Bytes)],
) -> Result<bool> {
    let seqs = tombstones.iter().map(|(seq, _)| *seq).collect();
    let content = EntryContent::Deletion { seqs, by_moderator: false };
    let amend =
        Amend { server_role: ServerRole::User, shadowed: false, decided: false, act: Act::Erase(tombstones.to_vec()) };
    append(store, clock, room, user, content, Change::Amend(Box::new(amend))).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_erased_to_the_end_is_told_by_both_names() {
        let is_it = |username: &str, display_name: &str| {
            let (username, display_name) = (username.to_owned(), display_name.to_owned());
            is_erased(&Member { user: UserId::NONE, username, display_name, role: None })
        };
        assert!(is_it("erased-0123456789abcdef", ERASED));
        assert!(!is_it("alice", ERASED), "it has only begun");
        assert!(!is_it("erased-0123456789abcdef", "Alice") && !is_it("alice", "Alice"));
    }
}
