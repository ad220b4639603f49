//! Who is let in, what they see, and who owns a room; what those say who run the server.

use confab_protocol::command::{
    Admit, Command, CreateRoom, History, HistoryRange, Notice, Reply, RoomTarget, Search, SetRole, UpdateRoom, Write,
};
use confab_protocol::model::{
    Body, Cursor, DisplayName, Incarnation, RoomId, RoomName, RoomRole, Seq, Topic, UserId, Visibility,
};
use expect_test::expect;

use super::check;
use super::stage::{Stage, room};
use crate::support::commands::{update_room, write};
use crate::support::raw::{client_id, publish};

fn update(room: RoomId, visibility: Option<Visibility>, knocks: Option<bool>) -> Command {
    Command::UpdateRoom(UpdateRoom { visibility, knocks, ..update_room(write(room)) })
}

fn admit(room: RoomId, seq: u64) -> Command {
    Command::Admit(Admit { write: write(room), seq: Seq(seq) })
}

fn new_private(name: &str) -> Command {
    let (name, topic) = (RoomName::parse(name).unwrap(), Topic::parse("talk").unwrap());
    Command::CreateRoom(CreateRoom { client_id: client_id(), resend: false, name, topic, private: true })
}

fn sync(room: RoomId, after: u64) -> Command {
    Command::Sync { cursor: Cursor { room, incarnation: Incarnation(0), seq: Seq(after) }, limit: 0 }
}

