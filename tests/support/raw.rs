//! A connection without the client's session: frames, or any bytes, over either transport. It reads ahead of
//! the test only as far as a small queue, so a test that stops asking is a reader that stops reading.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use confab::clock::{Clock, SystemClock};
use confab::config::Config;
use confab::core::audit::AuditKey;
use confab::core::auth::{Auth, mint_token};
use confab::core::names::user_key;
use confab::core::store::NewUser;
use confab::metrics::Metrics;
use confab_protocol::chat_capnp as wire;
use confab_protocol::close::Close;
use confab_protocol::codec::{decode_server_frame, encode_client_frame};
use confab_protocol::command::{
    Appended, ClientFrame, Command, CreateRoom, Ephemeral, Hello, History, Page, Publish, Push, Reply, Resumed, Room,
    RoomTarget, Secret, ServerFrame, Welcome,
};
use confab_protocol::frame::{put_frame, take_frame};
use confab_protocol::model::{
    Body, ClientId, Cursor, DeviceId, DisplayName, Envelope, Incarnation, Millis, RoomId, RoomName, Seq, ServerRole,
    Topic, UserId, Username,
};
use confab_protocol::reject::Reject;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;

use super::{TestServer, Transport};

/// Longer than anything that is waited for takes, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Frames that are read before anybody asks for them.
const READ_AHEAD: usize = 16;

/// A server as raw connections see it: one of this process, or any other.
#[derive(Clone)]
pub struct Target {
    pub http: SocketAddr,
    pub quic: SocketAddr,
    certificate: Vec<u8>,
}

impl Target {
    pub fn new(http: SocketAddr, quic: SocketAddr, data_dir: &Path) -> Self {
        Self { http, quic, certificate: std::fs::read(data_dir.join("dev-cert/cert.der")).unwrap() }
    }
}

impl From<&TestServer> for Target {
    fn from(server: &TestServer) -> Self {
        Self::new(server.addresses.http, server.addresses.quic, &server.config.data_dir)
    }
}

type Frames = mpsc::Sender<Result<Bytes, Close>>;
type Socket = WebSocketStream<TcpStream>;

enum Out {
    Quic { connection: quinn::Connection, control: quinn::SendStream, _endpoint: quinn::Endpoint },
    WebSocket(SplitSink<Socket, Message>),
}

/// One connection; what was not asked for yet is kept.
pub struct Raw {
    out: Out,
    frames: mpsc::Receiver<Result<Bytes, Close>>,
    next_id: u32,
    replies: HashMap<u32, Result<Reply, Reject>>,
    /// News of rooms that came.
    pub news: Vec<Ephemeral>,
    /// Entries that came as pushes, in their order.
    pub heard: Vec<(RoomId, Incarnation, Envelope)>,
}

/// What comes out of a connection.
#[derive(Debug)]
pub enum Received {
    Frame(ServerFrame),
    Closed(Close),
}

impl Raw {
    /// The transport alone: nothing is said yet.
    pub async fn open(target: &Target, transport: Transport) -> Self {
        let (frames, received) = mpsc::channel(READ_AHEAD);
        let out = match transport {
            Transport::Quic => open_quic(target, frames).await,
            Transport::WebSocket => open_websocket(target, frames).await,
        };
        Self { out, frames: received, next_id: 1, replies: HashMap::new(), news: Vec::new(), heard: Vec::new() }
    }

    /// Opens and says hello; the answer is a welcome.
    pub async fn greet(target: &Target, transport: Transport, token: Option<&Secret>) -> (Self, Welcome) {
        let mut raw = Self::open(target, transport).await;
        raw.send(&hello(token)).await;
        match raw.next().await {
            Received::Frame(ServerFrame::Welcome(welcome)) => (raw, welcome),
            other => panic!("no welcome: {other:?}"),
        }
    }

    /// Opens with a token.
    pub async fn enter(target: &Target, transport: Transport, token: &Secret) -> Self {
        Self::greet(target, transport, Some(token)).await.0
    }

