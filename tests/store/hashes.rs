//! The keys of hashes in the audit: each account has one until it is erased, and then nobody has it.

use std::sync::Arc;

use bytes::Bytes;
use confab::clock::{Clock, SystemClock};
use confab::config::Config;
use confab::core::append::Act;
use confab::core::audit::AuditKey;
use confab::core::auth::Auth;
use confab::core::cases::NewRecord;
use confab::core::seal::Vault;
use confab::metrics::Metrics;
use confab::store::sqlite::Sqlite;
use confab_protocol::codec::decode_audit;
use confab_protocol::command::AuditRecord;
use confab_protocol::model::{AuditId, CaseId, DisplayName, RoomId, Seq, UserId, Username};

use super::amends::bytes;
use super::backup::dump;
use super::moderation::all_records;
use super::{Scene, postgres};

super::cases![
    a_text_is_confirmed_until_its_author_is_erased,
    accounts_come_with_their_keys,
    keys_of_many_are_read_at_once,
];

/// The server's own part of it.
fn auth() -> Auth {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.auth.bcrypt_cost = 4;
    config.data_dir = folder.path().to_owned();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    Auth::open(&config, &clock, &Metrics::new()).unwrap()
}

impl Scene {
    async fn key_of(&self, user: UserId) -> Option<AuditKey> {
        self.store.find_user(user).await.unwrap().unwrap().audit_key
    }

    /// Whether whoever has all of the store and the server's keys can tell that the oldest record is about this text.
    async fn confirms(&self, auth: &Auth, text: &str) -> bool {
        let entry = self.store.list_audit(all_records(), UserId::NONE).await.unwrap().pop().unwrap();
        let record = decode_audit(&entry.record).unwrap();
        assert_eq!(record.before.len(), 32);
        let key = self.key_of(record.user).await;
        key.is_some_and(|key| auth.audit_hash(key, entry.id, text) == record.before)
    }

    /// Whether a key stands in any table of a new backup.
    async fn holds(&self, key: AuditKey) -> bool {
        let bytes = key.to_bytes();
        dump(&*self.store).await.values().any(|file| file.windows(bytes.len()).any(|it| it == bytes))
    }
}

async fn a_text_is_confirmed_until_its_author_is_erased(scene: Scene) {
    let (alice, bob) = (scene.user("alice").await, scene.user("bob").await);
    let (auth, id) = (auth(), AuditId::from_u128(7));
    let before: Bytes = auth.audit_hash(alice.audit_key, id, "an insult");
    let record = AuditRecord { act: "delete".to_owned(), user: alice.id, before, ..AuditRecord::default() };
    scene.store.audit(vec![NewRecord { id, record, note: None }]).await.unwrap();
    assert!(scene.confirms(&auth, "an insult").await);
    for other in ["an insult ", "another insult", ""] {
        assert!(!scene.confirms(&auth, other).await, "{other:?}");
    }
    assert!(scene.holds(alice.audit_key).await && scene.holds(bob.audit_key).await, "where it is looked for later");

    let name = Username::parse("erased-1").unwrap();
    let name = (name.clone(), confab::core::names::user_key(&name));
    let shown = DisplayName::parse("erased").unwrap();
    scene.store.erase_account(alice.id, alice.self_room, name, shown).await.unwrap();
    assert!(!scene.confirms(&auth, "an insult").await);
    assert_eq!((scene.key_of(alice.id).await, scene.key_of(bob.id).await), (None, Some(bob.audit_key)));
    assert!(!scene.holds(alice.audit_key).await && scene.holds(bob.audit_key).await);
}

async fn accounts_come_with_their_keys(scene: Scene) {
    let alice = scene.user("alice").await;
    let key = Some(alice.audit_key);
    let (by_name, _) = scene.store.find_login(alice.username.clone()).await.unwrap().unwrap();
    let login = scene.login(alice.id);
    let device = login.device;
    scene.store.log_in(login).await.unwrap().unwrap();
    let by_device = scene.store.find_identity(alice.id, device).await.unwrap().unwrap();
    assert_eq!((by_name.audit_key, by_device.user.audit_key, scene.key_of(alice.id).await), (key, key, key));
    let many = ["bob", "carol"].map(|name| scene.new_user(name, alice.role));
    assert_eq!(scene.store.import_users(many.to_vec()).await.unwrap(), 2);
    for user in many {
        assert_eq!(scene.key_of(user.id).await, Some(user.audit_key));
    }
}

