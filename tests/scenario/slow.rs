//! A reader that stops reading is cut off, hurts nobody, and finds everything when it comes back.

use confab_protocol::command::ResumeOutcome;
use confab_protocol::model::Seq;

use super::bare_server;
use crate::support::raw::{PATIENCE, Raw, accounts, client_id, publish};
use crate::support::{TRANSPORTS, Transport};

/// Above all buffers between server and reader, its outbox included.
const MESSAGES: usize = 700;

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stops_is_closed_and_comes_back() {
    tokio::join!(stop_reading(Transport::Quic), stop_reading(Transport::WebSocket));
}

async fn stop_reading(transport: Transport) {
    let (server, target) = bare_server().await;
    let tokens = accounts(&server.config, &["writer", "stuck", "quick"]).await;
    let mut writer = Raw::enter(&target, Transport::Quic, &tokens[0].1).await;
    let room = writer.join("torrent").await;
    let mut stuck = Raw::enter(&target, transport, &tokens[1].1).await;
    stuck.join("torrent").await;
    let mut quick = Vec::new();
    for other in TRANSPORTS {
        let mut reader = Raw::enter(&target, other, &tokens[2].1).await;
        reader.join("torrent").await;
        reader.resume(room.id, room.incarnation, Seq(3)).await;
        quick.push(reader);
    }
    stuck.resume(room.id, room.incarnation, Seq(3)).await;
    assert_eq!(server.metric("confab_subscriptions").await, 3.0);

    let text = "\u{1f600}".repeat(4_000);
    let mut last = Seq(0);
    for _ in 0..MESSAGES / 10 {
        let mut asked = Vec::new();
        for _ in 0..10 {
            asked.push(writer.begin(publish(room.id, client_id(), &text)).await);
        }
        for id in asked {
            last = crate::support::raw::appended(writer.reply(id).await).seq;
        }
        // They keep up with every message, while the stuck one takes none.
        for reader in &mut quick {
            reader.hear_until(room.id, last).await;
        }
    }
    // First it lags, fed from the store; when it takes nothing at all it is closed.
    until(async || server.metric("confab_lagging_readers_total").await >= 1.0).await;
    until(async || server.metric(r#"confab_closes_total{code="SlowConsumer"}"#).await == 1.0).await;
    until(async || server.metric("confab_subscriptions").await == 2.0).await;

    let close = stuck.closed().await;
    assert!([4001, 0].contains(&close.code), "{close}");
    let known = stuck.heard.last().map_or(Seq(3), |(.., entry)| entry.seq);
    assert!(known < last, "it was cut off with entries to come");
    if close.code == 4001 {
        let told = close.cursor().expect("where it lags");
        assert_eq!((told.room, told.incarnation), (room.id, room.incarnation));
        assert!(Seq(3) <= told.seq && told.seq < last && close.reason.ends_with(" others=0"), "{close}");
        // A WebSocket's close stands behind what was written before it; QUIC drops what is on its way.
        assert!(transport == Transport::Quic || told.seq <= known, "{close}, and {known:?} arrived");
    }
    for pair in stuck.heard.windows(2) {
        assert_eq!(pair[1].2.seq, pair[0].2.seq.next(), "what it heard before has no gap");
    }
    let mut back = Raw::enter(&target, transport, &tokens[1].1).await;
    let resumed = back.resume(room.id, room.incarnation, known).await;
    assert_eq!((resumed.outcome, resumed.head), (ResumeOutcome::Recovered, last));
    let missed = back.hear_until(room.id, last).await;
    let seqs: Vec<u64> = missed.iter().map(|entry| entry.seq.0).collect();
    assert_eq!(seqs, (known.0 + 1..=last.0).collect::<Vec<_>>());
    until(async || server.metric("confab_subscriptions").await == 3.0).await;
}

/// A reader that only pauses gets everything over the same connection, in order, from the store.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_lags_is_fed_from_the_store() {
    for transport in TRANSPORTS {
        let (server, target) = bare_server().await;
        let tokens = accounts(&server.config, &["writer", "pausing"]).await;
        let mut writer = Raw::enter(&target, Transport::Quic, &tokens[0].1).await;
        let room = writer.join("torrent").await;
        let mut pausing = Raw::enter(&target, transport, &tokens[1].1).await;
        pausing.join("torrent").await;
        pausing.resume(room.id, room.incarnation, Seq(2)).await;
        let text = "\u{1f600}".repeat(4_000);
        let mut last = Seq(0);
        // Until its outbox overflows; that takes less than the ten seconds after which it would be closed.
        while server.metric("confab_lagging_readers_total").await == 0.0 {
            let asked: Vec<_> = (0..20).map(|_| publish(room.id, client_id(), &text)).collect();
            let mut ids = Vec::new();
            for ask in asked {
                ids.push(writer.begin(ask).await);
            }
            for id in ids {
                last = crate::support::raw::appended(writer.reply(id).await).seq;
            }
        }
        pausing.hear_until(room.id, last).await;
        // And it is live again.
        let id = writer.begin(publish(room.id, client_id(), "after")).await;
        let last = crate::support::raw::appended(writer.reply(id).await).seq;
        let heard = pausing.hear_until(room.id, last).await;
        let seqs: Vec<u64> = heard.iter().map(|entry| entry.seq.0).collect();
        assert_eq!(seqs, (3..=last.0).collect::<Vec<_>>(), "{transport:?}");
    }
}

/// Waits for something to become so.
pub(super) async fn until(is_so: impl AsyncFn() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("it never became so");
}
