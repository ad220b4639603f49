//! The pure heart of an append: a locked room's state and the queued items in, seq and time or the reason
//! not out. Both stores call it inside their transaction.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use confab_protocol::command::Appended;
use confab_protocol::limits::IN_FLIGHT_MAX;
use confab_protocol::model::{ClientId, Incarnation, Millis, RoomId, RoomRole, Seq, UserId};
use confab_protocol::reject::RejectCode;

use super::access;
use super::store::{Membership, NewRoom, Outcome, Recorded};

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
    /// Appended with it, in another log, or not at all: the same transaction has both.
    pub then: Option<Box<Item>>,
}

/// What changes beside the log, in the same transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A message.
    Message,
    /// The room comes into being with this entry; the author owns it.
    CreateRoom(Box<NewRoom>),
    /// The author comes in.
    Join(RoomRole),
    /// The author goes out.
    Leave,
    /// A note in the author's own log.
    SelfNote,
}

impl Change {
    /// The kind as stores keep it, so that history can page messages alone.
    #[must_use]
    pub const fn kind(&self) -> u8 {
        match self {
            Self::Message => 1,
            Self::CreateRoom(_) => 2,
            Self::Join(_) | Self::Leave => 3,
            Self::SelfNote => 4,
        }
    }

    /// Whether somebody's rights in the room shrink: then what was checked before is checked again. A join takes
    /// nothing from anybody.
    #[must_use]
    pub const fn bumps_acl(&self) -> bool {
        matches!(self, Self::Leave)
    }
}

/// A room inside the transaction.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct RoomState {
    pub incarnation: Incarnation,
    pub head: Seq,
    pub last_time: Millis,
    pub acl_version: u64,
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
    },
    /// It was decided before; insert nothing.
    Recorded(Outcome),
    /// It is so already; insert nothing.
    Unchanged,
    /// Not any more, or not like this; insert nothing.
    Refuse(RejectCode),
}

/// An item with what became of it, and of what was to be appended with it.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Decided {
    pub item: Item,
    pub decision: Decision,
    pub then: Option<Decision>,
}

impl Decided {
    /// Everything that was decided, in order.
    pub fn all(&self) -> impl Iterator<Item = (&Item, &Decision)> {
        let then = self.item.then.as_deref().zip(self.then.as_ref());
        std::iter::once((&self.item, &self.decision)).chain(then)
    }
}

/// What the store looks up for an item inside the transaction.
pub struct Facts<'a> {
    /// What was recorded for its client id.
    pub recorded: Option<Recorded>,
    /// The author's place in the room now; asked only when rights changed since admission.
    pub membership: &'a mut dyn FnMut() -> super::store::Result<Option<Membership>>,
}

/// Decides one item and moves the room on.
///
/// # Errors
/// Only those of looking up the membership.
pub fn decide(state: &mut RoomState, item: &Item, now: Millis, facts: Facts<'_>) -> super::store::Result<Decision> {
    if let Some(recorded) = facts.recorded {
        return Ok(recorded_decision(recorded, item.digest));
    }
    if item.order.is_broken(item.room) {
        return Ok(Decision::Refuse(RejectCode::OrderBroken));
    }
    match item.change {
        Change::Message if item.acl_version != state.acl_version => {
            if let Err(code) = access::check_post((facts.membership)()?) {
                item.order.mark_broken(item.room);
                return Ok(Decision::Refuse(code));
            }
        }
        // Doors are rare: always on fresh rows.
        Change::Join(_) | Change::Leave => match (&item.change, (facts.membership)()?) {
            (_, Some(Membership { role: RoomRole::Banned, .. })) => return Ok(Decision::Refuse(RejectCode::Forbidden)),
            (Change::Join(_), Some(_)) | (Change::Leave, None) => return Ok(Decision::Unchanged),
            _ => {}
        },
        Change::Message | Change::CreateRoom(_) | Change::SelfNote => {}
    }
    state.head = state.head.next();
    state.last_time = state.last_time.max(now);
    if item.change.bumps_acl() {
        state.acl_version += 1;
    }
    let RoomState { incarnation, head: seq, last_time: time, acl_version } = *state;
    Ok(Decision::Append { incarnation, seq, time, acl_version })
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

/// Keeps the order of one connection: when an append fails, what the connection had queued behind it for
/// the same room fails too, until the connection has learned of it.
#[derive(Clone, Debug)]
pub struct Order {
    guard: Arc<OrderGuard>,
    epoch: u64,
}

/// The shared part of [`Order`]; one for each connection.
#[derive(Debug, Default)]
pub struct OrderGuard {
    epoch: AtomicU64,
    broken: Mutex<Vec<(RoomId, u64)>>,
}

impl OrderGuard {
    /// The order of an item that is admitted now.
    #[must_use]
    pub fn admit(self: &Arc<Self>) -> Order {
        Order { guard: Arc::clone(self), epoch: self.epoch.load(Ordering::Acquire) }
    }

    /// The connection has learned of a failure: what it sends from now on is new.
    pub fn acknowledge(&self) {
        let epoch = self.epoch.fetch_add(1, Ordering::AcqRel);
        // What was admitted before may still wait, for as long as a connection can have requests in flight.
        let is_recent = |broken: u64| broken + IN_FLIGHT_MAX as u64 > epoch;
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).retain(|(_, broken)| is_recent(*broken));
    }
}

