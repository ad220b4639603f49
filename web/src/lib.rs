//! The browser's client: the same session as everyone else, driven by JavaScript that owns the socket, the
//! clock and the page. Plain values go in; what comes out is a list of small events as plain objects.

mod account;
mod cases;

use std::collections::HashSet;

use bytes::Bytes;
use confab_protocol::close::Close;
use confab_protocol::codec::decode_entry;
use confab_protocol::command::{
    Command, CreateRoom, EntriesPush, Ephemeral, History, News, Publish, Reply, Room, RoomTarget, Secret,
};
use confab_protocol::model::{
    Body, ClientId, Cursor, EntryContent, Envelope, MembershipChange, Millis, RoomId, RoomName, SanctionKind, Seq,
    Topic, UserId,
};
use confab_protocol::reject::{Reject, RejectCode};
use confab_protocol::session::client::{ClientSession, Config, Event, Input, Output};
use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = Date, js_name = now)]
    fn date_now() -> f64;
    #[wasm_bindgen(js_namespace = ["globalThis", "crypto"], js_name = getRandomValues)]
    fn get_random_values(bytes: &mut [u8]);

    /// What the page does when the session wants something; implemented in page/app.js.
    pub type Page;
    #[wasm_bindgen(method)]
    fn connect(this: &Page);
    #[wasm_bindgen(method)]
    fn transmit(this: &Page, frame: &[u8]);
    #[wasm_bindgen(method)]
    fn disconnect(this: &Page);
    #[wasm_bindgen(method, js_name = wakeIn)]
    fn wake_in(this: &Page, millis: f64);
    #[wasm_bindgen(method)]
    fn status(this: &Page, online: bool, text: &str);
    /// The access token is to be renewed in that time, and given to [`Chat::renew`].
    #[wasm_bindgen(method, js_name = renewIn)]
    fn renew_in(this: &Page, millis: f64);
    /// Who is connected, and as what: `owner`, `admin`, `moderator` or less.
    #[wasm_bindgen(method)]
    fn identified(this: &Page, user: &str, role: &str);
    #[wasm_bindgen(method)]
    fn stopped(this: &Page, text: &str);
    #[wasm_bindgen(method)]
    fn entered(this: &Page, room: &str, name: &str);
    #[wasm_bindgen(method)]
    fn entry(this: &Page, room: &str, seq: f64, time: f64, author: &str, kind: &str, text: &str);
    #[wasm_bindgen(method)]
    fn changed(this: &Page, room: &str, seq: f64, text: &str);
    #[wasm_bindgen(method)]
    fn removed(this: &Page, room: &str, seq: f64);
    #[wasm_bindgen(method)]
    fn name(this: &Page, user: &str, name: &str);
    /// `for_ms` of 0: not any more.
    #[wasm_bindgen(method)]
    fn typing(this: &Page, room: &str, user: &str, for_ms: u32);
    /// A list to begin with.
    #[wasm_bindgen(method, js_name = hereAnew)]
    fn here_anew(this: &Page, room: &str, count: u32);
    #[wasm_bindgen(method)]
    fn here(this: &Page, room: &str, user: &str, shown: bool);
    /// There are too many for a list.
    #[wasm_bindgen(method)]
    fn count(this: &Page, room: &str, count: u32);
    #[wasm_bindgen(method)]
    fn failed(this: &Page, what: &str, text: &str);
    #[wasm_bindgen(method)]
    fn acknowledged(this: &Page, draft: u32, text: &str);
    /// A list of logins to begin with.
    #[wasm_bindgen(method, js_name = loginsAnew)]
    fn logins_anew(this: &Page);
    /// `kind`: `current`, `key` or nothing.
    #[wasm_bindgen(method)]
    fn login(this: &Page, device: &str, name: &str, created: f64, seen: f64, kind: &str);
    /// What a form of the account's asked for was done; with a token, if it was for one.
    #[wasm_bindgen(method)]
    fn done(this: &Page, form: &str, token: &str, expires: f64);
    #[wasm_bindgen(method)]
    fn refused(this: &Page, form: &str, text: &str);
}

/// A token is renewed this long before it expires, or at half its life if that is shorter, milliseconds: timers of a
/// hidden tab wake once a minute.
const RENEW_BEFORE_MS: u64 = 90_000;
/// A timer of a browser's waits for 24 days at most.
const RENEW_WITHIN_MS: u64 = 24 * 3600 * 1000;

