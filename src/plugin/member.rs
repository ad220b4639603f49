//! One plugin of the chain: its pool, its breaker, how it is meant, and the counters that each call moves. Looking those
//! up by label costs more than a small plugin does.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use confab_protocol::model::UserId;
use prometheus::{Histogram, IntCounter, IntGauge};
use wasmtime::Store;

use super::breaker::{Breaker, Noted, Permission, Turn};
use super::engine::{Budget, Failure};
use super::guests::Guests;
use super::host::HostState;
use super::manifest::{Class, Hook, Manifest};
use super::outages::Outages;
use super::pace::Pace;
use super::pool::{Pool, Returned};
use super::translate::Speaker;
use crate::config::{Mode, OnError};
use crate::core::hook::{FAILED, Mark, Verdict, Wants};
use crate::metrics::Metrics;

/// Told to people while a plugin that must decide cannot.
pub(super) const CLOSED_REASON: &str = "this cannot be checked right now: try again later";
/// The rule by which it is told that a breaker is open.
const OUT_OF_SERVICE: &str = crate::core::hook::OUT_OF_SERVICE;
/// Acts are rarer than messages: their calls may take so much more on average, as they may each.
const ACT_SHARE: u32 = 4;
/// Why a breaker closes, in a word: a call went well, or a reload had its plugin run by something else.
const PROBE: &str = "probe";
const RELOAD: &str = "reload";

/// Every name that a verdict can have, in the order of [`Meters::verdicts`].
const VERDICTS: [&str; 8] = ["allow", "replace", "flag", "hold", "bounce", "reject", "shadow", "unavailable"];

/// Of one hook.
pub(super) struct Meters {
    hook: Hook,
    pub(super) call_seconds: Histogram,
    verdicts: [IntCounter; VERDICTS.len()],
    /// Failures of one hook say nothing of another.
    pub(super) breaker: Breaker,
    pace: Pace,
    state: AtomicI64,
}

/// How it does, over all generations in which it runs by the same terms: what it failed on is not forgotten by a reload.
struct Health {
    /// What it runs by, in one line: component, mode, budgets, configuration and the like.
    terms: String,
    /// Of each of its hooks.
    meters: Vec<Meters>,
    /// Since it was taken up.
    gauges: OnceLock<Gauges>,
}

/// What is seen of it. Once they are taken out of the metrics, a call that still runs sets them for nobody.
struct Gauges {
    breaker_state: IntGauge,
    memory_bytes: IntGauge,
    kv_bytes: IntGauge,
}

impl Gauges {
    fn of(metrics: &Metrics, id: &str) -> Self {
        Self {
            breaker_state: metrics.plugin_breaker_state.with_label_values(&[id]),
            memory_bytes: metrics.plugin_memory_bytes.with_label_values(&[id]),
            kv_bytes: metrics.plugin_kv_bytes.with_label_values(&[id]),
        }
    }
}

/// When it is asked about a message, or about an act.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    Never,
    /// Before that is let pass.
    InTime,
    /// Once the others have decided: one that is slow and does not count holds nobody up.
    Afterwards,
}

impl When {
    fn of(mode: Mode, manifest: &Manifest, hook: Hook) -> Self {
        match mode {
            _ if !manifest.hooks.contains(&hook) => Self::Never,
            Mode::Off => Self::Never,
            Mode::Shadow if manifest.class == Class::Interpreted => Self::Afterwards,
            Mode::Shadow | Mode::Enforce => Self::InTime,
        }
    }
}

pub(super) struct Member {
    pub(super) manifest: Manifest,
    pub(super) pool: Pool,
    /// For what is called beside the messages, if something is.
    pub(super) aside: Option<Pool>,
    pub(super) id: Arc<str>,
    speaker: Speaker,
    pub(super) mode: Mode,
    /// For a message.
    pub(super) when: When,
    /// What is to be read for it before a message.
    pub(super) wants: Wants,
    health: Arc<Health>,
    /// CPU time that its calls for messages may take on average, if that is bounded.
    average: Option<Duration>,
    /// In the lab there is no breaker, and calls may take this long.
    patience: Option<Duration>,
    metrics: Metrics,
    /// Where it is told that a hook of it turned.
    outages: Arc<Outages>,
}

