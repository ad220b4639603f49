//! Certificates and TLS settings, for HTTPS, WSS and QUIC alike; one crypto provider, passed explicitly.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};

use crate::{config, files};

/// Length of the key of stateless resets.
const RESET_KEY_BYTES: usize = 32;

/// A certificate chain with its key.
pub struct Certificate {
    chain: Vec<CertificateDer<'static>>,
    key: Arc<CertifiedKey>,
    reset_key: Vec<u8>,
    /// Whether it is the self-signed one of development.
    pub is_development: bool,
}

/// Files that are no certificate and key.
#[derive(Debug, thiserror::Error)]
#[error("tls: {0}")]
pub struct TlsError(String);

fn tls_error(what: &Path, error: impl std::fmt::Display) -> TlsError {
    TlsError(format!("{}: {error}", what.display()))
}

impl Certificate {
    /// The configured certificate, or the development one of the data directory, made when missing.
    ///
    /// # Errors
    /// Files that cannot be read or are something else.
    pub fn load(config: &config::Config) -> Result<Self, TlsError> {
        let reset_key = load_reset_key(&config.data_dir.join("keys"))?;
        if let (Some(cert), Some(key)) = (&config.tls.cert_file, &config.tls.key_file) {
            let chain = CertificateDer::pem_file_iter(cert).map_err(|error| tls_error(cert, error))?;
            let chain = chain.collect::<Result<Vec<_>, _>>().map_err(|error| tls_error(cert, error))?;
            let private = PrivateKeyDer::from_pem_file(key).map_err(|error| tls_error(key, error))?;
            let key = certified(&chain, private).map_err(|error| tls_error(key, error))?;
            return Ok(Self { chain, key, reset_key, is_development: false });
        }
        Self::development(&config.data_dir.join("dev-cert"), reset_key)
    }

    fn development(dir: &Path, reset_key: Vec<u8>) -> Result<Self, TlsError> {
        let (cert_path, key_path) = (dir.join("cert.der"), dir.join("key.der"));
        if !cert_path.exists() {
            let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
            let made = rcgen::generate_simple_self_signed(names).map_err(|error| tls_error(dir, error))?;
            std::fs::create_dir_all(dir).map_err(|error| tls_error(dir, error))?;
            write_private(&key_path, &made.signing_key.serialize_der())?;
            write_private(&cert_path, made.cert.der())?;
        }
        let cert = std::fs::read(&cert_path).map_err(|error| tls_error(&cert_path, error))?;
        let key = std::fs::read(&key_path).map_err(|error| tls_error(&key_path, error))?;
        let chain = vec![cert.into()];
        let key = certified(&chain, PrivatePkcs8KeyDer::from(key).into()).map_err(|error| tls_error(dir, error))?;
        let certificate = Self { chain, key, reset_key, is_development: true };
        // Local clients read this instead of asking a person to compare.
        let path = dir.join("fingerprint");
        std::fs::write(&path, certificate.fingerprint()).map_err(|error| tls_error(&path, error))?;
        Ok(certificate)
    }

    /// The key of QUIC's stateless resets; the same across restarts.
    #[must_use]
    pub fn reset_key(&self) -> &[u8] {
        &self.reset_key
    }

    /// SHA-256 of the leaf certificate, in hex.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let leaf = self.chain.first().map(AsRef::as_ref).unwrap_or_default();
        Sha256::digest(leaf).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// What handshakes are answered with, until it is replaced.
    #[must_use]
    pub fn current(&self) -> Arc<Current> {
        Arc::new(Current(RwLock::new(Arc::clone(&self.key))))
    }

    /// Settings for QUIC: TLS 1.3, no early data (a replay of it would be a replay of commands).
    ///
    /// # Errors
    /// A provider that lacks these versions of TLS.
    pub fn quic(current: Arc<Current>, alpn: &[u8]) -> Result<rustls::ServerConfig, TlsError> {
        server_config(current, &[&rustls::version::TLS13], alpn)
    }

    /// Settings for HTTPS and WSS.
    ///
    /// # Errors
    /// A provider that lacks these versions of TLS.
    pub fn https(current: Arc<Current>) -> Result<rustls::ServerConfig, TlsError> {
        server_config(current, &[&rustls::version::TLS13, &rustls::version::TLS12], b"http/1.1")
    }
}

/// The certificate in use, which can be replaced; connections keep the one that they began with.
#[derive(Debug)]
pub struct Current(RwLock<Arc<CertifiedKey>>);

impl Current {
    /// Another one from now on.
    pub fn replace(&self, certificate: &Certificate) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&certificate.key);
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// A chain and its key, if they belong together.
fn certified(
    chain: &[CertificateDer<'static>],
    key: PrivateKeyDer<'static>,
) -> Result<Arc<CertifiedKey>, rustls::Error> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    CertifiedKey::from_der(chain.to_vec(), key, &provider).map(Arc::new)
}

fn server_config(
    current: Arc<Current>,
    versions: &[&'static rustls::SupportedProtocolVersion],
    alpn: &[u8],
) -> Result<rustls::ServerConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(|error| TlsError(error.to_string()))?
        .with_no_client_auth()
        .with_cert_resolver(current);
    config.alpn_protocols = vec![alpn.to_vec()];
    config.max_early_data_size = 0;
    // All suites are AEAD with forward secrecy, so this is no matter of safety but of one answer for all clients: a
    // phone without AES in hardware pays for it, with little at our rates.
    config.ignore_client_order = true;
    Ok(config)
}

fn load_reset_key(dir: &Path) -> Result<Vec<u8>, TlsError> {
    let path = dir.join("quic-reset");
    let key = files::read_or_create(&path, || crate::clock::random_bytes::<RESET_KEY_BYTES>().to_vec())
        .map_err(|error| tls_error(&path, error))?;
    if key.len() != RESET_KEY_BYTES {
        return Err(tls_error(&path, "it must hold 32 bytes; remove it and a new one is made"));
    }
    Ok(key)
}

fn write_private(path: &Path, bytes: &[u8]) -> Result<(), TlsError> {
    files::write_private(path, bytes).map_err(|error| tls_error(path, error))
}
