//! What the audit keeps: who did what to whom, and what plugins found. References and hashes, never what was said.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::digest;
use bytes::Bytes;
use confab_protocol::command::{AuditRecord, Finding};
use confab_protocol::limits::PAGE_CASES_MAX;
use confab_protocol::model::{
    AuditId, CaseDecision, CaseId, CaseKind, CaseState, CaseText, Entry, EntryContent, RoomId, SanctionKind, Seq,
    UserId,
};
use confab_protocol::reject::Reject;

use super::Core;
use super::auth::Actor;
use super::cases::{Beside, CaseRow, CasesWanted, NewCase, NewRecord, Whose, told};
use super::hook::{Act, Mark, TextKind};

/// What hashes of somebody's texts are made with. It goes with their erasure: then nobody can tell of a guess whether it is
/// right, whatever else they have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AuditKey(u128);

impl AuditKey {
    /// Of 128 random bits.
    #[must_use]
    pub const fn from_u128(random: u128) -> Self {
        Self(random)
    }

    /// The bits.
    #[must_use]
    pub const fn as_u128(self) -> u128 {
        self.0
    }

    /// As the embedded store has it.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    /// As [`Self::from_bytes`].
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

impl fmt::Debug for AuditKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditKey")
    }
}

/// A text that plugins were asked about.
#[derive(Clone, Copy)]
pub(super) struct Judged<'a> {
    pub(super) author: UserId,
    pub(super) key: Option<AuditKey>,
    /// As it was sent.
    pub(super) sent: &'a str,
    /// What plugins made of it, where that is another.
    pub(super) made: Option<&'a str>,
}

impl<'a> Judged<'a> {
    /// As it was sent, and perhaps what plugins made of it.
    pub(super) fn of(actor: &Actor, sent: &'a str, made: Option<&'a str>) -> Self {
        Self { author: actor.user, key: actor.audit_key, sent, made }
    }
}

/// The word for what was done to somebody.
#[must_use]
pub(super) const fn sanction_word(kind: SanctionKind) -> &'static str {
    match kind {
        SanctionKind::Mute => "mute",
        SanctionKind::Kick => "kick",
        SanctionKind::Ban => "ban",
        SanctionKind::Lift => "lift",
        SanctionKind::Shadow => "shadow",
    }
}

/// What plugins were asked about, as the audit spells it.
#[must_use]
pub(super) const fn text_word(kind: TextKind) -> &'static str {
    match kind {
        TextKind::New => "message",
        TextKind::Edit => "edit",
        TextKind::Reaction => "reaction",
        TextKind::Room => "room",
        TextKind::DisplayName => "display-name",
    }
}

