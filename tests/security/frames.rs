//! Hostile frames over both transports: each gets its number, is counted, and disturbs nobody else.

use std::time::Duration;

use bytes::Bytes;
use confab_protocol::codec::encode_client_frame;
use confab_protocol::command::{ClientFrame, Command, Hello, History, Reply, RoomTarget, Secret};
use confab_protocol::limits::{BODY_BYTES_MAX, FRAME_BYTES_MAX};
use confab_protocol::model::{RoomId, Seq};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;

use crate::support::raw::{
    Raw, Target, accounts, appended, client_id, crafted, crafted_publish, crafted_unknown, hello, minted, now, publish,
};
use crate::support::{TRANSPORTS, TestServer, Transport};

/// A server on which two people talk, whatever else happens.
struct Scene {
    server: TestServer,
    target: Target,
    token: Secret,
    talkers: [Raw; 2],
    room: RoomId,
    heard: Seq,
}

impl Scene {
    async fn new() -> Self {
        let server = TestServer::start_with(|config| {
            config.plugins.chain.clear();
            config.limits.connections_per_ip = 2_000;
        })
        .await;
        let target = Target::from(&server);
        let mut tokens = accounts(&server.config, &["alice", "bob", "mallory"]).await;
        let mut alice = Raw::enter(&target, Transport::Quic, &tokens[0].1).await;
        let mut bob = Raw::enter(&target, Transport::WebSocket, &tokens[1].1).await;
        let room = alice.join("calm").await;
        let heard = bob.join("calm").await.head;
        bob.resume(room.id, room.incarnation, heard).await;
        Self { server, target, token: tokens.remove(2).1, talkers: [alice, bob], room: room.id, heard }
    }

    /// What one says still reaches the other.
    async fn talk_goes_on(&mut self) {
        let [alice, bob] = &mut self.talkers;
        let said = alice.say(self.room, "calm").await.seq;
        assert_eq!(said, self.heard.next());
        bob.hear_until(self.room, said).await;
        self.heard = said;
    }

    /// A hostile connection, greeted or not.
    async fn mallory(&self, transport: Transport, greeted: bool) -> Raw {
        if greeted {
            Raw::enter(&self.target, transport, &self.token).await
        } else {
            Raw::open(&self.target, transport).await
        }
    }

