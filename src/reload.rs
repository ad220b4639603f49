//! What changes while the server runs, on SIGHUP: the certificate and the limits. All of it or nothing; other keys take a
//! restart.

use std::sync::Arc;

use crate::StartError;
use crate::config::Config;
use crate::core::Core;
use crate::transport::tls::{Certificate, Current};

/// Changes a running server.
#[derive(Clone)]
pub struct Reloader {
    core: Arc<Core>,
    certificate: Arc<Current>,
    is_development: bool,
}

impl Reloader {
    pub(crate) const fn new(core: Arc<Core>, certificate: Arc<Current>, is_development: bool) -> Self {
        Self { core, certificate, is_development }
    }

    /// Takes up limits and certificate of a configuration that was read again. Connections stay; limits begin anew.
    ///
    /// # Errors
    /// A certificate that cannot be read or does not fit its key; nothing is changed then.
    pub fn reload(&self, config: &Config) -> Result<(), StartError> {
        let certificate = Certificate::load(config)?;
        if certificate.is_development != self.is_development {
            let what = "tls: whether there is a certificate changes with a restart only";
            return Err(StartError::Config(what.into()));
        }
        self.certificate.replace(&certificate);
        self.core.limits.replace(&config.limits);
        Ok(())
    }
}
