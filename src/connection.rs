//! The driver: one link, one session, one outbox. It moves bytes between them and asks the router; it knows
//! neither sockets nor rooms.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use confab_protocol::close::{Close, CloseCode};
use confab_protocol::command::{Command, GoAway, Reply, RequestId, Secret, Welcome};
use confab_protocol::model::{Millis, SessionId};
use confab_protocol::reject::{Reject, RejectCode};
use confab_protocol::session::VERSION;
use confab_protocol::session::server::{Event, Input, Output, ServerSession};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::clock::Clock;
use crate::core::append::OrderGuard;
use crate::core::auth::Actor;
use crate::core::history::CatchUp;
use crate::hub::{Batch, Hub, Outbox};
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;
use crate::router::{Handled, Peer, Router};
use crate::transport::{Lane, Link, LinkError};

/// A reader that takes nothing for so long is closed as slow.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Clients spread their return over this time when the server drains, milliseconds.
const DRAIN_JITTER_MS: u32 = 5_000;
/// A drained client has so long to leave by itself.
const DRAIN_GRACE: Duration = Duration::from_secs(3);

/// What every connection shares.
#[derive(Clone)]
pub struct Connections {
    /// Where requests go.
    pub router: Router,
    /// Where pushes come from.
    pub hub: Arc<Hub>,
    /// Time and randomness.
    pub clock: Arc<dyn Clock>,
    /// Counts.
    pub metrics: Metrics,
    /// When to stop.
    pub lifecycle: Lifecycle,
}

/// Why the loop ends: with a close of ours, or because the link did.
enum End {
    Close(Close),
    Gone,
}

type Settled = (RequestId, Duration, Result<Reply, Reject>);
type Settling = FuturesUnordered<Pin<Box<dyn Future<Output = Settled> + Send>>>;

impl Connections {
    /// Serves one link until it ends.
    pub async fn serve<L: Link>(&self, link: L, transport: &'static str) {
        let session = SessionId::new(self.clock.now(), self.clock.random());
        let outbox = self.hub.connect(session);
        let _open = OpenGuard::new(self, &outbox, transport);
        let mut connection = Connection {
            shared: self,
            link,
            session: ServerSession::new(self.clock.now()),
            peer: Peer { session, actor: None, order: Arc::new(OrderGuard::default()) },
            outbox: Arc::clone(&outbox),
            settling: FuturesUnordered::new(),
            catching_up: VecDeque::new(),
        };
        let end = connection.run().await;
        // Readers of the hub first: nothing is queued for a connection that says goodbye.
        self.hub.disconnect(&outbox);
        if let End::Close(close) = end {
            let name = CloseCode::from_number(close.code).map_or("unknown", CloseCode::name);
            self.metrics.closes_total.with_label_values(&[name]).inc();
            tracing::debug!(%session, code = close.code, "closing");
            connection.link.close(close).await;
        }
    }
}

/// Counts a connection while it is open, and leaves the hub even if its task dies.
struct OpenGuard<'a> {
    shared: &'a Connections,
    outbox: &'a Arc<Outbox>,
    transport: &'static str,
}

impl<'a> OpenGuard<'a> {
    fn new(shared: &'a Connections, outbox: &'a Arc<Outbox>, transport: &'static str) -> Self {
        shared.metrics.connections_total.with_label_values(&[transport]).inc();
        shared.metrics.connections.with_label_values(&[transport]).inc();
        Self { shared, outbox, transport }
    }
}

impl Drop for OpenGuard<'_> {
    fn drop(&mut self) {
        self.shared.hub.disconnect(self.outbox);
        self.shared.metrics.connections.with_label_values(&[self.transport]).dec();
        if std::thread::panicking() {
            self.shared.metrics.panics_total.inc();
        }
    }
}

struct Connection<'a, L> {
    shared: &'a Connections,
    link: L,
    session: ServerSession,
    peer: Peer,
    outbox: Arc<Outbox>,
    settling: Settling,
    catching_up: VecDeque<CatchUp>,
}

/// What woke the loop.
enum Wake {
    Frame(Result<Option<Bytes>, LinkError>),
    Pushes(Result<(), CloseCode>),
    Settled(Settled),
    Draining,
    DrainedLongEnough,
    Timeout,
    CatchUp,
}

