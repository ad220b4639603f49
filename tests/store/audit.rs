//! Which cases are found by whom, who is told of them, and what stays of them: the audit, whatever else goes.

use bytes::Bytes;
use confab::core::append::{Act, Change, Item, Said};
use confab::core::cases::{
    Agenda, Beside, CaseChange, CaseRow, CasesWanted, NewCase, NewRecord, REMIND_MS, Step, Whose,
};
use confab::core::seal::Vault;
use confab::core::store::{Before, NewRoom, RoomShape, Store, pair};
use confab::store::sqlite::Sqlite;
use confab_protocol::command::{AuditRecord, Finding, ListAudit};
use confab_protocol::limits::PAGE_BYTES_MAX;
use confab_protocol::model::{
    AuditId, CaseAct, CaseDecision, CaseId, CaseKind, CaseState, DisplayName, Millis, RoomId, RoomRole, SanctionKind,
    Seq, ServerRole, UserId, Username,
};
use confab_protocol::reject::RejectCode;

use super::moderation::{all_records, decide, posts, words};
use super::{START, Scene, postgres, seq};

super::cases![
    cases_are_found_by_whose_they_are,
    cases_are_found_by_what_they_are,
    what_is_due_or_waits_is_on_the_agenda,
    each_room_has_its_turn_on_the_agenda,
    those_who_moderate_a_room_are_told,
    somebody_else_could_decide_however_many_there_are,
    those_who_reported_are_told,
    records_are_found_by_what_they_name,
    a_page_of_the_audit_has_an_end,
    what_was_kept_of_somebody_goes_with_them,
    evidence_has_its_time,
];

pub(super) const ALL_STATES: [CaseState; 5] =
    [CaseState::Open, CaseState::Taken, CaseState::Decided, CaseState::Appealed, CaseState::Closed];

pub(super) fn all_cases() -> CasesWanted {
    let (whose, states) = (Whose::Everybody, ALL_STATES.to_vec());
    CasesWanted {
        whose,
        room: None,
        states,
        kind: None,
        about: None,
        not_about: None,
        now: START,
        before: CaseId::NONE,
        limit: 100,
    }
}

impl Scene {
    /// A case of some kind about somebody, which stands beside something that an author says.
    pub(super) async fn opened(&self, room: RoomId, author: UserId, subject: UserId, kind: CaseKind) -> CaseId {
        let row = CaseRow::new(kind, self.case_id(), room, subject, START.after(self.next()));
        let row = match kind {
            CaseKind::Sanction => {
                let (state, decision) = (CaseState::Decided, Some(CaseDecision::Sanction));
                CaseRow { state, decision, decider: Some(author), decided: row.opened, ..row }
            }
            _ => row,
        };
        let actor = (kind == CaseKind::Sanction).then_some(author);
        let opens = Some(NewCase { row, actor, text: words("so it began") });
        let beside = Some(Box::new(Beside { audit: Vec::new(), opens, releases: false }));
        assert!(seq(&self.append_one(Item { beside, ..posts(self, room, author) }).await).is_some());
        row.id
    }

    async fn direct(&self, one: UserId, other: UserId) -> RoomId {
        let new = NewRoom { shape: RoomShape::Direct { pair: pair(one, other), other }, ..self.new_room("x") };
        let room = RoomId::new(START.after(self.next()), self.next().into());
        assert!(seq(&self.append_one(self.item(room, one, Change::CreateRoom(Box::new(new)))).await).is_some());
        room
    }

    async fn of(&self, whose: Whose) -> Vec<CaseId> {
        self.cases(CasesWanted { whose, ..all_cases() }).await
    }
}

