//! The fixed values behind the golden frames: never change one, add new ones.

use bytes::Bytes;
use confab_protocol::codec::encode_entry;
use confab_protocol::command::{
    Admit, Appended, AuditRecord, ClientFrame, Command, CreateRoom, Delete, Edit, EndSession, EntriesPush, Ephemeral,
    FoundAt, GoAway, Hello, History, HistoryRange, Hit, Identity, Login, Member, MessageState, News, Notice, Page, Pin,
    PresenceStatus, Publish, Push, React, ReactionCount, Register, Reply, ResumeOutcome, Resumed, Room, RoomScope,
    RoomTarget, SanctionUser, Search, Secret, ServerFrame, Session, SessionInfo, SetRole, UpdateRoom, Welcome, Write,
};
use confab_protocol::model::{
    Body, CaseId, ClientId, Cursor, DeviceId, DeviceName, DisplayName, Emoji, Entry, EntryContent, Envelope,
    Incarnation, MembershipChange, Message, Millis, Reason, RoomId, RoomKind, RoomName, RoomRole, RoomSettings,
    Sanction, SanctionKind, SelfNote, Seq, ServerRole, SessionId, Topic, UserId, Username, Visibility,
};
use confab_protocol::reject::{Reject, RejectCode};
use confab_protocol::rights::RoomRights;

use crate::cases;

#[derive(Debug)]
pub(crate) enum Sample {
    Client(ClientFrame),
    Server(ServerFrame),
    Entry(Entry),
    Audit(Box<AuditRecord>),
}

pub(crate) const TIME: Millis = Millis(1_767_225_600_123);
pub(crate) const USER: UserId = UserId::from_u128(0x019b_76da_a87b_7111_8222_3333_4444_5501);
pub(crate) const OTHER: UserId = UserId::from_u128(0x019b_76da_a87b_7111_8222_3333_4444_5502);
const DEVICE: DeviceId = DeviceId::from_u128(0x019b_76da_a87b_7111_8222_3333_4444_5503);
pub(crate) const ROOM: RoomId = RoomId::from_u128(0x019b_76da_a87b_7111_8222_3333_4444_5504);
const SELF_ROOM: RoomId = RoomId::from_u128(0x019b_76da_a87b_7111_8222_3333_4444_5505);
const CLIENT: ClientId = ClientId::from_u128(0x019b_76da_a87b_7111_8222_3333_4444_5506);
const SESSION: SessionId = SessionId::from_u128(0x019b_76da_a87b_7111_8222_3333_4444_5507);
pub(crate) const CASE: CaseId = CaseId::from_u128(0x019b_76da_a87b_7111_8222_3333_4444_5508);
const INCARNATION: Incarnation = Incarnation(0x0102_0304_0506_0708);
/// Two scripts, a combining mark and an emoji of several code points.
const TEXT: &str = "Gru\u{308}\u{df}e, \u{4e16}\u{754c} \u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}\nline two";

fn body() -> Body {
    Body::parse(TEXT).expect("a body")
}

fn name(text: &str) -> RoomName {
    RoomName::parse(text).expect("a room name")
}

fn topic() -> Topic {
    Topic::parse("what it is about").expect("a topic")
}

fn reason() -> Reason {
    Reason::parse("again and again").expect("a reason")
}

fn emoji() -> Emoji {
    Emoji::parse("\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}").expect("an emoji")
}

fn history(range: HistoryRange) -> Command {
    Command::History(History { room: ROOM, range, thread: Some(Seq(69_000)), pinned: false, limit: 50 })
}

fn found_at() -> FoundAt {
    FoundAt { time: TIME, room: ROOM, seq: Seq(69_000) }
}

