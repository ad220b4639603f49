//! What somebody said is reported, looked at, removed and appealed, by people who click.

use super::browser::{Browser, Driver};
use crate::support::TestServer;

const SAID: &str = "<b>watches</b> <img src=x onerror=window.pwned=1>, cheap";
const REPORTED: &str = "<i>every day</i> the same";
const REASON: &str = "no advertising here";
const APPEALED: &str = "they are good watches";

/// The only one in the list.
async fn open_case(page: &Browser, stands: &str) {
    page.see_text("#case-list", |text| text.contains(stands)).await;
    page.click("#case-list li:only-child button").await;
    page.see("#case:not([hidden])").await;
}

async fn decide(page: &Browser, decision: &str, why: &str) {
    page.fill("#decide-text", why).await;
    page.click(&format!("#decide button[value={decision}]")).await;
    page.see_text("#cases-answer", |text| text == "Decided.").await;
}

/// The names of the decisions that are offered.
async fn offered(page: &Browser) -> serde_json::Value {
    let script =
        "return [...document.querySelectorAll('#decide:not([hidden]) button:not([hidden])')].map((it) => it.value)";
    page.ask(script).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_from_click_to_decision() {
    let server = TestServer::start().await;
    let driver = Driver::start().await;
    let (olive, alice, bob) = (driver.browser().await, driver.browser().await, driver.browser().await);
    olive.open(&server).await;
    olive.click("#login details:not(#invited) summary").await;
    olive.fill("#owner-token", &server.owner_token).await;
    olive.register("olive").await;
    for (page, name) in [(&alice, "alice"), (&bob, "bob")] {
        page.open(&server).await;
        page.register(name).await;
    }
    alice.say(SAID).await;
    alice.hear(SAID).await;
    assert_eq!(bob.hear(SAID).await.0, "alice");
    let own = alice.ask("return document.querySelectorAll('#messages .report').length").await;
    assert_eq!(own, 0, "nobody reports what they said themselves");

    bob.click("#messages .report").await;
    bob.see("#report[open]").await;
    assert_eq!(bob.text("#report-said").await, SAID);
    // Of this many bytes, though of so few characters that the field takes them.
    bob.ask("document.querySelector('#report-text').value = 'é'.repeat(501)").await;
    bob.click("#do-report").await;
    bob.see_text("#report-answer", |text| text == "the text is too long").await;
    bob.pick("#report-reason", "spam").await;
    bob.fill("#report-text", REPORTED).await;
    bob.click("#do-report").await;
    bob.see_text("#told", |text| text.contains("the moderators have it")).await;
    bob.see("#report:not([open])").await;

    olive.see_text("#open-cases", |text| text == "Cases (1)").await;
    olive.reload().await;
    olive.be_inside().await;
    olive.see_text("#open-cases", |text| text == "Cases (1)").await;
    olive.click("#open-cases").await;
    assert_eq!(olive.text("#open-cases").await, "Cases", "it was looked at");
    open_case(&olive, "Reported: spam, waits").await;
    assert_eq!(olive.text("#evidence [aria-current] .body").await, SAID);
    olive.see_text("#evidence [aria-current] .author", |name| name == "alice").await;
    assert!(olive.text("#case-events").await.contains(REPORTED));
    assert_eq!(offered(&olive).await, serde_json::json!(["dismiss", "remove"]));
    decide(&olive, "remove", REASON).await;
    for page in [&olive, &alice, &bob] {
        page.see("#messages:not(:has(.message))").await;
    }

    alice.see_text("#open-cases", |text| text == "Cases (1)").await;
    alice.click("#open-cases").await;
    alice.see_text("#cases-which", |text| text.starts_with("Your own")).await;
    open_case(&alice, "removed").await;
    let shown = alice.text("#case").await;
    assert!(shown.contains(REASON), "{shown}");
    for secret in ["bob", "olive", "every day"] {
        assert!(!shown.contains(secret), "that is for moderators: {shown}");
    }
    assert_eq!(offered(&alice).await, serde_json::json!([]));
    alice.fill("#appeal-text", APPEALED).await;
    alice.click("#appeal button").await;
    alice.see_text("#cases-answer", |text| text.contains("appeal waits")).await;

    // Her list is open still, and tells her.
    open_case(&olive, "appealed").await;
    assert!(olive.text("#case-events").await.contains(APPEALED));
    assert_eq!(offered(&olive).await, serde_json::json!(["uphold", "reverse"]));
    decide(&olive, "uphold", REASON).await;
    open_case(&alice, "upheld").await;
    assert_eq!(alice.ask("return document.querySelector('#appeal').hidden").await, true, "an appeal is one");

    for page in [olive, alice, bob] {
        let made = page.ask("return document.querySelectorAll('img, b, i').length + (window.pwned ?? 0)").await;
        assert_eq!(made, 0, "what people wrote is text");
        assert_eq!(page.violations().await, [""; 0]);
        page.close().await;
    }
}
