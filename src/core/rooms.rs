//! Rooms: create, join, leave, list, members. Every change is an entry of the room's log, and of the log
//! of the one who came or went, for their other devices.

use confab_protocol::codec::encode_entry;
use confab_protocol::command::{CreateRoom, Reply, Room, RoomScope, RoomTarget};
use confab_protocol::limits::{PAGE_ITEMS_MAX, PAGE_ROOMS_MAX, ROOM_MEMBERS_MAX, ROOMS_PER_USER_MAX};
use confab_protocol::model::{
    ClientId, Entry, EntryContent, MembershipChange, RoomId, RoomKind, RoomRole, RoomSettings, SelfNote, Seq, UserId,
    Visibility,
};
use confab_protocol::reject::{Reject, RejectCode};
use confab_protocol::rights::RoomRights;

use super::Core;
use super::access;
use super::append::{Change, Decision, InviteHash, Item, Order};
use super::auth::Actor;
use super::auth::tokens::{opaque_hash, opaque_token};
use super::hook;
use super::names;
use super::publish::check_age;
use super::store::{NewInvite, NewRoom, Outcome, RoomShape, new_incarnation, pair};

impl Core {
    /// Creates a named room; its author owns it. The room's id is the client id, so a resend finds it.
    ///
    /// # Errors
    /// A name that is taken, looks like one that is, or may not be given; too many rooms.
    pub async fn create_room(&self, actor: &Actor, create: CreateRoom) -> Result<Reply, Reject> {
        let id = RoomId::from_u128(create.client_id.as_u128());
        if create.resend {
            // Also when it was handed over or left since; and whatever the limits are.
            let made = self.store.find_recorded(id, actor.user, create.client_id).await;
            if made.map_err(|error| self.unavailable(&error))?.is_some() {
                return self.room_reply(actor, id).await;
            }
        }
        check_age(create.client_id, self.clock.now())?;
        self.limits.check_send(actor.user)?;
        if let Some(room) = self.store.room(id, actor.user).await.map_err(|error| self.unavailable(&error))? {
            // A plugin may have changed the name that was asked for.
            let same_name = create.resend || room.name == create.name.as_str();
            let kind = if create.private { RoomKind::Private } else { RoomKind::Channel };
            let same = same_name && room.kind == kind && room.role == Some(RoomRole::Owner);
            return if same { Ok(Reply::Room(room)) } else { Err(RejectCode::ClientIdReused.into()) };
        }
        if !create.private && self.find_room(&create.name).await?.is_some() {
            return Err(RejectCode::RoomNameTaken.into());
        }
        self.check_room_count(id, actor.user).await?;
        let mut settings = RoomSettings {
            name: create.name,
            topic: create.topic,
            slow_mode_ms: 0,
            retention_ms: 0,
            visibility: Visibility::All,
            knocks: false,
            rights: RoomRights::default(),
        };
        self.check_room_text(actor, (RoomId::NONE, None), &mut settings).await?;
        let RoomSettings { name, topic, .. } = settings;
        names::check(name.as_str()).map_err(|error| error.reject("room name"))?;
        let content = EntryContent::RoomCreated { name: name.clone(), topic: topic.clone() };
        let change = self.creation(RoomShape::named(name, topic, create.private));
        let note = self.note_item(actor, SelfNote::Joined(id));
        self.append_own(own_item(actor, id, create.client_id, content, change, vec![note])).await?;
        self.room_reply(actor, id).await
    }

    fn creation(&self, shape: RoomShape) -> Change {
        let (incarnation, created) = (new_incarnation(self.clock.random()), self.clock.now());
        Change::CreateRoom(Box::new(NewRoom { shape, incarnation, created }))
    }

