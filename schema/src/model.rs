//! The things of a chat as plain Rust values. Wire types stay in the codec; rules that need context
//! (rights, uniqueness) stay in the server.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;

pub use crate::text::{Body, DeviceName, DisplayName, RoomName, TextError, Topic, Username};

macro_rules! id {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(u128);

        impl $name {
            /// The id that stands for "none".
            pub const NONE: Self = Self(0);

            /// A version 7 UUID (RFC 9562 section 5.7) from a time and 80 random bits.
            #[must_use]
            pub fn new(now: Millis, random: u128) -> Self {
                let time = u128::from(now.0 & 0xffff_ffff_ffff) << 80;
                let rand_a = ((random >> 64) & 0x0fff) << 64;
                let rand_b = random & 0x3fff_ffff_ffff_ffff;
                Self(time | 0x7 << 76 | rand_a | 0b10 << 62 | rand_b)
            }

            /// The id of these 128 bits; any value is taken.
            #[must_use]
            pub const fn from_u128(value: u128) -> Self { Self(value) }

            /// All 128 bits.
            #[must_use]
            pub const fn as_u128(self) -> u128 { self.0 }

            /// Big-endian bytes, which sort by creation time.
            #[must_use]
            pub const fn to_bytes(self) -> [u8; 16] { self.0.to_be_bytes() }

            /// The inverse of [`Self::to_bytes`].
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self { Self(u128::from_be_bytes(bytes)) }

            /// Whether this stands for "none".
            #[must_use]
            pub const fn is_none(self) -> bool { self.0 == 0 }

            /// The time inside a version 7 UUID.
            #[must_use]
            pub const fn created(self) -> Millis { Millis((self.0 >> 80) as u64) }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                uuid::Uuid::from_u128(self.0).hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = TextError;
            fn from_str(text: &str) -> Result<Self, TextError> {
                uuid::Uuid::try_parse(text).map(|id| Self(id.as_u128())).map_err(|_| TextError::Invalid)
            }
        }
    )+};
}

id! {
    /// A person or bot with an account.
    UserId,
    /// One of a user's devices: what a refresh token belongs to.
    DeviceId,
    /// A room: one log.
    RoomId,
    /// Chosen by the author of a mutating command, so that sending it again is harmless.
    ClientId,
    /// One connection, for logs; not a credential.
    SessionId,
    /// Something in the review queue of the moderators.
    CaseId,
}

/// Milliseconds since the Unix epoch, or a deadline on that scale.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Millis(pub u64);

impl Millis {
    /// The end of time: a deadline that never comes.
    pub const NEVER: Self = Self(u64::MAX);

    /// This time plus a duration in milliseconds; saturates.
    #[must_use]
    pub const fn after(self, duration_ms: u64) -> Self {
        Self(self.0.saturating_add(duration_ms))
    }

    /// Milliseconds since an earlier time, 0 if it is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Position in a room's log. The first entry is 1; 0 is "before everything".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Seq(pub u64);

impl Seq {
    /// The position after this one; saturates.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// Identity of a room's history; another value means "not the log you knew".
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Incarnation(pub u64);

/// How far a reader knows a room's log: everything up to and including `seq`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Cursor {
    /// Which log.
    pub room: RoomId,
    /// Which history of it; 0 accepts any.
    pub incarnation: Incarnation,
    /// The last seq known.
    pub seq: Seq,
}

/// An entry with its place in the log. The payload is an encoded [`Entry`], shared by all readers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Envelope {
    /// Position in the room's log.
    pub seq: Seq,
    /// When it was sequenced; never goes back within a room.
    pub time: Millis,
    /// How often the payload was rewritten in place.
    pub rev: u32,
    /// The standalone encoding of the entry.
    pub payload: Bytes,
}

/// One record of a room's log, without its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Who caused it.
    pub author: UserId,
    /// The author's idempotency id.
    pub client_id: ClientId,
    /// What happened.
    pub content: EntryContent,
}

/// What an entry says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EntryContent {
    /// Not for this reader; keeps the log without a gap.
    Void,
    /// Somebody said something.
    Message(Body),
    /// The first entry of a room.
    RoomCreated {
        /// Its name.
        name: RoomName,
        /// What it is about; may be empty.
        topic: Topic,
    },
    /// Somebody came or went.
    Membership {
        /// Who.
        user: UserId,
        /// Came or went.
        change: MembershipChange,
        /// With which role.
        role: RoomRole,
        /// Their name at that time.
        display_name: DisplayName,
    },
    /// For the other devices of the log's owner.
    SelfNote(SelfNote),
    /// A kind that this version does not know; skip it.
    Unknown,
}

/// What a user's own log records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SelfNote {
    /// The account exists.
    AccountCreated,
    /// The user joined a room.
    Joined(RoomId),
    /// The user left a room.
    Left(RoomId),
}

/// See [`EntryContent::Membership`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub enum MembershipChange {
    Joined,
    Left,
}

/// What a room is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum RoomKind {
    /// Named and open to join.
    Channel,
    /// A user's own log.
    SelfLog,
}

/// Rank within a room, highest first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub enum RoomRole {
    Owner,
    Admin,
    Moderator,
    Member,
    Guest,
    Muted,
    Banned,
}

/// Rank on the server, highest first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub enum ServerRole {
    Owner,
    Admin,
    Moderator,
    User,
    Bot,
}

macro_rules! numbered {
    ($name:ident: $($variant:ident = $number:literal),+ $(,)?) => {
        impl $name {
            /// The number on the wire and in stores.
            #[must_use]
            pub const fn number(self) -> u8 { match self { $(Self::$variant => $number),+ } }
            /// The inverse of `number`.
            #[must_use]
            pub const fn from_number(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

numbered!(RoomKind: Channel = 1, SelfLog = 3);
numbered!(RoomRole: Owner = 1, Admin = 2, Moderator = 3, Member = 4, Guest = 5, Muted = 6, Banned = 7);
numbered!(ServerRole: Owner = 1, Admin = 2, Moderator = 3, User = 4, Bot = 5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_uuid_v7_and_round_trip() {
        let id = UserId::new(Millis(1_700_000_000_123), u128::MAX);
        let text = id.to_string();
        assert_eq!(text.as_bytes()[14], b'7');
        assert!(matches!(text.as_bytes()[19], b'8'..=b'b'));
        assert_eq!(text.parse(), Ok(id));
        assert_eq!(UserId::from_bytes(id.to_bytes()), id);
        assert_eq!(id.created(), Millis(1_700_000_000_123));
        assert!("../etc".parse::<UserId>().is_err());
    }

    #[test]
    fn ids_sort_by_time() {
        assert!(RoomId::new(Millis(1), u128::MAX) < RoomId::new(Millis(2), 0));
    }
}
