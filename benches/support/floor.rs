//! The floor: a program that only writes. A child of the bench itself (`--floor`), told over one control
//! connection what to write to each reader: so many frames of so many bytes, in one write.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use confab::config::Config;
use confab::transport::quic;
use confab::transport::tls::Certificate;
use quinn::SendStream;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::process::{Cores, Process};
use super::readers::Framing;
use super::server::{certificate, data_dir};

const FLAG: &str = "--floor";
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// Before each frame: of a WebSocket message of 126 to 65,535 bytes, and of a frame over QUIC.
const HEAD_BYTES: usize = 4;

/// What to write to each reader.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Burst {
    pub(crate) frames: u32,
    /// With its head.
    pub(crate) frame_bytes: u32,
}

impl Burst {
    /// Bytes of the one write.
    pub(crate) const fn wire_bytes(self) -> u64 {
        self.frames as u64 * self.frame_bytes as u64
    }

    fn encode(self) -> [u8; 8] {
        (u64::from(self.frames) << 32 | u64::from(self.frame_bytes)).to_le_bytes()
    }

    fn decode(bytes: [u8; 8]) -> Self {
        let both = u64::from_le_bytes(bytes);
        Self { frames: (both >> 32) as u32, frame_bytes: both as u32 }
    }

    fn write_out(self, framing: Framing) -> Vec<u8> {
        let payload = self.frame_bytes as usize - HEAD_BYTES;
        let head = match framing {
            Framing::WebSocket => {
                let [high, low] = u16::try_from(payload).expect("at most 64 KiB").to_be_bytes();
                [0x82, 126, high, low]
            }
            Framing::Quic => u32::try_from(payload).expect("at most 64 KiB").to_le_bytes(),
        };
        let mut out = Vec::new();
        for _ in 0..self.frames {
            out.extend_from_slice(&head);
            out.resize(out.len() + payload, b'x');
        }
        out
    }
}

/// A running floor; it ends with this value.
pub(crate) struct Floor {
    pub(crate) process: Process,
    /// Where its readers connect.
    pub(crate) address: SocketAddr,
    control: TcpStream,
    data: TempDir,
}

impl Floor {
    /// Starts it; it then waits for exactly so many readers.
    pub(crate) async fn start(cores: Cores, framing: Framing, readers: usize) -> Self {
        let data = data_dir();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let control = listener.local_addr().expect("a bound socket has an address").to_string();
        let name = match framing {
            Framing::WebSocket => "tcp",
            Framing::Quic => "quic",
        };
        let program = std::env::current_exe().expect("we run");
        let readers = readers.to_string();
        let data_path = data.path().to_str().expect("a path in UTF-8");
        let process =
            Process::start(cores.server, program, &[FLAG, name, control.as_str(), readers.as_str(), data_path]);
        let accepted = tokio::time::timeout(START_TIMEOUT, listener.accept()).await;
        let (mut control, _) = accepted.expect("the floor starts in time").expect("a listening socket");
        control.set_nodelay(true).expect("a TCP socket");
        let port = control.read_u16().await.expect("the floor tells its port");
        Self { process, address: (Ipv4Addr::LOCALHOST, port).into(), control, data }
    }

    /// Lets it write to each reader.
    pub(crate) async fn write(&mut self, burst: Burst) {
        self.control.write_all(&burst.encode()).await.expect("the floor lives");
    }

    /// The certificate of a floor over QUIC, DER.
    pub(crate) fn certificate(&self) -> Vec<u8> {
        certificate(self.data.path())
    }
}

/// If this process was started as a floor: is one until its parent is gone, and returns `true`.
pub(crate) fn was_floor() -> bool {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let [FLAG, name, control, readers, data] = *args else { return false };
    let control: SocketAddr = control.parse().expect("an address");
    let readers: usize = readers.parse().expect("a number");
    match name {
        "quic" => super::run(serve_quic(control, readers, Path::new(data))),
        _ => serve_tcp(control, readers),
    }
    true
}

fn serve_tcp(control: SocketAddr, readers: usize) {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("a bound socket has an address").port();
    let mut control = std::net::TcpStream::connect(control).expect("the parent listens");
    control.write_all(&port.to_be_bytes()).expect("the parent lives");
    let accept = |_| {
        let (socket, _) = listener.accept().expect("a reader");
        socket.set_nodelay(true).expect("a TCP socket");
        socket
    };
    let mut sockets: Vec<_> = (0..readers).map(accept).collect();
    let mut order = [0; 8];
    while control.read_exact(&mut order).is_ok() {
        let bytes = Burst::decode(order).write_out(Framing::WebSocket);
        for socket in &mut sockets {
            socket.write_all(&bytes).expect("a reader reads");
        }
    }
}

/// The server's own endpoint settings, and one stream to each reader.
async fn serve_quic(control: SocketAddr, readers: usize, data: &Path) {
    let config = Config { data_dir: data.to_owned(), ..Config::default() };
    let certificate = Certificate::load(&config).expect("a development certificate");
    let endpoint =
        quic::bind((Ipv4Addr::LOCALHOST, 0).into(), &certificate, certificate.current(), true).expect("a free port");
    let port = endpoint.local_addr().expect("a bound socket has an address").port();
    let mut control = TcpStream::connect(control).await.expect("the parent listens");
    control.write_u16(port).await.expect("the parent lives");
    // The connections are kept, for dropping one closes it.
    let mut streams: Vec<(quinn::Connection, SendStream)> = Vec::with_capacity(readers);
    for _ in 0..readers {
        let incoming = endpoint.accept().await.expect("an open endpoint");
        let connection = incoming.await.expect("a reader shakes hands");
        let stream = connection.open_uni().await.expect("an open connection");
        streams.push((connection, stream));
    }
    let mut order = [0; 8];
    while control.read_exact(&mut order).await.is_ok() {
        let bytes = Burst::decode(order).write_out(Framing::Quic);
        for (_, stream) in &mut streams {
            stream.write_all(&bytes).await.expect("a reader reads");
        }
    }
}
