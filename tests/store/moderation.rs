//! Reports, what is held, what is kept of what was said, and what becomes of cases.

use std::sync::Arc;

use bytes::Bytes;
use confab::core::append::{Act, Amend, Change, Decision, Item, Said};
use confab::core::cases::{
    Beside, CaseChange, CaseRow, CasesWanted, HeldText, NewCase, NewRecord, NewReport, Reported,
};
use confab::core::cases::{EVENTS_MAX, Step};
use confab::core::store::{Outcome, Restriction, Scrub, Unappended};
use confab_protocol::codec::decode_audit;
use confab_protocol::command::{Appended, AuditRecord, ListAudit};
use confab_protocol::limits::{CASE_TEXT_BYTES_MAX, EVIDENCE_BYTES_MAX};
use confab_protocol::model::{
    AuditId, CaseAct, CaseDecision, CaseId, CaseKind, CaseState, CaseText, ReportReason, RoomId, SanctionKind, Seq,
    ServerRole, UserId,
};
use confab_protocol::reject::RejectCode;

use super::amends::{act, bytes, emoji, refused};
use super::audit::all_cases;
use super::{START, Scene, seq};

super::cases![
    a_report_opens_a_case_that_others_join,
    a_report_is_of_what_is_there_or_of_somebody,
    reports_at_once_are_one_case,
    those_who_report_beyond_the_list_are_counted,
    evidence_reads_as_it_was_said,
    what_others_do_not_see_is_nobodys_context,
    an_answer_has_what_is_nearest,
    what_is_held_waits_with_its_case,
    what_is_held_is_posted_once,
    who_may_not_post_any_more_has_nothing_released,
    what_stands_beside_an_entry_comes_with_it,
    what_is_not_appended_leaves_nothing_beside_it,
    a_case_goes_on_step_by_step,
    what_a_case_does_not_take_leaves_no_trace,
    decisions_at_once_are_one,
    what_was_decided_is_done_by_who_is_outside,
];

pub(super) fn words(text: &str) -> CaseText {
    CaseText::parse(text).unwrap()
}

pub(super) fn all_records() -> ListAudit {
    ListAudit { room: None, user: None, case: None, plugin: None, before: AuditId::NONE, limit: 200 }
}

pub(super) fn decide(decision: CaseDecision, text: &str) -> Step {
    Step::Decide { decision, text: words(text), is_alone: false }
}

pub(super) fn posts(scene: &Scene, room: RoomId, author: UserId) -> Item {
    scene.item(room, author, Change::Message(Said::default()))
}

impl Scene {
    pub(super) fn case_id(&self) -> CaseId {
        let n = self.next();
        CaseId::new(START.after(n), n.into())
    }

    pub(super) fn new_record(&self, record: AuditRecord) -> NewRecord {
        let n = self.next();
        NewRecord { id: AuditId::new(START.after(n), n.into()), record, note: None }
    }

    /// About somebody's message, or with 0 about them.
    pub(super) fn new_report(&self, room: RoomId, subject: UserId, about: u64, reporter: UserId) -> NewReport {
        let (id, seq) = (self.case_id(), (about != 0).then_some(Seq(about)));
        let row = CaseRow::new(CaseKind::Report, id, room, subject, START.after(self.next()));
        let case = CaseRow { seq, reason: Some(ReportReason::Spam), reports: 1, ..row };
        let act = "report".to_owned();
        let record = AuditRecord { actor: reporter, act, room, user: subject, seq, case: id, ..AuditRecord::default() };
        NewReport { case, reporter, text: words(&format!("says {reporter}")), records: vec![self.new_record(record)] }
    }

    pub(super) async fn report(&self, room: RoomId, subject: UserId, about: u64, reporter: UserId) -> Option<Reported> {
        self.store.report(self.new_report(room, subject, about, reporter)).await.unwrap()
    }

    /// What was held of somebody, with a record of it.
    pub(super) fn held(&self, item: &Item, case: CaseId, note: &str) -> Unappended {
        let &Item { room, author, client_id, digest, .. } = item;
        let record = AuditRecord { act: "verdict".to_owned(), room, user: author, case, ..AuditRecord::default() };
        let (payload, audit) = (item.payload.clone(), vec![self.new_record(record)]);
        let (time, outcome, note) = (START.after(self.next()), Outcome::Held(case), note.to_owned());
        Unappended { room, author, client_id, digest, time, outcome, payload, note, audit }
    }

    pub(super) fn change(&self, case: CaseId, actor: UserId, step: Step) -> CaseChange {
        let (n, actor) = (self.next(), (actor != UserId::NONE).then_some(actor));
        CaseChange { case, record: AuditId::new(START.after(n), n.into()), actor, now: START.after(n), step }
    }

