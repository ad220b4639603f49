//! Register, log in, refresh, log out: the same functions behind the protocol and the HTTP API.

use confab_protocol::close::CloseCode;
use confab_protocol::command::{Identity, Login, Register, Reply, Secret, Session};
use confab_protocol::limits::PASSWORD_BYTES_MIN;
use confab_protocol::model::{
    DeviceId, DeviceName, DisplayName, Millis, RoomId, SelfNote, ServerRole, SessionId, UserId, Username,
};
use confab_protocol::reject::{Reject, RejectCode};

use super::tokens::{opaque_hash, opaque_token};
use super::{Actor, Holder, TokenError, Tokens};
use crate::config::Registration;
use crate::core::Core;
use crate::core::amend::short_text;
use crate::core::hook::{MessageEvent, TextKind};
use crate::core::store::{Created, NewLogin, NewRefresh, NewUser, Refreshed, Store, User, new_incarnation};

impl Core {
    /// Creates an account and logs its first device in.
    ///
    /// # Errors
    /// Closed registration, a wrong owner token, a taken name, a short password.
    pub async fn register(&self, register: Register) -> Result<Session, Reject> {
        let role = self.registration_role(register.owner_token.as_ref()).await?;
        if register.password.expose().len() < PASSWORD_BYTES_MIN {
            let detail = format!("the password is too short: at least {PASSWORD_BYTES_MIN} bytes");
            return Err(Reject::new(RejectCode::Malformed, detail));
        }
        let place = self.auth.passwords.reserve()?;
        let password_hash = Some(self.auth.passwords.hash(place, &register.password).await?);
        let now = self.clock.now();
        let display_name = match register.display_name {
            Some(name) => name,
            None => DisplayName::parse(register.username.as_str()).map_err(|_| RejectCode::NameInvalid)?,
        };
        let id = UserId::new(now, self.clock.random());
        let display_name = self.check_display_name(id, &register.username, role, display_name).await?;
        let user = NewUser {
            id,
            username: register.username,
            display_name,
            role,
            password_hash,
            self_room: RoomId::new(now, self.clock.random()),
            incarnation: new_incarnation(self.clock.random()),
            created: now,
        };
        match self.store.create_user(user.clone()).await.map_err(|error| self.unavailable(&error))? {
            Created::Yes => {}
            Created::NameTaken => return Err(RejectCode::NameTaken.into()),
            Created::OwnerExists => return Err(RejectCode::OwnerTokenInvalid.into()),
        }
        if role == ServerRole::Owner {
            self.auth.owner.spend();
        }
        let session = self.open_session(&user.into(), None, register.device).await?;
        self.note(&Actor::from(session.identity.clone()), SelfNote::AccountCreated).await?;
        Ok(session)
    }

    /// Another name to show. Others see it when they ask for it.
    ///
    /// # Errors
    /// Too often; what the plugins refuse.
    pub async fn update_profile(&self, actor: &Actor, name: DisplayName) -> Result<Reply, Reject> {
        self.limits.check_send(actor.user)?;
        let name = self.check_display_name(actor.user, &actor.username, actor.role, name).await?;
        self.store.set_display_name(actor.user, name).await.map_err(|error| self.unavailable(&error))?;
        self.note(actor, SelfNote::ProfileChanged).await?;
        Ok(Reply::Ok)
    }

    /// Asks the plugins about the name that a person shows, which they may replace.
    async fn check_display_name(
        &self,
        id: UserId,
        username: &Username,
        role: ServerRole,
        name: DisplayName,
    ) -> Result<DisplayName, Reject> {
        let (now, room) = (self.clock.now(), RoomId::NONE);
        let event = MessageEvent {
            kind: TextKind::DisplayName,
            room,
            author: id,
            username: username.as_str(),
            role,
            account_created: id.created(),
            now,
            body: name.as_str(),
        };
        match short_text(self.moderator.decide_message(event).await)? {
            None => Ok(name),
            Some(text) => Ok(DisplayName::parse(&text).map_err(|_| RejectCode::NameInvalid)?),
        }
    }

    async fn registration_role(&self, owner_token: Option<&Secret>) -> Result<ServerRole, Reject> {
        match owner_token {
            Some(token) if self.auth.owner.matches(token.expose()) => {
                let taken = self.store.has_owner().await.map_err(|error| self.unavailable(&error))?;
                if taken { Err(RejectCode::OwnerTokenInvalid.into()) } else { Ok(ServerRole::Owner) }
            }
            Some(_) => Err(RejectCode::OwnerTokenInvalid.into()),
            None if self.auth.registration == Registration::Open => Ok(ServerRole::User),
            None => Err(RejectCode::RegistrationClosed.into()),
        }
    }

    /// Logs a device in by password. Unknown users take as long as known ones.
    ///
    /// # Errors
    /// [`RejectCode::BadCredentials`] whatever was wrong; limits.
    pub async fn login(&self, login: Login) -> Result<Session, Reject> {
        // First a place, so that names cost the limiter no more memory than hashing lets through.
        let place = self.auth.passwords.reserve()?;
        self.limits.check_login(&login.username)?;
        let found = match Username::parse(&login.username) {
            Ok(username) => self.store.find_login(username).await.map_err(|error| self.unavailable(&error))?,
            Err(_) => None,
        };
        let hash = found.as_ref().and_then(|(_, hash)| hash.as_deref());
        let right = self.auth.passwords.verify(place, &login.password, hash).await?;
        let Some((user, Some(hash))) = found.filter(|_| right) else {
            self.metrics.logins_total.with_label_values(&["refused"]).inc();
            return Err(RejectCode::BadCredentials.into());
        };
        if self.auth.passwords.is_outdated(&hash) {
            // A busy moment is no reason to refuse a right password.
            if let Ok(place) = self.auth.passwords.reserve() {
                let hash = self.auth.passwords.hash(place, &login.password).await?;
                self.store.set_password_hash(user.id, hash).await.map_err(|error| self.unavailable(&error))?;
            }
        }
        let session = self.open_session(&user, login.device_id, login.device).await?;
        self.metrics.logins_total.with_label_values(&["accepted"]).inc();
        Ok(session)
    }