    /// The room of the actor and somebody else, made when it is not there.
    ///
    /// # Errors
    /// No such user.
    pub async fn direct(&self, actor: &Actor, client_id: ClientId, other: UserId) -> Result<Reply, Reject> {
        check_age(client_id, self.clock.now())?;
        self.limits.check_send(actor.user)?;
        if other == actor.user {
            return Err(RejectCode::UnknownUser.into());
        }
        let pair = pair(actor.user, other);
        if let Some(room) = self.store.find_direct(pair).await.map_err(|error| self.unavailable(&error))? {
            return self.room_reply(actor, room).await;
        }
        let self_room = self.store.find_self_room(other).await.map_err(|error| self.unavailable(&error))?;
        let self_room = self_room.ok_or(RejectCode::UnknownUser)?;
        let id = RoomId::from_u128(client_id.as_u128());
        let (role, display_name) = (RoomRole::Member, self.display_name(other).await?);
        let content = EntryContent::Membership { user: other, change: MembershipChange::Joined, role, display_name };
        let change = self.creation(RoomShape::Direct { pair, other });
        let notes =
            vec![self.note_item(actor, SelfNote::Joined(id)), self.note_for(other, self_room, SelfNote::Joined(id))];
        self.append_own(own_item(actor, id, client_id, content, change, notes)).await?;
        // Somebody may have been faster; there is one room of the two in any case.
        let room = self.store.find_direct(pair).await.map_err(|error| self.unavailable(&error))?;
        self.room_reply(actor, room.ok_or(RejectCode::ClientIdReused)?).await
    }

    /// A token that lets others into a room.
    ///
    /// # Errors
    /// Not a moderator of a room that one can be invited to.
    pub async fn invite(&self, actor: &Actor, room: RoomId, uses: u32, duration_ms: u64) -> Result<Reply, Reject> {
        self.limits.check_send(actor.user)?;
        let found = self.store.room(room, actor.user).await.map_err(|error| self.unavailable(&error))?;
        let membership = self.store.membership(room, actor.user).await.map_err(|error| self.unavailable(&error))?;
        access::check_active(membership, self.clock.now())?;
        let is_invited_to = found.is_some_and(|room| matches!(room.kind, RoomKind::Channel | RoomKind::Private));
        if !is_invited_to {
            return Err(RejectCode::Forbidden.into());
        }
        let now = self.clock.now();
        access::check_action(membership, actor.role, access::Action::Invite, now)?;
        self.check_act(actor, hook::Act::Invite { room, uses, duration_ms }).await?;
        let (token, hash) = opaque_token();
        let expires = now.after(duration_ms);
        let record = self.numbered(self.record(actor.user, "invite", room, UserId::NONE));
        let invite = NewInvite { hash, room, author: actor.user, uses, expires, now, record };
        // They may have been put out since they were looked at.
        if !self.store.create_invite(invite).await.map_err(|error| self.unavailable(&error))? {
            return Err(RejectCode::Forbidden.into());
        }
        Ok(Reply::Invited { token, expires })
    }

    /// Comes into a room that is open, or by an invitation. Joining again changes nothing.
    ///
    /// # Errors
    /// An unknown room, a ban, a bad invitation, too many rooms or members.
    pub async fn join_room(&self, actor: &Actor, target: RoomTarget) -> Result<Reply, Reject> {
        self.limits.check_send(actor.user)?;
        let invite = match &target {
            RoomTarget::Invite(token) => Some(opaque_hash(token.expose())),
            RoomTarget::Id(_) | RoomTarget::Name(_) => None,
        };
        let id = match (invite, target) {
            (Some(hash), _) => {
                let found = self.store.find_invite(hash).await.map_err(|error| self.unavailable(&error))?;
                found.ok_or(RejectCode::InviteInvalid)?
            }
            (None, RoomTarget::Id(id)) if self.is_own(actor, id).await? => id,
            (None, target) => self.open_room(actor, target).await?.id,
        };
        self.check_room_count(id, actor.user).await?;
        // Who is in it already does not come.
        if self.store.membership(id, actor.user).await.map_err(|error| self.unavailable(&error))?.is_none() {
            self.check_act(actor, hook::Act::Join { room: id, by_invitation: invite.is_some() }).await?;
        }
        self.come_in(actor, id, invite).await?;
        self.room_reply(actor, id).await
    }

    /// Comes in, where the transaction lets them; nobody was asked.
    ///
    /// # Errors
    /// As [`Self::join_room`].
    pub(super) async fn come_in(&self, actor: &Actor, room: RoomId, invite: Option<InviteHash>) -> Result<(), Reject> {
        let note = self.note_item(actor, SelfNote::Joined(room));
        self.append_membership(actor, room, MembershipChange::Joined, Change::Join(invite), note).await
    }

