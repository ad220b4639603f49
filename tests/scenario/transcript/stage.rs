//! Who is on the stage, what they say, and how it reads.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use confab_protocol::codec::decode_entry;
use confab_protocol::command::{
    Command, CreateRoom, EndSession, Ephemeral, History, HistoryRange, Identity, Login, News, Pin, React, Register,
    Reply, Resumed, Room, RoomTarget, SanctionUser, Search, Secret, ServerFrame, Session, SetRole, UpdateRoom, Write,
};
use confab_protocol::model::{
    ClientId, Cursor, DeviceId, DeviceName, DisplayName, EntryContent, Envelope, Incarnation, Message, RoomId,
    RoomName, RoomSettings, Sanction, SelfNote, Seq, Topic, Username, Visibility,
};
use confab_protocol::reject::Reject;
use confab_protocol::rights::RoomRights;

use crate::support::raw::{PATIENCE, Raw, Received, Target, client_id, hello};
use crate::support::{TestServer, Transport};

pub(super) const PASSWORD: &str = "correct horse";

/// A server of its own, with people connected to it.
pub(super) struct Stage {
    pub(super) server: TestServer,
    target: Target,
    transport: Transport,
    people: BTreeMap<&'static str, Raw>,
    names: Names,
    text: String,
}

impl Stage {
    pub(super) async fn new(transport: Transport, plugins: &[&str], database: Option<String>) -> Self {
        let chain = plugins.iter().map(|&id| id.to_owned()).collect();
        let change = |config: &mut confab::config::Config| {
            config.plugins.chain = chain;
            config.store.url = database;
        };
        let server = TestServer::start_with(change).await;
        let target = Target::from(&server);
        Self { server, target, transport, people: BTreeMap::new(), names: Names::default(), text: String::new() }
    }

    fn line(&mut self, who: &str, what: &str) {
        writeln!(self.text, "{who}{what}").unwrap();
    }

    /// Comes in, with a token or without.
    pub(super) async fn connect(&mut self, who: &'static str, token: Option<&Secret>) {
        self.line(who, if token.is_some() { " > hello with a token" } else { " > hello" });
        let mut raw = Raw::open(&self.target, self.transport).await;
        raw.send(&hello(token)).await;
        match raw.next().await {
            Received::Frame(ServerFrame::Welcome(welcome)) => {
                let identity = welcome.identity.map_or("nobody".to_owned(), |identity| self.names.identity(&identity));
                self.line(who, &format!(" < welcome version {}: {identity}", welcome.version));
                self.people.insert(who, raw);
            }
            Received::Closed(close) => self.line(who, &format!(" < closed {} {}", close.code, close.reason)),
            other @ Received::Frame(_) => panic!("{other:?}"),
        }
    }

    /// Comes in and registers.
    pub(super) async fn register(&mut self, who: &'static str) -> Session {
        self.connect(who, None).await;
        session(self.ask(who, register(who, PASSWORD)).await)
    }

    /// Comes in and owns the server.
    pub(super) async fn register_owner(&mut self, who: &'static str) -> Session {
        self.connect(who, None).await;
        let Command::Register(register) = register(who, PASSWORD) else { unreachable!() };
        let owner_token = Some(Secret::new(self.server.owner_token.as_str()));
        session(self.ask(who, Command::Register(Register { owner_token, ..register })).await)
    }

    /// Asks, and notes question and answer.
    pub(super) async fn ask(&mut self, who: &'static str, command: Command) -> Result<Reply, Reject> {
        let question = self.names.command(&command);
        self.line(who, &format!(" > {question}"));
        let raw = self.people.get_mut(who).unwrap();
        let result = raw.request(command).await;
        let answer = self.names.result(&result);
        self.line(who, &format!(" < {answer}"));
        result
    }

    /// Asks without a note until the answer is as it must become.
    pub(super) async fn wait_until(&mut self, who: &'static str, command: Command, is_so: impl Fn(&Reply) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let raw = self.people.get_mut(who).unwrap();
        while !raw.request(command.clone()).await.is_ok_and(|reply| is_so(&reply)) {
            assert!(Instant::now() < deadline, "{command:?} stays as it is");
            // Slower than limits refill.
            tokio::time::sleep(Duration::from_millis(1_100)).await;
        }
    }

