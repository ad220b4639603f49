//! Reports, cases, appeals and the audit: both ways.

use bytes::Bytes;

use super::read::{bounded, some, unsupported};
use super::reply::{read_envelope, write_envelope};
use super::request::count;
use super::values::{
    act_to, bad_name, decision_to, kind_to, malformed, optional_seq, read_act, read_decision, read_id, read_kind,
    read_reason, read_state, reason_to, server_text, state_to, utf8, write_id,
};
use super::{FrameError, encode, open};
use crate::chat_capnp as wire;
use crate::command::{
    About, Appeal, AuditEntry, AuditRecord, Case, CaseEvent, CaseFile, CaseFilter, CaseStep, Command, Evidence,
    Finding, ListAudit, ListCases, Reply, Report, UpdateCase,
};
use crate::limits::{PAGE_CASES_MAX, PAGE_ITEMS_MAX, PLUGIN_NAME_BYTES_MAX};
use crate::model::{AuditId, CaseAct, CaseId, Millis, UserId};
use crate::reject::Reject;
use crate::text::CaseText;

pub(super) fn read(which: wire::request::WhichReader<'_>) -> Result<Command, Reject> {
    use wire::request::Which;
    Ok(match which {
        Which::Report(report) => Command::Report(read_report(some(report)?)?),
        Which::Cases(list) => Command::ListCases(read_list(some(list)?)?),
        Which::Case(case) => Command::Case(read_id(some(case)?)),
        Which::UpdateCase(update) => Command::UpdateCase(read_update(some(update)?)?),
        Which::Appeal(appeal) => {
            let appeal = some(appeal)?;
            let (case, text) = (read_id(some(appeal.get_case())?), case_text(appeal.get_text())?);
            if text.as_str().is_empty() {
                return Err(malformed());
            }
            Command::Appeal(Appeal { case, text })
        }
        Which::Audit(list) => Command::ListAudit(read_audit_list(some(list)?)?),
        _ => return Err(unsupported()),
    })
}

fn read_report(report: wire::report::Reader<'_>) -> Result<Report, Reject> {
    let (seq, user): (_, UserId) = (optional_seq(report.get_seq()), read_id(some(report.get_user())?));
    Ok(Report {
        room: read_id(some(report.get_room())?),
        about: match seq {
            Some(seq) => About::Message(seq),
            None if user.is_none() => return Err(malformed()),
            None => About::Person(user),
        },
        reason: read_reason(report.get_reason()).ok_or_else(malformed)?,
        text: case_text(report.get_text())?,
    })
}

fn read_list(list: wire::list_cases::Reader<'_>) -> Result<ListCases, Reject> {
    let state = match (list.get_any(), list.get_state()) {
        (true, _) => CaseFilter::Any,
        (false, Ok(wire::CaseState::Unspecified)) => CaseFilter::Waiting,
        (false, state) => CaseFilter::In(read_state(state).ok_or_else(malformed)?),
    };
    let kind = match list.get_kind() {
        Ok(wire::CaseKind::Unspecified) => None,
        kind => Some(read_kind(kind).ok_or_else(malformed)?),
    };
    Ok(ListCases {
        room: named(read_id(some(list.get_room())?)),
        state,
        kind,
        mine: list.get_mine(),
        about: named(read_id(some(list.get_about())?)),
        before: read_id(some(list.get_before())?),
        limit: match usize::from(list.get_limit()) {
            0 => PAGE_CASES_MAX,
            limit => limit.min(PAGE_CASES_MAX),
        },
    })
}

fn read_update(update: wire::update_case::Reader<'_>) -> Result<UpdateCase, Reject> {
    let text = case_text(update.get_text())?;
    let step = match read_act(update.get_act()) {
        Some(CaseAct::Take) => CaseStep::Take,
        Some(CaseAct::LetGo) => CaseStep::LetGo,
        Some(CaseAct::Note) if !text.as_str().is_empty() => CaseStep::Note(text),
        Some(CaseAct::Decide) => CaseStep::Decide(read_decision(update.get_decision()).ok_or_else(malformed)?, text),
        _ => return Err(malformed()),
    };
    Ok(UpdateCase { case: read_id(some(update.get_case())?), step })
}

