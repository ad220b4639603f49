//! Which plugins went out of service and came back, until somebody keeps it who reaches a store. A list with an end: what
//! comes when it is full is counted.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::breaker::Turn;
use super::manifest::Hook;
use super::translate::Speaker;
use crate::clock::Clock;
use crate::core::hook::Turned;

/// Turns that wait to be kept. A hook turns twice in five seconds at most.
const WAITING_MAX: usize = 256;

#[derive(Default)]
struct Waiting {
    turned: Vec<Turned>,
    omitted: u64,
}

/// See the head of this file.
pub(super) struct Outages {
    waiting: Mutex<Waiting>,
    more: Notify,
    clock: Arc<dyn Clock>,
}

impl Outages {
    pub(super) fn new(clock: &Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { waiting: Mutex::default(), more: Notify::new(), clock: Arc::clone(clock) })
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// That a hook of a plugin turned, and why in a word.
    pub(super) fn note(&self, speaker: &Speaker, hook: Hook, turn: Turn, why: &'static str) {
        let Speaker { plugin, hash, enforced } = speaker.clone();
        let (hook, is_open, time) = (hook.name(), turn == Turn::Opened, self.clock.now());
        let mut waiting = self.lock();
        if waiting.turned.len() < WAITING_MAX {
            waiting.turned.push(Turned { plugin, hash, enforced, hook, is_open, why, time });
        } else {
            waiting.omitted += 1;
        }
        drop(waiting);
        self.more.notify_one();
    }

    /// Those that wait, and how many were not kept.
    pub(super) fn take(&self) -> (Vec<Turned>, u64) {
        let Waiting { turned, omitted } = std::mem::take(&mut *self.lock());
        (turned, omitted)
    }

    /// Resolves when there were some since the last time.
    pub(super) async fn wait(&self) {
        self.more.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[tokio::test]
    async fn what_is_too_much_is_counted() {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let outages = Outages::new(&clock);
        let speaker = Speaker { plugin: "x".into(), hash: "".into(), enforced: true };
        for n in 0..WAITING_MAX + 3 {
            let turn = if n % 2 == 0 { Turn::Opened } else { Turn::Closed };
            outages.note(&speaker, Hook::Tick, turn, "trap");
        }
        outages.wait().await;
        let (turned, omitted) = outages.take();
        assert_eq!((turned.len(), omitted), (WAITING_MAX, 3));
        assert!(turned[0].is_open && !turned[1].is_open && turned[0].hook == "tick");
        // What was taken leaves room.
        outages.note(&speaker, Hook::Tick, Turn::Closed, "probe");
        outages.wait().await;
        let (turned, omitted) = outages.take();
        assert_eq!((turned.len(), omitted, turned[0].why), (1, 0, "probe"));
    }
}
