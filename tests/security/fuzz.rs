//! What the server reads that is no frame, under mutated input: configuration, manifests, tokens, HTTP bodies. The
//! corpora are in `fuzz/corpus`; `cargo xtask fuzz TARGET --secs N` goes on for longer.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use confab::clock::{Clock, SystemClock};
use confab::config::Config;
use confab::core::auth::{Auth, Holder};
use confab::metrics::Metrics;
use confab_fuzz::drive::{self, Effort};
use confab_fuzz::mutate::Shape;
use confab_protocol::command::Secret;
use confab_protocol::model::{DeviceId, Millis, UserId};
use serde_json::Value;

use crate::support::TestServer;

/// Of a smoke run.
const SECONDS: u64 = 1;
/// Bodies over this are refused before they are read, and the connection may be gone before they are sent.
const BODY_BYTES_MAX: usize = 8 * 1024;
/// The tokens of the corpus are good at this time.
const NOW: Millis = Millis(1_800_000_000_000);

fn run(target: &str, body: impl FnMut(&[u8])) {
    let seconds = std::env::var("CONFAB_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SECONDS);
    let summary = drive::run(target, Shape::Text, Effort { time: Duration::from_secs(seconds), seed: 1 }, body);
    println!("{target:15} {summary}");
}

/// Any file: it is refused in one line, or it is a configuration that can be written and read again.
#[test]
fn config() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("confab.toml");
    let load = |text: &[u8]| {
        std::fs::write(&path, text).unwrap();
        Config::load(Some(&path))
    };
    run("config", |data| match load(data) {
        Ok(config) => {
            config.check().unwrap();
            let text = toml::to_string(&config).unwrap();
            let again = load(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"));
            assert_eq!(toml::to_string(&again).unwrap(), text);
        }
        Err(error) => {
            let line = error.to_string();
            assert!(!line.is_empty() && !line.contains('\n'), "{line}");
        }
    });
}

/// Any manifest: it is refused in one short line, or it is good.
#[test]
fn manifest() {
    run("manifest", |data| {
        if let Err(line) = confab::plugin::check_manifest("fuzz", data) {
            assert!(!line.is_empty() && !line.contains('\n') && line.len() <= 256, "{line}");
        }
    });
}

/// A header and claims, signed with the server's own key; or, without a second line, any token. What is accepted has
/// the one algorithm, type and key, nothing critical, and is from us for us.
#[test]
fn token() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.data_dir = folder.path().to_owned();
    config.auth.bcrypt_cost = 10;
    std::fs::create_dir_all(folder.path().join("keys")).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let auth = Auth::open(&config, &clock, &Metrics::new()).unwrap();
    let pkcs8 = std::fs::read(folder.path().join("keys/token-0-ed25519.pk8")).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(&pkcs8).unwrap();
    let holder = Holder { user: UserId::new(NOW, 1), device: DeviceId::new(NOW, 2), version: 0, login: 0 };
    let issued = auth.tokens().issue(holder, NOW).unwrap().0;
    let kid = jsonwebtoken::decode_header(issued.expose()).unwrap().kid.unwrap();
    let mut accepted = 0;
    run("token", |data| {
        let text = String::from_utf8_lossy(data);
        let Some((header, claims)) = text.split_once('\n') else {
            let verdict = auth.tokens().verify(&Secret::new(text.into_owned()), NOW);
            assert!(verdict.is_err(), "nobody signed that");
            return;
        };
        let header = header.replace("KID", &kid);
        let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(&header), URL_SAFE_NO_PAD.encode(claims));
        let signature = URL_SAFE_NO_PAD.encode(pair.sign(input.as_bytes()));
        if auth.tokens().verify(&Secret::new(format!("{input}.{signature}")), NOW).is_ok() {
            let header: Value = serde_json::from_str(&header).unwrap();
            let claims: Value = serde_json::from_str(claims).unwrap();
            assert!(header["alg"] == "EdDSA" && header["typ"] == "at+jwt" && header["kid"] == kid.as_str(), "{header}");
            assert!(header["crit"].is_null(), "{header}");
            assert!(claims["iss"] == "confab" && claims["aud"] == "confab", "{claims}");
            accepted += 1;
        }
    });
    assert!(accepted > 0, "the good token of the corpus is good");
}

/// A path in the first line and a body: an answer comes, never of a failure inside, and one that refuses is JSON.
#[tokio::test(flavor = "multi_thread")]
async fn http_body() {
    let server = TestServer::start_with(|config| config.plugins.chain.clear()).await;
    let address = server.addresses.http;
    let fuzzing = move || run("http_body", |data| check_answer(address, data));
    tokio::task::spawn_blocking(fuzzing).await.unwrap();
}

fn check_answer(address: SocketAddr, data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (path, body) = data.split_at(end);
    let path: String = path.iter().filter(|byte| byte.is_ascii_alphanumeric()).map(|byte| char::from(*byte)).collect();
    let head = format!(
        "POST /api/v1/{path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    // A server may answer and close before all was sent.
    let _ = stream.write_all(&[head.as_bytes(), body].concat());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    let status: Option<u16> = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let Some(status) = status else {
        assert!(body.len() > BODY_BYTES_MAX || path.len() > BODY_BYTES_MAX / 2, "no answer");
        return;
    };
    assert!((200..500).contains(&status), "{answer}");
    if status >= 400 && path.len() < BODY_BYTES_MAX / 2 {
        let json = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let json: Value = serde_json::from_str(json).unwrap_or_else(|_| panic!("no JSON: {answer}"));
        assert!(json["code"].is_u64() && json["detail"].is_string(), "{json}");
    }
}
