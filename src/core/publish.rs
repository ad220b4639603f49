//! The straight line of one message: resend? access, limits, plugins, sequencer. It reads top to bottom.

use std::sync::Arc;

use aws_lc_rs::digest;
use bytes::Bytes;
use confab_protocol::codec::encode_entry;
use confab_protocol::command::{Appended, Publish, Reply};
use confab_protocol::model::{Body, CaseId, ClientId, Entry, EntryContent, Millis, RoomId, UserId};
use confab_protocol::reject::{Reject, RejectCode};
use confab_protocol::text::TextError;

use super::append::{Change, Decision, Item, OrderGuard, recorded_decision};
use super::auth::Actor;
use super::hook::{MessageEvent, Verdict};
use super::log::Receipt;
use super::store::{Membership, Outcome, Recorded, Unappended};
use super::{Core, access};

/// Client ids older than this are not told apart from new ones by a client that lost its memory.
pub const DEDUPE_WINDOW_MS: u64 = 24 * 3600 * 1000;

/// Told to authors while a plugin that must decide is out of service, milliseconds.
const UNAVAILABLE_RETRY_MS: u64 = 5_000;

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

impl Core {
    /// Admits a message.
    ///
    /// # Errors
    /// Whatever refuses it; nothing was appended then.
    pub async fn publish(&self, actor: &Actor, order: &Arc<OrderGuard>, publish: Publish) -> Result<Admitted, Reject> {
        let now = self.clock.now();
        let digest = body_digest(&publish.body);
        if publish.resend
            && let Some(reply) = self.recorded(actor, publish.room, publish.client_id, digest).await?
        {
            return Ok(Admitted::Done(reply));
        }
        check_age(publish.client_id, now)?;
        let membership = self.membership(actor, publish.room).await?;
        access::check_post(Some(membership))?;
        self.limits.check_send(actor.user)?;

        let verdict = self.moderator.decide_message(message_event(actor, &publish, now)).await;
        let (body, altered) = match self.apply(actor, &publish, digest, now, verdict).await? {
            Applied::Post(body, altered) => (body, altered),
            Applied::Done(reply) => return Ok(Admitted::Done(reply)),
        };
        let content = EntryContent::Message(body);
        let payload = encode_entry(&Entry { author: actor.user, client_id: publish.client_id, content });
        let (room, author, acl_version) = (publish.room, actor.user, membership.acl_version);
        let item = Item {
            room,
            author,
            client_id: publish.client_id,
            digest,
            payload,
            altered,
            change: Change::Message,
            acl_version,
            order: order.admit(),
            then: None,
        };
        let receipt = self.log.append(item).await;
        Ok(Admitted::Queued(Queued { receipt, altered, room, author, acl_version }))
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
            Decision::Unchanged => Err(RejectCode::Internal.into()),
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

    async fn recorded(
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
            Decision::Append { .. } | Decision::Unchanged => Err(RejectCode::Internal.into()),
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

    async fn apply(
        &self,
        actor: &Actor,
        publish: &Publish,
        digest: [u8; 16],
        now: Millis,
        verdict: Verdict,
    ) -> Result<Applied, Reject> {
        let unappended = |outcome, payload, note| Unappended {
            room: publish.room,
            author: actor.user,
            client_id: publish.client_id,
            digest,
            time: now,
            outcome,
            payload,
            note,
        };
        let (code, reason, note) = match verdict {
            Verdict::Allow => return Ok(Applied::Post(publish.body.clone(), false)),
            Verdict::Replace(text) => match Body::parse(&text) {
                Ok(body) => return Ok(Applied::Post(body, true)),
                // Nothing is left once it is cleaned: that is the author's to know.
                Err(TextError::Blank) => {
                    (RejectCode::BodyBlank, RejectCode::BodyBlank.text().to_owned(), "replaced by nothing".to_owned())
                }
                // What is no body at all is the plugin's failure, and held like any other.
                Err(error) => {
                    let verdict = Verdict::Hold { note: format!("the plugin's replacement {error}") };
                    return Box::pin(self.apply(actor, publish, digest, now, verdict)).await;
                }
            },
            Verdict::Hold { note } => {
                let case = CaseId::new(now, self.clock.random());
                let content = EntryContent::Message(publish.body.clone());
                let payload = encode_entry(&Entry { author: actor.user, client_id: publish.client_id, content });
                let held = unappended(Outcome::Held(case), payload, note);
                return match self.store.record(held).await.map_err(|error| self.unavailable(&error))? {
                    None => Ok(Applied::Done(Reply::Held(case))),
                    Some(recorded) => self.recorded_earlier(recorded, digest).map(Applied::Done),
                };
            }
            // It passes: nothing is recorded, so a resend is decided then.
            Verdict::Unavailable { reason } => {
                return Err(Reject { detail: reason, ..Reject::retry(RejectCode::Busy, UNAVAILABLE_RETRY_MS) });
            }
            Verdict::Bounce { reason } => (RejectCode::Bounced, reason, String::new()),
            Verdict::Reject { reason, note } => (RejectCode::ByPlugin, reason, note),
        };
        let reject = Reject::new(code, if reason.is_empty() { code.text().to_owned() } else { reason });
        let outcome = Outcome::Refused { code: reject.code, detail: reject.detail.clone() };
        let refused = unappended(outcome, Bytes::new(), note);
        match self.store.record(refused).await.map_err(|error| self.unavailable(&error))? {
            None => Err(reject),
            Some(recorded) => self.recorded_earlier(recorded, digest).map(Applied::Done),
        }
    }
}

enum Applied {
    Post(Body, bool),
    Done(Reply),
}

fn message_event<'a>(actor: &'a Actor, publish: &'a Publish, now: Millis) -> MessageEvent<'a> {
    MessageEvent {
        room: publish.room,
        author: actor.user,
        username: actor.username.as_str(),
        role: actor.role,
        account_created: actor.user.created(),
        now,
        body: publish.body.as_str(),
    }
}

/// Tells a resend from another message under the same client id: the first half of SHA-256.
fn body_digest(body: &Body) -> [u8; 16] {
    let full = digest::digest(&digest::SHA256, body.as_str().as_bytes());
    full.as_ref().first_chunk().copied().unwrap_or_default()
}

pub(super) fn check_age(id: ClientId, now: Millis) -> Result<(), Reject> {
    if now.since(id.created()) > DEDUPE_WINDOW_MS { Err(RejectCode::ClientIdTooOld.into()) } else { Ok(()) }
}