/// As [`text_word`].
#[must_use]
pub(super) const fn act_word(act: &Act<'_>) -> &'static str {
    match act {
        Act::Join { .. } => "join",
        Act::Invite { .. } => "invite",
        Act::RoleChange { .. } => "role-change",
        Act::Register { .. } => "register",
        Act::Login => "login",
        Act::Report { .. } => "report",
        Act::Appeal { .. } => "appeal",
    }
}

/// Whether it is a flag that counts, of something.
fn is_flag(mark: &Mark) -> bool {
    mark.enforced && mark.verdict == "flag" && !mark.label.is_empty()
}

/// What moderators read of what is flagged: `plugin: label (score %), rule: note`.
fn flag_text(mark: &Mark) -> CaseText {
    let Mark { plugin, label, score, rule, note, .. } = mark;
    let rule = if rule.is_empty() { String::new() } else { format!(", {rule}") };
    told(&format!("{plugin}: {label} ({score} %){rule}"), note)
}

/// What moderators read of what is held: `plugin: rule: note`, of the plugin that held it; where none of them did, the note.
pub(super) fn hold_text(marks: &[Mark], note: String) -> String {
    let Some(mark) = marks.iter().rfind(|mark| mark.enforced && mark.verdict == "hold") else { return note };
    let Mark { plugin, rule, .. } = mark;
    let found = if rule.is_empty() { plugin.to_string() } else { format!("{plugin}: {rule}") };
    told(&found, &note).as_str().to_owned()
}

/// What is read of a sanction by who decides an appeal and by whom it hits: `mute for 2h: reason`.
pub(super) fn sanction_text((kind, ms): (SanctionKind, Option<u64>), reason: &str) -> CaseText {
    let term = super::restriction::term(kind, ms);
    let space = if term.is_empty() { "" } else { " " };
    told(&[sanction_word(kind), space, &term].concat(), reason)
}

/// What a message says.
#[must_use]
pub(super) fn text_of(entry: &Entry) -> Option<&str> {
    match &entry.content {
        EntryContent::Message(message) => Some(message.body.as_str()),
        _ => None,
    }
}

/// SHA-256, of what nobody said.
#[must_use]
pub(super) fn hash(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// What plugins found is for the operator's log as well, as far as the audit keeps it: a rule that matches everything would
/// fill that too. Who found what, never what was said: notes may quote it.
pub(super) fn log_findings(who: UserId, found: &[NewRecord]) {
    for new in found {
        let Some(finding) = &new.record.finding else { continue };
        let room = new.record.room;
        let Finding { plugin, hook, enforced, verdict, rule, label, score, .. } = finding;
        if verdict != "replace" {
            tracing::info!(%who, %room, hook, %plugin, enforced, verdict, rule, label, score, "a plugin found something");
        }
    }
}

impl Core {
    /// A record of something that somebody did.
    pub(super) fn record(&self, actor: UserId, act: &str, room: RoomId, user: UserId) -> AuditRecord {
        AuditRecord { time: self.clock.now(), actor, act: act.to_owned(), room, user, ..AuditRecord::default() }
    }

    /// With an id of its own.
    pub(super) fn numbered(&self, record: AuditRecord) -> NewRecord {
        debug_assert!(super::vocabulary::has(&record), "nobody finds it: {record:?}");
        NewRecord { id: self.audit_id(), record, note: None }
    }

    /// The ids of one millisecond go up as well (RFC 9562 section 6.2, a counter of 12 bits): what one server did is read in
    /// the order in which it was done.
    pub(super) fn audit_id(&self) -> AuditId {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = u128::from(COUNT.fetch_add(1, Ordering::Relaxed) & 0xfff);
        AuditId::new(self.clock.now(), count << 64 | self.clock.random() & u128::from(u64::MAX))
    }

    /// What plugins found, as records: of what counts for nothing no more than there is room for.
    pub(super) fn findings(&self, hook: &str, who: UserId, room: RoomId, marks: Vec<Mark>) -> Vec<NewRecord> {
        let kept = marks.into_iter().filter(|mark| self.keeps(hook, mark, who));
        kept.map(|mark| self.finding(hook, (who, room), mark)).collect()
    }

    /// The record of one finding.
    pub(super) fn finding(&self, hook: &str, (who, room): (UserId, RoomId), mark: Mark) -> NewRecord {
        let finding = Finding {
            plugin: mark.plugin.to_string(),
            sha256: mark.hash.to_string(),
            hook: hook.to_owned(),
            verdict: mark.verdict.to_owned(),
            enforced: mark.enforced,
            rule: mark.rule,
            label: mark.label,
            score: mark.score,
            span: mark.span.map(|(form, from, to)| (form.to_owned(), from, to)),
            shown: mark.shown,
        };
        let verdict = self.record(UserId::NONE, "verdict", room, who);
        // A note that cannot be shown is left out.
        let note = CaseText::parse(&mark.note).ok().filter(|note| !note.as_str().is_empty());
        let note = note.map(|note| (who, note));
        NewRecord { note, ..self.numbered(AuditRecord { finding: Some(finding), ..verdict }) }
    }

    /// As [`Self::findings`], of a text: with hashes of that.
    pub(super) fn findings_of(
        &self,
        kind: TextKind,
        judged: Judged<'_>,
        room: RoomId,
        marks: Vec<Mark>,
    ) -> Vec<NewRecord> {
        let Judged { author, key, sent, made } = judged;
        let mut found = self.findings(text_word(kind), author, room, marks);
        log_findings(author, &found);
        found.iter_mut().for_each(|new| self.hash_texts(key, new, (Some(sent), made)));
        found
    }

    /// Writes hashes of texts into a record of whom they are of: as it was, and as it is. Those whose account is erased
    /// have no key, and then there are none.
    pub(super) fn hash_texts(
        &self,
        key: Option<AuditKey>,
        new: &mut NewRecord,
        (before, after): (Option<&str>, Option<&str>),
    ) {
        let Some(key) = key else { return };
        let id = new.id;
        let hash = |text: Option<&str>| text.map(|text| self.auth.audit_hash(key, id, text)).unwrap_or_default();
        (new.record.before, new.record.after) = (hash(before), hash(after));
    }

    /// The key of somebody's texts, if their account is there.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) async fn audit_key(&self, user: UserId) -> Result<Option<AuditKey>, Reject> {
        let found = self.store.find_user(user).await.map_err(|error| self.unavailable(&error))?;
        Ok(found.and_then(|user| user.audit_key))
    }

    /// A record of somebody's message that another deletes, with a hash of what it said.
    pub(super) fn deletion(
        &self,
        by: UserId,
        room: RoomId,
        (seq, entry): (Seq, &Entry),
        key: Option<AuditKey>,
    ) -> NewRecord {
        let mut new = self.numbered(self.record_of(by, "delete", room, entry.author, seq));
        self.hash_texts(key, &mut new, (text_of(entry), None));
        new
    }

    /// Keeps what plugins found of a text where nothing is appended with it.
    ///
    /// # Errors
    /// Those of the store: what cannot be kept does not happen.
    pub(super) async fn keep_findings(
        &self,
        kind: TextKind,
        judged: Judged<'_>,
        room: RoomId,
        marks: Vec<Mark>,
    ) -> Result<(), Reject> {
        let records = self.findings_of(kind, judged, room, marks);
        if records.is_empty() {
            return Ok(());
        }
        self.store.audit(records).await.map_err(|error| self.unavailable(&error))
    }

    /// Whether what was flagged of another text for a message is told to a case that is open about it.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) async fn joins_case(
        &self,
        author: UserId,
        (room, seq): (RoomId, Seq),
        marks: &[Mark],
    ) -> Result<bool, Reject> {
        if !marks.iter().any(is_flag) {
            return Ok(false);
        }
        let wanted = CasesWanted {
            whose: Whose::Everybody,
            room: Some(room),
            states: vec![CaseState::Open, CaseState::Taken],
            kind: None,
            about: Some(author),
            not_about: None,
            now: self.clock.now(),
            before: CaseId::NONE,
            limit: PAGE_CASES_MAX,
        };
        let open = self.store.list_cases(wanted).await.map_err(|error| self.unavailable(&error))?;
        Ok(open.iter().any(|row| row.seq == Some(seq) && matches!(row.kind, CaseKind::Report | CaseKind::Flag)))
    }

    /// What findings leave beside a message that passed, or another text for one: records, and for what was flagged a case,
    /// unless its plugin opened many, about that author or at all. The transaction has it join one that is open already; where
    /// that is to be expected, it takes none from the bound.
    pub(super) fn beside_findings(
        &self,
        edited: Option<(Seq, bool)>,
        judged: Judged<'_>,
        room: RoomId,
        marks: Vec<Mark>,
    ) -> Option<Box<Beside>> {
        if marks.is_empty() {
            return None;
        }
        let (edited, joins) = edited.unzip();
        let opens = |mark: &&Mark| joins == Some(true) || self.opens_case(mark, judged.author);
        let opens = marks.iter().filter(|mark| is_flag(mark)).find(opens).map(|mark| {
            let now = self.clock.now();
            let id = CaseId::new(now, self.clock.random());
            let row = CaseRow::new(CaseKind::Flag, id, room, judged.author, now);
            // An edit is an entry of its own, and what is flagged is the message.
            let row = CaseRow { seq: edited, ..row };
            NewCase { row, actor: None, text: flag_text(mark) }
        });
        let kind = if edited.is_some() { TextKind::Edit } else { TextKind::New };
        let mut audit = self.findings_of(kind, judged, room, marks);
        if let Some(opens) = &opens {
            audit.iter_mut().for_each(|new| new.record.case = opens.row.id);
        }
        if audit.is_empty() {
            return None;
        }
        Some(Box::new(Beside { audit, opens, releases: false }))
    }

    /// What a sanction leaves beside its entry: a record, and a case that whom it hits may appeal against. A shadow is told
    /// to nobody.
    pub(super) fn beside_sanction(
        &self,
        actor: &Actor,
        room: RoomId,
        user: UserId,
        (kind, ms): (SanctionKind, Option<u64>),
        text: CaseText,
    ) -> Box<Beside> {
        let mut record = self.record(actor.user, sanction_word(kind), room, user);
        record.detail = super::restriction::term(kind, ms);
        let opens = matches!(kind, SanctionKind::Mute | SanctionKind::Kick | SanctionKind::Ban).then(|| {
            let row = CaseRow::new(
                CaseKind::Sanction,
                CaseId::new(record.time, self.clock.random()),
                room,
                user,
                record.time,
            );
            let row = CaseRow {
                state: CaseState::Decided,
                decision: Some(CaseDecision::Sanction),
                decider: Some(actor.user),
                decided: record.time,
                ..row
            };
            record.case = row.id;
            NewCase { row, actor: Some(actor.user), text }
        });
        Box::new(Beside { audit: vec![self.numbered(record)], opens, releases: false })
    }

    /// A record alone, beside an entry.
    pub(super) fn beside(&self, records: Vec<AuditRecord>) -> Option<Box<Beside>> {
        if records.is_empty() {
            return None;
        }
        let audit = records.into_iter().map(|record| self.numbered(record)).collect();
        Some(Box::new(Beside { audit, opens: None, releases: false }))
    }

    /// A record of something about an entry.
    pub(super) fn record_of(&self, actor: UserId, act: &str, room: RoomId, user: UserId, seq: Seq) -> AuditRecord {
        AuditRecord { seq: Some(seq), ..self.record(actor, act, room, user) }
    }

    /// Keeps one record by itself.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) async fn keep_record(&self, record: AuditRecord) -> Result<(), Reject> {
        let record = self.numbered(record);
        self.store.audit(vec![record]).await.map_err(|error| self.unavailable(&error))
    }
}

