//! Cases, what was said that they are about, and the audit. Locks are taken in one order, so that nobody waits in a circle:
//! the room's row, the case's.

use bytes::Bytes;
use confab_protocol::codec::encode_audit;
use confab_protocol::command::CaseEvent;
use confab_protocol::limits::{CASE_EVENTS_BYTES_MAX, EVIDENCE_BYTES_MAX};
use confab_protocol::model::{
    CaseAct, CaseDecision, CaseId, CaseKind, CaseState, CaseText, Envelope, Millis, ReportReason, RoomId, Seq, UserId,
};
use confab_protocol::reject::RejectCode;
use deadpool_postgres::{Client, GenericClient};
use tokio_postgres::types::ToSql;
use tokio_postgres::{IsolationLevel, Row};
use uuid::Uuid;

use super::evidence::again;
use super::logs::envelope;
use super::rooms::bound;
use super::rows::{Params, Stored, by_ref, get, get_optional, plain};
use super::seal;
use crate::core::append::{Decided, Facts, Needs, OpenCase};
use crate::core::cases::{
    Agenda, CONTEXT, CaseChange, CaseRecord, CaseRow, CasesWanted, EVENTS_MAX, HeldText, NewCase, NewRecord, NewReport,
    REPEATED_MAX, Reported, Whose, nearest, newest, report_text,
};
use crate::core::context::ENTRIES_MAX;
use crate::core::seal::{Place as SealedAt, Vault};
use crate::core::store::Result;

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

const INSERT_CASE: &str = "INSERT INTO cases (id, room, kind, state, subject, seq, reason, reports, assignee, decision,
         decider, decided_ms, appeal_decision, due, opened_ms, changed_ms, reminded_ms)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)";
const UPDATE_CASE: &str = "UPDATE cases SET room = $2, kind = $3, state = $4, subject = $5, seq = $6, reason = $7,
         reports = $8, assignee = $9, decision = $10, decider = $11, decided_ms = $12, appeal_decision = $13, due = $14,
         opened_ms = $15, changed_ms = $16, reminded_ms = $17
     WHERE id = $1";
// Whoever adds one has the case locked, or just made it.
const ADD_EVENT: &str = "INSERT INTO case_events (case_id, n, time_ms, actor, act, decision, text)
     SELECT $1::uuid, coalesce(max(n), 0) + 1, $2::bigint, $3::uuid, $4::smallint, $5::smallint, $6::text
     FROM case_events WHERE case_id = $1";
macro_rules! add_records {
    () => {
        "INSERT INTO audit (id, time_ms, actor, place, whom, case_id, plugin, record)
         SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::uuid[], $5::uuid[], $6::uuid[], $7::text[],
             $8::bytea[])"
    };
}
const ADD_RECORDS: &str = add_records!();
// As one statement: neither is there without the other.
const ADD_NOTED: &str = concat!(
    "WITH noted AS (INSERT INTO finding_notes (audit_id, author, note, kept_ms)
         SELECT * FROM unnest($9::uuid[], $10::uuid[], $11::text[], $12::bigint[])) ",
    add_records!()
);
// As it is stored, and nothing where the message is not there (any more). What others do not see is nobody's context.
const KEEP_EVIDENCE: &str = "INSERT INTO evidence (case_id, seq, room, rev, time_ms, author, payload, kept_ms)
     SELECT $1::uuid, seq, room, rev, time_ms, author, payload, $4::bigint FROM entries
     WHERE room = $2 AND seq = ANY (ARRAY(
             SELECT $3::bigint
             UNION ALL (SELECT seq FROM entries WHERE room = $2 AND seq < $3 AND kind = 1 ORDER BY seq DESC LIMIT $5)
             UNION ALL (SELECT seq FROM entries WHERE room = $2 AND seq > $3 AND kind = 1 ORDER BY seq LIMIT $6)))
         AND EXISTS (SELECT 1 FROM entries WHERE room = $2 AND seq = $3 AND kind IN (1, 65))";
// Of a message that is held: what was said before it, which is all.
const KEEP_NEWEST: &str = "INSERT INTO evidence (case_id, seq, room, rev, time_ms, author, payload, kept_ms)
     SELECT $1::uuid, seq, room, rev, time_ms, author, payload, $3::bigint FROM entries
     WHERE room = $2 AND kind = 1 ORDER BY seq DESC LIMIT $4";
