//! Asking to be let in, and letting in. A knock is an entry of the room's log, and so is its answer: that somebody asked is
//! what allows another to bring them in.

use std::sync::Arc;

use confab_protocol::codec::decode_entry;
use confab_protocol::command::{Admit, Notice, Reply, Write};
use confab_protocol::model::{EntryContent, MembershipChange, RoomId, RoomRole, SelfNote};
use confab_protocol::reject::{Reject, RejectCode};

use super::Core;
use super::amend::short_text;
use super::append::{Act, Amend, Change, OrderGuard};
use super::auth::Actor;
use super::hook::TextKind;
use super::publish::{Admission, Admitted, Queueing, check_age, digest};
use super::store::Membership;

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
        Ok(self.queue_act(actor, order, write, digest, EntryContent::Knock, Act::Knock).await)
    }

    /// Something for everybody in a room.
    ///
    /// # Errors
    /// Not an admin of the server, what the plugins refuse.
    pub async fn notice(&self, actor: &Actor, order: &Arc<OrderGuard>, notice: Notice) -> Result<Admitted, Reject> {
        let Notice { write, body } = notice;
        let digest = digest("notice", &[body.as_str().as_bytes()]);
        if let Some(reply) = self.admit_outside(actor, write, digest).await? {
            return Ok(Admitted::Done(reply));
        }
        let text = short_text(self.decide_text(actor, TextKind::New, write.room, body.as_str()).await)?;
        let body = match text {
            Some(text) => confab_protocol::model::Body::parse(&text).map_err(|_| RejectCode::ByPlugin)?,
            None => body,
        };
        Ok(self.queue_act(actor, order, write, digest, EntryContent::Notice(body), Act::Notice).await)
    }

    /// As `admit`, of somebody who need not be in the room.
    async fn admit_outside(&self, actor: &Actor, write: Write, digest: [u8; 16]) -> Result<Option<Reply>, Reject> {
        if write.resend
            && let Some(reply) = self.recorded(actor, write.room, write.client_id, digest).await?
        {
            return Ok(Some(reply));
        }
        check_age(write.client_id, self.clock.now())?;
        self.limits.check_send(actor.user)?;
        Ok(None)
    }

    async fn queue_act(
        &self,
        actor: &Actor,
        order: &Arc<OrderGuard>,
        write: Write,
        digest: [u8; 16],
        content: EntryContent,
        act: Act,
    ) -> Admitted {
        let change = Change::Amend(Box::new(Amend { server_role: actor.role, act }));
        // Their rights are looked at in the transaction alone.
        let membership = Membership { role: RoomRole::Guest, restriction: None, acl_version: 0 };
        let queueing = Queueing { digest, altered: false, membership, content, change, then: Vec::new() };
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
        let membership = match self.admit(actor, write, digest).await? {
            Admission::Granted(membership) => membership,
            Admission::Known(reply) => return Ok(Admitted::Done(reply)),
        };
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
        let change = Change::Amend(Box::new(Amend { server_role: actor.role, act: Act::Admit(seq, user) }));
        let then = self_room.map(note).into_iter().collect();
        let queueing = Queueing { digest, altered: false, membership, content, change, then };
        Ok(self.queue(actor, order, write, queueing).await)
    }
}