    /// Whether they own it, also from outside.
    async fn is_own(&self, actor: &Actor, room: RoomId) -> Result<bool, Reject> {
        let page = self.store.read(room, actor.user, Seq(u64::MAX >> 1), 1).await;
        let page = page.map_err(|error| self.unavailable(&error))?;
        Ok(page.and_then(|page| page.reader).is_some_and(|place| place.role == RoomRole::Owner))
    }

    /// Goes out of a room. The entry of it is the last one that is delivered to them.
    ///
    /// # Errors
    /// An unknown room, or not a member.
    pub async fn leave_room(&self, actor: &Actor, target: RoomTarget) -> Result<Reply, Reject> {
        self.limits.check_send(actor.user)?;
        let room = self.open_room(actor, target).await?;
        if room.role.is_none() || !matches!(room.kind, RoomKind::Channel | RoomKind::Private) {
            return Err(RejectCode::NotMember.into());
        }
        self.memberships.remove(room.id, actor.user);
        let note = self.note_item(actor, SelfNote::Left(room.id));
        self.append_membership(actor, room.id, MembershipChange::Left, Change::Leave, note).await?;
        self.memberships.remove(room.id, actor.user);
        Ok(Reply::Ok)
    }

    /// A page of rooms.
    ///
    /// # Errors
    /// Only those of the store.
    pub async fn list_rooms(
        &self,
        actor: &Actor,
        scope: RoomScope,
        after: RoomId,
        limit: usize,
    ) -> Result<Reply, Reject> {
        let limit = limit.min(PAGE_ROOMS_MAX);
        let joined_only = scope == RoomScope::Joined;
        let rooms = self.store.list_rooms(actor.user, joined_only, after, limit).await;
        let rooms = rooms.map_err(|error| self.unavailable(&error))?;
        let next = if rooms.len() == limit { rooms.last().map_or(RoomId::NONE, |room| room.id) } else { RoomId::NONE };
        Ok(Reply::Rooms { rooms, next })
    }

    /// A page of a room's members.
    ///
    /// # Errors
    /// Not a member.
    pub async fn list_members(
        &self,
        actor: &Actor,
        room: RoomId,
        after: UserId,
        limit: usize,
    ) -> Result<Reply, Reject> {
        self.check_read(actor, room).await?;
        let members = self.store.list_members(room, after, limit.min(PAGE_ITEMS_MAX)).await;
        let members = members.map_err(|error| self.unavailable(&error))?;
        let next = if members.len() == limit {
            members.last().map_or(UserId::NONE, |member| member.user)
        } else {
            UserId::NONE
        };
        Ok(Reply::Members { members, next })
    }

    /// Names of users.
    ///
    /// # Errors
    /// Only those of the store.
    pub async fn profiles(&self, users: Vec<UserId>) -> Result<Reply, Reject> {
        let members = self.store.find_users(users).await.map_err(|error| self.unavailable(&error))?;
        Ok(Reply::Members { members, next: UserId::NONE })
    }

    /// The room that a target names. Rooms that are not open are unknown to those outside.
    pub(super) async fn open_room(&self, actor: &Actor, target: RoomTarget) -> Result<Room, Reject> {
        let id = match target {
            RoomTarget::Id(id) => id,
            RoomTarget::Name(name) => self.find_room(&name).await?.ok_or(RejectCode::UnknownRoom)?,
            RoomTarget::Invite(_) => return Err(RejectCode::UnknownRoom.into()),
        };
        let room = self.store.room(id, actor.user).await.map_err(|error| self.unavailable(&error))?;
        room.filter(|room| room.kind == RoomKind::Channel || room.role.is_some()).ok_or(RejectCode::UnknownRoom.into())
    }

    /// May they read this room? From the store, because reading is not checked again.
    pub(super) async fn check_read(&self, actor: &Actor, room: RoomId) -> Result<(), Reject> {
        let membership = self.store.membership(room, actor.user).await.map_err(|error| self.unavailable(&error))?;
        Ok(access::check_read(membership)?)
    }

