//! Strategies for reports, cases and the audit.

use confab_protocol::command::{
    About, Appeal, AuditEntry, AuditRecord, Case, CaseEvent, CaseFile, CaseFilter, CaseStep, Command, Evidence,
    Finding, ListAudit, ListCases, Reply, Report, UpdateCase,
};
use confab_protocol::limits::{PAGE_CASES_MAX, PAGE_ITEMS_MAX};
use confab_protocol::model::{
    AuditId, CaseAct, CaseDecision, CaseId, CaseKind, CaseState, CaseText, Envelope, Millis, ReportReason, Seq,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::generators::{case, envelopes, room_id, user};

fn numbered<T: Copy + std::fmt::Debug + 'static>(from: fn(u8) -> Option<T>) -> impl Strategy<Value = T> {
    select((0..=u8::MAX).filter_map(from).collect::<Vec<T>>())
}

fn text() -> impl Strategy<Value = CaseText> {
    "[a-z\u{e4}\u{4e16}\n\t ]{0,200}".prop_map(|text| CaseText::parse(&text).expect("within bounds"))
}

fn said() -> impl Strategy<Value = CaseText> {
    text().prop_filter("something is said", |text| !text.as_str().is_empty())
}

fn kind() -> impl Strategy<Value = CaseKind> {
    numbered(CaseKind::from_number)
}

fn state() -> impl Strategy<Value = CaseState> {
    numbered(CaseState::from_number)
}

fn decision() -> impl Strategy<Value = CaseDecision> {
    numbered(CaseDecision::from_number)
}

fn reason() -> impl Strategy<Value = ReportReason> {
    numbered(ReportReason::from_number)
}

fn seq() -> impl Strategy<Value = Seq> {
    (1..=u64::MAX).prop_map(Seq)
}

fn audit_id() -> impl Strategy<Value = AuditId> {
    any::<u128>().prop_map(AuditId::from_u128)
}

pub(crate) fn command() -> impl Strategy<Value = Command> {
    let about = prop_oneof![seq().prop_map(About::Message), user().prop_map(About::Person)];
    let filter = prop_oneof![Just(CaseFilter::Waiting), state().prop_map(CaseFilter::In), Just(CaseFilter::Any)];
    let step = prop_oneof![
        Just(CaseStep::Take),
        Just(CaseStep::LetGo),
        said().prop_map(CaseStep::Note),
        (decision(), text()).prop_map(|(decision, text)| CaseStep::Decide(decision, text)),
    ];
    let before = any::<u128>().prop_map(CaseId::from_u128);
    prop_oneof![
        (room_id(), about, reason(), text()).prop_map(|(room, about, reason, text)| Command::Report(Report {
            room,
            about,
            reason,
            text
        })),
        (
            option::of(room_id()),
            filter,
            option::of(kind()),
            any::<bool>(),
            option::of(user()),
            before,
            1..=PAGE_CASES_MAX
        )
            .prop_map(|(room, state, kind, mine, about, before, limit)| {
                Command::ListCases(ListCases { room, state, kind, mine, about, before, limit })
            }),
        case().prop_map(Command::Case),
        (case(), step).prop_map(|(case, step)| Command::UpdateCase(UpdateCase { case, step })),
        (case(), said()).prop_map(|(case, text)| Command::Appeal(Appeal { case, text })),
        (
            option::of(room_id()),
            option::of(user()),
            option::of(case()),
            option::of("[a-z]{1,64}"),
            audit_id(),
            1..=PAGE_ITEMS_MAX
        )
            .prop_map(|(room, user, case, plugin, before, limit)| {
                Command::ListAudit(ListAudit { room, user, case, plugin, before, limit })
            }),
    ]
}

fn shown() -> impl Strategy<Value = Case> {
    let what = (case(), kind(), state(), option::of(decision()), room_id(), user());
    let rest = (
        option::of(seq()),
        any::<u64>(),
        any::<u64>(),
        any::<u32>(),
        option::of(reason()),
        option::of(user()),
        any::<bool>(),
    );
    (what, rest).prop_map(|((id, kind, state, decision, room, subject), rest)| {
        let (seq, opened, changed, reports, reason, assignee, appealable) = rest;
        let (opened, changed) = (Millis(opened), Millis(changed));
        Case { id, kind, state, decision, room, subject, seq, opened, changed, reports, reason, assignee, appealable }
    })
}

pub(crate) fn reply() -> impl Strategy<Value = Reply> {
    let act = numbered(CaseAct::from_number);
    let event = (any::<u64>(), option::of(user()), act, option::of(decision()), text())
        .prop_map(|(time, actor, act, decision, text)| CaseEvent { time: Millis(time), actor, act, decision, text });
    let evidence = envelopes().prop_map(|entries| {
        let piece = |entry: Envelope| Evidence { entry: Envelope { rewritten: None, ..entry }, subject: true };
        entries.into_iter().take(11).map(piece).collect::<Vec<_>>()
    });
    let entry = (audit_id(), vec(any::<u8>(), 0..200), text()).prop_map(|(id, record, note)| AuditEntry {
        id,
        record: record.into(),
        note,
    });
    prop_oneof![
        case().prop_map(Reply::Reported),
        (vec(shown(), 0..=PAGE_CASES_MAX), any::<u128>())
            .prop_map(|(cases, next)| Reply::Cases { cases, next: CaseId::from_u128(next) }),
        (shown(), vec(event, 0..20), evidence).prop_map(|(case, events, evidence)| Reply::Case(Box::new(CaseFile {
            case,
            events,
            evidence
        }))),
        (vec(entry, 0..100), audit_id()).prop_map(|(records, next)| Reply::Audit { records, next }),
    ]
}

pub(crate) fn record() -> impl Strategy<Value = AuditRecord> {
    let name = || "\\PC{0,30}";
    let finding =
        (name(), name(), name(), any::<bool>(), 0..=100_u8, option::of(("[a-z]{1,8}", any::<u32>(), any::<u32>())))
            .prop_map(|(plugin, rule, shown, enforced, score, span)| Finding {
                plugin,
                sha256: "ab".repeat(32),
                hook: "message".into(),
                verdict: "hold".into(),
                enforced,
                label: rule.clone(),
                rule,
                score,
                span,
                shown,
            });
    (any::<u64>(), user(), name(), room_id(), option::of(seq()), option::of(finding)).prop_map(
        |(time, actor, act, room, seq, finding)| AuditRecord {
            time: Millis(time),
            actor,
            detail: act.clone(),
            act,
            room,
            user: actor,
            seq,
            case: CaseId::NONE,
            before: vec![1; 32].into(),
            after: bytes::Bytes::new(),
            finding,
        },
    )
}
