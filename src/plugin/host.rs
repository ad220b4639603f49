//! The host's side of the contract: bindings, what an instance carries, and the capabilities.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::ResourceLimiter;

use self::bindings::confab::plugin::log;
use crate::clock::Clock;

#[allow(clippy::all, clippy::pedantic, dead_code, reason = "generated")]
pub(super) mod bindings {
    wasmtime::component::bindgen!({
        world: "host",
        path: "sdk/wit/since_v0_1",
        imports: { default: trappable },
        ownership: Borrowing { duplicate_if_necessary: true },
    });
}

const LINES_PER_SECOND: u32 = 50;
const LINE_BYTES_MAX: usize = 1024;
const TABLE_ELEMENTS_MAX: usize = 20_000;

/// The plugin wanted more memory than its limit.
#[derive(Debug, thiserror::Error)]
#[error("memory limit reached")]
pub(super) struct MemoryExceeded;

/// What one instance carries.
pub(super) struct HostState {
    pub(super) plugin: Arc<str>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) memory_max: usize,
    pub(super) memory: usize,
    /// The calling thread's CPU time at which the call is over.
    pub(super) cpu_deadline: Duration,
    /// The wall time at which it is over anyhow.
    pub(super) wall_deadline: Duration,
    pub(super) log_second: u64,
    pub(super) log_lines: u32,
}

impl ResourceLimiter for HostState {
    fn memory_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        if desired > self.memory_max {
            return Err(MemoryExceeded.into());
        }
        self.memory = desired;
        Ok(true)
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS_MAX)
    }

    fn instances(&self) -> usize {
        8
    }

    fn tables(&self) -> usize {
        4
    }

    fn memories(&self) -> usize {
        1
    }
}

impl log::Host for HostState {
    fn write(&mut self, level: log::Level, mut text: String) -> wasmtime::Result<()> {
        let second = self.clock.elapsed().as_secs();
        if second != self.log_second {
            (self.log_second, self.log_lines) = (second, 0);
        }
        self.log_lines += 1;
        if self.log_lines > LINES_PER_SECOND {
            return Ok(());
        }
        text.truncate(text.floor_char_boundary(LINE_BYTES_MAX));
        text.retain(|c| !c.is_control());
        let plugin = &*self.plugin;
        match level {
            log::Level::Debug => tracing::debug!(plugin, "{text}"),
            log::Level::Info => tracing::info!(plugin, "{text}"),
            log::Level::Warn => tracing::warn!(plugin, "{text}"),
            log::Level::Error => tracing::error!(plugin, "{text}"),
        }
        Ok(())
    }
}
