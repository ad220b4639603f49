//! Interpreted plugins and messages: those whose word counts are waited for, a few at a time, on threads where they hold
//! nobody else up. Those in shadow mode are asked afterwards, and nobody waits for them or is refused for them.

use std::sync::Arc;
use std::time::Duration;

use confab_protocol::model::{Millis, RoomId, ServerRole, UserId};

use super::PluginSet;
use super::chain::Chain;
use super::translate::by_server;
use crate::core::context::Context;
use crate::core::earlier::Earlier;
use crate::core::hook::{Mark, MessageEvent, Presently, Ruling, TextKind, Verdict};

/// Calls of interpreted plugins at once, on threads of their own; others wait for them.
pub(super) const SLOW_CALLS_MAX: usize = 4;
/// Messages that those in shadow mode are asked about at once. Nobody waits: what comes meanwhile they are not asked about.
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
}

impl Kept {
    fn of(event: &MessageEvent<'_>, body: &str) -> Self {
        let MessageEvent { kind, room, author, username, role, account_created, member, now, earlier, context, .. } =
            *event;
        let (username, body, earlier) = (username.to_owned(), body.to_owned(), earlier.cloned());
        Self { kind, room, author, username, role, account_created, member, now, body, earlier, context }
    }

    fn event(&self) -> MessageEvent<'_> {
        let Self { kind, room, author, role, account_created, member, now, context, .. } = *self;
        let (username, body, earlier) = (self.username.as_str(), self.body.as_str(), self.earlier.as_ref());
        MessageEvent { kind, room, author, username, role, account_created, member, now, body, earlier, context }
    }
}

/// It cannot be decided now, which the audit is told like any other verdict.
pub(super) fn later(reason: &str, rule: &str) -> Ruling {
    let marks = vec![by_server("unavailable", rule, reason, true)];
    Ruling { verdict: Verdict::Unavailable { reason: reason.to_owned() }, marks, replaced: None }
}

impl PluginSet {
    /// Where it holds nobody up. A server that ends decides nothing any more.
    pub(super) async fn decide_apart(&self, chain: &Arc<Chain>, event: &MessageEvent<'_>) -> Ruling {
        // Who waits longer is told to come again.
        let waited = tokio::time::timeout(SLOW_WAIT_MAX, Arc::clone(&self.slow).acquire_owned()).await;
        let Ok(Ok(permit)) = waited else { return later(BUSY_REASON, "busy") };
        let (chain, clock, kept) = (Arc::clone(chain), Arc::clone(&self.clock), Kept::of(event, event.body));
        let decided = tokio::task::spawn_blocking(move || {
            let ruling = chain.decide_message(&kept.event(), &*clock);
            drop(permit);
            ruling
        });
        decided.await.unwrap_or_else(|_| later(BUSY_REASON, "busy"))
    }

    /// Asks those in shadow mode that are slow about what passed the others and as it passed them.
    pub(super) fn ask_afterwards(&self, chain: &Arc<Chain>, event: &MessageEvent<'_>, ruling: &Ruling) {
        let body = match &ruling.verdict {
            Verdict::Allow | Verdict::Shadow(None) => event.body,
            Verdict::Replace(text) | Verdict::Shadow(Some(text)) => text.as_str(),
            _ => return,
        };
        let Ok(permit) = Arc::clone(&self.shadow).try_acquire_owned() else {
            for member in chain.asked_afterwards() {
                self.metrics.plugin_shadow_dropped_total.with_label_values(&[&*member.id]).inc();
            }
            return;
        };
        let (chain, clock, kept) = (Arc::clone(chain), Arc::clone(&self.clock), Kept::of(event, body));
        tokio::task::spawn_blocking(move || {
            let event = kept.event();
            let marks = chain.ask_afterwards(&event, &*clock);
            drop(permit);
            marks.iter().for_each(|mark| tell(&event, mark));
        });
    }
}

/// The message is under way or posted already: what is found of it now is for the operator's log.
fn tell(event: &MessageEvent<'_>, mark: &Mark) {
    let (who, room) = (event.author, event.room);
    let Mark { plugin, enforced, verdict, rule, label, score, .. } = mark;
    tracing::info!(%who, %room, %plugin, enforced, verdict, rule, label, score, "a plugin found something");
}