// What whom a case is about said last before an entry, heard or not; in bounded time.
const KEEP_SAID: &str = "INSERT INTO evidence (case_id, seq, room, rev, time_ms, author, payload, kept_ms)
     SELECT $1::uuid, seq, room, rev, time_ms, author, payload, $4::bigint FROM entries
     WHERE room = $2 AND seq = ANY (ARRAY(
         SELECT seq FROM (
             SELECT seq, author, kind FROM entries WHERE room = $2 AND seq < $3 ORDER BY seq DESC LIMIT $7) newest
         WHERE author = $5 AND kind IN (1, 65) ORDER BY seq DESC LIMIT $6))";

/// What stays of cases when somebody is erased are references.
pub(super) const ERASE: [&str; 3] = [
    "DELETE FROM evidence WHERE author = $1",
    "DELETE FROM finding_notes
     WHERE author = $1 OR audit_id = ANY (ARRAY(SELECT id FROM audit WHERE whom = $1))",
    "UPDATE case_events SET text = ''
     WHERE text <> '' AND (actor = $1 OR case_id = ANY (ARRAY(SELECT id FROM cases WHERE subject = $1)))",
];

/// A statement with what is bound to it.
type Bound = (&'static str, Params);

async fn run(client: &impl GenericClient, (sql, params): Bound) -> Result<u64> {
    let statement = client.prepare_cached(sql).await?;
    Ok(client.execute(&statement, &by_ref(&params)).await?)
}

/// A number of which 0 stands for none.
fn number(row: &Row, column: usize) -> Result<u8> {
    Ok(u8::try_from(plain::<i16>(row, column)?).unwrap_or_default())
}

fn case_row(row: &Row) -> Result<CaseRow> {
    Ok(CaseRow {
        id: get(row, 0)?,
        room: get(row, 1)?,
        kind: get(row, 2)?,
        state: get(row, 3)?,
        subject: get(row, 4)?,
        seq: get_optional(row, 5)?,
        reason: ReportReason::from_number(number(row, 6)?),
        reports: get(row, 7)?,
        assignee: get_optional(row, 8)?,
        decision: CaseDecision::from_number(number(row, 9)?),
        decider: get_optional(row, 10)?,
        decided: get(row, 11)?,
        second: CaseDecision::from_number(number(row, 12)?),
        due: plain(row, 13)?,
        opened: get(row, 14)?,
        changed: get(row, 15)?,
        reminded: get(row, 16)?,
    })
}

/// What [`INSERT_CASE`] and [`UPDATE_CASE`] take.
fn case_params(row: &CaseRow) -> Params {
    vec![
        Box::new(row.id.sql()),
        Box::new(row.room.sql()),
        Box::new(row.kind.sql()),
        Box::new(row.state.sql()),
        Box::new(row.subject.sql()),
        Box::new(row.seq.map(Stored::sql)),
        Box::new(i16::from(row.reason.map_or(0, ReportReason::number))),
        Box::new(row.reports.sql()),
        Box::new(row.assignee.map(Stored::sql)),
        Box::new(i16::from(row.decision.map_or(0, CaseDecision::number))),
        Box::new(row.decider.map(Stored::sql)),
        Box::new(row.decided.sql()),
        Box::new(i16::from(row.second.map_or(0, CaseDecision::number))),
        Box::new(row.due),
        Box::new(row.opened.sql()),
        Box::new(row.changed.sql()),
        Box::new(row.reminded.sql()),
    ]
}

fn event(case: CaseId, event: &CaseEvent) -> Bound {
    let params: Params = vec![
        Box::new(case.sql()),
        Box::new(event.time.sql()),
        Box::new(event.actor.map(Stored::sql)),
        Box::new(event.act.sql()),
        Box::new(i16::from(event.decision.map_or(0, CaseDecision::number))),
        Box::new(event.text.as_str().to_owned()),
    ];
    (ADD_EVENT, params)
}

/// A case and its first event.
fn opening(new: &NewCase) -> [Bound; 2] {
    let NewCase { row, actor, text } = new;
    let (time, actor, act, text) = (row.opened, *actor, CaseAct::Open, text.clone());
    let first = CaseEvent { time, actor, act, decision: row.decision, text };
    [(INSERT_CASE, case_params(row)), event(row.id, &first)]
}

pub(super) async fn open_case(client: &impl GenericClient, new: &NewCase) -> Result<()> {
    for statement in opening(new) {
        run(client, statement).await?;
    }
    Ok(())
}

/// All of them by one statement.
fn records(new: &[NewRecord]) -> Bound {
    fn named<T: Stored + PartialEq>(id: T, none: T) -> Option<T::Sql> {
        (id != none).then(|| id.sql())
    }
    let each = || new.iter().map(|new| &new.record);
    let ids: Vec<Uuid> = new.iter().map(|new| new.id.sql()).collect();
    let times: Vec<i64> = each().map(|record| record.time.sql()).collect();
    let actors: Vec<Option<Uuid>> = each().map(|record| named(record.actor, UserId::NONE)).collect();
    let places: Vec<Option<Uuid>> = each().map(|record| named(record.room, RoomId::NONE)).collect();
    let whom: Vec<Option<Uuid>> = each().map(|record| named(record.user, UserId::NONE)).collect();
    let cases: Vec<Option<Uuid>> = each().map(|record| named(record.case, CaseId::NONE)).collect();
    let plugins: Vec<Option<String>> =
        each().map(|record| record.finding.as_ref().map(|finding| finding.plugin.clone())).collect();
    let encoded: Vec<Vec<u8>> = each().map(|record| encode_audit(record).to_vec()).collect();
    let mut params: Params = vec![
        Box::new(ids),
        Box::new(times),
        Box::new(actors),
        Box::new(places),
        Box::new(whom),
        Box::new(cases),
        Box::new(plugins),
        Box::new(encoded),
    ];
    let noted = || new.iter().filter_map(|new| new.note.as_ref().map(|(author, note)| (new, *author, note)));
    if noted().next().is_none() {
        return (ADD_RECORDS, params);
    }
    params.push(Box::new(noted().map(|(new, ..)| new.id.sql()).collect::<Vec<Uuid>>()));
    params.push(Box::new(noted().map(|(_, author, _)| author.sql()).collect::<Vec<Uuid>>()));
    params.push(Box::new(noted().map(|(.., note)| note.as_str().to_owned()).collect::<Vec<String>>()));
    params.push(Box::new(noted().map(|(new, ..)| new.record.time.sql()).collect::<Vec<i64>>()));
    (ADD_NOTED, params)
}

pub(super) async fn add_records(client: &impl GenericClient, new: &[NewRecord]) -> Result<()> {
    if !new.is_empty() {
        run(client, records(new)).await?;
    }
    Ok(())
}

pub(super) async fn audit(client: &Client, new: Vec<NewRecord>) -> Result<()> {
    add_records(client, &new).await
}

/// A message, and those before and after it.
fn evidence(row: &CaseRow, about: Seq, after: u64) -> Bound {
    let params: Params = vec![
        Box::new(row.id.sql()),
        Box::new(row.room.sql()),
        Box::new(about.sql()),
        Box::new(row.opened.sql()),
        Box::new(CONTEXT.cast_signed()),
        Box::new(after.cast_signed()),
    ];
    (KEEP_EVIDENCE, params)
}

/// What whom a case is about said before an entry.
fn said(row: &CaseRow, before: Seq) -> Bound {
    let params: Params = vec![
        Box::new(row.id.sql()),
        Box::new(row.room.sql()),
        Box::new(before.sql()),
        Box::new(row.opened.sql()),
        Box::new(row.subject.sql()),
        Box::new(CONTEXT.cast_signed()),
        Box::new(bound(ENTRIES_MAX)),
    ];
    (KEEP_SAID, params)
}

/// What stands around a text that is held: around the message that it is for, or before a message of its own.
pub(super) async fn keep_around_held(client: &impl GenericClient, row: &CaseRow, edited: Option<Seq>) -> Result<()> {
    let newest = || -> Bound {
        let params: Params = vec![
            Box::new(row.id.sql()),
            Box::new(row.room.sql()),
            Box::new(row.opened.sql()),
            Box::new(CONTEXT.cast_signed()),
        ];
        (KEEP_NEWEST, params)
    };
    run(client, edited.map_or_else(newest, |seq| evidence(row, seq, CONTEXT))).await?;
    Ok(())
}

/// The message that a case is about as it reads now, with what stands around it.
pub(super) fn kept(row: &CaseRow) -> Option<Bound> {
    row.seq.map(|seq| evidence(row, seq, CONTEXT))
}

/// Reports and flags about messages of a batch that nobody decided about yet. Each is held: it is not decided before what
/// joins it is there.
pub(super) async fn read_open(client: &Client, facts: &mut Facts, needs: &Needs) -> Result<()> {
    // In one order for everybody, as rooms and members.
    const SQL: &str = "SELECT c.room, c.seq, c.id, (SELECT count(*)::integer FROM case_events e
             WHERE e.case_id = c.id AND e.actor IS NULL AND e.act = 5)
         FROM unnest($1::uuid[], $2::bigint[]) AS k (room, seq)
         JOIN cases c ON c.room = k.room AND c.seq = k.seq AND c.state IN (1, 2) AND c.kind IN (2, 3)
         ORDER BY c.id FOR UPDATE OF c";
    if needs.cases.is_empty() {
        return Ok(());
    }
    let (rooms, seqs): (Vec<Uuid>, Vec<i64>) = needs.cases.iter().map(|(room, seq)| (room.sql(), seq.sql())).unzip();
    let statement = client.prepare_cached(SQL).await?;
    for row in client.query(&statement, &[&rooms, &seqs]).await? {
        let open = OpenCase { id: get(&row, 2)?, joined: get(&row, 3)? };
        // Where a report and a flag are open about the same, it is the older one.
        facts.cases.entry((get(&row, 0)?, get(&row, 1)?)).or_insert(open);
    }
    Ok(())
}

