//! Plugins that act: each by an account of its own, its deputy, with the rank of a moderator of the server, on the same
//! straight lines as people. What such a one may not do, it may not. No plugin is asked about any of it: one that acts
//! whenever it is asked would go round for ever.

mod places;

use std::sync::Arc;

use confab_protocol::codec::decode_entry;
use confab_protocol::command::{Delete, SanctionUser, UpdateRoom, Write};
use confab_protocol::model::{
    CaseText, ClientId, DeviceId, DisplayName, Millis, Reason, ReportReason, RoomId, RoomRole, SanctionKind, Seq,
    ServerRole, UserId, Username,
};
use confab_protocol::reject::{Reject, RejectCode};

pub use self::places::Acted;
use super::access::{self, Right};
use super::append::OrderGuard;
use super::audit::{AuditKey, sanction_word};
use super::auth::Actor;
use super::cases::NewRecord;
use super::hook::Mark;
use super::publish::{Admitted, DEDUPE_WINDOW_MS, digest};
use super::standing::Scopes;
use super::store::{self, Created, Membership, NewUser, Restriction, new_incarnation};
use super::{Core, names};

/// What the audit calls the hook of what plugins found where they act.
pub(crate) const HOOK: &str = "actions";

/// A deed is told from others by the event that a plugin was called about, if that is no longer ago. An older one, and one that
/// waited, would be too old to be told apart at all.
const EVENT_AGE_MS_MAX: u64 = DEDUPE_WINDOW_MS / 2;

/// Something that a plugin wants done, once.
#[derive(Clone, Debug)]
pub struct Deed {
    /// By which it is told whether it was done already ([`What::id`]): it is not done a second time.
    pub id: ClientId,
    /// What.
    pub what: What,
    /// Which plugin wants it, and why.
    pub mark: Mark,
}

/// See [`Deed`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub enum What {
    /// A message goes.
    Delete { room: RoomId, seq: Seq },
    /// Something is done to somebody, for so long; 0: until it is lifted.
    Sanction { room: RoomId, user: UserId, kind: SanctionKind, duration_ms: u64 },
    /// A case about a message or, without one, about somebody.
    Case { room: RoomId, about: UserId, seq: Option<Seq>, reason: ReportReason },
    /// The least time between two messages of a member.
    SlowMode { room: RoomId, ms: u32 },
}

impl What {
    /// For metrics and the audit.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Delete { .. } => "delete",
            Self::Sanction { kind, .. } => sanction_word(*kind),
            Self::Case { .. } => "case",
            Self::SlowMode { .. } => "slow-mode",
        }
    }

    /// As what it is known. A plugin that wants the same again because of the same event wants it once: what was said is
    /// shown to one that observes by each server, and again after a crash.
    #[must_use]
    pub fn id(&self, plugin: &str, event: Millis, now: Millis) -> ClientId {
        let is_recent = now.since(event) <= EVENT_AGE_MS_MAX && event.since(now) <= EVENT_AGE_MS_MAX;
        let hash = digest("deed", &[plugin.as_bytes(), format!("{self:?}").as_bytes()]);
        ClientId::new(if is_recent { event } else { now }, u128::from_le_bytes(hash))
    }

    /// Where.
    #[must_use]
    pub const fn room(&self) -> RoomId {
        match self {
            Self::Delete { room, .. }
            | Self::Sanction { room, .. }
            | Self::Case { room, .. }
            | Self::SlowMode { room, .. } => *room,
        }
    }
}

/// What came of a deed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Performed {
    /// It is done.
    Now,
    /// It was done before: by a try whose answer was lost, or by another server.
    Before,
}

