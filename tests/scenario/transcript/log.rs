//! What is said, heard and read back.

use confab_protocol::command::{Command, History};
use confab_protocol::model::{Cursor, Incarnation, RoomId, Seq};
use expect_test::expect;

use super::stage::{Stage, cursor, named, new_room, room};
use super::{check, check_with};
use crate::support::raw::{client_id, publish, resend};

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_said_once() {
    let script = async |stage: &mut Stage| {
        stage.register("alice").await;
        stage.register("bob").await;
        let den = room(stage.ask("alice", new_room("den")).await);
        let _ = stage.ask("bob", publish(den.id, client_id(), "from outside")).await;
        let _ = stage.ask("bob", Command::JoinRoom(named("den"))).await;
        for who in ["alice", "bob"] {
            let _ = stage.ask(who, Command::Resume(vec![cursor(&den, 2)])).await;
        }
        let (first, second) = (client_id(), client_id());
        let _ = stage.ask("alice", publish(den.id, first, "hello\nworld \u{1f600}")).await;
        let _ = stage.ask("alice", resend(den.id, first, "hello\nworld \u{1f600}")).await;
        let _ = stage.ask("alice", publish(den.id, first, "hello\nworld \u{1f600}")).await;
        let _ = stage.ask("alice", publish(den.id, first, "something else")).await;
        let _ = stage.ask("alice", resend(den.id, first, "something else")).await;
        let _ = stage.ask("alice", resend(den.id, second, "never sent before")).await;
        let _ = stage.ask("bob", publish(den.id, first, "the id is mine as well")).await;
        stage.hears("alice", 3).await;
        stage.hears("bob", 3).await;
        let _ = stage.ask("alice", publish(RoomId::from_u128(7), client_id(), "nowhere")).await;
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
        bob > publish room-3 client-1 "from outside"
        bob < reject 3002 join the room first
        bob > join_room "den"
        bob < room-3 Channel "den" about "talk" history-1 1..2 role Some(Member) members 2
        alice > resume room-3 history-1 after 2
        alice < resumed room-3 history-1 1..2 Recovered
        bob > resume room-3 history-1 after 2
        bob < resumed room-3 history-1 1..2 Recovered
        alice > publish room-3 client-2 "hello\nworld 😀"
        alice < appended 3
        alice > publish again room-3 client-2 "hello\nworld 😀"
        alice < appended 3, duplicate
        alice > publish room-3 client-2 "hello\nworld 😀"
        alice < appended 3, duplicate
        alice > publish room-3 client-2 "something else"
        alice < reject 3003 this client id was used for something else: take a new one
        alice > publish again room-3 client-2 "something else"
        alice < reject 3003 this client id was used for something else: take a new one
        alice > publish again room-3 client-3 "never sent before"
        alice < appended 4
        bob > publish room-3 client-2 "the id is mine as well"
        bob < appended 5
        alice * room-3 history-1 3 user-1: message "hello\nworld 😀" as client-2
        alice * room-3 history-1 4 user-1: message "never sent before" as client-3
        alice * room-3 history-1 5 user-2: message "the id is mine as well" as client-2
        bob * room-3 history-1 3 user-1: message "hello\nworld 😀" as client-2
        bob * room-3 history-1 4 user-1: message "never sent before" as client-3
        bob * room-3 history-1 5 user-2: message "the id is mine as well" as client-2
        alice > publish room-4 client-4 "nowhere"
        alice < reject 3002 join the room first
    "#]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn history_and_sync_are_paged() {
    let script = async |stage: &mut Stage| {
        stage.register("alice").await;
        let den = room(stage.ask("alice", new_room("den")).await);
        for text in ["one", "two", "three"] {
            let _ = stage.ask("alice", publish(den.id, client_id(), text)).await;
        }
        let history = |before, limit| Command::History(History::before(den.id, Seq(before), limit));
        for (before, limit) in [(0, 0), (0, 2), (3, 2), (2, 2), (99, 1)] {
            let _ = stage.ask("alice", history(before, limit)).await;
        }
        for (after, limit) in [(0, 0), (0, 3), (3, 3), (4, 3)] {
            let _ = stage.ask("alice", Command::Sync { cursor: cursor(&den, after), limit }).await;
        }
        let _ = stage.ask("alice", Command::Sync { cursor: cursor(&den, 5), limit: 0 }).await;
        let other = Cursor { incarnation: Incarnation(den.incarnation.0 ^ 1), ..cursor(&den, 1) };
        let _ = stage.ask("alice", Command::Sync { cursor: other, limit: 0 }).await;
        let any = Cursor { incarnation: Incarnation(0), ..cursor(&den, 3) };
        let _ = stage.ask("alice", Command::Sync { cursor: any, limit: 0 }).await;
    };
    check(
        script,
        expect![[r#"
        alice > hello
        alice < welcome version 1: nobody
        alice > register alice
        alice < session user-1 alice "alice Doe" User on device-1 with room-1
        alice > create_room room-2 "den"
        alice < room-2 Channel "den" about "talk" history-1 1..1 role Some(Owner) members 1
        alice > publish room-2 client-1 "one"
        alice < appended 2
        alice > publish room-2 client-2 "two"
        alice < appended 3
        alice > publish room-2 client-3 "three"
        alice < appended 4
        alice > history room-2 before 0 limit 0
        alice < page room-2 history-1 head 4 next 2
            2 user-1: message "one" as client-1
            3 user-1: message "two" as client-2
            4 user-1: message "three" as client-3
        alice > history room-2 before 0 limit 2
        alice < page room-2 history-1 head 4 next 3
            3 user-1: message "two" as client-2
            4 user-1: message "three" as client-3
        alice > history room-2 before 3 limit 2
        alice < page room-2 history-1 head 4 next 2
            2 user-1: message "one" as client-1
        alice > history room-2 before 2 limit 2
        alice < page room-2 history-1 head 4 next 0
        alice > history room-2 before 99 limit 1
        alice < page room-2 history-1 head 4 next 4
            4 user-1: message "three" as client-3
        alice > sync room-2 history-1 after 0 limit 0
        alice < page room-2 history-1 head 4 next 0
            1 user-1: created "den" about "talk"
            2 user-1: message "one" as client-1
            3 user-1: message "two" as client-2
            4 user-1: message "three" as client-3
        alice > sync room-2 history-1 after 0 limit 3
        alice < page room-2 history-1 head 4 next 3
            1 user-1: created "den" about "talk"
            2 user-1: message "one" as client-1
            3 user-1: message "two" as client-2
        alice > sync room-2 history-1 after 3 limit 3
        alice < page room-2 history-1 head 4 next 0
            4 user-1: message "three" as client-3
        alice > sync room-2 history-1 after 4 limit 3
        alice < page room-2 history-1 head 4 next 0
        alice > sync room-2 history-1 after 5 limit 0
        alice < reject 3006 the history of this room changed: drop your cursor and read it anew
        alice > sync room-2 history-2 after 1 limit 0
        alice < reject 3006 the history of this room changed: drop your cursor and read it anew
        alice > sync room-2 none after 3 limit 0
        alice < page room-2 history-1 head 4 next 0
            4 user-1: message "three" as client-3
    "#]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn resume_tells_what_becomes_of_each_cursor() {
    let script = async |stage: &mut Stage| {
        stage.register("alice").await;
        let den = room(stage.ask("alice", new_room("den")).await);
        let attic = room(stage.ask("alice", new_room("attic")).await);
        let _ = stage.ask("alice", publish(den.id, client_id(), "missed")).await;
        let changed = Cursor { incarnation: Incarnation(den.incarnation.0 ^ 1), ..cursor(&den, 1) };
        let unknown = Cursor { room: RoomId::from_u128(7), ..cursor(&den, 1) };
        let _ = stage.ask("alice", Command::Resume(vec![changed, unknown, cursor(&attic, 9)])).await;
        let _ = stage.ask("alice", publish(den.id, client_id(), "live")).await;
        let _ = stage.ask("alice", publish(attic.id, client_id(), "live upstairs")).await;
        stage.hears("alice", 2).await;
        let _ = stage.ask("alice", Command::Resume(vec![cursor(&den, 1), cursor(&attic, 0)])).await;
        stage.hears("alice", 4).await;
        let _ = stage.ask("alice", Command::Resume(Vec::new())).await;
    };
    check(script, expect![[r#"
        alice > hello
        alice < welcome version 1: nobody
        alice > register alice
        alice < session user-1 alice "alice Doe" User on device-1 with room-1
        alice > create_room room-2 "den"
        alice < room-2 Channel "den" about "talk" history-1 1..1 role Some(Owner) members 1
        alice > create_room room-3 "attic"
        alice < room-3 Channel "attic" about "talk" history-2 1..1 role Some(Owner) members 1
        alice > publish room-2 client-1 "missed"
        alice < appended 2
        alice > resume room-2 history-3 after 1, room-4 history-1 after 1, room-3 history-2 after 9
        alice < resumed room-2 history-1 1..2 IncarnationChanged, room-4 none 0..0 Refused, room-3 history-2 1..1 IncarnationChanged
        alice > publish room-2 client-2 "live"
        alice < appended 3
        alice > publish room-3 client-3 "live upstairs"
        alice < appended 2
        alice * room-2 history-1 3 user-1: message "live" as client-2
        alice * room-3 history-2 2 user-1: message "live upstairs" as client-3
        alice > resume room-2 history-1 after 1, room-3 history-2 after 0
        alice < resumed room-2 history-1 1..3 Recovered, room-3 history-2 1..2 Recovered
        alice * room-2 history-1 2 user-1: message "missed" as client-1
        alice * room-2 history-1 3 user-1: message "live" as client-2
        alice * room-3 history-2 1 user-1: created "attic" about "talk"
        alice * room-3 history-2 2 user-1: message "live upstairs" as client-3
        alice > resume 
        alice < resumed 
    "#]]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unsubscribe_ends_pushes_not_membership() {
    let script = async |stage: &mut Stage| {
        stage.register("alice").await;
        let den = room(stage.ask("alice", new_room("den")).await);
        let _ = stage.ask("alice", Command::Resume(vec![cursor(&den, 1)])).await;
        let _ = stage.ask("alice", publish(den.id, client_id(), "heard")).await;
        stage.hears("alice", 1).await;
        let _ = stage.ask("alice", Command::Unsubscribe(named("den"))).await;
        let _ = stage.ask("alice", Command::Unsubscribe(named("den"))).await;
        let _ = stage.ask("alice", Command::Unsubscribe(named("cellar"))).await;
        let _ = stage.ask("alice", publish(den.id, client_id(), "not heard")).await;
        let _ = stage.ask("alice", Command::Resume(vec![cursor(&den, 3)])).await;
        let _ = stage.ask("alice", publish(den.id, client_id(), "heard again")).await;
        stage.hears("alice", 1).await;
    };
    check(
        script,
        expect![[r#"
        alice > hello
        alice < welcome version 1: nobody
        alice > register alice
        alice < session user-1 alice "alice Doe" User on device-1 with room-1
        alice > create_room room-2 "den"
        alice < room-2 Channel "den" about "talk" history-1 1..1 role Some(Owner) members 1
        alice > resume room-2 history-1 after 1
        alice < resumed room-2 history-1 1..1 Recovered
        alice > publish room-2 client-1 "heard"
        alice < appended 2
        alice * room-2 history-1 2 user-1: message "heard" as client-1
        alice > unsubscribe "den"
        alice < ok
        alice > unsubscribe "den"
        alice < ok
        alice > unsubscribe "cellar"
        alice < reject 3001 no such room
        alice > publish room-2 client-2 "not heard"
        alice < appended 3
        alice > resume room-2 history-1 after 3
        alice < resumed room-2 history-1 1..3 Recovered
        alice > publish room-2 client-3 "heard again"
        alice < appended 4
        alice * room-2 history-1 4 user-1: message "heard again" as client-3
    "#]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_users_own_log_tells_the_other_devices() {
    let script = async |stage: &mut Stage| {
        let alice = stage.register("alice").await;
        stage.connect("tablet", Some(&alice.access_token)).await;
        let own = Cursor { room: alice.identity.self_room, incarnation: Incarnation(0), seq: Seq(0) };
        let _ = stage.ask("tablet", Command::Resume(vec![own])).await;
        stage.hears("tablet", 1).await;
        let _ = stage.ask("alice", new_room("den")).await;
        let _ = stage.ask("alice", Command::LeaveRoom(named("den"))).await;
        let _ = stage.ask("alice", Command::JoinRoom(named("den"))).await;
        stage.hears("tablet", 3).await;
        stage.register("bob").await;
        let _ = stage.ask("bob", Command::Resume(vec![own])).await;
        let _ = stage.ask("bob", Command::Sync { cursor: own, limit: 0 }).await;
    };
    check(
        script,
        expect![[r#"
        alice > hello
        alice < welcome version 1: nobody
        alice > register alice
        alice < session user-1 alice "alice Doe" User on device-1 with room-1
        tablet > hello with a token
        tablet < welcome version 1: user-1 alice "alice Doe" User on device-1 with room-1
        tablet > resume room-1 none after 0
        tablet < resumed room-1 history-1 1..1 Recovered
        tablet * room-1 history-1 1 user-1: account created
        alice > create_room room-2 "den"
        alice < room-2 Channel "den" about "talk" history-2 1..1 role Some(Owner) members 1
        alice > leave_room "den"
        alice < ok
        alice > join_room "den"
        alice < room-2 Channel "den" about "talk" history-2 1..3 role Some(Owner) members 1
        tablet * room-1 history-1 2 user-1: joined room-2
        tablet * room-1 history-1 3 user-1: left room-2
        tablet * room-1 history-1 4 user-1: joined room-2
        bob > hello
        bob < welcome version 1: nobody
        bob > register bob
        bob < session user-2 bob "bob Doe" User on device-2 with room-3
        bob > resume room-1 none after 0
        bob < resumed room-1 none 0..0 Refused
        bob > sync room-1 none after 0 limit 0
        bob < reject 3002 join the room first
    "#]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_plugin_changes_is_told() {
    let script = async |stage: &mut Stage| {
        stage.register("alice").await;
        let den = room(stage.ask("alice", new_room("den")).await);
        let id = client_id();
        let spoofed = "pay \u{202e}eve\u{202c} <script>alert(1)</script>";
        let _ = stage.ask("alice", publish(den.id, id, spoofed)).await;
        let _ = stage.ask("alice", resend(den.id, id, spoofed)).await;
        let _ = stage.ask("alice", resend(den.id, id, "pay eve <script>alert(1)</script>")).await;
        let _ = stage.ask("alice", publish(den.id, client_id(), "plain")).await;
        let nothing = client_id();
        let _ = stage.ask("alice", publish(den.id, nothing, "\u{202e}\u{2066}")).await;
        let _ = stage.ask("alice", resend(den.id, nothing, "\u{202e}\u{2066}")).await;
        let _ = stage.ask("alice", Command::History(History::before(den.id, Seq(0), 0))).await;
    };
    check_with(
        &["sanitize"],
        script,
        expect![[r#"
        alice > hello
        alice < welcome version 1: nobody
        alice > register alice
        alice < session user-1 alice "alice Doe" User on device-1 with room-1
        alice > create_room room-2 "den"
        alice < room-2 Channel "den" about "talk" history-1 1..1 role Some(Owner) members 1
        alice > publish room-2 client-1 "pay \u{202e}eve\u{202c} <script>alert(1)</script>"
        alice < appended 2, altered
        alice > publish again room-2 client-1 "pay \u{202e}eve\u{202c} <script>alert(1)</script>"
        alice < appended 2, altered, duplicate
        alice > publish again room-2 client-1 "pay eve <script>alert(1)</script>"
        alice < reject 3003 this client id was used for something else: take a new one
        alice > publish room-2 client-2 "plain"
        alice < appended 3
        alice > publish room-2 client-3 "\u{202e}\u{2066}"
        alice < reject 1010 the message is blank
        alice > publish again room-2 client-3 "\u{202e}\u{2066}"
        alice < reject 1010 the message is blank
        alice > history room-2 before 0 limit 0
        alice < page room-2 history-1 head 3 next 2
            2 user-1: message "pay eve <script>alert(1)</script>" as client-1
            3 user-1: message "plain" as client-2
    "#]],
    )
    .await;
}
