//! What is said of what was said, and done to people and rooms: whether it may be, and what it makes of the rows.

use std::collections::HashSet;

use bytes::Bytes;
use confab_protocol::limits::REACTIONS_MAX;
use confab_protocol::model::{
    Emoji, Envelope, Millis, RoomKind, RoomRole, RoomSettings, SanctionKind, Seq, ServerRole, UserId,
};
use confab_protocol::reject::RejectCode;

use super::audience::{Audience, SHADOWED};
use super::facts::{
    Effect, Facts, KNOCK_KIND, MemberKey, MemberState, Needs, Rewrite, RoomState, TOMBSTONE_KIND, TargetState,
};
use super::{Decision, Item, MESSAGE_KIND};
use crate::core::access::{self, Action, Right};
use crate::core::names::{Key, room_key};
use crate::core::permissions;
use crate::core::store::Restriction;

/// Between two knocks of somebody at a room, milliseconds.
const KNOCK_EVERY_MS: u64 = 3_600_000;

/// An act, and with which rank on the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amend {
    /// The author's, beside their role in the room.
    pub server_role: ServerRole,
    /// Whether the author was found to be shadowed.
    pub shadowed: bool,
    /// Whether a case was decided so: that its author may is known, who need not be in the room.
    pub decided: bool,
    /// What.
    pub act: Act,
}

/// See [`Amend`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// One's own message gets this payload, and mentions these members.
    Edit(Seq, Bytes, Vec<UserId>),
    /// Messages get the payloads of tombstones: all or none.
    Delete(Vec<(Seq, Bytes)>),
    /// The author's messages get the payloads of tombstones, whether they are still in the room or not.
    Erase(Vec<(Seq, Bytes)>),
    /// A reaction comes, or with `false` goes.
    React(Seq, Emoji, bool),
    /// A message is pinned, or not.
    Pin(Seq, bool),
    /// The room's settings, made from those that it had then.
    Settings {
        /// If these are not the room's any more, somebody else was faster.
        base: RoomSettings,
        /// What they are to be.
        settings: RoomSettings,
        /// Of their name.
        key: Key,
    },
    /// Somebody gets a role.
    SetRole(UserId, RoomRole),
    /// Something is done to somebody.
    Sanction(UserId, SanctionKind, Option<Millis>),
    /// A mute or a ban is taken back as a case decided, if it is what holds; `None`: what it was is not kept any more.
    GiveBack(UserId, Option<Restriction>),
    /// The author, who is outside, asks to be let in.
    Knock,
    /// Somebody comes in who knocked with this entry.
    Admit(Seq, UserId),
    /// Something from those who run the server, whether they are in the room or not.
    Notice,
}

impl Act {
    /// Settings instead of others.
    #[must_use]
    pub fn settings(base: RoomSettings, settings: RoomSettings) -> Self {
        Self::Settings { key: room_key(&settings.name), base, settings }
    }

    pub(super) const fn kind(&self) -> u8 {
        match self {
            Self::Edit(..) => 5,
            Self::Delete(_) | Self::Erase(_) => 6,
            Self::React(..) => 7,
            Self::Pin(..) => 8,
            Self::Settings { .. } => 10,
            Self::SetRole(..) => 3,
            Self::Sanction(..) | Self::GiveBack(..) => 11,
            Self::Knock => KNOCK_KIND,
            Self::Admit(..) => 3,
            Self::Notice => 13,
        }
    }

    pub(super) const fn target(&self) -> Option<Seq> {
        match self {
            Self::Edit(seq, ..) | Self::React(seq, ..) | Self::Pin(seq, _) => Some(*seq),
            _ => None,
        }
    }

    pub(super) const fn leaver(&self) -> Option<UserId> {
        match self {
            Self::Sanction(user, SanctionKind::Kick | SanctionKind::Ban, _) => Some(*user),
            _ => None,
        }
    }