    /// Sends a request that no honest client could encode.
    pub(super) async fn ask_bytes(&mut self, who: &'static str, label: &str, frame: impl FnOnce(u32) -> Vec<u8>) {
        self.line(who, &format!(" > {label}"));
        let raw = self.people.get_mut(who).unwrap();
        let id = raw.take_id();
        raw.send_frame(&frame(id)).await;
        let result = raw.reply(id).await;
        let answer = self.names.result(&result);
        self.line(who, &format!(" < {answer}"));
    }

    /// Waits for pushed entries and notes them, room by room.
    pub(super) async fn hears(&mut self, who: &'static str, entries: usize) {
        let raw = self.people.get_mut(who).unwrap();
        raw.hear(entries).await;
        let mut rooms: Vec<(RoomId, Vec<(Incarnation, Envelope)>)> = Vec::new();
        for (room, incarnation, entry) in std::mem::take(&mut raw.heard) {
            match rooms.iter_mut().find(|(other, _)| *other == room) {
                Some((_, entries)) => entries.push((incarnation, entry)),
                None => rooms.push((room, vec![(incarnation, entry)])),
            }
        }
        rooms.sort_by_key(|(room, _)| *room);
        for (room, entries) in rooms {
            for (incarnation, entry) in entries {
                let room = self.names.id("room", room.as_u128());
                let incarnation = self.names.id("history", incarnation.0.into());
                let entry = self.names.entry(&entry);
                self.line(who, &format!(" * {room} {incarnation} {entry}"));
            }
        }
    }

    /// Waits for news of rooms and notes them.
    pub(super) async fn hears_news(&mut self, who: &'static str, count: usize) {
        for news in self.people.get_mut(who).unwrap().hear_news(count).await {
            let news = self.names.news(&news);
            self.line(who, &format!(" ~ {news}"));
        }
    }

    /// The connection ends, and says why.
    pub(super) async fn is_closed(&mut self, who: &'static str) {
        let close = self.people.remove(who).unwrap().closed().await;
        self.line(who, &format!(" < closed {} {}", close.code, close.reason));
    }

    /// Goes away.
    pub(super) async fn leave(&mut self, who: &'static str) {
        self.people.remove(who).unwrap().leave().await;
        self.line(who, " is gone");
    }

    /// Nobody heard anything that the script did not listen for.
    pub(super) async fn finish(mut self) -> String {
        let people: Vec<&'static str> = self.people.keys().copied().collect();
        for who in people {
            self.people.get_mut(who).unwrap().request(Command::Ping).await.unwrap();
            self.hears(who, 0).await;
        }
        self.text
    }
}

pub(super) fn register(name: &str, password: &str) -> Command {
    Command::Register(Register {
        username: Username::parse(name).unwrap(),
        password: Secret::new(password),
        display_name: Some(DisplayName::parse(&format!("{name} Doe")).unwrap()),
        device: DeviceName::parse("phone").unwrap(),
        owner_token: None,
        invite: None,
    })
}

pub(super) fn login(name: &str, password: &str, device_id: Option<DeviceId>) -> Command {
    let device = DeviceName::parse("laptop").unwrap();
    Command::Login(Login { username: name.into(), password: Secret::new(password), device, device_id })
}

pub(super) fn create(id: ClientId, name: &str) -> Command {
    let (name, topic) = (RoomName::parse(name).unwrap(), Topic::parse("talk").unwrap());
    Command::CreateRoom(CreateRoom { client_id: id, resend: false, name, topic, private: false })
}

pub(super) fn new_room(name: &str) -> Command {
    create(client_id(), name)
}

pub(super) fn named(name: &str) -> RoomTarget {
    RoomTarget::Name(RoomName::parse(name).unwrap())
}

pub(super) fn cursor(room: &Room, seq: u64) -> Cursor {
    Cursor { room: room.id, incarnation: room.incarnation, seq: Seq(seq) }
}

pub(super) fn session(result: Result<Reply, Reject>) -> Session {
    match result {
        Ok(Reply::Session(session)) => session,
        other => panic!("{other:?}"),
    }
}

pub(super) fn room(result: Result<Reply, Reject>) -> Room {
    match result {
        Ok(Reply::Room(room)) => room,
        other => panic!("{other:?}"),
    }
}

/// Stable names for what is random.
#[derive(Default)]
struct Names {
    known: HashMap<(&'static str, u128), usize>,
    counts: HashMap<&'static str, usize>,
}

impl Names {
    fn id(&mut self, kind: &'static str, value: u128) -> String {
        if value == 0 {
            return "none".into();
        }
        let count = self.counts.entry(kind).or_default();
        let number = self.known.entry((kind, value)).or_insert_with(|| {
            *count += 1;
            *count
        });
        format!("{kind}-{number}")
    }

