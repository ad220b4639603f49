//! What a batch needs to know of the store, and what it makes of it. A driver reads the facts under the locks of the
//! batch's rooms and writes back what changed; everything between is pure.

use std::collections::{BTreeSet, HashMap, HashSet};

use bytes::Bytes;
use confab_protocol::model::{
    CaseId, ClientId, Emoji, Envelope, Incarnation, Millis, RoomId, RoomKind, RoomRole, RoomSettings, SanctionKind,
    Seq, ServerRole, UserId,
};
use confab_protocol::rights::RoomRights;

use super::audience::{Audience, SHADOWED, SHADOWED_MESSAGE_KIND};
use super::beside::{Instead, OpenCase, flagged_edit};
use super::{Change, Decided, Decision, InviteHash, Item, MESSAGE_KIND, Order};
use crate::core::access::Right;
use crate::core::cases::CaseRow;
use crate::core::names::Key;
use crate::core::store::{Membership, NewRoom, Pair, Recorded, Restriction, RoomShape};

/// A room inside the transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct RoomState {
    pub kind: RoomKind,
    pub incarnation: Incarnation,
    pub head: Seq,
    pub last_time: Millis,
    pub acl_version: u64,
    pub members: u32,
    /// Messages that were ever appended: the number of the newest.
    pub messages: u64,
    /// Least time between two messages of a member.
    pub slow_mode_ms: u32,
    pub rights: RoomRights,
}

/// A row of a room's members, also of one who has left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct MemberState {
    pub role: RoomRole,
    /// The user's rank outside the room; not known of one who came in with this very batch.
    pub server_role: Option<ServerRole>,
    pub join_seq: Seq,
    pub leave_seq: Option<Seq>,
    pub restriction: Option<Restriction>,
    /// Of their last message, kept while the room is slow.
    pub last_post: Millis,
    /// When they last asked to be let in.
    pub knocked: Millis,
    /// Read marker, and the number of the last message up to it.
    pub read: (Seq, u64),
}

/// An entry that another one is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct TargetState {
    pub author: UserId,
    /// [`Change::kind`], or [`TOMBSTONE_KIND`].
    pub kind: u8,
    pub time: Millis,
    pub rev: u32,
    pub pinned: bool,
    /// When its author wrote what it reads now, or it was deleted, as long as the text before that is kept.
    pub written: Option<Millis>,
}

/// An invitation as it is now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct InviteState {
    pub room: RoomId,
    pub author: UserId,
    pub uses_left: u32,
    pub expires: Millis,
}

/// What a message's kind becomes when it is deleted.
pub const TOMBSTONE_KIND: u8 = 9;

/// The kind of an entry by which somebody asks to be let in.
pub(super) const KNOCK_KIND: u8 = 12;

impl MemberState {
    /// Whether what they say is kept from others.
    #[must_use]
    pub fn is_shadowed(&self, now: Millis) -> bool {
        self.restriction.is_some_and(|it| it.shadows(now))
    }

    /// Whether they may not come in.
    #[must_use]
    pub fn is_banned(&self, now: Millis) -> bool {
        self.restriction.is_some_and(|it| it.kind == SanctionKind::Ban && it.holds(now))
    }
}

impl TargetState {
    /// Whether they knocked with it, and nobody answered yet. An answer is kept where a message's pin is.
    #[must_use]
    pub fn is_knock_of(&self, user: UserId) -> bool {
        self.kind == KNOCK_KIND && self.author == user && !self.pinned
    }

    /// Whether it is a message, was not deleted, and is seen by somebody, who may have the rank of a moderator.
    #[must_use]
    pub fn is_message_for(&self, user: UserId, right: Option<Right>) -> bool {
        let is_seen = self.author == user || right == Some(Right::Moderate);
        self.kind == MESSAGE_KIND || self.kind == SHADOWED_MESSAGE_KIND && is_seen
    }

    /// Whether others than its author do not see it.
    #[must_use]
    pub const fn is_shadowed(&self) -> bool {
        self.kind & SHADOWED != 0
    }
}

