//! What plugins do beside the messages: they are shown what happened and who came, and called every so often. On threads and in
//! instances of their own, a few at a time: nobody waits for it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use confab_protocol::model::UserId;
use wasmtime::Store;

use super::PluginSet;
use super::breaker::Permission;
use super::engine::Budget;
use super::guests::Guests;
use super::host::HostState;
use super::host::bindings::exports::confab::plugin::{observe, observe_session};
use super::manifest::Hook;
use super::member::Member;
use super::pool::Returned;
use super::translate::id;
use crate::core::observe::sessions::{Passage, SessionObservers};
use crate::core::observe::{Happening, Observers, Shown, What};

/// Calls at once, of all plugins.
pub(super) const CALLS_MAX: usize = 2;
/// CPU time of one call.
const BUDGET: Budget = Budget { cpu: Duration::from_millis(250) };

impl PluginSet {
    /// Plugins that tick; one that is off does not.
    #[must_use]
    pub fn ticking(&self) -> Vec<String> {
        self.ids_of(Hook::Tick)
    }

    /// How often it ticks; `None`: it does not (any more).
    #[must_use]
    pub fn tick_every(&self, plugin: &str) -> Option<Duration> {
        let chain = self.current();
        let member = chain.members.iter().find(|member| *member.id == *plugin && member.is_asked(Hook::Tick))?;
        member.manifest.tick_every()
    }

    /// Lets it tick, once. A failure is for its breaker and the operator.
    pub async fn tick(&self, plugin: &str) -> Shown {
        let now = self.clock.now().0;
        // Each tick is somebody else to the breaker, which one alone does not open.
        let whom = UserId::from_u128(now.into());
        self.call_aside(plugin, Hook::Tick, whom, now, move |guests, store| match &guests.tick {
            Some(tick) => tick.call_tick(store, now),
            None => Ok(()),
        })
        .await
    }

    fn ids_of(&self, hook: Hook) -> Vec<String> {
        let chain = self.current();
        chain.members.iter().filter(|member| member.is_asked(hook)).map(|member| member.id.to_string()).collect()
    }

    async fn call_aside(
        &self,
        plugin: &str,
        hook: Hook,
        whom: UserId,
        now_ms: u64,
        call: impl FnOnce(&Guests, &mut Store<HostState>) -> wasmtime::Result<()> + Send + 'static,
    ) -> Shown {
        let Ok(permit) = Arc::clone(&self.aside).acquire_owned().await else { return Shown::Gone };
        let (chain, clock, plugin) = (self.current(), Arc::clone(&self.clock), plugin.to_owned());
        let called = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let member = chain.members.iter().find(|member| *member.id == *plugin && member.is_asked(hook));
            member.map_or(Shown::Gone, |member| member.call_aside(hook, whom, now_ms, call, clock.elapsed()))
        });
        called.await.unwrap_or(Shown::Failed)
    }
}

#[async_trait]
impl Observers for PluginSet {
    fn observers(&self) -> Vec<String> {
        self.ids_of(Hook::Observe)
    }

    async fn show(&self, plugin: &str, happening: Arc<Happening>) -> Shown {
        let (author, now) = (happening.author, happening.time.0);
        self.call_aside(plugin, Hook::Observe, author, now, move |guests, store| match &guests.observe {
            Some(observe) => show(observe, store, &happening),
            None => Ok(()),
        })
        .await
    }
}

fn show(guest: &observe::Guest, store: &mut Store<HostState>, happening: &Happening) -> wasmtime::Result<()> {
    let Happening { room, seq, author, time, ref what } = *happening;
    let (room, seq, author, time_ms) = (id(room.as_u128()), seq.0, id(author.as_u128()), time.0);
    match *what {
        What::Message { ref body, edited } => {
            guest.call_after_message(store, observe::Message { room, seq, author, body, time_ms, edited })
        }
        What::Sanction { user, kind, until } => {
            let (user, until_ms) = (id(user.as_u128()), until.map(|until| until.0));
            guest.call_after_sanction(store, observe::Sanction { room, seq, author, user, kind, until_ms, time_ms })
        }
    }
}

#[async_trait]
impl SessionObservers for PluginSet {
    fn session_observers(&self) -> Vec<String> {
        self.ids_of(Hook::ObserveSession)
    }

    async fn show_session(&self, plugin: &str, passage: Arc<Passage>) -> Shown {
        let (user, now) = (passage.session.user, passage.time.0);
        self.call_aside(plugin, Hook::ObserveSession, user, now, move |guests, store| match &guests.observe_session {
            Some(guest) => show_session(guest, store, &passage),
            None => Ok(()),
        })
        .await
    }
}

fn show_session(
    guest: &observe_session::Guest,
    store: &mut Store<HostState>,
    passage: &Passage,
) -> wasmtime::Result<()> {
    let (of, time_ms) = (&*passage.session, passage.time.0);
    let (session, user, username, transport) =
        (id(of.id.as_u128()), id(of.user.as_u128()), of.username.as_str(), of.transport);
    match passage.open_ms {
        None => {
            guest.call_session_opened(store, observe_session::Opened { session, user, username, transport, time_ms })
        }
        Some(open_ms) => {
            let event = observe_session::Closed { session, user, username, transport, time_ms, open_ms };
            guest.call_session_closed(store, event)
        }
    }
}

impl Member {
    fn call_aside(
        &self,
        hook: Hook,
        whom: UserId,
        now_ms: u64,
        call: impl FnOnce(&Guests, &mut Store<HostState>) -> wasmtime::Result<()>,
        now: Duration,
    ) -> Shown {
        let Some((meters, pool)) = self.meters_of(hook).zip(self.aside.as_ref()) else { return Shown::Gone };
        let permission = meters.breaker.ask(now, whom);
        match permission {
            Permission::Refused => return Shown::Paused,
            Permission::Barred => return Shown::Barred,
            Permission::Granted | Permission::Probe => {}
        }
        let returned = pool.call(BUDGET, now_ms, call);
        self.note_call(meters, (permission, whom), &returned, now);
        let Returned { result, spent, .. } = returned;
        meters.call_seconds.observe(spent.as_secs_f64());
        match result {
            Ok(()) => Shown::Seen,
            Err(failure) => {
                self.note_failure(hook, &failure);
                Shown::Failed
            }
        }
    }
}
