//! Messages found by their words.

use std::time::Duration;

use confab_protocol::command::{Command, Delete, Edit, Reply, Search};
use confab_protocol::model::{Body, RoomId, Seq};
use expect_test::expect;

use super::check;
use super::stage::{Stage, named, new_room, room};
use crate::support::commands::write;
use crate::support::raw::{client_id, publish};

fn search(room: Option<RoomId>, query: &str) -> Command {
    Command::Search(Search { room, query: query.to_owned(), before: None, limit: 2 })
}

fn has_found(reply: &Reply) -> bool {
    matches!(reply, Reply::Found { hits, .. } if !hits.is_empty())
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_found() {
    let script = async |stage: &mut Stage| {
        for who in ["alice", "bob"] {
            stage.register(who).await;
        }
        let den = room(stage.ask("alice", new_room("den")).await);
        let attic = room(stage.ask("alice", new_room("attic")).await);
        let _ = stage.ask("bob", Command::JoinRoom(named("den"))).await;
        for (room, text) in [
            (den.id, "Caf\u{e9} at noon?"),
            (attic.id, "the cafe is closed"),
            (den.id, "then cafes near it"),
            (den.id, "no"),
        ] {
            let _ = stage.ask("alice", publish(room, client_id(), text)).await;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        stage.wait_until("alice", search(None, "no"), has_found).await;
        stage.wait_until("alice", search(None, "closed"), has_found).await;
        let _ = stage.ask("alice", search(None, "CAFE")).await;
        let _ = stage.ask("alice", search(None, "cafe*")).await;
        let _ = stage.ask("bob", search(None, "cafe*")).await;
        let _ = stage.ask("bob", search(None, "\"cafe at\" noon")).await;
        let _ = stage.ask("bob", search(Some(attic.id), "cafe")).await;
        let _ = stage.ask("bob", search(None, "?!")).await;
        let edit = Edit { write: write(den.id), seq: Seq(3), body: Body::parse("bistro at noon").unwrap() };
        let _ = stage.ask("alice", Command::Edit(edit)).await;
        // At once: what does not say it any more is not found, though the index may still have it.
        let _ = stage.ask("bob", search(Some(den.id), "cafe")).await;
        stage.wait_until("bob", search(None, "bistro"), has_found).await;
        let _ = stage.ask("bob", search(None, "bistro")).await;
        let _ = stage.ask("alice", Command::Delete(Delete { write: write(den.id), seqs: vec![Seq(3)] })).await;
        let _ = stage.ask("bob", search(None, "bistro")).await;
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
        alice > create_room room-4 "attic"
        alice < room-4 Channel "attic" about "talk" history-2 1..1 role Some(Owner) members 1
        bob > join_room "den"
        bob < room-3 Channel "den" about "talk" history-1 1..2 role Some(Member) members 2
        alice > publish room-3 client-1 "Café at noon?"
        alice < appended 3
        alice > publish room-4 client-2 "the cafe is closed"
        alice < appended 2
        alice > publish room-3 client-3 "then cafes near it"
        alice < appended 4
        alice > publish room-3 client-4 "no"
        alice < appended 5
        alice > search everywhere "CAFE" limit 2
        alice < found 2 and more
            room-4 2 user-1: message "the cafe is closed" as client-2
            room-3 3 user-1: message "Café at noon?" as client-1
        alice > search everywhere "cafe*" limit 2
        alice < found 2 and more
            room-3 4 user-1: message "then cafes near it" as client-3
            room-4 2 user-1: message "the cafe is closed" as client-2
        bob > search everywhere "cafe*" limit 2
        bob < found 2 and more
            room-3 4 user-1: message "then cafes near it" as client-3
            room-3 3 user-1: message "Café at noon?" as client-1
        bob > search everywhere "\"cafe at\" noon" limit 2
        bob < found 1
            room-3 3 user-1: message "Café at noon?" as client-1
        bob > search room-4 "cafe" limit 2
        bob < reject 3002 join the room first
        bob > search everywhere "?!" limit 2
        bob < reject 1001 the query has no word
        alice > edit room-3 client-5 3 to "bistro at noon"
        alice < appended 6
        bob > search room-3 "cafe" limit 2
        bob < found 0
        bob > search everywhere "bistro" limit 2
        bob < found 1
            room-3 3 rev 1 user-1: message "bistro at noon" as client-1
        alice > delete room-3 client-6 [3]
        alice < appended 7
        bob > search everywhere "bistro" limit 2
        bob < found 0
    "#]],
    )
    .await;
}