#[cfg(test)]
mod tests {
    use confab_protocol::limits::CASE_TEXT_BYTES_MAX;

    use super::*;

    fn mark(rule: &str, note: &str) -> Mark {
        Mark {
            plugin: "words".into(),
            hash: "".into(),
            enforced: true,
            verdict: "flag",
            rule: rule.to_owned(),
            label: "spam".to_owned(),
            score: 70,
            span: None,
            note: note.to_owned(),
            shown: String::new(),
        }
    }

    #[test]
    fn moderators_read_who_held_a_text_and_by_which_rule() {
        let hold = |rule: &str| Mark { verdict: "hold", ..mark(rule, "") };
        let shadow = Mark { enforced: false, plugin: "young".into(), ..hold("rude") };
        let text = |marks: &[Mark], note: &str| hold_text(marks, note.to_owned());
        assert_eq!(text(&[hold("prizes"), shadow.clone()], "as a word"), "words: prizes: as a word");
        assert_eq!(text(&[hold("prizes")], ""), "words: prizes");
        assert_eq!(text(&[hold("prizes")], "turned \u{202e} round"), "words: prizes", "it deceives");
        assert_eq!(text(&[hold("")], ""), "words");
        assert_eq!(text(&[mark("prizes", ""), shadow], "too long"), "too long", "neither held it");
    }