    pub(super) async fn step(&self, case: CaseId, actor: UserId, step: Step) -> Result<CaseRow, RejectCode> {
        self.store.change_case(self.change(case, actor, step)).await.unwrap().unwrap()
    }

    /// What happened to a case, by whom, and what they said.
    pub(super) async fn told(&self, case: CaseId) -> Vec<(CaseAct, Option<UserId>, String)> {
        let events = self.store.case(case).await.unwrap().unwrap().events;
        assert!(events.is_sorted_by_key(|event| event.time));
        events.into_iter().map(|event| (event.act, event.actor, event.text.as_str().to_owned())).collect()
    }

    /// What is kept with a case.
    pub(super) async fn kept(&self, case: CaseId) -> Vec<(u64, u32, Bytes)> {
        let evidence = self.store.case(case).await.unwrap().unwrap().evidence;
        evidence.into_iter().map(|it| (it.seq.0, it.rev, it.payload)).collect()
    }

    pub(super) async fn kept_seqs(&self, case: CaseId) -> Vec<u64> {
        self.kept(case).await.iter().map(|(seq, ..)| *seq).collect()
    }

    /// The oldest first.
    pub(super) async fn audit_of(&self, case: Option<CaseId>) -> Vec<AuditRecord> {
        let entries = self.store.list_audit(ListAudit { case, ..all_records() }, UserId::NONE).await.unwrap();
        entries.iter().rev().map(|entry| decode_audit(&entry.record).unwrap()).collect()
    }

    pub(super) async fn cases(&self, wanted: CasesWanted) -> Vec<CaseId> {
        self.store.list_cases(wanted).await.unwrap().iter().map(|row| row.id).collect()
    }

    /// Messages of somebody, with as many bytes each.
    pub(super) async fn say_at_length(&self, room: RoomId, author: UserId, count: usize, bytes: usize) {
        for n in 0..count {
            let payload = Bytes::from(vec![n as u8; bytes]);
            assert!(seq(&self.append_one(Item { payload, ..posts(self, room, author) }).await).is_some());
        }
    }
}

async fn a_report_opens_a_case_that_others_join(scene: Scene) {
    let (room, [owner, moderator, member]) = scene.company().await;
    let first = scene.report(room, member, 7, owner).await.unwrap();
    assert!(first.is_new && (first.row.state, first.row.reports) == (CaseState::Open, 1));
    let id = first.row.id;
    assert_eq!(scene.store.find_case(id).await.unwrap(), Some(first.row));
    let both = CaseRow { reports: 2, ..first.row };
    let reported = |is_known| Some(Reported { row: both, is_new: false, is_known });
    assert_eq!(scene.report(room, member, 7, moderator).await, reported(false));
    for again in [owner, moderator] {
        assert_eq!(scene.report(room, member, 7, again).await, reported(true));
    }
    // The reason of the first is the case's own.
    let told = [
        (CaseAct::Open, Some(owner), format!("says {owner}")),
        (CaseAct::Report, Some(moderator), format!("spam: says {moderator}")),
    ];
    assert_eq!(scene.told(id).await, told);
    let records = scene.audit_of(None).await;
    let records: Vec<_> = records.iter().map(|it| (it.actor, it.case, it.seq)).collect();
    assert_eq!(records, [(owner, id, Some(Seq(7))), (moderator, id, Some(Seq(7)))], "of the case that they join");
    // Somebody looks into it; others join it still.
    scene.step(id, moderator, Step::Take).await.unwrap();
    let third = scene.user("dora").await.id;
    let joined = scene.report(room, member, 7, third).await.unwrap();
    assert_eq!((joined.is_new, joined.row.id, joined.row.reports), (false, id, 3));
    assert_eq!((joined.row.state, joined.row.assignee), (CaseState::Taken, Some(moderator)));
    scene.step(id, moderator, decide(CaseDecision::Dismiss, "fine")).await.unwrap();
    let anew = scene.report(room, member, 7, owner).await.unwrap();
    assert!(anew.is_new && anew.row.id != id && anew.row.reports == 1, "what was decided is over");
    assert_eq!(scene.store.find_case(id).await.unwrap().unwrap().reports, 3);
    let has = async |case, user| scene.store.has_reported(case, user).await.unwrap();
    assert_eq!((has(id, owner).await, has(id, third).await, has(anew.row.id, third).await), (true, true, false));
    assert!(!has(id, member).await);
    assert_eq!(scene.cases(all_cases()).await, [anew.row.id, id]);
}

