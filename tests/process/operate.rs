//! The operator's commands beside a running server.

use confab_client::{Client, Event, Options};

use crate::support::process::{PATIENCE, Place, run};
use crate::support::{TRANSPORTS, Transport};

#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_imported_and_their_tokens_work() {
    let place = Place::new();
    let tsv = "nick-1\tOld Hand\nnick-2\tمریم <b>\nNick-3\nnick-1\tSomebody Else\n";
    let import = |input: &str| run(&mut place.command(&["user", "import", "-"]), input);
    let out = import(tsv).assert_good();
    assert_eq!(out.trim(), "3 accounts created, 1 names were taken");
    assert_eq!(import(tsv).assert_good().trim(), "0 accounts created, 4 names were taken");
    let file = place.folder.path().join("users.tsv");
    std::fs::write(&file, "nick-4\tFour\n").unwrap();
    let path = file.to_str().unwrap();
    assert!(run(&mut place.command(&["user", "import", path]), "").assert_good().starts_with("1 accounts"));
    run(&mut place.command(&["user", "import", "/nowhere.tsv"]), "").assert_refused(1, &["/nowhere.tsv"]);

    // Nothing of a file with a bad line is taken.
    import("nick-5\tFive\nnot a name\tSix\n").assert_refused(1, &["line 2", "not a name"]);
    import("nick-5\tFive\nnick-6\ttwo\u{7}tone\n").assert_refused(1, &["line 2"]);

    // Also while the server runs.
    let _server = place.serve();
    assert!(import("nick-7\tSeven\n").assert_good().starts_with("1 accounts"));
    let minted = run(&mut place.command(&["token", "mint", "-"]), "nick-1\nnick-2\nnick-3\nnick-7\n").assert_good();
    let tokens: Vec<(&str, &str)> = minted.lines().map(|line| line.split_once('\t').unwrap()).collect();
    let names: Vec<&str> = tokens.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["nick-1", "nick-2", "nick-3", "nick-7"]);
    for (index, (name, token)) in tokens.into_iter().enumerate() {
        let transport = TRANSPORTS[index % 2];
        let (client, mut events) = Client::connect(Options::new(place.address(transport)).access_token(token));
        let event = tokio::time::timeout(PATIENCE, events.recv()).await.unwrap().unwrap();
        let Event::Welcome(welcome) = event else { panic!("{event:?}") };
        let identity = welcome.identity.expect("the token was good");
        assert_eq!(identity.username.as_str(), name);
        let display_name = ["Old Hand", "مریم <b>", "Nick-3", "Seven"][index];
        assert_eq!(identity.display_name.as_str(), display_name);
        let room = client.join("old friends").await.unwrap();
        client.say(room.id, "hello again").await.unwrap();
    }
    // No password, no login.
    let (client, _events) = Client::connect(Options::new(place.address(Transport::WebSocket)));
    assert!(client.login("nick-1", "").await.is_err());
    assert!(client.login("nick-1", "any password").await.is_err());
}

#[test]
fn tokens_are_refused_for_those_who_are_not_there() {
    let place = Place::new();
    run(&mut place.command(&["token", "mint", "nobody"]), "").assert_refused(1, &["no such user", "nobody"]);
    run(&mut place.command(&["token", "mint", "no body"]), "").assert_refused(1, &["no body"]);
    let none = run(&mut place.command(&["token", "mint", "-"]), "");
    assert_eq!((none.code, none.out.as_str()), (Some(0), ""));
}

#[test]
fn health_tells_a_server_from_none() {
    let place = Place::new();
    run(&mut place.command(&["health"]), "").assert_refused(1, &["no server", &place.ops.to_string()]);
    let mut server = place.serve();
    let out = run(&mut place.command(&["health"]), "").assert_good();
    assert!(out.contains("store ok") && out.contains("plugins ok"), "{out}");
    server.kill();
    run(&mut place.command(&["health"]), "").assert_refused(1, &["no server"]);
}

#[test]
fn a_port_that_never_answers_is_not_healthy() {
    let place = Place::new();
    let _silent = std::net::TcpListener::bind(place.ops).unwrap();
    let finished = run(&mut place.command(&["health"]), "");
    assert_eq!(finished.code, Some(1), "{finished:?}");
}
