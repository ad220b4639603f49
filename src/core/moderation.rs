//! Reports, cases and appeals: who may see what of them, and what is done with them. What a decision asks of the server is
//! in [`super::duties`].

use confab_protocol::codec::decode_entry;
use confab_protocol::command::{
    About, Appeal, AuditEntry, Case, CaseEvent, CaseFile, CaseFilter, CaseStep, Evidence, ListAudit, ListCases, Reply,
    Report, UpdateCase,
};
use confab_protocol::model::{
    AuditId, CaseAct, CaseDecision, CaseId, CaseKind, CaseState, CaseText, EntryContent, Millis, ReportReason, RoomId,
    RoomKind, RoomRole, SelfNote, Seq, UserId,
};
use confab_protocol::reject::{Reject, RejectCode};

use super::auth::Actor;
use super::cases::{
    CaseChange, CaseRecord, CaseRow, CasesWanted, NewRecord, NewReport, Reported, Step, Whose, decision_name, kind_name,
};
use super::hook::Act;
use super::permissions::{Stewardship, may};
use super::{Core, access};

/// Moderators of a room who are told of a case.
pub(super) const TOLD_MAX: usize = 20;

/// As whom somebody sees a case.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sight {
    Moderator,
    Subject,
    Reporter,
}

impl Core {
    /// Something, or somebody, for those who moderate a room.
    ///
    /// # Errors
    /// Not a member; nothing that the actor can see there; themselves; limits; what plugins refuse.
    pub async fn report(&self, actor: &Actor, report: Report) -> Result<Reply, Reject> {
        self.limits.check_report(actor.user)?;
        let Report { room, about, reason, text } = report;
        self.check_read(actor, room).await?;
        let (subject, seq) = match about {
            About::Message(seq) => (self.author_of(actor, room, seq).await?, Some(seq)),
            About::Person(user) => {
                let found = self.store.membership(room, user).await.map_err(|error| self.unavailable(&error))?;
                found.ok_or(RejectCode::UnknownUser)?;
                (user, None)
            }
        };
        if subject == actor.user {
            return Err(RejectCode::Forbidden.into());
        }
        self.check_act(actor, Act::Report { room, about: subject, seq, reason, text: text.as_str() }).await?;
        let reported = self.keep_report(actor.user, room, (subject, seq), reason, text, Vec::new()).await?;
        Ok(Reply::Reported(reported.row.id))
    }

    /// Keeps a report with what a plugin found, if it is one's, and tells those who moderate the room of the case that
    /// begins with it, if one does.
    ///
    /// # Errors
    /// No such message (any more).
    pub(super) async fn keep_report(
        &self,
        reporter: UserId,
        room: RoomId,
        (subject, seq): (UserId, Option<Seq>),
        reason: ReportReason,
        text: CaseText,
        found: Vec<NewRecord>,
    ) -> Result<Reported, Reject> {
        let now = self.clock.now();
        let case = CaseRow::new(CaseKind::Report, CaseId::new(now, self.clock.random()), room, subject, now);
        let case = CaseRow { seq, reason: Some(reason), reports: 1, ..case };
        let mut record = self.record(reporter, "report", room, subject);
        (record.seq, record.case) = (seq, case.id);
        let records = [self.numbered(record)].into_iter().chain(found).collect();
        let report = NewReport { case, reporter, text, records };
        let reported = self.store.report(report).await.map_err(|error| self.unavailable(&error))?;
        let reported = reported.ok_or(RejectCode::UnknownMessage)?;
        if reported.is_new {
            self.metrics.cases_opened_total.with_label_values(&["report"]).inc();
            self.tell_of_new(&reported.row, reporter).await;
        }
        Ok(reported)
    }

    /// Who said it, if that is a message that the actor sees.
    pub(super) async fn author_of(&self, actor: &Actor, room: RoomId, seq: Seq) -> Result<UserId, Reject> {
        let before = Seq(seq.0.saturating_sub(1));
        let page = self.store.read(room, actor.user, before, 1).await.map_err(|error| self.unavailable(&error))?;
        let entry = page.and_then(|page| page.entries.into_iter().next()).filter(|entry| entry.seq == seq);
        let entry = entry.and_then(|entry| decode_entry(&entry.payload).ok());
        let message = entry.filter(|entry| matches!(entry.content, EntryContent::Message(_)));
        Ok(message.ok_or(RejectCode::UnknownMessage)?.author)
    }

