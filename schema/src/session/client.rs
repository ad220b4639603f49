//! The client's end: greets, keeps alive, reconnects, resumes its rooms, resends what was not answered,
//! and renews its token. The application sees each entry of a followed room once, in order.

use std::collections::VecDeque;

use bytes::Bytes;

use super::VERSION;
use super::backoff::Backoff;
use super::client_requests::{Asker, Requests};
use super::client_rooms::{Rooms, Step};
use crate::close::{Close, CloseCode, Comeback};
use crate::codec::{decode_server_frame, encode_client_frame};
use crate::command::{
    ClientFrame, Command, EntriesPush, Ephemeral, GoAway, Hello, Identity, PresenceStatus, Push, Reply, RequestId,
    Resumed, Secret, ServerFrame, Session, Welcome,
};
use crate::limits::{HEARTBEAT_MS, HELLO_TIMEOUT_MS, IDLE_TIMEOUT_MS, IN_FLIGHT_MAX, RECONNECT_JITTER_MS_MAX};
use crate::model::{Cursor, Millis, RoomId, Seq};
use crate::reject::{Reject, RejectCode};

/// A token is renewed this long before it expires, or at half its life if that is shorter; milliseconds.
const RENEW_BEFORE_MS: u64 = 30_000;
/// A renewal that was refused for a passing reason is tried again not sooner than this, milliseconds.
const RENEW_RETRY_MS: u64 = 5_000;
/// An answer that takes so long is asked for by a sign of life, again and again, milliseconds.
const NUDGE_MS: u64 = 2_000;
/// A link that lasted so long was good: the next attempt is the first again, milliseconds.
const STABLE_MS: u64 = 1_000;
/// Requests that the session may have in flight by itself: a resume, a refresh, a ping, an unsubscribe.
const OWN_REQUESTS_MAX: usize = 4;
/// Not sooner than this after a close of range 43xx, milliseconds.
const RECONNECT_LATER_MS: u64 = 10_000;

/// Who connects.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name and version of the client, at most 64 bytes.
    pub client: String,
    /// Access token of an earlier login, if there is one.
    pub access_token: Option<Secret>,
    /// Refresh token of an earlier login, if there is one.
    pub refresh_token: Option<Secret>,
    /// Any number; spreads reconnects.
    pub seed: u64,
}

/// What happens to a session.
#[derive(Debug)]
pub enum Input {
    /// The link that [`Output::Connect`] asked for is up.
    Connected,
    /// The server sent a frame.
    Frame(Bytes),
    /// The link is down or could not be had; code 0 when it was not closed by the peer.
    Disconnected(Close),
    /// Time has passed.
    Timeout,
}

/// What a session wants done.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Open a link, then [`Input::Connected`] or [`Input::Disconnected`].
    Connect,
    /// Send these bytes.
    Transmit(Bytes),
    /// Close the link; no [`Input::Disconnected`] is needed.
    Disconnect,
    /// For the application.
    Event(Event),
    /// Nothing until then.
    Timeout(Millis),
}

/// What the application learns.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// Connected; with an identity if the token was good.
    Welcome(Box<Welcome>),
    /// Logged in, by the application's request or because the session renewed its tokens. Keep these.
    Session(Box<Session>),
    /// The answer to a request of the application.
    Reply {
        /// Which one.
        id: RequestId,
        /// How it went. After a lost connection a request that must not be repeated fails as unavailable.
        result: Result<Reply, Reject>,
    },
    /// New entries of a followed room: each once, in order.
    Entries(EntriesPush),
    /// Entries after `known` were not sent: page them with `sync`, or start anew if the incarnation changed.
    Gap {
        /// The server's answer.
        resumed: Resumed,
        /// The last seq that was delivered.
        known: Seq,
    },
    /// A followed room is not readable any more.
    Lost(RoomId),
    /// What is true for a moment in a room.
    Ephemeral(Ephemeral),
    /// For people.
    Notice(String),
    /// The link is down; the session comes back by itself at that time.
    Offline {
        /// Why.
        close: Close,
        /// When it tries again.
        retry_at: Millis,
    },
    /// The link is down and only the application can help (new credentials, a new client).
    Stopped(Close),
}

