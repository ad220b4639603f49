//! May this actor do this here? Pure rules, and a bounded cache of the memberships they need.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use confab_protocol::model::{Millis, RoomId, RoomRole, Seq, ServerRole, UserId};
use confab_protocol::reject::RejectCode;
use confab_protocol::rights::RoomRights;

use super::store::{Membership, Place};

/// Who reads for plugins: nobody, who is given what everybody is.
pub const STRANGER: UserId = UserId::from_u128(u128::MAX);

/// May they do anything at all that others see?
///
/// # Errors
/// The code that says why not.
pub fn check_active(membership: Option<Membership>, now: Millis) -> Result<(), RejectCode> {
    let Some(Membership { role, restriction, .. }) = membership else { return Err(RejectCode::NotMember) };
    if restriction.is_some_and(|restriction| restriction.silences(now)) {
        return Err(RejectCode::Forbidden);
    }
    match role {
        RoomRole::Owner | RoomRole::Admin | RoomRole::Moderator | RoomRole::Member | RoomRole::Guest => Ok(()),
        RoomRole::Muted | RoomRole::Banned => Err(RejectCode::Forbidden),
    }
}

/// What each room has its own rule for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Saying something, also instead of what was said.
    Post,
    /// Giving a reaction or taking it back.
    React,
    /// Making invitations.
    Invite,
    /// Pinning a message, or not any more.
    Pin,
}

/// The rules of a room that says nothing else, with the words of docs/PERMISSIONS.md.
pub const ACTIONS: [(Action, &str); 4] = [
    (Action::Post, "post and edit what they said"),
    (Action::React, "react"),
    (Action::Invite, "invite"),
    (Action::Pin, "pin"),
];

/// The least role that may.
#[must_use]
pub const fn least(rights: RoomRights, action: Action) -> RoomRole {
    match action {
        Action::Post => rights.post,
        Action::React => rights.react,
        Action::Invite => rights.invite,
        Action::Pin => rights.pin,
    }
}

/// May they do that in this room?
///
/// # Errors
/// The code that says why not.
pub fn check_action(
    membership: Option<Membership>,
    server_role: ServerRole,
    action: Action,
    now: Millis,
) -> Result<(), RejectCode> {
    check_active(membership, now)?;
    let Membership { role, rights, .. } = membership.ok_or(RejectCode::NotMember)?;
    if rank(role, server_role) <= least(rights, action).number() { Ok(()) } else { Err(RejectCode::Forbidden) }
}

/// Rank in a room, 1 the highest: of the room's role and the server's, the higher one.
#[must_use]
pub fn rank(role: RoomRole, server_role: ServerRole) -> u8 {
    let of_server = match server_role {
        ServerRole::Owner | ServerRole::Admin | ServerRole::Moderator => server_role.number(),
        ServerRole::User | ServerRole::Bot => u8::MAX,
    };
    role.number().min(of_server)
}

/// What takes a rank.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Right {
    /// Deleting what others said, reading earlier texts, posting without regard to slow mode.
    Moderate,
    /// Name, topic, slow mode, and who may do what.
    Configure,
}

/// The least role in a room that has it, with the words of docs/PERMISSIONS.md. A server's owner, admins and moderators
/// have the rank of the same name in every room that they are in.
pub const RIGHTS: [(Right, RoomRole, &str); 2] = [
    (
        Right::Moderate,
        RoomRole::Moderator,
        "delete what others said, read earlier texts, decide cases and read the audit of the room, mute, shadow, kick and ban those of lower rank, let in who knocks, post without \
         regard to slow mode",
    ),
    (
        Right::Configure,
        RoomRole::Admin,
        "change name, topic, slow mode, retention, visibility, knocks and who may do what; give roles below one's own",
    ),
];

/// Does somebody of this rank have it?
#[must_use]
pub fn has_right(rank: u8, right: Right) -> bool {
    RIGHTS.iter().any(|(it, least, _)| *it == right && rank <= least.number())
}

/// May they do something to somebody? Nobody acts on their own rank or above, moderators sanction, admins grant roles
/// below their own.
#[must_use]
pub fn may_act_on(rank: u8, other: u8, granted: Option<RoomRole>) -> bool {
    let is_granted_below = match granted {
        Some(role) => rank < role.number() && has_right(rank, Right::Configure),
        None => true,
    };
    rank < other && has_right(rank, Right::Moderate) && is_granted_below
}

/// May they read?
///
/// # Errors
/// The code that says why not. A stranger is not told whether the room exists.
pub const fn check_read(membership: Option<Membership>) -> Result<(), RejectCode> {
    match membership {
        Some(Membership { role: RoomRole::Banned, .. }) | None => Err(RejectCode::NotMember),
        Some(_) => Ok(()),
    }
}

/// May they read the log's present end?
///
/// # Errors
/// As [`check_read`]; who has left is outside.
pub const fn check_place(place: Option<Place>) -> Result<(), RejectCode> {
    match place {
        Some(Place { role: RoomRole::Banned, .. } | Place { left: Some(_), .. }) | None => Err(RejectCode::NotMember),
        Some(_) => Ok(()),
    }
}

/// How far a reader may be fed who may read when they began: their own leaving is the last thing they see.
#[must_use]
pub const fn readable_until(place: Option<Place>) -> Seq {
    match place {
        Some(Place { role: RoomRole::Banned, .. }) | None => Seq(0),
        Some(Place { left: Some(left), .. }) => left,
        Some(Place { left: None, .. }) => Seq(u64::MAX),
    }
}

const SHARDS: usize = 16;
const SHARD_ENTRIES_MAX: usize = 8_192;

/// Memberships of those who posted lately. An entry may be stale: an append checks again inside its
/// transaction when the room's rights have changed since, so this only saves reads.
pub struct MembershipCache {
    shards: [Mutex<HashMap<(RoomId, UserId), Membership>>; SHARDS],
}

