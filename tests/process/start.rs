//! Starting: what is printed, and each refusal with its exit code and one clear line.

use std::fs::File;
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::Transport;
use crate::support::process::{Place, confab, run};

pub(super) fn owner_token(out: &str) -> Option<String> {
    let (_, rest) = out.split_once("No owner yet.")?;
    rest.split_whitespace().find(|word| word.len() == 24).map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_prints_addresses_and_the_owner_token() {
    let place = Place::new();
    let mut server = place.serve();
    let out = place.out();
    for words in [
        format!("http://{}/", place.http),
        format!("ws://{}/ws", place.http),
        format!("quic://{}", place.quic),
        format!("http://{}/metrics", place.ops),
        std::fs::read_to_string(place.data_dir.join("dev-cert/fingerprint")).unwrap().trim().to_owned(),
    ] {
        assert!(out.contains(&words), "{words} is missing: {out}");
    }
    let token = owner_token(&out).expect("an owner token");
    assert!(!place.err().contains(&token), "it is not in the log");
    server.kill();

    let mut server = place.serve();
    assert_eq!(owner_token(&place.out()), Some(token.clone()), "nobody owns it yet");
    let owner = place.register_with(Transport::WebSocket, "boss", Some(&token)).await;
    assert_eq!(owner.session.identity.role, confab_protocol::model::ServerRole::Owner);
    server.kill();

    let _server = place.serve();
    assert_eq!(owner_token(&place.out()), None);
    assert!(!place.out().contains("owner"), "{}", place.out());
    assert!(!place.out().contains(&token));
}

#[test]
fn secrets_are_for_the_servers_user_alone() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let _server = place.serve();
    let mut seen = 0;
    for folder in ["keys", "dev-cert"] {
        for entry in std::fs::read_dir(place.data_dir.join(folder)).unwrap().flatten() {
            let (name, mode) = (entry.file_name(), entry.metadata().unwrap().permissions().mode());
            let is_public = ["fingerprint", "cert.pem"].iter().any(|public| name.to_string_lossy().contains(public));
            assert!(is_public || mode & 0o077 == 0, "{folder}/{name:?} has mode {mode:o}");
            seen += 1;
        }
    }
    assert!(seen >= 4, "{seen} files");
}

/// A service manager makes the folder, open to all.
#[test]
fn the_store_is_private_also_in_a_folder_that_is_not() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("state");
    std::fs::create_dir(&data_dir).unwrap();
    std::fs::set_permissions(&data_dir, std::fs::Permissions::from_mode(0o755)).unwrap();
    let place = Place::at(folder, data_dir.clone(), "");
    let _server = place.serve();
    for name in ["confab.db", "confab.db-wal", "confab.db-shm"] {
        let mode = std::fs::metadata(data_dir.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name} has mode {mode:o}");
    }
}

#[test]
fn a_taken_port_is_named() {
    let place = Place::new();
    for (address, key) in [(place.http, "listen.http"), (place.ops, "listen.ops")] {
        let _taken = TcpListener::bind(address).unwrap();
        run(&mut place.command(&["serve"]), "").assert_refused(1, &[key, &address.to_string(), "in use"]);
    }
    let _taken = UdpSocket::bind(place.quic).unwrap();
    run(&mut place.command(&["serve"]), "").assert_refused(1, &["listen.quic", &place.quic.to_string(), "in use"]);
}

#[test]
fn a_second_server_in_the_same_place_is_refused_and_the_first_goes_on() {
    let place = Place::new();
    let mut server = place.serve();
    run(&mut place.command(&["serve"]), "").assert_refused(69, &["another server"]);
    assert!(server.is_running());
    assert_eq!(place.ops_get("/readyz").unwrap().0, 200);
}

#[test]
fn a_bad_configuration_is_refused_by_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.toml");
    let path = file.to_str().unwrap();
    for (text, words) in [
        (&b"this is not toml"[..], &["expected"][..]),
        (b"[listen]\nhttp = 80", &["http"]),
        (b"[listen]\nhttp = \"nowhere\"", &["http"]),
        (b"[limits]\nsend_per_second = 5", &["send_per_second", "sends_per_second"]),
        (b"[limit]\nsends_per_second = 5", &["limit"]),
        (b"[auth]\nbcrypt_cost = 4", &["auth.bcrypt_cost", "10 to 15"]),
        (b"[auth]\nregistration = \"ajar\"", &["registration", "ajar"]),
        (b"[listen]\nhttp = \"0.0.0.0:80\"", &["listen", "tls.cert_file"]),
        (b"[store]\nreaders = -1", &["readers"]),
        (b"\xff\xfe", &["bad.toml"]),
    ] {
        std::fs::write(&file, text).unwrap();
        for arguments in [&["config", "check"][..], &["config", "show"], &["serve"], &["health"]] {
            run(confab().args(["--config", path]).args(arguments), "").assert_refused(78, words);
        }
    }
    let missing = folder.path().join("missing.toml");
    run(confab().arg("--config").arg(&missing).arg("serve"), "").assert_refused(78, &["missing.toml", "No such file"]);
    run(confab().arg("--config").arg(folder.path()).arg("serve"), "").assert_refused(78, &["directory"]);
}