#[derive(Debug)]
enum State {
    Waiting {
        until: Millis,
    },
    Connecting,
    Greeting {
        deadline: Millis,
    },
    /// Connected, but requests of the application wait for an identity.
    Anonymous,
    Active,
    Stopped,
}

/// The client's end of a conversation that outlives connections.
#[derive(Debug)]
pub struct ClientSession {
    config: Config,
    state: State,
    outputs: VecDeque<Output>,
    backoff: Backoff,
    requests: Requests,
    rooms: Rooms,
    last_heard: Millis,
    last_sent: Millis,
    /// When the server was first asked something since it was last heard.
    asked_at: Option<Millis>,
    /// When this link's welcome came: one that lasts ends the backoff.
    welcomed_at: Option<Millis>,
    /// Over how long those of a server that is gone at once come back, by its welcome; 0 once that was waited for.
    jitter_ms: u16,
    /// The link was lost while tokens were renewed: the old ones may be spent, and soon count as stolen.
    is_refresh_lost: bool,
    go_away: Option<GoAway>,
    /// When to renew the token; never while that is under way.
    renew_at: Millis,
    /// Added to the local clock this is server time.
    clock_offset_ms: i64,
    /// As the application wants to be shown, on every link.
    presence: PresenceStatus,
}

impl ClientSession {
    /// A session that wants to connect at once.
    #[must_use]
    pub fn new(now: Millis, config: Config) -> Self {
        Self {
            backoff: Backoff::new(config.seed),
            config,
            state: State::Waiting { until: now },
            outputs: VecDeque::new(),
            requests: Requests::default(),
            rooms: Rooms::default(),
            last_heard: now,
            last_sent: now,
            asked_at: None,
            welcomed_at: None,
            jitter_ms: 0,
            is_refresh_lost: false,
            go_away: None,
            renew_at: Millis::NEVER,
            clock_offset_ms: 0,
            presence: PresenceStatus::default(),
        }
    }

    /// The server's time, for client ids.
    #[must_use]
    pub fn server_time(&self, now: Millis) -> Millis {
        Millis(now.0.saturating_add_signed(self.clock_offset_ms))
    }

    /// Whether another request may be asked now; past the bound the server refuses.
    #[must_use]
    pub fn has_capacity(&self) -> bool {
        self.requests.has_room(1 + OWN_REQUESTS_MAX, IN_FLIGHT_MAX)
    }

    /// Asks something; the answer is an [`Event::Reply`] with this id, perhaps after a reconnect.
    pub fn request(&mut self, now: Millis, command: Command) -> RequestId {
        let sendable = self.is_sendable(&command);
        if let Command::SetPresence(status) = command {
            self.presence = status;
        }
        let id = self.requests.add(Asker::Application, command);
        if sendable {
            self.send_pending(now, id);
        }
        id
    }

    /// What the next links begin with, for an application that renews its tokens by other means than a refresh token of
    /// this session's. On a link that is up it asks [`Command::Authenticate`] as well.
    pub fn set_access_token(&mut self, token: Secret) {
        self.config.access_token = Some(token);
    }

    /// Follows a room from a cursor, now and after every reconnect.
    pub fn follow(&mut self, now: Millis, cursor: Cursor) {
        self.rooms.follow(cursor);
        self.send_resume(now);
    }

    /// Stops following a room.
    pub fn unfollow(&mut self, now: Millis, room: RoomId) {
        self.rooms.forget(room);
        if matches!(self.state, State::Active) {
            self.ask(now, Command::Unsubscribe(crate::command::RoomTarget::Id(room)));
        }
    }

    /// How far a followed room is known.
    #[must_use]
    pub fn cursor(&self, room: RoomId) -> Option<Cursor> {
        self.rooms.cursor(room)
    }

    /// Takes one input; then poll until drained.
    pub fn handle(&mut self, now: Millis, input: Input) {
        match input {
            Input::Connected => self.handle_connected(now),
            Input::Frame(frame) => self.handle_frame(now, &frame),
            Input::Disconnected(close) => self.handle_disconnected(now, close),
            Input::Timeout => self.handle_timeout(now),
        }
    }

