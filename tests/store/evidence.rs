//! What cases keep of what was said: of what is held, of what was done to somebody, and of what is reported once more.

use confab::core::append::{Act, Change, Item, Said};
use confab::core::cases::{Beside, CaseRow, NewCase};
use confab::core::store::Before;
use confab_protocol::codec::encode_entry;
use confab_protocol::limits::EVIDENCE_BYTES_MAX;
use confab_protocol::model::{
    Body, CaseId, CaseKind, Entry, EntryContent, Message, Millis, RoomId, SanctionKind, Seq, UserId,
};

use super::amends::{act, bytes};
use super::moderation::{posts, words};
use super::{START, Scene, seq};

super::cases![
    what_is_held_comes_with_what_stood_before_it,
    another_text_that_is_held_comes_with_what_it_is_for,
    of_what_is_held_the_nearest_is_shown,
    a_sanction_comes_with_what_whom_it_hits_said_last,
    each_report_keeps_what_the_message_says_by_then,
];

impl Scene {
    async fn hold(&self, item: &Item) -> CaseId {
        let id = self.case_id();
        assert_eq!(self.store.record(self.held(item, id, "look")).await.unwrap(), None);
        id
    }

    /// A message that can be read; another text for one has the client id of that one.
    fn says(&self, room: RoomId, author: UserId, of: Option<&Item>, text: &str) -> Item {
        let item = posts(self, room, author);
        let client_id = of.map_or(item.client_id, |of| of.client_id);
        let message = Message { body: Body::parse(text).unwrap(), reply_to: None, mentions: Vec::new() };
        let payload = encode_entry(&Entry { author, client_id, content: EntryContent::Message(message) });
        Item { payload, ..item }
    }

    /// What was done to somebody, with the case of it.
    fn mutes(&self, room: RoomId, by: UserId, subject: UserId) -> (Item, CaseId) {
        let row = CaseRow::new(CaseKind::Sanction, self.case_id(), room, subject, START.after(self.next()));
        let opens = Some(NewCase { row, actor: Some(by), text: words("") });
        let beside = Some(Box::new(Beside { audit: Vec::new(), opens, releases: false }));
        let mute = act(self, room, by, Act::Sanction(subject, SanctionKind::Mute, None));
        (Item { beside, ..mute }, row.id)
    }
}

async fn what_is_held_comes_with_what_stood_before_it(scene: Scene) {
    let (room, [owner, moderator, member]) = scene.company().await;
    // 8 to 10, of which nobody but its author sees the last one.
    scene.say_at_length(room, owner, 2, 20).await;
    let unseen = Change::Message(Said { shadowed: true, ..Said::default() });
    assert_eq!(seq(&scene.append_one(scene.item(room, moderator, unseen)).await), Some(10));
    let item = posts(&scene, room, member);
    let id = scene.hold(&item).await;
    scene.say_at_length(room, owner, 1, 20).await;
    assert_eq!(scene.kept_seqs(id).await, [0, 5, 6, 7, 8, 9]);
    assert_eq!(scene.kept(id).await[0], (0, 0, item.payload.clone()));
    let entries = scene.store.find_entries(room, [5, 6, 7, 8, 9].map(Seq).to_vec()).await.unwrap();
    let before: Vec<_> = entries.into_iter().map(|it| (it.seq.0, it.rev, it.payload)).collect();
    assert_eq!(scene.kept(id).await[1..], before);
    // It stays so, whatever becomes of it afterwards; and what is sent again is held once.
    let gone = Act::Delete(vec![(Seq(8), bytes("gone")), (Seq(9), bytes("gone"))]);
    assert_eq!(seq(&scene.act(room, owner, gone).await), Some(12));
    scene.store.record(scene.held(&item, scene.case_id(), "again")).await.unwrap().unwrap();
    assert_eq!(scene.kept(id).await[1..], before);
    // The first thing that is said somewhere has none.
    let other = scene.room(owner, "two").await;
    let first = scene.hold(&posts(&scene, other, owner)).await;
    assert_eq!(scene.kept_seqs(first).await, [0]);
}

