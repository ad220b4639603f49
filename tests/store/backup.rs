//! What comes out of one store and goes into another is the same to the byte, and nothing of the schema is forgotten.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use confab::core::append::{Act, Amend, Change, Item, Said};
use confab::core::backup::rows::{HEADER, Row, Rows, TRAILER};
use confab::core::backup::{Sink, Source, TABLES, Table};
use confab::core::cases::{NewRecord, Step};
use confab::core::standing::Level;
use confab::core::store::{Error, NewInvite, NewRefresh, NewRoom, Outcome, Result, RoomShape, Store, Unappended, pair};
use confab::store::sqlite::Sqlite;
use confab_protocol::command::{AuditRecord, Finding};
use confab_protocol::model::{CaseDecision, CaseId, Emoji, RoomId, Seq, ServerRole, UserId};

use super::audit::all_cases;
use super::moderation::{all_records, decide, words};
use super::{START, Scene, postgres};

pub(super) type Files = BTreeMap<&'static str, Vec<u8>>;

#[derive(Clone, Default)]
struct Memory(Arc<Mutex<(Files, Option<u64>, bool)>>);

impl Sink for Memory {
    fn expect_entries(&mut self, count: u64) {
        self.0.lock().unwrap().1 = Some(count);
    }
    fn write(&mut self, table: &'static Table, bytes: &[u8], _rows: u64) -> Result<()> {
        self.0.lock().unwrap().0.entry(table.name).or_default().extend(bytes);
        Ok(())
    }
    fn finish(&mut self) -> Result<()> {
        self.0.lock().unwrap().2 = true;
        Ok(())
    }
}