    pub(super) fn bumps_acl(&self) -> bool {
        match self {
            Self::SetRole(..) | Self::Sanction(..) | Self::GiveBack(..) => true,
            Self::Settings { base, settings, .. } => base.rights != settings.rights,
            _ => false,
        }
    }

    /// What the room has its own rule for.
    const fn action(&self) -> Option<Action> {
        match self {
            Self::Edit(..) => Some(Action::Post),
            Self::React(..) => Some(Action::React),
            Self::Pin(..) => Some(Action::Pin),
            _ => None,
        }
    }

    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Edit(_, _, mentions) => 5 + mentions.len(),
            Self::Delete(seqs) | Self::Erase(seqs) => 1 + 4 * seqs.len(),
            _ => 3,
        }
    }

    const fn other(&self) -> Option<UserId> {
        match self {
            Self::SetRole(user, _) | Self::Sanction(user, ..) | Self::GiveBack(user, _) | Self::Admit(_, user) => {
                Some(*user)
            }
            _ => None,
        }
    }

    pub(super) fn add_needs(&self, item: &Item, needs: &mut Needs) {
        needs.members.insert((item.room, item.author));
        needs.members.extend(self.other().map(|user| (item.room, user)));
        match self {
            Self::Edit(seq, ..) | Self::Pin(seq, _) | Self::Admit(seq, _) => {
                needs.targets.insert((item.room, *seq));
            }
            Self::Knock => {
                needs.settings.insert(item.room);
            }
            Self::React(seq, ..) => {
                needs.targets.insert((item.room, *seq));
                needs.reactions.push(((item.room, *seq), item.author));
            }
            Self::Delete(seqs) | Self::Erase(seqs) => {
                needs.targets.extend(seqs.iter().map(|(seq, _)| (item.room, *seq)));
            }
            Self::Settings { key, .. } => {
                needs.settings.insert(item.room);
                needs.names.push(key.clone());
            }
            Self::SetRole(..) | Self::Sanction(..) | Self::GiveBack(..) | Self::Notice => {}
        }
    }

    /// Writes it into the rows; an edit gives the message as it reads now.
    fn apply(
        &self,
        facts: &mut Facts,
        item: &Item,
        audience: Audience,
        seq: Seq,
        (time, now): (Millis, Millis),
    ) -> Option<Envelope> {
        let key = |seq: Seq| (item.room, seq);
        // What others see stays as it is, whatever its author believes.
        let is_kept = |facts: &Facts, seq: Seq| {
            audience == Audience::Author && facts.targets.get(&key(seq)).is_some_and(|it| !it.is_shadowed())
        };
        match self {
            Self::Edit(target, ..) | Self::React(target, ..) | Self::Pin(target, _) if is_kept(facts, *target) => {}
            Self::Edit(target, payload, mentions) => {
                // What was held is as old as that: what its author wrote between that and now is newer, held or not.
                let written = facts.held_at(item).unwrap_or(time);
                let rewritten = rewrite(facts, item, *target, (MESSAGE_KIND, payload), (time, written));
                let mentions = mentions.iter().filter(|_| audience == Audience::Everyone);
                facts.effects.extend(mentions.map(|user| Effect::Mention(key(*target), *user)));
                return rewritten;
            }
            Self::Delete(tombstones) | Self::Erase(tombstones) => {
                for (target, payload) in tombstones {
                    rewrite(facts, item, *target, (TOMBSTONE_KIND, payload), (time, time));
                }
            }
            Self::React(target, emoji, comes) => {
                let mine = (key(*target), emoji.clone(), item.author);
                if *comes {
                    facts.emojis.entry(key(*target)).or_default().insert(emoji.clone());
                    facts.reactions.insert(mine);
                } else {
                    facts.reactions.remove(&mine);
                }
                facts.effects.push(Effect::React(key(*target), emoji.clone(), item.author, *comes));
            }
            Self::Pin(target, pinned) => {
                if let Some(state) = facts.targets.get_mut(&key(*target)) {
                    state.pinned = *pinned;
                }
                facts.effects.push(Effect::Pin(key(*target), *pinned));
            }
            Self::Settings { settings, key, .. } => apply_settings(facts, item, settings, key),
            Self::SetRole(user, role) => give_role(facts, item, *user, *role),
            Self::Sanction(user, kind, until) => apply_sanction(facts, item, *user, *kind, *until, seq),
            Self::GiveBack(user, _) => apply_sanction(facts, item, *user, SanctionKind::Lift, None, seq),
            Self::Knock => facts.note_knock((item.room, item.author), seq, now),
            Self::Admit(knock, user) => {
                if let Some(state) = facts.targets.get_mut(&key(*knock)) {
                    state.pinned = true;
                }
                facts.effects.push(Effect::Pin(key(*knock), true));
                facts.come_in((item.room, *user), seq);
            }
            Self::Notice => facts.note_outside((item.room, item.author), seq),
        }
        None
    }
}

