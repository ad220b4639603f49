//! What a room leaves to whom.

use confab_protocol::command::{Command, Edit, Pin, React, Reply, RoomTarget, SetRole, UpdateRoom};
use confab_protocol::model::{Body, Emoji, RoomId, RoomRole, Seq};
use confab_protocol::rights::RoomRights;
use expect_test::expect;

use super::check;
use super::stage::{Stage, named, new_room, room};
use crate::support::commands::{update_room, write};
use crate::support::raw::{client_id, publish};

fn give(room: RoomId, rights: RoomRights) -> Command {
    Command::UpdateRoom(UpdateRoom { rights: Some(rights), ..update_room(write(room)) })
}

fn react(room: RoomId, seq: u64) -> Command {
    Command::React(React { write: write(room), seq: Seq(seq), emoji: Emoji::parse("+").unwrap(), remove: false })
}

fn pin(room: RoomId, seq: u64) -> Command {
    Command::Pin(Pin { write: write(room), seq: Seq(seq), remove: false })
}

fn invite(room: RoomId) -> Command {
    Command::Invite { room, uses: 1, duration_ms: 60_000 }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_of_announcements_and_one_for_guests() {
    let script = async |stage: &mut Stage| {
        stage.register("alice").await;
        let bob = stage.register("bob").await;
        let den = room(stage.ask("alice", new_room("den")).await).id;
        let _ = stage.ask("bob", Command::JoinRoom(named("den"))).await;
        let _ = stage.ask("bob", publish(den, client_id(), "first")).await;
        let _ = stage.ask("bob", invite(den)).await;
        let _ = stage.ask("bob", pin(den, 3)).await;
        let _ = stage.ask("bob", give(den, RoomRights::default())).await;
        let announcements = RoomRights { post: RoomRole::Admin, pin: RoomRole::Member, ..RoomRights::default() };
        let _ = stage.ask("alice", give(den, announcements)).await;
        let _ = stage.ask("bob", publish(den, client_id(), "may I?")).await;
        let edit = Edit { write: write(den), seq: Seq(3), body: Body::parse("edited").unwrap() };
        let _ = stage.ask("bob", Command::Edit(edit)).await;
        let _ = stage.ask("alice", publish(den, client_id(), "hear")).await;
        let _ = stage.ask("bob", react(den, 5)).await;
        let _ = stage.ask("bob", pin(den, 5)).await;
        let rights = RoomRights { invite: RoomRole::Guest, ..RoomRights::default() };
        let _ = stage.ask("alice", give(den, rights)).await;
        let members_invite = RoomRights { invite: RoomRole::Member, ..RoomRights::default() };
        let _ = stage.ask("alice", give(den, members_invite)).await;
        let Ok(Reply::Invited { token, .. }) = stage.ask("bob", invite(den)).await else { panic!("no invitation") };
        // What was given out by those who may not any more is good for nothing.
        let _ = stage.ask("alice", give(den, RoomRights::default())).await;
        stage.register("carol").await;
        let _ = stage.ask("carol", Command::JoinRoom(RoomTarget::Invite(token))).await;
        let set = SetRole { write: write(den), user: bob.identity.user, role: RoomRole::Guest };
        let _ = stage.ask("alice", Command::SetRole(set)).await;
        let _ = stage.ask("bob", react(den, 3)).await;
        let guests = RoomRights { post: RoomRole::Guest, react: RoomRole::Guest, ..RoomRights::default() };
        let _ = stage.ask("alice", give(den, guests)).await;
        let _ = stage.ask("bob", publish(den, client_id(), "a guest speaks")).await;
        let _ = stage.ask("bob", react(den, 3)).await;
        let _ = stage.ask("bob", pin(den, 3)).await;
        let _ = stage.ask("bob", Command::JoinRoom(named("den"))).await;
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
        alice > create_room room-3 "den"
        alice < room-3 Channel "den" about "talk" history-1 1..1 role Some(Owner) members 1
        bob > join_room "den"
        bob < room-3 Channel "den" about "talk" history-1 1..2 role Some(Member) members 2
        bob > publish room-3 client-1 "first"
        bob < appended 3
        bob > invite room-3 uses 1 for 60000
        bob < reject 2006 you may not do that here
        bob > pin room-3 client-2 3
        bob < reject 2006 you may not do that here
        bob > update_room room-3 client-3 name None topic None slow None
        bob < reject 2006 you may not do that here
        alice > update_room room-3 client-4 name None topic None slow None post Admin react Member invite Moderator pin Member
        alice < appended 4
        bob > publish room-3 client-5 "may I?"
        bob < reject 2006 you may not do that here
        bob > edit room-3 client-6 3 to "edited"
        bob < reject 2006 you may not do that here
        alice > publish room-3 client-7 "hear"
        alice < appended 5
        bob > react room-3 client-8 5 +
        bob < appended 6
        bob > pin room-3 client-9 5
        bob < appended 7
        alice > update_room room-3 client-10 name None topic None slow None post Member react Member invite Guest pin Moderator
        alice < reject 1001 no room can give that right to that role
        alice > update_room room-3 client-11 name None topic None slow None post Member react Member invite Member pin Moderator
        alice < appended 8
        bob > invite room-3 uses 1 for 60000
        bob < invited
        alice > update_room room-3 client-12 name None topic None slow None
        alice < appended 9
        carol > hello
        carol < welcome version 1: nobody
        carol > register carol
        carol < session user-3 carol "carol Doe" User on device-3 with room-4
        carol > join_room by invitation
        carol < reject 2008 this invitation is not good (any more): ask for another
        alice > set_role room-3 client-13 user-2 Guest
        alice < appended 10
        bob > react room-3 client-14 3 +
        bob < reject 2006 you may not do that here
        alice > update_room room-3 client-15 name None topic None slow None post Guest react Guest invite Moderator pin Moderator
        alice < appended 11
        bob > publish room-3 client-16 "a guest speaks"
        bob < appended 12
        bob > react room-3 client-17 3 +
        bob < appended 13
        bob > pin room-3 client-18 3
        bob < reject 2006 you may not do that here
        bob > join_room "den"
        bob < room-3 Channel "den" about "talk" history-1 1..13 role Some(Guest) members 2 post Guest react Guest invite Moderator pin Moderator read to 2, unread 3, mentions 0
    "#]]).await;
}
