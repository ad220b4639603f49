//! Interpreted plugins: those whose word counts are waited for, a few at a time, on threads where they hold nobody else
//! up. Those in shadow mode are asked afterwards, and nobody waits for them or is refused for them.

use std::sync::Arc;
use std::time::Duration;

use confab_protocol::model::{Millis, RoomId, ServerRole, UserId};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::PluginSet;
use super::chain::{Chain, hook};
use super::member::{Member, When};
use super::translate::by_server;
use crate::core::context::Context;
use crate::core::earlier::Earlier;
use crate::core::hook::{Act, ActEvent, Found, FoundOf, MessageEvent, Presently, Ruling, TextKind, Verdict};
use crate::core::target::About;

/// Messages that interpreted plugins are asked about at once, on threads of their own; others wait for them.
pub(super) const SLOW_CALLS_MAX: usize = 4;
/// Acts that they are asked about at once, beside the messages: who logs in waits for no room that is busy, nor a room
/// for many who come in. They are rarer.
pub(super) const SLOW_ACTS_MAX: usize = 2;
/// Messages and acts that those in shadow mode are asked about at once. Nobody waits: what comes meanwhile they are not
/// asked about.
pub(super) const SHADOW_CALLS_MAX: usize = 2;
/// How long a call waits for its turn.
const SLOW_WAIT_MAX: Duration = Duration::from_secs(2);
/// Told to people while too many wait for plugins.
const BUSY_REASON: &str = "too much is being checked right now: try again later";

/// An event that outlives the call that it came with.
struct Kept {
    kind: TextKind,
    room: RoomId,
    author: UserId,
    username: String,
    role: ServerRole,
    account_created: Millis,
    member: Option<Presently>,
    now: Millis,
    body: String,
    earlier: Option<Arc<[Earlier]>>,
    context: Option<Context>,
    about: Option<About>,
}

impl Kept {
    fn of(event: &MessageEvent<'_>, body: &str) -> Self {
        let MessageEvent { kind, room, author, role, account_created, member, now, context, .. } = *event;
        let (username, body) = (event.username.to_owned(), body.to_owned());
        let (earlier, about) = (event.earlier.cloned(), event.about.cloned());
        Self { kind, room, author, username, role, account_created, member, now, body, earlier, context, about }
    }

    fn event(&self) -> MessageEvent<'_> {
        let Self { kind, room, author, role, account_created, member, now, context, .. } = *self;
        let (username, body) = (self.username.as_str(), self.body.as_str());
        let (earlier, about) = (self.earlier.as_ref(), self.about.as_ref());
        MessageEvent { kind, room, author, username, role, account_created, member, now, body, earlier, context, about }
    }
}

/// The same for an act.
struct KeptAct {
    who: UserId,
    username: String,
    role: ServerRole,
    account_created: Millis,
    now: Millis,
    /// Without its text.
    act: Act<'static>,
    text: String,
    context: Option<Context>,
}

impl KeptAct {
    fn of(event: &ActEvent<'_>) -> Self {
        let ActEvent { who, username, role, account_created, now, act, context } = *event;
        let (username, text, act) = (username.to_owned(), text(act).to_owned(), with_text(act, ""));
        Self { who, username, role, account_created, now, act, text, context }
    }

    fn event(&self) -> ActEvent<'_> {
        let Self { who, role, account_created, now, act, context, .. } = *self;
        let (username, act) = (self.username.as_str(), with_text(act, &self.text));
        ActEvent { who, username, role, account_created, now, act, context }
    }
}

fn text(act: Act<'_>) -> &str {
    match act {
        Act::Register { display_name: text, .. } | Act::Report { text, .. } | Act::Appeal { text, .. } => text,
        Act::Join { .. } | Act::Invite { .. } | Act::RoleChange { .. } | Act::Login => "",
    }
}

fn with_text<'a>(act: Act<'_>, text: &'a str) -> Act<'a> {
    match act {
        Act::Join { room, by_invitation } => Act::Join { room, by_invitation },
        Act::Invite { room, uses, duration_ms } => Act::Invite { room, uses, duration_ms },
        Act::RoleChange { room, target, role } => Act::RoleChange { room, target, role },
        Act::Register { invited, .. } => Act::Register { display_name: text, invited },
        Act::Login => Act::Login,
        Act::Report { room, about, seq, reason, .. } => Act::Report { room, about, seq, reason, text },
        Act::Appeal { room, kind, decision, .. } => Act::Appeal { room, kind, decision, text },
    }
}

