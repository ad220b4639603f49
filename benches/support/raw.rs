//! What the drivers do by themselves: full batches of messages into eight rooms, one after the other, as many at a time
//! as the store has writers.

use std::sync::Arc;
use std::time::Duration;

use confab::core::append::{Change, Item, Order, Said};
use confab::core::names::user_key;
use confab::core::seal::Vault;
use confab::core::store::{NewRoom, NewUser, RoomShape, Store, new_incarnation};
use confab::sequencer::BATCH_ENTRIES_MAX;
use confab::store::postgres::{Options, Postgres};
use confab::store::sqlite::Sqlite;
use confab_protocol::codec::encode_entry;
use confab_protocol::model::{
    Body, ClientId, DisplayName, Entry, EntryContent, Millis, RoomId, RoomName, ServerRole, Topic, UserId, Username,
};
use tokio::task::JoinSet;

use crate::support::elapsed;
use crate::support::server::data_dir;

const ROOMS: u128 = 8;
const MEASURED: Duration = Duration::from_secs(5);
const NOW: Millis = Millis(1_800_000_000_000);
const AUTHOR: UserId = UserId::from_u128(1);

pub(crate) async fn sqlite() -> f64 {
    let folder = data_dir();
    let store = Sqlite::open(&folder.path().join("raw.db"), 1, Vault::default()).expect("a fresh file");
    entries_per_second(Arc::new(store)).await
}

pub(crate) async fn postgres(url: String) -> f64 {
    let options = Options::parse(&url, None, None, 2, 2).expect("its own address");
    entries_per_second(Arc::new(Postgres::open(options, Vault::default()).await.expect("a fresh database"))).await
}

async fn entries_per_second(store: Arc<dyn Store>) -> f64 {
    store.create_user(author()).await.expect("a fresh store");
    let rooms = (0..ROOMS).map(room).collect();
    store.append(rooms, NOW).await.expect("a fresh store");
    let until = elapsed() + MEASURED;
    let mut writers = JoinSet::new();
    let lanes = store.writers() as u128;
    for lane in 0..lanes {
        let store = Arc::clone(&store);
        writers.spawn(async move {
            let mut count = 0;
            for batch in 0.. {
                if elapsed() >= until {
                    break;
                }
                let first = (lane << 64) + batch * BATCH_ENTRIES_MAX as u128;
                // Rooms of its own, as the sequencer has it.
                let items = (first..).take(BATCH_ENTRIES_MAX).map(|n| message(n, n % (ROOMS / lanes) * lanes + lane));
                count += store.append(items.collect(), NOW).await.expect("nothing is in the way").len();
            }
            count
        });
    }
    writers.join_all().await.into_iter().sum::<usize>() as f64 / MEASURED.as_secs_f64()
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
