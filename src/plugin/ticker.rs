//! The thread that lets the engine look at running guests, once a millisecond while there are any. A server
//! where nobody writes sleeps.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

/// How often it looks.
pub(super) const TICK: Duration = Duration::from_millis(1);
/// Ticks without a call after which the thread sleeps: waking it costs the next call a few microseconds.
const IDLE_TICKS: u64 = 4;

#[derive(Debug, Default)]
struct Shared {
    calls: AtomicU64,
    running: AtomicUsize,
    asleep: AtomicBool,
}

/// Wakes the ticker before a call.
#[derive(Clone, Debug)]
pub(super) struct Ticker {
    shared: Arc<Shared>,
    thread: Thread,
}

impl Ticker {
    /// Starts the thread; it ends with the engine.
    pub(super) fn start(engine: &wasmtime::Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (engine, for_thread) = (engine.weak(), Arc::clone(&shared));
        let handle = thread::Builder::new().name("plugin-ticker".into()).spawn(move || {
            let (mut seen, mut idle) = (0, 0);
            while let Some(engine) = engine.upgrade() {
                engine.increment_epoch();
                drop(engine);
                let calls = for_thread.calls.load(Ordering::SeqCst);
                let is_idle = calls == seen && for_thread.running.load(Ordering::SeqCst) == 0;
                idle = if is_idle { idle + 1 } else { 0 };
                seen = calls;
                if idle < IDLE_TICKS {
                    thread::sleep(TICK);
                } else {
                    for_thread.fall_asleep(seen);
                }
            }
        })?;
        Ok(Self { shared, thread: handle.thread().clone() })
    }

    /// A guest is about to run: it is looked at until this is dropped.
    pub(super) fn watch(&self) -> Watch<'_> {
        self.shared.running.fetch_add(1, Ordering::SeqCst);
        self.shared.calls.fetch_add(1, Ordering::SeqCst);
        if self.shared.asleep.swap(false, Ordering::SeqCst) {
            self.thread.unpark();
        }
        Watch(&self.shared)
    }
}

/// A guest is running.
pub(super) struct Watch<'a>(&'a Shared);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Shared {
    /// Parks unless a call came meanwhile; now and then it looks whether the engine is still there.
    fn fall_asleep(&self, seen: u64) {
        self.asleep.store(true, Ordering::SeqCst);
        if self.calls.load(Ordering::SeqCst) == seen {
            thread::park_timeout(Duration::from_secs(1));
        }
        self.asleep.store(false, Ordering::SeqCst);
    }
}