/// What the entries of a batch leave beside them, and what is left of those that are refused; of most that is nothing.
pub(super) fn beside(facts: &Facts, decided: &[Decided]) -> Vec<Bound> {
    let (mut statements, mut audit) = (Vec::new(), Vec::new());
    for (item, decision) in decided.iter().flat_map(Decided::all) {
        let left = facts.left_beside(item, decision);
        audit.extend(left.audit);
        if let Some(opens) = &left.opens {
            statements.extend(opening(opens));
            let is_sanction = opens.row.kind == CaseKind::Sanction;
            // It is the newest, whatever else the batch appends.
            let keep = |seq| if is_sanction { said(&opens.row, seq) } else { evidence(&opens.row, seq, 0) };
            statements.extend(opens.row.seq.filter(|_| left.keeps).map(keep));
        }
        statements.extend(left.joins.map(|(case, told)| event(case, &told)));
    }
    if !audit.is_empty() {
        statements.push(records(&audit));
    }
    statements
}

pub(super) async fn report(client: &mut Client, vault: &Vault, report: NewReport) -> Result<Option<Reported>> {
    // By the index of open reports.
    const FIND: &str = concat!(
        "SELECT ",
        case_columns!(),
        " FROM cases c WHERE room = $1 AND subject = $2 AND coalesce(seq, 0) = $3 AND kind = 2 AND state IN (1, 2)
          FOR UPDATE"
    );
    let NewReport { case, reporter, text, mut records } = report;
    let transaction = client.transaction().await?;
    // As an append does: what is read then stays so, and one report opens a case, which the others join.
    let lock = transaction.prepare_cached("SELECT 1 FROM rooms WHERE id = $1 FOR NO KEY UPDATE").await?;
    transaction.query_opt(&lock, &[&case.room.sql()]).await?;
    seal::check(&transaction, vault).await?;
    let find = transaction.prepare_cached(FIND).await?;
    let about: i64 = case.seq.map_or(0, Stored::sql);
    let found = transaction.query_opt(&find, &[&case.room.sql(), &case.subject.sql(), &about]).await?;
    let Some(found) = found else {
        open_case(&transaction, &NewCase { row: case, actor: Some(reporter), text }).await?;
        if let Some(seq) = case.seq
            && run(&transaction, evidence(&case, seq, CONTEXT)).await? == 0
        {
            // No such message: no case either.
            transaction.rollback().await?;
            return Ok(None);
        }
        records.iter_mut().for_each(|new| new.record.case = case.id);
        add_records(&transaction, &records).await?;
        transaction.commit().await?;
        return Ok(Some(Reported { row: case, is_new: true, is_known: false }));
    };
    let mut row = case_row(&found)?;
    let is_known = has_reported(&transaction, row.id, reporter).await?;
    if let Some(seq) = row.seq {
        let below = if is_known { REPEATED_MAX } else { usize::MAX };
        for statement in again(row.id, (row.room, seq), case.opened, below) {
            run(&transaction, statement).await?;
        }
    }
    if !is_known {
        row.reports += 1;
        run(&transaction, (UPDATE_CASE, case_params(&row))).await?;
        let (time, actor, act) = (case.opened, Some(reporter), CaseAct::Report);
        let text = if row.reports <= EVENTS_MAX { report_text(case.reason, &text) } else { CaseText::default() };
        run(&transaction, event(row.id, &CaseEvent { time, actor, act, decision: None, text })).await?;
        records.iter_mut().for_each(|new| new.record.case = row.id);
        add_records(&transaction, &records).await?;
    }
    transaction.commit().await?;
    Ok(Some(Reported { row, is_new: false, is_known }))
}

