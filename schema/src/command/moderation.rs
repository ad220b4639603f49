//! Reports, cases, appeals and the audit.

use bytes::Bytes;

use crate::model::{
    AuditId, CaseAct, CaseDecision, CaseId, CaseKind, CaseState, Envelope, Millis, ReportReason, RoomId, Seq, UserId,
};
use crate::text::CaseText;

/// Something, or somebody, for those who moderate a room.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "as in the schema")]
pub struct Report {
    pub room: RoomId,
    pub about: About,
    pub reason: ReportReason,
    pub text: CaseText,
}

/// See [`Report`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum About {
    /// Something that was said.
    Message(Seq),
    /// Somebody, whatever they said.
    Person(UserId),
}

/// Which cases to page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ListCases {
    /// `None`: of all rooms that the asker moderates.
    pub room: Option<RoomId>,
    /// In which state.
    pub state: CaseFilter,
    /// `None`: of any.
    pub kind: Option<CaseKind>,
    /// Instead, those that the asker opened or that are about them.
    pub mine: bool,
    /// Of those, the ones about this user; `None`: about anybody.
    pub about: Option<UserId>,
    /// Older ones than this; none: from the newest on.
    pub before: CaseId,
    /// How many at most.
    pub limit: usize,
}

/// See [`ListCases`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CaseFilter {
    /// Those that wait for a decision, the first or the second.
    Waiting,
    /// Those in this state.
    In(CaseState),
    /// All.
    Any,
}

/// What a moderator does with a case.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "as in the schema")]
pub struct UpdateCase {
    pub case: CaseId,
    pub step: CaseStep,
}

/// See [`UpdateCase`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CaseStep {
    /// Looks into it.
    Take,
    /// Does not any more.
    LetGo,
    /// Something for other moderators.
    Note(CaseText),
    /// What becomes of it, and why.
    Decide(CaseDecision, CaseText),
}

/// Against a decision.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "as in the schema")]
pub struct Appeal {
    pub case: CaseId,
    pub text: CaseText,
}

/// Which records to page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListAudit {
    /// `None`: of all rooms and none.
    pub room: Option<RoomId>,
    /// `None`: of everybody.
    pub user: Option<UserId>,
    /// `None`: of every case and none.
    pub case: Option<CaseId>,
    /// `None`: of every plugin and none.
    pub plugin: Option<String>,
    /// Older ones than this; none: from the newest on.
    pub before: AuditId,
    /// How many at most.
    pub limit: usize,
}

/// A case as somebody may see it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "as in the schema")]
pub struct Case {
    pub id: CaseId,
    pub kind: CaseKind,
    pub state: CaseState,
    pub decision: Option<CaseDecision>,
    pub room: RoomId,
    pub subject: UserId,
    pub seq: Option<Seq>,
    pub opened: Millis,
    pub changed: Millis,
    pub reports: u32,
    pub reason: Option<ReportReason>,
    pub assignee: Option<UserId>,
    pub appealable: bool,
}

/// A case with what happened to it and what it is about.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "as in the schema")]
pub struct CaseFile {
    pub case: Case,
    pub events: Vec<CaseEvent>,
    pub evidence: Vec<Evidence>,
}

/// Something that happened to a case.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "as in the schema")]
pub struct CaseEvent {
    pub time: Millis,
    pub actor: Option<UserId>,
    pub act: CaseAct,
    pub decision: Option<CaseDecision>,
    pub text: CaseText,
}

/// Something that was said, as it read when the case was opened.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "as in the schema")]
pub struct Evidence {
    pub entry: Envelope,
    pub subject: bool,
}

/// A record of the audit, encoded once.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "as in the schema")]
pub struct AuditEntry {
    pub id: AuditId,
    pub record: Bytes,
    /// Empty: there is none (any more).
    pub note: CaseText,
}

/// Who did what to whom: references and hashes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs, reason = "as in the schema")]
pub struct AuditRecord {
    pub time: Millis,
    pub actor: UserId,
    pub act: String,
    pub room: RoomId,
    pub user: UserId,
    pub seq: Option<Seq>,
    pub case: CaseId,
    pub before: Bytes,
    pub after: Bytes,
    pub detail: String,
    pub finding: Option<Finding>,
}

/// What a plugin found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs, reason = "as in the schema")]
pub struct Finding {
    pub plugin: String,
    pub sha256: String,
    pub hook: String,
    pub verdict: String,
    pub enforced: bool,
    pub rule: String,
    pub label: String,
    pub score: u8,
    /// Of which form of the text, and its bytes.
    pub span: Option<(String, u32, u32)>,
    pub shown: String,
}