    /// The next thing to do; [`Output::Timeout`] when there is nothing now.
    pub fn poll(&mut self) -> Output {
        self.outputs.pop_front().unwrap_or_else(|| Output::Timeout(self.deadline()))
    }

    fn deadline(&self) -> Millis {
        let alive = self.ping_at().min(self.dead_at());
        match self.state {
            State::Waiting { until } => until,
            State::Connecting | State::Stopped => Millis::NEVER,
            State::Greeting { deadline } => deadline,
            State::Anonymous | State::Active => alive.min(self.renew_at),
        }
    }

    /// When to send something, if nothing else is sent. A server that was killed and started again knows nothing of this
    /// link, and says so only to who sends: sooner where an answer is waited for.
    fn ping_at(&self) -> Millis {
        self.last_sent.after(if self.asked_at.is_some() { NUDGE_MS } else { HEARTBEAT_MS })
    }

    /// When the silence is a sign: not before the server had time to answer something. A timer may wake late (in
    /// a hidden browser tab by a minute), with nothing wrong but that nothing was asked.
    fn dead_at(&self) -> Millis {
        let answer_due = self.asked_at.map_or(Millis::NEVER, |asked| asked.after(HEARTBEAT_MS));
        self.last_heard.after(IDLE_TIMEOUT_MS).max(answer_due)
    }

    fn heard(&mut self, now: Millis) {
        self.last_heard = now;
        self.asked_at = None;
    }

    fn is_sendable(&self, command: &Command) -> bool {
        match self.state {
            State::Active => true,
            State::Anonymous => command.is_public(),
            _ => false,
        }
    }

    fn handle_connected(&mut self, now: Millis) {
        if !matches!(self.state, State::Connecting) {
            return;
        }
        self.heard(now);
        self.state = State::Greeting { deadline: now.after(HELLO_TIMEOUT_MS * 2) };
        self.transmit(
            now,
            &ClientFrame::Hello(Hello {
                version_min: VERSION,
                version_max: VERSION,
                client: self.config.client.clone(),
                token: self.config.access_token.clone(),
                features: 0,
            }),
        );
    }

    fn handle_frame(&mut self, now: Millis, frame: &Bytes) {
        if matches!(self.state, State::Waiting { .. } | State::Connecting | State::Stopped) {
            return;
        }
        self.heard(now);
        match decode_server_frame(frame) {
            Ok(ServerFrame::Welcome(welcome)) => self.handle_welcome(now, welcome),
            Ok(ServerFrame::GoAway(away)) => {
                self.go_away = Some(away);
                self.leave_if_asked(now);
            }
            // The welcome comes first, whatever else the server may have to say.
            Ok(_) if matches!(self.state, State::Greeting { .. }) => self.drop_link(now, CloseCode::Internal.into()),
            Ok(ServerFrame::Reply { id, result }) => self.handle_reply(now, id, result),
            Ok(ServerFrame::Push(Push::Entries(push))) => {
                let step = self.rooms.handle_push(push);
                step.into_iter().for_each(|step| self.take_step(now, step));
            }
            Ok(ServerFrame::Push(Push::Notice(text))) => self.event(Event::Notice(text)),
            Ok(ServerFrame::Push(Push::Ephemeral(ephemeral))) => self.event(Event::Ephemeral(ephemeral)),
            Ok(ServerFrame::Push(Push::Unknown) | ServerFrame::Unknown) => {}
            Err(_) => self.drop_link(now, CloseCode::Internal.into()),
        }
    }

    fn handle_welcome(&mut self, now: Millis, welcome: Welcome) {
        if !matches!(self.state, State::Greeting { .. }) {
            return self.drop_link(now, CloseCode::Internal.into());
        }
        self.clock_offset_ms = welcome.server_time.0.cast_signed().saturating_sub(now.0.cast_signed());
        self.welcomed_at = Some(now);
        self.jitter_ms = welcome.reconnect_jitter_ms.min(RECONNECT_JITTER_MS_MAX);
        let identity = welcome.identity.clone();
        self.event(Event::Welcome(Box::new(welcome)));
        match identity {
            Some(identity) => self.become_active(now, &identity),
            None => {
                self.state = State::Anonymous;
                self.renew(now);
                self.send_unsent(now);
            }
        }
    }