fn now() -> Millis {
    Millis(date_now() as u64)
}

fn random() -> u128 {
    let mut bytes = [0; 16];
    get_random_values(&mut bytes);
    u128::from_ne_bytes(bytes)
}

/// What a reply is for.
enum Asked {
    Enter(RoomName),
    Create(RoomName),
    History,
    Names(Vec<UserId>),
    Say(u32),
    Here(RoomId),
    Typing,
    Authenticate,
    Account(account::Asked),
    Cases(cases::Asked),
}

/// A chat in a browser.
#[wasm_bindgen]
pub struct Chat {
    page: Page,
    session: ClientSession,
    asked: Vec<(u32, Asked)>,
    /// The room that the page shows: the one that is followed.
    shown: Option<RoomId>,
    /// My own log, once it is known which.
    own_log: Option<RoomId>,
    /// Whose names the page has been told, or will be.
    named: HashSet<UserId>,
}

#[wasm_bindgen]
impl Chat {
    /// A chat that connects with the access token of an HTTP login. The refresh token is in a cookie, out of reach.
    #[wasm_bindgen(constructor)]
    pub fn new(page: Page, access_token: &str) -> Self {
        let config = Config {
            client: concat!("confab-web/", env!("CARGO_PKG_VERSION")).into(),
            access_token: Some(Secret::new(access_token)),
            refresh_token: None,
            seed: random() as u64,
        };
        Self {
            page,
            session: ClientSession::new(now(), config),
            asked: Vec::new(),
            shown: None,
            own_log: None,
            named: HashSet::new(),
        }
    }

    /// Time has passed; also to be called first.
    pub fn wake(&mut self) {
        self.handle(Input::Timeout);
    }

    /// The socket is open.
    pub fn connected(&mut self) {
        self.handle(Input::Connected);
    }

    /// A binary message came.
    pub fn frame(&mut self, bytes: &[u8]) {
        self.handle(Input::Frame(Bytes::copy_from_slice(bytes)));
    }

    /// The next access token, for this connection and those after it.
    pub fn renew(&mut self, access_token: &str) {
        self.session.set_access_token(Secret::new(access_token));
        self.ask(Command::Authenticate(Secret::new(access_token)), Asked::Authenticate);
        self.drain();
    }

    /// The socket closed.
    pub fn disconnected(&mut self, code: u16, reason: &str) {
        self.handle(Input::Disconnected(Close { code, reason: reason.into() }));
    }

    /// Goes into a room by name; makes it if there is none.
    pub fn enter(&mut self, name: &str) {
        match RoomName::parse(name) {
            Ok(name) => {
                let join = Command::JoinRoom(RoomTarget::Name(name.clone()));
                self.ask(join, Asked::Enter(name));
            }
            Err(error) => self.page.failed("enter", &format!("the room name {error}")),
        }
        self.drain();
    }

    /// Says something; the draft's number comes back when it is kept.
    pub fn say(&mut self, room: &str, text: &str, draft: u32) {
        match (room.parse::<RoomId>(), Body::parse(text)) {
            (Ok(room), Ok(body)) => {
                let client_id = ClientId::new(self.session.server_time(now()), random());
                self.ask(
                    Command::Publish(Publish { room, client_id, resend: false, body, reply_to: None }),
                    Asked::Say(draft),
                );
            }
            (_, Err(error)) => self.page.acknowledged(draft, &format!("not sent: the message {error}")),
            (Err(_), _) => self.page.acknowledged(draft, "not sent: enter a room first"),
        }
        self.drain();
    }

    /// Tells the others in the room that a message is being written.
    pub fn typing(&mut self, stopped: bool) {
        if let Some(room) = self.shown {
            self.ask(Command::Typing { room, stopped }, Asked::Typing);
            self.drain();
        }
    }

    fn ask(&mut self, command: Command, asked: Asked) {
        let id = self.session.request(now(), command);
        self.asked.push((id, asked));
    }

    fn handle(&mut self, input: Input) {
        self.session.handle(now(), input);
        self.drain();
    }

    fn drain(&mut self) {
        loop {
            match self.session.poll() {
                Output::Connect => self.page.connect(),
                Output::Transmit(frame) => self.page.transmit(&frame),
                Output::Disconnect => self.page.disconnect(),
                Output::Event(event) => self.handle_event(event),
                Output::Timeout(deadline) => {
                    return self.page.wake_in(deadline.since(now()).min(60_000) as f64);
                }
            }
        }
    }

