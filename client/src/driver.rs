//! The task behind a [`crate::Client`]: moves bytes and time between a link and the session.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use confab_protocol::close::Close;
use confab_protocol::command::{Reply, RequestId};
use confab_protocol::model::Millis;
use confab_protocol::reject::Reject;
use confab_protocol::session::client::{ClientSession, Config, Event, Input, Output};
use tokio::sync::{mpsc, oneshot};

use crate::link::{self, Incoming, Outgoing};
use crate::{Ask, Options};

/// The machine's time.
#[expect(clippy::disallowed_methods, reason = "the one clock of the client")]
pub(crate) fn local_time() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// 128 random bits.
pub(crate) fn random() -> u128 {
    let mut bytes = [0; 16];
    // Without randomness ids collide, which the server tells; nothing secret hangs on it.
    let _ = getrandom::fill(&mut bytes);
    u128::from_ne_bytes(bytes)
}

/// Events kept for an application that does not receive; past that nothing more is read.
const BACKLOG_EVENTS_MAX: usize = 1_024;

type Answer = oneshot::Sender<Result<Reply, Reject>>;

struct Driver {
    options: Options,
    session: ClientSession,
    answers: HashMap<RequestId, Answer>,
    /// Events that the application has not made room for.
    backlog: VecDeque<Event>,
    is_stopped: bool,
    outgoing: Option<Outgoing>,
    incoming: Option<Incoming>,
    clock_offset_ms: Arc<AtomicI64>,
}

/// Runs until all handles are dropped, nobody receives, or the session stops.
pub(crate) async fn run(
    options: Options,
    mut asks: mpsc::Receiver<Ask>,
    events: mpsc::Sender<Event>,
    clock_offset_ms: Arc<AtomicI64>,
) {
    let config = Config {
        client: options.name.clone(),
        access_token: options.access_token.clone(),
        refresh_token: options.refresh_token.clone(),
        seed: random() as u64,
    };
    let mut driver = Driver {
        options,
        session: ClientSession::new(local_time(), config),
        answers: HashMap::new(),
        backlog: VecDeque::new(),
        is_stopped: false,
        outgoing: None,
        incoming: None,
        clock_offset_ms,
    };
    // All handles are gone: what came before is still told.
    let mut is_leaving = false;
    loop {
        let deadline = driver.drain().await;
        if (driver.is_stopped || is_leaving) && driver.backlog.is_empty() {
            break;
        }
        let wait = Duration::from_millis(deadline.since(local_time()).min(3_600_000));
        let may_ask = driver.session.has_capacity();
        // What is not read backs up to the server, which knows what to do with a slow reader.
        let may_read = driver.backlog.len() < BACKLOG_EVENTS_MAX && !is_leaving;
        if driver.is_stopped {
            // Before callers are told: they ask whether anybody is there.
            asks.close();
        }
        if !may_read || driver.is_stopped {
            driver.release_callers();
        }
        tokio::select! {
            permit = events.reserve(), if !driver.backlog.is_empty() => match (permit, driver.backlog.pop_front()) {
                (Ok(permit), Some(event)) => permit.send(event),
                _ => break,
            },
            frame = next_frame(&mut driver.incoming), if may_read => driver.handle_frame(frame),
            ask = asks.recv(), if may_ask && !driver.is_stopped && !is_leaving => match ask {
                Some(ask) => driver.handle_ask(ask),
                None => is_leaving = true,
            },
            // An application that receives nothing learns of no timeouts either: they would only add events.
            () = tokio::time::sleep(wait), if may_read => driver.session.handle(local_time(), Input::Timeout),
        }
    }
    if let Some(outgoing) = driver.outgoing {
        outgoing.close().await;
    }
}

async fn next_frame(incoming: &mut Option<Incoming>) -> Result<Bytes, Close> {
    match incoming {
        None => std::future::pending().await,
        Some(incoming) => {
            let ended = || Close { code: 0, reason: "the connection ended".into() };
            incoming.recv().await.unwrap_or_else(|| Err(ended()))
        }
    }
}

impl Driver {
    fn handle_frame(&mut self, frame: Result<Bytes, Close>) {
        match frame {
            Ok(frame) => self.session.handle(local_time(), Input::Frame(frame)),
            Err(close) => {
                (self.incoming, self.outgoing) = (None, None);
                self.session.handle(local_time(), Input::Disconnected(close));
            }
        }
    }

    fn handle_ask(&mut self, ask: Ask) {
        match ask {
            Ask::Request(command, answer) => {
                let id = self.session.request(local_time(), command);
                self.answers.insert(id, answer);
            }
            Ask::Follow(cursor) => self.session.follow(local_time(), cursor),
            Ask::Unfollow(room) => self.session.unfollow(local_time(), room),
        }
    }

    /// Who waits for a reply without receiving events would wait for ever: the reply comes behind them. What was
    /// asked goes on; only its outcome is not told.
    fn release_callers(&mut self) {
        self.answers.clear();
    }

    /// Does what the session wants.
    async fn drain(&mut self) -> Millis {
        loop {
            match self.session.poll() {
                Output::Connect => self.connect().await,
                Output::Transmit(frame) => self.transmit(frame).await,
                Output::Disconnect => {
                    self.incoming = None;
                    if let Some(outgoing) = self.outgoing.take() {
                        outgoing.close().await;
                    }
                }
                Output::Event(event) => self.handle_event(event),
                Output::Timeout(deadline) => return deadline,
            }
        }
    }

    async fn connect(&mut self) {
        match link::connect(&self.options.server).await {
            Ok((outgoing, incoming)) => {
                (self.outgoing, self.incoming) = (Some(outgoing), Some(incoming));
                self.session.handle(local_time(), Input::Connected);
            }
            Err(close) => self.session.handle(local_time(), Input::Disconnected(close)),
        }
    }

    async fn transmit(&mut self, frame: Bytes) {
        // A link that fails says why on its way in.
        if let Some(outgoing) = &mut self.outgoing
            && outgoing.send(frame).await.is_err()
        {
            self.outgoing = None;
        }
    }

    fn handle_event(&mut self, event: Event) {
        match event {
            Event::Reply { id, result } => {
                if let Some(answer) = self.answers.remove(&id) {
                    // Whoever asked may have stopped waiting.
                    let _ = answer.send(result);
                }
                return;
            }
            Event::Welcome(ref welcome) => {
                let offset = welcome.server_time.0.cast_signed().saturating_sub(local_time().0.cast_signed());
                self.clock_offset_ms.store(offset, Ordering::Relaxed);
            }
            Event::Stopped(_) => self.is_stopped = true,
            _ => {}
        }
        self.backlog.push_back(event);
    }
}
