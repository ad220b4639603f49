//! The one-time token that the first start prints: who registers with it owns the server.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;

use super::{KeyError, read_or_create};
use crate::clock::random_bytes;
use crate::files::write_private;

fn new_token() -> Vec<u8> {
    URL_SAFE_NO_PAD.encode(random_bytes::<18>()).into_bytes()
}

/// The token, until it is used.
#[derive(Debug)]
pub struct OwnerToken {
    path: PathBuf,
    token: Mutex<Option<String>>,
}

impl OwnerToken {
    /// Reads the token of a data directory, or makes it. An empty file means that it was used.
    pub(super) fn open(keys: &Path) -> Result<Self, KeyError> {
        let path = keys.join("owner-token");
        let bytes = read_or_create(&path, new_token)?;
        let token = String::from_utf8(bytes).map_err(|error| KeyError::new(&path, error))?;
        Ok(Self { path, token: Mutex::new((!token.is_empty()).then_some(token)) })
    }

    /// A token was used, but no owner came of it: the next start prints another.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn renew_if_spent(&self) -> Result<(), KeyError> {
        let mut token = self.lock();
        if token.is_none() {
            let fresh = new_token();
            write_private(&self.path, &fresh).map_err(|error| KeyError::new(&self.path, error))?;
            *token = String::from_utf8(fresh).ok();
        }
        Ok(())
    }

    /// The token to print, if it is still good.
    #[must_use]
    pub fn unused(&self) -> Option<String> {
        self.lock().clone()
    }

    /// Whether this is the token.
    pub(super) fn matches(&self, offered: &str) -> bool {
        self.lock().as_deref().is_some_and(|token| token.as_bytes().ct_eq(offered.as_bytes()).into())
    }

    /// The owner exists: the token is worth nothing any more.
    pub fn spend(&self) {
        *self.lock() = None;
        if let Err(error) = write_private(&self.path, b"") {
            tracing::warn!(%error, "the used owner token could not be emptied; it stays useless");
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.token.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