    fn room_id(&mut self, room: RoomId) -> String {
        self.id("room", room.as_u128())
    }

    fn identity(&mut self, identity: &Identity) -> String {
        let Identity { user, device, self_room, username, display_name, role, token_expires } = identity;
        assert!(token_expires.0 > 0);
        let (user, device) = (self.id("user", user.as_u128()), self.id("device", device.as_u128()));
        let log = self.room_id(*self_room);
        format!("{user} {username} {:?} {role:?} on {device} with {log}", display_name.as_str())
    }

    fn target(&mut self, target: &RoomTarget) -> String {
        match target {
            RoomTarget::Id(id) => self.room_id(*id),
            RoomTarget::Name(name) => format!("{:?}", name.as_str()),
            RoomTarget::Invite(_) => "by invitation".into(),
        }
    }

    fn cursor(&mut self, cursor: &Cursor) -> String {
        let (room, history) = (self.room_id(cursor.room), self.id("history", cursor.incarnation.0.into()));
        format!("{room} {history} after {}", cursor.seq.0)
    }

    fn command(&mut self, command: &Command) -> String {
        match command {
            Command::Ping | Command::Logout | Command::Sessions => command.name().to_owned(),
            Command::ChangePassword { .. } | Command::ResetPassword { .. } => command.name().to_owned(),
            Command::EndSession(EndSession::Of(device)) => {
                format!("end_session {}", self.id("device", device.as_u128()))
            }
            Command::EndSession(EndSession::AllOthers) => "end_session of all others".into(),
            Command::Restrict { user, kind, duration_ms } => {
                format!("restrict {kind:?} {} for {duration_ms}", self.id("user", user.as_u128()))
            }
            Command::SetServerRole { user, role } => {
                format!("set_server_role {} {role:?}", self.id("user", user.as_u128()))
            }
            Command::IssueReset(user) => format!("issue_reset {}", self.id("user", user.as_u128())),
            Command::InviteAccount { uses, duration_ms } => format!("invite_account uses {uses} for {duration_ms}"),
            Command::Authenticate(_) => "authenticate with a token".into(),
            Command::Refresh(_) => "refresh with a token".into(),
            Command::Register(register) => {
                format!(
                    "register {}{}",
                    register.username,
                    match (&register.owner_token, &register.invite) {
                        (Some(_), _) => " as owner",
                        (None, Some(_)) => " by invitation",
                        (None, None) => "",
                    }
                )
            }
            Command::Login(login) => {
                let device = self.id("device", login.device_id.unwrap_or(DeviceId::NONE).as_u128());
                format!("login {} on {device}", login.username)
            }
            Command::CreateRoom(create) => {
                let id = self.id("room", create.client_id.as_u128());
                format!("create_room {id} {:?}", create.name.as_str())
            }
            Command::JoinRoom(target) | Command::LeaveRoom(target) | Command::Unsubscribe(target) => {
                format!("{} {}", command.name(), self.target(target))
            }
            Command::ListRooms { scope, after, limit } => {
                format!("list_rooms {scope:?} after {} limit {limit}", self.room_id(*after))
            }
            Command::ListMembers { room, after, limit } => {
                let room = self.room_id(*room);
                format!("list_members {room} after {} limit {limit}", self.id("user", after.as_u128()))
            }
            Command::Profiles(users) => {
                let users: Vec<String> = users.iter().map(|user| self.id("user", user.as_u128())).collect();
                format!("profiles {}", users.join(" "))
            }
            Command::Publish(publish) => {
                let (room, id) = (self.room_id(publish.room), self.id("client", publish.client_id.as_u128()));
                let again = if publish.resend { " again" } else { "" };
                let to = publish.reply_to.map_or(String::new(), |seq| format!(" answering {}", seq.0));
                format!("publish{again} {room} {id} {:?}{to}", short(publish.body.as_str()))
            }
            Command::History(History { room, range, thread, pinned, limit }) => {
                let range = match range {
                    HistoryRange::Before(seq) => format!("before {}", seq.0),
                    HistoryRange::After(seq) => format!("after {}", seq.0),
                    HistoryRange::Around(seq) => format!("around {}", seq.0),
                };
                let thread = thread.map_or(String::new(), |seq| format!(" answers to {}", seq.0));
                let pinned = if *pinned { " pinned" } else { "" };
                format!("history {} {range} limit {limit}{thread}{pinned}", self.room_id(*room))
            }
            Command::Edit(edit) => {
                format!("{} {} to {:?}", self.write("edit", edit.write), edit.seq.0, edit.body.as_str())
            }
            Command::Delete(delete) => {
                let seqs: Vec<u64> = delete.seqs.iter().map(|seq| seq.0).collect();
                format!("{} {seqs:?}", self.write("delete", delete.write))
            }
            Command::React(React { write, seq, emoji, remove }) => {
                let what = if *remove { "unreact" } else { "react" };
                format!("{} {} {emoji}", self.write(what, *write), seq.0)
            }
            Command::Pin(Pin { write, seq, remove }) => {
                format!("{} {}", self.write(if *remove { "unpin" } else { "pin" }, *write), seq.0)
            }
            Command::MarkRead { room, seq } => format!("mark_read {} up to {}", self.room_id(*room), seq.0),
            Command::UpdateRoom(UpdateRoom {
                write, name, topic, slow_mode_ms, visibility, knocks, rights, ..
            }) => {
                let seen = visibility.map_or(String::new(), |it| format!(" visible {it:?}"));
                let knocks = knocks.map_or(String::new(), |it| format!(" knocks {it}"));
                let write = self.write("update_room", *write);
                let rights = rights.map_or(String::new(), told_rights);
                format!("{write} name {name:?} topic {topic:?} slow {slow_mode_ms:?}{seen}{knocks}{rights}")
            }
            Command::SetRole(SetRole { write, user, role }) => {
                format!("{} {} {role:?}", self.write("set_role", *write), self.id("user", user.as_u128()))
            }
            Command::Sanction(SanctionUser { write, user, kind, duration_ms, reason }) => {
                let user = self.id("user", user.as_u128());
                format!("{} {kind:?} {user} for {duration_ms} {:?}", self.write("sanction", *write), reason.as_str())
            }
            Command::Knock(write) => self.write("knock", *write),
            Command::Admit(admit) => format!("{} {}", self.write("admit", admit.write), admit.seq.0),
            Command::UpdateProfile(name) => format!("update_profile {:?}", name.as_str()),
            Command::Notice(notice) => format!("{} {:?}", self.write("notice", notice.write), notice.body.as_str()),
            Command::Direct { user, .. } => format!("direct {}", self.id("user", user.as_u128())),
            Command::Invite { room, uses, duration_ms } => {
                format!("invite {} uses {uses} for {duration_ms}", self.room_id(*room))
            }
            Command::Revisions { room, seq } => format!("revisions {} {}", self.room_id(*room), seq.0),
            Command::Search(Search { room, query, before, limit }) => {
                let room = room.map_or("everywhere".into(), |room| self.room_id(room));
                let before =
                    before.map_or(String::new(), |at| format!(" before {} {}", self.room_id(at.room), at.seq.0));
                format!("search {room} {query:?}{before} limit {limit}")
            }
            Command::Typing { room, stopped } => {
                format!("typing {}{}", self.room_id(*room), if *stopped { " no more" } else { "" })
            }
            Command::SetPresence(status) => format!("presence {status:?}"),
            Command::WhoIsHere(room) => format!("who_is_here {}", self.room_id(*room)),
            Command::Sync { cursor, limit } => format!("sync {} limit {limit}", self.cursor(cursor)),
            Command::Resume(cursors) => {
                let cursors: Vec<String> = cursors.iter().map(|cursor| self.cursor(cursor)).collect();
                format!("resume {}", cursors.join(", "))
            }
        }
    }

