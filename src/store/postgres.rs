//! The store of large servers: PostgreSQL. Any number of servers may append to any room; the database orders them.

mod accounts;
mod append;
mod audit;
mod backup;
mod columns;
mod context;
mod effects;
mod evidence;
mod logs;
mod moderation;
mod observed;
mod options;
mod personal;
mod retention;
mod rooms;
mod rows;
mod seal;
mod search;
mod standing;
mod tls;

use std::time::Duration;

use async_trait::async_trait;
use confab_protocol::command::{AuditEntry, History, ListAudit, Member, MessageState, Room};
use confab_protocol::model::{
    CaseId, ClientId, DeviceId, DisplayName, Envelope, Incarnation, Millis, RoomId, RoomName, RoomRole, Seq,
    ServerRole, UserId, Username,
};
use confab_protocol::reject::RejectCode;
use deadpool_postgres::{Client, Manager, ManagerConfig, Pool, PoolError, RecyclingMethod, Runtime, Timeouts};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_postgres::error::SqlState;

pub use self::options::Options;
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
    refinery::embed_migrations!("src/store/postgres/migrations");
}

/// A connection is waited for so long, whether it is busy or new.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// An answer is waited for so long, tries included; the database has its own bound, but may not be there to keep it.
const QUERY_TIMEOUT: Duration = Duration::from_secs(30);
/// Tries of a transaction that others got in the way of.
const TRIES_MAX: u32 = 8;
/// ... of which the last begins within this time: who waited for a lock in vain waited long enough.
const TRY_FOR: Duration = Duration::from_secs(8);
/// Searches at a time.
const SEARCHES_MAX: usize = 2;
/// What every session is bound by, and how it plans: each of our statements finds rows by an index. A plan made while a
/// table was empty reads all of it, and is kept while the table grows.
const SESSION: &str = "-c lock_timeout=10s -c statement_timeout=20s -c idle_in_transaction_session_timeout=30s \
     -c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c plan_cache_mode=force_generic_plan";
/// Whoever migrates holds this lock of the database, so that servers that start together do it one after the other.
const MIGRATION_LOCK: i64 = 0x636f_6e66_6162;

/// A PostgreSQL database.
pub struct Postgres {
    vault: Vault,
    words: Option<Blinder>,
    writers: Pool,
    others: Pool,
    lanes: usize,
    /// Searches may take long: others do not wait for a connection because of them.
    searches: Semaphore,
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        // Neither the statement's values nor a row's: both may be somebody's words.
        let text = match error.as_db_error() {
            Some(db) => format!("{}: {} ({})", db.severity(), db.message(), db.code().code()),
            None => error.to_string(),
        };
        match error.code() {
            Some(code) if is_of_data(code) => Self::Corrupt(text),
            Some(code) if is_in_the_way(code) => Self::Busy(text),
            _ => Self::Unavailable(text),
        }
    }
}

/// Data exceptions, broken constraints, corruption: what no waiting mends.
fn is_of_data(code: &SqlState) -> bool {
    ["22", "23", "42", "XX"].iter().any(|class| code.code().starts_with(class))
}

impl From<PoolError> for Error {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) => error.into(),
            other => Self::Unavailable(other.to_string()),
        }
    }
}

/// Whether somebody else was in the way, so that the same transaction may well pass when it is tried again.
fn is_in_the_way(code: &SqlState) -> bool {
    let others = [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED, SqlState::LOCK_NOT_AVAILABLE];
    others.contains(code)
}

/// Whether the same batch may well pass when it is tried again: also where somebody else created the same room, or a client
/// id was recorded without the room's lock.
fn is_retryable(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| is_in_the_way(code) || *code == SqlState::UNIQUE_VIOLATION)
}

impl Postgres {
    /// Connects and brings the schema up to date.
    ///
    /// # Errors
    /// A database that cannot be reached or has a newer schema than this server.
    pub async fn open(options: Options, mut vault: Vault) -> Result<Self> {
        let manager = || {
            let config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
            Manager::from_config(session(&options.url), options.tls.connector(), config)
        };
        let pool = |connections| {
            let timeouts =
                Timeouts { wait: Some(CONNECT_TIMEOUT), create: Some(CONNECT_TIMEOUT), recycle: Some(CONNECT_TIMEOUT) };
            Pool::builder(manager())
                .max_size(connections)
                .timeouts(timeouts)
                .runtime(Runtime::Tokio1)
                .build()
                .map_err(|error| Error::Unavailable(error.to_string()))
        };
        let (writers, others) = (pool(options.writers)?, pool(options.connections)?);
        migrate(&others).await?;
        seal::admit(&mut others.get().await?, &mut vault).await?;
        let (lanes, searches) = (options.writers, Semaphore::new(SEARCHES_MAX));
        Ok(Self { words: vault.blinder(), vault, writers, others, lanes, searches })
    }

