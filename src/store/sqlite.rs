//! The embedded store: SQLite in WAL mode with `synchronous=FULL`, one writer thread whose jobs share
//! commits, and a few readers.

mod accounts;
mod append;
mod backup;
mod context;
mod effects;
mod evidence;
mod logs;
mod moderation;
mod observed;
mod personal;
mod retention;
mod rooms;
mod rows;
mod seal;
mod search;
mod standing;
mod threads;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use confab_protocol::command::{AuditEntry, History, ListAudit, Member, MessageState, Room};
use confab_protocol::model::{
    CaseId, ClientId, DeviceId, DisplayName, Envelope, Incarnation, Millis, RoomId, RoomName, RoomRole, Seq,
    ServerRole, UserId, Username,
};
use confab_protocol::reject::RejectCode;
use rusqlite::{Connection, OpenFlags};

use self::threads::{Readers, Searcher, Writer};
use crate::core::append::{Decided, InviteHash, Item};
use crate::core::audit::AuditKey;
use crate::core::backup::{Sink, Source};
use crate::core::cases::{
    Agenda, CaseChange, CaseRecord, CaseRow, CasesWanted, HeldText, NewRecord, NewReport, Reported,
};
use crate::core::context::Context;
use crate::core::names::Key;
use crate::core::seal::{Blinder, Resealed, Vault};
use crate::core::search::{Matches, Progress, Step, Wanted};
use crate::core::standing::{Controls, FoundKey, Level, LoginRow, NewKey, NewTicket, Standing, TicketKind};
use crate::core::store::{
    Before, Created, Error, Held, LogPage, LoggedIn, Membership, NewInvite, NewLogin, NewRefresh, NewUser, Pair,
    Recorded, Refreshed, Restrict, Restriction, Result, Scrub, Store, Unappended, User,
};

mod migrations {
    refinery::embed_migrations!("src/store/sqlite/migrations");
}

/// Prepared statements that a connection keeps.
const STATEMENTS_KEPT: usize = 64;

/// Beside the store: what can be made anew from it, and would cost its one writer too much.
pub const INDEX_FILE: &str = "index.db";

/// The embedded store.
pub struct Sqlite {
    path: PathBuf,
    vault: Arc<Vault>,
    words: Option<Blinder>,
    writer: Writer,
    indexer: Writer,
    searcher: Searcher,
    readers: Readers,
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        match error.sqlite_error_code() {
            Some(DatabaseCorrupt | NotADatabase) => Self::Corrupt(error.to_string()),
            Some(_) => Self::Unavailable(error.to_string()),
            None => Self::Corrupt(error.to_string()),
        }
    }
}

impl Sqlite {
    /// Opens or creates the store in a file and brings its schema up to date.
    ///
    /// # Errors
    /// A file that cannot be opened, is no database, or has a newer schema than this server.
    pub fn open(path: &Path, readers: usize, mut vault: Vault) -> Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = || -> Result<Connection> {
            let connection = Connection::open_with_flags(path, flags)?;
            configure(&connection)?;
            Ok(connection)
        };
        let mut writer = open()?;
        check_history(&writer)?;
        migrations::migrations::runner().set_grouped(true).run(&mut writer).map_err(|error| {
            Error::Unavailable(format!(
                "the schema cannot be brought up to date (is this server older than its data?): {error}"
            ))
        })?;
        seal::admit(&writer, &mut vault)?;
        let index = path.with_file_name(INDEX_FILE);
        let indexer = search::open(&index, &vault)?;
        let reader = || -> Result<Connection> {
            let connection = open()?;
            search::attach(&connection, &index)?;
            Ok(connection)
        };
        let readers = (0..readers).map(|_| reader()).collect::<Result<Vec<_>>>()?;
        let searcher = Searcher::start(reader()?);
        let (writer, indexer) = (Writer::start(writer), Writer::start(indexer));
        let (words, vault) = (vault.blinder(), Arc::new(vault));
        Ok(Self { path: path.to_owned(), vault, words, writer, indexer, searcher, readers: Readers::start(readers) })
    }
}

