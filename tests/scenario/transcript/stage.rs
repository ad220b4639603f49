//! Who is on the stage, what they say, and how it reads.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use confab_protocol::command::{
    Command, CreateRoom, Login, Register, Reply, Room, RoomTarget, Secret, ServerFrame, Session,
};
use confab_protocol::model::{
    ClientId, Cursor, DeviceId, DeviceName, DisplayName, Envelope, Incarnation, RoomId, RoomName, Seq, Topic, Username,
};
use confab_protocol::reject::Reject;

use super::names::Names;
use crate::support::raw::{PATIENCE, Raw, Received, Target, client_id, hello};
use crate::support::{TestServer, Transport};

pub(super) const PASSWORD: &str = "correct horse";

/// A server of its own, with people connected to it.
pub(super) struct Stage {
    pub(super) server: TestServer,
    target: Target,
    transport: Transport,
    people: BTreeMap<&'static str, Raw>,
    names: Names,
    text: String,
}

impl Stage {
    pub(super) async fn new(transport: Transport, plugins: &[&str], database: Option<String>) -> Self {
        let chain = plugins.iter().map(|&id| id.to_owned()).collect();
        // The guest that does what the message says is in no release.
        let folder = plugins.contains(&"hostile").then(crate::plugin::folder);
        let dir = folder.as_ref().map(|folder| folder.path().to_owned());
        let change = |config: &mut confab::config::Config| {
            if dir.is_some() {
                config.plugins.dir = dir;
                config.plugins.grant = crate::plugin::granted(&["log", "kv"]);
            }
            config.plugins.chain = chain;
            config.store.url = database;
        };
        let server = TestServer::start_with(change).await;
        let target = Target::from(&server);
        Self { server, target, transport, people: BTreeMap::new(), names: Names::default(), text: String::new() }
    }

    fn line(&mut self, who: &str, what: &str) {
        writeln!(self.text, "{who}{what}").unwrap();
    }

    /// Comes in, with a token or without.
    pub(super) async fn connect(&mut self, who: &'static str, token: Option<&Secret>) {
        self.line(who, if token.is_some() { " > hello with a token" } else { " > hello" });
        let mut raw = Raw::open(&self.target, self.transport).await;
        raw.send(&hello(token)).await;
        match raw.next().await {
            Received::Frame(ServerFrame::Welcome(welcome)) => {
                let identity = welcome.identity.map_or("nobody".to_owned(), |identity| self.names.identity(&identity));
                self.line(who, &format!(" < welcome version {}: {identity}", welcome.version));
                self.people.insert(who, raw);
            }
            Received::Closed(close) => self.line(who, &format!(" < closed {} {}", close.code, close.reason)),
            other @ Received::Frame(_) => panic!("{other:?}"),
        }
    }

    /// Comes in and registers.
    pub(super) async fn register(&mut self, who: &'static str) -> Session {
        self.connect(who, None).await;
        session(self.ask(who, register(who, PASSWORD)).await)
    }

    /// Comes in and owns the server.
    pub(super) async fn register_owner(&mut self, who: &'static str) -> Session {
        self.connect(who, None).await;
        let Command::Register(register) = register(who, PASSWORD) else { unreachable!() };
        let owner_token = Some(Secret::new(self.server.owner_token.as_str()));
        session(self.ask(who, Command::Register(Register { owner_token, ..register })).await)
    }

    /// Asks, and notes question and answer.
    pub(super) async fn ask(&mut self, who: &'static str, command: Command) -> Result<Reply, Reject> {
        let question = self.names.command(&command);
        self.line(who, &format!(" > {question}"));
        let raw = self.people.get_mut(who).unwrap();
        let result = raw.request(command).await;
        let answer = self.names.result(&result);
        self.line(who, &format!(" < {answer}"));
        result
    }

    /// Asks without a note until the answer is as it must become.
    pub(super) async fn wait_until(&mut self, who: &'static str, command: Command, is_so: impl Fn(&Reply) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let raw = self.people.get_mut(who).unwrap();
        while !raw.request(command.clone()).await.is_ok_and(|reply| is_so(&reply)) {
            assert!(Instant::now() < deadline, "{command:?} stays as it is");
            // Slower than limits refill.
            tokio::time::sleep(Duration::from_millis(1_100)).await;
        }
    }