/// As a start refuses it; nothing is compiled for that.
#[test]
fn what_is_said_of_plugins_is_checked_too() {
    let check = |keys: &str| {
        let place = Place::with(keys);
        run(&mut place.command(&["config", "check"]), "")
    };
    for (keys, words) in [
        ("plugins.chain = [\"sanitize\", \"sanitize\"]", &["plugin sanitize", "plugins.chain twice"][..]),
        ("plugins.chain = [\"../x\"]", &["plugin ../x", "no id of a plugin"]),
        ("plugins.chain = [\"nowhere\"]", &["plugin nowhere", "nowhere.wasm"]),
        ("plugins.mode.nobody = \"shadow\"", &["plugins.mode.nobody", "no plugin of the chain"]),
        ("plugins.config.nobody.most = 1", &["plugins.config.nobody", "no plugin of the chain"]),
        ("plugins.sha256.nobody = \"00\"", &["plugins.sha256.nobody", "no plugin of the chain"]),
        ("plugins.grant.nobody = [\"kv\"]", &["plugins.grant.nobody", "no plugin of the chain"]),
        ("plugins.sha256.sanitize = \"00\"", &["plugins.sha256.sanitize", "another component"]),
        ("plugins.grant.sanitize = [\"file\"]", &["plugins.grant.sanitize", "no capability \"file\""]),
    ] {
        check(keys).assert_refused(78, words);
    }
    let words = check("plugins.mode.sanitize = \"off\"").assert_good();
    assert!(words.contains("the configuration is good; whether the plugins load"), "{words}");
}

/// A configuration may come through a pipe, whose end is waited for; rules are a file.
#[test]
fn a_file_that_never_ends_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    run(confab().args(["--config", "/dev/zero", "config", "check"]), "").assert_refused(78, &["/dev/zero", "too long"]);
    for path in [Path::new("/dev/zero"), pipe.as_path()] {
        let name = path.to_str().unwrap();
        run(confab().args(["plugin", "automod"]).arg(path), "").assert_refused(1, &[name, "no regular file"]);
    }
    let long = folder.path().join("long.toml");
    // A hole, which takes no room.
    File::create(&long).unwrap().set_len((1 << 20) + 1).unwrap();
    run(confab().arg("--config").arg(&long).args(["config", "check"]), "")
        .assert_refused(78, &["long.toml", "too long"]);
}

#[test]
fn the_environment_is_checked_like_the_file() {
    let check = |key: &str, value: &str| run(confab().env(key, value).args(["config", "check"]), "");
    check("CONFAB__AUTH__BCRYPT_COST", "4").assert_refused(78, &["bcrypt_cost"]);
    check("CONFAB__LISTEN__HTTPS", "127.0.0.1:1").assert_refused(78, &["https"]);
    check("CONFAB__AUTH__BCRYPT_COST", "11").assert_good();
    let shown = run(confab().env("CONFAB__AUTH__BCRYPT_COST", "11").args(["config", "show"]), "").assert_good();
    assert!(shown.contains("bcrypt_cost = 11"), "{shown}");
}

#[test]
fn what_init_writes_is_what_check_accepts_and_show_repeats() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("confab.toml");
    std::fs::write(&file, run(confab().args(["config", "init"]), "").assert_good()).unwrap();
    run(confab().arg("--config").arg(&file).args(["config", "check"]), "").assert_good();
    let shown = run(confab().arg("--config").arg(&file).args(["config", "show"]), "").assert_good();
    let defaults = run(confab().args(["config", "show"]), "").assert_good();
    assert_eq!(shown, defaults);
    std::fs::write(&file, &shown).unwrap();
    let again = run(confab().arg("--config").arg(&file).args(["config", "show"]), "").assert_good();
    assert_eq!(again, shown, "what is shown can be used");
}