    fn handle_event(&mut self, event: Event) {
        match event {
            Event::Welcome(welcome) => {
                self.page.status(true, "connected");
                if let Some(identity) = &welcome.identity {
                    self.page.identified(&identity.user.to_string(), account::role_name(identity.role));
                    self.renew_before(identity.token_expires);
                    self.follow_own_log(identity.self_room);
                }
                self.ask_who_is_here();
            }
            Event::Ephemeral(Ephemeral { room, news }) => self.show_news(&room.to_string(), news),
            // It has no refresh token of its own, and logs in nowhere else.
            Event::Session(_) => {}
            Event::Offline { close, .. } => {
                self.page.status(false, &format!("offline ({}), trying again", close.reason));
            }
            Event::Stopped(close) => self.page.stopped(&close.reason),
            Event::Entries(push) if self.own_log == Some(push.room) => self.handle_own_log(&push),
            Event::Entries(push) => self.show(&push),
            Event::Gap { resumed, .. } if self.own_log == Some(resumed.room) => self.handle_own_log_gap(resumed.head),
            Event::Gap { resumed, .. } => {
                self.ask(Command::History(History::before(resumed.room, Seq(0), 0)), Asked::History);
            }
            Event::Lost(room) if self.own_log == Some(room) => {}
            Event::Lost(_) => self.page.failed("enter", "you are not in this room any more"),
            Event::Notice(text) => self.page.status(true, &text),
            Event::Reply { id, result } => {
                if let Some(index) = self.asked.iter().position(|(asked, _)| *asked == id) {
                    let (_, asked) = self.asked.swap_remove(index);
                    self.handle_reply(asked, result);
                }
            }
        }
    }

    fn handle_reply(&mut self, asked: Asked, result: Result<Reply, Reject>) {
        match (asked, result) {
            (Asked::Enter(_) | Asked::Create(_), Ok(Reply::Room(room))) => self.handle_entered(&room),
            (Asked::Enter(name), Err(reject)) if reject.is(RejectCode::UnknownRoom) => {
                let client_id = ClientId::new(self.session.server_time(now()), random());
                let Ok(topic) = Topic::parse("") else { return };
                let create = CreateRoom { client_id, resend: false, name: name.clone(), topic, private: false };
                self.ask(Command::CreateRoom(create), Asked::Create(name));
            }
            (Asked::Create(name), Err(reject)) if reject.is(RejectCode::RoomNameTaken) => {
                self.ask(Command::JoinRoom(RoomTarget::Name(name.clone())), Asked::Enter(name));
            }
            (Asked::Enter(_) | Asked::Create(_), Err(reject)) => self.page.failed("enter", &reject.detail),
            // Somebody went on to another room before the answer came.
            (Asked::History, Ok(Reply::Page(page))) if self.shown != Some(page.room) => {}
            (Asked::History, Ok(Reply::Page(page))) => {
                // The log goes on after the head that this page was read at.
                self.show(&EntriesPush { room: page.room, incarnation: page.incarnation, entries: page.entries });
                let cursor = Cursor { room: page.room, incarnation: page.incarnation, seq: page.head };
                self.session.follow(now(), cursor);
                self.ask_who_is_here();
            }
            (Asked::Here(room), Ok(Reply::Here { count, users })) => {
                let room = room.to_string();
                self.page.here_anew(&room, count);
                users.iter().for_each(|(user, _)| self.page.here(&room, &user.to_string(), true));
                self.learn(users.into_iter().map(|(user, _)| user).collect());
            }
            (Asked::Authenticate, Ok(Reply::Authenticated(identity))) => self.renew_before(identity.token_expires),
            // The server closes when the old one expires, which the page answers with another.
            (Asked::Authenticate, _) => {}
            (Asked::Account(asked), result) => self.handle_account(asked, result),
            (Asked::Cases(asked), result) => self.handle_cases(asked, result),
            // It is said again, or not worth a word.
            (Asked::Here(_) | Asked::Typing, _) => {}
            (Asked::Names(_), Ok(Reply::Members { members, .. })) => {
                for member in members {
                    self.page.name(&member.user.to_string(), &member.display_name);
                }
            }
            (Asked::Say(draft), Ok(Reply::Appended(_))) => self.page.acknowledged(draft, ""),
            (Asked::Say(draft), Ok(Reply::Held(_))) => self.page.acknowledged(draft, "in review"),
            (Asked::Say(draft), Err(reject)) => self.page.acknowledged(draft, &format!("not sent: {}", reject.detail)),
            // Asked again when they speak again.
            (Asked::Names(strangers), Err(_)) => self.named.retain(|user| !strangers.contains(user)),
            (_, Err(reject)) => self.page.failed("ask", &reject.detail),
            (_, Ok(_)) => {}
        }
    }

