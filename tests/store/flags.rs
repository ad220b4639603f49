//! What plugins found of what is appended or refused: which cases it opens, and what an appeal gives back.

use bytes::Bytes;
use confab::core::append::{Act, Amend, Change, Decision, Item};
use confab::core::cases::{Beside, CaseRow, JOINS_MAX, NewCase, Step};
use confab::core::store::Restriction;
use confab_protocol::codec::decode_audit;
use confab_protocol::command::{AuditRecord, Finding};
use confab_protocol::model::{
    CaseAct, CaseDecision, CaseId, CaseKind, CaseState, Millis, RoomId, SanctionKind, Seq, ServerRole, UserId,
};
use confab_protocol::reject::RejectCode;

use super::amends::{act, bytes, refused};
use super::audit::all_cases;
use super::moderation::{all_records, decide, posts, releasing, words};
use super::{START, Scene, seq};

super::cases![
    a_flag_of_an_edit_opens_a_case_about_the_message,
    a_flag_of_an_edit_joins_a_case_that_is_open,
    flags_of_one_batch_join_each_its_case,
    a_case_is_not_told_of_flags_without_end,
    an_edit_that_nobody_reads_opens_no_case,
    what_was_found_is_kept_of_what_is_refused,
    what_was_held_is_not_posted_over_a_newer_edit,
    edits_that_were_held_are_posted_in_their_order,
    only_what_holds_is_given_back,
];

/// After everything that a scene begins with.
const LATE: Millis = START.after(1_000_000);

impl Scene {
    /// With a finding, and with the case that a flag opens about a message of before.
    fn flagged(&self, item: Item, edited: Option<u64>) -> (Item, CaseId) {
        let row = CaseRow::new(CaseKind::Flag, self.case_id(), item.room, item.author, START.after(self.next()));
        let row = CaseRow { seq: edited.map(Seq), ..row };
        let finding = Some(Finding { plugin: "words".to_owned(), ..Finding::default() });
        let record =
            AuditRecord { room: item.room, user: item.author, case: row.id, finding, ..AuditRecord::default() };
        let opens = Some(NewCase { row, actor: None, text: words("insults: 90 %") });
        let beside = Beside { audit: vec![self.new_record(record)], opens, releases: false };
        (Item { beside: Some(Box::new(beside)), ..item }, row.id)
    }

    fn edit(&self, room: RoomId, author: UserId, seq: u64, text: &'static str) -> Item {
        act(self, room, author, Act::Edit(Seq(seq), bytes(text), Vec::new()))
    }

    /// Another text for somebody's message 7 that is held, so long after [`LATE`]. Its case tells when.
    async fn hold_edit(&self, room: RoomId, author: UserId, n: u64, text: &'static str) -> (Item, CaseId) {
        let (item, id) = (self.edit(room, author, 7, text), CaseId::new(LATE.after(n), n.into()));
        assert_eq!(self.store.record(self.held(&item, id, "look")).await.unwrap(), None);
        (item, id)
    }

    async fn reads(&self, room: RoomId, seq: u64) -> Bytes {
        self.store.find_entries(room, vec![Seq(seq)]).await.unwrap().remove(0).payload
    }

    async fn lasting(&self, case: CaseId) -> Vec<AuditRecord> {
        let entries = self.store.list_audit(all_records(), UserId::NONE).await.unwrap();
        let records = entries.iter().map(|entry| decode_audit(&entry.record).unwrap());
        records.filter(|record| record.case == case && record.finding.is_some()).collect()
    }
}

async fn a_flag_of_an_edit_opens_a_case_about_the_message(scene: Scene) {
    let (room, [owner, moderator, member]) = scene.company().await;
    let (first, id) = scene.flagged(scene.edit(room, member, 7, "an insult"), Some(7));
    // What the batch makes of it afterwards is not what was flagged.
    let batch = vec![posts(&scene, room, owner), first, scene.edit(room, member, 7, "nothing at all")];
    let seqs: Vec<_> = scene.append(batch).await.iter().map(|it| seq(&it.decision)).collect();
    assert_eq!(seqs, [Some(8), Some(9), Some(10)]);
    let row = scene.store.find_case(id).await.unwrap().unwrap();
    assert_eq!((row.kind, row.state, row.seq), (CaseKind::Flag, CaseState::Open, Some(Seq(7))));
    let kept = scene.kept(id).await;
    assert_eq!(kept.iter().map(|it| it.0).collect::<Vec<_>>(), [5, 6, 7, 8]);
    assert_eq!(kept[2], (7, 1, bytes("an insult")));
    assert_eq!(scene.told(id).await, [(CaseAct::Open, None, "insults: 90 %".to_owned())]);
    assert_eq!(scene.lasting(id).await.len(), 1);
    // Once it is decided, another text is another case, and may be removed.
    scene.step(id, moderator, decide(CaseDecision::Dismiss, "fine")).await.unwrap();
    let (again, other) = scene.flagged(scene.edit(room, member, 7, "worse"), Some(7));
    assert_eq!(seq(&scene.append_one(again).await), Some(11));
    assert_eq!(scene.cases(all_cases()).await, [other, id]);
    assert_eq!(scene.kept(other).await[2], (7, 3, bytes("worse")));
    assert!(scene.step(other, moderator, decide(CaseDecision::Remove, "")).await.unwrap().due);
}

