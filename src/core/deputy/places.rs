//! Which rooms plugins' accounts are in: they come by themselves, and leave where they are in too many. Nothing of what they
//! do there.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use confab_protocol::command::{Room, RoomTarget, Write};
use confab_protocol::limits::PAGE_ROOMS_MAX;
use confab_protocol::model::{ClientId, RoomId, RoomKind, RoomRole, UserId};
use confab_protocol::reject::{Reject, RejectCode};

use crate::core::Core;
use crate::core::auth::Actor;
use crate::core::store::Membership;

/// Rooms that are remembered, of all plugins together: many times what one account may be in.
const REMEMBERED_MAX: usize = 16_384;
/// An account that may be in no more rooms leaves so many: it lists them all for it, which is not for every act.
const LEFT_AT_ONCE: usize = 4;

/// In which order accounts of plugins acted in which rooms, since the server started.
#[derive(Default)]
pub struct Acted(Mutex<Order>);

#[derive(Default)]
struct Order {
    count: u64,
    rooms: HashMap<(UserId, RoomId), u64>,
}

impl Acted {
    fn lock(&self) -> MutexGuard<'_, Order> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, user: UserId, room: RoomId) {
        let mut order = self.lock();
        if order.rooms.len() >= REMEMBERED_MAX {
            order.rooms.clear();
        }
        order.count += 1;
        let count = order.count;
        order.rooms.insert((user, room), count);
    }

    fn forget(&self, user: UserId, room: RoomId) {
        self.lock().rooms.remove(&(user, room));
    }

    /// Those to leave first: where it acted longest ago, and where somebody let it in or gave it a role only after the
    /// others, for it does not get that back by itself.
    fn to_leave(&self, user: UserId, mut rooms: Vec<Stay>) -> Vec<RoomId> {
        let order = self.lock();
        rooms.sort_by_key(|stay| (stay.is_given, order.rooms.get(&(user, stay.room)).copied()));
        rooms.into_iter().take(LEFT_AT_ONCE).map(|stay| stay.room).collect()
    }
}

/// A room that an account is in.
#[derive(Clone, Copy)]
struct Stay {
    room: RoomId,
    /// It would not be so again by coming back.
    is_given: bool,
}

impl Stay {
    /// `None`: a room of two, which nobody leaves and which is not counted.
    fn of(room: &Room) -> Option<Self> {
        let is_member = room.role == Some(RoomRole::Member);
        match room.kind {
            RoomKind::Channel => Some(Self { room: room.id, is_given: !is_member }),
            RoomKind::Private => Some(Self { room: room.id, is_given: true }),
            RoomKind::Direct | RoomKind::SelfLog => None,
        }
    }
}

impl Core {
    /// The deputy's place in a room. Into an open one it comes by itself, as anybody may; at a private one it knocks, and is
    /// refused until somebody has let it in.
    pub(super) async fn enter(&self, actor: &Actor, room: RoomId) -> Result<Membership, Reject> {
        let membership = match self.place_of(actor.user, room).await? {
            Some(membership) => membership,
            None => self.come(actor, room).await?,
        };
        self.acted.note(actor.user, room);
        Ok(membership)
    }

    async fn come(&self, actor: &Actor, room: RoomId) -> Result<Membership, Reject> {
        match self.open_room(actor, RoomTarget::Id(room)).await {
            Ok(_) => {}
            Err(reject) if reject.is(RejectCode::UnknownRoom) => {
                let client_id = ClientId::new(self.clock.now(), self.clock.random());
                let knocked = self.knock(actor, &super::order(), Write { room, client_id, resend: false }).await;
                if let Ok(admitted) = knocked {
                    // Most take no knocks, or were knocked at already.
                    let _ = self.finish(admitted).await;
                }
                return Err(RejectCode::NotMember.into());
            }
            Err(reject) => return Err(reject),
        }
        self.make_room(actor, room).await?;
        self.come_in(actor, room, None).await?;
        Ok(self.place_of(actor.user, room).await?.ok_or(RejectCode::NotMember)?)
    }

    pub(super) async fn place_of(&self, user: UserId, room: RoomId) -> Result<Option<Membership>, Reject> {
        self.store.membership(room, user).await.map_err(|error| self.unavailable(&error))
    }

    /// Who makes many rooms for it is no way to keep it out of all others.
    async fn make_room(&self, actor: &Actor, room: RoomId) -> Result<(), Reject> {
        match self.check_room_count(room, actor.user).await {
            Err(reject) if reject.is(RejectCode::TooManyRooms) => {}
            other => return other,
        }
        for left in self.acted.to_leave(actor.user, self.stays_of(actor.user).await?) {
            self.leave_room(actor, RoomTarget::Id(left)).await?;
            self.acted.forget(actor.user, left);
        }
        self.check_room_count(room, actor.user).await
    }

    async fn stays_of(&self, user: UserId) -> Result<Vec<Stay>, Reject> {
        let (mut stays, mut after) = (Vec::new(), RoomId::NONE);
        loop {
            let page = self.store.list_rooms(user, true, after, PAGE_ROOMS_MAX).await;
            let page = page.map_err(|error| self.unavailable(&error))?;
            let Some(last) = page.last() else { return Ok(stays) };
            after = last.id;
            stays.extend(page.iter().filter_map(Stay::of));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_leaves_where_it_acted_longest_ago() {
        let (acted, user) = (Acted::default(), UserId::from_u128(1));
        let room = RoomId::from_u128;
        let stays = |given: &[u128]| {
            let stay = |n| Stay { room: room(n), is_given: given.contains(&n) };
            (1..=8).map(stay).collect::<Vec<_>>()
        };
        assert_eq!(acted.to_leave(user, stays(&[])), [1, 2, 3, 4].map(room), "nothing is known yet");
        for n in [1, 2, 3, 4, 5, 6, 7, 1] {
            acted.note(user, room(n));
        }
        // Of another account.
        acted.note(UserId::from_u128(2), room(8));
        assert_eq!(acted.to_leave(user, stays(&[])), [8, 2, 3, 4].map(room));
        assert_eq!(acted.to_leave(user, stays(&[8, 2, 4])), [3, 5, 6, 7].map(room));
        acted.forget(user, room(7));
        assert_eq!(acted.to_leave(user, stays(&[1, 2, 3, 4, 5, 6])), [7, 8, 2, 3].map(room));
        // Somebody who gives it a role in each of their rooms does not lock it up either.
        assert_eq!(acted.to_leave(user, stays(&[1, 2, 3, 4, 5, 6, 7, 8])), [7, 8, 2, 3].map(room));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (acted, user) = (Acted::default(), UserId::from_u128(1));
        for n in 0..=u128::try_from(REMEMBERED_MAX).unwrap() {
            acted.note(user, RoomId::from_u128(n));
        }
        assert_eq!(acted.lock().rooms.len(), 1);
    }
}
