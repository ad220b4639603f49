//! How long things are kept, and what a room's settings keep its members from.

use bytes::Bytes;
use confab::core::append::{Act, Change, Decided, Decision, Item, Said};
use confab::core::store::{Before, Outcome, Unappended};
use confab_protocol::model::{RoomRole, RoomSettings, Seq};
use confab_protocol::reject::RejectCode;
use confab_protocol::rights::RoomRights;

use super::amends::{act, bytes, emoji, refused, settings};
use super::{START, Scene, seq};

super::cases![
    what_is_too_old_is_retired_from_the_front,
    earlier_texts_and_refusals_have_their_own_time,
    what_a_room_takes_from_members_holds_behind_it_in_the_batch,
];

async fn what_is_too_old_is_retired_from_the_front(scene: Scene) {
    let owner = scene.user("alice").await.id;
    let room = scene.room(owner, "one").await;
    let other = scene.room(owner, "two").await;
    let day = 24 * 3_600_000;
    let mut edited = None;
    for n in 0..10 {
        let now = START.after(day * n);
        for room in [room, other] {
            let said = scene.item(room, owner, Change::Message(Said::default()));
            edited = seq(&scene.at(now, said).await);
        }
        if n == 1 {
            let seq = Seq(edited.unwrap());
            scene.at(now, act(&scene, room, owner, Act::Edit(seq, bytes("second"), Vec::new()))).await;
            scene.at(now, act(&scene, room, owner, Act::React(seq, emoji("+"), true))).await;
        }
    }
    let now = START.after(day * 10);
    assert_eq!(scene.store.retire(now, 100).await.unwrap(), 0, "nobody asked for it");
    let keep = RoomSettings { retention_ms: 5 * day, ..settings("one", 0) };
    scene.at(now, act(&scene, room, owner, Act::settings(settings("one", 0), keep))).await;
    assert_eq!(scene.store.room(room, owner).await.unwrap().unwrap().retention_ms, 5 * day);
    let head = scene.head(room, owner).await;
    let mut gone = Vec::new();
    while let Some(count) = Some(scene.store.retire(now, 3).await.unwrap()).filter(|count| *count > 0) {
        gone.push(count);
    }
    // Its making, five messages of days 0 to 4, an edit and a reaction.
    assert_eq!(gone, [3, 3, 2]);
    let page = scene.store.read(room, owner, Seq(0), 200).await.unwrap().unwrap();
    assert_eq!((page.state.first_seq, page.state.head, page.entries[0].seq), (Seq(9), head, Seq(9)));
    assert!(scene.store.revisions(room, Seq(3)).await.unwrap().is_empty());
    assert!(scene.store.message_states(room, owner, vec![Seq(3)]).await.unwrap().is_empty());
    assert_eq!(seq(&scene.at(now, scene.item(room, owner, Change::Message(Said::default()))).await), Some(head.0 + 1));
    // What is unread is counted by what there was.
    assert_eq!(scene.store.read_position(room, Seq(5)).await.unwrap(), Some((Seq(5), 5)));
    let untouched = scene.store.read(other, owner, Seq(0), 200).await.unwrap().unwrap();
    assert_eq!((untouched.state.first_seq, untouched.entries.len()), (Seq(1), 11));
}

async fn earlier_texts_and_refusals_have_their_own_time(scene: Scene) {
    let owner = scene.user("alice").await.id;
    let room = scene.room(owner, "one").await;
    let day = 24 * 3_600_000;
    let said = seq(&scene.at(START, scene.item(room, owner, Change::Message(Said::default()))).await).map(Seq).unwrap();
    for (n, text) in (1..).zip(["one", "two", "three", "four"]) {
        scene.at(START.after(day * n), act(&scene, room, owner, Act::Edit(said, bytes(text), Vec::new()))).await;
    }
    let refused = scene.client_id();
    let unappended = Unappended {
        room,
        author: owner,
        client_id: refused,
        digest: [6; 16],
        time: START.after(day),
        outcome: Outcome::Refused { code: 5001, detail: "no".to_owned() },
        payload: Bytes::new(),
        note: "words".to_owned(),
    };
    assert_eq!(scene.store.record(unappended).await.unwrap(), None);
    let revs = async || scene.store.revisions(room, said).await.unwrap().iter().map(|it| it.rev).collect::<Vec<_>>();
    let recorded = async || scene.store.find_recorded(room, owner, refused).await.unwrap().is_some();
    let before =
        |days: u64, refused: u64| Before { replaced: START.after(day * days), unappended: START.after(day * refused) };
    assert_eq!(scene.store.forget(before(1, 1), 100).await.unwrap(), 0, "nothing is older");
    assert_eq!(revs().await, [0, 1, 2, 3]);
    // In steps, the oldest first.
    assert_eq!(scene.store.forget(before(4, 0), 2).await.unwrap(), 2);
    assert_eq!(revs().await, [2, 3]);
    assert_eq!(scene.store.forget(before(4, 0), 2).await.unwrap(), 1);
    assert!(revs().await == [3] && recorded().await);
    assert_eq!(scene.store.forget(before(0, 2), 2).await.unwrap(), 1);
    assert!(!recorded().await);
    // The message itself stays as it reads.
    assert_eq!(scene.store.find_entries(room, vec![said]).await.unwrap().len(), 1);
}

async fn what_a_room_takes_from_members_holds_behind_it_in_the_batch(scene: Scene) {
    let (room, [owner, moderator, member]) = scene.company().await;
    let found = scene.store.membership(room, member).await.unwrap().unwrap();
    assert_eq!(found.rights, RoomRights::default());
    let base = scene.store.room(room, owner).await.unwrap().unwrap();
    let base = settings(&base.name, base.slow_mode_ms);
    let rights = RoomRights { post: RoomRole::Moderator, react: RoomRole::Owner, ..RoomRights::default() };
    let told = RoomSettings { rights, ..base.clone() };
    let say = |author| scene.item(room, author, Change::Message(Said::default()));
    let batch = vec![
        say(member),
        act(&scene, room, owner, Act::settings(base, told)),
        say(member),
        say(moderator),
        act(&scene, room, moderator, Act::React(Seq(7), emoji("+"), true)),
        act(&scene, room, owner, Act::React(Seq(7), emoji("+"), true)),
    ];
    let decisions: Vec<Decision> = scene.append(batch).await.into_iter().map(|it: Decided| it.decision).collect();
    let seqs: Vec<_> = decisions.iter().map(seq).collect();
    assert_eq!(seqs, [Some(8), Some(9), None, Some(10), None, Some(11)]);
    let forbidden = refused(RejectCode::Forbidden);
    assert_eq!((&decisions[2], &decisions[4]), (&forbidden, &forbidden));
    let now = scene.store.membership(room, member).await.unwrap().unwrap();
    assert!(now.rights == rights && now.acl_version > found.acl_version, "what is remembered of before is not good");
    assert_eq!(scene.store.room(room, owner).await.unwrap().unwrap().rights, rights);
    // An item that was admitted before is looked at again.
    let late = Item { acl_version: found.acl_version, ..say(member) };
    assert_eq!(scene.append_one(late).await, forbidden);
}