fn apply_settings(facts: &mut Facts, item: &Item, settings: &RoomSettings, key: &Key) {
    // The name that is left is free for the next batch: rooms are created before settings are written.
    facts.settings.insert(item.room, settings.clone());
    if let Some(room) = facts.rooms.get_mut(&item.room) {
        // Of private rooms nobody else is told by what is taken.
        if room.kind == RoomKind::Channel {
            facts.names.insert(key.clone());
        }
        room.slow_mode_ms = settings.slow_mode_ms;
        let is_for_fewer = settings.rights.invite.number() < room.rights.invite.number();
        room.rights = settings.rights;
        if is_for_fewer {
            facts.forget_all_invites(item.room);
        }
    }
    facts.effects.push(Effect::Settings(item.room, settings.clone(), key.clone()));
}

fn give_role(facts: &mut Facts, item: &Item, user: UserId, role: RoomRole) {
    if role == RoomRole::Owner {
        set_role(facts, (item.room, item.author), RoomRole::Admin);
        // Nobody could lift it any more.
        if let Some(member) = facts.members.get_mut(&(item.room, user)) {
            member.restriction = None;
        }
    }
    let is_there = set_role(facts, (item.room, user), role);
    let least = facts.rooms.get(&item.room).map_or(RoomRole::Owner, |room| room.rights.invite);
    if is_there && role.number() > least.number() {
        facts.forget_invites((item.room, user));
    }
}

fn set_role(facts: &mut Facts, key: MemberKey, role: RoomRole) -> bool {
    let Some(member) = facts.members.get_mut(&key) else { return false };
    member.role = role;
    facts.changed_members.insert(key);
    true
}

fn rewrite(
    facts: &mut Facts,
    item: &Item,
    seq: Seq,
    (kind, payload): (u8, &Bytes),
    (replaced, written): (Millis, Millis),
) -> Option<Envelope> {
    let target = (item.room, seq);
    let state = facts.targets.get_mut(&target)?;
    state.rev += 1;
    let kind = kind | state.kind & SHADOWED;
    state.kind = kind;
    state.written = Some(written);
    let (rev, time) = (state.rev, state.time);
    facts.effects.push(Effect::Rewrite(Rewrite {
        target,
        rev,
        kind,
        payload: payload.clone(),
        said: time,
        replaced,
        written,
    }));
    Some(Envelope { seq, time, rev, payload: payload.clone(), rewritten: None })
}

fn apply_sanction(facts: &mut Facts, item: &Item, user: UserId, kind: SanctionKind, until: Option<Millis>, seq: Seq) {
    let key = (item.room, user);
    if let Some(member) = facts.members.get_mut(&key) {
        match kind {
            SanctionKind::Mute | SanctionKind::Ban | SanctionKind::Shadow => {
                member.restriction = Some(Restriction { kind, until });
            }
            SanctionKind::Lift => member.restriction = None,
            SanctionKind::Kick => {}
        }
        facts.changed_members.insert(key);
    }
    match kind {
        SanctionKind::Kick | SanctionKind::Ban => facts.put_out(key, seq),
        // Who may not invite any more has not invited.
        SanctionKind::Mute => facts.forget_invites(key),
        SanctionKind::Lift | SanctionKind::Shadow => {}
    }
}

