//! What decisions about cases ask of the server. It is done right after the decision, and where that did not succeed, or
//! the server fell over in between, again later: each is the same however often it is done.

use bytes::Bytes;
use confab_protocol::codec::{decode_audit, decode_entry, encode_entry};
use confab_protocol::command::{AuditEntry, ListAudit};
use confab_protocol::model::{
    AuditId, CaseId, CaseKind, CaseState, CaseText, ClientId, Entry, EntryContent, Message, Millis, Reason, Sanction,
    SanctionKind, Seq, ServerRole, UserId,
};
use confab_protocol::reject::{Reject, RejectCode};

use super::Core;
use super::append::{Act, Amend, Change, Item, Order, Said};
use super::audit::text_of;
use super::cases::{Beside, CaseRow, CasesWanted, Duty, HeldText, NewRecord, REMIND_MS, Step, Whose};
use super::publish::message_digest;
use super::store::{self, Outcome, Restriction};

/// Cases that are looked after at a time.
const TENDED_MAX: usize = 50;
/// Sanctions after one that is lifted which are looked at.
const LATER_MAX: usize = 20;
/// The audit's word for what was held and is posted.
const RELEASE: &str = "release";

impl Core {
    /// Does what was decided and is not done, and tells moderators again of what waits.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn tend_cases(&self) -> store::Result<()> {
        let now = self.clock.now();
        let since = Millis(now.0.saturating_sub(REMIND_MS));
        let agenda = self.store.agenda(since, TENDED_MAX).await?;
        self.metrics.cases_waiting.set(i64::try_from(agenda.waiting).unwrap_or(i64::MAX));
        let oldest = agenda.oldest.map_or(0, |oldest| now.since(oldest) / 1000);
        self.metrics.cases_waiting_oldest_seconds.set(i64::try_from(oldest).unwrap_or(i64::MAX));
        for row in agenda.cases {
            if row.due {
                self.carry_out(row).await;
                continue;
            }
            // Who made many cases does not fill the logs of moderators by way of reminders. The agenda has it again, beside
            // those of other rooms.
            if !self.limits.may_tell(row.room) {
                continue;
            }
            // First the note of it: whoever else looks finds it told.
            if let Ok(row) = self.change(row.id, None, Step::Remind).await {
                self.tell_moderators(&row, UserId::NONE).await;
            }
        }
        Ok(())
    }

    /// Does what was decided; the case as it is then. What fails for now stays due.
    pub(super) async fn carry_out(&self, row: CaseRow) -> CaseRow {
        // It may have been decided otherwise since it was looked up.
        let row = match self.store.find_case(row.id).await {
            Ok(found) => found.unwrap_or(row),
            Err(error) => {
                self.unavailable(&error);
                return row;
            }
        };
        let done = match row.duty().filter(|_| row.due) {
            Some(Duty::Release) => self.release(&row).await,
            Some(Duty::Remove(seq)) => self.remove(&row, seq).await,
            Some(Duty::Lift) => self.lift(&row).await,
            None => Ok(()),
        };
        let step = match done {
            Ok(()) => Step::Done,
            Err(reject) if reject.retry_after_ms > 0 || reject.code >= RejectCode::Internal.number() => {
                tracing::warn!(case = %row.id, code = reject.code, "what was decided is done later");
                return row;
            }
            Err(reject) => Step::Fail(CaseText::parse(&reject.detail).unwrap_or_default()),
        };
        let has_failed = matches!(step, Step::Fail(_));
        match self.change(row.id, None, step).await {
            Ok(row) => {
                if has_failed {
                    self.tell_moderators(&row, UserId::NONE).await;
                }
                row
            }
            Err(reject) => {
                // Somebody else may have done it meanwhile.
                if !reject.is(RejectCode::CaseState) {
                    tracing::warn!(case = %row.id, code = reject.code, "that it is done could not be noted");
                }
                row
            }
        }
    }

    /// Posts what is held, by its author, who must be allowed to as of now.
    async fn release(&self, row: &CaseRow) -> Result<(), Reject> {
        let held = self.store.find_held(row.id).await.map_err(|error| self.unavailable(&error))?;
        let Some(held) = held else { return self.check_posted(row).await };
        // The transaction knows of the room what they may; what was taken from them everywhere is known here.
        let author = self.store.find_user(held.author).await.map_err(|error| self.unavailable(&error))?;
        let author = author.ok_or(RejectCode::UnknownUser)?;
        let now = self.clock.now();
        if author.restriction.is_some_and(|it| it.silences(now)) {
            return Err(RejectCode::Muted.into());
        }
        let membership =
            self.store.membership(held.room, held.author).await.map_err(|error| self.unavailable(&error))?;
        let restrictions = [author.restriction, membership.and_then(|it| it.restriction)];
        let shadowed = restrictions.into_iter().flatten().any(|it| it.shadows(now));
        let entry = decode_entry(&held.payload).map_err(|_| RejectCode::Internal)?;
        let EntryContent::Message(message) = entry.content else { return Err(RejectCode::UnknownMessage.into()) };
        let said = message.body.clone();
        let mut record = self.record(row.decider.unwrap_or_default(), RELEASE, held.room, held.author);
        record.case = row.id;
        let mut record = self.numbered(record);
        let mentions = self.find_mentions(held.room, &message.body).await?;
        let message = Message { mentions: mentions.clone(), ..message };
        let reply_to = message.reply_to;
        let asked = message_digest(reply_to, message.body.as_str());
        let payload = encode_entry(&Entry { content: EntryContent::Message(message), ..entry });
        let item = if entry.client_id == held.client_id {
            self.hash_texts(author.audit_key, &mut record, (None, Some(said.as_str())));
            let item = held_item(&held, record, payload, Change::Message(Said { reply_to, mentions, shadowed }));
            // What plugins made of it before one held it is what is posted.
            Item { altered: asked != held.digest, ..item }
        } else {
            let edited = self.store.find_recorded(held.room, held.author, entry.client_id).await;
            let edited = edited.map_err(|error| self.unavailable(&error))?.map(|recorded| recorded.outcome);
            let Some(Outcome::Appended(appended)) = edited else { return Err(RejectCode::UnknownMessage.into()) };
            let before = self.find_message(held.room, appended.seq).await?;
            self.hash_texts(author.audit_key, &mut record, (text_of(&before), Some(said.as_str())));
            let (client_id, content) = (held.client_id, EntryContent::Edit(appended.seq));
            let amend = Amend {
                server_role: author.role,
                shadowed,
                decided: false,
                act: Act::Edit(appended.seq, payload, mentions),
            };
            let edit = encode_entry(&Entry { author: held.author, client_id, content });
            held_item(&held, record, edit, Change::Amend(Box::new(amend)))
        };
        match self.append_own(item).await {
            Err(reject) if reject.is(RejectCode::CaseState) => {
                Err(Reject::new(RejectCode::CaseState, "it was edited since"))
            }
            posted => posted.map(drop),
        }
    }

    /// Deletes the message in the name of whoever decided so. One that is not there any more is deleted.
    async fn remove(&self, row: &CaseRow, seq: Seq) -> Result<(), Reject> {
        let found = self.store.find_entries(row.room, vec![seq]).await.map_err(|error| self.unavailable(&error))?;
        let Some(stored) = found.into_iter().next() else { return Ok(()) };
        let entry = decode_entry(&stored.payload).map_err(|_| RejectCode::Internal)?;
        if !matches!(entry.content, EntryContent::Message(_)) {
            return Ok(());
        }
        let key = self.audit_key(entry.author).await?;
        let mut record = self.deletion(row.decider.unwrap_or_default(), row.room, (seq, &entry), key);
        record.record.case = row.id;
        let tombstone = encode_entry(&Entry { content: EntryContent::Tombstone { by_moderator: true }, ..entry });
        let content = EntryContent::Deletion { seqs: vec![seq], by_moderator: true };
        let act = Act::Delete(vec![(seq, tombstone)]);
        match self.append_own(decided(row, content, act, record)).await {
            Err(reject) if reject.is(RejectCode::UnknownMessage) => Ok(()),
            done => done.map(drop),
        }
    }

    /// That nothing is held any more is well if it was posted.
    async fn check_posted(&self, row: &CaseRow) -> Result<(), Reject> {
        let (room, user, plugin, before) = (None, None, None, AuditId::NONE);
        let wanted = ListAudit { room, user, case: Some(row.id), plugin, before, limit: 50 };
        let records = self.store.list_audit(wanted, UserId::NONE).await.map_err(|error| self.unavailable(&error))?;
        let is_posted = |entry: &AuditEntry| decode_audit(&entry.record).is_ok_and(|record| record.act == RELEASE);
        if records.iter().any(is_posted) {
            return Ok(());
        }
        Err(Reject::new(RejectCode::CaseState, "what was held is not kept any more"))
    }

    /// What a case is about that was done to somebody; `None`: its entry is not kept any more.
    async fn sanction_of(&self, row: &CaseRow) -> Result<Option<Sanction>, Reject> {
        let Some(seq) = row.seq else { return Ok(None) };
        let found = self.store.find_entries(row.room, vec![seq]).await.map_err(|error| self.unavailable(&error))?;
        let entry = found.first().and_then(|entry| decode_entry(&entry.payload).ok());
        Ok(entry.and_then(|entry| match entry.content {
            EntryContent::Sanction(sanction) => Some(sanction),
            _ => None,
        }))
    }

    /// Gives back what was taken from somebody, if that is what holds. Who was kicked may come back anyway.
    async fn lift(&self, row: &CaseRow) -> Result<(), Reject> {
        let given = match self.sanction_of(row).await? {
            Some(Sanction { kind: SanctionKind::Kick, .. }) => return Ok(()),
            sanction => sanction.as_ref().map(restriction),
        };
        // The transaction tells one from another by when it ends.
        if given.is_none_or(|given| given.until.is_none()) {
            self.check_last(row, given).await?;
        }
        let reason = Reason::parse("").map_err(|_| RejectCode::Internal)?;
        let sanction = Sanction { user: row.subject, kind: SanctionKind::Lift, until: None, reason };
        let mut record = self.record(row.decider.unwrap_or_default(), "lift", row.room, row.subject);
        record.case = row.id;
        let (act, record) = (Act::GiveBack(row.subject, given), self.numbered(record));
        let lifted = self.append_own(decided(row, EntryContent::Sanction(sanction), act, record)).await;
        self.memberships.remove(row.room, row.subject);
        match lifted {
            Err(reject) if reject.is(RejectCode::CaseState) => {
                Err(Reject::new(RejectCode::CaseState, "what holds now is another sanction"))
            }
            lifted => lifted.map(drop),
        }
    }

    /// That the same was not done to them once more since.
    async fn check_last(&self, row: &CaseRow, given: Option<Restriction>) -> Result<(), Reject> {
        let since = CasesWanted {
            whose: Whose::Everybody,
            room: Some(row.room),
            states: vec![CaseState::Decided, CaseState::Appealed, CaseState::Closed],
            kind: Some(CaseKind::Sanction),
            about: Some(row.subject),
            not_about: None,
            now: self.clock.now(),
            before: CaseId::NONE,
            limit: LATER_MAX,
        };
        let since = self.store.list_cases(since).await.map_err(|error| self.unavailable(&error))?;
        for later in since.iter().take_while(|later| later.id > row.id) {
            let is_other = match self.sanction_of(later).await? {
                Some(Sanction { kind: SanctionKind::Kick, .. }) => true,
                Some(sanction) => given.is_some_and(|given| given != restriction(&sanction)),
                None => false,
            };
            if !is_other {
                return Err(Reject::new(RejectCode::CaseState, "the same was done to them once more since"));
            }
        }
        if since.len() == LATER_MAX && since.last().is_some_and(|last| last.id > row.id) {
            return Err(Reject::new(RejectCode::CaseState, "too much came after it to tell what holds"));
        }
        Ok(())
    }
}

