//! Cases, what was said that they are about, and the audit.

use confab_protocol::codec::encode_audit;
use confab_protocol::command::{AuditEntry, CaseEvent, ListAudit};
use confab_protocol::limits::{CASE_EVENTS_BYTES_MAX, EVIDENCE_BYTES_MAX, PAGE_BYTES_MAX};
use confab_protocol::model::{
    CaseAct, CaseDecision, CaseId, CaseKind, CaseState, CaseText, Envelope, Millis, ReportReason, RoomId, Seq, UserId,
};
use confab_protocol::reject::RejectCode;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use super::evidence;
use super::rooms::bound;
use super::rows::{Sql, get};
use crate::core::append::{ItemKey, Left, OpenCase, TargetKey};
use crate::core::cases::{
    Agenda, CONTEXT, CaseChange, CaseRecord, CaseRow, CasesWanted, EVENTS_MAX, HeldText, NewCase, NewRecord, NewReport,
    REPEATED_MAX, Reported, Whose, nearest, newest, report_text,
};
use crate::core::context::ENTRIES_MAX;
use crate::core::seal::{Place as SealedAt, Vault};
use crate::core::store::{Error, Result};

macro_rules! case_columns {
    () => {
        "c.id, c.room, c.kind, c.state, c.subject, c.seq, c.reason, c.reports, c.assignee, c.decision, c.decider,
         c.decided_ms, c.appeal_decision, c.due, c.opened_ms, c.changed_ms, c.reminded_ms"
    };
}

/// Of a member or a user: that neither a mute nor a ban holds. Who is shadowed is not to know.
macro_rules! is_active {
    ($of:literal, $now:literal) => {
        concat!("(", $of, ".restriction IN (0, 3) OR ", $of, ".until_ms > 0 AND ", $of, ".until_ms <= ", $now, ")")
    };
}

fn case_row(row: &Row<'_>) -> rusqlite::Result<CaseRow> {
    let optional = |column: usize| row.get::<_, Option<Sql<UserId>>>(column).map(|sql| sql.map(|sql| sql.0));
    let seq: Option<Sql<Seq>> = row.get(5)?;
    Ok(CaseRow {
        id: get(row, 0)?,
        room: get(row, 1)?,
        kind: get(row, 2)?,
        state: get(row, 3)?,
        subject: get(row, 4)?,
        seq: seq.map(|sql| sql.0),
        reason: ReportReason::from_number(row.get(6)?),
        reports: row.get(7)?,
        assignee: optional(8)?,
        decision: CaseDecision::from_number(row.get(9)?),
        decider: optional(10)?,
        decided: get(row, 11)?,
        second: CaseDecision::from_number(row.get(12)?),
        due: row.get(13)?,
        opened: get(row, 14)?,
        changed: get(row, 15)?,
        reminded: get(row, 16)?,
    })
}

/// Of every column but the id, which stays.
fn write_case(connection: &Connection, sql: &str, row: &CaseRow) -> Result<()> {
    connection.prepare_cached(sql)?.execute(params![
        Sql(row.id),
        Sql(row.room),
        Sql(row.kind),
        Sql(row.state),
        Sql(row.subject),
        row.seq.map(Sql),
        row.reason.map_or(0, ReportReason::number),
        row.reports,
        row.assignee.map(Sql),
        row.decision.map_or(0, CaseDecision::number),
        row.decider.map(Sql),
        Sql(row.decided),
        row.second.map_or(0, CaseDecision::number),
        row.due,
        Sql(row.opened),
        Sql(row.changed),
        Sql(row.reminded),
    ])?;
    Ok(())
}

const INSERT_CASE: &str =
    "INSERT INTO cases (id, room, kind, state, subject, seq, reason, reports, assignee, decision, decider,
         decided_ms, appeal_decision, due, opened_ms, changed_ms, reminded_ms)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
const UPDATE_CASE: &str = "UPDATE cases SET room = ?2, kind = ?3, state = ?4, subject = ?5, seq = ?6, reason = ?7, reports = ?8,
         assignee = ?9, decision = ?10, decider = ?11, decided_ms = ?12, appeal_decision = ?13, due = ?14, opened_ms = ?15,
         changed_ms = ?16, reminded_ms = ?17
     WHERE id = ?1";

