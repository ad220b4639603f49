//! What the core needs of storage: coarse operations, each atomic and durable when it returns. Both
//! drivers answer the same conformance suite. "Not found" is `None`, never an error.

use async_trait::async_trait;
use bytes::Bytes;
use confab_protocol::command::{Appended, AuditEntry, History, ListAudit, Member, MessageState, Room};
use confab_protocol::limits::CASE_TEXT_BYTES_MAX;
use confab_protocol::model::{
    CaseId, CaseKind, CaseText, ClientId, DeviceId, DeviceName, DisplayName, Envelope, Incarnation, Millis, RoomId,
    RoomKind, RoomName, RoomRole, Seq, ServerRole, Topic, UserId, Username,
};
use confab_protocol::reject::RejectCode;
use confab_protocol::rights::RoomRights;

use super::append::{Decided, InviteHash, Item};
use super::audit::AuditKey;
use super::backup::{Sink, Source};
use super::cases::{
    Agenda, CaseChange, CaseRecord, CaseRow, CasesWanted, HeldText, NewCase, NewRecord, NewReport, Reported,
};
use super::context::Context;
use super::names::{Key, room_key};
pub use super::restriction::{Restrict, Restriction};
pub use super::retention::Before;
use super::seal::{Blinder, Resealed};
use super::search::{Matches, Progress, Step, Wanted};
use super::standing::{Controls, FoundKey, Level, LoginRow, NewKey, NewTicket, Standing, TicketKind};

/// Why the store did not do it. Texts are for the operator's log, never for a peer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be reached, is full, or refuses to write; trying later may help.
    #[error("store unavailable: {0}")]
    Unavailable(String),
    /// Somebody else was in the way, and nothing was done: the same may well pass. Drivers try again by themselves.
    #[error("store unavailable: {0}")]
    Busy(String),
    /// What is stored is not what it must be.
    #[error("stored data is inconsistent: {0}")]
    Corrupt(String),
}

impl Error {
    /// For metrics.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Unavailable(_) | Self::Busy(_) => "unavailable",
            Self::Corrupt(_) => "corrupt",
        }
    }
}

/// What store calls return.
pub type Result<T> = std::result::Result<T, Error>;

/// An account.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct User {
    pub id: UserId,
    pub username: Username,
    pub display_name: DisplayName,
    pub role: ServerRole,
    pub self_room: RoomId,
    /// Access tokens of an older version are refused.
    pub token_version: u32,
    pub created: Millis,
    /// What was taken from the account on the whole server.
    pub restriction: Option<Restriction>,
    /// `None`: it was erased.
    pub audit_key: Option<AuditKey>,
}

/// An account to create, with the log of its own that every user has.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "as in `User`")]
pub struct NewUser {
    pub id: UserId,
    pub username: Username,
    /// Unique on the server, as the name is: [`super::names::user_key`].
    pub username_key: Key,
    pub display_name: DisplayName,
    pub role: ServerRole,
    pub password_hash: Option<String>,
    pub self_room: RoomId,
    /// Of that log, drawn by [`new_incarnation`].
    pub incarnation: Incarnation,
    pub created: Millis,
    pub audit_key: AuditKey,
    /// The invitation by which it comes, which is spent with it.
    pub ticket: Option<[u8; 32]>,
}

/// The identity of a new log's history: never 0, and a number in every store.
#[must_use]
pub fn new_incarnation(random: u128) -> Incarnation {
    Incarnation((random as u64 & i64::MAX.cast_unsigned()).max(1))
}

/// How creating an account went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Created {
    /// It exists now.
    Yes,
    /// The username is taken, or one that looks like it.
    NameTaken,
    /// It was to be the owner, but there is one.
    OwnerExists,
    /// Its invitation is not good any more.
    TicketInvalid,
}

/// A login on one device, with its first refresh token.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct NewLogin {
    pub device: DeviceId,
    pub user: UserId,
    pub name: DeviceName,
    pub refresh: Option<NewRefresh>,
    /// Of the password by which it was asked for: if that is not the account's any more, nobody is logged in.
    pub password_hash: Option<String>,
    pub devices_max: u32,
    pub now: Millis,
}

