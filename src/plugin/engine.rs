//! The sandbox: engine settings, what a component may import, and how a call is stopped.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use prometheus::IntCounterVec;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Config, Trap, WasmFeatures};

use super::actions::{self, Hand};
use super::cache::Cache;
use super::compile::compile;
use super::guests::Indices;
use super::host::bindings::confab::plugin::{actions as acts, context, history, kv, log, metrics, target, types};
use super::host::{HostState, Lasting, MemoryExceeded, Shared};
use super::limits::INTERPRETED_MEMORY_FACTOR;
use super::manifest::{API, Class, Manifest, other_contract};
use super::pool::{Pool, Recipe};
use super::ticker::Ticker;
use super::translate::Speaker;
use crate::clock::Clock;
use crate::config::{self, Isolation};
use crate::core::hook::Wants;
use crate::metrics::Metrics;

const STACK_BYTES_MAX: usize = 512 * 1024;
const PACKAGE: &str = "confab:plugin/";
const VERSION: &str = "@0.1.0";
/// What other tools bring along unless they are told otherwise.
const WASI: &str = "wasi:";
const WITHOUT_WASI: &str = ": there is no WASI; JavaScript and Python are built without it by --stub-wasi";
/// What is given where nothing is configured, as the contract has it.
const NO_CONFIG: &str = "{}";
/// What can be granted, by the names of the contract.
pub(super) const CAPABILITIES: [&str; 6] = ["log", "kv", "metrics", "history", "context", actions::NAME];

/// What came later has an interface of its own, and is granted with a capability that was there: which interface, with which.
const ADDED: [(&str, &str); 1] = [("target", "context")];

/// How long a call may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    /// CPU time of the calling thread.
    pub(super) cpu: Duration,
}

/// A call that the plugin did not survive.
#[derive(Debug)]
pub(super) struct Failure {
    kind: &'static str,
    detail: String,
}

impl Failure {
    /// The plugin does not take its configuration.
    pub(super) fn of_config(error: &str) -> Self {
        let mut detail = error.to_owned();
        detail.truncate(detail.floor_char_boundary(200));
        Self { kind: "init", detail }
    }

    /// It would be made anew for each call, which has no budget.
    pub(super) fn of_memory() -> Self {
        let detail = "it takes more than three quarters of plugins.memory_mib before it is asked anything".to_owned();
        Self { kind: "memory", detail }
    }

    /// It is made anew again and again, which has no budget either.
    pub(super) fn of_growth() -> Self {
        let detail = "it takes more than three quarters of its memory within a few calls, and so it goes on".to_owned();
        Self { kind: "memory", detail }
    }

    /// It takes nearly all of its budget, call after call, which ends none of them.
    pub(super) fn of_pace() -> Self {
        Self { kind: "too-slow", detail: "its calls take more CPU time than they may on average".to_owned() }
    }

    /// For metrics and the note to moderators.
    pub(super) const fn kind(&self) -> &'static str {
        self.kind
    }

    /// For the log.
    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    /// Of an instance that could not be made, for whoever wants to load it.
    pub(super) fn at_start(&self) -> String {
        match self.kind {
            "init" => format!("does not take its configuration: {}", self.detail),
            _ => format!("cannot be instantiated: {}", self.detail),
        }
    }
}

impl From<wasmtime::Error> for Failure {
    fn from(error: wasmtime::Error) -> Self {
        let kind = match error.downcast_ref::<Trap>() {
            Some(Trap::Interrupt) => "timeout",
            Some(Trap::OutOfFuel) => "fuel",
            Some(Trap::StackOverflow) => "stack",
            Some(_) => "trap",
            None if error.downcast_ref::<MemoryExceeded>().is_some() => "memory",
            None if error.to_string().contains("fuel allocated for hostcalls") => "output",
            None => "error",
        };
        let mut detail = error.root_cause().to_string();
        detail.truncate(detail.floor_char_boundary(200));
        Self { kind, detail }
    }
}

