//! Instances of one plugin: taken by a call and given back, so that there are as many as calls at once, and calls are
//! as many as workers. An instance that failed is thrown away; one that is old or fat is replaced.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use wasmtime::component::InstancePre;
use wasmtime::{Store, UpdateDeadline};

use super::actions::Hand;
use super::engine::{Budget, Failure};
use super::fuel::{self, Meter};
use super::guests::{Guests, Indices};
use super::host::{HostState, Lasting, Shared};
use super::ticker::{TICK, Ticker};
use crate::clock::thread_cpu_time;
use crate::config::Isolation;
use crate::core::context::Context;
use crate::core::hook::Wants;

/// Calls after which an instance is replaced, so that slow leaks stay small.
const CALLS_MAX: u32 = 10_000;
/// An instance that is too fat after fewer calls than this did not live long ...
const SHORT_LIFE_CALLS: u32 = 10;
/// ... and after so many such in a row each one more counts as a failure: making another is in no budget of a call.
const SHORT_LIVES_MAX: u32 = 10;
/// Bytes that one call may hand over to the host.
const HOSTCALL_FUEL: usize = 256 * 1024;
/// The wall only catches what CPU time cannot: a thread that waits for a core is not guilty. Four times the CPU
/// budget held ordinary messages on a busy machine (9 of 196,127).
const WALL_CAP: Duration = Duration::from_secs(1);
/// Instantiating runs guest code too, and so does its configuration.
const START_BUDGET: Budget = Budget { cpu: Duration::from_millis(250) };
/// An interpreter reads its script.
const INTERPRETED_START_BUDGET: Budget = Budget { cpu: Duration::from_millis(1_000) };

/// What came of a call.
pub(super) struct Returned<T> {
    pub(super) result: Result<T, Failure>,
    /// It was survived, and is a failure to the breaker all the same.
    pub(super) strain: Option<Failure>,
    /// The CPU time that it took.
    pub(super) spent: Duration,
    /// The same without what may have been a wait for a core: what met no tick took no more of the CPU than one takes.
    pub(super) cpu: Duration,
}

impl<T> Returned<T> {
    const fn failed(failure: Failure, spent: Duration, cpu: Duration) -> Self {
        Self { result: Err(failure), strain: None, spent, cpu }
    }

    /// What the breaker is told.
    pub(super) fn failure(&self) -> Option<&Failure> {
        self.result.as_ref().err().or(self.strain.as_ref())
    }
}

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
    pub(super) interpreted: bool,
    pub(super) isolation: Isolation,
    /// What `init` is given.
    pub(super) config: Arc<str>,
    /// What is to be read for it before it is asked about a message.
    pub(super) wants: Wants,
    pub(super) ticker: Ticker,
}

pub(super) struct Pool {
    recipe: Arc<Recipe>,
    idle: Mutex<Vec<Instance>>,
    /// Linear memory of the instances that wait, bytes.
    memory: AtomicUsize,
    /// Instances in a row that took too much memory within a few calls.
    short_lives: AtomicU32,
    meter: Meter,
}

impl Pool {
    /// Makes an instance and throws it away, so that a plugin that cannot start is known before it is taken up. It works on
    /// `nowhere`: of a plugin that is not taken up after all, nothing is to stay.
    pub(super) fn open(recipe: Recipe, nowhere: &Arc<Shared>) -> Result<Self, Failure> {
        let pool = Self::empty(Arc::new(recipe));
        let first = pool.start_on(nowhere)?;
        if pool.recipe.isolation == Isolation::Pooled && !pool.is_lean(&first) {
            return Err(Failure::of_memory());
        }
        Ok(pool)
    }

    /// Makes the first instance that serves, so that no message waits for it.
    pub(super) fn go_live(&self) -> Result<(), Failure> {
        let instance = self.start()?;
        self.give_back(instance);
        Ok(())
    }

    /// Others of the same plugin, for calls that are not to take an instance from these. The first call makes the first.
    pub(super) fn beside(&self) -> Self {
        Self::empty(Arc::clone(&self.recipe))
    }

    fn empty(recipe: Arc<Recipe>) -> Self {
        let meter = Meter::of(recipe.prepared.engine());
        let (memory, short_lives) = (AtomicUsize::new(0), AtomicU32::new(0));
        Self { recipe, idle: Mutex::default(), memory, short_lives, meter }
    }

    /// Instructions that calls took since this was last asked, making instances not among them; `None`: they are not
    /// counted.
    pub(super) fn take_fuel(&self) -> Option<u64> {
        self.meter.take()
    }

    /// Whether an instance can be had.
    pub(super) fn is_sound(&self) -> bool {
        !self.lock().is_empty() || self.start().map(|instance| self.give_back(instance)).is_ok()
    }

    /// What is to be read for it before it is asked about a message.
    pub(super) fn wants(&self) -> Wants {
        self.recipe.wants
    }

    /// What outlives a generation.
    pub(super) fn lasting(&self) -> Arc<Lasting> {
        Arc::clone(&self.recipe.shared.lasting)
    }

    /// By which it acts.
    pub(super) fn hand(&self) -> &Hand {
        &self.recipe.shared.hand
    }

    /// Linear memory of instances, and what is remembered between calls; bytes.
    pub(super) fn bytes(&self) -> (usize, usize) {
        (self.memory.load(Ordering::Relaxed), self.recipe.shared.lasting.kv.bytes())
    }