    /// Logged in: rooms first, so that nothing said meanwhile is missed, then what was not answered.
    fn become_active(&mut self, now: Millis, identity: &Identity) {
        let was_active = matches!(self.state, State::Active);
        self.state = State::Active;
        let life_ms = identity.token_expires.since(self.server_time(now));
        self.renew_at = match self.config.refresh_token {
            Some(_) => now.after((life_ms - RENEW_BEFORE_MS.min(life_ms / 2)).max(RENEW_RETRY_MS)),
            None => Millis::NEVER,
        };
        if std::mem::take(&mut self.is_refresh_lost) {
            self.renew_at = self.renew_at.min(now);
        }
        if !was_active {
            // Before the rooms: who is not to be seen is not seen coming back.
            if self.presence != PresenceStatus::default() {
                self.ask(now, Command::SetPresence(self.presence));
            }
            self.rooms.restart();
            self.send_resume(now);
            self.send_unsent(now);
        }
    }

    fn renew(&mut self, now: Millis) {
        self.renew_at = Millis::NEVER;
        if let Some(token) = self.config.refresh_token.clone() {
            self.ask(now, Command::Refresh(token));
        }
    }

    fn send_resume(&mut self, now: Millis) {
        if matches!(self.state, State::Active)
            && let Some(cursors) = self.rooms.next_resume()
        {
            self.ask(now, Command::Resume(cursors));
        }
    }

    fn send_unsent(&mut self, now: Millis) {
        let sendable = |(id, command): (RequestId, &Command)| self.is_sendable(command).then_some(id);
        let ids: Vec<RequestId> = self.requests.unsent().filter_map(sendable).collect();
        for id in ids {
            self.send_pending(now, id);
        }
    }

    /// Asked to go, and nothing is waited for: come back later, to another server perhaps.
    fn leave_if_asked(&mut self, now: Millis) {
        if let Some(away) = &self.go_away
            && !self.requests.is_application_waiting()
        {
            let close = Close { code: away.code, reason: away.reason.clone() };
            self.drop_link(now, close);
        }
    }

    fn handle_reply(&mut self, now: Millis, id: RequestId, result: Result<Reply, Reject>) {
        let Some((asker, command)) = self.requests.take(id) else { return };
        match &result {
            Ok(Reply::Session(session)) => {
                self.config.access_token = Some(session.access_token.clone());
                self.config.refresh_token = Some(session.refresh_token.clone());
                self.event(Event::Session(Box::new(session.clone())));
                self.become_active(now, &session.identity);
            }
            Ok(Reply::Authenticated(identity)) => self.become_active(now, identity),
            Ok(Reply::Resumed(outcomes)) => self.handle_resumed(now, outcomes),
            Err(reject) if asker == Asker::Session && matches!(command, Command::Refresh(_)) => {
                self.handle_refresh_refused(now, reject);
            }
            Err(reject) if asker == Asker::Session && matches!(command, Command::Resume(_)) => {
                // Coming back at once would be refused again.
                let limited = reject.is(RejectCode::RateLimited);
                let code = if limited { CloseCode::TooManyRequests } else { CloseCode::Internal };
                self.drop_link(now, code.into());
            }
            _ => {}
        }
        if asker == Asker::Application {
            if result.is_ok() {
                // It does what it is there for.
                self.backoff.reset();
            }
            self.event(Event::Reply { id, result });
            self.leave_if_asked(now);
        }
    }

    fn handle_resumed(&mut self, now: Millis, outcomes: &[Resumed]) {
        self.rooms.handle_resume_answered();
        for resumed in outcomes {
            for step in self.rooms.handle_resumed(*resumed) {
                self.take_step(now, step);
                if !matches!(self.state, State::Active) {
                    return;
                }
            }
        }
        self.send_resume(now);
    }

    fn handle_refresh_refused(&mut self, now: Millis, reject: &Reject) {
        self.renew_at = now.after(u64::from(reject.retry_after_ms).max(RENEW_RETRY_MS));
        if reject.is(RejectCode::TokenInvalid) || reject.is(RejectCode::TokenExpired) {
            self.config.refresh_token = None;
            self.config.access_token = None;
            self.renew_at = Millis::NEVER;
            if matches!(self.state, State::Anonymous) {
                self.stop(CloseCode::TokenInvalid.into());
            }
        }
    }

