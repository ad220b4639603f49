//! What lets somebody in without a password: tokens that an operator mints, and the keys of programs.

use confab_protocol::command::Secret;
use confab_protocol::model::{DeviceId, DeviceName, Millis, UserId, Username};

use super::tokens::{opaque_hash, opaque_token};
use super::{Holder, Tokens};
use crate::core::standing::{NewKey, Scopes};
use crate::core::store::{NewLogin, Result, Store};

/// What an API key begins with: whoever finds one in a log or a repository knows what it is.
const KEY_PREFIX: &str = "confab_";

pub(super) fn is_key(token: &Secret) -> bool {
    token.expose().starts_with(KEY_PREFIX)
}

/// An API key for an account.
///
/// # Errors
/// The store's.
pub async fn create_key(
    store: &dyn Store,
    user: UserId,
    device: DeviceId,
    name: String,
    scopes: Scopes,
    now: Millis,
    expires: Millis,
) -> Result<Secret> {
    let (secret, _) = opaque_token();
    let key = [KEY_PREFIX, secret.expose()].concat();
    let hash = opaque_hash(&key);
    store.create_key(NewKey { hash, user, device, name, scopes, expires, now }).await?;
    Ok(Secret::new(key))
}

/// An access token for an account, without a password: for operators, bots and tests.
///
/// # Errors
/// The store's, as text; an unknown user is `None`.
pub async fn mint_token(
    store: &dyn Store,
    tokens: &Tokens,
    username: Username,
    device: DeviceId,
    ttl_seconds: u64,
    now: Millis,
) -> Result<Option<Secret>> {
    let Some((user, _)) = store.find_login(username).await? else { return Ok(None) };
    let Ok(name) = DeviceName::parse("minted") else { return Ok(None) };
    let login =
        NewLogin { device, user: user.id, name, refresh: None, password_hash: None, devices_max: u32::MAX, now };
    let Some(logged_in) = store.log_in(login).await? else { return Ok(None) };
    let holder = Holder { user: user.id, device, version: user.token_version, login: logged_in.login };
    let issued = tokens.issue_for(holder, now, ttl_seconds);
    Ok(issued.ok().map(|(token, _)| token))
}