async fn cases_are_found_by_whose_they_are(scene: Scene) {
    let (room, [owner, moderator, member]) = scene.company().await;
    let [dora, erin] = [scene.user("dora").await.id, scene.user("erin").await.id];
    let other = scene.room(erin, "two").await;
    let direct = scene.direct(member, dora).await;
    let report = scene.report(room, member, 7, dora).await.unwrap().row.id;
    let held = scene.case_id();
    scene.store.record(scene.held(&posts(&scene, room, member), held, "look")).await.unwrap();
    let flag = scene.opened(room, member, member, CaseKind::Flag).await;
    let sanction = scene.opened(room, moderator, member, CaseKind::Sanction).await;
    let elsewhere = scene.report(other, owner, 0, erin).await.unwrap().row.id;
    let between = scene.report(direct, dora, 0, member).await.unwrap().row.id;
    assert_eq!(scene.of(Whose::Everybody).await, [between, elsewhere, sanction, flag, held, report]);
    let here = [sanction, flag, held, report];
    for who in [owner, moderator] {
        assert_eq!(scene.of(Whose::ModeratedBy(who)).await, here);
    }
    assert_eq!(scene.of(Whose::ModeratedBy(erin)).await, [elsewhere]);
    assert_eq!(scene.of(Whose::ModeratedBy(member)).await, [], "nobody moderates a room of two");
    scene.leave(room, moderator).await;
    assert_eq!(scene.of(Whose::ModeratedBy(moderator)).await, []);
    // About oneself one finds what one may know of, and what one reported.
    assert_eq!(scene.of(Whose::Of(member)).await, [between, sanction, held]);
    assert_eq!(scene.of(Whose::Of(dora)).await, [report]);
    assert_eq!(scene.of(Whose::Of(owner)).await, []);
    assert_eq!(scene.of(Whose::Of(moderator)).await, [], "what one did to others is in the audit");
    scene.step(report, owner, decide(CaseDecision::Dismiss, "")).await.unwrap();
    scene.step(flag, owner, decide(CaseDecision::Remove, "")).await.unwrap();
    scene.step(elsewhere, erin, Step::Note(words("I see"))).await.unwrap();
    assert_eq!(scene.of(Whose::Of(member)).await, [between, sanction, flag, held], "what was removed is theirs");
    scene.step(flag, member, Step::Appeal(words("why?"))).await.unwrap();
    scene.step(flag, moderator, decide(CaseDecision::Reverse, "")).await.unwrap();
    assert_eq!(scene.of(Whose::Of(member)).await, [between, sanction, flag, held], "also afterwards");
    let joined = scene.report(direct, dora, 0, erin).await.unwrap();
    assert_eq!((joined.row.id, scene.of(Whose::Of(erin)).await), (between, vec![between, elsewhere]));
}

async fn cases_are_found_by_what_they_are(scene: Scene) {
    let (room, [owner, moderator, member]) = scene.company().await;
    let other = scene.room(moderator, "two").await;
    let mut ids = Vec::new();
    for about in [owner, moderator, member] {
        ids.push(scene.report(room, about, 0, UserId::from_u128(9)).await.unwrap().row.id);
        ids.push(scene.opened(room, owner, about, CaseKind::Flag).await);
        ids.push(scene.report(other, about, 0, UserId::from_u128(9)).await.unwrap().row.id);
    }
    ids.reverse();
    assert_eq!(scene.cases(all_cases()).await, ids);
    let every = |from: usize, by: usize| ids.iter().copied().skip(from).step_by(by).collect::<Vec<_>>();
    assert_eq!(scene.cases(CasesWanted { room: Some(other), ..all_cases() }).await, every(0, 3));
    assert_eq!(scene.cases(CasesWanted { kind: Some(CaseKind::Flag), ..all_cases() }).await, every(1, 3));
    assert_eq!(scene.cases(CasesWanted { kind: Some(CaseKind::Held), ..all_cases() }).await, []);
    assert_eq!(scene.cases(CasesWanted { about: Some(member), ..all_cases() }).await, ids[..3]);
    let both = CasesWanted { about: Some(member), not_about: Some(member), ..all_cases() };
    assert_eq!(scene.cases(both).await, []);
    // Page by page.
    let mut page = CasesWanted { limit: 4, ..all_cases() };
    let mut found = Vec::new();
    while let cases = scene.cases(page.clone()).await
        && let Some(last) = cases.last()
    {
        page.before = *last;
        found.push(cases.len());
    }
    assert_eq!(found, [4, 4, 1]);
    assert_eq!(scene.cases(CasesWanted { before: ids[6], ..all_cases() }).await, ids[7..]);
    scene.step(ids[0], owner, Step::Take).await.unwrap();
    scene.step(ids[3], owner, decide(CaseDecision::Dismiss, "")).await.unwrap();
    let states = async |states: &[CaseState]| scene.cases(CasesWanted { states: states.to_vec(), ..all_cases() }).await;
    assert_eq!(states(&[CaseState::Taken]).await, ids[..1]);
    assert_eq!(states(&[CaseState::Taken, CaseState::Decided]).await, [ids[0], ids[3]]);
    assert_eq!((states(&[CaseState::Open]).await.len(), states(&[]).await.len()), (7, 0));
    let whose = Whose::ModeratedBy(moderator);
    let both = CasesWanted { whose, room: Some(room), kind: Some(CaseKind::Report), before: ids[2], ..all_cases() };
    assert_eq!(scene.cases(both).await, [ids[5], ids[8]]);
    assert_eq!(
        scene.cases(CasesWanted { room: Some(other), whose: Whose::ModeratedBy(owner), ..all_cases() }).await,
        []
    );
    scene.act(room, owner, Act::Sanction(moderator, SanctionKind::Mute, None)).await;
    let muted = scene.cases(CasesWanted { whose, ..all_cases() }).await;
    assert_eq!(muted, every(0, 3), "who is muted in a room moderates others alone");
}