    async fn find_unsafe_settings(&self) -> Result<Vec<String>> {
        let client = self.others.get().await?;
        let rows = client
            .query(
                "SELECT name FROM pg_settings
                 WHERE name IN ('fsync', 'synchronous_commit', 'full_page_writes') AND setting = 'off' ORDER BY name",
                &[],
            )
            .await?;
        rows.iter().map(|row| rows::plain(row, 0)).collect()
    }
}

async fn migrate(pool: &Pool) -> Result<()> {
    // A connection of its own, which is not bound by the times of the others and not used again.
    let mut client = Client::take(pool.get().await?);
    client.batch_execute("SET lock_timeout = 0; SET statement_timeout = 0").await?;
    let encoding: String = client.query_one("SHOW server_encoding", &[]).await?.try_get(0)?;
    if encoding != "UTF8" {
        return Err(Error::Corrupt(format!("the database's encoding is {encoding}: make one with UTF8")));
    }
    client.execute("SELECT pg_advisory_lock($1)", &[&MIGRATION_LOCK]).await?;
    let done = migrations::migrations::runner().set_grouped(true).run_async(&mut *client).await;
    client.execute("SELECT pg_advisory_unlock($1)", &[&MIGRATION_LOCK]).await?;
    let report = done.map_err(|error| {
        Error::Unavailable(format!(
            "the schema cannot be brought up to date (is this server older than its data?): {error}"
        ))
    })?;
    for migration in report.applied_migrations() {
        tracing::info!(%migration, "the schema was brought up to date");
    }
    Ok(())
}

/// What every connection asks of its session, whatever the address says of TLS or targets.
fn session(url: &tokio_postgres::Config) -> tokio_postgres::Config {
    let mut config = url.clone();
    config
        .application_name("confab")
        .connect_timeout(CONNECT_TIMEOUT)
        .keepalives(true)
        .keepalives_idle(Duration::from_secs(15))
        .tcp_user_timeout(Duration::from_secs(20))
        .options([SESSION, url.get_options().unwrap_or_default()].join(" ").trim_end());
    config
}

/// What was done with a connection, in time or not.
fn finished<T>(client: Client, done: std::result::Result<Result<T>, tokio::time::error::Elapsed>) -> Result<T> {
    let done = done.unwrap_or_else(|_| Err(Error::Unavailable("the database does not answer".to_owned())));
    if done.is_err() {
        // It may be in the middle of something, or hold a statement that is not good any more.
        drop(Client::take(client));
    }
    done
}

/// For another try.
fn again<T: Clone>(argument: &T) -> T {
    argument.clone()
}

/// One transaction, and again while others are in its way: of one that was refused nothing is left. Where a connection was
/// lost it may have been done, and nothing is tried again.
macro_rules! tried {
    ($pool:expr, $client:ident => $call:expr) => {{
        let begun = Instant::now();
        let (until, mut tries) = (begun + QUERY_TIMEOUT, 1);
        loop {
            let mut $client = $pool.get().await?;
            let done = tokio::time::timeout_at(until, $call).await;
            match finished($client, done) {
                Err(Error::Busy(text)) if tries < TRIES_MAX && begun.elapsed() < TRY_FOR => {
                    tracing::debug!(%text, tries, "a transaction is tried again");
                    tries += 1;
                }
                Err(Error::Busy(text)) => break Err(Error::Unavailable(text)),
                done => break done,
            }
        }
    }};
}