/// The migration library trusts its own table; a damaged one is found here instead of by its panic.
fn check_history(connection: &Connection) -> Result<()> {
    let exists: bool = connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'refinery_schema_history')",
        [],
        |row| row.get(0),
    )?;
    let is_damaged = |connection: &Connection| {
        connection.query_row(
            "SELECT EXISTS (SELECT 1 FROM refinery_schema_history WHERE typeof(version) <> 'integer'
                 OR typeof(name) <> 'text' OR checksum = '' OR checksum GLOB '*[^0-9]*'
                 OR applied_on NOT GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9]*Z')",
            [],
            |row| row.get::<_, bool>(0),
        )
    };
    if exists && is_damaged(connection)? {
        return Err(Error::Corrupt("the table of migrations is damaged; restore a backup".to_owned()));
    }
    Ok(())
}

fn configure(connection: &Connection) -> Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(Error::Unavailable(format!("this file system does not allow WAL (journal mode is {mode})")));
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "secure_delete", true)?;
    connection.pragma_update(None, "wal_autocheckpoint", 4_000)?;
    connection.pragma_update(None, "cache_size", -16_000)?;
    // What a savepoint keeps of changed pages goes into no file: it is for one transaction.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(())
}

macro_rules! store {
    ($(write $write:ident($($warg:ident: $wtype:ty),*) -> $wout:ty = $wrun:path;)+
     $(seal $seal:ident($($sarg:ident: $stype:ty),*) -> $sout:ty = $srun:path;)+
     $(read $read:ident($($rarg:ident: $rtype:ty),*) -> $rout:ty = $rrun:path;)+
     $(open $open:ident($($oarg:ident: $otype:ty),*) -> $oout:ty = $orun:path;)+) => {
        #[async_trait]
        impl Store for Sqlite {
            async fn ping(&self) -> Result<()> {
                self.writer.run(rooms::ping).await?;
                self.readers.run(rooms::ping).await
            }
            fn writers(&self) -> usize {
                1
            }
            async fn close(&self) {
                self.writer.close().await;
                self.indexer.close().await;
            }
            async fn search(&self, reader: UserId, wanted: Wanted) -> Result<Matches> {
                let vault = Arc::clone(&self.vault);
                self.searcher.run(move |connection| search::search(connection, &vault, reader, wanted)).await
            }
            async fn compact(&self) -> Result<bool> {
                Ok(self.indexer.compact().await? & self.writer.compact().await?)
            }
            fn sealing_key(&self) -> Option<u32> {
                self.vault.current()
            }
            fn words(&self) -> Option<Blinder> {
                self.words.clone()
            }
            async fn dump(&self, sink: Box<dyn Sink>) -> Result<()> {
                let path = self.path.clone();
                let dumped = tokio::task::spawn_blocking(move || backup::dump(&path, sink)).await;
                dumped.map_err(|error| Error::Unavailable(error.to_string()))?
            }
            async fn load(&self, source: Box<dyn Source>) -> Result<bool> {
                let is_loaded = self.writer.run(move |connection| backup::load(connection, source)).await?;
                if is_loaded {
                    self.indexer.run(search::clear).await?;
                }
                Ok(is_loaded)
            }
            async fn index(&self, step: Step) -> Result<bool> {
                let mode = self.vault.index_mode();
                self.indexer.run(move |connection| search::index(connection, mode, step)).await
            }
            $(async fn $write(&self, $($warg: $wtype),*) -> Result<$wout> {
                self.writer.run(move |connection| $wrun(connection, $($warg),*)).await
            })+
            $(async fn $seal(&self, $($sarg: $stype),*) -> Result<$sout> {
                let vault = Arc::clone(&self.vault);
                self.writer.run(move |connection| $srun(connection, &vault, $($sarg),*)).await
            })+
            $(async fn $open(&self, $($oarg: $otype),*) -> Result<$oout> {
                let vault = Arc::clone(&self.vault);
                self.readers.run(move |connection| $orun(connection, &vault, $($oarg),*)).await
            })+
            $(async fn $read(&self, $($rarg: $rtype),*) -> Result<$rout> {
                self.readers.run(move |connection| $rrun(connection, $($rarg),*)).await
            })+
        }
    };
}