/// A row to write over; what stood there moves to the revisions.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Rewrite {
    pub target: TargetKey,
    pub rev: u32,
    pub kind: u8,
    pub payload: Bytes,
    /// Of the message.
    pub said: Millis,
    /// Now, from which on what stood there is kept for as long as its retention says.
    pub replaced: Millis,
    /// When the payload was written: of an edit that was held, when it was held.
    pub written: Millis,
}

impl Rewrite {
    /// Whether the message is gone.
    #[must_use]
    pub const fn is_tombstone(&self) -> bool {
        self.kind & !SHADOWED == TOMBSTONE_KIND
    }
}

/// What is written beside entries, rooms and members, in the order in which it was decided.
#[derive(Clone, Debug)]
pub enum Effect {
    /// A message reads differently or is gone; of one that is gone reactions and pin go too.
    Rewrite(Rewrite),
    /// A reaction comes, or with `false` goes.
    React(TargetKey, Emoji, UserId, bool),
    /// A message is pinned, or not.
    Pin(TargetKey, bool),
    /// A room's settings, and the key of its name.
    Settings(RoomId, RoomSettings, Key),
    /// Somebody was mentioned.
    Mention(TargetKey, UserId),
    /// A read marker moved on.
    Read(MemberKey, Seq, u64),
    /// Somebody came with an invitation.
    UseInvite(InviteHash),
    /// Somebody may not invite any more: what they gave out is not good any more either.
    ForgetInvites(MemberKey),
    /// All invitations to a room are good for nothing any more.
    ForgetAllInvites(RoomId),
    /// What was held is posted, and held no more: its case is about this message now.
    Release(ItemKey, Seq),
    /// A case keeps the message that it is about as it reads now, with what stands around it.
    Evidence(CaseRow),
    /// A case that is open already keeps its message once more, as it reads now.
    EvidenceAgain(CaseId, TargetKey, Millis),
}

/// What makes an append the same as another.
pub type ItemKey = (RoomId, UserId, ClientId);
/// A row of a room's members.
pub type MemberKey = (RoomId, UserId);
/// An entry.
pub type TargetKey = (RoomId, Seq);

/// What a driver reads before the batch can be decided.
#[derive(Default, Debug)]
pub struct Needs {
    /// Rooms to lock, in the order in which everybody locks them.
    pub rooms: BTreeSet<RoomId>,
    /// Client ids whose outcome may be known.
    pub keys: Vec<ItemKey>,
    /// Rows of members.
    pub members: BTreeSet<MemberKey>,
    /// Keys of names that rooms are to have.
    pub names: Vec<Key>,
    /// Rooms whose settings are to change.
    pub settings: BTreeSet<RoomId>,
    /// Pairs of people that are to have a room.
    pub pairs: Vec<Pair>,
    /// Invitations that are used.
    pub invites: Vec<InviteHash>,
    /// Entries that others are about.
    pub targets: BTreeSet<TargetKey>,
    /// Messages whose reactions matter, and whose reaction it is.
    pub reactions: Vec<(TargetKey, UserId)>,
    /// Messages that a case may be open about, where another text for them was flagged.
    pub cases: BTreeSet<TargetKey>,
}

impl Needs {
    /// What can be told from the items alone.
    #[must_use]
    pub fn of(batch: &[Item]) -> Self {
        let mut needs = Self::default();
        for item in all(batch) {
            needs.rooms.insert(item.room);
            needs.keys.push(item.key());
            needs.cases.extend(flagged_edit(item).map(|(target, _)| target));
            match &item.change {
                Change::CreateRoom(new) => match &new.shape {
                    RoomShape::Named { key, .. } => needs.names.push(key.clone()),
                    RoomShape::Direct { pair, .. } => needs.pairs.push(*pair),
                },
                // Doors are rare: always on fresh rows.
                Change::Join(invite) => {
                    needs.members.insert((item.room, item.author));
                    needs.invites.extend(*invite);
                }
                Change::Leave => {
                    needs.members.insert((item.room, item.author));
                }
                Change::Message(said) => needs.targets.extend(said.reply_to.map(|seq| (item.room, seq))),
                Change::Read { room, .. } => {
                    needs.members.insert((*room, item.author));
                }
                Change::Amend(amend) => amend.act.add_needs(item, &mut needs),
                Change::SelfNote => {}
            }
        }
        needs
    }

