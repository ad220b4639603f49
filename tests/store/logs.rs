//! Rooms and their logs.

use std::collections::HashSet;

use bytes::Bytes;
use confab::core::append::{Change, Decision, Item, Said};
use confab::core::store::{Outcome, Place, Unappended};
use confab_protocol::command::{History, HistoryRange};
use confab_protocol::model::{CaseId, RoomId, RoomKind, RoomName, RoomRole, Seq, UserId};
use confab_protocol::reject::RejectCode;

use super::{START, Scene, seq};

super::cases![
    seqs_are_dense_for_each_room_of_a_batch,
    time_does_not_go_back,
    the_same_client_id_is_one_entry,
    the_same_client_id_with_another_digest_is_refused,
    one_comes_once_and_goes_once,
    rights_are_checked_on_fresh_rows,
    what_follows_is_appended_with_it_or_not_at_all,
    a_name_of_a_room_is_taken_once,
    an_unknown_room_takes_nothing,
    what_is_not_appended_is_remembered,
    pages_and_the_place_of_their_reader_are_of_one_moment,
    history_is_of_messages_and_goes_back,
    rooms_and_members_are_listed,
];

async fn seqs_are_dense_for_each_room_of_a_batch(scene: Scene) {
    let alice = scene.user("alice").await.id;
    let rooms = [scene.room(alice, "one").await, scene.room(alice, "two").await];
    let items = (0..500).map(|n| scene.item(rooms[usize::from(n % 3 == 0)], alice, Change::Message(Said::default())));
    let decided = scene.append(items.collect()).await;
    for room in rooms {
        let seqs: Vec<u64> =
            decided.iter().filter(|it| it.item.room == room).filter_map(|it| seq(&it.decision)).collect();
        assert_eq!(seqs, (2..seqs.len() as u64 + 2).collect::<Vec<_>>());
        let page = scene.store.read(room, alice, Seq(1), 200).await.unwrap().unwrap();
        assert_eq!(page.state.head.0, seqs.len() as u64 + 1);
        let stored: Vec<_> = page.entries.iter().map(|entry| entry.payload.clone()).collect();
        let sent = decided.iter().filter(|it| it.item.room == room).map(|it| it.item.payload.clone());
        assert_eq!(stored, sent.take(stored.len()).collect::<Vec<_>>(), "the same bytes");
    }
    let histories: HashSet<_> = decided
        .iter()
        .map(|it| match it.decision {
            Decision::Append { incarnation, .. } => incarnation.0,
            _ => 0,
        })
        .collect();
    assert!(histories.len() == 2 && !histories.contains(&0), "each room has a history of its own");
}

async fn time_does_not_go_back(scene: Scene) {
    let alice = scene.user("alice").await.id;
    let room = scene.room(alice, "one").await;
    let mut last = START;
    for now in [START.after(5_000), START.after(1_000), START.after(6_000)] {
        let decided =
            scene.store.append(vec![scene.item(room, alice, Change::Message(Said::default()))], now).await.unwrap();
        let Decision::Append { time, .. } = decided[0].decision else { panic!() };
        assert_eq!(time, now.max(last));
        last = time;
    }
}

async fn the_same_client_id_is_one_entry(scene: Scene) {
    let alice = scene.user("alice").await.id;
    let room = scene.room(alice, "one").await;
    let item = Item { altered: true, ..scene.item(room, alice, Change::Message(Said::default())) };
    let decided = scene.append(vec![item.clone(), item.clone()]).await;
    assert_eq!(seq(&decided[0].decision), Some(2));
    for decision in [&decided[1].decision, &scene.append_one(item.clone()).await] {
        let Decision::Recorded(Outcome::Appended(appended)) = decision else { panic!("{decision:?}") };
        assert!(appended.seq == Seq(2) && appended.altered && appended.duplicate);
    }
    assert_eq!(scene.head(room, alice).await, Seq(2));
    // The id is unique with room and author, not by itself.
    let bob = scene.user("bob").await.id;
    scene.join(room, bob).await;
    assert_eq!(seq(&scene.append_one(Item { author: bob, ..item.clone() }).await), Some(4));
    let other = scene.room(alice, "two").await;
    assert_eq!(seq(&scene.append_one(Item { room: other, ..item.clone() }).await), Some(2));
    let found = scene.store.find_recorded(room, alice, item.client_id).await.unwrap().unwrap();
    assert!(matches!(found.outcome, Outcome::Appended(appended) if appended.seq == Seq(2)));
}

async fn the_same_client_id_with_another_digest_is_refused(scene: Scene) {
    let alice = scene.user("alice").await.id;
    let room = scene.room(alice, "one").await;
    let item = scene.item(room, alice, Change::Message(Said::default()));
    scene.append_one(item.clone()).await;
    let reused = scene.append_one(Item { digest: [0; 16], ..item }).await;
    assert_eq!(reused, Decision::Refuse(RejectCode::ClientIdReused));
}

