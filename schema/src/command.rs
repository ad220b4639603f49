//! What can be asked and what comes back: closed enums of plain Rust values, and the frames they travel in.

mod account;
mod moderation;
mod names;

pub use self::account::{EndSession, Identity, Login, Register, Session, SessionInfo};
pub use self::moderation::{
    About, Appeal, AuditEntry, AuditRecord, Case, CaseEvent, CaseFile, CaseFilter, CaseStep, Evidence, Finding,
    ListAudit, ListCases, Report, UpdateCase,
};
use crate::model::{
    AuditId, Body, CaseId, ClientId, Cursor, DisplayName, Emoji, Envelope, Incarnation, Millis, Reason, RoomId,
    RoomKind, RoomName, RoomRole, SanctionKind, Seq, ServerRole, SessionId, Topic, UserId, Visibility,
};
use crate::reject::Reject;
use crate::rights::RoomRights;
pub use crate::text::Secret;

/// A number chosen by the client, unique among its requests in flight.
pub type RequestId = u32;

/// What a client sends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ClientFrame {
    /// The first frame of a connection.
    Hello(Hello),
    /// Everything after it. The command may be refused by itself, which leaves the connection intact.
    Request {
        /// Comes back with the reply.
        id: RequestId,
        /// The command, or why it cannot be one.
        command: Result<Command, Reject>,
    },
}

/// What the server sends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ServerFrame {
    /// The answer to `hello`.
    Welcome(Welcome),
    /// The answer to a request.
    Reply {
        /// The request's number.
        id: RequestId,
        /// How it went.
        result: Result<Reply, Reject>,
    },
    /// Unasked.
    Push(Push),
    /// The connection is about to end.
    GoAway(GoAway),
    /// A kind that this version does not know; ignore it.
    Unknown,
}

/// See `Hello` in the schema.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hello {
    /// Lowest protocol version spoken.
    pub version_min: u16,
    /// Highest protocol version spoken.
    pub version_max: u16,
    /// Name and version of the client.
    pub client: String,
    /// Access token, if there is one.
    pub token: Option<Secret>,
    /// Wanted features.
    pub features: u64,
}

/// See `Welcome` in the schema; limits are those of [`crate::limits`] and not repeated here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Welcome {
    /// Protocol version of this connection.
    pub version: u16,
    /// Names this connection in logs.
    pub session: SessionId,
    /// Server time, for UUIDv7 client ids.
    pub server_time: Millis,
    /// Who is connected, once logged in.
    pub identity: Option<Identity>,
    /// Whoever is cut off without a `goAway` waits a random share of this before coming back, milliseconds.
    pub reconnect_jitter_ms: u16,
}

/// See `GoAway` in the schema.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "as in the schema")]
pub struct GoAway {
    pub code: u16,
    pub reason: String,
    pub reconnect_after_ms: u32,
    pub jitter_ms: u32,
}

/// What can be asked. The schema says what each one answers.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "as in the schema")]
pub enum Command {
    Ping,
    Register(Register),
    Login(Login),
    Authenticate(Secret),
    Refresh(Secret),
    Logout,
    CreateRoom(CreateRoom),
    JoinRoom(RoomTarget),
    LeaveRoom(RoomTarget),
    ListRooms { scope: RoomScope, after: RoomId, limit: usize },
    ListMembers { room: RoomId, after: UserId, limit: usize },
    Profiles(Vec<UserId>),
    Publish(Publish),
    Edit(Edit),
    Delete(Delete),
    React(React),
    Pin(Pin),
    MarkRead { room: RoomId, seq: Seq },
    UpdateRoom(UpdateRoom),
    SetRole(SetRole),
    Sanction(SanctionUser),
    Revisions { room: RoomId, seq: Seq, before: u32 },
    Direct { client_id: ClientId, user: UserId },
    Invite { room: RoomId, uses: u32, duration_ms: u64 },
    History(History),
    Sync { cursor: Cursor, limit: usize },
    Resume(Vec<Cursor>),
    Unsubscribe(RoomTarget),
    Search(Search),
    Typing { room: RoomId, stopped: bool },
    SetPresence(PresenceStatus),
    WhoIsHere(RoomId),
    Knock(Write),
    Admit(Admit),
    UpdateProfile(DisplayName),
    Notice(Notice),
    Report(Report),
    ListCases(ListCases),
    Case(CaseId),
    UpdateCase(UpdateCase),
    Appeal(Appeal),
    ListAudit(ListAudit),
    Sessions,
    EndSession(EndSession),
    ChangePassword { current: Secret, next: Secret },
    ResetPassword { token: Secret, password: Secret },
    Restrict { user: UserId, kind: SanctionKind, duration_ms: u64 },
    SetServerRole { user: UserId, role: ServerRole },
    IssueReset(UserId),
    InviteAccount { uses: u32, duration_ms: u64 },
}

