//! Instances of one plugin: taken by a call and given back, so that there are as many as calls at once, and calls are
//! as many as workers. An instance that failed is thrown away; one that is old or fat is replaced.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use wasmtime::component::InstancePre;
use wasmtime::{Store, UpdateDeadline};

use super::engine::{Budget, Failure};
use super::guests::{Guests, Indices};
use super::host::{HostState, Shared};
use super::kv::Kv;
use super::ticker::Ticker;
use crate::clock::thread_cpu_time;
use crate::config::Isolation;

/// Calls after which an instance is replaced, so that slow leaks stay small.
const CALLS_MAX: u32 = 10_000;
/// Bytes that one call may hand over to the host.
const HOSTCALL_FUEL: usize = 256 * 1024;
/// The wall only catches what CPU time cannot: a thread that waits for a core is not guilty. Four times the CPU
/// budget held ordinary messages on a busy machine (9 of 196,127).
const WALL_CAP: Duration = Duration::from_secs(1);
/// A call that took less by the wall clock is not measured by the thread's.
const SHORT: Duration = Duration::from_micros(200);
/// Instantiating runs guest code too, and so does its configuration.
const START_BUDGET: Budget = Budget { cpu: Duration::from_millis(1_000) };

struct Instance {
    store: Store<HostState>,
    guests: Guests,
    calls: u32,
}

/// Everything that an instance is made of.
pub(super) struct Recipe {
    pub(super) prepared: InstancePre<HostState>,
    pub(super) indices: Indices,
    pub(super) shared: Arc<Shared>,
    pub(super) memory_max: usize,
    pub(super) isolation: Isolation,
    /// What `init` is given.
    pub(super) config: Arc<str>,
    pub(super) ticker: Ticker,
}

pub(super) struct Pool {
    recipe: Recipe,
    idle: Mutex<Vec<Instance>>,
    /// Linear memory of the instances that wait, bytes.
    memory: AtomicUsize,
}

impl Pool {
    /// Makes the first instance, so that a plugin that cannot start is known before it is needed.
    pub(super) fn open(recipe: Recipe) -> Result<Self, Failure> {
        let pool = Self { recipe, idle: Mutex::default(), memory: AtomicUsize::new(0) };
        let instance = pool.start()?;
        pool.give_back(instance);
        Ok(pool)
    }

    /// Whether an instance can be had.
    pub(super) fn is_sound(&self) -> bool {
        !self.lock().is_empty() || self.start().map(|instance| self.give_back(instance)).is_ok()
    }

    /// What it remembers between calls.
    pub(super) fn kv(&self) -> Arc<Kv> {
        Arc::clone(&self.recipe.shared.kv)
    }

    /// Linear memory of instances, and what is remembered between calls; bytes.
    pub(super) fn bytes(&self) -> (usize, usize) {
        (self.memory.load(Ordering::Relaxed), self.recipe.shared.kv.bytes())
    }

    /// One call at a time of its event, and the CPU time that it took.
    pub(super) fn call<T>(
        &self,
        budget: Budget,
        now_ms: u64,
        call: impl FnOnce(&Guests, &mut Store<HostState>) -> wasmtime::Result<T>,
    ) -> (Result<T, Failure>, Duration) {
        let clock = &self.recipe.shared.clock;
        let (cpu, wall) = (thread_cpu_time(), clock.elapsed());
        let called = self.call_from(cpu, wall, budget, now_ms, call);
        let took = clock.elapsed().saturating_sub(wall);
        // A short call took no longer by the thread's clock, which costs a system call to read.
        (called, if took < SHORT { took } else { thread_cpu_time().saturating_sub(cpu) })
    }

    fn call_from<T>(
        &self,
        cpu: Duration,
        wall: Duration,
        budget: Budget,
        now_ms: u64,
        call: impl FnOnce(&Guests, &mut Store<HostState>) -> wasmtime::Result<T>,
    ) -> Result<T, Failure> {
        let _watch = self.recipe.ticker.watch();
        let mut instance = match self.take() {
            Some(instance) => instance,
            None => self.start()?,
        };
        arm(&mut instance.store, cpu, wall, budget);
        instance.store.data_mut().now_ms = now_ms;
        // On an error the instance is poisoned: it is dropped here and never reused.
        let returned = call(&instance.guests, &mut instance.store)?;
        instance.calls += 1;
        let is_lean = instance.store.data().memory <= self.recipe.memory_max / 4 * 3;
        if self.recipe.isolation == Isolation::Pooled && instance.calls < CALLS_MAX && is_lean {
            self.give_back(instance);
        }
        Ok(returned)
    }

    fn take(&self) -> Option<Instance> {
        let instance = self.lock().pop()?;
        self.memory.fetch_sub(instance.store.data().memory, Ordering::Relaxed);
        Some(instance)
    }

    fn give_back(&self, instance: Instance) {
        self.memory.fetch_add(instance.store.data().memory, Ordering::Relaxed);
        self.lock().push(instance);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Instance>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(&self) -> Result<Instance, Failure> {
        let Recipe { prepared, indices, shared, memory_max, config, ticker, .. } = &self.recipe;
        let _watch = ticker.watch();
        let state = HostState {
            shared: Arc::clone(shared),
            memory_max: *memory_max,
            memory: 0,
            cpu_deadline: Duration::ZERO,
            wall_deadline: Duration::ZERO,
            now_ms: 0,
            log_second: 0,
            log_lines: 0,
        };
        let mut store = Store::new(prepared.engine(), state);
        store.limiter(|state| state);
        store.set_hostcall_fuel(HOSTCALL_FUEL);
        store.epoch_deadline_callback(|context| {
            let state = context.data();
            let is_over =
                thread_cpu_time() >= state.cpu_deadline || state.shared.clock.elapsed() >= state.wall_deadline;
            Ok(if is_over { UpdateDeadline::Interrupt } else { UpdateDeadline::Continue(1) })
        });
        arm(&mut store, thread_cpu_time(), shared.clock.elapsed(), START_BUDGET);
        let instance = prepared.instantiate(&mut store)?;
        let guests = indices.load(&mut store, &instance)?;
        if let Some(lifecycle) = &guests.lifecycle {
            lifecycle.call_init(&mut store, config)?.map_err(|error| Failure::of_config(&error))?;
        }
        Ok(Instance { store, guests, calls: 0 })
    }
}

fn arm(store: &mut Store<HostState>, cpu: Duration, wall: Duration, budget: Budget) {
    let state = store.data_mut();
    state.cpu_deadline = cpu + budget.cpu;
    state.wall_deadline = wall + WALL_CAP.max(budget.cpu);
    store.set_epoch_deadline(1);
}
