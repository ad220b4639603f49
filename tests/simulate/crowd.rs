//! Peers that hold up a server which waits for them: some stop reading, some are suspended, some never say a word.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use confab_client::Command;
use confab_protocol::command::Secret;
use confab_protocol::model::Cursor;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::Rng;
use super::cast::{Person, Reader, Scene};
use super::finals::Following;
use super::history::Id;
use super::stage::Stage;
use crate::support::TRANSPORTS;
use crate::support::process::PATIENCE;
use crate::support::raw::{Raw, Target};

/// How a server shows that it has noticed: who reads too little lags, and who reads nothing at all is closed. On a
/// slow machine the close may come first.
const NOTICED: [&str; 2] = ["confab_lagging_readers_total", r#"confab_closes_total{code="SlowConsumer"}"#];
/// What half-open peers say before they fall silent.
const WORDS: [&str; 4] = [
    "",
    "GET /ws HTTP/1.1\r\nhost: localh",
    "GET /ws HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n\
     sec-websocket-protocol: confab.v1\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    "GET /ws HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n\
     sec-websocket-protocol: confab.v1\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\u{2}\u{7f}",
];

/// All of them. Who is suspended is a reader like any other before and after.
pub struct Crowd {
    target: Target,
    tokens: Vec<Secret>,
    people: Vec<Person>,
    scene: Arc<Scene>,
    stuck: Vec<Raw>,
    silent: Vec<TcpStream>,
    suspended: Vec<Following>,
    runtimes: Vec<(Runtime, mpsc::UnboundedSender<Duration>)>,
}

impl Crowd {
    pub fn new(stage: &Stage, scene: Arc<Scene>, people: &[Person]) -> Self {
        let place = &stage.place;
        Self {
            target: Target::new(place.http, place.quic, &place.data_dir),
            tokens: people.iter().map(|person| Secret::new(&*person.token)).collect(),
            people: people.to_vec(),
            scene,
            stuck: Vec::new(),
            silent: Vec::new(),
            suspended: Vec::new(),
            runtimes: Vec::new(),
        }
    }

    /// More of each kind.
    pub async fn gather(&mut self, rng: &mut Rng) {
        for words in WORDS {
            let mut peer = TcpStream::connect(self.target.http).unwrap();
            peer.write_all(words.as_bytes()).unwrap();
            self.silent.push(peer);
        }
        for (token, transport) in self.tokens.iter().zip(TRANSPORTS) {
            let mut stuck = Raw::enter(&self.target, transport, token).await;
            let cursor =
                |room: &confab_client::Room| Cursor { room: room.id, incarnation: room.incarnation, seq: room.head };
            stuck.request(Command::Resume(self.scene.rooms.iter().map(cursor).collect())).await.unwrap();
            self.stuck.push(stuck);
        }
        if self.suspended.is_empty() {
            for index in 0..self.people.len() {
                self.hire(index, rng.fork());
            }
        }
        for (_, suspend) in &self.runtimes {
            suspend.send(Duration::from_millis(rng.between(2_000, 4_000))).unwrap();
        }
    }

    /// A reader with a thread of its own, which sleeps when it is told to, and all its sockets and timers with it.
    fn hire(&mut self, index: usize, rng: Rng) {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let reader = Reader::new(&self.scene, &self.people[index], 0x200 + index as Id, rng);
        self.suspended.push(Following::start(reader, runtime.handle()));
        let (suspend, mut told) = mpsc::unbounded_channel();
        runtime.spawn(async move {
            while let Some(lasts) = told.recv().await {
                std::thread::sleep(lasts);
            }
        });
        self.runtimes.push((runtime, suspend));
    }

    /// Waits until the server has noticed those who do not read; the others go on meanwhile.
    pub async fn wait_until_felt(&self, stage: &Stage) {
        let noticed = || NOTICED.map(|name| stage.place.metric(name)).iter().sum::<f64>();
        let (before, deadline) = (noticed(), Instant::now() + PATIENCE * 4);
        while noticed() <= before {
            assert!(
                Instant::now() < deadline,
                "nobody lags: {} entries were seen",
                self.scene.seen.load(Ordering::SeqCst)
            );
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// They go, but for those who were suspended: these must get everything.
    pub fn disperse(&mut self) -> Vec<Following> {
        self.stuck.clear();
        self.silent.clear();
        std::mem::take(&mut self.suspended)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for (runtime, _) in self.runtimes.drain(..) {
            runtime.shutdown_background();
        }
    }
}