async fn one_comes_once_and_goes_once(scene: Scene) {
    let (alice, bob) = (scene.user("alice").await.id, scene.user("bob").await.id);
    let room = scene.room(alice, "one").await;
    assert_eq!(scene.leave(room, bob).await, Decision::Unchanged);
    assert_eq!(seq(&scene.join(room, bob).await), Some(2));
    assert_eq!(scene.join(room, bob).await, Decision::Unchanged);
    assert_eq!(scene.store.counts(room, bob).await.unwrap(), (2, 2), "with one's own log");
    assert_eq!(seq(&scene.leave(room, bob).await), Some(3));
    assert_eq!(scene.store.membership(room, bob).await.unwrap(), None);
    assert_eq!(scene.store.counts(room, bob).await.unwrap(), (1, 1));
    assert_eq!(seq(&scene.join(room, bob).await), Some(4));
    // Who owned it owns it still.
    scene.leave(room, alice).await;
    scene.join(room, alice).await;
    assert_eq!(scene.store.membership(room, alice).await.unwrap().unwrap().role, RoomRole::Owner);
}

async fn rights_are_checked_on_fresh_rows(scene: Scene) {
    let (alice, bob) = (scene.user("alice").await.id, scene.user("bob").await.id);
    let room = scene.room(alice, "one").await;
    scene.join(room, bob).await;
    let checked = scene.store.membership(room, bob).await.unwrap().unwrap().acl_version;
    let late = Item { acl_version: checked, ..scene.item(room, bob, Change::Message(Said::default())) };
    let batch = vec![scene.item(room, bob, Change::Leave), late];
    let decided = scene.append(batch).await;
    assert_eq!(decided[1].decision, Decision::Refuse(RejectCode::NotMember), "in the same batch already");
    // Others are asked again, pass, and learn the new version.
    let item = Item { acl_version: checked, ..scene.item(room, alice, Change::Message(Said::default())) };
    let Decision::Append { acl_version, .. } = scene.append_one(item).await else { panic!() };
    assert_eq!(scene.store.membership(room, alice).await.unwrap().unwrap().acl_version, acl_version);
    assert!(acl_version > checked);
}

async fn what_follows_is_appended_with_it_or_not_at_all(scene: Scene) {
    let (alice, bob) = (scene.user("alice").await, scene.user("bob").await);
    let room = scene.room(alice.id, "one").await;
    let with_note = |change| {
        let note = scene.item(bob.self_room, bob.id, Change::SelfNote);
        Item { then: vec![note], ..scene.item(room, bob.id, change) }
    };
    let join = || with_note(Change::Join(None));
    let decided = scene.append(vec![join(), join()]).await;
    assert_eq!(decided[0].then.first().and_then(seq), Some(1));
    assert!(decided[1].decision == Decision::Unchanged && decided[1].then.is_empty());
    assert_eq!(scene.head(bob.self_room, bob.id).await, Seq(1));
}

async fn a_name_of_a_room_is_taken_once(scene: Scene) {
    let alice = scene.user("alice").await.id;
    let room = scene.room(alice, "one").await;
    let name = RoomName::parse("one").unwrap();
    assert_eq!(scene.store.find_room(name).await.unwrap(), Some(room));
    let new = Box::new(scene.new_room("one"));
    let other = RoomId::from_u128(77);
    let refused = scene.append_one(scene.item(other, alice, Change::CreateRoom(new))).await;
    assert_eq!(refused, Decision::Refuse(RejectCode::RoomNameTaken));
    assert!(scene.store.room(other, alice).await.unwrap().is_none());
}

async fn an_unknown_room_takes_nothing(scene: Scene) {
    let alice = scene.user("alice").await.id;
    let nowhere = RoomId::from_u128(7);
    let refused = scene.append_one(scene.item(nowhere, alice, Change::Message(Said::default()))).await;
    assert_eq!(refused, Decision::Refuse(RejectCode::UnknownRoom));
    assert!(scene.store.read(nowhere, alice, Seq(0), 1).await.unwrap().is_none());
    assert!(scene.store.history(alice, History::before(nowhere, Seq(0), 1)).await.unwrap().is_none());
}

async fn what_is_not_appended_is_remembered(scene: Scene) {
    let alice = scene.user("alice").await.id;
    let room = scene.room(alice, "one").await;
    let outcomes = [
        Outcome::Held(CaseId::from_u128(5)),
        Outcome::Refused { code: RejectCode::Bounced.number(), detail: "not like this".into() },
    ];
    for outcome in outcomes {
        let item = scene.item(room, alice, Change::Message(Said::default()));
        let unappended = Unappended {
            room,
            author: alice,
            client_id: item.client_id,
            digest: item.digest,
            time: START,
            outcome: outcome.clone(),
            payload: Bytes::from_static(b"held"),
            note: "why".into(),
            audit: Vec::new(),
        };
        assert_eq!(scene.store.record(unappended.clone()).await.unwrap(), None);
        let known = scene.store.record(unappended).await.unwrap().unwrap();
        assert_eq!((known.digest, &known.outcome), (item.digest, &outcome));
        assert_eq!(scene.append_one(item).await, Decision::Recorded(outcome), "never decided twice");
    }
    assert_eq!(scene.head(room, alice).await, Seq(1));
}

