//! What happens at once, a thousand times: a ban and the posts of the banned, a resend that would be refused by now, and
//! one client id on two connections.

use std::sync::Arc;

use confab::core::append::{Act, Amend, Change, Decided, Decision, Item, OrderGuard, Said};
use confab::core::store::Outcome;
use confab_protocol::model::{
    Millis, RoomId, RoomName, RoomSettings, SanctionKind, Seq, ServerRole, Topic, UserId, Visibility,
};
use confab_protocol::reject::RejectCode;
use confab_protocol::rights::RoomRights;

use super::{START, Scene, seq};

super::cases![no_post_follows_a_ban, a_resend_is_never_decided_again, one_client_id_on_two_connections_is_one_entry];

const ROUNDS: u64 = 1_000;
/// As many as a connection may have in flight.
const POSTS: usize = 64;

fn act(scene: &Scene, room: RoomId, author: UserId, act: Act) -> Item {
    scene.item(
        room,
        author,
        Change::Amend(Box::new(Amend { server_role: ServerRole::User, shadowed: false, decided: false, act })),
    )
}

fn post(scene: &Scene, room: RoomId, author: UserId, acl_version: u64) -> Item {
    Item { acl_version, ..scene.item(room, author, Change::Message(Said::default())) }
}

/// Appends on a task of its own, as another lane or another server would.
fn append(scene: &Scene, batch: Vec<Item>, now: Millis) -> tokio::task::JoinHandle<Vec<Decided>> {
    let store = Arc::clone(&scene.store);
    tokio::spawn(async move { store.append(batch, now).await.unwrap() })
}

async fn no_post_follows_a_ban(scene: Scene) {
    let (owner, member) = (scene.user("alice").await.id, scene.user("bob").await.id);
    let room = scene.room(owner, "one").await;
    let (mut before, mut after) = (0, 0);
    for _ in 0..ROUNDS {
        assert!(seq(&scene.join(room, member).await).is_some());
        let version = scene.store.membership(room, member).await.unwrap().unwrap().acl_version;
        // All of them were admitted before the ban.
        let mut posts: Vec<Item> = (0..POSTS).map(|_| post(&scene, room, member, version)).collect();
        let late = posts.split_off(POSTS / 2);
        let ban = act(&scene, room, owner, Act::Sanction(member, SanctionKind::Ban, None));
        let [one, ban, two] =
            [append(&scene, posts, START), append(&scene, vec![ban], START), append(&scene, late, START)];
        let banned = seq(&ban.await.unwrap()[0].decision).unwrap();
        for decided in [one.await.unwrap(), two.await.unwrap()].concat() {
            match decided.decision {
                Decision::Append { seq, .. } => {
                    assert!(seq.0 < banned, "{} follows the ban at {banned}", seq.0);
                    before += 1;
                }
                Decision::Refuse(RejectCode::NotMember | RejectCode::OrderBroken) => after += 1,
                other => panic!("{other:?}"),
            }
        }
        scene.append_one(act(&scene, room, owner, Act::Sanction(member, SanctionKind::Lift, None))).await;
    }
    assert!(before > 0 && after > 0, "{before} before, {after} after: neither may be always first");
}

/// In a room that became slow, of one who was muted, and of one who was banned: what was appended stays what it was.
async fn a_resend_is_never_decided_again(scene: Scene) {
    let (owner, member) = (scene.user("alice").await.id, scene.user("bob").await.id);
    let mut rooms = Vec::new();
    for name in ["one", "two", "three"] {
        let room = scene.room(owner, name).await;
        scene.join(room, member).await;
        rooms.push(room);
    }
    let [slow, muted, banned] = rooms[..] else { panic!("{rooms:?}") };
    let sanction = |room, kind| act(&scene, room, owner, Act::Sanction(member, kind, None));
    let slow_mode = |from, to| act(&scene, slow, owner, Act::settings(settings("one", from), settings("one", to)));
    for round in 0..ROUNDS {
        let now = START.after(round * 10_000_000);
        let mut firsts = Vec::new();
        for room in &rooms {
            let version = scene.store.membership(*room, member).await.unwrap().unwrap().acl_version;
            firsts.push(post(&scene, *room, member, version));
        }
        let told = scene.store.append(firsts.clone(), now).await.unwrap();
        let places: Vec<Seq> = told.iter().map(|decided| Seq(seq(&decided.decision).unwrap())).collect();
        let anew = |first: &Item| post(&scene, first.room, member, first.acl_version);
        let (begins, refused) = (anew(&firsts[0]), firsts.iter().map(anew).collect());
        let resends = [firsts.clone(), firsts].concat();
        let (mute, ban) = (sanction(muted, SanctionKind::Mute), sanction(banned, SanctionKind::Ban));
        let changed = append(&scene, vec![slow_mode(0, 5_000_000), mute, ban], now);
        let again = append(&scene, resends, now);
        changed.await.unwrap();
        let again = again.await.unwrap();
        assert_eq!(again.len(), places.len() * 2);
        for (decided, place) in again.into_iter().zip(places.iter().cycle()) {
            let Decision::Recorded(Outcome::Appended(appended)) = decided.decision else { panic!("{decided:?}") };
            assert!(appended.seq == *place && appended.duplicate);
        }
        // The first post in a slow room begins the time.
        scene.store.append(vec![begins], now).await.unwrap();
        for decided in scene.store.append(refused, now).await.unwrap() {
            assert!(seq(&decided.decision).is_none(), "something new is refused: {decided:?}");
        }
        let lifted = [muted, banned].map(|room| sanction(room, SanctionKind::Lift));
        scene.append([vec![slow_mode(5_000_000, 0)], lifted.into()].concat()).await;
        scene.join(banned, member).await;
    }
}

fn settings(name: &str, slow_mode_ms: u32) -> RoomSettings {
    RoomSettings {
        name: RoomName::parse(name).unwrap(),
        topic: Topic::parse("talk").unwrap(),
        slow_mode_ms,
        retention_ms: 0,
        visibility: Visibility::All,
        knocks: false,
        rights: RoomRights::default(),
    }
}

async fn one_client_id_on_two_connections_is_one_entry(scene: Scene) {
    let author = scene.user("alice").await.id;
    let room = scene.room(author, "one").await;
    for round in 0..ROUNDS {
        let item = Item { order: Arc::new(OrderGuard::default()).admit(room), ..post(&scene, room, author, 0) };
        let other = Item { order: Arc::new(OrderGuard::default()).admit(room), ..item.clone() };
        let (one, two) = (append(&scene, vec![item], START), append(&scene, vec![other], START));
        let mut told = Vec::new();
        for decided in [one.await.unwrap(), two.await.unwrap()].concat() {
            told.push(match decided.decision {
                Decision::Append { seq, .. } => (seq, false),
                Decision::Recorded(Outcome::Appended(appended)) => (appended.seq, appended.duplicate),
                other => panic!("{other:?}"),
            });
        }
        told.sort_unstable_by_key(|(_, duplicate)| *duplicate);
        assert_eq!(told, [(Seq(round + 2), false), (Seq(round + 2), true)]);
    }
    assert_eq!(scene.head(room, author).await, Seq(ROUNDS + 1));
}
