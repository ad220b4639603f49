//! How what travels reads in a transcript: ids and incarnations by the order of their appearance.

use std::collections::HashMap;
use std::fmt::Write as _;

use confab_protocol::codec::{decode_audit, decode_entry};
use confab_protocol::command::{
    About, AuditEntry, CaseEvent, CaseStep, Command, EndSession, Ephemeral, Evidence, History, HistoryRange, Identity,
    ListAudit, ListCases, News, Pin, React, Reply, Report, Resumed, Room, RoomTarget, SanctionUser, Search, SetRole,
    UpdateCase, UpdateRoom, Write,
};
use confab_protocol::model::{
    Cursor, DeviceId, EntryContent, Envelope, Message, RoomId, RoomSettings, Sanction, SelfNote, Visibility,
};
use confab_protocol::reject::Reject;
use confab_protocol::rights::RoomRights;

/// Stable names for what is random.
#[derive(Default)]
pub(super) struct Names {
    known: HashMap<(&'static str, u128), usize>,
    counts: HashMap<&'static str, usize>,
}

impl Names {
    pub(super) fn id(&mut self, kind: &'static str, value: u128) -> String {
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

    pub(super) fn identity(&mut self, identity: &Identity) -> String {
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

    pub(super) fn command(&mut self, command: &Command) -> String {
        match command {
            Command::Ping | Command::Logout | Command::Sessions => command.name().to_owned(),
            Command::ChangePassword { .. } | Command::ResetPassword { .. } => command.name().to_owned(),
            Command::EndSession(EndSession::Of(device)) => {
                format!("end_session {}", self.id("device", device.as_u128()))
            }
            Command::Report(Report { room, about, reason, text }) => {
                let about = match about {
                    About::Message(seq) => format!("message {}", seq.0),
                    About::Person(user) => self.id("user", user.as_u128()),
                };
                format!("report {} {about} {reason:?} {:?}", self.room_id(*room), text.as_str())
            }
            Command::ListCases(ListCases { room, state, kind, mine, about, before, limit }) => {
                let room = room.map_or("everywhere".into(), |room| self.room_id(room));
                let kind = kind.map_or(String::new(), |kind| format!(" {kind:?}"));
                let mine = if *mine { " mine" } else { "" };
                let about = about.map_or(String::new(), |user| format!(" about {}", self.id("user", user.as_u128())));
                let before = self.id("case", before.as_u128());
                format!("cases {room} {state:?}{kind}{mine}{about} before {before} limit {limit}")
            }
            Command::Case(case) => format!("case {}", self.id("case", case.as_u128())),
            Command::UpdateCase(UpdateCase { case, step }) => {
                let step = match step {
                    CaseStep::Take => "take".to_owned(),
                    CaseStep::LetGo => "let go".to_owned(),
                    CaseStep::Note(text) => format!("note {:?}", text.as_str()),
                    CaseStep::Decide(decision, text) => format!("decide {decision:?} {:?}", text.as_str()),
                };
                format!("update_case {} {step}", self.id("case", case.as_u128()))
            }
            Command::Appeal(appeal) => {
                format!("appeal {} {:?}", self.id("case", appeal.case.as_u128()), appeal.text.as_str())
            }
            Command::ListAudit(ListAudit { room, user, case, plugin, before, limit }) => {
                let room = room.map_or("everywhere".into(), |room| self.room_id(room));
                let user = user.map_or(String::new(), |user| format!(" of {}", self.id("user", user.as_u128())));
                let case = case.map_or(String::new(), |case| format!(" of {}", self.id("case", case.as_u128())));
                let plugin = plugin.as_ref().map_or(String::new(), |plugin| format!(" by {plugin}"));
                let before = if before.is_none() { "" } else { " the next page" };
                format!("audit {room}{user}{case}{plugin}{before} limit {limit}")
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
            Command::Revisions { room, seq, before } => {
                let before = if *before == 0 { String::new() } else { format!(" before {before}") };
                format!("revisions {} {}{before}", self.room_id(*room), seq.0)
            }
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

    pub(super) fn result(&mut self, result: &Result<Reply, Reject>) -> String {
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
            Reply::Reported(case) => format!("reported as {}", self.id("case", case.as_u128())),
            Reply::Cases { cases, next } => {
                let cases: Vec<String> = cases.iter().map(|case| format!("\n    {}", self.case(case))).collect();
                format!("cases, next {}{}", self.id("case", next.as_u128()), cases.concat())
            }
            Reply::Case(file) => {
                let mut text = self.case(&file.case);
                for CaseEvent { time, actor, act, decision, text: said } in &file.events {
                    assert!(time.0 > 0);
                    let who = self.id("user", actor.unwrap_or_default().as_u128());
                    let decision = decision.map_or(String::new(), |it| format!(" {it:?}"));
                    write!(text, "\n    {who} {act:?}{decision} {:?}", said.as_str()).unwrap();
                }
                for Evidence { entry, subject } in &file.evidence {
                    let mark = if *subject { ">" } else { " " };
                    write!(text, "\n    {mark} {}", self.entry(entry)).unwrap();
                }
                text
            }
            Reply::Audit { records, .. } => {
                let records: Vec<String> = records.iter().map(|it| format!("\n    {}", self.record(it))).collect();
                format!("audit{}", records.concat())
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
            Reply::Held(case) => format!("held as {}", self.id("case", case.as_u128())),
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

    fn case(&mut self, case: &confab_protocol::command::Case) -> String {
        let (id, room) = (self.id("case", case.id.as_u128()), self.room_id(case.room));
        let about = self.id("user", case.subject.as_u128());
        let seq = case.seq.map_or(String::new(), |seq| format!(" message {}", seq.0));
        let decision = case.decision.map_or(String::new(), |it| format!(" {it:?}"));
        let reason = case.reason.map_or(String::new(), |it| format!(" {it:?} x{}", case.reports));
        let taken = case.assignee.map_or(String::new(), |it| format!(" by {}", self.id("user", it.as_u128())));
        let appeal = if case.appealable { " appealable" } else { "" };
        format!("{id} {:?} {:?}{decision} {room} of {about}{seq}{reason}{taken}{appeal}", case.kind, case.state)
    }

    fn record(&mut self, entry: &AuditEntry) -> String {
        let record = decode_audit(&entry.record).unwrap();
        assert!(record.time.0 > 0);
        let (actor, user) = (self.id("user", record.actor.as_u128()), self.id("user", record.user.as_u128()));
        let (room, case) = (self.room_id(record.room), self.id("case", record.case.as_u128()));
        let seq = record.seq.map_or(String::new(), |seq| format!(" {}", seq.0));
        let hashes = match (record.before.len(), record.after.len()) {
            (0, 0) => String::new(),
            (before, after) => format!(" hashes of {before} and {after} bytes"),
        };
        let finding = record.finding.map_or(String::new(), |it| {
            assert_eq!(it.sha256.len(), 64);
            let enforced = if it.enforced { "" } else { " (shadow)" };
            format!(" {} {} {}{enforced} {} {:?} {:?}", it.plugin, it.hook, it.verdict, it.rule, it.label, it.shown)
        });
        format!("{actor} {} {room} {user}{seq} {case} {:?}{hashes}{finding}", record.act, record.detail)
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

    pub(super) fn news(&mut self, Ephemeral { room, news }: &Ephemeral) -> String {
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

    pub(super) fn entry(&mut self, envelope: &Envelope) -> String {
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
                SelfNote::Case { case, room, state } => {
                    format!("{} of {} is {state:?}", self.id("case", case.as_u128()), self.room_id(room))
                }
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
