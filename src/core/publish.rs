//! The straight line of one message: resend? access, limits, plugins, sequencer. It reads top to bottom.

use std::sync::Arc;

use aws_lc_rs::digest;
use bytes::Bytes;
use confab_protocol::codec::encode_entry;
use confab_protocol::command::{Appended, Command, CreateRoom, Publish, Reply, Write};
use confab_protocol::limits::RETENTION_MS_MIN;
use confab_protocol::model::{Body, CaseId, ClientId, Entry, EntryContent, Message, Millis, RoomId, Seq, UserId};
use confab_protocol::reject::{Reject, RejectCode};
use confab_protocol::text::TextError;

use super::Core;
use super::access::{self, Action};
use super::append::{Change, Decision, Item, OrderGuard, Said, recorded_decision};
use super::audit::{Judged, hold_text};
use super::auth::Actor;
use super::cases::{Beside, NewRecord};
use super::excess::unheld;
use super::hook::{Mark, MessageEvent, Presently, Ruling, TextKind, Verdict, Wants};
use super::log::Receipt;
use super::store::{Membership, Outcome, Recorded, Unappended};
use super::target::Aim;

/// Client ids older than this are not told apart from new ones by a client that lost its memory.
pub const DEDUPE_WINDOW_MS: u64 = 24 * 3600 * 1000;

/// How far a client's clock may be ahead, milliseconds: with the window, less than the shortest retention.
const AHEAD_MS_MAX: u64 = DEDUPE_WINDOW_MS / 2;
const _: () = assert!(AHEAD_MS_MAX + DEDUPE_WINDOW_MS < RETENTION_MS_MIN);

/// Told to authors while a plugin that must decide is out of service, milliseconds.
pub(super) const UNAVAILABLE_RETRY_MS: u64 = 5_000;

/// A message that passed admission.
pub enum Admitted {
    /// Decided already: a resend, or held.
    Done(Reply),
    /// Queued; the outcome comes after the commit.
    Queued(Queued),
}

/// A message that waits for its commit.
#[derive(Debug)]
pub struct Queued {
    receipt: Receipt,
    altered: bool,
    room: RoomId,
    author: UserId,
    acl_version: u64,
}

impl Queued {
    /// Where it goes.
    #[must_use]
    pub const fn room(&self) -> RoomId {
        self.room
    }
}

impl Core {
    /// Admits a message.
    ///
    /// # Errors
    /// Whatever refuses it; nothing was appended then.
    pub async fn publish(&self, actor: &Actor, order: &Arc<OrderGuard>, publish: Publish) -> Result<Admitted, Reject> {
        let Publish { room, client_id, resend, body, reply_to } = publish;
        let write = Write { room, client_id, resend };
        let digest = message_digest(reply_to, body.as_str());
        let membership = match self.admit(actor, write, digest, Some(Action::Post)).await? {
            Admission::Granted(membership) => membership,
            Admission::Known(reply) => return Ok(Admitted::Done(reply)),
        };
        let message = |body, mentions| EntryContent::Message(Message { body, reply_to, mentions });
        let aim = reply_to.map_or(Aim::Nothing, Aim::At);
        let ruling = self.decide_text(actor, TextKind::New, (room, Some(membership)), body.as_str(), aim).await;
        let held = |body| encode_entry(&Entry { author: actor.user, client_id, content: message(body, Vec::new()) });
        let asked = Asked { actor, write, digest, kind: TextKind::New };
        let (body, sent, shadowed, marks) = match self.apply(asked, ruling, body, &held).await? {
            Applied::Post { body, sent, shadowed, marks } => (body, sent, shadowed, marks),
            Applied::Done(reply) => return Ok(Admitted::Done(reply)),
        };
        let mentions = self.find_mentions(room, &body).await?;
        let shadowed = shadowed || self.is_shadowed(actor, membership);
        let change = Change::Message(Said { reply_to, mentions: mentions.clone(), shadowed });
        let (altered, judged) = (sent.is_some(), judged(actor, sent.as_ref(), &body));
        let beside = self.beside_findings(None, judged, room, marks);
        let content = message(body, mentions);
        Ok(self
            .queue(
                actor,
                order,
                write,
                Queueing { digest, altered, membership, content, change, then: Vec::new(), beside },
            )
            .await)
    }

