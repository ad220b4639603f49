//! CPU per delivery of fan-out to 1,000 WebSocket readers and to 500 QUIC readers, at burst 1 and 16,
//! beside the floor in the same run: a program that only writes as many bytes to as many sockets, at burst
//! 16 one `write` of sixteen frames per socket, at burst 1 one each.
//!
//! Server and floor have one core, the load the other. A burst is sent with one write, and the next one only
//! when every reader has it, so that a slow load changes nothing. A delivery is one message at one reader.

mod support;

use std::time::Duration;

use bytes::Bytes;
use confab_protocol::command::{Push, ServerFrame};
use confab_protocol::model::{Body, Cursor};
use support::floor::{Burst, Floor};
use support::process::{Cores, Process};
use support::quic::QuicClients;
use support::readers::{Framing, Readers};
use support::server::Server;
use support::session::{Wire, acknowledged, body, decode, follow, greet, new_room, publish};
use support::websocket::WebSocket;
use support::{elapsed, median, print_table, verdict};

const WEBSOCKET_READERS: usize = 1_000;
const QUIC_READERS: usize = 500;
/// Messages in flight at once.
const BURSTS: [u32; 2] = [16, 1];
/// Each subject is measured so often, in turns; the median counts.
const ROUNDS: usize = 3;
/// A measurement goes on until this much CPU time was used: the kernel counts in steps of 10 ms.
const CPU_ENOUGH: Duration = Duration::from_millis(1_200);
/// ... or until this much time has passed, whatever was used. One round stays within the 45 s in which a
/// client must be heard.
const WALL_MAX: Duration = Duration::from_secs(8);
/// After the first message, for readers that had it from the store to become live.
const SETTLE: Duration = Duration::from_millis(500);
/// At burst 16 the server may cost so many times the floor.
const RATIO_MAX: f64 = 1.5;
/// At burst 1 it may cost so much more, microseconds per delivery.
const ABOVE_MAX_US: f64 = 3.0;

fn main() {
    if support::floor::was_floor() || !support::is_wanted() {
        return;
    }
    let cores = Cores::claim();
    let mut rows = support::run(websocket(cores));
    rows.extend(support::run(quic(cores)));
    let head = [
        "readers, floor",
        "burst",
        "messages",
        "pushes/burst",
        "server us",
        "floor us",
        "ratio",
        "above us",
        "target",
        "met",
    ];
    print_table("Fan-out, CPU microseconds per delivery (200-byte bodies, plugin chain: sanitize)", &head, &rows);
}

async fn websocket(cores: Cores) -> Vec<Vec<String>> {
    let mut subject = Subject::start(cores, Framing::WebSocket, WEBSOCKET_READERS - 1).await;
    let floor = Floor::start(cores, Framing::WebSocket, WEBSOCKET_READERS).await;
    let readers = Readers::over_tcp(floor.address, WEBSOCKET_READERS).await;
    let mut floors = [Bare { readers, floor }];
    let name = format!("{WEBSOCKET_READERS} WebSocket, bare TCP");
    let mut rows = Vec::new();
    for found in measure(&mut subject, &mut floors).await {
        rows.push(found.row(&name, 0, Some(found.websocket_target(0))));
    }
    rows
}

async fn quic(cores: Cores) -> Vec<Vec<String>> {
    let mut subject = Subject::start(cores, Framing::Quic, QUIC_READERS).await;
    let floor = Floor::start(cores, Framing::Quic, QUIC_READERS).await;
    let mut clients = QuicClients::trusting(floor.certificate());
    let readers = Readers::over_bare_quic(&mut clients, floor.address, QUIC_READERS).await;
    let over_quic = Bare { readers, floor };
    let floor = Floor::start(cores, Framing::WebSocket, QUIC_READERS).await;
    let readers = Readers::over_tcp(floor.address, QUIC_READERS).await;
    let mut floors = [over_quic, Bare { readers, floor }];
    let mut rows = Vec::new();
    for found in measure(&mut subject, &mut floors).await {
        rows.push(found.row(&format!("{QUIC_READERS} QUIC, bare quinn"), 0, None));
        rows.push(found.row(&format!("{QUIC_READERS} QUIC, bare TCP"), 1, None));
    }
    rows
}

