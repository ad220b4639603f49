//! What happens at once, a thousand times: a ban and the posts of the banned, a resend that would be refused by now, and
//! one client id on two connections.

use std::sync::Arc;

use confab::core::append::{Act, Amend, Change, Decided, Decision, Item, Order, OrderGuard, Said};
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

/// In a room that became slow, of one who was muted, then banned: what was appended stays what it was.
async fn a_resend_is_never_decided_again(scene: Scene) {
    let (owner, member) = (scene.user("alice").await.id, scene.user("bob").await.id);
    let room = scene.room(owner, "one").await;
    scene.join(room, member).await;
    let settings = |slow_mode_ms| RoomSettings {
        name: RoomName::parse("one").unwrap(),
        topic: Topic::parse("talk").unwrap(),
        slow_mode_ms,
        retention_ms: 0,
        visibility: Visibility::All,
        knocks: false,
        rights: RoomRights::default(),
    };
    for round in 0..ROUNDS {
        let now = START.after(round * 10_000_000);
        let version = scene.store.membership(room, member).await.unwrap().unwrap().acl_version;
        let first = post(&scene, room, member, version);
        let told = scene.store.append(vec![first.clone()], now).await.unwrap();
        let place = Seq(seq(&told[0].decision).unwrap());
        let against = match round % 3 {
            0 => Act::settings(settings(0), settings(5_000_000)),
            1 => Act::Sanction(member, SanctionKind::Mute, None),
            _ => Act::Sanction(member, SanctionKind::Ban, None),
        };
        let refused = post(&scene, room, member, version);
        let resend = Item { order: Order::none(), ..first };
        let changed = append(&scene, vec![act(&scene, room, owner, against)], now);
        let again = append(&scene, vec![resend.clone(), resend], now);
        changed.await.unwrap();
        for decided in again.await.unwrap() {
            let Decision::Recorded(Outcome::Appended(appended)) = decided.decision else { panic!("{decided:?}") };
            assert!(appended.seq == place && appended.duplicate);
        }
        if round % 3 == 0 {
            // The first post in a slow room begins the time.
            scene.store.append(vec![post(&scene, room, member, version)], now).await.unwrap();
        }
        let refused = scene.store.append(vec![refused], now).await.unwrap().remove(0).decision;
        assert!(seq(&refused).is_none(), "something new is refused: {refused:?}");
        scene.append_one(act(&scene, room, owner, Act::settings(settings(5_000_000), settings(0)))).await;
        scene.append_one(act(&scene, room, owner, Act::Sanction(member, SanctionKind::Lift, None))).await;
        scene.join(room, member).await;
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
