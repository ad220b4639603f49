//! Certificates that change while the server runs, and early data, of which there is none.

use std::path::Path;
use std::sync::Arc;

use confab_client::{Client, Event, Options, Server};
use sha2::{Digest, Sha256};

use crate::support::process::{PATIENCE, Place, eventually};
use crate::support::{TRANSPORTS, TestServer, Transport};

/// A certificate of its own into these files; its fingerprint.
fn write_certificate(folder: &Path) -> String {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    Sha256::digest(made.cert.der()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn address(place: &Place, transport: Transport, pin: &str) -> Server {
    let url = match transport {
        Transport::Quic => format!("quic://{}", place.quic),
        Transport::WebSocket => format!("wss://{}", place.http),
    };
    Server::parse(&url).unwrap().pin(pin).unwrap()
}

/// Whether the server shows the certificate of this fingerprint.
async fn is_shown(place: &Place, transport: Transport, pin: &str) -> bool {
    let (_client, mut events) = Client::connect(Options::new(address(place, transport, pin)));
    let event = tokio::time::timeout(PATIENCE, events.recv()).await.unwrap().unwrap();
    matches!(event, Event::Welcome(_))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_replaced_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let first = write_certificate(folder.path());
    let file = |name: &str| folder.path().join(name);
    let keys = format!("tls.cert_file = {:?}\ntls.key_file = {:?}", file("cert.pem"), file("key.pem"));
    let place = Place::with(&keys);
    let server = place.serve();
    let mut before = Vec::new();
    for transport in TRANSPORTS {
        assert!(is_shown(&place, transport, &first).await, "{transport:?}");
        before.push(Client::connect(Options::new(address(&place, transport, &first))));
    }
    for (_, events) in &mut before {
        assert!(matches!(events.recv().await, Some(Event::Welcome(_))));
    }
    // What is no certificate changes nothing, and says so.
    let good = std::fs::read(file("cert.pem")).unwrap();
    std::fs::write(file("cert.pem"), "nonsense").unwrap();
    server.reload();
    eventually("it is refused", || place.err().contains("nothing was reloaded").then_some(()));
    assert!(is_shown(&place, Transport::Quic, &first).await);
    // Nor does a certificate without its key.
    let second = write_certificate(folder.path());
    let other = std::fs::read(file("cert.pem")).unwrap();
    std::fs::write(file("cert.pem"), good).unwrap();
    server.reload();
    eventually("it is refused", || (place.err().matches("nothing was reloaded").count() == 2).then_some(()));
    std::fs::write(file("cert.pem"), other).unwrap();
    server.reload();
    let deadline = std::time::Instant::now() + PATIENCE;
    while !is_shown(&place, Transport::Quic, &second).await {
        assert!(std::time::Instant::now() < deadline);
    }
    assert!(is_shown(&place, Transport::WebSocket, &second).await);
    assert!(!is_shown(&place, Transport::WebSocket, &first).await);
    // Those who were there stay.
    for (client, _) in &before {
        let asked = client.request(confab_client::Command::Ping).await;
        assert!(matches!(asked, Ok(confab_client::Reply::Pong(_))), "{asked:?}");
    }
}

/// A client that has been there before and would send early data is not let.
#[tokio::test(flavor = "multi_thread")]
async fn there_is_no_early_data() {
    let server = TestServer::start().await;
    let mut roots = rustls::RootCertStore::empty();
    let certificate = std::fs::read(server.config.data_dir.join("dev-cert/cert.der")).unwrap();
    roots.add(certificate.into()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider);
    let tls = tls.with_protocol_versions(&[&rustls::version::TLS13]).unwrap();
    let mut tls = tls.with_root_certificates(roots).with_no_client_auth();
    tls.alpn_protocols = vec![b"confab/1".to_vec()];
    tls.enable_early_data = true;
    let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(tls).unwrap();
    let config = quinn::ClientConfig::new(Arc::new(crypto));
    let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    for round in 0..3 {
        let connecting = endpoint.connect_with(config.clone(), server.addresses.quic, "localhost").unwrap();
        let connection = match connecting.into_0rtt() {
            Ok(_) => panic!("round {round}: early data was offered"),
            Err(connecting) => connecting.await.unwrap(),
        };
        // For the tickets, which come behind the handshake.
        let (mut send, _receive) = connection.open_bi().await.unwrap();
        send.write_all(&[0]).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        connection.close(0_u32.into(), b"");
    }
}
