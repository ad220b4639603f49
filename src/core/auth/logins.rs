//! Logins: begun, carried on, checked and ended; and the keys of programs, which are logins without a password.

use std::net::IpAddr;

use confab_protocol::close::CloseCode;
use confab_protocol::command::{EndSession, Identity, PresenceStatus, Reply, Secret, Session, SessionInfo};
use confab_protocol::model::{DeviceId, DeviceName, Millis, SanctionKind, SessionId, UserId};
use confab_protocol::reject::{Reject, RejectCode};

use super::keys::is_key;
use super::tokens::{opaque_hash, opaque_token};
use super::{Actor, Holder, TokenError};
use crate::core::Core;
use crate::core::standing::{LoginRow, Scopes, Standing};
use crate::core::store::{LoggedIn, NewLogin, NewRefresh, Refreshed, Restriction, User};

impl Core {
    /// A login on a device, if the password by which it was asked for still holds.
    pub(super) async fn open_session(
        &self,
        user: &User,
        password_hash: Option<String>,
        device: Option<DeviceId>,
        name: DeviceName,
    ) -> Result<Session, Reject> {
        let now = self.clock.now();
        let device = device.unwrap_or_else(|| DeviceId::new(now, self.clock.random()));
        let (refresh_token, hash) = opaque_token();
        let refresh = self.new_refresh(hash, now);
        let devices_max = self.auth.rules().devices_max;
        let login = NewLogin { device, user: user.id, name, refresh: Some(refresh), password_hash, devices_max, now };
        let logged_in = self.store.log_in(login).await.map_err(|error| self.unavailable(&error))?;
        let LoggedIn { login, ended } = logged_in.ok_or(RejectCode::BadCredentials)?;
        if ended.is_some() {
            self.heed_now().await;
        }
        self.session(user, (device, login), refresh_token, refresh.idle_until, now)
    }

    /// Spends a refresh token for the next one and an access token. Who tries twice gets the same next one.
    ///
    /// # Errors
    /// [`RejectCode::TokenInvalid`], [`RejectCode::TokenExpired`]. Reuse ends the login on that device.
    pub async fn refresh(&self, from: IpAddr, token: &Secret) -> Result<Session, Reject> {
        let now = self.clock.now();
        let next_token = self.auth.passwords.refresh_token_after(token);
        let next = self.new_refresh(opaque_hash(next_token.expose()), now);
        let spent = self.store.refresh(opaque_hash(token.expose()), next, now).await;
        let (user, device) = match spent.map_err(|error| self.unavailable(&error))? {
            Refreshed::Yes(user, device) => (user, device),
            Refreshed::Unknown => {
                self.limits.note_bad_refresh(from)?;
                return Err(RejectCode::TokenInvalid.into());
            }
            Refreshed::Expired => {
                self.limits.note_bad_refresh(from)?;
                return Err(RejectCode::TokenExpired.into());
            }
            Refreshed::Reused => {
                self.metrics.logins_total.with_label_values(&["refresh_reused"]).inc();
                self.heed_now().await;
                return Err(RejectCode::TokenInvalid.into());
            }
        };
        let found = self.store.find_identity(user, device).await.map_err(|error| self.unavailable(&error))?;
        let Standing { user, login, .. } = found.ok_or(RejectCode::TokenInvalid)?;
        self.check_not_banned(&user)?;
        self.session(&user, (device, login), next_token, next.idle_until, now)
    }

    /// Who an access token or an API key belongs to, if user and device are still good.
    ///
    /// # Errors
    /// [`RejectCode::TokenInvalid`], [`RejectCode::TokenExpired`], [`RejectCode::Banned`].
    pub async fn authenticate(&self, token: &Secret) -> Result<Identity, Reject> {
        if is_key(token) {
            return self.authenticate_key(token).await;
        }
        let claims = self.auth.tokens.verify(token, self.clock.now()).map_err(|error| match error {
            TokenError::Expired => RejectCode::TokenExpired,
            TokenError::Invalid => RejectCode::TokenInvalid,
        })?;
        let found =
            self.store.find_identity(claims.user, claims.device).await.map_err(|error| self.unavailable(&error))?;
        let is_current = |it: &Standing| it.user.token_version == claims.version && it.login == claims.login;
        let Some(Standing { user, scopes, .. }) = found.filter(is_current) else {
            return Err(self.why_ended(claims.user).await?.into());
        };
        self.check_not_banned(&user)?;
        Ok(Actor::new(&user, claims.device, claims.expires, scopes).identity())
    }

    /// Who holds a token of ours and is banned is told so: logging in again would not help.
    async fn why_ended(&self, user: UserId) -> Result<RejectCode, Reject> {
        let found = self.store.find_user(user).await.map_err(|error| self.unavailable(&error))?;
        let is_banned = found.is_some_and(|user| is_banned(user.restriction, self.clock.now()));
        Ok(if is_banned { RejectCode::Banned } else { RejectCode::TokenInvalid })
    }