async fn what_is_due_or_waits_is_on_the_agenda(scene: Scene) {
    let (room, [owner, moderator, member]) = scene.company().await;
    let agenda = async |since, limit| {
        let Agenda { cases, waiting, oldest } = scene.store.agenda(since, limit).await.unwrap();
        (cases.iter().map(|row| row.id).collect::<Vec<_>>(), waiting, oldest)
    };
    assert_eq!(agenda(Millis::NEVER, 9).await, (Vec::new(), 0, None));
    let mut rows = Vec::new();
    for about in [5, 6, 7] {
        rows.push(scene.report(room, member, about, owner).await.unwrap().row);
    }
    let [one, two, three] = [0, 1, 2].map(|n: usize| rows[n].id);
    let oldest = Some(rows[0].changed);
    assert_eq!(agenda(rows[0].reminded, 9).await, (Vec::new(), 3, oldest));
    assert_eq!(agenda(rows[2].reminded, 9).await, (vec![one, two], 3, oldest));
    assert_eq!(agenda(Millis::NEVER, 2).await, (vec![one, two], 3, oldest), "the oldest first");
    // Who was told of it is not told again so soon, and it waits as long as before.
    assert_eq!(scene.step(one, UserId::NONE, Step::Remind).await, Err(RejectCode::CaseState), "not yet");
    let (now, record) = (START.after(2 * REMIND_MS), AuditId::from_u128(1));
    let remind = CaseChange { case: one, record, actor: None, now, step: Step::Remind };
    let told = scene.store.change_case(remind).await.unwrap().unwrap().unwrap();
    assert_eq!(told, CaseRow { reminded: told.reminded, ..rows[0] });
    assert_eq!(agenda(told.reminded, 9).await, (vec![two, three], 3, oldest));
    let moved = scene.step(two, owner, Step::Take).await.unwrap();
    assert_eq!(agenda(moved.reminded, 9).await, (vec![three], 3, oldest));
    // What is to be done is on it until it is done, whenever somebody heard of it.
    scene.step(three, owner, decide(CaseDecision::Remove, "")).await.unwrap();
    assert_eq!(agenda(Millis(0), 9).await, (vec![three], 2, oldest));
    assert_eq!(agenda(Millis::NEVER, 9).await, (vec![one, two, three], 2, oldest));
    scene.step(three, UserId::NONE, Step::Done).await.unwrap();
    scene.step(one, owner, decide(CaseDecision::Dismiss, "")).await.unwrap();
    assert_eq!(agenda(Millis::NEVER, 9).await, (vec![two], 1, Some(moved.changed)));
    // An appeal waits like what is new.
    let appealed = scene.step(three, member, Step::Appeal(words("why?"))).await.unwrap();
    assert_eq!(agenda(Millis(appealed.reminded.0 + 1), 9).await, (vec![two, three], 2, Some(moved.changed)));
    scene.step(three, moderator, decide(CaseDecision::Uphold, "")).await.unwrap();
    assert_eq!(agenda(Millis::NEVER, 9).await.0, [two]);
}

