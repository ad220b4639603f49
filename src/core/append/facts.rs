//! What a batch needs to know of the store, and what it makes of it. A driver reads the facts under the locks of the
//! batch's rooms and writes back what changed; everything between is pure.

use std::collections::{BTreeSet, HashMap, HashSet};

use confab_protocol::model::{ClientId, Incarnation, Millis, RoomId, RoomName, RoomRole, Seq, UserId};

use super::{Change, Item, Order};
use crate::core::store::{Membership, NewRoom, Recorded};

/// A room inside the transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct RoomState {
    pub incarnation: Incarnation,
    pub head: Seq,
    pub last_time: Millis,
    pub acl_version: u64,
    pub members: u32,
    /// Messages that were ever appended: the number of the newest.
    pub messages: u64,
}

/// A row of a room's members, also of one who has left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct MemberState {
    pub role: RoomRole,
    pub join_seq: Seq,
    pub leave_seq: Option<Seq>,
}

/// What makes an append the same as another.
pub type ItemKey = (RoomId, UserId, ClientId);
/// A row of a room's members.
pub type MemberKey = (RoomId, UserId);

/// What a driver reads before the batch can be decided.
#[derive(Default, Debug)]
pub struct Needs {
    /// Rooms to lock, in the order in which everybody locks them.
    pub rooms: BTreeSet<RoomId>,
    /// Client ids whose outcome may be known.
    pub keys: Vec<ItemKey>,
    /// Rows of members.
    pub members: BTreeSet<MemberKey>,
    /// Names of rooms that are to be created.
    pub names: Vec<RoomName>,
}

impl Needs {
    /// What can be told from the items alone.
    #[must_use]
    pub fn of(batch: &[Item]) -> Self {
        let mut needs = Self::default();
        for item in all(batch) {
            needs.rooms.insert(item.room);
            needs.keys.push(item.key());
            match &item.change {
                Change::CreateRoom(new) => needs.names.push(new.name.clone()),
                // Doors are rare: always on fresh rows.
                Change::Join(_) | Change::Leave => {
                    needs.members.insert((item.room, item.author));
                }
                Change::Message | Change::SelfNote => {}
            }
        }
        needs
    }
}

fn all(batch: &[Item]) -> impl Iterator<Item = &Item> {
    batch.iter().flat_map(|item| std::iter::once(item).chain(item.then.as_deref()))
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
    /// Of the names asked for, those that are taken.
    pub names: HashSet<RoomName>,
    /// Rooms that came into being, to be written before their entries.
    pub created: Vec<(RoomId, NewRoom)>,
    /// Rows of members that changed.
    pub changed_members: BTreeSet<MemberKey>,
    /// Connections whose later items must not overtake one that was refused.
    pub(super) broken: Vec<(Order, RoomId)>,
}

impl Facts {
    /// Authors whose rights must be read because the room's have changed since they were checked, or do so in this
    /// very batch.
    #[must_use]
    pub fn late_members(&self, batch: &[Item]) -> BTreeSet<MemberKey> {
        let moved: HashSet<RoomId> = all(batch).filter(|item| item.change.bumps_acl()).map(|item| item.room).collect();
        let is_stale = |item: &&Item| {
            let now = self.rooms.get(&item.room).map(|room| room.acl_version);
            item.change == Change::Message
                && (moved.contains(&item.room) || now.is_some_and(|now| now != item.acl_version))
        };
        all(batch).filter(is_stale).map(|item| (item.room, item.author)).collect()
    }

    pub(super) fn membership(&self, room: RoomId, user: UserId) -> Option<Membership> {
        let member = self.members.get(&(room, user)).filter(|member| member.leave_seq.is_none())?;
        Some(Membership { role: member.role, acl_version: self.rooms.get(&room)?.acl_version })
    }

    pub(super) fn is_broken(&self, item: &Item) -> bool {
        let is_here = |(order, room): &(Order, RoomId)| *room == item.room && order.is_same(&item.order);
        self.broken.iter().any(is_here) || item.order.is_broken(item.room)
    }

    /// Writes a change of the doors into the rows.
    pub(super) fn apply(&mut self, item: &Item, seq: Seq) {
        let key = (item.room, item.author);
        let Some(room) = self.rooms.get_mut(&item.room) else { return };
        match &item.change {
            Change::Message => room.messages += 1,
            Change::SelfNote => {}
            Change::CreateRoom(_) | Change::Join(_) => {
                let role = if let Change::Join(role) = item.change { role } else { RoomRole::Owner };
                // An owner who comes back owns it still: nobody else does.
                let owned = self.members.get(&key).is_some_and(|member| member.role == RoomRole::Owner);
                let role = if owned { RoomRole::Owner } else { role };
                self.members.insert(key, MemberState { role, join_seq: seq, leave_seq: None });
                self.changed_members.insert(key);
                room.members += 1;
            }
            Change::Leave => {
                if let Some(member) = self.members.get_mut(&key) {
                    member.leave_seq = Some(seq);
                    self.changed_members.insert(key);
                    room.members = room.members.saturating_sub(1);
                }
            }
        }
    }
}
