//! How far plugins were shown the logs.

use confab::core::append::{Change, Said};
use confab_protocol::model::{RoomId, Seq, UserId};

use super::Scene;

super::cases![
    a_plugin_begins_where_logs_end_and_goes_on_where_it_was,
    rooms_that_come_later_begin_at_their_start,
    a_cursor_never_goes_back,
];

async fn said(scene: &Scene, room: RoomId, author: UserId) {
    scene.append_one(scene.item(room, author, Change::Message(Said::default()))).await;
}

impl Scene {
    async fn unobserved(&self, plugin: &str) -> Vec<(RoomId, Seq)> {
        let mut behind = self.store.unobserved(plugin.to_owned(), None).await.unwrap();
        behind.sort_unstable();
        behind
    }
}

async fn a_plugin_begins_where_logs_end_and_goes_on_where_it_was(scene: Scene) {
    let alice = scene.user("alice").await.id;
    let (one, two) = (scene.room(alice, "one").await, scene.room(alice, "two").await);
    said(&scene, one, alice).await;
    scene.store.begin_observing("watch".to_owned()).await.unwrap();
    assert_eq!(scene.unobserved("watch").await, [], "what was there is none of its");
    said(&scene, one, alice).await;
    assert_eq!(scene.unobserved("watch").await, [(one, Seq(2))]);
    scene.store.begin_observing("watch".to_owned()).await.unwrap();
    assert_eq!(scene.unobserved("watch").await, [(one, Seq(2))], "to begin once more forgets nothing");
    scene.store.observed("watch".to_owned(), vec![(one, Seq(3))]).await.unwrap();
    assert_eq!(scene.unobserved("watch").await, []);
    said(&scene, two, alice).await;
    let asked = scene.store.unobserved("watch".to_owned(), Some(vec![one, RoomId::from_u128(7)])).await.unwrap();
    assert_eq!(asked, [], "of these rooms alone");
    assert_eq!(scene.store.unobserved("watch".to_owned(), Some(vec![two])).await.unwrap(), [(two, Seq(1))]);
    scene.store.begin_observing("other".to_owned()).await.unwrap();
    assert_eq!(scene.unobserved("other").await, [], "each for itself");
}

async fn rooms_that_come_later_begin_at_their_start(scene: Scene) {
    let alice = scene.user("alice").await.id;
    scene.store.begin_observing("watch".to_owned()).await.unwrap();
    let later = scene.room(alice, "later").await;
    said(&scene, later, alice).await;
    scene.user("bob").await;
    assert_eq!(scene.unobserved("watch").await, [(later, Seq(0))], "and nobody's own log is observed");
}

async fn a_cursor_never_goes_back(scene: Scene) {
    let alice = scene.user("alice").await.id;
    let room = scene.room(alice, "one").await;
    scene.store.begin_observing("watch".to_owned()).await.unwrap();
    for _ in 0..3 {
        said(&scene, room, alice).await;
    }
    // Two servers observe the same.
    for seq in [3, 2] {
        scene.store.observed("watch".to_owned(), vec![(room, Seq(seq))]).await.unwrap();
    }
    assert_eq!(scene.unobserved("watch").await, [(room, Seq(3))]);
}