async fn a_report_is_of_what_is_there_or_of_somebody(scene: Scene) {
    let (room, [owner, moderator, member]) = scene.company().await;
    let other = scene.room(owner, "two").await;
    let delete = Act::Delete(vec![(Seq(6), bytes("gone"))]);
    assert!(seq(&scene.act(room, owner, delete).await).is_some());
    for (room, about, what) in
        [(room, 6, "deleted"), (room, 1, "no message"), (room, 99, "not there"), (other, 7, "elsewhere")]
    {
        assert_eq!(scene.report(room, moderator, about, owner).await, None, "{what}");
    }
    assert!(
        scene.cases(all_cases()).await.is_empty() && scene.audit_of(None).await.is_empty(),
        "nothing is left of it"
    );
    let message = scene.report(room, member, 7, owner).await.unwrap();
    let person = scene.report(room, member, 0, owner).await.unwrap();
    let elsewhere = scene.report(other, member, 0, owner).await.unwrap();
    let another = scene.report(room, moderator, 0, owner).await.unwrap();
    assert!([message, person, elsewhere, another].iter().all(|it| it.is_new), "each is a case by itself");
    assert_eq!((person.row.seq, scene.kept_seqs(person.row.id).await), (None, Vec::new()));
    let joined = scene.report(room, member, 0, moderator).await.unwrap();
    assert_eq!((joined.is_new, joined.row.id, joined.row.reports), (false, person.row.id, 2));
    assert_eq!(scene.store.find_case(message.row.id).await.unwrap(), Some(message.row), "and not the one beside it");
}

async fn reports_at_once_are_one_case(scene: Scene) {
    let (room, [owner, moderator, member]) = scene.company().await;
    scene.say_at_length(room, member, 8, 10).await;
    for about in 7..=15 {
        let report = |reporter| {
            let (store, report) = (Arc::clone(&scene.store), scene.new_report(room, member, about, reporter));
            tokio::spawn(async move { store.report(report).await.unwrap().unwrap() })
        };
        let mut told = Vec::new();
        for reported in [owner, moderator, owner, moderator].map(report) {
            told.push(reported.await.unwrap());
        }
        assert_eq!(told.iter().filter(|it| it.is_new).count(), 1, "{told:?}");
        let id = told[0].row.id;
        assert!(told.iter().all(|it| it.row.id == id), "{told:?}");
        let record = scene.store.case(id).await.unwrap().unwrap();
        assert_eq!((record.row.reports, record.events.len(), scene.audit_of(Some(id)).await.len()), (2, 2, 2));
    }
}

async fn those_who_report_beyond_the_list_are_counted(scene: Scene) {
    let (room, [owner, _, member]) = scene.company().await;
    let id = scene.report(room, member, 7, owner).await.unwrap().row.id;
    for n in 0..=EVENTS_MAX {
        scene.report(room, member, 7, UserId::from_u128(u128::from(n) + 1)).await.unwrap();
    }
    let last = UserId::from_u128(u128::from(EVENTS_MAX) + 1);
    for again in [owner, last] {
        assert!(scene.store.has_reported(id, again).await.unwrap());
        assert_eq!(scene.report(room, member, 7, again).await.unwrap().row.reports, EVENTS_MAX + 2, "each once");
    }
    let told = scene.told(id).await;
    assert!(told.len() <= EVENTS_MAX as usize && told.last().unwrap().2.is_empty(), "and what they say is not kept");
}

/// And so it stays, whatever is made of it afterwards.
async fn evidence_reads_as_it_was_said(scene: Scene) {
    let (room, [owner, moderator, member]) = scene.company().await;
    // 8 to 14, a reaction, 16 to 22.
    scene.say_at_length(room, owner, 7, 20).await;
    scene.act(room, member, Act::React(Seq(14), emoji("+"), true)).await;
    scene.say_at_length(room, member, 7, 30).await;
    scene.act(room, owner, Act::Edit(Seq(13), bytes("better words"), Vec::new())).await;
    // Five before 16, and five behind it.
    let around = || (10..=14).chain(16..=21).map(Seq);
    let entries = scene.store.find_entries(room, around().collect()).await.unwrap();
    let before: Vec<_> = entries.into_iter().map(|it| (it.seq.0, it.rev, it.payload)).collect();
    assert_eq!((before.len(), &before[3]), (11, &(13, 1, bytes("better words"))));
    let id = scene.report(room, member, 16, owner).await.unwrap().row.id;
    assert_eq!(scene.kept(id).await, before);
    scene.act(room, owner, Act::Edit(Seq(13), bytes("others again"), Vec::new())).await;
    let gone = around().map(|seq| (seq, bytes("gone"))).collect();
    assert!(seq(&scene.act(room, moderator, Act::Delete(gone)).await).is_some());
    scene.store.scrub(room, Scrub { said: vec![Seq(16)], rewritten: Vec::new() }).await.unwrap();
    assert_eq!(scene.kept(id).await, before);
    // Who joins later adds nothing to it.
    scene.report(room, member, 16, moderator).await.unwrap();
    assert_eq!(scene.kept(id).await, before);
    // At the ends there is less around it.
    let id = scene.report(room, owner, 5, member).await.unwrap().row.id;
    assert_eq!(scene.kept_seqs(id).await, [5, 6, 7, 8, 9, 22]);
}