/// Commands that find messages, and those about who is here.
fn lookups() -> Vec<(&'static str, Command)> {
    // Marks, a phrase and a beginning, as the schema allows them.
    let query = "Caf\u{e9} \"what it is\" wor*".to_owned();
    let search = Search { room: Some(ROOM), query, before: Some(found_at()), limit: 20 };
    let everywhere = Search { room: None, before: None, limit: 50, ..search.clone() };
    let before = HistoryRange::Before(Seq(70_000));
    let pinned = History { room: ROOM, range: before, thread: None, pinned: true, limit: 50 };
    vec![
        ("Request.history/pinned", Command::History(pinned)),
        ("Request.search", Command::Search(search)),
        ("Request.search/everywhere", Command::Search(everywhere)),
        ("Request.typing", Command::Typing { room: ROOM, stopped: false }),
        ("Request.typing/stopped", Command::Typing { room: ROOM, stopped: true }),
        ("Request.presence", Command::SetPresence(PresenceStatus::Online)),
        ("Request.presence/away", Command::SetPresence(PresenceStatus::Away)),
        ("Request.presence/invisible", Command::SetPresence(PresenceStatus::Invisible)),
        ("Request.whoIsHere", Command::WhoIsHere(ROOM)),
    ]
}

const RIGHTS: RoomRights =
    RoomRights { post: RoomRole::Admin, react: RoomRole::Guest, invite: RoomRole::Member, pin: RoomRole::Owner };

/// Commands about what was said before, and about people and rooms.
fn amendments() -> Vec<(&'static str, Command)> {
    let write = Write { room: ROOM, client_id: CLIENT, resend: true };
    let (seq, seqs) = (Seq(69_999), vec![Seq(3), Seq(69_999)]);
    let update = UpdateRoom {
        write,
        name: Some(name("general")),
        topic: Some(topic()),
        slow_mode_ms: Some(5_000),
        retention_ms: Some(864_000_000),
        visibility: Some(Visibility::SinceJoin),
        knocks: Some(true),
        rights: Some(RIGHTS),
    };
    let nothing = UpdateRoom {
        write,
        name: None,
        topic: None,
        slow_mode_ms: None,
        retention_ms: None,
        visibility: None,
        knocks: None,
        rights: None,
    };
    let sanction = SanctionUser { write, user: OTHER, kind: SanctionKind::Mute, duration_ms: 60_000, reason: reason() };
    vec![
        ("Request.edit", Command::Edit(Edit { write, seq, body: body() })),
        ("Request.delete", Command::Delete(Delete { write, seqs })),
        ("Request.react", Command::React(React { write, seq, emoji: emoji(), remove: true })),
        ("Request.pin", Command::Pin(Pin { write, seq, remove: true })),
        ("Request.markRead", Command::MarkRead { room: ROOM, seq }),
        ("Request.updateRoom", Command::UpdateRoom(update)),
        ("Request.updateRoom/nothing", Command::UpdateRoom(nothing)),
        ("Request.setRole", Command::SetRole(SetRole { write, user: OTHER, role: RoomRole::Moderator })),
        ("Request.sanction", Command::Sanction(sanction)),
        ("Request.direct", Command::Direct { client_id: CLIENT, user: OTHER }),
        ("Request.invite", Command::Invite { room: ROOM, uses: 5, duration_ms: 60_000 }),
        ("Request.revisions", Command::Revisions { room: ROOM, seq, before: 0 }),
        ("Request.revisions/older", Command::Revisions { room: ROOM, seq, before: 300 }),
        ("Request.knock", Command::Knock(write)),
        ("Request.admit", Command::Admit(Admit { write, seq })),
        ("Request.updateProfile", Command::UpdateProfile(display_name())),
        ("Request.notice", Command::Notice(Notice { write, body: body() })),
    ]
}

/// Logins, passwords, and what those may do to accounts who run the server.
fn stewardship() -> Vec<(&'static str, Command)> {
    let secret = |text: &str| Secret::new(text);
    vec![
        ("Request.sessions", Command::Sessions),
        ("Request.endSession", Command::EndSession(EndSession::Of(DEVICE))),
        ("Request.endSession/others", Command::EndSession(EndSession::AllOthers)),
        ("Request.changePassword", Command::ChangePassword { current: secret("one"), next: secret("another one") }),
        ("Request.resetPassword", Command::ResetPassword { token: secret("token"), password: secret("another one") }),
        ("Request.restrict", Command::Restrict { user: OTHER, kind: SanctionKind::Ban, duration_ms: 60_000 }),
        ("Request.setServerRole", Command::SetServerRole { user: OTHER, role: ServerRole::Moderator }),
        ("Request.issueReset", Command::IssueReset(OTHER)),
        ("Request.inviteAccount", Command::InviteAccount { uses: 5, duration_ms: 60_000 }),
    ]
}

