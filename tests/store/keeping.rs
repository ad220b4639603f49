//! How long things are kept, and what a room's settings keep its members from.

use bytes::Bytes;
use confab::core::append::{Act, Change, Decided, Decision, Item, Said};
use confab::core::store::{Before, Outcome, Unappended};
use confab_protocol::codec::decode_entry;
use confab_protocol::command::History;
use confab_protocol::model::{EntryContent, Millis, RoomRole, RoomSettings, SanctionKind, Seq, UserId};
use confab_protocol::reject::RejectCode;
use confab_protocol::rights::RoomRights;

use super::amends::{act, bytes, emoji, refused, settings};
use super::{START, Scene, seq};

super::cases![
    what_is_too_old_is_retired_from_the_front,
    earlier_texts_and_refusals_have_their_own_time,
    earlier_texts_come_page_by_page_from_the_newest_on,
    what_a_room_takes_from_members_holds_behind_it_in_the_batch,
    what_the_shadowed_say_is_void_for_others_and_can_be_erased,
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
    assert!(scene.store.revisions(room, Seq(3), u32::MAX).await.unwrap().is_empty());
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
        audit: Vec::new(),
    };
    assert_eq!(scene.store.record(unappended).await.unwrap(), None);
    let revs =
        async || scene.store.revisions(room, said, u32::MAX).await.unwrap().iter().map(|it| it.rev).collect::<Vec<_>>();
    let recorded = async || scene.store.find_recorded(room, owner, refused).await.unwrap().is_some();
    let before = |days: u64, refused: u64| {
        let [replaced, unappended] = [days, refused].map(|days| START.after(day * days));
        Before { replaced, unappended, evidence: Millis(0) }
    };
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

async fn earlier_texts_come_page_by_page_from_the_newest_on(scene: Scene) {
    let owner = scene.user("alice").await.id;
    let room = scene.room(owner, "one").await;
    let said =
        seq(&scene.append_one(scene.item(room, owner, Change::Message(Said::default()))).await).map(Seq).unwrap();
    // 201 edits: one more than a page.
    for texts in [0..67_u8, 67..134, 134..201] {
        let edit = |n| act(&scene, room, owner, Act::Edit(said, Bytes::from(vec![n; 10]), Vec::new()));
        let decided = scene.append(texts.map(edit).collect()).await;
        assert!(decided.iter().all(|it| seq(&it.decision).is_some()));
    }
    let page = async |before| scene.store.revisions(room, said, before).await.unwrap();
    let revs = async |before| page(before).await.iter().map(|it| it.rev).collect::<Vec<_>>();
    assert_eq!(scene.store.find_entries(room, vec![said]).await.unwrap()[0].rev, 201);
    assert!(revs(u32::MAX).await.into_iter().eq(1..=200), "the newest, ascending");
    assert_eq!(revs(1).await, [0], "and what came before them");
    assert!(revs(0).await.is_empty());
    assert!(revs(200).await.into_iter().eq(0..=199), "the one that is named is not among them");
    // Each is what it was: the first edit gave the text that the second one replaced.
    assert!(page(u32::MAX).await.iter().all(|it| it.payload[..] == [it.rev as u8 - 1; 10]));
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

/// Also in the batch in which it begins, and without a hint of whoever admitted it.
async fn what_the_shadowed_say_is_void_for_others_and_can_be_erased(scene: Scene) {
    let (room, [owner, moderator, member]) = scene.company().await;
    let found = scene.store.membership(room, member).await.unwrap().unwrap();
    let say = |author, said| scene.item(room, author, Change::Message(said));
    let mention = Said { mentions: vec![owner], ..Said::default() };
    let shadow = act(&scene, room, moderator, Act::Sanction(member, SanctionKind::Shadow, None));
    let (before, unread) =
        (scene.head(room, owner).await, scene.store.room(room, owner).await.unwrap().unwrap().unread);
    let batch = vec![shadow, say(member, mention.clone()), say(owner, Said::default())];
    let seqs: Vec<_> = scene.append(batch).await.iter().map(|it| seq(&it.decision)).collect();
    assert_eq!(seqs, [Some(8), Some(9), Some(10)]);
    let late = Item { acl_version: found.acl_version, ..say(member, mention) };
    assert_eq!(seq(&scene.append_one(late).await), Some(11), "admitted before it was heard of");
    let read = async |reader| scene.store.read(room, reader, before, 10).await.unwrap().unwrap().entries;
    let voids = async |reader| {
        let entries = read(reader).await;
        let is_void = |payload: &[u8]| decode_entry(payload).is_ok_and(|it| it.content == EntryContent::Void);
        entries.into_iter().filter(|it| is_void(&it.payload)).map(|it| it.seq.0).collect::<Vec<_>>()
    };
    assert_eq!(voids(owner).await, [8, 9, 11]);
    assert_eq!(voids(member).await, [8]);
    assert_eq!(voids(moderator).await, [9, 11], "the sanction is their own");
    // The server itself, which erases and exports.
    assert_eq!(voids(UserId::NONE).await, [0_u64; 0]);
    let told = scene.store.room(room, owner).await.unwrap().unwrap();
    assert_eq!((told.unread, told.mentions), (unread + 1, 0), "what nobody sees is not unread");
    let pages = async |reader| {
        let page = scene.store.history(reader, History::before(room, Seq(0), 10)).await.unwrap().unwrap();
        page.entries.iter().map(|it| it.seq.0).collect::<Vec<_>>()
    };
    let company = [5, 6, 7];
    assert_eq!(pages(scene.user("stranger").await.id).await, [&company[..], &[10]].concat());
    assert_eq!(pages(member).await, [&company[..], &[9, 10, 11]].concat());
    assert_eq!(pages(moderator).await, [&company[..], &[9, 10, 11]].concat());
    let states = scene.store.message_states(room, moderator, vec![Seq(9), Seq(10)]).await.unwrap();
    assert!(states.len() == 1 && states[0].shadowed && states[0].seq == Seq(9));
    assert!(scene.store.message_states(room, member, vec![Seq(9), Seq(10)]).await.unwrap().is_empty());
    // Nobody answers what they do not see, and it is taken away like anything else.
    let answer = say(owner, Said { reply_to: Some(Seq(9)), ..Said::default() });
    assert_eq!(scene.append_one(answer).await, refused(RejectCode::UnknownMessage));
    let erase = Act::Erase(vec![(Seq(9), bytes("gone")), (Seq(11), bytes("gone"))]);
    assert!(seq(&scene.act(room, member, erase).await).is_some());
    assert_eq!(pages(moderator).await, [&company[..], &[10]].concat());
    let texts = scene.store.revisions(room, Seq(9), u32::MAX).await.unwrap();
    assert_eq!(texts.len(), 1, "what was said is kept for moderators, and is whole");
    assert_eq!(voids(owner).await, [8, 9, 11, 12], "and still nobody is told");
}
