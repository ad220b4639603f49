//! A guest that grows a table without end, beside people who write to a server that has it.

mod module;

use std::path::Path;

use confab::config::{Config, Plugins};
use confab_client::Reply;

use self::module::{MANIFEST, component};
use super::super::{folder, generous, post};
use super::is_held;
use crate::support::guests::load;
use crate::support::people::Person;
use crate::support::{TestServer, Transport};

/// Beside the stock filter.
fn plugins(folder: &Path, elements: usize) -> Plugins {
    std::fs::write(folder.join("table.wasm"), component(elements)).unwrap();
    std::fs::write(folder.join("table.toml"), MANIFEST).unwrap();
    let chain = vec!["sanitize".into(), "table".into()];
    generous(Plugins { dir: Some(folder.to_owned()), chain, ..Config::default().plugins })
}

/// It gets no more elements than it may have, and what it does then is its author's to bear alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_bomb_is_refused_and_the_server_goes_on() {
    let folder = folder();
    let server = TestServer::start_with(|config| config.plugins = plugins(folder.path(), 0)).await;
    let author = Person::register(&server, Transport::WebSocket, "author").await;
    let other = Person::register(&server, Transport::Quic, "other").await;
    let (dark, bright) = (author.enter("dark").await, other.enter("bright").await);
    for n in 1..=20 {
        let outcome = post(&author, &dark, "table").await;
        assert!(is_held(&outcome), "it had 100,000 elements: {outcome:?}");
        // Not that it took too long.
        assert_eq!(server.metric("confab_plugin_traps_total{kind=\"trap\",plugin=\"table\"}").await, f64::from(n));
        for (person, room) in [(&author, &dark), (&other, &bright)] {
            let next = post(person, room, "a word").await;
            assert!(matches!(next, Ok(Reply::Appended(_))), "{next:?}");
        }
    }
    assert_eq!(author.history(&dark).await.len(), 20, "nothing that was held is in the room");
    assert_eq!(server.metric("confab_plugin_breaker_state{plugin=\"table\"}").await, 0.0);
}

#[test]
fn a_table_that_is_too_large_to_begin_with_is_told_at_load() {
    let folder = folder();
    assert!(load(&plugins(folder.path(), 20_000)).is_ok());
    let Err(error) = load(&plugins(folder.path(), 20_001)) else { panic!("it was loaded") };
    assert!(error.contains("plugin table") && error.contains("cannot be instantiated"), "{error}");
}