/// What came of a login.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LoggedIn {
    /// Counts the logins of this device that followed a logout: access tokens of an earlier one stay dead.
    pub login: u32,
    /// The login that had to make room.
    pub ended: Option<DeviceId>,
}

/// A refresh token as the store knows it: by hash only.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct NewRefresh {
    pub hash: [u8; 32],
    /// All tokens that descend from one login.
    pub family: u128,
    pub idle_until: Millis,
    pub absolute_until: Millis,
}

/// What became of a refresh token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refreshed {
    /// It was good and is spent; the next one is stored.
    Yes(UserId, DeviceId),
    /// Never issued, or its login is over.
    Unknown,
    /// Too old.
    Expired,
    /// It was spent before: the whole family is revoked, because one of two holders is a thief.
    Reused,
}

/// How much is held on somebody beside the logs.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Held {
    pub devices: u64,
    pub reactions: u64,
    pub mentions: u64,
    /// Held for review, or refused.
    pub unappended: u64,
    pub invites: u64,
    /// Messages of theirs that are kept with cases.
    pub evidence: u64,
    /// Cases that are about them, or that they said something of.
    pub cases: u64,
}

/// Somebody's traces in a room.
#[derive(Clone, Default, Debug)]
pub struct Scrub {
    /// Messages of theirs, which are tombstones by now: earlier texts and digests go.
    pub said: Vec<Seq>,
    /// Entries that name them, and what they are written over with.
    pub rewritten: Vec<(Envelope, Bytes)>,
}

/// A user's place in a room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Membership {
    pub role: RoomRole,
    pub restriction: Option<Restriction>,
    /// When they last came in; 0: longer ago than the log goes back.
    pub joined: Millis,
    /// What one has to be in the room for what.
    pub rights: RoomRights,
    /// The room's rights as of this reading.
    pub acl_version: u64,
}

/// Two people, the smaller id first.
pub type Pair = [UserId; 2];

/// What a new room is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoomShape {
    /// With a name, and open or entered by invitation.
    Named {
        /// How it is written.
        name: RoomName,
        /// How it looks: unique among open rooms.
        key: Key,
        /// May be empty.
        topic: Topic,
        /// Unknown to whoever is not in it.
        private: bool,
    },
    /// Of its author and somebody else.
    Direct {
        /// Both.
        pair: Pair,
        /// The one who is not the author.
        other: UserId,
    },
}

impl RoomShape {
    /// A room with a name.
    #[must_use]
    pub fn named(name: RoomName, topic: Topic, private: bool) -> Self {
        Self::Named { key: room_key(&name), name, topic, private }
    }

    /// The kind of such a room.
    #[must_use]
    pub const fn kind(&self) -> RoomKind {
        match self {
            Self::Named { private: false, .. } => RoomKind::Channel,
            Self::Named { private: true, .. } => RoomKind::Private,
            Self::Direct { .. } => RoomKind::Direct,
        }
    }
}

/// The two as a pair.
#[must_use]
pub fn pair(one: UserId, other: UserId) -> Pair {
    [one.min(other), one.max(other)]
}

/// A pair as stores keep it.
#[must_use]
pub fn pair_bytes(pair: Pair) -> [u8; 32] {
    let [one, other] = pair.map(UserId::to_bytes);
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(&one);
    bytes[16..].copy_from_slice(&other);
    bytes
}

/// An invitation to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct NewInvite {
    pub hash: InviteHash,
    pub room: RoomId,
    pub author: UserId,
    pub uses: u32,
    pub expires: Millis,
    pub now: Millis,
    pub record: NewRecord,
}

/// A room to create.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct NewRoom {
    pub shape: RoomShape,
    pub incarnation: Incarnation,
    pub created: Millis,
}

/// What a room is now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct LogState {
    pub incarnation: Incarnation,
    /// The oldest entry that is kept and that this reader may see.
    pub first_seq: Seq,
    pub head: Seq,
}

/// Where a reader stands, or stood, in a room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// As what.
    pub role: RoomRole,
    /// Where they left, if they did.
    pub left: Option<Seq>,
    /// Where they last came in.
    pub joined: Seq,
}

