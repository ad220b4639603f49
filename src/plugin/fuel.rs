//! Counted instructions: the limit of the lab. The same component takes the same number of them for the same story on
//! every machine, so a call that does not end, ends at the same place each time. A server counts nothing: its limit is
//! time, and its code has no counting in it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use wasmtime::{Engine, Store};

use super::engine::Budget;
use super::host::HostState;

/// Instructions that one call may take: about what a core does in half a second.
pub(super) const CALL_MAX: u64 = 1_000_000_000;
/// Instructions that making an instance may take: an interpreter reads its script.
pub(super) const START_MAX: u64 = 4 * CALL_MAX;
/// What the host does for a call is not counted. Who only computes has no instructions left long before.
pub(super) const BACKSTOP: Budget = Budget { cpu: Duration::from_secs(10) };

/// What the calls of a pool took, if its engine counts.
pub(super) struct Meter {
    is_on: bool,
    spent: AtomicU64,
}

impl Meter {
    pub(super) fn of(engine: &Engine) -> Self {
        Self { is_on: engine.get_consume_fuel(), spent: AtomicU64::new(0) }
    }

    pub(super) const fn is_on(&self) -> bool {
        self.is_on
    }

    /// Gives a store so many instructions, whatever it had left.
    pub(super) fn fill(&self, store: &mut Store<HostState>, most: u64) -> wasmtime::Result<()> {
        if self.is_on { store.set_fuel(most) } else { Ok(()) }
    }

    /// After a call that had so many.
    pub(super) fn note(&self, store: &Store<HostState>, most: u64) {
        if self.is_on {
            let left = store.get_fuel().unwrap_or_default();
            self.spent.fetch_add(most.saturating_sub(left), Ordering::Relaxed);
        }
    }

    /// Instructions since this was last asked; `None`: they are not counted.
    pub(super) fn take(&self) -> Option<u64> {
        self.is_on.then(|| self.spent.swap(0, Ordering::Relaxed))
    }
}
