//! Every way to write something that others read asks the plugins, and asks once.

use std::collections::BTreeSet;

use confab_protocol::command::{
    Admit, Command, CreateRoom, Delete, Edit, History, Notice, Pin, React, Reply, RoomScope, RoomTarget, SanctionUser,
    SetRole, UpdateRoom, Write,
};
use confab_protocol::model::{
    Body, Cursor, DisplayName, Emoji, Incarnation, Reason, RoomId, RoomName, RoomRole, SanctionKind, Seq, Topic, UserId,
};

use crate::support::commands::{register, update_room};
use crate::support::raw::{Raw, Target, client_id, publish};
use crate::support::{TestServer, Transport};

/// What a command writes that others read, each of which is one question to the plugins. A new command has no answer
/// here, and this does not compile until it has one. The command line is not among them: names that `confab user import` and
/// `confab bot create` make are the act of who runs the server, and no plugin is asked.
const fn questions(command: &Command) -> u32 {
    match command {
        // A display name. A user name that is another one is a question of its own.
        Command::Register(_) => 1,
        Command::UpdateProfile(_) => 1,
        Command::Notice(_) => 1,
        Command::CreateRoom(_) | Command::UpdateRoom(_) => 1,
        Command::Publish(_) | Command::Edit(_) | Command::React(_) => 1,
        // Numbers, ids, and a reason that moderators answer for.
        Command::Delete(_) | Command::Pin(_) | Command::MarkRead { .. } | Command::SetRole(_) => 0,
        Command::Sanction(_) | Command::Direct { .. } | Command::Invite { .. } => 0,
        // Who knocks has a name that was looked at before.
        Command::Knock(_) | Command::Admit(_) => 0,
        // About accounts, in numbers; passwords are nobody's to read.
        Command::Sessions | Command::EndSession(_) | Command::IssueReset(_) | Command::InviteAccount { .. } => 0,
        Command::ChangePassword { .. } | Command::ResetPassword { .. } => 0,
        Command::Restrict { .. } | Command::SetServerRole { .. } => 0,
        Command::JoinRoom(_) | Command::LeaveRoom(_) | Command::Unsubscribe(_) => 0,
        Command::Ping | Command::Login(_) | Command::Authenticate(_) | Command::Refresh(_) | Command::Logout => 0,
        Command::ListRooms { .. } | Command::ListMembers { .. } | Command::Profiles(_) => 0,
        // What moderators are told is for them alone.
        Command::Report(_) | Command::Appeal(_) | Command::UpdateCase(_) => 0,
        Command::ListCases(_) | Command::Case(_) | Command::ListAudit(_) => 0,
        // Nobody reads what is searched for.
        Command::Search(_) | Command::Typing { .. } | Command::SetPresence(_) | Command::WhoIsHere(_) => 0,
        Command::History(_) | Command::Sync { .. } | Command::Resume(_) | Command::Revisions { .. } => 0,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_asks_the_plugins_once() {
    let server = TestServer::start().await;
    let calls = async || server.metric(r#"confab_plugin_call_seconds_count{hook="message",plugin="sanitize"}"#).await;
    let target = Target::from(&server);
    let (mut raw, _) = Raw::greet(&target, Transport::WebSocket, None).await;
    let mut seen = BTreeSet::new();
    let (mut room, mut asked) = (RoomId::NONE, vec![register("alice", Some(&server.owner_token))]);
    let write = |room| Write { room, client_id: client_id(), resend: false };
    let name = |text| RoomName::parse(text).unwrap();
    let topic = || Topic::parse("about").unwrap();
    let mut step = 0;
    while let Some(command) = asked.pop() {
        // The first is the owner's account, which no plugin keeps from being made.
        let questions = if step == 0 { 0 } else { questions(&command) };
        let (expected, before) = (f64::from(questions), calls().await);
        let label = command.name();
        let reply = raw.request(command).await;
        assert_eq!(calls().await - before, expected, "{label}: {reply:?}");
        let reply = reply.unwrap_or_else(|reject| panic!("{label}: {reject}"));
        seen.insert(label);
        if let Reply::Room(made) = &reply {
            room = made.id;
        }
        step += 1;
        if step == 1 {
            let create =
                CreateRoom { client_id: client_id(), resend: false, name: name("den"), topic: topic(), private: false };
            asked.push(Command::CreateRoom(create));
        } else if step == 2 {
            let body = Body::parse("more").unwrap();
            let history = Cursor { room, incarnation: Incarnation(0), seq: Seq(0) };
            asked = vec![
                Command::UpdateProfile(DisplayName::parse("Alice of Old").unwrap()),
                Command::Notice(Notice { write: write(room), body: Body::parse("to all").unwrap() }),
                Command::LeaveRoom(RoomTarget::Id(room)),
                Command::Unsubscribe(RoomTarget::Id(room)),
                Command::Resume(vec![history]),
                Command::Sync { cursor: history, limit: 0 },
                Command::History(History::before(room, Seq(0), 0)),
                Command::Revisions { room, seq: Seq(2), before: 0 },
                Command::Profiles(vec![UserId::from_u128(1)]),
                Command::ListMembers { room, after: UserId::NONE, limit: 0 },
                Command::ListRooms { scope: RoomScope::Joined, after: RoomId::NONE, limit: 0 },
                Command::MarkRead { room, seq: Seq(2) },
                Command::Delete(Delete { write: write(room), seqs: vec![Seq(2)] }),
                Command::Pin(Pin { write: write(room), seq: Seq(2), remove: false }),
                Command::React(React {
                    write: write(room),
                    seq: Seq(2),
                    emoji: Emoji::parse("+").unwrap(),
                    remove: false,
                }),
                Command::Edit(Edit { write: write(room), seq: Seq(2), body }),
                Command::UpdateRoom(UpdateRoom {
                    name: Some(name("lair")),
                    slow_mode_ms: Some(0),
                    ..update_room(write(room))
                }),
                publish(room, client_id(), "said"),
                Command::JoinRoom(RoomTarget::Id(room)),
                Command::Ping,
            ];
        }
    }
    assert_eq!(seen.len(), 22, "{seen:?}");
    // Somebody else to act on.
    let (mut other, _) = Raw::greet(&target, Transport::Quic, None).await;
    let bob = match other.request(register("bob", None)).await.unwrap() {
        Reply::Session(session) => session.identity.user,
        reply => panic!("{reply:?}"),
    };
    raw.request(Command::JoinRoom(RoomTarget::Id(room))).await.unwrap();
    let knocks = UpdateRoom { knocks: Some(true), ..update_room(write(room)) };
    raw.request(Command::UpdateRoom(knocks)).await.unwrap();
    let before = calls().await;
    let Reply::Appended(knock) = other.request(Command::Knock(write(room))).await.unwrap() else { panic!() };
    let admit = Admit { write: write(room), seq: knock.seq };
    raw.request(Command::Admit(admit)).await.unwrap();
    assert_eq!(calls().await, before, "who knocks has a name that was looked at before");
    let reason = Reason::parse("because").unwrap();
    for command in [
        Command::Direct { client_id: client_id(), user: bob },
        Command::Invite { room, uses: 1, duration_ms: 1_000 },
        Command::SetRole(SetRole { write: write(room), user: bob, role: RoomRole::Guest }),
        Command::Sanction(SanctionUser {
            write: write(room),
            user: bob,
            kind: SanctionKind::Kick,
            duration_ms: 0,
            reason,
        }),
    ] {
        let (expected, before) = (f64::from(questions(&command)), calls().await);
        raw.request(command).await.unwrap();
        assert_eq!(calls().await - before, expected);
    }
}
