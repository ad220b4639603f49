//! Reports, cases, appeals and the audit, as golden frames have them.

use bytes::Bytes;
use confab_protocol::codec::encode_audit;
use confab_protocol::command::{
    About, Appeal, AuditEntry, AuditRecord, Case, CaseEvent, CaseFile, CaseFilter, CaseStep, Command, Evidence,
    Finding, ListAudit, ListCases, Reply, Report, UpdateCase,
};
use confab_protocol::model::{
    AuditId, CaseAct, CaseDecision, CaseId, CaseKind, CaseState, CaseText, Envelope, ReportReason, RoomId, SelfNote,
    Seq, UserId,
};
use confab_protocol::reject::Reject;

use crate::samples::{CASE, OTHER, ROOM, TIME, USER};

const RECORD: AuditId = AuditId::from_u128(0x019b_76da_a87b_7111_8222_3333_4444_5509);

fn text(text: &str) -> CaseText {
    CaseText::parse(text).expect("a text")
}

pub(crate) fn commands() -> Vec<(&'static str, Command)> {
    let (reason, why) = (ReportReason::SelfHarm, text("somebody\nmay need help"));
    let report = Report { room: ROOM, about: About::Message(Seq(69_000)), reason, text: why.clone() };
    let person = Report { about: About::Person(OTHER), reason: ReportReason::Spam, text: text(""), room: ROOM };
    let list = ListCases {
        room: Some(ROOM),
        state: CaseFilter::In(CaseState::Appealed),
        kind: Some(CaseKind::Report),
        mine: false,
        about: None,
        before: CASE,
        limit: 20,
    };
    let waiting = ListCases { room: None, state: CaseFilter::Waiting, kind: None, before: CaseId::NONE, ..list };
    let mine = ListCases { state: CaseFilter::Any, mine: true, limit: 100, ..waiting };
    let about = ListCases { room: Some(ROOM), about: Some(OTHER), mine: false, ..mine };
    let update = |step| Command::UpdateCase(UpdateCase { case: CASE, step });
    let audit = ListAudit {
        room: Some(ROOM),
        user: Some(OTHER),
        case: Some(CASE),
        plugin: Some("words".into()),
        before: RECORD,
        limit: 50,
    };
    let whole = ListAudit { room: None, user: None, case: None, plugin: None, before: AuditId::NONE, limit: 200 };
    vec![
        ("Request.report", Command::Report(report)),
        ("Request.report/person", Command::Report(person)),
        ("Request.cases", Command::ListCases(list)),
        ("Request.cases/waiting", Command::ListCases(waiting)),
        ("Request.cases/mine", Command::ListCases(mine)),
        ("Request.cases/about", Command::ListCases(about)),
        ("Request.case", Command::Case(CASE)),
        ("Request.updateCase", update(CaseStep::Take)),
        ("Request.updateCase/letGo", update(CaseStep::LetGo)),
        ("Request.updateCase/note", update(CaseStep::Note(why.clone()))),
        ("Request.updateCase/decide", update(CaseStep::Decide(CaseDecision::Remove, why.clone()))),
        ("Request.appeal", Command::Appeal(Appeal { case: CASE, text: why })),
        ("Request.audit", Command::ListAudit(audit)),
        ("Request.audit/whole", Command::ListAudit(whole)),
    ]
}

fn case() -> Case {
    Case {
        id: CASE,
        kind: CaseKind::Report,
        state: CaseState::Taken,
        decision: None,
        room: ROOM,
        subject: OTHER,
        seq: Some(Seq(69_000)),
        opened: TIME,
        changed: TIME.after(60_000),
        reports: 3,
        reason: Some(ReportReason::Hate),
        assignee: Some(USER),
        appealable: false,
    }
}

pub(crate) fn replies() -> Vec<(&'static str, Result<Reply, Reject>)> {
    let held = Case {
        kind: CaseKind::Held,
        state: CaseState::Decided,
        decision: Some(CaseDecision::Drop),
        seq: None,
        reports: 0,
        reason: None,
        assignee: None,
        appealable: true,
        ..case()
    };
    let event = |actor, act, decision, said| CaseEvent { time: TIME, actor, act, decision, text: text(said) };
    let events = vec![
        event(None, CaseAct::Open, None, "words: a rule"),
        event(Some(USER), CaseAct::Take, None, ""),
        event(Some(USER), CaseAct::Decide, Some(CaseDecision::Drop), "not here"),
    ];
    let entry = Envelope {
        seq: Seq(69_000),
        time: TIME,
        rev: 2,
        payload: Bytes::from_static(b"what was said"),
        rewritten: None,
    };
    let evidence = vec![Evidence { entry, subject: true }];
    let record = AuditEntry { id: RECORD, record: encode_audit(&records()[0].1), note: text("as a word") };
    vec![
        ("Reply.reported", Ok(Reply::Reported(CASE))),
        ("Reply.cases", Ok(Reply::Cases { cases: vec![case(), held], next: CASE })),
        ("Reply.cases/none", Ok(Reply::Cases { cases: vec![], next: CaseId::NONE })),
        ("Reply.case", Ok(Reply::Case(Box::new(CaseFile { case: held, events, evidence })))),
        ("Reply.audit", Ok(Reply::Audit { records: vec![record], next: RECORD })),
        ("Reply.audit/none", Ok(Reply::Audit { records: vec![], next: AuditId::NONE })),
    ]
}

pub(crate) fn records() -> Vec<(&'static str, AuditRecord)> {
    let finding = Finding {
        plugin: "words".into(),
        sha256: "ab".repeat(32),
        hook: "message".into(),
        verdict: "bounce".into(),
        enforced: true,
        rule: "a-rule".into(),
        label: "insult".into(),
        score: 90,
        span: Some(("skeleton".into(), 3, 9)),
        shown: "say it nicer".into(),
    };
    let done = AuditRecord {
        time: TIME,
        actor: USER,
        act: "delete".into(),
        room: ROOM,
        user: OTHER,
        seq: Some(Seq(69_000)),
        case: CASE,
        before: Bytes::from_static(&[7; 32]),
        after: Bytes::from_static(&[8; 32]),
        detail: "member -> moderator".into(),
        finding: None,
    };
    let found = AuditRecord {
        time: TIME,
        actor: UserId::NONE,
        act: "verdict".into(),
        room: RoomId::NONE,
        user: OTHER,
        finding: Some(finding),
        ..AuditRecord::default()
    };
    vec![("AuditRecord/done", done), ("AuditRecord/found", found)]
}

pub(crate) const NOTE: SelfNote = SelfNote::Case { case: CASE, room: ROOM, state: CaseState::Appealed };
