//! The things of a chat as plain Rust values. Wire types stay in the codec; rules that need context
//! (rights, uniqueness) stay in the server.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;

use crate::rights::RoomRights;

pub use crate::text::{Body, CaseText, DeviceName, DisplayName, Emoji, Reason, RoomName, TextError, Topic, Username};

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
    /// A record of the audit.
    AuditId,
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
    /// With an edit: the message it is about, as it reads now.
    pub rewritten: Option<Box<Envelope>>,
}

impl Envelope {
    /// Bytes of payload that it adds to a page.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        /// What an envelope adds to a frame beside its payload, at most.
        const ENVELOPE_BYTES: usize = 64;
        self.payload.len() + self.rewritten.as_ref().map_or(0, |it| it.payload.len() + ENVELOPE_BYTES)
    }
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
    Message(Message),
    /// The message of this seq was rewritten; its envelope comes along.
    Edit(Seq),
    /// These are tombstones from now on: forget what they said.
    Deletion {
        /// Which messages.
        seqs: Vec<Seq>,
        /// Not by their author.
        by_moderator: bool,
    },
    /// A message stood here.
    Tombstone {
        /// It was not deleted by its author.
        by_moderator: bool,
    },
    /// A reaction came or went.
    Reaction {
        /// To which message.
        seq: Seq,
        /// Which.
        emoji: Emoji,
        /// It went.
        removed: bool,
    },
    /// A message was pinned, or is not any more.
    Pin {
        /// Which.
        seq: Seq,
        /// It is not any more.
        removed: bool,
    },
    /// The room is this from now on.
    Settings(RoomSettings),
    /// Something was done to somebody, or taken back.
    Sanction(Sanction),
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
    /// The author asks to be let in.
    Knock,
    /// From those who run the server.
    Notice(Body),
    /// A kind that this version does not know; skip it.
    Unknown,
}

/// Something that was said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// The words.
    pub body: Body,
    /// The message that it answers.
    pub reply_to: Option<Seq>,
    /// Members that it mentions.
    pub mentions: Vec<UserId>,
}

impl From<Body> for Message {
    fn from(body: Body) -> Self {
        Self { body, reply_to: None, mentions: Vec::new() }
    }
}

/// What a room's admins may change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RoomSettings {
    /// Its name.
    pub name: RoomName,
    /// What it is about; may be empty.
    pub topic: Topic,
    /// Least time between two messages of a member, milliseconds; 0: none.
    pub slow_mode_ms: u32,
    /// Entries older than this are retired, milliseconds; 0: never.
    pub retention_ms: u64,
    /// How much of its history members see.
    pub visibility: Visibility,
    /// Whether others may ask to be let in.
    pub knocks: bool,
    /// What one has to be for what.
    pub rights: RoomRights,
}

/// How much of a room's history its members see.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
pub enum Visibility {
    /// All that is kept.
    #[default]
    All,
    /// What was appended since they came in.
    SinceJoin,
}

/// See [`EntryContent::Sanction`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sanction {
    /// To whom.
    pub user: UserId,
    /// What.
    pub kind: SanctionKind,
    /// Until when; `None`: until it is lifted.
    pub until: Option<Millis>,
    /// Why; for everybody in the room.
    pub reason: Reason,
}

/// See [`Sanction`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum SanctionKind {
    /// Reads, and writes nothing.
    Mute,
    /// Goes out, and may come back.
    Kick,
    /// Goes out, and may not.
    Ban,
    /// Ends a mute or ban.
    Lift,
    /// What they say is seen by them alone, and by moderators in the history; nobody is told.
    Shadow,
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
    /// The user has read a room up to a seq.
    Read(RoomId, Seq),
    /// The user's profile is another one.
    ProfileChanged,
    /// There is news of a case that the user moderates, opened, or that is about them.
    #[allow(missing_docs, reason = "the names say it")]
    Case { case: CaseId, room: RoomId, state: CaseState },
}

/// See [`EntryContent::Membership`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub enum MembershipChange {
    Joined,
    Left,
    RoleChanged,
}

/// What a room is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum RoomKind {
    /// Named and open to join.
    Channel,
    /// Of two people; without a name.
    Direct,
    /// Named, entered by invitation.
    Private,
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

/// How a case began. See the schema, as for what follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[allow(missing_docs, reason = "as in the schema")]
pub enum CaseKind {
    Held,
    Report,
    Flag,
    Sanction,
}

/// Where a case stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[allow(missing_docs, reason = "as in the schema")]
pub enum CaseState {
    Open,
    Taken,
    Decided,
    Appealed,
    Closed,
}

/// What was decided about a case.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[allow(missing_docs, reason = "as in the schema")]
pub enum CaseDecision {
    Dismiss,
    Release,
    Drop,
    Remove,
    Sanction,
    Uphold,
    Reverse,
}

/// What somebody did with a case.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[allow(missing_docs, reason = "as in the schema")]
pub enum CaseAct {
    Open,
    Report,
    Take,
    LetGo,
    Note,
    Decide,
    Appeal,
    Fail,
}

/// What somebody finds wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[allow(missing_docs, reason = "as in the schema")]
pub enum ReportReason {
    Spam,
    Harassment,
    Hate,
    Violence,
    Sexual,
    SelfHarm,
    Illegal,
    Other,
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

numbered!(RoomKind: Channel = 1, Direct = 2, SelfLog = 3, Private = 4);
numbered!(RoomRole: Owner = 1, Admin = 2, Moderator = 3, Member = 4, Guest = 5, Muted = 6, Banned = 7);
numbered!(ServerRole: Owner = 1, Admin = 2, Moderator = 3, User = 4, Bot = 5);
numbered!(CaseKind: Held = 1, Report = 2, Flag = 3, Sanction = 4);
numbered!(CaseState: Open = 1, Taken = 2, Decided = 3, Appealed = 4, Closed = 5);
numbered!(CaseDecision: Dismiss = 1, Release = 2, Drop = 3, Remove = 4, Sanction = 5, Uphold = 6, Reverse = 7);
numbered!(CaseAct: Open = 1, Report = 2, Take = 3, LetGo = 4, Note = 5, Decide = 6, Appeal = 7, Fail = 8);
numbered!(
    ReportReason: Spam = 1, Harassment = 2, Hate = 3, Violence = 4, Sexual = 5, SelfHarm = 6, Illegal = 7, Other = 8
);

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
