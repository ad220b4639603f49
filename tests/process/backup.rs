//! Backups by the real binary: beside a running server that is written to, and into a store of either kind.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use confab::backup::Watch;
use confab::clock::SystemClock;
use confab::core::seal::Vault;
use confab::core::store::Store;
use confab::store::sqlite::Sqlite;
use confab_client::{Client, Event, Options, Room};
use confab_protocol::command::{Command, Reply, ResumeOutcome, Search};
use confab_protocol::model::{Cursor, Incarnation, Seq};
use tokio::time::Instant;

use crate::support::Transport;
use crate::support::people::Person;
use crate::support::postgres::fresh_url;
use crate::support::process::{PATIENCE, Place, confab, run};

async fn postgres() -> String {
    let url = fresh_url().await;
    format!("store.url = {url:?}")
}

fn backup(place: &Place, action: &str, folder: &Path, more: &[&str]) -> crate::support::process::Finished {
    let arguments = [&["backup", action, folder.to_str().unwrap()], more].concat();
    run(&mut place.command(&arguments), "")
}

async fn outcome(person: &Person, room: &Room, incarnation: Incarnation, seq: Seq) -> ResumeOutcome {
    let cursors = vec![Cursor { room: room.id, incarnation, seq }];
    let reply = person.client.request(Command::Resume(cursors)).await.unwrap();
    let Reply::Resumed(mut resumed) = reply else { panic!("{reply:?}") };
    resumed.remove(0).outcome
}