pub(super) async fn has_reported(client: &impl GenericClient, case: CaseId, user: UserId) -> Result<bool> {
    const SQL: &str = "SELECT EXISTS (SELECT 1 FROM case_events e JOIN cases c ON c.id = e.case_id
         WHERE e.case_id = $1 AND e.actor = $2 AND e.act IN (1, 2) AND c.kind = 2)";
    let statement = client.prepare_cached(SQL).await?;
    plain(&client.query_one(&statement, &[&case.sql(), &user.sql()]).await?, 0)
}

/// `id, self_room` of users.
fn people(rows: &[Row]) -> Result<Vec<(UserId, RoomId)>> {
    rows.iter().map(|row| Ok((get(row, 0)?, get(row, 1)?))).collect()
}

pub(super) async fn reporters(client: &Client, case: CaseId, limit: usize) -> Result<Vec<(UserId, RoomId)>> {
    const SQL: &str = "SELECT u.id, u.self_room
         FROM (SELECT e.actor, min(e.n) AS n FROM case_events e JOIN cases c ON c.id = e.case_id
               WHERE e.case_id = $1 AND e.act IN (1, 2) AND c.kind = 2 GROUP BY e.actor) f
         JOIN users u ON u.id = f.actor ORDER BY f.n LIMIT $2";
    let statement = client.prepare_cached(SQL).await?;
    people(&client.query(&statement, &[&case.sql(), &bound(limit)]).await?)
}