/// How long ago that was. What a clock that was ahead left is not waited for.
pub(super) fn waited(since: Millis, now: Millis) -> u64 {
    if since > now { u64::MAX } else { now.since(since) }
}

/// Who may not ask is told no more than of a room that is not there.
fn check_knock(facts: &Facts, item: &Item, now: Millis) -> Option<Decision> {
    let member = facts.members.get(&(item.room, item.author));
    if member.is_some_and(|it| it.leave_seq.is_none()) {
        return Some(Decision::Unchanged);
    }
    if !facts.settings.get(&item.room).is_some_and(|settings| settings.knocks) {
        return Some(Decision::Refuse(RejectCode::UnknownRoom));
    }
    if member.is_some_and(|it| it.is_banned(now)) {
        return Some(Decision::Refuse(RejectCode::Forbidden));
    }
    let wait = KNOCK_EVERY_MS.saturating_sub(member.map_or(KNOCK_EVERY_MS, |it| waited(it.knocked, now)));
    (wait > 0).then_some(Decision::TooSoon { retry_after_ms: wait })
}

fn check_admit(facts: &Facts, item: &Item, who: (Seq, UserId), rank: u8, now: Millis) -> Option<Decision> {
    let refuse = |code| Some(Decision::Refuse(code));
    let (seq, user) = who;
    let member = facts.members.get(&(item.room, user));
    // Who came in and went since has not asked to come back. A stranger's row is of their first knock.
    let is_over = member.and_then(|it| it.leave_seq).is_some_and(|left| left > seq);
    let knock = facts.targets.get(&(item.room, seq)).filter(|it| it.is_knock_of(user) && !is_over);
    match knock {
        _ if !access::has_right(rank, Right::Moderate) => refuse(RejectCode::Forbidden),
        None => refuse(RejectCode::UnknownMessage),
        Some(_) if member.is_some_and(|it| it.leave_seq.is_none()) => Some(Decision::Unchanged),
        Some(_) if member.is_some_and(|it| it.is_banned(now)) => refuse(RejectCode::Forbidden),
        Some(_) => None,
    }
}

fn check_settings(
    facts: &Facts,
    item: &Item,
    (base, settings, key): (&RoomSettings, &RoomSettings, &Key),
    rank: u8,
) -> Option<Decision> {
    let refuse = |code| Some(Decision::Refuse(code));
    // Another spelling of one's own name is in nobody's way.
    let is_other = *key != room_key(&base.name);
    let is_channel = facts.rooms.get(&item.room).is_some_and(|it| it.kind == RoomKind::Channel);
    if !access::has_right(rank, Right::Configure) {
        refuse(RejectCode::Forbidden)
    } else if facts.settings.get(&item.room) != Some(base) {
        refuse(RejectCode::ChangedMeanwhile)
    } else if is_other && is_channel && facts.names.contains(key) {
        refuse(RejectCode::RoomNameTaken)
    } else {
        (settings == base).then_some(Decision::Unchanged)
    }
}

fn check_edit(facts: &Facts, item: &Item, target: Option<&TargetState>) -> Option<Decision> {
    let refuse = |code| Some(Decision::Refuse(code));
    // What was held is not posted over what its author made of the message since, be that released before it.
    let is_newer = |written: Millis| facts.held_at(item).is_some_and(|held| written >= held);
    match target {
        None => refuse(RejectCode::UnknownMessage),
        Some(target) if target.author != item.author => refuse(RejectCode::Forbidden),
        Some(target) if target.written.is_some_and(is_newer) => refuse(RejectCode::CaseState),
        Some(_) => None,
    }
}

