//! Accounts: made, entered by password, shown by another name. The same functions behind the protocol and the HTTP API.

use std::net::IpAddr;
use std::time::Duration;

use confab_protocol::command::{Login, Register, Reply, Secret, Session};
use confab_protocol::limits::{DETAIL_BYTES_MAX, PASSWORD_BYTES_MIN};
use confab_protocol::model::{DisplayName, RoomId, SelfNote, ServerRole, UserId, Username};
use confab_protocol::reject::{Reject, RejectCode};

use super::{Actor, Lane, Place};
use crate::config::Registration;
use crate::core::Core;
use crate::core::acts::Doer;
use crate::core::amend::short_text;
use crate::core::audit::{AuditKey, Judged};
use crate::core::hook::{Act, MessageEvent, TextKind, Verdict};
use crate::core::names::{self, user_key};
use crate::core::standing::{Level, Scopes, TicketKind};
use crate::core::store::{Created, NewUser, User, new_incarnation};

impl Core {
    /// Creates an account and logs its first device in.
    ///
    /// # Errors
    /// Closed registration, a wrong owner token, a name that is taken, looks like one that is or is refused by plugins, a
    /// short password.
    pub async fn register(&self, from: IpAddr, register: Register) -> Result<Session, Reject> {
        self.limits.check_stranger(from)?;
        names::check_user_name(&register.username)?;
        let role = self.registration_role(register.owner_token.as_ref()).await?;
        let ticket = match (&register.invite, role) {
            (Some(token), ServerRole::User) => Some(self.check_ticket(token, TicketKind::Account).await?),
            (None, ServerRole::User) if self.auth.rules().registration == Registration::Invite => {
                return Err(RejectCode::RegistrationClosed.into());
            }
            _ => None,
        };
        check_length(&register.password)?;
        let place = self.auth.passwords.reserve(self.limits.lane(from))?;
        let password_hash = Some(self.auth.passwords.hash(place, &register.password).await?);
        let now = self.clock.now();
        let display_name = match register.display_name {
            Some(name) => name,
            None => DisplayName::parse(register.username.as_str()).map_err(|_| RejectCode::NameInvalid)?,
        };
        let id = UserId::new(now, self.clock.random());
        let audit_key = AuditKey::from_u128(self.clock.random());
        let display_name = self.check_names((id, Some(audit_key)), &register.username, role, display_name).await?;
        if role != ServerRole::Owner {
            let doer = Doer { id, username: register.username.as_str(), role, created: now, transport: "" };
            let act = Act::Register { display_name: display_name.as_str(), invited: ticket.is_some() };
            self.check_act_of(doer, act).await?;
        }
        let user = NewUser {
            id,
            username_key: user_key(&register.username),
            username: register.username,
            display_name,
            role,
            password_hash,
            self_room: RoomId::new(now, self.clock.random()),
            incarnation: new_incarnation(self.clock.random()),
            created: now,
            audit_key,
            ticket,
        };
        match self.store.create_user(user.clone()).await.map_err(|error| self.unavailable(&error))? {
            Created::Yes => {}
            Created::NameTaken => return Err(RejectCode::NameTaken.into()),
            Created::OwnerExists => return Err(RejectCode::OwnerTokenInvalid.into()),
            Created::TicketInvalid => return Err(RejectCode::InviteInvalid.into()),
        }
        if role == ServerRole::Owner {
            self.auth.owner.spend();
        }
        let user: User = user.into();
        self.auth.known.note(user.username.as_str(), from, self.clock.elapsed());
        let session = self.open_session(&user, None, None, register.device).await?;
        let actor = Actor::new(&user, session.identity.device, session.identity.token_expires, Scopes::ALL);
        self.note(&actor, SelfNote::AccountCreated).await?;
        Ok(session)
    }

    /// Another name to show. Others see it when they ask for it.
    ///
    /// # Errors
    /// Too often; what the plugins refuse.
    pub async fn update_profile(&self, actor: &Actor, name: DisplayName) -> Result<Reply, Reject> {
        self.limits.check_send(actor.user)?;
        let name = self.check_display_name((actor.user, actor.audit_key), &actor.username, actor.role, name).await?;
        self.store.set_display_name(actor.user, name).await.map_err(|error| self.unavailable(&error))?;
        self.note(actor, SelfNote::ProfileChanged).await?;
        Ok(Reply::Ok)
    }