fn history(room: RoomId) -> Command {
    Command::History(History::before(room, Seq(0), 0))
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_knocks_and_is_let_in() {
    let script = async |stage: &mut Stage| {
        for who in ["alice", "bob", "carol"] {
            stage.register(who).await;
        }
        let den = room(stage.ask("alice", new_private("den")).await).id;
        let _ = stage.ask("bob", Command::Knock(write(den))).await;
        let _ = stage.ask("alice", update(den, None, Some(true))).await;
        let knock = write(den);
        let _ = stage.ask("bob", Command::Knock(knock)).await;
        let _ = stage.ask("bob", Command::Knock(Write { resend: true, ..knock })).await;
        let _ = stage.ask("bob", Command::Knock(write(den))).await;
        let _ = stage.ask("bob", publish(den, client_id(), "am I in?")).await;
        let _ = stage.ask("bob", history(den)).await;
        let _ = stage.ask("bob", admit(den, 3)).await;
        let _ = stage.ask("carol", admit(den, 3)).await;
        let _ = stage.ask("alice", admit(den, 2)).await;
        let _ = stage.ask("alice", admit(den, 3)).await;
        let _ = stage.ask("alice", admit(den, 3)).await;
        let _ = stage.ask("bob", Command::Knock(write(den))).await;
        // The room is slow for those who posted, and not for who knocked.
        let slow = UpdateRoom { slow_mode_ms: Some(3_600_000), ..update_room(write(den)) };
        let _ = stage.ask("alice", Command::UpdateRoom(slow)).await;
        let _ = stage.ask("bob", publish(den, client_id(), "here I am")).await;
        let _ = stage.ask("bob", Command::LeaveRoom(RoomTarget::Id(den))).await;
        let _ = stage.ask("alice", admit(den, 3)).await;
        let _ = stage.ask("carol", Command::Knock(write(den))).await;
        // Who came in another way and went has not asked to come back.
        let invited = stage.ask("alice", Command::Invite { room: den, uses: 1, duration_ms: 60_000 }).await;
        let Ok(Reply::Invited { token, .. }) = invited else { panic!() };
        let _ = stage.ask("carol", Command::JoinRoom(RoomTarget::Invite(token))).await;
        let _ = stage.ask("carol", Command::LeaveRoom(RoomTarget::Id(den))).await;
        let _ = stage.ask("alice", admit(den, 8)).await;
        let _ = stage.ask("alice", update(den, None, Some(false))).await;
        let _ = stage.ask("alice", sync(den, 0)).await;
        let _ = stage.ask("bob", Command::Knock(write(den))).await;
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
            alice > create_room room-4 "den"
            alice < room-4 Private "den" about "talk" history-1 1..1 role Some(Owner) members 1
            bob > knock room-4 client-1
            bob < reject 3001 no such room
            alice > update_room room-4 client-2 name None topic None slow None knocks true
            alice < appended 2
            bob > knock room-4 client-3
            bob < appended 3
            bob > knock again room-4 client-3
            bob < appended 3, duplicate
            bob > knock room-4 client-4
            bob < reject 4006 this room is slow: wait before you post again (later)
            bob > publish room-4 client-5 "am I in?"
            bob < reject 3002 join the room first
            bob > history room-4 before 0 limit 0
            bob < reject 3002 join the room first
            bob > admit room-4 client-6 3
            bob < reject 3002 join the room first
            carol > admit room-4 client-7 3
            carol < reject 3002 join the room first
            alice > admit room-4 client-8 2
            alice < reject 3008 there is no such message (any more)
            alice > admit room-4 client-9 3
            alice < appended 4
            alice > admit room-4 client-10 3
            alice < reject 3008 there is no such message (any more)
            bob > knock room-4 client-11
            bob < ok
            alice > update_room room-4 client-12 name None topic None slow Some(3600000)
            alice < appended 5
            bob > publish room-4 client-13 "here I am"
            bob < appended 6
            bob > leave_room room-4
            bob < ok
            alice > admit room-4 client-14 3
            alice < reject 3008 there is no such message (any more)
            carol > knock room-4 client-15
            carol < appended 8
            alice > invite room-4 uses 1 for 60000
            alice < invited
            carol > join_room by invitation
            carol < room-4 Private "den" about "talk" history-1 1..9 role Some(Member) members 2 slow 3600000
            carol > leave_room room-4
            carol < ok
            alice > admit room-4 client-16 8
            alice < reject 3008 there is no such message (any more)
            alice > update_room room-4 client-17 name None topic None slow None knocks false
            alice < appended 11
            alice > sync room-4 none after 0 limit 0
            alice < page room-4 history-1 head 11 next 0
                1 user-1: created "den" about "talk"
                2 user-1: is now "den" about "talk" slow 0 knocks
                3 user-2: knocks
                4 user-1: user-2 Joined as Member "bob Doe"
                5 user-1: is now "den" about "talk" slow 3600000 knocks
                6 user-2: message "here I am" as client-13
                7 user-2: user-2 Left as Member "bob Doe"
                8 user-3: knocks
                9 user-3: user-3 Joined as Member "carol Doe"
                10 user-3: user-3 Left as Member "carol Doe"
                11 user-1: is now "den" about "talk" slow 3600000
            bob > knock room-4 client-18
            bob < reject 3001 no such room
        "#]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_later_sees_what_is_said_from_then_on() {
    let script = async |stage: &mut Stage| {
        stage.register("alice").await;
        let bob = stage.register("bob").await.identity.user;
        let den = room(stage.ask("alice", super::stage::new_room("den")).await);
        let _ = stage.ask("alice", publish(den.id, client_id(), "a secret zebra")).await;
        let _ = stage.ask("alice", update(den.id, Some(Visibility::SinceJoin), None)).await;
        let _ = stage.ask("bob", Command::JoinRoom(RoomTarget::Id(den.id))).await;
        let _ = stage.ask("alice", publish(den.id, client_id(), "a public zebra")).await;
        let _ = stage.ask("bob", history(den.id)).await;
        for range in [HistoryRange::After(Seq(0)), HistoryRange::Around(Seq(2)), HistoryRange::Before(Seq(4))] {
            let page = History { range, limit: 4, ..History::before(den.id, Seq(0), 0) };
            let _ = stage.ask("bob", Command::History(page)).await;
        }
        let _ = stage.ask("bob", sync(den.id, 0)).await;
        let from_the_start = Cursor { room: den.id, incarnation: Incarnation(0), seq: Seq(0) };
        let _ = stage.ask("bob", Command::Resume(vec![from_the_start])).await;
        let search = Search { room: None, query: "zebra".to_owned(), before: None, limit: 0 };
        let is_found = |reply: &Reply| matches!(reply, Reply::Found { hits, .. } if hits.len() == 2);
        stage.wait_until("alice", Command::Search(search.clone()), is_found).await;
        let _ = stage.ask("bob", Command::Search(search.clone())).await;
        // Neither what is hidden nor that there is something shows in where a search ends.
        for query in ["secret*", "unicorn"] {
            let guess = Search { query: query.to_owned(), limit: 1, ..search.clone() };
            let _ = stage.ask("bob", Command::Search(guess)).await;
        }
        let role = SetRole { write: write(den.id), user: bob, role: RoomRole::Moderator };
        let _ = stage.ask("alice", Command::SetRole(role)).await;
        let _ = stage.ask("bob", Command::Revisions { room: den.id, seq: Seq(2), before: 0 }).await;
        let _ = stage.ask("alice", history(den.id)).await;
        let _ = stage.ask("alice", update(den.id, Some(Visibility::All), None)).await;
        let _ = stage.ask("bob", history(den.id)).await;
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
            alice > create_room room-3 "den"
            alice < room-3 Channel "den" about "talk" history-1 1..1 role Some(Owner) members 1
            alice > publish room-3 client-1 "a secret zebra"
            alice < appended 2
            alice > update_room room-3 client-2 name None topic None slow None visible SinceJoin
            alice < appended 3
            bob > join_room room-3
            bob < room-3 Channel "den" about "talk" history-1 4..4 role Some(Member) members 2
            alice > publish room-3 client-3 "a public zebra"
            alice < appended 5
            bob > history room-3 before 0 limit 0
            bob < page room-3 history-1 head 5 next 5
                5 user-1: message "a public zebra" as client-3
            bob > history room-3 after 0 limit 4
            bob < page room-3 history-1 head 5 next 5
                5 user-1: message "a public zebra" as client-3
            bob > history room-3 around 2 limit 4
            bob < page room-3 history-1 head 5 next 5
                5 user-1: message "a public zebra" as client-3
            bob > history room-3 before 4 limit 4
            bob < page room-3 history-1 head 5 next 0
            bob > sync room-3 none after 0 limit 0
            bob < page room-3 history-1 head 5 next 0
                4 user-2: user-2 Joined as Member "bob Doe"
                5 user-1: message "a public zebra" as client-3
            bob > resume room-3 none after 0
            bob < resumed room-3 history-1 4..5 GapTooLong
            bob > search everywhere "zebra" limit 0
            bob < found 1
                room-3 5 user-1: message "a public zebra" as client-3
            bob > search everywhere "secret*" limit 1
            bob < found 0
            bob > search everywhere "unicorn" limit 1
            bob < found 0
            alice > set_role room-3 client-4 user-2 Moderator
            alice < appended 6
            bob > revisions room-3 2
            bob < reject 3008 there is no such message (any more)
            alice > history room-3 before 0 limit 0
            alice < page room-3 history-1 head 6 next 2
                2 user-1: message "a secret zebra" as client-1
                5 user-1: message "a public zebra" as client-3
            alice > update_room room-3 client-5 name None topic None slow None visible All
            alice < appended 7
            bob > history room-3 before 0 limit 0
            bob < page room-3 history-1 head 7 next 2
                2 user-1: message "a secret zebra" as client-1
                5 user-1: message "a public zebra" as client-3
            bob * room-3 history-1 6 user-1: user-2 RoleChanged as Moderator "bob Doe"
            bob * room-3 history-1 7 user-1: is now "den" about "talk" slow 0
        "#]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_is_handed_over_and_those_who_run_the_server_speak() {
    let script = async |stage: &mut Stage| {
        stage.register_owner("olga").await;
        let alice = stage.register("alice").await.identity;
        let bob = stage.register("bob").await.identity.user;
        let den = room(stage.ask("alice", super::stage::new_room("den")).await).id;
        let _ = stage.ask("bob", Command::JoinRoom(RoomTarget::Id(den))).await;
        let role = |user, role| Command::SetRole(SetRole { write: write(den), user, role });
        let _ = stage.ask("bob", role(bob, RoomRole::Owner)).await;
        let _ = stage.ask("alice", role(bob, RoomRole::Admin)).await;
        let _ = stage.ask("bob", role(alice.user, RoomRole::Owner)).await;
        let _ = stage.ask("alice", role(bob, RoomRole::Owner)).await;
        let _ = stage.ask("alice", role(bob, RoomRole::Member)).await;
        let _ = stage.ask("bob", role(alice.user, RoomRole::Moderator)).await;
        let _ = stage.ask("bob", Command::ListMembers { room: den, after: UserId::NONE, limit: 0 }).await;
        let notice = |text: &str| Command::Notice(Notice { write: write(den), body: Body::parse(text).unwrap() });
        let _ = stage.ask("alice", notice("I speak for all")).await;
        let nowhere = Write { room: alice.self_room, ..write(den) };
        let to_nowhere = Notice { write: nowhere, body: Body::parse("is it there?").unwrap() };
        let _ = stage.ask("alice", Command::Notice(to_nowhere)).await;
        let _ = stage.ask("olga", notice("the server goes down at noon")).await;
        let _ = stage.ask("bob", sync(den, 3)).await;
        let _ = stage.ask("bob", history(den)).await;
        let name = DisplayName::parse("Alice of Old").unwrap();
        let _ = stage.ask("alice", Command::UpdateProfile(name)).await;
        let _ = stage.ask("bob", Command::Profiles(vec![alice.user])).await;
        let _ = stage.ask("alice", sync(alice.self_room, 0)).await;
        let _ = stage.ask("alice", Command::LeaveRoom(RoomTarget::Id(den))).await;
        let _ = stage.ask("bob", sync(den, 7)).await;
    };
    check(
        script,
        expect![[r#"
            olga > hello
            olga < welcome version 1: nobody
            olga > register olga as owner
            olga < session user-1 olga "olga Doe" Owner on device-1 with room-1
            alice > hello
            alice < welcome version 1: nobody
            alice > register alice
            alice < session user-2 alice "alice Doe" User on device-2 with room-2
            bob > hello
            bob < welcome version 1: nobody
            bob > register bob
            bob < session user-3 bob "bob Doe" User on device-3 with room-3
            alice > create_room room-4 "den"
            alice < room-4 Channel "den" about "talk" history-1 1..1 role Some(Owner) members 1
            bob > join_room room-4
            bob < room-4 Channel "den" about "talk" history-1 1..2 role Some(Member) members 2
            bob > set_role room-4 client-1 user-3 Owner
            bob < reject 2006 you may not do that here
            alice > set_role room-4 client-2 user-3 Admin
            alice < appended 3
            bob > set_role room-4 client-3 user-2 Owner
            bob < reject 2006 you may not do that here
            alice > set_role room-4 client-4 user-3 Owner
            alice < appended 4
            alice > set_role room-4 client-5 user-3 Member
            alice < reject 2006 you may not do that here
            bob > set_role room-4 client-6 user-2 Moderator
            bob < appended 5
            bob > list_members room-4 after none limit 0
            bob < members, next none
                user-2 alice "alice Doe" Some(Moderator)
                user-3 bob "bob Doe" Some(Owner)
            alice > notice room-4 client-7 "I speak for all"
            alice < reject 2006 you may not do that here
            alice > notice room-2 client-8 "is it there?"
            alice < reject 2006 you may not do that here
            olga > notice room-4 client-9 "the server goes down at noon"
            olga < appended 6
            bob > sync room-4 none after 3 limit 0
            bob < page room-4 history-1 head 6 next 0
                4 user-2: user-3 RoleChanged as Owner "bob Doe"
                5 user-3: user-2 RoleChanged as Moderator "alice Doe"
                6 user-1: notice "the server goes down at noon"
            bob > history room-4 before 0 limit 0
            bob < page room-4 history-1 head 6 next 0
            alice > update_profile "Alice of Old"
            alice < ok
            bob > profiles user-2
            bob < members, next none
                user-2 alice "Alice of Old" None
            alice > sync room-2 none after 0 limit 0
            alice < page room-2 history-2 head 3 next 0
                1 user-2: account created
                2 user-2: joined room-4
                3 user-2: profile changed
            alice > leave_room room-4
            alice < ok
            bob > sync room-4 none after 7 limit 0
            bob < page room-4 history-1 head 7 next 0
        "#]],
    )
    .await;
}
