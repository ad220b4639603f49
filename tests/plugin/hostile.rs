//! A guest that loops, traps, eats, floods and lies: what its author gets, what is counted, and that nobody
//! else notices.

mod table;

use std::time::Duration;

use confab_client::{Reply, Room};
use confab_protocol::model::Seq;
use confab_protocol::reject::{Reject, RejectCode};
use futures_util::future::join_all;
use tokio::time::Instant;

use super::{Outcome, folder, generous, plugins, post, publish};
use crate::support::people::{Person, message};
use crate::support::process::{Place, Running, eventually};
use crate::support::{TRANSPORTS, TestServer, Transport};

/// A budget of 5 ms CPU is at most 20 ms on the wall; the rest is for a busy machine.
const LOOP_ENDS_WITHIN: Duration = Duration::from_millis(20 + 2_000);

async fn hostile_server(is_generous: bool) -> TestServer {
    let folder = folder();
    TestServer::start_with(|config| {
        config.plugins = plugins(folder.path());
        if is_generous {
            config.plugins = generous(config.plugins.clone());
        }
    })
    .await
}

async fn traps(server: &TestServer, kind: &str) -> f64 {
    server.metric(&format!("confab_plugin_traps_total{{kind=\"{kind}\",plugin=\"hostile\"}}")).await
}

async fn verdicts(server: &TestServer, verdict: &str) -> f64 {
    let labels = format!("{{hook=\"message\",plugin=\"hostile\",verdict=\"{verdict}\"}}");
    server.metric(&format!("confab_plugin_verdicts_total{labels}")).await
}

async fn breaker(server: &TestServer) -> f64 {
    server.metric("confab_plugin_breaker_state{plugin=\"hostile\"}").await
}

fn is_held(outcome: &Outcome) -> bool {
    matches!(outcome, Ok(Reply::Held(case)) if !case.is_none())
}

fn refusal(outcome: &Outcome) -> &Reject {
    outcome.as_ref().expect_err("it should have been refused")
}

/// What does not survive is held, under the kind of its failure.
#[tokio::test(flavor = "multi_thread")]
async fn calls_that_do_not_survive_are_held_and_counted() {
    let server = hostile_server(true).await;
    let author = Person::register(&server, Transport::WebSocket, "author").await;
    let room = author.enter("tricks").await;
    for (body, kinds) in [
        ("loop", &["timeout"][..]),
        ("trap", &["trap"]),
        ("eat", &["memory"]),
        // Whichever stack ends first: the guest's own in its memory, or the one that the host gives it.
        ("deep", &["stack", "trap"]),
        ("flood", &["output"]),
    ] {
        let (mut before, mut after) = (0.0, 0.0);
        for kind in kinds {
            before += traps(&server, kind).await;
        }
        let outcome = post(&author, &room, body).await;
        assert!(is_held(&outcome), "{body}: {outcome:?}");
        for kind in kinds {
            after += traps(&server, kind).await;
        }
        assert_eq!(after - before, 1.0, "{body} is one of {kinds:?}");
        let next = post(&author, &room, &format!("after {body}")).await;
        assert!(matches!(next, Ok(Reply::Appended(_))), "{next:?}");
    }
    assert_eq!(verdicts(&server, "hold").await, 5.0);
    // With the author's name and the room's.
    assert_eq!(verdicts(&server, "allow").await, 7.0);
    assert_eq!(author.history(&room).await.len(), 5, "nothing that was held is in the room");
    assert_eq!(breaker(&server).await, 0.0);
}

