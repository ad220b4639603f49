//! Access tokens that are none: each attack is offered in `hello` over both transports, in band, and over HTTP, and the
//! list is printed with the codes that answered it:
//! `cargo test --test main security::tokens -- --nocapture`.

mod attacks;
mod forge;

use std::time::Duration;

use confab_protocol::chat_capnp as wire;
use confab_protocol::command::{Command, Secret};
use confab_protocol::limits::{FRAME_BYTES_MAX, HELLO_BYTES_MAX, TOKEN_BYTES_MAX};
use confab_protocol::model::DisplayName;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use self::attacks::{Refusal, attacks};
use self::forge::Forger;
use crate::support::people::Person;
use crate::support::raw::{Raw, Target, accounts, minted, now};
use crate::support::{TRANSPORTS, TestServer, Transport};

/// Attacks that are more than a token, and the tests that hold them.
const ELSEWHERE: [(&str, &str); 4] = [
    ("a flipped bit in every byte", "core::auth::tokens::a_flipped_bit_anywhere_is_refused"),
    (
        "refresh token used again",
        "scenario::logins::a_refresh_token_that_is_offered_behind_its_successor_ends_the_login",
    ),
    ("refresh token used twice at once", "store::refresh, on both stores"),
    ("access token of an ended login", "scenario::logins::a_new_login_on_a_device_revives_no_token_of_an_ended_one"),
];
/// Heads of HTTP requests are not read any further, bytes.
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// What four doors say: a close, a close, a reject, a status.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Answers {
    quic: u16,
    websocket: u16,
    in_band: Option<u16>,
    http: u16,
}

/// What they must say of a token of this length.
fn expected(token: &str, refusal: Refusal) -> Answers {
    let (close, reject) = match refusal {
        Refusal::Expired => (4200, 2003),
        Refusal::Invalid => (4201, 2002),
    };
    let is_long = token.len() > TOKEN_BYTES_MAX;
    let hello = if is_long { 4101 } else { close };
    Answers {
        quic: hello,
        websocket: hello,
        in_band: (token.len() < HELLO_BYTES_MAX).then_some(if is_long { 1001 } else { reject }),
        http: if token.len() > HEAD_BYTES_MAX { 431 } else { 401 },
    }
}

struct Doors {
    server: TestServer,
    target: Target,
    /// Somebody with a good token, who offers others in band.
    inside: [Raw; 2],
}

impl Doors {
    async fn answers(&mut self, token: &str) -> Answers {
        let quic = self.hello(Transport::Quic, token).await;
        let websocket = self.hello(Transport::WebSocket, token).await;
        let mut in_band = None;
        if token.len() < HELLO_BYTES_MAX {
            let [one, other] = &mut self.inside;
            let code = one.refusal(Command::Authenticate(Secret::new(token))).await;
            assert_eq!(other.refusal(Command::Authenticate(Secret::new(token))).await, code);
            in_band = Some(code);
        }
        Answers { quic, websocket, in_band, http: self.http("/api/v1/logout", token, "").await }
    }

    /// The code of the close that answers a hello; 0 where the connection was lost.
    async fn hello(&self, transport: Transport, token: &str) -> u16 {
        let mut raw = Raw::open(&self.target, transport).await;
        raw.send_frame(&hello(token)).await;
        raw.closed().await.code
    }

    /// The status; 0 where the connection was lost.
    async fn http(&self, path: &str, token: &str, body: &str) -> u16 {
        let (address, length) = (self.server.addresses.http, body.len());
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        let (mut reading, mut writing) = tokio::net::TcpStream::connect(address).await.unwrap().into_split();
        // A server may answer and close before all was sent.
        let sending = crate::support::raw::spawn(async move {
            let _ = writing.write_all(request.as_bytes()).await;
            // Until the answer is there: half a connection is a peer that has gone.
            std::future::pending::<()>().await;
        });
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(Duration::from_secs(30), reading.read_to_end(&mut answer)).await;
        sending.abort();
        let status = String::from_utf8_lossy(&answer).split(' ').nth(1).and_then(|status| status.parse().ok());
        status.unwrap_or(0)
    }
}

/// A hello with any token, however long.
fn hello(token: &str) -> Vec<u8> {
    let space = capnp::message::HeapAllocator::new().first_segment_words(token.len() as u32 / 8 + 64);
    let mut message = capnp::message::Builder::new(space);
    let mut hello = message.init_root::<wire::client_frame::Builder<'_>>().init_hello();
    hello.set_version_min(1);
    hello.set_version_max(1);
    hello.set_client("forger");
    hello.set_token(token);
    capnp::serialize::write_message_to_words(&message)
}

async fn server() -> (TestServer, Target) {
    let server = TestServer::start_with(|config| {
        config.plugins.chain.clear();
        config.limits.connections_per_ip = 2_000;
    })
    .await;
    let target = Target::from(&server);
    (server, target)
}