fn add_event(connection: &Connection, case: CaseId, event: &CaseEvent) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO case_events (case_id, n, time_ms, actor, act, decision, text)
             SELECT ?1, coalesce(max(n), 0) + 1, ?2, ?3, ?4, ?5, ?6 FROM case_events WHERE case_id = ?1",
        )?
        .execute(params![
            Sql(case),
            Sql(event.time),
            event.actor.map(Sql),
            Sql(event.act),
            event.decision.map_or(0, CaseDecision::number),
            event.text.as_str(),
        ])?;
    Ok(())
}

pub(super) fn open_case(connection: &Connection, new: &NewCase) -> Result<()> {
    write_case(connection, INSERT_CASE, &new.row)?;
    let NewCase { row, actor, text } = new;
    let (time, actor, act, text) = (row.opened, *actor, CaseAct::Open, text.clone());
    add_event(connection, row.id, &CaseEvent { time, actor, act, decision: row.decision, text })
}

pub(super) fn add_record(connection: &Connection, new: &NewRecord) -> Result<()> {
    let NewRecord { id, record, note } = new;
    fn named<T: PartialEq>(id: T, none: T) -> Option<Sql<T>> {
        (id != none).then_some(Sql(id))
    }
    connection
        .prepare_cached(
            "INSERT INTO audit (id, time_ms, actor, place, whom, case_id, plugin, record) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            Sql(*id),
            Sql(record.time),
            named(record.actor, UserId::NONE),
            named(record.room, RoomId::NONE),
            named(record.user, UserId::NONE),
            named(record.case, CaseId::NONE),
            record.finding.as_ref().map(|finding| finding.plugin.as_str()),
            &encode_audit(record)[..],
        ])?;
    let Some((author, note)) = note else { return Ok(()) };
    connection
        .prepare_cached("INSERT INTO finding_notes (audit_id, author, note, kept_ms) VALUES (?, ?, ?, ?)")?
        .execute(params![Sql(*id), Sql(*author), note.as_str(), Sql(record.time)])?;
    Ok(())
}

pub(super) fn audit(connection: &Connection, records: Vec<NewRecord>) -> Result<()> {
    records.iter().try_for_each(|record| add_record(connection, record))
}

/// What an entry leaves beside it, or what is left of one that is refused.
pub(super) fn write_beside(connection: &Connection, left: &Left) -> Result<()> {
    left.audit.iter().try_for_each(|new| add_record(connection, new))?;
    if let Some(opens) = &left.opens {
        open_case(connection, opens)?;
        match opens.row.seq.filter(|_| left.keeps) {
            Some(seq) if opens.row.kind == CaseKind::Sanction => keep_said(connection, &opens.row, seq)?,
            Some(seq) => keep_evidence(connection, &opens.row, seq)?,
            None => {}
        }
    }
    if let Some((case, told)) = &left.joins {
        add_event(connection, *case, told)?;
    }
    Ok(())
}

/// A report or a flag about a message that nobody decided about yet.
pub(super) fn open_about(connection: &Connection, (room, seq): TargetKey) -> Result<Option<OpenCase>> {
    let mut statement = connection.prepare_cached(
        "SELECT c.id, (SELECT count(*) FROM case_events e WHERE e.case_id = c.id AND e.actor IS NULL AND e.act = 5)
         FROM cases c WHERE c.room = ? AND c.seq = ? AND c.state IN (1, 2) AND c.kind IN (2, 3) ORDER BY c.id LIMIT 1",
    )?;
    let open = |row: &Row<'_>| Ok(OpenCase { id: get(row, 0)?, joined: row.get(1)? });
    Ok(statement.query_row(params![Sql(room), Sql(seq)], open).optional()?)
}