pub(super) async fn find_case(client: &impl GenericClient, case: CaseId) -> Result<Option<CaseRow>> {
    const SQL: &str = concat!("SELECT ", case_columns!(), " FROM cases c WHERE id = $1");
    let statement = client.prepare_cached(SQL).await?;
    client.query_opt(&statement, &[&case.sql()]).await?.as_ref().map(case_row).transpose()
}

pub(super) async fn change_case(
    client: &mut Client,
    change: CaseChange,
) -> Result<Option<std::result::Result<CaseRow, RejectCode>>> {
    const LOCK: &str = concat!("SELECT ", case_columns!(), " FROM cases c WHERE id = $1 FOR UPDATE");
    let transaction = client.transaction().await?;
    let lock = transaction.prepare_cached(LOCK).await?;
    let Some(found) = transaction.query_opt(&lock, &[&change.case.sql()]).await? else { return Ok(None) };
    let mut row = case_row(&found)?;
    let advanced = match change.apply(&mut row) {
        Ok(advanced) => advanced,
        Err(code) => return Ok(Some(Err(code))),
    };
    run(&transaction, (UPDATE_CASE, case_params(&row))).await?;
    if let Some(new) = &advanced.event {
        run(&transaction, event(row.id, new)).await?;
    }
    add_records(&transaction, advanced.record.as_slice()).await?;
    transaction.commit().await?;
    Ok(Some(Ok(row)))
}

/// A statement that is put together of texts of this program. Values are bound to it.
#[derive(Default)]
pub(super) struct Query {
    pub(super) sql: String,
    params: Params,
}

impl Query {
    /// The place of one more value.
    pub(super) fn bind(&mut self, value: impl ToSql + Sync + Send + 'static) -> String {
        self.params.push(Box::new(value));
        ["$", &self.params.len().to_string()].concat()
    }

    /// A text, in which a question mark is the place of the value.
    pub(super) fn push(&mut self, text: &str, value: impl ToSql + Sync + Send + 'static) {
        let place = self.bind(value);
        self.sql += &text.replace('?', &place);
    }

