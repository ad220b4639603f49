//! Who somebody is: passwords in, tokens out, and back to an [`Actor`].

mod accounts;
mod keys;
mod known;
mod logins;
mod owner;
mod passwords;
mod queue;
pub(super) mod tokens;

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use confab_protocol::command::{Identity, Secret};
use confab_protocol::model::{AuditId, DeviceId, DisplayName, Millis, RoomId, ServerRole, UserId, Username};

pub(super) use self::accounts::check_length;
pub use self::keys::{create_key, mint_token};
use self::known::Known;
pub use self::owner::OwnerToken;
pub use self::passwords::Passwords;
pub use self::queue::{Lane, Place, WAIT_MAX};
pub use self::tokens::{Claims, Holder, LIFE_SECONDS_MAX, TokenError, Tokens, rotate_keys};
use super::audit::AuditKey;
use super::standing::Scopes;
use super::store::{Restriction, User};
use crate::clock::Clock;
use crate::config::{self, Registration};
use crate::metrics::Metrics;

/// The authenticated identity behind a request.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Actor {
    pub user: UserId,
    pub device: DeviceId,
    pub self_room: RoomId,
    pub username: Username,
    pub display_name: DisplayName,
    pub role: ServerRole,
    pub token_expires: Millis,
    /// What was taken from the account on the whole server, when it was looked up.
    pub restriction: Option<Restriction>,
    /// What the login may be used for.
    pub scopes: Scopes,
    /// With what the audit hashes what they say.
    pub audit_key: Option<AuditKey>,
    /// How they are connected, where that is known; else empty.
    pub transport: &'static str,
}

impl Actor {
    pub(super) fn new(user: &User, device: DeviceId, token_expires: Millis, scopes: Scopes) -> Self {
        Self {
            user: user.id,
            device,
            self_room: user.self_room,
            username: user.username.clone(),
            display_name: user.display_name.clone(),
            role: user.role,
            token_expires,
            restriction: user.restriction,
            scopes,
            audit_key: user.audit_key,
            transport: "",
        }
    }

    /// As the peer sees itself.
    #[must_use]
    pub fn identity(&self) -> Identity {
        Identity {
            user: self.user,
            device: self.device,
            self_room: self.self_room,
            username: self.username.clone(),
            display_name: self.display_name.clone(),
            role: self.role,
            token_expires: self.token_expires,
        }
    }
}

/// Keys and rules of authentication.
pub struct Auth {
    pub(super) tokens: Tokens,
    pub(super) passwords: Passwords,
    known: Known,
    pub(super) owner: OwnerToken,
    rules: RwLock<Rules>,
}

/// What is asked for at each registration and login.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) registration: Registration,
    pub(super) refresh_idle_ms: u64,
    pub(super) refresh_absolute_ms: u64,
    pub(super) devices_max: u32,
}

impl Rules {
    const fn new(config: &config::Config) -> Self {
        Self {
            registration: config.auth.registration,
            refresh_idle_ms: config.auth.refresh_idle_seconds.saturating_mul(1000),
            refresh_absolute_ms: config.auth.refresh_absolute_seconds.saturating_mul(1000),
            devices_max: config.limits.devices_per_user,
        }
    }
}

impl Auth {
    /// Reads the keys of a data directory, or makes them.
    ///
    /// # Errors
    /// Files that cannot be read or written, or hold something else.
    pub fn open(config: &config::Config, clock: &Arc<dyn Clock>, metrics: &Metrics) -> Result<Self, KeyError> {
        let keys = config.data_dir.join("keys");
        Ok(Self {
            tokens: Tokens::open(&keys, config.auth.access_ttl_seconds)?,
            passwords: Passwords::open(&keys, &config.auth, clock, metrics)?,
            known: Known::default(),
            owner: OwnerToken::open(&keys)?,
            rules: RwLock::new(Rules::new(config)),
        })
    }

    /// Registration, lives of tokens and devices of a user as configured from now on; what was issued stays as it is.
    pub fn replace(&self, config: &config::Config) {
        self.tokens.set_ttl(config.auth.access_ttl_seconds);
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Rules::new(config);
    }

    pub(super) fn rules(&self) -> Rules {
        *self.rules.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Of a text of somebody's, for a record of the audit: HMAC-SHA-256. It is confirmed by making it again, while there is
    /// the key.
    #[must_use]
    pub fn audit_hash(&self, key: AuditKey, record: AuditId, text: &str) -> Bytes {
        Bytes::copy_from_slice(&self.passwords.audit_hash(key, record, text))
    }

    /// The keys of access tokens.
    #[must_use]
    pub const fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// The one-time token that makes the next account the owner, while there is none.
    #[must_use]
    pub const fn owner(&self) -> &OwnerToken {
        &self.owner
    }
}

/// A key file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct KeyError {
    path: String,
    reason: String,
}

impl KeyError {
    fn new(path: &Path, reason: impl ToString) -> Self {
        Self { path: path.display().to_string(), reason: reason.to_string() }
    }
}

/// A token that says nothing, and the hash that is kept of it.
#[must_use]
pub fn opaque() -> (Secret, [u8; 32]) {
    tokens::opaque_token()
}

fn read_or_create(path: &Path, make: impl FnOnce() -> Vec<u8>) -> Result<Vec<u8>, KeyError> {
    crate::files::read_or_create(path, make).map_err(|error| KeyError::new(path, error))
}
