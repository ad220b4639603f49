//! `confab chat` as scripts and people use it: in a pipe.

use crate::support::people::PASSWORD;
use crate::support::process::{Place, Running, Talk, run};

fn chat(place: &Place, arguments: &[&str]) -> std::process::Command {
    let mut command = place.command(&["chat"]);
    command.args(arguments).env("CONFAB_PASSWORD", PASSWORD);
    command
}

fn assert_ends_well(running: &mut Running) {
    assert_eq!(running.wait().code(), Some(0));
}

#[test]
fn two_talk_in_pipes_over_both_transports() {
    let place = Place::new();
    let _server = place.serve();
    let mut alice = Talk::start(&mut chat(&place, &["--register", "--user", "alice", "harbour"]));
    alice.expect("harbour");
    alice.type_line("the first word");
    alice.expect("alice: the first word");
    let mut bob = Talk::start(&mut chat(&place, &["--quic", "--register", "--user", "bob", "harbour"]));
    bob.expect("alice: the first word");
    alice.expect("bob joined");
    bob.type_line("the second word");
    alice.expect("bob: the second word");
    bob.expect("bob: the second word");
    alice.type_line("/who");
    let who = alice.expect("-- alice");
    assert!(who.contains("bob"), "{who}");
    alice.type_line("/help");
    alice.expect("/join ROOM, /who, /quit");
    alice.type_line("/join  ");
    alice.expect("-- ");
    alice.type_line("/join cellar");
    alice.expect("-- cellar");
    bob.type_line("still in the harbour");
    bob.expect("bob: still in the harbour");
    alice.type_line("down here");
    alice.expect("alice: down here");
    assert!(!alice.heard.iter().any(|line| line.contains("still in the harbour")), "{:?}", alice.heard);
    alice.type_line("/quit");
    assert_ends_well(&mut alice.running);
    bob.hang_up();
    assert_ends_well(&mut bob.running);

    // All typed beforehand, and the history for who comes later.
    let out = run(&mut chat(&place, &["--user", "alice", "harbour"]), "/who\nlast word\n/quit\n").assert_good();
    for words in ["alice: the first word", "bob: the second word", "bob: still in the harbour", "-- alice (here), bob"]
    {
        assert!(out.contains(words), "{words} is missing: {out}");
    }
    let out = run(&mut chat(&place, &["--quic", "--user", "bob", "harbour"]), "").assert_good();
    assert!(out.contains("alice: last word") && !out.contains('#'), "{out}");
    // The room's making is the first, and the third that bob came.
    let out = run(&mut chat(&place, &["--numbers", "--user", "bob", "harbour"]), "").assert_good();
    for line in ["#2 alice: the first word", "#4 bob: the second word"] {
        assert!(out.lines().any(|it| it == line), "{line} is missing: {out}");
    }
}

#[test]
fn the_password_may_come_first_on_standard_input() {
    let place = Place::new();
    let _server = place.serve();
    let mut register = place.command(&["chat", "--register", "--user", "alice"]);
    run(&mut register, &format!("{PASSWORD}\nhello\n/quit\n")).assert_good();
    let mut login = place.command(&["chat", "--user", "alice"]);
    let out = run(&mut login, &format!("{PASSWORD}\n")).assert_good();
    assert!(out.contains("alice: hello"), "{out}");
    assert!(!out.contains(PASSWORD));
}

#[test]
fn a_closed_pipe_is_a_clean_end() {
    let place = Place::new();
    let _server = place.serve();
    run(&mut chat(&place, &["--register", "--user", "alice"]), "one\ntwo\nthree\n/quit\n").assert_good();
    // Whoever reads takes one line and goes; the writer stays.
    let script = "{ \"$0\" --config \"$1\" chat --user alice; echo $? > \"$2\"; } | head -n 1";
    let code = place.folder.path().join("code");
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", script, env!("CARGO_BIN_EXE_confab")]).arg(place.config_file()).arg(&code);
    let finished = run(shell.env("CONFAB_PASSWORD", PASSWORD), "four\nfive\n/quit\n");
    assert_eq!(std::fs::read_to_string(&code).unwrap().trim(), "0", "{finished:?}");
    assert_eq!(finished.err, "", "silently");
    assert_eq!(finished.out.lines().count(), 1, "{finished:?}");
}

#[test]
fn who_cannot_enter_is_told_in_one_line() {
    let place = Place::new();
    {
        let _server = place.serve();
        let mut wrong = chat(&place, &["--user", "nobody"]);
        run(&mut wrong, "").assert_refused(1, &["user name or password is wrong"]);
        let mut impossible = chat(&place, &["--register", "--user", "no body"]);
        run(&mut impossible, "").assert_refused(1, &["no body"]);
        let pin = "00".repeat(32);
        let mut pinned = chat(&place, &["--quic", "--user", "nobody", "--pin", &pin]);
        run(&mut pinned, "").assert_refused(1, &["cannot connect"]);
    }
    run(&mut chat(&place, &["--user", "nobody"]), "").assert_refused(1, &["cannot connect"]);
    run(&mut chat(&place, &["--user", "nobody", "--server", "http://x"]), "").assert_refused(1, &["quic://host:port"]);
}

#[test]
fn what_others_write_does_not_move_the_cursor() {
    let place = Place::with("plugins.chain = []");
    let _server = place.serve();
    run(&mut chat(&place, &["--register", "--user", "eve"]), "red \u{1b}[31m bell \u{7} \u{9b}2J\n/quit\n")
        .assert_good();
    let out = run(&mut chat(&place, &["--register", "--user", "alice"]), "").assert_good();
    assert!(out.contains("eve: red "), "{out}");
    assert!(!out.chars().any(|c| c.is_control() && c != '\n'), "{out:?}");
}
