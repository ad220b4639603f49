//! Every command over one transport, with canaries wherever a client chooses a text, rightly and wrongly.

use std::collections::BTreeSet;

use confab_protocol::command::{
    About, Admit, Appeal, CaseFilter, CaseStep, ClientFrame, Command, CreateRoom, Delete, Edit, EndSession, Hello,
    History, ListAudit, ListCases, Login, Notice, Pin, PresenceStatus, Publish, React, Register, Reply, Report,
    RoomScope, RoomTarget, SanctionUser, Search, Secret, Session, SetRole, UpdateCase, UpdateRoom,
};
use confab_protocol::limits::PASSWORD_BYTES_MAX;
use confab_protocol::model::{
    AuditId, Body, CaseDecision, CaseId, CaseText, Cursor, DeviceId, DeviceName, DisplayName, Emoji, Incarnation,
    Reason, ReportReason, RoomId, RoomName, RoomRole, SanctionKind, Seq, ServerRole, Topic, UserId, Username,
};
use confab_protocol::reject::Reject;

use crate::support::Transport;
use crate::support::commands::{update_room, write};
use crate::support::raw::{Raw, Received, Target, client_id, crafted_publish};

/// What a client says it is, which a talkative log tells.
pub const CLIENT: &str = "canary-finder-of-logs";
const HOUR_MS: u64 = 3_600_000;

/// What must not get out, and whether the store may have it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// It may not.
    Secret,
    /// What people say: if it is not sealed.
    Said,
    /// What things and people are called: it has to.
    Name,
}

/// What was planted, and what came of it.
#[derive(Default)]
pub struct Canaries {
    pub planted: Vec<(Kind, String, Vec<u8>)>,
    /// Every refusal.
    pub answers: Vec<String>,
    /// Which commands were asked.
    pub commands: BTreeSet<String>,
}

impl Canaries {
    /// A new text.
    pub fn sow(&mut self, kind: Kind, what: &str) -> String {
        let letters: String = what.chars().filter(char::is_ascii_alphanumeric).collect();
        let text = format!("canary{}{letters}", self.planted.len() + 1_000);
        self.planted.push((kind, what.to_owned(), text.clone().into_bytes()));
        text
    }

    pub fn password(&mut self, what: &str) -> Secret {
        Secret::new(self.sow(Kind::Secret, what))
    }

    /// What was made by the server.
    pub fn secret(&mut self, what: &str, secret: impl AsRef<[u8]>) {
        self.planted.push((Kind::Secret, what.to_owned(), secret.as_ref().to_vec()));
    }

    pub fn access_token(&mut self, what: &str, token: &str) {
        self.secret(what, token);
        if let Some((_, signature)) = token.rsplit_once('.') {
            self.secret(&format!("signature of {what}"), signature);
        }
    }

    fn session(&mut self, reply: Reply) -> Session {
        let Reply::Session(session) = reply else { panic!("{reply:?}") };
        self.access_token("access token", session.access_token.expose());
        self.secret("refresh token", session.refresh_token.expose());
        session
    }

    fn ticket(&mut self, what: &str, reply: Reply) -> Secret {
        let Reply::Invited { token, .. } = reply else { panic!("{reply:?}") };
        self.secret(what, token.expose());
        token
    }
}

/// Somebody's way through everything.
pub struct Journey<'a> {
    pub target: &'a Target,
    pub transport: Transport,
    pub canaries: &'a mut Canaries,
    /// Of the owner of the server.
    pub password: Secret,
    /// Of a bot.
    pub key: Secret,
}