async fn another_text_that_is_held_comes_with_what_it_is_for(scene: Scene) {
    let (room, [owner, _, member]) = scene.company().await;
    scene.say_at_length(room, owner, 3, 20).await;
    let said = scene.says(room, member, None, "before");
    assert_eq!(seq(&scene.append_one(said.clone()).await), Some(11));
    scene.say_at_length(room, owner, 7, 20).await;
    let id = scene.hold(&scene.says(room, member, Some(&said), "after")).await;
    assert_eq!(scene.kept_seqs(id).await, [0, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
    assert_eq!(scene.kept(id).await[6], (11, 0, said.payload));
    // Of what is nowhere any more there is nothing around it, and it is held all the same.
    let nowhere = scene.says(room, member, None, "not there");
    let id = scene.hold(&scene.says(room, member, Some(&nowhere), "after")).await;
    assert_eq!(scene.kept_seqs(id).await, [0, 14, 15, 16, 17, 18]);
}

async fn of_what_is_held_the_nearest_is_shown(scene: Scene) {
    let (room, [owner, _, member]) = scene.company().await;
    let said = scene.says(room, member, None, "before");
    assert_eq!(seq(&scene.append_one(said.clone()).await), Some(8));
    // 9 to 13: of them three fit an answer.
    scene.say_at_length(room, owner, 5, EVIDENCE_BYTES_MAX / 4 - 100).await;
    let new = scene.hold(&posts(&scene, room, member)).await;
    assert_eq!(scene.kept_seqs(new).await, [0, 11, 12, 13]);
    let edit = scene.hold(&scene.says(room, member, Some(&said), "after")).await;
    assert_eq!(scene.kept_seqs(edit).await, [0, 5, 6, 7, 8, 9, 10, 11]);
}

async fn a_sanction_comes_with_what_whom_it_hits_said_last(scene: Scene) {
    let (room, [owner, moderator, member]) = scene.company().await;
    // 8 to 10 are theirs, 11 and 12 are not, 13 to 16 are.
    scene.say_at_length(room, member, 3, 20).await;
    scene.say_at_length(room, owner, 2, 20).await;
    scene.say_at_length(room, member, 4, 20).await;
    scene.act(room, member, Act::Edit(Seq(14), bytes("better words"), Vec::new())).await;
    scene.act(room, moderator, Act::Delete(vec![(Seq(15), bytes("gone"))])).await;
    let (mute, id) = scene.mutes(room, owner, member);
    let (of_other, other) = scene.mutes(room, owner, moderator);
    // What comes behind it in its batch is not what it is for.
    let batch = vec![mute, of_other, posts(&scene, room, owner)];
    let seqs: Vec<_> = scene.append(batch).await.iter().map(|it| seq(&it.decision)).collect();
    assert_eq!(seqs, [Some(19), Some(20), Some(21)]);
    assert_eq!(scene.kept_seqs(id).await, [9, 10, 13, 14, 16]);
    let kept = scene.kept(id).await;
    assert_eq!(kept[3], (14, 1, bytes("better words")), "as it reads by then");
    assert_eq!(scene.kept_seqs(other).await, [6]);
    // And so it stays.
    let gone = [9, 10, 13, 14, 16].map(|seq| (Seq(seq), bytes("gone"))).to_vec();
    assert!(seq(&scene.act(room, owner, Act::Delete(gone)).await).is_some());
    assert_eq!(scene.kept(id).await, kept);
}

/// Or a report of an innocent text, by a second account of its author, would be all that is ever kept.
async fn each_report_keeps_what_the_message_says_by_then(scene: Scene) {
    let (room, [owner, moderator, member]) = scene.company().await;
    let edit = async |text: &'static str| {
        let act = Act::Edit(Seq(7), bytes(text), Vec::new());
        assert!(seq(&scene.act(room, member, act).await).is_some());
    };
    let report = async |reporter| scene.report(room, member, 7, reporter).await.unwrap();
    let by = |n: u128| UserId::from_u128(100 + n);
    edit("nice weather").await;
    let first = report(owner).await.row;
    let texts = async || {
        let kept = scene.kept(first.id).await;
        assert_eq!(kept.iter().map(|it| it.0).filter(|seq| *seq != 7).collect::<Vec<_>>(), [5, 6], "as at first");
        kept.into_iter().filter(|it| it.0 == 7).map(|(_, rev, text)| (rev, text)).collect::<Vec<_>>()
    };
    let (nice, insult, worse) = ((1, bytes("nice weather")), (2, bytes("an insult")), (3, bytes("worse")));
    assert_eq!(texts().await, std::slice::from_ref(&nice));
    edit("an insult").await;
    assert!(!report(moderator).await.is_new);
    assert_eq!(texts().await, [nice.clone(), insult.clone()]);
    edit("worse").await;
    assert!(report(owner).await.is_known, "who reported it before is not counted again");
    assert_eq!(texts().await, [nice.clone(), insult.clone(), worse.clone()]);
    report(by(0)).await;
    assert_eq!(texts().await, [nice, insult, worse], "each once");
    // Whose they are is given each, and told in which order they were said.
    let given = scene.store.personal_records(member).await.unwrap();
    let given = given.iter().filter(|it| it["kind"] == "kept with a case" && it["seq"] == 7);
    assert_eq!(given.map(|it| it["rev"].clone()).collect::<Vec<_>>(), [1, 2, 3]);
    // In bounds: the first, and the newest.
    for n in 1..=20 {
        edit("once more").await;
        report(by(n)).await;
    }
    let revs = async || texts().await.into_iter().map(|it| it.0).collect::<Vec<_>>();
    let newest: [u32; 9] = [15, 16, 17, 18, 19, 20, 21, 22, 23];
    assert_eq!(revs().await, [&[1_u32][..], &newest[..]].concat());
    assert_eq!(scene.store.count_held(member).await.unwrap().evidence, 10);
    // Who did before pushes none of that out, however often they do.
    edit("harmless").await;
    assert!(report(owner).await.is_known);
    assert_eq!(revs().await, [&[1_u32][..], &newest[..]].concat());
    // What is gone adds nothing.
    edit("the last one").await;
    assert!(seq(&scene.act(room, member, Act::Delete(vec![(Seq(7), bytes("gone"))])).await).is_some());
    assert!(!report(by(21)).await.is_new);
    assert_eq!(revs().await, [&[1_u32][..], &newest[..]].concat());
    // Each has a time of its own.
    let before = Before { replaced: Millis(0), unappended: Millis(0), evidence: first.opened.after(1) };
    scene.store.forget(before, 9).await.unwrap();
    let left: Vec<_> = scene.kept(first.id).await.into_iter().map(|(seq, rev, _)| (seq, rev)).collect();
    assert_eq!(left, newest.map(|rev| (7, rev)));
}
