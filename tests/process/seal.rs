//! Sealing by the real binary: keys, their change beside a running server, searches, and what backups and archives hold.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use confab_client::{Error, Room};
use confab_protocol::command::{Command, Reply, Search};
use confab_protocol::reject::RejectCode;
use tokio::time::Instant;

use crate::support::Transport;
use crate::support::people::Person;
use crate::support::postgres::Cluster;
use crate::support::process::{Finished, PATIENCE, Place, Running, run};

const CANARY: &str = "zebracanary";

fn confab(place: &Place, arguments: &[&str]) -> Finished {
    run(&mut place.command(arguments), "")
}

fn has_canary(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            found.extend(has_canary(&path));
        } else if fs::read(&path).unwrap_or_default().windows(CANARY.len()).any(|it| it == CANARY.as_bytes()) {
            found.push(path.display().to_string());
        }
    }
    found
}

async fn search(person: &Person, query: &str) -> Result<usize, u16> {
    let search = Search { room: None, query: query.to_owned(), before: None, limit: 50 };
    match person.client.request(Command::Search(search)).await {
        Ok(Reply::Found { hits, .. }) => Ok(hits.len()),
        Err(Error::Rejected(reject)) => Err(reject.code),
        other => panic!("{other:?}"),
    }
}

fn serve_hashed(place: &Place) -> Running {
    place.serve_by(place.command(&["serve"]).env("CONFAB__STORE__SEALED_SEARCH", "hashed"))
}

fn stop(mut server: Running) {
    server.terminate();
    assert!(server.wait().success());
}

/// The whole life of keys.
async fn keys_come_and_go(place: &Place, keys: &Path, is_clean: impl Fn() -> bool) {
    confab(place, &["serve"]).assert_refused(78, &["store.seal_keys"]);
    let told = confab(place, &["seal", "new-key"]).assert_good();
    assert!(told.contains("lost without it"), "{told}");
    assert_eq!(fs::metadata(keys).unwrap().permissions().mode() & 0o777, 0o600);
    let server = place.serve();
    let alice = place.register(Transport::Quic, "alice").await;
    let room = alice.enter("plaza").await;
    for n in 0..100 {
        alice.client.say(room.id, &format!("{CANARY} speaks {n}")).await.unwrap();
    }
    assert_eq!(search(&alice, CANARY).await, Err(RejectCode::Unsupported as u16));
    assert!(is_clean(), "nothing is stored in clear");
    let archive = confab(place, &["user", "export", "alice"]).assert_good();
    assert!(archive.contains(&format!("{CANARY} speaks 99")), "who may see it does");

    // Another key: the server has to know it first.
    confab(place, &["seal", "new-key"]).assert_good();
    confab(place, &["seal", "rotate"]).assert_refused(1, &["no server was started with key 2"]);
    stop(server);
    let server = place.serve();
    let stop_writing = Arc::new(AtomicBool::new(false));
    let alice = place.login(Transport::WebSocket, "alice").await;
    let writer = {
        let (client, stop_writing) = (alice.client.clone(), Arc::clone(&stop_writing));
        tokio::spawn(async move {
            let mut said = 0;
            while !stop_writing.load(Ordering::Relaxed) {
                client.say(room.id, &format!("{CANARY} meanwhile {said}")).await.unwrap();
                said += 1;
            }
            said
        })
    };
    let told = confab(place, &["seal", "rotate"]).assert_good();
    assert!(told.contains("sealed with key 2") && told.contains(" 0 sealed with key 2"), "{told}");
    stop_writing.store(true, Ordering::Relaxed);
    let meanwhile = writer.await.unwrap();
    assert_eq!(alice.history(&as_room(&alice).await).await.len(), 100 + meanwhile);
    stop(server);
    let text = fs::read_to_string(keys).unwrap();
    let (first, second) = text.split_once('\n').unwrap();
    fs::write(keys, second).unwrap();

    // Without the first key everything is there; words are found by their hashes.
    let server = serve_hashed(place);
    let alice = place.login(Transport::Quic, "alice").await;
    assert_eq!(alice.history(&as_room(&alice).await).await.len(), 100 + meanwhile);
    let deadline = Instant::now() + PATIENCE;
    while search(&alice, "\"speaks 42\"").await != Ok(1) {
        assert!(Instant::now() < deadline, "the index is not made anew");
        tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    }
    assert_eq!(search(&alice, &CANARY.to_uppercase()).await, Ok(50));
    assert_eq!(search(&alice, "zebra*").await, Err(RejectCode::Unsupported as u16));
    assert!(is_clean(), "and neither is the index");
    let folder = place.folder.path().join("backup");
    let mut create = place.command(&["backup", "create", folder.to_str().unwrap(), "--with-keys"]);
    let told = run(create.env("CONFAB__STORE__SEALED_SEARCH", "hashed"), "").assert_good();
    assert!(!told.contains("NOT IN"), "{told}");
    assert_eq!(has_canary(&folder), [""; 0]);
    // A command with other settings leaves the server's index alone.
    confab(place, &["user", "export", "alice"]).assert_refused(69, &["store.sealed_search"]);
    stop(server);

    let elsewhere = Place::new();
    let told = confab(&elsewhere, &["backup", "verify", folder.to_str().unwrap()]).assert_good();
    assert!(told.contains("ARE SEALED WITH KEYS THAT ARE NOT IN"), "{told}");
    confab(&elsewhere, &["backup", "restore", folder.to_str().unwrap()]).assert_good();
    confab(&elsewhere, &["serve"]).assert_refused(69, &["key 2", "missing"]);
    let with_keys = |command: &mut std::process::Command| {
        command.env("CONFAB__STORE__SEAL_KEYS", keys);
    };
    let mut command = elsewhere.command(&["serve"]);
    with_keys(&mut command);
    let server = elsewhere.serve_by(&mut command);
    let alice = elsewhere.login(Transport::Quic, "alice").await;
    assert_eq!(alice.history(&as_room(&alice).await).await.len(), 100 + meanwhile);
    stop(server);
    fs::write(keys, first).unwrap();
    confab(place, &["serve"]).assert_refused(69, &["key 2", "missing"]);
}

async fn as_room(person: &Person) -> Room {
    person.client.join("plaza").await.unwrap()
}

fn keys_file() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seal-keys");
    (folder, path)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_say_is_sealed_and_keys_change_beside_a_server() {
    let (_folder, keys) = keys_file();
    let place = Place::with(&format!("store.seal_keys = {keys:?}"));
    keys_come_and_go(&place, &keys, || has_canary(&place.data_dir).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_on_postgres() {
    let (_folder, keys) = keys_file();
    let fresh = || {
        let cluster = Cluster::shared();
        let database = cluster.fresh_database();
        (cluster.url(&database), database)
    };
    let (url, database) = tokio::task::spawn_blocking(fresh).await.unwrap();
    let place = Place::with(&format!("store.url = {url:?}\nstore.seal_keys = {keys:?}"));
    let hex: String = CANARY.bytes().map(|byte| format!("{byte:02x}")).collect();
    let is_clean = || {
        let dump = tokio::task::block_in_place(|| Cluster::shared().dump(&database));
        !dump.contains(CANARY) && !dump.contains(&hex)
    };
    keys_come_and_go(&place, &keys, is_clean).await;
}
