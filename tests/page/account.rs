//! Accounts on the page: logins that are ended, passwords that change, people who are invited, links for a new password.

use super::browser::{Browser, Driver};
use crate::support::TestServer;
use crate::support::people::PASSWORD;
use confab::config::Registration;

const OTHER: &str = "another horse";

async fn open_account(page: &Browser) {
    page.click("#open-account").await;
    page.see("#account[open] #logins li[data-kind=current]").await;
}

/// Registers as the owner of a new server.
async fn own(page: &Browser, server: &TestServer) {
    page.open(server).await;
    page.click("#login details:not(#invited) summary").await;
    page.fill("#owner-token", &server.owner_token).await;
    page.register("olive").await;
}

async fn link(page: &Browser) -> String {
    page.see_text("#account-answer", |text| text.contains("Hand over this link")).await;
    page.ask("return document.querySelector('#link-text').value").await.as_str().unwrap().to_owned()
}

async fn thrown_out(page: &Browser) {
    page.see("#door:not([hidden])").await;
    page.see_text("#problem", |text| text.contains("logged out")).await;
    page.reload().await;
    page.see("#door:not([hidden])").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_login_is_ended_from_the_page() {
    let server = TestServer::start().await;
    let driver = Driver::start().await;
    let (here, there) = (driver.browser().await, driver.browser().await);
    here.open(&server).await;
    here.register("alice").await;
    for _ in 0..2 {
        there.open(&server).await;
        there.login("alice", PASSWORD).await;
        there.be_inside().await;
        open_account(&here).await;
        here.see("#logins li[data-kind='']").await;
        assert_eq!(here.ask("return document.querySelectorAll('#logins li').length").await, 2);
        assert_eq!(here.text("#logins li[data-kind=current] .name").await, "browser");
        let staff = here.ask("return document.querySelectorAll('#account form.staff:not([hidden])').length").await;
        assert_eq!(staff, 0, "who runs nothing is offered nothing");
        here.click("#logins li[data-kind=''] button").await;
        thrown_out(&there).await;
        while here.ask("return document.querySelectorAll('#logins li').length").await != 1 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        here.click("#close-account").await;
    }
    there.login("alice", PASSWORD).await;
    there.be_inside().await;
    open_account(&here).await;
    here.click("#end-others").await;
    thrown_out(&there).await;
    here.press_escape().await;
    assert_eq!(here.ask("return document.querySelector('#account').open").await, false);
    here.say("still here").await;
    here.hear("still here").await;
    for page in [here, there] {
        assert_eq!(page.violations().await, [""; 0]);
        page.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_changed_on_the_page() {
    let server = TestServer::start().await;
    let driver = Driver::start().await;
    let (here, there) = (driver.browser().await, driver.browser().await);
    here.open(&server).await;
    here.register("alice").await;
    there.open(&server).await;
    there.login("alice", PASSWORD).await;
    there.be_inside().await;
    open_account(&here).await;
    here.fill("#current-password", "wrong horse").await;
    here.fill("#new-password", OTHER).await;
    here.click("#change-password button").await;
    here.see_text("#account-answer", |text| text.contains("password is wrong")).await;
    here.fill("#current-password", PASSWORD).await;
    here.click("#change-password button").await;
    here.see_text("#account-answer", |text| text.contains("password is changed")).await;
    assert_eq!(here.ask("return document.querySelector('#new-password').value").await, "", "it does not stay there");
    thrown_out(&there).await;
    there.login("alice", PASSWORD).await;
    there.see_text("#problem", |text| text.contains("user name or password is wrong")).await;
    there.login("alice", OTHER).await;
    there.be_inside().await;
    here.reload().await;
    here.be_inside().await;
    for page in [here, there] {
        assert_eq!(page.violations().await, [""; 0]);
        page.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_invited_registers() {
    let server = TestServer::start_with(|config| config.auth.registration = Registration::Invite).await;
    let driver = Driver::start().await;
    let (owner, guest) = (driver.browser().await, driver.browser().await);
    own(&owner, &server).await;
    open_account(&owner).await;
    owner.click("#invite-account button").await;
    let link = link(&owner).await;
    assert!(link.contains("/#invite="), "no server and no log sees what stands behind the hash: {link}");

    guest.open(&server).await;
    guest.fill("#username", "bob").await;
    guest.fill("#password", PASSWORD).await;
    guest.click("#do-register").await;
    guest.see_text("#problem", |text| text.contains("registration is closed")).await;
    guest.see("#invited[open]").await;
    guest.follow(&link).await;
    assert_eq!(guest.ask("return location.hash").await, "", "it does not stay in the history");
    guest.register("bob").await;
    guest.say("thank you").await;
    owner.press_escape().await;
    assert_eq!(owner.hear("thank you").await.0, "bob");

    guest.follow(&link).await;
    guest.fill("#username", "carol").await;
    guest.fill("#password", PASSWORD).await;
    guest.click("#do-register").await;
    guest.see_text("#problem", |text| text.contains("invitation is not good")).await;
    for page in [owner, guest] {
        assert_eq!(page.violations().await, [""; 0]);
        page.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_reset_by_a_link() {
    let server = TestServer::start().await;
    let driver = Driver::start().await;
    let (owner, old, new) = (driver.browser().await, driver.browser().await, driver.browser().await);
    own(&owner, &server).await;
    old.open(&server).await;
    old.register("bob").await;
    open_account(&owner).await;
    owner.fill("#others-name", "nobody").await;
    owner.click("#others button").await;
    owner.see_text("#account-answer", |text| text.contains("nobody of that name")).await;
    owner.fill("#others-name", "olive").await;
    owner.click("#others button").await;
    owner.see_text("#account-answer", |text| text.contains("may not")).await;
    owner.fill("#others-name", "Bob").await;
    owner.click("#others button").await;
    let link = link(&owner).await;
    assert!(link.contains("/#reset="), "{link}");

    new.follow(&link).await;
    assert_eq!(new.ask("return location.hash").await, "", "it does not stay in the history");
    new.fill("#reset-password", OTHER).await;
    new.click("#do-reset").await;
    new.see_text("#news", |text| text.contains("password is set")).await;
    thrown_out(&old).await;
    new.login("bob", PASSWORD).await;
    new.see_text("#problem", |text| text.contains("user name or password is wrong")).await;
    new.login("bob", OTHER).await;
    new.be_inside().await;
    // Good once; and who is logged in may open one too.
    new.follow(&link).await;
    new.fill("#reset-password", PASSWORD).await;
    new.click("#do-reset").await;
    new.see_text("#problem", |text| text.contains("not good")).await;
    new.click("#no-reset").await;
    new.be_inside().await;

    owner.pick("#deed", "ban").await;
    owner.click("#others button").await;
    owner.see_text("#account-answer", |text| text == "Done.").await;
    new.see_text("#problem", |text| text.contains("may not connect")).await;
    new.login("bob", OTHER).await;
    new.see_text("#problem", |text| text.contains("was banned")).await;
    for page in [owner, old, new] {
        assert_eq!(page.violations().await, [""; 0]);
        page.close().await;
    }
}
