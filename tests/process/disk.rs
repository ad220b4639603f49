//! A full disk: sends are refused as unavailable, nothing acknowledged is lost, the process lives, and goes
//! on when there is space. With a small tmpfs where mounting is allowed, with a limit on file sizes elsewhere.

use std::process::Command;

use confab_client::{Error, Room};
use confab_protocol::model::Seq;
use confab_protocol::reject::RejectCode;

use crate::support::Transport;
use crate::support::disk::SmallDisk;
use crate::support::people::Person;
use crate::support::process::{Place, run};

const BODY: usize = 12_000;
const DISK_BYTES: u64 = 6 << 20;

/// Says long things until one is refused, and a few more: what was acknowledged, and how often it was refused.
async fn fill(person: &Person, room: &Room, name: &str) -> (Vec<(Seq, String)>, usize) {
    let (mut acks, mut refused) = (Vec::new(), 0);
    for n in 0..5_000 {
        let text = format!("{name} {n} {}", "x".repeat(BODY / 4));
        match person.client.say(room.id, &text).await {
            Ok(appended) => acks.push((appended.seq, text)),
            Err(Error::Rejected(reject)) => {
                assert!(reject.is(RejectCode::Unavailable), "{reject:?}");
                assert_eq!(reject.detail, RejectCode::Unavailable.text(), "internals stay in the log");
                refused += 1;
            }
            Err(other) => panic!("{other}"),
        }
        if refused == 5 {
            return (acks, refused);
        }
    }
    panic!("the disk was never full");
}

async fn assert_all_there(person: &Person, room: &Room, acks: &[(Seq, String)]) {
    let history = person.history(room).await;
    for ack in acks {
        let found = history.iter().filter(|(_, text)| *text == ack.1).map(|(seq, _)| *seq).collect::<Vec<_>>();
        assert_eq!(found, [ack.0], "acknowledged: {}", &ack.1[..20]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_sends_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(DISK_BYTES) else {
        eprintln!("mounting a tmpfs is not allowed here; the disk is \"full\" by a limit on file sizes instead");
        return full_by_limit(folder).await;
    };
    let ballast = disk.path().join("ballast");
    std::fs::write(&ballast, vec![1; 3 << 20]).unwrap();
    let data_dir = disk.path().join("data");
    let place = Place::at(folder, data_dir, "");
    let mut server = place.serve();
    let author = place.register(Transport::WebSocket, "author").await;
    let room = author.enter("attic").await;
    let (mut acks, refused) = fill(&author, &room, "first").await;
    eprintln!("{} messages before the disk was full, then {refused} refused", acks.len());
    assert!(!acks.is_empty());
    assert!(server.is_running());
    assert!(place.metric("confab_store_errors_total{kind=\"unavailable\"}") >= 1.0);
    assert!(place.metric("confab_rejects_total{code=\"Unavailable\"}") >= 5.0);
    assert_eq!(place.ops_get("/healthz").unwrap().0, 200);
    assert_all_there(&author, &room, &acks).await;

    std::fs::remove_file(&ballast).unwrap();
    for n in 0..20 {
        let text = format!("there is space again {n}");
        acks.push((author.client.say(room.id, &text).await.unwrap().seq, text));
    }
    let (more, _) = fill(&author, &room, "second").await;
    acks.extend(more);
    assert!(server.is_running() && !place.err().contains("panicked"), "{}", place.err());
    assert_all_there(&author, &room, &acks).await;

    // A crash on a full disk: it starts or says in one line why not; then there is more space.
    server.kill();
    assert!(disk.resize(32 << 20));
    let server = place.serve();
    let reader = place.login(Transport::Quic, "author").await;
    assert_all_there(&reader, &room, &acks).await;
    reader.client.say(room.id, "well again").await.unwrap();
    drop((server, author, reader));
}

/// No file may grow past a bound: writes fail as on a full disk.
async fn full_by_limit(folder: tempfile::TempDir) {
    let data_dir = folder.path().join("data");
    let place = Place::at(folder, data_dir, "");
    // Made first, so that the limit meets sends alone. 512-byte blocks.
    place.serve().kill();
    let mut limited = Command::new("sh");
    let script = "trap '' XFSZ; ulimit -f 4096; exec \"$0\" --config \"$1\" serve";
    limited.args(["-c", script, env!("CARGO_BIN_EXE_confab")]).arg(place.config_file());
    let mut server = place.serve_by(&mut limited);
    let author = place.register(Transport::WebSocket, "author").await;
    let room = author.enter("attic").await;
    let (acks, _) = fill(&author, &room, "first").await;
    assert!(!acks.is_empty() && server.is_running());
    assert!(place.metric("confab_store_errors_total{kind=\"unavailable\"}") >= 1.0);
    assert_all_there(&author, &room, &acks).await;
    server.kill();
    let _server = place.serve();
    let reader = place.login(Transport::Quic, "author").await;
    assert_all_there(&reader, &room, &acks).await;
    reader.client.say(room.id, "well again").await.unwrap();
}

/// The same by the limit alone, so that both ways are known to work wherever this runs.
#[tokio::test(flavor = "multi_thread")]
async fn files_that_may_not_grow_refuse_sends_and_lose_nothing() {
    full_by_limit(tempfile::tempdir().unwrap()).await;
}

#[test]
fn a_disk_that_was_always_full_is_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(DISK_BYTES) else {
        eprintln!("mounting a tmpfs is not allowed here: not tried");
        return;
    };
    // Keys fit, a database does not.
    std::fs::write(disk.path().join("ballast"), vec![1; DISK_BYTES as usize - 32 * 1024]).unwrap();
    let data_dir = disk.path().join("data");
    let place = Place::at(folder, data_dir, "");
    let finished = run(&mut place.command(&["serve"]), "");
    assert!(!finished.err.contains("panicked"), "{finished:?}");
    finished.assert_refused(69, &[]);
}
