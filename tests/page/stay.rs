//! Who logged in stays logged in, by a cookie that no script sees, until they log out.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::browser::{Browser, Driver};
use crate::support::TestServer;

const NAME: &str = "__Host-confab-refresh";
/// Keeps every answer that the page gets of the API.
const LISTEN: &str = "window.heard = []; const real = window.fetch; window.fetch = async (...request) => {
    const answer = await real(...request);
    if (request[0].startsWith('/api/')) window.heard.push(await answer.clone().text());
    return answer; }";
/// The shortest that a server may be told, seconds.
const LIFE_SECONDS: u64 = 30;

/// The cookie's value; its flags are looked at as well.
async fn refresh_token(page: &Browser) -> String {
    let cookies = page.cookies().await;
    let [cookie] = &cookies[..] else { panic!("{cookies:?}") };
    let flags = ["name", "path", "httpOnly", "secure", "sameSite", "session"].map(|key| cookie[key].clone());
    assert_eq!(Value::from(flags.to_vec()), json!([NAME, "/", true, true, "Strict", false]));
    cookie["value"].as_str().unwrap().to_owned()
}

/// Whatever a script of the page could find.
async fn within_reach(page: &Browser) -> String {
    let script = "return JSON.stringify([document.cookie, {...localStorage}, {...sessionStorage}, window.heard,
        location.href, document.documentElement.outerHTML])";
    page.ask(script).await.as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_outlives_a_reload_and_no_script_sees_why() {
    let server = TestServer::start().await;
    let driver = Driver::start().await;
    let page = driver.browser().await;
    page.open(&server).await;
    page.ask(LISTEN).await;
    page.register("alice").await;
    page.enter("diary").await;
    page.say("day one").await;
    page.hear("day one").await;
    let first = refresh_token(&page).await;
    let seen = within_reach(&page).await;
    assert!(seen.contains("accessToken") && seen.contains("refreshExpiresMs"), "the answers are looked at: {seen}");
    assert!(!seen.contains(&first) && !seen.contains("refreshToken"), "{seen}");

    page.reload().await;
    page.be_inside().await;
    page.see_text("#room-title", |title| title == "diary").await;
    assert_eq!(page.hear("day one").await.0, "alice");
    let second = refresh_token(&page).await;
    assert_ne!(first, second, "each is used once");
    let seen = within_reach(&page).await;
    assert!(!seen.contains(&first) && !seen.contains(&second), "{seen}");
    assert_eq!(page.log().await, [""; 0], "neither errors nor violations of the policy");

    page.click("#leave").await;
    page.see_text("#news", |text| text == "Logged out.").await;
    assert_eq!(page.cookies().await, [Value::Null; 0]);
    page.reload().await;
    page.see("#door:not([hidden])").await;
    assert_eq!(page.ask("return document.querySelector('#room').hidden").await, true);
    assert_eq!(page.ask("return performance.getEntriesByName(`${location.origin}/api/v1/refresh`).length").await, 0);
    page.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tabs_share_a_login_and_its_end() {
    let server = TestServer::start().await;
    let driver = Driver::start().await;
    let page = driver.browser().await;
    page.open(&server).await;
    page.register("alice").await;
    let first = page.open_tab(&server).await;
    page.be_inside().await;
    // Both at once, and each of them several times, would spend one token for two and be taken for a thief.
    let script =
        "return import('/assets/login.js').then((login) => Promise.all([1, 2, 3, 4].map(() => login.refresh())))
        .then((answers) => answers.map((answer) => answer.problem ?? 'good'))";
    assert_eq!(page.ask(script).await, json!(["good", "good", "good", "good"]));
    page.say("from the second tab").await;

    page.go_to_tab(first.clone()).await;
    page.hear("from the second tab").await;
    page.reload().await;
    page.be_inside().await;
    let second = page.open_tab(&server).await;
    assert_eq!(second, first);
    page.be_inside().await;
    page.click("#leave").await;
    page.see_text("#news", |text| text == "Logged out.").await;
    page.go_to_tab(first).await;
    page.see_text("#problem", |text| text.contains("logged out")).await;
    page.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn access_is_renewed_in_time_and_also_too_late() {
    let server = TestServer::start_with(|config| config.auth.access_ttl_seconds = LIFE_SECONDS).await;
    let driver = Driver::start().await;
    let page = driver.browser().await;
    page.open(&server).await;
    page.ask(LISTEN).await;
    page.register("alice").await;
    let renewed = async |times: usize| {
        while page.ask("return window.heard.length").await != 1 + times {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(LIFE_SECONDS), renewed(1)).await.expect("it is renewed in time");
    let at = Instant::now();
    // As if the machine slept: nothing gets through until the server has closed.
    page.ask("window.through = window.fetch; window.fetch = () => Promise.reject(new TypeError('asleep'))").await;
    page.see("body[data-online=false]").await;
    // The token of the login would have lasted half as long.
    assert!(at.elapsed() > Duration::from_secs(LIFE_SECONDS * 2 / 3), "renewed on the connection: {:?}", at.elapsed());
    page.say("into the silence").await;
    page.ask("window.fetch = window.through").await;
    page.see("body[data-online=true]").await;
    page.hear("into the silence").await;
    assert_eq!(page.violations().await, [""; 0]);
    page.close().await;
}
