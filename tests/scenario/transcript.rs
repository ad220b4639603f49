//! The transcript test: scripts of raw frames, run over QUIC and over WebSocket, on the embedded store and on Postgres,
//! with the same text in the end.
//! Ids and incarnations get names in the order of their appearance, times and tokens are left out. Pushes have
//! no order relative to replies, so a script says where it listens, and they are told per room by seq.

mod accounts;
mod amend;
mod cases;
mod door;
mod held;
mod here;
mod log;
mod names;
mod rights;
mod rooms;
mod search;
mod shadow;
mod stage;
mod standing;
mod wrong;

use expect_test::Expect;

use self::stage::Stage;
use crate::support::Transport;
use crate::support::postgres::fresh_url;

/// Runs a script over both transports.
async fn check(script: impl AsyncFn(&mut Stage), expected: Expect) {
    check_with(&[], script, expected).await;
}

/// The same, with plugins.
async fn check_with(plugins: &[&str], script: impl AsyncFn(&mut Stage), expected: Expect) {
    let mut transcripts = Vec::new();
    let postgres = fresh_url().await;
    for (transport, url) in
        [(Transport::Quic, None), (Transport::WebSocket, None), (Transport::WebSocket, Some(postgres))]
    {
        let mut stage = Stage::new(transport, plugins, url).await;
        script(&mut stage).await;
        transcripts.push(stage.finish().await);
    }
    let [quic, websocket, postgres] = transcripts.try_into().unwrap_or_else(|_| unreachable!());
    assert_eq!(quic, websocket, "QUIC (left) and WebSocket differ");
    assert_eq!(websocket, postgres, "the embedded store (left) and Postgres differ");
    expected.assert_eq(&websocket);
}