fn told(name: &str, answers: Answers) {
    let Answers { quic, websocket, in_band, http } = answers;
    let in_band = in_band.map_or_else(|| "-".to_owned(), |code| code.to_string());
    println!("{name:<44} | {quic:>4} | {websocket:>9} | {in_band:>7} | {http:>4}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_attack_is_refused_with_its_code() {
    let (server, target) = server().await;
    let token = accounts(&server.config, &["mallory"]).await.remove(0).1;
    let forger = Forger::new(token.expose(), &server.config.data_dir.join("keys"));
    let inside =
        [Raw::enter(&target, Transport::Quic, &token).await, Raw::enter(&target, Transport::WebSocket, &token).await];
    let mut doors = Doors { server, target, inside };
    // The forger can do it: what is like a good token is taken for one.
    let copy = Secret::new(forger.own(&forger.header.to_string(), &forger.claims.to_string()));
    for transport in TRANSPORTS {
        Raw::enter(&doors.target, transport, &copy).await.leave().await;
    }
    println!("{:<44} | quic | websocket | in band | http", "attack");
    let (mut wrong, mut count) = (Vec::new(), 0);
    for (name, token, refusal) in attacks(&forger, now().0 / 1000) {
        let (answers, mut expected) = (doors.answers(&token).await, expected(&token, refusal));
        if token.len() > FRAME_BYTES_MAX {
            // Who goes on sending may lose the answer together with the connection.
            for (code, answer) in [(&mut expected.websocket, answers.websocket), (&mut expected.http, answers.http)] {
                *code = if answer == 0 { 0 } else { *code };
            }
        }
        told(&name, answers);
        count += 1;
        if answers != expected {
            wrong.push(format!("{name}: {answers:?} instead of {expected:?}"));
        }
    }
    for (name, test) in ELSEWHERE {
        println!("{name:<44} | {test}");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(count > 120, "{count}");
    // Nobody was logged out by any of it, and the server is as it was.
    for raw in &mut doors.inside {
        assert!(raw.request(Command::Authenticate(token.clone())).await.is_ok());
    }
    assert_eq!(doors.http("/api/v1/logout", copy.expose(), "").await, 204, "the same door opens for a good one");
    assert_eq!(doors.server.metric("confab_connection_panics_total").await, 0.0);
}

/// What a token says of its account may have been so once.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_were_good_once_are_refused() {
    let (server, target) = server().await;
    let config = server.config.clone();
    let before = accounts(&config, &["alice"]).await.remove(0);
    let mut inside = Vec::new();
    let bystander = accounts(&config, &["bob"]).await.remove(0).1;
    for transport in TRANSPORTS {
        inside.push(Raw::enter(&target, transport, &bystander).await);
    }
    let inside: [Raw; 2] = inside.try_into().unwrap_or_else(|_| panic!());
    let mut doors = Doors { server, target, inside };
    let invalid = expected("", Refusal::Invalid);

    // Locked: its tokens are of an older version from now on, and stay so when it is used again.
    let store = confab::open_store(&config).await.unwrap();
    store.lock_account(before.0, DisplayName::parse("alice").unwrap()).await.unwrap();
    let answers = doors.answers(before.1.expose()).await;
    told("a token of a locked account", answers);
    assert_eq!(answers, invalid);
    let after = minted(&config, &["alice"], 900, now()).await.remove(0).1;
    Raw::enter(&doors.target, Transport::Quic, &after).await.leave().await;
    let forger = Forger::new(after.expose(), &config.data_dir.join("keys"));
    let old = forger.own(&forger.header.to_string(), &forger.claims_with(&json!({"ver": 0})));
    assert_eq!(forger.claims["ver"], 1);
    let answers = doors.answers(&old).await;
    told("an old token version", answers);
    assert_eq!(answers, invalid);

    // Of a banned account: here, when accounts can be banned; 4204 in hello.
}

/// The two kinds of tokens are not taken for each other.
#[tokio::test(flavor = "multi_thread")]
async fn refresh_and_access_tokens_are_not_exchanged() {
    let (server, target) = server().await;
    let alice = Person::register(&server, Transport::Quic, "alice").await;
    let access = alice.session.access_token.clone();
    let refresh = alice.session.refresh_token.expose().to_owned();
    let inside =
        [Raw::enter(&target, Transport::Quic, &access).await, Raw::enter(&target, Transport::WebSocket, &access).await];
    let mut doors = Doors { server, target, inside };
    let answers = doors.answers(&refresh).await;
    told("a refresh token used as access token", answers);
    assert_eq!(answers, expected(&refresh, Refusal::Invalid));

    let mut codes = Vec::new();
    for transport in TRANSPORTS {
        let mut stranger = Raw::greet(&doors.target, transport, None).await.0;
        codes.push(stranger.refusal(Command::Refresh(access.clone())).await);
    }
    let body = json!({"refreshToken": access.expose()}).to_string();
    codes.push(doors.http("/api/v1/refresh", "none", &body).await);
    println!(
        "{:<44} | {} | {:>9} | {:>7} | {:>4}",
        "an access token used to refresh", codes[0], codes[1], "-", codes[2]
    );
    assert_eq!(codes, [2002, 2002, 401]);
    // Neither was spent by it.
    let mut stranger = Raw::greet(&doors.target, Transport::Quic, None).await.0;
    assert!(stranger.request(Command::Refresh(Secret::new(refresh))).await.is_ok());
}
