//! Cases as stores keep them, and the one function by which they go on: a driver locks the row, asks it, and writes what
//! it made of it, with an event and a record of the audit in the same transaction.

mod evidence;

use confab_protocol::command::{AuditRecord, CaseEvent};
use confab_protocol::limits::{CASE_EVENTS_BYTES_MAX, CASE_TEXT_BYTES_MAX};
use confab_protocol::model::{
    AuditId, CaseAct, CaseDecision, CaseId, CaseKind, CaseState, CaseText, ClientId, Envelope, Millis, ReportReason,
    RoomId, Seq, UserId,
};
use confab_protocol::reject::RejectCode;

pub use self::evidence::{REPEATED_MAX, REVISIONS_MAX, nearest};

/// How long a decision can be appealed, milliseconds.
pub const APPEAL_MS: u64 = 30 * 24 * 3600 * 1000;
/// Moderators are told again of what nobody moved on for this long, milliseconds.
pub const REMIND_MS: u64 = 24 * 3600 * 1000;
/// Messages that are kept before, and after, the one that a case is about; of a sanction, those of whom it is about.
pub const CONTEXT: u64 = 5;
/// What an event or a message takes in an answer beside its text, bytes.
const EVENT_BYTES: usize = 80;
/// Events of a case that are shown; what those say who report after so many is not kept.
pub const EVENTS_MAX: u32 = 200;
/// Flagged edits that a case is told of; the audit has all.
pub const JOINS_MAX: u32 = 30;
/// What one of them takes in an answer: a plugin, a label, a score.
const JOIN_BYTES_MAX: usize = EVENT_BYTES + 160;
// However many there are, what moderators did is not pushed out of sight.
const _: () = assert!(JOINS_MAX < EVENTS_MAX / 2);
const _: () = assert!((JOINS_MAX as usize + 1) * JOIN_BYTES_MAX < CASE_EVENTS_BYTES_MAX / 2);

/// A case.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct CaseRow {
    pub id: CaseId,
    pub room: RoomId,
    pub kind: CaseKind,
    pub state: CaseState,
    /// Whom it is about.
    pub subject: UserId,
    /// The message that it is about.
    pub seq: Option<Seq>,
    pub reason: Option<ReportReason>,
    /// How many reported it.
    pub reports: u32,
    pub assignee: Option<UserId>,
    /// Of the first decision, that of an appeal aside.
    pub decision: Option<CaseDecision>,
    /// Who decided last.
    pub decider: Option<UserId>,
    pub decided: Millis,
    /// What became of the appeal.
    pub second: Option<CaseDecision>,
    /// Something was decided that is not done yet.
    pub due: bool,
    pub opened: Millis,
    pub changed: Millis,
    /// When its moderators were last told of it.
    pub reminded: Millis,
}

impl CaseRow {
    /// One that begins.
    #[must_use]
    pub fn new(kind: CaseKind, id: CaseId, room: RoomId, subject: UserId, now: Millis) -> Self {
        Self {
            id,
            room,
            kind,
            state: CaseState::Open,
            subject,
            seq: None,
            reason: None,
            reports: 0,
            assignee: None,
            decision: None,
            decider: None,
            decided: Millis(0),
            second: None,
            due: false,
            opened: now,
            changed: now,
            reminded: now,
        }
    }

    /// Whether it waits for a decision.
    #[must_use]
    pub const fn is_waiting(&self) -> bool {
        matches!(self.state, CaseState::Open | CaseState::Taken | CaseState::Appealed)
    }

    /// Whether whom it is about may know of it: what is held is theirs, what is found in secret is not.
    #[must_use]
    pub const fn is_known_to_subject(&self) -> bool {
        match self.kind {
            CaseKind::Held | CaseKind::Sanction => true,
            CaseKind::Report | CaseKind::Flag => matches!(self.decision, Some(CaseDecision::Remove)),
        }
    }

    /// Whether whom it is about may appeal.
    #[must_use]
    pub fn is_appealable(&self, now: Millis) -> bool {
        let is_against = match self.decision {
            Some(CaseDecision::Drop | CaseDecision::Remove | CaseDecision::Sanction) => true,
            Some(CaseDecision::Dismiss | CaseDecision::Release | CaseDecision::Uphold | CaseDecision::Reverse)
            | None => false,
        };
        self.state == CaseState::Decided && is_against && now.since(self.decided) < APPEAL_MS
    }

