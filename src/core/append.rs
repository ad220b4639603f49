//! The pure heart of an append: the rows of locked rooms and the queued items in, seq and time or the reason not
//! out. Both stores call it inside their transaction.

mod amend;
mod audience;
mod beside;
mod facts;
mod order;

use bytes::Bytes;
use confab_protocol::command::Appended;
use confab_protocol::model::{
    CaseKind, ClientId, Envelope, Incarnation, Millis, RoomId, RoomKind, RoomRole, Seq, ServerRole, UserId,
};
use confab_protocol::reject::RejectCode;
use confab_protocol::rights::RoomRights;

pub use self::amend::{Act, Amend};
pub use self::audience::{Audience, SHADOWED_MESSAGE_KIND, is_void_for, void};
pub use self::beside::{Left, OpenCase, appended_at, edited_id, refused_findings};
pub use self::facts::{
    Effect, Facts, InviteState, ItemKey, MemberKey, MemberState, Needs, Numbers, Rewrite, RoomState, TOMBSTONE_KIND,
    TargetKey, TargetState,
};
pub use self::order::{Order, OrderGuard};
use super::access;
use super::cases::Beside;
use super::store::{NewRoom, Outcome, Recorded, RoomShape};

/// Something to append, admitted and encoded.
#[derive(Clone, Debug)]
pub struct Item {
    /// Where.
    pub room: RoomId,
    /// Who.
    pub author: UserId,
    /// Idempotency id; unique with room and author.
    pub client_id: ClientId,
    /// Digest of what the author asked for, before plugins; tells a resend from a reuse.
    pub digest: [u8; 16],
    /// The encoded entry.
    pub payload: Bytes,
    /// Whether a plugin changed what the author asked for.
    pub altered: bool,
    /// What else changes with it.
    pub change: Change,
    /// The room's rights that admission was checked against; older ones are checked again.
    pub acl_version: u64,
    /// The order of the connection that sent it.
    pub order: Order,
    /// Appended with it, in other logs, or not at all: the same transaction has all.
    pub then: Vec<Item>,
    /// What moderation keeps of it.
    pub beside: Option<Box<Beside>>,
}

impl Item {
    /// What makes it the same as another.
    #[must_use]
    pub const fn key(&self) -> ItemKey {
        (self.room, self.author, self.client_id)
    }

    /// Whether it posts what was held.
    #[must_use]
    pub fn releases(&self, recorded: &Recorded) -> bool {
        let is_held = matches!(recorded.outcome, Outcome::Held(_)) && recorded.digest == self.digest;
        is_held && self.beside.as_ref().is_some_and(|beside| beside.releases)
    }
}

/// What changes beside the log, in the same transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A message.
    Message(Said),
    /// The room comes into being with this entry; the author owns it.
    CreateRoom(Box<NewRoom>),
    /// The author comes in, perhaps by an invitation.
    Join(Option<InviteHash>),
    /// The author goes out.
    Leave,
    /// A note in the author's own log.
    SelfNote,
    /// A note in the author's own log that they have read another room up to a seq, and how many messages that were.
    Read {
        /// Which room.
        room: RoomId,
        /// Up to where.
        seq: Seq,
        /// The number of the last message up to there.
        number: u64,
    },
    /// Something about what was said, about people, or about the room.
    Amend(Box<Amend>),
}

/// SHA-256 of an invitation's token.
pub type InviteHash = [u8; 32];

/// What a message refers to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// The message that it answers.
    pub reply_to: Option<Seq>,
    /// Members that it mentions.
    pub mentions: Vec<UserId>,
    /// Whether its author was found to be shadowed.
    pub shadowed: bool,
}

/// The kind of messages in stores.
pub const MESSAGE_KIND: u8 = 1;

impl Change {
    /// The kind as stores keep it, so that history can page messages alone.
    #[must_use]
    pub const fn kind(&self) -> u8 {
        match self {
            Self::Message(_) => MESSAGE_KIND,
            Self::CreateRoom(_) => 2,
            Self::Join(_) | Self::Leave => 3,
            Self::SelfNote | Self::Read { .. } => 4,
            Self::Amend(amend) => amend.act.kind(),
        }
    }

    /// The entry that it is about: an answered message, one that is edited.
    #[must_use]
    pub fn target(&self) -> Option<Seq> {
        match self {
            Self::Message(said) => said.reply_to,
            Self::Amend(amend) => amend.act.target(),
            _ => None,
        }
    }

    /// Whether it changes what a room asks of everybody.
    #[must_use]
    pub fn configures(&self) -> bool {
        matches!(self, Self::Amend(amend) if matches!(amend.act, Act::Settings { .. }))
    }