    /// Both names of an account that is to be; gives the one to show.
    async fn check_names(
        &self,
        who: (UserId, Option<AuditKey>),
        username: &Username,
        role: ServerRole,
        shown: DisplayName,
    ) -> Result<DisplayName, Reject> {
        // Who makes the server theirs is nobody that a plugin could keep out.
        if role == ServerRole::Owner {
            names::check_display_name(&shown)?;
            return Ok(shown);
        }
        let shown = self.check_display_name(who, username, role, shown).await?;
        // It stands in lists of members and in mentions, whatever is shown.
        if shown.as_str() != username.as_str() {
            self.check_username(who, username, role).await?;
        }
        Ok(shown)
    }

    /// Asks the plugins about the name that a person is called by. Nothing stands for it: one that they would replace is
    /// refused.
    async fn check_username(
        &self,
        who: (UserId, Option<AuditKey>),
        username: &Username,
        role: ServerRole,
    ) -> Result<(), Reject> {
        let verdict = self.judge_name(who, username, role, username.as_str()).await?;
        match short_text(verdict).map_err(of_username)? {
            // In capitals it is the same name.
            Some(text) if !Username::parse(&text).is_ok_and(|it| it == *username) => {
                Err(of_username(RejectCode::ByPlugin.into()))
            }
            _ => Ok(()),
        }
    }

    /// Asks the plugins about the name that a person shows, which they may replace, and whether it may be shown.
    async fn check_display_name(
        &self,
        who: (UserId, Option<AuditKey>),
        username: &Username,
        role: ServerRole,
        name: DisplayName,
    ) -> Result<DisplayName, Reject> {
        let verdict = self.judge_name(who, username, role, name.as_str()).await?;
        let name = match short_text(verdict)? {
            None => name,
            Some(text) => DisplayName::parse(&text).map_err(|_| RejectCode::NameInvalid)?,
        };
        names::check_display_name(&name)?;
        Ok(name)
    }

    /// What the plugins say of a name; what they found is kept.
    async fn judge_name(
        &self,
        (id, key): (UserId, Option<AuditKey>),
        username: &Username,
        role: ServerRole,
        name: &str,
    ) -> Result<Verdict, Reject> {
        let (now, room) = (self.clock.now(), RoomId::NONE);
        let event = MessageEvent {
            kind: TextKind::DisplayName,
            room,
            author: id,
            username: username.as_str(),
            role,
            account_created: id.created(),
            member: None,
            now,
            body: name,
            earlier: None,
            context: None,
            about: None,
        };
        let ruling = self.moderator.decide_message(event).await;
        let judged = Judged { author: id, key, sent: name, made: ruling.verdict.replacement() };
        self.keep_findings(TextKind::DisplayName, judged, room, ruling.marks).await?;
        Ok(ruling.verdict)
    }

    async fn registration_role(&self, owner_token: Option<&Secret>) -> Result<ServerRole, Reject> {
        match owner_token {
            Some(token) if self.auth.owner.matches(token.expose()) => {
                let taken = self.store.has_owner().await.map_err(|error| self.unavailable(&error))?;
                if taken { Err(RejectCode::OwnerTokenInvalid.into()) } else { Ok(ServerRole::Owner) }
            }
            Some(_) => Err(RejectCode::OwnerTokenInvalid.into()),
            None if self.watch.level() > Level::Normal => Err(RejectCode::RegistrationClosed.into()),
            None if self.auth.rules().registration != Registration::Closed => Ok(ServerRole::User),
            None => Err(RejectCode::RegistrationClosed.into()),
        }
    }