    /// Empty facts to read these needs into.
    #[must_use]
    pub fn facts(&self) -> Facts {
        Facts { keeps_targets: !self.targets.is_empty(), ..Facts::default() }
    }
}

fn all(batch: &[Item]) -> impl Iterator<Item = &Item> {
    batch.iter().flat_map(|item| std::iter::once(item).chain(&item.then))
}

/// The rows that a batch is decided on, as they are after what was decided so far.
#[derive(Default, Debug)]
pub struct Facts {
    /// Rooms that exist.
    pub rooms: HashMap<RoomId, RoomState>,
    /// Known outcomes.
    pub recorded: HashMap<ItemKey, Recorded>,
    /// Rows of members that exist.
    pub members: HashMap<MemberKey, MemberState>,
    /// Of the keys asked for, those of open rooms.
    pub names: HashSet<Key>,
    /// The settings of rooms where they are to change.
    pub settings: HashMap<RoomId, RoomSettings>,
    /// Of the pairs asked for, those that have a room.
    pub pairs: HashSet<Pair>,
    /// Invitations that exist.
    pub invites: HashMap<InviteHash, InviteState>,
    /// Rooms that came into being, to be written before their entries.
    pub created: Vec<(RoomId, NewRoom)>,
    /// Rows of members that changed.
    pub changed_members: BTreeSet<MemberKey>,
    /// Entries that others are about, and that exist.
    pub targets: HashMap<TargetKey, TargetState>,
    /// The different reactions to messages that matter.
    pub emojis: HashMap<TargetKey, HashSet<Emoji>>,
    /// Reactions that were given, by those who give or take them back now.
    pub reactions: HashSet<(TargetKey, Emoji, UserId)>,
    /// Of the messages asked for, those that a report or a flag is open about.
    pub cases: HashMap<TargetKey, OpenCase>,
    /// Cases that are not opened after all.
    pub(super) instead: HashMap<CaseId, Instead>,
    /// What else is to be written.
    pub effects: Vec<Effect>,
    /// An entry of this batch may be about another of it.
    pub keeps_targets: bool,
    /// Connections whose later items must not overtake one that was refused.
    pub(super) broken: Vec<(Order, RoomId)>,
}

impl Facts {
    /// Authors whose rows must be read because the room's rights have changed since theirs were checked, or do so in
    /// this very batch, or because the room is slow.
    #[must_use]
    pub fn late_members(&self, batch: &[Item]) -> BTreeSet<MemberKey> {
        let is_moving = |item: &&Item| item.change.bumps_acl() || item.change.configures();
        let moved: HashSet<RoomId> = all(batch).filter(is_moving).map(|item| item.room).collect();
        let is_needed = |item: &&Item| {
            let room = self.rooms.get(&item.room);
            let is_stale = room.is_some_and(|room| room.acl_version != item.acl_version || room.slow_mode_ms > 0);
            matches!(item.change, Change::Message(_)) && (is_stale || moved.contains(&item.room))
        };
        all(batch).filter(is_needed).map(|item| (item.room, item.author)).collect()
    }

    pub(super) fn membership(&self, room: RoomId, user: UserId) -> Option<Membership> {
        let member = self.members.get(&(room, user)).filter(|member| member.leave_seq.is_none())?;
        let RoomState { acl_version, rights, .. } = *self.rooms.get(&room)?;
        // When they came in is asked before, by those who decide about what they say.
        let (role, restriction, joined) = (member.role, member.restriction, Millis(0));
        Some(Membership { role, restriction, joined, rights, acl_version })
    }