    /// Cases, the newest first.
    ///
    /// # Errors
    /// A room that the actor does not moderate.
    pub async fn list_cases(&self, actor: &Actor, list: ListCases) -> Result<Reply, Reject> {
        let ListCases { room, state, kind, mine, about, before, limit } = list;
        let whose = match room {
            _ if mine => Whose::Of(actor.user),
            _ if may(actor.role, Stewardship::Cases) => Whose::Everybody,
            Some(room) if !self.moderates(actor, room).await? => return Err(RejectCode::Forbidden.into()),
            _ => Whose::ModeratedBy(actor.user),
        };
        let states = match state {
            CaseFilter::Waiting => vec![CaseState::Open, CaseState::Taken, CaseState::Appealed],
            CaseFilter::In(state) => vec![state],
            CaseFilter::Any => {
                vec![CaseState::Open, CaseState::Taken, CaseState::Decided, CaseState::Appealed, CaseState::Closed]
            }
        };
        let now = self.clock.now();
        // What is about a moderator is for others to decide, also where they ask for it.
        let not_about = (!mine).then_some(actor.user);
        let wanted = CasesWanted { whose, room, states, kind, about, not_about, now, before, limit };
        let rows = self.store.list_cases(wanted).await.map_err(|error| self.unavailable(&error))?;
        let next = if rows.len() == limit { rows.last().map_or(CaseId::NONE, |row| row.id) } else { CaseId::NONE };
        let sight = |row: &CaseRow| match mine {
            false => Sight::Moderator,
            true if row.subject == actor.user => Sight::Subject,
            true => Sight::Reporter,
        };
        let cases = rows.iter().map(|row| shown(row, sight(row), now)).collect();
        Ok(Reply::Cases { cases, next })
    }

    /// A case, as far as the actor may see it.
    ///
    /// # Errors
    /// [`RejectCode::UnknownCase`], also where it is nothing to the actor.
    pub async fn case(&self, actor: &Actor, id: CaseId) -> Result<Reply, Reject> {
        let sight = self.sight(actor, id).await?;
        let found = self.store.case(id).await.map_err(|error| self.unavailable(&error))?;
        let CaseRecord { row, events, evidence } = found.ok_or(RejectCode::UnknownCase)?;
        let case = shown(&row, sight, self.clock.now());
        let piece = |entry: confab_protocol::model::Envelope| {
            let subject = entry.seq == row.seq.unwrap_or(Seq(0));
            Evidence { entry, subject }
        };
        let file = match sight {
            Sight::Moderator => CaseFile { case, events, evidence: evidence.into_iter().map(piece).collect() },
            Sight::Subject | Sight::Reporter => {
                let events = events.into_iter().filter_map(|event| event_for(event, sight, actor.user)).collect();
                CaseFile { case, events, evidence: Vec::new() }
            }
        };
        Ok(Reply::Case(Box::new(file)))
    }

    async fn sight(&self, actor: &Actor, id: CaseId) -> Result<Sight, Reject> {
        let row = self.find_case(id).await?;
        // Nobody sees who reported them, whatever they are in the room.
        if row.subject == actor.user {
            return if row.is_known_to_subject() { Ok(Sight::Subject) } else { Err(RejectCode::UnknownCase.into()) };
        }
        if self.moderates(actor, row.room).await? {
            return Ok(Sight::Moderator);
        }
        let reported = self.store.has_reported(id, actor.user).await.map_err(|error| self.unavailable(&error))?;
        if reported { Ok(Sight::Reporter) } else { Err(RejectCode::UnknownCase.into()) }
    }

    async fn find_case(&self, id: CaseId) -> Result<CaseRow, Reject> {
        let found = self.store.find_case(id).await.map_err(|error| self.unavailable(&error))?;
        Ok(found.ok_or(RejectCode::UnknownCase)?)
    }

    /// Takes a case, lets it go, notes something, or decides.
    ///
    /// # Errors
    /// [`RejectCode::UnknownCase`], also for who does not moderate there; [`RejectCode::CaseState`];
    /// [`RejectCode::Forbidden`] about oneself, about one's own decision where there is somebody else, or where a sanction
    /// that one could not have given would be taken back.
    pub async fn update_case(&self, actor: &Actor, update: UpdateCase) -> Result<Reply, Reject> {
        self.limits.check_send(actor.user)?;
        let UpdateCase { case, step } = update;
        let row = self.find_case(case).await?;
        if !self.moderates(actor, row.room).await? || row.subject == actor.user && !row.is_known_to_subject() {
            return Err(RejectCode::UnknownCase.into());
        }
        if row.subject == actor.user {
            return Err(RejectCode::Forbidden.into());
        }
        let (decision, step) = match step {
            CaseStep::Take => (None, Step::Take),
            CaseStep::LetGo => (None, Step::LetGo),
            CaseStep::Note(text) => (None, Step::Note(text)),
            CaseStep::Decide(decision, text) => {
                if decision == CaseDecision::Reverse && !self.may_reverse(actor.user, &row).await? {
                    return Err(RejectCode::Forbidden.into());
                }
                let is_alone = self.is_alone(actor, &row).await?;
                self.check_held(&row, decision).await?;
                (Some(decision), Step::Decide { decision, text, is_alone })
            }
        };
        let row = self.change(case, Some(actor.user), step).await?;
        if let Some(decision) = decision {
            let labels = [kind_name(row.kind), decision_name(decision)];
            self.metrics.case_decisions_total.with_label_values(&labels).inc();
            let row = if row.due { self.carry_out(row).await } else { row };
            self.tell_people(&row).await;
        }
        Ok(Reply::Ok)
    }