/// Consecutive entries of a log, and whether the reader may see them: all of one snapshot.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct LogPage {
    pub state: LogState,
    pub reader: Option<Place>,
    pub entries: Vec<Envelope>,
}

/// What was decided about a client id before.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Recorded {
    pub digest: [u8; 16],
    pub outcome: Outcome,
}

/// See [`Recorded`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It is in the log.
    Appended(Appended),
    /// It waits for a moderator.
    Held(CaseId),
    /// A plugin refused it.
    Refused {
        /// The reject's code.
        code: u16,
        /// The reject's text.
        detail: String,
    },
}

/// Something that is not appended, kept so that a resend gets the same answer.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Unappended {
    pub room: RoomId,
    pub author: UserId,
    pub client_id: ClientId,
    pub digest: [u8; 16],
    pub time: Millis,
    pub outcome: Outcome,
    /// The entry, when it is held.
    pub payload: Bytes,
    /// For moderators, when it is held: its case begins with it.
    pub note: String,
    /// For the audit.
    pub audit: Vec<NewRecord>,
}

impl Unappended {
    /// The case that begins with it, when it is held.
    #[must_use]
    pub fn case(&self) -> Option<NewCase> {
        let Outcome::Held(id) = self.outcome else { return None };
        let row = CaseRow::new(CaseKind::Held, id, self.room, self.author, self.time);
        // A note that is too long is cut, one that cannot be shown is left out: the audit has the rule.
        let end = self.note.floor_char_boundary(CASE_TEXT_BYTES_MAX);
        let text = CaseText::parse(self.note.get(..end).unwrap_or_default()).unwrap_or_default();
        Some(NewCase { row, actor: None, text })
    }
}