    fn write(&mut self, what: &str, write: Write) -> String {
        let (room, id) = (self.room_id(write.room), self.id("client", write.client_id.as_u128()));
        format!("{what}{} {room} {id}", if write.resend { " again" } else { "" })
    }

    fn result(&mut self, result: &Result<Reply, Reject>) -> String {
        match result {
            Ok(reply) => self.reply(reply),
            Err(Reject { code, detail, retry_after_ms: 0 }) => format!("reject {code} {detail}"),
            Err(Reject { code, detail, .. }) => format!("reject {code} {detail} (later)"),
        }
    }

    fn reply(&mut self, reply: &Reply) -> String {
        match reply {
            Reply::Ok => "ok".into(),
            Reply::Sessions(sessions) => {
                let sessions: Vec<_> = sessions
                    .iter()
                    .map(|it| {
                        assert!(it.created.0 > 0 && it.seen >= it.created);
                        let kind = if it.is_key { "key" } else { "device" };
                        let current = if it.current { ", this one" } else { "" };
                        format!("\n    {kind} {} {:?}{current}", self.id("device", it.device.as_u128()), it.name)
                    })
                    .collect();
                format!("sessions{}", sessions.concat())
            }
            Reply::Here { count, users } => {
                let users: Vec<_> = users
                    .iter()
                    .map(|(user, status)| format!(" {} {status:?}", self.id("user", user.as_u128())))
                    .collect();
                format!("here {count}:{}", users.concat())
            }
            Reply::Found { hits, next } => {
                let hits: Vec<_> = hits
                    .iter()
                    .map(|hit| format!("\n    {} {}", self.room_id(hit.room), self.entry(&hit.message)))
                    .collect();
                format!("found {}{}{}", hits.len(), if next.is_some() { " and more" } else { "" }, hits.concat())
            }
            Reply::Pong(time) => {
                assert!(time.0 > 0);
                "pong".into()
            }
            Reply::Session(session) => {
                assert!(session.refresh_expires > session.identity.token_expires);
                format!("session {}", self.identity(&session.identity))
            }
            Reply::Authenticated(identity) => format!("authenticated {}", self.identity(identity)),
            Reply::Room(room) => self.room(room),
            Reply::Rooms { rooms, next } => {
                let rooms: Vec<String> = rooms.iter().map(|room| format!("\n    {}", self.room(room))).collect();
                format!("rooms, next {}{}", self.room_id(*next), rooms.concat())
            }
            Reply::Members { members, next } => {
                let members = members.iter().map(|member| {
                    let user = self.id("user", member.user.as_u128());
                    format!("\n    {user} {} {:?} {:?}", member.username, member.display_name, member.role)
                });
                let members = members.collect::<Vec<_>>().concat();
                format!("members, next {}{members}", self.id("user", next.as_u128()))
            }
            Reply::Appended(appended) => {
                let altered = if appended.altered { ", altered" } else { "" };
                format!("appended {}{altered}{}", appended.seq.0, if appended.duplicate { ", duplicate" } else { "" })
            }
            Reply::Held(_) => "held".into(),
            Reply::Invited { token, expires } => {
                assert!(token.expose().len() > 40 && expires.0 > 0);
                "invited".into()
            }
            Reply::Page(page) => {
                let (room, history) = (self.room_id(page.room), self.id("history", page.incarnation.0.into()));
                let entries: Vec<String> =
                    page.entries.iter().map(|entry| format!("\n    {}", self.entry(entry))).collect();
                let states = page.states.iter().map(|state| {
                    let reactions: Vec<String> = state
                        .reactions
                        .iter()
                        .map(|it| format!(" {}x{}{}", it.emoji, it.count, if it.mine { " mine" } else { "" }))
                        .collect();
                    let pinned = if state.pinned { " pinned" } else { "" };
                    format!("\n    of {}:{pinned} {} answers{}", state.seq.0, state.replies, reactions.concat())
                });
                let states = states.collect::<Vec<_>>().concat();
                format!("page {room} {history} head {} next {}{}{states}", page.head.0, page.next.0, entries.concat())
            }
            Reply::Resumed(rooms) => {
                let resumed = rooms.iter().map(|Resumed { room, incarnation, first_seq, head, outcome }| {
                    let (room, history) = (self.room_id(*room), self.id("history", incarnation.0.into()));
                    format!("{room} {history} {}..{} {outcome:?}", first_seq.0, head.0)
                });
                format!("resumed {}", resumed.collect::<Vec<_>>().join(", "))
            }
            Reply::Unknown => "unknown".into(),
        }
    }

