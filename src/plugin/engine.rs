//! The sandbox: engine settings, what a component may import, and how a call is stopped.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Config, Trap, WasmFeatures};

use super::host::bindings::confab::plugin::log;
use super::host::bindings::exports::confab::plugin::message;
use super::host::{HostState, MemoryExceeded};
use super::manifest::Manifest;
use super::pool::Pool;
use super::ticker::Ticker;
use crate::clock::Clock;
use crate::config;

const STACK_BYTES_MAX: usize = 512 * 1024;
const PACKAGE: &str = "confab:plugin/";
const VERSION: &str = "@0.1.0";

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
    /// For metrics and the note to moderators.
    pub(super) const fn kind(&self) -> &'static str {
        self.kind
    }

    /// For the log.
    pub(super) fn detail(&self) -> &str {
        &self.detail
    }
}

impl From<wasmtime::Error> for Failure {
    fn from(error: wasmtime::Error) -> Self {
        let kind = match error.downcast_ref::<Trap>() {
            Some(Trap::Interrupt) => "timeout",
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
    memory_max: usize,
    clock: Arc<dyn Clock>,
}

impl Engine {
    pub(super) fn new(config: &config::Plugins, clock: &Arc<dyn Clock>) -> Result<Self, String> {
        let memory_max = usize::try_from(config.memory_mib << 20).map_err(|error| error.to_string())?;
        let engine = wasmtime::Engine::new(&settings(memory_max as u64)).map_err(|error| format!("{error:#}"))?;
        let ticker = Ticker::start(&engine).map_err(|error| error.to_string())?;
        Ok(Self { engine, ticker, memory_max, clock: Arc::clone(clock) })
    }

    /// Compiles a component, checks its imports against what was granted, and makes a first instance.
    pub(super) fn load(&self, manifest: &Manifest, wasm: &[u8], granted: &[&str]) -> Result<Pool, String> {
        let component =
            Component::from_binary(&self.engine, wasm).map_err(|error| format!("not a component: {error:#}"))?;
        self.check_imports(&component, manifest, granted)?;
        let mut linker = Linker::<HostState>::new(&self.engine);
        if granted.contains(&"log") {
            log::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state).map_err(|error| error.to_string())?;
        }
        let prepared = linker.instantiate_pre(&component).map_err(|error| format!("{error:#}"))?;
        let hook = message::GuestIndices::new(&prepared).map_err(|_| "does not export the message hook".to_owned())?;
        let hash = digest::digest(&digest::SHA256, wasm).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let id: Arc<str> = manifest.id.as_str().into();
        let pool = Pool::new(id, hash, prepared, hook, self.memory_max, Arc::clone(&self.clock), self.ticker.clone());
        pool.warm_up().map_err(|failure| format!("cannot be instantiated: {}", failure.detail()))?;
        Ok(pool)
    }

    fn check_imports(&self, component: &Component, manifest: &Manifest, granted: &[&str]) -> Result<(), String> {
        for (name, item) in component.component_type().imports(&self.engine) {
            let is_callable = match &item.ty {
                ComponentItem::ComponentInstance(instance) => instance.exports(&self.engine).any(|(_, export)| {
                    matches!(export.ty, ComponentItem::ComponentFunc(_) | ComponentItem::Resource(_))
                }),
                _ => true,
            };
            if !is_callable {
                continue;
            }
            let capability = name.strip_prefix(PACKAGE).and_then(|rest| rest.strip_suffix(VERSION));
            let Some(capability) = capability else { return Err(format!("imports {name}, which no plugin can have")) };
            if !manifest.capabilities.iter().any(|declared| declared == capability) {
                return Err(format!("imports {capability}, which its manifest does not declare"));
            }
            if !granted.contains(&capability) {
                return Err(format!(
                    "wants the capability {capability}; grant it with plugins.grant = [\"{capability}\"]"
                ));
            }
        }
        Ok(())
    }
}

/// Cranelift only, no threads, no WASI, nothing newer than a compiled guest needs.
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
        .wasm_multi_memory(false)
        .wasm_features(WasmFeatures::FUNCTION_REFERENCES | WasmFeatures::EXCEPTIONS | WasmFeatures::THREADS, false)
        .cranelift_nan_canonicalization(true)
        .memory_init_cow(true)
        .memory_reservation(memory_max)
        .memory_may_move(false)
        .wasm_backtrace_max_frames(None);
    config
}
