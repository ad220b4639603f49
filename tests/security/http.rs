//! Hostile HTTP: headers on every answer, pages of strangers, sizes, slowness, and errors that tell nothing.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::TestServer;

pub(super) async fn bare_server() -> TestServer {
    TestServer::start_with(|config| config.plugins.chain.clear()).await
}

/// An answer, taken apart.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (known, value) = line.split_once(':')?;
            known.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

pub(super) async fn ask(address: SocketAddr, request: impl AsRef<[u8]>) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // A server may answer and close before all was sent.
    let _ = stream.write_all(request.as_ref()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

pub(super) fn request(method: &str, path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}"
    )
}

pub(super) const JSON: &str = "content-type: application/json\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_carries_the_headers() {
    let server = bare_server().await;
    let (http, ops) = (server.addresses.http, server.addresses.ops);
    let login = "/api/v1/login";
    let answers = [
        ("page", ask(http, request("GET", "/", "", "")).await, None),
        ("no such page", ask(http, request("GET", "/nothing", "", "")).await, Some(404)),
        ("no such asset", ask(http, request("GET", "/assets/nothing.js", "", "")).await, Some(404)),
        ("outside", ask(http, request("GET", "/assets/..%2f..%2fCargo.toml", "", "")).await, Some(404)),
        ("no such call", ask(http, request("POST", "/api/v1/nothing", JSON, "{}")).await, Some(404)),
        ("refused", ask(http, request("POST", login, JSON, r#"{"username":"a","password":"b"}"#)).await, Some(401)),
        ("malformed", ask(http, request("POST", login, JSON, "{")).await, Some(400)),
        ("no JSON", ask(http, request("POST", login, "", "{}")).await, Some(415)),
        ("wrong method", ask(http, request("GET", login, "", "")).await, Some(405)),
        ("wrong method of the page", ask(http, request("DELETE", "/", "", "")).await, Some(405)),
        ("logout of nobody", ask(http, request("POST", "/api/v1/logout", "", "")).await, Some(403)),
        ("no upgrade", ask(http, request("GET", "/ws", "", "")).await, Some(400)),
        ("metrics", ask(ops, request("GET", "/metrics", "", "")).await, Some(200)),
        ("health", ask(ops, request("GET", "/healthz", "", "")).await, Some(200)),
        ("ready", ask(ops, request("GET", "/readyz", "", "")).await, Some(200)),
        ("nothing of ops", ask(ops, request("GET", "/", "", "")).await, Some(404)),
        ("wrong method of ops", ask(ops, request("POST", "/metrics", "", "")).await, Some(405)),
    ];
    for (label, answer, status) in answers {
        // Logout without a token is a matter of rights or of identity; either is refused.
        if label == "logout of nobody" {
            assert!((400..=403).contains(&answer.status), "{label}: {}", answer.status);
        } else if let Some(status) = status {
            assert_eq!(answer.status, status, "{label}");
        }
        let csp = answer.header("content-security-policy").unwrap_or_else(|| panic!("{label}: {}", answer.head));
        for rule in
            ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "require-trusted-types-for 'script'"]
        {
            assert!(csp.contains(rule), "{label}: {rule}");
        }
        assert!(!csp.contains("unsafe-inline") && !csp.contains("'unsafe-eval'"), "{label}");
        let expected = [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
        ];
        for (name, value) in expected {
            assert_eq!(answer.header(name), Some(value), "{label} {name}");
        }
        assert!(answer.header("permissions-policy").is_some(), "{label}");
        assert!(answer.header("cache-control").is_some(), "{label}");
        assert_eq!(answer.header("server"), None, "{label}");
        assert_eq!(answer.header("access-control-allow-origin"), None, "{label}");
    }
}

fn upgrade(headers: &str) -> String {
    format!(
        "GET /ws HTTP/1.1\r\nhost: localhost:80\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    )
}

/// The status of an upgrade; what was agreed to is hung up.
async fn upgraded(server: &TestServer, headers: &str) -> u16 {
    let mut stream = TcpStream::connect(server.addresses.http).await.unwrap();
    stream.write_all(upgrade(headers).as_bytes()).await.unwrap();
    let mut start = [0; 12];
    stream.read_exact(&mut start).await.unwrap();
    std::str::from_utf8(&start[9..]).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_strangers_open_no_websocket() {
    let server = TestServer::start_with(|config| {
        config.plugins.chain.clear();
        config.listen.allowed_origins = vec!["https://chat.example".into()];
    })
    .await;
    let protocol = "sec-websocket-protocol: confab.v1\r\n";
    for good in ["", "origin: http://localhost:80\r\n", "origin: https://chat.example\r\n"] {
        assert_eq!(upgraded(&server, &format!("{protocol}{good}")).await, 101, "{good}");
    }
    for bad in [
        "origin: https://evil.example\r\n",
        "origin: null\r\n",
        "origin: \r\n",
        "origin: https://chat.example.evil.example\r\n",
        "origin: https://chat.example:8443\r\n",
        "origin: http://chat.example\r\n",
        "origin: file://\r\n",
        "origin: https://chat.example\r\norigin: https://evil.example\r\n",
    ] {
        assert_eq!(upgraded(&server, &format!("{protocol}{bad}")).await, 403, "{bad}");
    }
    for wrong in ["", "sec-websocket-protocol: chat\r\n", "sec-websocket-protocol: confab.v2, CONFAB.V1\r\n"] {
        assert_eq!(upgraded(&server, wrong).await, 400, "{wrong}");
    }
    assert_eq!(upgraded(&server, "sec-websocket-protocol: other, confab.v1\r\n").await, 101);
    // The API as well: a form of a stranger's page logs nobody in.
    let body = r#"{"username":"alice","password":"correct horse"}"#;
    for origin in ["https://evil.example", "null"] {
        let headers = format!("{JSON}origin: {origin}\r\n");
        for path in ["/api/v1/register", "/api/v1/login"] {
            let answer = ask(server.addresses.http, request("POST", path, &headers, body)).await;
            assert_eq!(answer.status, 403, "{path} {origin}");
        }
    }
    let plain = request("POST", "/api/v1/register", "content-type: text/plain\r\n", body);
    assert_eq!(ask(server.addresses.http, plain).await.status, 415);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_refused() {
    let server = bare_server().await;
    let http = server.addresses.http;
    let body = format!(r#"{{"username":"a","password":"{}"}}"#, "p".repeat(20_000));
    let answer = ask(http, request("POST", "/api/v1/login", JSON, &body)).await;
    assert_eq!(answer.status, 413);
    assert!(answer.header("content-security-policy").is_some());
    let chunks = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let chunked = format!(
        "POST /api/v1/login HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{JSON}transfer-encoding: chunked\r\n\r\n{chunks}"
    );
    assert_eq!(ask(http, chunked).await.status, 413);
    let long = format!("x-long: {}\r\n", "y".repeat(9_000));
    assert_eq!(ask(http, request("GET", "/", &long, "")).await.status, 431);
    let many: String = (0..100).map(|number| format!("x-{number}: y\r\n")).collect();
    assert_eq!(ask(http, request("GET", "/", &many, "")).await.status, 431);
    let path = format!("/{}", "z".repeat(9_000));
    assert!([414, 431].contains(&ask(http, request("GET", &path, "", "")).await.status));
    assert_eq!(ask(server.addresses.ops, request("GET", "/healthz", "", "")).await.status, 200);
}

/// How long the server leaves a connection open that never finishes its head.
async fn patience(address: SocketAddr, first: &[u8], each: &'static [u8]) -> Duration {
    let start = tokio::time::Instant::now();
    let (mut reading, mut writing) = TcpStream::connect(address).await.unwrap().into_split();
    writing.write_all(first).await.unwrap();
    let dribble = crate::support::raw::spawn(async move {
        while writing.write_all(each).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(400)).await;
        }
    });
    let mut rest = Vec::new();
    let _ = reading.read_to_end(&mut rest).await;
    dribble.abort();
    start.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_heads_are_hung_up_on() {
    let server = bare_server().await;
    let http = server.addresses.http;
    let head = b"GET / HTTP/1.1\r\nhost: localhost\r\n";
    let all = async {
        tokio::join!(
            patience(http, b"", b""),
            patience(http, head, b""),
            patience(http, head, b"x: y\r\n"),
            patience(server.addresses.ops, head, b"x: y\r\n"),
        )
    };
    let (silent, started, dribbling, ops) = tokio::time::timeout(Duration::from_secs(15), all).await.unwrap();
    for (label, waited) in [("silent", silent), ("started", started), ("dribbling", dribbling), ("ops", ops)] {
        assert!(waited < Duration::from_secs(7), "{label}: {waited:?}");
        assert!(waited > Duration::from_secs(4), "{label}: {waited:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_tell_nothing_of_the_inside() {
    let server = bare_server().await;
    let http = server.addresses.http;
    let bodies = [
        "",
        "{",
        "[]",
        "null",
        "\"canary-7f3a\"",
        r#"{"username":"canary-7f3a"}"#,
        r#"{"username":5,"password":"canary-7f3a"}"#,
        r#"{"username":"a","password":"b","canary-7f3a":1}"#,
        r#"{"username":"a","username":"canary-7f3a","password":"b"}"#,
        r#"{"username":"canary-7f3a","password":"b","deviceId":"canary-7f3a"}"#,
        "{\"username\":\"canary-7f3a\u{0}\",\"password\":\"b\"}",
        &"[".repeat(4_000),
        r#"{"refreshToken":"canary-7f3a"}"#,
    ];
    let mut answers = Vec::new();
    for path in ["/api/v1/register", "/api/v1/login", "/api/v1/refresh", "/api/v1/reset"] {
        for body in bodies {
            answers.push(ask(http, request("POST", path, JSON, body)).await);
        }
        answers.push(ask(http, [request("POST", path, JSON, "12").as_bytes(), b"\xff\xfe"].concat()).await);
    }
    for token in ["", "canary-7f3a", "a.b.c", "Bearer"] {
        let headers = format!("authorization: Bearer {token}\r\n");
        answers.push(ask(http, request("POST", "/api/v1/logout", &headers, "")).await);
        let cookie = format!("cookie: __Host-confab-refresh={token}\r\norigin: http://localhost\r\n{JSON}");
        answers.push(ask(http, request("POST", "/api/v1/refresh", &cookie, "{}")).await);
        answers.push(ask(http, request("POST", "/api/v1/logout", &cookie, "")).await);
    }
    for path in
        ["/canary-7f3a", "/assets/canary-7f3a.js", "/assets/%00", "/assets/..%2fkeys%2fpepper", "/api/v1/canary-7f3a"]
    {
        answers.push(ask(http, request("GET", path, "", "")).await);
    }
    for answer in &answers {
        assert!((400..=499).contains(&answer.status), "{} {}", answer.status, answer.body);
        let json: Value = serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("no JSON: {}", answer.body));
        let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["code", "detail"], "{}", answer.body);
        let words =
            ["canary", "column", "line ", "expected", "unknown field", "missing field", "invalid type", "serde"];
        let inside = ["sqlite", "SELECT", "/root", "/tmp", "src/", ".rs", "panick", "axum", "hyper"];
        for word in words.into_iter().chain(inside) {
            assert!(!answer.body.contains(word), "{word} in {}", answer.body);
        }
    }
    let counted = |status: u16| format!(r#"confab_http_responses_total{{status="{status}"}}"#);
    assert!(server.metric(&counted(400)).await > 1.0 && server.metric(&counted(422)).await > 1.0);
}