    /// What is not kept any more cannot be posted.
    async fn check_held(&self, row: &CaseRow, decision: CaseDecision) -> Result<(), Reject> {
        let posts = matches!(decision, CaseDecision::Release | CaseDecision::Reverse);
        if row.kind != CaseKind::Held || !posts || !row.is_waiting() {
            return Ok(());
        }
        match self.store.find_held(row.id).await.map_err(|error| self.unavailable(&error))? {
            Some(_) => Ok(()),
            None => Err(Reject::new(RejectCode::CaseState, "what was held is not kept any more")),
        }
    }

    /// Whether nobody else could decide, either way.
    async fn is_alone(&self, actor: &Actor, row: &CaseRow) -> Result<bool, Reject> {
        // Whom `may_reverse` would let.
        let rank = match row.kind {
            CaseKind::Sanction => self.rank_in(row.room, row.subject).await?,
            CaseKind::Held | CaseKind::Report | CaseKind::Flag => u8::MAX,
        };
        let other = self.store.has_judge(row.room, [actor.user, row.subject], rank, self.clock.now()).await;
        Ok(!other.map_err(|error| self.unavailable(&error))?)
    }

    /// Whether who moderates there may decide that it was not right. An appeal is no way to lift what one could not lift
    /// oneself: a sanction is taken back by who could have given it.
    async fn may_reverse(&self, user: UserId, row: &CaseRow) -> Result<bool, Reject> {
        if row.kind != CaseKind::Sanction {
            return Ok(true);
        }
        let mine = self.rank_in(row.room, user).await?;
        Ok(access::may_act_on(mine, self.rank_in(row.room, row.subject).await?, None))
    }

    /// Somebody's rank in a room. Who has left is what they were: an owner who comes back owns it still.
    pub(super) async fn rank_in(&self, room: RoomId, user: UserId) -> Result<u8, Reject> {
        let account = self.store.find_user(user).await.map_err(|error| self.unavailable(&error))?;
        let account = account.ok_or(RejectCode::UnknownUser)?;
        let seat = self.store.seat(room, user).await.map_err(|error| self.unavailable(&error))?;
        Ok(access::rank(seat.map_or(RoomRole::Guest, |(role, _)| role), account.role))
    }

    /// Asks for another look at a decision about the actor.
    ///
    /// # Errors
    /// [`RejectCode::UnknownCase`]; [`RejectCode::CaseState`] for what is not decided, was looked at again, or too long ago;
    /// what plugins refuse.
    pub async fn appeal(&self, actor: &Actor, appeal: Appeal) -> Result<Reply, Reject> {
        self.limits.check_report(actor.user)?;
        let Appeal { case, text } = appeal;
        let row = self.find_case(case).await?;
        if row.subject != actor.user || !row.is_known_to_subject() {
            return Err(RejectCode::UnknownCase.into());
        }
        // Nobody is asked about what cannot be.
        let decision = row.decision.filter(|_| row.is_appealable(self.clock.now())).ok_or(RejectCode::CaseState)?;
        let act = Act::Appeal { room: row.room, kind: row.kind, decision, text: text.as_str() };
        self.check_act(actor, act).await?;
        let row = self.change(case, Some(actor.user), Step::Appeal(text)).await?;
        self.metrics.appeals_total.inc();
        self.tell_moderators(&row, actor.user).await;
        Ok(Reply::Ok)
    }

    /// Moves a case on.
    ///
    /// # Errors
    /// Why it cannot be.
    pub(super) async fn change(&self, case: CaseId, actor: Option<UserId>, step: Step) -> Result<CaseRow, Reject> {
        let (now, record) = (self.clock.now(), self.audit_id());
        let change = CaseChange { case, record, actor, now, step };
        let changed = self.store.change_case(change).await.map_err(|error| self.unavailable(&error))?;
        Ok(changed.ok_or(RejectCode::UnknownCase)??)
    }

    /// Records of the audit, the newest first.
    ///
    /// # Errors
    /// [`RejectCode::Forbidden`]: not of a room that the actor moderates, and no moderator of the server.
    pub async fn list_audit(&self, actor: &Actor, list: ListAudit) -> Result<Reply, Reject> {
        let is_allowed = match list.room {
            _ if may(actor.role, Stewardship::Cases) => true,
            Some(room) => self.moderates(actor, room).await?,
            None => false,
        };
        if !is_allowed {
            return Err(RejectCode::Forbidden.into());
        }
        let records = self.store.list_audit(list, actor.user).await.map_err(|error| self.unavailable(&error))?;
        // A page may end at its bytes: only an empty one tells that it was the last.
        let next = records.last().map_or(AuditId::NONE, |entry: &AuditEntry| entry.id);
        Ok(Reply::Audit { records, next })
    }

