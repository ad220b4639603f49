//! Instances of one plugin: reused, one call at a time each, as many as there are workers. An instance that
//! failed is thrown away; one that is old or fat is replaced.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use wasmtime::component::InstancePre;
use wasmtime::{Store, UpdateDeadline};

use super::engine::{Budget, Failure};
use super::host::HostState;
use super::host::bindings::exports::confab::plugin::message;
use super::ticker::Ticker;
use crate::clock::{Clock, thread_cpu_time};

/// Calls after which an instance is replaced, so that slow leaks stay small.
const CALLS_MAX: u32 = 10_000;
/// Bytes that one call may hand over to the host.
const HOSTCALL_FUEL: usize = 256 * 1024;
/// The wall only catches what CPU time cannot: a thread that waits for a core is not guilty. Four times the CPU
/// budget held ordinary messages on a busy machine (9 of 196,127).
const WALL_CAP: Duration = Duration::from_secs(1);
/// A call that took less by the wall clock is not measured by the thread's.
const SHORT: Duration = Duration::from_micros(200);
/// Instantiating runs guest code too.
const START_BUDGET: Budget = Budget { cpu: Duration::from_millis(250) };

struct Instance {
    store: Store<HostState>,
    guest: message::Guest,
    calls: u32,
}

pub(super) struct Pool {
    plugin: Arc<str>,
    hash: String,
    prepared: InstancePre<HostState>,
    hook: message::GuestIndices,
    memory_max: usize,
    clock: Arc<dyn Clock>,
    ticker: Ticker,
    idle: Mutex<Vec<Instance>>,
}

impl Pool {
    pub(super) fn new(
        plugin: Arc<str>,
        hash: String,
        prepared: InstancePre<HostState>,
        hook: message::GuestIndices,
        memory_max: usize,
        clock: Arc<dyn Clock>,
        ticker: Ticker,
    ) -> Self {
        Self { plugin, hash, prepared, hook, memory_max, clock, ticker, idle: Mutex::default() }
    }

    /// SHA-256 of the component, in hex.
    pub(super) fn hash(&self) -> &str {
        &self.hash
    }

    /// Makes the first instance, so that a plugin that cannot start is known before it is needed.
    pub(super) fn warm_up(&self) -> Result<(), Failure> {
        let instance = self.start()?;
        self.lock().push(instance);
        Ok(())
    }

    /// Whether an instance can be had.
    pub(super) fn is_sound(&self) -> bool {
        !self.lock().is_empty() || self.warm_up().is_ok()
    }

    /// One call, and the CPU time that it took.
    pub(super) fn call(
        &self,
        event: message::Event<'_>,
        budget: Budget,
    ) -> (Result<message::Verdict, Failure>, Duration) {
        let (cpu, wall) = (thread_cpu_time(), self.clock.elapsed());
        let called = self.call_from(cpu, wall, event, budget);
        let took = self.clock.elapsed().saturating_sub(wall);
        // A short call took no longer by the thread's clock, which costs a system call to read.
        (called, if took < SHORT { took } else { thread_cpu_time().saturating_sub(cpu) })
    }

    fn call_from(
        &self,
        cpu: Duration,
        wall: Duration,
        event: message::Event<'_>,
        budget: Budget,
    ) -> Result<message::Verdict, Failure> {
        let _watch = self.ticker.watch();
        let idle = self.lock().pop();
        let mut instance = match idle {
            Some(instance) => instance,
            None => self.start()?,
        };
        arm(&mut instance.store, cpu, wall, budget);
        // On an error the instance is poisoned: it is dropped here and never reused.
        let verdict = instance.guest.call_decide(&mut instance.store, event)?;
        instance.calls += 1;
        if instance.calls < CALLS_MAX && instance.store.data().memory <= self.memory_max / 4 * 3 {
            self.lock().push(instance);
        }
        Ok(verdict)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Instance>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(&self) -> Result<Instance, Failure> {
        let _watch = self.ticker.watch();
        let state = HostState {
            plugin: Arc::clone(&self.plugin),
            clock: Arc::clone(&self.clock),
            memory_max: self.memory_max,
            memory: 0,
            cpu_deadline: Duration::ZERO,
            wall_deadline: Duration::ZERO,
            log_second: 0,
            log_lines: 0,
        };
        let mut store = Store::new(self.prepared.engine(), state);
        store.limiter(|state| state);
        store.set_hostcall_fuel(HOSTCALL_FUEL);
        store.epoch_deadline_callback(|context| {
            let state = context.data();
            let is_over = thread_cpu_time() >= state.cpu_deadline || state.clock.elapsed() >= state.wall_deadline;
            Ok(if is_over { UpdateDeadline::Interrupt } else { UpdateDeadline::Continue(1) })
        });
        arm(&mut store, thread_cpu_time(), self.clock.elapsed(), START_BUDGET);
        let instance = self.prepared.instantiate(&mut store)?;
        let guest = self.hook.load(&mut store, &instance)?;
        Ok(Instance { store, guest, calls: 0 })
    }
}

fn arm(store: &mut Store<HostState>, cpu: Duration, wall: Duration, budget: Budget) {
    let state = store.data_mut();
    state.cpu_deadline = cpu + budget.cpu;
    state.wall_deadline = wall + WALL_CAP.max(budget.cpu);
    store.set_epoch_deadline(1);
}