/// Durable state.
#[async_trait]
pub trait Store: Send + Sync {
    /// Whether it reads and writes; for readiness.
    async fn ping(&self) -> Result<()>;
    /// Settings of the database that break the promise of an acknowledgement; nothing where there are none.
    async fn unsafe_settings(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
    /// Finishes what waits, leaves its files tidy, and takes nothing more.
    async fn close(&self);

    // ---- accounts
    /// Whether an owner exists.
    async fn has_owner(&self) -> Result<bool>;
    /// Creates an account and its self log.
    async fn create_user(&self, user: NewUser) -> Result<Created>;
    /// Creates many but those whose username is taken, or looks like one that is, also by one before them; how many.
    async fn import_users(&self, users: Vec<NewUser>) -> Result<usize>;
    /// The account and its password hash.
    async fn find_login(&self, username: Username) -> Result<Option<(User, Option<String>)>>;
    /// Whether the account of this name was ever logged in on this device.
    async fn has_device(&self, username: Username, device: DeviceId) -> Result<bool>;
    /// Replaces the name that somebody shows who is logged in anywhere: of one whose account is locked it stays.
    async fn set_display_name(&self, user: UserId, name: DisplayName) -> Result<()>;
    /// Replaces a hash of a password by another of the same. `false`: the account has another by now.
    async fn set_password_hash(&self, user: UserId, old: String, new: String) -> Result<bool>;
    /// The account as it is now, if this device is logged in.
    async fn find_identity(&self, user: UserId, device: DeviceId) -> Result<Option<Standing>>;
    /// Names of users; unknown ones are left out.
    async fn find_users(&self, users: Vec<UserId>) -> Result<Vec<Member>>;
    /// Logs a device in. When the user has too many, the oldest login ends. `None`: the password has changed.
    async fn log_in(&self, login: NewLogin) -> Result<Option<LoggedIn>>;
    /// Spends a refresh token and stores the next one, whose family is that of the old one. The next one is always the
    /// same: so a retry within 10 s finds it stored, and is good while that is not spent in its turn.
    async fn refresh(&self, hash: [u8; 32], next: NewRefresh, now: Millis) -> Result<Refreshed>;
    /// Ends a device's login, or revokes an API key.
    async fn log_out(&self, user: UserId, device: DeviceId) -> Result<()>;
    /// Where somebody is logged in, and their keys: by device.
    async fn logins(&self, user: UserId) -> Result<Vec<LoginRow>>;
    /// Ends all logins of somebody but one.
    async fn end_logins(&self, user: UserId, except: DeviceId) -> Result<()>;
    /// Another password in the place of the one of this hash, asked for by a device that is logged in; all other logins end.
    /// `false`: the password or the login is over.
    async fn change_password(&self, user: UserId, old: String, new: String, device: DeviceId) -> Result<bool>;
    /// Restricts an account, or lifts that, and keeps the record of it: [`Restrict::apply`] on the row as it is. A ban and
    /// a kick end all logins. `false`: there is no such account, or it is to be muted while it is banned.
    async fn restrict(&self, restrict: Restrict) -> Result<bool>;
    /// Another role on the server for an account of a rank below this role, and the record of it. `false`: there is no such
    /// account, or it is the owner's.
    async fn set_server_role(
        &self,
        user: UserId,
        below: Option<ServerRole>,
        role: ServerRole,
        record: NewRecord,
    ) -> Result<bool>;
    /// What hashes of the texts of these are made with; those whose account is erased, or who have none, are left out.
    async fn hash_keys(&self, users: Vec<UserId>) -> Result<Vec<(UserId, AuditKey)>>;
    /// An account.
    async fn find_user(&self, user: UserId) -> Result<Option<User>>;
    /// Keeps a one-time token, and forgets those that are too old.
    async fn create_ticket(&self, ticket: NewTicket) -> Result<()>;
    /// Whether a token is good.
    async fn has_ticket(&self, hash: [u8; 32], kind: TicketKind, now: Millis) -> Result<bool>;
    /// Spends a token for another password, which ends all logins. `None`: the token is not good.
    async fn reset_password(&self, ticket: [u8; 32], hash: String, now: Millis) -> Result<Option<UserId>>;
    /// Keeps an API key.
    async fn create_key(&self, key: NewKey) -> Result<()>;
    /// Whose key it is, if that was not revoked.
    async fn find_key(&self, hash: [u8; 32]) -> Result<Option<FoundKey>>;
    /// What is to be heeded, and what changed since.
    async fn controls(&self, since: u64) -> Result<Controls>;
    /// How much the server lets happen from now on, and the record of it.
    async fn set_level(&self, level: Level, record: NewRecord) -> Result<()>;

    // ---- rooms
    /// The id behind a name, of an open room that is called exactly so.
    async fn find_room(&self, name: RoomName) -> Result<Option<RoomId>>;
    /// The room of two people.
    async fn find_direct(&self, pair: Pair) -> Result<Option<RoomId>>;
    /// The log of a user's own, if there is such a user.
    async fn find_self_room(&self, user: UserId) -> Result<Option<RoomId>>;
    /// Keeps an invitation with its record, and forgets those that are too old. `false`: its author may not invite.
    async fn create_invite(&self, invite: NewInvite) -> Result<bool>;
    /// The room of an invitation, good or not.
    async fn find_invite(&self, hash: InviteHash) -> Result<Option<RoomId>>;
    /// A room as this user sees it.
    async fn room(&self, room: RoomId, user: UserId) -> Result<Option<Room>>;
    /// Rooms of this user, or open ones, by id.
    async fn list_rooms(&self, user: UserId, joined_only: bool, after: RoomId, limit: usize) -> Result<Vec<Room>>;
    /// Members of a room, by id.
    async fn list_members(&self, room: RoomId, after: UserId, limit: usize) -> Result<Vec<Member>>;
    /// A user's place in a room.
    async fn membership(&self, room: RoomId, user: UserId) -> Result<Option<Membership>>;
    /// What somebody is in a room, and what was taken from them there; also of one who has left.
    async fn seat(&self, room: RoomId, user: UserId) -> Result<Option<(RoomRole, Option<Restriction>)>>;
    /// How many rooms a user is in, rooms of two aside, which others make; and how many members a room has.
    async fn counts(&self, room: RoomId, user: UserId) -> Result<(u32, u32)>;
    /// What plugins are told of a room and of who writes there, how they are connected aside; of cases, from this one on.
    async fn context(&self, room: RoomId, author: UserId, cases_from: CaseId) -> Result<Context>;

    // ---- logs
    /// How many batches it can commit at a time; each room belongs to one of so many writers.
    fn writers(&self) -> usize;
    /// Appends a batch in one transaction: [`super::append::decide`] says for each item, in order, on
    /// rows read inside the transaction, what becomes of it. Durable when it returns. An error means that nothing
    /// was appended: while the outcome of a commit is unknown, this does not return.
    async fn append(&self, batch: Vec<Item>, now: Millis) -> Result<Vec<Decided>>;
    /// What was decided about a client id before.
    async fn find_recorded(&self, room: RoomId, author: UserId, client_id: ClientId) -> Result<Option<Recorded>>;
    /// Records what is not appended, unless the client id has an outcome, which is returned instead.
    async fn record(&self, unappended: Unappended) -> Result<Option<Recorded>>;
    /// Entries after a seq, ascending, within the bounds of a page.
    async fn read(&self, room: RoomId, reader: UserId, after: Seq, limit: usize) -> Result<Option<LogPage>>;
    /// Messages of a range, perhaps only answers to one, ascending, within the bounds of a page.
    async fn history(&self, reader: UserId, history: History) -> Result<Option<LogPage>>;
    /// Retires what a room's retention has run out for: entries from the oldest on, and what stands beside them, in one
    /// transaction of at most so many. Returns how many went; 0 when nothing is left to retire.
    async fn retire(&self, now: Millis, limit: usize) -> Result<usize>;
    /// Forgets some of what was kept beside the logs for its time: at most so many of each kind. Returns how many went.
    async fn forget(&self, before: Before, limit: usize) -> Result<usize>;
    /// Entries of these seqs, ascending; those that are not there are left out.
    async fn find_entries(&self, room: RoomId, seqs: Vec<Seq>) -> Result<Vec<Envelope>>;
    /// What a message said before, ascending by rev: a page of the newest that come before this one, `u32::MAX` for all.
    async fn revisions(&self, room: RoomId, seq: Seq, before: u32) -> Result<Vec<Envelope>>;
    /// What else is known of messages, as this reader sees it; those of which nothing is are left out.
    async fn message_states(&self, room: RoomId, reader: UserId, seqs: Vec<Seq>) -> Result<Vec<MessageState>>;
    /// The seq, or the head if that is smaller, and how many messages there were with it.
    async fn read_position(&self, room: RoomId, seq: Seq) -> Result<Option<(Seq, u64)>>;
    /// Where the logs of rooms stand; unknown ones are left out.
    async fn heads(&self, rooms: Vec<RoomId>) -> Result<Vec<(RoomId, Incarnation, Seq)>>;
    /// How far the index follows, for those of these rooms, or of all, where that is not to the head.
    async fn index_behind(&self, rooms: Option<Vec<RoomId>>) -> Result<Vec<Progress>>;
    /// Brings the index of a room on by a step, which a crash may undo. `false`: it stands elsewhere, or forgets first.
    async fn index(&self, step: Step) -> Result<bool>;
    /// What the index has in rooms that the reader is in.
    async fn search(&self, reader: UserId, wanted: Wanted) -> Result<Matches>;

    // ---- what plugins observe
    /// Lets a plugin that never observed anything begin where all logs end now. One that did goes on where it was.
    async fn begin_observing(&self, plugin: String) -> Result<()>;
    /// How far a plugin was shown the logs of these rooms, or of all but people's own, where that is not to the head.
    async fn unobserved(&self, plugin: String, rooms: Option<Vec<RoomId>>) -> Result<Vec<(RoomId, Seq)>>;
    /// It was shown logs up to here. Never goes back.
    async fn observed(&self, plugin: String, cursors: Vec<(RoomId, Seq)>) -> Result<()>;

    // ---- moderation
    /// Keeps records for the audit, which nobody can change.
    async fn audit(&self, records: Vec<NewRecord>) -> Result<()>;
    /// Records, the newest first, within the bounds of a page; of what others did to who asks there is none.
    async fn list_audit(&self, wanted: ListAudit, asker: UserId) -> Result<Vec<AuditEntry>>;
    /// Joins a report to the case that is open about the same, or opens one and keeps what was said. Who reported it before
    /// changes nothing. `None`: there is no such message (any more).
    async fn report(&self, report: NewReport) -> Result<Option<Reported>>;
    /// Cases, the newest first.
    async fn list_cases(&self, wanted: CasesWanted) -> Result<Vec<CaseRow>>;
    /// A case as it is now, without what belongs to it.
    async fn find_case(&self, case: CaseId) -> Result<Option<CaseRow>>;
    /// A case with its newest events and what was said.
    async fn case(&self, case: CaseId) -> Result<Option<CaseRecord>>;
    /// Whether somebody reported what a case is about, or opened it.
    async fn has_reported(&self, case: CaseId, user: UserId) -> Result<bool>;
    /// Who reported what a case is about: at most so many, with their own logs.
    async fn reporters(&self, case: CaseId, limit: usize) -> Result<Vec<(UserId, RoomId)>>;
    /// Moves a case on: [`CaseChange::apply`] on the row as it is. `None`: there is none.
    async fn change_case(&self, change: CaseChange) -> Result<Option<std::result::Result<CaseRow, RejectCode>>>;
    /// What a case holds back, while it is there.
    async fn find_held(&self, case: CaseId) -> Result<Option<HeldText>>;
    /// What there is to do: of what is due, and of what was not moved on or reminded of since then, at most so many each.
    async fn agenda(&self, since: Millis, limit: usize) -> Result<Agenda>;
    /// Who moderates a room as a member of it who is not muted, but for two people; where nobody does, or it is a room of
    /// two, those of the whole server, but for the same. At most so many, none of them a plugin, with their own logs.
    async fn moderators(
        &self,
        room: RoomId,
        except: [UserId; 2],
        now: Millis,
        limit: usize,
    ) -> Result<Vec<(UserId, RoomId)>>;

    /// Whether anybody but these two, and no plugin, decides about what is done in a room, as an unmuted moderator of it or of
    /// the whole server, and stands there above this rank; 1 is the highest.
    async fn has_judge(&self, room: RoomId, except: [UserId; 2], rank: u8, now: Millis) -> Result<bool>;

    // ---- what is held on a person
    /// Rooms that somebody is or was in, their own log included.
    async fn rooms_ever(&self, user: UserId) -> Result<Vec<RoomId>>;
    /// What is held on somebody beside the logs, each as an object of an archive.
    async fn personal_records(&self, user: UserId) -> Result<Vec<serde_json::Value>>;
    /// How much that is.
    async fn count_held(&self, user: UserId) -> Result<Held>;
    /// Ends all logins of somebody for good, who is shown by this name from now on.
    async fn lock_account(&self, user: UserId, display_name: DisplayName) -> Result<()>;
    /// Takes somebody's traces out of a room, after their messages became tombstones.
    async fn scrub(&self, room: RoomId, scrub: Scrub) -> Result<()>;
    /// Takes away everything beside the logs, and their own log; the account keeps its id and these names (one keyed).
    async fn erase_account(
        &self,
        user: UserId,
        self_room: RoomId,
        username: (Username, Key),
        display_name: DisplayName,
    ) -> Result<()>;
    /// Makes what was taken away unreadable in the files too, as far as it can. `false`: not yet, others are at work.
    async fn compact(&self) -> Result<bool>;
    /// The number of the key that payloads are sealed with; `None`: they are stored in clear.
    fn sealing_key(&self) -> Option<u32>;
    /// How words are written into the index; `None`: there is no index.
    fn words(&self) -> Option<Blinder>;
    /// Hands on all rows but those of logins, as of one moment, beside those who write.
    async fn dump(&self, sink: Box<dyn Sink>) -> Result<()>;
    /// Fills a store that nobody used yet, or leaves it as it was. `false`: it is in use.
    async fn load(&self, source: Box<dyn Source>) -> Result<bool>;
    /// Seals some more rows with the key that seals now.
    async fn reseal(&self, from: Resealed, limit: usize) -> Result<Resealed>;
    /// Forgets the keys that seal nothing any more.
    async fn forget_keys(&self) -> Result<()>;
    /// Members of these names.
    async fn find_members(&self, room: RoomId, names: Vec<Username>) -> Result<Vec<UserId>>;
}