    fn room(&mut self, room: &Room) -> String {
        let (id, history) = (self.room_id(room.id), self.id("history", room.incarnation.0.into()));
        let Room { kind, name, topic, first_seq, head, role, members, .. } = room;
        let range = format!("{}..{}", first_seq.0, head.0);
        let unread = match (room.read_seq.0, room.unread, room.mentions) {
            (_, 0, 0) => String::new(),
            (seq, unread, mentions) => format!(" read to {seq}, unread {unread}, mentions {mentions}"),
        };
        let slow = if room.slow_mode_ms > 0 { format!(" slow {}", room.slow_mode_ms) } else { String::new() };
        let rights = told_rights(room.rights);
        format!(
            "{id} {kind:?} {name:?} about {topic:?} {history} {range} role {role:?} members {members}{slow}{rights}{unread}"
        )
    }

    fn news(&mut self, Ephemeral { room, news }: &Ephemeral) -> String {
        let room = self.room_id(*room);
        match news {
            News::Typing { user, for_ms } => format!("{room} {} types for {for_ms}", self.id("user", user.as_u128())),
            News::Here(users) => {
                let users: Vec<_> = users
                    .iter()
                    .map(|(user, status)| format!(" {} {status:?}", self.id("user", user.as_u128())))
                    .collect();
                format!("{room} here{}", users.concat())
            }
            other => format!("{room} {other:?}"),
        }
    }

