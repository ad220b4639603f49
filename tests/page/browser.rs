//! One chromedriver of its own for each test, and browsers with fresh profiles that people sit at.

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fantoccini::key::Key;
use fantoccini::wd::WindowHandle;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::TestServer;
use crate::support::people::PASSWORD;
use crate::support::process::free_port;

/// A browser on a busy machine is slow; what does not happen in this time does not happen.
const PATIENCE: Duration = Duration::from_secs(45);
const MISSING: &str = "chromedriver cannot be started: apt-get install chromium chromium-driver";

/// A chromedriver; dropping it ends it, and its browsers with it.
pub(super) struct Driver {
    child: Child,
    port: u16,
}

impl Driver {
    pub(super) async fn start() -> Self {
        let port = free_port();
        let mut command = Command::new("chromedriver");
        command.arg(format!("--port={port}")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.process_group(0);
        let driver = Self { child: command.spawn().expect(MISSING), port };
        let deadline = Instant::now() + PATIENCE;
        while !is_ready(port).await {
            assert!(Instant::now() < deadline, "chromedriver does not answer");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        driver
    }

    pub(super) async fn browser(&self) -> Browser {
        let profile = tempfile::tempdir().unwrap();
        let capabilities = json!({
            "goog:chromeOptions": { "args": [
                "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync",
                "--disable-dev-shm-usage", "--window-size=900,700",
                format!("--user-data-dir={}", profile.path().display()),
            ]},
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let Value::Object(capabilities) = capabilities else { unreachable!() };
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{}", self.port))
            .await
            .expect("a browser");
        Browser { client, port: self.port, _profile: profile }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Its group: the browsers that it started live in it, and nothing else.
        let group = format!("kill -KILL -{}", self.child.id());
        let _ = Command::new("sh").args(["-c", &group]).status();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether chromedriver takes sessions: it listens some time before that.
async fn is_ready(port: u16) -> bool {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let Ok(mut stream) = tokio::net::TcpStream::connect(("127.0.0.1", port)).await else { return false };
    let request = format!("GET /status HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n");
    let mut answer = [0; 12];
    stream.write_all(request.as_bytes()).await.is_ok()
        && stream.read_exact(&mut answer).await.is_ok()
        && answer == *b"HTTP/1.1 200"
}

/// A POST to chromedriver, which never closes a connection by itself.
async fn post(port: u16, path: &str, body: &str) -> String {
    use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
    let mut stream = BufReader::new(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap());
    let head = format!("POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json");
    let request = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).await.unwrap();
    let (mut line, mut length) = (String::new(), 0);
    while stream.read_line(&mut line).await.unwrap() > 2 {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        line.clear();
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

/// A browser with one page.
pub(super) struct Browser {
    client: Client,
    port: u16,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Opens the page and waits for its script.
    pub(super) async fn open(&self, server: &TestServer) {
        self.client.goto(&format!("http://{}/", server.addresses.http)).await.unwrap();
        self.see("body[data-ready=true]").await;
    }

    /// Opens a link into the page, as somebody handed it over.
    pub(super) async fn follow(&self, link: &str) {
        self.client.goto("about:blank").await.unwrap();
        self.client.goto(link).await.unwrap();
        self.see("body[data-ready=true]").await;
    }

    pub(super) async fn reload(&self) {
        self.client.refresh().await.unwrap();
        self.see("body[data-ready=true]").await;
    }

    /// Fills in the first form and registers; leads into the room that the form names.
    pub(super) async fn register(&self, name: &str) {
        self.fill("#username", name).await;
        self.fill("#password", PASSWORD).await;
        self.click("#do-register").await;
        // What is said before the room was entered is not sent, and the page says so.
        self.be_inside().await;
    }

    /// The room is there: somebody is logged in.
    pub(super) async fn be_inside(&self) {
        self.see("body[data-online=true] #room:not([hidden])").await;
        self.see_text("#room-title", |title| !title.is_empty()).await;
    }

    pub(super) async fn login(&self, name: &str, password: &str) {
        self.fill("#username", name).await;
        self.fill("#password", password).await;
        self.click("#do-login").await;
    }

    pub(super) async fn enter(&self, room: &str) {
        self.fill("#room-name", room).await;
        self.click("#enter button[type=submit]").await;
        self.see_text("#room-title", |title| title == room).await;
    }

    /// Types a message without sending it.
    pub(super) async fn write(&self, text: &str) {
        self.fill("#text", text).await;
    }

    /// Types a message and sends it with Enter.
    pub(super) async fn say(&self, text: &str) {
        self.fill("#text", &format!("{text}{}", char::from(Key::Enter))).await;
    }

    /// Waits for a message with exactly this text: its author and text.
    pub(super) async fn hear(&self, text: &str) -> (String, String) {
        let mut heard = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            heard = self.messages().await;
            if let Some(found) = heard.iter().find(|(author, body)| body == text && author != "…") {
                return found.clone();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{text:?} was not heard, only {heard:?}; {}", self.state().await);
    }

    /// Author and text of each message on the page, in order.
    pub(super) async fn messages(&self) -> Vec<(String, String)> {
        let script = "return [...document.querySelectorAll('#messages li.message')].map(
            (line) => [line.querySelector('.author').textContent, line.querySelector('.body').textContent])";
        serde_json::from_value(self.ask(script).await).unwrap()
    }

    /// Runs a script in the page.
    pub(super) async fn ask(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.unwrap()
    }

    pub(super) async fn text(&self, css: &str) -> String {
        self.client.find(Locator::Css(css)).await.unwrap().text().await.unwrap()
    }

    /// Waits until something is there and shown.
    pub(super) async fn see(&self, css: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.client.find(Locator::Css(css)).await.is_err() {
            assert!(Instant::now() < deadline, "{css} is not there; {}", self.state().await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until a text is as it should be.
    pub(super) async fn see_text(&self, css: &str, is_right: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = self.text(css).await;
            if is_right(&text) {
                return text;
            }
            assert!(Instant::now() < deadline, "{css} says {text:?}; {}", self.state().await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(super) async fn fill(&self, css: &str, text: &str) {
        let field = self.client.find(Locator::Css(css)).await.unwrap();
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    /// Chooses one of a list by its value.
    pub(super) async fn pick(&self, css: &str, value: &str) {
        self.client.find(Locator::Css(css)).await.unwrap().select_by_value(value).await.unwrap();
    }

    /// What closes a dialog by the keyboard.
    pub(super) async fn press_escape(&self) {
        let focused = self.client.active_element().await.unwrap();
        focused.send_keys(&char::from(Key::Escape).to_string()).await.unwrap();
    }

    /// As soon as there is something to click.
    pub(super) async fn click(&self, css: &str) {
        self.see(css).await;
        self.client.find(Locator::Css(css)).await.unwrap().click().await.unwrap();
    }

    pub(super) async fn screenshot(&self) -> Vec<u8> {
        self.client.screenshot().await.unwrap()
    }

    /// What the browser's console holds since it was last asked: violations of the policy, errors of scripts.
    /// That there is no icon is neither.
    pub(super) async fn log(&self) -> Vec<String> {
        let session = self.client.session_id().await.unwrap().unwrap();
        let path = format!("/session/{session}/se/log");
        let answer = tokio::time::timeout(PATIENCE, post(self.port, &path, "{\"type\":\"browser\"}")).await;
        let answer = answer.expect("chromedriver answers");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let lines = answer["value"].as_array().unwrap();
        let lines = lines.iter().map(|line| format!("{}: {}", line["level"], line["message"]));
        lines.filter(|line| !line.contains("/favicon.ico")).collect()
    }

    /// Opens the page in another tab of the same browser, and goes there; the tab that it came from.
    pub(super) async fn open_tab(&self, server: &TestServer) -> WindowHandle {
        let before = self.client.window().await.unwrap();
        let tab = self.client.new_window(true).await.unwrap();
        self.go_to_tab(tab.handle).await;
        self.open(server).await;
        before
    }

    pub(super) async fn go_to_tab(&self, tab: WindowHandle) {
        self.client.switch_to_window(tab).await.unwrap();
    }

    /// A command of the browser's own protocol (CDP).
    pub(super) async fn cdp(&self, command: &str, parameters: Value) -> Value {
        let session = self.client.session_id().await.unwrap().unwrap();
        let path = format!("/session/{session}/goog/cdp/execute");
        let body = json!({ "cmd": command, "params": parameters }).to_string();
        let answer = tokio::time::timeout(PATIENCE, post(self.port, &path, &body)).await.expect("chromedriver answers");
        let mut answer: Value = serde_json::from_str(&answer).unwrap();
        answer["value"].take()
    }

    /// The cookies that the browser has for this page, as only the browser itself sees them.
    pub(super) async fn cookies(&self) -> Vec<Value> {
        let mut answer = self.cdp("Network.getCookies", json!({})).await;
        let Value::Array(cookies) = answer["cookies"].take() else { panic!("{answer}") };
        cookies
    }

    /// What the policy of the page had to stop. A refusal that the page expects is a line in the console, and none of these.
    pub(super) async fn violations(&self) -> Vec<String> {
        self.log().await.into_iter().filter(|line| !line.contains("Failed to load resource")).collect()
    }

    async fn state(&self) -> String {
        let script = "return [...document.querySelectorAll('#status, #problem, #news, #trouble, #drafts, #messages, #account-answer')]
            .map((one) => `${one.id}: ${one.textContent}`).join('; ')";
        format!("the page says {}", self.client.execute(script, Vec::new()).await.unwrap_or_default())
    }

    /// Closes it properly, so that its processes are gone when the test is over.
    pub(super) async fn close(self) {
        let _ = self.client.close().await;
    }
}