/// Where many wait whose moderators are told of no more for now, nobody else's wait for them.
async fn each_room_has_its_turn_on_the_agenda(scene: Scene) {
    let (room, [owner, ..]) = scene.company().await;
    let other = scene.room(owner, "two").await;
    let (mut many, mut few) = (Vec::new(), Vec::new());
    for n in 1..=60 {
        many.push(scene.report(room, UserId::from_u128(n), 0, owner).await.unwrap().row.id);
    }
    for n in 1..=3 {
        few.push(scene.report(other, UserId::from_u128(n), 0, owner).await.unwrap().row.id);
    }
    let found = scene.store.agenda(Millis::NEVER, 50).await.unwrap().cases;
    let found: Vec<CaseId> = found.into_iter().map(|row| row.id).collect();
    assert_eq!(found, [&many[..47], &few[..]].concat(), "of each the oldest");
}

async fn those_who_moderate_a_room_are_told(scene: Scene) {
    let (room, [owner, moderator, member]) = scene.company().await;
    let told = async |room, limit| {
        let found = scene.store.moderators(room, [UserId::NONE; 2], START, limit).await.unwrap();
        for (user, own) in &found {
            assert_eq!(scene.store.find_self_room(*user).await.unwrap(), Some(*own));
        }
        found.into_iter().map(|(user, _)| user).collect::<Vec<_>>()
    };
    let direct = scene.direct(owner, member).await;
    assert_eq!(told(direct, 9).await, [], "there is nobody");
    let mut staff = Vec::new();
    for (name, role) in [
        ("boss", ServerRole::Owner),
        ("admin", ServerRole::Admin),
        ("bot", ServerRole::Bot),
        ("mona", ServerRole::Moderator),
        ("mary", ServerRole::Moderator),
        ("plugin.words", ServerRole::Moderator),
    ] {
        let user = scene.new_user(name, role);
        scene.store.create_user(user.clone()).await.unwrap();
        staff.push(user.id);
    }
    let of_server = [staff[3], staff[4], staff[1], staff[0]];
    assert_eq!(told(direct, 9).await, of_server);
    assert_eq!(told(direct, 2).await, of_server[..2]);
    // In a room they are those of the room, the owner first; who stands higher on the server is no more here.
    let second = scene.user("dora").await.id;
    for user in [second, staff[1]] {
        scene.join(room, user).await;
    }
    scene.act(room, owner, Act::SetRole(member, RoomRole::Admin)).await;
    scene.act(room, owner, Act::SetRole(second, RoomRole::Moderator)).await;
    assert_eq!(told(room, 9).await, [owner, member, moderator, second]);
    assert_eq!(told(room, 1).await, [owner]);
    // Nobody is behind the account of a plugin, whatever that may do.
    scene.join(room, staff[5]).await;
    scene.act(room, owner, Act::SetRole(staff[5], RoomRole::Admin)).await;
    assert_eq!(told(room, 9).await, [owner, member, moderator, second]);
    // But for those who have to do with it.
    let but_for = async |room, except| {
        let found = scene.store.moderators(room, except, START, 9).await.unwrap();
        found.into_iter().map(|(user, _)| user).collect::<Vec<_>>()
    };
    assert_eq!(but_for(room, [owner, second]).await, [member, moderator]);
    assert_eq!(but_for(direct, [staff[3], UserId::NONE]).await, of_server[1..]);
    scene.act(room, owner, Act::Sanction(second, SanctionKind::Mute, Some(START.after(1_000_000)))).await;
    assert_eq!(told(room, 9).await, [owner, member, moderator], "who is muted moderates nothing");
    let later = scene.store.moderators(room, [UserId::NONE; 2], START.after(1_000_000), 9).await.unwrap();
    assert_eq!(later.len(), 4, "and does again once that is over");
    scene.act(room, owner, Act::Sanction(second, SanctionKind::Lift, None)).await;
    scene.act(room, owner, Act::Sanction(moderator, SanctionKind::Ban, None)).await;
    scene.leave(room, member).await;
    scene.act(room, owner, Act::SetRole(second, RoomRole::Member)).await;
    assert_eq!(told(room, 9).await, [owner]);
    assert_eq!(but_for(room, [owner, UserId::NONE]).await, of_server, "the only one is whom it is about");
    scene.leave(room, owner).await;
    assert_eq!(told(room, 9).await, of_server, "nobody is left who could");
    assert_eq!(told(scene.store.find_self_room(owner).await.unwrap().unwrap(), 9).await, of_server);
}