    pub(super) async fn fetch(&self, client: &Client, sql: &str) -> Result<Vec<Row>> {
        let statement = client.prepare_cached(sql).await?;
        Ok(client.query(&statement, &by_ref(&self.params)).await?)
    }
}

/// What the ids of a page are below; none is the highest of all.
pub(super) fn below(before: Uuid) -> Uuid {
    if before.is_nil() { Uuid::max() } else { before }
}

pub(super) async fn list_cases(client: &Client, wanted: CasesWanted) -> Result<Vec<CaseRow>> {
    // Who is muted in a room decides nothing there.
    const MODERATED: [&str; 2] = [
        " AND c.room = ANY (ARRAY(SELECT m.room FROM members m JOIN rooms r ON r.id = m.room
             WHERE m.user_id = ? AND m.leave_seq IS NULL AND m.role <= 3 AND r.kind IN (1, 4)",
        concat!(" AND ", is_active!("m", "?"), "))"),
    ];
    const OF: &str = " AND (c.subject = ? AND (c.kind IN (1, 4) OR c.decision = 4)
             OR c.kind = 2 AND c.id = ANY (ARRAY(
                 SELECT case_id FROM case_events WHERE actor = ? AND act IN (1, 2))))";
    let CasesWanted { whose, room, states, kind, about, not_about, now, before, limit } = wanted;
    let is_waiting = |state| matches!(state, CaseState::Open | CaseState::Taken | CaseState::Appealed);
    let are_waiting = states.iter().copied().all(is_waiting);
    let states: Vec<i16> = states.into_iter().map(Stored::sql).collect();
    let mut query = Query::default();
    query.push(concat!("SELECT ", case_columns!(), " FROM cases c WHERE c.state = ANY (?)"), states);
    query.push(" AND c.id < ?", below(before.sql()));
    if are_waiting {
        // The index of those has few, however many are over.
        query.sql += " AND c.state IN (1, 2, 4)";
    }
    match whose {
        Whose::Everybody => {}
        Whose::ModeratedBy(user) => {
            query.push(MODERATED[0], user.sql());
            query.push(MODERATED[1], now.sql());
        }
        Whose::Of(user) => query.push(OF, user.sql()),
    }
    if let Some(room) = room {
        query.push(" AND c.room = ?", room.sql());
    }
    if let Some(kind) = kind {
        query.push(" AND c.kind = ?", kind.sql());
    }
    if let Some(subject) = about {
        query.push(" AND c.subject = ?", subject.sql());
    }
    if let Some(subject) = not_about {
        query.push(" AND c.subject <> ?", subject.sql());
    }
    query.push(" ORDER BY c.id DESC LIMIT ?", bound(limit));
    query.fetch(client, &query.sql).await?.iter().map(case_row).collect()
}

pub(super) async fn case(client: &mut Client, vault: &Vault, id: CaseId) -> Result<Option<CaseRecord>> {
    const EVENTS: &str = "SELECT time_ms, actor, act, decision, text FROM case_events
         WHERE case_id = $1 ORDER BY n DESC LIMIT $2";
    const EVIDENCE: &str = "SELECT seq, time_ms, rev, payload FROM evidence WHERE case_id = $1 ORDER BY seq, rev";
    let moment =
        client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true).start().await?;
    let Some(row) = find_case(&moment, id).await? else { return Ok(None) };
    let event = |row: &Row| {
        let (decision, text) = (CaseDecision::from_number(number(row, 3)?), plain(row, 4)?);
        let (time, actor, act) = (get(row, 0)?, get_optional(row, 1)?, get(row, 2)?);
        Ok(CaseEvent { time, actor, act, decision, text: CaseText::parse(text).unwrap_or_default() })
    };
    let statement = moment.prepare_cached(EVENTS).await?;
    let events = moment.query(&statement, &[&id.sql(), &i64::from(EVENTS_MAX)]).await?;
    let events = newest(events.iter().map(event).collect::<Result<_>>()?, CASE_EVENTS_BYTES_MAX);
    let mut evidence = Vec::new();
    if let Some(held) = find_held(&moment, vault, id).await? {
        evidence.push(Envelope { seq: Seq(0), time: row.opened, rev: 0, payload: held.payload, rewritten: None });
    }
    let statement = moment.prepare_cached(EVIDENCE).await?;
    for kept in moment.query(&statement, &[&id.sql()]).await? {
        evidence.extend(envelope(vault, &kept, row.room, 0)?);
    }
    moment.commit().await?;
    Ok(Some(CaseRecord { row, events, evidence: nearest(evidence, row.seq, EVIDENCE_BYTES_MAX) }))
}

