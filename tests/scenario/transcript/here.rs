//! Who is here and who types.

use confab_protocol::command::{Command, PresenceStatus};
use expect_test::expect;

use super::check;
use super::stage::{Stage, cursor, named, new_room, room};

#[tokio::test(flavor = "multi_thread")]
async fn people_are_here_and_type() {
    let script = async |stage: &mut Stage| {
        for who in ["alice", "bob", "carol"] {
            stage.register(who).await;
        }
        let den = room(stage.ask("alice", new_room("den")).await);
        let _ = stage.ask("bob", Command::JoinRoom(named("den"))).await;
        for who in ["alice", "bob"] {
            let _ = stage.ask(who, Command::Resume(vec![cursor(&den, 2)])).await;
            stage.hears_news("alice", 1).await;
        }
        stage.hears_news("bob", 1).await;
        let _ = stage.ask("bob", Command::Typing { room: den.id, stopped: false }).await;
        stage.hears_news("alice", 1).await;
        let _ = stage.ask("bob", Command::Typing { room: den.id, stopped: true }).await;
        stage.hears_news("alice", 1).await;
        let _ = stage.ask("bob", Command::SetPresence(PresenceStatus::Away)).await;
        stage.hears_news("alice", 1).await;
        let _ = stage.ask("alice", Command::WhoIsHere(den.id)).await;
        let _ = stage.ask("bob", Command::SetPresence(PresenceStatus::Invisible)).await;
        stage.hears_news("alice", 1).await;
        let _ = stage.ask("alice", Command::WhoIsHere(den.id)).await;
        let _ = stage.ask("carol", Command::WhoIsHere(den.id)).await;
        let _ = stage.ask("carol", Command::Typing { room: den.id, stopped: false }).await;
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
            bob > join_room "den"
            bob < room-4 Channel "den" about "talk" history-1 1..2 role Some(Member) members 2
            alice > resume room-4 history-1 after 2
            alice < resumed room-4 history-1 1..2 Recovered
            alice ~ room-4 here user-1 Some(Online)
            bob > resume room-4 history-1 after 2
            bob < resumed room-4 history-1 1..2 Recovered
            alice ~ room-4 here user-2 Some(Online)
            bob ~ room-4 here user-2 Some(Online)
            bob > typing room-4
            bob < ok
            alice ~ room-4 user-2 types for 6000
            bob > typing room-4 no more
            bob < ok
            alice ~ room-4 user-2 types for 0
            bob > presence Away
            bob < ok
            alice ~ room-4 here user-2 Some(Away)
            alice > who_is_here room-4
            alice < here 2: user-1 Online user-2 Away
            bob > presence Invisible
            bob < ok
            alice ~ room-4 here user-2 None
            alice > who_is_here room-4
            alice < here 1: user-1 Online
            carol > who_is_here room-4
            carol < reject 3002 join the room first
            carol > typing room-4
            carol < reject 3002 join the room first
        "#]],
    )
    .await;
}
