//! What a backup holds: the rows of every table that is not made again by itself, in a form that both stores write and
//! read, so that a server can move from one to the other. Logins are left out: a token that was spent after the backup
//! would be good again. What every server heeds is there without its epoch, which counts what a restore does not bring back.

pub mod check;
pub mod rows;

use self::rows::Row;
use super::standing::Level;
use super::store::Result;

/// What a column holds. Encoded as PostgreSQL's `COPY ... (FORMAT binary)` has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// 16 bytes.
    Id,
    /// A truth value, one byte.
    Flag,
    /// A whole number of 2 bytes, the high one first.
    Small,
    /// Of 4 bytes.
    Int,
    /// Of 8 bytes.
    Long,
    /// UTF-8.
    Text,
    /// Anything.
    Bytes,
}

/// A column of a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Column {
    pub name: &'static str,
    pub kind: Kind,
    pub nullable: bool,
}

/// A table as a backup has it: its rows are in the order of the first columns.
#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    /// As in the stores.
    pub name: &'static str,
    /// The key first.
    pub columns: &'static [Column],
    /// How many columns are the key.
    pub key: usize,
}

impl Table {
    /// Where a column stands. Only for names of [`TABLES`].
    #[must_use]
    pub fn position(&self, column: &str) -> usize {
        self.columns.iter().position(|it| it.name == column).unwrap_or(usize::MAX)
    }

    /// By name.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        TABLES.iter().find(|table| table.name == name)
    }
}

/// Where the rows of a store go: bytes of one table after the other, as [`rows`] describes them.
pub trait Sink: Send {
    /// How many entries there will be. For progress.
    fn expect_entries(&mut self, count: u64);
    /// The next bytes, which end about so many rows.
    ///
    /// # Errors
    /// What keeps them from being written.
    fn write(&mut self, table: &'static Table, bytes: &[u8], rows: u64) -> Result<()>;
    /// That was all of it.
    ///
    /// # Errors
    /// What keeps it from being kept.
    fn finish(&mut self) -> Result<()>;
}

/// Where the rows of a store come from, in the order of [`TABLES`].
pub trait Source: Send {
    /// The next row.
    ///
    /// # Errors
    /// What cannot be read, or is no row of that table.
    fn next_row(&mut self) -> Result<Option<(&'static Table, &Row)>>;
}

/// The level of an emergency, from a row of the controls; `None`: of a row of another table. Every store has that row from
/// the beginning, so none is added, and of both levels the stricter one holds: a restore opens no doors.
#[must_use]
pub fn level_of(table: &Table, row: &Row) -> Option<Level> {
    let number = || row.number(table.position("level")).and_then(|number| u8::try_from(number).ok());
    (table.name == "controls").then(|| Level::from_number(number().unwrap_or(u8::MAX)))
}

macro_rules! tables {
    ($($table:ident($key:literal) { $($column:ident: $kind:ident $(| $null:ident)?),+ $(,)? })+) => {
        /// In an order in which no row points to one that is not there yet.
        pub static TABLES: &[Table] = &[$(Table {
            name: stringify!($table),
            columns: &[$(Column {
                name: stringify!($column), kind: Kind::$kind, nullable: tables!(@nullable $($null)?)
            }),+],
            key: $key,
        }),+];
    };
    (@nullable null) => { true };
    (@nullable) => { false };
}

tables! {
    seal_keys(1) { id: Int, fingerprint: Text }
    users(1) {
        id: Id, username: Text, username_key: Text, display_name: Text, role: Small, password_hash: Text | null,
        self_room: Id, token_version: Int, created_ms: Long, restriction: Small, until_ms: Long,
        audit_key: Id | null,
    }
    devices(2) {
        user_id: Id, id: Id, name: Text, active: Flag, login: Int, created_ms: Long, seen_ms: Long, scopes: Small,
    }
    rooms(1) {
        id: Id, kind: Small, name: Text | null, name_key: Text | null, pair: Bytes | null, topic: Text, incarnation: Long,
        first_seq: Long, head: Long, last_ms: Long, acl_version: Long, members: Int, messages: Long,
        slow_mode_ms: Int, retention_ms: Long, since_join: Flag, knocks: Flag, rights: Small, created_ms: Long,
    }
    members(2) {
        room: Id, user_id: Id, role: Small, join_seq: Long, leave_seq: Long | null, restriction: Small, until_ms: Long,
        last_post_ms: Long, knocked_ms: Long, read_seq: Long, read_number: Long,
    }
    entries(2) {
        room: Id, seq: Long, time_ms: Long, rev: Int, kind: Small, author: Id, client_id: Id, digest: Bytes,
        altered: Flag, payload: Bytes, number: Long | null, target: Long | null, pinned: Flag,
    }
    entry_revisions(3) { room: Id, seq: Long, rev: Int, time_ms: Long, payload: Bytes, replaced_ms: Long, written_ms: Long }
    reactions(4) { room: Id, seq: Long, emoji: Text, user_id: Id }
    mentions(3) { user_id: Id, room: Id, seq: Long }
    invites(1) { hash: Bytes, room: Id, author: Id, uses_left: Int, expires_ms: Long, created_ms: Long }
    unappended(3) {
        room: Id, author: Id, client_id: Id, digest: Bytes, case_id: Id | null, code: Int, detail: Text,
        payload: Bytes, time_ms: Long,
    }
    cases(1) {
        id: Id, room: Id, kind: Small, state: Small, subject: Id, seq: Long | null, reason: Small, reports: Int,
        assignee: Id | null, decision: Small, decider: Id | null, decided_ms: Long, appeal_decision: Small, due: Flag,
        opened_ms: Long, changed_ms: Long, reminded_ms: Long,
    }
    case_events(2) {
        case_id: Id, n: Int, time_ms: Long, actor: Id | null, act: Small, decision: Small, text: Text,
    }
    evidence(3) {
        case_id: Id, seq: Long, rev: Int, room: Id, time_ms: Long, author: Id, payload: Bytes, kept_ms: Long,
    }
    audit(1) {
        id: Id, time_ms: Long, actor: Id | null, place: Id | null, whom: Id | null, case_id: Id | null,
        plugin: Text | null, record: Bytes,
    }
    finding_notes(1) { audit_id: Id, author: Id, note: Text, kept_ms: Long }
    observed(2) { plugin: Text, room: Id, seq: Long }
    controls(1) { one: Small, level: Small }
}