fn read_audit_list(list: wire::list_audit::Reader<'_>) -> Result<ListAudit, Reject> {
    let plugin = utf8(list.get_plugin())?;
    bounded(plugin.len(), PLUGIN_NAME_BYTES_MAX)?;
    Ok(ListAudit {
        room: named(read_id(some(list.get_room())?)),
        user: named(read_id(some(list.get_user())?)),
        case: named(read_id(some(list.get_case())?)),
        plugin: (!plugin.is_empty()).then(|| plugin.to_owned()),
        before: read_id(some(list.get_before())?),
        limit: match usize::from(list.get_limit()) {
            0 => PAGE_ITEMS_MAX,
            limit => limit.min(PAGE_ITEMS_MAX),
        },
    })
}

/// An id that means none is none.
fn named<T: super::values::Id>(id: T) -> Option<T> {
    (id.halves() != (0, 0)).then_some(id)
}

fn case_text(text: capnp::Result<capnp::text::Reader<'_>>) -> Result<CaseText, Reject> {
    CaseText::parse(utf8(text)?).map_err(bad_name("text"))
}

pub(super) fn write(out: wire::request::Builder<'_>, command: &Command) {
    match command {
        Command::Report(report) => {
            let mut out = out.init_report();
            write_id(out.reborrow().init_room(), report.room);
            match report.about {
                About::Message(seq) => out.set_seq(seq.0),
                About::Person(user) => write_id(out.reborrow().init_user(), user),
            }
            out.set_reason(reason_to(report.reason));
            out.set_text(report.text.as_str());
        }
        Command::ListCases(list) => write_list(out.init_cases(), list),
        Command::Case(case) => write_id(out.init_case(), *case),
        Command::UpdateCase(update) => {
            let mut out = out.init_update_case();
            write_id(out.reborrow().init_case(), update.case);
            let (act, text) = match &update.step {
                CaseStep::Take => (CaseAct::Take, None),
                CaseStep::LetGo => (CaseAct::LetGo, None),
                CaseStep::Note(text) => (CaseAct::Note, Some(text)),
                CaseStep::Decide(decision, text) => {
                    out.set_decision(decision_to(*decision));
                    (CaseAct::Decide, Some(text))
                }
            };
            out.set_act(act_to(act));
            out.set_text(text.map_or("", CaseText::as_str));
        }
        Command::Appeal(appeal) => {
            let mut out = out.init_appeal();
            write_id(out.reborrow().init_case(), appeal.case);
            out.set_text(appeal.text.as_str());
        }
        Command::ListAudit(list) => {
            let mut out = out.init_audit();
            write_id(out.reborrow().init_room(), list.room.unwrap_or_default());
            write_id(out.reborrow().init_user(), list.user.unwrap_or_default());
            write_id(out.reborrow().init_case(), list.case.unwrap_or_default());
            out.set_plugin(list.plugin.as_deref().unwrap_or_default());
            write_id(out.reborrow().init_before(), list.before);
            out.set_limit(u16::try_from(list.limit).unwrap_or(0));
        }
        _ => {}
    }
}

fn write_list(mut out: wire::list_cases::Builder<'_>, list: &ListCases) {
    write_id(out.reborrow().init_room(), list.room.unwrap_or_default());
    match list.state {
        CaseFilter::Waiting => {}
        CaseFilter::In(state) => out.set_state(state_to(state)),
        CaseFilter::Any => out.set_any(true),
    }
    if let Some(kind) = list.kind {
        out.set_kind(kind_to(kind));
    }
    out.set_mine(list.mine);
    write_id(out.reborrow().init_before(), list.before);
    out.set_limit(u16::try_from(list.limit).unwrap_or(0));
    write_id(out.init_about(), list.about.unwrap_or_default());
}

pub(super) fn write_reply(out: wire::reply::Builder<'_>, reply: &Reply) {
    match reply {
        Reply::Reported(case) => write_id(out.init_reported(), *case),
        Reply::Cases { cases, next } => write_cases(out.init_cases(), cases, *next),
        Reply::Case(file) => write_file(out.init_case(), file),
        Reply::Audit { records, next } => write_audit(out.init_audit(), records, *next),
        _ => {}
    }
}

fn write_cases(mut out: wire::cases::Builder<'_>, cases: &[Case], next: CaseId) {
    write_id(out.reborrow().init_next(), next);
    let mut list = out.init_cases(count(cases.len()));
    for (index, case) in (0..).zip(cases) {
        write_case(list.reborrow().get(index), case);
    }
}