    /// What holds now.
    #[must_use]
    pub fn outcome(&self) -> Option<CaseDecision> {
        self.second.or(self.decision)
    }

    /// Whether a decision can be taken of such a case as it is.
    fn takes(&self, decision: CaseDecision) -> bool {
        use CaseDecision as D;
        match (self.state, self.kind) {
            (CaseState::Appealed, _) => matches!(decision, D::Uphold | D::Reverse),
            (CaseState::Open | CaseState::Taken, CaseKind::Held) => matches!(decision, D::Release | D::Drop),
            (CaseState::Open | CaseState::Taken, CaseKind::Report | CaseKind::Flag) => {
                decision == D::Dismiss || decision == D::Remove && self.seq.is_some()
            }
            _ => false,
        }
    }

    /// What is to be done of what was decided.
    #[must_use]
    pub fn duty(&self) -> Option<Duty> {
        use CaseDecision as D;
        match (self.decision?, self.second) {
            (D::Release, _) | (D::Drop, Some(D::Reverse)) => Some(Duty::Release),
            (D::Remove, None | Some(D::Uphold)) => self.seq.map(Duty::Remove),
            (D::Sanction, Some(D::Reverse)) => Some(Duty::Lift),
            _ => None,
        }
    }
}

/// What a decision asks of the server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Duty {
    /// What is held is posted.
    Release,
    /// The message is deleted.
    Remove(Seq),
    /// What was taken from somebody is given back.
    Lift,
}

/// A case that is opened, with its first event.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct NewCase {
    pub row: CaseRow,
    /// Who opens it; `None`: a plugin.
    pub actor: Option<UserId>,
    pub text: CaseText,
}

/// A record for the audit.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct NewRecord {
    pub id: AuditId,
    pub record: AuditRecord,
    /// What a plugin noted of it, which stands apart from the audit, and whose words that may quote.
    pub note: Option<(UserId, CaseText)>,
}

/// Something that is done with a case.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct CaseChange {
    pub case: CaseId,
    /// Of the record that the audit keeps of it.
    pub record: AuditId,
    /// `None`: the server itself.
    pub actor: Option<UserId>,
    pub now: Millis,
    pub step: Step,
}

/// See [`CaseChange`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// The actor looks into it.
    Take,
    /// They do not any more.
    LetGo,
    /// Something for other moderators.
    Note(CaseText),
    /// What becomes of it.
    Decide {
        /// What.
        decision: CaseDecision,
        /// Why.
        text: CaseText,
        /// There is nobody else who could decide an appeal.
        is_alone: bool,
    },
    /// Whom it is about asks for another look.
    Appeal(CaseText),
    /// What was decided is done.
    Done,
    /// It cannot be done.
    Fail(CaseText),
    /// Its moderators were told of it once more.
    Remind,
}

/// What a step made of a case, beside the row.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Advanced {
    /// To append to its events.
    pub event: Option<CaseEvent>,
    /// To append to the audit.
    pub record: Option<NewRecord>,
}

