//! TLS to the database. A connection is either verified against a given authority or plain; there is no "prefer",
//! which anybody on the way can talk down.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::core::store::{Error, Result};

/// How connections to the database are protected.
#[derive(Clone, Debug)]
pub(super) struct DatabaseTls {
    config: ClientConfig,
}

impl DatabaseTls {
    /// For connections that the address asks to be plain: no authority is trusted.
    ///
    /// # Errors
    /// A crypto provider that offers no protocol version.
    pub(super) fn plain() -> Result<Self> {
        Self::with_roots(RootCertStore::empty())
    }

    /// Verified against the authorities of a PEM file.
    ///
    /// # Errors
    /// A file that cannot be read or holds no certificate.
    pub(super) fn verified(file: &Path) -> Result<Self> {
        let failed = |what: String| Error::Unavailable(format!("store.ca_file {}: {what}", file.display()));
        let mut roots = RootCertStore::empty();
        let certificates = CertificateDer::pem_file_iter(file).map_err(|error| failed(error.to_string()))?;
        for certificate in certificates {
            let certificate = certificate.map_err(|error| failed(error.to_string()))?;
            roots.add(certificate).map_err(|error| failed(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(failed("no certificate in it".to_owned()));
        }
        Self::with_roots(roots)
    }

    fn with_roots(roots: RootCertStore) -> Result<Self> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| Error::Unavailable(error.to_string()))?;
        Ok(Self { config: builder.with_root_certificates(roots).with_no_client_auth() })
    }

    pub(super) fn connector(&self) -> MakeRustlsConnect {
        MakeRustlsConnect::new(self.config.clone())
    }
}
