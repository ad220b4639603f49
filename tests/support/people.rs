//! People with accounts, connected over one transport or the other.

use confab_client::{Client, Event, Options, Reply, Room, Session};
use confab_protocol::codec::decode_entry;
use confab_protocol::model::{EntryContent, Seq};
use tokio::sync::mpsc;

use super::commands::register;
use super::{TestServer, Transport};

/// The password of everybody.
pub const PASSWORD: &str = "correct horse";

/// Somebody at a device.
pub struct Person {
    pub client: Client,
    pub events: mpsc::Receiver<Event>,
    pub session: Session,
}

impl Person {
    /// Registers an account and stays connected.
    pub async fn register(server: &TestServer, transport: Transport, name: &str) -> Self {
        Self::register_at(server.client_address(transport), name, None).await
    }

    /// The same at any address. Who has the token owns the server.
    pub async fn register_at(address: confab_client::Server, name: &str, owner_token: Option<&str>) -> Self {
        let (client, events) = Client::connect(Options::new(address));
        let Reply::Session(session) = client.request(register(name, owner_token)).await.unwrap() else { panic!() };
        Self { client, events, session }
    }

    /// Logs in with an existing account.
    pub async fn login(server: &TestServer, transport: Transport, name: &str) -> Self {
        Self::login_at(server.client_address(transport), name).await
    }

    /// The same at any address.
    pub async fn login_at(address: confab_client::Server, name: &str) -> Self {
        let (client, events) = Client::connect(Options::new(address));
        let session = client.login(name, PASSWORD).await.unwrap();
        Self { client, events, session }
    }

    /// Joins a room (or makes it) and follows it from its head.
    pub async fn enter(&self, room: &str) -> Room {
        let room = self.client.join(room).await.unwrap();
        self.client.follow(&room, room.head).await;
        room
    }

    /// The next entry of a followed room that is a message: its seq and text. Fails after 10 s.
    pub async fn hear(&mut self) -> Vec<(Seq, String)> {
        loop {
            let event = tokio::time::timeout(std::time::Duration::from_secs(10), self.events.recv()).await;
            let Event::Entries(push) = event.expect("nothing was heard").expect("the session ended") else { continue };
            let heard: Vec<_> =
                push.entries.iter().filter_map(|entry| Some((entry.seq, message(&entry.payload)?))).collect();
            if !heard.is_empty() {
                return heard;
            }
        }
    }

    /// All messages of a room, read page by page.
    pub async fn history(&self, room: &Room) -> Vec<(Seq, String)> {
        let (mut messages, mut before) = (Vec::new(), Seq(0));
        loop {
            let page = self.client.history(room.id, before, 0).await.unwrap();
            let entries = page.entries.iter().filter_map(|entry| Some((entry.seq, message(&entry.payload)?)));
            messages.splice(0..0, entries);
            before = page.next;
            if before == Seq(0) {
                return messages;
            }
        }
    }
}

/// Who owns the server, and sees the audit.
pub async fn register_owner(server: &TestServer) -> Person {
    Person::register_at(server.client_address(Transport::Quic), "owner", Some(&server.owner_token)).await
}

/// The text of an entry that is a message.
pub fn message(payload: &[u8]) -> Option<String> {
    match decode_entry(payload).unwrap().content {
        EntryContent::Message(message) => Some(message.body.as_str().to_owned()),
        _ => None,
    }
}