impl<L: Link> Connection<'_, L> {
    async fn run(&mut self) -> End {
        match self.run_until_end().await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn run_until_end(&mut self) -> Result<std::convert::Infallible, End> {
        let mut batch = Batch::new();
        let mut leave_by = None;
        let mut armed = Millis(0);
        let sleep = tokio::time::sleep(Duration::ZERO);
        // Both are registered once and polled often.
        let drain = self.shared.lifecycle.draining();
        tokio::pin!(sleep, drain);
        loop {
            let deadline = self.drain_session().await?;
            // Deadlines mostly move away; the timer is touched only when one comes nearer or it has fired.
            if deadline < armed || sleep.is_elapsed() {
                let wait = Duration::from_millis(deadline.since(self.shared.clock.now()));
                sleep.as_mut().reset(tokio::time::Instant::now() + wait.min(Duration::from_secs(3600)));
                armed = deadline;
            }
            let outbox = &self.outbox;
            let wake = tokio::select! {
                biased;
                taken = std::future::poll_fn(|cx| outbox.poll_take(cx, &mut batch)) => Wake::Pushes(taken),
                frame = self.link.recv() => Wake::Frame(frame),
                Some(settled) = self.settling.next() => Wake::Settled(settled),
                () = &mut drain, if leave_by.is_none() => Wake::Draining,
                () = sleep_until(leave_by), if leave_by.is_some() => Wake::DrainedLongEnough,
                () = &mut sleep => Wake::Timeout,
                () = std::future::ready(()), if !self.catching_up.is_empty() => Wake::CatchUp,
            };
            match wake {
                Wake::Frame(frame) => self.handle_frame(frame)?,
                Wake::Pushes(taken) => {
                    taken.map_err(|code| End::Close(code.into()))?;
                    self.send_pushes(&mut batch).await?;
                }
                Wake::Settled(settled) => self.handle_settled(settled),
                Wake::Draining => {
                    leave_by = Some(tokio::time::Instant::now() + DRAIN_GRACE);
                    self.session.handle(self.shared.clock.now(), Input::GoAway(going_away()));
                }
                Wake::DrainedLongEnough => {
                    self.session.handle(self.shared.clock.now(), Input::Close(CloseCode::GoingAway));
                }
                Wake::Timeout => self.session.handle(self.shared.clock.now(), Input::Timeout),
                Wake::CatchUp => self.feed_one_room().await?,
            }
        }
    }

    fn handle_frame(&mut self, frame: Result<Option<Bytes>, LinkError>) -> Result<(), End> {
        match frame {
            Ok(Some(frame)) => {
                self.shared.metrics.frames_received_total.inc();
                self.session.handle(self.shared.clock.now(), Input::Frame(frame));
                if let Some(code) = self.session.take_refusal() {
                    self.count_reject(code);
                }
                Ok(())
            }
            Ok(None) | Err(LinkError::Lost) => Err(End::Gone),
            Err(LinkError::TooLarge) => Err(End::Close(CloseCode::FrameTooLarge.into())),
            Err(LinkError::Text) => Err(End::Close(CloseCode::TextFrame.into())),
        }
    }

    /// Does everything that the session wants; returns its next deadline.
    async fn drain_session(&mut self) -> Result<Millis, End> {
        let mut fed = false;
        loop {
            match self.session.poll() {
                Output::Transmit(frame) => {
                    fed = true;
                    within(self.link.feed(Lane::Control, frame)).await?;
                }
                Output::Event(Event::Hello { client, token }) => self.handle_hello(&client, token).await,
                Output::Event(Event::Request { id, command }) => self.handle_request(id, command).await,
                Output::Close(close) => {
                    // What was said before the close is worth reading; a peer that cannot is cut off.
                    let _ = within(self.link.flush()).await;
                    return Err(End::Close(close));
                }
                Output::Timeout(deadline) => {
                    if fed {
                        within(self.link.flush()).await?;
                    }
                    return Ok(deadline);
                }
            }
        }
    }

    async fn handle_hello(&mut self, client: &str, token: Option<Secret>) {
        tracing::debug!(session = %self.peer.session, client, "hello");
        let now = self.shared.clock.now();
        let identity = match token {
            None => None,
            Some(token) => match Box::pin(self.shared.router.authenticate(&token)).await {
                Ok(identity) => Some(identity),
                Err(reject) => {
                    let code = match RejectCode::from_number(reject.code) {
                        Some(RejectCode::TokenExpired) => CloseCode::TokenExpired,
                        Some(RejectCode::Unavailable | RejectCode::Internal) => CloseCode::Internal,
                        _ => CloseCode::TokenInvalid,
                    };
                    return self.session.handle(now, Input::Close(code));
                }
            },
        };
        if let Some(identity) = &identity {
            if !self.shared.router.identify(self.peer.session, identity) {
                return self.session.handle(now, Input::Close(CloseCode::TooManyConnections));
            }
            self.peer.actor = Some(Actor::from(identity.clone()));
        }
        let welcome = Welcome { version: VERSION, session: self.peer.session, server_time: now, identity };
        self.session.handle(now, Input::Welcome(Box::new(welcome)));
    }

    /// Admission is one at a time for each connection; only the wait for a commit overlaps.
    async fn handle_request(&mut self, id: RequestId, command: Command) {
        let start = self.shared.clock.elapsed();
        let name = command.name();
        self.shared.metrics.requests_total.with_label_values(&[name]).inc();
        // Boxed, so that an idle connection does not hold room for the largest of all commands.
        let result = match Box::pin(self.shared.router.handle(&self.peer, command)).await {
            Ok(Handled::Reply(reply)) => Ok(reply),
            Ok(Handled::Resumed(reply, catching_up)) => {
                for room in catching_up {
                    // Asked again, it begins again.
                    self.catching_up.retain(|other| other.room() != room.room());
                    self.catching_up.push_back(room);
                }
                Ok(reply)
            }
            Ok(Handled::Queued(receipt, altered)) => {
                let router = self.shared.router.clone();
                self.settling.push(Box::pin(async move { (id, start, router.settle(receipt, altered).await) }));
                return;
            }
            Err(reject) => Err(reject),
        };
        self.shared.metrics.request_seconds.with_label_values(&[name]).observe(self.since(start));
        self.finish(id, result);
    }

    fn handle_settled(&mut self, (id, start, result): Settled) {
        if result.is_err() {
            self.peer.order.acknowledge();
        }
        self.shared.metrics.request_seconds.with_label_values(&["publish"]).observe(self.since(start));
        self.finish(id, result);
    }

    fn finish(&mut self, id: RequestId, result: Result<Reply, Reject>) {
        let identity = match &result {
            Ok(Reply::Session(session)) => Some(&session.identity),
            Ok(Reply::Authenticated(identity)) => Some(identity),
            Ok(_) => None,
            Err(reject) => {
                self.count_reject(reject.code);
                None
            }
        };
        let now = self.shared.clock.now();
        if let Some(identity) = identity {
            if !self.shared.router.identify(self.peer.session, identity) {
                return self.session.handle(now, Input::Close(CloseCode::TooManyConnections));
            }
            self.peer.actor = Some(Actor::from(identity.clone()));
        }
        self.session.handle(now, Input::Reply { id, result });
    }

    fn count_reject(&self, code: u16) {
        let name = RejectCode::from_number(code).map_or("unknown", RejectCode::name);
        self.shared.metrics.rejects_total.with_label_values(&[name]).inc();
    }

    fn since(&self, start: Duration) -> f64 {
        self.shared.clock.elapsed().saturating_sub(start).as_secs_f64()
    }

    async fn send_pushes(&mut self, batch: &mut Batch) -> Result<(), End> {
        self.shared.metrics.pushes_sent_total.inc_by(batch.len() as u64);
        let link = &mut self.link;
        within(async {
            for push in batch.drain(..) {
                link.feed(Lane::Entries, push).await?;
            }
            link.flush().await
        })
        .await
    }

    /// One page for one room; rooms take turns, and what else happens goes first.
    async fn feed_one_room(&mut self) -> Result<(), End> {
        let Some(mut room) = self.catching_up.pop_front() else { return Ok(()) };
        match self.shared.router.catch_up(self.peer.session, &mut room).await {
            Ok(Some(push)) => {
                let link = &mut self.link;
                within(async {
                    link.feed(Lane::Entries, push).await?;
                    link.flush().await
                })
                .await?;
                self.catching_up.push_back(room);
                Ok(())
            }
            Ok(None) => Ok(()),
            // It cannot be caught up now; the client comes back with its cursors.
            Err(_) => Err(End::Close(CloseCode::Internal.into())),
        }
    }
}

async fn sleep_until(time: Option<tokio::time::Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

async fn within(write: impl Future<Output = Result<(), LinkError>>) -> Result<(), End> {
    // Most writes are done at once: no timer for them.
    let mut write = std::pin::pin!(write);
    let first = std::future::poll_fn(|cx| Poll::Ready(write.as_mut().poll(cx))).await;
    let result = match first {
        Poll::Ready(result) => result,
        Poll::Pending => match tokio::time::timeout(WRITE_TIMEOUT, write).await {
            Ok(result) => result,
            Err(_) => return Err(End::Close(CloseCode::SlowConsumer.into())),
        },
    };
    result.map_err(|_| End::Gone)
}

fn going_away() -> GoAway {
    let Close { code, reason } = CloseCode::GoingAway.into();
    GoAway { code, reason, reconnect_after_ms: 500, jitter_ms: DRAIN_JITTER_MS }
}