async fn somebody_else_could_decide_however_many_there_are(scene: Scene) {
    const MANY: usize = 30;
    const ANYBODY: u8 = u8::MAX;
    let (room, [owner, moderator, member]) = scene.company().await;
    let at = async |except, rank, now| scene.store.has_judge(room, except, rank, now).await.unwrap();
    let has = async |except, rank| at(except, rank, START).await;
    let [admins, moderators] = [RoomRole::Admin, RoomRole::Moderator].map(RoomRole::number);
    assert!(has([owner, member], ANYBODY).await && has([moderator, member], moderators).await);
    assert!(!has([owner, member], moderators).await, "they are no higher");
    assert!(!has([owner, moderator], ANYBODY).await, "there is nobody");
    let over = START.after(1_000_000);
    scene.act(room, owner, Act::Sanction(moderator, SanctionKind::Mute, Some(over))).await;
    assert!(!has([owner, member], ANYBODY).await && at([owner, member], ANYBODY, over).await);

    // However many moderate the server: those of higher rank are among all of them.
    let mut staff = Vec::new();
    for n in 0..MANY {
        let user = scene.new_user(&format!("staff{n}"), ServerRole::Moderator);
        scene.store.create_user(user.clone()).await.unwrap();
        staff.push(user.id);
    }
    assert!(has([owner, moderator], ANYBODY).await && !has([owner, moderator], moderators).await);
    let plugin = scene.new_user("plugin.words", ServerRole::Admin);
    scene.store.create_user(plugin).await.unwrap();
    assert!(!has([owner, moderator], moderators).await, "nobody is behind the account of a plugin");
    let admin = scene.new_user("admin", ServerRole::Admin);
    scene.store.create_user(admin.clone()).await.unwrap();
    assert!(has([owner, moderator], moderators).await);
    assert!(!has([owner, admin.id], moderators).await && !has([owner, moderator], admins).await);
    // The last of them owns the room, also from outside.
    let last = *staff.last().unwrap();
    scene.join(room, last).await;
    scene.act(room, owner, Act::SetRole(last, RoomRole::Owner)).await;
    scene.leave(room, last).await;
    assert!(has([owner, moderator], admins).await && !has([owner, last], admins).await);
}

async fn those_who_reported_are_told(scene: Scene) {
    let (room, [owner, moderator, member]) = scene.company().await;
    let dora = scene.user("dora").await.id;
    let id = scene.report(room, member, 7, dora).await.unwrap().row.id;
    for reporter in [owner, UserId::from_u128(7), moderator, owner] {
        scene.report(room, member, 7, reporter).await.unwrap();
    }
    scene.step(id, member, Step::Note(words("who only looks at it"))).await.unwrap();
    let told = async |id, limit| {
        let found = scene.store.reporters(id, limit).await.unwrap();
        for (user, own) in &found {
            assert_eq!(scene.store.find_self_room(*user).await.unwrap(), Some(*own));
        }
        found.into_iter().map(|(user, _)| user).collect::<Vec<_>>()
    };
    assert_eq!(told(id, 9).await, [dora, owner, moderator], "as they came, each once, and who is there");
    assert_eq!(told(id, 2).await, [dora, owner]);
    let sanction = scene.opened(room, owner, member, CaseKind::Sanction).await;
    assert_eq!(told(sanction, 9).await, [], "nobody reported it");
    assert!(!scene.store.has_reported(sanction, owner).await.unwrap());
}