    /// Whether a command is sent again and has its outcome.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn is_recorded(&self, actor: &Actor, command: &Command) -> Result<bool, Reject> {
        let Some((room, client_id)) = resent(command) else { return Ok(false) };
        let found = self.store.find_recorded(room, actor.user, client_id).await;
        Ok(found.map_err(|error| self.unavailable(&error))?.is_some())
    }

    /// Whether a command that was just refused has another outcome: its first copy may have been queued yet when it was
    /// looked for.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn is_decided_otherwise(
        &self,
        actor: &Actor,
        command: &Command,
        refused: &Reject,
    ) -> Result<bool, Reject> {
        let Some((room, client_id)) = resent(command) else { return Ok(false) };
        if refused.is(RejectCode::ClientIdReused) {
            return Ok(false);
        }
        self.log.settled(room).await.map_err(|error| self.unavailable(&error))?;
        let found = self.store.find_recorded(room, actor.user, client_id).await;
        let found = found.map_err(|error| self.unavailable(&error))?;
        let is_other = |it: Recorded| !matches!(it.outcome, Outcome::Refused { code, .. } if code == refused.code);
        Ok(found.is_some_and(is_other))
    }

    /// What every write begins with: is it a resend, may its author do that here, are they too fast?
    pub(super) async fn admit(
        &self,
        actor: &Actor,
        write: Write,
        digest: [u8; 16],
        action: Option<Action>,
    ) -> Result<Admission, Reject> {
        if write.resend
            && let Some(reply) = self.recorded(actor, write.room, write.client_id, digest).await?
        {
            return Ok(Admission::Known(reply));
        }
        let now = self.clock.now();
        check_age(write.client_id, now)?;
        let mut membership = self.membership(actor, write.room).await?;
        let check = |membership| match action {
            Some(action) => access::check_action(Some(membership), actor.role, action, now),
            None => access::check_active(Some(membership), now),
        };
        if check(membership).is_err() {
            // What is remembered may be older than a lifted mute or a new role; only a grant is checked again.
            self.memberships.remove(write.room, actor.user);
            membership = self.membership(actor, write.room).await?;
            check(membership)?;
        }
        self.limits.check_post(actor.user, write.room, self.delivery.count_attached(write.room))?;
        Ok(Admission::Granted(membership))
    }

    /// Whether what they say is kept from others, there or everywhere.
    pub(super) fn is_shadowed(&self, actor: &Actor, membership: Membership) -> bool {
        let now = self.clock.now();
        actor.restriction.is_some_and(|it| it.shadows(now)) || membership.restriction.is_some_and(|it| it.shadows(now))
    }

    /// The one question to the plugins.
    pub(super) async fn decide_text(
        &self,
        actor: &Actor,
        kind: TextKind,
        (room, membership): (RoomId, Option<Membership>),
        text: &str,
        aim: Aim<'_>,
    ) -> Ruling {
        let wants = self.moderator.wants();
        let wants = if kind.is_said() { wants } else { Wants { target: wants.target, ..Wants::default() } };
        // Beside each other: what is read for plugins is what each message waits for.
        let (earlier, context, about) = tokio::join!(
            async { if wants.history { self.earlier(room, actor.user).await } else { None } },
            async { if wants.context { self.context(actor, room).await } else { None } },
            async { if wants.target { self.about(actor, room, aim).await } else { None } }
        );
        let event = MessageEvent {
            kind,
            room,
            author: actor.user,
            username: actor.username.as_str(),
            role: actor.role,
            account_created: actor.user.created(),
            member: membership.map(|it| Presently { role: it.role, joined: it.joined }),
            now: self.clock.now(),
            body: text,
            earlier: earlier.as_ref(),
            context,
            about: about.as_ref(),
        };
        self.moderator.decide_message(event).await
    }

    /// Encodes it and puts it into the queue.
    pub(super) async fn queue(
        &self,
        actor: &Actor,
        order: &Arc<OrderGuard>,
        write: Write,
        queueing: Queueing,
    ) -> Admitted {
        let Queueing { digest, altered, membership, content, change, then, beside } = queueing;
        let (room, author, client_id, acl_version) = (write.room, actor.user, write.client_id, membership.acl_version);
        let payload = encode_entry(&Entry { author, client_id, content });
        let order = order.admit(room);
        let item = Item { room, author, client_id, digest, payload, altered, change, acl_version, order, then, beside };
        let receipt = self.log.append(item).await;
        Admitted::Queued(Queued { receipt, altered, room, author, acl_version })
    }

    /// The answer to an author whose message was queued.
    ///
    /// # Errors
    /// What the transaction refused, or a store that failed.
    pub async fn settle(&self, queued: Queued) -> Result<Reply, Reject> {
        let Queued { receipt, altered, room, author, acl_version: checked } = queued;
        let decision = receipt.await.map_err(|_| RejectCode::Unavailable)?.map_err(|error| self.unavailable(&error))?;
        match decision {
            Decision::Append { seq, time, acl_version, .. } => {
                // It was checked again inside the transaction; the next one need not be.
                if acl_version != checked {
                    self.memberships.remove(room, author);
                }
                Ok(Reply::Appended(Appended { seq, time, altered, duplicate: false }))
            }
            Decision::Recorded(outcome) => self.recorded_reply(outcome),
            Decision::Refuse(code) => Err(code.into()),
            Decision::TooSoon { retry_after_ms } => Err(Reject::retry(RejectCode::SlowMode, retry_after_ms)),
            Decision::Unchanged => Ok(Reply::Ok),
        }
    }

    fn recorded_reply(&self, outcome: Outcome) -> Result<Reply, Reject> {
        self.metrics.entries_duplicate_total.inc();
        match outcome {
            Outcome::Appended(appended) => Ok(Reply::Appended(appended)),
            Outcome::Held(case) => Ok(Reply::Held(case)),
            Outcome::Refused { code, detail } => Err(Reject { code, detail, retry_after_ms: 0 }),
        }
    }

    pub(super) async fn recorded(
        &self,
        actor: &Actor,
        room: RoomId,
        id: ClientId,
        digest: [u8; 16],
    ) -> Result<Option<Reply>, Reject> {
        let found = self.store.find_recorded(room, actor.user, id).await.map_err(|error| self.unavailable(&error))?;
        found.map(|recorded| self.recorded_earlier(recorded, digest)).transpose()
    }

    /// What was decided about this client id before is what holds.
    fn recorded_earlier(&self, recorded: Recorded, digest: [u8; 16]) -> Result<Reply, Reject> {
        match recorded_decision(recorded, digest) {
            Decision::Recorded(outcome) => self.recorded_reply(outcome),
            Decision::Refuse(code) => Err(code.into()),
            _ => Err(RejectCode::Internal.into()),
        }
    }

    /// The actor's place in a room, from the cache or the store.
    ///
    /// # Errors
    /// [`RejectCode::NotMember`], also for rooms that do not exist: strangers are not told apart.
    pub(super) async fn membership(&self, actor: &Actor, room: RoomId) -> Result<Membership, Reject> {
        if let Some(membership) = self.memberships.find(room, actor.user) {
            return Ok(membership);
        }
        let found = self.store.membership(room, actor.user).await.map_err(|error| self.unavailable(&error))?;
        let membership = found.ok_or(RejectCode::NotMember)?;
        self.memberships.insert(room, actor.user, membership);
        Ok(membership)
    }

    /// What a verdict makes of a text: the body to post, or an outcome that is recorded instead.
    pub(super) async fn apply(
        &self,
        asked: Asked<'_>,
        ruling: Ruling,
        body: Body,
        held: &(dyn Fn(Body) -> Bytes + Sync),
    ) -> Result<Applied, Reject> {
        let Ruling { verdict, marks, replaced } = ruling;
        let (code, reason, note) = match verdict {
            Verdict::Allow => return Ok(Applied::Post { body, sent: None, shadowed: false, marks }),
            Verdict::Shadow(None) => return Ok(Applied::Post { body, sent: None, shadowed: true, marks }),
            Verdict::Replace(ref text) | Verdict::Shadow(Some(ref text)) => match Body::parse(text) {
                Ok(made) => {
                    let shadowed = matches!(verdict, Verdict::Shadow(_));
                    return Ok(Applied::Post { body: made, sent: Some(body), shadowed, marks });
                }
                // Nothing is left once it is cleaned: that is the author's to know.
                Err(TextError::Blank) => {
                    (RejectCode::BodyBlank, RejectCode::BodyBlank.text().to_owned(), "replaced by nothing".to_owned())
                }
                // What is no body at all is the plugin's failure, and held like any other.
                Err(error) => {
                    let verdict = Verdict::Hold { note: format!("the plugin's replacement {error}") };
                    return Box::pin(self.apply(asked, Ruling { verdict, marks, replaced: None }, body, held)).await;
                }
            },
            Verdict::Hold { note } => {
                let note = hold_text(&marks, note);
                let made = replaced.and_then(|text| Body::parse(&text).ok());
                if let Err(limited) = self.limits.check_hold(asked.actor.user) {
                    // Nothing is recorded of the message, which may come again; what was found of it was found.
                    let judged = Judged::of(asked.actor, body.as_str(), made.as_ref().map(Body::as_str));
                    self.keep_findings(asked.kind, judged, asked.write.room, unheld(marks)).await?;
                    return Err(limited);
                }
                let found = self.found_of(asked, &body, made.as_ref(), marks);
                return self.hold(asked, found, held(made.unwrap_or(body)), note).await;
            }
            // It passes: nothing is recorded, so a resend is decided then.
            Verdict::Unavailable { reason } => {
                let judged = Judged::of(asked.actor, body.as_str(), None);
                self.keep_findings(asked.kind, judged, asked.write.room, marks).await?;
                return Err(Reject { detail: reason, ..Reject::retry(RejectCode::Busy, UNAVAILABLE_RETRY_MS) });
            }
            Verdict::Bounce { reason } => (RejectCode::Bounced, reason, String::new()),
            Verdict::Reject { reason, note } => (RejectCode::ByPlugin, reason, note),
        };
        let reject = Reject::new(code, if reason.is_empty() { code.text().to_owned() } else { reason });
        let outcome = Outcome::Refused { code: reject.code, detail: reject.detail.clone() };
        let found = self.found_of(asked, &body, None, marks);
        let refused = self.unappended(asked, found, outcome, (Bytes::new(), note));
        match self.keep_outcome(asked.write, refused).await? {
            None => Err(reject),
            Some(recorded) => self.recorded_earlier(recorded, asked.digest).map(Applied::Done),
        }
    }

    /// Keeps what was decided, unless something was before. So was a first copy that is queued yet: what a plugin thinks of
    /// it by now must not come between.
    async fn keep_outcome(&self, write: Write, decided: Unappended) -> Result<Option<Recorded>, Reject> {
        if write.resend {
            self.log.settled(write.room).await.map_err(|error| self.unavailable(&error))?;
        }
        self.store.record(decided).await.map_err(|error| self.unavailable(&error))
    }

    /// Into the review queue.
    async fn hold(
        &self,
        asked: Asked<'_>,
        found: Vec<NewRecord>,
        payload: Bytes,
        note: String,
    ) -> Result<Applied, Reject> {
        let case = CaseId::new(self.clock.now(), self.clock.random());
        let held = self.unappended(asked, found, Outcome::Held(case), (payload, note));
        let opened = held.case();
        if let Some(recorded) = self.keep_outcome(asked.write, held).await? {
            return self.recorded_earlier(recorded, asked.digest).map(Applied::Done);
        }
        self.metrics.cases_opened_total.with_label_values(&["held"]).inc();
        if let Some(opened) = opened {
            self.tell_of_new(&opened.row, asked.actor.user).await;
        }
        Ok(Applied::Done(Reply::Held(case)))
    }

    /// What is kept of what plugins found of a text that is not appended.
    fn found_of(&self, asked: Asked<'_>, sent: &Body, made: Option<&Body>, marks: Vec<Mark>) -> Vec<NewRecord> {
        let judged = Judged::of(asked.actor, sent.as_str(), made.map(Body::as_str));
        self.findings_of(asked.kind, judged, asked.write.room, marks)
    }

    fn unappended(
        &self,
        asked: Asked<'_>,
        mut audit: Vec<NewRecord>,
        outcome: Outcome,
        (payload, note): (Bytes, String),
    ) -> Unappended {
        let Asked { actor, write, digest, .. } = asked;
        if let Outcome::Held(case) = outcome {
            audit.iter_mut().for_each(|new| new.record.case = case);
        }
        let (room, author, client_id, time) = (write.room, actor.user, write.client_id, self.clock.now());
        Unappended { room, author, client_id, digest, time, outcome, payload, note, audit }
    }
}