/// It cannot be decided now, which the audit is told like any other verdict.
pub(super) fn later(reason: &str, rule: &str) -> Ruling {
    let marks = vec![by_server("unavailable", rule, reason, true)];
    Ruling { verdict: Verdict::Unavailable { reason: reason.to_owned() }, marks, replaced: None }
}

impl PluginSet {
    /// Where it holds nobody up.
    pub(super) async fn decide_apart(&self, chain: &Arc<Chain>, event: &MessageEvent<'_>) -> Ruling {
        let Some(permit) = permit(&self.slow).await else { return later(BUSY_REASON, "busy") };
        let (chain, clock, kept) = (Arc::clone(chain), Arc::clone(&self.clock), Kept::of(event, event.body));
        run(permit, move || chain.decide_message(&kept.event(), &*clock)).await
    }

    /// The same for an act.
    pub(super) async fn decide_act_apart(&self, chain: &Arc<Chain>, event: &ActEvent<'_>) -> Ruling {
        let Some(permit) = permit(&self.slow_acts).await else { return later(BUSY_REASON, "busy") };
        let (chain, clock, kept) = (Arc::clone(chain), Arc::clone(&self.clock), KeptAct::of(event));
        run(permit, move || chain.decide_act(&kept.event(), &*clock)).await
    }

    /// Asks those in shadow mode that are slow about what passed the others and as it passed them.
    pub(super) fn ask_afterwards(&self, chain: &Arc<Chain>, event: &MessageEvent<'_>, ruling: &Ruling) {
        let body = match &ruling.verdict {
            Verdict::Allow | Verdict::Shadow(None) => event.body,
            // What nothing is left of did not pass.
            Verdict::Replace(text) | Verdict::Shadow(Some(text)) if !text.trim().is_empty() => text.as_str(),
            _ => return,
        };
        let Ok(permit) = Arc::clone(&self.shadow).try_acquire_owned() else {
            return self.note_dropped(chain.asked_afterwards());
        };
        let (chain, clock, kept) = (Arc::clone(chain), Arc::clone(&self.clock), Kept::of(event, body));
        let as_sent = ruling.verdict.replacement().map(|_| event.body.to_owned());
        let (outages, omitted) = (Arc::clone(&self.outages), self.metrics.plugin_findings_omitted_total.clone());
        tokio::task::spawn_blocking(move || {
            let event = kept.event();
            let marks = chain.ask_afterwards(&event, &*clock);
            drop(permit);
            if marks.is_empty() {
                return;
            }
            let Kept { kind, room, author: who, body, .. } = kept;
            let (sent, made) = match as_sent {
                Some(sent) => (sent, Some(body)),
                None => (body, None),
            };
            outages.found(Found { who, of: FoundOf::Text { kind, room, sent, made }, marks }, &omitted);
        });
    }

    /// The same for an act that passed.
    pub(super) fn ask_of_act_afterwards(&self, chain: &Arc<Chain>, event: &ActEvent<'_>) {
        let hook = hook(&event.act);
        let mut asked = chain.asked_of(hook, When::Afterwards).peekable();
        if asked.peek().is_none() {
            return;
        }
        let Ok(permit) = Arc::clone(&self.shadow).try_acquire_owned() else {
            return self.note_dropped(asked);
        };
        let (chain, clock, kept) = (Arc::clone(chain), Arc::clone(&self.clock), KeptAct::of(event));
        let (outages, omitted) = (Arc::clone(&self.outages), self.metrics.plugin_findings_omitted_total.clone());
        tokio::task::spawn_blocking(move || {
            let marks = chain.ask_of_act_afterwards(&kept.event(), &*clock);
            drop(permit);
            if marks.is_empty() {
                return;
            }
            let KeptAct { who, act, .. } = kept;
            outages.found(Found { who, of: FoundOf::Act(act), marks }, &omitted);
        });
    }

    fn note_dropped<'a>(&self, asked: impl Iterator<Item = &'a Member>) {
        for member in asked {
            self.metrics.plugin_shadow_dropped_total.with_label_values(&[&*member.id]).inc();
        }
    }
}

/// `None`: who waits longer is told to come again.
async fn permit(of: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    let waited = tokio::time::timeout(SLOW_WAIT_MAX, Arc::clone(of).acquire_owned()).await;
    waited.ok()?.ok()
}

/// On a thread of its own. A server that ends decides nothing any more.
async fn run(permit: OwnedSemaphorePermit, decide: impl FnOnce() -> Ruling + Send + 'static) -> Ruling {
    let decided = tokio::task::spawn_blocking(move || {
        let ruling = decide();
        drop(permit);
        ruling
    });
    decided.await.unwrap_or_else(|_| later(BUSY_REASON, "busy"))
}
