//! People register, log in and talk on the page, with each other and with those who came another way; the
//! page survives a reload and a restart of the server.

use std::sync::Arc;
use std::time::Duration;

use confab_client::Command;
use tokio::time::Instant;

use super::browser::Driver;
use crate::support::people::Person;
use crate::support::process::free_port;
use crate::support::{TestServer, Transport};

#[tokio::test(flavor = "multi_thread")]
async fn two_pages_and_a_quic_client_talk_in_one_room() {
    let server = TestServer::start().await;
    let driver = Driver::start().await;
    let (alice, bob) = (driver.browser().await, driver.browser().await);
    for (page, name) in [(&alice, "alice"), (&bob, "bob")] {
        page.open(&server).await;
        page.register(name).await;
        page.enter("tea room").await;
    }
    let mut carol = Person::register(&server, Transport::Quic, "carol").await;
    let room = carol.enter("tea room").await;

    bob.see_text("#here", |text| text.starts_with("3 here") && text.contains("carol")).await;
    carol.client.request(Command::Typing { room: room.id, stopped: false }).await.unwrap();
    bob.see_text("#typing", |text| text == "carol is typing \u{2026}").await;
    carol.client.request(Command::Typing { room: room.id, stopped: true }).await.unwrap();
    bob.see_text("#typing", str::is_empty).await;
    alice.write("good").await;
    bob.see_text("#typing", |text| text == "alice is typing \u{2026}").await;

    alice.say("good morning").await;
    bob.see_text("#typing", str::is_empty).await;
    assert_eq!(bob.hear("good morning").await.0, "alice");
    assert_eq!(alice.hear("good morning").await.0, "alice");
    assert_eq!(carol.hear().await[0].1, "good morning");
    bob.say("milk or lemon?").await;
    assert_eq!(alice.hear("milk or lemon?").await.0, "bob");
    assert_eq!(carol.hear().await[0].1, "milk or lemon?");
    let said = carol.client.say(room.id, "両方 🍋\nplease").await.unwrap();
    for page in [&alice, &bob] {
        assert_eq!(page.hear("両方 🍋\nplease").await.0, "carol");
        let texts: Vec<String> = page.messages().await.into_iter().map(|(_, text)| text).collect();
        assert_eq!(texts, ["good morning", "milk or lemon?", "両方 🍋\nplease"], "in the order of the log");
        let shown = page.ask("return [...document.querySelectorAll('#messages li')].map((li) => li.dataset.seq)").await;
        assert!(shown.as_array().unwrap().contains(&said.seq.0.to_string().into()));
        assert_eq!(page.ask("return document.querySelectorAll('#drafts li').length").await, 0, "all was kept");
    }
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/page.png");
    std::fs::write(path, bob.screenshot().await).unwrap();

    for page in [alice, bob] {
        assert_eq!(page.log().await, [""; 0], "neither errors nor violations of the policy");
        page.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_shows_the_history() {
    let server = TestServer::start().await;
    let driver = Driver::start().await;
    let page = driver.browser().await;
    page.open(&server).await;
    page.register("alice").await;
    page.enter("diary").await;
    page.say("day one").await;
    page.hear("day one").await;
    page.say("day two").await;
    page.hear("day two").await;

    page.click("#leave").await;
    page.see_text("#news", |text| text == "Logged out.").await;
    page.login("alice", "wrong password").await;
    page.see_text("#problem", |text| text.contains("user name or password is wrong")).await;
    page.login("nobody", "wrong password").await;
    page.see_text("#problem", |text| text.contains("user name or password is wrong")).await;
    page.login("alice", crate::support::people::PASSWORD).await;
    page.be_inside().await;
    assert_eq!(page.ask("return document.querySelector('#problem').textContent").await, "");
    page.enter("diary").await;
    page.hear("day two").await;
    let texts: Vec<String> = page.messages().await.into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["day one", "day two"]);

    page.click("#leave").await;
    page.see("#door:not([hidden])").await;
    page.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_refuses_is_said_on_the_page() {
    let server = TestServer::start().await;
    let _taken = Person::register(&server, Transport::Quic, "alice").await;
    let driver = Driver::start().await;
    let page = driver.browser().await;
    page.open(&server).await;
    page.fill("#username", "alice").await;
    page.fill("#password", "long enough").await;
    page.click("#do-register").await;
    page.see_text("#problem", |text| text.contains("taken")).await;
    page.fill("#username", "not a name").await;
    page.click("#do-register").await;
    page.see_text("#problem", |text| text.contains("user name")).await;
    page.register("bob").await;
    // What a plugin leaves nothing of is not sent, and the draft says so.
    page.say("\u{200b}\u{200b}").await;
    page.see_text("#drafts", |text| text.contains("not sent: the message is blank")).await;
    page.say("fine").await;
    page.hear("fine").await;
    page.close().await;
}

/// A server on fixed ports, once its predecessor has let go of them.
async fn serve(folder: &Arc<tempfile::TempDir>, ports: [u16; 3]) -> TestServer {
    let local = |port| std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let deadline = Instant::now() + Duration::from_secs(20);
    let is_free =
        |port| std::net::TcpListener::bind(local(port)).is_ok() && std::net::UdpSocket::bind(local(port)).is_ok();
    while !ports.into_iter().all(is_free) {
        assert!(Instant::now() < deadline, "the ports are still taken");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    TestServer::start_in(Arc::clone(folder), |config| {
        config.listen.http = local(ports[0]);
        config.listen.quic = local(ports[1]);
        config.listen.ops = local(ports[2]);
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_comes_back_when_the_server_does() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let ports = [free_port(), free_port(), free_port()];
    let driver = Driver::start().await;
    let page = driver.browser().await;
    let server = serve(&folder, ports).await;
    page.open(&server).await;
    page.register("alice").await;
    page.enter("harbour").await;
    page.say("before the storm").await;
    page.hear("before the storm").await;

    drop(server);
    page.see("body[data-online=false]").await;
    assert!(page.text("#status").await.contains("offline"), "{}", page.text("#status").await);
    // Typed while nobody listens: it is sent when somebody does.
    page.say("into the storm").await;
    let server = serve(&folder, ports).await;
    let mut bob = Person::register(&server, Transport::Quic, "bob").await;
    let room = bob.enter("harbour").await;
    page.see("body[data-online=true]").await;
    page.hear("into the storm").await;
    bob.client.say(room.id, "after the storm").await.unwrap();
    assert_eq!(page.hear("after the storm").await.0, "bob");
    page.say("all is well").await;
    loop {
        if bob.hear().await.iter().any(|(_, text)| text == "all is well") {
            break;
        }
    }
    // The page may be told later than the other reader.
    page.hear("all is well").await;
    let texts: Vec<String> = page.messages().await.into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["before the storm", "into the storm", "after the storm", "all is well"], "each once");
    page.close().await;
}
