//! Why one request failed. The connection goes on.

use crate::chat_capnp as wire;
use crate::limits::DETAIL_BYTES_MAX;

macro_rules! reject_codes {
    ($($variant:ident = $wire:ident, $text:literal;)+) => {
        /// The numbered reasons; the ranges are explained in `chat.capnp`.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(u16)]
        pub enum RejectCode { $(#[doc = $text] $variant = wire::$wire),+ }

        impl RejectCode {
            /// Every code, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The code of this number, if this version knows it.
            #[must_use]
            pub fn from_number(number: u16) -> Option<Self> {
                Self::ALL.iter().copied().find(|code| code.number() == number)
            }

            /// What to tell a person when there is nothing more to say.
            #[must_use]
            pub const fn text(self) -> &'static str { match self { $(Self::$variant => $text),+ } }

            /// The name, as metrics and documents spell it.
            #[must_use]
            pub const fn name(self) -> &'static str { match self { $(Self::$variant => stringify!($variant)),+ } }
        }
    };
}

reject_codes! {
    Malformed = REJECT_MALFORMED, "a field is missing, too long or not what it must be";
    Unsupported = REJECT_UNSUPPORTED, "this server does not serve that command";
    NotAuthenticated = REJECT_NOT_AUTHENTICATED, "log in first";
    BodyBlank = REJECT_BODY_BLANK, "the message is blank";
    BodyTooLong = REJECT_BODY_TOO_LONG, "the message is too long: at most 16 KiB and 4,000 characters";
    BodyInvalid = REJECT_BODY_INVALID, "the message must be UTF-8 without NUL";
    NameInvalid = REJECT_NAME_INVALID, "the name is blank, too long or holds characters that are not allowed";
    BadCredentials = REJECT_BAD_CREDENTIALS, "user name or password is wrong";
    TokenInvalid = REJECT_TOKEN_INVALID, "the token is not valid: log in again";
    TokenExpired = REJECT_TOKEN_EXPIRED, "the token has expired: refresh it or log in again";
    RegistrationClosed = REJECT_REGISTRATION_CLOSED, "registration is closed: ask the operator for an account";
    NameTaken = REJECT_NAME_TAKEN, "that user name is taken: choose another";
    Forbidden = REJECT_FORBIDDEN, "you may not do that here";
    OwnerTokenInvalid = REJECT_OWNER_TOKEN_INVALID, "the owner token is wrong or already used";
    InviteInvalid = REJECT_INVITE_INVALID, "this invitation is not good (any more): ask for another";
    Banned = REJECT_BANNED, "this account was banned by those who run the server";
    Muted = REJECT_MUTED, "you may read but not write on this server for now";
    ScopeMissing = REJECT_SCOPE_MISSING, "this API key was not given the right to do that";
    UnknownRoom = REJECT_UNKNOWN_ROOM, "no such room";
    NotMember = REJECT_NOT_MEMBER, "join the room first";
    ClientIdReused = REJECT_CLIENT_ID_REUSED, "this client id was used for something else: take a new one";
    ClientIdTooOld = REJECT_CLIENT_ID_TOO_OLD, "this client id is too old: check the history, then take a new one";
    RoomNameTaken = REJECT_ROOM_NAME_TAKEN, "a room of that name exists: join it or choose another name";
    IncarnationChanged = REJECT_INCARNATION_CHANGED, "the history of this room changed: drop your cursor and read it anew";
    OrderBroken = REJECT_ORDER_BROKEN, "an earlier send to this room failed: resend in order";
    UnknownMessage = REJECT_UNKNOWN_MESSAGE, "there is no such message (any more)";
    UnknownUser = REJECT_UNKNOWN_USER, "there is no such user here";
    ChangedMeanwhile = REJECT_CHANGED_MEANWHILE, "somebody else was faster: look at how it is now, and ask again";
    UnknownCase = REJECT_UNKNOWN_CASE, "there is no such case here";
    RateLimited = REJECT_RATE_LIMITED, "too fast: wait and try again";
    TooManyInFlight = REJECT_TOO_MANY_IN_FLIGHT, "too many requests without a reply: wait for one";
    TooManyRooms = REJECT_TOO_MANY_ROOMS, "you are in too many rooms: leave one first";
    TooManyMembers = REJECT_TOO_MANY_MEMBERS, "the room is full";
    TooManyDevices = REJECT_TOO_MANY_DEVICES, "too many devices: log out on one first";
    SlowMode = REJECT_SLOW_MODE, "this room is slow: wait before you post again";
    TooManyReactions = REJECT_TOO_MANY_REACTIONS, "this message has too many different reactions";
    ByPlugin = REJECT_BY_PLUGIN, "this server's rules do not allow that message";
    Bounced = REJECT_BOUNCED, "change the message and send it again";
    CaseState = REJECT_CASE_STATE, "that cannot be done with the case as it is now: look at it again";
    Internal = REJECT_INTERNAL, "something went wrong in the server: try again later";
    Unavailable = REJECT_UNAVAILABLE, "the server cannot store anything right now: try again later";
    Busy = REJECT_BUSY, "the server is busy: try again later";
}

impl RejectCode {
    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u16 {
        self as u16
    }
}

/// One request failed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{detail} ({code})")]
pub struct Reject {
    /// One of [`RejectCode`], or a number of a later version: act on its range.
    pub code: u16,
    /// For people: lower case, what went wrong and what to do.
    pub detail: String,
    /// Try again after this time; 0 when that is unknown or useless.
    pub retry_after_ms: u32,
}

impl Reject {
    /// A reject with a text of its own, cut to its bound.
    #[must_use]
    pub fn new(code: RejectCode, detail: impl Into<String>) -> Self {
        let mut detail = detail.into();
        detail.truncate(detail.floor_char_boundary(DETAIL_BYTES_MAX));
        Self { code: code.number(), detail, retry_after_ms: 0 }
    }

    /// A reject to repeat after a time, rounded up to at least a millisecond.
    #[must_use]
    pub fn retry(code: RejectCode, retry_after_ms: u64) -> Self {
        let retry_after_ms = u32::try_from(retry_after_ms.max(1)).unwrap_or(u32::MAX);
        Self { retry_after_ms, ..code.into() }
    }

    /// Whether this is that code.
    #[must_use]
    pub fn is(&self, code: RejectCode) -> bool {
        self.code == code.number()
    }
}

impl From<RejectCode> for Reject {
    fn from(code: RejectCode) -> Self {
        Self::new(code, code.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique_ascending_and_round_trip() {
        for pair in RejectCode::ALL.windows(2) {
            assert!(pair[0].number() < pair[1].number(), "{pair:?}");
        }
        for code in RejectCode::ALL {
            assert_eq!(RejectCode::from_number(code.number()), Some(*code));
        }
        assert_eq!(RejectCode::from_number(0), None);
    }
}
