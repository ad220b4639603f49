//! QUIC connections that trust the server's development certificate and read no more than they must.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use confab::transport::quic::ALPN;
use confab_protocol::frame::{put_frame, take_frame};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, Endpoint, RecvStream, SendStream, TransportConfig};

use super::session::Wire;

/// More would overflow the buffer of their one UDP socket when a burst comes, and measure losses.
const CONNECTIONS_PER_ENDPOINT: usize = 8;
/// Above the server's, which then holds.
const IDLE_TIMEOUT: Duration = Duration::from_secs(120);

/// Opens connections, a few on each socket.
pub(crate) struct QuicClients {
    config: quinn::ClientConfig,
    endpoints: Vec<Endpoint>,
    opened: usize,
}

impl QuicClients {
    /// Of a server with this certificate, DER.
    pub(crate) fn trusting(certificate: Vec<u8>) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificate.into()).expect("a certificate");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("the provider knows TLS 1.3");
        let mut tls = tls.with_root_certificates(roots).with_no_client_auth();
        tls.alpn_protocols = vec![ALPN.to_vec()];
        let mut transport = TransportConfig::default();
        transport.max_idle_timeout(Some(IDLE_TIMEOUT.try_into().expect("in the bounds of QUIC")));
        let crypto = QuicClientConfig::try_from(tls).expect("TLS 1.3 has the cipher suites");
        let mut config = quinn::ClientConfig::new(Arc::new(crypto));
        config.transport_config(Arc::new(transport));
        Self { config, endpoints: Vec::new(), opened: 0 }
    }

    /// Opens one connection.
    pub(crate) async fn connect(&mut self, address: SocketAddr) -> Connection {
        if self.opened.is_multiple_of(CONNECTIONS_PER_ENDPOINT) {
            let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into());
            self.endpoints.push(endpoint.expect("a free UDP port"));
        }
        self.opened += 1;
        let endpoint = self.endpoints.last().expect("just made");
        let connecting = endpoint.connect_with(self.config.clone(), address, "localhost").expect("a good address");
        connecting.await.expect("the server shakes hands")
    }
}

/// The control stream of a connection.
pub(crate) struct Control {
    pub(crate) connection: Connection,
    sending: SendStream,
    receiving: RecvStream,
    received: BytesMut,
}

impl Control {
    /// Opens it; the server sees it with the first frame.
    pub(crate) async fn open(connection: Connection) -> Self {
        let (sending, receiving) = connection.open_bi().await.expect("an open connection");
        Self { connection, sending, receiving, received: BytesMut::new() }
    }
}

impl Wire for Control {
    async fn send(&mut self, frames: &[Bytes]) {
        let mut out = Vec::new();
        for frame in frames {
            put_frame(&mut out, frame);
        }
        self.sending.write_all(&out).await.expect("an open connection");
    }

    async fn recv(&mut self) -> Bytes {
        loop {
            if let Some(frame) = take_frame(&mut self.received).expect("frames within the bound") {
                return frame;
            }
            let chunk = self.receiving.read_chunk(usize::MAX, true).await.expect("an open connection");
            self.received.extend_from_slice(&chunk.expect("an open stream").bytes);
        }
    }
}
