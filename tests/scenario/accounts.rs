//! Accounts, by the protocol and by JSON over HTTP: the same answers to the same questions.

use std::time::Duration;

use confab::config::Registration;
use confab_protocol::command::{Command, Login, Register, Reply, Secret, Session};
use confab_protocol::model::{DeviceId, DeviceName, DisplayName, ServerRole, Username};
use confab_protocol::reject::Reject;
use serde_json::{Value, json};

use crate::support::raw::{Raw, Received, Target, accounts, client_id, hello, publish, resend};
use crate::support::{TRANSPORTS, TestServer, Transport};

pub(super) const PASSWORD: &str = "correct horse";

pub(super) async fn server_with(change: impl FnOnce(&mut confab::config::Config)) -> (TestServer, Target) {
    let server = TestServer::start_with(|config| {
        config.plugins.chain.clear();
        change(config);
    })
    .await;
    let target = Target::from(&server);
    (server, target)
}

pub(super) fn register(name: &str, owner_token: Option<&str>) -> Command {
    Command::Register(Register {
        username: Username::parse(name).unwrap(),
        password: Secret::new(PASSWORD),
        display_name: None,
        device: DeviceName::parse("").unwrap(),
        owner_token: owner_token.map(Secret::new),
        invite: None,
    })
}

pub(super) fn login(name: &str, password: &str, device_id: Option<DeviceId>) -> Command {
    let device = DeviceName::parse("").unwrap();
    Command::Login(Login { username: name.into(), password: Secret::new(password), device, device_id })
}

pub(super) fn session(result: Result<Reply, Reject>) -> Session {
    match result {
        Ok(Reply::Session(session)) => session,
        other => panic!("{other:?}"),
    }
}

pub(super) async fn anonymous(target: &Target, transport: Transport) -> Raw {
    Raw::greet(target, transport, None).await.0
}

/// The same question by HTTP.
fn as_json(command: &Command) -> (&'static str, Value) {
    match command {
        Command::Register(register) => {
            let display_name = register.display_name.as_ref().map_or("", DisplayName::as_str);
            let owner_token = register.owner_token.as_ref().map_or("", Secret::expose);
            let body = json!({
                "username": register.username.as_str(), "password": register.password.expose(),
                "displayName": display_name, "device": register.device.as_str(), "ownerToken": owner_token,
            });
            ("/api/v1/register", body)
        }
        Command::Login(login) => {
            let device_id = login.device_id.map_or(String::new(), |id| id.to_string());
            let body = json!({"username": login.username, "password": login.password.expose(), "deviceId": device_id});
            ("/api/v1/login", body)
        }
        Command::Refresh(token) => ("/api/v1/refresh", json!({"refreshToken": token.expose()})),
        other => panic!("{} has no HTTP", other.name()),
    }
}

/// Asks both ways; the reject that both gave.
async fn refused_alike(server: &TestServer, raw: &mut Raw, command: Command) -> (u16, u16) {
    let (path, body) = as_json(&command);
    let (status, json) = server.post(path, &body).await;
    let reject = raw.request(command).await.expect_err("it was allowed");
    assert_eq!(json["code"], reject.code, "{path} {body}");
    assert_eq!(json["detail"], reject.detail, "{path} {body}");
    assert_eq!(json.get("retryAfterMs").is_some(), reject.retry_after_ms > 0);
    (status, reject.code)
}