async fn a_flag_of_an_edit_joins_a_case_that_is_open(scene: Scene) {
    let (room, [owner, moderator, member]) = scene.company().await;
    let reported = scene.report(room, member, 7, owner).await.unwrap().row.id;
    scene.step(reported, moderator, Step::Take).await.unwrap();
    let before = scene.kept(reported).await;
    let (edit, id) = scene.flagged(scene.edit(room, member, 7, "an insult"), Some(7));
    assert_eq!(seq(&scene.append_one(edit).await), Some(8));
    assert_eq!(scene.store.find_case(id).await.unwrap(), None);
    assert_eq!(scene.cases(all_cases()).await, [reported]);
    assert_eq!(scene.told(reported).await.last().unwrap(), &(CaseAct::Note, None, "insults: 90 %".to_owned()));
    let after = [before, vec![(7, 1, bytes("an insult"))]].concat();
    assert_eq!((scene.kept(reported).await, scene.lasting(reported).await.len()), (after, 1));
    // In one batch as well, be it with the message itself.
    let (said, flag) = scene.flagged(posts(&scene, room, member), None);
    let (one, _) = scene.flagged(scene.edit(room, member, 9, "one"), Some(9));
    let (two, _) = scene.flagged(scene.edit(room, member, 9, "two"), Some(9));
    let payload = said.payload.clone();
    let decided = scene.append(vec![said, one, two]).await;
    assert!(decided.iter().all(|it| seq(&it.decision).is_some()), "{decided:?}");
    assert_eq!(scene.cases(all_cases()).await, [flag, reported]);
    assert_eq!((scene.told(flag).await.len(), scene.lasting(flag).await.len()), (3, 3));
    let kept = scene.kept(flag).await;
    let texts = [(9, 0, payload), (9, 1, bytes("one")), (9, 2, bytes("two"))];
    assert_eq!(kept[kept.len() - 3..], texts, "as it was flagged each time");
}

async fn flags_of_one_batch_join_each_its_case(scene: Scene) {
    let (room, [owner, moderator, member]) = scene.company().await;
    let (flag, older) = scene.flagged(scene.edit(room, member, 7, "an insult"), Some(7));
    assert!(seq(&scene.append_one(flag).await).is_some());
    let younger = scene.report(room, member, 7, owner).await.unwrap().row.id;
    let reported = scene.report(room, owner, 5, member).await.unwrap().row.id;
    let [(first, _), (second, opened), (third, _)] = [(owner, 5), (moderator, 6), (member, 7)]
        .map(|(author, about)| scene.flagged(scene.edit(room, author, about, "worse"), Some(about)));
    let decided = scene.append(vec![third, second, first]).await;
    assert!(decided.iter().all(|it| seq(&it.decision).is_some()), "{decided:?}");
    let opens: Vec<_> = decided.iter().map(|it| it.opens).collect();
    assert_eq!(opens, [None, Some(CaseKind::Flag), None]);
    for (case, events) in [(older, 2), (younger, 1), (reported, 2), (opened, 1)] {
        assert_eq!(scene.told(case).await.len(), events, "{case}: of two about one message the older is joined");
    }
}