#[test]
fn wrong_usage_is_two() {
    for arguments in [&["sreve"][..], &["serve", "--port"], &[], &["token", "mint"]] {
        let finished = run(confab().args(arguments), "");
        assert_eq!(finished.code, Some(2), "{finished:?}");
        assert!(finished.err.contains("Usage"), "{finished:?}");
    }
}

fn place_with_data_at(make: impl FnOnce(&Path) -> PathBuf) -> Place {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = make(folder.path());
    Place::at(folder, data_dir, "")
}

#[test]
fn a_data_directory_that_cannot_be_is_refused() {
    let is_file = place_with_data_at(|folder| {
        std::fs::write(folder.join("file"), "x").unwrap();
        folder.join("file")
    });
    let below_file = place_with_data_at(|folder| {
        std::fs::write(folder.join("file"), "x").unwrap();
        folder.join("file/data")
    });
    // Where nobody can write, root included.
    let unwritable = place_with_data_at(|_| PathBuf::from("/proc/confab"));
    for place in [is_file, below_file, unwritable] {
        let data_dir = place.data_dir.to_str().unwrap().to_owned();
        run(&mut place.command(&["serve"]), "").assert_refused(69, &[&data_dir]);
        run(&mut place.command(&["user", "import", "-"]), "alice\n").assert_refused(69, &[&data_dir]);
        run(&mut place.command(&["token", "mint", "alice"]), "").assert_refused(69, &[&data_dir]);
    }
}

#[test]
fn a_database_that_is_none_is_refused() {
    for (what, bytes) in [
        ("garbage", b"this is no database at all, but long enough to have a header. ".repeat(200)),
        ("half a header", b"SQLite format 3\0".to_vec()),
    ] {
        let place = Place::new();
        std::fs::create_dir_all(&place.data_dir).unwrap();
        std::fs::write(place.data_dir.join("confab.db"), &bytes).unwrap();
        let finished = run(&mut place.command(&["serve"]), "");
        assert!(!finished.err.contains("panicked"), "{what}: {finished:?}");
        finished.assert_refused(69, &[]);
        assert_eq!(std::fs::read(place.data_dir.join("confab.db")).unwrap(), bytes, "{what}: left as it was");
    }
}

#[test]
fn a_newer_schema_is_refused() {
    let place = Place::new();
    place.serve().kill();
    let file = place.data_dir.join("confab.db");
    let connection = rusqlite::Connection::open(&file).unwrap();
    let newer = "INSERT INTO refinery_schema_history (version, name, applied_on, checksum)
                 SELECT 999, 'later', applied_on, checksum FROM refinery_schema_history WHERE version = 1";
    assert_eq!(connection.execute(newer, ()).unwrap(), 1);
    // What stands in the log belongs to the database: fold it in, so that there is one file to damage.
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(())).unwrap();
    drop(connection);
    run(&mut place.command(&["serve"]), "").assert_refused(69, &["older than its data"]);
}

#[test]
fn damaged_pages_do_not_panic() {
    let place = Place::new();
    place.serve().kill();
    let file = place.data_dir.join("confab.db");
    let connection = rusqlite::Connection::open(&file).unwrap();
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(())).unwrap();
    drop(connection);
    let mut bytes = std::fs::read(&file).unwrap();
    assert!(bytes.len() > 8192);
    bytes[4096..].fill(0xa5);
    std::fs::write(&file, bytes).unwrap();
    let finished = run(&mut place.command(&["serve"]), "");
    assert!(!finished.err.contains("panicked"), "{finished:?}");
    finished.assert_refused(69, &[]);
}

#[test]
fn a_plugin_or_certificate_that_cannot_be_used_is_configuration() {
    let place = Place::with("plugins.chain = [\"nobody\"]");
    run(&mut place.command(&["serve"]), "").assert_refused(78, &["plugin nobody"]);
    let place = Place::with("tls.cert_file = \"/nowhere/cert.pem\"\ntls.key_file = \"/nowhere/key.pem\"");
    run(&mut place.command(&["serve"]), "").assert_refused(78, &["/nowhere/cert.pem"]);
    let folder = tempfile::tempdir().unwrap();
    let pem = folder.path().join("x.pem");
    std::fs::write(&pem, "no certificate").unwrap();
    let place = Place::with(&format!("tls.cert_file = {pem:?}\ntls.key_file = {pem:?}"));
    run(&mut place.command(&["serve"]), "").assert_refused(78, &["x.pem"]);
}