    /// Logs a device in by password. Unknown users take as long as known ones.
    ///
    /// # Errors
    /// [`RejectCode::BadCredentials`] whatever was wrong; limits.
    pub async fn login(&self, from: IpAddr, login: Login) -> Result<Session, Reject> {
        let (lane, place, taken) = self.login_place(from, &login).await?;
        let found = match Username::parse(&login.username) {
            Ok(username) => self.store.find_login(username).await.map_err(|error| self.unavailable(&error))?,
            Err(_) => None,
        };
        let hash = found.as_ref().and_then(|(_, hash)| hash.as_deref());
        let right = self.auth.passwords.verify(place, &login.password, hash).await?;
        let Some((user, Some(mut hash))) = found.filter(|_| right) else {
            self.metrics.logins_total.with_label_values(&["refused"]).inc();
            return Err(RejectCode::BadCredentials.into());
        };
        self.check_not_banned(&user)?;
        if user.role != ServerRole::Owner {
            let (username, created) = (user.username.as_str(), user.created);
            let doer = Doer { id: user.id, username, role: user.role, created, transport: "" };
            self.check_act_of(doer, Act::Login).await?;
        }
        if self.auth.passwords.is_outdated(&hash) {
            // A busy moment is no reason to refuse a right password.
            if let Some(next) = self.rehash(&login.password).await {
                let set = self.store.set_password_hash(user.id, hash.clone(), next.clone()).await;
                if set.map_err(|error| self.unavailable(&error))? {
                    hash = next;
                }
            }
        }
        let session = self.open_session(&user, Some(hash), login.device_id, login.device).await?;
        if lane != Lane::Known {
            self.limits.note_right(from);
        }
        if let Some(taken) = taken {
            self.limits.give_back_login(from, &login.username, taken);
        }
        self.auth.known.note(user.username.as_str(), from, self.clock.elapsed());
        self.metrics.logins_total.with_label_values(&["accepted"]).inc();
        Ok(session)
    }

    /// Where a login waits, within its limits. Who comes from a network of the account's waits with the known, but is
    /// limited as its neighbours are: else a limit that is used up would tell which names were logged in from there. Who
    /// proves a device is not.
    ///
    /// With the moment of the try, where it may be given back: where strangers' limit counts it all the same. Who gets in
    /// beside that one would have as many hashes as they like.
    async fn login_place(&self, from: IpAddr, login: &Login) -> Result<(Lane, Place, Option<Duration>), Reject> {
        let name = &login.username;
        let limited = self.limits.check_stranger(from);
        let taken = limited.is_ok().then(|| self.clock.elapsed());
        let is_of_network = self.auth.known.contains(name, from, self.clock.elapsed());
        let is_of_device = (limited.is_err() || !is_of_network) && self.is_of_known_device(login).await?;
        if !is_of_device {
            limited?;
        }
        let lane = if is_of_network || is_of_device { Lane::Known } else { self.limits.lane(from) };
        // First a place: names cost the limiter no more memory than hashing lets through, and a busy server costs no try.
        let place = self.auth.passwords.reserve(lane)?;
        self.limits.check_login(from, name, lane)?;
        Ok((lane, place, taken))
    }

    /// Whether a login is from a device that was logged in to the account: its id is random, and told to nobody else.
    async fn is_of_known_device(&self, login: &Login) -> Result<bool, Reject> {
        let (Some(device), Ok(username)) = (login.device_id, Username::parse(&login.username)) else {
            return Ok(false);
        };
        self.store.has_device(username, device).await.map_err(|error| self.unavailable(&error))
    }

    async fn rehash(&self, password: &Secret) -> Option<String> {
        let place = self.auth.passwords.reserve(Lane::Known).ok()?;
        self.auth.passwords.hash(place, password).await.ok()
    }
}

impl From<NewUser> for User {
    fn from(new: NewUser) -> Self {
        let NewUser { id, username, display_name, role, self_room, created, audit_key, .. } = new;
        let (token_version, restriction, audit_key) = (0, None, Some(audit_key));
        Self { id, username, display_name, role, self_room, token_version, created, restriction, audit_key }
    }
}

/// A refusal that says which of two names it is about.
fn of_username(mut reject: Reject) -> Reject {
    reject.detail.insert_str(0, "the user name: ");
    reject.detail.truncate(reject.detail.floor_char_boundary(DETAIL_BYTES_MAX));
    reject
}

/// A password to be.
///
/// # Errors
/// It is too short.
pub(in crate::core) fn check_length(password: &Secret) -> Result<(), Reject> {
    if password.expose().len() < PASSWORD_BYTES_MIN {
        let detail = format!("the password is too short: at least {PASSWORD_BYTES_MIN} bytes");
        return Err(Reject::new(RejectCode::Malformed, detail));
    }
    Ok(())
}
