//! Somebody is shadowed, goes on as before, and nobody hears them.

use confab_protocol::command::{
    Command, Delete, Edit, History, MessageState, Page, React, Reply, SanctionUser, Search,
};
use confab_protocol::model::{Body, Cursor, Emoji, Incarnation, Reason, RoomId, SanctionKind, Seq, UserId};
use confab_protocol::reject::Reject;
use expect_test::expect;

use super::check;
use super::stage::{Stage, cursor, named, new_room, room};
use crate::support::commands::write;
use crate::support::raw::{client_id, publish};

fn sanction(room: RoomId, user: UserId, kind: SanctionKind) -> Command {
    let reason = Reason::parse("spam").unwrap();
    Command::Sanction(SanctionUser { write: write(room), user, kind, duration_ms: 0, reason })
}

fn react(room: RoomId, seq: u64) -> Command {
    Command::React(React { write: write(room), seq: Seq(seq), emoji: Emoji::parse("+").unwrap(), remove: false })
}

fn edit(room: RoomId, seq: u64, text: &str) -> Command {
    Command::Edit(Edit { write: write(room), seq: Seq(seq), body: Body::parse(text).unwrap() })
}

fn shadowed(page: Result<Reply, Reject>) -> Vec<u64> {
    let Ok(Reply::Page(Page { states, .. })) = page else { panic!("no page: {page:?}") };
    states.iter().filter(|state: &&MessageState| state.shadowed).map(|state| state.seq.0).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_shadowed_goes_on_and_nobody_hears_them() {
    let script = async |stage: &mut Stage| {
        stage.register("alice").await;
        let bob = stage.register("bob").await.identity.user;
        stage.register("carol").await;
        let den = room(stage.ask("alice", new_room("den")).await);
        let history = || Command::History(History::before(den.id, Seq(0), 0));
        for who in ["bob", "carol"] {
            let _ = stage.ask(who, Command::JoinRoom(named("den"))).await;
        }
        for who in ["bob", "carol"] {
            let _ = stage.ask(who, Command::Resume(vec![cursor(&den, 3)])).await;
        }
        let _ = stage.ask("bob", publish(den.id, client_id(), "before")).await;
        let _ = stage.ask("carol", sanction(den.id, bob, SanctionKind::Shadow)).await;
        let _ = stage.ask("alice", sanction(den.id, bob, SanctionKind::Shadow)).await;
        let _ = stage.ask("bob", publish(den.id, client_id(), "buy this @carol")).await;
        let _ = stage.ask("bob", edit(den.id, 6, "buy that @carol")).await;
        // What others see stays as it is.
        let _ = stage.ask("bob", edit(den.id, 4, "buy more")).await;
        let _ = stage.ask("carol", publish(den.id, client_id(), "hello?")).await;
        let _ = stage.ask("bob", react(den.id, 9)).await;
        let _ = stage.ask("carol", react(den.id, 6)).await;
        stage.hears("bob", 7).await;
        stage.hears("carol", 7).await;
        let _ = stage.ask("carol", history()).await;
        let _ = stage.ask("bob", history()).await;
        // A moderator sees both, and which is which; its author is not told.
        let seen = stage.ask("alice", history()).await;
        assert_eq!(shadowed(seen), [6]);
        let zero = Cursor { room: den.id, incarnation: Incarnation(0), seq: Seq(4) };
        let _ = stage.ask("carol", Command::Sync { cursor: zero, limit: 0 }).await;
        let _ = stage.ask("bob", Command::Sync { cursor: zero, limit: 0 }).await;
        let search = Search { query: "buy".into(), room: Some(den.id), before: None, limit: 0 };
        let _ = stage.ask("carol", Command::Search(search)).await;
        let _ = stage.ask("alice", sanction(den.id, bob, SanctionKind::Lift)).await;
        let _ = stage.ask("bob", publish(den.id, client_id(), "after")).await;
        let _ = stage.ask("bob", edit(den.id, 6, "never mind")).await;
        let _ = stage.ask("bob", Command::Delete(Delete { write: write(den.id), seqs: vec![Seq(6)] })).await;
        stage.hears("carol", 4).await;
        let _ = stage.ask("carol", history()).await;
        let _ = stage.ask("carol", Command::JoinRoom(named("den"))).await;
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
        bob > resume room-4 history-1 after 3
        bob < resumed room-4 history-1 1..3 Recovered
        carol > resume room-4 history-1 after 3
        carol < resumed room-4 history-1 1..3 Recovered
        bob > publish room-4 client-1 "before"
        bob < appended 4
        carol > sanction room-4 client-2 Shadow user-2 for 0 "spam"
        carol < reject 2006 you may not do that here
        alice > sanction room-4 client-3 Shadow user-2 for 0 "spam"
        alice < appended 5
        bob > publish room-4 client-4 "buy this @carol"
        bob < appended 6
        bob > edit room-4 client-5 6 to "buy that @carol"
        bob < appended 7
        bob > edit room-4 client-6 4 to "buy more"
        bob < appended 8
        carol > publish room-4 client-7 "hello?"
        carol < appended 9
        bob > react room-4 client-8 9 +
        bob < appended 10
        carol > react room-4 client-9 6 +
        carol < reject 3008 there is no such message (any more)
        bob * room-4 history-1 4 user-2: message "before" as client-1
        bob * room-4 history-1 5 none: Void
        bob * room-4 history-1 6 user-2: message "buy this @carol" as client-4 to user-3
        bob * room-4 history-1 7 user-2: edited 6 [6 rev 1 user-2: message "buy that @carol" as client-4 to user-3]
        bob * room-4 history-1 8 user-2: edited 4
        bob * room-4 history-1 9 user-3: message "hello?" as client-7
        bob * room-4 history-1 10 user-2: + to 9
        carol * room-4 history-1 4 user-2: message "before" as client-1
        carol * room-4 history-1 5 none: Void
        carol * room-4 history-1 6 none: Void
        carol * room-4 history-1 7 none: Void
        carol * room-4 history-1 8 none: Void
        carol * room-4 history-1 9 user-3: message "hello?" as client-7
        carol * room-4 history-1 10 none: Void
        carol > history room-4 before 0 limit 0
        carol < page room-4 history-1 head 10 next 4
            4 user-2: message "before" as client-1
            9 user-3: message "hello?" as client-7
        bob > history room-4 before 0 limit 0
        bob < page room-4 history-1 head 10 next 4
            4 user-2: message "before" as client-1
            6 rev 1 user-2: message "buy that @carol" as client-4 to user-3
            9 user-3: message "hello?" as client-7
        alice > history room-4 before 0 limit 0
        alice < page room-4 history-1 head 10 next 4
            4 user-2: message "before" as client-1
            6 rev 1 user-2: message "buy that @carol" as client-4 to user-3
            9 user-3: message "hello?" as client-7
            of 6: 0 answers
        carol > sync room-4 none after 4 limit 0
        carol < page room-4 history-1 head 10 next 0
            5 none: Void
            6 none: Void
            7 none: Void
            8 none: Void
            9 user-3: message "hello?" as client-7
            10 none: Void
        bob > sync room-4 none after 4 limit 0
        bob < page room-4 history-1 head 10 next 0
            5 none: Void
            6 rev 1 user-2: message "buy that @carol" as client-4 to user-3
            7 user-2: edited 6 [6 rev 1 user-2: message "buy that @carol" as client-4 to user-3]
            8 user-2: edited 4 [4 user-2: message "before" as client-1]
            9 user-3: message "hello?" as client-7
            10 user-2: + to 9
        carol > search room-4 "buy" limit 0
        carol < found 0
        alice > sanction room-4 client-10 Lift user-2 for 0 "spam"
        alice < appended 11
        bob > publish room-4 client-11 "after"
        bob < appended 12
        bob > edit room-4 client-12 6 to "never mind"
        bob < appended 13
        bob > delete room-4 client-13 [6]
        bob < appended 14
        carol * room-4 history-1 11 none: Void
        carol * room-4 history-1 12 user-2: message "after" as client-11
        carol * room-4 history-1 13 none: Void
        carol * room-4 history-1 14 none: Void
        carol > history room-4 before 0 limit 0
        carol < page room-4 history-1 head 14 next 4
            4 user-2: message "before" as client-1
            9 user-3: message "hello?" as client-7
            12 user-2: message "after" as client-11
        carol > join_room "den"
        carol < room-4 Channel "den" about "talk" history-1 1..14 role Some(Member) members 3 read to 3, unread 3, mentions 0
        bob * room-4 history-1 11 none: Void
        bob * room-4 history-1 12 user-2: message "after" as client-11
        bob * room-4 history-1 13 user-2: edited 6 [6 rev 2 user-2: message "never mind" as client-4]
        bob * room-4 history-1 14 user-2: deleted [6]
    "#]]).await;
}
