//! Passwords that change, and what those do to accounts who run the server. Nobody acts on their own rank or above: the
//! store compares with the row as it is.

use std::net::IpAddr;

use confab_protocol::command::{Reply, Secret};
use confab_protocol::model::{RoomId, RoomRole, SanctionKind, ServerRole, UserId};
use confab_protocol::reject::{Reject, RejectCode};

use super::auth::tokens::{opaque_hash, opaque_token};
use super::auth::{Actor, Lane, check_length};
use super::hook::Act;
use super::permissions::{Stewardship, may};
use super::standing::{NewTicket, Standing, TicketKind};
use super::store::{Restrict, User};
use super::{Core, names};

/// A token for a new password is good so long, milliseconds.
pub const RESET_MS: u64 = 3600 * 1000;

impl Core {
    /// Another password; the actor's other logins end.
    ///
    /// # Errors
    /// [`RejectCode::BadCredentials`]; a new one that is too short; limits, which are those of a login.
    pub async fn change_password(
        &self,
        actor: &Actor,
        from: IpAddr,
        current: &Secret,
        next: &Secret,
    ) -> Result<Reply, Reject> {
        check_length(next)?;
        self.limits.check_own_password(actor.user, from)?;
        let place = self.auth.passwords.reserve(Lane::Known)?;
        let found = self.store.find_login(actor.username.clone()).await.map_err(|error| self.unavailable(&error))?;
        let old = found.and_then(|(_, hash)| hash);
        let is_right = self.auth.passwords.verify(place, current, old.as_deref()).await?;
        let Some(old) = old.filter(|_| is_right) else {
            self.limits.note_wrong(from);
            return Err(RejectCode::BadCredentials.into());
        };
        let place = self.auth.passwords.reserve(Lane::Known)?;
        let new = self.auth.passwords.hash(place, next).await?;
        // It may have been reset, or this login ended, while it was looked at.
        let changed = self.store.change_password(actor.user, old, new, actor.device).await;
        if !changed.map_err(|error| self.unavailable(&error))? {
            return Err(RejectCode::BadCredentials.into());
        }
        self.heed_now().await;
        Ok(Reply::Ok)
    }

    /// Another password by a token of an admin's; all logins of the account end.
    ///
    /// # Errors
    /// [`RejectCode::InviteInvalid`]; a password that is too short; limits.
    pub async fn reset_password(&self, from: IpAddr, token: &Secret, password: &Secret) -> Result<Reply, Reject> {
        self.limits.check_stranger(from)?;
        check_length(password)?;
        // Before the work, which strangers shall not cause.
        let ticket = self.check_ticket(token, TicketKind::Reset).await?;
        let place = self.auth.passwords.reserve(Lane::Known)?;
        let hash = self.auth.passwords.hash(place, password).await?;
        let reset = self.store.reset_password(ticket, hash, self.clock.now()).await;
        reset.map_err(|error| self.unavailable(&error))?.ok_or(RejectCode::InviteInvalid)?;
        self.heed_now().await;
        Ok(Reply::Ok)
    }

    /// The hash of a token that is good.
    ///
    /// # Errors
    /// [`RejectCode::InviteInvalid`].
    pub(super) async fn check_ticket(&self, token: &Secret, kind: TicketKind) -> Result<[u8; 32], Reject> {
        let hash = opaque_hash(token.expose());
        let good = self.store.has_ticket(hash, kind, self.clock.now()).await;
        if good.map_err(|error| self.unavailable(&error))? { Ok(hash) } else { Err(RejectCode::InviteInvalid.into()) }
    }

    /// Mutes, kicks or bans an account, or lifts that.
    ///
    /// # Errors
    /// [`RejectCode::Forbidden`]: no moderator of the server, or not of lower rank.
    pub async fn restrict(
        &self,
        actor: &Actor,
        user: UserId,
        kind: SanctionKind,
        duration_ms: u64,
    ) -> Result<Reply, Reject> {
        let role = self.steward(actor, Stewardship::Restrict).await?;
        let now = self.clock.now();
        let until = (duration_ms != 0).then(|| now.after(duration_ms));
        let record = self.numbered(self.record(actor.user, server_word(kind), RoomId::NONE, user));
        let done = self.store.restrict(Restrict { user, below: Some(role), kind, until, now, record }).await;
        self.told(done).await
    }

