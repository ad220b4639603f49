//! The plugins in their order, over one event: sanitizers first, deciders on the final text. The first verdict that is
//! neither "allow" nor another text ends it, but for a shadow, after which others may still refuse.

use std::sync::Arc;
use std::time::Duration;

use confab_protocol::model::UserId;

use super::host::bindings::exports::confab::plugin::{appeal, invite, join, login, register, report, role_change};
use super::manifest::Hook;
use super::member::{Called, Member};
use super::translate::{self, Forms, Speaker};
use crate::clock::Clock;
use crate::config::Mode;
use crate::core::cases::{decision_name, kind_name, reason_name};
use crate::core::hook::{Act, ActEvent, Mark, MessageEvent, Ruling, TextKind, Verdict};

/// The name of an account that is about to be made comes with an id as young as this, milliseconds.
const NEW_MS: u64 = 1_000;

/// One generation: what was loaded together. Calls that began with it end with it.
pub(super) struct Chain {
    pub(super) members: Vec<Member>,
    pub(super) chain_budget: Duration,
    pub(super) call_budget: Duration,
}

impl Chain {
    /// Whether it may take longer than the worker of a connection should be held up.
    pub(super) fn is_slow(&self, hook: Hook) -> bool {
        self.members.iter().any(|member| member.is_asked(hook) && member.is_interpreted())
    }

    /// Whether what was said in the room before a message is to be read for one of them.
    pub(super) fn reads_history(&self) -> bool {
        self.members.iter().any(Member::reads_history)
    }

    /// Whether one whose word counts asks for it.
    pub(super) fn needs_history(&self) -> bool {
        self.members.iter().any(|member| member.mode == Mode::Enforce && member.reads_history())
    }

    /// Makes the instances that serve, once all of it is known to load.
    ///
    /// # Errors
    /// Which plugin cannot start, and why.
    pub(super) fn go_live(&self) -> Result<(), (Arc<str>, String)> {
        for member in &self.members {
            member.pool.go_live().map_err(|failure| (Arc::clone(&member.id), failure.at_start()))?;
        }
        Ok(())
    }

    /// What the operator sees of it, from now on instead of what was `before`.
    pub(super) fn show(&self, before: &[Member]) {
        before.iter().filter(|it| !self.members.iter().any(|new| new.id == it.id)).for_each(Member::clear_state);
        self.members.iter().for_each(Member::show_state);
    }

    pub(super) fn decide_message(&self, event: &MessageEvent<'_>, clock: &dyn Clock) -> Ruling {
        let (mut spent, mut marks) = (Duration::ZERO, Vec::new());
        // Those who register are one to the breaker: else one of them alone could be many.
        let registers = event.kind == TextKind::DisplayName && event.now.since(event.account_created) < NEW_MS;
        let (mut replaced, mut is_shadowed): (Option<String>, bool) = (None, false);
        if !self.members.iter().any(|member| member.is_asked(Hook::Message)) {
            return Ruling::ALLOW;
        }
        let Some(mut forms) = Forms::of(event.body) else { return too_long(marks) };
        for member in self.members.iter().filter(|member| member.is_asked(Hook::Message)) {
            let body = replaced.as_deref().unwrap_or(event.body);
            let guest_event = translate::message(event, body, &forms);
            let Called { verdict, marks: found, spent: took } = member.ask(
                Hook::Message,
                if registers { UserId::NONE } else { event.author },
                (event.now.0, self.left(spent)),
                |guests, store| {
                    let message = guests.message.as_ref().ok_or_else(missing)?;
                    store.data_mut().earlier = event.earlier.filter(|_| member.reads_history()).cloned();
                    message.call_decide(store, guest_event)
                },
                Speaker::verdict,
                clock.elapsed(),
            );
            spent += took;
            marks.extend(found);
            match verdict {
                Verdict::Allow => {}
                // An oversized or empty result is caught where bodies are parsed.
                Verdict::Replace(text) => {
                    forms = match Forms::of(&text) {
                        Some(forms) => forms,
                        None => return too_long(marks),
                    };
                    replaced = Some(text);
                }
                Verdict::Shadow(_) => is_shadowed = true,
                // Whom nobody is to hear, nobody hears by way of a moderator either.
                Verdict::Hold { .. } if is_shadowed => {
                    return Ruling { verdict: Verdict::Shadow(replaced), marks, replaced: None };
                }
                last => return Ruling { verdict: last, marks, replaced },
            }
        }
        let verdict = match replaced {
            text if is_shadowed => Verdict::Shadow(text),
            Some(text) => Verdict::Replace(text),
            None => Verdict::Allow,
        };
        Ruling { verdict, marks, replaced: None }
    }

