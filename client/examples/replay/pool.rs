//! Connections of many accounts, so many at a time: made on demand, the least recently used idle one closed.
//!
//! No deadlock: whoever waits for a place holds none, and each place is either in use (and given back), idle
//! (and closed as soon as somebody waits), or closing.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use confab_client::{Client, Event, Options, Server};
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore, mpsc};

/// Places kept free, so that a new connection need not wait for the goodbye of an old one.
const SPARE: usize = 4;
/// Failed attempts in a row after which a server is taken for gone.
const ATTEMPTS_MAX: usize = 10;
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) struct Pool {
    servers: Vec<Server>,
    tokens: Vec<Option<String>>,
    places: Arc<Semaphore>,
    places_max: usize,
    state: Mutex<State>,
    counts: Arc<Counts>,
}

/// What the pool has done.
#[derive(Default)]
pub(crate) struct Counts {
    /// Connections made, by index of the server.
    pub(crate) made: Vec<AtomicUsize>,
    /// Links lost, and attempts that failed; the client library came back by itself.
    pub(crate) offline: AtomicUsize,
    /// Why, the first time.
    pub(crate) first_reason: Mutex<Option<String>>,
    /// The most that were open at once.
    pub(crate) peak: AtomicUsize,
}

#[derive(Default)]
struct State {
    slots: HashMap<usize, Slot>,
    /// By last use.
    idle: BTreeMap<u64, usize>,
    tick: u64,
    /// Who waits for a place while nothing was idle.
    unserved: usize,
}

struct Slot {
    client: Arc<OnceCell<Client>>,
    users: usize,
    idle_since: u64,
}

/// A connection in use.
pub(crate) struct Lease {
    pool: Arc<Pool>,
    nick: usize,
    client: Option<Client>,
}

impl Lease {
    pub(crate) fn client(&self) -> anyhow::Result<&Client> {
        self.client.as_ref().context("not connected")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // The handle first: once idle, the slot's own must be the last.
        self.client = None;
        self.pool.state().give_back(self.nick);
    }
}

impl State {
    fn claim(&mut self, nick: usize) -> Arc<OnceCell<Client>> {
        let new = || Slot { client: Arc::default(), users: 0, idle_since: 0 };
        let slot = self.slots.entry(nick).or_insert_with(new);
        if slot.users == 0 {
            self.idle.remove(&slot.idle_since);
        }
        slot.users += 1;
        Arc::clone(&slot.client)
    }

    fn give_back(&mut self, nick: usize) {
        let Some(slot) = self.slots.get_mut(&nick) else { return };
        slot.users -= 1;
        if slot.users > 0 {
            return;
        }
        if slot.client.get().is_none() {
            // It never came to be and holds no place.
            self.slots.remove(&nick);
        } else if self.unserved > 0 {
            self.unserved -= 1;
            self.slots.remove(&nick);
        } else {
            self.tick += 1;
            slot.idle_since = self.tick;
            self.idle.insert(self.tick, nick);
        }
    }

    /// Drops the last handle of the connection that was idle longest; its place is free once it has closed.
    fn evict(&mut self) -> bool {
        self.idle.pop_first().is_some_and(|(_, nick)| self.slots.remove(&nick).is_some())
    }
}