fn logins() -> Vec<SessionInfo> {
    let (created, seen) = (TIME, TIME.after(5_000));
    let phone = SessionInfo { device: DEVICE, name: "phone".into(), created, seen, current: true, is_key: false };
    vec![SessionInfo { name: String::new(), current: false, is_key: true, ..phone.clone() }, phone]
}

fn display_name() -> DisplayName {
    DisplayName::parse("Alice \u{c4}").expect("a display name")
}

fn username() -> Username {
    Username::parse("alice.b-1_x").expect("a username")
}

fn device_name() -> DeviceName {
    DeviceName::parse("laptop").expect("a device name")
}

fn cursor(seq: u64) -> Cursor {
    Cursor { room: ROOM, incarnation: INCARNATION, seq: Seq(seq) }
}

fn identity() -> Identity {
    Identity {
        user: USER,
        device: DEVICE,
        self_room: SELF_ROOM,
        username: username(),
        display_name: display_name(),
        role: ServerRole::Moderator,
        token_expires: TIME.after(600_000),
    }
}

fn room(role: Option<RoomRole>) -> Room {
    Room {
        id: ROOM,
        kind: RoomKind::Channel,
        name: "general chat".into(),
        topic: "what it is about".into(),
        incarnation: INCARNATION,
        first_seq: Seq(3),
        head: Seq(70_000),
        role,
        members: 1_234,
        created: TIME,
        slow_mode_ms: 5_000,
        retention_ms: 864_000_000,
        visibility: Visibility::SinceJoin,
        knocks: true,
        rights: RIGHTS,
        read_seq: Seq(69_000),
        unread: 900,
        mentions: 2,
    }
}

fn member(user: UserId, role: Option<RoomRole>) -> Member {
    Member { user, username: "alice".into(), display_name: "Alice \u{c4}".into(), role }
}

fn entry(content: EntryContent) -> Entry {
    Entry { author: USER, client_id: CLIENT, content }
}

fn envelopes() -> Vec<Envelope> {
    let contents = [EntryContent::Message(body().into()), EntryContent::Void];
    let envelope = |(seq, content)| Envelope {
        seq: Seq(seq),
        time: TIME.after(seq),
        rev: u32::try_from(seq % 2).expect("small"),
        payload: encode_entry(&entry(content)),
        rewritten: None,
    };
    (69_999..).zip(contents).map(envelope).chain([empty_envelope()]).collect()
}

fn empty_envelope() -> Envelope {
    Envelope { seq: Seq(70_001), time: TIME, rev: 0, payload: Bytes::new(), rewritten: None }
}

/// Name and value: `<struct>.<union member>`, then `/` and a variation where there are several.
pub(crate) fn samples() -> Vec<(&'static str, Sample)> {
    let hello = |token| Hello { version_min: 1, version_max: 3, client: "golden/1.0".into(), token, features: 5 };
    let mut samples = vec![
        ("ClientFrame.hello", Sample::Client(ClientFrame::Hello(hello(Some(Secret::new("token.of-alice")))))),
        ("ClientFrame.hello/anonymous", Sample::Client(ClientFrame::Hello(hello(None)))),
    ];
    let request =
        |(name, command)| (name, Sample::Client(ClientFrame::Request { id: 0xdead_beef, command: Ok(command) }));
    samples.extend(
        commands()
            .into_iter()
            .chain(account_commands())
            .chain(stewardship())
            .chain(amendments())
            .chain(lookups())
            .chain(cases::commands())
            .map(request),
    );
    let reply = |(name, result)| (name, Sample::Server(ServerFrame::Reply { id: 0xdead_beef, result }));
    samples.extend(replies().into_iter().chain(findings()).chain(cases::replies()).map(reply));
    samples.extend(server_frames().into_iter().map(|(name, frame)| (name, Sample::Server(frame))));
    let push = |news| Sample::Server(ServerFrame::Push(Push::Ephemeral(Ephemeral { room: ROOM, news })));
    samples.extend(news().into_iter().map(|(name, news)| (name, push(news))));
    samples.extend(cases::records().into_iter().map(|(name, record)| (name, Sample::Audit(Box::new(record)))));
    samples.extend(entries().into_iter().map(|(name, content)| (name, Sample::Entry(entry(content)))));
    samples
}

