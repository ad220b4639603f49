//! Why a connection ends. The number's range tells a client whether and how to come back.

use crate::chat_capnp as wire;
use crate::model::{Cursor, Incarnation, Seq};

/// Bytes of a close's reason that every transport carries: what a WebSocket has for it (RFC 6455 section 5.5).
pub const REASON_BYTES_MAX: usize = 123;

macro_rules! close_codes {
    ($($variant:ident = $wire:ident, $text:literal;)+) => {
        /// The numbered reasons; the ranges are explained in `chat.capnp`.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(u16)]
        pub enum CloseCode { $(#[doc = $text] $variant = wire::$wire),+ }

        impl CloseCode {
            /// Every code, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The code of this number, if this version knows it.
            #[must_use]
            pub fn from_number(number: u16) -> Option<Self> {
                Self::ALL.iter().copied().find(|code| code.number() == number)
            }

            /// For people: what happened and what to do.
            #[must_use]
            pub const fn text(self) -> &'static str { match self { $(Self::$variant => $text),+ } }

            /// The name, as metrics and documents spell it.
            #[must_use]
            pub const fn name(self) -> &'static str { match self { $(Self::$variant => stringify!($variant)),+ } }
        }
    };
}

close_codes! {
    GoingAway = CLOSE_GOING_AWAY, "the server is going down: reconnect";
    SlowConsumer = CLOSE_SLOW_CONSUMER, "too slow to read: reconnect and resume from your cursors";
    Idle = CLOSE_IDLE, "nothing was heard for too long";
    Internal = CLOSE_INTERNAL, "something went wrong in the server";
    FrameTimeout = CLOSE_FRAME_TIMEOUT, "the rest of a frame did not come in time: reconnect";
    RightsChanged = CLOSE_RIGHTS_CHANGED, "the rights of this account changed: reconnect";
    MalformedFrame = CLOSE_MALFORMED_FRAME, "that frame is not of this protocol";
    FrameTooLarge = CLOSE_FRAME_TOO_LARGE, "that frame is too large";
    WrongState = CLOSE_WRONG_STATE, "that frame does not belong here: hello comes first, and once";
    VersionUnsupported = CLOSE_VERSION_UNSUPPORTED, "no common protocol version: update the client";
    HelloTimeout = CLOSE_HELLO_TIMEOUT, "no hello in time";
    TextFrame = CLOSE_TEXT_FRAME, "frames are binary";
    TokenExpired = CLOSE_TOKEN_EXPIRED, "the token has expired: refresh it or log in again";
    TokenInvalid = CLOSE_TOKEN_INVALID, "the token is not valid: log in again";
    LoginTimeout = CLOSE_LOGIN_TIMEOUT, "no login in time";
    LoggedOut = CLOSE_LOGGED_OUT, "this device was logged out";
    Banned = CLOSE_BANNED, "this account may not connect";
    TooManyConnections = CLOSE_TOO_MANY_CONNECTIONS, "too many connections: close one first";
    TooManyRequests = CLOSE_TOO_MANY_REQUESTS, "too many requests: heed retryAfterMs, and come back later";
}

impl CloseCode {
    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u16 {
        self as u16
    }
}

/// What a client does after a close.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Comeback {
    /// Reconnect with backoff and resume.
    Reconnect,
    /// Reconnect, but not before 10 s.
    ReconnectLater,
    /// Only with other credentials.
    NewCredentials,
    /// Not by itself: the client is at fault.
    Never,
}

/// The end of a connection.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{reason} ({code})")]
pub struct Close {
    /// One of [`CloseCode`], or a number of a later version: act on its range.
    pub code: u16,
    /// For people.
    pub reason: String,
}

impl Close {
    /// What to do now, from the range of the code. Numbers outside the ranges are the transport's own
    /// (a lost connection): reconnect.
    #[must_use]
    pub const fn comeback(&self) -> Comeback {
        match self.code {
            4100..=4199 => Comeback::Never,
            4200..=4299 => Comeback::NewCredentials,
            4300..=4399 => Comeback::ReconnectLater,
            _ => Comeback::Reconnect,
        }
    }

    /// [`CloseCode::SlowConsumer`] with the place of the room that lags most, and how many others lag: nothing of it
    /// after the cursor was wholly written to the connection.
    #[must_use]
    pub fn slow_consumer(cursor: Cursor, others: usize) -> Self {
        let Cursor { room, incarnation: Incarnation(incarnation), seq: Seq(seq) } = cursor;
        let reason = format!("too slow: room={room} incarnation={incarnation} seq={seq} others={others}");
        Self { code: CloseCode::SlowConsumer.number(), reason }
    }

    /// The place that [`Self::slow_consumer`] named. What was written up to there need not have arrived.
    #[must_use]
    pub fn cursor(&self) -> Option<Cursor> {
        let field = |name: &'static str| self.reason.split(' ').find_map(|word| word.strip_prefix(name));
        if self.code != CloseCode::SlowConsumer.number() {
            return None;
        }
        Some(Cursor {
            room: field("room=")?.parse().ok()?,
            incarnation: Incarnation(field("incarnation=")?.parse().ok()?),
            seq: Seq(field("seq=")?.parse().ok()?),
        })
    }
}

impl From<CloseCode> for Close {
    fn from(code: CloseCode) -> Self {
        Self { code: code.number(), reason: code.text().to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RoomId;

    #[test]
    fn numbers_ascend_and_ranges_decide() {
        for pair in CloseCode::ALL.windows(2) {
            assert!(pair[0].number() < pair[1].number(), "{pair:?}");
        }
        let comeback = |code: CloseCode| Close::from(code).comeback();
        assert_eq!(comeback(CloseCode::SlowConsumer), Comeback::Reconnect);
        assert_eq!(comeback(CloseCode::MalformedFrame), Comeback::Never);
        assert_eq!(comeback(CloseCode::TokenExpired), Comeback::NewCredentials);
        assert_eq!(comeback(CloseCode::TooManyConnections), Comeback::ReconnectLater);
        assert_eq!(comeback(CloseCode::TooManyRequests), Comeback::ReconnectLater);
    }

    #[test]
    fn a_slow_consumer_is_told_where_within_what_a_reason_may_hold() {
        let room = RoomId::from_u128(u128::MAX);
        for number in [0, 7, u64::MAX] {
            let cursor = Cursor { room, incarnation: Incarnation(number), seq: Seq(number) };
            let close = Close::slow_consumer(cursor, 999_999);
            assert!(close.reason.len() <= REASON_BYTES_MAX, "{} bytes", close.reason.len());
            assert_eq!((close.cursor(), close.comeback()), (Some(cursor), Comeback::Reconnect));
            assert_eq!(Close { code: CloseCode::Idle.number(), ..close }.cursor(), None);
        }
        assert_eq!(Close::from(CloseCode::SlowConsumer).cursor(), None, "it lags in no room");
        let odd = Close { reason: "room=1 incarnation= seq=x".to_owned(), ..CloseCode::SlowConsumer.into() };
        assert_eq!(odd.cursor(), None);
    }
}
