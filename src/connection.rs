//! The driver: one link, one session, one outbox. It moves bytes between them and asks the router; it knows
//! neither sockets nor rooms.

mod behind;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use confab_protocol::close::{Close, CloseCode};
use confab_protocol::codec::encode_server_frame;
use confab_protocol::command::{Command, GoAway, Identity, Push, Reply, RequestId, Secret, ServerFrame, Welcome};
use confab_protocol::limits;
use confab_protocol::model::{Cursor, Millis, RoomId, Seq, SessionId};
use confab_protocol::reject::{Reject, RejectCode};
use confab_protocol::session::VERSION;
use confab_protocol::session::server::{Event, Input, Output, ServerSession};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, Stream, StreamExt};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::WaitForCancellationFuture;

use self::behind::Behind;
use crate::clock::Clock;
use crate::core::auth::Actor;
use crate::core::history::CatchUp;
use crate::core::limits::Meter;
use crate::core::observe::sessions::OpenSession;
use crate::hub::{Batch, Hub, Outbox};
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;
use crate::router::{Handled, Peer, Router};
use crate::transport::{Lane, Link, LinkError, Received};

/// Replies are flushed before more of them are fed.
const PENDING_BYTES_MAX: usize = 64 * 1024;
/// A reader that takes nothing for so long is closed as slow.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// While something is written slowly it is looked this often whether the connection is to close.
const CLOSE_LOOK_EVERY: Duration = Duration::from_millis(250);
/// Clients spread their return over at least this time when the server drains, milliseconds.
const DRAIN_JITTER_MS_MIN: u32 = 5_000;
/// For each connection the time over which all of them return grows by so much, milliseconds. By a
/// welcome those who came early know of fewer: some thousands come in the first second.
const JITTER_MS_EACH: u64 = 1;
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