    /// How much of a batch it is: a message is 1, and so is each row beside it that is written.
    #[must_use]
    pub fn weight(&self) -> usize {
        match self {
            Self::Message(said) => 1 + said.mentions.len(),
            Self::Amend(amend) => amend.act.weight(),
            _ => 2,
        }
    }

    /// Who goes out with it.
    #[must_use]
    pub fn leaver(&self, author: UserId) -> Option<UserId> {
        match self {
            Self::Leave => Some(author),
            Self::Amend(amend) => amend.act.leaver(),
            _ => None,
        }
    }

    /// Whether somebody's rights in the room shrink: then what was checked before is checked again. A join takes
    /// nothing from anybody.
    #[must_use]
    pub fn bumps_acl(&self) -> bool {
        match self {
            Self::Leave => true,
            Self::Amend(amend) => amend.act.bumps_acl(),
            _ => false,
        }
    }
}

/// What becomes of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Insert it at this place.
    Append {
        /// Which history.
        incarnation: Incarnation,
        /// Its place.
        seq: Seq,
        /// Its time.
        time: Millis,
        /// The room's rights now, for those who remember older ones.
        acl_version: u64,
        /// Who is given it.
        audience: Audience,
    },
    /// It was decided before; insert nothing.
    Recorded(Outcome),
    /// It is so already; insert nothing.
    Unchanged,
    /// Not any more, or not like this; insert nothing.
    Refuse(RejectCode),
    /// Not yet; insert nothing.
    TooSoon {
        /// When it would pass.
        retry_after_ms: u64,
    },
}

/// An item with what became of it, and of what was to be appended with it.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Decided {
    pub item: Item,
    pub decision: Decision,
    /// The case that begins with it: not one that it joins.
    pub opens: Option<CaseKind>,
    /// The message that an edit is about, as it reads now.
    pub rewritten: Option<Envelope>,
    pub then: Vec<Decision>,
}

impl Decided {
    /// Everything that was decided, in order.
    pub fn all(&self) -> impl Iterator<Item = (&Item, &Decision)> {
        let then = self.item.then.iter().zip(&self.then);
        std::iter::once((&self.item, &self.decision)).chain(then)
    }
}

/// Decides a batch in order, on the rows that were read for it; the facts move on with it.
#[must_use]
pub fn decide(facts: &mut Facts, batch: Vec<Item>, now: Millis) -> Vec<Decided> {
    let mut decide_both = |item: Item| {
        let (decision, rewritten) = decide_one(facts, &item, now);
        let opens = facts.opened(&item, &decision);
        let then = match decision {
            Decision::Append { .. } => item.then.iter().map(|then| decide_one(facts, then, now).0).collect(),
            _ => Vec::new(),
        };
        Decided { item, decision, opens, rewritten, then }
    };
    let mut decided: Vec<Decided> = batch.into_iter().map(&mut decide_both).collect();
    // What was edited again or deleted by this very batch is not told as it read in between.
    for one in &mut decided {
        let stale = |it: &Envelope| facts.targets.get(&(one.item.room, it.seq)).is_some_and(|now| now.rev != it.rev);
        if one.rewritten.as_ref().is_some_and(stale) {
            one.rewritten = facts.rewritten_now(one);
        }
    }
    decided
}

fn decide_one(facts: &mut Facts, item: &Item, now: Millis) -> (Decision, Option<Envelope>) {
    if let Some(recorded) = facts.recorded.get(&item.key()).filter(|recorded| !item.releases(recorded)) {
        return (recorded_decision(recorded.clone(), item.digest), None);
    }
    if facts.is_broken(item) {
        return (Decision::Refuse(RejectCode::OrderBroken), None);
    }
    if let Some(decision) = check(facts, item, now) {
        if matches!(item.change, Change::Message(_)) {
            facts.broken.push((item.order.clone(), item.room));
        }
        return (decision, None);
    }
    if let Change::CreateRoom(new) = &item.change {
        create_room(facts, item.room, new);
    }
    let audience = Audience::of(facts, item, now);
    let Some(room) = facts.rooms.get_mut(&item.room) else {
        return (Decision::Refuse(RejectCode::UnknownRoom), None);
    };
    room.head = room.head.next();
    room.last_time = room.last_time.max(now);
    if item.change.bumps_acl() {
        room.acl_version += 1;
    }
    let RoomState { incarnation, head: seq, last_time: time, acl_version, .. } = *room;
    let rewritten = facts.apply(item, audience, seq, (time, now));
    if item.beside.as_ref().is_some_and(|beside| beside.releases) {
        // Its case is about the message: of an edit that is the one which reads otherwise now.
        let about = match &item.change {
            Change::Amend(amend) => amend.act.target().unwrap_or(seq),
            _ => seq,
        };
        facts.effects.push(Effect::Release(item.key(), about));
    }
    facts.place_case(item, seq, rewritten.as_ref());
    // The same client id may stand in this batch again.
    let appended = Appended { seq, time, altered: item.altered, duplicate: false };
    facts.recorded.insert(item.key(), Recorded { digest: item.digest, outcome: Outcome::Appended(appended) });
    (Decision::Append { incarnation, seq, time, acl_version, audience }, rewritten)
}

