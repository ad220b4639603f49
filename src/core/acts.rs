//! What is done and not said asks the plugins as well: coming in, inviting, giving roles, making accounts, logging in,
//! reporting and appealing.

use confab_protocol::model::{Millis, RoomId, ServerRole, UserId};
use confab_protocol::reject::Reject;

use super::amend::short_text;
use super::auth::Actor;
use super::hook::{Act, ActEvent, Mark, Ruling};
use super::{Core, audit};

/// Who does it, where there is no [`Actor`] yet.
pub(super) struct Doer<'a> {
    pub(super) id: UserId,
    pub(super) username: &'a str,
    pub(super) role: ServerRole,
    pub(super) created: Millis,
}

impl Core {
    /// The one question to the plugins about an act.
    ///
    /// # Errors
    /// What they refuse, or that they cannot be asked.
    pub(super) async fn check_act(&self, actor: &Actor, act: Act<'_>) -> Result<(), Reject> {
        let (id, created) = (actor.user, actor.user.created());
        self.check_act_of(Doer { id, username: actor.username.as_str(), role: actor.role, created }, act).await
    }

    /// As [`Self::check_act`].
    pub(super) async fn check_act_of(&self, doer: Doer<'_>, act: Act<'_>) -> Result<(), Reject> {
        let Doer { id: who, username, role, created: account_created } = doer;
        let event = ActEvent { who, username, role, account_created, now: self.clock.now(), act };
        let ruling = self.moderator.decide_act(event).await;
        let (room, whom) = place(act, who);
        note_marks(who, room, &ruling);
        if !ruling.marks.is_empty() {
            let mut found = self.findings(audit::act_word(&act), whom, room, ruling.marks);
            if let Act::RoleChange { .. } = act {
                // It is about whoever is given the role: who gives it would be named nowhere.
                found.iter_mut().for_each(|new| new.record.actor = who);
            }
            self.store.audit(found).await.map_err(|error| self.unavailable(&error))?;
        }
        short_text(ruling.verdict).map(drop)
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

/// What plugins found is for the operator's log: who found what, never what was said. Notes may quote that.
pub(super) fn note_marks(who: UserId, room: RoomId, ruling: &Ruling) {
    for mark in ruling.marks.iter().filter(|mark| mark.verdict != "replace") {
        let Mark { plugin, enforced, verdict, rule, label, score, .. } = mark;
        tracing::info!(%who, %room, %plugin, enforced, verdict, rule, label, score, "a plugin found something");
    }
}
