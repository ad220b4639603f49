//! The host's side of the contract: bindings, what an instance carries, and the capabilities.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use confab_plugin::kept;
use prometheus::{IntCounter, IntCounterVec};
use wasmtime::ResourceLimiter;

use self::bindings::confab::plugin::{context, history, kv, log, metrics, target, types};
use super::actions::Hand;
use super::kv::Kv;
use super::translate;
use super::turns::Turns;
use crate::clock::Clock;
use crate::core::context::Context;
use crate::core::deputy::What;
use crate::core::earlier::Earlier;
use crate::core::hook::TextKind;
use crate::core::target::Target;

#[allow(clippy::all, clippy::pedantic, dead_code, reason = "generated")]
pub(super) mod bindings {
    wasmtime::component::bindgen!({
        world: "host-and-target",
        path: "sdk/wit/since_v0_1",
        imports: { default: trappable },
        ownership: Borrowing { duplicate_if_necessary: true },
    });
}

const LINES_PER_SECOND: u32 = 50;
const LINE_BYTES_MAX: usize = 1024;
const TABLE_ELEMENTS_MAX: usize = 20_000;
/// Modules inside one component. A compiled guest is one, with a few that join it to its memory; an interpreter comes as
/// dozens, and in memories of its own.
const INSTANCES_MAX: usize = 64;
const TABLES_MAX: usize = 4;
const MEMORIES_MAX: usize = 4;
/// Names of counters that one plugin may have.
const COUNTERS_MAX: usize = 20;

/// The plugin wanted more memory than its limit.
#[derive(Debug, thiserror::Error)]
#[error("memory limit reached: plugins.memory_mib (4 times that if interpreted), or limits.memory_mib of its manifest")]
pub(super) struct MemoryExceeded;

/// What all instances of a plugin share.
pub(super) struct Shared {
    pub(super) plugin: Arc<str>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) lasting: Arc<Lasting>,
    pub(super) counters: IntCounterVec,
    pub(super) hand: Arc<Hand>,
}

/// What outlives a generation, by the plugin's id: what it remembers, and how much it wrote and named.
#[derive(Default)]
pub(super) struct Lasting {
    pub(super) kv: Kv,
    /// What it wants done.
    pub(super) turns: Arc<Turns>,
    named: Mutex<HashMap<String, IntCounter>>,
    /// The second of the newest line, and how many it has.
    lines: Mutex<(u64, u32)>,
}

/// What one instance carries.
pub(super) struct HostState {
    pub(super) shared: Arc<Shared>,
    pub(super) memory_max: usize,
    pub(super) memory: usize,
    /// How much of the calling thread's CPU time the call may take ...
    pub(super) cpu_budget: Duration,
    /// ... and when that is over: asked for with the first tick that a call meets, because most meet none.
    pub(super) cpu_deadline: Option<Duration>,
    /// The wall time at which it is over anyhow.
    pub(super) wall_deadline: Duration,
    /// The time of what is decided, milliseconds since the Unix epoch.
    pub(super) now_ms: u64,
    /// What was said before, for the time of one call.
    pub(super) earlier: Option<Arc<[Earlier]>>,
    /// What else is known, for as long; else nothing.
    pub(super) context: Context,
    /// Which message it is about, for as long, and what it is to be.
    pub(super) target: Option<(TextKind, Target)>,
    /// Whether it was asked about this message before: what it remembers and counts of it then is there already.
    pub(super) is_again: bool,
    /// What it called for in this call, and for the same message before, that was taken.
    pub(super) wanted: Vec<What>,
}

impl ResourceLimiter for HostState {
    /// All memories of an instance share one limit.
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.memory.saturating_sub(current).saturating_add(desired);
        if total > self.memory_max {
            return Err(MemoryExceeded.into());
        }
        self.memory = total;
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS_MAX)
    }

    fn instances(&self) -> usize {
        INSTANCES_MAX
    }

    fn tables(&self) -> usize {
        TABLES_MAX
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX
    }
}

impl types::Host for HostState {}

impl log::Host for HostState {
    fn write(&mut self, level: log::Level, mut text: String) -> wasmtime::Result<()> {
        let second = self.shared.clock.elapsed().as_secs();
        let mut lines = self.shared.lasting.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if second != lines.0 {
            *lines = (second, 0);
        }
        lines.1 = lines.1.saturating_add(1);
        if lines.1 > LINES_PER_SECOND {
            return Ok(());
        }
        drop(lines);
        text.truncate(text.floor_char_boundary(LINE_BYTES_MAX));
        text.retain(kept::is_tame);
        let plugin = &*self.shared.plugin;
        match level {
            log::Level::Debug => tracing::debug!(plugin, "{text}"),
            log::Level::Info => tracing::info!(plugin, "{text}"),
            log::Level::Warn => tracing::warn!(plugin, "{text}"),
            log::Level::Error => tracing::error!(plugin, "{text}"),
        }
        Ok(())
    }
}

impl kv::Host for HostState {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<Vec<u8>>> {
        Ok(self.shared.lasting.kv.find(&key, self.now_ms))
    }

    fn set(&mut self, key: String, value: Vec<u8>, ttl_ms: u64) -> wasmtime::Result<()> {
        if !self.is_again {
            self.shared.lasting.kv.set(&key, value, ttl_ms, self.now_ms);
        }
        Ok(())
    }