fn check_reaction(facts: &Facts, item: &Item, (seq, emoji): (Seq, &Emoji), comes: bool) -> Option<Decision> {
    let target = (item.room, seq);
    if facts.reactions.contains(&(target, emoji.clone(), item.author)) == comes {
        return Some(Decision::Unchanged);
    }
    let is_full = |it: &HashSet<Emoji>| it.len() >= REACTIONS_MAX as usize && !it.contains(emoji);
    let is_too_many = comes && facts.emojis.get(&target).is_some_and(is_full);
    is_too_many.then_some(Decision::Refuse(RejectCode::TooManyReactions))
}

impl Amend {
    /// As [`Act::apply`].
    pub(super) fn apply(
        &self,
        facts: &mut Facts,
        item: &Item,
        audience: Audience,
        seq: Seq,
        times: (Millis, Millis),
    ) -> Option<Envelope> {
        if self.decided {
            facts.note_outside((item.room, item.author), seq);
        }
        self.act.apply(facts, item, audience, seq, times)
    }

    fn check_notice(&self, facts: &Facts, item: &Item) -> Option<Decision> {
        let is_of_many = |it: &RoomState| matches!(it.kind, RoomKind::Channel | RoomKind::Private);
        let is_one = facts.rooms.get(&item.room).is_some_and(is_of_many);
        let is_allowed = permissions::may(self.server_role, permissions::Stewardship::Notice);
        (!(is_allowed && is_one)).then_some(Decision::Refuse(RejectCode::Forbidden))
    }

    /// Why it is not done, if it is not; always on fresh rows.
    pub(super) fn check(&self, facts: &Facts, item: &Item, now: Millis) -> Option<Decision> {
        let refuse = |code| Some(Decision::Refuse(code));
        let target_for = |seq: &Seq, right| {
            facts.targets.get(&(item.room, *seq)).filter(|target| target.is_message_for(item.author, right))
        };
        let target = |seq: &Seq| target_for(seq, None);
        if let Act::Erase(seqs) = &self.act {
            let is_theirs = |seq: &Seq| target(seq).is_some_and(|target| target.author == item.author);
            return if seqs.iter().all(|(seq, _)| is_theirs(seq)) { None } else { refuse(RejectCode::UnknownMessage) };
        }
        if self.decided {
            return self.check_decided(facts, item, now);
        }
        match &self.act {
            Act::Knock => return check_knock(facts, item, now),
            Act::Notice => return self.check_notice(facts, item),
            _ => {}
        }
        let membership = facts.membership(item.room, item.author);
        // Two people have no ranks, and their room no settings.
        let is_of_many =
            facts.rooms.get(&item.room).is_some_and(|it| matches!(it.kind, RoomKind::Channel | RoomKind::Private));
        let server_role = if is_of_many { self.server_role } else { ServerRole::User };
        let checked = match self.act.action() {
            Some(action) => access::check_action(membership, server_role, action, now),
            None => access::check_active(membership, now),
        };
        if let Err(code) = checked {
            return refuse(code);
        }
        if !is_of_many && matches!(self.act, Act::Settings { .. } | Act::SetRole(..) | Act::Sanction(..)) {
            return refuse(RejectCode::Forbidden);
        }
        let rank = match membership {
            Some(membership) if is_of_many => access::rank(membership.role, self.server_role),
            _ => u8::MAX,
        };
        let right = access::has_right(rank, Right::Moderate).then_some(Right::Moderate);
        let target = |seq: &Seq| target_for(seq, right);
        match &self.act {
            Act::Edit(seq, ..) => check_edit(facts, item, target(seq)),
            // Only what a case decided is done so.
            Act::GiveBack(..) => refuse(RejectCode::Forbidden),
            // Decided above: they may be outside.
            Act::Erase(_) | Act::Knock | Act::Notice => None,
            Act::Admit(seq, user) => check_admit(facts, item, (*seq, *user), rank, now),
            Act::Delete(seqs) => {
                let may = |author: UserId| author == item.author || access::has_right(rank, Right::Moderate);
                let refusal = |(seq, _): &(Seq, Bytes)| match target(seq) {
                    None => Some(RejectCode::UnknownMessage),
                    Some(target) if !may(target.author) => Some(RejectCode::Forbidden),
                    Some(_) => None,
                };
                seqs.iter().find_map(refusal).and_then(refuse)
            }
            Act::React(seq, ..) if target(seq).is_none() => refuse(RejectCode::UnknownMessage),
            Act::React(seq, emoji, comes) => check_reaction(facts, item, (*seq, emoji), *comes),
            Act::Pin(seq, pinned) => match target(seq) {
                None => refuse(RejectCode::UnknownMessage),
                Some(target) => (target.pinned == *pinned).then_some(Decision::Unchanged),
            },
            Act::Settings { base, settings, key } => check_settings(facts, item, (base, settings, key), rank),
            Act::SetRole(user, role) => self.check_other(facts, item, *user, rank, Some(*role)),
            Act::Sanction(user, ..) => self.check_other(facts, item, *user, rank, None),
        }
    }