impl MembershipCache {
    /// An empty cache of at most 131,072 memberships.
    #[must_use]
    pub fn new() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()) }
    }

    fn shard(&self, room: RoomId, user: UserId) -> &Mutex<HashMap<(RoomId, UserId), Membership>> {
        // The random halves of UUIDv7 spread well.
        let index = (room.as_u128() ^ user.as_u128()) as usize % SHARDS;
        self.shards.get(index).unwrap_or(&self.shards[0])
    }

    /// What was seen last.
    #[must_use]
    pub fn find(&self, room: RoomId, user: UserId) -> Option<Membership> {
        self.shard(room, user).lock().unwrap_or_else(PoisonError::into_inner).get(&(room, user)).copied()
    }

    /// Remembers; a full shard starts over.
    pub fn insert(&self, room: RoomId, user: UserId, membership: Membership) {
        let mut shard = self.shard(room, user).lock().unwrap_or_else(PoisonError::into_inner);
        if shard.len() >= SHARD_ENTRIES_MAX {
            shard.clear();
        }
        shard.insert((room, user), membership);
    }

    /// Forgets.
    pub fn remove(&self, room: RoomId, user: UserId) {
        self.shard(room, user).lock().unwrap_or_else(PoisonError::into_inner).remove(&(room, user));
    }
}

impl Default for MembershipCache {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use confab_protocol::model::SanctionKind;

    use super::*;
    use crate::core::store::Restriction;

    #[test]
    fn the_table_of_room_roles() {
        use RoomRole::{Admin, Banned, Guest, Member, Moderator, Muted, Owner};
        let table = [
            (None, Err(RejectCode::NotMember), Err(RejectCode::NotMember)),
            (Some(Owner), Ok(()), Ok(())),
            (Some(Admin), Ok(()), Ok(())),
            (Some(Moderator), Ok(()), Ok(())),
            (Some(Member), Ok(()), Ok(())),
            // They take back what they said; to say something takes more, unless the room has it otherwise.
            (Some(Guest), Ok(()), Ok(())),
            (Some(Muted), Err(RejectCode::Forbidden), Ok(())),
            (Some(Banned), Err(RejectCode::Forbidden), Err(RejectCode::NotMember)),
        ];
        for (role, active, read) in table {
            let membership = role.map(|role| Membership { role, ..membership(Owner) });
            assert_eq!((check_active(membership, Millis(5)), check_read(membership)), (active, read), "{role:?}");
        }
    }

    fn membership(role: RoomRole) -> Membership {
        let (restriction, joined, rights) = (None, Millis(0), RoomRights::default());
        Membership { role, restriction, joined, rights, acl_version: 0 }
    }

    /// A room of announcements, and one where guests speak.
    #[test]
    fn a_room_has_rules_of_its_own() {
        use RoomRole::{Admin, Guest, Member, Moderator, Muted, Owner};
        let may = |rights, action, role, server_role| {
            let membership = Membership { rights, ..membership(role) };
            check_action(Some(membership), server_role, action, Millis(5)).is_ok()
        };
        let usual = RoomRights::default();
        let rooms = [
            (usual, Action::Post, Member),
            (usual, Action::React, Member),
            (usual, Action::Invite, Moderator),
            (usual, Action::Pin, Moderator),
            (RoomRights { post: Admin, ..usual }, Action::Post, Admin),
            (RoomRights { post: Guest, ..usual }, Action::Post, Guest),
            (RoomRights { post: Owner, ..usual }, Action::React, Member),
            (RoomRights { invite: Member, ..usual }, Action::Invite, Member),
        ];
        for (rights, action, least) in rooms {
            for role in [Owner, Admin, Moderator, Member, Guest] {
                let expected = role.number() <= least.number();
                assert_eq!(may(rights, action, role, ServerRole::User), expected, "{action:?} {least:?} {role:?}");
            }
            assert!(!may(rights, action, Muted, ServerRole::User));
            assert!(may(rights, action, Member, ServerRole::Owner), "who runs the server");
        }
    }

    #[test]
    fn a_restriction_holds_until_its_time() {
        let until = |until| Some(Restriction { kind: SanctionKind::Mute, until });
        for (restriction, expected) in [
            (None, Ok(())),
            (until(None), Err(RejectCode::Forbidden)),
            (until(Some(Millis(6))), Err(RejectCode::Forbidden)),
            (until(Some(Millis(5))), Ok(())),
        ] {
            let membership = Membership { restriction, ..membership(RoomRole::Owner) };
            assert_eq!(check_active(Some(membership), Millis(5)), expected, "{restriction:?}");
        }
    }

    /// Nobody acts on their own rank or above, whichever of their two ranks counts.
    #[test]
    fn the_table_of_ranks() {
        use RoomRole::{Admin, Guest, Member, Moderator, Owner};
        let roles = [Owner, Admin, Moderator, Member, Guest];
        for (mine, one) in roles.into_iter().enumerate() {
            for (other, two) in roles.into_iter().enumerate() {
                let rank = rank(one, ServerRole::User);
                assert_eq!(may_act_on(rank, two.number(), None), mine < other && mine <= 2, "{one:?} on {two:?}");
                let grants = may_act_on(rank, Guest.number(), Some(two));
                assert_eq!(grants, mine < other && mine <= 1, "{one:?} makes somebody {two:?}");
            }
        }
        assert_eq!(rank(Member, ServerRole::Moderator), Moderator.number());
        assert_eq!(rank(Owner, ServerRole::Moderator), Owner.number());
        assert!(has_right(Admin.number(), Right::Configure) && !has_right(Moderator.number(), Right::Configure));
    }
}