async fn what_others_do_not_see_is_nobodys_context(scene: Scene) {
    let (room, [owner, moderator, member]) = scene.company().await;
    scene.act(room, moderator, Act::Sanction(member, SanctionKind::Shadow, None)).await;
    let said = [member, owner, member, member].map(|author| posts(&scene, room, author)).to_vec();
    let seqs: Vec<_> = scene.append(said).await.iter().map(|it| seq(&it.decision)).collect();
    assert_eq!(seqs, [Some(9), Some(10), Some(11), Some(12)]);
    let seen = scene.report(room, owner, 10, moderator).await.unwrap().row.id;
    assert_eq!(scene.kept_seqs(seen).await, [5, 6, 7, 10]);
    let unseen = scene.report(room, member, 9, moderator).await.unwrap().row.id;
    assert_eq!(scene.kept_seqs(unseen).await, [5, 6, 7, 9, 10], "but for what it is about");
    let said = scene.store.find_entries(room, vec![Seq(9)]).await.unwrap().remove(0);
    assert_eq!(scene.kept(unseen).await[3], (9, 0, said.payload));
}

async fn an_answer_has_what_is_nearest(scene: Scene) {
    let (room, [owner, _, member]) = scene.company().await;
    scene.say_at_length(room, member, 11, EVIDENCE_BYTES_MAX / 4 - 100).await;
    let id = scene.report(room, member, 13, owner).await.unwrap().row.id;
    assert_eq!(scene.store.count_held(member).await.unwrap().evidence, 11, "all of it is kept");
    assert_eq!(scene.kept_seqs(id).await, [11, 12, 13, 14]);
}

async fn what_is_held_waits_with_its_case(scene: Scene) {
    let (room, [_, _, member]) = scene.company().await;
    let (item, id) = (posts(&scene, room, member), scene.case_id());
    // An odd number of bytes before, so that the cut would fall into a letter.
    let note = format!("x{}", "\u{e9}".repeat(CASE_TEXT_BYTES_MAX));
    let held = scene.held(&item, id, &note);
    assert_eq!(scene.store.record(held.clone()).await.unwrap(), None);
    let row = CaseRow::new(CaseKind::Held, id, room, member, held.time);
    assert_eq!(scene.store.find_case(id).await.unwrap(), Some(row));
    let cut = format!("x{}", "\u{e9}".repeat(CASE_TEXT_BYTES_MAX / 2 - 1));
    assert_eq!(scene.told(id).await, [(CaseAct::Open, None, cut)]);
    assert_eq!(scene.kept(id).await[0], (0, 0, item.payload.clone()));
    assert_eq!(scene.audit_of(Some(id)).await, [held.audit[0].record.clone()]);
    let Item { client_id, digest, payload, .. } = item.clone();
    let text = HeldText { room, author: member, client_id, digest, payload };
    assert_eq!(scene.store.find_held(id).await.unwrap(), Some(text));
    assert_eq!(scene.store.find_held(scene.case_id()).await.unwrap(), None);
    // Sent again, be it that it would be held anew.
    let again = scene.held(&item, scene.case_id(), "again");
    assert_eq!(scene.store.record(again).await.unwrap().unwrap().outcome, Outcome::Held(id));
    assert_eq!((scene.cases(all_cases()).await, scene.audit_of(None).await.len()), (vec![id], 1));
    // What cannot be shown is left out.
    let other = scene.case_id();
    scene.store.record(scene.held(&posts(&scene, room, member), other, "a\u{7}b")).await.unwrap();
    assert_eq!(scene.told(other).await, [(CaseAct::Open, None, String::new())]);
    // What is refused opens nothing, and is in the audit.
    let refused = Outcome::Refused { code: 5001, detail: "no".to_owned() };
    let refused = Unappended { outcome: refused, ..scene.held(&posts(&scene, room, member), CaseId::NONE, "no") };
    assert_eq!(scene.store.record(refused).await.unwrap(), None);
    assert_eq!((scene.cases(all_cases()).await, scene.audit_of(None).await.len()), (vec![other, id], 3));
}