/// Why a plugin has no account to act by.
#[derive(Debug, thiserror::Error)]
pub enum DeputyError {
    /// There is one of that name, or one that looks like it, and it is no deputy's.
    #[error(
        "it acts by the account {0}, which is somebody else's, or looks like one: erase that, or take the grant back"
    )]
    Taken(String),
    /// It cannot be looked up or made.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Core {
    /// The deputy of a plugin as it is now; it is made where it is missing.
    ///
    /// # Errors
    /// [`DeputyError`].
    pub async fn deputy(&self, plugin: &str) -> Result<Actor, DeputyError> {
        let taken = || DeputyError::Taken(format!("{}{plugin}", names::DEPUTY_PREFIX));
        let username = names::deputy_name(plugin).map_err(|_| taken())?;
        let found = match self.store.find_login(username.clone()).await? {
            Some(found) => found,
            None => {
                self.make_deputy(&username).await?;
                self.store.find_login(username).await?.ok_or_else(taken)?
            }
        };
        match found {
            // Without a password nobody logs in to it; bots come by keys.
            (user, None) if !matches!(user.role, ServerRole::Owner | ServerRole::Bot) => {
                let scopes = Scopes::READ.and(Scopes::WRITE).and(Scopes::MODERATE);
                Ok(Actor::new(&user, DeviceId::NONE, Millis::NEVER, scopes))
            }
            _ => Err(taken()),
        }
    }

    /// Another server may be faster, and somebody may have a name that looks like it: whoever asks looks again.
    async fn make_deputy(&self, username: &Username) -> store::Result<()> {
        // Shown as nobody else is.
        let Ok(display_name) = DisplayName::parse(username.as_str()) else { return Ok(()) };
        let now = self.clock.now();
        let user = NewUser {
            id: UserId::new(now, self.clock.random()),
            username_key: names::user_key(username),
            username: username.clone(),
            display_name,
            role: ServerRole::Moderator,
            password_hash: None,
            self_room: RoomId::new(now, self.clock.random()),
            incarnation: new_incarnation(self.clock.random()),
            created: now,
            audit_key: AuditKey::from_u128(self.clock.random()),
            ticket: None,
        };
        let id = user.id;
        if self.store.create_user(user).await? == Created::Yes {
            let mut record = self.record(UserId::NONE, "server-role", RoomId::NONE, id);
            "-> moderator".clone_into(&mut record.detail);
            self.store.audit(vec![self.numbered(record)]).await?;
        }
        Ok(())
    }

    /// Does what a plugin wants, by its deputy.
    ///
    /// # Errors
    /// What refuses it. What may pass has a time to wait, or is [`RejectCode::Unavailable`] or
    /// [`RejectCode::ChangedMeanwhile`]: the same deed can be tried again then.
    pub async fn perform(&self, deed: &Deed) -> Result<Performed, Reject> {
        let actor = self.deputy(&deed.mark.plugin).await.map_err(|error| match error {
            DeputyError::Taken(_) => Reject::from(RejectCode::Forbidden),
            DeputyError::Store(error) => self.unavailable(&error),
        })?;
        if actor.restriction.is_some_and(|it| it.silences(self.clock.now())) {
            return Err(RejectCode::Muted.into());
        }
        let done = self.store.find_recorded(deed.what.room(), actor.user, deed.id).await;
        if done.map_err(|error| self.unavailable(&error))?.is_some() {
            return Ok(Performed::Before);
        }
        match deed.what {
            What::Delete { room, seq } => self.delete_by(&actor, deed, (room, seq)).await,
            What::Sanction { room, user, kind, duration_ms } => {
                self.sanction_by(&actor, deed, (room, user), kind, duration_ms).await
            }
            What::Case { room, about, seq, reason } => self.report_by(&actor, deed, room, (about, seq), reason).await,
            What::SlowMode { room, ms } => self.slow_down_by(&actor, deed, room, ms).await,
        }
    }

    async fn delete_by(&self, actor: &Actor, deed: &Deed, (room, seq): (RoomId, Seq)) -> Result<Performed, Reject> {
        let mine = self.enter(actor, room).await?;
        let author = self.find_message(room, seq).await?.author;
        self.check_below(actor, mine, room, author).await?;
        let delete = Delete { write: write(deed), seqs: vec![seq] };
        let admitted = self.delete_for(actor, &order(), delete, self.found(deed, author, Some(seq))).await?;
        self.finish(admitted).await
    }

    async fn sanction_by(
        &self,
        actor: &Actor,
        deed: &Deed,
        (room, user): (RoomId, UserId),
        kind: SanctionKind,
        duration_ms: u64,
    ) -> Result<Performed, Reject> {
        let mine = self.enter(actor, room).await?;
        self.check_below(actor, mine, room, user).await?;
        // Everybody in the room reads it: what is none goes without.
        let reason = Reason::parse(&deed.mark.shown).or_else(|_| Reason::parse(""));
        let reason = reason.map_err(|_| RejectCode::Internal)?;
        let sanction = SanctionUser { write: write(deed), user, kind, duration_ms, reason };
        let admitted = self.sanction_for(actor, &order(), sanction, self.found(deed, user, None)).await?;
        self.finish(admitted).await
    }

    /// As a flag opens a case wherever its message is, so does this: nobody need be in the room. Who puts the account out of
    /// it, or mutes it there, is obeyed all the same.
    async fn report_by(
        &self,
        actor: &Actor,
        deed: &Deed,
        room: RoomId,
        (about, seq): (UserId, Option<Seq>),
        reason: ReportReason,
    ) -> Result<Performed, Reject> {
        let seat = self.store.seat(room, actor.user).await.map_err(|error| self.unavailable(&error))?;
        let is_silenced = |(role, restriction): (RoomRole, Option<Restriction>)| {
            let is_restricted = restriction.is_some_and(|it| it.silences(self.clock.now()));
            is_restricted || matches!(role, RoomRole::Muted | RoomRole::Banned)
        };
        if seat.is_some_and(is_silenced) {
            return Err(RejectCode::Forbidden.into());
        }
        let subject = match seq {
            Some(seq) => self.find_message(room, seq).await?.author,
            None => {
                self.place_of(about, room).await?.ok_or(RejectCode::UnknownUser)?;
                about
            }
        };
        if subject == actor.user {
            return Err(RejectCode::Forbidden.into());
        }
        self.limits.check_report(actor.user)?;
        let found = self.found(deed, subject, seq);
        let reported = self.keep_report(actor.user, room, (subject, seq), reason, case_text(&deed.mark), found).await?;
        // No entry tells that it was done: what it reported is told by the case, for as long as that is open.
        Ok(if reported.is_known { Performed::Before } else { Performed::Now })
    }

    async fn slow_down_by(&self, actor: &Actor, deed: &Deed, room: RoomId, ms: u32) -> Result<Performed, Reject> {
        let mine = self.enter(actor, room).await?;
        if !access::has_right(access::rank(mine.role, actor.role), Right::Configure) {
            return Err(RejectCode::Forbidden.into());
        }
        let update = UpdateRoom {
            write: write(deed),
            name: None,
            topic: None,
            slow_mode_ms: Some(ms),
            retention_ms: None,
            visibility: None,
            knocks: None,
            rights: None,
        };
        let admitted = self.update_room_for(actor, &order(), update, self.found(deed, UserId::NONE, None)).await?;
        self.finish(admitted).await
    }

    /// A person of a moderator's rank may delete what a higher one said; a plugin may not.
    async fn check_below(&self, actor: &Actor, mine: Membership, room: RoomId, user: UserId) -> Result<(), Reject> {
        let theirs = self.rank_in(room, user).await?;
        let is_below = access::may_act_on(access::rank(mine.role, actor.role), theirs, None);
        if is_below && user != actor.user { Ok(()) } else { Err(RejectCode::Forbidden.into()) }
    }

    /// What it found, to be kept in the transaction of what is done: of what is refused nothing is found.
    fn found(&self, deed: &Deed, user: UserId, seq: Option<Seq>) -> Vec<NewRecord> {
        let mut records = self.findings(HOOK, user, deed.what.room(), vec![deed.mark.clone()]);
        records.iter_mut().for_each(|it| it.record.seq = seq);
        records
    }

    /// What plugins in shadow mode would have done, as findings that count for nothing. Whether they could have, by rank and
    /// place, nobody has looked at.
    pub(super) async fn wanted_records(&self) -> Vec<NewRecord> {
        let mut records = Vec::new();
        for mut deed in self.moderator.take_wanted() {
            let (about, seq) = match deed.what {
                What::Delete { seq, .. } => (UserId::NONE, Some(seq)),
                What::Sanction { user, .. } => (user, None),
                What::Case { about, seq, .. } => (about, seq),
                What::SlowMode { .. } => (UserId::NONE, None),
            };
            let room = deed.what.room();
            // Whom it is about is not shown it, also where that is whoever said it.
            let quoted = match seq {
                Some(seq) => self.author_at(room, seq).await,
                None => Some(about),
            };
            // A note goes with whom it may quote: of nobody known it would stay for ever. And the room is the plugin's word,
            // which may be wrong: those who moderate it are shown nothing of who was never there.
            let is_quotable = match quoted {
                Some(user) => self.is_quotable(room, user).await,
                None => false,
            };
            if !is_quotable {
                deed.mark.note.clear();
            }
            records.extend(self.found(&deed, quoted.unwrap_or(about), seq));
        }
        records
    }

    /// Who said what is there, or was: what stands in its place has its author.
    async fn author_at(&self, room: RoomId, seq: Seq) -> Option<UserId> {
        let found = self.store.find_entries(room, vec![seq]).await.map_err(|error| self.unavailable(&error)).ok()?;
        Some(decode_entry(&found.first()?.payload).ok()?.author)
    }

    /// Whether somebody is in a room, or was, and their account is not erased: then nothing may be kept that quotes them.
    /// Where that cannot be read, they are taken for strangers.
    async fn is_quotable(&self, room: RoomId, user: UserId) -> bool {
        let seat = self.store.seat(room, user).await.map_err(|error| self.unavailable(&error));
        if !matches!(seat, Ok(Some(_))) {
            return false;
        }
        let account = self.store.find_user(user).await.map_err(|error| self.unavailable(&error));
        account.is_ok_and(|it| it.is_some_and(|user| user.audit_key.is_some()))
    }

    async fn finish(&self, admitted: Admitted) -> Result<Performed, Reject> {
        match admitted {
            Admitted::Done(_) => Ok(Performed::Before),
            Admitted::Queued(queued) => match self.settle(queued).await {
                Ok(_) => Ok(Performed::Now),
                // Another server was faster at it.
                Err(reject) if reject.is(RejectCode::ClientIdReused) => Ok(Performed::Before),
                Err(reject) => Err(reject),
            },
        }
    }
}

/// It stands behind nothing else that its deputy does: each is waited for.
fn order() -> Arc<OrderGuard> {
    Arc::default()
}

const fn write(deed: &Deed) -> Write {
    Write { room: deed.what.room(), client_id: deed.id, resend: false }
}

/// For moderators. A note that cannot be shown is left out.
fn case_text(mark: &Mark) -> CaseText {
    let Mark { rule, note, .. } = mark;
    let text = if note.is_empty() { rule.clone() } else { format!("{rule}: {note}") };
    CaseText::parse(&text).or_else(|_| CaseText::parse(rule)).unwrap_or_default()
}