async fn records_are_found_by_what_they_name(scene: Scene) {
    let [alice, bob] = [UserId::from_u128(1), UserId::from_u128(2)];
    let [one, two] = [RoomId::from_u128(1), RoomId::from_u128(2)];
    let case = CaseId::from_u128(3);
    let finding = |plugin: &str| Some(Finding { plugin: plugin.to_owned(), score: 90, ..Finding::default() });
    let none = AuditRecord::default;
    let records = [
        AuditRecord {
            actor: alice,
            room: one,
            user: bob,
            seq: Some(Seq(4)),
            before: Bytes::from(vec![1; 32]),
            ..none()
        },
        AuditRecord { actor: bob, room: one, user: bob, case, detail: "twice".to_owned(), ..none() },
        AuditRecord { actor: alice, room: two, ..none() },
        AuditRecord { user: alice, room: two, finding: finding("words"), ..none() },
        AuditRecord { case, finding: finding("word"), ..none() },
        none(),
    ];
    let records: Vec<NewRecord> =
        records.into_iter().map(|it| scene.new_record(AuditRecord { time: START, ..it })).collect();
    // In whatever order they come.
    let mixed = [3, 0, 5, 1, 4, 2].map(|n: usize| records[n].clone());
    scene.store.audit(mixed[..4].to_vec()).await.unwrap();
    scene.store.audit(Vec::new()).await.unwrap();
    scene.store.audit(mixed[4..].to_vec()).await.unwrap();
    let expected: Vec<AuditRecord> = records.iter().map(|new| new.record.clone()).collect();
    assert_eq!(scene.audit_of(None).await, expected);
    let found = async |wanted| {
        let found = scene.store.list_audit(wanted, UserId::NONE).await.unwrap();
        let place = |id| records.iter().position(|new| new.id == id).unwrap();
        found.into_iter().map(|entry| place(entry.id)).collect::<Vec<_>>()
    };
    assert_eq!(found(all_records()).await, [5, 4, 3, 2, 1, 0]);
    assert_eq!(found(ListAudit { room: Some(one), ..all_records() }).await, [1, 0]);
    assert_eq!(found(ListAudit { user: Some(alice), ..all_records() }).await, [3, 2, 0]);
    assert_eq!(found(ListAudit { user: Some(bob), ..all_records() }).await, [1, 0], "each once");
    assert_eq!(found(ListAudit { case: Some(case), ..all_records() }).await, [4, 1]);
    let plugin = |name: &str| ListAudit { plugin: Some(name.to_owned()), ..all_records() };
    assert_eq!(found(plugin("words")).await, [3]);
    for name in ["wor", "Words", "words\0", ""] {
        assert!(found(plugin(name)).await.is_empty(), "{name:?}");
    }
    assert_eq!(found(ListAudit { before: records[4].id, limit: 2, ..all_records() }).await, [3, 2]);
    assert_eq!(found(ListAudit { user: Some(alice), before: records[3].id, ..all_records() }).await, [2, 0]);
    assert_eq!(found(ListAudit { user: Some(alice), limit: 2, ..all_records() }).await, [3, 2]);
    assert_eq!(found(ListAudit { user: Some(alice), room: Some(two), ..plugin("words") }).await, [3]);
    assert!(found(ListAudit { user: Some(bob), case: Some(case), room: Some(two), ..all_records() }).await.is_empty());
    // Of what others did to who asks there is none, and pages are of what there is.
    let seen = async |asker, wanted| {
        let found = scene.store.list_audit(wanted, asker).await.unwrap();
        let place = |id| records.iter().position(|new| new.id == id).unwrap();
        found.into_iter().map(|entry| place(entry.id)).collect::<Vec<_>>()
    };
    assert_eq!(seen(bob, all_records()).await, [5, 4, 3, 2, 1]);
    assert_eq!(seen(alice, all_records()).await, [5, 4, 2, 1, 0]);
    assert_eq!(seen(alice, ListAudit { limit: 3, ..all_records() }).await, [5, 4, 2]);
    assert_eq!(seen(alice, plugin("words")).await, [0_usize; 0]);
    assert_eq!(seen(bob, ListAudit { user: Some(alice), ..all_records() }).await, [3, 2]);
    // One record of a number: another of it is none, nor is what would come with it.
    let again = NewRecord { record: none(), ..records[0].clone() };
    assert!(scene.store.audit(vec![scene.new_record(none()), again]).await.is_err());
    assert_eq!(scene.audit_of(None).await, expected);
}