/// The engine and its ticker.
pub(super) struct Engine {
    engine: wasmtime::Engine,
    ticker: Ticker,
    /// Bytes of one instance of a compiled plugin.
    memory_max: u64,
    clock: Arc<dyn Clock>,
    cache: Option<Cache>,
}

/// A component, compiled, with what it was granted.
pub(super) struct Loaded {
    linker: Linker<HostState>,
    component: Component,
}

/// How the operator wants a plugin to be run.
pub(super) struct Wish<'a> {
    pub(super) isolation: Isolation,
    /// As JSON.
    pub(super) config: &'a str,
    pub(super) lasting: Arc<Lasting>,
    /// Where what it counts is kept.
    pub(super) counters: &'a IntCounterVec,
    /// By which it acts.
    pub(super) hand: Arc<Hand>,
}

impl Engine {
    pub(super) fn new(config: &config::Plugins, clock: &Arc<dyn Clock>, cache: Option<Cache>) -> Result<Self, String> {
        Self::with(config, clock, cache, false)
    }

    /// One that counts instructions, for the lab. Its code is another, and kept nowhere.
    pub(super) fn counting(config: &config::Plugins, clock: &Arc<dyn Clock>) -> Result<Self, String> {
        Self::with(config, clock, None, true)
    }

    fn with(
        config: &config::Plugins,
        clock: &Arc<dyn Clock>,
        cache: Option<Cache>,
        counts_fuel: bool,
    ) -> Result<Self, String> {
        let memory_max = config.memory_mib << 20;
        let mut settings = settings(memory_max * INTERPRETED_MEMORY_FACTOR);
        settings.consume_fuel(counts_fuel);
        let engine = wasmtime::Engine::new(&settings).map_err(|error| format!("{error:#}"))?;
        let ticker = Ticker::start(&engine).map_err(|error| error.to_string())?;
        Ok(Self { engine, ticker, memory_max, clock: Arc::clone(clock), cache })
    }

    /// Whether it counts instructions.
    pub(super) fn counts_fuel(&self) -> bool {
        self.engine.get_consume_fuel()
    }