pub(super) fn releasing(scene: &Scene, item: &Item, case: CaseId) -> Item {
    let record = AuditRecord { act: "release".to_owned(), room: item.room, case, ..AuditRecord::default() };
    let beside = Beside { audit: vec![scene.new_record(record)], opens: None, releases: true };
    // Whoever does it looks at the rights anew.
    Item { acl_version: u64::MAX, beside: Some(Box::new(beside)), ..item.clone() }
}

async fn what_is_held_is_posted_once(scene: Scene) {
    let (room, [owner, _, member]) = scene.company().await;
    let other = scene.room(owner, "two").await;
    scene.join(other, member).await;
    let (item, id, elsewhere) = (posts(&scene, room, member), scene.case_id(), scene.case_id());
    let twin = Item { room: other, ..item.clone() };
    for held in [scene.held(&item, id, "look"), scene.held(&twin, elsewhere, "look")] {
        assert_eq!(scene.store.record(held).await.unwrap(), None);
    }
    let held = Decision::Recorded(Outcome::Held(id));
    assert_eq!(scene.append_one(item.clone()).await, held);
    let reused = Item { digest: [0; 16], ..releasing(&scene, &item, id) };
    assert_eq!(scene.append_one(reused).await, refused(RejectCode::ClientIdReused));
    assert!(scene.store.find_held(id).await.unwrap().is_some());
    let before = scene.audit_of(None).await.len();
    // Two who do it at once, and in a batch with those who send it again.
    let batch = || vec![releasing(&scene, &item, id), item.clone(), releasing(&scene, &item, id)];
    let release = |batch| {
        let store = Arc::clone(&scene.store);
        tokio::spawn(async move { store.append(batch, START.after(1_000_000)).await.unwrap() })
    };
    let [one, two] = [release(batch()), release(batch())];
    let decided = [one.await.unwrap(), two.await.unwrap()].concat();
    assert_eq!(decided.iter().filter_map(|it| seq(&it.decision)).collect::<Vec<_>>(), [8], "{decided:?}");
    let posted = Appended { seq: Seq(8), time: START.after(1_000_000), altered: false, duplicate: false };
    let known = Decision::Recorded(Outcome::Appended(Appended { duplicate: true, ..posted }));
    assert_eq!(decided.iter().filter(|it| it.decision == known).count(), 5, "{decided:?}");
    assert_eq!(scene.append_one(item.clone()).await, known);
    let recorded = scene.store.find_recorded(room, member, item.client_id).await.unwrap().unwrap();
    assert_eq!((recorded.digest, recorded.outcome), (item.digest, Outcome::Appended(posted)));
    assert_eq!((scene.store.find_held(id).await.unwrap(), scene.kept_seqs(id).await), (None, vec![5, 6, 7]));
    let seq_of = async |case| scene.store.find_case(case).await.unwrap().unwrap().seq;
    assert_eq!((seq_of(id).await, seq_of(elsewhere).await), (Some(Seq(8)), None), "the message that it is now");
    let records = scene.audit_of(None).await;
    assert_eq!((records.len(), records.last().unwrap().seq), (before + 1, Some(Seq(8))));
    assert!(scene.store.find_held(elsewhere).await.unwrap().is_some(), "of another room, and held still");
    assert_eq!(scene.store.count_held(member).await.unwrap().unappended, 1);
    // What was refused is refused, whoever would have it posted.
    let item = posts(&scene, room, member);
    let no = Outcome::Refused { code: 5001, detail: "no".to_owned() };
    let unappended = Unappended { outcome: no.clone(), ..scene.held(&item, CaseId::NONE, "no") };
    assert_eq!(scene.store.record(unappended).await.unwrap(), None);
    assert_eq!(scene.append_one(releasing(&scene, &item, id)).await, Decision::Recorded(no));
}

async fn who_may_not_post_any_more_has_nothing_released(scene: Scene) {
    let (room, [owner, _, member]) = scene.company().await;
    let (item, id) = (posts(&scene, room, member), scene.case_id());
    scene.store.record(scene.held(&item, id, "look")).await.unwrap();
    let release = async || scene.append_one(releasing(&scene, &item, id)).await;
    let records = scene.audit_of(None).await;
    scene.act(room, owner, Act::Sanction(member, SanctionKind::Mute, None)).await;
    assert_eq!(release().await, refused(RejectCode::Forbidden));
    scene.leave(room, member).await;
    assert_eq!(release().await, refused(RejectCode::NotMember));
    assert!(scene.store.find_held(id).await.unwrap().is_some());
    let recorded = scene.store.find_recorded(room, member, item.client_id).await.unwrap().unwrap();
    assert_eq!((recorded.outcome, scene.audit_of(None).await), (Outcome::Held(id), records));
    scene.act(room, owner, Act::Sanction(member, SanctionKind::Lift, None)).await;
    scene.join(room, member).await;
    assert!(seq(&release().await).is_some());
    assert_eq!(scene.store.find_held(id).await.unwrap(), None);
}

