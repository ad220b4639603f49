//! A plugin comes that would refuse what was posted before it: what is sent again is what it was, and only what is new is
//! refused. On both stores.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use confab::config::Plugins;
use confab_client::Reply;
use confab_protocol::model::{ClientId, Seq};
use futures_util::StreamExt;
use futures_util::stream::iter;

use super::{folder, generous, plugins, post, publish};
use crate::support::people::Person;
use crate::support::postgres::fresh_url;
use crate::support::{TestServer, Transport};

const MESSAGES: usize = 1_000;
/// Of each of two connections.
const IN_FLIGHT: usize = 32;
/// What the hostile guest refuses, and nobody else.
const TEXT: &str = "reject";

#[tokio::test(flavor = "multi_thread")]
async fn a_resend_is_what_it_was_although_a_new_plugin_would_refuse_it() {
    resend_past_a_new_plugin(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_it_is_on_postgres() {
    resend_past_a_new_plugin(Some(fresh_url().await)).await;
}

async fn resend_past_a_new_plugin(url: Option<String>) {
    let folder = folder();
    let refusing = generous(plugins(folder.path()));
    let server = TestServer::start_with(|config| {
        config.store.url = url;
        config.plugins = Plugins { chain: vec!["sanitize".into()], grant: BTreeMap::new(), ..refusing.clone() };
    })
    .await;
    let author = Person::register(&server, Transport::WebSocket, "author").await;
    let twin = Person::login(&server, Transport::Quic, "author").await;
    // Nobody reads along: what is pushed is not what this is about.
    let room = author.client.join("den").await.unwrap();
    let ids: Vec<ClientId> = (0..MESSAGES).map(|_| author.client.new_client_id()).collect();
    let say = async |person: &Person, resend: bool| {
        let saying = ids.iter().map(|id| publish(person, &room, *id, resend, TEXT));
        let told: Vec<_> = iter(saying).buffered(IN_FLIGHT).collect().await;
        let appended = told.into_iter().map(|outcome| match outcome {
            Ok(Reply::Appended(appended)) if appended.duplicate == resend => appended.seq,
            other => panic!("{other:?}"),
        });
        appended.collect::<Vec<Seq>>()
    };
    let places = say(&author, false).await;

    let is_there = AtomicBool::new(false);
    let take_up = async {
        let (reloader, mut config) = (server.reloader.clone(), server.config.clone());
        config.plugins = refusing.clone();
        tokio::task::spawn_blocking(move || reloader.reload(&config)).await.unwrap().unwrap();
        is_there.store(true, Ordering::SeqCst);
    };
    // All of it again and again while the plugin comes, and once more when it is there.
    let again = async |person: &Person| {
        let mut is_last = false;
        while !is_last {
            is_last = is_there.load(Ordering::SeqCst);
            assert_eq!(say(person, true).await, places);
        }
    };
    tokio::join!(take_up, again(&author), again(&twin));
    let refused = post(&twin, &room, TEXT).await.expect_err("something new is refused");
    assert_eq!(refused.detail, "no", "by the plugin: {refused:?}");
    assert_eq!(author.history(&room).await.len(), MESSAGES);
}