    /// Compiles a component, or finds it compiled, and checks its imports against what was granted.
    pub(super) fn load(&self, manifest: &Manifest, wasm: &[u8], granted: &[String]) -> Result<Loaded, String> {
        let cached = self.cache.as_ref().and_then(|cache| cache.find(&self.engine, wasm));
        let component = match cached {
            Some(component) => component,
            None => {
                let component = compile(&self.engine, wasm)?;
                if let Some(cache) = &self.cache {
                    cache.keep(&self.engine, wasm, &component);
                }
                component
            }
        };
        self.check_imports(&component, manifest, granted)?;
        let mut linker = Linker::<HostState>::new(&self.engine);
        let fail = |error: wasmtime::Error| error.to_string();
        types::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state).map_err(fail)?;
        let has = |name| granted.iter().any(|it| it == name);
        if has("log") {
            log::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state).map_err(fail)?;
        }
        if has("kv") {
            kv::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state).map_err(fail)?;
        }
        if has("metrics") {
            metrics::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state).map_err(fail)?;
        }
        if has("history") {
            history::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state).map_err(fail)?;
        }
        if has("context") {
            context::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state).map_err(fail)?;
            target::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state).map_err(fail)?;
        }
        if has(actions::NAME) {
            acts::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state).map_err(fail)?;
        }
        Ok(Loaded { linker, component })
    }

    /// Only machine code of these components, by their hashes in hex, is kept any longer.
    pub(super) fn keep_only(&self, components: &HashSet<&str>) {
        if let Some(cache) = &self.cache {
            cache.sweep(&self.engine, components, self.clock.now());
        }
    }

    /// Sees whether an instance can be made. Nothing that this one does stays: [`Pool::go_live`] makes the first that
    /// serves.
    pub(super) fn open(&self, manifest: &Manifest, loaded: &Loaded, wish: &Wish<'_>) -> Result<Pool, String> {
        let prepared = loaded.linker.instantiate_pre(&loaded.component).map_err(|error| format!("{error:#}"))?;
        let indices = Indices::check(&prepared, manifest)?;
        if wish.config != NO_CONFIG && !indices.takes_config() {
            let id = &manifest.id;
            return Err(format!("exports no lifecycle, and so reads no configuration: take plugins.config.{id} out"));
        }
        let shared = Arc::new(Shared {
            plugin: manifest.id.as_str().into(),
            clock: Arc::clone(&self.clock),
            lasting: Arc::clone(&wish.lasting),
            counters: wish.counters.clone(),
            hand: Arc::clone(&wish.hand),
        });
        let interpreted = manifest.class == Class::Interpreted;
        let memory_max = manifest.limits.memory(manifest.class, self.memory_max);
        let memory_max = usize::try_from(memory_max).map_err(|error| error.to_string())?;
        let (isolation, config) = (wish.isolation, wish.config.into());
        let interfaces = self.interfaces(loaded);
        let [history, context, target] =
            ["history", "context", "target"].map(|it| interfaces.iter().any(|name| name == it));
        let ticker = self.ticker.clone();
        let recipe = Recipe {
            prepared,
            indices,
            shared,
            memory_max,
            interpreted,
            isolation,
            config,
            wants: Wants { history, context, target },
            ticker,
        };
        Pool::open(recipe, &self.nowhere(manifest)).map_err(|failure| failure.at_start())
    }

    /// What an instance is given to which nothing may happen: it remembers, counts and acts for nobody.
    fn nowhere(&self, manifest: &Manifest) -> Arc<Shared> {
        let (plugin, metrics): (Arc<str>, _) = (manifest.id.as_str().into(), Metrics::new());
        let nobody = Speaker { plugin: Arc::clone(&plugin), hash: "".into(), enforced: false };
        Arc::new(Shared {
            plugin,
            clock: Arc::clone(&self.clock),
            lasting: Arc::default(),
            counters: metrics.plugin_custom_total.clone(),
            hand: Hand::of(nobody, false, &metrics.plugin_actions_total, None),
        })
    }

    /// What a component calls of the host, by the names that are granted.
    pub(super) fn imports(&self, loaded: &Loaded) -> Vec<String> {
        let mut capabilities: Vec<String> = Vec::new();
        for interface in self.interfaces(loaded) {
            let capability = capability_of(&interface);
            if !capabilities.iter().any(|known| known == capability) {
                capabilities.push(capability.to_owned());
            }
        }
        capabilities
    }

    /// The same by the names of the contract.
    fn interfaces(&self, loaded: &Loaded) -> Vec<String> {
        let kind = loaded.component.component_type();
        let names = kind.imports(&self.engine).map(|(name, _)| name.to_owned());
        let short = |name: String| {
            name.strip_prefix(PACKAGE).and_then(|rest| rest.strip_suffix(VERSION)).map_or(name.clone(), str::to_owned)
        };
        // Types are called by nobody.
        names.map(short).filter(|name| name != "types").collect()
    }

    fn check_imports(&self, component: &Component, manifest: &Manifest, granted: &[String]) -> Result<(), String> {
        let kind = component.component_type();
        let exports = kind.exports(&self.engine).map(|(name, _)| name);
        let mut names = kind.imports(&self.engine).map(|(name, _)| name).chain(exports);
        if let Some(version) = names.find_map(other_version) {
            return Err(other_contract(version));
        }
        let mut wanted = Vec::new();
        for (name, item) in kind.imports(&self.engine) {
            let is_callable = match &item.ty {
                ComponentItem::ComponentInstance(instance) => instance.exports(&self.engine).any(|(_, export)| {
                    matches!(export.ty, ComponentItem::ComponentFunc(_) | ComponentItem::Resource(_))
                }),
                _ => true,
            };
            if !is_callable {
                continue;
            }
            let interface = name.strip_prefix(PACKAGE).and_then(|rest| rest.strip_suffix(VERSION));
            let Some(interface) = interface else {
                let why = if name.starts_with(WASI) { WITHOUT_WASI } else { "" };
                return Err(format!("imports {name}, which no plugin can have{why}"));
            };
            let capability = capability_of(interface);
            if !manifest.capabilities.iter().any(|declared| declared == capability) {
                // By the name that its author knows.
                let part = if interface == capability { String::new() } else { format!(" (a part of {capability})") };
                return Err(format!("imports {interface}{part}, which its manifest does not declare in capabilities"));
            }
            if !wanted.contains(&capability) {
                wanted.push(capability);
            }
        }
        let Some(missing) = wanted.iter().find(|it| !granted.iter().any(|known| known == **it)) else { return Ok(()) };
        // All of them: what is granted is that and no more.
        let (id, all) = (&manifest.id, wanted.join(","));
        Err(format!(
            "wants the capability {missing}; grant it with plugins.grant.{id} = {wanted:?} in the configuration, or where \
             it was installed with `confab plugin grant {id} {all}`"
        ))
    }
}

