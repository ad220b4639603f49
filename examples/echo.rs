//! An echo behind the server's own accept path: the listener, the gate, the handshake and the link are the server's, and
//! only what serves the link is not. Autobahn's fuzzing client wants one (`cargo xtask attack autobahn`): it asks for no
//! subprotocol, sends messages of 16 MiB, and text, which must come back as text.
//!
//! Prints its address and ends with its standard input.

use std::future::poll_fn;
use std::sync::Arc;

use axum::Router;
use confab::http::{self, Door, Origins, Sockets};
use confab::lifecycle::Lifecycle;
use confab::metrics::Metrics;
use confab::transport::gate::Gate;
use confab::transport::websocket::{Kinds, Terms, WebSocketLink};
use confab::transport::{Lane, Link, LinkError, Received};
use confab_protocol::close::Close;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

const TERMS: Terms = Terms { subprotocol: None, message_bytes_max: 16 * 1024 * 1024, kinds: Kinds::AsTheyCome };
/// The fuzzing client opens one connection at a time.
const CONNECTIONS_MAX: usize = 16;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let (lifecycle, metrics) = (Lifecycle::default(), Metrics::new());
    let on_socket = {
        let lifecycle = lifecycle.clone();
        Arc::new(move |link, _, ticket| {
            lifecycle.spawn(async move {
                echo(link).await;
                drop(ticket);
            });
        })
    };
    let sockets = Sockets {
        terms: TERMS,
        origins: Origins::new(&[]),
        on_socket,
        metrics: metrics.clone(),
        lifecycle: lifecycle.clone(),
    };
    let routes = Router::new().route("/ws", http::upgrades(sockets));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("ws://{}/ws", listener.local_addr()?);
    let gate = Gate::new(CONNECTIONS_MAX, CONNECTIONS_MAX);
    let door = Door { listener, tls: None, proxies: Arc::new([]), gate };
    lifecycle.spawn(http::accept(door, routes, metrics, lifecycle.clone()));
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    lifecycle.shut_down().await;
    Ok(())
}

/// As the server's driver does: one thing is read, everything that is due is written.
async fn echo(mut link: WebSocketLink) {
    let code = loop {
        match poll_fn(|cx| link.poll_recv(cx)).await {
            Ok(Received::Frame(frame)) => link.feed(Lane::Entries, frame),
            Ok(Received::Alive) => {}
            Ok(Received::End) | Err(LinkError::Lost) => return,
            // Numbers of RFC 6455, section 7.4.1, for these are what is looked at here.
            Err(LinkError::Malformed) => break 1002,
            Err(LinkError::Text) => break 1007,
            Err(LinkError::TooLarge) => break 1009,
        }
        if poll_fn(|cx| link.poll_flush(cx)).await.is_err() {
            return;
        }
    };
    link.close(Close { code, reason: String::new() }).await;
}