/// Rows of files in memory; may fail where one is.
struct Loading {
    rows: Vec<(&'static Table, Rows<Cursor<Vec<u8>>>)>,
    row: Row,
    fail_at: Option<&'static str>,
}

impl Loading {
    fn of(files: &Files, fail_at: Option<&'static str>) -> Box<Self> {
        let rows = |table: &'static Table| (table, Rows::new(table, Cursor::new(files[table.name].clone())));
        Box::new(Self { rows: TABLES.iter().map(rows).rev().collect(), row: Row::default(), fail_at })
    }
}

impl Source for Loading {
    fn next_row(&mut self) -> Result<Option<(&'static Table, &Row)>> {
        while let Some((table, rows)) = self.rows.last_mut() {
            if self.fail_at == Some(table.name) {
                return Err(Error::Corrupt("as it was to".to_owned()));
            }
            if let Some(row) = rows.next_row()? {
                self.row = row.clone();
                return Ok(Some((table, &self.row)));
            }
            self.rows.pop();
        }
        Ok(None)
    }
}

pub(super) async fn dump(store: &dyn Store) -> Files {
    let memory = Memory::default();
    store.dump(Box::new(memory.clone())).await.unwrap();
    let (files, expected, is_finished) = std::mem::take(&mut *memory.0.lock().unwrap());
    assert!(is_finished && files.len() == TABLES.len(), "each table has a file");
    let entries = Table::find("entries").unwrap();
    let mut rows = Rows::new(entries, Cursor::new(&files["entries"]));
    while rows.next_row().unwrap().is_some() {}
    assert_eq!(Some(rows.count()), expected, "how many there will be is known before");
    files
}

/// Something in each column of each table.
async fn live(scene: &Scene) -> (RoomId, UserId) {
    let [alice, bob] = [scene.user("alice").await.id, scene.user("bob").await.id];
    let owner = scene.new_user("olga", ServerRole::Owner);
    scene.store.create_user(owner).await.unwrap();
    let until = START.after(1_000_000);
    let refresh = NewRefresh { hash: [3; 32], family: 7, idle_until: until, absolute_until: until };
    let mut login = scene.login(alice);
    login.refresh = Some(refresh);
    scene.store.log_in(login).await.unwrap();
    let room = scene.room(alice, "plaza").await;
    scene.join(room, bob).await;
    let answer = Said { reply_to: Some(Seq(3)), mentions: vec![alice], shadowed: false };
    let item = |change| scene.item(room, bob, change);
    let big = Item { payload: Bytes::from(vec![0xA5; 60_000]), ..item(Change::Message(Said::default())) };
    scene.append(vec![item(Change::Message(Said::default())), item(Change::Message(answer)), big]).await;
    let act = |author, act| {
        scene.item(
            room,
            author,
            Change::Amend(Box::new(Amend { server_role: ServerRole::User, shadowed: false, decided: false, act })),
        )
    };
    for act in [
        act(bob, Act::Edit(Seq(3), Bytes::from_static(b"other words"), Vec::new())),
        act(alice, Act::React(Seq(3), Emoji::parse("\u{1f44d}").unwrap(), true)),
        act(bob, Act::React(Seq(3), Emoji::parse("\u{2764}\u{fe0f}").unwrap(), true)),
        act(alice, Act::React(Seq(3), Emoji::parse("+").unwrap(), true)),
        act(alice, Act::Pin(Seq(4), true)),
        act(bob, Act::Delete(vec![(Seq(5), Bytes::from_static(b"gone"))])),
    ] {
        scene.append_one(act).await;
    }
    let direct = NewRoom { shape: RoomShape::Direct { pair: pair(alice, bob), other: bob }, ..scene.new_room("x") };
    let direct_id = RoomId::new(START, scene.next().into());
    scene.append_one(scene.item(direct_id, alice, Change::CreateRoom(Box::new(direct)))).await;
    let case = scene.report(room, bob, 3, alice).await.unwrap().row.id;
    scene.report(room, bob, 4, alice).await.unwrap();
    // Kept once more as it reads by then.
    scene.append_one(act(bob, Act::Edit(Seq(4), Bytes::from_static(b"worse words"), vec![alice]))).await;
    scene.report(room, bob, 4, UserId::from_u128(7)).await.unwrap();
    for step in [Step::Take, decide(CaseDecision::Remove, "seen")] {
        scene.step(case, alice, step).await.unwrap();
    }
    scene.step(case, bob, Step::Appeal(words("why?"))).await.unwrap();
    scene.step(case, alice, Step::Take).await.unwrap();
    let finding = Some(Finding { plugin: "words".to_owned(), ..Finding::default() });
    let found = scene.new_record(AuditRecord { finding, ..AuditRecord::default() });
    scene.store.audit(vec![NewRecord { note: Some((bob, words("as a word"))), ..found }]).await.unwrap();
    scene.store.set_level(Level::NewcomersRead, scene.new_record(AuditRecord::default())).await.unwrap();
    scene.store.begin_observing("watch".to_owned()).await.unwrap();
    scene.leave(room, bob).await;
    let record = scene.new_record(AuditRecord::default());
    let invite = NewInvite { hash: [9; 32], room, author: alice, uses: 3, expires: until, now: START, record };
    scene.store.create_invite(invite).await.unwrap();
    for outcome in [Outcome::Held(CaseId::new(START, 5)), Outcome::Refused { code: 5001, detail: "no".to_owned() }] {
        let (client_id, time) = (scene.client_id(), START);
        let (payload, note) = (Bytes::from_static(b"held"), "words".to_owned());
        let digest = [6; 16];
        let held = Unappended { room, author: bob, client_id, digest, time, outcome, payload, note, audit: Vec::new() };
        assert_eq!(scene.store.record(held).await.unwrap(), None);
    }
    (room, alice)
}

async fn sealed_postgres() -> Arc<dyn Store> {
    let url = postgres::fresh_url().await;
    Arc::new(postgres::open_with(&url, super::seal::vault(&[1])).await.unwrap())
}

fn sqlite(folder: &Path) -> Arc<dyn Store> {
    Arc::new(Sqlite::open(&folder.join("confab.db"), 2, super::seal::vault(&[1])).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn from_each_store_to_each_and_back_nothing_changes() {
    for is_postgres in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let store = if is_postgres { sealed_postgres().await } else { sqlite(folder.path()) };
        let scene = Scene { store: store.clone(), count: Arc::default() };
        let (room, alice) = live(&scene).await;
        let files = dump(&*store).await;
        for (name, file) in &files {
            assert!(file.len() > HEADER.len() + TRAILER.len(), "{name} is empty");
        }
        assert!(!store.load(Loading::of(&files, None)).await.unwrap(), "a store in use is left as it is");
        assert_eq!(dump(&*store).await, files, "and one moment is one backup");

        let other = tempfile::tempdir().unwrap();
        for target in [sqlite(other.path()), sealed_postgres().await] {
            for broken in ["users", "entries", "unappended", "evidence", "audit"] {
                let error = target.load(Loading::of(&files, Some(broken))).await.unwrap_err();
                assert!(matches!(error, Error::Corrupt(_)), "{error}");
            }
            assert!(target.load(Loading::of(&files, None)).await.unwrap(), "what failed left nothing behind");
            assert_eq!(dump(&*target).await, files);
            let page = target.read(room, alice, Seq(0), 200).await.unwrap().unwrap();
            let before = store.read(room, alice, Seq(0), 200).await.unwrap().unwrap();
            assert_eq!((page.state, page.entries), (before.state, before.entries));
            assert!(target.has_owner().await.unwrap());
            assert_eq!(level(&*target).await, Level::NewcomersRead);
            for row in store.list_cases(all_cases()).await.unwrap() {
                let case = target.case(row.id).await.unwrap();
                assert!(case == store.case(row.id).await.unwrap() && !case.unwrap().evidence.is_empty());
            }
            let audit = store.list_audit(all_records(), UserId::NONE).await.unwrap();
            assert!(target.list_audit(all_records(), UserId::NONE).await.unwrap() == audit && audit.len() > 4);
            let again = Scene { store: target.clone(), count: scene.count.clone() };
            again.say_more(room, alice).await;
            target.close().await;
        }
        store.close().await;
    }
}

async fn level(store: &dyn Store) -> Level {
    store.controls(u64::MAX >> 1).await.unwrap().level
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_opens_no_doors() {
    for is_postgres in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let scene = Scene { store: sqlite(folder.path()), count: Arc::default() };
        live(&scene).await;
        let files = dump(&*scene.store).await;
        for set in [Level::StaffOnly, Level::NewcomersRead, Level::NoNewcomers] {
            let other = tempfile::tempdir().unwrap();
            let target = if is_postgres { sealed_postgres().await } else { sqlite(other.path()) };
            target.set_level(set, scene.new_record(AuditRecord::default())).await.unwrap();
            assert!(target.load(Loading::of(&files, None)).await.unwrap());
            assert_eq!(level(&*target).await, set.max(Level::NewcomersRead));
            target.close().await;
        }
        scene.store.close().await;
    }
}

impl Scene {
    /// What was filled in is a store like any other.
    async fn say_more(&self, room: RoomId, author: UserId) {
        let head = self.head(room, author).await;
        let decision = self.append_one(self.item(room, author, Change::Message(Said::default()))).await;
        assert_eq!(super::seq(&decision), Some(head.0 + 1));
    }
}

/// What a backup leaves out, and why: logins end with a restore; the others are made again.
const LEFT_OUT: [&str; 8] = [
    "api_keys",
    "refinery_schema_history",
    "refresh_tokens",
    "revocations",
    "search",
    "search_mode",
    "search_progress",
    "tickets",
];

fn assert_complete(store: &str, found: BTreeMap<String, Vec<String>>) {
    let mut told: BTreeMap<String, Vec<String>> = TABLES
        .iter()
        .map(|table| (table.name.to_owned(), table.columns.iter().map(|column| column.name.to_owned()).collect()))
        .collect();
    told.values_mut().for_each(|columns| columns.sort());
    let is_kept = |(table, _): &(String, Vec<String>)| !LEFT_OUT.contains(&table.as_str());
    let mut found: BTreeMap<_, _> = found.into_iter().filter(is_kept).collect();
    // It counts what is revoked, of which nothing is restored.
    found.get_mut("controls").unwrap().retain(|column| column != "epoch");
    assert_eq!(found, told, "{store} has a table or column that core::backup knows nothing of, or the reverse");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_table_and_no_column_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    sqlite(folder.path()).close().await;
    let connection = rusqlite::Connection::open(folder.path().join("confab.db")).unwrap();
    let mut statement = connection
        .prepare(
            "SELECT t.name, iif(c.name = 'user', 'user_id', c.name) FROM sqlite_master t, pragma_table_info(t.name) c
             WHERE t.type = 'table' AND c.name <> 'checksum'",
        )
        .unwrap();
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap() {
        let (table, column): (String, String) = row.unwrap();
        found.entry(table).or_default().push(column);
    }
    found.values_mut().for_each(|columns| columns.sort());
    assert_complete("SQLite", found);

    let url = postgres::fresh_url().await;
    postgres::open(&url).await.unwrap().close().await;
    let columns = postgres::sql(
        &url,
        "SELECT c.table_name || ' ' || c.column_name FROM information_schema.columns c JOIN pg_class p ON p.relname = c.table_name
         WHERE c.table_schema = 'public' AND NOT p.relispartition ORDER BY 1",
    );
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (table, column) in columns.lines().filter_map(|line| line.split_once(' ')) {
        found.entry(table.to_owned()).or_default().push(column.to_owned());
    }
    found.values_mut().for_each(|columns| columns.sort());
    assert_complete("PostgreSQL", found);
}
