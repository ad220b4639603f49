//! Many readers that only count bytes. All readers of a room get the same frames, so when one is decoded
//! (the publisher's own) the bytes of the others are known.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use confab_protocol::codec::encode_server_frame;
use confab_protocol::command::{Command, Reply, ServerFrame};
use confab_protocol::model::{Cursor, Millis};
use quinn::Connection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::quic::{Control, QuicClients};
use super::server::Server;
use super::session::{Wire, follow, greet, request};
use super::websocket::{WebSocket, messages};

const READ_BUFFER_BYTES: usize = 16 * 1024;
/// A burst takes milliseconds.
const TIMEOUT: Duration = Duration::from_secs(10);
const PING_ID: u32 = (1 << 30) + 1;

/// How a transport marks where a frame ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Framing {
    WebSocket,
    Quic,
}

impl Framing {
    /// Bytes that a frame of the server takes.
    pub(crate) const fn wire_bytes(self, frame_bytes: usize) -> u64 {
        let head = match (self, frame_bytes) {
            (Self::WebSocket, 0..126) => 2,
            (Self::Quic, _) | (Self::WebSocket, 126..65_536) => 4,
            (Self::WebSocket, _) => 10,
        };
        head + frame_bytes as u64
    }
}

#[derive(Default)]
struct Progress {
    received: Cell<u64>,
    wanted: Cell<u64>,
    reached: Notify,
}

impl Progress {
    fn add(&self, bytes: usize) {
        self.received.set(self.received.get() + bytes as u64);
        if self.received.get() >= self.wanted.get() {
            self.reached.notify_one();
        }
    }
}

/// What each reader keeps for writing.
enum Writers {
    /// Connections of a floor, which hears nothing from its readers.
    None,
    WebSocket(Vec<OwnedWriteHalf>),
    Quic(Vec<Control>),
}

/// Readers, each with a task on this thread; they end with this value.
pub(crate) struct Readers {
    progress: Rc<Progress>,
    framing: Framing,
    count: usize,
    writers: Writers,
    tasks: JoinSet<()>,
}

impl Readers {
    /// WebSocket connections that follow a room.
    pub(crate) async fn over_websocket(server: &Server, cursor: Cursor, count: usize) -> Self {
        let mut streams = Vec::with_capacity(count);
        for _ in 0..count {
            let mut socket = WebSocket::connect(server.http).await;
            greet(&mut socket, &server.token).await;
            follow(&mut socket, cursor).await;
            streams.push(socket.into_stream());
        }
        let mut readers = Self::new(Framing::WebSocket, count);
        readers.writers = Writers::WebSocket(readers.spawn_tcp(streams));
        readers
    }

    /// QUIC connections that follow a room.
    pub(crate) async fn over_quic(server: &Server, cursor: Cursor, count: usize) -> Self {
        let mut clients = QuicClients::trusting(server.certificate());
        let mut readers = Self::new(Framing::Quic, count);
        let mut controls = Vec::with_capacity(count);
        for _ in 0..count {
            let mut control = Control::open(clients.connect(server.quic).await).await;
            greet(&mut control, &server.token).await;
            follow(&mut control, cursor).await;
            readers.spawn_quic(control.connection.clone());
            controls.push(control);
        }
        readers.writers = Writers::Quic(controls);
        readers
    }

    /// Bare TCP connections.
    pub(crate) async fn over_tcp(address: SocketAddr, count: usize) -> Self {
        let mut streams = Vec::with_capacity(count);
        for _ in 0..count {
            streams.push(TcpStream::connect(address).await.expect("the floor listens"));
        }
        let mut readers = Self::new(Framing::WebSocket, count);
        // Held, for dropping them would end the connections; never written to.
        readers.writers = Writers::WebSocket(readers.spawn_tcp(streams));
        readers
    }

    /// Bare QUIC connections, with one stream from the server.
    pub(crate) async fn over_bare_quic(clients: &mut QuicClients, address: SocketAddr, count: usize) -> Self {
        let mut readers = Self::new(Framing::Quic, count);
        for _ in 0..count {
            readers.spawn_quic(clients.connect(address).await);
        }
        readers
    }

    fn new(framing: Framing, count: usize) -> Self {
        Self { progress: Rc::default(), framing, count, writers: Writers::None, tasks: JoinSet::new() }
    }

    fn spawn_tcp(&mut self, streams: Vec<TcpStream>) -> Vec<OwnedWriteHalf> {
        let mut writers = Vec::with_capacity(streams.len());
        for stream in streams {
            let (reader, writer) = stream.into_split();
            self.tasks.spawn_local(drain_tcp(reader, Rc::clone(&self.progress)));
            writers.push(writer);
        }
        writers
    }

    fn spawn_quic(&mut self, connection: Connection) {
        self.tasks.spawn_local(drain_quic(connection, Rc::clone(&self.progress)));
    }

    /// How many there are.
    pub(crate) const fn count(&self) -> usize {
        self.count
    }

    /// How their transport delimits frames.
    pub(crate) const fn framing(&self) -> Framing {
        self.framing
    }

    /// Waits until each reader has got so many bytes more.
    pub(crate) async fn expect(&self, bytes_each: u64) {
        let progress = &*self.progress;
        progress.wanted.set(progress.wanted.get() + bytes_each * self.count as u64);
        let all = async {
            while progress.received.get() < progress.wanted.get() {
                progress.reached.notified().await;
            }
        };
        let in_time = tokio::time::timeout(TIMEOUT, all).await.is_ok();
        let (received, wanted) = (progress.received.get(), progress.wanted.get());
        assert!(in_time, "{received} of {wanted} bytes came in {TIMEOUT:?}");
        assert_eq!(received, wanted, "the readers of one room do not get the same bytes");
    }

    /// Lets each be heard, as clients must now and then, and waits for the answers.
    pub(crate) async fn ping(&mut self) {
        let ping = [request(PING_ID, Command::Ping)];
        match &mut self.writers {
            Writers::None => {}
            Writers::WebSocket(writers) => {
                let ping = messages(&ping);
                for writer in writers {
                    writer.write_all(&ping).await.expect("an open connection");
                }
                let pong = ServerFrame::Reply { id: PING_ID, result: Ok(Reply::Pong(Millis(1))) };
                self.expect(self.framing.wire_bytes(encode_server_frame(&pong).len())).await;
            }
            Writers::Quic(controls) => {
                for control in controls {
                    control.send(&ping).await;
                    // Answers on this stream are not counted, but must not fill its window.
                    control.recv().await;
                }
            }
        }
    }
}

async fn drain_tcp(mut reader: OwnedReadHalf, progress: Rc<Progress>) {
    let mut buffer = vec![0; READ_BUFFER_BYTES];
    loop {
        let bytes = reader.read(&mut buffer).await.expect("an open connection");
        assert!(bytes > 0, "the server closed a reader");
        progress.add(bytes);
    }
}

async fn drain_quic(connection: Connection, progress: Rc<Progress>) {
    let mut lane = connection.accept_uni().await.expect("an open connection");
    loop {
        let chunk = lane.read_chunk(usize::MAX, true).await.expect("an open connection");
        progress.add(chunk.expect("an open stream").bytes.len());
    }
}
