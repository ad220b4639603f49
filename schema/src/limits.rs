//! Bounds on what a peer may send, with the relations between them. Nothing here is configuration.

/// Largest frame in either direction, bytes of the whole Cap'n Proto message.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;
/// Largest `hello` frame, bytes.
pub const HELLO_BYTES_MAX: usize = 4 * 1024;
/// Largest access token inside `hello` or `authenticate`, bytes.
pub const TOKEN_BYTES_MAX: usize = 2 * 1024;
/// Client name in `hello`, bytes.
pub const CLIENT_NAME_BYTES_MAX: usize = 64;
/// Message body, bytes of UTF-8.
pub const BODY_BYTES_MAX: usize = 16 * 1024;
/// Message body, extended grapheme clusters (UAX #29).
pub const BODY_GRAPHEMES_MAX: usize = 4_000;
/// Room name, bytes of UTF-8.
pub const ROOM_NAME_BYTES_MAX: usize = 80;
/// Room topic, bytes of UTF-8.
pub const TOPIC_BYTES_MAX: usize = 256;
/// Username, bytes (ASCII).
pub const USERNAME_BYTES_MAX: usize = 32;
/// Display name, bytes of UTF-8.
pub const DISPLAY_NAME_BYTES_MAX: usize = 64;
/// Name of a device, bytes of UTF-8.
pub const DEVICE_NAME_BYTES_MAX: usize = 64;
/// Password, bytes: below the minimum it is refused at registration, above the maximum always.
pub const PASSWORD_BYTES_MIN: usize = 8;
/// See [`PASSWORD_BYTES_MIN`].
pub const PASSWORD_BYTES_MAX: usize = 256;
/// Requests of one connection that may wait for their reply.
pub const IN_FLIGHT_MAX: usize = 64;
/// Entries, rooms or members in one page.
pub const PAGE_ITEMS_MAX: usize = 200;
/// Rooms in one page: their names and topics are longer.
pub const PAGE_ROOMS_MAX: usize = 100;
/// Bytes of payloads in one page or push; the rest of a frame is headers.
pub const PAGE_BYTES_MAX: usize = 48 * 1024;
/// Cursors in one `resume`.
pub const RESUME_CURSORS_MAX: usize = 200;
/// Over at most so long those come back whom a server lost all at once, milliseconds.
pub const RECONNECT_JITTER_MS_MAX: u16 = 60_000;
/// Messages in one `delete`.
pub const DELETE_MAX: usize = 100;
/// A reaction, bytes of UTF-8 of its one grapheme.
pub const EMOJI_BYTES_MAX: usize = 32;
/// Different reactions to one message.
pub const REACTIONS_MAX: u32 = 20;
/// Members that one message may mention.
pub const MENTIONS_MAX: usize = 20;
/// Longest slow mode of a room, milliseconds.
pub const SLOW_MODE_MS_MAX: u32 = 6 * 3600 * 1000;
/// Shortest retention of a room, milliseconds: longer than client ids are told apart.
pub const RETENTION_MS_MIN: u64 = 2 * 24 * 3600 * 1000;
/// Longest retention of a room, milliseconds: a hundred years.
pub const RETENTION_MS_MAX: u64 = 100 * 365 * 24 * 3600 * 1000;
/// Reason of a sanction, bytes of UTF-8.
pub const REASON_BYTES_MAX: usize = 256;
/// What is said of a case, bytes of UTF-8.
pub const CASE_TEXT_BYTES_MAX: usize = 1_000;
/// Cases in one page.
pub const PAGE_CASES_MAX: usize = 100;
/// Texts of a case's events in one answer, bytes; the newest are kept.
pub const CASE_EVENTS_BYTES_MAX: usize = 16 * 1024;
/// Payloads of a case's evidence in one answer, bytes; what is nearest to what it is about is kept.
pub const EVIDENCE_BYTES_MAX: usize = 40 * 1024;
/// The name of a plugin, bytes.
pub const PLUGIN_NAME_BYTES_MAX: usize = 64;
/// Token of an invitation, bytes.
pub const INVITE_BYTES_MAX: usize = 64;
/// How many may come with one invitation.
pub const INVITE_USES_MAX: u32 = 1_000;
/// How long an invitation is good at most, milliseconds.
pub const INVITE_MS_MAX: u64 = 30 * 24 * 3600 * 1000;
/// Query of a search, bytes of UTF-8.
pub const QUERY_BYTES_MAX: usize = 256;
/// Messages in one answer to a search.
pub const PAGE_HITS_MAX: usize = 50;
/// How long somebody types unless they say so again, milliseconds.
pub const TYPING_MS: u32 = 6_000;
/// Connections to a room whose people are told of one by one; where there are more, people are counted.
pub const PRESENCE_CONNECTIONS_MAX: usize = 100;
/// Detail text of a reject and reason of a close, bytes.
pub const DETAIL_BYTES_MAX: usize = 256;
/// Rooms a user may be a member of.
pub const ROOMS_PER_USER_MAX: u32 = 1_000;
/// Members of one room.
pub const ROOM_MEMBERS_MAX: u32 = 100_000;
/// Devices of one user.
pub const DEVICES_PER_USER_MAX: u32 = 10;

