//! What moderation keeps beside entries, once it is known what becomes of them: records of the audit, and the cases that
//! they open or that are open already.

use confab_protocol::codec::decode_entry;
use confab_protocol::command::CaseEvent;
use confab_protocol::model::{CaseAct, CaseId, CaseKind, CaseText, ClientId, Envelope, Millis, Seq};

use super::facts::{Effect, Facts, TargetKey};
use super::{Decision, Item};
use crate::core::cases::{Beside, CaseRow, JOINS_MAX, NewCase, NewRecord};
use crate::core::deputy;
use crate::core::store::{Outcome, Recorded, Unappended};

/// What a case is told once, when more join it than it is told of.
const JOINS_OVER: &str = "more edits of it were flagged: those are in the audit alone";

/// A report or a flag about a message that nobody decided about yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpenCase {
    /// Which.
    pub id: CaseId,
    /// Its notes by nobody: flagged edits that joined it.
    pub joined: u32,
}

impl OpenCase {
    /// What it is told of one more.
    fn note(&self, text: CaseText) -> Option<CaseText> {
        match self.joined {
            ..JOINS_MAX => Some(text),
            JOINS_MAX => Some(CaseText::parse(JOINS_OVER).unwrap_or_default()),
            _ => None,
        }
    }
}

/// What becomes of a case that is not opened after all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Instead {
    /// One about that message is open already: as it is before this joins it.
    Joins(OpenCase),
    /// Nobody but its author, who is shadowed, would read the other text: the message stays as it was.
    Lapses,
}

/// What a driver writes beside an entry, or in the place of one that is refused.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Left {
    /// For the audit.
    pub audit: Vec<NewRecord>,
    /// A case that begins.
    pub opens: Option<NewCase>,
    /// Whether that case keeps evidence: of a flag the entry itself with what was said before, of a sanction what whom it
    /// is about said last.
    pub keeps: bool,
    /// A case that is open already, and what it is told.
    pub joins: Option<(CaseId, CaseEvent)>,
}

/// The case that an item opens about a message which was there before: a flag of another text for it.
pub(super) fn flagged_edit(item: &Item) -> Option<(TargetKey, CaseRow)> {
    let row = item.beside.as_ref()?.opens.as_ref()?.row;
    let seq = row.seq.filter(|_| row.kind == CaseKind::Flag)?;
    Some(((row.room, seq), row))
}

/// What plugins found of an item that is refused. There is no case of what is not there, and of what moderators did or
/// plugins wanted done nothing is kept where it was not done.
#[must_use]
pub fn refused_findings(item: &Item, decision: &Decision) -> Vec<NewRecord> {
    let Some(beside) = &item.beside else { return Vec::new() };
    if !matches!(decision, Decision::Refuse(_) | Decision::TooSoon { .. }) {
        return Vec::new();
    }
    let is_finding = |it: &&NewRecord| it.record.finding.as_ref().is_some_and(|found| found.hook != deputy::HOOK);
    let mut found: Vec<NewRecord> = beside.audit.iter().filter(is_finding).cloned().collect();
    found.iter_mut().for_each(|new| new.record.case = CaseId::NONE);
    found
}

/// Of a text that is held: under which client id the message was sent that it is another text for; `None`: it is a message
/// of its own.
#[must_use]
pub fn edited_id(held: &Unappended) -> Option<ClientId> {
    let entry = decode_entry(&held.payload).ok()?;
    (entry.client_id != held.client_id).then_some(entry.client_id)
}

/// Where something stands in its log, if it was appended.
#[must_use]
pub fn appended_at(known: Option<Recorded>) -> Option<Seq> {
    match known?.outcome {
        Outcome::Appended(appended) => Some(appended.seq),
        Outcome::Held(_) | Outcome::Refused { .. } => None,
    }
}

impl Facts {
    /// Notes what becomes of the case that an appended item opens. Evidence of an edit is the text that it gave, whatever
    /// the batch makes of it afterwards: it is kept in the order of what is written over.
    pub(super) fn place_case(&mut self, item: &Item, seq: Seq, rewritten: Option<&Envelope>) {
        let Some((target, row)) = flagged_edit(item) else {
            let opens = item.beside.as_ref().and_then(|beside| beside.opens.as_ref());
            if let Some(new) = opens.filter(|new| new.row.kind == CaseKind::Flag) {
                self.cases.insert((item.room, seq), OpenCase { id: new.row.id, joined: 0 });
            }
            return;
        };
        if rewritten.is_none() {
            self.instead.insert(row.id, Instead::Lapses);
        } else if let Some(open) = self.cases.get_mut(&target) {
            self.instead.insert(row.id, Instead::Joins(*open));
            open.joined = open.joined.saturating_add(1);
            self.effects.push(Effect::EvidenceAgain(open.id, target, row.opened));
        } else {
            self.cases.insert(target, OpenCase { id: row.id, joined: 0 });
            self.effects.push(Effect::Evidence(row));
        }
    }

    /// The kind of the case that begins with an item, if one does.
    pub(super) fn opened(&self, item: &Item, decision: &Decision) -> Option<CaseKind> {
        let row = item.beside.as_ref()?.opens.as_ref()?.row;
        let begins = matches!(decision, Decision::Append { .. }) && !self.instead.contains_key(&row.id);
        begins.then_some(row.kind)
    }

    /// When what an item posts was held, if it was.
    pub(super) fn held_at(&self, item: &Item) -> Option<Millis> {
        let recorded = self.recorded.get(&item.key()).filter(|recorded| item.releases(recorded))?;
        match &recorded.outcome {
            Outcome::Held(case) => Some(case.created()),
            Outcome::Appended(_) | Outcome::Refused { .. } => None,
        }
    }

    /// What is to be written beside an item, once everything is decided.
    #[must_use]
    pub fn left_beside(&self, item: &Item, decision: &Decision) -> Left {
        match (&item.beside, decision) {
            (Some(beside), Decision::Append { seq, .. }) => self.left_by(beside, *seq),
            _ => Left { audit: refused_findings(item, decision), ..Left::default() },
        }
    }

    fn left_by(&self, beside: &Beside, seq: Seq) -> Left {
        let mut audit = beside.audit.clone();
        for new in &mut audit {
            new.record.seq.get_or_insert(seq);
        }
        let Some(mut opens) = beside.opens.clone() else { return Left { audit, ..Left::default() } };
        let Some(instead) = self.instead.get(&opens.row.id) else {
            let keeps = match opens.row.kind {
                // Of an edit it is kept where that is written over.
                CaseKind::Flag => opens.row.seq.is_none(),
                CaseKind::Sanction => true,
                CaseKind::Held | CaseKind::Report => false,
            };
            opens.row.seq.get_or_insert(seq);
            return Left { audit, opens: Some(opens), keeps, joins: None };
        };
        let NewCase { row, actor, text } = opens;
        let (case, text) = match instead {
            Instead::Joins(open) => (open.id, open.note(text)),
            Instead::Lapses => (CaseId::NONE, None),
        };
        audit.iter_mut().for_each(|new| new.record.case = case);
        // For moderators alone, as is what a flag says of a message.
        let told = |text| (case, CaseEvent { time: row.opened, actor, act: CaseAct::Note, decision: None, text });
        Left { audit, joins: text.map(told), ..Left::default() }
    }
}