pub(super) fn read_cases(cases: wire::cases::Reader<'_>) -> Result<Reply, FrameError> {
    let list = cases.get_cases()?.iter().filter_map(|case| read_case(case).transpose()).collect::<Result<_, _>>()?;
    Ok(Reply::Cases { cases: list, next: read_id(cases.get_next()?) })
}

fn write_case(mut out: wire::case::Builder<'_>, case: &Case) {
    write_id(out.reborrow().init_id(), case.id);
    out.set_kind(kind_to(case.kind));
    out.set_state(state_to(case.state));
    if let Some(decision) = case.decision {
        out.set_decision(decision_to(decision));
    }
    write_id(out.reborrow().init_room(), case.room);
    write_id(out.reborrow().init_subject(), case.subject);
    out.set_seq(case.seq.map_or(0, |seq| seq.0));
    out.set_opened_ms(case.opened.0);
    out.set_changed_ms(case.changed.0);
    out.set_reports(case.reports);
    if let Some(reason) = case.reason {
        out.set_reason(reason_to(reason));
    }
    if let Some(assignee) = case.assignee {
        write_id(out.reborrow().init_assignee(), assignee);
    }
    out.set_appealable(case.appealable);
}

/// `None`: of a kind or in a state that this version does not know.
fn read_case(case: wire::case::Reader<'_>) -> Result<Option<Case>, FrameError> {
    let (Some(kind), Some(state)) = (read_kind(case.get_kind()), read_state(case.get_state())) else {
        return Ok(None);
    };
    Ok(Some(Case {
        id: read_id(case.get_id()?),
        kind,
        state,
        decision: read_decision(case.get_decision()),
        room: read_id(case.get_room()?),
        subject: read_id(case.get_subject()?),
        seq: optional_seq(case.get_seq()),
        opened: Millis(case.get_opened_ms()),
        changed: Millis(case.get_changed_ms()),
        reports: case.get_reports(),
        reason: read_reason(case.get_reason()),
        assignee: named(read_id(case.get_assignee()?)),
        appealable: case.get_appealable(),
    }))
}

fn write_file(mut out: wire::case_file::Builder<'_>, file: &CaseFile) {
    write_case(out.reborrow().init_case(), &file.case);
    let mut events = out.reborrow().init_events(count(file.events.len()));
    for (index, event) in (0..).zip(&file.events) {
        let mut out = events.reborrow().get(index);
        out.set_time_ms(event.time.0);
        write_id(out.reborrow().init_actor(), event.actor.unwrap_or_default());
        out.set_act(act_to(event.act));
        if let Some(decision) = event.decision {
            out.set_decision(decision_to(decision));
        }
        out.set_text(event.text.as_str());
    }
    let mut evidence = out.init_evidence(count(file.evidence.len()));
    for (index, piece) in (0..).zip(&file.evidence) {
        let mut out = evidence.reborrow().get(index);
        out.set_subject(piece.subject);
        write_envelope(out.init_entry(), &piece.entry);
    }
}

pub(super) fn read_file(frame: &Bytes, file: wire::case_file::Reader<'_>) -> Result<Reply, FrameError> {
    let event = |event: wire::case_event::Reader<'_>| -> Result<Option<CaseEvent>, FrameError> {
        let Some(act) = read_act(event.get_act()) else { return Ok(None) };
        Ok(Some(CaseEvent {
            time: Millis(event.get_time_ms()),
            actor: named(read_id(event.get_actor()?)),
            act,
            decision: read_decision(event.get_decision()),
            text: CaseText::parse(&server_text(event.get_text())?).map_err(|_| FrameError::Invalid)?,
        }))
    };
    let piece = |piece: wire::evidence::Reader<'_>| {
        let entry = read_envelope(frame, piece.get_entry()?, None)?;
        Ok(Evidence { entry, subject: piece.get_subject() })
    };
    Ok(match read_case(file.get_case()?)? {
        None => Reply::Unknown,
        Some(case) => Reply::Case(Box::new(CaseFile {
            case,
            events: file.get_events()?.iter().filter_map(|it| event(it).transpose()).collect::<Result<_, _>>()?,
            evidence: file.get_evidence()?.iter().map(piece).collect::<Result<_, FrameError>>()?,
        })),
    })
}