/// `hello` is due within this time of connecting, milliseconds.
pub const HELLO_TIMEOUT_MS: u64 = 5_000;
/// A connection without identity has this long to log in, milliseconds.
pub const LOGIN_TIMEOUT_MS: u64 = 30_000;
/// A client sends at least one frame in this time, milliseconds.
pub const HEARTBEAT_MS: u64 = 15_000;
/// A client that was silent for this long is asked for a sign of life where its transport has one of its own,
/// milliseconds: timers of hidden browser tabs sleep.
pub const PROBE_MS: u64 = 20_000;
/// From the first to the last byte of a frame, milliseconds.
pub const FRAME_TIMEOUT_MS: u64 = 10_000;
/// A peer that was silent for this long is gone, milliseconds.
pub const IDLE_TIMEOUT_MS: u64 = 45_000;

/// Traversal bound of a Cap'n Proto reader, words.
pub const TRAVERSAL_WORDS_MAX: usize = 128 * 1024;
/// Nesting bound of a Cap'n Proto reader, pointers.
pub const NESTING_MAX: i32 = 16;

// What is admitted must fit a page of one, and a page must fit a frame with its envelopes (48 bytes and
// a pointer each) and headers.
const _: () = assert!(BODY_BYTES_MAX + 512 <= PAGE_BYTES_MAX);
const _: () = assert!(PAGE_BYTES_MAX + PAGE_ITEMS_MAX * 64 + 1024 <= FRAME_BYTES_MAX);
const _: () = assert!(TOKEN_BYTES_MAX + CLIENT_NAME_BYTES_MAX + 512 <= HELLO_BYTES_MAX);
const _: () = assert!(RESUME_CURSORS_MAX * 64 + 1024 <= FRAME_BYTES_MAX);
const _: () = assert!(PAGE_ROOMS_MAX * (ROOM_NAME_BYTES_MAX + TOPIC_BYTES_MAX + 160) < FRAME_BYTES_MAX);
const _: () = assert!(PAGE_ITEMS_MAX * (USERNAME_BYTES_MAX + DISPLAY_NAME_BYTES_MAX + 96) < FRAME_BYTES_MAX);
const _: () = assert!(PRESENCE_CONNECTIONS_MAX * 48 + 1024 <= FRAME_BYTES_MAX);
const _: () = assert!(PAGE_HITS_MAX <= PAGE_ITEMS_MAX);
const _: () = assert!(PAGE_CASES_MAX * 192 < FRAME_BYTES_MAX);
const _: () = assert!(CASE_EVENTS_BYTES_MAX + EVIDENCE_BYTES_MAX + 2 * 1024 <= FRAME_BYTES_MAX);
const _: () = assert!(HEARTBEAT_MS * 2 < IDLE_TIMEOUT_MS);
const _: () = assert!(HEARTBEAT_MS < PROBE_MS && PROBE_MS * 2 < IDLE_TIMEOUT_MS);
const _: () = assert!(FRAME_BYTES_MAX.is_multiple_of(8));
