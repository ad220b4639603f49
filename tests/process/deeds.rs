//! What moderators do by `confab mod` besides looking into cases: in a room, on the whole server, and with the audit.

use confab_protocol::model::{CaseId, Millis};

use crate::support::people::PASSWORD;
use crate::support::process::{PATIENCE, Place, run};

/// `confab chat` and `confab mod`: who somebody is stands before what they do.
fn confab(place: &Place, what: &str, user: &str, arguments: &[&str]) -> std::process::Command {
    let mut command = place.command(&[what, "--user", user]);
    command.args(arguments).env("CONFAB_PASSWORD", PASSWORD);
    command
}

#[test]
fn what_moderators_do_in_a_room_is_done() {
    let place = Place::with("limits.login_tries = 1000");
    let _server = place.serve();
    let talk = |user, options: &[&str], words: &str| {
        let arguments = [options, &["harbour"]].concat();
        run(&mut confab(&place, "chat", user, &arguments), &format!("{words}\n/quit\n"))
    };
    let heard = |user, words: &str| talk(user, &[], words).assert_good();
    let is_refused = |user, words: &str| heard(user, words).contains("not sent");
    let deed = |user, arguments: &[&str]| {
        let arguments = [arguments, &["--room", "harbour"]].concat();
        run(&mut confab(&place, "mod", user, &arguments), "")
    };
    let good = |user, arguments: &[&str]| deed(user, arguments).assert_good();
    for (user, words) in [("alice", "welcome"), ("bob", "cheap watches"), ("carol", "good morning")] {
        talk(user, &["--register"], words).assert_good();
    }

    // The room's making, alice's word, bob's coming, bob's word.
    assert!(good("alice", &["delete", "4"]).contains("#4"));
    assert!(!heard("carol", "still here").contains("watches"));
    assert!(good("alice", &["pin", "2"]).contains("#2 is pinned"));
    assert!(good("alice", &["pin", "2"]).contains("already"));
    good("alice", &["pin", "2", "--remove"]);
    good("alice", &["slow", "1h"]);
    // Counted from what is said while the room is slow.
    assert!(!is_refused("carol", "in time"));
    assert!(is_refused("carol", "too soon"));
    good("alice", &["slow", "off"]);
    assert!(!is_refused("carol", "soon enough"));

    deed("bob", &["mute", "carol"]).assert_refused(1, &["2006"]);
    let told = good("alice", &["mute", "bob", "--for", "1h", "--because", "no advertising"]);
    assert!(told.contains("@bob is muted in harbour"), "{told}");
    assert!(is_refused("bob", "but"));
    good("alice", &["lift", "@bob"]);
    assert!(!is_refused("bob", "thanks"));
    good("alice", &["shadow", "bob"]);
    assert!(!is_refused("bob", "psst"), "nobody is told");
    assert!(!heard("carol", "it is quiet").contains("psst"));
    good("alice", &["kick", "bob"]);
    deed("alice", &["kick", "bob"]).assert_refused(1, &["no member", "bob"]);
    talk("bob", &[], "back again").assert_good();
    good("alice", &["ban", "bob"]);
    assert_eq!(talk("bob", &[], "let me in").code, Some(1));
    // Who is no member is found all the same.
    good("alice", &["lift", "bob"]);
    talk("bob", &[], "here I am").assert_good();

    deed("carol", &["cases"]).assert_refused(1, &["2006"]);
    assert!(good("alice", &["role", "carol", "moderator"]).contains("@carol is moderator of harbour"));
    good("carol", &["cases"]);
    deed("carol", &["slow", "30s"]).assert_refused(1, &["2006"]);
    assert!(!good("carol", &["invite", "--uses", "2"]).trim().is_empty());
    let audit = good("alice", &["audit"]);
    for act in ["delete", "pin", "unpin", "settings", "mute", "lift", "shadow", "kick", "ban", "role", "invite"] {
        assert!(audit.lines().any(|line| line.split('\t').any(|cell| cell == act)), "{act} is missing: {audit}");
    }
}

#[test]
fn what_moderators_do_on_the_whole_server_is_done() {
    let place = Place::with("limits.login_tries = 1000");
    let _server = place.serve();
    for user in ["alice", "bob"] {
        run(&mut confab(&place, "chat", user, &["--register", "harbour"]), "/quit\n").assert_good();
    }
    let deed = |user, arguments: &[&str]| run(&mut confab(&place, "mod", user, arguments), "");
    let ban = ["server", "ban", "bob", "--room", "harbour", "--for", "1h"];
    deed("alice", &ban).assert_refused(1, &["2006"]);
    run(&mut place.command(&["user", "role", "alice", "moderator"]), "").assert_good();
    let good = |arguments: &[&str]| deed("alice", arguments).assert_good();
    assert!(good(&ban).contains("@bob is banned from this server"));
    deed("bob", &["cases", "--mine"]).assert_refused(1, &["2009"]);
    good(&["server", "lift", "bob", "--room", "harbour"]);
    deed("bob", &["cases", "--mine"]).assert_good();
    deed("alice", &["server", "kick", "bob"]).assert_refused(1, &["--room"]);
    good(&["server", "kick", "bob", "--room", "harbour"]);
    deed("alice", &["server", "role", "bob", "moderator", "--room", "harbour"]).assert_refused(1, &["2006"]);
    assert_eq!(good(&["server", "invite", "--uses", "2"]).lines().count(), 1);
    let audit = good(&["audit"]);
    for act in ["server-ban", "server-lift", "server-kick", "invite-account"] {
        assert!(audit.lines().any(|line| line.split('\t').any(|cell| cell == act)), "{act} is missing: {audit}");
    }
}

