//! Sealing where it is stored: what is hidden, what is refused, and another key beside those who write.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use confab::clock::random_bytes;
use confab::core::append::{Act, Amend, Change, Decision, Item, Said};
use confab::core::backup::Table;
use confab::core::backup::rows::Rows;
use confab::core::seal::{Opener, Resealed, ResealedTo, Vault, Words};
use confab::core::search::Step;
use confab::core::store::{Error, Outcome, Result, Scrub, Store, Unappended};
use confab::store::sqlite::Sqlite;
use confab_protocol::model::{RoomId, Seq, ServerRole, UserId};

use super::audit::all_cases;
use super::{START, Scene, postgres, seq};
use crate::support::postgres::Cluster;
use crate::support::process::PATIENCE;

const CANARY: &str = "zebracanary";

/// A server's keys of these numbers; the last one seals.
pub(super) fn vault(keys: &[u8]) -> Vault {
    vault_of(keys, Opener::Server)
}

fn vault_of(keys: &[u8], opener: Opener) -> Vault {
    let line = |id: &u8| format!("{id} {}\n", format!("{id:02x}").repeat(32));
    let text: String = keys.iter().map(line).collect();
    Vault::parse(&text, opener, Words::Off, random_bytes).unwrap()
}

/// A store in some place, opened again and again.
enum Home {
    Folder(tempfile::TempDir),
    Database(String),
}

impl Home {
    async fn all() -> [Self; 2] {
        [Self::Folder(tempfile::tempdir().unwrap()), Self::Database(postgres::fresh_url().await)]
    }

    async fn open(&self, vault: impl Fn() -> Vault) -> Result<Arc<dyn Store>> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let opened: Result<Arc<dyn Store>> = match self {
                Self::Folder(folder) => {
                    Sqlite::open(&folder.path().join("confab.db"), 2, vault()).map(|it| Arc::new(it) as _)
                }
                Self::Database(url) => postgres::open_with(url, vault()).await.map(|it| Arc::new(it) as _),
            };
            match opened {
                // Threads of the store before it are still on their way out.
                Err(Error::Unavailable(what)) if what.contains("locked") && tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
                opened => return opened,
            }
        }
    }

    /// All that is stored, as text or bytes.
    async fn stored(&self) -> Vec<u8> {
        match self {
            Self::Folder(folder) => bytes_below(folder.path()),
            Self::Database(url) => {
                let name = url.rsplit_once('/').unwrap().1.split('?').next().unwrap().to_owned();
                let dump = move || Cluster::shared().dump(&name).into_bytes();
                tokio::task::spawn_blocking(dump).await.unwrap()
            }
        }
    }

    /// Does it to the database itself.
    fn run(&self, sql: &str) {
        match self {
            Self::Folder(folder) => {
                rusqlite::Connection::open(folder.path().join("confab.db")).unwrap().execute_batch(sql).unwrap();
            }
            Self::Database(url) => drop(postgres::sql(url, sql)),
        }
    }
}

fn bytes_below(folder: &Path) -> Vec<u8> {
    let files = std::fs::read_dir(folder).unwrap();
    files.flat_map(|file| std::fs::read(file.unwrap().path()).unwrap_or_default()).collect()
}

/// PostgreSQL's dump has bytes in hexadecimal.
fn has(stored: &[u8], bytes: &[u8]) -> bool {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [bytes, hex.as_bytes()].iter().any(|wanted| stored.windows(wanted.len()).any(|it| it == *wanted))
}

fn say(scene: &Scene, room: RoomId, author: UserId, text: &str) -> Item {
    let payload = Bytes::from(format!("{CANARY} {text}"));
    Item { payload, digest: *b"digest-of-canary", ..scene.item(room, author, Change::Message(Said::default())) }
}

fn edit(scene: &Scene, room: RoomId, author: UserId, target: Seq, text: &str) -> Item {
    let act = Act::Edit(target, Bytes::from(format!("{CANARY} {text}")), Vec::new());
    scene.item(
        room,
        author,
        Change::Amend(Box::new(Amend { server_role: ServerRole::User, shadowed: false, decided: false, act })),
    )
}