    /// One call at a time of its event.
    pub(super) fn call<T>(
        &self,
        budget: Budget,
        now_ms: u64,
        call: impl FnOnce(&Guests, &mut Store<HostState>) -> wasmtime::Result<T>,
    ) -> Returned<T> {
        let Recipe { shared, ticker, isolation, .. } = &*self.recipe;
        let _watch = ticker.watch();
        // To start one is not this call's doing: it has a budget of its own, and costs the chain nothing.
        let mut instance = match self.take().map_or_else(|| self.start(), Ok) {
            Ok(instance) => instance,
            Err(failure) => return Returned::failed(failure, Duration::ZERO, Duration::ZERO),
        };
        let wall = shared.clock.elapsed();
        arm(&mut instance.store, wall, budget);
        instance.store.data_mut().now_ms = now_ms;
        let filled = self.meter.fill(&mut instance.store, fuel::CALL_MAX);
        let returned = filled.and_then(|()| call(&instance.guests, &mut instance.store));
        self.meter.note(&instance.store, fuel::CALL_MAX);
        let state = instance.store.data_mut();
        (state.earlier, state.context, state.target, state.is_again) = (None, Context::default(), None, false);
        state.wanted.clear();
        let took = shared.clock.elapsed().saturating_sub(wall);
        // The thread's clock costs a system call to read: a call that met no tick is not measured by it.
        let deadline = instance.store.data().cpu_deadline;
        let spent = deadline.map_or(took, |it| (thread_cpu_time() + budget.cpu).saturating_sub(it));
        let cpu = if deadline.is_some() { spent } else { took.min(TICK) };
        // On an error the instance is poisoned: it is dropped here and never reused.
        let returned = match returned {
            Ok(returned) => returned,
            Err(error) => return Returned::failed(error.into(), spent, cpu),
        };
        instance.calls += 1;
        let mut strain = None;
        if *isolation == Isolation::Pooled {
            let is_lean = self.is_lean(&instance);
            strain = self.is_strained_by(instance.calls, is_lean).then(Failure::of_growth);
            if is_lean && instance.calls < CALLS_MAX {
                self.give_back(instance);
            }
        }
        Returned { result: Ok(returned), strain, spent, cpu }
    }

    /// Whether an instance, after so many calls, is one too many of those that did not live long. One that did makes up
    /// for all.
    fn is_strained_by(&self, calls: u32, is_lean: bool) -> bool {
        if calls >= SHORT_LIFE_CALLS {
            // Nearly every call comes here: what is so already is not written.
            if self.short_lives.load(Ordering::Relaxed) != 0 {
                self.short_lives.store(0, Ordering::Relaxed);
            }
            return false;
        }
        !is_lean && self.short_lives.fetch_add(1, Ordering::Relaxed) >= SHORT_LIVES_MAX
    }

    /// What took more of its memory is not used again.
    fn is_lean(&self, instance: &Instance) -> bool {
        instance.store.data().memory <= self.recipe.memory_max / 4 * 3
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
        self.start_on(&self.recipe.shared)
    }

    fn start_on(&self, shared: &Arc<Shared>) -> Result<Instance, Failure> {
        let Recipe { prepared, indices, memory_max, interpreted, config, ticker, .. } = &*self.recipe;
        let _watch = ticker.watch();
        let state = HostState {
            shared: Arc::clone(shared),
            memory_max: *memory_max,
            memory: 0,
            cpu_budget: Duration::ZERO,
            cpu_deadline: None,
            wall_deadline: Duration::ZERO,
            now_ms: shared.clock.now().0,
            earlier: None,
            context: Context::default(),
            target: None,
            is_again: false,
            wanted: Vec::new(),
        };
        let mut store = Store::new(prepared.engine(), state);
        store.limiter(|state| state);
        store.set_hostcall_fuel(HOSTCALL_FUEL);
        store.epoch_deadline_callback(|mut context| {
            let cpu = thread_cpu_time();
            let state = context.data_mut();
            let deadline = *state.cpu_deadline.get_or_insert(cpu + state.cpu_budget);
            let is_over = cpu >= deadline || state.shared.clock.elapsed() >= state.wall_deadline;
            Ok(if is_over { UpdateDeadline::Interrupt } else { UpdateDeadline::Continue(1) })
        });
        let budget = match *interpreted {
            _ if self.meter.is_on() => fuel::BACKSTOP,
            true => INTERPRETED_START_BUDGET,
            false => START_BUDGET,
        };
        arm(&mut store, shared.clock.elapsed(), budget);
        self.meter.fill(&mut store, fuel::START_MAX)?;
        let instance = prepared.instantiate(&mut store)?;
        let guests = indices.load(&mut store, &instance)?;
        if let Some(lifecycle) = &guests.lifecycle {
            lifecycle.call_init(&mut store, config)?.map_err(|error| Failure::of_config(&error))?;
        }
        Ok(Instance { store, guests, calls: 0 })
    }
}

fn arm(store: &mut Store<HostState>, wall: Duration, budget: Budget) {
    let state = store.data_mut();
    (state.cpu_budget, state.cpu_deadline) = (budget.cpu, None);
    state.wall_deadline = wall + WALL_CAP.max(budget.cpu);
    store.set_epoch_deadline(1);
}