/// Why an item is not appended, if it is not.
fn check(facts: &Facts, item: &Item, now: Millis) -> Option<Decision> {
    let refuse = |code| Some(Decision::Refuse(code));
    let room = facts.rooms.get(&item.room);
    match (&item.change, room) {
        // Its id is a client id: somebody used it before, for something else.
        (Change::CreateRoom(_), Some(_)) => refuse(RejectCode::ClientIdReused),
        (Change::CreateRoom(new), None) => match &new.shape {
            RoomShape::Named { key, private: false, .. } if facts.names.contains(key) => {
                refuse(RejectCode::RoomNameTaken)
            }
            RoomShape::Direct { pair, .. } if facts.pairs.contains(pair) => Some(Decision::Unchanged),
            _ => None,
        },
        (_, None) => refuse(RejectCode::UnknownRoom),
        (Change::Message(said), Some(room)) => check_message(facts, item, said, room, now),
        (Change::Join(invite), Some(room)) => check_join(facts, item, room, invite.as_ref(), now),
        (Change::Leave, Some(_)) => facts.membership(item.room, item.author).is_none().then_some(Decision::Unchanged),
        (Change::Read { room, seq, .. }, Some(_)) => match facts.members.get(&(*room, item.author)) {
            Some(member) if member.leave_seq.is_none() => (*seq <= member.read.0).then_some(Decision::Unchanged),
            _ => refuse(RejectCode::NotMember),
        },
        (Change::Amend(amend), Some(_)) => amend.check(facts, item, now),
        (Change::SelfNote, Some(_)) => None,
    }
}

fn check_message(facts: &Facts, item: &Item, said: &Said, room: &RoomState, now: Millis) -> Option<Decision> {
    let server_role = || facts.members.get(&(item.room, item.author)).and_then(|it| it.server_role);
    if item.acl_version != room.acl_version
        && let Err(code) = access::check_action(
            facts.membership(item.room, item.author),
            server_role().unwrap_or(ServerRole::User),
            access::Action::Post,
            now,
        )
    {
        return Some(Decision::Refuse(code));
    }
    if let Some(seq) = said.reply_to
        && !facts.targets.get(&(item.room, seq)).is_some_and(|target| target.is_message_for(item.author, None))
    {
        return Some(Decision::Refuse(RejectCode::UnknownMessage));
    }
    // What a moderator releases has waited.
    let is_released = item.beside.as_ref().is_some_and(|beside| beside.releases);
    let is_slow = room.slow_mode_ms > 0 && !is_released;
    let member = facts.members.get(&(item.room, item.author)).filter(|_| is_slow)?;
    let waited = amend::waited(member.last_post, now);
    let rank = access::rank(member.role, member.server_role.unwrap_or(ServerRole::User));
    let is_bound = !access::has_right(rank, access::Right::Moderate);
    let wait = u64::from(room.slow_mode_ms).saturating_sub(waited);
    (is_bound && wait > 0).then_some(Decision::TooSoon { retry_after_ms: wait })
}

fn check_join(
    facts: &Facts,
    item: &Item,
    room: &RoomState,
    invite: Option<&InviteHash>,
    now: Millis,
) -> Option<Decision> {
    let member = facts.members.get(&(item.room, item.author));
    if member.is_some_and(|member| member.leave_seq.is_none()) {
        return Some(Decision::Unchanged);
    }
    if member.is_some_and(|member| member.is_banned(now)) {
        return Some(Decision::Refuse(RejectCode::Forbidden));
    }
    let refusal = match (room.kind, invite) {
        (RoomKind::Channel, None) => return None,
        (RoomKind::Channel | RoomKind::Private, Some(invite)) => {
            let is_good = |it: &InviteState| it.room == item.room && it.uses_left > 0 && now < it.expires;
            if facts.invites.get(invite).is_some_and(is_good) {
                return None;
            }
            RejectCode::InviteInvalid
        }
        // An owner who comes back owns it still.
        (RoomKind::Private, None) if member.is_some_and(|member| member.role == RoomRole::Owner) => return None,
        // A stranger is not told that it is there.
        _ => RejectCode::UnknownRoom,
    };
    Some(Decision::Refuse(refusal))
}