store! {
    write create_user(user: NewUser) -> Created = accounts::create_user;
    write import_users(users: Vec<NewUser>) -> usize = accounts::import_users;
    write set_display_name(user: UserId, name: DisplayName) -> () = accounts::set_display_name;
    write set_password_hash(user: UserId, old: String, new: String) -> bool = accounts::set_password_hash;
    write log_in(login: NewLogin) -> Option<LoggedIn> = accounts::log_in;
    write refresh(hash: [u8; 32], next: NewRefresh, now: Millis) -> Refreshed = accounts::refresh;
    write log_out(user: UserId, device: DeviceId) -> () = accounts::log_out;
    write end_logins(user: UserId, except: DeviceId) -> () = standing::end_logins;
    write change_password(user: UserId, old: String, new: String, device: DeviceId) -> bool =
        standing::change_password;
    write restrict(restrict: Restrict) -> bool = standing::restrict;
    write set_server_role(user: UserId, below: Option<ServerRole>, role: ServerRole, record: NewRecord) -> bool =
        standing::set_server_role;
    write create_ticket(ticket: NewTicket) -> () = standing::create_ticket;
    write reset_password(ticket: [u8; 32], hash: String, now: Millis) -> Option<UserId> = standing::reset_password;
    write create_key(key: NewKey) -> () = standing::create_key;
    write set_level(level: Level, record: NewRecord) -> () = standing::set_level;
    write retire(now: Millis, limit: usize) -> usize = retention::retire;
    write forget(before: Before, limit: usize) -> usize = retention::forget;
    write lock_account(user: UserId, display_name: DisplayName) -> () = personal::lock_account;
    write erase_account(user: UserId, self_room: RoomId, username: (Username, Key), display_name: DisplayName) -> () =
        personal::erase_account;
    write begin_observing(plugin: String) -> () = observed::begin;
    write observed(plugin: String, cursors: Vec<(RoomId, Seq)>) -> () = observed::observed;
    write audit(records: Vec<NewRecord>) -> () = moderation::audit;
    write report(report: NewReport) -> Option<Reported> = moderation::report;
    write change_case(change: CaseChange) -> Option<std::result::Result<CaseRow, RejectCode>> = moderation::change_case;
    write create_invite(invite: NewInvite) -> bool = effects::create_invite;

    seal scrub(room: RoomId, scrub: Scrub) -> () = personal::scrub;
    seal append(batch: Vec<Item>, now: Millis) -> Vec<Decided> = append::append;
    seal record(unappended: Unappended) -> Option<Recorded> = logs::record;
    seal forget_keys() -> () = seal::forget_keys;
    seal reseal(from: Resealed, limit: usize) -> Resealed = seal::reseal;

    read has_owner() -> bool = accounts::has_owner;
    read find_login(username: Username) -> Option<(User, Option<String>)> = accounts::find_login;
    read has_device(username: Username, device: DeviceId) -> bool = accounts::has_device;
    read find_identity(user: UserId, device: DeviceId) -> Option<Standing> = standing::find_identity;
    read find_user(user: UserId) -> Option<User> = standing::find_user;
    read logins(user: UserId) -> Vec<LoginRow> = standing::logins;
    read has_ticket(hash: [u8; 32], kind: TicketKind, now: Millis) -> bool = standing::has_ticket;
    read find_key(hash: [u8; 32]) -> Option<FoundKey> = standing::find_key;
    read controls(since: u64) -> Controls = standing::controls;
    read find_users(users: Vec<UserId>) -> Vec<Member> = accounts::find_users;
    read hash_keys(users: Vec<UserId>) -> Vec<(UserId, AuditKey)> = accounts::hash_keys;
    read find_room(name: RoomName) -> Option<RoomId> = rooms::find_room;
    read find_direct(pair: Pair) -> Option<RoomId> = rooms::find_direct;
    read find_self_room(user: UserId) -> Option<RoomId> = rooms::find_self_room;
    read find_invite(hash: InviteHash) -> Option<RoomId> = effects::find_invite;
    read room(room: RoomId, user: UserId) -> Option<Room> = rooms::room;
    read list_rooms(user: UserId, joined_only: bool, after: RoomId, limit: usize) -> Vec<Room> = rooms::list_rooms;
    read list_members(room: RoomId, after: UserId, limit: usize) -> Vec<Member> = rooms::list_members;
    read membership(room: RoomId, user: UserId) -> Option<Membership> = rooms::membership;
    read seat(room: RoomId, user: UserId) -> Option<(RoomRole, Option<Restriction>)> = rooms::seat;
    read counts(room: RoomId, user: UserId) -> (u32, u32) = rooms::counts;
    read context(room: RoomId, author: UserId, cases_from: CaseId) -> Context = context::read;
    read message_states(room: RoomId, reader: UserId, seqs: Vec<Seq>) -> Vec<MessageState> = effects::message_states;
    read read_position(room: RoomId, seq: Seq) -> Option<(Seq, u64)> = effects::read_position;
    read rooms_ever(user: UserId) -> Vec<RoomId> = personal::rooms_ever;
    read count_held(user: UserId) -> Held = personal::count_held;
    read heads(rooms: Vec<RoomId>) -> Vec<(RoomId, Incarnation, Seq)> = rooms::heads;
    read index_behind(rooms: Option<Vec<RoomId>>) -> Vec<Progress> = search::behind;
    read unobserved(plugin: String, rooms: Option<Vec<RoomId>>) -> Vec<(RoomId, Seq)> = observed::unobserved;
    read list_audit(wanted: ListAudit, asker: UserId) -> Vec<AuditEntry> = moderation::list_audit;
    read list_cases(wanted: CasesWanted) -> Vec<CaseRow> = moderation::list_cases;
    read find_case(case: CaseId) -> Option<CaseRow> = moderation::find_case;
    read has_reported(case: CaseId, user: UserId) -> bool = moderation::has_reported;
    read reporters(case: CaseId, limit: usize) -> Vec<(UserId, RoomId)> = moderation::reporters;
    read agenda(since: Millis, limit: usize) -> Agenda = moderation::agenda;
    read moderators(room: RoomId, except: [UserId; 2], now: Millis, limit: usize) -> Vec<(UserId, RoomId)> =
        moderation::moderators;
    read has_judge(room: RoomId, except: [UserId; 2], rank: u8, now: Millis) -> bool = rooms::has_judge;
    read find_members(room: RoomId, names: Vec<Username>) -> Vec<UserId> = effects::find_members;

    open find_recorded(room: RoomId, author: UserId, client_id: ClientId) -> Option<Recorded> = logs::find_recorded;
    open read(room: RoomId, reader: UserId, after: Seq, limit: usize) -> Option<LogPage> = logs::read;
    open history(reader: UserId, history: History) -> Option<LogPage> = logs::history;
    open find_entries(room: RoomId, seqs: Vec<Seq>) -> Vec<Envelope> = effects::find_entries;
    open revisions(room: RoomId, seq: Seq, before: u32) -> Vec<Envelope> = effects::revisions;
    open case(case: CaseId) -> Option<CaseRecord> = moderation::case;
    open find_held(case: CaseId) -> Option<HeldText> = moderation::find_held;
    open personal_records(user: UserId) -> Vec<serde_json::Value> = personal::records;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an acknowledgement rests on; no test can pull the plug.
    #[test]
    fn commits_are_synced_and_what_is_deleted_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let connection = Connection::open(folder.path().join("x.db")).unwrap();
        configure(&connection).unwrap();
        let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!((pragma("synchronous"), pragma("secure_delete"), pragma("foreign_keys")), (2, 1, 1));
    }
}