    async fn open_session(&self, user: &User, device: Option<DeviceId>, name: DeviceName) -> Result<Session, Reject> {
        let now = self.clock.now();
        let device = device.unwrap_or_else(|| DeviceId::new(now, self.clock.random()));
        let (refresh_token, hash) = opaque_token();
        let refresh = self.new_refresh(hash, now);
        let login =
            NewLogin { device, user: user.id, name, refresh: Some(refresh), devices_max: self.auth.devices_max, now };
        let logged_in = self.store.log_in(login).await.map_err(|error| self.unavailable(&error))?;
        if let Some(oldest) = logged_in.ended {
            self.delivery.close_device(user.id, oldest, CloseCode::LoggedOut);
        }
        self.session(user, (device, logged_in.login), refresh_token, refresh.idle_until, now)
    }

    /// Spends a refresh token for the next one and an access token.
    ///
    /// # Errors
    /// [`RejectCode::TokenInvalid`], [`RejectCode::TokenExpired`]. Reuse ends the login on that device.
    pub async fn refresh(&self, token: &Secret) -> Result<Session, Reject> {
        let now = self.clock.now();
        let (next_token, hash) = opaque_token();
        let next = self.new_refresh(hash, now);
        let spent = self.store.refresh(opaque_hash(token.expose()), next, now).await;
        let (user, device) = match spent.map_err(|error| self.unavailable(&error))? {
            Refreshed::Yes(user, device) => (user, device),
            Refreshed::Unknown => return Err(RejectCode::TokenInvalid.into()),
            Refreshed::Expired => return Err(RejectCode::TokenExpired.into()),
            Refreshed::Reused(user, device) => {
                self.metrics.logins_total.with_label_values(&["refresh_reused"]).inc();
                self.delivery.close_device(user, device, CloseCode::LoggedOut);
                return Err(RejectCode::TokenInvalid.into());
            }
        };
        let found = self.store.find_identity(user, device).await.map_err(|error| self.unavailable(&error))?;
        let (user, login) = found.ok_or(RejectCode::TokenInvalid)?;
        self.session(&user, (device, login), next_token, next.idle_until, now)
    }

    /// Who an access token belongs to, if user and device are still good.
    ///
    /// # Errors
    /// [`RejectCode::TokenInvalid`], [`RejectCode::TokenExpired`].
    pub async fn authenticate(&self, token: &Secret) -> Result<Identity, Reject> {
        let claims = self.auth.tokens.verify(token, self.clock.now()).map_err(|error| match error {
            TokenError::Expired => RejectCode::TokenExpired,
            TokenError::Invalid => RejectCode::TokenInvalid,
        })?;
        let found =
            self.store.find_identity(claims.user, claims.device).await.map_err(|error| self.unavailable(&error))?;
        let is_current = |(user, login): &(User, u32)| user.token_version == claims.version && *login == claims.login;
        let (user, _) = found.filter(is_current).ok_or(RejectCode::TokenInvalid)?;
        Ok(Actor::new(&user, claims.device, claims.expires).identity())
    }

    /// Binds a connection to its user and device.
    ///
    /// # Errors
    /// [`CloseCode::TooManyConnections`]; [`CloseCode::LoggedOut`] when the login ended before the connection could
    /// be found by it.
    pub async fn identify(&self, session: SessionId, identity: &Identity) -> Result<(), CloseCode> {
        if !self.delivery.identify(session, identity.user, identity.device) {
            return Err(CloseCode::TooManyConnections);
        }
        // A logout between the check and the binding closed every connection but this one.
        match self.store.find_identity(identity.user, identity.device).await {
            Ok(Some(_)) => Ok(()),
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
        self.delivery.close_device(user, device, CloseCode::LoggedOut);
        Ok(())
    }

    fn new_refresh(&self, hash: [u8; 32], now: Millis) -> NewRefresh {
        NewRefresh {
            hash,
            family: self.clock.random(),
            idle_until: now.after(self.auth.refresh_idle_ms),
            absolute_until: now.after(self.auth.refresh_absolute_ms),
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
        let identity = Actor::new(user, device, expires).identity();
        Ok(Session { identity, access_token, refresh_token, refresh_expires })
    }
}

impl From<NewUser> for User {
    fn from(new: NewUser) -> Self {
        let NewUser { id, username, display_name, role, self_room, created, .. } = new;
        Self { id, username, display_name, role, self_room, token_version: 0, created }
    }
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
) -> Result<Option<Secret>, crate::core::store::Error> {
    let Some((user, _)) = store.find_login(username).await? else { return Ok(None) };
    let Ok(name) = DeviceName::parse("minted") else { return Ok(None) };
    let logged_in =
        store.log_in(NewLogin { device, user: user.id, name, refresh: None, devices_max: u32::MAX, now }).await?;
    let holder = Holder { user: user.id, device, version: user.token_version, login: logged_in.login };
    let issued = tokens.issue_for(holder, now, ttl_seconds);
    Ok(issued.ok().map(|(token, _)| token))
}