#[test]
fn cases_are_asked_for_in_parts_and_given_whole() {
    /// More than a table has, and more than is listed where nobody asks for all.
    const OLD: usize = 1_001;
    const DAY_MS: u64 = 24 * 3_600_000;
    let place = Place::with("limits.login_tries = 1000");
    let _server = place.serve();
    for user in ["alice", "bob", "carol"] {
        run(&mut confab(&place, "chat", user, &["--register", "harbour"]), "good morning\n/quit\n").assert_good();
    }
    let moderate = |arguments: &[&str]| run(&mut confab(&place, "mod", "alice", arguments), "");
    moderate(&["mute", "bob", "--room", "harbour"]).assert_good();
    // The same again and again, a day ago.
    let store = rusqlite::Connection::open(place.data_dir.join("confab.db")).unwrap();
    store.busy_timeout(PATIENCE).unwrap();
    let opened: i64 = store.query_row("SELECT opened_ms FROM cases", [], |row| row.get(0)).unwrap();
    let day_ago = Millis(u64::try_from(opened).unwrap() - DAY_MS);
    let columns = "room, kind, state, subject, seq, reason, reports, assignee, decision, decider, decided_ms, \
                   appeal_decision, due, opened_ms, changed_ms, reminded_ms";
    let copy = format!("INSERT INTO cases (id, {columns}) SELECT ?, {columns} FROM cases LIMIT 1");
    store.execute_batch("BEGIN IMMEDIATE").unwrap();
    for n in 0..OLD as u128 {
        assert_eq!(store.execute(&copy, [CaseId::new(day_ago, n).to_bytes().to_vec()]).unwrap(), 1);
    }
    store.execute_batch("COMMIT").unwrap();
    moderate(&["mute", "carol", "--room", "harbour"]).assert_good();

    let listed =
        |arguments: &[&str]| moderate(&[&["cases", "--room", "harbour", "--state", "any"][..], arguments].concat());
    let count = |arguments: &[&str]| listed(&[&["--json"][..], arguments].concat()).assert_good().lines().count();
    assert_eq!(count(&["--all"]), OLD + 2);
    assert_eq!(count(&["--all", "--user", "bob"]), OLD + 1);
    assert_eq!((count(&["--user", "carol"]), count(&["--user", "alice"])), (1, 0));
    // Parts that meet at a moment are the whole.
    assert_eq!((count(&["--all", "--since", "12h"]), count(&["--all", "--until", "12h"])), (2, OLD));
    assert_eq!(count(&["--since", "12h", "--until", "12h"]), 0);
    // Somebody who only looks is told that there are more.
    assert_eq!(count(&[]), 1_000);
    let newest = listed(&[]);
    assert!(newest.err.contains("--all"), "{newest:?}");
    assert_eq!(newest.assert_good().lines().count(), 1_001, "under a head");
    assert_eq!(listed(&["--all"]).assert_good().lines().count(), OLD + 2 + 2, "in two tables");
}

#[test]
fn the_audit_is_asked_for_in_parts_and_given_whole() {
    const PINS: usize = 110;
    let place = Place::with("limits.login_tries = 1000");
    let _server = place.serve();
    run(&mut confab(&place, "chat", "alice", &["--register", "harbour"]), "welcome\n/quit\n").assert_good();
    let moderate =
        |arguments: &[&str], lines: &str| run(&mut confab(&place, "mod", "alice", arguments), lines).assert_good();
    moderate(&["invite", "--room", "harbour"], "");
    // More than a page of records.
    moderate(&[], &"pin --room harbour 2\npin --room harbour 2 --remove\n".repeat(PINS));
    let audit = |arguments: &[&str]| moderate(&[&["audit", "--room", "harbour"][..], arguments].concat(), "");
    let acts = |arguments: &[&str]| {
        let lines = audit(&[&["--json"][..], arguments].concat());
        let record = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
        let act = |line| record(line)["act"].as_str().unwrap().to_owned();
        lines.lines().map(act).collect::<Vec<String>>()
    };
    let whole = acts(&["--all"]);
    assert_eq!((whole.len(), whole.last().map(String::as_str)), (2 * PINS + 1, Some("invite")));
    assert_eq!(acts(&[]).len(), 100);
    assert_eq!(acts(&["--limit", "1", "--act", "invite", "--act", "ban"]), ["invite"], "it is on the second page");
    assert_eq!(acts(&["--all", "--act", "unpin", "--since", "1h"]).len(), PINS);
    assert!(acts(&["--all", "--until", "1h"]).is_empty(), "nothing is so old");
    assert!(acts(&["--all", "--since", "2100-01-01"]).is_empty());
    assert!(acts(&["--all", "--verdict", "hold"]).is_empty() && acts(&["--all", "--enforced"]).is_empty());

    // Parts that meet at a moment are the whole.
    let line = audit(&["--json", "--limit", "1"]);
    let newest: serde_json::Value = serde_json::from_str(line.trim()).unwrap();
    assert_eq!(newest["act"], "unpin");
    let shown = audit(&["--limit", "1"]);
    let second = shown.split('\t').next().unwrap();
    let (before, after) = (acts(&["--all", "--until", second]), acts(&["--all", "--since", second]));
    assert_eq!(before.len() + after.len(), whole.len());
    assert!(after.last().is_some() && before.len() < whole.len(), "{second}");
}
