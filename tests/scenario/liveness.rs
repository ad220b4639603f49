//! Who is silent, who sleeps, and who never finishes a frame.

use std::time::{Duration, Instant};

use confab_protocol::close::{Close, CloseCode};
use confab_protocol::codec::encode_client_frame;
use confab_protocol::command::Secret;
use confab_protocol::limits::{FRAME_TIMEOUT_MS, PROBE_MS};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::raw::{Raw, Target, accounts, hello, spawn};
use crate::support::{TestServer, Transport};

async fn server() -> (TestServer, Target, Secret) {
    let server = TestServer::start_with(|config| config.plugins.chain.clear()).await;
    let target = Target::from(&server);
    let (_, token) = accounts(&server.config, &["alice"]).await.remove(0);
    (server, target, token)
}

/// A WebSocket by hand, greeted: what goes over it is the test's affair.
async fn websocket(target: &Target, token: &Secret) -> TcpStream {
    let mut stream = TcpStream::connect(target.http).await.unwrap();
    let request = format!(
        "GET /ws HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: confab.v1\r\n\r\n",
        target.http
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101"));
    stream.write_all(&masked(0x82, &encode_client_frame(&hello(Some(token))))).await.unwrap();
    let (first, _) = read_message(&mut stream).await;
    assert_eq!(first, 0x82, "a welcome");
    stream
}

/// A frame of RFC 6455 with a mask of zeros.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match u8::try_from(payload.len()) {
        Ok(length @ 0..126) => out.push(0x80 | length),
        _ => {
            out.push(0x80 | 126);
            out.extend_from_slice(&u16::try_from(payload.len()).unwrap().to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
    out
}

async fn read_message(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let first = stream.read_u8().await.unwrap();
    let length = match stream.read_u8().await.unwrap() {
        126 => usize::from(stream.read_u16().await.unwrap()),
        short => usize::from(short),
    };
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).await.unwrap();
    (first, payload)
}

/// When the server closes over WebSocket, and why.
async fn close_of(stream: &mut TcpStream) -> u16 {
    loop {
        let (first, payload) = read_message(stream).await;
        if first == 0x88 {
            return u16::from_be_bytes([payload[0], payload[1]]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_that_is_never_finished_ends_its_connection_and_pings_do_not_help() {
    let (_server, target, token) = server().await;
    let frame = encode_client_frame(&hello(None));
    let began = Instant::now();

    let (quic_target, quic_token, prefix) = (target.clone(), token.clone(), (frame.len() as u32).to_le_bytes());
    let over_quic = spawn(async move {
        let mut raw = Raw::enter(&quic_target, Transport::Quic, &quic_token).await;
        raw.send_stream(&prefix).await;
        raw.closed().await
    });
    let mut stream = websocket(&target, &token).await;
    let (half, _) = frame.split_at(frame.len() / 2);
    // The first fragment of a message, then signs of life.
    stream.write_all(&masked(0x02, half)).await.unwrap();
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(2)).await;
        stream.write_all(&masked(0x89, b"here")).await.unwrap();
    }
    assert_eq!(close_of(&mut stream).await, CloseCode::FrameTimeout.number());
    assert_eq!(over_quic.await.unwrap(), Close::from(CloseCode::FrameTimeout));
    assert!(began.elapsed() >= Duration::from_millis(FRAME_TIMEOUT_MS), "it had its time");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_who_only_pings_is_inside_no_frame() {
    let (_server, target, token) = server().await;
    let mut stream = websocket(&target, &token).await;
    stream.set_nodelay(true).unwrap();
    for _ in 0..12 {
        // In two parts, as a network may cut it.
        let ping = masked(0x89, b"here");
        let (first, second) = ping.split_at(3);
        stream.write_all(first).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        stream.write_all(second).await.unwrap();
        assert_eq!(read_message(&mut stream).await, (0x8a, b"here".to_vec()));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// The timers of a hidden browser tab sleep; what answers the server's ping is the browser itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_websocket_is_asked_for_a_sign_of_life() {
    let (_server, target, token) = server().await;
    let mut stream = websocket(&target, &token).await;
    let began = Instant::now();
    assert_eq!(read_message(&mut stream).await, (0x89, Vec::new()));
    let waited = began.elapsed();
    assert!(waited + Duration::from_secs(1) >= Duration::from_millis(PROBE_MS), "after {waited:?}");
    stream.write_all(&masked(0x8a, b"")).await.unwrap();
    // It counts as heard: the next question comes as late, not the end.
    assert_eq!(read_message(&mut stream).await, (0x89, Vec::new()));
    stream.write_all(&masked(0x8a, b"")).await.unwrap();
    assert_eq!(read_message(&mut stream).await, (0x89, Vec::new()));
}

/// What is no frame of the transport has a number too, and is counted.
#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_the_transports_own_rules_is_told_its_number() {
    let (server, target, token) = server().await;
    let malformed: [(&str, &[u8]); 4] = [
        ("unmasked", &[0x82, 1, b'x']),
        ("a reserved opcode", &[0x83, 0x80, 0, 0, 0, 0]),
        ("a reserved bit", &[0xc2, 0x80, 0, 0, 0, 0]),
        ("a fragmented ping", &[0x09, 0x80, 0, 0, 0, 0]),
    ];
    for (what, bytes) in malformed {
        let mut stream = websocket(&target, &token).await;
        stream.write_all(bytes).await.unwrap();
        assert_eq!(close_of(&mut stream).await, CloseCode::MalformedFrame.number(), "{what}");
    }
    let mut cut = Raw::enter(&target, Transport::Quic, &token).await;
    cut.send_stream(&[100, 0, 0, 0, 1, 2, 3]).await;
    cut.finish_stream().await;
    assert_eq!(cut.closed().await.code, CloseCode::MalformedFrame.number());
    assert!(server.metric(r#"confab_closes_total{code="MalformedFrame"}"#).await >= 5.0);
}

/// How those return whom the server loses at once is for the server to say, which knows how many they are.
#[tokio::test]
async fn a_welcome_says_over_how_long_all_are_to_come_back() {
    let (_server, target, _) = server().await;
    let mut open = Vec::new();
    for count in 1..=20_u16 {
        let transport = if count % 2 == 0 { Transport::Quic } else { Transport::WebSocket };
        let (raw, welcome) = Raw::greet(&target, transport, None).await;
        assert_eq!(welcome.reconnect_jitter_ms, count);
        open.push(raw);
    }
}
