//! What people write is text, wherever the page shows it.

use confab_client::{Client, Command, Options, Reply};
use confab_protocol::command::{Register, Secret};
use confab_protocol::model::{DeviceName, DisplayName, Username};

use super::browser::{Browser, Driver};
use crate::support::people::{PASSWORD, Person};
use crate::support::{TestServer, Transport};

const SCRIPT: &str = "<script>window.pwned=1</script><img src=x onerror=window.pwned=1>";
const OVERRIDES: [char; 9] =
    ['\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}', '\u{2066}', '\u{2067}', '\u{2068}', '\u{2069}'];

async fn assert_inert(page: &Browser) {
    let pwned = page.ask("return typeof window.pwned").await;
    assert_eq!(pwned, "undefined", "a script of somebody else ran");
    // The page has one script and no image; what people wrote makes no elements.
    let made = page.ask("return document.querySelectorAll('script:not([src]), img, iframe, b, a, svg').length").await;
    assert_eq!(made, 0);
    assert_eq!(page.log().await, [""; 0], "nothing was tried that the policy had to stop");
}

async fn register_as(server: &TestServer, name: &str, display_name: &str) -> Result<Person, confab_client::Error> {
    let (client, events) = Client::connect(Options::new(server.client_address(Transport::Quic)));
    let register = Register {
        username: Username::parse(name).unwrap(),
        password: Secret::new(PASSWORD),
        display_name: Some(DisplayName::parse(display_name).map_err(|e| confab_client::Error::Text("name", e))?),
        device: DeviceName::parse("test").unwrap(),
        owner_token: None,
        invite: None,
    };
    let Reply::Session(session) = client.request(Command::Register(register)).await? else { panic!() };
    Ok(Person { client, events, session })
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_and_names_are_text() {
    let server = TestServer::start().await;
    let driver = Driver::start().await;
    let page = driver.browser().await;
    page.open(&server).await;
    page.register("reader").await;
    let room_name = "<img src=x onerror=window.pwned=1><b>room</b>";
    page.enter(room_name).await;

    let display_name = "<svg onload=window.pwned=1><b>Mallory";
    let mallory = register_as(&server, "mallory", display_name).await.unwrap();
    let room = mallory.enter(room_name).await;
    let wrapped = format!("\u{202e}\u{2067}{SCRIPT}\u{2069}\u{202c}");
    assert!(mallory.client.say(room.id, &wrapped).await.unwrap().altered);
    assert_eq!(page.hear(SCRIPT).await, (display_name.to_owned(), SCRIPT.to_owned()));
    // Typed on the page itself, shown as draft, message and history.
    page.say(&format!("\u{202e}{SCRIPT} mine")).await;
    assert_eq!(page.hear(&format!("{SCRIPT} mine")).await.0, "reader");
    assert_inert(&page).await;

    page.reload().await;
    page.be_inside().await;
    page.see_text("#room-title", |title| title == room_name).await;
    page.hear(SCRIPT).await;
    let whole = page.ask("return document.body.textContent").await;
    assert!(!whole.as_str().unwrap().contains(OVERRIDES), "{whole}");
    assert_inert(&page).await;
    page.close().await;
}

/// The names that a refusal quotes are text as well.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_text() {
    let server = TestServer::start().await;
    let driver = Driver::start().await;
    let page = driver.browser().await;
    page.open(&server).await;
    page.fill("#username", "<img src=x>").await;
    page.fill("#password", PASSWORD).await;
    page.click("#do-register").await;
    page.see_text("#problem", |text| text.contains("user name")).await;
    let made = page.ask("return document.querySelectorAll('img').length").await;
    assert_eq!(made, 0);
    page.close().await;
}

/// Names with overrides would turn what stands beside them: they are refused, or shown without.
#[tokio::test(flavor = "multi_thread")]
async fn names_with_overrides_do_not_reach_the_page() {
    let server = TestServer::start().await;
    let driver = Driver::start().await;
    let page = driver.browser().await;
    page.open(&server).await;
    page.register("reader").await;
    page.enter("hall").await;
    if let Ok(mallory) = register_as(&server, "mallory", "\u{202e}nimda").await {
        let room = mallory.enter("hall").await;
        mallory.client.say(room.id, "trust me").await.unwrap();
        let (author, _) = page.hear("trust me").await;
        assert!(!author.contains(OVERRIDES), "a display name with an override is on the page: {author:?}");
    }
    if let Ok(room) = Person::register(&server, Transport::Quic, "eve").await.client.join("\u{202e}lla").await {
        assert!(!room.name.contains(OVERRIDES), "a room name with an override: {:?}", room.name);
    }
    page.close().await;
}