    fn renew_before(&self, expires: Millis) {
        let life_ms = expires.since(self.session.server_time(now()));
        let wait_ms = life_ms - RENEW_BEFORE_MS.min(life_ms / 2);
        self.page.renew_in(wait_ms.min(RENEW_WITHIN_MS) as f64);
    }

    fn handle_entered(&mut self, room: &Room) {
        if let Some(before) = self.shown.replace(room.id).filter(|before| *before != room.id) {
            self.session.unfollow(now(), before);
        }
        self.page.entered(&room.id.to_string(), &room.name);
        self.ask(Command::History(History::before(room.id, Seq(0), 0)), Asked::History);
    }

    fn ask_who_is_here(&mut self) {
        if let Some(room) = self.shown {
            self.ask(Command::WhoIsHere(room), Asked::Here(room));
        }
    }

    fn show_news(&mut self, room: &str, news: News) {
        match news {
            News::Typing { user, for_ms } => {
                self.page.typing(room, &user.to_string(), for_ms);
                self.learn(vec![user]);
            }
            News::Here(users) => {
                users.iter().for_each(|(user, status)| self.page.here(room, &user.to_string(), status.is_some()));
                self.learn(users.into_iter().map(|(user, _)| user).collect());
            }
            News::Count(count) => self.page.count(room, count),
            News::Missed => self.ask_who_is_here(),
        }
    }

    /// Asks for the names of those who have none yet.
    fn learn(&mut self, mut users: Vec<UserId>) {
        users.retain(|user| self.named.insert(*user));
        if !users.is_empty() {
            self.ask(Command::Profiles(users.clone()), Asked::Names(users));
        }
    }

    fn show_edit(&self, room: &str, edit: &Envelope) {
        let Some(message) = &edit.rewritten else { return };
        match decode_entry(&message.payload).map(|entry| entry.content) {
            Ok(EntryContent::Message(said)) => self.page.changed(room, message.seq.0 as f64, said.body.as_str()),
            // It was deleted since.
            _ => self.page.removed(room, message.seq.0 as f64),
        }
    }

    fn show(&mut self, push: &EntriesPush) {
        let room = push.room.to_string();
        let mut authors: Vec<UserId> = Vec::new();
        for envelope in &push.entries {
            let Ok(entry) = decode_entry(&envelope.payload) else { continue };
            if let Some(user) = gone(&entry.content) {
                self.page.typing(&room, &user.to_string(), 0);
                self.page.here(&room, &user.to_string(), false);
            }
            let mut who = entry.author;
            let (kind, text) = match &entry.content {
                EntryContent::Message(message) => ("message", message.body.as_str()),
                EntryContent::Edit(_) => {
                    self.show_edit(&room, envelope);
                    continue;
                }
                EntryContent::Deletion { seqs, .. } => {
                    seqs.iter().for_each(|seq| self.page.removed(&room, seq.0 as f64));
                    continue;
                }
                // Somebody else may have let them in.
                EntryContent::Membership { change: MembershipChange::Joined, user, .. } => {
                    who = *user;
                    ("notice", "joined")
                }
                EntryContent::Knock => ("notice", "asks to be let in"),
                EntryContent::Notice(body) => ("notice", body.as_str()),
                EntryContent::Membership { change: MembershipChange::Left, .. } => ("notice", "left"),
                _ => continue,
            };
            let (seq, time) = (envelope.seq.0 as f64, envelope.time.0 as f64);
            authors.push(who);
            self.page.entry(&room, seq, time, &who.to_string(), kind, text);
        }
        self.learn(authors);
    }
}

/// Who is not in the room any more with this entry.
fn gone(content: &EntryContent) -> Option<UserId> {
    match content {
        EntryContent::Membership { user, change: MembershipChange::Left, .. } => Some(*user),
        EntryContent::Sanction(sanction) if matches!(sanction.kind, SanctionKind::Kick | SanctionKind::Ban) => {
            Some(sanction.user)
        }
        _ => None,
    }
}
