//! The server of a run with everything it stands on: a folder, a database perhaps, a proxy before it perhaps; and what
//! can be done to it.

use std::process::{Child, Stdio};
use std::time::Duration;

use confab_client::Room;

use super::Rng;
use super::cast::{Failures, Person};
use super::proxy::Proxy;
use crate::support::Transport;
use crate::support::clock::FalseClock;
use crate::support::disk::SmallDisk;
use crate::support::postgres::Cluster;
use crate::support::process::{Place, Running, run};

const DATABASE: &str = "confab";
/// Limits that a run does not meet, and nothing that looks at messages.
const KEYS: &str = "plugins.chain = []
limits.connections_per_ip = 10000
limits.connections_per_user = 1000
log.format = \"json\"";
/// More than a run writes, until it is filled.
const DISK_BYTES: u64 = 1 << 30;

/// Where the server keeps its data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Sqlite,
    Postgres,
}

/// What there is beside the server.
#[derive(Clone, Copy, Default)]
pub struct Props {
    /// Before its database.
    pub proxy: bool,
    pub false_clock: bool,
    /// Below its data, or its database's.
    pub small_disk: bool,
}

/// A running server.
pub struct Stage {
    pub place: Place,
    pub server: Running,
    pub cluster: Option<Cluster>,
    pub proxy: Option<Proxy>,
    clock: Option<FalseClock>,
    /// Behind those who have files open there.
    pub disk: Option<SmallDisk>,
}

impl Stage {
    /// A new server with nothing in it. To its database it has this many connections that write.
    pub async fn set(kind: Kind, props: Props, writers: u64) -> Self {
        let disk = props.small_disk.then(|| SmallDisk::mount(DISK_BYTES).expect("mounting is allowed"));
        let data_dir = disk.as_ref().map(|disk| disk.path().join("data"));
        let cluster = (kind == Kind::Postgres).then(|| match &data_dir {
            Some(data_dir) => Cluster::start_on(data_dir),
            None => Cluster::start(),
        });
        let (mut keys, mut proxy) = (KEYS.to_owned(), None);
        if let Some(cluster) = &cluster {
            cluster.create_database(DATABASE);
            let mut url = cluster.url(DATABASE);
            if props.proxy {
                let port = url.rsplit_once(':').unwrap().1.split('/').next().unwrap().parse().unwrap();
                let started = Proxy::start(([127, 0, 0, 1], port).into()).await;
                url = url.replace(&format!(":{port}/"), &format!(":{}/", started.port));
                proxy = Some(started);
            }
            keys.push_str(&format!("\nstore.url = \"{url}\"\nstore.writers = {writers}"));
        }
        let place = match data_dir {
            Some(data_dir) if kind == Kind::Sqlite => Place::at(tempfile::tempdir().unwrap(), data_dir, &keys),
            _ => Place::with(&keys),
        };
        let clock = props.false_clock.then(|| FalseClock::new(&place));
        let server = serve(&place, clock.as_ref());
        Self { place, server, cluster, proxy, clock, disk }
    }

    /// The server's wall clock is so many seconds ahead from now on.
    pub fn set_clock(&self, ahead: u64) {
        self.clock.as_ref().expect("a false clock").set(ahead);
    }

    /// The database acknowledges what is not on its disk yet; the server is started anew with that.
    pub fn make_careless(&mut self) {
        let cluster = self.cluster.as_ref().expect("a database");
        cluster.sql(DATABASE, &format!("ALTER DATABASE {DATABASE} SET synchronous_commit = off"));
        self.drain();
        self.serve();
    }

    /// Accounts with tokens that outlive the run. Half of them use QUIC.
    pub fn invite(&self, names: &[String]) -> Vec<Person> {
        let lines = names.join("\n") + "\n";
        run(&mut self.place.command(&["user", "import", "-"]), &lines).assert_good();
        let minted = run(&mut self.place.command(&["token", "mint", "--ttl", "86400", "-"]), &lines).assert_good();
        let tokens: Vec<&str> = minted.lines().map(|line| line.split_once('\t').unwrap().1).collect();
        assert_eq!(tokens.len(), names.len());
        let person = |(index, (name, token)): (usize, (&String, &str))| {
            let transport = [Transport::Quic, Transport::WebSocket][index % 2];
            Person { name: name.clone(), server: self.place.address(transport), token: token.to_owned() }
        };
        names.iter().zip(tokens).enumerate().map(person).collect()
    }

    /// Rooms that all of them are in, as they are once everybody has joined.
    pub async fn furnish(&self, count: u64, people: &[Person], failures: &Failures) -> Vec<Room> {
        let mut rooms = Vec::new();
        for person in people {
            let (client, _) = person.connect(failures).await;
            rooms.clear();
            for index in 0..count {
                rooms.push(client.join(&format!("room {index}")).await.unwrap());
            }
        }
        rooms
    }

    /// kill -9, nothing for a while, sometimes a start that is killed as well, and a start.
    pub fn crash(&mut self, rng: &mut Rng) {
        self.server.kill();
        self.assert_sound();
        std::thread::sleep(Duration::from_millis(rng.between(10, 200)));
        if rng.percent(25) {
            Stillborn::start(&self.place).kill_after(Duration::from_millis(rng.below(250)));
        }
    }

    /// SIGTERM, and its end by itself.
    pub fn drain(&mut self) {
        self.server.terminate();
        let code = self.server.wait().code();
        assert_eq!(code, Some(0), "a drain is no failure: {}", self.place.err());
        self.assert_sound();
    }

    /// The server comes back.
    pub fn serve(&mut self) {
        self.server = serve(&self.place, self.clock.as_ref());
    }

    /// The server is there and nothing of it has panicked.
    pub fn assert_alive(&mut self) {
        self.assert_sound();
        assert!(self.server.is_running(), "the server has ended: {}", self.place.err());
    }

    /// Nothing has panicked since the last start.
    pub fn assert_sound(&self) {
        assert_calm(&self.place.err());
    }
}

fn serve(place: &Place, clock: Option<&FalseClock>) -> Running {
    let mut command = place.command(&["serve"]);
    if let Some(clock) = clock {
        clock.put_on(&mut command);
    }
    place.serve_by(&mut command)
}

/// That a log tells of no panic.
pub fn assert_calm(log: &str) {
    let bad = log.lines().find(|line| line.contains("panicked") || line.contains("RUST_BACKTRACE"));
    assert!(bad.is_none(), "the server panicked: {bad:?} in\n{log}");
}

/// A server that is not waited for until it is ready.
pub struct Stillborn<'a> {
    place: &'a Place,
    child: Child,
}

impl<'a> Stillborn<'a> {
    pub fn start(place: &'a Place) -> Self {
        let log = std::fs::File::create(place.folder.path().join("stillborn")).unwrap();
        let child = place.command(&["serve"]).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        Self { place, child }
    }

    /// kill -9 in whatever it is doing by then.
    pub fn kill_after(mut self, wait: Duration) {
        std::thread::sleep(wait);
        assert!(self.child.try_wait().unwrap().is_none(), "it does not start: {}", self.log());
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        assert_calm(&self.log());
    }

    /// Whether it has ended by itself, and how.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().unwrap()
    }

    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.place.folder.path().join("stillborn")).unwrap()).into_owned()
    }
}

impl Drop for Stillborn<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