    /// Says hello with this token; the answer is a close.
    pub async fn refused(target: &Target, transport: Transport, token: &Secret) -> Close {
        let mut raw = Self::open(target, transport).await;
        raw.send(&hello(Some(token))).await;
        raw.closed().await
    }

    /// Sends a frame.
    pub async fn send(&mut self, frame: &ClientFrame) {
        self.send_frame(&encode_client_frame(frame)).await;
    }

    /// Sends bytes as one frame, whatever they are. A connection that is gone says so when it is read.
    pub async fn send_frame(&mut self, frame: &[u8]) {
        match &mut self.out {
            Out::Quic { control, .. } => {
                let mut framed = Vec::with_capacity(frame.len() + 4);
                if frame.len() <= confab_protocol::limits::FRAME_BYTES_MAX {
                    put_frame(&mut framed, frame);
                } else {
                    framed.extend_from_slice(&(frame.len() as u32).to_le_bytes());
                    framed.extend_from_slice(frame);
                }
                let _ = control.write_all(&framed).await;
            }
            Out::WebSocket(sink) => {
                let _ = sink.send(Message::Binary(Bytes::copy_from_slice(frame))).await;
            }
        }
    }

    /// Sends many frames in one go.
    pub async fn send_all(&mut self, frames: &[Bytes]) {
        match &mut self.out {
            Out::Quic { control, .. } => {
                let mut framed = Vec::new();
                frames.iter().for_each(|frame| put_frame(&mut framed, frame));
                let _ = control.write_all(&framed).await;
            }
            Out::WebSocket(sink) => {
                for frame in frames {
                    let _ = sink.feed(Message::Binary(frame.clone())).await;
                }
                let _ = sink.flush().await;
            }
        }
    }

    /// Bytes on the control stream, without a length.
    pub async fn send_stream(&mut self, bytes: &[u8]) {
        let Out::Quic { control, .. } = &mut self.out else { panic!("WebSocket has no stream") };
        let _ = control.write_all(bytes).await;
    }

    /// The end of the control stream.
    pub async fn finish_stream(&mut self) {
        let Out::Quic { control, .. } = &mut self.out else { panic!("WebSocket has no stream") };
        control.finish().unwrap();
    }

    /// A text message.
    pub async fn send_text(&mut self, text: &str) {
        let Out::WebSocket(sink) = &mut self.out else { panic!("QUIC has no text") };
        let _ = sink.send(Message::text(text)).await;
    }

    /// Leaves without a word of the protocol.
    pub async fn leave(self) {
        match self.out {
            Out::Quic { connection, .. } => connection.close(0_u32.into(), b""),
            Out::WebSocket(mut sink) => {
                let _ = sink.close().await;
            }
        }
    }

    /// What comes next, pushes included.
    pub async fn next(&mut self) -> Received {
        let next = tokio::time::timeout(PATIENCE, self.frames.recv()).await.expect("nothing came");
        match next {
            Some(Ok(frame)) => Received::Frame(decode_server_frame(&frame).unwrap()),
            Some(Err(close)) => Received::Closed(close),
            None => Received::Closed(Close { code: 0, reason: "all streams ended".into() }),
        }
    }

    /// Reads one frame and keeps what is in it.
    async fn keep_next(&mut self) -> Result<(), Close> {
        match self.next().await {
            Received::Frame(ServerFrame::Reply { id, result }) => {
                self.replies.insert(id, result);
            }
            Received::Frame(ServerFrame::Push(Push::Entries(push))) => {
                let entries = push.entries.into_iter().map(|entry| (push.room, push.incarnation, entry));
                self.heard.extend(entries);
            }
            Received::Frame(ServerFrame::Push(Push::Ephemeral(news))) => self.news.push(news),
            Received::Frame(_) => {}
            Received::Closed(close) => return Err(close),
        }
        Ok(())
    }

    /// Reads until the connection ends.
    pub async fn closed(&mut self) -> Close {
        loop {
            if let Err(close) = self.keep_next().await {
                return close;
            }
        }
    }