impl Order {
    /// An order that nothing shares: for the server's own entries.
    #[must_use]
    pub fn none() -> Self {
        Arc::new(OrderGuard::default()).admit()
    }

    /// Whether something before this in the same room failed.
    #[must_use]
    pub fn is_broken(&self, room: RoomId) -> bool {
        self.guard.broken.lock().unwrap_or_else(PoisonError::into_inner).contains(&(room, self.epoch))
    }

    /// This failed: nothing admitted with it may follow.
    pub fn mark_broken(&self, room: RoomId) {
        let mut broken = self.guard.broken.lock().unwrap_or_else(PoisonError::into_inner);
        if !broken.contains(&(room, self.epoch)) {
            broken.push((room, self.epoch));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::decide as decide_item;
    use super::*;

    fn item(order: &Order, acl_version: u64) -> Item {
        Item {
            room: RoomId::from_u128(1),
            author: UserId::from_u128(2),
            client_id: ClientId::from_u128(3),
            digest: [4; 16],
            payload: Bytes::from_static(b"entry"),
            altered: false,
            change: Change::Message,
            acl_version,
            order: order.clone(),
            then: None,
        }
    }

    fn state() -> RoomState {
        RoomState { incarnation: Incarnation(9), head: Seq(7), last_time: Millis(1_000), acl_version: 5 }
    }

    fn decide_with(state: &mut RoomState, item: &Item, now: u64, role: Option<RoomRole>) -> Decision {
        let acl_version = state.acl_version;
        let mut membership = || Ok(role.map(|role| Membership { role, acl_version }));
        decide(state, item, Millis(now), Facts { recorded: None, membership: &mut membership }).unwrap()
    }

    #[test]
    fn seq_is_dense_and_time_never_goes_back() {
        let (mut state, order) = (state(), Order::none());
        let place = |seq, time| Decision::Append {
            incarnation: Incarnation(9),
            seq: Seq(seq),
            time: Millis(time),
            acl_version: 5,
        };
        assert_eq!(decide_with(&mut state, &item(&order, 5), 900, None), place(8, 1_000), "the clock went back");
        assert_eq!(decide_with(&mut state, &item(&order, 5), 1_200, None), place(9, 1_200));
    }

    #[test]
    fn a_ban_holds_for_what_was_already_queued_and_keeps_order() {
        let (mut state, guard) = (state(), Arc::new(OrderGuard::default()));
        let stale = item(&guard.admit(), 4);
        let refused = decide_with(&mut state, &stale, 1, Some(RoomRole::Banned));
        assert_eq!(refused, Decision::Refuse(RejectCode::Forbidden));
        // Queued behind it, even though it would pass by itself.
        assert_eq!(
            decide_with(&mut state, &stale, 1, Some(RoomRole::Member)),
            Decision::Refuse(RejectCode::OrderBroken)
        );
        guard.acknowledge();
        let fresh = item(&guard.admit(), 4);
        assert!(matches!(decide_with(&mut state, &fresh, 1, Some(RoomRole::Member)), Decision::Append { .. }));
        assert_eq!(state.head, Seq(8), "refusals take no seq");
    }

    #[test]
    fn a_resend_gets_the_old_seq_and_a_reuse_is_told() {
        let mut state = state();
        let appended = Appended { seq: Seq(3), time: Millis(5), altered: true, duplicate: false };
        let recorded = Recorded { digest: [4; 16], outcome: Outcome::Appended(appended) };
        let item = item(&Order::none(), 5);
        let mut decide = |recorded| {
            let facts = Facts { recorded: Some(recorded), membership: &mut || Ok(None) };
            decide_item(&mut state, &item, Millis(1), facts).unwrap()
        };
        let again = Outcome::Appended(Appended { duplicate: true, ..appended });
        assert_eq!(decide(recorded.clone()), Decision::Recorded(again));
        assert_eq!(decide(Recorded { digest: [0; 16], ..recorded }), Decision::Refuse(RejectCode::ClientIdReused));
        assert_eq!(state.head, Seq(7));
    }
}