/// Beside somebody who writes on: everything that was acknowledged before is in it, and what is in it is what was
/// said up to some moment.
async fn beside_a_server_and_into_another(from: Place, to: Place) {
    let mut server = from.serve();
    let mut alice = from.register(Transport::Quic, "alice").await;
    let bob = from.register(Transport::WebSocket, "bob").await;
    let room = alice.enter("plaza").await;
    let bobs = bob.client.join("plaza").await.unwrap();
    let direct = alice
        .client
        .request(Command::Direct { client_id: alice.client.new_client_id(), user: bob.session.identity.user });
    let Reply::Room(direct) = direct.await.unwrap() else { panic!() };
    bob.client.say(direct.id, "between us").await.unwrap();
    for n in 0..300 {
        alice.client.say(room.id, &format!("before {n}")).await.unwrap();
    }
    let stop = Arc::new(AtomicBool::new(false));
    let writer = {
        let (client, stop, room) = (bob.client.clone(), Arc::clone(&stop), bobs.id);
        tokio::spawn(async move {
            let mut said = 0;
            while !stop.load(Ordering::Relaxed) {
                client.say(room, &format!("meanwhile {said}")).await.unwrap();
                said += 1;
            }
            said
        })
    };
    // Readers hear on while it is made.
    let heard = tokio::spawn(async move {
        let mut heard = 0;
        while let Some(event) = alice.events.recv().await {
            if let Event::Entries(push) = event {
                heard += push.entries.len();
            }
        }
        heard
    });
    run(&mut from.command(&["emergency", "1"]), "").assert_good();
    let folder = from.folder.path().join("backup");
    let told = backup(&from, "create", &folder, &["--with-keys"]).assert_good();
    assert!(told.contains("2 accounts") && told.contains("UTC"), "{told}");
    backup(&from, "create", &folder, &[]).assert_refused(1, &["there already"]);
    stop.store(true, Ordering::Relaxed);
    let meanwhile = writer.await.unwrap();
    assert!(meanwhile > 0);
    let whole = bob.history(&bobs).await;
    assert_eq!(whole.len(), 300 + meanwhile);
    let (old_incarnation, old_head) = (bobs.incarnation, whole.last().unwrap().0);
    let access = bob.session.access_token.expose().to_owned();
    server.terminate();
    assert!(server.wait().success());
    drop((bob, alice.client));
    heard.await.unwrap();

    let whole_is = backup(&to, "verify", &folder, &[]).assert_good();
    assert!(whole_is.contains("is whole"), "{whole_is}");
    let restored = backup(&to, "restore", &folder, &[]).assert_good();
    assert!(restored.contains("Everybody logs in anew") && !restored.contains("NO PASSWORD"), "{restored}");
    assert!(restored.contains("emergency level is 1: nobody registers"), "{restored}");
    backup(&to, "restore", &folder, &[]).assert_refused(1, &["in use"]);
    let mut server = to.serve();
    let (late, mut events) = Client::connect(Options::new(to.address(Transport::Quic)).access_token(access));
    assert!(late.join("plaza").await.is_err(), "a token of before is not good");
    while events.try_recv().is_ok() {}
    let bob = to.login(Transport::Quic, "bob").await;
    let room = bob.client.join("plaza").await.unwrap();
    assert_eq!(room.id, bobs.id);
    let kept = bob.history(&room).await;
    assert!((300..=whole.len()).contains(&kept.len()), "{} of {}", kept.len(), whole.len());
    assert_eq!(kept, whole[..kept.len()], "and nothing but what was said up to then");
    assert_ne!(room.incarnation, old_incarnation);
    for seq in [old_head, Seq(1)] {
        assert_eq!(outcome(&bob, &room, old_incarnation, seq).await, ResumeOutcome::IncarnationChanged);
    }
    assert_eq!(outcome(&bob, &room, room.incarnation, room.head).await, ResumeOutcome::Recovered);
    let next = bob.client.say(room.id, "after the restore").await.unwrap();
    assert_eq!(next.seq, room.head.next(), "the log goes on where it was");
    assert_eq!(bob.history(&room).await.len(), kept.len() + 1);
    let alice = to.login(Transport::WebSocket, "alice").await;
    assert_eq!(alice.history(&direct).await.len(), 1);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let search = Search { room: None, query: "\"before 7\"".to_owned(), before: None, limit: 5 };
        let reply = alice.client.request(Command::Search(search)).await.unwrap();
        let Reply::Found { hits, .. } = reply else { panic!("{reply:?}") };
        if hits.len() == 1 {
            break;
        }
        assert!(Instant::now() < deadline, "the index is not made anew: {} hits", hits.len());
        tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    }
    server.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_moves_a_server_to_postgres() {
    beside_a_server_and_into_another(Place::new(), Place::with(&postgres().await)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_moves_a_server_from_postgres() {
    beside_a_server_and_into_another(Place::with(&postgres().await), Place::new()).await;
}

fn names(folder: &Path) -> Vec<PathBuf> {
    let mut names: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_not_whole_is_refused() {
    let place = Place::new();
    let mut server = place.serve();
    let alice = place.register(Transport::Quic, "alice").await;
    let room = alice.enter("plaza").await;
    let said = alice.client.say(room.id, "zebra crossing").await.unwrap();
    let folder = place.folder.path().join("backup");
    let told = backup(&place, "create", &folder, &[]).assert_good();
    assert!(told.contains("no password is good"), "{told}");
    server.terminate();
    server.wait();

    let other = Place::new();
    let refused = |word: &str| {
        backup(&other, "verify", &folder, &[]).assert_refused(1, &[word]);
        backup(&other, "restore", &folder, &[]).assert_refused(1, &[word]);
        assert!(!other.data_dir.exists(), "nothing is made for what is not whole");
    };
    for file in names(&folder) {
        let good = fs::read(&file).unwrap();
        let name = file.file_name().unwrap().to_str().unwrap();
        for at in [0, good.len() / 2, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 0x20;
            fs::write(&file, bad).unwrap();
            refused("");
        }
        fs::write(&file, &good[..good.len() - 1]).unwrap();
        refused("");
        fs::write(&file, [&good[..], b"x"].concat()).unwrap();
        refused("");
        fs::remove_file(&file).unwrap();
        refused(name);
        fs::write(&file, &good).unwrap();
    }
    // A file that is in order by itself, but not the one that was written.
    let entries = folder.join("entries.rows");
    let good = fs::read(&entries).unwrap();
    let at = good.windows(5).position(|bytes| bytes == b"zebra").unwrap();
    let mut other_words = good.clone();
    other_words[at..at + 5].copy_from_slice(b"hyena");
    fs::write(&entries, other_words).unwrap();
    refused("not the file that was written");
    fs::write(&entries, good).unwrap();
    backup(&other, "verify", &folder, &[]).assert_good();

    // Without the keys everything is there, and nobody comes in: that is said.
    let told = backup(&other, "restore", &folder, &[]).assert_good();
    assert!(told.contains("NO PASSWORD IS GOOD"), "{told}");
    fs::create_dir_all(other.data_dir.join("keys")).unwrap();
    fs::copy(place.data_dir.join("keys/pepper"), other.data_dir.join("keys/pepper")).unwrap();
    let _server = other.serve();
    let alice = other.login(Transport::WebSocket, "alice").await;
    assert_eq!(alice.history(&room).await, [(said.seq, "zebra crossing".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_is_not_backed_up_and_other_keys_are_not_replaced() {
    let place = Place::new();
    let mut server = place.serve();
    let alice = place.register(Transport::Quic, "alice").await;
    let room = alice.enter("plaza").await;
    alice.client.say(room.id, "zebra crossing").await.unwrap();
    let good = place.folder.path().join("good");
    backup(&place, "create", &good, &["--with-keys"]).assert_good();
    server.terminate();
    server.wait();
    let other = Place::new();
    fs::create_dir_all(other.data_dir.join("keys")).unwrap();
    fs::write(other.data_dir.join("keys/pepper"), [1; 32]).unwrap();
    backup(&other, "restore", &good, &[]).assert_refused(1, &["keys/pepper", "another"]);
    assert_eq!(fs::read(other.data_dir.join("keys/pepper")).unwrap(), [1; 32]);

    let file = place.data_dir.join("confab.db");
    let mut bytes = fs::read(&file).unwrap();
    let at = bytes.windows(5).position(|bytes| bytes == b"zebra").unwrap();
    bytes[at] ^= 1;
    fs::write(&file, bytes).unwrap();
    let bad = place.folder.path().join("bad");
    backup(&place, "create", &bad, &[]).assert_refused(69, &["damaged", "checksum"]);
    let nowhere = place.folder.path().join("no/such/folder");
    backup(&place, "create", &nowhere, &[]).assert_refused(1, &["no/such/folder"]);
    let left: Vec<PathBuf> = names(place.folder.path());
    assert!(left.iter().all(|path| !path.to_str().unwrap().contains("partial")), "{left:?}");
    assert!(!bad.exists());
    let help = run(confab().args(["backup", "restore", "--help"]), "").assert_good();
    assert!(help.contains("must be stopped"), "{help}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_runs_is_not_restored_into() {
    let place = Place::new();
    let folder = place.folder.path().join("backup");
    backup(&place, "create", &folder, &[]).assert_refused(69, &["confab.db"]);
    assert!(!place.data_dir.join("confab.db").exists(), "a wrong configuration makes no store");
    let _server = place.serve();
    backup(&place, "create", &folder, &[]).assert_refused(1, &["nothing in this store"]);
    place.register(Transport::Quic, "alice").await;
    backup(&place, "create", &folder, &[]).assert_good();
    backup(&place, "restore", &folder, &[]).assert_refused(69, &["another server runs"]);
}

/// Somebody may still be writing into the folder, or mean ill.
#[tokio::test(flavor = "multi_thread")]
async fn what_changes_behind_a_verification_or_has_no_end_is_refused() {
    let place = Place::new();
    let mut server = place.serve();
    let alice = place.register(Transport::Quic, "alice").await;
    let room = alice.enter("plaza").await;
    alice.client.say(room.id, "zebra crossing").await.unwrap();
    let folder = place.folder.path().join("backup");
    backup(&place, "create", &folder, &["--with-keys"]).assert_good();
    server.terminate();
    server.wait();
    let watch: Watch = Arc::new(|_| {});
    let checked = confab::backup::verify(&folder, &Vault::default(), &watch).unwrap();
    let entries = folder.join("entries.rows");
    let good = fs::read(&entries).unwrap();
    let at = good.windows(5).position(|bytes| bytes == b"zebra").unwrap();
    let mut altered = good.clone();
    altered[at..at + 5].copy_from_slice(b"hyena");
    fs::write(&entries, altered).unwrap();
    let (home, keys) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = Sqlite::open(&home.path().join("confab.db"), 1, Vault::default()).unwrap();
    let clock = Arc::new(SystemClock::new());
    let restored =
        confab::backup::restore(&store, keys.path(), &folder, &checked.manifest, clock.clone(), &watch).await;
    assert!(restored.unwrap_err().to_string().contains("not the file that was written"));
    assert!(names(keys.path()).is_empty(), "nor are keys left of it");
    fs::write(&entries, good).unwrap();
    confab::backup::restore(&store, keys.path(), &folder, &checked.manifest, clock, &watch).await.unwrap();
    assert_eq!(names(keys.path()).len(), 2);
    store.close().await;

    for file in ["manifest.json", "entries.rows", "keys/pepper"] {
        let path = folder.join(file);
        let good = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        backup(&place, "verify", &folder, &[]).assert_refused(1, &[]);
        fs::remove_file(&path).unwrap();
        fs::write(&path, good).unwrap();
    }
    backup(&place, "verify", &folder, &[]).assert_good();
}
