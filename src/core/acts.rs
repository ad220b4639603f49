//! What is done and not said asks the plugins as well: coming in, inviting, giving roles, making accounts, logging in,
//! reporting and appealing.

use confab_protocol::model::{Millis, RoomId, ServerRole, UserId};
use confab_protocol::reject::Reject;

use super::amend::short_text;
use super::auth::Actor;
use super::cases::NewRecord;
use super::context::Context;
use super::hook::{Act, ActEvent, Mark};
use super::{Core, audit};

/// Who does it, where there is no [`Actor`] yet.
pub(super) struct Doer<'a> {
    pub(super) id: UserId,
    pub(super) username: &'a str,
    pub(super) role: ServerRole,
    pub(super) created: Millis,
    /// How they are connected; empty: not known.
    pub(super) transport: &'static str,
}

impl Core {
    /// The one question to the plugins about an act.
    ///
    /// # Errors
    /// What they refuse, or that they cannot be asked.
    pub(super) async fn check_act(&self, actor: &Actor, act: Act<'_>) -> Result<(), Reject> {
        let Actor { user: id, role, transport, .. } = *actor;
        let (username, created) = (actor.username.as_str(), id.created());
        self.check_act_of(Doer { id, username, role, created, transport }, act).await
    }

    /// As [`Self::check_act`].
    pub(super) async fn check_act_of(&self, doer: Doer<'_>, act: Act<'_>) -> Result<(), Reject> {
        let Doer { id: who, username, role, created: account_created, transport } = doer;
        let context = self.context_of_act(who, transport, act).await;
        let event = ActEvent { who, username, role, account_created, now: self.clock.now(), act, context };
        let ruling = self.moderator.decide_act(event).await;
        let found = self.act_findings(who, act, ruling.marks);
        audit::log_findings(who, &found);
        if !found.is_empty() {
            self.store.audit(found).await.map_err(|error| self.unavailable(&error))?;
        }
        short_text(ruling.verdict).map(drop)
    }

    /// As `findings`, of an act.
    pub(super) fn act_findings(&self, who: UserId, act: Act<'_>, marks: Vec<Mark>) -> Vec<NewRecord> {
        let (room, whom) = place(act, who);
        let mut found = self.findings(audit::act_word(&act), whom, room, marks);
        // What is noted may quote who does it, whomever it is about.
        found.iter_mut().filter_map(|new| new.note.as_mut()).for_each(|(author, _)| *author = who);
        if let Act::RoleChange { .. } = act {
            // It is about whoever is given the role: who gives it would be named nowhere.
            found.iter_mut().for_each(|new| new.record.actor = who);
        }
        found
    }

    /// `None`: no plugin wants it, or it cannot be read.
    async fn context_of_act(&self, who: UserId, transport: &'static str, act: Act<'_>) -> Option<Context> {
        if !self.moderator.wants_context(act) {
            return None;
        }
        match act {
            // Of an account that is about to be made there is nothing to read.
            Act::Register { .. } => Some(Context::default()),
            Act::Login => self.context_of(who, transport, RoomId::NONE).await,
            Act::Join { room, .. }
            | Act::Invite { room, .. }
            | Act::RoleChange { room, .. }
            | Act::Report { room, .. }
            | Act::Appeal { room, .. } => self.context_of(who, transport, room).await,
        }
    }
}

/// Where an act is done, and whom it is about, as the audit has it.
const fn place(act: Act<'_>, who: UserId) -> (RoomId, UserId) {
    match act {
        // Whom a report is about could read in the audit of others who made it.
        Act::Report { about, .. } => (RoomId::NONE, about),
        Act::RoleChange { room, target, .. } => (room, target),
        Act::Join { room, .. } | Act::Invite { room, .. } | Act::Appeal { room, .. } => (room, who),
        Act::Register { .. } | Act::Login => (RoomId::NONE, who),
    }
}