/// See [`Core::admit`].
pub(super) enum Admission {
    /// Go on.
    Granted(Membership),
    /// Decided before.
    Known(Reply),
}

/// What a verdict is about.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) actor: &'a Actor,
    pub(super) write: Write,
    pub(super) digest: [u8; 16],
    pub(super) kind: TextKind,
}

/// See [`Core::apply`].
pub(super) enum Applied {
    /// Goes into the log: perhaps another text, perhaps for its author alone.
    Post {
        body: Body,
        /// As its author sent it, where that is another.
        sent: Option<Body>,
        shadowed: bool,
        marks: Vec<Mark>,
    },
    Done(Reply),
}

/// What [`Core::queue`] makes an item of.
pub(super) struct Queueing {
    pub(super) digest: [u8; 16],
    pub(super) altered: bool,
    pub(super) membership: Membership,
    pub(super) content: EntryContent,
    pub(super) change: Change,
    pub(super) then: Vec<Item>,
    pub(super) beside: Option<Box<Beside>>,
}

/// A text that is posted, as plugins were asked about it.
pub(super) fn judged<'a>(actor: &Actor, sent: Option<&'a Body>, body: &'a Body) -> Judged<'a> {
    match sent {
        Some(sent) => Judged::of(actor, sent.as_str(), Some(body.as_str())),
        None => Judged::of(actor, body.as_str(), None),
    }
}