    /// Sends a request that no honest client could encode.
    pub(super) async fn ask_bytes(&mut self, who: &'static str, label: &str, frame: impl FnOnce(u32) -> Vec<u8>) {
        self.line(who, &format!(" > {label}"));
        let raw = self.people.get_mut(who).unwrap();
        let id = raw.take_id();
        raw.send_frame(&frame(id)).await;
        let result = raw.reply(id).await;
        let answer = self.names.result(&result);
        self.line(who, &format!(" < {answer}"));
    }

    /// Waits for pushed entries and notes them, room by room.
    pub(super) async fn hears(&mut self, who: &'static str, entries: usize) {
        let raw = self.people.get_mut(who).unwrap();
        raw.hear(entries).await;
        let mut rooms: Vec<(RoomId, Vec<(Incarnation, Envelope)>)> = Vec::new();
        for (room, incarnation, entry) in std::mem::take(&mut raw.heard) {
            match rooms.iter_mut().find(|(other, _)| *other == room) {
                Some((_, entries)) => entries.push((incarnation, entry)),
                None => rooms.push((room, vec![(incarnation, entry)])),
            }
        }
        rooms.sort_by_key(|(room, _)| *room);
        for (room, entries) in rooms {
            for (incarnation, entry) in entries {
                let room = self.names.id("room", room.as_u128());
                let incarnation = self.names.id("history", incarnation.0.into());
                let entry = self.names.entry(&entry);
                self.line(who, &format!(" * {room} {incarnation} {entry}"));
            }
        }
    }

    /// Waits for news of rooms and notes them.
    pub(super) async fn hears_news(&mut self, who: &'static str, count: usize) {
        for news in self.people.get_mut(who).unwrap().hear_news(count).await {
            let news = self.names.news(&news);
            self.line(who, &format!(" ~ {news}"));
        }
    }

    /// The connection ends, and says why.
    pub(super) async fn is_closed(&mut self, who: &'static str) {
        let close = self.people.remove(who).unwrap().closed().await;
        self.line(who, &format!(" < closed {} {}", close.code, close.reason));
    }

    /// Goes away.
    pub(super) async fn leave(&mut self, who: &'static str) {
        self.people.remove(who).unwrap().leave().await;
        self.line(who, " is gone");
    }

    /// Nobody heard anything that the script did not listen for.
    pub(super) async fn finish(mut self) -> String {
        let people: Vec<&'static str> = self.people.keys().copied().collect();
        for who in people {
            self.people.get_mut(who).unwrap().request(Command::Ping).await.unwrap();
            self.hears(who, 0).await;
        }
        self.text
    }
}

pub(super) fn register(name: &str, password: &str) -> Command {
    Command::Register(Register {
        username: Username::parse(name).unwrap(),
        password: Secret::new(password),
        display_name: Some(DisplayName::parse(&format!("{name} Doe")).unwrap()),
        device: DeviceName::parse("phone").unwrap(),
        owner_token: None,
        invite: None,
    })
}

pub(super) fn login(name: &str, password: &str, device_id: Option<DeviceId>) -> Command {
    let device = DeviceName::parse("laptop").unwrap();
    Command::Login(Login { username: name.into(), password: Secret::new(password), device, device_id })
}

pub(super) fn create(id: ClientId, name: &str) -> Command {
    let (name, topic) = (RoomName::parse(name).unwrap(), Topic::parse("talk").unwrap());
    Command::CreateRoom(CreateRoom { client_id: id, resend: false, name, topic, private: false })
}

pub(super) fn new_room(name: &str) -> Command {
    create(client_id(), name)
}

pub(super) fn named(name: &str) -> RoomTarget {
    RoomTarget::Name(RoomName::parse(name).unwrap())
}

pub(super) fn cursor(room: &Room, seq: u64) -> Cursor {
    Cursor { room: room.id, incarnation: room.incarnation, seq: Seq(seq) }
}

pub(super) fn session(result: Result<Reply, Reject>) -> Session {
    match result {
        Ok(Reply::Session(session)) => session,
        other => panic!("{other:?}"),
    }
}

pub(super) fn room(result: Result<Reply, Reject>) -> Room {
    match result {
        Ok(Reply::Room(room)) => room,
        other => panic!("{other:?}"),
    }
}
