//! What somebody is given of theirs, and that it is told how far that is.

use confab::core::append::{Change, Item, Said};
use confab::core::personal::{Passed, export};
use confab_protocol::codec::encode_entry;
use confab_protocol::limits::PAGE_ITEMS_MAX;
use confab_protocol::model::{Body, Entry, EntryContent, RoomId, RoomName, Topic, UserId};
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use super::{START, Scene};

super::cases![an_export_says_how_far_it_is];

/// An entry that can be read.
fn readable(scene: &Scene, (room, author): (RoomId, UserId), content: EntryContent, change: Change) -> Item {
    let item = scene.item(room, author, change);
    let payload = encode_entry(&Entry { author, client_id: item.client_id, content });
    Item { payload, ..item }
}

async fn an_export_says_how_far_it_is(scene: Scene) {
    let alice = scene.user("alice").await;
    let place = (RoomId::new(START.after(scene.next()), scene.next().into()), alice.id);
    let (name, topic) = (RoomName::parse("hall").unwrap(), Topic::parse("talk").unwrap());
    let made = EntryContent::RoomCreated { name, topic };
    let made = readable(&scene, place, made, Change::CreateRoom(Box::new(scene.new_room("hall"))));
    scene.append_one(made).await;
    // Two pages with it.
    for _ in 0..PAGE_ITEMS_MAX {
        let said = EntryContent::Message(Body::parse("hello").unwrap().into());
        scene.append_one(readable(&scene, place, said, Change::Message(Said::default()))).await;
    }
    let rooms = scene.store.rooms_ever(alice.id).await.unwrap();
    let of: u64 = scene.store.heads(rooms).await.unwrap().into_iter().map(|(_, _, head)| head.0).sum();
    assert!(of > PAGE_ITEMS_MAX as u64, "{of}");

    let (user, _) = scene.store.find_login(alice.username.clone()).await.unwrap().unwrap();
    let (mut records, mut told) = (Vec::new(), Vec::new());
    let mut give = |record: serde_json::Value| {
        records.push(record);
        Ok(())
    };
    let mut tell = |passed: Passed| told.push(passed);
    block_in_place(|| Handle::current().block_on(export(&*scene.store, &user, &mut give, &mut tell))).unwrap();
    assert!(told.len() >= 2 && told.is_sorted_by_key(|passed| passed.entries), "after each page: {told:?}");
    assert!(told.iter().all(|passed| passed.of == of), "{told:?}");
    assert_eq!(told.last().map(|passed| passed.entries), Some(of), "{told:?}");
    assert!(records.iter().filter(|record| record["kind"] == "entry").count() > PAGE_ITEMS_MAX, "{of}");
}
