//! What becomes of tokens when logins end, begin again, or are stolen.

use confab_protocol::command::{Command, Reply};
use confab_protocol::model::DeviceId;

use super::accounts::{self, PASSWORD, anonymous, register, server_with, session};
use crate::support::raw::{Raw, Target};
use crate::support::{TRANSPORTS, TestServer, Transport};

fn login(name: &str, device_id: Option<DeviceId>) -> Command {
    accounts::login(name, PASSWORD, device_id)
}

async fn server() -> (TestServer, Target) {
    server_with(|config| config.limits.login_tries = 1_000).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_login_on_a_device_revives_no_token_of_an_ended_one() {
    let (_server, target) = server().await;
    for transport in TRANSPORTS {
        let name = format!("alice-{transport:?}");
        let mut first = anonymous(&target, transport).await;
        let ended = session(first.request(register(&name, None)).await);
        assert_eq!(first.request(Command::Logout).await, Ok(Reply::Ok));
        assert_eq!(Raw::refused(&target, transport, &ended.access_token).await.code, 4201);

        let mut second = anonymous(&target, transport).await;
        let current = session(second.request(login(&name, Some(ended.identity.device))).await);
        assert_eq!(current.identity.device, ended.identity.device);
        assert_eq!(Raw::refused(&target, transport, &ended.access_token).await.code, 4201, "it stays dead");
        Raw::enter(&target, transport, &current.access_token).await;

        // A second login on a device that is in use takes nothing from the first.
        let mut third = anonymous(&target, transport).await;
        session(third.request(login(&name, Some(ended.identity.device))).await);
        Raw::enter(&target, transport, &current.access_token).await;
    }
}

/// Between the check of a token and the binding of its connection a logout must not be missed.
#[tokio::test(flavor = "multi_thread")]
async fn no_connection_outlives_a_logout_that_it_raced() {
    let (_server, target) = server().await;
    let mut first = anonymous(&target, Transport::Quic).await;
    let mut current = session(first.request(register("alice", None)).await);
    for round in 0..40 {
        let transport = TRANSPORTS[round % 2];
        let mut leaver = Raw::enter(&target, transport, &current.access_token).await;
        let racing = async {
            let mut raw = Raw::open(&target, transport).await;
            raw.send(&crate::support::raw::hello(Some(&current.access_token))).await;
            raw.closed().await.code
        };
        let (_, code) = tokio::join!(leaver.begin(Command::Logout), racing);
        assert!([4201, 4203].contains(&code), "round {round}: {code}");
        let mut next = anonymous(&target, transport).await;
        current = session(next.request(login("alice", Some(current.identity.device))).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_that_is_offered_behind_its_successor_ends_the_login() {
    let (_server, target) = server().await;
    let mut alice = anonymous(&target, Transport::WebSocket).await;
    let first = session(alice.request(register("alice", None)).await);
    let mut others = anonymous(&target, Transport::Quic).await;
    // The same client trying twice, at once: both get the next.
    let second = session(others.request(Command::Refresh(first.refresh_token.clone())).await);
    let mut twin = anonymous(&target, Transport::Quic).await;
    session(twin.request(Command::Refresh(first.refresh_token.clone())).await);
    // The next is in use: who still offers the first one did not get it from us.
    let mut owner = anonymous(&target, Transport::WebSocket).await;
    let third = session(owner.request(Command::Refresh(second.refresh_token)).await);
    let mut thief = anonymous(&target, Transport::Quic).await;
    assert_eq!(thief.refusal(Command::Refresh(first.refresh_token)).await, 2002);
    assert_eq!(owner.closed().await.code, 4203, "one of the two is a thief: nobody stays");
    let mut after = anonymous(&target, Transport::Quic).await;
    assert_eq!(after.refusal(Command::Refresh(third.refresh_token)).await, 2002);
}
