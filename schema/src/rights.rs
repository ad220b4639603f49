//! What one has to be in a room to do what its admins leave open.

use crate::model::RoomRole;

/// The least role that may do each thing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "as in the schema")]
pub struct RoomRights {
    pub post: RoomRole,
    pub react: RoomRole,
    pub invite: RoomRole,
    pub pin: RoomRole,
}

impl Default for RoomRights {
    fn default() -> Self {
        let (post, react) = (RoomRole::Member, RoomRole::Member);
        Self { post, react, invite: RoomRole::Moderator, pin: RoomRole::Moderator }
    }
}

impl RoomRights {
    /// Whether each stands within its bounds: guests may be let speak, but bring nobody.
    #[must_use]
    pub fn is_valid(self) -> bool {
        let down_to = |least: RoomRole, role: RoomRole| role.number() <= least.number();
        down_to(RoomRole::Guest, self.post)
            && down_to(RoomRole::Guest, self.react)
            && down_to(RoomRole::Member, self.invite)
            && down_to(RoomRole::Member, self.pin)
    }

    /// As stores keep it: four bits for each, the first lowest.
    #[must_use]
    pub fn number(self) -> u16 {
        let bits = |role: RoomRole, shift: u16| u16::from(role.number()) << shift;
        bits(self.post, 0) | bits(self.react, 4) | bits(self.invite, 8) | bits(self.pin, 12)
    }

    /// The inverse of [`Self::number`]; zero is the default.
    #[must_use]
    pub fn from_number(number: u16) -> Option<Self> {
        if number == 0 {
            return Some(Self::default());
        }
        let role = |shift: u16| RoomRole::from_number(((number >> shift) & 0xf) as u8);
        let rights = Self { post: role(0)?, react: role(4)?, invite: role(8)?, pin: role(12)? };
        rights.is_valid().then_some(rights)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_what_was_meant_and_within_its_bounds() {
        use RoomRole::{Admin, Banned, Guest, Member, Owner};
        let rights = RoomRights { post: Admin, react: Guest, invite: Member, pin: Owner };
        assert_eq!(RoomRights::from_number(rights.number()), Some(rights));
        assert_eq!(RoomRights::from_number(0), Some(RoomRights::default()));
        assert!(RoomRights::default().is_valid());
        for wrong in [
            RoomRights { post: Banned, ..rights },
            RoomRights { invite: Guest, ..rights },
            RoomRights { pin: Guest, ..rights },
        ] {
            assert_eq!((wrong.is_valid(), RoomRights::from_number(wrong.number())), (false, None), "{wrong:?}");
        }
        assert_eq!(RoomRights::from_number(0x000f), None);
    }
}