#[tokio::test(flavor = "multi_thread")]
async fn http_and_the_protocol_refuse_alike() {
    let (server, target) = server_with(|config| config.limits.login_tries = 1_000).await;
    for transport in TRANSPORTS {
        let taken = format!("taken-{transport:?}");
        let mut raw = anonymous(&target, transport).await;
        let (status, body) = server.post("/api/v1/register", &as_json(&register(&taken, None)).1).await;
        assert_eq!((status, &body["username"]), (200, &json!(taken.to_lowercase())));
        let short = |mut command: Command| {
            if let Command::Register(register) = &mut command {
                register.password = Secret::new("seven77");
            }
            command
        };
        let cases = [
            (register(&taken, None), (409, 2005)),
            (short(register("fresh", None)), (400, 1001)),
            (register("fresh", Some("a guess")), (403, 2007)),
            (login(&taken, "wrong horse", None), (401, 2001)),
            (login(&taken, "", None), (401, 2001)),
            (login("nobody", PASSWORD, None), (401, 2001)),
            (login("no name at all!", PASSWORD, None), (401, 2001)),
            (Command::Refresh(Secret::new("nonsense")), (401, 2002)),
            (Command::Refresh(Secret::new("")), (401, 2002)),
        ];
        for (command, expected) in cases {
            assert_eq!(refused_alike(&server, &mut raw, command.clone()).await, expected, "{command:?}");
        }
        // What one way made, the other way knows.
        let by_protocol = session(raw.request(login(&taken, PASSWORD, None)).await);
        let (status, by_http) = server.post("/api/v1/login", &as_json(&login(&taken, PASSWORD, None)).1).await;
        assert_eq!(status, 200);
        assert_eq!(by_http["userId"], by_protocol.identity.user.to_string());
        assert_ne!(by_http["deviceId"], by_protocol.identity.device.to_string());
        let token = Secret::new(by_http["accessToken"].as_str().unwrap());
        let (_, welcome) = Raw::greet(&target, transport, Some(&token)).await;
        assert_eq!(welcome.identity.unwrap().device.to_string(), by_http["deviceId"]);
        let refresh = Command::Refresh(Secret::new(by_http["refreshToken"].as_str().unwrap()));
        let (status, again) = server.post("/api/v1/refresh", &as_json(&refresh).1).await;
        assert_eq!((status, &again["deviceId"]), (200, &by_http["deviceId"]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_user_and_a_wrong_password_look_the_same() {
    let (server, target) = server_with(|_| {}).await;
    let mut raw = anonymous(&target, Transport::Quic).await;
    session(raw.request(register("alice", None)).await);
    let imported = accounts(&server.config, &["imported"]).await;
    assert_eq!(imported.len(), 1);
    let address = server.addresses.http;
    let mut answers = Vec::new();
    for name in ["alice", "nobody", "imported"] {
        let body = as_json(&login(name, "wrong horse", None)).1.to_string();
        let request = format!(
            "POST /api/v1/login HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        answers.push(server.http(address, &request).await);
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0], answers[2]);
    assert_eq!(server.metric(r#"confab_logins_total{outcome="refused"}"#).await, 3.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_is_spent_once_with_a_short_grace() {
    let (server, target) = server_with(|_| {}).await;
    for transport in TRANSPORTS {
        let mut raw = anonymous(&target, transport).await;
        let first = session(raw.request(register(&format!("alice-{transport:?}"), None)).await);
        let second = session(raw.request(Command::Refresh(first.refresh_token.clone())).await);
        assert_eq!(second.identity.device, first.identity.device);
        assert_ne!(second.refresh_token, first.refresh_token);
        // The answer was lost: the same again at once is no theft.
        let again = session(raw.request(Command::Refresh(first.refresh_token.clone())).await);
        assert_eq!(again.refresh_token, second.refresh_token, "it says the same");
        let third = session(raw.request(Command::Refresh(again.refresh_token)).await);
        assert_ne!(third.refresh_token, second.refresh_token);
        // One kind of token is not the other.
        assert_eq!(raw.refusal(Command::Refresh(first.access_token)).await, 2002);
        assert_eq!(raw.refusal(Command::Authenticate(first.refresh_token.clone())).await, 2002);
        assert_eq!(Raw::refused(&target, transport, &first.refresh_token).await.code, 4201);
    }
    assert_eq!(server.metric(r#"confab_logins_total{outcome="refresh_reused"}"#).await, 0.0);
}

async fn http_logout(server: &TestServer, token: &Secret) -> u16 {
    let address = server.addresses.http;
    let head = format!("POST /api/v1/logout HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: 0");
    server.http(address, &format!("{head}\r\nauthorization: Bearer {}\r\n\r\n", token.expose())).await.0
}

#[tokio::test(flavor = "multi_thread")]
async fn log_out_closes_the_device_everywhere_within_a_second() {
    let (server, target) = server_with(|_| {}).await;
    for by_http in [false, true] {
        let mut raw = anonymous(&target, Transport::WebSocket).await;
        let mine = session(raw.request(register(&format!("alice-{by_http}"), None)).await);
        let mut other = anonymous(&target, Transport::Quic).await;
        let theirs = session(other.request(login(mine.identity.username.as_str(), PASSWORD, None)).await);
        let mut twins = Vec::new();
        for transport in TRANSPORTS {
            twins.push(Raw::enter(&target, transport, &mine.access_token).await);
        }
        if by_http {
            assert_eq!(http_logout(&server, &mine.access_token).await, 204);
        } else {
            assert_eq!(raw.request(Command::Logout).await, Ok(Reply::Ok));
        }
        twins.push(raw);
        let closes = async {
            for twin in &mut twins {
                assert_eq!(twin.closed().await.code, 4203);
            }
        };
        tokio::time::timeout(Duration::from_secs(1), closes).await.expect("closed within a second");
        for transport in TRANSPORTS {
            assert_eq!(Raw::refused(&target, transport, &mine.access_token).await.code, 4201);
        }
        assert_eq!(http_logout(&server, &mine.access_token).await, 401);
        assert_eq!(refused_alike(&server, &mut other, Command::Refresh(mine.refresh_token)).await, (401, 2002));
        assert_eq!(other.refusal(Command::Authenticate(mine.access_token)).await, 2002);
        // The other device is as it was.
        session(other.request(Command::Refresh(theirs.refresh_token)).await);
    }
    assert_eq!(http_logout(&server, &Secret::new("nonsense")).await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_owner_even_if_two_try_at_once() {
    let (server, target) = server_with(|config| config.auth.registration = Registration::Closed).await;
    assert!(!server.owner_token.is_empty());
    let mut one = anonymous(&target, Transport::Quic).await;
    let mut two = anonymous(&target, Transport::WebSocket).await;
    assert_eq!(refused_alike(&server, &mut one, register("early", None)).await, (403, 2004));
    let token = Some(server.owner_token.as_str());
    let (a, b) = (one.begin(register("alice", token)).await, two.begin(register("bob", token)).await);
    let results = [one.reply(a).await, two.reply(b).await];
    let roles: Vec<ServerRole> = results
        .iter()
        .filter_map(|result| match result {
            Ok(Reply::Session(session)) => Some(session.identity.role),
            Ok(other) => panic!("{other:?}"),
            Err(reject) => {
                assert_eq!(reject.code, 2007);
                None
            }
        })
        .collect();
    assert_eq!(roles, [ServerRole::Owner]);
    let mut three = anonymous(&target, Transport::Quic).await;
    assert_eq!(refused_alike(&server, &mut three, register("carol", token)).await, (403, 2007));
    assert_eq!(refused_alike(&server, &mut three, register("carol", None)).await, (403, 2004));
    let file = std::fs::read(server.config.data_dir.join("keys/owner-token")).unwrap();
    assert!(file.is_empty(), "the used token is still on disk");
}

#[tokio::test(flavor = "multi_thread")]
async fn five_tries_of_a_password_then_a_wait() {
    let (server, target) = server_with(|_| {}).await;
    let mut raw = anonymous(&target, Transport::Quic).await;
    session(raw.request(register("alice", None)).await);
    session(anonymous(&target, Transport::Quic).await.request(register("bob", None)).await);
    let mut tries = anonymous(&target, Transport::WebSocket).await;
    for name in ["alice", "Alice", "ALICE", "alice"] {
        assert_eq!(tries.refusal(login(name, "guess", None)).await, 2001);
    }
    let (status, _) = server.post("/api/v1/login", &as_json(&login("alice", "guess", None)).1).await;
    assert_eq!(status, 401);
    // All ways in share the count, and the right password does not help.
    let reject = tries.request(login("alice", PASSWORD, None)).await.unwrap_err();
    assert_eq!(reject.code, 4001);
    assert!((1..=180_000).contains(&reject.retry_after_ms), "{reject:?}");
    let (status, body) = server.post("/api/v1/login", &as_json(&login("alice", PASSWORD, None)).1).await;
    assert_eq!((status, &body["code"]), (429, &json!(4001)));
    assert!(body["retryAfterMs"].as_u64().is_some_and(|wait| wait > 0));
    session(anonymous(&target, Transport::WebSocket).await.request(login("bob", PASSWORD, None)).await);
    // A name that nobody has is throttled as well: the difference would tell.
    for _ in 0..5 {
        assert_eq!(tries.refusal(login("nobody", "guess", None)).await, 2001);
    }
    assert_eq!(tries.refusal(login("nobody", "guess", None)).await, 4001);
    assert_eq!(server.metric(r#"confab_limited_total{limit="logins_per_account"}"#).await, 3.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_has_so_many_connections_and_no_more() {
    let (server, target) = server_with(|config| config.limits.connections_per_user = 2).await;
    let token = accounts(&server.config, &["alice"]).await.remove(0).1;
    for transport in TRANSPORTS {
        let one = Raw::enter(&target, Transport::Quic, &token).await;
        let two = Raw::enter(&target, Transport::WebSocket, &token).await;
        assert_eq!(Raw::refused(&target, transport, &token).await.code, 4300);
        one.leave().await;
        // Its place is free as soon as the server has noticed.
        let noticed = async {
            loop {
                let mut next = Raw::open(&target, transport).await;
                next.send(&hello(Some(&token))).await;
                if let Received::Frame(_) = next.next().await {
                    return next;
                }
            }
        };
        let next = tokio::time::timeout(Duration::from_secs(10), noticed).await.expect("the place is taken for ever");
        next.leave().await;
        two.leave().await;
        let open = r#"confab_connections{transport="quic"}"#;
        let gone = async {
            while server.metric(open).await + server.metric(&open.replace("quic", "websocket")).await > 0.0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), gone).await.expect("connections are counted after they ended");
    }
    assert!(server.metric(r#"confab_closes_total{code="TooManyConnections"}"#).await >= 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_has_so_many_devices_and_the_oldest_makes_room() {
    let (_server, target) = server_with(|config| config.limits.devices_per_user = 2).await;
    let mut one = anonymous(&target, Transport::Quic).await;
    let first = session(one.request(register("alice", None)).await);
    let mut two = anonymous(&target, Transport::WebSocket).await;
    let second = session(two.request(login("alice", PASSWORD, None)).await);
    let mut three = anonymous(&target, Transport::Quic).await;
    let third = session(three.request(login("alice", PASSWORD, None)).await);
    assert!(![first.identity.device, second.identity.device].contains(&third.identity.device));
    assert_eq!(one.closed().await.code, 4203, "the oldest login made room");
    let mut four = anonymous(&target, Transport::WebSocket).await;
    let again = session(four.request(login("alice", PASSWORD, Some(second.identity.device))).await);
    assert_eq!(again.identity.device, second.identity.device, "who names a device takes no new place");
    assert!(two.request(Command::Ping).await.is_ok() && three.request(Command::Ping).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_too_fast_is_told_how_long_to_wait() {
    let change = |config: &mut confab::config::Config| {
        (config.limits.sends_per_second, config.limits.sends_burst) = (4, 3);
    };
    let (server, target) = server_with(change).await;
    let tokens = accounts(&server.config, &["alice", "bob"]).await;
    let mut alice = Raw::enter(&target, Transport::Quic, &tokens[0].1).await;
    let mut twin = Raw::enter(&target, Transport::WebSocket, &tokens[0].1).await;
    let mut bob = Raw::enter(&target, Transport::WebSocket, &tokens[1].1).await;
    let room = alice.join("fast").await;
    bob.join("fast").await;
    // Coming in counts as sending; the burst is there again after this.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let ids: Vec<_> = (0..8).map(|_| client_id()).collect();
    let mut asked = Vec::new();
    for id in &ids {
        asked.push((*id, alice.begin(publish(room.id, *id, "now")).await));
    }
    let (mut sent, mut wait) = (Vec::new(), 0);
    for (id, request) in asked {
        match alice.reply(request).await {
            Ok(_) => sent.push(id),
            Err(reject) => {
                assert_eq!(reject.code, 4001);
                assert!((1..=250).contains(&reject.retry_after_ms), "{reject:?}");
                wait = reject.retry_after_ms;
            }
        }
    }
    assert!((3..8).contains(&sent.len()), "a burst of three: {}", sent.len());
    // Resends are no new messages, and other people are not held up.
    for id in sent {
        assert!(alice.request(resend(room.id, id, "now")).await.is_ok());
    }
    assert!(bob.request(publish(room.id, client_id(), "at leisure")).await.is_ok());
    tokio::time::sleep(Duration::from_millis(wait.into())).await;
    assert!(twin.request(publish(room.id, client_id(), "the wait that was told is enough")).await.is_ok());
    assert!(server.metric(r#"confab_limited_total{limit="sends_per_user"}"#).await >= 1.0);
}