async fn what_stands_beside_an_entry_comes_with_it(scene: Scene) {
    let (room, [owner, moderator, member]) = scene.company().await;
    let (flag, sanction, own) = (scene.case_id(), scene.case_id(), scene.store.find_self_room(member).await.unwrap());
    let record = |case, seq| scene.new_record(AuditRecord { room, case, seq, ..AuditRecord::default() });
    let opens = |row| Some(NewCase { row, actor: None, text: words("insults: 90 %") });
    let beside = |audit, opens| Some(Box::new(Beside { audit, opens, releases: false }));
    let row = CaseRow::new(CaseKind::Flag, flag, room, member, START.after(5));
    let flagged = Item {
        beside: beside(vec![record(flag, None), record(flag, Some(Seq(5)))], opens(row)),
        ..posts(&scene, room, member)
    };
    let note = scene.item(own.unwrap(), member, Change::SelfNote);
    let note = Item { beside: beside(vec![record(sanction, None)], None), ..note };
    let (state, decision) = (CaseState::Decided, Some(CaseDecision::Sanction));
    let row = CaseRow::new(CaseKind::Sanction, sanction, room, member, START.after(6));
    let row = CaseRow { state, decision, decider: Some(owner), decided: START.after(6), ..row };
    let mute = act(&scene, room, owner, Act::Sanction(member, SanctionKind::Mute, None));
    let mute = Item { then: vec![note], beside: beside(vec![record(sanction, None)], opens(row)), ..mute };
    let batch = vec![
        posts(&scene, room, owner),
        flagged.clone(),
        act(&scene, room, member, Act::Edit(Seq(9), bytes("nothing bad"), Vec::new())),
        posts(&scene, room, moderator),
        mute,
    ];
    let decided = scene.append(batch).await;
    let seqs: Vec<_> = decided.iter().map(|it| seq(&it.decision)).collect();
    assert_eq!(seqs, [Some(8), Some(9), Some(10), Some(11), Some(12)]);
    let found = async |case| scene.store.case(case).await.unwrap().unwrap();
    let file = found(flag).await;
    assert_eq!((file.row.kind, file.row.state, file.row.seq), (CaseKind::Flag, CaseState::Open, Some(Seq(9))));
    assert_eq!(scene.told(flag).await, [(CaseAct::Open, None, "insults: 90 %".to_owned())]);
    let kept = scene.kept(flag).await;
    assert_eq!(kept.iter().map(|it| it.0).collect::<Vec<_>>(), [5, 6, 7, 8, 9]);
    assert_eq!(kept[4], (9, 0, flagged.payload.clone()), "as it was said, whatever the batch made of it");
    let seqs = async |case| scene.audit_of(Some(case)).await.iter().map(|it| it.seq.unwrap().0).collect::<Vec<_>>();
    assert_eq!(seqs(flag).await, [9, 5]);
    let note = decided[4].then.first().and_then(seq);
    assert_eq!(seqs(sanction).await.iter().map(|seq| Some(*seq)).collect::<Vec<_>>(), [note, Some(12)]);
    let file = found(sanction).await;
    assert_eq!((file.row.seq, file.events[0].decision), (Some(Seq(12)), decision));
    assert_eq!(scene.kept(sanction).await.last().unwrap(), &(9, 0, flagged.payload.clone()), "as it was said");
    // Sent again, it is there already, and nothing is written twice.
    assert!(matches!(scene.append_one(flagged).await, Decision::Recorded(Outcome::Appended(_))));
    assert_eq!((scene.audit_of(None).await.len(), scene.cases(all_cases()).await.len()), (4, 2));
}