    /// What a case's moderator decided is done, unless it is so already.
    fn check_decided(&self, facts: &Facts, item: &Item, now: Millis) -> Option<Decision> {
        match &self.act {
            Act::Delete(seqs) => {
                let is_there = |(seq, _): &(Seq, Bytes)| {
                    let target = facts.targets.get(&(item.room, *seq));
                    target.is_some_and(|it| it.is_message_for(item.author, Some(Right::Moderate)))
                };
                (!seqs.iter().all(is_there)).then_some(Decision::Refuse(RejectCode::UnknownMessage))
            }
            Act::GiveBack(user, given) => {
                let restriction = facts.members.get(&(item.room, *user)).and_then(|it| it.restriction);
                // What ran out is over. A shadow is another matter: nobody appeals against one, or is told of it by
                // what becomes of an appeal.
                match restriction.filter(|it| it.silences(now)) {
                    None => Some(Decision::Unchanged),
                    Some(holds) if given.is_some_and(|given| given != holds) => {
                        Some(Decision::Refuse(RejectCode::CaseState))
                    }
                    Some(_) => None,
                }
            }
            _ => Some(Decision::Refuse(RejectCode::Forbidden)),
        }
    }

    fn check_other(
        &self,
        facts: &Facts,
        item: &Item,
        user: UserId,
        rank: u8,
        granted: Option<RoomRole>,
    ) -> Option<Decision> {
        let member = facts.members.get(&(item.room, user));
        // Who may not ask is not told who is there.
        let other = match member {
            None => u8::MAX,
            Some(MemberState { role, server_role: Some(server_role), .. }) => access::rank(*role, *server_role),
            // They came in with this very batch.
            Some(_) => return Some(Decision::Refuse(RejectCode::ChangedMeanwhile)),
        };
        let is_handed_over = granted == Some(RoomRole::Owner)
            && facts.membership(item.room, item.author).is_some_and(|it| it.role == RoomRole::Owner);
        if user == item.author || !(is_handed_over || access::may_act_on(rank, other, granted)) {
            return Some(Decision::Refuse(RejectCode::Forbidden));
        }
        // To mute somebody who is banned would let them come back.
        let of_members = |act: &Act| {
            matches!(act, Act::Sanction(_, SanctionKind::Kick | SanctionKind::Mute | SanctionKind::Shadow, _))
        };
        let is_asked_of_members = granted.is_some() || of_members(&self.act);
        match member {
            None => Some(Decision::Refuse(RejectCode::UnknownUser)),
            Some(member) if is_asked_of_members && member.leave_seq.is_some() => {
                Some(Decision::Refuse(RejectCode::UnknownUser))
            }
            Some(member) => match &self.act {
                Act::SetRole(_, role) => (member.role == *role).then_some(Decision::Unchanged),
                Act::Sanction(_, SanctionKind::Lift, _) => member.restriction.is_none().then_some(Decision::Unchanged),
                _ => None,
            },
        }
    }
}