    pub(super) fn is_broken(&self, item: &Item) -> bool {
        let is_here = |(order, room): &(Order, RoomId)| *room == item.room && order.is_same(&item.order);
        self.broken.iter().any(is_here) || item.order.is_broken(item.room)
    }

    /// Writes a change into the rows.
    /// `time` is the entry's, which never goes back; `now` is the clock's, by which is waited.
    pub(super) fn apply(
        &mut self,
        item: &Item,
        audience: Audience,
        seq: Seq,
        (time, now): (Millis, Millis),
    ) -> Option<Envelope> {
        let key = (item.room, item.author);
        let room = self.rooms.get_mut(&item.room)?;
        match &item.change {
            Change::Message(said) => {
                let is_heard = audience == Audience::Everyone;
                // What others do not see is not unread for them.
                room.messages += u64::from(is_heard);
                if room.slow_mode_ms > 0
                    && let Some(member) = self.members.get_mut(&key)
                {
                    member.last_post = now;
                    self.changed_members.insert(key);
                }
                let target = (item.room, seq);
                if self.keeps_targets {
                    let (author, kind) = (item.author, audience.kind(MESSAGE_KIND));
                    self.targets
                        .insert(target, TargetState { author, kind, time, rev: 0, pinned: false, written: None });
                }
                let mentions = said.mentions.iter().filter(|_| is_heard);
                self.effects.extend(mentions.map(|user| Effect::Mention(target, *user)));
            }
            Change::SelfNote => {}
            Change::Read { room, seq, number } => self.move_marker((*room, item.author), *seq, *number),
            Change::Amend(amend) => return amend.apply(self, item, audience, seq, (time, now)),
            Change::CreateRoom(new) => {
                let others: &[UserId] = match &new.shape {
                    RoomShape::Named { .. } => &[],
                    RoomShape::Direct { other, .. } => std::slice::from_ref(other),
                };
                let role = if others.is_empty() { RoomRole::Owner } else { RoomRole::Member };
                room.members = 1 + others.len() as u32;
                for user in std::iter::once(&item.author).chain(others) {
                    let (restriction, never, read) = (None, Millis(0), (seq, 0));
                    let member = MemberState {
                        role,
                        server_role: None,
                        join_seq: seq,
                        leave_seq: None,
                        restriction,
                        last_post: never,
                        knocked: never,
                        read,
                    };
                    self.members.insert((item.room, *user), member);
                    self.changed_members.insert((item.room, *user));
                }
            }
            Change::Join(invite) => {
                if let Some(state) = invite.and_then(|invite| self.invites.get_mut(&invite)) {
                    state.uses_left = state.uses_left.saturating_sub(1);
                }
                self.effects.extend(invite.map(Effect::UseInvite));
                self.come_in(key, seq);
            }
            Change::Leave => {
                self.put_out(key, seq);
            }
        }
        None
    }

    /// A message that an edit of this batch is about, as the batch leaves it.
    pub(super) fn rewritten_now(&self, decided: &Decided) -> Option<Envelope> {
        let seq = decided.rewritten.as_ref()?.seq;
        let is_it = |rewrite: &&Rewrite| rewrite.target == (decided.item.room, seq);
        let rewrites = self.effects.iter().filter_map(|effect| match effect {
            Effect::Rewrite(rewrite) => Some(rewrite),
            _ => None,
        });
        let last = rewrites.filter(is_it).last()?;
        Some(Envelope { seq, time: last.said, rev: last.rev, payload: last.payload.clone(), rewritten: None })
    }