/// A new named room.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "as in the schema")]
pub struct CreateRoom {
    pub client_id: ClientId,
    pub resend: bool,
    pub name: RoomName,
    pub topic: Topic,
    pub private: bool,
}

/// Which room is meant.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub enum RoomTarget {
    Id(RoomId),
    Name(RoomName),
    /// For `join_room` alone.
    Invite(Secret),
}

/// Which rooms to list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub enum RoomScope {
    Joined,
    Open,
}

/// A message to append.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "as in the schema")]
pub struct Publish {
    pub room: RoomId,
    pub client_id: ClientId,
    pub resend: bool,
    pub body: Body,
    pub reply_to: Option<Seq>,
}

/// What every command that appends begins with: where, and under which idempotency id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "as in the schema")]
pub struct Write {
    pub room: RoomId,
    pub client_id: ClientId,
    pub resend: bool,
}

/// Another text for one's own message.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "as in the schema")]
pub struct Edit {
    pub write: Write,
    pub seq: Seq,
    pub body: Body,
}

/// Messages to delete: all of them or none.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "as in the schema")]
pub struct Delete {
    pub write: Write,
    pub seqs: Vec<Seq>,
}

/// A reaction to give or take back.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "as in the schema")]
pub struct React {
    pub write: Write,
    pub seq: Seq,
    pub emoji: Emoji,
    pub remove: bool,
}

/// A message to pin, or not to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "as in the schema")]
pub struct Pin {
    pub write: Write,
    pub seq: Seq,
    pub remove: bool,
}

/// Changes of a room's settings; `None` stays as it is.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "as in the schema")]
pub struct UpdateRoom {
    pub write: Write,
    pub name: Option<RoomName>,
    pub topic: Option<Topic>,
    pub slow_mode_ms: Option<u32>,
    pub retention_ms: Option<u64>,
    pub visibility: Option<Visibility>,
    pub knocks: Option<bool>,
    pub rights: Option<RoomRights>,
}

/// Somebody to let in, by their knock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "as in the schema")]
pub struct Admit {
    pub write: Write,
    pub seq: Seq,
}

/// Something for everybody in a room.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "as in the schema")]
pub struct Notice {
    pub write: Write,
    pub body: Body,
}

/// Another role for somebody.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "as in the schema")]
pub struct SetRole {
    pub write: Write,
    pub user: UserId,
    pub role: RoomRole,
}

/// Something to do to somebody.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "as in the schema")]
pub struct SanctionUser {
    pub write: Write,
    pub user: UserId,
    pub kind: SanctionKind,
    pub duration_ms: u64,
    pub reason: Reason,
}

/// Which messages to page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "as in the schema")]
pub struct History {
    pub room: RoomId,
    pub range: HistoryRange,
    pub thread: Option<Seq>,
    pub pinned: bool,
    pub limit: usize,
}

impl History {
    /// All messages before a seq (0: from the head).
    #[must_use]
    pub const fn before(room: RoomId, before: Seq, limit: usize) -> Self {
        Self { room, range: HistoryRange::Before(before), thread: None, pinned: false, limit }
    }
}

/// See [`History`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HistoryRange {
    /// Before a seq (0: from the head), newest page first.
    Before(Seq),
    /// After a seq, oldest page first.
    After(Seq),
    /// Before, at and after a seq.
    Around(Seq),
}

/// Messages to find, the newest first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Search {
    /// `None`: all rooms that the asker is in.
    pub room: Option<RoomId>,
    /// See the schema.
    pub query: String,
    /// Only what comes after this place.
    pub before: Option<FoundAt>,
    /// How many at most.
    pub limit: usize,
}

/// A place among what was found. Ordered as it is listed, the last first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[allow(missing_docs, reason = "as in the schema")]
pub struct FoundAt {
    pub time: Millis,
    pub room: RoomId,
    pub seq: Seq,
}