/// Of a new message, as its author asked for it.
pub(super) fn message_digest(reply_to: Option<Seq>, body: &str) -> [u8; 16] {
    let replied = reply_to.map_or(0, |seq| seq.0).to_le_bytes();
    digest("publish", &[&replied, body.as_bytes()])
}

/// Tells a resend from something else under the same client id: the first half of SHA-256 over what was asked.
pub(super) fn digest(command: &str, parts: &[&[u8]]) -> [u8; 16] {
    let mut context = digest::Context::new(&digest::SHA256);
    // Each with its length: what is asked differently hashes differently.
    for part in std::iter::once(&command.as_bytes()).chain(parts) {
        context.update(&(part.len() as u64).to_le_bytes());
        context.update(part);
    }
    context.finish().as_ref().first_chunk().copied().unwrap_or_default()
}

pub(super) fn check_age(id: ClientId, now: Millis) -> Result<(), Reject> {
    if id.created().since(now) > AHEAD_MS_MAX {
        // It would be told apart for longer than entries are kept.
        return Err(Reject::new(RejectCode::Malformed, "the client id is of the future: use the server's time"));
    }
    if now.since(id.created()) > DEDUPE_WINDOW_MS { Err(RejectCode::ClientIdTooOld.into()) } else { Ok(()) }
}

/// Whether a command is one that is sent again.
#[must_use]
pub fn is_resend(command: &Command) -> bool {
    resent(command).is_some()
}

/// Which write a command asks for once more, if it does.
fn resent(command: &Command) -> Option<(RoomId, ClientId)> {
    let write = match command {
        Command::Publish(Publish { room, client_id, resend, .. }) => {
            Write { room: *room, client_id: *client_id, resend: *resend }
        }
        Command::CreateRoom(CreateRoom { client_id, resend, .. }) => {
            Write { room: RoomId::from_u128(client_id.as_u128()), client_id: *client_id, resend: *resend }
        }
        Command::Edit(edit) => edit.write,
        Command::Delete(delete) => delete.write,
        Command::React(react) => react.write,
        Command::Pin(pin) => pin.write,
        Command::UpdateRoom(update) => update.write,
        Command::SetRole(set) => set.write,
        Command::Sanction(sanction) => sanction.write,
        Command::Knock(write) => *write,
        Command::Admit(admit) => admit.write,
        Command::Notice(notice) => notice.write,
        _ => return None,
    };
    write.resend.then_some((write.room, write.client_id))
}
