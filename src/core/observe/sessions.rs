//! Who comes and goes, for plugins that observe it: from a queue in memory for each of them, in order and at most once.
//! Where none does it is not looked at, and those who come and go wait for nobody.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use confab_protocol::model::{Millis, SessionId, UserId, Username};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::sleep;

use super::Shown;
use crate::clock::Clock;
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;

/// So many wait for one plugin; what comes then is not shown to it.
pub const WAITING_MAX: usize = 1_000;
/// How long a plugin that is out of service is left alone.
const PAUSED_FOR: Duration = Duration::from_secs(1);

/// A connection of somebody who is logged in. Where it comes from is not for plugins.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Session {
    pub id: SessionId,
    pub user: UserId,
    pub username: Username,
    /// A word of the contract.
    pub transport: &'static str,
}

/// It was opened, or closed.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Passage {
    pub session: Arc<Session>,
    pub time: Millis,
    /// It is closed, after so many milliseconds.
    pub open_ms: Option<u64>,
}

/// What is still to be shown to one plugin.
pub type Waiting = mpsc::Receiver<Arc<Passage>>;

/// Plugins that observe sessions.
#[async_trait]
pub trait SessionObservers: Send + Sync {
    /// By their ids; one that is off is none.
    fn session_observers(&self) -> Vec<String>;
    /// Shows it to one of them.
    async fn show_session(&self, plugin: &str, passage: Arc<Passage>) -> Shown;
}

struct Follower {
    plugin: String,
    queue: mpsc::Sender<Arc<Passage>>,
}

/// See the head of this file.
pub struct Sessions {
    followers: RwLock<Vec<Follower>>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
}

impl Sessions {
    /// Nobody follows yet.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, metrics: Metrics) -> Self {
        Self { followers: RwLock::default(), clock, metrics }
    }

    /// What comes from now on waits for one more plugin, until the queue is dropped.
    pub fn follow(&self, plugin: &str) -> Waiting {
        let (queue, waiting) = mpsc::channel(WAITING_MAX);
        let mut followers = self.followers.write().unwrap_or_else(PoisonError::into_inner);
        followers.retain(|follower| !follower.queue.is_closed());
        followers.push(Follower { plugin: plugin.to_owned(), queue });
        waiting
    }

    /// It is open until what this gives is dropped.
    pub fn open(self: &Arc<Self>, session: Session) -> OpenSession {
        let session = Arc::new(session);
        self.note(&session, None);
        OpenSession { sessions: Arc::clone(self), session, since: self.clock.elapsed() }
    }

    fn note(&self, session: &Arc<Session>, was_open: Option<Duration>) {
        let followers = self.followers.read().unwrap_or_else(PoisonError::into_inner);
        if followers.is_empty() {
            return;
        }
        let open_ms = was_open.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        let passage = Arc::new(Passage { session: Arc::clone(session), time: self.clock.now(), open_ms });
        for Follower { plugin, queue } in &*followers {
            if let Err(TrySendError::Full(_)) = queue.try_send(Arc::clone(&passage)) {
                self.count_dropped(plugin);
            }
        }
    }

    fn count_dropped(&self, plugin: &str) {
        self.metrics.plugin_sessions_dropped_total.with_label_values(&[plugin]).inc();
    }

    /// Shows a plugin what waits for it, until the server drains or the plugin is not there any more.
    pub async fn show(
        &self,
        plugin: &str,
        waiting: &mut Waiting,
        observers: &dyn SessionObservers,
        lifecycle: &Lifecycle,
    ) {
        loop {
            let passage = tokio::select! {
                () = lifecycle.draining() => return,
                passage = waiting.recv() => passage,
            };
            let Some(passage) = passage else { return };
            loop {
                match observers.show_session(plugin, Arc::clone(&passage)).await {
                    Shown::Seen => break,
                    // It may have seen it: it is not shown again. Whose sessions it failed on while it was out of service, nobody
                    // else's wait for.
                    Shown::Failed | Shown::Barred => {
                        self.count_dropped(plugin);
                        break;
                    }
                    Shown::Paused => {
                        tokio::select! {
                            () = lifecycle.draining() => return,
                            () = sleep(PAUSED_FOR) => {}
                        }
                    }
                    Shown::Gone => return,
                }
            }
        }
    }
}

/// While this is there, so is the session. Dropping it tells that it is closed, also where a connection's task dies.
#[must_use]
pub struct OpenSession {
    sessions: Arc<Sessions>,
    session: Arc<Session>,
    /// By the clock that never goes back.
    since: Duration,
}

impl Drop for OpenSession {
    fn drop(&mut self) {
        let sessions = &self.sessions;
        sessions.note(&self.session, Some(sessions.clock.elapsed().saturating_sub(self.since)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    fn session(id: u128) -> Session {
        let (id, user, username) = (SessionId::from_u128(id), UserId::from_u128(7), Username::parse("alice").unwrap());
        Session { id, user, username, transport: "quic" }
    }

    fn sessions() -> (Arc<Sessions>, Metrics) {
        let metrics = Metrics::new();
        (Arc::new(Sessions::new(Arc::new(SystemClock::new()), metrics.clone())), metrics)
    }

    #[tokio::test]
    async fn each_plugin_is_told_in_order_of_what_comes_after_it() {
        let (sessions, _) = sessions();
        let before = sessions.open(session(1));
        let mut waiting = [sessions.follow("one"), sessions.follow("other")];
        drop(sessions.open(session(2)));
        drop(before);
        for waiting in &mut waiting {
            for (id, is_closed) in [(2, false), (2, true), (1, true)] {
                let passage = waiting.recv().await.unwrap();
                assert_eq!((passage.session.id.as_u128(), passage.open_ms.is_some()), (id, is_closed));
            }
            assert!(waiting.try_recv().is_err());
        }
    }

    #[tokio::test]
    async fn what_does_not_fit_is_counted_and_holds_nobody_up() {
        let (sessions, metrics) = sessions();
        let dropped = || metrics.plugin_sessions_dropped_total.with_label_values(&["slow"]).get();
        drop(sessions.open(session(1)));
        let mut slow = sessions.follow("slow");
        let most = u128::try_from(WAITING_MAX).unwrap();
        for id in 0..most / 2 {
            drop(sessions.open(session(id)));
        }
        assert_eq!(dropped(), 0);
        let late = sessions.open(session(most));
        assert_eq!(dropped(), 1);
        slow.recv().await.unwrap();
        drop(late);
        assert_eq!((dropped(), slow.len()), (1, WAITING_MAX));
        // A plugin that is gone is nobody.
        drop(slow);
        drop(sessions.open(session(1)));
        assert_eq!(dropped(), 1);
    }
}
