//! Which plugins went out of service and came back, what those in shadow mode would do, and what they found of what had
//! passed, until somebody keeps it who reaches a store. Lists with an end: what comes when one is full is counted, or
//! refused where it is wanted.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::IntCounterVec;
use tokio::sync::Notify;

use super::breaker::Turn;
use super::manifest::Hook;
use super::translate::Speaker;
use crate::clock::Clock;
use crate::core::deputy::Deed;
use crate::core::hook::{Found, Turned};

/// Turns that wait to be kept. A hook turns twice in five seconds at most.
const WAITING_MAX: usize = 256;
/// What waits to be kept of what plugins would do, as many as one that acts may have waiting.
const WANTED_MAX: usize = 256;
/// Texts and acts of which something was found that waits to be kept. Each has a text twice at most.
const FOUND_MAX: usize = 256;

#[derive(Default)]
struct Waiting {
    turned: Vec<Turned>,
    omitted: u64,
    wanted: Vec<Deed>,
    found: Vec<Found>,
    found_omitted: u64,
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
        let mut waiting = self.lock();
        (std::mem::take(&mut waiting.turned), std::mem::take(&mut waiting.omitted))
    }

    /// That a plugin in shadow mode would do this.
    ///
    /// # Errors
    /// Too much waits, as metrics spell it.
    pub(super) fn want(&self, deed: Deed) -> Result<(), &'static str> {
        let mut waiting = self.lock();
        if waiting.wanted.len() >= WANTED_MAX {
            return Err("full");
        }
        waiting.wanted.push(deed);
        drop(waiting);
        self.more.notify_one();
        Ok(())
    }

    /// What waits of that.
    pub(super) fn take_wanted(&self) -> Vec<Deed> {
        std::mem::take(&mut self.lock().wanted)
    }

    /// That plugins in shadow mode found this. What is too much is counted, here and of each plugin.
    pub(super) fn found(&self, found: Found, omitted: &IntCounterVec) {
        let mut waiting = self.lock();
        if waiting.found.len() < FOUND_MAX {
            waiting.found.push(found);
        } else {
            waiting.found_omitted += found.marks.len() as u64;
            for mark in &found.marks {
                omitted.with_label_values(&[&*mark.plugin]).inc();
            }
        }
        drop(waiting);
        self.more.notify_one();
    }

    /// What waits of that, and how much was not kept.
    pub(super) fn take_found(&self) -> (Vec<Found>, u64) {
        let mut waiting = self.lock();
        (std::mem::take(&mut waiting.found), std::mem::take(&mut waiting.found_omitted))
    }

    /// Resolves when there were some since the last time.
    pub(super) async fn wait(&self) {
        self.more.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use confab_protocol::model::{ClientId, Millis, RoomId, UserId};

    use super::*;
    use crate::clock::SystemClock;
    use crate::core::deputy::What;
    use crate::core::hook::{Act, FoundOf};
    use crate::metrics::Metrics;

    #[test]
    fn what_is_wanted_waits_up_to_a_bound() {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let outages = Outages::new(&clock);
        let speaker = Speaker { plugin: "x".into(), hash: "".into(), enforced: false };
        let what = What::SlowMode { room: RoomId::from_u128(1), ms: 0 };
        let mark = speaker.mark(what.word(), "", String::new(), String::new());
        let deed = Deed { id: ClientId::new(Millis(1), 1), what, mark };
        for _ in 0..WANTED_MAX {
            assert_eq!(outages.want(deed.clone()), Ok(()));
        }
        assert_eq!(outages.want(deed.clone()), Err("full"));
        assert_eq!((outages.take_wanted().len(), outages.take().0.len()), (WANTED_MAX, 0));
        assert_eq!(outages.want(deed), Ok(()));
    }

    #[tokio::test]
    async fn what_is_found_waits_up_to_a_bound_and_the_rest_is_counted() {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let (outages, metrics) = (Outages::new(&clock), Metrics::new());
        let omitted = &metrics.plugin_findings_omitted_total;
        let speaker = Speaker { plugin: "x".into(), hash: "".into(), enforced: false };
        let marks = vec![speaker.mark("reject", "told-to", String::new(), String::new()); 2];
        let found = Found { who: UserId::from_u128(1), of: FoundOf::Act(Act::Login), marks };
        for _ in 0..FOUND_MAX + 3 {
            outages.found(found.clone(), omitted);
        }
        outages.wait().await;
        let (taken, left) = outages.take_found();
        assert_eq!((taken.len(), left, omitted.with_label_values(&["x"]).get()), (FOUND_MAX, 6, 6));
        // What was taken leaves room.
        outages.found(found, omitted);
        let (taken, left) = outages.take_found();
        assert_eq!((taken.len(), left), (1, 0));
    }

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
