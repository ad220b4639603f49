//! What is said of what was said, and done to people and rooms.

use confab_protocol::command::{
    Command, CreateRoom, Delete, Edit, History, HistoryRange, Pin, Publish, React, Reply, RoomScope, RoomTarget,
    SanctionUser, Secret, SetRole, UpdateRoom, Write,
};
use confab_protocol::model::{
    Body, Cursor, Emoji, Incarnation, Reason, RoomId, RoomName, RoomRole, SanctionKind, Seq, Topic, UserId,
};
use expect_test::expect;

use super::check;
use super::stage::{Stage, cursor, named, new_room, room};
use crate::support::commands::{update_room, write};
use crate::support::raw::{client_id, publish};

fn edit(room: RoomId, seq: u64, text: &str) -> Command {
    Command::Edit(Edit { write: write(room), seq: Seq(seq), body: Body::parse(text).unwrap() })
}

fn delete(room: RoomId, seqs: &[u64]) -> Command {
    Command::Delete(Delete { write: write(room), seqs: seqs.iter().map(|seq| Seq(*seq)).collect() })
}

fn react(room: RoomId, seq: u64, emoji: &str, remove: bool) -> Command {
    Command::React(React { write: write(room), seq: Seq(seq), emoji: Emoji::parse(emoji).unwrap(), remove })
}

fn pin(room: RoomId, seq: u64, remove: bool) -> Command {
    Command::Pin(Pin { write: write(room), seq: Seq(seq), remove })
}

fn reply_to(room: RoomId, seq: u64, text: &str) -> Command {
    let body = Body::parse(text).unwrap();
    Command::Publish(Publish { room, client_id: client_id(), resend: false, body, reply_to: Some(Seq(seq)) })
}

fn sanction(room: RoomId, user: UserId, kind: SanctionKind, duration_ms: u64) -> Command {
    let reason = Reason::parse("again and again").unwrap();
    Command::Sanction(SanctionUser { write: write(room), user, kind, duration_ms, reason })
}

fn set_role(room: RoomId, user: UserId, role: RoomRole) -> Command {
    Command::SetRole(SetRole { write: write(room), user, role })
}

