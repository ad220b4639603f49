//! Which server, over which transport, and how it proves who it is.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};

/// How frames travel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Transport {
    Quic,
    WebSocket { tls: bool },
}

/// A server's address.
#[derive(Clone, Debug)]
pub struct Server {
    pub(crate) transport: Transport,
    pub(crate) host: String,
    pub(crate) port: u16,
    pin: Option<[u8; 32]>,
}

/// An address that cannot be one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the texts say it")]
pub enum ServerError {
    #[error("an address is quic://host:port, ws://host:port or wss://host:port")]
    Address,
    #[error("a pin is the SHA-256 of the server's certificate: 64 hex digits")]
    Pin,
}

impl Server {
    /// Reads `quic://host:port`, `ws://host:port` or `wss://host:port`.
    ///
    /// # Errors
    /// Another form.
    pub fn parse(address: &str) -> Result<Self, ServerError> {
        let (scheme, rest) = address.split_once("://").ok_or(ServerError::Address)?;
        let transport = match scheme {
            "quic" => Transport::Quic,
            "ws" => Transport::WebSocket { tls: false },
            "wss" => Transport::WebSocket { tls: true },
            _ => return Err(ServerError::Address),
        };
        let (host, port) = rest.trim_end_matches('/').rsplit_once(':').ok_or(ServerError::Address)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = port.parse().map_err(|_| ServerError::Address)?;
        if host.is_empty() { Err(ServerError::Address) } else { Ok(Self { transport, host, port, pin: None }) }
    }

    /// Trusts exactly the certificate of this SHA-256, given in hex; for self-signed ones.
    ///
    /// # Errors
    /// Anything but 64 hex digits.
    pub fn pin(mut self, hex: &str) -> Result<Self, ServerError> {
        let mut pin = [0; 32];
        let hex = hex.trim();
        if hex.len() != 64 || !hex.is_ascii() {
            return Err(ServerError::Pin);
        }
        for (byte, digits) in pin.iter_mut().zip(hex.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| ServerError::Pin)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| ServerError::Pin)?;
        }
        self.pin = Some(pin);
        Ok(self)
    }

    /// TLS as this server is to be trusted; TLS 1.3 only, no early data.
    pub(crate) fn tls(&self, alpn: Option<&[u8]>) -> Result<ClientConfig, rustls::Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?;
        let mut config = match self.pin {
            Some(pin) => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Pin { pin, provider }))
                .with_no_client_auth(),
            None => {
                let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
                builder.with_root_certificates(roots).with_no_client_auth()
            }
        };
        config.alpn_protocols = alpn.into_iter().map(<[u8]>::to_vec).collect();
        Ok(config)
    }
}

/// Accepts one certificate and no other.
#[derive(Debug)]
struct Pin {
    pin: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pin {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if Sha256::digest(end_entity)[..] == self.pin {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let server = Server::parse("quic://localhost:8443").unwrap();
        assert_eq!((server.transport, server.host.as_str(), server.port), (Transport::Quic, "localhost", 8443));
        assert_eq!(Server::parse("wss://[::1]:1/").unwrap().host, "::1");
        for bad in ["localhost:1", "http://x:1", "ws://x", "ws://:1", "ws://x:99999"] {
            assert_eq!(Server::parse(bad).err(), Some(ServerError::Address), "{bad}");
        }
        assert!(Server::parse("ws://x:1").unwrap().pin(&"aB".repeat(32)).is_ok());
        assert!(Server::parse("ws://x:1").unwrap().pin("ab").is_err());
    }
}
