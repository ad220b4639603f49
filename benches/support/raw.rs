//! What the drivers do by themselves: batches of messages into eight rooms, one after the other, as many at a time as the
//! store has writers. Entries are made and encoded on the way, and nobody is answered.
//!
//! All of it is in the process of the bench: one thread makes the entries of the next batch while, with the embedded store,
//! another writes the one before. Opened and used by way of `Cores::on_server_core` they have the cores of the server.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use confab::core::append::{Change, Item, Order, Said};
use confab::core::audit::AuditKey;
use confab::core::names::user_key;
use confab::core::seal::Vault;
use confab::core::store::{NewRoom, NewUser, RoomShape, Store, new_incarnation};
use confab::store::postgres::{Options, Postgres};
use confab::store::sqlite::Sqlite;
use confab_protocol::codec::encode_entry;
use confab_protocol::model::{
    Body, ClientId, DisplayName, Entry, EntryContent, Millis, RoomId, RoomName, ServerRole, Topic, UserId, Username,
};
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::support::elapsed;
use crate::support::server::data_dir;

const ROOMS: u128 = 8;
/// Not counted.
const WARM_UP: Duration = Duration::from_millis(500);
const MEASURED: Duration = Duration::from_secs(4);
const NOW: Millis = Millis(1_800_000_000_000);
const AUTHOR: UserId = UserId::from_u128(1);

/// A store without a server.
pub(crate) struct Raw {
    store: Arc<dyn Store>,
    /// Where the ids of the next entries begin.
    next: u128,
    /// Of the embedded store; it goes after it.
    _folder: Option<TempDir>,
}

pub(crate) async fn sqlite() -> Raw {
    let folder = data_dir();
    let store = Sqlite::open(&folder.path().join("raw.db"), 1, Vault::default()).expect("a fresh file");
    Raw::over(Arc::new(store), Some(folder)).await
}

pub(crate) async fn postgres(url: String) -> Raw {
    let options = Options::parse(&url, None, None, 2, 2).expect("its own address");
    Raw::over(Arc::new(Postgres::open(options, Vault::default()).await.expect("a fresh database")), None).await
}

impl Raw {
    async fn over(store: Arc<dyn Store>, folder: Option<TempDir>) -> Self {
        store.create_user(author()).await.expect("a fresh store");
        store.append((0..ROOMS).map(room).collect(), NOW).await.expect("a fresh store");
        Self { store, next: 0, _folder: folder }
    }

    /// Commits batches of so many entries for some seconds.
    pub(crate) async fn entries_per_second(&mut self, batch: usize) -> f64 {
        let from = elapsed() + WARM_UP;
        let window = from..from + MEASURED;
        let mut writers = JoinSet::new();
        let lanes = self.store.writers() as u128;
        for lane in 0..lanes {
            writers.spawn(append(Arc::clone(&self.store), (lane, lanes), self.next, batch, window.clone()));
        }
        let mut count = 0;
        for (counted, next) in writers.join_all().await {
            count += counted;
            self.next = self.next.max(next);
        }
        count as f64 / MEASURED.as_secs_f64()
    }
}

/// What one writer does: entries that it committed within the window, and the id that comes next.
async fn append(
    store: Arc<dyn Store>,
    (lane, lanes): (u128, u128),
    mut next: u128,
    batch: usize,
    window: Range<Duration>,
) -> (usize, u128) {
    let mut items = || {
        let first = (lane << 64) + next;
        next += batch as u128;
        // Rooms of its own, as the sequencer has it.
        (first..).take(batch).map(|n| message(n, n % (ROOMS / lanes) * lanes + lane)).collect::<Vec<_>>()
    };
    let (mut count, mut due) = (0, items());
    while elapsed() < window.end {
        let (appended, made) = tokio::join!(store.append(due, NOW), async { items() });
        if window.contains(&elapsed()) {
            count += appended.expect("nothing is in the way").len();
        }
        due = made;
    }
    (count, next)
}

fn author() -> NewUser {
    NewUser {
        id: AUTHOR,
        username: Username::parse("raw").expect("a name"),
        username_key: user_key(&Username::parse("raw").expect("a name")),
        display_name: DisplayName::parse("raw").expect("a name"),
        role: ServerRole::User,
        password_hash: None,
        self_room: RoomId::from_u128(1 << 100),
        incarnation: new_incarnation(1),
        created: NOW,
        audit_key: AuditKey::from_u128(1),
        ticket: None,
    }
}

fn room(n: u128) -> Item {
    let name = RoomName::parse(&format!("raw {n}")).expect("a name");
    let topic = Topic::parse("").expect("may be empty");
    let shape = RoomShape::named(name, topic, false);
    let new = NewRoom { shape, incarnation: new_incarnation(n), created: NOW };
    item(u128::MAX - n, n, Change::CreateRoom(Box::new(new)))
}

fn message(n: u128, room: u128) -> Item {
    item(n + 1, room, Change::Message(Said::default()))
}

fn item(id: u128, room: u128, change: Change) -> Item {
    let (room, author, client_id) = (RoomId::from_u128(room + 2), AUTHOR, ClientId::from_u128(id));
    let content = EntryContent::Message(Body::parse(&"x".repeat(200)).expect("a body").into());
    let payload = encode_entry(&Entry { author, client_id, content });
    let (digest, order) = (client_id.to_bytes(), Order::none());
    let (altered, acl_version, then, beside) = (false, 0, Vec::new(), None);
    Item { room, author, client_id, digest, payload, altered, change, acl_version, order, then, beside }
}