async fn pages_and_the_place_of_their_reader_are_of_one_moment(scene: Scene) {
    let (alice, bob) = (scene.user("alice").await.id, scene.user("bob").await.id);
    let room = scene.room(alice, "one").await;
    let place = async |reader: UserId| scene.store.read(room, reader, Seq(0), 200).await.unwrap().unwrap().reader;
    assert_eq!(place(bob).await, None);
    scene.join(room, bob).await;
    assert_eq!(place(bob).await, Some(Place { role: RoomRole::Member, left: None, joined: Seq(2) }));
    scene.leave(room, bob).await;
    assert_eq!(place(bob).await, Some(Place { role: RoomRole::Member, left: Some(Seq(3)), joined: Seq(2) }));
    for _ in 0..10 {
        scene.append_one(scene.item(room, alice, Change::Message(Said::default()))).await;
    }
    let page = scene.store.read(room, alice, Seq(4), 3).await.unwrap().unwrap();
    let seqs: Vec<u64> = page.entries.iter().map(|entry| entry.seq.0).collect();
    assert_eq!((seqs, page.state.head, page.state.first_seq), (vec![5, 6, 7], Seq(13), Seq(1)));
    assert!(scene.store.read(room, alice, Seq(13), 3).await.unwrap().unwrap().entries.is_empty());
    assert!(scene.store.read(room, alice, Seq(u64::MAX >> 1), 3).await.unwrap().unwrap().entries.is_empty());
}

async fn history_is_of_messages_and_goes_back(scene: Scene) {
    let (alice, bob) = (scene.user("alice").await.id, scene.user("bob").await.id);
    let room = scene.room(alice, "one").await;
    for _ in 0..3 {
        scene.append_one(scene.item(room, alice, Change::Message(Said::default()))).await;
        scene.join(room, bob).await;
        scene.leave(room, bob).await;
    }
    let seqs = async |before: u64, limit| {
        let history = History::before(room, Seq(before), limit);
        let page = scene.store.history(alice, history).await.unwrap().unwrap();
        page.entries.iter().map(|entry| entry.seq.0).collect::<Vec<_>>()
    };
    assert_eq!(seqs(0, 200).await, [2, 5, 8]);
    assert_eq!(seqs(0, 2).await, [5, 8]);
    assert_eq!(seqs(5, 200).await, [2]);
    assert!(seqs(2, 200).await.is_empty());
    let ranges = [
        (HistoryRange::After(Seq(2)), vec![5, 8]),
        (HistoryRange::Around(Seq(5)), vec![2, 5, 8]),
        (HistoryRange::Around(Seq(6)), vec![2, 5, 8]),
        (HistoryRange::After(Seq(8)), vec![]),
    ];
    for (range, expected) in ranges {
        let history = History { room, range, thread: None, pinned: false, limit: 4 };
        let page = scene.store.history(alice, history).await.unwrap().unwrap();
        assert_eq!(page.entries.iter().map(|entry| entry.seq.0).collect::<Vec<_>>(), expected, "{range:?}");
    }
}

async fn rooms_and_members_are_listed(scene: Scene) {
    let (alice, bob) = (scene.user("alice").await.id, scene.user("bob").await.id);
    let rooms = [scene.room(alice, "one").await, scene.room(alice, "two").await, scene.room(bob, "three").await];
    let ids = async |user, joined, after, limit| {
        let rooms = scene.store.list_rooms(user, joined, after, limit).await.unwrap();
        rooms.iter().map(|room| room.id).collect::<Vec<_>>()
    };
    let sorted = |mut rooms: Vec<RoomId>| {
        rooms.sort();
        rooms
    };
    let (all, mine) = (sorted(rooms.to_vec()), sorted(rooms[..2].to_vec()));
    assert_eq!(ids(alice, true, RoomId::NONE, 10).await, mine, "without one's own log");
    assert_eq!(ids(bob, false, RoomId::NONE, 10).await, all);
    assert_eq!(ids(bob, false, all[0], 1).await, all[1..2]);
    scene.join(rooms[0], bob).await;
    let members = scene.store.list_members(rooms[0], UserId::NONE, 10).await.unwrap();
    let roles: Vec<_> = members.iter().map(|member| (member.user, member.role)).collect();
    let mut expected = vec![(alice, Some(RoomRole::Owner)), (bob, Some(RoomRole::Member))];
    expected.sort_by_key(|(user, _)| *user);
    assert_eq!(roles, expected);
    let room = scene.store.room(rooms[0], bob).await.unwrap().unwrap();
    assert_eq!((room.kind, room.members, room.role), (RoomKind::Channel, 2, Some(RoomRole::Member)));
}