/// A request that waited for its commit: which, to which room, since when, and how it went.
type Settled = (RequestId, &'static str, RoomId, Duration, Result<Reply, Reject>);
type Settling = FuturesUnordered<Pin<Box<dyn Future<Output = Settled> + Send>>>;

impl Connections {
    /// Over how long those who are connected now are to come back, if all of them are lost at once.
    fn return_over_ms(&self) -> u16 {
        let wanted = self.hub.count_connections() as u64 * JITTER_MS_EACH;
        u16::try_from(wanted).unwrap_or(u16::MAX).min(limits::RECONNECT_JITTER_MS_MAX)
    }

    /// Serves one link until it ends.
    pub async fn serve<L: Link>(&self, link: L, from: IpAddr, transport: &'static str) {
        let session = SessionId::new(self.clock.now(), self.clock.random());
        let opened = Opened { at: self.clock.now(), elapsed: self.clock.elapsed() };
        let outbox = self.hub.connect(session);
        let _open = OpenGuard::new(self, &outbox, transport);
        let mut connection = Connection {
            shared: self,
            link,
            session: ServerSession::new(opened.now(&*self.clock)),
            opened,
            peer: Peer { session, from, actor: None, order: Arc::default(), meter: Meter::default() },
            transport,
            open_session: None,
            outbox: Arc::clone(&outbox),
            settling: FuturesUnordered::new(),
            catching_up: VecDeque::new(),
            lagging: Vec::new(),
            pushes_first: false,
        };
        if let Some(writer) = connection.link.try_writer() {
            outbox.set_writer(writer);
        }
        let end = connection.run().await;
        // Readers of the hub first: nothing is queued for a connection that says goodbye.
        if let Some((user, shown, rooms)) = self.hub.disconnect(&outbox) {
            self.router.note_gone(user, shown, &rooms);
        }
        drop(connection.open_session.take());
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

/// When a connection was opened, by both clocks.
#[derive(Clone, Copy)]
struct Opened {
    at: Millis,
    elapsed: Duration,
}

impl Opened {
    /// The session's time: a step of the wall clock must not end every connection.
    fn now(self, clock: &dyn Clock) -> Millis {
        let since = clock.elapsed().saturating_sub(self.elapsed);
        self.at.after(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

struct Connection<'a, L> {
    shared: &'a Connections,
    opened: Opened,
    link: L,
    session: ServerSession,
    peer: Peer,
    transport: &'static str,
    /// Once it is known whose it is.
    open_session: Option<OpenSession>,
    outbox: Arc<Outbox>,
    settling: Settling,
    catching_up: VecDeque<CatchUp>,
    /// Taken from the outbox with the pushes that stand before it.
    lagging: Vec<Cursor>,
    /// Whose turn it is when a peer talks as fast as its rooms.
    pushes_first: bool,
}

/// What woke the loop.
enum Wake {
    Received(Result<Received, LinkError>),
    InsideFrame,
    Pushes(Result<(), CloseCode>),
    Settled(Settled),
    Draining,
    Timeout,
    CatchUp,
}

/// The two clocks of a connection: its deadline and the server's drain.
struct Timers<'a, 'b> {
    sleep: Pin<&'a mut Sleep>,
    drain: Option<Pin<&'a mut WaitForCancellationFuture<'b>>>,
    leave_by: Option<Instant>,
    armed: Millis,
}

impl Timers<'_, '_> {
    /// Deadlines mostly move away; the timer is touched only when one comes nearer or it has fired.
    fn arm(&mut self, now: Millis, deadline: Millis) {
        if deadline < self.armed || self.sleep.is_elapsed() {
            let wait = Duration::from_millis(deadline.since(now)).min(Duration::from_secs(3600));
            let at = Instant::now() + wait;
            self.sleep.as_mut().reset(self.leave_by.map_or(at, |leave_by| at.min(leave_by)));
            self.armed = deadline;
        }
    }

    fn drained_long_enough(&self) -> bool {
        self.leave_by.is_some_and(|leave_by| Instant::now() >= leave_by)
    }
}

impl<L: Link> Connection<'_, L> {
    async fn run(&mut self) -> End {
        match self.run_until_end().await {
            Ok(never) => match never {},
            Err(End::Close(close)) if close.code == CloseCode::SlowConsumer.number() => {
                End::Close(self.slow_consumer())
            }
            Err(end) => end,
        }
    }

    /// What the link did not take, and what waits behind that.
    fn slow_consumer(&self) -> Close {
        let mut behind = Behind::default();
        self.link.unwritten().for_each(|frame| behind.note_frame(frame));
        let (pushes, lagging) = self.outbox.waiting();
        pushes.iter().for_each(|push| behind.note_frame(push));
        let feeding = self.catching_up.iter().map(|room| (room.cursor(), room.head()));
        for (cursor, head) in lagging.into_iter().map(|cursor| (cursor, Seq(0))).chain(feeding) {
            behind.note(cursor, head.max(self.shared.hub.delivered_until(cursor.room)));
        }
        behind.into_close()
    }

    async fn run_until_end(&mut self) -> Result<std::convert::Infallible, End> {
        let mut batch = Batch::new();
        let drain = std::pin::pin!(self.shared.lifecycle.draining());
        let sleep = std::pin::pin!(tokio::time::sleep(Duration::ZERO));
        let mut timers = Timers { sleep, drain: Some(drain), leave_by: None, armed: Millis(0) };
        loop {
            let deadline = self.drain_session().await?;
            flush(&mut self.link, &self.outbox).await?;
            // Also for a peer that talks so much that no timer is ever looked at.
            let now = self.now();
            if timers.drained_long_enough() {
                self.session.handle(now, Input::Close(CloseCode::GoingAway));
                continue;
            }
            if deadline <= now {
                self.session.handle(now, Input::Timeout);
                continue;
            }
            timers.arm(now, deadline);
            match poll_fn(|cx| self.poll_wake(cx, &mut timers, &mut batch)).await {
                Wake::Received(received) => self.handle_received(received)?,
                Wake::InsideFrame => self.session.handle(self.now(), Input::InsideFrame),
                Wake::Pushes(taken) => {
                    taken.map_err(|code| End::Close(code.into()))?;
                    self.shared.metrics.pushes_sent_total.inc_by(batch.len() as u64);
                    batch.drain(..).for_each(|push| self.link.feed(Lane::Entries, push));
                    self.catch_up_lagging();
                }
                Wake::Settled(settled) => {
                    self.handle_settled(settled);
                    // Those of one commit are ready together, and go out together.
                    while let Some(Some(settled)) = self.settling.next().now_or_never() {
                        self.handle_settled(settled);
                    }
                }
                Wake::Draining => {
                    timers.leave_by = Some(Instant::now() + DRAIN_GRACE);
                    timers.armed = Millis::NEVER;
                    self.session.handle(self.now(), Input::GoAway(going_away(self.shared.return_over_ms())));
                }
                // What is due is looked at before the next wait.
                Wake::Timeout => {}
                Wake::CatchUp => self.feed_one_room().await?,
            }
        }
    }

    /// While this is pending, others may write to the link; after that it is ours again.
    fn poll_wake(&mut self, cx: &mut Context<'_>, timers: &mut Timers<'_, '_>, batch: &mut Batch) -> Poll<Wake> {
        let wake = self.poll_sources(cx, timers, batch);
        if wake.is_ready()
            && let Some((batch, written)) = self.outbox.end_wait()
        {
            self.link.resume_write(batch, written);
        }
        wake
    }

    fn poll_sources(&mut self, cx: &mut Context<'_>, timers: &mut Timers<'_, '_>, batch: &mut Batch) -> Poll<Wake> {
        self.pushes_first = !self.pushes_first;
        if let Poll::Ready(Some(settled)) = Pin::new(&mut self.settling).poll_next(cx) {
            return Poll::Ready(Wake::Settled(settled));
        }
        for is_pushes_turn in [self.pushes_first, !self.pushes_first] {
            if is_pushes_turn {
                if let Poll::Ready(taken) = self.outbox.poll_take(cx, batch, &mut self.lagging) {
                    return Poll::Ready(Wake::Pushes(taken));
                }
            } else if let Poll::Ready(received) = self.link.poll_recv(cx) {
                return Poll::Ready(Wake::Received(received));
            }
        }
        if self.link.is_inside_frame() && !self.session.is_inside_frame() {
            return Poll::Ready(Wake::InsideFrame);
        }
        if timers.drain.as_mut().is_some_and(|drain| drain.as_mut().poll(cx).is_ready()) {
            timers.drain = None;
            return Poll::Ready(Wake::Draining);
        }
        if timers.sleep.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Wake::Timeout);
        }
        if self.catching_up.is_empty() { Poll::Pending } else { Poll::Ready(Wake::CatchUp) }
    }

    fn handle_received(&mut self, received: Result<Received, LinkError>) -> Result<(), End> {
        match received {
            Ok(Received::Frame(frame)) => {
                self.shared.metrics.frames_received_total.inc();
                self.session.handle(self.now(), Input::Frame(frame));
                if let Some(code) = self.session.take_refusal() {
                    self.count_reject(code);
                }
                Ok(())
            }
            Ok(Received::Alive) => {
                let inside_frame = self.link.is_inside_frame();
                self.session.handle(self.now(), Input::Alive { inside_frame });
                Ok(())
            }
            Ok(Received::End) | Err(LinkError::Lost) => Err(End::Gone),
            Err(LinkError::Malformed) => Err(End::Close(CloseCode::MalformedFrame.into())),
            Err(LinkError::TooLarge) => Err(End::Close(CloseCode::FrameTooLarge.into())),
            Err(LinkError::Text) => Err(End::Close(CloseCode::TextFrame.into())),
        }
    }

    /// Does everything that the session wants; returns its next deadline.
    async fn drain_session(&mut self) -> Result<Millis, End> {
        loop {
            match self.session.poll() {
                Output::Transmit(frame) => {
                    self.link.feed(Lane::Control, frame);
                    if self.link.pending_bytes() >= PENDING_BYTES_MAX {
                        Box::pin(flush(&mut self.link, &self.outbox)).await?;
                    }
                }
                Output::Probe => self.link.probe(),
                Output::Event(Event::Hello { client, token }) => self.handle_hello(&client, token).await,
                Output::Event(Event::Request { id, command }) => self.handle_request(id, command).await,
                Output::Close(close) => {
                    // What was said before the close is worth reading; a peer that cannot is cut off.
                    let _ = Box::pin(flush(&mut self.link, &self.outbox)).await;
                    return Err(End::Close(close));
                }
                Output::Timeout(deadline) => return Ok(deadline),
            }
        }
    }

    async fn handle_hello(&mut self, client: &str, token: Option<Secret>) {
        tracing::debug!(session = %self.peer.session, client, "hello");
        let now = self.now();
        let identity = match token {
            None => None,
            Some(token) => match Box::pin(self.shared.router.authenticate(self.peer.from, &token)).await {
                Ok(identity) => Some(identity),
                Err(reject) => {
                    let code = match RejectCode::from_number(reject.code) {
                        Some(RejectCode::TokenExpired) => CloseCode::TokenExpired,
                        Some(RejectCode::Banned) => CloseCode::Banned,
                        Some(RejectCode::RateLimited) => CloseCode::TooManyRequests,
                        Some(RejectCode::Unavailable | RejectCode::Internal) => CloseCode::Internal,
                        _ => CloseCode::TokenInvalid,
                    };
                    return self.session.handle(now, Input::Close(code));
                }
            },
        };
        if let Some(identity) = &identity
            && let Err(code) = self.identify(identity).await
        {
            return self.session.handle(now, Input::Close(code));
        }
        let server_time = self.shared.clock.now();
        let (session, reconnect_jitter_ms) = (self.peer.session, self.shared.return_over_ms());
        let welcome = Welcome { version: VERSION, session, server_time, identity, reconnect_jitter_ms };
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
                catching_up.into_iter().for_each(|room| self.begin_catch_up(room));
                Ok(reply)
            }
            Ok(Handled::Queued(queued)) => {
                let router = self.shared.router.clone();
                let room = queued.room();
                self.settling.push(Box::pin(async move { (id, name, room, start, router.settle(queued).await) }));
                return;
            }
            Err(reject) => Err(reject),
        };
        self.shared.metrics.request_seconds.with_label_values(&[name]).observe(self.since(start));
        let identity = match &result {
            Ok(Reply::Session(session)) => Some(&session.identity),
            Ok(Reply::Authenticated(identity)) => Some(identity),
            _ => None,
        };
        if let Some(identity) = identity
            && let Err(code) = self.identify(identity).await
        {
            return self.session.handle(self.now(), Input::Close(code));
        }
        self.finish(id, result);
    }

    fn begin_catch_up(&mut self, room: CatchUp) {
        // Asked again, it begins again.
        self.catching_up.retain(|other| other.room() != room.room());
        self.catching_up.push_back(room);
    }

    fn catch_up_lagging(&mut self) {
        let Some(reader) = self.peer.actor.as_ref().map(|actor| actor.user) else { return };
        for cursor in std::mem::take(&mut self.lagging) {
            self.begin_catch_up(CatchUp::behind(reader, cursor));
        }
    }

    async fn identify(&mut self, identity: &Identity) -> Result<(), CloseCode> {
        // Boxed as requests are.
        let mut actor: Actor = Box::pin(self.shared.router.identify(self.peer.session, identity)).await?;
        actor.transport = self.transport;
        if self.open_session.is_none() {
            self.open_session = Some(self.shared.router.open_session(self.peer.session, &actor, self.transport));
        }
        self.peer.actor = Some(actor);
        Ok(())
    }

    fn handle_settled(&mut self, (id, name, room, start, result): Settled) {
        if result.is_err() {
            self.peer.order.acknowledge(room);
        }
        self.shared.metrics.request_seconds.with_label_values(&[name]).observe(self.since(start));
        self.finish(id, result);
    }

    fn finish(&mut self, id: RequestId, mut result: Result<Reply, Reject>) {
        let mut limited = Ok(());
        if let Err(reject) = &mut result {
            self.count_reject(reject.code);
            if reject.is(RejectCode::RateLimited) {
                limited = self.shared.router.note_limited(&self.peer, reject);
            }
        }
        self.session.handle(self.now(), Input::Reply { id, result });
        if let Err(code) = limited {
            self.session.handle(self.now(), Input::Close(code));
        }
    }

    fn count_reject(&self, code: u16) {
        let name = RejectCode::from_number(code).map_or("unknown", RejectCode::name);
        self.shared.metrics.rejects_total.with_label_values(&[name]).inc();
    }

    fn now(&self) -> Millis {
        self.opened.now(&*self.shared.clock)
    }

    fn since(&self, start: Duration) -> f64 {
        self.shared.clock.elapsed().saturating_sub(start).as_secs_f64()
    }

    /// One page for one room; rooms take turns, and what else happens goes first.
    async fn feed_one_room(&mut self) -> Result<(), End> {
        let Some(mut room) = self.catching_up.pop_front() else { return Ok(()) };
        match self.shared.router.catch_up(self.peer.session, &mut room).await {
            Ok(Some(push)) => {
                self.link.feed(Lane::Entries, push);
                self.catching_up.push_back(room);
                Ok(())
            }
            Ok(None) => Ok(()),
            // What is damaged stays so: the room is let go and told of, the others go on.
            Err(reject) if reject.is(RejectCode::Internal) => {
                let room = room.room();
                self.shared.hub.detach(self.peer.session, room);
                let text = format!("room {room} cannot be read on: {}", reject.detail);
                self.link.feed(Lane::Control, encode_server_frame(&ServerFrame::Push(Push::Notice(text))));
                Ok(())
            }
            // It cannot be caught up now; the client comes back with its cursors.
            Err(_) => Err(End::Close(CloseCode::Internal.into())),
        }
    }
}