impl Journey<'_> {
    /// The owner registers with the token, or logs in.
    pub async fn go(&mut self, owner_token: Option<&str>) {
        let mut owner = self.connect(None).await;
        let (username, device) = (self.username("owner"), self.device());
        let command = match owner_token {
            Some(token) => {
                let owner_token = Some(Secret::new(token));
                Command::Register(Register { owner_token, ..self.registration("owner", self.password.clone()) })
            }
            None => {
                let password = self.password.clone();
                Command::Login(Login { username: username.to_string(), password, device, device_id: None })
            }
        };
        let reply = self.good(&mut owner, command).await;
        self.canaries.session(reply);
        let (user, mut member) = self.accounts(&mut owner).await;
        self.rooms(&mut owner, &mut member, user).await;
        self.steward(&mut owner).await;
        self.strangers().await;
        self.good(&mut member, Command::Logout).await;
    }

    /// The owner is one for both transports, everybody else of one.
    fn username(&self, name: &str) -> Username {
        let text = if name == "owner" { name.to_owned() } else { format!("{name}-{:?}", self.transport) };
        Username::parse(&text).unwrap()
    }

    fn device(&mut self) -> DeviceName {
        DeviceName::parse(&self.canaries.sow(Kind::Name, "device")).unwrap()
    }

    fn registration(&mut self, name: &str, password: Secret) -> Register {
        let display_name = Some(DisplayName::parse(&self.canaries.sow(Kind::Name, "display name")).unwrap());
        let (username, device) = (self.username(name), self.device());
        Register { username, password, display_name, device, owner_token: None, invite: None }
    }

    fn login(&mut self, password: &Secret) -> Command {
        let (username, password) = (self.username("member").to_string(), password.clone());
        Command::Login(Login { username, password, device: self.device(), device_id: None })
    }

    fn body(&mut self, what: &str) -> Body {
        Body::parse(&self.canaries.sow(Kind::Said, what)).unwrap()
    }

    async fn connect(&mut self, token: Option<&Secret>) -> Raw {
        let mut raw = Raw::open(self.target, self.transport).await;
        let (client, token) = (CLIENT.to_owned(), token.cloned());
        raw.send(&ClientFrame::Hello(Hello { version_min: 1, version_max: 1, client, token, features: 0 })).await;
        let Received::Frame(_) = raw.next().await else { panic!("no welcome") };
        raw
    }

    async fn ask(&mut self, raw: &mut Raw, command: Command) -> Result<Reply, Reject> {
        self.canaries.commands.insert(command.name().to_owned());
        let result = raw.request(command).await;
        if let Err(reject) = &result {
            self.canaries.answers.push(format!("{reject:?}"));
        }
        result
    }

    async fn good(&mut self, raw: &mut Raw, command: Command) -> Reply {
        let name = command.name();
        self.ask(raw, command).await.unwrap_or_else(|reject| panic!("{name}: {reject:?}"))
    }

    async fn refused(&mut self, raw: &mut Raw, command: Command) {
        let name = command.name();
        let result = self.ask(raw, command).await;
        assert!(result.is_err(), "{name} was allowed: {result:?}");
    }

    /// Passwords, tokens and tickets of an account; it and a connection of it.
    async fn accounts(&mut self, owner: &mut Raw) -> (UserId, Raw) {
        let reply = self.good(owner, Command::InviteAccount { uses: 3, duration_ms: HOUR_MS }).await;
        let invite = self.canaries.ticket("invitation of an account", reply);
        let mut raw = self.connect(None).await;
        let wrong = Some(self.canaries.password("wrong invitation"));
        let password = self.canaries.password("password of nobody");
        let register = Register { invite: wrong, ..self.registration("nobody", password) };
        self.refused(&mut raw, Command::Register(register)).await;
        let password = self.canaries.password("wrong owner token");
        let register = Register { owner_token: Some(password.clone()), ..self.registration("nobody", password) };
        self.refused(&mut raw, Command::Register(register)).await;
        let long = self.canaries.password("long password").expose().repeat(PASSWORD_BYTES_MAX);
        let register = self.registration("nobody", Secret::new(long));
        self.refused(&mut raw, Command::Register(register)).await;
        let password = self.canaries.password("password");
        let register = Register { invite: Some(invite), ..self.registration("member", password.clone()) };
        let reply = self.good(&mut raw, Command::Register(register)).await;
        let session = self.canaries.session(reply);
        let again = self.registration("member", password.clone());
        self.refused(&mut raw, Command::Register(again)).await;
        self.logins(&password).await;
        let next = self.change_password(&mut raw, &password).await;
        let user = session.identity.user;
        let reset = self.reset_password(owner, &next, user).await;
        let mut raw = self.connect(None).await;
        let login = self.login(&reset);
        let reply = self.good(&mut raw, login).await;
        self.canaries.session(reply);
        (user, raw)
    }

    async fn logins(&mut self, password: &Secret) {
        let mut raw = self.connect(None).await;
        let wrong = self.canaries.password("wrong password");
        let login = self.login(&wrong);
        self.refused(&mut raw, login).await;
        let login = self.login(password);
        let reply = self.good(&mut raw, login).await;
        let session = self.canaries.session(reply);
        let mut other = self.connect(Some(&session.access_token)).await;
        let reply = self.good(&mut raw, Command::Refresh(session.refresh_token.clone())).await;
        let next = self.canaries.session(reply);
        let wrong = self.canaries.password("wrong access token");
        self.refused(&mut other, Command::Authenticate(wrong)).await;
        let forged = [next.access_token.expose(), "AAAA"].concat();
        self.canaries.access_token("forged access token", &forged);
        self.refused(&mut other, Command::Authenticate(Secret::new(forged))).await;
        self.good(&mut other, Command::Authenticate(next.access_token.clone())).await;
        let wrong = self.canaries.password("wrong refresh token");
        self.refused(&mut other, Command::Refresh(wrong)).await;
        let reply = self.good(&mut raw, Command::Refresh(next.refresh_token)).await;
        self.canaries.session(reply);
        // A spent one ends the login, and this connection with it.
        let spent = other.begin(Command::Refresh(session.refresh_token)).await;
        let answer = other.try_reply(spent).await;
        self.canaries.answers.push(format!("{answer:?}"));
    }

    async fn change_password(&mut self, raw: &mut Raw, password: &Secret) -> Secret {
        let (wrong, next) = (self.canaries.password("wrong current"), self.canaries.password("next password"));
        self.refused(raw, Command::ChangePassword { current: wrong, next: next.clone() }).await;
        self.good(raw, Command::ChangePassword { current: password.clone(), next: next.clone() }).await;
        self.good(raw, Command::Sessions).await;
        self.good(raw, Command::EndSession(EndSession::Of(DeviceId::from_u128(7)))).await;
        self.good(raw, Command::EndSession(EndSession::AllOthers)).await;
        next
    }

    async fn reset_password(&mut self, owner: &mut Raw, password: &Secret, user: UserId) -> Secret {
        let reply = self.good(owner, Command::IssueReset(user)).await;
        let token = self.canaries.ticket("reset ticket", reply);
        let mut raw = self.connect(None).await;
        let (wrong, next) = (self.canaries.password("wrong reset ticket"), self.canaries.password("reset password"));
        self.refused(&mut raw, Command::ResetPassword { token: wrong, password: next.clone() }).await;
        let short = Secret::new(&password.expose()[..4]);
        self.refused(&mut raw, Command::ResetPassword { token: token.clone(), password: short }).await;
        self.good(&mut raw, Command::ResetPassword { token: token.clone(), password: next.clone() }).await;
        self.refused(&mut raw, Command::ResetPassword { token, password: next.clone() }).await;
        next
    }

    /// All that is done in rooms.
    async fn rooms(&mut self, owner: &mut Raw, member: &mut Raw, user: UserId) {
        let name = RoomName::parse(&self.canaries.sow(Kind::Name, "room")).unwrap();
        let topic = Topic::parse(&self.canaries.sow(Kind::Name, "topic")).unwrap();
        let create = || CreateRoom {
            client_id: client_id(),
            resend: false,
            name: name.clone(),
            topic: topic.clone(),
            private: true,
        };
        let Reply::Room(room) = self.good(owner, Command::CreateRoom(create())).await else { panic!() };
        let public = CreateRoom { private: false, ..create() };
        self.good(member, Command::CreateRoom(public.clone())).await;
        let again = CreateRoom { client_id: client_id(), ..public };
        self.refused(member, Command::CreateRoom(again)).await;
        let room = room.id;
        let reply = self.good(owner, Command::Invite { room, uses: 1, duration_ms: HOUR_MS }).await;
        let invitation = self.canaries.ticket("invitation of a room", reply);
        let wrong = self.canaries.password("wrong invitation of a room");
        self.refused(member, Command::JoinRoom(RoomTarget::Invite(wrong))).await;
        self.good(member, Command::JoinRoom(RoomTarget::Invite(invitation))).await;
        let seq = self.say(member, room).await;
        self.amend(owner, member, room, seq).await;
        self.look(owner, member, room, user).await;
        self.knock(owner, room).await;
        self.moderate(owner, member, room, seq).await;
        let write = || write(room);
        let delete = |seq| Command::Delete(Delete { write: write(), seqs: vec![seq] });
        self.refused(member, delete(Seq(9_999))).await;
        self.good(member, delete(seq)).await;
        let role = SetRole { write: write(), user, role: RoomRole::Moderator };
        self.refused(member, Command::SetRole(role)).await;
        self.good(owner, Command::SetRole(role)).await;
        self.good(member, Command::LeaveRoom(RoomTarget::Id(room))).await;
    }

    async fn say(&mut self, member: &mut Raw, room: RoomId) -> Seq {
        let id = client_id();
        let body = self.body("body");
        let publish = Publish { room, client_id: id, resend: false, body, reply_to: None };
        let Reply::Appended(said) = self.good(member, Command::Publish(publish.clone())).await else { panic!() };
        let other = Publish { body: self.body("other body"), ..publish.clone() };
        self.refused(member, Command::Publish(other)).await;
        let nowhere = Publish {
            room: RoomId::from_u128(7),
            client_id: client_id(),
            body: self.body("body nowhere"),
            ..publish.clone()
        };
        self.refused(member, Command::Publish(nowhere)).await;
        let reply =
            Publish { client_id: client_id(), body: self.body("reply"), reply_to: Some(said.seq), ..publish.clone() };
        self.good(member, Command::Publish(reply)).await;
        for end in [&b"\0"[..], b"\xff", &[b'x'; 20_000]] {
            let body = [self.body("bad body").as_str().as_bytes(), end].concat();
            let id = member.take_id();
            member.send_frame(&crafted_publish(id, room, client_id(), &body)).await;
            let reject = member.reply(id).await.expect_err("a bad body");
            self.canaries.answers.push(format!("{reject:?}"));
        }
        // What the hostile plugin does about these words, where there is one.
        for told in ["storm", "trap", "reject", "hold", "bounce"] {
            let publish = Publish { client_id: client_id(), body: Body::parse(told).unwrap(), ..publish.clone() };
            let _ = self.ask(member, Command::Publish(publish)).await;
        }
        said.seq
    }

    async fn amend(&mut self, owner: &mut Raw, member: &mut Raw, room: RoomId, seq: Seq) {
        let write = || write(room);
        let mut edit = |seq| Command::Edit(Edit { write: write(), seq, body: self.body("edit") });
        let (mine, unknown, foreign) = (edit(seq), edit(Seq(9_999)), edit(seq));
        self.good(member, mine).await;
        self.refused(member, unknown).await;
        self.refused(owner, foreign).await;
        self.good(owner, Command::Revisions { room, seq, before: 0 }).await;
        self.refused(member, Command::Revisions { room, seq, before: 0 }).await;
        let emoji = Emoji::parse("👍").unwrap();
        self.good(member, Command::React(React { write: write(), seq, emoji, remove: false })).await;
        let pin = || Command::Pin(Pin { write: write(), seq, remove: false });
        self.refused(member, pin()).await;
        self.good(owner, pin()).await;
        self.good(member, Command::MarkRead { room, seq }).await;
        let topic = Topic::parse(&self.canaries.sow(Kind::Name, "another topic")).unwrap();
        let update = || {
            let (topic, knocks) = (Some(topic.clone()), Some(true));
            Command::UpdateRoom(UpdateRoom { topic, knocks, ..update_room(write()) })
        };
        self.refused(member, update()).await;
        self.good(owner, update()).await;
        let mut notice = || Command::Notice(Notice { write: write(), body: self.body("notice") });
        let (theirs, ours) = (notice(), notice());
        self.refused(member, theirs).await;
        self.good(owner, ours).await;
    }

    /// What is written about cases stands in the store in clear, and nowhere else.
    async fn moderate(&mut self, owner: &mut Raw, member: &mut Raw, room: RoomId, seq: Seq) {
        let mut text = |what: &str| CaseText::parse(&self.canaries.sow(Kind::Name, what)).unwrap();
        let (why, foreign, note, because, plea) =
            (text("report"), text("refused report"), text("note"), text("decision"), text("appeal"));
        let (about, reason) = (About::Message(seq), ReportReason::Other);
        let report = |text| Command::Report(Report { room, about, reason, text });
        self.refused(member, report(foreign)).await;
        let Reply::Reported(case) = self.good(owner, report(why)).await else { panic!() };
        let (state, before) = (CaseFilter::Any, CaseId::NONE);
        let list = |room| ListCases { room, state, kind: None, mine: false, about: None, before, limit: 50 };
        self.good(owner, Command::ListCases(list(Some(room)))).await;
        self.refused(member, Command::ListCases(list(Some(room)))).await;
        self.refused(member, Command::Case(case)).await;
        let update = |step| Command::UpdateCase(UpdateCase { case, step });
        self.good(owner, update(CaseStep::Note(note))).await;
        self.good(owner, Command::Case(case)).await;
        self.good(owner, update(CaseStep::Decide(CaseDecision::Dismiss, because))).await;
        self.refused(member, Command::Appeal(Appeal { case, text: plea })).await;
        let (user, plugin, before) = (None, None, AuditId::NONE);
        let audit = ListAudit { room: Some(room), user, case: None, plugin, before, limit: 50 };
        self.good(owner, Command::ListAudit(audit.clone())).await;
        self.refused(member, Command::ListAudit(audit)).await;
    }

    async fn look(&mut self, owner: &mut Raw, member: &mut Raw, room: RoomId, user: UserId) {
        let cursor = Cursor { room, incarnation: Incarnation(0), seq: Seq(0) };
        self.good(member, Command::Resume(vec![cursor])).await;
        self.good(member, Command::History(History::before(room, Seq(0), 50))).await;
        self.good(member, Command::Sync { cursor, limit: 50 }).await;
        for (place, words) in [(Some(room), 1), (None, 1), (None, 500), (Some(RoomId::from_u128(7)), 1)] {
            let query = [self.canaries.sow(Kind::Said, "search"), " ".to_owned()].concat().repeat(words);
            let _ = self.ask(member, Command::Search(Search { room: place, query, before: None, limit: 50 })).await;
        }
        self.good(member, Command::Typing { room, stopped: false }).await;
        self.good(member, Command::SetPresence(PresenceStatus::Away)).await;
        self.good(member, Command::WhoIsHere(room)).await;
        self.good(member, Command::ListRooms { scope: RoomScope::Open, after: RoomId::NONE, limit: 50 }).await;
        self.good(member, Command::ListMembers { room, after: UserId::NONE, limit: 50 }).await;
        self.good(member, Command::Profiles(vec![user])).await;
        self.good(member, Command::Unsubscribe(RoomTarget::Id(room))).await;
        self.good(member, Command::Ping).await;
        let mut name = |end: &str| {
            let name = [self.canaries.sow(Kind::Name, "profile name").as_str(), end].concat();
            Command::UpdateProfile(DisplayName::parse(&name).unwrap())
        };
        let (good, deceptive) = (name(""), name("р"));
        self.good(member, good).await;
        self.refused(member, deceptive).await;
        self.good(owner, Command::Direct { client_id: client_id(), user }).await;
    }

    /// A bot knocks with its key, is let in, speaks and is sent away.
    async fn knock(&mut self, owner: &mut Raw, room: RoomId) {
        let key = self.key.clone();
        let mut bot = self.connect(Some(&key)).await;
        self.good(&mut bot, Command::Authenticate(key.clone())).await;
        let Reply::Authenticated(identity) = self.good(&mut bot, Command::Authenticate(key)).await else { panic!() };
        let Reply::Appended(knock) = self.good(&mut bot, Command::Knock(write(room))).await else { panic!() };
        self.refused(owner, Command::Admit(Admit { write: write(room), seq: Seq(1) })).await;
        self.good(owner, Command::Admit(Admit { write: write(room), seq: knock.seq })).await;
        let body = self.body("body of a bot");
        let publish = Publish { room, client_id: client_id(), resend: false, body, reply_to: None };
        self.good(&mut bot, Command::Publish(publish)).await;
        self.refused(&mut bot, Command::Sessions).await;
        let reason = Reason::parse(&self.canaries.sow(Kind::Name, "reason")).unwrap();
        let (user, kind) = (identity.user, SanctionKind::Kick);
        let kick = SanctionUser { write: write(room), user, kind, duration_ms: 0, reason };
        self.refused(&mut bot, Command::Sanction(kick.clone())).await;
        self.good(owner, Command::Sanction(kick)).await;
    }

    /// What is done to accounts.
    async fn steward(&mut self, owner: &mut Raw) {
        let mut raw = self.connect(None).await;
        let password = self.canaries.password("password of a victim");
        let register = self.registration("victim", password);
        let reply = self.good(&mut raw, Command::Register(register)).await;
        let user = self.canaries.session(reply).identity.user;
        let reply = self.good(owner, Command::IssueReset(user)).await;
        self.canaries.ticket("reset ticket that nobody uses", reply);
        self.refused(&mut raw, Command::Restrict { user, kind: SanctionKind::Ban, duration_ms: 0 }).await;
        for kind in [SanctionKind::Mute, SanctionKind::Lift] {
            self.good(owner, Command::Restrict { user, kind, duration_ms: 0 }).await;
        }
        self.good(owner, Command::SetServerRole { user, role: ServerRole::Moderator }).await;
    }

    /// Tokens that are none in `hello`, and what is no frame.
    async fn strangers(&mut self) {
        for before in ["", "confab_", "a.b."] {
            let token = [before, &self.canaries.sow(Kind::Secret, "token of a hello")].concat();
            let close = Raw::refused(self.target, self.transport, &Secret::new(token)).await;
            self.canaries.answers.push(format!("{close:?}"));
        }
        let mut garbage = self.connect(None).await;
        let frame = self.canaries.sow(Kind::Said, "garbage");
        garbage.send_frame(frame.as_bytes()).await;
        let close = garbage.closed().await;
        self.canaries.answers.push(format!("{close:?}"));
        if self.transport == Transport::WebSocket {
            let mut text = self.connect(None).await;
            text.send_text(&self.canaries.sow(Kind::Said, "text")).await;
            let close = text.closed().await;
            self.canaries.answers.push(format!("{close:?}"));
        }
    }
}
