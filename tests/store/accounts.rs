//! Users, devices and logins.

use confab::core::standing::Standing;
use confab::core::store::{Created, LoggedIn, NewLogin, NewUser};
use confab_protocol::model::{DeviceId, ServerRole, UserId};

use super::Scene;

super::cases![
    a_name_is_taken_once,
    a_name_that_looks_like_another_is_taken,
    there_is_one_owner,
    an_import_skips_names_that_are_taken,
    a_login_finds_its_account,
    an_ended_login_is_another_than_the_next,
    the_oldest_device_makes_room,
    a_device_is_its_users_own,
    a_device_is_of_the_account_that_was_logged_in_on_it,
    users_are_found_by_id,
];

async fn a_name_is_taken_once(scene: Scene) {
    let alice = scene.user("alice").await;
    assert_eq!(scene.store.create_user(scene.new_user("alice", ServerRole::User)).await.unwrap(), Created::NameTaken);
    let (found, hash) = scene.store.find_login(alice.username.clone()).await.unwrap().unwrap();
    assert_eq!((found.id, found.self_room, hash), (alice.id, alice.self_room, alice.password_hash));
    assert_eq!(scene.head(alice.self_room, alice.id).await.0, 0, "with a log of their own");
}

async fn a_name_that_looks_like_another_is_taken(scene: Scene) {
    let paypal = scene.user("paypal").await;
    let create = |name| scene.store.create_user(scene.new_user(name, ServerRole::User));
    assert_eq!(create("paypa1").await.unwrap(), Created::NameTaken);
    assert_eq!(create("paypal1").await.unwrap(), Created::Yes);
    let fake = scene.new_user("paypa1", ServerRole::User).username;
    assert!(scene.store.find_login(fake).await.unwrap().is_none(), "a login is by the very name");
    let users = ["paypa1", "modern", "modem", "user10", "user11"].map(|name| scene.new_user(name, ServerRole::User));
    assert_eq!(scene.store.import_users(users.to_vec()).await.unwrap(), 3, "also of one list the first");
    assert!(scene.store.find_login(users[1].username.clone()).await.unwrap().is_some());
    // Who is erased leaves the look of their name, too.
    let erased = scene.new_user("erased-1", ServerRole::User);
    let (names, shown) = ((erased.username, erased.username_key), erased.display_name);
    scene.store.erase_account(paypal.id, paypal.self_room, names, shown).await.unwrap();
    assert_eq!(create("paypa1").await.unwrap(), Created::Yes);
    assert_eq!(create("erased-l").await.unwrap(), Created::NameTaken);
}

async fn there_is_one_owner(scene: Scene) {
    assert!(!scene.store.has_owner().await.unwrap());
    assert_eq!(scene.store.create_user(scene.new_user("alice", ServerRole::Owner)).await.unwrap(), Created::Yes);
    assert!(scene.store.has_owner().await.unwrap());
    assert_eq!(scene.store.create_user(scene.new_user("bob", ServerRole::Owner)).await.unwrap(), Created::OwnerExists);
    assert_eq!(scene.store.create_user(scene.new_user("bob", ServerRole::User)).await.unwrap(), Created::Yes);
}

async fn an_import_skips_names_that_are_taken(scene: Scene) {
    scene.user("alice").await;
    let users = ["alice", "bob", "carol", "bob"].map(|name| scene.new_user(name, ServerRole::User));
    assert_eq!(scene.store.import_users(users.to_vec()).await.unwrap(), 2);
    assert_eq!(scene.store.import_users(users.to_vec()).await.unwrap(), 0);
}

async fn a_login_finds_its_account(scene: Scene) {
    let alice = scene.user("alice").await;
    let login = scene.login(alice.id);
    let device = login.device;
    assert!(scene.store.find_identity(alice.id, device).await.unwrap().is_none(), "not yet");
    assert_eq!(scene.store.log_in(login).await.unwrap(), Some(LoggedIn { login: 0, ended: None }));
    let Standing { user, login, .. } = scene.store.find_identity(alice.id, device).await.unwrap().unwrap();
    assert_eq!((user.id, login), (alice.id, 0));
    assert!(!scene.store.set_password_hash(alice.id, "no".into(), "another".into()).await.unwrap(), "it is another");
    let hash = alice.password_hash.unwrap();
    assert!(scene.store.set_password_hash(alice.id, hash, "another".into()).await.unwrap());
    let (_, hash) = scene.store.find_login(alice.username).await.unwrap().unwrap();
    assert_eq!(hash.as_deref(), Some("another"));
}

async fn an_ended_login_is_another_than_the_next(scene: Scene) {
    let alice = scene.user("alice").await;
    let login = scene.login(alice.id);
    for expected in 0..3 {
        assert_eq!(scene.store.log_in(login.clone()).await.unwrap().unwrap().login, expected);
        assert_eq!(scene.store.log_in(login.clone()).await.unwrap().unwrap().login, expected, "it was not ended");
        scene.store.log_out(alice.id, login.device).await.unwrap();
        assert!(scene.store.find_identity(alice.id, login.device).await.unwrap().is_none());
    }
}

async fn the_oldest_device_makes_room(scene: Scene) {
    let alice = scene.user("alice").await;
    let two = |login: NewLogin| NewLogin { devices_max: 2, ..login };
    let logins = [(); 3].map(|()| two(scene.login(alice.id)));
    let devices: Vec<DeviceId> = logins.iter().map(|login| login.device).collect();
    for login in &logins[..2] {
        assert_eq!(scene.store.log_in(login.clone()).await.unwrap().unwrap().ended, None);
    }
    assert_eq!(scene.store.log_in(logins[1].clone()).await.unwrap().unwrap().ended, None, "it has its place");
    assert_eq!(scene.store.log_in(logins[2].clone()).await.unwrap().unwrap().ended, Some(devices[0]));
    assert!(scene.store.find_identity(alice.id, devices[0]).await.unwrap().is_none());
    assert!(scene.store.find_identity(alice.id, devices[1]).await.unwrap().is_some());
}

async fn a_device_is_its_users_own(scene: Scene) {
    let (alice, bob) = (scene.user("alice").await, scene.user("bob").await);
    let login = scene.login(alice.id);
    scene.store.log_in(login.clone()).await.unwrap();
    assert!(scene.store.find_identity(bob.id, login.device).await.unwrap().is_none());
    scene.store.log_out(bob.id, login.device).await.unwrap();
    assert!(scene.store.find_identity(alice.id, login.device).await.unwrap().is_some());
}

async fn users_are_found_by_id(scene: Scene) {
    let (alice, bob) = (scene.user("alice").await, scene.user("bob").await);
    let found = scene.store.find_users(vec![bob.id, UserId::from_u128(7), alice.id]).await.unwrap();
    let names: Vec<&str> = found.iter().map(|member| member.username.as_str()).collect();
    assert_eq!(names, ["bob", "alice"]);
}

async fn a_device_is_of_the_account_that_was_logged_in_on_it(scene: Scene) {
    let (alice, bob) = (scene.user("alice").await, scene.user("bob").await);
    let login = scene.login(alice.id);
    let device = login.device;
    let has = |of: &NewUser, device| scene.store.has_device(of.username.clone(), device);
    assert!(!has(&alice, device).await.unwrap());
    scene.store.log_in(login).await.unwrap();
    assert!(has(&alice, device).await.unwrap() && !has(&bob, device).await.unwrap());
    scene.store.log_out(alice.id, device).await.unwrap();
    assert!(has(&alice, device).await.unwrap(), "it is theirs, logged in or not");
}
