//! The transcript test: scripts of raw frames, run over QUIC and over WebSocket, with the same text in the end.
//! Ids and incarnations get names in the order of their appearance, times and tokens are left out. Pushes have
//! no order relative to replies, so a script says where it listens, and they are told per room by seq.

mod accounts;
mod log;
mod rooms;
mod stage;
mod wrong;

use expect_test::Expect;

use self::stage::Stage;
use crate::support::Transport;

/// Runs a script over both transports.
async fn check(script: impl AsyncFn(&mut Stage), expected: Expect) {
    check_with(&[], script, expected).await;
}

/// The same, with plugins.
async fn check_with(plugins: &[&str], script: impl AsyncFn(&mut Stage), expected: Expect) {
    let mut transcripts = Vec::new();
    for transport in [Transport::Quic, Transport::WebSocket] {
        let mut stage = Stage::new(transport, plugins).await;
        script(&mut stage).await;
        transcripts.push(stage.finish().await);
    }
    let [quic, websocket] = transcripts.try_into().unwrap_or_else(|_| unreachable!());
    assert_eq!(quic, websocket, "QUIC (left) and WebSocket differ");
    expected.assert_eq(&websocket);
}