/// What came of a call.
pub(super) struct Called {
    pub(super) verdict: Verdict,
    /// What is to be noted.
    pub(super) marks: Vec<Mark>,
    /// The CPU time that it took.
    pub(super) spent: Duration,
}

impl Member {
    /// `before` is the plugin of this id in the generation that is to be followed.
    pub(super) fn new(
        manifest: Manifest,
        pool: Pool,
        speaker: Speaker,
        (mode, average, terms): (Mode, Duration, String),
        (metrics, outages): (&Metrics, &Arc<Outages>),
        before: Option<&Self>,
    ) -> Self {
        let id = manifest.id.as_str();
        let new_meters = |hook: &Hook| Meters {
            hook: *hook,
            call_seconds: metrics.plugin_call_seconds.with_label_values(&[id, hook.name()]),
            verdicts: VERDICTS.map(|name| metrics.plugin_verdicts_total.with_label_values(&[id, hook.name(), name])),
            breaker: Breaker::default(),
            pace: Pace::default(),
            state: AtomicI64::new(0),
        };
        let when = When::of(mode, &manifest, Hook::Message);
        let known = before.map(|it| &it.health).filter(|health| health.terms == terms);
        let meters = || manifest.hooks.iter().map(new_meters).collect();
        let new_health = || Health { terms, meters: meters(), gauges: OnceLock::new() };
        Self {
            id: Arc::clone(&speaker.plugin),
            speaker,
            average: manifest.limits.average(manifest.class, average),
            patience: None,
            health: known.map_or_else(|| Arc::new(new_health()), Arc::clone),
            metrics: metrics.clone(),
            outages: Arc::clone(outages),
            when,
            wants: if when == When::Never { Wants::default() } else { pool.wants() },
            aside: manifest.hooks.iter().any(|hook| hook.is_aside()).then(|| pool.beside()),
            manifest,
            pool,
            mode,
        }
    }

    /// For golden files and replays, whose outcome is not to depend on how fast the machine is.
    pub(super) fn in_the_lab(self, patience: Duration) -> Self {
        Self { patience: Some(patience), ..self }
    }

    /// SHA-256 of its component, in hex.
    pub(super) fn hash(&self) -> &str {
        &self.speaker.hash
    }

    pub(super) fn is_asked(&self, hook: Hook) -> bool {
        self.mode != Mode::Off && self.manifest.hooks.contains(&hook)
    }

    /// Of something that is done and not said.
    pub(super) fn when_asked(&self, hook: Hook) -> When {
        When::of(self.mode, &self.manifest, hook)
    }

    /// Whether it asks for what else is known of what is done.
    pub(super) fn reads_context(&self) -> bool {
        self.pool.wants().context
    }

    pub(super) fn is_interpreted(&self) -> bool {
        self.manifest.class == Class::Interpreted
    }

    /// For metrics: what it takes is looked at now and then, not with each call.
    pub(super) fn note_bytes(&self) {
        let Some(gauges) = self.health.gauges.get() else { return };
        let (memory, kv) = self.pool.bytes();
        let memory = memory + self.aside.as_ref().map_or(0, |pool| pool.bytes().0);
        gauges.memory_bytes.set(i64::try_from(memory).unwrap_or(i64::MAX));
        gauges.kv_bytes.set(i64::try_from(kv).unwrap_or(i64::MAX));
    }