macro_rules! store {
    ($(plain $name:ident($($arg:ident: $type:ty),*) -> $out:ty = $run:path;)+
     $(sealed $sealed:ident($($sarg:ident: $stype:ty),*) -> $sout:ty = $srun:path;)+) => {
        #[async_trait]
        impl Store for Postgres {
            async fn ping(&self) -> Result<()> {
                let client = self.others.get().await?;
                rooms::ping(&client).await
            }
            fn writers(&self) -> usize {
                self.lanes
            }
            async fn close(&self) {
                self.writers.close();
                self.others.close();
            }
            async fn search(&self, reader: UserId, wanted: Wanted) -> Result<Matches> {
                let late = |_| Error::Unavailable("too many searches".to_owned());
                let turn = tokio::time::timeout(CONNECT_TIMEOUT, self.searches.acquire()).await.map_err(late)?;
                let _turn = turn.map_err(|error| Error::Unavailable(error.to_string()))?;
                let mut client = self.others.get().await?;
                let found = search::search(&mut client, &self.vault, reader, wanted).await;
                if found.is_err() {
                    drop(Client::take(client));
                }
                found
            }
            async fn compact(&self) -> Result<bool> {
                // A connection of its own, which is not bound by the times of the others.
                let client = Client::take(self.others.get().await?);
                client.batch_execute("SET lock_timeout = 0; SET statement_timeout = 0").await?;
                let is_clear = personal::wait_for_older(&client).await?;
                client.batch_execute(personal::COMPACT).await?;
                Ok(is_clear)
            }
            fn sealing_key(&self) -> Option<u32> {
                self.vault.current()
            }
            fn words(&self) -> Option<Blinder> {
                self.words.clone()
            }
            async fn dump(&self, sink: Box<dyn Sink>) -> Result<()> {
                backup::dump(Client::take(self.others.get().await?), sink).await
            }
            async fn load(&self, source: Box<dyn Source>) -> Result<bool> {
                backup::load(Client::take(self.others.get().await?), source).await
            }
            async fn unsafe_settings(&self) -> Result<Vec<String>> {
                self.find_unsafe_settings().await
            }
            async fn append(&self, batch: Vec<Item>, now: Millis) -> Result<Vec<Decided>> {
                append::append(&self.writers, &self.vault, batch, now).await
            }
            $(async fn $name(&self, $($arg: $type),*) -> Result<$out> {
                let pool = &self.others;
                tried!(pool, client => $run(&mut client, $(again(&$arg)),*))
            })+
            $(async fn $sealed(&self, $($sarg: $stype),*) -> Result<$sout> {
                let (pool, vault) = (&self.others, &self.vault);
                tried!(pool, client => $srun(&mut client, vault, $(again(&$sarg)),*))
            })+
        }
    };
}