/// A message that was found.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "as in the schema")]
pub struct Hit {
    pub room: RoomId,
    pub message: Envelope,
}

/// How a connection is shown to others; of somebody's connections the smallest counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
#[allow(missing_docs, reason = "as in the schema")]
pub enum PresenceStatus {
    #[default]
    Online,
    Away,
    Invisible,
}

/// What comes back when a request succeeds.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "as in the schema")]
pub enum Reply {
    Ok,
    Pong(Millis),
    Session(Session),
    Authenticated(Identity),
    Room(Room),
    Rooms {
        rooms: Vec<Room>,
        next: RoomId,
    },
    Members {
        members: Vec<Member>,
        next: UserId,
    },
    Appended(Appended),
    Held(CaseId),
    Page(Page),
    Resumed(Vec<Resumed>),
    Invited {
        token: Secret,
        expires: Millis,
    },
    Found {
        hits: Vec<Hit>,
        next: Option<FoundAt>,
    },
    Here {
        count: u32,
        users: Vec<(UserId, PresenceStatus)>,
    },
    Sessions(Vec<SessionInfo>),
    Reported(CaseId),
    Cases {
        cases: Vec<Case>,
        next: CaseId,
    },
    Case(Box<CaseFile>),
    Audit {
        records: Vec<AuditEntry>,
        next: AuditId,
    },
    /// A kind that this version does not know.
    Unknown,
}

/// A room as one user sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "as in the schema")]
pub struct Room {
    pub id: RoomId,
    pub kind: RoomKind,
    pub name: String,
    pub topic: String,
    pub incarnation: Incarnation,
    pub first_seq: Seq,
    pub head: Seq,
    pub role: Option<RoomRole>,
    pub members: u32,
    pub created: Millis,
    pub slow_mode_ms: u32,
    pub retention_ms: u64,
    pub visibility: Visibility,
    pub knocks: bool,
    pub rights: RoomRights,
    pub read_seq: Seq,
    pub unread: u32,
    pub mentions: u32,
}

/// Somebody, perhaps in a room.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "as in the schema")]
pub struct Member {
    pub user: UserId,
    pub username: String,
    pub display_name: String,
    pub role: Option<RoomRole>,
}

/// Where an entry stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "as in the schema")]
pub struct Appended {
    pub seq: Seq,
    pub time: Millis,
    pub altered: bool,
    pub duplicate: bool,
}

/// Entries of one room, ascending.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "as in the schema")]
pub struct Page {
    pub room: RoomId,
    pub incarnation: Incarnation,
    pub entries: Vec<Envelope>,
    pub next: Seq,
    pub first_seq: Seq,
    pub head: Seq,
    pub states: Vec<MessageState>,
}

/// What else is known of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "as in the schema")]
pub struct MessageState {
    pub seq: Seq,
    pub pinned: bool,
    pub replies: u32,
    pub reactions: Vec<ReactionCount>,
    pub shadowed: bool,
}

/// How often a reaction was given.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "as in the schema")]
pub struct ReactionCount {
    pub emoji: String,
    pub count: u32,
    pub mine: bool,
}

/// How one cursor of a `resume` fared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "as in the schema")]
pub struct Resumed {
    pub room: RoomId,
    pub incarnation: Incarnation,
    pub first_seq: Seq,
    pub head: Seq,
    pub outcome: ResumeOutcome,
}

/// See `ResumeOutcome` in the schema.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "as in the schema")]
pub enum ResumeOutcome {
    Recovered,
    GapTooLong,
    IncarnationChanged,
    Refused,
}

/// What the server sends unasked.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "as in the schema")]
pub enum Push {
    Entries(EntriesPush),
    Notice(String),
    Ephemeral(Ephemeral),
    /// A kind that this version does not know.
    Unknown,
}

/// All entries of one room in one committed batch.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "as in the schema")]
pub struct EntriesPush {
    pub room: RoomId,
    pub incarnation: Incarnation,
    pub entries: Vec<Envelope>,
}

/// What is true for a moment in a room.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "as in the schema")]
pub struct Ephemeral {
    pub room: RoomId,
    pub news: News,
}

/// See [`Ephemeral`].
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "as in the schema")]
pub enum News {
    Typing {
        user: UserId,
        for_ms: u32,
    },
    /// `None`: not here any more.
    Here(Vec<(UserId, Option<PresenceStatus>)>),
    Count(u32),
    Missed,
}