/// What is decided is obeyed as far as it may be.
#[tokio::test(flavor = "multi_thread")]
async fn verdicts_are_bounded_and_said_in_the_guests_words() {
    let server = hostile_server(true).await;
    let author = Person::register(&server, Transport::Quic, "author").await;
    let room = author.enter("tricks").await;

    let bounced = post(&author, &room, "bounce").await;
    let bounced = refusal(&bounced);
    assert_eq!((bounced.code, bounced.detail.as_str()), (RejectCode::Bounced.number(), "say it nicer[31m"));
    let rejected = post(&author, &room, "reject").await;
    let rejected = refusal(&rejected);
    assert_eq!((rejected.code, rejected.detail.as_str()), (5001, "no"), "the private reason stays private");
    let blank = post(&author, &room, "blank").await;
    let blank = refusal(&blank);
    assert_eq!((blank.code, blank.detail.as_str()), (1010, RejectCode::BodyBlank.text()));
    assert!(is_held(&post(&author, &room, "hold").await));
    assert!(is_held(&post(&author, &room, "long").await), "a text past every limit is the plugin's fault");

    let upper = post(&author, &room, "upper").await;
    let Ok(Reply::Appended(upper)) = upper else { panic!("{upper:?}") };
    assert!(upper.altered && !upper.duplicate);
    let storm = post(&author, &room, "storm").await;
    let Ok(Reply::Appended(storm)) = storm else { panic!("{storm:?}") };
    assert!(!storm.altered);
    let expected = [(upper.seq, "UPPER".to_owned()), (storm.seq, "storm".to_owned())];
    assert_eq!(author.history(&room).await, expected);

    for (verdict, count) in [("bounce", 1.0), ("reject", 1.0), ("replace", 2.0), ("hold", 2.0), ("allow", 3.0)] {
        assert_eq!(verdicts(&server, verdict).await, count, "{verdict}");
    }
    for kind in ["timeout", "trap", "memory", "stack", "output", "error"] {
        assert_eq!(traps(&server, kind).await, 0.0, "{kind}: to say no is no failure");
    }
}

/// A replacement that no body may be is not posted, and the author is not told that a message of his, which
/// is not blank, was blank.
#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_with_a_nul_is_the_plugins_fault() {
    let server = hostile_server(true).await;
    let author = Person::register(&server, Transport::WebSocket, "author").await;
    let room = author.enter("tricks").await;
    let outcome = post(&author, &room, "nul").await;
    assert!(!matches!(outcome, Ok(Reply::Appended(_))));
    assert_eq!(author.history(&room).await, []);
    assert!(is_held(&outcome), "held for review like any other failure of a plugin: {outcome:?}");
}

/// The same id again has the same outcome, and the plugin is not asked again.
#[tokio::test(flavor = "multi_thread")]
async fn a_resend_gets_the_recorded_outcome() {
    let server = hostile_server(true).await;
    for transport in TRANSPORTS {
        let author = Person::register(&server, transport, &format!("author-{transport:?}")).await;
        let room = author.enter("tricks").await;
        for body in ["hold", "trap", "reject", "bounce", "blank"] {
            let id = author.client.new_client_id();
            let first = publish(&author, &room, id, false, body).await;
            let decided = verdicts(&server, "hold").await + verdicts(&server, "reject").await;
            let resent = publish(&author, &room, id, true, body).await;
            assert_eq!(first, resent, "{body}");
            assert_eq!(decided, verdicts(&server, "hold").await + verdicts(&server, "reject").await);
            let other = publish(&author, &room, id, true, "something else").await;
            assert!(refusal(&other).is(RejectCode::ClientIdReused), "{body}: {other:?}");
        }
        let id = author.client.new_client_id();
        let Ok(Reply::Appended(first)) = publish(&author, &room, id, false, "upper").await else { panic!() };
        let Ok(Reply::Appended(again)) = publish(&author, &room, id, true, "upper").await else { panic!() };
        assert_eq!((again.seq, again.altered, again.duplicate), (first.seq, true, true));
    }
}

/// What a client id stands for is decided once, resend or not, on one connection or two.
#[tokio::test(flavor = "multi_thread")]
async fn an_id_is_decided_once_also_without_the_resend_flag() {
    let server = hostile_server(true).await;
    let author = Person::register(&server, Transport::WebSocket, "author").await;
    let room = author.enter("tricks").await;
    for body in ["hold", "trap", "reject"] {
        let id = author.client.new_client_id();
        let first = publish(&author, &room, id, false, body).await;
        assert_eq!(first, publish(&author, &room, id, false, body).await, "{body}: another case or another word");
        let other = publish(&author, &room, id, false, "bounce").await;
        assert!(refusal(&other).is(RejectCode::ClientIdReused), "{body}: {other:?}");
    }
    let twin = Person::login(&server, Transport::Quic, "author").await;
    for _ in 0..20 {
        let id = author.client.new_client_id();
        let (one, two) =
            tokio::join!(publish(&author, &room, id, false, "hold"), publish(&twin, &room, id, true, "hold"));
        assert!(is_held(&one), "{one:?}");
        assert_eq!(one, two, "one message, one case");
    }
}