    /// Another role on the server for somebody.
    ///
    /// # Errors
    /// [`RejectCode::Forbidden`]: no admin of the server, or not of lower rank, or as high as one's own; what plugins refuse.
    pub async fn set_server_role(&self, actor: &Actor, user: UserId, role: ServerRole) -> Result<Reply, Reject> {
        let mine = self.steward(actor, Stewardship::Appoint).await?;
        if role.number() <= mine.number() {
            return Err(RejectCode::Forbidden.into());
        }
        // Nobody is asked about what is refused anyhow; the transaction looks once more.
        let other = self.store.find_user(user).await.map_err(|error| self.unavailable(&error))?;
        if other.is_none_or(|it| it.role.number() <= mine.number()) {
            return Err(RejectCode::Forbidden.into());
        }
        let role_there = as_in_a_room(role);
        self.check_act(actor, Act::RoleChange { room: RoomId::NONE, target: user, role: role_there }).await?;
        let record = self.numbered(self.record(actor.user, "server-role", RoomId::NONE, user));
        let done = self.store.set_server_role(user, Some(mine), role, record).await;
        self.told(done).await
    }

    async fn told(&self, done: super::store::Result<bool>) -> Result<Reply, Reject> {
        if !done.map_err(|error| self.unavailable(&error))? {
            return Err(RejectCode::Forbidden.into());
        }
        self.heed_now().await;
        Ok(Reply::Ok)
    }

    /// A token by which somebody of lower rank gets a new password.
    ///
    /// # Errors
    /// [`RejectCode::Forbidden`]: no admin of the server, or not of lower rank; a plugin's account.
    pub async fn issue_reset(&self, actor: &Actor, user: UserId) -> Result<Reply, Reject> {
        let role = self.steward(actor, Stewardship::Reset).await?;
        let other = self.store.find_user(user).await.map_err(|error| self.unavailable(&error))?;
        // Nobody logs in to the account of a plugin.
        let is_for_somebody = |it: &User| it.role.number() > role.number() && !names::is_reserved(&it.username);
        if !other.as_ref().is_some_and(is_for_somebody) {
            return Err(RejectCode::Forbidden.into());
        }
        self.keep_record(self.record(actor.user, "reset-token", RoomId::NONE, user)).await?;
        self.ticket(actor, TicketKind::Reset, user, 1, RESET_MS).await
    }

    /// A token to register with.
    ///
    /// # Errors
    /// [`RejectCode::Forbidden`]: no moderator of the server.
    pub async fn invite_account(&self, actor: &Actor, uses: u32, duration_ms: u64) -> Result<Reply, Reject> {
        self.steward(actor, Stewardship::Invite).await?;
        self.check_act(actor, Act::Invite { room: RoomId::NONE, uses, duration_ms }).await?;
        self.keep_record(self.record(actor.user, "invite-account", RoomId::NONE, UserId::NONE)).await?;
        self.ticket(actor, TicketKind::Account, actor.user, uses, duration_ms).await
    }

    async fn ticket(
        &self,
        actor: &Actor,
        kind: TicketKind,
        user: UserId,
        uses: u32,
        duration_ms: u64,
    ) -> Result<Reply, Reject> {
        let (token, hash) = opaque_token();
        let now = self.clock.now();
        let expires = now.after(duration_ms);
        let ticket = NewTicket { hash, kind, user, author: actor.user, uses, expires, now };
        self.store.create_ticket(ticket).await.map_err(|error| self.unavailable(&error))?;
        Ok(Reply::Invited { token, expires })
    }

    /// The actor's role as it is now, if it is enough.
    async fn steward(&self, actor: &Actor, what: Stewardship) -> Result<ServerRole, Reject> {
        self.limits.check_send(actor.user)?;
        let found = self.store.find_identity(actor.user, actor.device).await;
        let Standing { user, .. } = found.map_err(|error| self.unavailable(&error))?.ok_or(RejectCode::TokenInvalid)?;
        if may(user.role, what) { Ok(user.role) } else { Err(RejectCode::Forbidden.into()) }
    }
}

/// As plugins are told of it: the contract has words for roles in a room.
const fn as_in_a_room(role: ServerRole) -> RoomRole {
    match role {
        ServerRole::Owner => RoomRole::Owner,
        ServerRole::Admin => RoomRole::Admin,
        ServerRole::Moderator => RoomRole::Moderator,
        ServerRole::User => RoomRole::Member,
        ServerRole::Bot => RoomRole::Guest,
    }
}

/// The word for what was done to somebody on the whole server.
pub(crate) const fn server_word(kind: SanctionKind) -> &'static str {
    match kind {
        SanctionKind::Mute => "server-mute",
        SanctionKind::Kick => "server-kick",
        SanctionKind::Ban => "server-ban",
        SanctionKind::Lift => "server-lift",
        SanctionKind::Shadow => "server-shadow",
    }
}