impl CaseChange {
    /// Writes it into the row.
    ///
    /// # Errors
    /// [`RejectCode::CaseState`], and [`RejectCode::Forbidden`] for whom it is about, and for who decided where somebody else
    /// could decide about that.
    pub fn apply(&self, row: &mut CaseRow) -> Result<Advanced, RejectCode> {
        let before = row.state;
        let refuse = Err(RejectCode::CaseState);
        let none = CaseText::default();
        let (act, decision, text) = match &self.step {
            Step::Take if !row.is_waiting() || row.assignee == self.actor => return refuse,
            Step::Take => {
                row.assignee = self.actor;
                if row.state == CaseState::Open {
                    row.state = CaseState::Taken;
                }
                (CaseAct::Take, None, &none)
            }
            Step::LetGo if row.assignee.is_none() || !row.is_waiting() => return refuse,
            Step::LetGo => {
                row.assignee = None;
                if row.state == CaseState::Taken {
                    row.state = CaseState::Open;
                }
                (CaseAct::LetGo, None, &none)
            }
            Step::Note(text) => (CaseAct::Note, None, text),
            Step::Decide { decision, .. } if !row.takes(*decision) => return refuse,
            Step::Decide { decision, text, is_alone } => {
                self.decide(row, *decision, *is_alone)?;
                (CaseAct::Decide, Some(*decision), text)
            }
            Step::Appeal(_) if !row.is_appealable(self.now) => return refuse,
            Step::Appeal(text) => {
                row.state = CaseState::Appealed;
                row.assignee = None;
                (CaseAct::Appeal, None, text)
            }
            Step::Done | Step::Fail(_) if !row.due => return refuse,
            Step::Done => {
                row.due = false;
                return Ok(Advanced::default());
            }
            // Another server did, or somebody moved it on.
            Step::Remind if !row.is_waiting() || self.now.since(row.reminded) < REMIND_MS => return refuse,
            Step::Remind => {
                row.reminded = self.now;
                return Ok(Advanced::default());
            }
            Step::Fail(text) => {
                row.due = false;
                (CaseAct::Fail, None, text)
            }
        };
        row.changed = self.now.max(row.changed);
        row.reminded = self.now;
        let event = CaseEvent { time: self.now, actor: self.actor, act, decision, text: text.clone() };
        let record = self.record(row, act, decision, before);
        let record = NewRecord { id: self.record, record, note: None };
        Ok(Advanced { event: Some(event), record: Some(record) })
    }

    fn decide(&self, row: &mut CaseRow, decision: CaseDecision, is_alone: bool) -> Result<(), RejectCode> {
        if self.actor == Some(row.subject) {
            return Err(RejectCode::Forbidden);
        }
        if row.state == CaseState::Appealed {
            if row.decider == self.actor && !is_alone {
                return Err(RejectCode::Forbidden);
            }
            row.second = Some(decision);
            row.state = CaseState::Closed;
        } else {
            row.decision = Some(decision);
            row.decided = self.now;
            row.state = CaseState::Decided;
        }
        row.decider = self.actor;
        // What is upheld may still have to be done.
        if decision != CaseDecision::Uphold {
            row.due = row.duty().is_some();
        }
        Ok(())
    }

    fn record(&self, row: &CaseRow, act: CaseAct, decision: Option<CaseDecision>, before: CaseState) -> AuditRecord {
        let act = match act {
            CaseAct::Open => "open",
            CaseAct::Report => "report",
            CaseAct::Take => "take",
            CaseAct::LetGo => "let-go",
            CaseAct::Note => "note",
            CaseAct::Decide => "decide",
            CaseAct::Appeal => "appeal",
            CaseAct::Fail => "fail",
        };
        let moved = format!("{} -> {}", state_name(before), state_name(row.state));
        AuditRecord {
            time: self.now,
            actor: self.actor.unwrap_or_default(),
            act: act.to_owned(),
            room: row.room,
            user: row.subject,
            seq: row.seq,
            case: row.id,
            detail: decision.map_or_else(|| moved.clone(), |it| format!("{}: {moved}", decision_name(it))),
            ..AuditRecord::default()
        }
    }
}

/// As the schema spells it.
#[must_use]
pub const fn state_name(state: CaseState) -> &'static str {
    match state {
        CaseState::Open => "open",
        CaseState::Taken => "taken",
        CaseState::Decided => "decided",
        CaseState::Appealed => "appealed",
        CaseState::Closed => "closed",
    }
}

/// As the schema spells it.
#[must_use]
pub const fn decision_name(decision: CaseDecision) -> &'static str {
    match decision {
        CaseDecision::Dismiss => "dismiss",
        CaseDecision::Release => "release",
        CaseDecision::Drop => "drop",
        CaseDecision::Remove => "remove",
        CaseDecision::Sanction => "sanction",
        CaseDecision::Uphold => "uphold",
        CaseDecision::Reverse => "reverse",
    }
}

/// As the schema spells it.
#[must_use]
pub const fn kind_name(kind: CaseKind) -> &'static str {
    match kind {
        CaseKind::Held => "held",
        CaseKind::Report => "report",
        CaseKind::Flag => "flag",
        CaseKind::Sanction => "sanction",
    }
}

/// As the schema spells it.
#[must_use]
pub const fn reason_name(reason: ReportReason) -> &'static str {
    match reason {
        ReportReason::Spam => "spam",
        ReportReason::Harassment => "harassment",
        ReportReason::Hate => "hate",
        ReportReason::Violence => "violence",
        ReportReason::Sexual => "sexual",
        ReportReason::SelfHarm => "self-harm",
        ReportReason::Illegal => "illegal",
        ReportReason::Other => "other",
    }
}