/// What the rounds at one burst found, microseconds per delivery.
struct Found {
    burst: u32,
    messages: u64,
    pushes_per_burst: f64,
    server_us: Vec<f64>,
    floors_us: Vec<Vec<f64>>,
}

impl Found {
    fn websocket_target(&self, floor: usize) -> (String, bool) {
        let (server_us, floor_us) = (median(&self.server_us), median(&self.floors_us[floor]));
        if self.burst == 1 {
            (format!("above <= {ABOVE_MAX_US}"), server_us - floor_us <= ABOVE_MAX_US)
        } else {
            (format!("ratio <= {RATIO_MAX}"), server_us / floor_us <= RATIO_MAX)
        }
    }

    fn row(&self, name: &str, floor: usize, target: Option<(String, bool)>) -> Vec<String> {
        let (server_us, floor_us) = (median(&self.server_us), median(&self.floors_us[floor]));
        let (target, met) = target.map_or(("-".into(), "-".into()), |(target, is_met)| (target, verdict(is_met)));
        vec![
            name.to_owned(),
            self.burst.to_string(),
            self.messages.to_string(),
            format!("{:.2}", self.pushes_per_burst),
            format!("{server_us:.2}"),
            format!("{floor_us:.2}"),
            format!("{:.2}", server_us / floor_us),
            format!("{:.2}", server_us - floor_us),
            target,
            met,
        ]
    }
}

async fn measure(subject: &mut Subject, floors: &mut [Bare]) -> Vec<Found> {
    let mut found = BURSTS.map(|burst| Found {
        burst,
        messages: 0,
        pushes_per_burst: 0.0,
        server_us: Vec::new(),
        floors_us: vec![Vec::new(); floors.len()],
    });
    for _ in 0..ROUNDS {
        for found in &mut found {
            subject.readers.ping().await;
            let run = subject.run(found.burst).await;
            found.messages += run.messages;
            found.pushes_per_burst = run.pushes_per_burst;
            found.server_us.push(run.us_per_delivery);
            // As many bytes as the server wrote, in as many frames as there were messages.
            let frame_bytes = run.wire_bytes_per_message;
            for (floor, found_us) in floors.iter_mut().zip(&mut found.floors_us) {
                found_us.push(floor.run(Burst { frames: found.burst, frame_bytes }).await);
            }
        }
    }
    found.into()
}

/// From where on time counts.
#[derive(Clone, Copy)]
struct Meter {
    cpu: Duration,
    wall: Duration,
}

impl Meter {
    fn start(process: &Process) -> Self {
        Self { cpu: process.cpu(), wall: elapsed() }
    }

    fn wants_more(self, process: &Process) -> bool {
        process.cpu() - self.cpu < CPU_ENOUGH && elapsed() - self.wall < WALL_MAX
    }

    fn us_per(self, process: &Process, deliveries: u64) -> f64 {
        (process.cpu() - self.cpu).as_secs_f64() * 1e6 / deliveries as f64
    }
}

/// The server, its readers, and a publisher that reads along over WebSocket. Readers end first.
struct Subject {
    readers: Readers,
    publisher: Publisher,
    server: Server,
}

struct Run {
    messages: u64,
    us_per_delivery: f64,
    pushes_per_burst: f64,
    wire_bytes_per_message: u32,
}

impl Subject {
    async fn start(cores: Cores, framing: Framing, readers: usize) -> Self {
        let server = Server::start(cores);
        let mut publisher = Publisher::open(&server).await;
        let readers = match framing {
            Framing::WebSocket => Readers::over_websocket(&server, publisher.cursor, readers).await,
            Framing::Quic => Readers::over_quic(&server, publisher.cursor, readers).await,
        };
        let pushes_bytes = publisher.burst(1).await;
        readers.expect(wire_bytes(readers.framing(), &pushes_bytes)).await;
        tokio::time::sleep(SETTLE).await;
        Self { readers, publisher, server }
    }