/// One author loops all the time; another talks elsewhere meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_looping_plugin_is_stopped_while_others_talk() {
    let server = hostile_server(false).await;
    let looper = Person::register(&server, Transport::WebSocket, "looper").await;
    let talker = Person::register(&server, Transport::Quic, "talker").await;
    let (dark, bright) = (looper.enter("dark").await, talker.enter("bright").await);
    let (done, mut is_done) = tokio::sync::oneshot::channel();
    let talking = tokio::spawn(async move {
        let mut longest = Duration::ZERO;
        for n in 0..50 {
            let start = Instant::now();
            talker.client.say(bright.id, &format!("word {n}")).await.unwrap();
            longest = longest.max(start.elapsed());
        }
        done.send(()).unwrap();
        (talker, bright, longest)
    });
    let (mut loops, mut longest) = (0, Duration::ZERO);
    while loops < 20 || is_done.try_recv().is_err() && !talking.is_finished() {
        let start = Instant::now();
        assert!(is_held(&post(&looper, &dark, "loop").await));
        longest = longest.max(start.elapsed());
        loops += 1;
    }
    let (talker, bright, longest_word) = talking.await.unwrap();
    eprintln!("{loops} loops, the longest {longest:?}; 50 messages elsewhere, the longest {longest_word:?}");
    assert!(longest < LOOP_ENDS_WITHIN, "{longest:?}");
    assert!(longest_word < LOOP_ENDS_WITHIN, "{longest_word:?}");
    assert_eq!(talker.history(&bright).await.len(), 50);
    assert_eq!(traps(&server, "timeout").await, f64::from(loops));
    assert_eq!(breaker(&server).await, 0.0, "one author alone opens nothing");
}

