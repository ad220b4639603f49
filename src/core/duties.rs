//! What decisions about cases ask of the server. It is done right after the decision, and where that did not succeed, or
//! the server fell over in between, again later: each is the same however often it is done.

use bytes::Bytes;
use confab_protocol::codec::{decode_entry, encode_entry};
use confab_protocol::model::{
    CaseId, CaseKind, CaseState, CaseText, ClientId, Entry, EntryContent, Message, Reason, Sanction, SanctionKind, Seq,
    ServerRole, UserId,
};
use confab_protocol::reject::{Reject, RejectCode};

use super::Core;
use super::append::{Act, Amend, Change, Item, Order, Said};
use super::cases::{Beside, CaseRow, CasesWanted, Duty, HeldText, Step, Whose};
use super::store::{self, Outcome};

/// Moderators are told again of what nobody moved on for this long, milliseconds.
const REMIND_MS: u64 = 24 * 3600 * 1000;
/// Cases that are looked after at a time.
const TENDED_MAX: usize = 50;

impl Core {
    /// Does what was decided and is not done, and tells moderators again of what waits.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn tend_cases(&self) -> store::Result<()> {
        let now = self.clock.now();
        let since = confab_protocol::model::Millis(now.0.saturating_sub(REMIND_MS));
        let agenda = self.store.agenda(since, TENDED_MAX).await?;
        self.metrics.cases_waiting.set(i64::try_from(agenda.waiting).unwrap_or(i64::MAX));
        let oldest = agenda.oldest.map_or(0, |oldest| now.since(oldest) / 1000);
        self.metrics.cases_waiting_oldest_seconds.set(i64::try_from(oldest).unwrap_or(i64::MAX));
        for row in agenda.cases {
            if row.due {
                self.carry_out(&row).await;
                continue;
            }
            // First the note of it: whoever else looks finds it told.
            if self.change(row.id, None, Step::Remind).await.is_ok() {
                self.tell_moderators(&row, UserId::NONE).await;
            }
        }
        Ok(())
    }

    /// Does what was decided. What fails for now stays due.
    pub(super) async fn carry_out(&self, row: &CaseRow) {
        let done = match row.duty() {
            Some(Duty::Release) => self.release(row).await,
            Some(Duty::Remove(seq)) => self.remove(row, seq).await,
            Some(Duty::Lift) => self.lift(row).await,
            None => Ok(()),
        };
        let step = match done {
            Ok(()) => Step::Done,
            Err(reject) if reject.retry_after_ms > 0 || reject.code >= RejectCode::Internal.number() => {
                tracing::warn!(case = %row.id, code = reject.code, "what was decided is done later");
                return;
            }
            Err(reject) => Step::Fail(CaseText::parse(&reject.detail).unwrap_or_default()),
        };
        // Somebody else may have done it meanwhile.
        if let Err(reject) = self.change(row.id, None, step).await
            && !reject.is(RejectCode::CaseState)
        {
            tracing::warn!(case = %row.id, code = reject.code, "that it is done could not be noted");
        }
    }

    /// Posts what is held, by its author, who must be allowed to as of now.
    async fn release(&self, row: &CaseRow) -> Result<(), Reject> {
        let held = self.store.find_held(row.id).await.map_err(|error| self.unavailable(&error))?;
        // It was posted.
        let Some(held) = held else { return Ok(()) };
        let entry = decode_entry(&held.payload).map_err(|_| RejectCode::Internal)?;
        let EntryContent::Message(message) = entry.content else { return Err(RejectCode::UnknownMessage.into()) };
        let mentions = self.find_mentions(held.room, &message.body).await?;
        let message = Message { mentions: mentions.clone(), ..message };
        let reply_to = message.reply_to;
        let payload = encode_entry(&Entry { content: EntryContent::Message(message), ..entry });
        let item = if entry.client_id == held.client_id {
            let said = Said { reply_to, mentions, shadowed: false };
            self.item(row, &held, payload, Change::Message(said))
        } else {
            let edited = self.store.find_recorded(held.room, held.author, entry.client_id).await;
            let edited = edited.map_err(|error| self.unavailable(&error))?.map(|recorded| recorded.outcome);
            let Some(Outcome::Appended(appended)) = edited else { return Err(RejectCode::UnknownMessage.into()) };
            let (author, client_id, content) = (held.author, held.client_id, EntryContent::Edit(appended.seq));
            let amend = Amend {
                server_role: ServerRole::User,
                shadowed: false,
                decided: false,
                act: Act::Edit(appended.seq, payload, mentions),
            };
            let edit = encode_entry(&Entry { author, client_id, content });
            self.item(row, &held, edit, Change::Amend(Box::new(amend)))
        };
        self.append_own(item).await.map(drop)
    }

    fn item(&self, row: &CaseRow, held: &HeldText, payload: Bytes, change: Change) -> Item {
        let mut record = self.record(row.decider.unwrap_or_default(), "release", held.room, held.author);
        record.case = row.id;
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
            beside: Some(Box::new(Beside { audit: vec![self.numbered(record)], opens: None, releases: true })),
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
        let mut record = self.record_of(row.decider.unwrap_or_default(), "delete", row.room, entry.author, seq);
        (record.before, record.case) = (super::audit::hash(&stored.payload), row.id);
        let tombstone = encode_entry(&Entry { content: EntryContent::Tombstone { by_moderator: true }, ..entry });
        let content = EntryContent::Deletion { seqs: vec![seq], by_moderator: true };
        let act = Act::Delete(vec![(seq, tombstone)]);
        match self.append_own(self.decided(row, content, act, record)).await {
            Err(reject) if reject.is(RejectCode::UnknownMessage) => Ok(()),
            done => done.map(drop),
        }
    }

    /// Gives back what was taken from somebody, unless it was taken once more since.
    async fn lift(&self, row: &CaseRow) -> Result<(), Reject> {
        let newest = CasesWanted {
            whose: Whose::Of(row.subject),
            room: Some(row.room),
            states: vec![CaseState::Decided, CaseState::Appealed, CaseState::Closed],
            kind: Some(CaseKind::Sanction),
            before: CaseId::NONE,
            limit: 1,
        };
        let newest = self.store.list_cases(newest).await.map_err(|error| self.unavailable(&error))?;
        if newest.first().is_some_and(|newest| newest.id != row.id) {
            return Err(Reject::new(RejectCode::CaseState, "another sanction came after it, and holds"));
        }
        let reason = Reason::parse("").map_err(|_| RejectCode::Internal)?;
        let sanction = Sanction { user: row.subject, kind: SanctionKind::Lift, until: None, reason };
        let mut record = self.record(row.decider.unwrap_or_default(), "lift", row.room, row.subject);
        record.case = row.id;
        let act = Act::Sanction(row.subject, SanctionKind::Lift, None);
        let lifted = self.append_own(self.decided(row, EntryContent::Sanction(sanction), act, record)).await;
        self.memberships.remove(row.room, row.subject);
        lifted.map(drop)
    }

    /// An entry that a decision makes, whoever decided may not be in the room. It has the number of its case: it is made once.
    fn decided(
        &self,
        row: &CaseRow,
        content: EntryContent,
        act: Act,
        record: confab_protocol::command::AuditRecord,
    ) -> Item {
        let (room, author) = (row.room, row.decider.unwrap_or_default());
        let client_id = ClientId::from_u128(row.id.as_u128());
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
            beside: self.beside(vec![record]),
        }
    }
}
