//! Who comes in, and how.

use confab_protocol::command::{Command, Register, Secret};
use confab_protocol::model::{DeviceName, UserId, Username};
use expect_test::expect;

use super::check;
use super::stage::{PASSWORD, Stage, login, new_room, register, session};

#[tokio::test(flavor = "multi_thread")]
async fn register_and_log_in() {
    let script = async |stage: &mut Stage| {
        stage.connect("alice", None).await;
        let _ = stage.ask("alice", Command::Ping).await;
        let _ = stage.ask("alice", new_room("too early")).await;
        let _ = stage.ask("alice", register("alice", "short")).await;
        let _ = stage.ask("alice", register("Alice", PASSWORD)).await;
        let _ = stage.ask("alice", Command::Ping).await;
        stage.connect("bob", None).await;
        let _ = stage.ask("bob", register("alice", PASSWORD)).await;
        let _ = stage.ask("bob", login("alice", "wrong horse", None)).await;
        let _ = stage.ask("bob", login("nobody", PASSWORD, None)).await;
        let _ = stage.ask("bob", login("no such name!", PASSWORD, None)).await;
        let _ = stage.ask("bob", login("ALICE", PASSWORD, None)).await;
    };
    check(
        script,
        expect![[r#"
        alice > hello
        alice < welcome version 1: nobody
        alice > ping
        alice < pong
        alice > create_room room-1 "too early"
        alice < reject 1003 log in first
        alice > register alice
        alice < reject 1001 the password is too short: at least 8 bytes
        alice > register alice
        alice < session user-1 alice "Alice Doe" User on device-1 with room-2
        alice > ping
        alice < pong
        bob > hello
        bob < welcome version 1: nobody
        bob > register alice
        bob < reject 2005 that user name is taken: choose another
        bob > login alice on none
        bob < reject 2001 user name or password is wrong
        bob > login nobody on none
        bob < reject 2001 user name or password is wrong
        bob > login no such name! on none
        bob < reject 2001 user name or password is wrong
        bob > login ALICE on none
        bob < session user-1 alice "Alice Doe" User on device-2 with room-2
    "#]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_renewed() {
    let script = async |stage: &mut Stage| {
        let alice = stage.register("alice").await;
        let bob = stage.register("bob").await;
        let _ = stage.ask("alice", Command::Authenticate(alice.access_token.clone())).await;
        let _ = stage.ask("alice", Command::Authenticate(Secret::new("nonsense"))).await;
        let _ = stage.ask("alice", Command::Authenticate(alice.refresh_token.clone())).await;
        let _ = stage.ask("alice", Command::Authenticate(bob.access_token.clone())).await;
        let renewed = session(stage.ask("alice", Command::Refresh(alice.refresh_token.clone())).await);
        assert_ne!(renewed.refresh_token, alice.refresh_token);
        let _ = stage.ask("alice", Command::Refresh(renewed.refresh_token)).await;
        let _ = stage.ask("alice", Command::Refresh(Secret::new("nonsense"))).await;
        let _ = stage.ask("alice", Command::Refresh(alice.access_token)).await;
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
        alice > authenticate with a token
        alice < authenticated user-1 alice "alice Doe" User on device-1 with room-1
        alice > authenticate with a token
        alice < reject 2002 the token is not valid: log in again
        alice > authenticate with a token
        alice < reject 2002 the token is not valid: log in again
        alice > authenticate with a token
        alice < reject 2002 the token is not valid: log in again
        alice > refresh with a token
        alice < session user-1 alice "alice Doe" User on device-1 with room-1
        alice > refresh with a token
        alice < session user-1 alice "alice Doe" User on device-1 with room-1
        alice > refresh with a token
        alice < reject 2002 the token is not valid: log in again
        alice > refresh with a token
        alice < reject 2002 the token is not valid: log in again
    "#]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn log_out_ends_what_a_device_holds() {
    let script = async |stage: &mut Stage| {
        let alice = stage.register("alice").await;
        stage.connect("twin", Some(&alice.access_token)).await;
        stage.connect("other", None).await;
        let _ = stage.ask("other", login("alice", PASSWORD, None)).await;
        let _ = stage.ask("alice", Command::Logout).await;
        stage.is_closed("alice").await;
        stage.is_closed("twin").await;
        stage.connect("alice", Some(&alice.access_token)).await;
        let _ = stage.ask("other", Command::Authenticate(alice.access_token)).await;
        let _ = stage.ask("other", Command::Refresh(alice.refresh_token)).await;
        let _ = stage.ask("other", Command::Ping).await;
    };
    check(
        script,
        expect![[r#"
        alice > hello
        alice < welcome version 1: nobody
        alice > register alice
        alice < session user-1 alice "alice Doe" User on device-1 with room-1
        twin > hello with a token
        twin < welcome version 1: user-1 alice "alice Doe" User on device-1 with room-1
        other > hello
        other < welcome version 1: nobody
        other > login alice on none
        other < session user-1 alice "alice Doe" User on device-2 with room-1
        alice > logout
        alice < ok
        alice < closed 4203 this device was logged out
        twin < closed 4203 this device was logged out
        alice > hello with a token
        alice < closed 4201 the token is not valid: log in again
        other > authenticate with a token
        other < reject 2002 the token is not valid: log in again
        other > refresh with a token
        other < reject 2002 the token is not valid: log in again
        other > ping
        other < pong
    "#]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_logs_in_again() {
    let script = async |stage: &mut Stage| {
        let alice = stage.register("alice").await;
        stage.leave("alice").await;
        stage.connect("alice", None).await;
        let _ = stage.ask("alice", login("alice", PASSWORD, Some(alice.identity.device))).await;
        let _ = stage.ask("alice", login("alice", PASSWORD, None)).await;
        // The first login of this device is over, its access token still tells who it is.
        let _ = stage.ask("alice", Command::Refresh(alice.refresh_token)).await;
        let _ = stage.ask("alice", Command::Authenticate(alice.access_token)).await;
        stage.leave("alice").await;
        stage.connect("alice", Some(&Secret::new("nonsense"))).await;
    };
    check(
        script,
        expect![[r#"
        alice > hello
        alice < welcome version 1: nobody
        alice > register alice
        alice < session user-1 alice "alice Doe" User on device-1 with room-1
        alice is gone
        alice > hello
        alice < welcome version 1: nobody
        alice > login alice on device-1
        alice < session user-1 alice "alice Doe" User on device-1 with room-1
        alice > login alice on none
        alice < session user-1 alice "alice Doe" User on device-2 with room-1
        alice > refresh with a token
        alice < reject 2002 the token is not valid: log in again
        alice > authenticate with a token
        alice < authenticated user-1 alice "alice Doe" User on device-1 with room-1
        alice is gone
        alice > hello with a token
        alice < closed 4201 the token is not valid: log in again
    "#]],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_token_makes_one_owner() {
    let script = async |stage: &mut Stage| {
        let token = Secret::new(stage.server.owner_token.clone());
        let owner = |name: &str, token: &Secret| {
            Command::Register(Register {
                username: Username::parse(name).unwrap(),
                password: Secret::new(PASSWORD),
                display_name: None,
                device: DeviceName::parse("").unwrap(),
                owner_token: Some(token.clone()),
                invite: None,
            })
        };
        stage.connect("mallory", None).await;
        let _ = stage.ask("mallory", owner("mallory", &Secret::new("guess"))).await;
        stage.connect("alice", None).await;
        let alice = session(stage.ask("alice", owner("alice", &token)).await);
        let _ = stage.ask("mallory", owner("mallory", &token)).await;
        let mallory = session(stage.ask("mallory", register("mallory", PASSWORD)).await);
        let users = vec![mallory.identity.user, UserId::from_u128(7), alice.identity.user];
        let _ = stage.ask("mallory", Command::Profiles(users)).await;
    };
    check(
        script,
        expect![[r#"
        mallory > hello
        mallory < welcome version 1: nobody
        mallory > register mallory as owner
        mallory < reject 2007 the owner token is wrong or already used
        alice > hello
        alice < welcome version 1: nobody
        alice > register alice as owner
        alice < session user-1 alice "alice" Owner on device-1 with room-1
        mallory > register mallory as owner
        mallory < reject 2007 the owner token is wrong or already used
        mallory > register mallory
        mallory < session user-2 mallory "mallory Doe" User on device-2 with room-2
        mallory > profiles user-2 user-3 user-1
        mallory < members, next none
            user-2 mallory "mallory Doe" None
            user-1 alice "alice" None
    "#]],
    )
    .await;
}