async fn texts(store: &dyn Store, room: RoomId, reader: UserId) -> Vec<(u64, u32, Bytes)> {
    let page = store.read(room, reader, Seq(0), 200).await.unwrap().unwrap();
    page.entries.into_iter().map(|entry| (entry.seq.0, entry.rev, entry.payload)).collect()
}

/// Two messages, of which one was reported before and after an edit, and one that was refused.
async fn live(scene: &Scene) -> (RoomId, UserId, [Item; 2]) {
    let alice = scene.user("alice").await.id;
    let room = scene.room(alice, "one").await;
    let said = say(scene, room, alice, "first");
    scene.append(vec![said.clone(), say(scene, room, alice, "second")]).await;
    scene.report(room, alice, 2, UserId::from_u128(7)).await.unwrap();
    scene.append_one(edit(scene, room, alice, Seq(2), "edited")).await;
    let held = say(scene, room, alice, "held");
    let unappended = Unappended {
        room,
        author: alice,
        client_id: held.client_id,
        digest: held.digest,
        time: START,
        outcome: Outcome::Refused { code: 5001, detail: "no".to_owned() },
        payload: held.payload.clone(),
        note: "words".to_owned(),
        audit: Vec::new(),
    };
    scene.store.record(unappended).await.unwrap();
    scene.report(room, alice, 2, UserId::from_u128(8)).await.unwrap();
    (room, alice, [said, held])
}

/// What is kept with the one case that there is.
async fn kept(store: &dyn Store) -> Vec<(u64, u32, Bytes)> {
    let id = store.list_cases(all_cases()).await.unwrap()[0].id;
    let evidence = store.case(id).await.unwrap().unwrap().evidence;
    evidence.into_iter().map(|entry| (entry.seq.0, entry.rev, entry.payload)).collect()
}