    /// Asks it, unless it is out of service. In shadow mode it decides nothing, whatever it says or does.
    pub(super) fn ask<T>(
        &self,
        hook: Hook,
        who: UserId,
        (now_ms, cpu): (u64, (Duration, Duration)),
        call: impl FnOnce(&Guests, &mut Store<HostState>) -> wasmtime::Result<T>,
        understand: impl FnOnce(&Speaker, T) -> (Verdict, Option<Mark>),
        now: Duration,
    ) -> Called {
        let enforced = self.mode == Mode::Enforce;
        let Some(meters) = self.meters_of(hook) else {
            return Called { verdict: Verdict::Allow, marks: Vec::new(), spent: Duration::ZERO };
        };
        let permission = if self.patience.is_some() { Permission::Granted } else { meters.breaker.ask(now, who) };
        let (verdict, mark, spent) = if matches!(permission, Permission::Refused | Permission::Barred) {
            let (verdict, mark) = self.while_open(hook, &self.speaker);
            (verdict, mark, Duration::ZERO)
        } else {
            let mut returned = self.pool.call(self.budget(cpu), now_ms, call);
            if self.patience.is_none() {
                if self.is_too_slow(meters, returned.cpu) && returned.result.is_ok() {
                    returned.strain.get_or_insert_with(Failure::of_pace);
                }
                self.note_call(meters, (permission, who), &returned, now);
            }
            let Returned { result, spent, .. } = returned;
            meters.call_seconds.observe(spent.as_secs_f64());
            let (verdict, mark) = match result {
                Ok(returned) => understand(&self.speaker, returned),
                Err(failure) => self.after_failure(hook, &failure, &self.speaker),
            };
            (verdict, mark, spent)
        };
        if let Some(counter) = meters.verdicts.get(index(&verdict, mark.as_ref())) {
            counter.inc();
        }
        let marks = mark.into_iter().collect();
        Called { verdict: if enforced { verdict } else { Verdict::Allow }, marks, spent }
    }

    /// An interpreter has more for one call, and as much as the others of what is left for the chain. Its manifest may say
    /// less.
    fn budget(&self, (call, chain): (Duration, Duration)) -> Budget {
        let of_call = self.manifest.limits.call(self.manifest.class, call);
        Budget { cpu: self.patience.unwrap_or_else(|| of_call.min(chain)) }
    }

    /// Notes how long a call took, and tells whether it is one too many of those that take long.
    fn is_too_slow(&self, meters: &Meters, took: Duration) -> bool {
        let share = if meters.hook == Hook::Message { 1 } else { ACT_SHARE };
        self.average.is_some_and(|most| meters.pace.is_too_slow(took, most.saturating_mul(share)))
    }

    pub(super) fn meters_of(&self, hook: Hook) -> Option<&Meters> {
        self.health.meters.iter().find(|meters| meters.hook == hook)
    }

    /// Tells its breaker and the operator what a permitted call came to.
    pub(super) fn note_call<T>(
        &self,
        meters: &Meters,
        (permission, who): (Permission, UserId),
        returned: &Returned<T>,
        now: Duration,
    ) {
        let failure = returned.failure();
        let noted = meters.breaker.record(permission, now, failure.is_some().then_some(who));
        self.note_turn(meters, noted, failure);
        // What it says holds: this time there was memory and time for it.
        if let Some(failure) = &returned.strain {
            self.note_failure(meters.hook, failure);
        }
    }

    /// What the operator sees and reads of a call, which went well or failed so.
    fn note_turn(&self, meters: &Meters, noted: Noted, failure: Option<&Failure>) {
        let Noted { state, turn } = noted;
        // A hook that is well and was so before changes nothing: that is nearly every call.
        if meters.state.swap(state, Ordering::Relaxed) != state || state != 0 {
            self.show_state();
        }
        let Some(turn) = turn else { return };
        let (plugin, hook) = (&*self.id, meters.hook.name());
        match turn {
            Turn::Opened => {
                tracing::error!(
                    plugin,
                    hook,
                    "a plugin fails for many and is out of service; on_error decides meanwhile"
                );
            }
            Turn::Closed => tracing::info!(plugin, hook, "a plugin is back in service"),
        }
        self.outages.note(&self.speaker, meters.hook, turn, failure.map_or(PROBE, Failure::kind));
    }