async fn what_is_not_appended_leaves_nothing_beside_it(scene: Scene) {
    let (room, [owner, _, member]) = scene.company().await;
    let stranger = scene.user("dora").await;
    let beside = |room, author| {
        let row = CaseRow::new(CaseKind::Flag, scene.case_id(), room, author, START);
        let record = AuditRecord { room, user: author, case: row.id, ..AuditRecord::default() };
        let opens = Some(NewCase { row, actor: None, text: words("insults") });
        Some(Box::new(Beside { audit: vec![scene.new_record(record)], opens, releases: false }))
    };
    let with = |item: Item| Item { beside: beside(item.room, item.author), ..item };
    scene.act(room, member, Act::React(Seq(5), emoji("+"), true)).await;
    let follows = with(scene.item(stranger.self_room, stranger.id, Change::SelfNote));
    let batch = vec![
        Item { then: vec![follows], ..with(posts(&scene, room, stranger.id)) },
        with(act(&scene, room, member, Act::React(Seq(5), emoji("+"), true))),
        with(act(&scene, room, member, Act::Delete(vec![(Seq(5), bytes("gone"))]))),
        posts(&scene, room, owner),
        with(posts(&scene, RoomId::from_u128(7), owner)),
    ];
    let decided: Vec<Decision> = scene.append(batch).await.into_iter().map(|it| it.decision).collect();
    assert_eq!((&decided[0], &decided[1]), (&refused(RejectCode::NotMember), &Decision::Unchanged));
    assert_eq!((&decided[2], &decided[4]), (&refused(RejectCode::Forbidden), &refused(RejectCode::UnknownRoom)));
    assert_eq!(seq(&decided[3]), Some(9));
    assert!(scene.cases(all_cases()).await.is_empty() && scene.audit_of(None).await.is_empty());
    for user in [owner, member, stranger.id] {
        let held = scene.store.count_held(user).await.unwrap();
        assert_eq!((held.evidence, held.cases), (0, 0));
    }
}

async fn a_case_goes_on_step_by_step(scene: Scene) {
    let (room, [owner, moderator, member]) = scene.company().await;
    let (item, id) = (posts(&scene, room, member), scene.case_id());
    scene.store.record(scene.held(&item, id, "look at this")).await.unwrap();
    let steps = [
        (moderator, Step::Take),
        (moderator, Step::LetGo),
        (owner, Step::Note(words("not the first time\nnor the last"))),
        (owner, Step::Take),
        (moderator, decide(CaseDecision::Drop, "no")),
        (member, Step::Appeal(words("why?"))),
        (owner, decide(CaseDecision::Reverse, "well")),
    ];
    let mut states = Vec::new();
    for (actor, step) in steps {
        let row = scene.step(id, actor, step).await.unwrap();
        assert_eq!(scene.store.find_case(id).await.unwrap(), Some(row));
        states.push((row.state, row.assignee));
    }
    use CaseState as S;
    let [nobody, one, two] = [None, Some(moderator), Some(owner)];
    assert_eq!(states[..4], [(S::Taken, one), (S::Open, nobody), (S::Open, nobody), (S::Taken, two)]);
    assert_eq!(states[4..], [(S::Decided, two), (S::Appealed, nobody), (S::Closed, nobody)]);
    let row = scene.store.find_case(id).await.unwrap().unwrap();
    assert_eq!((row.decision, row.decider), (Some(CaseDecision::Drop), Some(owner)), "who decided last");
    assert_eq!((row.second, row.due), (Some(CaseDecision::Reverse), true));
    assert!(row.opened < row.decided && row.decided < row.changed);
    let event = |act, who, text: &str| (act, who, text.to_owned());
    let told = [
        event(CaseAct::Open, None, "look at this"),
        event(CaseAct::Take, one, ""),
        event(CaseAct::LetGo, one, ""),
        event(CaseAct::Note, two, "not the first time\nnor the last"),
        event(CaseAct::Take, two, ""),
        event(CaseAct::Decide, one, "no"),
        event(CaseAct::Appeal, Some(member), "why?"),
        event(CaseAct::Decide, two, "well"),
    ];
    assert_eq!(scene.told(id).await, told);
    let decisions = |it: confab::core::cases::CaseRecord| it.events.into_iter().filter_map(|event| event.decision);
    let decisions: Vec<_> = decisions(scene.store.case(id).await.unwrap().unwrap()).collect();
    assert_eq!(decisions, [CaseDecision::Drop, CaseDecision::Reverse]);
    let records = scene.audit_of(Some(id)).await;
    let acts: Vec<_> = records.iter().map(|it| it.act.as_str()).collect();
    assert_eq!(acts, ["verdict", "take", "let-go", "note", "take", "decide", "appeal", "decide"]);
    let last = records.last().unwrap();
    assert_eq!((last.actor, last.user, last.room), (owner, member, room));
    assert_eq!(last.detail, "reverse: appealed -> closed");
    // That it is done is noted in the row alone.
    let done = scene.step(id, UserId::NONE, Step::Done).await.unwrap();
    assert_eq!(done, CaseRow { due: false, ..row });
    assert_eq!((scene.told(id).await.len(), scene.audit_of(Some(id)).await.len()), (8, 8));
    // That it cannot be is told.
    let other = scene.report(room, member, 7, owner).await.unwrap().row.id;
    scene.step(other, moderator, decide(CaseDecision::Remove, "")).await.unwrap();
    assert!(!scene.step(other, UserId::NONE, Step::Fail(words("gone"))).await.unwrap().due);
    assert_eq!(scene.told(other).await[2], (CaseAct::Fail, None, "gone".to_owned()));
}