    fn add(&mut self, key: String, by: i64, ttl_ms: u64) -> wasmtime::Result<i64> {
        let kv = &self.shared.lasting.kv;
        Ok(if self.is_again { kv.number(&key, self.now_ms) } else { kv.add(&key, by, ttl_ms, self.now_ms) })
    }

    fn remove(&mut self, key: String) -> wasmtime::Result<()> {
        if !self.is_again {
            self.shared.lasting.kv.remove(&key);
        }
        Ok(())
    }
}

impl history::Host for HostState {
    fn recent(&mut self, count: u32) -> wasmtime::Result<Vec<history::Message>> {
        let earlier = self.earlier.as_deref().unwrap_or_default();
        let left_out = earlier.len().saturating_sub(usize::try_from(count).unwrap_or(usize::MAX));
        Ok(earlier.iter().skip(left_out).map(translate::earlier).collect())
    }
}

impl context::Host for HostState {
    fn transport(&mut self) -> wasmtime::Result<String> {
        Ok(self.context.transport.to_owned())
    }

    fn room(&mut self) -> wasmtime::Result<Option<context::RoomSettings>> {
        Ok(self.context.room.map(translate::room_settings))
    }

    fn prior_flags(&mut self) -> wasmtime::Result<u32> {
        Ok(self.context.prior_flags)
    }

    fn messages_here(&mut self) -> wasmtime::Result<u32> {
        Ok(self.context.messages_here)
    }
}

impl target::Host for HostState {
    fn about(&mut self) -> wasmtime::Result<Option<target::Target>> {
        Ok(self.target.as_ref().map(translate::target))
    }
}

impl metrics::Host for HostState {
    fn count(&mut self, wanted: String, by: u64) -> wasmtime::Result<()> {
        if self.is_again {
            return Ok(());
        }
        let mut named = self.shared.lasting.named.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = kept::name(&wanted);
        if !named.contains_key(&wanted) {
            if named.len() >= COUNTERS_MAX {
                return Ok(());
            }
            let counter = self.shared.counters.with_label_values(&[&*self.shared.plugin, &wanted]);
            named.insert(wanted.clone(), counter);
        }
        if let Some(counter) = named.get(&wanted) {
            counter.inc_by(by);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use confab_protocol::model::Millis;

    use super::*;
    use crate::metrics::Metrics;
    use crate::plugin::translate::Speaker;

    /// What was written into the log.
    static WRITTEN: Mutex<Vec<u8>> = Mutex::new(Vec::new());

    struct Lines;

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            WRITTEN.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A clock that is moved by hand.
    #[derive(Default)]
    struct Still(Mutex<Duration>);

    impl Clock for Still {
        fn now(&self) -> Millis {
            Millis(0)
        }

        fn elapsed(&self) -> Duration {
            *self.0.lock().unwrap()
        }

        fn random(&self) -> u128 {
            0
        }
    }

    fn state(still: &Arc<Still>, told: &Metrics) -> HostState {
        let clock: Arc<dyn Clock> = still.clone();
        let speaker = Speaker { plugin: "x".into(), hash: "".into(), enforced: true };
        let shared = Shared {
            plugin: "x".into(),
            clock,
            lasting: Arc::default(),
            counters: told.plugin_custom_total.clone(),
            hand: Hand::of(speaker, false, &told.plugin_actions_total, None),
        };
        HostState {
            shared: Arc::new(shared),
            memory_max: 0,
            memory: 0,
            cpu_budget: Duration::ZERO,
            cpu_deadline: None,
            wall_deadline: Duration::ZERO,
            now_ms: 0,
            earlier: None,
            context: Context::default(),
            target: None,
            is_again: false,
            wanted: Vec::new(),
        }
    }

    #[test]
    fn it_writes_so_many_lines_a_second_and_none_that_is_longer() {
        let still = Arc::new(Still::default());
        let mut state = state(&still, &Metrics::new());
        let subscriber = tracing_subscriber::fmt().with_writer(|| Lines).finish();
        tracing::subscriber::with_default(subscriber, || {
            for second in 0..2 {
                *still.0.lock().unwrap() = Duration::from_secs(second);
                for _ in 0..2 * LINES_PER_SECOND {
                    log::Host::write(&mut state, log::Level::Info, "y".repeat(LINE_BYTES_MAX + 1)).unwrap();
                }
            }
        });
        let written = String::from_utf8(WRITTEN.lock().unwrap().clone()).unwrap();
        assert_eq!(written.lines().count(), 2 * 50);
        // There is none in what the server writes around it.
        assert_eq!(written.matches('y').count(), 2 * 50 * 1024);
    }

    #[test]
    fn it_has_so_many_counters() {
        let told = Metrics::new();
        let mut state = state(&Arc::default(), &told);
        for n in 0..25 {
            for _ in 0..2 {
                metrics::Host::count(&mut state, format!("n{n}"), 3).unwrap();
            }
        }
        let counted = |n: u32| told.plugin_custom_total.with_label_values(&["x", &format!("n{n}")]).get();
        assert!((0..20).all(|n| counted(n) == 6) && (20..25).all(|n| counted(n) == 0));
    }
}