/// What a case is told: what is known, and what somebody says of it. What is too long is cut, and what cannot be shown is
/// left out.
pub(super) fn told(known: &str, said: &str) -> CaseText {
    let mut whole = if said.is_empty() { known.to_owned() } else { [known, ": ", said].concat() };
    whole.truncate(whole.floor_char_boundary(CASE_TEXT_BYTES_MAX));
    CaseText::parse(&whole).or_else(|_| CaseText::parse(known)).unwrap_or_default()
}

/// What a case is told of one more report: the reason of that one stands nowhere else.
#[must_use]
pub fn report_text(reason: Option<ReportReason>, text: &CaseText) -> CaseText {
    reason.map_or_else(|| text.clone(), |reason| told(reason_name(reason), text.as_str()))
}

/// A report, with the case that it opens if there is none yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewReport {
    /// As it begins: of its room, kind, subject and message there is one case at a time that is not decided.
    pub case: CaseRow,
    /// Who reports.
    pub reporter: UserId,
    /// What they say.
    pub text: CaseText,
    /// For the audit: that they did and, where a plugin reports, what it found; of the case that they open or join.
    pub records: Vec<NewRecord>,
}

/// What came of a report.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reported {
    /// The case as it is now.
    pub row: CaseRow,
    /// Whether it was opened by this.
    pub is_new: bool,
    /// Whether who reports had reported it before: nothing was changed, or kept but for another text of the message.
    pub is_known: bool,
}

/// Whose cases.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whose {
    /// All.
    Everybody,
    /// Of the rooms that somebody moderates as a member.
    ModeratedBy(UserId),
    /// Those that somebody opened, or that are about them and known to them.
    Of(UserId),
}

/// Which cases, the newest first.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "as in the schema")]
pub struct CasesWanted {
    pub whose: Whose,
    pub room: Option<RoomId>,
    pub states: Vec<CaseState>,
    pub kind: Option<CaseKind>,
    /// Only those about this one.
    pub about: Option<UserId>,
    /// None that are about this one.
    pub not_about: Option<UserId>,
    /// By which it is told who is muted.
    pub now: Millis,
    /// Older than this one; none: from the newest on.
    pub before: CaseId,
    pub limit: usize,
}

/// A case with everything that belongs to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CaseRecord {
    /// As it is now.
    pub row: CaseRow,
    /// Ascending.
    pub events: Vec<CaseEvent>,
    /// What was said, ascending by seq and revision; what is held has seq 0.
    pub evidence: Vec<Envelope>,
}

/// A message, or another text for one, that is held for review.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "as in `Unappended`")]
pub struct HeldText {
    pub room: RoomId,
    pub author: UserId,
    pub client_id: ClientId,
    pub digest: [u8; 16],
    pub payload: bytes::Bytes,
}

/// What there is to do about cases.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Agenda {
    /// Those whose decision is not done, and of each room the oldest that nobody moved on for long; the oldest first.
    pub cases: Vec<CaseRow>,
    /// How many wait for a decision.
    pub waiting: u64,
    /// When the one that waits longest was last moved on.
    pub oldest: Option<Millis>,
}

/// What a decision or a finding leaves beside an entry, in its transaction.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Beside {
    /// For the audit; the entry's seq is written into those that have none.
    pub audit: Vec<NewRecord>,
    /// A case about the entry.
    pub opens: Option<NewCase>,
    /// What was held under the item's client id is posted by it.
    pub releases: bool,
}