async fn flush<L: Link>(link: &mut L, outbox: &Outbox) -> Result<(), End> {
    // Most flushes are done at once: no timer for them.
    let flushed = poll_fn(|cx| Poll::Ready(link.poll_flush(cx))).await;
    match flushed {
        Poll::Ready(flushed) => flushed.map_err(|_| End::Gone),
        Poll::Pending => Box::pin(flush_slowly(link, outbox)).await,
    }
}

async fn flush_slowly<L: Link>(link: &mut L, outbox: &Outbox) -> Result<(), End> {
    let mut progress = (link.pending_bytes(), Instant::now());
    loop {
        if let Ok(flushed) = tokio::time::timeout(CLOSE_LOOK_EVERY, poll_fn(|cx| link.poll_flush(cx))).await {
            return flushed.map_err(|_| End::Gone);
        }
        // Whoever reads slowly is not waited for when their login has ended.
        if let Some(code) = outbox.asked_to_close() {
            return Err(End::Close(code.into()));
        }
        let pending = link.pending_bytes();
        if pending < progress.0 {
            // Slow is not stuck: the bound of the outbox is for those who never catch up.
            progress = (pending, Instant::now());
        } else if progress.1.elapsed() >= WRITE_TIMEOUT {
            return Err(End::Close(CloseCode::SlowConsumer.into()));
        }
    }
}

fn going_away(return_over_ms: u16) -> GoAway {
    let Close { code, reason } = CloseCode::GoingAway.into();
    let jitter_ms = u32::from(return_over_ms).max(DRAIN_JITTER_MS_MIN);
    GoAway { code, reason, reconnect_after_ms: 500, jitter_ms }
}