store! {
    plain create_user(user: NewUser) -> Created = accounts::create_user;
    plain import_users(users: Vec<NewUser>) -> usize = accounts::import_users;
    plain set_display_name(user: UserId, name: DisplayName) -> () = accounts::set_display_name;
    plain set_password_hash(user: UserId, old: String, new: String) -> bool = accounts::set_password_hash;
    plain log_in(login: NewLogin) -> Option<LoggedIn> = accounts::log_in;
    plain refresh(hash: [u8; 32], next: NewRefresh, now: Millis) -> Refreshed = accounts::refresh;
    plain log_out(user: UserId, device: DeviceId) -> () = accounts::log_out;
    plain end_logins(user: UserId, except: DeviceId) -> () = standing::end_logins;
    plain change_password(user: UserId, old: String, new: String, device: DeviceId) -> bool =
        standing::change_password;
    plain restrict(restrict: Restrict) -> bool = standing::restrict;
    plain set_server_role(user: UserId, below: Option<ServerRole>, role: ServerRole, record: NewRecord) -> bool =
        standing::set_server_role;
    plain create_ticket(ticket: NewTicket) -> () = standing::create_ticket;
    plain reset_password(ticket: [u8; 32], hash: String, now: Millis) -> Option<UserId> = standing::reset_password;
    plain create_key(key: NewKey) -> () = standing::create_key;
    plain set_level(level: Level, record: NewRecord) -> () = standing::set_level;
    plain has_owner() -> bool = accounts::has_owner;
    plain find_login(username: Username) -> Option<(User, Option<String>)> = accounts::find_login;
    plain has_device(username: Username, device: DeviceId) -> bool = accounts::has_device;
    plain find_identity(user: UserId, device: DeviceId) -> Option<Standing> = standing::find_identity;
    plain find_user(user: UserId) -> Option<User> = standing::find_user;
    plain logins(user: UserId) -> Vec<LoginRow> = standing::logins;
    plain has_ticket(hash: [u8; 32], kind: TicketKind, now: Millis) -> bool = standing::has_ticket;
    plain find_key(hash: [u8; 32]) -> Option<FoundKey> = standing::find_key;
    plain controls(since: u64) -> Controls = standing::controls;
    plain find_users(users: Vec<UserId>) -> Vec<Member> = accounts::find_users;
    plain hash_keys(users: Vec<UserId>) -> Vec<(UserId, AuditKey)> = accounts::hash_keys;
    plain find_room(name: RoomName) -> Option<RoomId> = rooms::find_room;
    plain find_direct(pair: Pair) -> Option<RoomId> = rooms::find_direct;
    plain find_self_room(user: UserId) -> Option<RoomId> = rooms::find_self_room;
    plain find_invite(hash: InviteHash) -> Option<RoomId> = effects::find_invite;
    plain retire(now: Millis, limit: usize) -> usize = retention::retire;
    plain forget(before: Before, limit: usize) -> usize = retention::forget;
    plain create_invite(invite: NewInvite) -> bool = effects::create_invite;
    plain room(room: RoomId, user: UserId) -> Option<Room> = rooms::room;
    plain list_rooms(user: UserId, joined_only: bool, after: RoomId, limit: usize) -> Vec<Room> = rooms::list_rooms;
    plain list_members(room: RoomId, after: UserId, limit: usize) -> Vec<Member> = rooms::list_members;
    plain membership(room: RoomId, user: UserId) -> Option<Membership> = rooms::membership;
    plain seat(room: RoomId, user: UserId) -> Option<(RoomRole, Option<Restriction>)> = rooms::seat;
    plain counts(room: RoomId, user: UserId) -> (u32, u32) = rooms::counts;
    plain context(room: RoomId, author: UserId, cases_from: CaseId) -> Context = context::read;
    plain message_states(room: RoomId, reader: UserId, seqs: Vec<Seq>) -> Vec<MessageState> = effects::message_states;
    plain read_position(room: RoomId, seq: Seq) -> Option<(Seq, u64)> = effects::read_position;
    plain rooms_ever(user: UserId) -> Vec<RoomId> = personal::rooms_ever;
    plain count_held(user: UserId) -> Held = personal::count_held;
    plain lock_account(user: UserId, display_name: DisplayName) -> () = personal::lock_account;
    plain erase_account(user: UserId, self_room: RoomId, username: (Username, Key), display_name: DisplayName) -> () =
        personal::erase_account;
    plain heads(rooms: Vec<RoomId>) -> Vec<(RoomId, Incarnation, Seq)> = rooms::heads;
    plain index_behind(rooms: Option<Vec<RoomId>>) -> Vec<Progress> = search::behind;
    plain find_members(room: RoomId, names: Vec<Username>) -> Vec<UserId> = effects::find_members;
    plain begin_observing(plugin: String) -> () = observed::begin;
    plain unobserved(plugin: String, rooms: Option<Vec<RoomId>>) -> Vec<(RoomId, Seq)> = observed::unobserved;
    plain observed(plugin: String, cursors: Vec<(RoomId, Seq)>) -> () = observed::observed;
    plain audit(records: Vec<NewRecord>) -> () = moderation::audit;
    plain list_audit(wanted: ListAudit, asker: UserId) -> Vec<AuditEntry> = audit::list;
    plain change_case(change: CaseChange) -> Option<std::result::Result<CaseRow, RejectCode>> = moderation::change_case;
    plain list_cases(wanted: CasesWanted) -> Vec<CaseRow> = moderation::list_cases;
    plain find_case(case: CaseId) -> Option<CaseRow> = moderation::find_case;
    plain has_reported(case: CaseId, user: UserId) -> bool = moderation::has_reported;
    plain reporters(case: CaseId, limit: usize) -> Vec<(UserId, RoomId)> = moderation::reporters;
    plain agenda(since: Millis, limit: usize) -> Agenda = moderation::agenda;
    plain moderators(room: RoomId, except: [UserId; 2], now: Millis, limit: usize) -> Vec<(UserId, RoomId)> =
        moderation::moderators;
    plain has_judge(room: RoomId, except: [UserId; 2], rank: u8, now: Millis) -> bool = rooms::has_judge;

    sealed record(unappended: Unappended) -> Option<Recorded> = logs::record;
    sealed find_recorded(room: RoomId, author: UserId, client_id: ClientId) -> Option<Recorded> = logs::find_recorded;
    sealed read(room: RoomId, reader: UserId, after: Seq, limit: usize) -> Option<LogPage> = logs::read;
    sealed history(reader: UserId, history: History) -> Option<LogPage> = logs::history;
    sealed find_entries(room: RoomId, seqs: Vec<Seq>) -> Vec<Envelope> = effects::find_entries;
    sealed revisions(room: RoomId, seq: Seq, before: u32) -> Vec<Envelope> = effects::revisions;
    sealed report(report: NewReport) -> Option<Reported> = moderation::report;
    sealed case(case: CaseId) -> Option<CaseRecord> = moderation::case;
    sealed find_held(case: CaseId) -> Option<HeldText> = moderation::find_held;
    sealed personal_records(user: UserId) -> Vec<serde_json::Value> = personal::records;
    sealed scrub(room: RoomId, scrub: Scrub) -> () = personal::scrub;
    sealed index(step: Step) -> bool = search::index;
    sealed reseal(from: Resealed, limit: usize) -> Resealed = seal::reseal;
    sealed forget_keys() -> () = seal::forget_keys;
}