fn account_commands() -> Vec<(&'static str, Command)> {
    let register = Register {
        username: username(),
        password: Secret::new("correct horse"),
        display_name: Some(display_name()),
        device: device_name(),
        owner_token: Some(Secret::new("owner")),
        invite: None,
    };
    let short = Register { display_name: None, owner_token: None, ..register.clone() };
    let invited = Register { invite: Some(Secret::new("invitation")), ..short.clone() };
    let login = Login {
        username: "alice".into(),
        password: Secret::new("correct horse"),
        device: device_name(),
        device_id: None,
    };
    let again = Login { device_id: Some(DEVICE), ..login.clone() };
    vec![
        ("Request.register", Command::Register(register)),
        ("Request.register/short", Command::Register(short)),
        ("Request.register/invited", Command::Register(invited)),
        ("Request.login", Command::Login(login)),
        ("Request.login/again", Command::Login(again)),
        ("Request.authenticate", Command::Authenticate(Secret::new("access"))),
        ("Request.refresh", Command::Refresh(Secret::new("refresh"))),
        ("Request.logout", Command::Logout),
    ]
}

fn commands() -> Vec<(&'static str, Command)> {
    let create =
        CreateRoom { client_id: CLIENT, resend: false, name: name("general chat"), topic: topic(), private: false };
    let publish = Publish { room: ROOM, client_id: CLIENT, resend: false, body: body(), reply_to: None };
    let by_name = || RoomTarget::Name(name("general chat"));
    vec![
        ("Request.ping", Command::Ping),
        ("Request.createRoom", Command::CreateRoom(create.clone())),
        ("Request.createRoom/resend", Command::CreateRoom(CreateRoom { resend: true, ..create.clone() })),
        ("Request.createRoom/private", Command::CreateRoom(CreateRoom { private: true, ..create })),
        ("Request.joinRoom/byInvite", Command::JoinRoom(RoomTarget::Invite(Secret::new("invitation")))),
        ("Request.joinRoom", Command::JoinRoom(RoomTarget::Id(ROOM))),
        ("Request.joinRoom/byName", Command::JoinRoom(by_name())),
        ("Request.leaveRoom", Command::LeaveRoom(RoomTarget::Id(ROOM))),
        ("Request.listRooms", Command::ListRooms { scope: RoomScope::Joined, after: ROOM, limit: 50 }),
        ("Request.listRooms/open", Command::ListRooms { scope: RoomScope::Open, after: RoomId::NONE, limit: 200 }),
        ("Request.listMembers", Command::ListMembers { room: ROOM, after: USER, limit: 50 }),
        ("Request.profiles", Command::Profiles(vec![USER, OTHER])),
        ("Request.publish", Command::Publish(publish.clone())),
        ("Request.publish/resend", Command::Publish(Publish { resend: true, ..publish.clone() })),
        ("Request.publish/reply", Command::Publish(Publish { reply_to: Some(Seq(69_000)), ..publish })),
        ("Request.history", history(HistoryRange::Before(Seq(70_000)))),
        ("Request.history/after", history(HistoryRange::After(Seq(70_000)))),
        ("Request.history/around", history(HistoryRange::Around(Seq(70_000)))),
        ("Request.sync", Command::Sync { cursor: cursor(69_000), limit: 50 }),
        ("Request.resume", Command::Resume(vec![cursor(69_000), cursor(0)])),
        ("Request.unsubscribe", Command::Unsubscribe(by_name())),
    ]
}