async fn a_page_of_the_audit_has_an_end(scene: Scene) {
    let alice = UserId::from_u128(1);
    let record = |bytes: usize| {
        scene.new_record(AuditRecord { actor: alice, user: alice, detail: "x".repeat(bytes), ..AuditRecord::default() })
    };
    let third = PAGE_BYTES_MAX / 3;
    let sizes = [third, third, PAGE_BYTES_MAX + 1, third, third, third, 1];
    let records: Vec<NewRecord> = sizes.into_iter().map(record).collect();
    scene.store.audit(records.clone()).await.unwrap();
    for user in [None, Some(alice)] {
        let (mut page, mut pages, mut ids) = (ListAudit { user, ..all_records() }, Vec::new(), Vec::new());
        while let entries = scene.store.list_audit(page.clone(), UserId::NONE).await.unwrap()
            && let Some(last) = entries.last()
        {
            page.before = last.id;
            pages.push(entries.len());
            ids.extend(entries.iter().map(|entry| entry.id));
        }
        assert_eq!(pages, [3, 1, 1, 2], "one that is too large comes by itself");
        assert!(ids.iter().rev().copied().eq(records.iter().map(|new| new.id)));
    }
}

async fn what_was_kept_of_somebody_goes_with_them(scene: Scene) {
    let (room, [owner, moderator, member]) = scene.company().await;
    let account = scene.store.find_user(member).await.unwrap().unwrap();
    // Of them, by them, with them beside it, and without them.
    let of = scene.report(room, member, 7, owner).await.unwrap().row.id;
    scene.step(of, moderator, Step::Note(words("I know them"))).await.unwrap();
    let by = scene.report(room, moderator, 6, member).await.unwrap().row.id;
    scene.step(by, owner, Step::Note(words("look into it"))).await.unwrap();
    let held = scene.case_id();
    scene.store.record(scene.held(&posts(&scene, room, member), held, "insults")).await.unwrap();
    let without = scene.report(room, owner, 0, moderator).await.unwrap().row.id;
    let before = scene.store.count_held(member).await.unwrap();
    assert_eq!((before.evidence, before.cases, before.unappended), (3, 3, 1));
    assert_eq!(scene.store.count_held(moderator).await.unwrap().cases, 3);
    let records = scene.store.personal_records(member).await.unwrap();
    let of_kind = |kind: &str| records.iter().filter(|it| it["kind"] == kind).collect::<Vec<_>>();
    let said = of_kind("said of a case");
    assert_eq!(
        (said.len(), &said[0]["case"], &said[0]["text"]),
        (1, &by.to_string().into(), &format!("says {member}").into())
    );
    let kept: Vec<_> = of_kind("kept with a case").iter().map(|it| (it["case"].clone(), it["seq"].clone())).collect();
    assert_eq!(kept, [of, by, held].map(|case| (case.to_string().into(), 7.into())));
    let audit = scene.audit_of(None).await;
    let rows = scene.store.list_cases(all_cases()).await.unwrap();
    let (username, display_name) = (Username::parse("erased-1").unwrap(), DisplayName::parse("gone").unwrap());
    let name = (username.clone(), confab::core::names::user_key(&username));
    scene.store.erase_account(member, account.self_room, name, display_name).await.unwrap();
    let after = scene.store.count_held(member).await.unwrap();
    assert_eq!((after.evidence, after.unappended), (0, 0));
    assert!(scene.store.personal_records(member).await.unwrap().iter().all(|it| it.get("text").is_none()));
    assert_eq!((scene.audit_of(None).await, scene.store.list_cases(all_cases()).await.unwrap()), (audit, rows));
    let texts = async |case| scene.told(case).await.into_iter().map(|(.., text)| text).collect::<Vec<_>>();
    assert_eq!(texts(of).await, ["", ""]);
    assert_eq!(texts(by).await, ["", "look into it"], "of others, and about others");
    assert_eq!(texts(held).await, [""]);
    assert_eq!(texts(without).await, [format!("says {moderator}")]);
    let seqs = async |case| scene.kept(case).await.iter().map(|it| it.0).collect::<Vec<_>>();
    assert_eq!((seqs(of).await, seqs(by).await, seqs(held).await), (vec![5, 6], vec![5, 6], vec![5, 6]));
    assert!(scene.store.has_reported(by, member).await.unwrap(), "that they did is a reference");
}