fn history(room: RoomId, range: HistoryRange, thread: Option<u64>) -> Command {
    Command::History(History { room, range, thread: thread.map(Seq), pinned: false, limit: 2 })
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_edited_deleted_and_reacted_to() {
    let script = async |stage: &mut Stage| {
        stage.register("alice").await;
        stage.register("bob").await;
        let den = room(stage.ask("alice", new_room("den")).await);
        let _ = stage.ask("bob", Command::JoinRoom(named("den"))).await;
        for who in ["alice", "bob"] {
            let _ = stage.ask(who, Command::Resume(vec![cursor(&den, 2)])).await;
        }
        let _ = stage.ask("alice", publish(den.id, client_id(), "helo @bob and @nobody")).await;
        let _ = stage.ask("bob", reply_to(den.id, 3, "you mean hello?")).await;
        let _ = stage.ask("bob", reply_to(den.id, 1, "that is no message")).await;
        let first = edit(den.id, 3, "hello @bob");
        let _ = stage.ask("alice", first.clone()).await;
        let Command::Edit(again) = first else { unreachable!() };
        let resend = Edit { write: Write { resend: true, ..again.write }, ..again };
        let _ = stage.ask("alice", Command::Edit(resend)).await;
        let _ = stage.ask("bob", edit(den.id, 3, "mine now")).await;
        let _ = stage.ask("bob", react(den.id, 3, "\u{1f44d}", false)).await;
        let _ = stage.ask("bob", react(den.id, 3, "\u{1f44d}", false)).await;
        let _ = stage.ask("alice", react(den.id, 4, "\u{1f602}", false)).await;
        let _ = stage.ask("alice", react(den.id, 4, "\u{1f602}", true)).await;
        let _ = stage.ask("bob", pin(den.id, 3, false)).await;
        let _ = stage.ask("alice", pin(den.id, 3, false)).await;
        let pins = History { pinned: true, ..History::before(den.id, Seq(0), 0) };
        let _ = stage.ask("bob", Command::History(pins)).await;
        let _ = stage.ask("bob", Command::Revisions { room: den.id, seq: Seq(3), before: 0 }).await;
        let _ = stage.ask("alice", Command::Revisions { room: den.id, seq: Seq(3), before: 0 }).await;
        for range in [HistoryRange::Before(Seq(0)), HistoryRange::After(Seq(3)), HistoryRange::Around(Seq(4))] {
            let _ = stage.ask("bob", history(den.id, range, None)).await;
        }
        let _ = stage.ask("bob", history(den.id, HistoryRange::Before(Seq(0)), Some(3))).await;
        let _ = stage.ask("bob", delete(den.id, &[3])).await;
        let _ = stage.ask("alice", delete(den.id, &[4, 99])).await;
        let _ = stage.ask("alice", delete(den.id, &[4, 3])).await;
        let _ = stage.ask("alice", edit(den.id, 3, "it is gone")).await;
        let _ = stage.ask("bob", history(den.id, HistoryRange::Before(Seq(0)), None)).await;
        let _ = stage.ask("bob", Command::Sync { cursor: cursor(&den, 2), limit: 0 }).await;
        stage.hears("alice", 8).await;
        stage.hears("bob", 8).await;
    };
    check(
        script,
        expect![[r#"
            alice > hello
            alice < welcome version 1: nobody
            alice > register alice
            alice < session user-1 alice "alice Doe" User on device-1 with room-1
            bob > hello
            bob < welcome version 1: nobody
            bob > register bob
            bob < session user-2 bob "bob Doe" User on device-2 with room-2
            alice > create_room room-3 "den"
            alice < room-3 Channel "den" about "talk" history-1 1..1 role Some(Owner) members 1
            bob > join_room "den"
            bob < room-3 Channel "den" about "talk" history-1 1..2 role Some(Member) members 2
            alice > resume room-3 history-1 after 2
            alice < resumed room-3 history-1 1..2 Recovered
            bob > resume room-3 history-1 after 2
            bob < resumed room-3 history-1 1..2 Recovered
            alice > publish room-3 client-1 "helo @bob and @nobody"
            alice < appended 3
            bob > publish room-3 client-2 "you mean hello?" answering 3
            bob < appended 4
            bob > publish room-3 client-3 "that is no message" answering 1
            bob < reject 3008 there is no such message (any more)
            alice > edit room-3 client-4 3 to "hello @bob"
            alice < appended 5
            alice > edit again room-3 client-4 3 to "hello @bob"
            alice < appended 5, duplicate
            bob > edit room-3 client-5 3 to "mine now"
            bob < reject 2006 you may not do that here
            bob > react room-3 client-6 3 👍
            bob < appended 6
            bob > react room-3 client-7 3 👍
            bob < ok
            alice > react room-3 client-8 4 😂
            alice < appended 7
            alice > unreact room-3 client-9 4 😂
            alice < appended 8
            bob > pin room-3 client-10 3
            bob < reject 2006 you may not do that here
            alice > pin room-3 client-11 3
            alice < appended 9
            bob > history room-3 before 0 limit 0 pinned
            bob < page room-3 history-1 head 9 next 3
                3 rev 1 user-1: message "hello @bob" as client-1 to user-2
                of 3: pinned 1 answers 👍x1 mine
            bob > revisions room-3 3
            bob < reject 2006 you may not do that here
            alice > revisions room-3 3
            alice < page room-3 history-1 head 9 next 0
                3 user-1: message "helo @bob and @nobody" as client-1 to user-2
            bob > history room-3 before 0 limit 2
            bob < page room-3 history-1 head 9 next 3
                3 rev 1 user-1: message "hello @bob" as client-1 to user-2
                4 user-2: message "you mean hello?" as client-2 answering 3
                of 3: pinned 1 answers 👍x1 mine
            bob > history room-3 after 3 limit 2
            bob < page room-3 history-1 head 9 next 4
                4 user-2: message "you mean hello?" as client-2 answering 3
            bob > history room-3 around 4 limit 2
            bob < page room-3 history-1 head 9 next 3
                3 rev 1 user-1: message "hello @bob" as client-1 to user-2
                4 user-2: message "you mean hello?" as client-2 answering 3
                of 3: pinned 1 answers 👍x1 mine
            bob > history room-3 before 0 limit 2 answers to 3
            bob < page room-3 history-1 head 9 next 4
                4 user-2: message "you mean hello?" as client-2 answering 3
            bob > delete room-3 client-12 [3]
            bob < reject 2006 you may not do that here
            alice > delete room-3 client-13 [4, 99]
            alice < reject 3008 there is no such message (any more)
            alice > delete room-3 client-14 [4, 3]
            alice < appended 10
            alice > edit room-3 client-15 3 to "it is gone"
            alice < reject 3008 there is no such message (any more)
            bob > history room-3 before 0 limit 2
            bob < page room-3 history-1 head 10 next 0
            bob > sync room-3 history-1 after 2 limit 0
            bob < page room-3 history-1 head 10 next 0
                3 rev 2 user-1: a message stood here
                4 rev 1 user-2: a message stood here, a moderator deleted it
                5 user-1: edited 3 [3 rev 2 user-1: a message stood here]
                6 user-2: 👍 to 3
                7 user-1: 😂 to 4
                8 user-1: 😂 away from 4
                9 user-1: pinned 3
                10 user-1: deleted [3, 4] as a moderator
            alice * room-3 history-1 3 user-1: message "helo @bob and @nobody" as client-1 to user-2
            alice * room-3 history-1 4 user-2: message "you mean hello?" as client-2 answering 3
            alice * room-3 history-1 5 user-1: edited 3 [3 rev 1 user-1: message "hello @bob" as client-1 to user-2]
            alice * room-3 history-1 6 user-2: 👍 to 3
            alice * room-3 history-1 7 user-1: 😂 to 4
            alice * room-3 history-1 8 user-1: 😂 away from 4
            alice * room-3 history-1 9 user-1: pinned 3
            alice * room-3 history-1 10 user-1: deleted [3, 4] as a moderator
            bob * room-3 history-1 3 user-1: message "helo @bob and @nobody" as client-1 to user-2
            bob * room-3 history-1 4 user-2: message "you mean hello?" as client-2 answering 3
            bob * room-3 history-1 5 user-1: edited 3 [3 rev 1 user-1: message "hello @bob" as client-1 to user-2]
            bob * room-3 history-1 6 user-2: 👍 to 3
            bob * room-3 history-1 7 user-1: 😂 to 4
            bob * room-3 history-1 8 user-1: 😂 away from 4
            bob * room-3 history-1 9 user-1: pinned 3
            bob * room-3 history-1 10 user-1: deleted [3, 4] as a moderator
        "#]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_and_people_are_moderated() {
    let script = async |stage: &mut Stage| {
        stage.register("alice").await;
        let bob = stage.register("bob").await.identity.user;
        let carol = stage.register("carol").await.identity.user;
        let den = room(stage.ask("alice", new_room("den")).await);
        for who in ["bob", "carol"] {
            let _ = stage.ask(who, Command::JoinRoom(named("den"))).await;
        }
        for who in ["alice", "carol"] {
            let _ = stage.ask(who, Command::Resume(vec![cursor(&den, 3)])).await;
        }
        let _ = stage.ask("bob", sanction(den.id, carol, SanctionKind::Mute, 60_000)).await;
        let _ = stage.ask("alice", set_role(den.id, bob, RoomRole::Moderator)).await;
        let _ = stage.ask("bob", sanction(den.id, carol, SanctionKind::Mute, 60_000)).await;
        let _ = stage.ask("carol", publish(den.id, client_id(), "am I muted?")).await;
        let _ = stage.ask("bob", sanction(den.id, carol, SanctionKind::Lift, 0)).await;
        let _ = stage.ask("carol", publish(den.id, client_id(), "I am back")).await;
        let update = |name: Option<&str>, topic: Option<&str>, slow_mode_ms| {
            let (name, topic) =
                (name.map(|it| RoomName::parse(it).unwrap()), topic.map(|it| Topic::parse(it).unwrap()));
            Command::UpdateRoom(UpdateRoom { name, topic, slow_mode_ms, ..update_room(write(den.id)) })
        };
        let _ = stage.ask("bob", update(None, Some("mine"), None)).await;
        let _ = stage.ask("alice", update(Some("lair"), Some("of dragons"), Some(3_600_000))).await;
        let _ = stage.ask("carol", publish(den.id, client_id(), "quick")).await;
        let _ = stage.ask("carol", publish(den.id, client_id(), "too quick")).await;
        let _ = stage.ask("bob", publish(den.id, client_id(), "a moderator")).await;
        let _ = stage.ask("bob", publish(den.id, client_id(), "is free of it")).await;
        let _ = stage.ask("carol", Command::MarkRead { room: den.id, seq: Seq(8) }).await;
        let _ =
            stage.ask("carol", Command::ListRooms { scope: RoomScope::Joined, after: RoomId::NONE, limit: 0 }).await;
        let _ = stage.ask("bob", sanction(den.id, carol, SanctionKind::Ban, 0)).await;
        let _ = stage.ask("carol", publish(den.id, client_id(), "may I?")).await;
        let _ = stage.ask("carol", Command::JoinRoom(named("lair"))).await;
        let _ = stage.ask("carol", Command::MarkRead { room: den.id, seq: Seq(9) }).await;
        let _ = stage.ask("bob", sanction(den.id, carol, SanctionKind::Lift, 0)).await;
        let _ = stage.ask("carol", Command::JoinRoom(named("lair"))).await;
        stage.hears("alice", 11).await;
        // The ban is the last that she hears.
        stage.hears("carol", 9).await;
    };
    check(script, expect![[r#"
        alice > hello
        alice < welcome version 1: nobody
        alice > register alice
        alice < session user-1 alice "alice Doe" User on device-1 with room-1
        bob > hello
        bob < welcome version 1: nobody
        bob > register bob
        bob < session user-2 bob "bob Doe" User on device-2 with room-2
        carol > hello
        carol < welcome version 1: nobody
        carol > register carol
        carol < session user-3 carol "carol Doe" User on device-3 with room-3
        alice > create_room room-4 "den"
        alice < room-4 Channel "den" about "talk" history-1 1..1 role Some(Owner) members 1
        bob > join_room "den"
        bob < room-4 Channel "den" about "talk" history-1 1..2 role Some(Member) members 2
        carol > join_room "den"
        carol < room-4 Channel "den" about "talk" history-1 1..3 role Some(Member) members 3
        alice > resume room-4 history-1 after 3
        alice < resumed room-4 history-1 1..3 Recovered
        carol > resume room-4 history-1 after 3
        carol < resumed room-4 history-1 1..3 Recovered
        bob > sanction room-4 client-1 Mute user-3 for 60000 "again and again"
        bob < reject 2006 you may not do that here
        alice > set_role room-4 client-2 user-2 Moderator
        alice < appended 4
        bob > sanction room-4 client-3 Mute user-3 for 60000 "again and again"
        bob < appended 5
        carol > publish room-4 client-4 "am I muted?"
        carol < reject 2006 you may not do that here
        bob > sanction room-4 client-5 Lift user-3 for 0 "again and again"
        bob < appended 6
        carol > publish room-4 client-6 "I am back"
        carol < appended 7
        bob > update_room room-4 client-7 name None topic Some("mine") slow None
        bob < reject 2006 you may not do that here
        alice > update_room room-4 client-8 name Some("lair") topic Some("of dragons") slow Some(3600000)
        alice < appended 8
        carol > publish room-4 client-9 "quick"
        carol < appended 9
        carol > publish room-4 client-10 "too quick"
        carol < reject 4006 this room is slow: wait before you post again (later)
        bob > publish room-4 client-11 "a moderator"
        bob < appended 10
        bob > publish room-4 client-12 "is free of it"
        bob < appended 11
        carol > mark_read room-4 up to 8
        carol < ok
        carol > list_rooms Joined after none limit 0
        carol < rooms, next none
            room-4 Channel "lair" about "of dragons" history-1 1..11 role Some(Member) members 3 slow 3600000 read to 8, unread 3, mentions 0
        bob > sanction room-4 client-13 Ban user-3 for 0 "again and again"
        bob < appended 12
        carol > publish room-4 client-14 "may I?"
        carol < reject 3002 join the room first
        carol > join_room "lair"
        carol < reject 2006 you may not do that here
        carol > mark_read room-4 up to 9
        carol < reject 3002 join the room first
        bob > sanction room-4 client-15 Lift user-3 for 0 "again and again"
        bob < appended 13
        carol > join_room "lair"
        carol < room-4 Channel "lair" about "of dragons" history-1 1..14 role Some(Member) members 3 slow 3600000
        alice * room-4 history-1 4 user-1: user-2 RoleChanged as Moderator "bob Doe"
        alice * room-4 history-1 5 user-2: Mute user-3 for a while: "again and again"
        alice * room-4 history-1 6 user-2: Lift user-3: "again and again"
        alice * room-4 history-1 7 user-3: message "I am back" as client-6
        alice * room-4 history-1 8 user-1: is now "lair" about "of dragons" slow 3600000
        alice * room-4 history-1 9 user-3: message "quick" as client-9
        alice * room-4 history-1 10 user-2: message "a moderator" as client-11
        alice * room-4 history-1 11 user-2: message "is free of it" as client-12
        alice * room-4 history-1 12 user-2: Ban user-3: "again and again"
        alice * room-4 history-1 13 user-2: Lift user-3: "again and again"
        alice * room-4 history-1 14 user-3: user-3 Joined as Member "carol Doe"
        carol * room-4 history-1 4 user-1: user-2 RoleChanged as Moderator "bob Doe"
        carol * room-4 history-1 5 user-2: Mute user-3 for a while: "again and again"
        carol * room-4 history-1 6 user-2: Lift user-3: "again and again"
        carol * room-4 history-1 7 user-3: message "I am back" as client-6
        carol * room-4 history-1 8 user-1: is now "lair" about "of dragons" slow 3600000
        carol * room-4 history-1 9 user-3: message "quick" as client-9
        carol * room-4 history-1 10 user-2: message "a moderator" as client-11
        carol * room-4 history-1 11 user-2: message "is free of it" as client-12
        carol * room-4 history-1 12 user-2: Ban user-3: "again and again"
    "#]]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn private_rooms_and_rooms_of_two() {
    let script = async |stage: &mut Stage| {
        let alice = stage.register("alice").await.identity;
        let bob = stage.register("bob").await.identity;
        stage.register("carol").await;
        let log = Cursor { room: bob.self_room, incarnation: Incarnation(0), seq: Seq(1) };
        let _ = stage.ask("bob", Command::Resume(vec![log])).await;
        let (name, topic) = (RoomName::parse("den").unwrap(), Topic::parse("talk").unwrap());
        let create = CreateRoom { client_id: client_id(), resend: false, name, topic, private: true };
        let den = room(stage.ask("alice", Command::CreateRoom(create)).await);
        let _ = stage.ask("bob", Command::ListRooms { scope: RoomScope::Open, after: RoomId::NONE, limit: 0 }).await;
        let _ = stage.ask("bob", Command::JoinRoom(named("den"))).await;
        let _ = stage.ask("bob", Command::JoinRoom(RoomTarget::Id(den.id))).await;
        let _ = stage.ask("bob", Command::Invite { room: den.id, uses: 1, duration_ms: 60_000 }).await;
        let invited = stage.ask("alice", Command::Invite { room: den.id, uses: 1, duration_ms: 60_000 }).await;
        let Ok(Reply::Invited { token, .. }) = invited else { unreachable!() };
        let _ = stage.ask("bob", Command::JoinRoom(RoomTarget::Invite(token.clone()))).await;
        let _ = stage.ask("bob", Command::JoinRoom(RoomTarget::Invite(token.clone()))).await;
        let _ = stage.ask("carol", Command::JoinRoom(RoomTarget::Invite(token))).await;
        let _ = stage.ask("carol", Command::JoinRoom(RoomTarget::Invite(Secret::new("guessed")))).await;
        let direct = |user| Command::Direct { client_id: client_id(), user };
        let two = room(stage.ask("alice", direct(bob.user)).await);
        let _ = stage.ask("bob", direct(alice.user)).await;
        let _ = stage.ask("alice", direct(alice.user)).await;
        let _ = stage.ask("alice", direct(UserId::from_u128(7))).await;
        let _ = stage.ask("bob", publish(two.id, client_id(), "between us")).await;
        let _ = stage.ask("carol", Command::JoinRoom(RoomTarget::Id(two.id))).await;
        let _ = stage.ask("bob", Command::LeaveRoom(RoomTarget::Id(two.id))).await;
        let _ = stage.ask("alice", history(two.id, HistoryRange::Before(Seq(0)), None)).await;
        stage.hears("bob", 2).await;
    };
    check(
        script,
        expect![[r#"
        alice > hello
        alice < welcome version 1: nobody
        alice > register alice
        alice < session user-1 alice "alice Doe" User on device-1 with room-1
        bob > hello
        bob < welcome version 1: nobody
        bob > register bob
        bob < session user-2 bob "bob Doe" User on device-2 with room-2
        carol > hello
        carol < welcome version 1: nobody
        carol > register carol
        carol < session user-3 carol "carol Doe" User on device-3 with room-3
        bob > resume room-2 none after 1
        bob < resumed room-2 history-1 1..1 Recovered
        alice > create_room room-4 "den"
        alice < room-4 Private "den" about "talk" history-2 1..1 role Some(Owner) members 1
        bob > list_rooms Open after none limit 0
        bob < rooms, next none
        bob > join_room "den"
        bob < reject 3001 no such room
        bob > join_room room-4
        bob < reject 3001 no such room
        bob > invite room-4 uses 1 for 60000
        bob < reject 3002 join the room first
        alice > invite room-4 uses 1 for 60000
        alice < invited
        bob > join_room by invitation
        bob < room-4 Private "den" about "talk" history-2 1..2 role Some(Member) members 2
        bob > join_room by invitation
        bob < room-4 Private "den" about "talk" history-2 1..2 role Some(Member) members 2
        carol > join_room by invitation
        carol < reject 2008 this invitation is not good (any more): ask for another
        carol > join_room by invitation
        carol < reject 2008 this invitation is not good (any more): ask for another
        alice > direct user-2
        alice < room-5 Direct "" about "" history-3 1..1 role Some(Member) members 2
        bob > direct user-1
        bob < room-5 Direct "" about "" history-3 1..1 role Some(Member) members 2
        alice > direct user-1
        alice < reject 3009 there is no such user here
        alice > direct user-4
        alice < reject 3009 there is no such user here
        bob > publish room-5 client-1 "between us"
        bob < appended 2
        carol > join_room room-5
        carol < reject 3001 no such room
        bob > leave_room room-5
        bob < reject 3002 join the room first
        alice > history room-5 before 0 limit 2
        alice < page room-5 history-3 head 2 next 2
            2 user-2: message "between us" as client-1
        bob * room-2 history-1 2 user-2: joined room-4
        bob * room-2 history-1 3 user-2: joined room-5
    "#]],
    )
    .await;
}
