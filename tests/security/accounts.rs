//! Those who want into other people's accounts, or to keep them out of their own; and what a key may that was given little.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use confab::core::permissions::{COMMANDS, Effect};
use confab::core::standing::Scopes;
use confab_protocol::model::DeviceId;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use crate::support::TestServer;

const PASSWORD: &str = "correct horse";
/// Times `login_tries` that strangers have together.
const FACTOR: u8 = 20;

/// A POST from an address of another network for each number.
async fn post_from(server: &TestServer, network: u8, path: &str, body: Value) -> (u16, Value) {
    let (to, body) = (server.addresses.http, body.to_string());
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, network, 0, 1)), 0)).unwrap();
    let mut stream = socket.connect(to).await.unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nhost: {to}\r\nconnection: close\r\ncontent-type: application/json");
    let request = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap_or_default())
}

async fn login(server: &TestServer, network: u8, password: &str, device: &str) -> (u16, Value) {
    let body = json!({"username": "Alice", "password": password, "deviceId": device});
    post_from(server, network, "/api/v1/login", body).await
}

async fn server(change: impl FnOnce(&mut confab::config::Config)) -> (TestServer, String) {
    let server = TestServer::start_with(|config| {
        config.plugins.chain.clear();
        change(config);
    })
    .await;
    let body = json!({"username": "alice", "password": PASSWORD});
    let (status, session) = post_from(&server, 1, "/api/v1/register", body).await;
    assert_eq!(status, 200, "{session}");
    let device = session["deviceId"].as_str().unwrap().to_owned();
    (server, device)
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_shut_an_account_for_strangers_alone() {
    let (server, device) = server(|config| config.limits.login_tries = 1).await;
    let made_up = DeviceId::from_u128(7).to_string();
    for network in 10..10 + FACTOR {
        // With a device's id that is none of the account's, they are strangers all the same.
        let offered = if network % 2 == 0 { "" } else { &made_up };
        assert_eq!(login(&server, network, "a guess", offered).await.0, 401, "{network}");
    }
    assert_eq!(login(&server, 100, PASSWORD, "").await.0, 429, "that was enough from everywhere");
    assert_eq!(login(&server, 101, PASSWORD, &made_up).await.0, 429);
    assert_eq!(login(&server, 1, PASSWORD, "").await.0, 200, "from where the account was entered before");
    assert_eq!(login(&server, 102, PASSWORD, &device).await.0, 200, "on its device, from anywhere");
    assert_eq!(login(&server, 102, "a guess", "").await.0, 401, "a right password was no guess");
    assert_eq!(login(&server, 102, PASSWORD, "").await.0, 429, "and that network has had its one try");
}

#[tokio::test(flavor = "multi_thread")]
async fn right_passwords_are_no_guesses_and_forgive_none() {
    let (server, _) = server(|_| {}).await;
    let status = async |password: &str| login(&server, 1, password, "").await.0;
    for _ in 0..8 {
        assert_eq!(status(PASSWORD).await, 200);
    }
    for _ in 0..4 {
        assert_eq!(status("a guess").await, 401);
    }
    for _ in 0..3 {
        assert_eq!(status(PASSWORD).await, 200);
    }
    assert_eq!(status("a guess").await, 401);
    assert_eq!(status(PASSWORD).await, 429, "five guesses, whoever came between them");
}

/// The id of a device is no password: who came by one guesses no more often than strangers do.
#[tokio::test(flavor = "multi_thread")]
async fn who_knows_the_id_of_a_device_does_not_guess_for_ever() {
    let (server, device) = server(|config| config.limits.login_tries = 1).await;
    for network in 10..10 + FACTOR {
        assert_eq!(login(&server, network, "a guess", &device).await.0, 401, "{network}");
    }
    let (status, refused) = login(&server, 100, "a guess", &device).await;
    assert!(status == 429 && refused["retryAfterMs"].as_u64() > Some(0), "{status} {refused}");
    assert_eq!(login(&server, 101, PASSWORD, "").await.0, 200, "strangers are counted apart");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_device_finds_a_place_among_many_strangers() {
    let (server, device) = server(|config| {
        (config.auth.hashing_threads, config.auth.hashing_queue) = (1, 4);
        config.limits.login_tries = 1_000;
    })
    .await;
    let strangers = (20..70).map(|network| {
        let server = &server;
        async move {
            for _ in 0..4 {
                let (status, answer) = login(server, network, "a guess", "").await;
                let is_busy = status == 503 && answer["retryAfterMs"].as_u64() >= Some(1_000);
                assert!(status == 401 || is_busy, "{status} {answer}");
            }
        }
    });
    let known = async {
        for network in 200..210 {
            assert_eq!(login(&server, network, PASSWORD, &device).await.0, 200, "{network}");
        }
    };
    tokio::join!(join_all(strangers), known);
}

#[test]
fn a_key_to_read_changes_nothing() {
    let allowed = |scopes: Scopes| -> Vec<&str> {
        COMMANDS.iter().filter(|(_, demand)| scopes.allow(demand.scopes)).map(|(name, _)| *name).collect()
    };
    let anybody = ["ping", "register", "login", "reset_password", "authenticate", "refresh", "logout"];
    assert_eq!(allowed(Scopes::NONE), anybody);
    let reads =
        ["list_rooms", "list_members", "profiles", "history", "sync", "resume", "unsubscribe", "search", "who_is_here"];
    assert_eq!(allowed(Scopes::READ), [&anybody[..], &reads].concat());
    let writes = [
        "presence",
        "mark_read",
        "leave_room",
        "delete",
        "join_room",
        "publish",
        "edit",
        "react",
        "typing",
        "create_room",
        "direct",
        "knock",
        "update_profile",
        "report",
        "appeal",
    ];
    assert_eq!(allowed(Scopes::READ.and(Scopes::WRITE)), [&anybody[..], &reads, &writes].concat());
    let moderates = [
        "pin",
        "update_room",
        "invite",
        "set_role",
        "sanction",
        "admit",
        "notice",
        "revisions",
        "cases",
        "case",
        "update_case",
        "audit",
    ];
    let all_keys = Scopes::READ.and(Scopes::WRITE).and(Scopes::MODERATE);
    assert_eq!(allowed(all_keys), [&anybody[..], &reads, &writes, &moderates].concat());
    let people = COMMANDS.iter().filter(|(_, demand)| demand.scopes == Scopes::ACCOUNT).count();
    assert_eq!(people + allowed(all_keys).len(), COMMANDS.len(), "the rest is for people");
    // What is seen by others is never done by reading.
    let seen = COMMANDS.iter().filter(|(_, demand)| demand.effect != Effect::Reads);
    assert!(seen.clone().count() > 10 && seen.clone().all(|(_, demand)| !Scopes::READ.allow(demand.scopes)));
}