fn write_audit(mut out: wire::audit::Builder<'_>, records: &[AuditEntry], next: AuditId) {
    write_id(out.reborrow().init_next(), next);
    let mut list = out.init_records(count(records.len()));
    for (index, entry) in (0..).zip(records) {
        let mut out = list.reborrow().get(index);
        write_id(out.reborrow().init_id(), entry.id);
        out.set_record(&entry.record);
        if !entry.note.as_str().is_empty() {
            out.set_note(entry.note.as_str());
        }
    }
}

pub(super) fn read_audit(frame: &Bytes, audit: wire::audit::Reader<'_>) -> Result<Reply, FrameError> {
    let entry = |entry: wire::audit_entry::Reader<'_>| {
        let record = entry.get_record()?;
        let record = if record.is_empty() { Bytes::new() } else { frame.slice_ref(record) };
        let note = CaseText::parse(&server_text(entry.get_note())?).map_err(|_| FrameError::Invalid)?;
        Ok(AuditEntry { id: read_id(entry.get_id()?), record, note })
    };
    let records = audit.get_records()?.iter().map(entry).collect::<Result<_, FrameError>>()?;
    Ok(Reply::Audit { records, next: read_id(audit.get_next()?) })
}

/// The bytes of a record: made once, then stored and sent as they are.
#[must_use]
pub fn encode_audit(record: &AuditRecord) -> Bytes {
    encode(|message| {
        let mut out = message.init_root::<wire::audit_record::Builder<'_>>();
        out.set_time_ms(record.time.0);
        write_id(out.reborrow().init_actor(), record.actor);
        out.set_act(record.act.as_str());
        write_id(out.reborrow().init_room(), record.room);
        write_id(out.reborrow().init_user(), record.user);
        out.set_seq(record.seq.map_or(0, |seq| seq.0));
        write_id(out.reborrow().init_case(), record.case);
        out.set_before(&record.before);
        out.set_after(&record.after);
        out.set_detail(record.detail.as_str());
        let Some(finding) = &record.finding else { return };
        let mut out = out.init_finding();
        out.set_plugin(finding.plugin.as_str());
        out.set_sha256(finding.sha256.as_str());
        out.set_hook(finding.hook.as_str());
        out.set_verdict(finding.verdict.as_str());
        out.set_enforced(finding.enforced);
        out.set_rule(finding.rule.as_str());
        out.set_label(finding.label.as_str());
        out.set_score(finding.score);
        if let Some((form, from, to)) = &finding.span {
            out.set_form(form.as_str());
            out.set_from(*from);
            out.set_to(*to);
        }
        out.set_shown(finding.shown.as_str());
    })
}

/// Reads a record.
///
/// # Errors
/// Bytes that are none.
pub fn decode_audit(record: &[u8]) -> Result<AuditRecord, FrameError> {
    let message = open(record)?;
    let root = message.get_root::<wire::audit_record::Reader<'_>>()?;
    let finding = |finding: wire::finding::Reader<'_>| -> Result<Finding, FrameError> {
        let form = server_text(finding.get_form())?;
        Ok(Finding {
            plugin: server_text(finding.get_plugin())?,
            sha256: server_text(finding.get_sha256())?,
            hook: server_text(finding.get_hook())?,
            verdict: server_text(finding.get_verdict())?,
            enforced: finding.get_enforced(),
            rule: server_text(finding.get_rule())?,
            label: server_text(finding.get_label())?,
            score: finding.get_score(),
            span: (!form.is_empty()).then(|| (form, finding.get_from(), finding.get_to())),
            shown: server_text(finding.get_shown())?,
        })
    };
    Ok(AuditRecord {
        time: Millis(root.get_time_ms()),
        actor: read_id(root.get_actor()?),
        act: server_text(root.get_act())?,
        room: read_id(root.get_room()?),
        user: read_id(root.get_user()?),
        seq: optional_seq(root.get_seq()),
        case: read_id(root.get_case()?),
        before: Bytes::copy_from_slice(root.get_before()?),
        after: Bytes::copy_from_slice(root.get_after()?),
        detail: server_text(root.get_detail())?,
        finding: if root.has_finding() { Some(finding(root.get_finding()?)?) } else { None },
    })
}
