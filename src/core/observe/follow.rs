//! One plugin follows the logs, entry by entry from a cursor of each room that the store keeps: a crash loses nothing, and
//! shows some of it again.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use confab_protocol::limits::PAGE_ITEMS_MAX;
use confab_protocol::model::{Millis, RoomId, Seq};
use prometheus::IntGauge;
use tokio::time::{sleep, timeout};

use super::passed::Passed;
use super::{Happening, Observers, Shown, happening};
use crate::clock::Clock;
use crate::core::access::STRANGER;
use crate::core::commits::Fresh;
use crate::core::store::{Error, Result, Store};
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;

/// Appends are gathered for so long: cursors are written in one commit then, which those who write share.
const GATHER: Duration = Duration::from_millis(250);
/// All rooms are looked through this often: other servers append to them too.
const LOOK_THROUGH_EVERY: Duration = Duration::from_secs(30);
/// Cursors are written after so many entries, or so long; that much is shown again after a crash. A page has no more.
const UNWRITTEN_MAX: usize = PAGE_ITEMS_MAX;
const UNWRITTEN_TIME_MAX: Duration = Duration::from_secs(1);
/// How often a call that failed is made again, and after which wait: each is longer than the one before by a factor.
const RETRIES: u32 = 3;
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const BACKOFF_FACTOR: u32 = 4;
/// How long a plugin that is out of service is left alone.
const PAUSED_FOR: Duration = Duration::from_secs(1);
/// After a failure of the store.
const PAUSE: Duration = Duration::from_secs(10);

/// What following needs.
pub struct Following {
    /// Where the logs and the cursors are.
    pub store: Arc<dyn Store>,
    /// Whom to show it.
    pub observers: Arc<dyn Observers>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// What is passed over is counted, and how far behind a plugin is.
    pub metrics: Metrics,
    /// When to stop.
    pub lifecycle: Lifecycle,
}

/// One plugin that is shown it.
struct Observer<'a> {
    id: &'a str,
    metrics: &'a Metrics,
    /// How old what it is shown next is, in seconds.
    lag: IntGauge,
    passed: Passed,
}

impl<'a> Observer<'a> {
    fn new(id: &'a str, metrics: &'a Metrics) -> Self {
        let lag = metrics.plugin_observed_lag_seconds.with_label_values(&[id]);
        Self { id, metrics, lag, passed: Passed::default() }
    }

    /// It is to be shown something of then.
    fn note_lag(&self, time: Millis, now: Millis) {
        self.lag.set(i64::try_from(now.since(time) / 1_000).unwrap_or(i64::MAX));
    }
}

impl Drop for Observer<'_> {
    fn drop(&mut self) {
        // One that is not there is behind nothing.
        let _ = self.metrics.plugin_observed_lag_seconds.remove_label_values(&[self.id]);
    }
}

/// How far rooms were shown, and it is not written yet.
#[derive(Default)]
struct Unwritten {
    cursors: HashMap<RoomId, Seq>,
    entries: usize,
    since: Duration,
}

/// Why a look at the logs ended.
#[derive(PartialEq, Eq)]
enum End {
    /// All was shown.
    Reached,
    /// The server drains, or the plugin is not there any more.
    Stopped,
}

impl Following {
    /// Until the server drains or the plugin is not there any more.
    pub async fn follow(&self, plugin: &str, fresh: &Fresh) {
        let mut plugin = Observer::new(plugin, &self.metrics);
        while let Err(error) = self.store.begin_observing(plugin.id.to_owned()).await {
            self.note(&error);
            if !self.rest(PAUSE).await {
                return;
            }
        }
        let mut looked_through = None;
        loop {
            let now = self.clock.elapsed();
            let is_due = looked_through.is_none_or(|at| now.saturating_sub(at) >= LOOK_THROUGH_EVERY);
            let rooms = if is_due { None } else { fresh.take() };
            if rooms.is_none() {
                looked_through = Some(now);
            }
            match self.catch_up(&mut plugin, rooms, fresh).await {
                Ok(End::Reached) => plugin.lag.set(0),
                Ok(End::Stopped) => return,
                Err(error) => {
                    self.note(&error);
                    looked_through = None;
                    if !self.rest(PAUSE).await {
                        return;
                    }
                    continue;
                }
            }
            if !fresh.has_some() {
                tokio::select! {
                    () = self.lifecycle.draining() => return,
                    _ = timeout(LOOK_THROUGH_EVERY, fresh.more()) => {}
                }
            }
            if !self.rest(GATHER).await {
                return;
            }
        }
    }

    /// Shows what these rooms have, or all.
    async fn catch_up(&self, plugin: &mut Observer<'_>, rooms: Option<Vec<RoomId>>, fresh: &Fresh) -> Result<End> {
        let mut unwritten = Unwritten::default();
        let end = self.show_rooms(plugin, rooms, fresh, &mut unwritten).await;
        // Also where that failed: what was shown was.
        self.write(plugin.id, &mut unwritten).await?;
        end
    }