    /// Sends a command without waiting.
    pub async fn begin(&mut self, command: Command) -> u32 {
        let id = self.take_id();
        self.send(&ClientFrame::Request { id, command: Ok(command) }).await;
        id
    }

    /// An unused request id.
    pub const fn take_id(&mut self) -> u32 {
        self.next_id += 1;
        self.next_id
    }

    /// The reply to a request, or the close that came instead.
    pub async fn try_reply(&mut self, id: u32) -> Result<Result<Reply, Reject>, Close> {
        loop {
            if let Some(result) = self.replies.remove(&id) {
                return Ok(result);
            }
            self.keep_next().await?;
        }
    }

    /// The reply to a request.
    pub async fn reply(&mut self, id: u32) -> Result<Reply, Reject> {
        self.try_reply(id).await.expect("closed instead of a reply")
    }

    /// Asks and waits.
    pub async fn request(&mut self, command: Command) -> Result<Reply, Reject> {
        let id = self.begin(command).await;
        self.reply(id).await
    }

    /// Asks for what must be refused; the reject's code.
    pub async fn refusal(&mut self, command: Command) -> u16 {
        self.request(command).await.expect_err("it was allowed").code
    }

    /// Joins a room by name, or makes it.
    pub async fn join(&mut self, name: &str) -> Room {
        let name = RoomName::parse(name).unwrap();
        let joined = self.request(Command::JoinRoom(RoomTarget::Name(name.clone()))).await;
        let reply = match joined {
            Ok(reply) => reply,
            Err(_) => {
                let topic = Topic::parse("").unwrap();
                let create = CreateRoom { client_id: client_id(), resend: false, name, topic, private: false };
                self.request(Command::CreateRoom(create)).await.unwrap()
            }
        };
        let Reply::Room(room) = reply else { panic!("{reply:?}") };
        room
    }

    /// Posts a message.
    pub async fn say(&mut self, room: RoomId, text: &str) -> Appended {
        appended(self.request(publish(room, client_id(), text)).await)
    }

    /// Subscribes to one room.
    pub async fn resume(&mut self, room: RoomId, incarnation: Incarnation, seq: Seq) -> Resumed {
        let reply = self.request(Command::Resume(vec![Cursor { room, incarnation, seq }])).await.unwrap();
        let Reply::Resumed(resumed) = reply else { panic!("{reply:?}") };
        resumed[0]
    }

    /// Reads until an entry of this seq was pushed; then all entries of the room so far.
    pub async fn hear_until(&mut self, room: RoomId, seq: Seq) -> Vec<Envelope> {
        while self.heard.iter().all(|(other, _, entry)| *other != room || entry.seq < seq) {
            if let Err(close) = self.keep_next().await {
                panic!("closed before {seq:?}: {close}");
            }
        }
        self.heard.iter().filter(|(other, ..)| *other == room).map(|(.., entry)| entry.clone()).collect()
    }

    /// Reads until so many entries were pushed in all.
    pub async fn hear(&mut self, count: usize) {
        while self.heard.len() < count {
            self.keep_next().await.expect("closed before the entries came");
        }
    }

    /// Reads until so much news came, and takes it.
    pub async fn hear_news(&mut self, count: usize) -> Vec<Ephemeral> {
        while self.news.len() < count {
            self.keep_next().await.expect("closed before the news came");
        }
        std::mem::take(&mut self.news)
    }

    /// One page of raw entries.
    pub async fn sync_page(&mut self, cursor: Cursor, limit: usize) -> Page {
        let reply = self.request(Command::Sync { cursor, limit }).await.unwrap();
        let Reply::Page(page) = reply else { panic!("{reply:?}") };
        page
    }

    /// All raw entries of a room, paged.
    pub async fn sync_all(&mut self, room: RoomId, limit: usize) -> Vec<Envelope> {
        let (mut entries, mut seq) = (Vec::new(), Seq(0));
        loop {
            let page = self.sync_page(Cursor { room, incarnation: Incarnation(0), seq }, limit).await;
            entries.extend(page.entries);
            seq = page.next;
            if seq == Seq(0) {
                return entries;
            }
        }
    }

