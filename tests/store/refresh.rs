//! Refresh tokens: spent once, and what reuse means. The next of a token is always the same, as it is for the server.

use confab::core::store::{NewLogin, NewRefresh, Refreshed};
use confab_protocol::model::{DeviceId, Millis, UserId};

use super::{START, Scene};

super::cases![
    a_token_is_spent_once,
    a_retry_at_once_is_no_theft,
    retries_at_the_same_time_log_nobody_out,
    behind_its_successor_it_is,
    a_thief_within_the_grace_is_noticed_when_both_go_on,
    tokens_age,
    a_logout_ends_them
];

const IDLE_MS: u64 = 1_000_000;
const ABSOLUTE_MS: u64 = 5_000_000;

fn token(name: u8, now: Millis) -> NewRefresh {
    let (idle_until, absolute_until) = (now.after(IDLE_MS), now.after(ABSOLUTE_MS));
    NewRefresh { hash: [name; 32], family: name.into(), idle_until, absolute_until }
}

async fn logged_in(scene: &Scene) -> (UserId, DeviceId) {
    let alice = scene.user("alice").await;
    let login = NewLogin { refresh: Some(token(1, START)), ..scene.login(alice.id) };
    let device = login.device;
    scene.store.log_in(login).await.unwrap();
    (alice.id, device)
}

async fn spend(scene: &Scene, old: u8, next: u8, now: Millis) -> Refreshed {
    scene.store.refresh([old; 32], token(next, now), now).await.unwrap()
}

async fn a_token_is_spent_once(scene: Scene) {
    let (user, device) = logged_in(&scene).await;
    assert_eq!(spend(&scene, 9, 2, START).await, Refreshed::Unknown);
    assert_eq!(spend(&scene, 1, 2, START.after(5)).await, Refreshed::Yes(user, device));
    let late = START.after(60_000);
    assert_eq!(spend(&scene, 1, 2, late).await, Refreshed::Reused, "one of two is a thief");
    assert_eq!(spend(&scene, 2, 3, late).await, Refreshed::Unknown, "the whole family is gone");
    assert!(scene.store.find_identity(user, device).await.unwrap().is_none());
}

async fn a_retry_at_once_is_no_theft(scene: Scene) {
    let (user, device) = logged_in(&scene).await;
    for late in [5, 6, 9_000, 10_005] {
        assert_eq!(spend(&scene, 1, 2, START.after(late)).await, Refreshed::Yes(user, device), "{late}");
    }
    // All of them got the same, so there is one that goes on.
    assert_eq!(spend(&scene, 2, 3, START.after(10_005)).await, Refreshed::Yes(user, device));
    assert_eq!(spend(&scene, 3, 4, START.after(10_005)).await, Refreshed::Yes(user, device));
}

async fn retries_at_the_same_time_log_nobody_out(scene: Scene) {
    let (user, device) = logged_in(&scene).await;
    let tries: Vec<_> = (0..8)
        .map(|_| {
            let scene = scene.clone();
            tokio::spawn(async move { spend(&scene, 1, 2, START.after(5)).await })
        })
        .collect();
    for tried in tries {
        assert_eq!(tried.await.unwrap(), Refreshed::Yes(user, device));
    }
    assert_eq!(spend(&scene, 2, 3, START.after(6)).await, Refreshed::Yes(user, device));
}

async fn behind_its_successor_it_is(scene: Scene) {
    let (user, device) = logged_in(&scene).await;
    assert_eq!(spend(&scene, 1, 2, START.after(5)).await, Refreshed::Yes(user, device));
    // Within the same millisecond, too.
    assert_eq!(spend(&scene, 2, 3, START.after(5)).await, Refreshed::Yes(user, device));
    assert_eq!(spend(&scene, 1, 2, START.after(5)).await, Refreshed::Reused);
    assert_eq!(spend(&scene, 3, 4, START.after(5)).await, Refreshed::Unknown);
    assert!(scene.store.find_identity(user, device).await.unwrap().is_none());
}

/// Whoever came by a token uses it within the grace, beside its owner. Both have the next one; the second to go on with it
/// is late.
async fn a_thief_within_the_grace_is_noticed_when_both_go_on(scene: Scene) {
    let (user, device) = logged_in(&scene).await;
    for (late, who) in [(0, "the owner"), (9_999, "a thief")] {
        assert_eq!(spend(&scene, 1, 2, START.after(late)).await, Refreshed::Yes(user, device), "{who}");
    }
    let next = START.after(600_000);
    assert_eq!(spend(&scene, 2, 3, next).await, Refreshed::Yes(user, device), "one of them");
    assert_eq!(spend(&scene, 2, 3, next.after(10_001)).await, Refreshed::Reused, "the other");
    assert_eq!(spend(&scene, 3, 4, next.after(10_002)).await, Refreshed::Unknown, "and it is over for both");
    assert!(scene.store.find_identity(user, device).await.unwrap().is_none());
}

async fn tokens_age(scene: Scene) {
    let (user, device) = logged_in(&scene).await;
    let mut now = START;
    for name in 1..6 {
        now = now.after(IDLE_MS - 1);
        assert_eq!(spend(&scene, name, name + 1, now).await, Refreshed::Yes(user, device), "{name}");
    }
    // Each was young, but the login is old: its end does not move.
    assert_eq!(spend(&scene, 6, 7, START.after(ABSOLUTE_MS)).await, Refreshed::Expired);
}

async fn a_logout_ends_them(scene: Scene) {
    let (user, device) = logged_in(&scene).await;
    scene.store.log_out(user, device).await.unwrap();
    assert_eq!(spend(&scene, 1, 2, START.after(1)).await, Refreshed::Unknown);
}