/// What was held is posted, and its case is about that message from now on.
pub(super) fn release(connection: &Connection, (room, author, client_id): ItemKey, about: Seq) -> Result<()> {
    connection
        .prepare_cached(
            "UPDATE cases SET seq = ?4 WHERE id =
                 (SELECT case_id FROM unappended WHERE client_id = ?1 AND author = ?2 AND room = ?3)",
        )?
        .execute(params![Sql(client_id), Sql(author), Sql(room), Sql(about)])?;
    connection
        .prepare_cached("DELETE FROM unappended WHERE client_id = ? AND author = ? AND room = ?")?
        .execute(params![Sql(client_id), Sql(author), Sql(room)])?;
    Ok(())
}

/// Whether the message that a case is about is one (still), where there is one.
fn is_there(connection: &Connection, row: &CaseRow) -> Result<bool> {
    let Some(seq) = row.seq else { return Ok(true) };
    let mut statement =
        connection.prepare_cached("SELECT 1 FROM entries WHERE room = ? AND seq = ? AND kind IN (1, 65)")?;
    Ok(statement.exists(params![Sql(row.room), Sql(seq)])?)
}

/// Messages around what a case is about, as they are stored.
pub(super) fn keep_evidence(connection: &Connection, row: &CaseRow, about: Seq) -> Result<()> {
    // What others do not see is nobody's context. By one list of places: an OR reads the whole room.
    connection
        .prepare_cached(
            "INSERT INTO evidence (case_id, seq, room, rev, time_ms, author, payload, kept_ms)
             SELECT ?1, seq, room, rev, time_ms, author, payload, ?4 FROM entries
             WHERE room = ?2 AND seq IN (
                 SELECT ?3
                 UNION ALL SELECT seq FROM (SELECT seq FROM entries WHERE room = ?2 AND seq < ?3 AND kind = 1
                     ORDER BY seq DESC LIMIT ?5)
                 UNION ALL SELECT seq FROM (SELECT seq FROM entries WHERE room = ?2 AND seq > ?3 AND kind = 1
                     ORDER BY seq LIMIT ?5))",
        )?
        .execute(params![Sql(row.id), Sql(row.room), Sql(about), Sql(row.opened), CONTEXT.cast_signed()])?;
    Ok(())
}

/// What stands around a text that is held: around the message that it is for, or before a message of its own.
pub(super) fn keep_around_held(connection: &Connection, row: &CaseRow, edited: Option<Seq>) -> Result<()> {
    /// Behind all that is said.
    const END: Seq = Seq(i64::MAX.unsigned_abs());
    keep_evidence(connection, row, edited.unwrap_or(END))
}

/// What whom a case is about said last before an entry, heard or not; as they are stored, and in bounded time. For the
/// plus see [`super::context`].
fn keep_said(connection: &Connection, row: &CaseRow, before: Seq) -> Result<()> {
    let (said, looked) = (CONTEXT.cast_signed(), bound(ENTRIES_MAX));
    connection
        .prepare_cached(
            "INSERT INTO evidence (case_id, seq, room, rev, time_ms, author, payload, kept_ms)
             SELECT ?1, seq, room, rev, time_ms, author, payload, ?4 FROM entries
             WHERE room = ?2 AND seq IN (
                 SELECT seq FROM (
                     SELECT seq, author, kind FROM entries WHERE room = ?2 AND seq < ?3 ORDER BY seq DESC LIMIT ?7)
                 WHERE +author = ?5 AND kind IN (1, 65) ORDER BY seq DESC LIMIT ?6)",
        )?
        .execute(params![Sql(row.id), Sql(row.room), Sql(before), Sql(row.opened), Sql(row.subject), said, looked])?;
    Ok(())
}