    async fn closes(&self, name: &str) -> f64 {
        self.server.metric(&format!(r#"confab_closes_total{{code="{name}"}}"#)).await
    }

    /// Sends bytes as one frame; the connection is closed with this code, which is counted.
    async fn is_closed(&mut self, greeted: bool, frame: &[u8], code: u16, name: &str) {
        for transport in TRANSPORTS {
            let before = self.closes(name).await;
            let mut mallory = self.mallory(transport, greeted).await;
            mallory.send_frame(frame).await;
            let close = mallory.closed().await;
            assert_eq!(close.code, code, "{transport:?} {name}: {close}");
            assert!(!close.reason.is_empty());
            assert_eq!(self.closes(name).await, before + 1.0, "{transport:?} {name} is counted");
        }
        self.talk_goes_on().await;
    }
}

fn ping() -> Vec<u8> {
    encode_client_frame(&ClientFrame::Request { id: 1, command: Ok(Command::Ping) }).to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_are_none() {
    let mut scene = Scene::new().await;
    let ping = ping();
    let mut several = ping.clone();
    several[..4].copy_from_slice(&1_u32.to_le_bytes());
    let mut trailing = ping.clone();
    trailing.extend([0; 8]);
    let mut pointer = ping.clone();
    pointer[8..16].fill(0xff);
    let mut kind = ping.clone();
    let other = encode_client_frame(&hello(None));
    let at = (8..ping.len()).find(|&at| ping[at] != other[at]).unwrap();
    kind[16..18].copy_from_slice(&77_u16.to_le_bytes());
    assert!(at >= 8);
    let cases: [(&str, Vec<u8>); 9] = [
        ("empty", Vec::new()),
        ("half a header", ping[..4].to_vec()),
        ("truncated", ping[..ping.len() - 8].to_vec()),
        ("no segment table", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("several segments", several),
        ("trailing bytes", trailing),
        ("a wild pointer", pointer),
        ("a kind of the future", kind),
        ("zeros", vec![0; 4_096]),
    ];
    for (label, frame) in cases {
        for greeted in [true, false] {
            println!("{label} {greeted}");
            scene.is_closed(greeted, &frame, 4100, "MalformedFrame").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_are_too_large() {
    let mut scene = Scene::new().await;
    for greeted in [true, false] {
        scene.is_closed(greeted, &vec![0; FRAME_BYTES_MAX + 1], 4101, "FrameTooLarge").await;
    }
    let hello = |client: &str, token: &str| {
        let token = Some(Secret::new(token));
        let frame = Hello { version_min: 1, version_max: 1, client: client.into(), token, features: 0 };
        encode_client_frame(&ClientFrame::Hello(frame))
    };
    scene.is_closed(false, &hello("long token", &"t".repeat(2_049)), 4101, "FrameTooLarge").await;
    scene.is_closed(false, &hello(&"c".repeat(65), "t"), 4101, "FrameTooLarge").await;
    scene.is_closed(false, &hello("very long", &"t".repeat(5_000)), 4101, "FrameTooLarge").await;
    // Nothing is allocated or waited for: the length alone decides.
    for length in [u32::MAX, FRAME_BYTES_MAX as u32 + 1] {
        let before = scene.closes("FrameTooLarge").await;
        let mut mallory = scene.mallory(Transport::Quic, true).await;
        mallory.send_stream(&length.to_le_bytes()).await;
        assert_eq!(mallory.closed().await.code, 4101);
        assert_eq!(scene.closes("FrameTooLarge").await, before + 1.0);
    }
    scene.talk_goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_in_the_wrong_state() {
    let mut scene = Scene::new().await;
    scene.is_closed(false, &ping(), 4102, "WrongState").await;
    scene.is_closed(true, &encode_client_frame(&hello(None)), 4102, "WrongState").await;
    let versions = |version_min, version_max| {
        let frame = Hello { version_min, version_max, client: "x".into(), token: None, features: 0 };
        encode_client_frame(&ClientFrame::Hello(frame))
    };
    for (min, max) in [(2, 9), (0, 0), (u16::MAX, u16::MAX), (2, 1)] {
        scene.is_closed(false, &versions(min, max), 4103, "VersionUnsupported").await;
    }
    let mut mallory = scene.mallory(Transport::WebSocket, true).await;
    mallory.send_text("hello").await;
    assert_eq!(mallory.closed().await.code, 4105);
    assert_eq!(scene.closes("TextFrame").await, 1.0);
    scene.talk_goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_hello_in_time() {
    let mut scene = Scene::new().await;
    let mut silent = scene.mallory(Transport::WebSocket, false).await;
    let mut halting = scene.mallory(Transport::Quic, false).await;
    // A stream exists for the server when its first byte comes.
    halting.send_stream(&[9, 0]).await;
    let closes = async { (silent.closed().await.code, halting.closed().await.code) };
    let codes = tokio::time::timeout(Duration::from_secs(8), closes).await.expect("closed after five seconds");
    assert_eq!(codes, (4104, 4104));
    assert_eq!(scene.closes("HelloTimeout").await, 2.0);
    scene.talk_goes_on().await;
}

/// A token like the server's own, signed by somebody else.
fn forged(token: &Secret) -> Secret {
    let header = jsonwebtoken::decode_header(token.expose()).unwrap();
    let claims: serde_json::Value = jsonwebtoken::dangerous::insecure_decode(token.expose()).unwrap().claims;
    let pair = aws_lc_rs::signature::Ed25519KeyPair::generate().unwrap();
    let key = EncodingKey::from_ed_der(pair.to_pkcs8().unwrap().as_ref());
    Secret::new(jsonwebtoken::encode(&header, &claims, &key).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_are_not_good() {
    let mut scene = Scene::new().await;
    let config = &scene.server.config;
    let long_ago = confab_protocol::model::Millis(now().0 - 3_600_000);
    let expired = minted(config, &["mallory"], 60, long_ago).await.remove(0).1;
    let good = scene.token.expose().to_owned();
    let unsigned = good.rsplit_once('.').unwrap().0.to_owned() + ".";
    let secret = EncodingKey::from_secret(b"confab");
    let mut header = Header::new(Algorithm::HS256);
    header.typ = Some("at+jwt".into());
    let simple = jsonwebtoken::encode(&header, &json!({"sub": "mallory", "exp": u32::MAX}), &secret).unwrap();
    let cases = [
        (expired, 4200, "TokenExpired"),
        (forged(&scene.token), 4201, "TokenInvalid"),
        (Secret::new(unsigned), 4201, "TokenInvalid"),
        (Secret::new(simple), 4201, "TokenInvalid"),
        (Secret::new(good.replace('.', "..")), 4201, "TokenInvalid"),
        (Secret::new("' OR 1=1 --"), 4201, "TokenInvalid"),
        (Secret::new(&"x".repeat(2_048)[..]), 4201, "TokenInvalid"),
    ];
    for (token, code, name) in cases {
        scene.is_closed(false, &encode_client_frame(&hello(Some(&token))), code, name).await;
        for transport in TRANSPORTS {
            let mut raw = scene.mallory(transport, true).await;
            let expected = if code == 4200 { 2003 } else { 2002 };
            assert_eq!(raw.refusal(Command::Authenticate(token.clone())).await, expected);
            assert!(raw.request(Command::Ping).await.is_ok(), "and it is who it was");
            raw.leave().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_refused() {
    let mut scene = Scene::new().await;
    let (mine, theirs) = (scene.room, RoomId::from_u128(7));
    for transport in TRANSPORTS {
        let mut mallory = scene.mallory(transport, true).await;
        let own = mallory.join(&format!("mallory's {transport:?}")).await.id;
        let body = |bytes: &[u8]| (own, bytes.to_vec());
        let cases = [
            (body(b""), 1010),
            (body(b" \r\n\t"), 1010),
            (body(&vec![b'x'; BODY_BYTES_MAX + 1]), 1011),
            (body(&[b'x'; 4_001]), 1011),
            (body(b"\xc3\x28"), 1012),
            (body(b"a\0b"), 1012),
            ((mine, b"not a member".to_vec()), 3002),
            ((theirs, b"no such room".to_vec()), 3002),
            ((RoomId::NONE, b"no room".to_vec()), 3002),
        ];
        for ((room, body), code) in cases {
            let id = mallory.take_id();
            mallory.send_frame(&crafted_publish(id, room, client_id(), &body)).await;
            assert_eq!(mallory.reply(id).await.unwrap_err().code, code, "{} bytes", body.len());
        }
        for frame in [crafted_unknown, |id| crafted(id, |mut out| out.set_stats(()))] {
            let id = mallory.take_id();
            mallory.send_frame(&frame(id)).await;
            assert_eq!(mallory.reply(id).await.unwrap_err().code, 1002);
        }
        assert_eq!(mallory.refusal(Command::JoinRoom(RoomTarget::Id(theirs))).await, 3001);
        assert_eq!(mallory.refusal(Command::History(History::before(mine, Seq(0), 0))).await, 3002);
        assert_eq!(mallory.refusal(Command::History(History::before(theirs, Seq(0), 0))).await, 3002);
        assert_eq!(mallory.say(own, "still served").await.seq, Seq(2));
        let mut stranger = Raw::greet(&scene.target, transport, None).await.0;
        for command in [Command::Logout, Command::JoinRoom(RoomTarget::Id(mine)), publish(mine, client_id(), "x")] {
            assert_eq!(stranger.refusal(command).await, 1003);
        }
    }
    // Five per transport.
    let rejects = |name: &str| format!(r#"confab_rejects_total{{code="{name}"}}"#);
    assert_eq!(scene.server.metric(&rejects("NotMember")).await, 10.0);
    scene.talk_goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_in_flight() {
    const SENT: usize = 400;
    let mut scene = Scene::new().await;
    for transport in TRANSPORTS {
        let mut mallory = scene.mallory(transport, true).await;
        let room = mallory.join("flood").await.id;
        let before = mallory.history_all(room, 0).await.len();
        let (mut ids, mut frames): (Vec<u32>, Vec<Bytes>) = (Vec::new(), Vec::new());
        for _ in 0..SENT {
            let id = mallory.take_id();
            ids.push(id);
            let command = Ok(publish(room, client_id(), "flood"));
            frames.push(encode_client_frame(&ClientFrame::Request { id, command }));
        }
        mallory.send_all(&frames).await;
        let (mut posted, mut refused) = (Vec::new(), 0);
        for id in ids {
            match mallory.reply(id).await {
                Ok(reply) => posted.push(appended(Ok::<Reply, _>(reply)).seq),
                Err(reject) => {
                    assert_eq!(reject.code, 4002, "{reject:?}");
                    refused += 1;
                }
            }
        }
        assert!(posted.len() >= 64, "{} were served", posted.len());
        assert!(refused > 0, "{transport:?}: all {SENT} at once were served");
        assert!(posted.windows(2).all(|pair| pair[1] == pair[0].next()));
        assert_eq!(mallory.history_all(room, 0).await.len() - before, posted.len());
        let reply = mallory.request(Command::LeaveRoom(RoomTarget::Id(room))).await;
        assert_eq!(reply, Ok(Reply::Ok));
        scene.talk_goes_on().await;
    }
}

/// Marsaglia's xorshift: the same garbage every time.
struct Garbage(u64);

impl Garbage {
    const fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Pure noise, noise behind a good header, or a good frame with some bytes changed.
    fn frame(&mut self, good: &[Vec<u8>]) -> Vec<u8> {
        let words = 1 + self.next() as usize % 40;
        let mut noise: Vec<u8> = (0..words * 8).map(|_| self.next() as u8).collect();
        match self.next() % 3 {
            0 => noise,
            1 => {
                let header = ((words - 1) as u64) << 32;
                noise[..8].copy_from_slice(&header.to_le_bytes());
                noise
            }
            _ => {
                let mut frame = good[self.next() as usize % good.len()].clone();
                for _ in 0..=self.next() % 6 {
                    let at = self.next() as usize % frame.len();
                    frame[at] ^= self.next() as u8;
                }
                frame
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_frames_of_garbage() {
    let mut scene = Scene::new().await;
    let (room, token) = (scene.room, scene.token.clone());
    let good: Vec<Vec<u8>> = vec![
        ping(),
        encode_client_frame(&hello(Some(&token))).to_vec(),
        crafted_publish(3, room, client_id(), b"hello"),
        crafted(4, |out| drop(out.init_resume(3))),
        crafted(5, |out| out.init_register().set_username("garbage")),
    ];
    let mut garbage = Garbage(0x9e37_79b9_7f4a_7c15);
    for round in 0..10 {
        let mut open = Vec::new();
        for index in 0..100 {
            // Half of them come in first, so that the garbage reaches the commands.
            let transport = TRANSPORTS[index % 2];
            let mut raw = if index % 4 < 2 {
                Raw::greet(&scene.target, transport, None).await.0
            } else {
                Raw::open(&scene.target, transport).await
            };
            raw.send_frame(&garbage.frame(&good)).await;
            open.push(raw);
        }
        scene.talk_goes_on().await;
        for raw in open {
            raw.leave().await;
        }
        assert_eq!(scene.server.metric("confab_connection_panics_total").await, 0.0, "round {round}");
    }
    let log = scene.talkers[0].history_all(room, 0).await;
    assert_eq!(log.len(), 10, "only what was said");
    assert!(scene.closes("MalformedFrame").await > 100.0);
}
