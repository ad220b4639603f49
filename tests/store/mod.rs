//! What every store must answer alike: one list of cases, run on a fresh store of each kind.

mod accounts;
mod amends;
mod audit;
mod backup;
mod beside;
mod context;
mod evidence;
mod flags;
mod hashes;
mod keeping;
mod logs;
mod moderation;
mod notes;
mod observed;
mod personal;
mod postgres;
mod races;
mod refresh;
mod seal;
mod search;
mod standing;
mod tls;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use confab::core::append::{Change, Decided, Decision, Item, Order};
use confab::core::audit::AuditKey;
use confab::core::names::user_key;
use confab::core::seal::Vault;
use confab::core::store::{NewLogin, NewRoom, NewUser, RoomShape, Store};
use confab::store::postgres::Postgres;
use confab::store::sqlite::Sqlite;
use confab_protocol::model::{
    ClientId, DeviceId, DeviceName, DisplayName, Incarnation, Millis, RoomId, RoomName, Seq, ServerRole, Topic, UserId,
    Username,
};

type Case = Pin<Box<dyn Future<Output = ()> + Send>>;
/// A name, and what is to hold on a store that nothing was done to.
type Named = (&'static str, fn(Scene) -> Case);

/// Writes `(name, case)` for functions of a module.
macro_rules! cases {
    ($($name:ident),+ $(,)?) => {
        pub(super) const CASES: &[super::Named] = &[$((stringify!($name), |scene| Box::pin($name(scene)))),+];
    };
}
use cases;

/// A store, with ids and times that differ and are the same in each run.
#[derive(Clone)]
struct Scene {
    store: Arc<dyn Store>,
    count: Arc<AtomicU64>,
}

const START: Millis = Millis(1_700_000_000_000);

impl Scene {
    fn next(&self) -> u64 {
        self.count.fetch_add(1, Ordering::Relaxed)
    }

    fn client_id(&self) -> ClientId {
        let n = self.next();
        ClientId::new(START.after(n), n.into())
    }

    fn new_user(&self, name: &str, role: ServerRole) -> NewUser {
        NewUser {
            id: UserId::new(START.after(self.next()), self.next().into()),
            username: Username::parse(name).unwrap(),
            username_key: user_key(&Username::parse(name).unwrap()),
            display_name: DisplayName::parse(name).unwrap(),
            role,
            password_hash: Some(format!("hash of {name}")),
            self_room: RoomId::new(START.after(self.next()), self.next().into()),
            incarnation: Incarnation(self.next() + 1),
            created: START,
            audit_key: AuditKey::from_u128(u128::MAX - u128::from(self.next())),
            ticket: None,
        }
    }

    async fn user(&self, name: &str) -> NewUser {
        let user = self.new_user(name, ServerRole::User);
        self.store.create_user(user.clone()).await.unwrap();
        user
    }

    fn login(&self, user: UserId) -> NewLogin {
        let device = DeviceId::new(START.after(self.next()), self.next().into());
        let name = DeviceName::parse("phone").unwrap();
        NewLogin {
            device,
            user,
            name,
            refresh: None,
            password_hash: None,
            devices_max: 10,
            now: START.after(self.next()),
        }
    }

    fn item(&self, room: RoomId, author: UserId, change: Change) -> Item {
        let client_id = self.client_id();
        Item {
            room,
            author,
            client_id,
            digest: client_id.to_bytes(),
            payload: Bytes::from(format!("entry {client_id}")),
            altered: false,
            change,
            acl_version: 0,
            order: Order::none(),
            then: Vec::new(),
            beside: None,
        }
    }

    async fn append(&self, items: Vec<Item>) -> Vec<Decided> {
        self.store.append(items, START.after(self.next())).await.unwrap()
    }

    async fn append_one(&self, item: Item) -> Decision {
        self.append(vec![item]).await.remove(0).decision
    }

    /// A room that this user owns; its first entry is its making.
    async fn room(&self, owner: UserId, name: &str) -> RoomId {
        let room = RoomId::new(START.after(self.next()), self.next().into());
        let new = self.new_room(name);
        let made = self.append_one(self.item(room, owner, Change::CreateRoom(Box::new(new)))).await;
        assert_eq!(seq(&made), Some(1));
        room
    }

    fn new_room(&self, name: &str) -> NewRoom {
        let (name, topic) = (RoomName::parse(name).unwrap(), Topic::parse("talk").unwrap());
        let shape = RoomShape::named(name, topic, false);
        NewRoom { shape, incarnation: Incarnation(self.next() + 1), created: START }
    }

    async fn join(&self, room: RoomId, user: UserId) -> Decision {
        self.append_one(self.item(room, user, Change::Join(None))).await
    }

    async fn leave(&self, room: RoomId, user: UserId) -> Decision {
        self.append_one(self.item(room, user, Change::Leave)).await
    }

    async fn head(&self, room: RoomId, reader: UserId) -> Seq {
        self.store.read(room, reader, Seq(0), 1).await.unwrap().unwrap().state.head
    }
}

fn seq(decision: &Decision) -> Option<u64> {
    match decision {
        Decision::Append { seq, .. } => Some(seq.0),
        _ => None,
    }
}

fn all_cases() -> impl Iterator<Item = &'static Named> {
    accounts::CASES
        .iter()
        .chain(refresh::CASES)
        .chain(logs::CASES)
        .chain(amends::CASES)
        .chain(keeping::CASES)
        .chain(search::CASES)
        .chain(standing::CASES)
        .chain(observed::CASES)
        .chain(moderation::CASES)
        .chain(evidence::CASES)
        .chain(notes::CASES)
        .chain(audit::CASES)
        .chain(hashes::CASES)
        .chain(flags::CASES)
        .chain(beside::CASES)
        .chain(context::CASES)
        .chain(personal::CASES)
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_to_the_contract() {
    for (name, case) in all_cases() {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Sqlite::open(&folder.path().join("confab.db"), 2, Vault::default()).unwrap());
        run("sqlite", name, *case, store).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_to_the_contract_where_payloads_are_sealed() {
    for (name, case) in all_cases() {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Sqlite::open(&folder.path().join("confab.db"), 2, seal::vault(&[1])).unwrap());
        run("sqlite, sealed", name, *case, store).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_to_the_contract_where_payloads_are_sealed() {
    for (name, case) in all_cases() {
        let store = postgres::open_with(&postgres::fresh_url().await, seal::vault(&[1])).await.unwrap();
        run("postgres, sealed", name, *case, Arc::new(store)).await;
    }
}

/// Apart from the others: they take longer.
#[tokio::test(flavor = "multi_thread")]
async fn races_on_sqlite_have_one_outcome() {
    for (name, case) in races::CASES {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Sqlite::open(&folder.path().join("confab.db"), 2, Vault::default()).unwrap());
        run("sqlite", name, *case, store).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn races_on_postgres_have_one_outcome() {
    for (name, case) in races::CASES {
        run("postgres", name, *case, Arc::new(postgres().await)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_to_the_contract() {
    for (name, case) in all_cases() {
        run("postgres", name, *case, Arc::new(postgres().await)).await;
    }
}

/// A store on a database that nobody used before.
async fn postgres() -> Postgres {
    postgres::open(&postgres::fresh_url().await).await.unwrap()
}

async fn run(kind: &str, name: &str, case: fn(Scene) -> Case, store: Arc<dyn Store>) {
    eprintln!("{kind}: {name}");
    case(Scene { store: store.clone(), count: Arc::default() }).await;
    store.ping().await.unwrap();
    assert_eq!(store.unsafe_settings().await.unwrap(), [""; 0]);
    store.close().await;
    assert!(store.ping().await.is_err(), "{name}: closed is closed");
}