/// With what an interface is granted.
pub(super) fn capability_of(interface: &str) -> &str {
    ADDED.iter().find(|it| it.0 == interface).map_or(interface, |it| it.1)
}

/// The version of the contract that an import or an export is of, if it is not this server's.
fn other_version(name: &str) -> Option<&str> {
    let (_, version) = name.strip_prefix(PACKAGE)?.split_once('@')?;
    let is_spoken = version.strip_prefix(API).is_some_and(|rest| rest.starts_with('.'));
    (!is_spoken).then_some(version)
}

/// Cranelift only, no threads, no WASI, nothing newer than a compiled guest needs. Several memories are: without them
/// the compiler panics on a component whose parts hand each other data.
fn settings(memory_max: u64) -> Config {
    let mut config = Config::new();
    config
        .concurrency_support(false)
        .epoch_interruption(true)
        .max_wasm_stack(STACK_BYTES_MAX)
        .wasm_relaxed_simd(false)
        .wasm_memory64(false)
        .wasm_gc(false)
        .wasm_tail_call(false)
        .wasm_features(WasmFeatures::FUNCTION_REFERENCES | WasmFeatures::EXCEPTIONS | WasmFeatures::THREADS, false)
        .cranelift_nan_canonicalization(true)
        .memory_init_cow(true)
        .memory_reservation(memory_max)
        .memory_may_move(false)
        .wasm_backtrace_max_frames(None);
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_granted_is_what_the_contract_has() {
        let contract = include_str!("../../sdk/wit/since_v0_1/plugin.wit");
        let (_, rest) = contract.split_once("world capabilities {").unwrap();
        let (world, _) = rest.split_once('}').unwrap();
        let imports = world.lines().filter_map(|line| line.trim().strip_prefix("import ")?.strip_suffix(';'));
        assert!(imports.filter(|name| *name != "types").eq(CAPABILITIES));
        for (added, capability) in ADDED {
            assert!(!CAPABILITIES.contains(&added) && CAPABILITIES.contains(&capability), "{added}");
        }
    }

    /// Which NaN comes of one differs from one processor to the next, and with it what is said by a plugin that looks.
    #[test]
    fn a_nan_is_the_same_everywhere() {
        use wasmtime::{Instance, Module, Store};

        // A module that exports a function `f` of a number to a number ...
        let head = b"\0asm\x01\0\0\0\x01\x06\x01\x60\x01\x7f\x01\x7f\x03\x02\x01\0\x07\x05\x01\x01f\0\0";
        // ... which adds 0 to it as if its bits were those of a float, and gives the bits of the sum.
        let code = b"\x0a\x0e\x01\x0c\0\x20\0\xbe\x43\0\0\0\0\x92\xbc\x0b";
        let engine = wasmtime::Engine::new(&settings(1 << 24)).unwrap();
        let module = Module::new(&engine, [&head[..], code].concat()).unwrap();
        let mut store = Store::new(&engine, ());
        store.set_epoch_deadline(1);
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let function = instance.get_typed_func::<u32, u32>(&mut store, "f").unwrap();
        assert_eq!(function.call(&mut store, 1.5_f32.to_bits()).unwrap(), 1.5_f32.to_bits());
        // Processors would leave the lower bits as they are.
        assert_eq!(function.call(&mut store, 0x7fa0_0001).unwrap(), 0x7fc0_0000);
    }
}