    /// Whether the actor decides about what is said in a room: as a moderator of it, or of the server.
    async fn moderates(&self, actor: &Actor, room: RoomId) -> Result<bool, Reject> {
        if may(actor.role, Stewardship::Cases) {
            return Ok(true);
        }
        let found = self.store.room(room, actor.user).await.map_err(|error| self.unavailable(&error))?;
        // Two people have no ranks.
        if !found.is_some_and(|room| matches!(room.kind, RoomKind::Channel | RoomKind::Private)) {
            return Ok(false);
        }
        let membership = self.store.membership(room, actor.user).await.map_err(|error| self.unavailable(&error))?;
        let is_active = access::check_active(membership, self.clock.now()).is_ok();
        let rank = membership.map_or(u8::MAX, |it| access::rank(it.role, actor.role));
        Ok(is_active && access::has_right(rank, access::Right::Moderate))
    }

    /// There is a new case. Who makes many does not fill the logs of moderators with them.
    pub(super) async fn tell_of_new(&self, row: &CaseRow, from: UserId) {
        if self.limits.may_tell(row.room) {
            self.tell_moderators(row, from).await;
        }
    }

    /// There is news for those who moderate the room, but for the one that it comes from. That nobody could be told of it
    /// is no reason to refuse: the case is in their list.
    pub(super) async fn tell_moderators(&self, row: &CaseRow, from: UserId) {
        match self.store.moderators(row.room, [from, row.subject], self.clock.now(), TOLD_MAX).await {
            Ok(others) => self.tell(row, others).await,
            Err(error) => drop(self.unavailable(&error)),
        }
    }

    /// There is news for whom it is about, and for those who reported it.
    pub(super) async fn tell_people(&self, row: &CaseRow) {
        let mut people = match self.store.reporters(row.id, TOLD_MAX).await {
            Ok(people) => people,
            Err(error) => {
                self.unavailable(&error);
                Vec::new()
            }
        };
        if row.is_known_to_subject() {
            match self.store.find_self_room(row.subject).await {
                Ok(self_room) => people.extend(self_room.map(|self_room| (row.subject, self_room))),
                Err(error) => drop(self.unavailable(&error)),
            }
        }
        self.tell(row, people).await;
    }

    async fn tell(&self, row: &CaseRow, people: Vec<(UserId, RoomId)>) {
        let note = SelfNote::Case { case: row.id, room: row.room, state: row.state };
        let mut receipts = Vec::with_capacity(people.len());
        for (user, self_room) in people {
            receipts.push(self.log.append(self.note_for(user, self_room, note)).await);
        }
        for receipt in receipts {
            if let Ok(Err(error)) = receipt.await {
                self.unavailable(&error);
            }
        }
    }
}

/// What somebody may know of a case.
fn shown(row: &CaseRow, sight: Sight, now: Millis) -> Case {
    let is_moderator = sight == Sight::Moderator;
    Case {
        id: row.id,
        kind: row.kind,
        state: row.state,
        decision: row.outcome(),
        room: row.room,
        subject: row.subject,
        seq: row.seq,
        opened: row.opened,
        changed: row.changed,
        reports: if is_moderator { row.reports } else { 0 },
        // Who reported knows their own; another's, who may have been first, is not theirs to know.
        reason: row.reason.filter(|_| sight != Sight::Reporter),
        assignee: row.assignee.filter(|_| is_moderator),
        appealable: sight == Sight::Subject && row.is_appealable(now),
    }
}

/// What others than moderators may know of what was done: what they did themselves, what was decided, and what was done to
/// them.
fn event_for(event: CaseEvent, sight: Sight, me: UserId) -> Option<CaseEvent> {
    let is_mine = event.actor == Some(me);
    // Of a sanction the beginning is the decision.
    let is_sanction = event.act == CaseAct::Open && event.decision == Some(CaseDecision::Sanction);
    match event.act {
        CaseAct::Open if is_sanction && sight == Sight::Subject => Some(CaseEvent { actor: None, ..event }),
        CaseAct::Open | CaseAct::Report | CaseAct::Appeal => is_mine.then_some(event),
        CaseAct::Decide => Some(CaseEvent { actor: None, ..event }),
        CaseAct::Fail => (sight == Sight::Subject).then_some(CaseEvent { actor: None, ..event }),
        CaseAct::Take | CaseAct::LetGo | CaseAct::Note => None,
    }
}