pub(super) fn report(connection: &Connection, report: NewReport) -> Result<Option<Reported>> {
    let NewReport { case, reporter, text, mut records } = report;
    let found = connection
        .prepare_cached(concat!(
            "SELECT ",
            case_columns!(),
            " FROM cases c WHERE room = ? AND subject = ? AND seq IS ? AND kind = 2 AND state IN (1, 2)"
        ))?
        .query_row(params![Sql(case.room), Sql(case.subject), case.seq.map(Sql)], case_row)
        .optional()?;
    let Some(mut row) = found else {
        if !is_there(connection, &case)? {
            return Ok(None);
        }
        open_case(connection, &NewCase { row: case, actor: Some(reporter), text })?;
        if let Some(seq) = case.seq {
            keep_evidence(connection, &case, seq)?;
        }
        records.iter_mut().for_each(|new| new.record.case = case.id);
        audit(connection, records)?;
        return Ok(Some(Reported { row: case, is_new: true, is_known: false }));
    };
    let is_known = has_reported(connection, row.id, reporter)?;
    if let Some(seq) = row.seq {
        let below = if is_known { REPEATED_MAX } else { usize::MAX };
        evidence::keep_again(connection, row.id, (row.room, seq), case.opened, below)?;
    }
    if is_known {
        return Ok(Some(Reported { row, is_new: false, is_known: true }));
    }
    row.reports += 1;
    write_case(connection, UPDATE_CASE, &row)?;
    let (time, actor, act) = (case.opened, Some(reporter), CaseAct::Report);
    let text = if row.reports <= EVENTS_MAX { report_text(case.reason, &text) } else { CaseText::default() };
    add_event(connection, row.id, &CaseEvent { time, actor, act, decision: None, text })?;
    records.iter_mut().for_each(|new| new.record.case = row.id);
    audit(connection, records)?;
    Ok(Some(Reported { row, is_new: false, is_known: false }))
}

pub(super) fn has_reported(connection: &Connection, case: CaseId, user: UserId) -> Result<bool> {
    let mut statement = connection.prepare_cached(
        "SELECT 1 FROM case_events e JOIN cases c ON c.id = e.case_id
         WHERE e.case_id = ? AND e.actor = ? AND e.act IN (1, 2) AND c.kind = 2",
    )?;
    Ok(statement.exists(params![Sql(case), Sql(user)])?)
}