async fn rotate(store: &dyn Store) -> Resealed {
    let mut done = Resealed::START;
    while done.at != ResealedTo::End {
        done = store.reseal(done, 3).await.unwrap();
    }
    done
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_was_said_is_stored_in_clear_and_nothing_opens_elsewhere() {
    for home in Home::all().await {
        let store = home.open(|| vault(&[1])).await.unwrap();
        let scene = Scene { store: store.clone(), count: Arc::default() };
        let (room, alice, [said, _]) = live(&scene).await;
        let stored = home.stored().await;
        assert!(has(&stored, b"alice"), "where it is looked for, there are names");
        assert!(!has(&stored, CANARY.as_bytes()) && !has(&stored, &said.digest));
        let before = texts(&*store, room, alice).await;
        assert_eq!(before[1], (2, 1, Bytes::from(format!("{CANARY} edited"))));
        assert_eq!(scene.store.revisions(room, Seq(2), u32::MAX).await.unwrap()[0].payload, said.payload);
        assert_eq!(kept(&*store).await, [(2, 0, said.payload.clone()), before[1].clone(), before[2].clone()]);
        let records = scene.store.personal_records(alice).await.unwrap();
        assert!(records.iter().any(|record| record["kind"] == "unappended" || record["code"] == 5001), "{records:?}");
        // Somebody who writes into the database moves one in place of another; SQLite's checksums are no secret.
        store.close().await;
        home.run("UPDATE entries SET payload = (SELECT payload FROM entries WHERE seq = 3) WHERE seq = 2");
        let store = home.open(|| vault(&[1])).await.unwrap();
        let error = store.read(room, alice, Seq(0), 200).await.unwrap_err();
        assert!(matches!(&error, Error::Corrupt(what) if !what.contains(CANARY)), "{error}");
        store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_is_not_opened_without_the_keys_that_sealed_it() {
    for home in Home::all().await {
        home.open(|| vault(&[7])).await.unwrap().close().await;
        for keys in [|| vault(&[8]), Vault::default] {
            let words = "key 7, which is missing";
            let Err(error) = home.open(keys).await else { panic!("it was opened") };
            assert!(error.to_string().contains("store.seal_keys") && error.to_string().contains(words), "{error}");
        }
        let other = format!("7 {}\n", "aa".repeat(32));
        let other = || Vault::parse(&other, Opener::Server, Words::Off, random_bytes).unwrap();
        let Err(error) = home.open(other).await else { panic!("it was opened") };
        assert!(error.to_string().contains("another"), "{error}");
        // A command beside a server that has not read the file again seals as that does.
        let tool = home.open(|| vault_of(&[7, 8], Opener::Tool)).await.unwrap();
        assert_eq!(tool.sealing_key(), Some(7));
        tool.close().await;
        let server = home.open(|| vault(&[7, 8])).await.unwrap();
        assert_eq!(server.sealing_key(), Some(8));
        server.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_clear_or_of_an_older_key_is_sealed_anew_beside_those_who_write() {
    for home in Home::all().await {
        let count = Arc::default();
        let store = home.open(Vault::default).await.unwrap();
        let scene = Scene { store: store.clone(), count: Arc::clone(&count) };
        let (room, alice, [said, held]) = live(&scene).await;
        assert!(has(&home.stored().await, CANARY.as_bytes()));
        let evidence = kept(&*store).await;
        store.close().await;
        drop((scene, store));
        for keys in [&[1][..], &[1, 2], &[2, 3]] {
            let store = home.open(|| vault(keys)).await.unwrap();
            let scene = Scene { store: store.clone(), count: Arc::clone(&count) };
            let before = texts(&*store, room, alice).await;
            let writing = async {
                let mut decided = Vec::new();
                for n in 0..40 {
                    decided.push(scene.append_one(say(&scene, room, alice, &format!("meanwhile {n}"))).await);
                    decided.push(scene.append_one(edit(&scene, room, alice, Seq(2), &format!("once more {n}"))).await);
                }
                decided
            };
            let (decided, _) = tokio::join!(writing, rotate(&*store));
            assert!(decided.iter().all(|decision| seq(decision).is_some()), "{decided:?}");
            rotate(&*store).await;
            assert_eq!(rotate(&*store).await.sealed, 0, "all of it is done");
            store.forget_keys().await.unwrap();
            store.compact().await.unwrap();
            store.close().await;
            drop((scene, store));
            // The older keys are not needed any more.
            let store = home.open(|| vault(&keys[keys.len() - 1..])).await.unwrap();
            let after = texts(&*store, room, alice).await;
            assert_eq!(after[2..before.len().min(200)], before[2..], "what was not edited reads as it did");
            assert_eq!(after[1].2, Bytes::from(format!("{CANARY} once more 39")));
            assert_eq!(kept(&*store).await, evidence, "and what is kept with a case");
            assert!(store.revisions(room, Seq(2), u32::MAX).await.unwrap().len() >= 40);
            for (item, is_there) in [(&said, true), (&held, false)] {
                let known = store.find_recorded(room, alice, item.client_id).await.unwrap().unwrap();
                assert_eq!(known.digest, item.digest);
                assert_eq!(matches!(known.outcome, Outcome::Appended(_)), is_there);
            }
            // A resend gets its old seq, and the same client id with other words is refused.
            let scene = Scene { store: store.clone(), count: Arc::clone(&count) };
            let again = scene.append_one(said.clone()).await;
            assert!(matches!(&again, Decision::Recorded(Outcome::Appended(known)) if known.seq == Seq(2)), "{again:?}");
            let other = Item { digest: [9; 16], ..said.clone() };
            let refused = scene.append_one(other).await;
            assert!(matches!(refused, Decision::Refuse(_)), "{refused:?}");
            store.close().await;
        }
        assert!(!has(&home.stored().await, CANARY.as_bytes()), "nothing of the time before stays in clear");
    }
}

/// A server that another has passed by: what it wrote could be read by nobody, or by everybody.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_passed_by_writes_nothing() {
    for home in Home::all().await {
        let clear = home.open(Vault::default).await.unwrap();
        let scene = Scene { store: clear.clone(), count: Arc::default() };
        let (room, alice, [_, held]) = live(&scene).await;
        let behind = clear.index_behind(None).await.unwrap().remove(0);
        let one = home.open(|| vault(&[1])).await.unwrap();
        let passed_by = async |store: &dyn Store| {
            let append = store.append(vec![say(&scene, room, alice, "too late")], START).await.map(drop);
            let (digest, payload) = (held.digest, held.payload.clone());
            let (client_id, outcome) = (scene.client_id(), Outcome::Refused { code: 5001, detail: String::new() });
            let held = Unappended {
                room,
                author: alice,
                client_id,
                digest,
                time: START,
                outcome,
                payload,
                note: String::new(),
                audit: Vec::new(),
            };
            for result in [append, store.record(held).await.map(drop), store.reseal(Resealed::START, 1).await.map(drop)]
            {
                let error = result.unwrap_err();
                assert!(matches!(&error, Error::Unavailable(what) if what.contains("start it anew")), "{error}");
            }
        };
        passed_by(&*clear).await;
        let step = Step { from: behind, to: Seq(1), changes: Vec::new() };
        assert!(clear.index(step).await.is_err(), "nor does it write words into an index that has none");
        rotate(&*one).await;
        let two = home.open(|| vault(&[1, 2])).await.unwrap();
        assert!(one.append(vec![say(&scene, room, alice, "in time")], START).await.is_ok(), "until it is rotated out");
        while rotate(&*two).await.sealed > 0 {}
        two.forget_keys().await.unwrap();
        passed_by(&*one).await;
        assert_eq!(rotate(&*two).await.sealed, 0);
        assert!(two.append(vec![say(&scene, room, alice, "in time")], START).await.is_ok());
        for store in [clear, one, two] {
            store.close().await;
        }
    }
}

/// The embedded store sums up each row: what was damaged before is not made good by another key.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_is_not_sealed_anew() {
    let home = Home::Folder(tempfile::tempdir().unwrap());
    let store = home.open(Vault::default).await.unwrap();
    let scene = Scene { store: store.clone(), count: Arc::default() };
    let (room, alice, _) = live(&scene).await;
    home.run("UPDATE entries SET payload = CAST(replace(payload, 'second', '2econd') AS BLOB) WHERE seq = 3");
    store.close().await;
    drop((scene, store));
    let store = home.open(|| vault(&[1])).await.unwrap();
    let error = store.reseal(Resealed::START, 100).await.unwrap_err();
    assert!(matches!(&error, Error::Corrupt(what) if what.contains("damaged")), "{error}");
    assert!(store.read(room, alice, Seq(0), 200).await.is_err(), "it stays so");
    store.close().await;
}

/// Masked, the digest of what was erased would be the mask, and open the one in an older backup.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_after_an_erasure_gives_no_mask_away() {
    for home in Home::all().await {
        let store = home.open(|| vault(&[1])).await.unwrap();
        let scene = Scene { store: store.clone(), count: Arc::default() };
        let (room, alice, _) = live(&scene).await;
        store.scrub(room, Scrub { said: vec![Seq(3)], rewritten: Vec::new() }).await.unwrap();
        assert_eq!(rotate(&*store).await.sealed, 0);
        store.close().await;
        let store = home.open(|| vault(&[1, 2])).await.unwrap();
        rotate(&*store).await;
        let files = super::backup::dump(&*store).await;
        let entries = Table::find("entries").unwrap();
        let mut rows = Rows::new(entries, &files["entries"][..]);
        let mut digests = Vec::new();
        while let Some(row) = rows.next_row().unwrap() {
            if row.id(0) == Some(room.as_u128()) {
                digests.push(row.field(entries.position("digest")).unwrap().to_vec());
            }
        }
        assert_eq!(digests[2], [0; 16]);
        assert!(digests[1].len() == 20 && texts(&*store, room, alice).await.len() == digests.len());
        store.close().await;
    }
}