    pub(super) fn decide_act(&self, event: &ActEvent<'_>, clock: &dyn Clock) -> Ruling {
        let hook = hook(&event.act);
        let (mut spent, mut marks) = (Duration::ZERO, Vec::new());
        for member in self.members.iter().filter(|member| member.is_asked(hook)) {
            let Called { verdict, marks: found, spent: took } = ask_act(member, hook, event, self.left(spent), clock);
            spent += took;
            marks.extend(found);
            if verdict != Verdict::Allow {
                return Ruling { verdict, marks, replaced: None };
            }
        }
        Ruling { verdict: Verdict::Allow, marks, replaced: None }
    }

    /// For a call, and for all that are left.
    fn left(&self, spent: Duration) -> (Duration, Duration) {
        (self.call_budget, self.chain_budget.saturating_sub(spent))
    }
}

fn ask_act(member: &Member, hook: Hook, event: &ActEvent<'_>, cpu: (Duration, Duration), clock: &dyn Clock) -> Called {
    let (who, time_ms) = (translate::person(event), event.now.0);
    let id = |number: u128| translate::id(number);
    member.ask(
        hook,
        if hook == Hook::Register { UserId::NONE } else { event.who },
        (time_ms, cpu),
        |guests, store| match event.act {
            Act::Join { room, by_invitation } => {
                let event = join::Event { who, room: id(room.as_u128()), by_invitation, time_ms };
                guests.join.as_ref().ok_or_else(missing)?.call_decide(store, event)
            }
            Act::Invite { room, uses, duration_ms } => {
                let event = invite::Event { who, room: id(room.as_u128()), uses, duration_ms, time_ms };
                guests.invite.as_ref().ok_or_else(missing)?.call_decide(store, event)
            }
            Act::RoleChange { room, target, role } => {
                let (room, target) = (id(room.as_u128()), id(target.as_u128()));
                let event = role_change::Event { who, room, target, role: translate::room_role(Some(role)), time_ms };
                guests.role_change.as_ref().ok_or_else(missing)?.call_decide(store, event)
            }
            Act::Register { display_name, invited } => {
                let (id, username) = (who.id, who.username);
                let event = register::Event { id, username, display_name, invited, time_ms };
                guests.register.as_ref().ok_or_else(missing)?.call_decide(store, event)
            }
            Act::Login => {
                let event = login::Event { who, time_ms };
                guests.login.as_ref().ok_or_else(missing)?.call_decide(store, event)
            }
            Act::Report { room, about, seq, reason, text } => {
                let (room, about, seq) = (id(room.as_u128()), id(about.as_u128()), seq.map(|seq| seq.0));
                let event = report::Event { who, room, about, seq, reason: reason_name(reason), text, time_ms };
                guests.report.as_ref().ok_or_else(missing)?.call_decide(store, event)
            }
            Act::Appeal { room, kind, decision, text } => {
                let (kind, decision) = (kind_name(kind), decision_name(decision));
                let event = appeal::Event { who, room: id(room.as_u128()), kind, decision, text, time_ms };
                guests.appeal.as_ref().ok_or_else(missing)?.call_decide(store, event)
            }
        },
        Speaker::act_verdict,
        clock.elapsed(),
    )
}

const fn hook(act: &Act<'_>) -> Hook {
    match act {
        Act::Join { .. } => Hook::Join,
        Act::Invite { .. } => Hook::Invite,
        Act::RoleChange { .. } => Hook::RoleChange,
        Act::Register { .. } => Hook::Register,
        Act::Login => Hook::Login,
        Act::Report { .. } => Hook::Report,
        Act::Appeal { .. } => Hook::Appeal,
    }
}

/// What nobody would read as it is spelled out.
fn too_long(marks: Vec<Mark>) -> Ruling {
    let note = "its normal form is too long to be looked at".into();
    Ruling { verdict: Verdict::Hold { note }, marks, replaced: None }
}

/// Loading checks that each declared hook is there.
fn missing() -> wasmtime::Error {
    wasmtime::Error::msg("the hook is missing")
}