    /// Somebody comes in.
    pub(super) fn come_in(&mut self, key: MemberKey, seq: Seq) {
        let Some(room) = self.rooms.get_mut(&key.0) else { return };
        // An owner who comes back owns it still: nobody else does.
        let before = self.members.get(&key);
        // Nor does a guest become more by going out and coming in.
        let kept = before.map(|member| member.role);
        let role = kept.filter(|role| matches!(role, RoomRole::Owner | RoomRole::Guest)).unwrap_or(RoomRole::Member);
        let server_role = before.and_then(|member| member.server_role);
        let restriction = before.and_then(|it| it.restriction);
        let (last_post, knocked) = before.map_or((Millis(0), Millis(0)), |it| (it.last_post, it.knocked));
        // What was said before they came is not unread.
        let read = (seq, room.messages);
        let (join_seq, leave_seq) = (seq, None);
        let member = MemberState { role, server_role, join_seq, leave_seq, restriction, last_post, knocked, read };
        self.members.insert(key, member);
        self.changed_members.insert(key);
        room.members += 1;
    }

    /// Somebody outside asked to be let in, and is remembered for when they may ask again.
    pub(super) fn note_knock(&mut self, key: MemberKey, seq: Seq, now: Millis) {
        self.note_outside(key, seq);
        if let Some(member) = self.members.get_mut(&key) {
            member.knocked = now;
        }
        self.changed_members.insert(key);
    }

    /// Somebody wrote to the room who was never in it: a row of theirs tells an export and an erasure where to look.
    pub(super) fn note_outside(&mut self, key: MemberKey, seq: Seq) {
        if self.members.contains_key(&key) {
            return;
        }
        let read = (seq, self.rooms.get(&key.0).map_or(0, |room| room.messages));
        let outside = MemberState {
            role: RoomRole::Member,
            server_role: None,
            join_seq: seq,
            leave_seq: Some(seq),
            restriction: None,
            last_post: Millis(0),
            knocked: Millis(0),
            read,
        };
        self.members.insert(key, outside);
        self.changed_members.insert(key);
    }

    /// A member goes out.
    pub(super) fn put_out(&mut self, key: MemberKey, seq: Seq) {
        self.forget_invites(key);
        let member = self.members.get_mut(&key).filter(|member| member.leave_seq.is_none());
        if let (Some(member), Some(room)) = (member, self.rooms.get_mut(&key.0)) {
            member.leave_seq = Some(seq);
            self.changed_members.insert(key);
            room.members = room.members.saturating_sub(1);
        }
    }

    pub(super) fn forget_invites(&mut self, key: MemberKey) {
        self.invites.retain(|_, invite| (invite.room, invite.author) != key);
        self.effects.push(Effect::ForgetInvites(key));
    }

    /// Fewer may invite: who gave out what is not looked at.
    pub(super) fn forget_all_invites(&mut self, room: RoomId) {
        self.invites.retain(|_, invite| invite.room != room);
        self.effects.push(Effect::ForgetAllInvites(room));
    }

    fn move_marker(&mut self, key: MemberKey, seq: Seq, number: u64) {
        if let Some(member) = self.members.get_mut(&key) {
            member.read = (seq, number);
            self.effects.push(Effect::Read(key, seq, number));
        }
    }
}

/// The numbers of a batch's messages, in the order in which they are inserted.
#[derive(Debug)]
pub struct Numbers {
    next: HashMap<RoomId, u64>,
}

impl Numbers {
    /// From where each room stood before the batch.
    #[must_use]
    pub fn of(facts: &Facts, decided: &[Decided]) -> Self {
        let mut next: HashMap<RoomId, u64> = facts.rooms.iter().map(|(room, state)| (*room, state.messages)).collect();
        for (item, decision) in decided.iter().flat_map(Decided::all) {
            if let (Change::Message(_), Decision::Append { audience: Audience::Everyone, .. }) =
                (&item.change, decision)
                && let Some(next) = next.get_mut(&item.room)
            {
                *next -= 1;
            }
        }
        Self { next }
    }

    /// The number of an item that is inserted now, if it is a message that everybody sees.
    pub fn take(&mut self, item: &Item, audience: Audience) -> Option<u64> {
        if audience != Audience::Everyone {
            return None;
        }
        let next = self.next.get_mut(&item.room).filter(|_| matches!(item.change, Change::Message(_)))?;
        *next += 1;
        Some(*next)
    }
}