    /// The worst of its hooks, as a metric. A generation that is not live yet does not show itself.
    fn show_state(&self) {
        let Some(gauges) = self.health.gauges.get() else { return };
        let worst = self.health.meters.iter().map(|it| it.state.load(Ordering::Relaxed)).max();
        gauges.breaker_state.set(worst.unwrap_or_default());
    }

    /// Whether it runs by the same as in a generation before.
    pub(super) fn continues(&self, before: &Self) -> bool {
        Arc::ptr_eq(&self.health, &before.health)
    }

    /// It is seen from now on.
    pub(super) fn show(&self) {
        self.health.gauges.get_or_init(|| Gauges::of(&self.metrics, &self.id));
        self.show_state();
        self.note_bytes();
    }

    /// It is seen no more, and it is over that it was out of service.
    pub(super) fn hide(&self) {
        for meters in &self.health.meters {
            if let Some(turn) = meters.breaker.end() {
                self.outages.note(&self.speaker, meters.hook, turn, RELOAD);
            }
        }
        let Metrics { plugin_breaker_state, plugin_memory_bytes, plugin_kv_bytes, .. } = &self.metrics;
        for gauges in [plugin_breaker_state, plugin_memory_bytes, plugin_kv_bytes] {
            // One that is not there is not seen either.
            let _ = gauges.remove_label_values(&[&*self.id]);
        }
    }

    /// A message that a plugin does not survive is held, or trapping would be a way past every plugin.
    fn after_failure(&self, hook: Hook, failure: &Failure, speaker: &Speaker) -> (Verdict, Option<Mark>) {
        self.note_failure(hook, failure);
        let note = format!("plugin {} failed: {}", self.id, failure.kind());
        let (name, verdict) = if hook == Hook::Message {
            ("hold", Verdict::Hold { note: note.clone() })
        } else {
            ("unavailable", Verdict::Unavailable { reason: CLOSED_REASON.into() })
        };
        (verdict, Some(speaker.mark(name, FAILED, note, String::new())))
    }

    /// For the operator.
    pub(super) fn note_failure(&self, hook: Hook, failure: &Failure) {
        let id = &*self.id;
        self.metrics.plugin_traps_total.with_label_values(&[id, failure.kind()]).inc();
        tracing::warn!(
            plugin = id,
            hook = hook.name(),
            kind = failure.kind(),
            detail = failure.detail(),
            "a plugin failed"
        );
    }

    /// What passes unseen is noted.
    fn while_open(&self, hook: Hook, speaker: &Speaker) -> (Verdict, Option<Mark>) {
        let note = format!("plugin {} is out of service", self.id);
        let (name, verdict) = match self.manifest.on_error(hook) {
            OnError::Open => ("flag", Verdict::Allow),
            OnError::Hold if hook == Hook::Message => ("hold", Verdict::Hold { note: note.clone() }),
            OnError::Hold | OnError::Closed => ("unavailable", Verdict::Unavailable { reason: CLOSED_REASON.into() }),
        };
        (verdict, Some(speaker.mark(name, OUT_OF_SERVICE, note, String::new())))
    }
}

/// Its place in [`VERDICTS`].
fn index(verdict: &Verdict, mark: Option<&Mark>) -> usize {
    match verdict {
        Verdict::Allow if mark.is_some() => 2,
        Verdict::Allow => 0,
        Verdict::Replace(_) => 1,
        Verdict::Hold { .. } => 3,
        Verdict::Bounce { .. } => 4,
        Verdict::Reject { .. } => 5,
        Verdict::Shadow(_) => 6,
        Verdict::Unavailable { .. } => 7,
    }
}