async fn keys_of_many_are_read_at_once(scene: Scene) {
    let (alice, bob, carol) = (scene.user("alice").await, scene.user("bob").await, scene.user("carol").await);
    let name = Username::parse("erased-1").unwrap();
    let name = (name.clone(), confab::core::names::user_key(&name));
    let shown = DisplayName::parse("erased").unwrap();
    scene.store.erase_account(bob.id, bob.self_room, name, shown).await.unwrap();
    let keys = async |users: &[UserId]| {
        let mut found = scene.store.hash_keys(users.to_vec()).await.unwrap();
        found.sort_by_key(|(user, _)| *user);
        found
    };
    let mut expected = vec![(alice.id, alice.audit_key), (carol.id, carol.audit_key)];
    expected.sort_by_key(|(user, _)| *user);
    assert_eq!(keys(&[carol.id, bob.id, UserId::from_u128(7), alice.id]).await, expected);
    assert!(keys(&[]).await.is_empty());
}

/// As a store was before there were keys, and what came after them.
const BEFORE: &str = "ALTER TABLE users DROP COLUMN audit_key; ALTER TABLE entry_revisions DROP COLUMN written_ms;
    DROP TABLE finding_notes; ALTER TABLE unappended ADD COLUMN note TEXT NOT NULL DEFAULT '';
    DELETE FROM refinery_schema_history WHERE version > 1";
/// The same of what cases keep, of which each store had one text of a message.
const SQLITE_BEFORE: &str = "CREATE TABLE evidence_before (
        case_id BLOB NOT NULL REFERENCES cases (id), seq INTEGER NOT NULL, room BLOB NOT NULL, rev INTEGER NOT NULL,
        time_ms INTEGER NOT NULL, author BLOB NOT NULL, payload BLOB NOT NULL, kept_ms INTEGER NOT NULL,
        PRIMARY KEY (case_id, seq)) WITHOUT ROWID, STRICT;
    INSERT INTO evidence_before SELECT case_id, seq, room, rev, time_ms, author, payload, kept_ms FROM evidence;
    DROP TABLE evidence; ALTER TABLE evidence_before RENAME TO evidence;
    CREATE INDEX evidence_author ON evidence (author); CREATE INDEX evidence_age ON evidence (kept_ms)";
const POSTGRES_BEFORE: &str = "ALTER TABLE evidence DROP CONSTRAINT evidence_pkey;
    ALTER TABLE evidence ADD PRIMARY KEY (case_id, seq)";

/// A room with its people, and a case about what the last of them said.
async fn live(scene: &Scene) -> (RoomId, [UserId; 3], CaseId) {
    let (room, people) = scene.company().await;
    let case = scene.report(room, people[2], 7, people[0]).await.unwrap().row.id;
    (room, people, case)
}

/// Accounts that were there have a key each, and a case what it kept, with which it keeps another text by now.
async fn assert_goes_on(scene: Scene, (room, people, case): (RoomId, [UserId; 3], CaseId)) {
    let [one, other] = [people[0], people[1]].map(|user| scene.key_of(user));
    let (one, other) = (one.await, other.await);
    assert!(one.is_some() && other.is_some() && one != other);
    let said = scene.store.find_entries(room, vec![Seq(7)]).await.unwrap().remove(0).payload;
    assert_eq!(scene.kept_seqs(case).await, [5, 6, 7]);
    scene.act(room, people[2], Act::Edit(Seq(7), bytes("worse"), Vec::new())).await;
    scene.report(room, people[2], 7, people[1]).await.unwrap();
    assert_eq!(scene.kept(case).await[2..], [(7, 0, said), (7, 1, bytes("worse"))]);
    scene.store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_before_goes_on_in_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("confab.db");
    let open = || Arc::new(Sqlite::open(&path, 2, Vault::default()).unwrap());
    let scene = Scene { store: open(), count: Arc::default() };
    let lived = live(&scene).await;
    scene.store.close().await;
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute_batch(SQLITE_BEFORE).unwrap();
    connection.execute_batch(BEFORE).unwrap();
    drop(connection);
    assert_goes_on(Scene { store: open(), count: scene.count }, lived).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_before_goes_on_in_postgres() {
    let url = postgres::fresh_url().await;
    let scene = Scene { store: Arc::new(postgres::open(&url).await.unwrap()), count: Arc::default() };
    let lived = live(&scene).await;
    scene.store.close().await;
    postgres::sql(&url, POSTGRES_BEFORE);
    postgres::sql(&url, BEFORE);
    let scene = Scene { store: Arc::new(postgres::open(&url).await.unwrap()), count: scene.count };
    assert_goes_on(scene, lived).await;
    // The planner keeps no samples of it, which would outlive an erasure.
    let sampled = postgres::sql(
        &url,
        "ANALYZE users; SELECT count(*) FROM pg_stats WHERE tablename = 'users' AND attname = 'audit_key'",
    );
    assert_eq!(sampled.lines().last(), Some("0"));
}
