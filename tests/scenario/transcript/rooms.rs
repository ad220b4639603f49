//! Rooms: made, found, entered and left.

use confab_protocol::command::{Command, History, RoomScope, RoomTarget};
use confab_protocol::model::{RoomId, UserId};
use expect_test::expect;

use super::check;
use super::stage::{Stage, create, cursor, named, new_room, room};
use crate::support::raw::{client_id, publish};

#[tokio::test(flavor = "multi_thread")]
async fn rooms_are_made_once() {
    let script = async |stage: &mut Stage| {
        stage.register("alice").await;
        stage.register("bob").await;
        let id = client_id();
        let den = room(stage.ask("alice", create(id, "den")).await);
        let _ = stage.ask("alice", create(id, "den")).await;
        let _ = stage.ask("alice", create(id, "another den")).await;
        let _ = stage.ask("bob", create(id, "den")).await;
        let _ = stage.ask("bob", new_room("den")).await;
        let _ = stage.ask("bob", new_room("Den")).await;
        let _ = stage.ask("alice", Command::Sync { cursor: cursor(&den, 0), limit: 0 }).await;
        let _ = stage.ask("bob", Command::Sync { cursor: cursor(&den, 0), limit: 0 }).await;
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
        alice > create_room room-3 "den"
        alice < room-3 Channel "den" about "talk" history-1 1..1 role Some(Owner) members 1
        alice > create_room room-3 "another den"
        alice < reject 3003 this client id was used for something else: take a new one
        bob > create_room room-3 "den"
        bob < reject 3003 this client id was used for something else: take a new one
        bob > create_room room-4 "den"
        bob < reject 3005 a room of that name exists: join it or choose another name
        bob > create_room room-5 "Den"
        bob < reject 3005 a room of that name exists: join it or choose another name
        alice > sync room-3 history-1 after 0 limit 0
        alice < page room-3 history-1 head 1 next 0
            1 user-1: created "den" about "talk"
        bob > sync room-3 history-1 after 0 limit 0
        bob < reject 3002 join the room first
    "#]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_come_and_go() {
    let script = async |stage: &mut Stage| {
        let alice = stage.register("alice").await;
        stage.register("bob").await;
        let den = room(stage.ask("alice", new_room("den")).await);
        let _ = stage.ask("bob", Command::JoinRoom(named("cellar"))).await;
        let _ = stage.ask("bob", Command::JoinRoom(RoomTarget::Id(RoomId::from_u128(7)))).await;
        let _ = stage.ask("bob", Command::JoinRoom(RoomTarget::Id(alice.identity.self_room))).await;
        let _ = stage.ask("bob", Command::LeaveRoom(named("den"))).await;
        let _ = stage.ask("bob", Command::JoinRoom(named("den"))).await;
        let _ = stage.ask("bob", Command::JoinRoom(RoomTarget::Id(den.id))).await;
        let _ = stage.ask("bob", Command::LeaveRoom(RoomTarget::Id(den.id))).await;
        let _ = stage.ask("bob", Command::LeaveRoom(RoomTarget::Id(den.id))).await;
        let _ = stage.ask("bob", Command::LeaveRoom(RoomTarget::Id(RoomId::from_u128(7)))).await;
        let _ = stage.ask("bob", Command::JoinRoom(named("den"))).await;
        let _ = stage.ask("alice", Command::LeaveRoom(RoomTarget::Id(alice.identity.self_room))).await;
        let _ = stage.ask("alice", Command::Sync { cursor: cursor(&den, 0), limit: 0 }).await;
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
        bob > join_room "cellar"
        bob < reject 3001 no such room
        bob > join_room room-4
        bob < reject 3001 no such room
        bob > join_room room-1
        bob < reject 3001 no such room
        bob > leave_room "den"
        bob < reject 3002 join the room first
        bob > join_room "den"
        bob < room-3 Channel "den" about "talk" history-1 1..2 role Some(Member) members 2
        bob > join_room room-3
        bob < room-3 Channel "den" about "talk" history-1 1..2 role Some(Member) members 2
        bob > leave_room room-3
        bob < ok
        bob > leave_room room-3
        bob < reject 3002 join the room first
        bob > leave_room room-4
        bob < reject 3001 no such room
        bob > join_room "den"
        bob < room-3 Channel "den" about "talk" history-1 1..4 role Some(Member) members 2
        alice > leave_room room-1
        alice < reject 3002 join the room first
        alice > sync room-3 history-1 after 0 limit 0
        alice < page room-3 history-1 head 4 next 0
            1 user-1: created "den" about "talk"
            2 user-2: user-2 Joined as Member "bob Doe"
            3 user-2: user-2 Left as Member "bob Doe"
            4 user-2: user-2 Joined as Member "bob Doe"
    "#]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_rooms_are_paged() {
    let script = async |stage: &mut Stage| {
        stage.register("alice").await;
        stage.register("bob").await;
        let list = |scope, after, limit| Command::ListRooms { scope, after, limit };
        let _ = stage.ask("bob", list(RoomScope::Open, RoomId::NONE, 0)).await;
        let mut rooms = Vec::new();
        for name in ["attic", "bower", "cellar"] {
            rooms.push(room(stage.ask("alice", new_room(name)).await));
        }
        let _ = stage.ask("bob", Command::JoinRoom(named("bower"))).await;
        let _ = stage.ask("bob", list(RoomScope::Joined, RoomId::NONE, 0)).await;
        let _ = stage.ask("bob", list(RoomScope::Open, RoomId::NONE, 2)).await;
        let _ = stage.ask("bob", list(RoomScope::Open, rooms[1].id, 2)).await;
        let _ = stage.ask("alice", list(RoomScope::Joined, RoomId::NONE, 3)).await;
        let _ = stage.ask("alice", list(RoomScope::Joined, rooms[2].id, 3)).await;
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
        bob > list_rooms Open after none limit 0
        bob < rooms, next none
        alice > create_room room-3 "attic"
        alice < room-3 Channel "attic" about "talk" history-1 1..1 role Some(Owner) members 1
        alice > create_room room-4 "bower"
        alice < room-4 Channel "bower" about "talk" history-2 1..1 role Some(Owner) members 1
        alice > create_room room-5 "cellar"
        alice < room-5 Channel "cellar" about "talk" history-3 1..1 role Some(Owner) members 1
        bob > join_room "bower"
        bob < room-4 Channel "bower" about "talk" history-2 1..2 role Some(Member) members 2
        bob > list_rooms Joined after none limit 0
        bob < rooms, next none
            room-4 Channel "bower" about "talk" history-2 1..2 role Some(Member) members 2
        bob > list_rooms Open after none limit 2
        bob < rooms, next room-4
            room-3 Channel "attic" about "talk" history-1 1..1 role None members 1
            room-4 Channel "bower" about "talk" history-2 1..2 role Some(Member) members 2
        bob > list_rooms Open after room-4 limit 2
        bob < rooms, next none
            room-5 Channel "cellar" about "talk" history-3 1..1 role None members 1
        alice > list_rooms Joined after none limit 3
        alice < rooms, next room-5
            room-3 Channel "attic" about "talk" history-1 1..1 role Some(Owner) members 1
            room-4 Channel "bower" about "talk" history-2 1..2 role Some(Owner) members 2
            room-5 Channel "cellar" about "talk" history-3 1..1 role Some(Owner) members 1
        alice > list_rooms Joined after room-5 limit 3
        alice < rooms, next none
    "#]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_and_profiles() {
    let script = async |stage: &mut Stage| {
        let alice = stage.register("alice").await;
        let bob = stage.register("bob").await;
        let carol = stage.register("carol").await;
        let den = room(stage.ask("alice", new_room("den")).await);
        let list = |after, limit| Command::ListMembers { room: den.id, after, limit };
        let _ = stage.ask("bob", list(UserId::NONE, 0)).await;
        let _ = stage.ask("bob", Command::JoinRoom(named("den"))).await;
        let _ = stage.ask("carol", Command::JoinRoom(named("den"))).await;
        let _ = stage.ask("bob", list(UserId::NONE, 0)).await;
        let _ = stage.ask("bob", list(UserId::NONE, 2)).await;
        let _ = stage.ask("bob", list(bob.identity.user, 2)).await;
        let _ = stage.ask("carol", Command::LeaveRoom(named("den"))).await;
        let _ = stage.ask("bob", list(UserId::NONE, 0)).await;
        let users = vec![carol.identity.user, UserId::from_u128(9), alice.identity.user, alice.identity.user];
        let _ = stage.ask("carol", Command::Profiles(users)).await;
        let _ = stage.ask("carol", Command::Profiles(Vec::new())).await;
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
        alice < room-4 Channel "den" about "talk" history-1 1..1 role Some(Owner) members 1
        bob > list_members room-4 after none limit 0
        bob < reject 3002 join the room first
        bob > join_room "den"
        bob < room-4 Channel "den" about "talk" history-1 1..2 role Some(Member) members 2
        carol > join_room "den"
        carol < room-4 Channel "den" about "talk" history-1 1..3 role Some(Member) members 3
        bob > list_members room-4 after none limit 0
        bob < members, next none
            user-1 alice "alice Doe" Some(Owner)
            user-2 bob "bob Doe" Some(Member)
            user-3 carol "carol Doe" Some(Member)
        bob > list_members room-4 after none limit 2
        bob < members, next user-2
            user-1 alice "alice Doe" Some(Owner)
            user-2 bob "bob Doe" Some(Member)
        bob > list_members room-4 after user-2 limit 2
        bob < members, next none
            user-3 carol "carol Doe" Some(Member)
        carol > leave_room "den"
        carol < ok
        bob > list_members room-4 after none limit 0
        bob < members, next none
            user-1 alice "alice Doe" Some(Owner)
            user-2 bob "bob Doe" Some(Member)
        carol > profiles user-3 user-4 user-1 user-1
        carol < members, next none
            user-3 carol "carol Doe" None
            user-1 alice "alice Doe" None
            user-1 alice "alice Doe" None
        carol > profiles 
        carol < members, next none
    "#]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ones_own_leaving_is_the_last_that_is_heard() {
    let script = async |stage: &mut Stage| {
        stage.register("alice").await;
        stage.register("bob").await;
        let den = room(stage.ask("alice", new_room("den")).await);
        let _ = stage.ask("bob", Command::JoinRoom(named("den"))).await;
        let _ = stage.ask("bob", Command::Resume(vec![cursor(&den, 2)])).await;
        let _ = stage.ask("alice", publish(den.id, client_id(), "mind the step")).await;
        stage.hears("bob", 1).await;
        let _ = stage.ask("bob", Command::LeaveRoom(named("den"))).await;
        stage.hears("bob", 1).await;
        let _ = stage.ask("alice", publish(den.id, client_id(), "gone at last")).await;
        let _ = stage.ask("bob", publish(den.id, client_id(), "one more thing")).await;
        let _ = stage.ask("bob", Command::Resume(vec![cursor(&den, 2)])).await;
        let _ = stage.ask("bob", Command::History(History::before(den.id, den.head, 0))).await;
        let _ = stage.ask("bob", Command::Sync { cursor: cursor(&den, 2), limit: 0 }).await;
        let _ = stage.ask("alice", Command::Sync { cursor: cursor(&den, 2), limit: 0 }).await;
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
        bob > resume room-3 history-1 after 2
        bob < resumed room-3 history-1 1..2 Recovered
        alice > publish room-3 client-1 "mind the step"
        alice < appended 3
        bob * room-3 history-1 3 user-1: message "mind the step" as client-1
        bob > leave_room "den"
        bob < ok
        bob * room-3 history-1 4 user-2: user-2 Left as Member "bob Doe"
        alice > publish room-3 client-2 "gone at last"
        alice < appended 5
        bob > publish room-3 client-3 "one more thing"
        bob < reject 3002 join the room first
        bob > resume room-3 history-1 after 2
        bob < resumed room-3 none 0..0 Refused
        bob > history room-3 before 1 limit 0
        bob < reject 3002 join the room first
        bob > sync room-3 history-1 after 2 limit 0
        bob < reject 3002 join the room first
        alice > sync room-3 history-1 after 2 limit 0
        alice < page room-3 history-1 head 5 next 0
            3 user-1: message "mind the step" as client-1
            4 user-2: user-2 Left as Member "bob Doe"
            5 user-1: message "gone at last" as client-2
    "#]],
    )
    .await;
}