async fn evidence_has_its_time(scene: Scene) {
    let owner = scene.user("alice").await.id;
    let room = scene.room(owner, "one").await;
    scene.append_one(scene.item(room, owner, Change::Message(Said::default()))).await;
    let mut ids = Vec::new();
    for day in [0, 1, 2] {
        let mut report = scene.new_report(room, UserId::from_u128(day + 1), 2, owner);
        report.case.opened = START.after(day as u64 * 1_000);
        ids.push(scene.store.report(report).await.unwrap().unwrap().row.id);
    }
    let forget = async |evidence, limit| {
        let (replaced, unappended) = (Millis(0), Millis(0));
        scene.store.forget(Before { replaced, unappended, evidence: START.after(evidence) }, limit).await.unwrap()
    };
    let audit = scene.audit_of(None).await;
    assert_eq!(forget(0, 9).await, 0, "nothing is older");
    assert_eq!(forget(1, 9).await, 2, "what was said, and what was said of it");
    assert_eq!(forget(1, 9).await, 0);
    let left = async |case| (scene.kept(case).await.len(), scene.told(case).await.remove(0));
    let told = |text: &str| (CaseAct::Open, Some(owner), text.to_owned());
    assert_eq!(left(ids[0]).await, (0, told("")));
    assert_eq!(left(ids[1]).await, (1, told(&format!("says {owner}"))));
    assert_eq!((forget(9_000, 1).await, left(ids[1]).await, left(ids[2]).await.0), (2, (0, told("")), 1), "in steps");
    assert_eq!((forget(9_000, 1).await, forget(9_000, 1).await), (2, 0));
    assert_eq!((scene.audit_of(None).await, scene.cases(all_cases()).await.len()), (audit, 3));
    assert!(scene.store.has_reported(ids[0], owner).await.unwrap());
}

/// Statements that would change it, as both databases have them.
const CHANGES: [&str; 4] = [
    "UPDATE audit SET actor = NULL",
    "UPDATE audit SET record = record WHERE time_ms = 0",
    "DELETE FROM audit",
    "INSERT INTO audit SELECT * FROM audit WHERE true ON CONFLICT (id) DO UPDATE SET actor = NULL",
];

/// A store with a record, and what that record is.
async fn with_a_record(store: std::sync::Arc<dyn Store>) -> (Scene, Vec<AuditRecord>) {
    let scene = Scene { store, count: std::sync::Arc::default() };
    let actor = UserId::from_u128(5);
    scene.store.audit(vec![scene.new_record(AuditRecord { actor, ..AuditRecord::default() })]).await.unwrap();
    let records = scene.audit_of(None).await;
    assert_eq!((records.len(), records[0].actor), (1, actor));
    (scene, records)
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_changes_the_audit_in_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("confab.db");
    let store = std::sync::Arc::new(Sqlite::open(&path, 2, Vault::default()).unwrap());
    let (scene, records) = with_a_record(store).await;
    let connection = rusqlite::Connection::open(&path).unwrap();
    for change in CHANGES {
        let error = connection.execute_batch(change).unwrap_err().to_string();
        assert!(error.contains("the audit is"), "{change}: {error}");
    }
    assert_eq!(scene.audit_of(None).await, records);
    scene.store.close().await;
}

/// What replaces a row deletes another without its trigger.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_writes_over_the_audit_in_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("confab.db");
    let store = std::sync::Arc::new(Sqlite::open(&path, 2, Vault::default()).unwrap());
    let (scene, records) = with_a_record(store).await;
    let connection = rusqlite::Connection::open(&path).unwrap();
    let replace = "INSERT OR REPLACE INTO audit SELECT id, 0, NULL, NULL, NULL, NULL, NULL, x'' FROM audit";
    let replaced = connection.execute_batch(replace);
    let left: i64 =
        connection.query_row("SELECT count(*) FROM audit WHERE actor IS NOT NULL", [], |row| row.get(0)).unwrap();
    assert!(replaced.is_err() && left == 1, "{replaced:?}, {left} left");
    assert_eq!(scene.audit_of(None).await, records);
    scene.store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_changes_the_audit_in_postgres() {
    let url = postgres::fresh_url().await;
    let (scene, records) = with_a_record(std::sync::Arc::new(postgres::open(&url).await.unwrap())).await;
    for change in CHANGES.into_iter().chain(["TRUNCATE audit", "TRUNCATE audit, cases CASCADE"]) {
        // Panics when it went through.
        let refused = format!(
            "DO $$ BEGIN BEGIN {change}; EXCEPTION WHEN raise_exception THEN RETURN; END; RAISE 'done: {change}'; END $$"
        );
        postgres::sql(&url, &refused);
    }
    assert_eq!(scene.audit_of(None).await, records);
    scene.store.close().await;
}
