//! How to reach the database, from what the operator wrote.

use std::net::IpAddr;
use std::path::Path;

use tokio_postgres::config::{Host, SslMode};

use super::tls::DatabaseTls;

/// How to reach the database.
#[derive(Clone, Debug)]
pub struct Options {
    pub(super) url: tokio_postgres::Config,
    pub(super) tls: DatabaseTls,
    pub(super) writers: usize,
    pub(super) connections: usize,
}

impl Options {
    /// Checks an address. With authorities in a PEM file the database is verified against them; without, only
    /// databases of this machine are reached, or those whose address says `sslmode=disable`.
    ///
    /// # Errors
    /// What to change, without the address: somebody may have written a password into it.
    pub fn parse(
        url: &str,
        password: Option<&str>,
        ca_file: Option<&Path>,
        writers: usize,
        connections: usize,
    ) -> Result<Self, String> {
        let mut config: tokio_postgres::Config = url.parse().map_err(|_| "is no postgres:// address".to_owned())?;
        if config.get_password().is_some() {
            return Err("holds a password: write that into a file and name it in store.password_file".to_owned());
        }
        if let Some(password) = password {
            config.password(password.trim_end_matches(['\n', '\r']));
        }
        let is_plain_on_purpose = url.contains("sslmode=disable");
        let tls = match ca_file {
            Some(file) => {
                config.ssl_mode(SslMode::Require);
                DatabaseTls::verified(file)
            }
            None if is_plain_on_purpose || is_all_here(&config) => {
                config.ssl_mode(SslMode::Disable);
                DatabaseTls::plain()
            }
            None => {
                return Err("is not on this machine: name the authority of its certificate in store.ca_file, or say \
                            sslmode=disable if the network is yours alone"
                    .to_owned());
            }
        };
        Ok(Self { url: config, tls: tls.map_err(|error| error.to_string())?, writers, connections })
    }
}

/// The address that is connected to is `hostaddr` where there is one, whatever the host is called.
fn is_all_here(config: &tokio_postgres::Config) -> bool {
    config.get_hosts().iter().all(is_here) && config.get_hostaddrs().iter().all(IpAddr::is_loopback)
}

fn is_here(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => name == "localhost" || name.parse().is_ok_and(|address: IpAddr| address.is_loopback()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_elsewhere_is_verified_or_plain_on_purpose() {
        let parse = |url: &str| Options::parse(url, Some("secret\n"), None, 1, 1).map(|options| options.url);
        for (url, word) in [
            ("postgres://confab@db.example/confab", "ca_file"),
            ("postgres://confab@db.example/confab?sslmode=prefer", "ca_file"),
            ("postgres://confab@127.0.0.1,10.0.0.1/confab", "ca_file"),
            ("postgres://confab:word@127.0.0.1/confab", "password_file"),
            ("host=localhost hostaddr=10.0.0.5 user=confab", "ca_file"),
            ("hostaddr=10.0.0.5 user=confab", "ca_file"),
            ("mysql://confab", "address"),
        ] {
            let error = parse(url).unwrap_err();
            assert!(error.contains(word) && !error.contains("word@"), "{url}: {error}");
        }
        for url in [
            "postgres://confab@localhost/confab",
            "postgres://confab@[::1]:5433/confab",
            "host=/run/postgresql user=confab",
            "postgres://confab@db.example/confab?sslmode=disable",
        ] {
            let config = parse(url).unwrap();
            assert_eq!((config.get_password(), config.get_ssl_mode()), (Some(&b"secret"[..]), SslMode::Disable));
        }
    }
}