/// Of events, the newest first, as many as fit: the oldest first.
#[must_use]
pub fn newest(events: Vec<CaseEvent>, bytes_max: usize) -> Vec<CaseEvent> {
    let mut bytes = 0;
    let fits = |event: &CaseEvent| {
        bytes += event.text.as_str().len() + EVENT_BYTES;
        bytes <= bytes_max
    };
    let mut kept: Vec<CaseEvent> = events.into_iter().take_while(fits).collect();
    kept.reverse();
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUTHOR: UserId = UserId::from_u128(1);
    const FIRST: UserId = UserId::from_u128(2);
    const SECOND: UserId = UserId::from_u128(3);

    fn held() -> CaseRow {
        CaseRow::new(CaseKind::Held, CaseId::from_u128(9), RoomId::from_u128(8), AUTHOR, Millis(1_000))
    }

    fn step(row: &mut CaseRow, actor: UserId, now: u64, step: Step) -> Result<Advanced, RejectCode> {
        let record = AuditId::from_u128(7);
        CaseChange { case: row.id, record, actor: Some(actor), now: Millis(now), step }.apply(row)
    }

    fn decide(decision: CaseDecision) -> Step {
        Step::Decide { decision, text: CaseText::default(), is_alone: false }
    }

    #[test]
    fn a_case_goes_from_hand_to_hand_to_its_end() {
        let mut row = held();
        assert!(step(&mut row, FIRST, 2_000, Step::Take).unwrap().event.is_some());
        assert_eq!(step(&mut row, FIRST, 2_000, Step::Take), Err(RejectCode::CaseState), "they have it");
        step(&mut row, SECOND, 2_500, Step::Take).unwrap();
        assert_eq!((row.state, row.assignee), (CaseState::Taken, Some(SECOND)), "taken over");
        step(&mut row, SECOND, 2_600, Step::LetGo).unwrap();
        assert_eq!((row.state, row.assignee), (CaseState::Open, None));
        assert_eq!(step(&mut row, FIRST, 3_000, decide(CaseDecision::Remove)), Err(RejectCode::CaseState));
        let done = step(&mut row, FIRST, 3_000, decide(CaseDecision::Drop)).unwrap();
        assert_eq!(done.record.unwrap().record.detail, "drop: open -> decided");
        assert_eq!((row.due, row.duty()), (false, None), "nothing is to be done of what never was posted");
        assert!(row.is_appealable(Millis(3_000)) && !row.is_appealable(Millis(3_000 + APPEAL_MS)));
        step(&mut row, AUTHOR, 4_000, Step::Appeal(CaseText::default())).unwrap();
        assert_eq!(
            step(&mut row, AUTHOR, 4_000, Step::Appeal(CaseText::default())),
            Err(RejectCode::CaseState),
            "once"
        );
        assert_eq!(step(&mut row, FIRST, 5_000, decide(CaseDecision::Reverse)), Err(RejectCode::Forbidden));
        step(&mut row, SECOND, 5_000, decide(CaseDecision::Reverse)).unwrap();
        assert_eq!((row.state, row.due, row.duty()), (CaseState::Closed, true, Some(Duty::Release)));
        step(&mut row, SECOND, 5_001, Step::Done).unwrap();
        assert!(!row.due && !row.is_waiting());
        assert_eq!(step(&mut row, SECOND, 6_000, decide(CaseDecision::Uphold)), Err(RejectCode::CaseState), "closed");
    }

    #[test]
    fn nobody_decides_about_themselves_and_who_is_alone_decides_twice() {
        let mut row = held();
        assert_eq!(step(&mut row, AUTHOR, 1, decide(CaseDecision::Release)), Err(RejectCode::Forbidden));
        step(&mut row, FIRST, 1, decide(CaseDecision::Drop)).unwrap();
        step(&mut row, AUTHOR, 2, Step::Appeal(CaseText::default())).unwrap();
        let alone = Step::Decide { decision: CaseDecision::Uphold, text: CaseText::default(), is_alone: true };
        step(&mut row, FIRST, 3, alone).unwrap();
        assert_eq!((row.state, row.due), (CaseState::Closed, false));
    }

    #[test]
    fn what_is_found_in_secret_is_known_once_it_has_consequences() {
        let mut row = CaseRow { kind: CaseKind::Flag, seq: Some(Seq(4)), ..held() };
        assert!(!row.is_known_to_subject());
        step(&mut row, FIRST, 1, decide(CaseDecision::Remove)).unwrap();
        assert!(row.is_known_to_subject() && row.due && row.duty() == Some(Duty::Remove(Seq(4))));
        step(&mut row, AUTHOR, 2, Step::Appeal(CaseText::default())).unwrap();
        step(&mut row, SECOND, 3, decide(CaseDecision::Uphold)).unwrap();
        assert_eq!((row.duty(), row.due), (Some(Duty::Remove(Seq(4))), true), "upheld before it could be done");
    }
}