    async fn authenticate_key(&self, key: &Secret) -> Result<Identity, Reject> {
        let hash = opaque_hash(key.expose());
        let found = self.store.find_key(hash).await.map_err(|error| self.unavailable(&error))?;
        let found = found.ok_or(RejectCode::TokenInvalid)?;
        if found.expires <= self.clock.now() {
            return Err(RejectCode::TokenExpired.into());
        }
        let standing = self.store.find_identity(found.user, found.device).await;
        let standing = standing.map_err(|error| self.unavailable(&error))?;
        let Standing { user, scopes, .. } = standing.ok_or(RejectCode::TokenInvalid)?;
        self.check_not_banned(&user)?;
        Ok(Actor::new(&user, found.device, found.expires, scopes).identity())
    }

    /// # Errors
    /// [`RejectCode::Banned`].
    pub(super) fn check_not_banned(&self, user: &User) -> Result<(), Reject> {
        if is_banned(user.restriction, self.clock.now()) { Err(RejectCode::Banned.into()) } else { Ok(()) }
    }

    /// Binds a connection to its user and device, as they are now.
    ///
    /// # Errors
    /// [`CloseCode::TooManyConnections`]; [`CloseCode::LoggedOut`] or [`CloseCode::Banned`] when the login ended before
    /// the connection could be found by it.
    pub async fn identify(&self, session: SessionId, identity: &Identity) -> Result<Actor, CloseCode> {
        if !self.delivery.identify(session, identity.user, identity.device) {
            return Err(CloseCode::TooManyConnections);
        }
        // What was revoked between the check and the binding closed every connection but this one.
        match self.store.find_identity(identity.user, identity.device).await {
            Ok(Some(Standing { user, .. })) if is_banned(user.restriction, self.clock.now()) => Err(CloseCode::Banned),
            Ok(Some(Standing { user, scopes, epoch, .. })) => {
                self.delivery.confirm(session, epoch);
                // Others see who is here.
                if !scopes.allow(Scopes::WRITE) {
                    self.delivery.set_status(session, PresenceStatus::Invisible);
                }
                Ok(Actor::new(&user, identity.device, identity.token_expires, scopes))
            }
            Ok(None) => Err(CloseCode::LoggedOut),
            Err(error) => {
                self.unavailable(&error);
                Err(CloseCode::Internal)
            }
        }
    }

    /// Ends a device's login and closes its connections.
    ///
    /// # Errors
    /// Only those of the store.
    pub async fn log_out(&self, user: UserId, device: DeviceId) -> Result<(), Reject> {
        self.store.log_out(user, device).await.map_err(|error| self.unavailable(&error))?;
        self.heed_now().await;
        Ok(())
    }

    /// Where the actor is logged in.
    ///
    /// # Errors
    /// Only those of the store.
    pub async fn sessions(&self, actor: &Actor) -> Result<Reply, Reject> {
        let logins = self.store.logins(actor.user).await.map_err(|error| self.unavailable(&error))?;
        let info = |row: LoginRow| {
            let current = row.device == actor.device;
            let LoginRow { device, name, created, seen, is_key } = row;
            SessionInfo { device, name, created, seen, current, is_key }
        };
        Ok(Reply::Sessions(logins.into_iter().map(info).collect()))
    }

    /// Ends logins of the actor.
    ///
    /// # Errors
    /// Only those of the store; what is not there is ended already.
    pub async fn end_session(&self, actor: &Actor, end: EndSession) -> Result<Reply, Reject> {
        match end {
            EndSession::Of(device) => self.log_out(actor.user, device).await?,
            EndSession::AllOthers => {
                let ended = self.store.end_logins(actor.user, actor.device).await;
                ended.map_err(|error| self.unavailable(&error))?;
                self.heed_now().await;
            }
        }
        Ok(Reply::Ok)
    }

    fn new_refresh(&self, hash: [u8; 32], now: Millis) -> NewRefresh {
        NewRefresh {
            hash,
            family: self.clock.random(),
            idle_until: now.after(self.auth.rules().refresh_idle_ms),
            absolute_until: now.after(self.auth.rules().refresh_absolute_ms),
        }
    }

    fn session(
        &self,
        user: &User,
        (device, login): (DeviceId, u32),
        refresh_token: Secret,
        refresh_expires: Millis,
        now: Millis,
    ) -> Result<Session, Reject> {
        let holder = Holder { user: user.id, device, version: user.token_version, login };
        let issued = self.auth.tokens.issue(holder, now);
        let (access_token, expires) = issued.map_err(|_| RejectCode::Internal)?;
        let identity = Actor::new(user, device, expires, Scopes::ALL).identity();
        Ok(Session { identity, access_token, refresh_token, refresh_expires })
    }
}

fn is_banned(restriction: Option<Restriction>, now: Millis) -> bool {
    restriction.is_some_and(|it| it.kind == SanctionKind::Ban && it.holds(now))
}