async fn what_a_case_does_not_take_leaves_no_trace(scene: Scene) {
    let (room, [owner, moderator, member]) = scene.company().await;
    let id = scene.report(room, member, 0, owner).await.unwrap().row.id;
    let refused = async |actor, step, code| {
        let before = (scene.store.case(id).await.unwrap(), scene.audit_of(None).await);
        assert_eq!(scene.step(id, actor, step).await, Err(code));
        assert_eq!((scene.store.case(id).await.unwrap(), scene.audit_of(None).await), before);
    };
    let state = RejectCode::CaseState;
    refused(moderator, Step::LetGo, state).await;
    refused(moderator, decide(CaseDecision::Remove, "there is no message"), state).await;
    refused(moderator, decide(CaseDecision::Release, "nothing is held"), state).await;
    refused(member, decide(CaseDecision::Dismiss, "about oneself"), RejectCode::Forbidden).await;
    refused(member, Step::Appeal(words("of what?")), state).await;
    refused(UserId::NONE, Step::Done, state).await;
    scene.step(id, moderator, Step::Take).await.unwrap();
    refused(moderator, Step::Take, state).await;
    scene.step(id, moderator, decide(CaseDecision::Dismiss, "fine")).await.unwrap();
    refused(owner, decide(CaseDecision::Dismiss, "twice"), state).await;
    refused(owner, Step::Take, state).await;
    refused(member, Step::Appeal(words("of this?")), state).await;
    let nowhere = scene.change(scene.case_id(), owner, Step::Note(words("of nothing")));
    assert_eq!(scene.store.change_case(nowhere).await.unwrap(), None);
    assert_eq!(scene.store.case(scene.case_id()).await.unwrap(), None);
    assert!(scene.audit_of(None).await.iter().all(|record| record.case == id));
}

async fn decisions_at_once_are_one(scene: Scene) {
    let (room, [owner, moderator, member]) = scene.company().await;
    for round in 0..8 {
        let id = scene.report(room, member, 0, owner).await.unwrap().row.id;
        let tries = [owner, moderator].map(|actor| {
            let (store, change) = (Arc::clone(&scene.store), decide(CaseDecision::Dismiss, "fine"));
            let change = scene.change(id, actor, change);
            tokio::spawn(async move { store.change_case(change).await.unwrap().unwrap() })
        });
        let mut told = Vec::new();
        for tried in tries {
            told.push(tried.await.unwrap().map(|row| row.decider));
        }
        assert!(told.contains(&Err(RejectCode::CaseState)) && told.iter().any(Result::is_ok), "{round}: {told:?}");
        assert_eq!((scene.told(id).await.len(), scene.audit_of(Some(id)).await.len()), (2, 2));
    }
}

async fn what_was_decided_is_done_by_who_is_outside(scene: Scene) {
    let (room, [owner, _, member]) = scene.company().await;
    let steward = scene.user("dora").await.id;
    let done = |act: Act| {
        let amend = Amend { server_role: ServerRole::User, shadowed: false, decided: true, act };
        scene.item(room, steward, Change::Amend(Box::new(amend)))
    };
    let delete = || done(Act::Delete(vec![(Seq(7), bytes("gone"))]));
    let ban = Restriction { kind: SanctionKind::Ban, until: None };
    let lift = || done(Act::GiveBack(member, Some(ban)));
    let decided: Vec<Decision> =
        scene.append(vec![delete(), delete(), lift()]).await.into_iter().map(|it| it.decision).collect();
    assert_eq!((seq(&decided[0]), &decided[1]), (Some(8), &refused(RejectCode::UnknownMessage)));
    assert_eq!(decided[2], Decision::Unchanged, "nothing was taken from them");
    assert_eq!(scene.store.find_entries(room, vec![Seq(7)]).await.unwrap()[0].payload, bytes("gone"));
    scene.act(room, owner, Act::Sanction(member, SanctionKind::Ban, None)).await;
    assert_eq!(scene.join(room, member).await, refused(RejectCode::Forbidden));
    assert!(seq(&scene.append_one(lift()).await).is_some());
    assert!(seq(&scene.join(room, member).await).is_some());
    // That is all that is decided so.
    for act in [Act::Pin(Seq(5), true), Act::Sanction(member, SanctionKind::Ban, None)] {
        assert_eq!(scene.append_one(done(act)).await, refused(RejectCode::Forbidden));
    }
    // They are no more in the room than before, and an erasure finds what they did there.
    assert_eq!(scene.store.membership(room, steward).await.unwrap(), None);
    assert_eq!(scene.store.room(room, owner).await.unwrap().unwrap().members, 3);
    assert!(scene.store.rooms_ever(steward).await.unwrap().contains(&room));
}