pub(super) fn reporters(connection: &Connection, case: CaseId, limit: usize) -> Result<Vec<(UserId, RoomId)>> {
    let mut statement = connection.prepare_cached(
        "SELECT u.id, u.self_room FROM case_events e JOIN cases c ON c.id = e.case_id JOIN users u ON u.id = e.actor
         WHERE e.case_id = ? AND e.act IN (1, 2) AND c.kind = 2 GROUP BY u.id ORDER BY min(e.n) LIMIT ?",
    )?;
    let rows = statement.query_map(params![Sql(case), bound(limit)], |row| Ok((get(row, 0)?, get(row, 1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn find_case(connection: &Connection, case: CaseId) -> Result<Option<CaseRow>> {
    let sql = concat!("SELECT ", case_columns!(), " FROM cases c WHERE id = ?");
    Ok(connection.prepare_cached(sql)?.query_row([Sql(case)], case_row).optional()?)
}

pub(super) fn change_case(
    connection: &Connection,
    change: CaseChange,
) -> Result<Option<std::result::Result<CaseRow, RejectCode>>> {
    let Some(mut row) = find_case(connection, change.case)? else { return Ok(None) };
    let advanced = match change.apply(&mut row) {
        Ok(advanced) => advanced,
        Err(code) => return Ok(Some(Err(code))),
    };
    write_case(connection, UPDATE_CASE, &row)?;
    if let Some(event) = &advanced.event {
        add_event(connection, row.id, event)?;
    }
    if let Some(record) = &advanced.record {
        add_record(connection, record)?;
    }
    Ok(Some(Ok(row)))
}

pub(super) fn list_cases(connection: &Connection, wanted: CasesWanted) -> Result<Vec<CaseRow>> {
    let CasesWanted { whose, room, states, kind, about, not_about, now, before, limit } = wanted;
    // An empty list is no condition that an index could be used for.
    if states.is_empty() {
        return Ok(Vec::new());
    }
    let mut sql = concat!("SELECT ", case_columns!(), " FROM cases c").to_owned();
    let is_waiting = |state| matches!(state, CaseState::Open | CaseState::Taken | CaseState::Appealed);
    if whose == Whose::Everybody && room.is_none() && about.is_none() && states.iter().copied().all(is_waiting) {
        // Of few that wait among many that are over, which the planner cannot know.
        sql += " INDEXED BY cases_waiting_id WHERE c.state IN (1, 2, 4)";
    } else {
        sql += " WHERE 1";
    }
    let mut values: Vec<Value> = Vec::new();
    match whose {
        Whose::Everybody => {}
        Whose::ModeratedBy(user) => {
            // Who is muted in a room decides nothing there.
            sql += concat!(
                " AND c.room IN (SELECT m.room FROM members m JOIN rooms r ON r.id = m.room
                         WHERE m.user = ? AND m.leave_seq IS NULL AND m.role <= 3 AND r.kind IN (1, 4) AND ",
                is_active!("m", "?"),
                ")"
            );
            values.extend([Value::from(user.to_bytes().to_vec()), i64::try_from(now.0).unwrap_or(i64::MAX).into()]);
        }
        Whose::Of(user) => {
            sql += " AND (c.subject = ? AND (c.kind IN (1, 4) OR c.decision = 4)
                         OR c.kind = 2 AND c.id IN (SELECT case_id FROM case_events WHERE actor = ? AND act IN (1, 2)))";
            values.extend([Value::from(user.to_bytes().to_vec()), user.to_bytes().to_vec().into()]);
        }
    }
    if let Some(room) = room {
        sql += " AND c.room = ?";
        values.push(room.to_bytes().to_vec().into());
    }
    if let Some(kind) = kind {
        sql += " AND c.kind = ?";
        values.push(i64::from(kind.number()).into());
    }
    if let Some(subject) = about {
        sql += " AND c.subject = ?";
        values.push(subject.to_bytes().to_vec().into());
    }
    if let Some(subject) = not_about {
        sql += " AND c.subject <> ?";
        values.push(subject.to_bytes().to_vec().into());
    }
    sql += " AND c.state IN (";
    for (index, state) in states.iter().enumerate() {
        sql += if index == 0 { "?" } else { ", ?" };
        values.push(i64::from(state.number()).into());
    }
    sql += ")";
    if !before.is_none() {
        sql += " AND c.id < ?";
        values.push(before.to_bytes().to_vec().into());
    }
    sql += " ORDER BY c.id DESC LIMIT ?";
    values.push(bound(limit).into());
    let mut statement = connection.prepare_cached(&sql)?;
    Ok(statement.query_map(params_from_iter(values), case_row)?.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn case(connection: &Connection, vault: &Vault, id: CaseId) -> Result<Option<CaseRecord>> {
    // Of one moment.
    let moment = connection.unchecked_transaction()?;
    let Some(row) = find_case(&moment, id)? else { return Ok(None) };
    let mut statement = moment.prepare_cached(
        "SELECT time_ms, actor, act, decision, text FROM case_events WHERE case_id = ? ORDER BY n DESC LIMIT ?",
    )?;
    let event = |row: &Row<'_>| {
        let actor: Option<Sql<UserId>> = row.get(1)?;
        let (time, act, decision) = (get(row, 0)?, get(row, 2)?, CaseDecision::from_number(row.get(3)?));
        let text = CaseText::parse(row.get_ref(4)?.as_str().unwrap_or_default()).unwrap_or_default();
        Ok(CaseEvent { time, actor: actor.map(|sql| sql.0), act, decision, text })
    };
    let events = statement
        .query_map(params![Sql(id), i64::from(EVENTS_MAX)], event)?
        .collect::<rusqlite::Result<Vec<CaseEvent>>>()?;
    let events = newest(events, CASE_EVENTS_BYTES_MAX);
    let mut evidence = Vec::new();
    if let Some(held) = find_held(&moment, vault, id)? {
        let (seq, time, rev) = (Seq(0), row.opened, 0);
        evidence.push(Envelope { seq, time, rev, payload: held.payload, rewritten: None });
    }
    let mut statement =
        moment.prepare_cached("SELECT seq, time_ms, rev, payload FROM evidence WHERE case_id = ? ORDER BY seq, rev")?;
    let mut rows = statement.query([Sql(id)])?;
    while let Some(stored) = rows.next()? {
        let (seq, time, rev): (Seq, Millis, u32) = (get(stored, 0)?, get(stored, 1)?, stored.get(2)?);
        let payload = vault.open(SealedAt::Entry(row.room, seq, rev), stored.get::<_, Vec<u8>>(3)?.into())?;
        evidence.push(Envelope { seq, time, rev, payload, rewritten: None });
    }
    Ok(Some(CaseRecord { row, events, evidence: nearest(evidence, row.seq, EVIDENCE_BYTES_MAX) }))
}

pub(super) fn find_held(connection: &Connection, vault: &Vault, case: CaseId) -> Result<Option<HeldText>> {
    let mut statement = connection
        .prepare_cached("SELECT room, author, client_id, digest, payload FROM unappended WHERE case_id = ?")?;
    let held = |row: &Row<'_>| {
        let (digest, payload): (Vec<u8>, Vec<u8>) = (row.get(3)?, row.get(4)?);
        Ok((get(row, 0)?, get(row, 1)?, get(row, 2)?, digest, payload))
    };
    let Some((room, author, client_id, digest, payload)) = statement.query_row([Sql(case)], held).optional()? else {
        return Ok(None);
    };
    let place = SealedAt::Unappended(room, author, client_id);
    let (digest, payload) = (vault.open_digest(place, &digest)?, vault.open(place, payload.into())?);
    Ok(Some(HeldText { room, author, client_id, digest, payload }))
}

pub(super) fn agenda(connection: &Connection, since: Millis, limit: usize) -> Result<Agenda> {
    // Each by its index and with its own limit: many of one kind keep none of the other waiting. Nor do those of one room,
    // whose moderators may be told of no more for now.
    let sql = concat!(
        "SELECT * FROM (SELECT ",
        case_columns!(),
        " FROM cases c WHERE due ORDER BY c.id LIMIT ?2)
          UNION ALL SELECT * FROM (SELECT ",
        case_columns!(),
        " FROM (SELECT c.*, row_number() OVER (PARTITION BY c.room ORDER BY c.id) AS nth
                  FROM cases c INDEXED BY cases_waiting
                  WHERE state IN (1, 2, 4) AND reminded_ms < ?1 AND NOT due) c
              ORDER BY c.nth, c.id LIMIT ?2)
          ORDER BY 1"
    );
    let mut statement = connection.prepare_cached(sql)?;
    let cases = statement.query_map(params![Sql(since), bound(limit)], case_row)?.collect::<rusqlite::Result<_>>()?;
    let (waiting, oldest): (i64, Option<i64>) = connection
        .prepare_cached("SELECT count(*), min(changed_ms) FROM cases WHERE state IN (1, 2, 4)")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let oldest = oldest.map(|oldest| Millis(oldest.cast_unsigned()));
    Ok(Agenda { cases, waiting: waiting.cast_unsigned(), oldest })
}

pub(super) fn moderators(
    connection: &Connection,
    room: RoomId,
    except: [UserId; 2],
    now: Millis,
    limit: usize,
) -> Result<Vec<(UserId, RoomId)>> {
    // A room's moderator whom the whole server mutes decides nothing either, and nobody is behind a plugin's account.
    const OF_ROOM: &str = concat!(
        "SELECT u.id, u.self_room FROM members m JOIN users u ON u.id = m.user JOIN rooms r ON r.id = m.room
         WHERE m.room = ?1 AND m.leave_seq IS NULL AND m.role <= 3 AND r.kind IN (1, 4) AND u.id NOT IN (?2, ?3)
             AND u.username NOT LIKE 'plugin.%' AND ",
        is_active!("m", "?4"),
        " AND ",
        is_active!("u", "?4"),
        " ORDER BY m.role, u.id LIMIT ?5"
    );
    const OF_SERVER: &str = concat!(
        "SELECT id, self_room FROM users u WHERE role <= 3 AND id NOT IN (?1, ?2)
             AND username NOT LIKE 'plugin.%' AND ",
        is_active!("u", "?3"),
        " ORDER BY role DESC, id LIMIT ?4"
    );
    let id = |row: &Row<'_>| Ok((get(row, 0)?, get(row, 1)?));
    let [one, other] = except;
    let mut statement = connection.prepare_cached(OF_ROOM)?;
    let found: Vec<(UserId, RoomId)> = statement
        .query_map(params![Sql(room), Sql(one), Sql(other), Sql(now), bound(limit)], id)?
        .collect::<rusqlite::Result<_>>()?;
    if !found.is_empty() {
        return Ok(found);
    }
    let mut statement = connection.prepare_cached(OF_SERVER)?;
    let found = statement.query_map(params![Sql(one), Sql(other), Sql(now), bound(limit)], id)?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// What is read of a record.
macro_rules! audit_columns {
    () => {
        "id, record, (SELECT note FROM finding_notes WHERE audit_id = audit.id)"
    };
}

pub(super) fn list_audit(connection: &Connection, wanted: ListAudit, asker: UserId) -> Result<Vec<AuditEntry>> {
    let ListAudit { room, user, case, plugin, before, limit } = wanted;
    // What others did to who asks is left out here, so that no page tells by its length that there was something.
    let mut rest = " AND (whom IS NULL OR whom <> ? OR actor = ?)".to_owned();
    let mut values: Vec<Value> = vec![asker.to_bytes().to_vec().into(), asker.to_bytes().to_vec().into()];
    if let Some(room) = room {
        rest += " AND place = ?";
        values.push(room.to_bytes().to_vec().into());
    }
    if let Some(case) = case {
        rest += " AND case_id = ?";
        values.push(case.to_bytes().to_vec().into());
    }
    if let Some(plugin) = plugin {
        rest += " AND plugin = ?";
        values.push(plugin.into());
    }
    if !before.is_none() {
        rest += " AND id < ?";
        values.push(before.to_bytes().to_vec().into());
    }
    rest += " ORDER BY id DESC LIMIT ?";
    values.push(bound(limit).into());
    let sql = if let Some(user) = user {
        // Each by its index, in order. What somebody did to themselves is found by the first alone.
        let user = || Value::from(user.to_bytes().to_vec());
        let second = [user(), user()].into_iter().chain(values.clone());
        values = [user()].into_iter().chain(values).chain(second).chain([bound(limit).into()]).collect();
        [
            concat!("SELECT * FROM (SELECT ", audit_columns!(), " FROM audit WHERE actor = ?"),
            &rest,
            concat!(
                ") UNION ALL SELECT * FROM (SELECT ",
                audit_columns!(),
                " FROM audit WHERE whom = ? AND actor IS NOT ?"
            ),
            &rest,
            ") ORDER BY 1 DESC LIMIT ?",
        ]
        .concat()
    } else {
        [concat!("SELECT ", audit_columns!(), " FROM audit WHERE 1"), &rest].concat()
    };
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let (mut records, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let ValueRef::Blob(record) = row.get_ref(1)? else {
            return Err(Error::Corrupt("a record of the audit is no blob".to_owned()));
        };
        let note = row.get_ref(2)?.as_str_or_null().ok().flatten().unwrap_or_default();
        bytes += record.len() + note.len();
        if bytes > PAGE_BYTES_MAX && !records.is_empty() {
            break;
        }
        let note = CaseText::parse(note).unwrap_or_default();
        records.push(AuditEntry { id: get(row, 0)?, record: record.to_vec().into(), note });
    }
    Ok(records)
}

/// What stays of cases when somebody is erased are references.
pub(super) fn erase(connection: &Connection, user: UserId) -> Result<()> {
    connection.prepare_cached("DELETE FROM evidence WHERE author = ?")?.execute([Sql(user)])?;
    connection
        .prepare_cached(
            "DELETE FROM finding_notes WHERE author = ?1 OR audit_id IN (SELECT id FROM audit WHERE whom = ?1)",
        )?
        .execute([Sql(user)])?;
    connection
        .prepare_cached(
            "UPDATE case_events SET text = ''
             WHERE text <> '' AND (actor = ?1 OR case_id IN (SELECT id FROM cases WHERE subject = ?1))",
        )?
        .execute([Sql(user)])?;
    Ok(())
}
