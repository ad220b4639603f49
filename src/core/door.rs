//! Asking to be let in, and letting in. A knock is an entry of the room's log, and so is its answer: that somebody asked is
//! what allows another to bring them in.

use std::sync::Arc;

use confab_protocol::codec::decode_entry;
use confab_protocol::command::{Admit, Notice, Reply, Write};
use confab_protocol::model::{Body, EntryContent, MembershipChange, Millis, RoomId, RoomRole, SelfNote, UserId};
use confab_protocol::reject::{Reject, RejectCode};
use confab_protocol::rights::RoomRights;

use super::amend::short_text;
use super::append::{Act, Amend, Change, OrderGuard};
use super::audit::Judged;
use super::auth::Actor;
use super::hook::TextKind;
use super::publish::{Admission, Admitted, Queueing, check_age, digest};
use super::store::Membership;
use super::target::Aim;
use super::{Core, permissions};

/// Something to append by somebody who need not be in the room.
struct Asked {
    digest: [u8; 16],
    altered: bool,
    content: EntryContent,
    act: Act,
}

impl Core {
    /// Asks to be let into a room that takes knocks.
    ///
    /// # Errors
    /// A room that takes none, which is told as one that is not there; a ban; too often.
    pub async fn knock(&self, actor: &Actor, order: &Arc<OrderGuard>, write: Write) -> Result<Admitted, Reject> {
        let digest = digest("knock", &[]);
        if let Some(reply) = self.admit_outside(actor, write, digest).await? {
            return Ok(Admitted::Done(reply));
        }
        let asked = Asked { digest, altered: false, content: EntryContent::Knock, act: Act::Knock };
        Ok(self.queue_act(actor, order, write, asked).await)
    }

    /// Something for everybody in a room.
    ///
    /// # Errors
    /// Not an admin of the server, what the plugins refuse.
    pub async fn notice(&self, actor: &Actor, order: &Arc<OrderGuard>, notice: Notice) -> Result<Admitted, Reject> {
        let Notice { write, body } = notice;
        // Before anything is looked at: nobody else is told which rooms there are.
        if !permissions::may(actor.role, permissions::Stewardship::Notice) {
            return Err(RejectCode::Forbidden.into());
        }
        let digest = digest("notice", &[body.as_str().as_bytes()]);
        if let Some(reply) = self.admit_outside(actor, write, digest).await? {
            return Ok(Admitted::Done(reply));
        }
        let ruling = self.decide_text(actor, TextKind::New, (write.room, None), body.as_str(), Aim::Nothing).await;
        let judged = Judged::of(actor, body.as_str(), ruling.verdict.replacement());
        self.keep_findings(TextKind::New, judged, write.room, ruling.marks).await?;
        let text = short_text(ruling.verdict)?;
        let altered = text.is_some();
        let body = match text {
            Some(text) => Body::parse(&text).map_err(|_| RejectCode::ByPlugin)?,
            None => body,
        };
        let content = EntryContent::Notice(body);
        Ok(self.queue_act(actor, order, write, Asked { digest, altered, content, act: Act::Notice }).await)
    }

    /// As `admit`, of somebody who need not be in the room.
    async fn admit_outside(&self, actor: &Actor, write: Write, digest: [u8; 16]) -> Result<Option<Reply>, Reject> {
        if write.resend
            && let Some(reply) = self.recorded(actor, write.room, write.client_id, digest).await?
        {
            return Ok(Some(reply));
        }
        check_age(write.client_id, self.clock.now())?;
        self.limits.check_post(actor.user, write.room, self.delivery.count_attached(write.room))?;
        Ok(None)
    }

    async fn queue_act(&self, actor: &Actor, order: &Arc<OrderGuard>, write: Write, asked: Asked) -> Admitted {
        let Asked { digest, altered, content, act } = asked;
        let beside = match act {
            Act::Notice => self.beside(vec![self.record(actor.user, "notice", write.room, UserId::NONE)]),
            _ => None,
        };
        let change = Change::Amend(Box::new(Amend { server_role: actor.role, shadowed: false, decided: false, act }));
        // Their rights are looked at in the transaction alone.
        let membership = Membership {
            role: RoomRole::Guest,
            restriction: None,
            joined: Millis(0),
            rights: RoomRights::default(),
            acl_version: 0,
        };
        let queueing = Queueing { digest, altered, membership, content, change, then: Vec::new(), beside };
        self.queue(actor, order, write, queueing).await
    }

    /// Lets somebody in who knocked.
    ///
    /// # Errors
    /// Not a moderator; no such knock, or one that was answered; a ban; too many rooms or members.
    pub async fn admit_knocker(
        &self,
        actor: &Actor,
        order: &Arc<OrderGuard>,
        admit: Admit,
    ) -> Result<Admitted, Reject> {
        let Admit { write, seq } = admit;
        let digest = digest("admit", &[&seq.0.to_le_bytes()]);
        let membership = match self.admit(actor, write, digest, None).await? {
            Admission::Granted(membership) => membership,
            Admission::Known(reply) => return Ok(Admitted::Done(reply)),
        };
        // Who may not let anybody in is not told who knocked.
        if !self.is_moderator(actor, write.room).await? {
            return Err(RejectCode::Forbidden.into());
        }
        let found = self.store.find_entries(write.room, vec![seq]).await.map_err(|error| self.unavailable(&error))?;
        let knock = found.first().and_then(|entry| decode_entry(&entry.payload).ok());
        let Some(knock) = knock.filter(|entry| entry.content == EntryContent::Knock) else {
            return Err(RejectCode::UnknownMessage.into());
        };
        let user = knock.author;
        self.check_room_count(write.room, user).await?;
        let display_name = self.display_name(user).await?;
        let (change, role) = (MembershipChange::Joined, RoomRole::Member);
        let content = EntryContent::Membership { user, change, role, display_name };
        let self_room = self.store.find_self_room(user).await.map_err(|error| self.unavailable(&error))?;
        let note = |self_room: RoomId| self.note_for(user, self_room, SelfNote::Joined(write.room));
        let act = Act::Admit(seq, user);
        let change = Change::Amend(Box::new(Amend { server_role: actor.role, shadowed: false, decided: false, act }));
        let beside = self.beside(vec![self.record(actor.user, "admit", write.room, user)]);
        let then = self_room.map(note).into_iter().collect();
        let queueing = Queueing { digest, altered: false, membership, content, change, then, beside };
        Ok(self.queue(actor, order, write, queueing).await)
    }
}