pub(super) async fn find_held(client: &impl GenericClient, vault: &Vault, case: CaseId) -> Result<Option<HeldText>> {
    const SQL: &str = "SELECT room, author, client_id, digest, payload FROM unappended WHERE case_id = $1";
    let statement = client.prepare_cached(SQL).await?;
    let Some(row) = client.query_opt(&statement, &[&case.sql()]).await? else { return Ok(None) };
    let (room, author, client_id) = (get(&row, 0)?, get(&row, 1)?, get(&row, 2)?);
    let place = SealedAt::Unappended(room, author, client_id);
    let payload: &[u8] = plain(&row, 4)?;
    let (digest, payload) =
        (vault.open_digest(place, plain(&row, 3)?)?, vault.open(place, Bytes::copy_from_slice(payload))?);
    Ok(Some(HeldText { room, author, client_id, digest, payload }))
}

pub(super) async fn agenda(client: &Client, since: Millis, limit: usize) -> Result<Agenda> {
    // Each by its index and with its own limit: many of one kind keep none of the other waiting. Nor do those of one room,
    // whose moderators may be told of no more for now.
    const DUE: &str = concat!(
        "(SELECT ",
        case_columns!(),
        " FROM cases c WHERE due ORDER BY c.id LIMIT $2)
          UNION ALL (SELECT ",
        case_columns!(),
        " FROM (SELECT c.*, row_number() OVER (PARTITION BY c.room ORDER BY c.id) AS nth
                FROM cases c WHERE state IN (1, 2, 4) AND reminded_ms < $1 AND NOT due) c
            ORDER BY c.nth, c.id LIMIT $2)
          ORDER BY 1"
    );
    const WAITING: &str = "SELECT count(*), min(changed_ms) FROM cases WHERE state IN (1, 2, 4)";
    let statement = client.prepare_cached(DUE).await?;
    let rows = client.query(&statement, &[&since.sql(), &bound(limit)]).await?;
    let cases = rows.iter().map(case_row).collect::<Result<_>>()?;
    let statement = client.prepare_cached(WAITING).await?;
    let row = client.query_one(&statement, &[]).await?;
    Ok(Agenda { cases, waiting: plain::<i64>(&row, 0)?.cast_unsigned(), oldest: get_optional(&row, 1)? })
}

pub(super) async fn moderators(
    client: &Client,
    room: RoomId,
    except: [UserId; 2],
    now: Millis,
    limit: usize,
) -> Result<Vec<(UserId, RoomId)>> {
    // A room's moderator whom the whole server mutes decides nothing either, and nobody is behind a plugin's account.
    const OF_ROOM: &str = concat!(
        "SELECT u.id, u.self_room FROM members m JOIN users u ON u.id = m.user_id JOIN rooms r ON r.id = m.room
         WHERE m.room = $1 AND m.leave_seq IS NULL AND m.role <= 3 AND r.kind IN (1, 4) AND u.id NOT IN ($2, $3)
             AND u.username NOT LIKE 'plugin.%' AND ",
        is_active!("m", "$4"),
        " AND ",
        is_active!("u", "$4"),
        " ORDER BY m.role, u.id LIMIT $5"
    );
    const OF_SERVER: &str = concat!(
        "SELECT id, self_room FROM users u WHERE role <= 3 AND id NOT IN ($1, $2)
             AND username NOT LIKE 'plugin.%' AND ",
        is_active!("u", "$3"),
        " ORDER BY role DESC, id LIMIT $4"
    );
    let [one, other] = except.map(Stored::sql);
    let (now, limit) = (now.sql(), bound(limit));
    let statement = client.prepare_cached(OF_ROOM).await?;
    let found = people(&client.query(&statement, &[&room.sql(), &one, &other, &now, &limit]).await?)?;
    if !found.is_empty() {
        return Ok(found);
    }
    let statement = client.prepare_cached(OF_SERVER).await?;
    people(&client.query(&statement, &[&one, &other, &now, &limit]).await?)
}