fn replies() -> Vec<(&'static str, Result<Reply, Reject>)> {
    let resumed =
        |(seq, outcome)| Resumed { room: ROOM, incarnation: INCARNATION, first_seq: Seq(3), head: Seq(seq), outcome };
    let outcomes = [
        ResumeOutcome::Recovered,
        ResumeOutcome::GapTooLong,
        ResumeOutcome::IncarnationChanged,
        ResumeOutcome::Refused,
    ];
    let session = Session {
        identity: identity(),
        access_token: Secret::new("access"),
        refresh_token: Secret::new("refresh"),
        refresh_expires: TIME.after(86_400_000),
    };
    let members = vec![member(USER, Some(RoomRole::Owner)), member(OTHER, None)];
    let rooms = vec![room(Some(RoomRole::Member)), Room { kind: RoomKind::SelfLog, ..room(None) }];
    let page = Page {
        room: ROOM,
        incarnation: INCARNATION,
        entries: envelopes(),
        next: Seq(69_999),
        first_seq: Seq(3),
        head: Seq(70_001),
        states: vec![],
    };
    let reaction = ReactionCount { emoji: "\u{1f44d}".into(), count: 3, mine: true };
    let state = MessageState { seq: Seq(69_999), pinned: true, replies: 4, reactions: vec![reaction], shadowed: true };
    let told = Page { states: vec![state], ..page.clone() };
    let appended = Appended { seq: Seq(70_001), time: TIME, altered: false, duplicate: false };
    vec![
        ("Reply.reject", Err(RejectCode::NotMember.into())),
        ("Reply.reject/retry", Err(Reject::retry(RejectCode::RateLimited, 1_500))),
        ("Reply.ok", Ok(Reply::Ok)),
        ("Reply.pong", Ok(Reply::Pong(TIME))),
        ("Reply.sessions", Ok(Reply::Sessions(logins()))),
        ("Reply.session", Ok(Reply::Session(session))),
        ("Reply.authenticated", Ok(Reply::Authenticated(identity()))),
        ("Reply.room", Ok(Reply::Room(room(Some(RoomRole::Banned))))),
        ("Reply.rooms", Ok(Reply::Rooms { rooms, next: ROOM })),
        ("Reply.rooms/none", Ok(Reply::Rooms { rooms: vec![], next: RoomId::NONE })),
        ("Reply.members", Ok(Reply::Members { members, next: OTHER })),
        ("Reply.appended", Ok(Reply::Appended(appended))),
        ("Reply.appended/altered", Ok(Reply::Appended(Appended { altered: true, ..appended }))),
        ("Reply.appended/duplicate", Ok(Reply::Appended(Appended { duplicate: true, ..appended }))),
        ("Reply.invited", Ok(Reply::Invited { token: Secret::new("invitation"), expires: TIME })),
        ("Reply.held", Ok(Reply::Held(CASE))),
        ("Reply.page", Ok(Reply::Page(page))),
        ("Reply.page/states", Ok(Reply::Page(told))),
        ("Reply.resumed", Ok(Reply::Resumed((70_000..).zip(outcomes).map(resumed).collect()))),
    ]
}

/// Answers to [`lookups`].
fn findings() -> Vec<(&'static str, Result<Reply, Reject>)> {
    let newest = envelopes().swap_remove(0);
    let oldest = Envelope { seq: Seq(3), time: TIME, rev: 0, ..newest.clone() };
    let hits = [newest, oldest].map(|message| Hit { room: ROOM, message }).to_vec();
    let users = vec![
        (USER, PresenceStatus::Online),
        (OTHER, PresenceStatus::Away),
        // Nobody is told of these, but they have a form.
        (UserId::NONE, PresenceStatus::Invisible),
    ];
    vec![
        ("Reply.found", Ok(Reply::Found { hits, next: Some(found_at()) })),
        ("Reply.found/none", Ok(Reply::Found { hits: vec![], next: None })),
        ("Reply.here", Ok(Reply::Here { count: 3, users })),
        ("Reply.here/counted", Ok(Reply::Here { count: 1_234, users: vec![] })),
    ]
}

fn news() -> Vec<(&'static str, News)> {
    let here = vec![(USER, Some(PresenceStatus::Online)), (OTHER, Some(PresenceStatus::Away))];
    vec![
        ("Ephemeral.typing", News::Typing { user: OTHER, for_ms: 6_000 }),
        ("Ephemeral.typing/over", News::Typing { user: OTHER, for_ms: 0 }),
        ("Ephemeral.here", News::Here(here)),
        ("Ephemeral.here/gone", News::Here(vec![(OTHER, None)])),
        ("Ephemeral.count", News::Count(1_234)),
        ("Ephemeral.missed", News::Missed),
    ]
}