    /// A page of each room in turn, so that a long one does not keep the others waiting.
    async fn show_rooms(
        &self,
        plugin: &mut Observer<'_>,
        rooms: Option<Vec<RoomId>>,
        fresh: &Fresh,
        unwritten: &mut Unwritten,
    ) -> Result<End> {
        let mut behind: VecDeque<_> = self.store.unobserved(plugin.id.to_owned(), rooms).await?.into();
        while let Some((room, after)) = behind.pop_front() {
            match self.show_page(plugin, room, after, unwritten).await {
                Ok((End::Stopped, _)) => return Ok(End::Stopped),
                Ok((End::Reached, next)) => behind.extend(next.map(|seq| (room, seq))),
                // One room that cannot be read does not keep the others back; it is tried with the next look at all.
                Err(error @ Error::Corrupt(_)) => self.note(&error),
                Err(error) => return Err(error),
            }
            if !behind.is_empty() && fresh.has_some() {
                // What comes anew waits behind what waited: who writes all the time keeps nobody else back.
                let queued: HashSet<RoomId> = behind.iter().map(|(room, _)| *room).collect();
                for (room, seq) in self.store.unobserved(plugin.id.to_owned(), fresh.take()).await? {
                    let seq = unwritten.cursors.get(&room).copied().unwrap_or_default().max(seq);
                    if !queued.contains(&room) {
                        behind.push_back((room, seq));
                    }
                }
            }
        }
        Ok(End::Reached)
    }

    /// Shows a page of a room. Gives where to go on, if there is more.
    async fn show_page(
        &self,
        plugin: &mut Observer<'_>,
        room: RoomId,
        after: Seq,
        unwritten: &mut Unwritten,
    ) -> Result<(End, Option<Seq>)> {
        let Some(page) = self.store.read(room, STRANGER, after, PAGE_ITEMS_MAX).await? else {
            return Ok((End::Reached, None));
        };
        if unwritten.entries + page.entries.len() > UNWRITTEN_MAX {
            self.write(plugin.id, unwritten).await?;
        }
        if unwritten.entries == 0 {
            unwritten.since = self.clock.elapsed();
        }
        // What the log does not go back to any more was missed.
        let mut to = if page.entries.is_empty() { page.state.head } else { after };
        let (mut end, mut is_late) = (End::Reached, false);
        for entry in &page.entries {
            if let Some(happening) = happening(room, entry)
                && !self.show(plugin, happening).await
            {
                end = End::Stopped;
                break;
            }
            to = entry.seq;
            unwritten.entries += 1;
            is_late = self.clock.elapsed().saturating_sub(unwritten.since) >= UNWRITTEN_TIME_MAX;
            if is_late {
                break;
            }
        }
        if to > after {
            unwritten.cursors.insert(room, to);
        }
        if is_late {
            self.write(plugin.id, unwritten).await?;
        }
        Ok((end, (to < page.state.head).then_some(to)))
    }

    async fn write(&self, plugin: &str, unwritten: &mut Unwritten) -> Result<()> {
        let cursors: Vec<_> = std::mem::take(unwritten).cursors.into_iter().collect();
        if cursors.is_empty() {
            return Ok(());
        }
        self.store.observed(plugin.to_owned(), cursors).await
    }

    /// Shows one thing, again and again when that fails; past that it is passed over, so that nothing that somebody says
    /// can stop a plugin for ever, and at once where that was so with what its author said before. While the plugin is out of
    /// service that is waited for, but for those by whom it failed to come back. `false`: there is nobody to show it to, or the
    /// server drains.
    async fn show(&self, plugin: &mut Observer<'_>, happening: Happening) -> bool {
        if plugin.passed.is_too_soon(happening.author, self.clock.elapsed()) {
            self.pass_over(plugin, &happening, "it failed a moment ago on what its author said");
            return true;
        }
        let happening = Arc::new(happening);
        let (mut failures, mut backoff) = (0, FIRST_BACKOFF);
        while !self.lifecycle.is_draining() {
            plugin.note_lag(happening.time, self.clock.now());
            match self.observers.show(plugin.id, Arc::clone(&happening)).await {
                Shown::Seen => return true,
                Shown::Gone => return false,
                Shown::Paused => {
                    self.rest(PAUSED_FOR).await;
                }
                Shown::Barred => {
                    self.pass_over(plugin, &happening, "a probe of its breaker failed on its author");
                    return true;
                }
                Shown::Failed if failures == RETRIES || self.has_enough(plugin, &happening) => {
                    plugin.passed.note(happening.author, self.clock.elapsed());
                    self.pass_over(plugin, &happening, "it fails each time");
                    return true;
                }
                Shown::Failed => {
                    failures += 1;
                    self.rest(backoff).await;
                    backoff *= BACKOFF_FACTOR;
                }
            }
        }
        false
    }

    fn has_enough(&self, plugin: &Observer<'_>, happening: &Happening) -> bool {
        plugin.passed.is_enough(happening.author, self.clock.elapsed())
    }

    fn pass_over(&self, plugin: &Observer<'_>, happening: &Happening, why: &'static str) {
        let (id, room, seq) = (plugin.id, happening.room, happening.seq.0);
        self.metrics.plugin_passed_over_total.with_label_values(&[id]).inc();
        tracing::warn!(plugin = id, %room, seq, why, "this is passed over, and an observing plugin does not see it");
    }

    /// `false`: the server drains.
    async fn rest(&self, time: Duration) -> bool {
        tokio::select! {
            () = self.lifecycle.draining() => false,
            () = sleep(time) => true,
        }
    }

    fn note(&self, error: &Error) {
        self.metrics.store_errors_total.with_label_values(&[error.kind()]).inc();
        tracing::error!(%error, "the store failed those who observe");
    }
}