/// What was held, to be appended.
fn held_item(held: &HeldText, record: NewRecord, payload: Bytes, change: Change) -> Item {
    Item {
        room: held.room,
        author: held.author,
        client_id: held.client_id,
        digest: held.digest,
        payload,
        altered: false,
        change,
        // Of no version of the room's rights: they are looked at anew.
        acl_version: u64::MAX,
        order: Order::none(),
        then: Vec::new(),
        beside: Some(Box::new(Beside { audit: vec![record], opens: None, releases: true })),
    }
}

/// An entry that a decision makes, whoever decided may not be in the room. It has the number of its case: it is made once.
fn decided(row: &CaseRow, content: EntryContent, act: Act, record: NewRecord) -> Item {
    let (room, author) = (row.room, row.decider.unwrap_or_default());
    let client_id = client_id_of(row.id);
    let amend = Amend { server_role: ServerRole::User, shadowed: false, decided: true, act };
    Item {
        room,
        author,
        client_id,
        digest: [0; 16],
        payload: encode_entry(&Entry { author, client_id, content }),
        altered: false,
        change: Change::Amend(Box::new(amend)),
        acl_version: 0,
        order: Order::none(),
        then: Vec::new(),
        beside: Some(Box::new(Beside { audit: vec![record], opens: None, releases: false })),
    }
}

/// What a sanction made of its member, as stores have it.
fn restriction(&Sanction { kind, until, .. }: &Sanction) -> Restriction {
    let latest = Millis(i64::MAX.unsigned_abs());
    Restriction { kind, until: until.map(|until| until.min(latest)) }
}

/// The same for each try, and nobody reads from it which case it was, or when that began.
fn client_id_of(case: CaseId) -> ClientId {
    let hash = super::audit::hash(&case.to_bytes());
    ClientId::from_bytes(hash.first_chunk().copied().unwrap_or_default())
}