async fn a_case_is_not_told_of_flags_without_end(scene: Scene) {
    let (room, [owner, moderator, member]) = scene.company().await;
    let id = scene.report(room, member, 7, owner).await.unwrap().row.id;
    scene.step(id, moderator, Step::Take).await.unwrap();
    scene.step(id, moderator, Step::Note(words("not the first time"))).await.unwrap();
    let flag = || scene.flagged(scene.edit(room, member, 7, "an insult"), Some(7));
    // By what is stored, and by what a batch makes of it.
    for count in [1, 1, 28, 20, 1, 9] {
        let decided = scene.append((0..count).map(|_| flag().0).collect()).await;
        assert!(decided.iter().all(|it| seq(&it.decision).is_some()), "{decided:?}");
    }
    let told = scene.told(id).await;
    let acts: Vec<_> = told[..3].iter().map(|it| (it.0, it.1)).collect();
    let by_moderator = |act| (act, Some(moderator));
    assert_eq!(acts, [(CaseAct::Open, Some(owner)), by_moderator(CaseAct::Take), by_moderator(CaseAct::Note)]);
    let [notes @ .., last] = &told[3..] else { panic!("{told:?}") };
    assert_eq!(notes, vec![(CaseAct::Note, None, "insults: 90 %".to_owned()); JOINS_MAX as usize]);
    assert!(last.1.is_none() && last.2.contains("in the audit alone"), "once: {last:?}");
    assert_eq!(scene.lasting(id).await.len(), 60);
    let texts: Vec<_> = scene.kept(id).await.into_iter().filter(|it| it.0 == 7).map(|it| it.1).collect();
    assert_eq!(texts, [0, 1, 2, 3, 4], "there is room left for what people report");
    // What people say of it is another matter, and so is another case.
    scene.step(id, moderator, Step::Note(words("enough"))).await.unwrap();
    assert_eq!(scene.told(id).await.len(), told.len() + 1);
    scene.step(id, moderator, decide(CaseDecision::Dismiss, "fine")).await.unwrap();
    let (again, other) = flag();
    assert!(seq(&scene.append_one(again).await).is_some());
    assert_eq!(scene.cases(all_cases()).await, [other, id]);
}

async fn an_edit_that_nobody_reads_opens_no_case(scene: Scene) {
    let (room, [_, moderator, member]) = scene.company().await;
    scene.act(room, moderator, Act::Sanction(member, SanctionKind::Shadow, None)).await;
    let (edit, id) = scene.flagged(scene.edit(room, member, 7, "an insult"), Some(7));
    assert!(seq(&scene.append_one(edit).await).is_some());
    assert_eq!(scene.store.find_case(id).await.unwrap(), None);
    assert_eq!((scene.lasting(id).await.len(), scene.lasting(CaseId::NONE).await.len()), (0, 1));
}

async fn what_was_found_is_kept_of_what_is_refused(scene: Scene) {
    let (room, [owner, _, member]) = scene.company().await;
    let stranger = scene.user("dora").await.id;
    let (outside, _) = scene.flagged(scene.edit(room, stranger, 5, "from outside"), None);
    assert_eq!(scene.append_one(outside).await, refused(RejectCode::NotMember));
    // Beside one that is appended, and with nothing that a moderator would have done.
    let (mut not_theirs, _) = scene.flagged(scene.edit(room, member, 5, "mine now"), Some(5));
    let deed = scene.new_record(AuditRecord { actor: member, act: "delete".to_owned(), ..AuditRecord::default() });
    not_theirs.beside.as_mut().unwrap().audit.push(deed);
    let decided = scene.append(vec![not_theirs, posts(&scene, room, owner)]).await;
    assert_eq!((&decided[0].decision, seq(&decided[1].decision)), (&refused(RejectCode::Forbidden), Some(8)));
    let records = scene.audit_of(None).await;
    let found: Vec<_> = records.iter().map(|it| (it.user, it.case, it.seq, it.finding.is_some())).collect();
    assert_eq!(found, [(stranger, CaseId::NONE, None, true), (member, CaseId::NONE, None, true)]);
    assert!(scene.cases(all_cases()).await.is_empty());
}

async fn what_was_held_is_not_posted_over_a_newer_edit(scene: Scene) {
    let (room, [_, _, member]) = scene.company().await;
    assert!(seq(&scene.at(LATE, scene.edit(room, member, 7, "before")).await).is_some());
    let at = async |n: u64, item: Item| scene.at(LATE.after(n), item).await;
    let (item, id) = scene.hold_edit(room, member, 10, "held").await;
    assert!(seq(&at(20, releasing(&scene, &item, id)).await).is_some(), "what was before is no reason");
    let row = scene.store.find_case(id).await.unwrap().unwrap();
    assert_eq!(row.seq, Some(Seq(7)), "the message that reads so now");
    assert_eq!(scene.reads(room, 7).await, bytes("held"));
    // Held behind that release, so that the newer text alone is in its way.
    let (other, other_id) = scene.hold_edit(room, member, 25, "held again").await;
    assert!(seq(&at(30, scene.edit(room, member, 7, "newer")).await).is_some());
    assert_eq!(at(40, releasing(&scene, &other, other_id)).await, refused(RejectCode::CaseState));
    assert_eq!(scene.reads(room, 7).await, bytes("newer"));
    assert!(scene.store.find_held(other_id).await.unwrap().is_some());
    // In one batch as well.
    let (third, third_id) = scene.hold_edit(room, member, 50, "held once more").await;
    let batch = vec![scene.edit(room, member, 7, "newest"), releasing(&scene, &third, third_id)];
    let decided = scene.store.append(batch, LATE.after(60)).await.unwrap();
    assert!(seq(&decided[0].decision).is_some());
    assert_eq!(decided[1].decision, refused(RejectCode::CaseState));
}