    fn take_step(&mut self, now: Millis, step: Step) {
        match step {
            Step::Entries(push) => self.event(Event::Entries(push)),
            Step::Gap { resumed, known } => self.event(Event::Gap { resumed, known }),
            Step::Lost(room) => self.event(Event::Lost(room)),
            Step::Resubscribe(room) => {
                self.rooms.hold(room);
                self.send_resume(now);
            }
            Step::Broken => self.drop_link(now, CloseCode::Internal.into()),
        }
    }

    fn handle_disconnected(&mut self, now: Millis, close: Close) {
        if matches!(self.state, State::Waiting { .. } | State::Stopped) {
            return;
        }
        if self.welcomed_at.take().is_some_and(|welcomed| now.since(welcomed) >= STABLE_MS) {
            self.backoff.reset();
        }
        self.is_refresh_lost |= self.requests.is_refreshing();
        for id in self.requests.handle_loss() {
            let result = Err(Reject::new(RejectCode::Unavailable, "the connection was lost: try again"));
            self.event(Event::Reply { id, result });
        }
        self.renew_at = Millis::NEVER;
        let away = self.go_away.take();
        let at_least = match close.comeback() {
            Comeback::Never => return self.stop(close),
            Comeback::NewCredentials => {
                let had_token = self.config.access_token.take().is_some();
                if !had_token || self.config.refresh_token.is_none() {
                    return self.stop(close);
                }
                0
            }
            Comeback::ReconnectLater => RECONNECT_LATER_MS,
            Comeback::Reconnect => 0,
        };
        // Whoever is put out alone comes back alone: only what may have ended all connections at once is spread.
        let are_all = matches!(
            CloseCode::from_number(close.code),
            None | Some(CloseCode::GoingAway | CloseCode::Idle | CloseCode::Internal)
        );
        let jitter_ms = u64::from(std::mem::take(&mut self.jitter_ms)) * u64::from(are_all);
        let (after, jitter_ms) =
            away.map_or((0, jitter_ms), |away| (u64::from(away.reconnect_after_ms), u64::from(away.jitter_ms)));
        let spread = after + self.backoff.below(jitter_ms);
        let retry_at = self.backoff.next(now, at_least.max(spread));
        self.state = State::Waiting { until: retry_at };
        self.event(Event::Offline { close, retry_at });
    }

    fn handle_timeout(&mut self, now: Millis) {
        match self.state {
            State::Waiting { until } if now >= until => {
                self.state = State::Connecting;
                self.outputs.push_back(Output::Connect);
            }
            State::Greeting { deadline } if now >= deadline => self.drop_link(now, CloseCode::Idle.into()),
            State::Anonymous | State::Active => {
                if now >= self.dead_at() {
                    return self.drop_link(now, CloseCode::Idle.into());
                }
                if now >= self.renew_at {
                    self.renew(now);
                }
                if now >= self.ping_at() {
                    self.ask(now, Command::Ping);
                }
            }
            _ => {}
        }
    }

    fn ask(&mut self, now: Millis, command: Command) {
        let id = self.requests.add(Asker::Session, command);
        self.send_pending(now, id);
    }

    fn send_pending(&mut self, now: Millis, id: RequestId) {
        if let Some(command) = self.requests.send(id) {
            self.transmit(now, &ClientFrame::Request { id, command: Ok(command) });
        }
    }

    fn transmit(&mut self, now: Millis, frame: &ClientFrame) {
        self.last_sent = now;
        self.asked_at = self.asked_at.or(Some(now));
        self.outputs.push_back(Output::Transmit(encode_client_frame(frame)));
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn drop_link(&mut self, now: Millis, close: Close) {
        self.outputs.push_back(Output::Disconnect);
        self.handle_disconnected(now, close);
    }

    fn stop(&mut self, close: Close) {
        self.state = State::Stopped;
        self.outputs.push_back(Output::Disconnect);
        self.event(Event::Stopped(close));
    }
}