    /// All messages of a room, ascending, paged from the newest.
    pub async fn history_all(&mut self, room: RoomId, limit: usize) -> Vec<Envelope> {
        let (mut entries, mut before) = (Vec::new(), Seq(0));
        loop {
            let reply = self.request(Command::History(History::before(room, before, limit))).await.unwrap();
            let Reply::Page(page) = reply else { panic!("{reply:?}") };
            entries.splice(0..0, page.entries);
            before = page.next;
            if before == Seq(0) {
                return entries;
            }
        }
    }
}

/// The first frame of a connection.
pub fn hello(token: Option<&Secret>) -> ClientFrame {
    let token = token.cloned();
    ClientFrame::Hello(Hello { version_min: 1, version_max: 1, client: "raw".into(), token, features: 0 })
}

/// A message as a command.
pub fn publish(room: RoomId, client_id: ClientId, text: &str) -> Command {
    Command::Publish(Publish { room, client_id, resend: false, body: Body::parse(text).unwrap(), reply_to: None })
}

/// The same, sent again.
pub fn resend(room: RoomId, client_id: ClientId, text: &str) -> Command {
    Command::Publish(Publish { room, client_id, resend: true, body: Body::parse(text).unwrap(), reply_to: None })
}

/// What must have been appended.
pub fn appended(result: Result<Reply, Reject>) -> Appended {
    match result {
        Ok(Reply::Appended(appended)) => appended,
        other => panic!("not appended: {other:?}"),
    }
}

/// A request whose command is built by hand, past all checks of an honest client.
pub fn crafted(id: u32, build: impl FnOnce(wire::request::Builder<'_>)) -> Vec<u8> {
    // One segment, whatever the size.
    let space = capnp::message::HeapAllocator::new().first_segment_words(16 * 1024);
    let mut message = capnp::message::Builder::new(space);
    let mut request = message.init_root::<wire::client_frame::Builder<'_>>().init_request();
    request.set_id(id);
    build(request);
    capnp::serialize::write_message_to_words(&message)
}

/// A message with any bytes as its body.
pub fn crafted_publish(id: u32, room: RoomId, client_id: ClientId, body: &[u8]) -> Vec<u8> {
    let halves = |value: u128| ((value >> 64) as u64, value as u64);
    crafted(id, |request| {
        let mut out = request.init_publish();
        let (high, low) = halves(room.as_u128());
        let mut id = out.reborrow().init_room();
        id.set_high(high);
        id.set_low(low);
        let (high, low) = halves(client_id.as_u128());
        let mut id = out.reborrow().init_client_id();
        id.set_high(high);
        id.set_low(low);
        out.set_body(capnp::text::Reader(body));
    })
}

/// A request of a command that no version knows: where two commands differ is their number.
pub fn crafted_unknown(id: u32) -> Vec<u8> {
    let ping = crafted(id, |mut request| request.set_ping(()));
    let mut other = crafted(id, |mut request| request.set_stats(()));
    let at = (0..ping.len()).find(|&at| ping[at] != other[at]).unwrap();
    other[at..at + 2].copy_from_slice(&999_u16.to_le_bytes());
    other
}

/// The machine's time.
pub fn now() -> Millis {
    SystemClock::new().now()
}

/// A new client id, later than all before it.
pub fn client_id() -> ClientId {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let clock = SystemClock::new();
    let now = clock.now().0;
    let last = LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(now.max(last + 1)));
    ClientId::new(Millis(now.max(last.unwrap_or(0) + 1)), clock.random())
}

/// Imports accounts without passwords beside the running server and mints a token for each, as an operator does.
pub async fn accounts(config: &Config, names: &[&str]) -> Vec<(UserId, Secret)> {
    minted(config, names, 3_600, now()).await
}