fn server_frames() -> Vec<(&'static str, ServerFrame)> {
    let welcome =
        Welcome { version: 1, session: SESSION, server_time: TIME, identity: Some(identity()), reconnect_jitter_ms: 0 };
    let anonymous = Welcome { identity: None, ..welcome.clone() };
    let crowded = Welcome { reconnect_jitter_ms: 60_000, ..anonymous.clone() };
    let entries = EntriesPush { room: ROOM, incarnation: INCARNATION, entries: envelopes() };
    let edit = Envelope {
        payload: encode_entry(&entry(EntryContent::Edit(Seq(69_999)))),
        rewritten: envelopes().into_iter().next().map(Box::new),
        ..empty_envelope()
    };
    let edited = EntriesPush { entries: vec![edit], ..entries.clone() };
    let away = GoAway { code: 4000, reason: "an upgrade".into(), reconnect_after_ms: 2_000, jitter_ms: 30_000 };
    vec![
        ("ServerFrame.welcome", ServerFrame::Welcome(welcome)),
        ("ServerFrame.welcome/anonymous", ServerFrame::Welcome(anonymous)),
        ("ServerFrame.welcome/crowded", ServerFrame::Welcome(crowded)),
        ("ServerFrame.goAway", ServerFrame::GoAway(away)),
        ("Push.entries", ServerFrame::Push(Push::Entries(entries))),
        ("Push.entries/edit", ServerFrame::Push(Push::Entries(edited))),
        ("Push.notice", ServerFrame::Push(Push::Notice("maintenance at noon".into()))),
    ]
}

fn entries() -> Vec<(&'static str, EntryContent)> {
    let message = Message { body: body(), reply_to: Some(Seq(69_000)), mentions: vec![OTHER, USER] };
    let settings = RoomSettings {
        name: name("general chat"),
        topic: topic(),
        slow_mode_ms: 5_000,
        retention_ms: 864_000_000,
        visibility: Visibility::SinceJoin,
        knocks: true,
        rights: RIGHTS,
    };
    let sanction = Sanction { user: OTHER, kind: SanctionKind::Ban, until: Some(TIME.after(60_000)), reason: reason() };
    let membership =
        |change, role| EntryContent::Membership { user: OTHER, change, role, display_name: display_name() };
    vec![
        ("Entry.void", EntryContent::Void),
        ("Entry.message", EntryContent::Message(body().into())),
        ("Entry.message/reply", EntryContent::Message(message)),
        ("Entry.edit", EntryContent::Edit(Seq(69_999))),
        ("Entry.deletion", EntryContent::Deletion { seqs: vec![Seq(3), Seq(69_999)], by_moderator: true }),
        ("Entry.tombstone", EntryContent::Tombstone { by_moderator: true }),
        ("Entry.reaction", EntryContent::Reaction { seq: Seq(69_999), emoji: emoji(), removed: true }),
        ("Entry.pin", EntryContent::Pin { seq: Seq(69_999), removed: true }),
        ("Entry.roomSettings", EntryContent::Settings(settings)),
        ("Entry.sanction", EntryContent::Sanction(sanction)),
        ("Entry.knock", EntryContent::Knock),
        ("Entry.notice", EntryContent::Notice(body())),
        ("Entry.membership/role", membership(MembershipChange::RoleChanged, RoomRole::Moderator)),
        ("Entry.roomCreated", EntryContent::RoomCreated { name: name("general chat"), topic: topic() }),
        ("Entry.membership", membership(MembershipChange::Joined, RoomRole::Member)),
        ("Entry.membership/left", membership(MembershipChange::Left, RoomRole::Guest)),
        ("SelfNote.accountCreated", EntryContent::SelfNote(SelfNote::AccountCreated)),
        ("SelfNote.joined", EntryContent::SelfNote(SelfNote::Joined(ROOM))),
        ("SelfNote.read", EntryContent::SelfNote(SelfNote::Read(ROOM, Seq(69_000)))),
        ("SelfNote.left", EntryContent::SelfNote(SelfNote::Left(ROOM))),
        ("SelfNote.profileChanged", EntryContent::SelfNote(SelfNote::ProfileChanged)),
        ("SelfNote.case", EntryContent::SelfNote(cases::NOTE)),
    ]
}
