//! What only the store of several servers has to answer: others on the same database, and the database's own ways.

use std::collections::HashSet;
use std::sync::Arc;

use confab::core::append::{Change, Decision, Item, Said};
use confab::core::seal::Vault;
use confab::core::store::{Error, Outcome, Result, Store};
use confab::store::postgres::{Options, Postgres};
use confab_protocol::model::{RoomRole, Seq};

use super::audit::all_cases;
use super::{START, Scene, seq};
use crate::support::postgres::Cluster;
pub(super) use crate::support::postgres::fresh_url;

pub(super) async fn open(url: &str) -> Result<Postgres> {
    open_with(url, Vault::default()).await
}

pub(super) async fn open_with(url: &str, vault: Vault) -> Result<Postgres> {
    Postgres::open(Options::parse(url, None, None, 2, 4).unwrap(), vault).await
}

pub(super) fn sql(url: &str, sql: &str) -> String {
    let database = url.rsplit_once('/').unwrap().1.split('?').next().unwrap();
    Cluster::shared().sql(database, sql)
}

/// Two servers, each with several writers, append to the same rooms, some items in two of them at once; every item is
/// sent to both. Each is there once, at the seq that both were told.
#[tokio::test(flavor = "multi_thread")]
async fn servers_on_one_database_append_to_the_same_rooms() {
    const ROUNDS: usize = 40;
    let url = fresh_url().await;
    let scenes = [open(&url).await.unwrap(), open(&url).await.unwrap()];
    let [one, two] = scenes.map(Arc::new);
    let scene = Scene { store: one.clone(), count: Arc::default() };
    let (alice, bob) = (scene.user("alice").await, scene.user("bob").await);
    let rooms = [scene.room(alice.id, "one").await, scene.room(alice.id, "two").await];
    let batch = |_| -> Vec<Item> {
        let item = |n: usize| {
            let then = scene.item(bob.self_room, bob.id, Change::SelfNote);
            Item { then: vec![then], ..scene.item(rooms[n % 2], alice.id, Change::Message(Said::default())) }
        };
        (0..10).map(item).collect()
    };
    let batches: Vec<Vec<Item>> = (0..ROUNDS).map(batch).collect();
    let run = |store: Arc<Postgres>, batches: Vec<Vec<Item>>| {
        tokio::spawn(async move {
            let mut told = Vec::new();
            for batch in batches {
                told.extend(store.append(batch, START).await.unwrap());
            }
            told
        })
    };
    let backwards = batches.iter().rev().cloned().collect();
    // Four at once: both servers, both of their writers.
    let told = [
        run(one.clone(), batches.clone()),
        run(two.clone(), backwards),
        run(two, batches.clone()),
        run(one, batches.into_iter().rev().collect()),
    ];
    let mut places = std::collections::HashMap::new();
    for told in told {
        for decided in told.await.unwrap() {
            let place = match &decided.decision {
                Decision::Append { seq, .. } => *seq,
                Decision::Recorded(Outcome::Appended(appended)) => appended.seq,
                other => panic!("{other:?}"),
            };
            let first = *places.entry(decided.item.key()).or_insert(place);
            assert_eq!(first, place, "everybody is told the same");
        }
    }
    for room in rooms {
        let seqs: HashSet<u64> = places.iter().filter(|(key, _)| key.0 == room).map(|(_, seq)| seq.0).collect();
        assert_eq!(seqs, (2..2 + ROUNDS as u64 * 5).collect(), "dense, each once");
    }
    assert_eq!(scene.head(bob.self_room, bob.id).await, Seq(ROUNDS as u64 * 10), "and what follows them");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_name_is_one_room_whoever_asks() {
    let url = fresh_url().await;
    let stores = [open(&url).await.unwrap(), open(&url).await.unwrap()].map(Arc::new);
    let scene = Scene { store: stores[0].clone(), count: Arc::default() };
    let alice = scene.user("alice").await.id;
    for name in (0..20).map(|n| format!("room {n}")) {
        let tries = stores.clone().map(|store| {
            let room = confab_protocol::model::RoomId::from_u128(scene.client_id().as_u128());
            let item = scene.item(room, alice, Change::CreateRoom(Box::new(scene.new_room(&name))));
            tokio::spawn(async move { store.append(vec![item], START).await.unwrap().remove(0).decision })
        });
        let mut made = 0;
        for tried in tries {
            made += usize::from(seq(&tried.await.unwrap()).is_some());
        }
        assert_eq!(made, 1, "{name}");
    }
}

/// Counts the attempts at a new case, also those that are undone, and lets them fail with this code while this holds.
fn get_in_the_way(url: &str, when: &str, code: &str) {
    let body = format!("IF {when} THEN RAISE 'in the way' USING ERRCODE = '{code}'; END IF; RETURN NEW;");
    let function = "CREATE OR REPLACE FUNCTION get_in_the_way() RETURNS trigger LANGUAGE plpgsql AS";
    sql(url, &format!("{function} $$ BEGIN PERFORM nextval('attempts'); {body} END $$"));
}

/// Who is in the way is soon gone, and what is an answer is not asked for again.
#[tokio::test(flavor = "multi_thread")]
async fn what_others_are_in_the_way_of_is_tried_again() {
    let url = fresh_url().await;
    let scene = Scene { store: Arc::new(open(&url).await.unwrap()), count: Arc::default() };
    let (room, [owner, moderator, member]) = scene.company().await;
    sql(&url, "CREATE SEQUENCE attempts");
    let attempts = || sql(&url, "SELECT last_value FROM attempts");
    get_in_the_way(&url, "currval('attempts') < 3", "40001");
    sql(&url, "CREATE TRIGGER in_the_way BEFORE INSERT ON cases FOR EACH ROW EXECUTE FUNCTION get_in_the_way()");
    let reported = scene.report(room, member, 0, owner).await.unwrap();
    assert!(reported.is_new && attempts() == "3", "{}", attempts());
    assert_eq!((scene.cases(all_cases()).await, scene.audit_of(None).await.len()), (vec![reported.row.id], 1));
    // Not for ever.
    for (code, expected) in [("40P01", "11"), ("55P03", "19")] {
        get_in_the_way(&url, "true", code);
        let refused = scene.store.report(scene.new_report(room, moderator, 0, owner)).await.unwrap_err();
        assert!(matches!(&refused, Error::Unavailable(what) if what.contains(code)), "{refused}");
        assert_eq!(attempts(), expected, "{code}");
    }
    get_in_the_way(&url, "true", "23505");
    let taken = scene.store.report(scene.new_report(room, moderator, 0, owner)).await.unwrap_err();
    assert!(matches!(taken, Error::Corrupt(_)), "{taken}");
    assert_eq!(attempts(), "20");
    assert_eq!((scene.cases(all_cases()).await.len(), scene.audit_of(None).await.len()), (1, 1));
    scene.store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_break_the_promise_are_found() {
    let url = fresh_url().await;
    open(&url).await.unwrap();
    let name = sql(&url, "SELECT current_database()");
    sql(&url, &format!("ALTER DATABASE {name} SET synchronous_commit = off"));
    assert_eq!(open(&url).await.unwrap().unsafe_settings().await.unwrap(), ["synchronous_commit"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_schema_is_refused() {
    let url = fresh_url().await;
    open(&url).await.unwrap();
    sql(
        &url,
        "INSERT INTO refinery_schema_history
         SELECT 99, 'later', applied_on, '7' FROM refinery_schema_history WHERE version = 1",
    );
    let refused = open(&url).await.err().unwrap().to_string();
    assert!(refused.contains("older than its data"), "{refused}");
}

/// A database that went away fails at once and is used again when it is back.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_dies_is_found_again() {
    let mut cluster = tokio::task::spawn_blocking(Cluster::start).await.unwrap();
    cluster.create_database("confab");
    let store = Arc::new(open(&cluster.url("confab")).await.unwrap());
    let scene = Scene { store: store.clone(), count: Arc::default() };
    let alice = scene.user("alice").await.id;
    let room = scene.room(alice, "one").await;
    cluster.kill();
    let lost = scene.item(room, alice, Change::Message(Said::default()));
    assert!(store.append(vec![lost.clone()], START).await.is_err());
    assert!(store.ping().await.is_err());
    cluster.restart();
    store.ping().await.unwrap();
    assert_eq!(seq(&scene.append_one(lost).await), Some(2), "nothing was appended before");
    assert_eq!(scene.store.membership(room, alice).await.unwrap().unwrap().role, RoomRole::Owner);
    tokio::task::spawn_blocking(move || drop(cluster)).await.unwrap();
}