    /// One burst to all; the payload bytes of each push that it became.
    async fn burst(&mut self, messages: u32) -> Vec<usize> {
        let pushes_bytes = self.publisher.burst(messages).await;
        self.readers.expect(wire_bytes(self.readers.framing(), &pushes_bytes)).await;
        pushes_bytes
    }

    async fn run(&mut self, burst: u32) -> Run {
        self.burst(burst).await;
        let (mut bursts, mut pushes, mut bytes) = (0_u64, 0, 0);
        let meter = Meter::start(&self.server.process);
        while meter.wants_more(&self.server.process) {
            let pushes_bytes = self.burst(burst).await;
            bursts += 1;
            pushes += pushes_bytes.len();
            bytes += wire_bytes(self.readers.framing(), &pushes_bytes);
        }
        let messages = bursts * u64::from(burst);
        // The publisher is a reader too.
        let deliveries = messages * (self.readers.count() + 1) as u64;
        Run {
            messages,
            us_per_delivery: meter.us_per(&self.server.process, deliveries),
            pushes_per_burst: pushes as f64 / bursts as f64,
            wire_bytes_per_message: u32::try_from(bytes / messages).expect("a message is small"),
        }
    }
}

fn wire_bytes(framing: Framing, pushes_bytes: &[usize]) -> u64 {
    pushes_bytes.iter().map(|bytes| framing.wire_bytes(*bytes)).sum()
}

/// A floor with its readers, which end first.
struct Bare {
    readers: Readers,
    floor: Floor,
}

impl Bare {
    /// CPU microseconds per delivery.
    async fn run(&mut self, burst: Burst) -> f64 {
        self.burst(burst).await;
        let meter = Meter::start(&self.floor.process);
        let mut deliveries = 0;
        while meter.wants_more(&self.floor.process) {
            self.burst(burst).await;
            deliveries += u64::from(burst.frames) * self.readers.count() as u64;
        }
        meter.us_per(&self.floor.process, deliveries)
    }

    async fn burst(&mut self, burst: Burst) {
        self.floor.write(burst).await;
        self.readers.expect(burst.wire_bytes()).await;
    }
}

/// The one who writes. It reads its own room and decodes it, and so knows what the others get.
struct Publisher {
    socket: WebSocket,
    cursor: Cursor,
    body: Body,
    frames: Vec<Bytes>,
}

impl Publisher {
    async fn open(server: &Server) -> Self {
        let mut socket = WebSocket::connect(server.http).await;
        greet(&mut socket, &server.token).await;
        let cursor = new_room(&mut socket, "fanout").await;
        follow(&mut socket, cursor).await;
        Self { socket, cursor, body: body(), frames: Vec::new() }
    }

    /// Sends messages with one write and waits for their acknowledgements and entries. Returns the bytes
    /// of each push.
    async fn burst(&mut self, messages: u32) -> Vec<usize> {
        let requests: Vec<Bytes> = (0..messages).map(|id| publish(id, self.cursor.room, &self.body)).collect();
        self.socket.send(&requests).await;
        let wanted = requests.len();
        let (mut acks, mut entries, mut pushes_bytes) = (0, 0, Vec::new());
        while acks < wanted || entries < wanted {
            self.socket.recv_all(&mut self.frames).await;
            for frame in self.frames.drain(..) {
                match decode(&frame) {
                    ServerFrame::Push(Push::Entries(push)) => {
                        entries += push.entries.len();
                        pushes_bytes.push(frame.len());
                    }
                    other => acks += usize::from(acknowledged(&other).is_some()),
                }
            }
        }
        assert!(acks == wanted && entries == wanted, "{acks} acknowledgements, {entries} entries of {wanted} messages");
        pushes_bytes
    }
}