    fn entry(&mut self, envelope: &Envelope) -> String {
        let entry = decode_entry(&envelope.payload).unwrap();
        let content = match entry.content {
            EntryContent::Message(Message { body, reply_to, mentions }) => {
                let to = reply_to.map_or(String::new(), |seq| format!(" answering {}", seq.0));
                let users = mentions.iter().map(|user| format!(" to {}", self.id("user", user.as_u128())));
                let users = users.collect::<Vec<_>>().concat();
                let id = self.id("client", entry.client_id.as_u128());
                format!("message {:?} as {id}{to}{users}", short(body.as_str()))
            }
            EntryContent::RoomCreated { name, topic } => {
                format!("created {:?} about {:?}", name.as_str(), topic.as_str())
            }
            EntryContent::Membership { user, change, role, display_name } => {
                let user = self.id("user", user.as_u128());
                format!("{user} {change:?} as {role:?} {:?}", display_name.as_str())
            }
            EntryContent::SelfNote(note) => match note {
                SelfNote::AccountCreated => "account created".into(),
                SelfNote::Joined(room) => format!("joined {}", self.room_id(room)),
                SelfNote::ProfileChanged => "profile changed".into(),
                SelfNote::Left(room) => format!("left {}", self.room_id(room)),
                SelfNote::Read(room, seq) => format!("read {} up to {}", self.room_id(room), seq.0),
            },
            EntryContent::Edit(seq) => format!("edited {}", seq.0),
            EntryContent::Deletion { seqs, by_moderator } => {
                let seqs: Vec<u64> = seqs.iter().map(|seq| seq.0).collect();
                format!("deleted {seqs:?}{}", if by_moderator { " as a moderator" } else { "" })
            }
            EntryContent::Tombstone { by_moderator } => {
                format!("a message stood here{}", if by_moderator { ", a moderator deleted it" } else { "" })
            }
            EntryContent::Reaction { seq, emoji, removed } => {
                format!("{emoji} {} {}", if removed { "away from" } else { "to" }, seq.0)
            }
            EntryContent::Pin { seq, removed } => format!("{} {}", if removed { "unpinned" } else { "pinned" }, seq.0),
            EntryContent::Knock => "knocks".into(),
            EntryContent::Notice(body) => format!("notice {:?}", body.as_str()),
            EntryContent::Settings(RoomSettings { name, topic, slow_mode_ms, visibility, knocks, rights, .. }) => {
                let seen = if visibility == Visibility::SinceJoin { " visible since join" } else { "" };
                let knocks = if knocks { " knocks" } else { "" };
                let rights = told_rights(rights);
                format!(
                    "is now {:?} about {:?} slow {slow_mode_ms}{seen}{knocks}{rights}",
                    name.as_str(),
                    topic.as_str()
                )
            }
            EntryContent::Sanction(Sanction { user, kind, until, reason }) => {
                let until = if until.is_some() { " for a while" } else { "" };
                format!("{kind:?} {}{until}: {:?}", self.id("user", user.as_u128()), reason.as_str())
            }
            other => format!("{other:?}"),
        };
        let rev = if envelope.rev > 0 { format!(" rev {}", envelope.rev) } else { String::new() };
        let rewritten = envelope.rewritten.as_ref().map_or(String::new(), |it| format!(" [{}]", self.entry(it)));
        format!("{}{rev} {}: {content}{rewritten}", envelope.seq.0, self.id("user", entry.author.as_u128()))
    }
}

fn short(text: &str) -> String {
    if text.len() <= 60 { text.to_owned() } else { format!("{}... of {}", &text[..8], text.len()) }
}

/// Nothing of a room that says nothing itself.
fn told_rights(rights: RoomRights) -> String {
    let RoomRights { post, react, invite, pin } = rights;
    if rights == RoomRights::default() {
        return String::new();
    }
    format!(" post {post:?} react {react:?} invite {invite:?} pin {pin:?}")
}