impl Pool {
    /// Connects account `nick` with `tokens[nick]` to `servers[nick % servers.len()]`.
    pub(crate) fn new(servers: Vec<Server>, tokens: Vec<Option<String>>, places_max: usize) -> Arc<Self> {
        let made = servers.iter().map(|_| AtomicUsize::new(0)).collect();
        Arc::new(Self {
            servers,
            tokens,
            places: Arc::new(Semaphore::new(places_max)),
            places_max,
            state: Mutex::default(),
            counts: Arc::new(Counts { made, ..Counts::default() }),
        })
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    pub(crate) fn token(&self, nick: usize) -> anyhow::Result<&str> {
        let token = self.tokens.get(nick).and_then(Option::as_deref);
        token.with_context(|| format!("no token for {}", crate::chatlog::username(nick)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection of an account; others may use it at the same time.
    pub(crate) async fn lease(self: &Arc<Self>, nick: usize) -> anyhow::Result<Lease> {
        let cell = self.state().claim(nick);
        let mut lease = Lease { pool: Arc::clone(self), nick, client: None };
        lease.client = Some(cell.get_or_try_init(|| self.connect(nick)).await?.clone());
        Ok(lease)
    }

    /// A place under the bound. Whoever asks must hold neither a place nor a lease.
    pub(crate) async fn place(&self) -> anyhow::Result<OwnedSemaphorePermit> {
        let place = self.try_place();
        let place = match place {
            Some(place) => place,
            None => Arc::clone(&self.places).acquire_owned().await?,
        };
        let open = self.places_max - self.places.available_permits();
        self.counts.peak.fetch_max(open, Ordering::Relaxed);
        Ok(place)
    }

    fn try_place(&self) -> Option<OwnedSemaphorePermit> {
        let mut state = self.state();
        let place = Arc::clone(&self.places).try_acquire_owned().ok();
        let is_short = self.places.available_permits() < SPARE.min(self.places_max / 2);
        if (place.is_none() || is_short) && !state.evict() && place.is_none() {
            state.unserved += 1;
        }
        place
    }

    async fn connect(&self, nick: usize) -> anyhow::Result<Client> {
        let place = self.place().await?;
        let index = nick % self.servers.len();
        let (Some(server), Some(made)) = (self.servers.get(index), self.counts.made.get(index)) else {
            bail!("no server")
        };
        let options = Options::new(server.clone()).access_token(self.token(nick)?);
        let (client, mut events) = Client::connect(options);
        self.counts.wait_for_welcome(&mut events).await?;
        made.fetch_add(1, Ordering::Relaxed);
        let counts = Arc::clone(&self.counts);
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                counts.note(&event);
            }
            drop(place);
        });
        Ok(client)
    }

    /// Closes what is idle and waits until everything is closed.
    pub(crate) async fn close(&self) -> anyhow::Result<()> {
        loop {
            if !self.state().evict() {
                break;
            }
        }
        let all = u32::try_from(self.places_max)?;
        let closed = tokio::time::timeout(CLOSE_TIMEOUT, self.places.acquire_many(all)).await;
        drop(closed.context("some connections do not close")??);
        Ok(())
    }
}

impl Counts {
    fn note(&self, event: &Event) {
        if let Event::Offline { close, .. } | Event::Stopped(close) = event {
            self.offline.fetch_add(1, Ordering::Relaxed);
            let mut first = self.first_reason.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert_with(|| close.to_string());
        }
    }

    async fn wait_for_welcome(&self, events: &mut mpsc::Receiver<Event>) -> anyhow::Result<()> {
        let mut attempts = 0;
        loop {
            let event = events.recv().await.context("the session ended before it began")?;
            self.note(&event);
            match event {
                Event::Welcome(welcome) if welcome.identity.is_some() => return Ok(()),
                Event::Welcome(_) => bail!("the token was not taken"),
                Event::Stopped(close) => bail!("refused: {close}"),
                Event::Offline { close, .. } => {
                    attempts += 1;
                    if attempts == ATTEMPTS_MAX {
                        bail!("{attempts} attempts to connect failed: {close}");
                    }
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_idle_longest_goes_and_nothing_in_use() {
        let mut state = State::default();
        let connect = |state: &mut State, nick| {
            let (client, _) = Client::connect(Options::new(Server::parse("ws://localhost:1").expect("an address")));
            assert!(state.claim(nick).set(client).is_ok());
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let _inside = runtime.enter();
        for nick in 0..4 {
            connect(&mut state, nick);
        }
        state.give_back(2);
        state.give_back(1);
        state.claim(2);
        state.give_back(2);
        assert!(state.evict() && !state.slots.contains_key(&1), "1 was idle longest");
        assert!(state.evict() && !state.slots.contains_key(&2));
        assert!(!state.evict(), "0 and 3 are in use");
        state.unserved = 1;
        state.give_back(0);
        assert!(!state.slots.contains_key(&0) && state.unserved == 0, "somebody waited for it");
    }
}