async fn edits_that_were_held_are_posted_in_their_order(scene: Scene) {
    let (room, [_, _, member]) = scene.company().await;
    let mut held = Vec::new();
    for (n, text) in [(10, "one"), (20, "two"), (30, "three"), (40, "four"), (50, "five"), (60, "six")] {
        held.push(scene.hold_edit(room, member, n, text).await);
    }
    let release = |n: usize| releasing(&scene, &held[n].0, held[n].1);
    let at = async |n: u64, item: Item| scene.at(LATE.after(n), item).await;
    // Whenever that is.
    for (n, text) in [(0, "one"), (1, "two"), (3, "four")] {
        assert!(seq(&at(100 + n as u64, release(n)).await).is_some(), "{text}");
        assert_eq!(scene.reads(room, 7).await, bytes(text));
    }
    assert_eq!(at(200, release(2)).await, refused(RejectCode::CaseState), "its author wrote another one since");
    // In one batch as well, in which the last one is too late.
    let decided = scene.store.append(vec![release(5), release(4)], LATE.after(300)).await.unwrap();
    assert!(seq(&decided[0].decision).is_some());
    assert_eq!(decided[1].decision, refused(RejectCode::CaseState));
    assert_eq!(scene.reads(room, 7).await, bytes("six"));
    for (n, is_held) in [(0, false), (1, false), (2, true), (3, false), (4, true), (5, false)] {
        assert_eq!(scene.store.find_held(held[n].1).await.unwrap().is_some(), is_held, "{n}");
    }
    // What is written without being held is newer than all of them.
    let (last, id) = scene.hold_edit(room, member, 400, "last").await;
    assert!(seq(&at(500, scene.edit(room, member, 7, "newest")).await).is_some());
    assert_eq!(at(600, releasing(&scene, &last, id)).await, refused(RejectCode::CaseState));
}

async fn only_what_holds_is_given_back(scene: Scene) {
    let (room, [owner, _, member]) = scene.company().await;
    let end = Millis(START.0 + 2_000_000);
    let mute = |until| Restriction { kind: SanctionKind::Mute, until };
    let give_back = async |given| {
        let (server_role, act) = (ServerRole::User, Act::GiveBack(member, given));
        let amend = Amend { server_role, shadowed: false, decided: true, act };
        scene.append_one(scene.item(room, owner, Change::Amend(Box::new(amend)))).await
    };
    let sanction = async |kind, until| {
        assert!(seq(&scene.act(room, owner, Act::Sanction(member, kind, until)).await).is_some());
    };
    let holds = async || scene.store.membership(room, member).await.unwrap().unwrap().restriction;
    assert_eq!(give_back(Some(mute(Some(end)))).await, Decision::Unchanged, "nothing was taken");
    sanction(SanctionKind::Mute, Some(end)).await;
    for other in [mute(None), mute(Some(end.after(1))), Restriction { kind: SanctionKind::Ban, until: Some(end) }] {
        assert_eq!(give_back(Some(other)).await, refused(RejectCode::CaseState));
    }
    assert_eq!(holds().await, Some(mute(Some(end))));
    assert!(seq(&give_back(Some(mute(Some(end)))).await).is_some());
    assert_eq!(holds().await, None);
    // What it was is not known any more.
    sanction(SanctionKind::Mute, None).await;
    assert!(seq(&give_back(None).await).is_some());
    assert_eq!(holds().await, None);
    // A later shadow stays, and nobody is told of it.
    sanction(SanctionKind::Shadow, None).await;
    for given in [None, Some(mute(None))] {
        assert_eq!(give_back(given).await, Decision::Unchanged);
    }
    assert_eq!(holds().await.map(|it| it.kind), Some(SanctionKind::Shadow));
    // What ran out is over.
    sanction(SanctionKind::Mute, Some(Millis(START.0 + 1))).await;
    assert_eq!(give_back(Some(mute(None))).await, Decision::Unchanged);
    // Nobody does so who is no case.
    assert_eq!(scene.act(room, owner, Act::GiveBack(member, Some(mute(None)))).await, refused(RejectCode::Forbidden));
}