    #[test]
    fn a_sanction_says_what_it_is_how_long_and_why() {
        let text = |kind, ms, reason: &str| sanction_text((kind, ms), reason).as_str().to_owned();
        assert_eq!(text(SanctionKind::Mute, Some(7_200_000), "enough"), "mute for 2h: enough");
        assert_eq!(text(SanctionKind::Ban, None, ""), "ban until lifted");
        assert_eq!(text(SanctionKind::Kick, None, "enough"), "kick: enough");
    }

    #[test]
    fn moderators_read_of_a_flag_what_can_be_shown() {
        let text = |rule: &str, note: &str| flag_text(&mark(rule, note)).as_str().to_owned();
        assert_eq!(text("prizes", "as a word"), "words: spam (70 %), prizes: as a word");
        assert_eq!(text("prizes", ""), "words: spam (70 %), prizes");
        assert_eq!(text("", "as a word"), "words: spam (70 %): as a word");
        assert_eq!(text("prizes", "turned \u{202e} round"), "words: spam (70 %), prizes", "it deceives");
        // An odd number of bytes before, so that the cut would fall into a letter.
        let long = text("prizes", &["x", &"\u{e9}".repeat(CASE_TEXT_BYTES_MAX)].concat());
        assert!(long.ends_with('\u{e9}') && long.len() > CASE_TEXT_BYTES_MAX - 2, "{} bytes", long.len());
    }
}