    async fn find_room(&self, name: &confab_protocol::model::RoomName) -> Result<Option<RoomId>, Reject> {
        self.store.find_room(name.clone()).await.map_err(|error| self.unavailable(&error))
    }

    pub(super) async fn check_room_count(&self, room: RoomId, user: UserId) -> Result<(), Reject> {
        let (rooms, members) = self.store.counts(room, user).await.map_err(|error| self.unavailable(&error))?;
        // One's own log is counted as well.
        if rooms > ROOMS_PER_USER_MAX {
            return Err(RejectCode::TooManyRooms.into());
        }
        if members >= ROOM_MEMBERS_MAX {
            return Err(RejectCode::TooManyMembers.into());
        }
        Ok(())
    }

    async fn room_reply(&self, actor: &Actor, id: RoomId) -> Result<Reply, Reject> {
        let room = self.store.room(id, actor.user).await.map_err(|error| self.unavailable(&error))?;
        Ok(Reply::Room(room.ok_or(RejectCode::UnknownRoom)?))
    }

    async fn append_membership(
        &self,
        actor: &Actor,
        room: RoomId,
        change: MembershipChange,
        then: Change,
        note: Item,
    ) -> Result<(), Reject> {
        // As it is now: a connection may be older than a change of it.
        let display_name = self.display_name(actor.user).await?;
        let content = EntryContent::Membership { user: actor.user, change, role: RoomRole::Member, display_name };
        let client_id = ClientId::new(self.clock.now(), self.clock.random());
        self.append_own(own_item(actor, room, client_id, content, then, vec![note])).await.map(drop)
    }

    /// An entry of a user's own log.
    pub(super) async fn note(&self, actor: &Actor, note: SelfNote) -> Result<(), Reject> {
        self.append_own(self.note_item(actor, note)).await.map(drop)
    }

    fn note_item(&self, actor: &Actor, note: SelfNote) -> Item {
        self.note_for(actor.user, actor.self_room, note)
    }

    /// An entry of somebody's own log.
    pub(super) fn note_for(&self, user: UserId, self_room: RoomId, note: SelfNote) -> Item {
        let client_id = ClientId::new(self.clock.now(), self.clock.random());
        let content = EntryContent::SelfNote(note);
        item_of(user, self_room, client_id, content, Change::SelfNote, Vec::new())
    }

    /// Whether it was appended: what is so already is not done twice.
    pub(super) async fn append_own(&self, item: Item) -> Result<bool, Reject> {
        let receipt = self.log.append(item).await;
        match receipt.await.map_err(|_| RejectCode::Unavailable)?.map_err(|error| self.unavailable(&error))? {
            Decision::Append { .. } => Ok(true),
            Decision::Unchanged | Decision::Recorded(Outcome::Appended(_)) => Ok(false),
            Decision::Recorded(_) => Err(RejectCode::ClientIdReused.into()),
            Decision::Refuse(code) => Err(code.into()),
            Decision::TooSoon { retry_after_ms } => Err(Reject::retry(RejectCode::SlowMode, retry_after_ms)),
        }
    }

    /// An entry of the actor's own log that changes something elsewhere.
    pub(super) async fn append_self(&self, actor: &Actor, content: EntryContent, change: Change) -> Result<(), Reject> {
        let client_id = ClientId::new(self.clock.now(), self.clock.random());
        self.append_own(own_item(actor, actor.self_room, client_id, content, change, Vec::new())).await.map(drop)
    }
}

/// An entry that the server writes for an actor.
fn own_item(
    actor: &Actor,
    room: RoomId,
    client_id: ClientId,
    content: EntryContent,
    change: Change,
    then: Vec<Item>,
) -> Item {
    item_of(actor.user, room, client_id, content, change, then)
}

fn item_of(
    author: UserId,
    room: RoomId,
    client_id: ClientId,
    content: EntryContent,
    change: Change,
    then: Vec<Item>,
) -> Item {
    let payload = encode_entry(&Entry { author, client_id, content });
    let order = Order::none();
    let (digest, acl_version, beside) = ([0; 16], 0, None);
    Item { room, author, client_id, digest, payload, altered: false, change, acl_version, order, then, beside }
}