fn create_room(facts: &mut Facts, id: RoomId, new: &NewRoom) {
    let state = RoomState {
        kind: new.shape.kind(),
        incarnation: new.incarnation,
        head: Seq(0),
        last_time: Millis(0),
        acl_version: 0,
        members: 0,
        messages: 0,
        slow_mode_ms: 0,
        rights: RoomRights::default(),
    };
    match &new.shape {
        RoomShape::Named { key, private: false, .. } => {
            facts.names.insert(key.clone());
        }
        RoomShape::Named { .. } => {}
        RoomShape::Direct { pair, .. } => {
            facts.pairs.insert(*pair);
        }
    }
    facts.created.push((id, new.clone()));
    facts.rooms.insert(id, state);
}

impl Decided {
    /// Notes what failed for the order of its connection. For batches that are durable: one that is decided anew must
    /// not find traces of itself.
    pub fn note_order(&self) {
        let failed = match self.decision {
            Decision::Refuse(code) => code != RejectCode::ClientIdReused,
            Decision::TooSoon { .. } => true,
            _ => false,
        };
        if failed && matches!(self.item.change, Change::Message(_)) {
            self.item.order.mark_broken(self.item.room);
        }
    }
}

/// A client id that is known: the recorded outcome, or a reuse for something else.
#[must_use]
pub fn recorded_decision(recorded: Recorded, digest: [u8; 16]) -> Decision {
    if recorded.digest != digest {
        return Decision::Refuse(RejectCode::ClientIdReused);
    }
    match recorded.outcome {
        Outcome::Appended(appended) => Decision::Recorded(Outcome::Appended(Appended { duplicate: true, ..appended })),
        other => Decision::Recorded(other),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use confab_protocol::model::SanctionKind;

    use super::*;
    use crate::core::store::Restriction;

    const ROOM: RoomId = RoomId::from_u128(1);
    const AUTHOR: UserId = UserId::from_u128(2);

    fn item(n: u128, order: &Order, change: Change) -> Item {
        Item {
            room: ROOM,
            author: AUTHOR,
            client_id: ClientId::from_u128(n),
            digest: [4; 16],
            payload: Bytes::from_static(b"entry"),
            altered: false,
            change,
            acl_version: 5,
            order: order.clone(),
            then: Vec::new(),
            beside: None,
        }
    }

    fn member(role: RoomRole) -> MemberState {
        let (restriction, last_post, read) = (None, Millis(0), (Seq(1), 0));
        MemberState {
            role,
            server_role: Some(ServerRole::User),
            join_seq: Seq(1),
            leave_seq: None,
            restriction,
            last_post,
            knocked: Millis(0),
            read,
        }
    }

    fn facts(role: Option<RoomRole>) -> Facts {
        let (incarnation, head, last_time) = (Incarnation(9), Seq(7), Millis(1_000));
        let state = RoomState {
            kind: RoomKind::Channel,
            incarnation,
            head,
            last_time,
            acl_version: 5,
            members: 1,
            messages: 3,
            slow_mode_ms: 0,
            rights: RoomRights::default(),
        };
        let member = role.map(|role| ((ROOM, AUTHOR), member(role)));
        Facts { rooms: [(ROOM, state)].into(), members: member.into_iter().collect(), ..Facts::default() }
    }

    fn decide_at(facts: &mut Facts, batch: Vec<Item>, now: u64) -> Vec<Decision> {
        decide(facts, batch, Millis(now)).into_iter().map(|decided| decided.decision).collect()
    }

    fn place(seq: u64, time: u64) -> Decision {
        let audience = Audience::Everyone;
        Decision::Append { incarnation: Incarnation(9), seq: Seq(seq), time: Millis(time), acl_version: 5, audience }
    }

    #[test]
    fn seq_is_dense_and_time_never_goes_back() {
        let (mut facts, order) = (facts(None), Order::none());
        let message = |n| item(n, &order, Change::Message(Said::default()));
        assert_eq!(decide_at(&mut facts, vec![message(1)], 900), [place(8, 1_000)], "the clock went back");
        assert_eq!(decide_at(&mut facts, vec![message(2), message(3)], 1_200), [place(9, 1_200), place(10, 1_200)]);
        assert_eq!(facts.rooms[&ROOM].messages, 6);
    }

    #[test]
    fn a_ban_holds_for_what_was_already_queued_and_keeps_order() {
        let guard = Arc::new(OrderGuard::default());
        let order = guard.admit(ROOM);
        let stale = |n| Item { acl_version: 4, ..item(n, &order, Change::Message(Said::default())) };
        let mut banned = facts(Some(RoomRole::Member));
        let ban = Restriction { kind: SanctionKind::Ban, until: Some(Millis(2)) };
        banned.members.insert((ROOM, AUTHOR), MemberState { restriction: Some(ban), ..member(RoomRole::Member) });
        let decided = decide(&mut banned, vec![stale(1), stale(2)], Millis(1));
        assert_eq!(decided[0].decision, Decision::Refuse(RejectCode::Forbidden));
        assert_eq!(decided[1].decision, Decision::Refuse(RejectCode::OrderBroken), "queued behind it");
        assert_eq!(banned.rooms[&ROOM].head, Seq(7), "refusals take no seq");
        // In a later batch it would pass by itself.
        let mut member = facts(Some(RoomRole::Member));
        assert!(matches!(decide_at(&mut member, vec![stale(3)], 1)[0], Decision::Append { .. }), "not durable yet");
        decided.iter().for_each(Decided::note_order);
        assert_eq!(decide_at(&mut member, vec![stale(4)], 1), [Decision::Refuse(RejectCode::OrderBroken)]);
        guard.acknowledge(ROOM);
        let fresh = Item { order: guard.admit(ROOM), ..stale(5) };
        assert!(matches!(decide_at(&mut member, vec![fresh], 1)[0], Decision::Append { .. }));
    }

    #[test]
    fn a_resend_gets_the_old_seq_and_a_reuse_is_told() {
        let mut facts = facts(None);
        let item = item(1, &Order::none(), Change::Message(Said::default()));
        let appended = Appended { seq: Seq(3), time: Millis(5), altered: true, duplicate: false };
        let recorded = Recorded { digest: [4; 16], outcome: Outcome::Appended(appended) };
        facts.recorded.insert(item.key(), recorded);
        let again = Decision::Recorded(Outcome::Appended(Appended { duplicate: true, ..appended }));
        let reused = Item { digest: [0; 16], ..item.clone() };
        let decided = decide_at(&mut facts, vec![item, reused], 1);
        assert_eq!(decided, [again, Decision::Refuse(RejectCode::ClientIdReused)]);
        assert_eq!(facts.rooms[&ROOM].head, Seq(7));
    }

    #[test]
    fn what_is_released_has_waited() {
        let (mut facts, order) = (facts(Some(RoomRole::Member)), Order::none());
        facts.rooms.get_mut(&ROOM).unwrap().slow_mode_ms = 60_000;
        facts.members.get_mut(&(ROOM, AUTHOR)).unwrap().last_post = Millis(1_000);
        let said = |n| item(n, &order, Change::Message(Said::default()));
        let beside = Some(Box::new(Beside { releases: true, ..Beside::default() }));
        let held = Recorded { digest: [4; 16], outcome: Outcome::Held(confab_protocol::model::CaseId::NONE) };
        facts.recorded.insert(said(1).key(), held);
        let decided = decide_at(&mut facts, vec![said(1), Item { beside, ..said(1) }, said(2)], 2_000);
        assert!(matches!(decided[0], Decision::Recorded(Outcome::Held(_))), "by itself it stays held");
        assert!(matches!(decided[1], Decision::Append { .. }) && matches!(decided[2], Decision::TooSoon { .. }));
    }

    #[test]
    fn what_a_batch_does_holds_for_what_stands_behind_it() {
        let (mut facts, order) = (facts(Some(RoomRole::Member)), Order::none());
        let mut batch = vec![item(1, &order, Change::Leave), item(2, &order, Change::Message(Said::default()))];
        let keys = [(ROOM, AUTHOR)].into();
        assert_eq!((Needs::of(&batch).members, facts.late_members(&batch)), (keys, [(ROOM, AUTHOR)].into()));
        batch.push(item(1, &order, Change::Leave));
        let decided = decide_at(&mut facts, batch, 1);
        assert_eq!(decided[1], Decision::Refuse(RejectCode::NotMember));
        assert!(matches!(decided[2], Decision::Recorded(_)), "the same client id");
        assert_eq!((facts.members[&(ROOM, AUTHOR)].leave_seq, facts.rooms[&ROOM].members), (Some(Seq(8)), 0));
    }
}
