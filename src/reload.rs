//! What changes while the server runs, on SIGHUP: all of it or nothing. Keys that take a restart are named in the log.

use std::sync::Arc;

use serde_json::Value;

use crate::StartError;
use crate::acting::Acting;
use crate::aside::Aside;
use crate::config::Config;
use crate::core::Core;
use crate::http::Origins;
use crate::hub::Hub;
use crate::plugin::{self, PluginSet};
use crate::transport::gate::Gate;
use crate::transport::tls::{Certificate, Current};

/// The keys, and sections of keys, that are taken up.
const TAKEN_UP: [&str; 8] = [
    "limits",
    "plugins",
    "tls",
    "listen.allowed_origins",
    "auth.registration",
    "auth.access_ttl_seconds",
    "auth.refresh_idle_seconds",
    "auth.refresh_absolute_seconds",
];

/// Changes a running server.
#[derive(Clone)]
pub struct Reloader {
    pub(crate) core: Arc<Core>,
    pub(crate) plugins: Arc<PluginSet>,
    pub(crate) aside: Arc<Aside>,
    pub(crate) acting: Arc<Acting>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) origins: Origins,
    pub(crate) certificate: Arc<Current>,
    pub(crate) is_development: bool,
    /// What it was started with: keys that take a restart are as they are there.
    pub(crate) started: Arc<Config>,
}

/// A configuration that was read again, with what it names made ready. Nothing of it is taken up yet, and nothing of it can
/// fail any more.
pub struct Prepared {
    config: Config,
    certificate: Certificate,
    plugins: plugin::Prepared,
}

/// Makes it ready, on any thread. It has nothing whose end a shutdown waits for: what is still being made ready then is left
/// behind.
pub struct Preparer {
    plugins: Arc<PluginSet>,
    is_development: bool,
}

impl Preparer {
    /// What can fail, and what takes long: plugins are compiled.
    ///
    /// # Errors
    /// A certificate that cannot be read or does not fit its key, a plugin that cannot be loaded.
    pub fn prepare(&self, config: Config) -> Result<Prepared, StartError> {
        let certificate = Certificate::load(&config)?;
        if certificate.is_development != self.is_development {
            let what = "tls: whether there is a certificate changes with a restart only";
            return Err(StartError::Config(what.into()));
        }
        let plugins = self.plugins.prepare(&config.plugins)?;
        Ok(Prepared { config, certificate, plugins })
    }
}

impl Reloader {
    /// For making ready what is taken up here, of which there must be one at a time.
    #[must_use]
    pub fn preparer(&self) -> Preparer {
        Preparer { plugins: Arc::clone(&self.plugins), is_development: self.is_development }
    }

    /// Takes up all of it. Connections stay, also those that would be too many now; tokens that were issued keep their life.
    pub fn take_up(&self, prepared: Prepared) {
        let Prepared { config, certificate, plugins } = prepared;
        self.plugins.take_up(plugins);
        self.aside.keep_up(&self.acting);
        self.certificate.replace(&certificate);
        let limits = &config.limits;
        self.core.limits.replace(limits);
        self.core.auth.replace(&config);
        self.hub.set_connections_per_user(limits.connections_per_user);
        self.gate.replace(limits.connections, limits.connections_per_ip);
        self.origins.replace(&config.listen.allowed_origins);
        for key in restart_keys(&self.started, &config) {
            tracing::warn!(key, "takes a restart: it stays as it was when the server was started");
        }
    }

    /// Both.
    ///
    /// # Errors
    /// As [`Preparer::prepare`]; nothing is changed then.
    pub fn reload(&self, config: &Config) -> Result<(), StartError> {
        self.take_up(self.preparer().prepare(config.clone())?);
        Ok(())
    }
}

/// The keys by which two configurations differ, less those that are taken up.
fn restart_keys(before: &Config, after: &Config) -> Vec<String> {
    let (mut keys, json) = (Vec::new(), |config| serde_json::to_value(config).unwrap_or_default());
    compare(&json(before), &json(after), "", &mut keys);
    keys
}

fn compare(before: &Value, after: &Value, key: &str, keys: &mut Vec<String>) {
    if TAKEN_UP.contains(&key) {
        return;
    }
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            for (name, value) in before {
                let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                compare(value, after.get(name).unwrap_or(&Value::Null), &key, keys);
            }
        }
        _ if before == after => {}
        _ => keys.push(key.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Registration;

    #[test]
    fn keys_that_take_a_restart_are_named() {
        let before = Config::default();
        assert_eq!(restart_keys(&before, &before), [""; 0]);
        let mut after = before.clone();
        after.limits.sends_burst += 1;
        after.limits.devices_per_user += 1;
        after.listen.allowed_origins.push("https://chat.example".into());
        after.auth.registration = Registration::Closed;
        after.auth.access_ttl_seconds += 1;
        after.tls.cert_file = Some("cert.pem".into());
        after.plugins.chain.clear();
        assert_eq!(restart_keys(&before, &after), [""; 0], "these are taken up");
        after.data_dir = "elsewhere".into();
        after.listen.quic_gso = false;
        after.auth.bcrypt_cost += 1;
        after.store.url = Some("postgres://db".into());
        after.log.filter = "debug".into();
        let mut keys = restart_keys(&before, &after);
        keys.sort();
        let expected = ["auth.bcrypt_cost", "data_dir", "listen.quic_gso", "log.filter", "store.url"];
        assert_eq!(keys, expected);
    }

    /// A key that is renamed would be looked for in vain.
    #[test]
    fn what_is_taken_up_is_there() {
        let config = serde_json::to_value(Config::default()).unwrap();
        for key in TAKEN_UP {
            assert!(config.pointer(&format!("/{}", key.replace('.', "/"))).is_some(), "{key}");
        }
    }
}