/// Five authors open the breaker; the declared rule holds until a probe goes well.
#[tokio::test(flavor = "multi_thread")]
async fn the_breaker_opens_for_five_authors_and_closes_by_a_probe() {
    let server = hostile_server(true).await;
    let first = Person::register(&server, Transport::WebSocket, "author-0").await;
    let room = first.enter("tricks").await;
    for _ in 0..30 {
        assert!(is_held(&post(&first, &room, "trap").await));
    }
    assert_eq!(breaker(&server).await, 0.0, "one author repeats a trapping message");
    assert!(matches!(post(&first, &room, "still fine").await, Ok(Reply::Appended(_))));

    let mut others = Vec::new();
    for n in 1..5 {
        assert_eq!(breaker(&server).await, 0.0, "{n} authors");
        let other = Person::register(&server, Transport::WebSocket, &format!("author-{n}")).await;
        other.enter("tricks").await;
        assert!(is_held(&post(&other, &room, "trap").await));
        others.push(other);
    }
    assert_eq!(breaker(&server).await, 2.0);
    let trapped = traps(&server, "trap").await;
    assert!(is_held(&post(&first, &room, "innocent").await), "on_error = hold");
    assert!(is_held(&post(&others[0], &room, "trap").await));
    assert_eq!(traps(&server, "trap").await, trapped, "an open breaker makes no calls");

    // The pause is 5 s; the first message after it is the probe.
    let opened = Instant::now();
    loop {
        match post(&first, &room, "are you well?").await {
            Ok(Reply::Appended(_)) => break,
            outcome => assert!(is_held(&outcome), "{outcome:?}"),
        }
        assert!(opened.elapsed() < Duration::from_secs(20), "it never probed");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(breaker(&server).await, 0.0);
    assert!(matches!(post(&others[0], &room, "well again").await, Ok(Reply::Appended(_))));
}

/// Every failure costs an instance; none of them stays. A process of its own, so that nobody else counts.
#[tokio::test(flavor = "multi_thread")]
async fn memory_returns_after_five_hundred_traps() {
    const GROWTH_MAX: u64 = 64 << 20;
    let folder = folder();
    let place = Place::with(&format!(
        "plugins.dir = {:?}\nplugins.chain = [\"sanitize\", \"hostile\"]\nplugins.grant.hostile = [\"log\", \"kv\"]",
        folder.path()
    ));
    let server = place.serve();
    let author = place.register(Transport::WebSocket, "author").await;
    let room = author.enter("tricks").await;
    let bodies = ["trap", "eat", "flood", "deep", "trap"];
    for body in bodies {
        assert!(is_held(&post(&author, &room, body).await));
    }
    let before = server.resident_bytes();
    for n in 0..500 {
        assert!(is_held(&post(&author, &room, bodies[n % bodies.len()]).await));
    }
    let after = eventually("the memory returns", || {
        let after = server.resident_bytes();
        (after < before + GROWTH_MAX).then_some(after)
    });
    eprintln!("resident: {} KiB before 500 failures, {} KiB after", before >> 10, after >> 10);
    assert!(matches!(post(&author, &room, "fine").await, Ok(Reply::Appended(_))));
    assert_eq!(place.metric("confab_plugin_breaker_state{plugin=\"hostile\"}"), 0.0);
}

/// All memory that a process asked for, used or not, bytes.
fn mapped_bytes(running: &Running) -> u64 {
    let statm = std::fs::read_to_string(format!("/proc/{}/statm", running.pid())).unwrap();
    // In pages, which are at least of this size.
    statm.split(' ').next().unwrap().parse::<u64>().unwrap() * 4096
}

/// Says what only a fresh instance answers with "1", so many times.
async fn ask_fresh_instances(author: &Person, room: &Room, count: usize) {
    const AT_ONCE: usize = 25;
    for _ in 0..count / AT_ONCE {
        for outcome in join_all((0..AT_ONCE).map(|_| post(author, room, "again"))).await {
            assert!(matches!(&outcome, Ok(Reply::Appended(it)) if it.altered), "{outcome:?}");
        }
    }
}

/// With an instance for each call there are as many as messages, and none of them stays: neither what they wrote to,
/// which is some ten pages each, nor the 64 MiB of addresses that each may grow into. A process of its own, as above.
#[tokio::test(flavor = "multi_thread")]
async fn memory_returns_after_ten_thousand_instances() {
    const INSTANCES: usize = 10_000;
    const RESIDENT_GROWTH_MAX: u64 = 64 << 20;
    const MAPPED_GROWTH_MAX: u64 = 4 << 30;
    let folder = folder();
    let place = Place::with(&format!(
        "plugins.dir = {:?}\nplugins.chain = [\"sanitize\", \"hostile\"]\nplugins.grant.hostile = [\"log\", \"kv\"]\n\
         plugins.isolation.hostile = \"per-call\"\nplugins.call_budget_ms = 500\nplugins.chain_budget_ms = 2000",
        folder.path()
    ));
    let server = place.serve();
    let author = place.register(Transport::WebSocket, "author").await;
    // Nobody reads along: what is pushed is not what this is about.
    let room = author.client.join("tricks").await.unwrap();
    ask_fresh_instances(&author, &room, 500).await;
    let (resident, mapped) = (server.resident_bytes(), mapped_bytes(&server));
    ask_fresh_instances(&author, &room, INSTANCES).await;
    let (after, mapped_after) = eventually("the memory returns", || {
        let (after, mapped_after) = (server.resident_bytes(), mapped_bytes(&server));
        let is_back = after < resident + RESIDENT_GROWTH_MAX && mapped_after < mapped + MAPPED_GROWTH_MAX;
        is_back.then_some((after, mapped_after))
    });
    eprintln!(
        "resident: {} KiB before {INSTANCES} instances, {} KiB after; mapped: {} MiB and {} MiB",
        resident >> 10,
        after >> 10,
        mapped >> 20,
        mapped_after >> 20
    );
    let page = author.client.history(room.id, Seq(0), 0).await.unwrap();
    let said: Vec<String> = page.entries.iter().filter_map(|entry| message(&entry.payload)).collect();
    assert!(!said.is_empty() && said.iter().all(|text| text == "1"), "an instance was used again: {said:?}");
    let replaced = "confab_plugin_verdicts_total{hook=\"message\",plugin=\"hostile\",verdict=\"replace\"}";
    assert_eq!(place.metric(replaced), (INSTANCES + 500) as f64);
}