/// The same, with tokens of this age and life.
pub async fn minted(config: &Config, names: &[&str], ttl_seconds: u64, at: Millis) -> Vec<(UserId, Secret)> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let auth = Auth::open(config, &clock, &Metrics::new()).unwrap();
    let store = confab::open_store(config).await.unwrap();
    let user = |name: &&str| NewUser {
        id: UserId::new(now(), clock.random()),
        username: Username::parse(name).unwrap(),
        username_key: user_key(&Username::parse(name).unwrap()),
        display_name: DisplayName::parse(name).unwrap(),
        role: ServerRole::User,
        password_hash: None,
        self_room: RoomId::new(now(), clock.random()),
        incarnation: Incarnation(1),
        created: now(),
        audit_key: AuditKey::from_u128(clock.random()),
        ticket: None,
    };
    store.import_users(names.iter().map(user).collect()).await.unwrap();
    let mut tokens = Vec::new();
    for name in names {
        let username = Username::parse(name).unwrap();
        let (user, _) = store.find_login(username.clone()).await.unwrap().unwrap();
        let device = DeviceId::new(now(), clock.random());
        let token = mint_token(&*store, auth.tokens(), username, device, ttl_seconds, at).await.unwrap().unwrap();
        tokens.push((user.id, token));
    }
    tokens
}

/// Runs something beside the test, which ends with it.
#[expect(clippy::disallowed_methods, reason = "the runtime of the test ends it")]
pub fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> tokio::task::JoinHandle<T> {
    tokio::spawn(task)
}

fn lost(error: &dyn std::fmt::Display) -> Close {
    Close { code: 0, reason: error.to_string() }
}

async fn open_quic(target: &Target, frames: Frames) -> Out {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(target.certificate.clone().into()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"confab/1".to_vec()];
    let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(tls).unwrap();
    let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let config = quinn::ClientConfig::new(Arc::new(crypto));
    let connection = endpoint.connect_with(config, target.quic, "localhost").unwrap().await.unwrap();
    let (control, replies) = connection.open_bi().await.unwrap();
    spawn(read_stream(connection.clone(), replies, frames.clone()));
    let lanes = connection.clone();
    spawn(async move {
        while let Ok(lane) = lanes.accept_uni().await {
            spawn(read_stream(lanes.clone(), lane, frames.clone()));
        }
    });
    Out::Quic { connection, control, _endpoint: endpoint }
}

async fn read_stream(connection: quinn::Connection, mut stream: quinn::RecvStream, frames: Frames) {
    let mut buffer = BytesMut::new();
    loop {
        while let Some(frame) = take_frame(&mut buffer).unwrap() {
            if frames.send(Ok(frame)).await.is_err() {
                return;
            }
        }
        let Ok(Some(chunk)) = stream.read_chunk(64 * 1024, true).await else { break };
        buffer.extend_from_slice(&chunk.bytes);
    }
    let end = match connection.closed().await {
        quinn::ConnectionError::ApplicationClosed(close) => Close {
            code: u16::try_from(close.error_code.into_inner()).unwrap_or(0),
            reason: String::from_utf8_lossy(&close.reason).into_owned(),
        },
        other => lost(&other),
    };
    let _ = frames.send(Err(end)).await;
}

async fn open_websocket(target: &Target, frames: Frames) -> Out {
    let socket = TcpSocket::new_v4().unwrap();
    // A reader that stops must be felt soon.
    socket.set_recv_buffer_size(64 * 1024).unwrap();
    let stream = socket.connect(target.http).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut request = format!("ws://{}/ws", target.http).into_client_request().unwrap();
    request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("confab.v1"));
    let (socket, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    let (sink, stream) = socket.split();
    spawn(read_websocket(stream, frames));
    Out::WebSocket(sink)
}

async fn read_websocket(mut stream: SplitStream<Socket>, frames: Frames) {
    let mut end = lost(&"the connection ended");
    while let Some(message) = stream.next().await {
        match message {
            Ok(Message::Binary(frame)) => {
                if frames.send(Ok(frame)).await.is_err() {
                    return;
                }
            }
            Ok(Message::Close(Some(close))) => {
                end = Close { code: close.code.into(), reason: close.reason.to_string() };
            }
            Ok(_) => {}
            Err(error) => {
                end = if end.code == 0 { lost(&error) } else { end };
                break;
            }
        }
    }
    let _ = frames.send(Err(end)).await;
}
