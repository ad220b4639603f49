//! Every command, on one screen. Who may ask at all was checked by the session; everything else by the core.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use confab_protocol::close::CloseCode;
use confab_protocol::command::{Command, Identity, PresenceStatus, Reply, Secret};
use confab_protocol::model::{RoomId, SessionId, UserId};
use confab_protocol::reject::{Reject, RejectCode};

use crate::core::Core;
use crate::core::append::OrderGuard;
use crate::core::auth::Actor;
use crate::core::history::CatchUp;
use crate::core::limits::Meter;
use crate::core::observe::sessions::{OpenSession, Session};
use crate::core::publish::{Admitted, Queued, is_resend};

/// What the router needs to know of a connection.
pub struct Peer {
    /// Its name.
    pub session: SessionId,
    /// Where it comes from.
    pub from: IpAddr,
    /// Who is behind it, once that is known.
    pub actor: Option<Actor>,
    /// Keeps the order of what it sends.
    pub order: Arc<OrderGuard>,
    /// How much it asks for.
    pub meter: Meter,
}

/// What comes of a command.
pub enum Handled {
    /// Done.
    Reply(Reply),
    /// Queued for a commit; [`Router::settle`] has the reply.
    Queued(Queued),
    /// Done, and rooms are to be fed until they are live.
    Resumed(Reply, Vec<CatchUp>),
}

impl From<Admitted> for Handled {
    fn from(admitted: Admitted) -> Self {
        match admitted {
            Admitted::Done(reply) => Self::Reply(reply),
            Admitted::Queued(queued) => Self::Queued(queued),
        }
    }
}

/// Commands to core functions.
#[derive(Clone)]
pub struct Router {
    core: Arc<Core>,
}

impl Router {
    /// Over this core.
    #[must_use]
    pub const fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// Handles one command of a peer. What it costs comes first, so that refusals cost as well.
    ///
    /// # Errors
    /// Whatever the core rejects.
    pub async fn handle(&self, peer: &Peer, command: Command) -> Result<Handled, Reject> {
        let actor = peer.actor.as_ref();
        self.core.limits.check_command(&peer.meter, actor.map(|actor| actor.user), &command)?;
        let resend = actor.filter(|_| is_resend(&command)).map(|actor| (actor, command.clone()));
        let refused = match self.handle_once(peer, command).await {
            Ok(handled) => return Ok(handled),
            Err(refused) => refused,
        };
        let Some((actor, command)) = resend else { return Err(refused) };
        // Whatever is thought of it now: what becomes of a first copy that was on its way is the answer to both.
        if self.core.is_decided_otherwise(actor, &command, &refused).await? {
            self.handle_once(peer, command).await
        } else {
            Err(refused)
        }
    }

    async fn handle_once(&self, peer: &Peer, command: Command) -> Result<Handled, Reject> {
        let core = &*self.core;
        self.check(peer, &command).await?;
        let actor = || peer.actor.as_ref().ok_or(RejectCode::NotAuthenticated);
        let reply = match command {
            Command::Ping => Reply::Pong(core.clock.now()),
            Command::Register(_)
            | Command::Login(_)
            | Command::Authenticate(_)
            | Command::Refresh(_)
            | Command::Logout => self.log_in(peer, command).await?,
            Command::Sessions => core.sessions(actor()?).await?,
            Command::EndSession(end) => core.end_session(actor()?, end).await?,
            Command::ChangePassword { current, next } => {
                core.change_password(actor()?, peer.from, &current, &next).await?
            }
            Command::ResetPassword { token, password } => core.reset_password(peer.from, &token, &password).await?,
            Command::CreateRoom(create) => core.create_room(actor()?, create).await?,
            Command::JoinRoom(target) => core.join_room(actor()?, target).await?,
            Command::LeaveRoom(target) => core.leave_room(actor()?, target).await?,
            Command::ListRooms { scope, after, limit } => core.list_rooms(actor()?, scope, after, limit).await?,
            Command::ListMembers { room, after, limit } => core.list_members(actor()?, room, after, limit).await?,
            Command::Profiles(users) => core.profiles(users).await?,
            Command::Publish(publish) => return Ok(core.publish(actor()?, &peer.order, publish).await?.into()),
            Command::Edit(edit) => return Ok(core.edit(actor()?, &peer.order, edit).await?.into()),
            Command::Delete(delete) => return Ok(core.delete(actor()?, &peer.order, delete).await?.into()),
            Command::React(react) => return Ok(core.react(actor()?, &peer.order, react).await?.into()),
            Command::Pin(pin) => return Ok(core.pin(actor()?, &peer.order, pin).await?.into()),
            Command::UpdateRoom(update) => return Ok(core.update_room(actor()?, &peer.order, update).await?.into()),
            Command::SetRole(set) => return Ok(core.set_role(actor()?, &peer.order, set).await?.into()),
            Command::Sanction(sanction) => return Ok(core.sanction(actor()?, &peer.order, sanction).await?.into()),
            Command::Knock(write) => return Ok(core.knock(actor()?, &peer.order, write).await?.into()),
            Command::Admit(admit) => return Ok(core.admit_knocker(actor()?, &peer.order, admit).await?.into()),
            Command::Notice(notice) => return Ok(core.notice(actor()?, &peer.order, notice).await?.into()),
            Command::UpdateProfile(name) => core.update_profile(actor()?, name).await?,
            Command::Direct { client_id, user } => core.direct(actor()?, client_id, user).await?,
            Command::Invite { room, uses, duration_ms } => core.invite(actor()?, room, uses, duration_ms).await?,
            Command::MarkRead { room, seq } => core.mark_read(actor()?, room, seq).await?,
            Command::Revisions { room, seq, before } => core.revisions(actor()?, room, seq, before).await?,
            Command::Typing { room, stopped } => core.typing(actor()?, peer.session, room, stopped).await?,
            Command::SetPresence(status) => core.set_presence(actor()?, peer.session, status)?,
            Command::WhoIsHere(room) => core.who_is_here(actor()?, room).await?,
            Command::Search(search) => core.search(actor()?, search).await?,
            Command::History(history) => core.history(actor()?, history).await?,
            Command::Sync { cursor, limit } => core.sync(actor()?, cursor, limit).await?,
            Command::Resume(cursors) => {
                let (reply, catching_up) = core.resume(actor()?, peer.session, cursors).await?;
                return Ok(Handled::Resumed(reply, catching_up));
            }
            Command::Unsubscribe(target) => core.unsubscribe(actor()?, peer.session, target).await?,
            Command::Restrict { user, kind, duration_ms } => core.restrict(actor()?, user, kind, duration_ms).await?,
            Command::SetServerRole { user, role } => core.set_server_role(actor()?, user, role).await?,
            Command::IssueReset(user) => core.issue_reset(actor()?, user).await?,
            Command::InviteAccount { uses, duration_ms } => core.invite_account(actor()?, uses, duration_ms).await?,
            Command::Report(_)
            | Command::ListCases(_)
            | Command::Case(_)
            | Command::UpdateCase(_)
            | Command::Appeal(_)
            | Command::ListAudit(_) => moderate(core, actor()?, command).await?,
        };
        Ok(Handled::Reply(reply))
    }

    /// What changes who is behind a connection, or ends that. A connection may renew its identity, not change it.
    async fn log_in(&self, peer: &Peer, command: Command) -> Result<Reply, Reject> {
        let core = &*self.core;
        Ok(match command {
            Command::Register(_) if peer.actor.is_some() => return Err(RejectCode::Forbidden.into()),
            Command::Register(register) => Reply::Session(core.register(peer.from, register).await?),
            Command::Login(login) if !is_same_name(peer, &login.username) => return Err(RejectCode::Forbidden.into()),
            Command::Login(login) => Reply::Session(core.login(peer.from, login).await?),
            Command::Authenticate(token) => {
                Reply::Authenticated(same_user(peer, self.authenticate(peer.from, &token).await?)?)
            }
            Command::Refresh(token) => {
                let session = core.refresh(peer.from, &token).await?;
                same_user(peer, session.identity.clone())?;
                Reply::Session(session)
            }
            Command::Logout => {
                let actor = peer.actor.as_ref().ok_or(RejectCode::NotAuthenticated)?;
                core.log_out(actor.user, actor.device).await?;
                Reply::Ok
            }
            _ => return Err(RejectCode::Unsupported.into()),
        })
    }

    /// What was decided before is answered as it was, whatever its author may do by now.
    async fn check(&self, peer: &Peer, command: &Command) -> Result<(), Reject> {
        let Some(actor) = &peer.actor else { return Ok(()) };
        match self.core.check_command(actor, command) {
            Err(_) if self.core.is_recorded(actor, command).await? => Ok(()),
            checked => Ok(checked?),
        }
    }

    /// The reply to a queued message.
    ///
    /// # Errors
    /// What its transaction refused.
    pub async fn settle(&self, queued: Queued) -> Result<Reply, Reject> {
        self.core.settle(queued).await
    }

    /// Who a token that came from there belongs to.
    ///
    /// # Errors
    /// An expired or wrong token; [`RejectCode::RateLimited`] for a wrong one, after many from there. One that has expired
    /// was good: nobody tries such.
    pub async fn authenticate(&self, from: IpAddr, token: &Secret) -> Result<Identity, Reject> {
        let found = self.core.authenticate(token).await;
        if found.as_ref().is_err_and(|reject| reject.is(RejectCode::TokenInvalid)) {
            self.core.limits.note_bad_token(from)?;
        }
        found
    }

    /// To be told of each request that was refused as too fast.
    ///
    /// # Errors
    /// [`CloseCode::TooManyRequests`]: the peer does not wait as it is told, and is to go.
    pub fn note_limited(&self, peer: &Peer, reject: &mut Reject) -> Result<(), CloseCode> {
        self.core.limits.note_refusal(&peer.meter, reject)
    }

    /// Binds a connection to its user and device, as they are now.
    ///
    /// # Errors
    /// Why it must close instead.
    pub async fn identify(&self, session: SessionId, identity: &Identity) -> Result<Actor, CloseCode> {
        self.core.identify(session, identity).await
    }

    /// A connection is somebody's session, until what this gives is dropped.
    pub fn open_session(&self, id: SessionId, actor: &Actor, transport: &'static str) -> OpenSession {
        let (user, username) = (actor.user, actor.username.clone());
        self.core.sessions.open(Session { id, user, username, transport })
    }

    /// A connection has gone that followed these rooms.
    pub fn note_gone(&self, user: UserId, shown: PresenceStatus, rooms: &[RoomId]) {
        self.core.note_gone(user, shown, rooms);
    }

    /// The next push of a room that is not live yet, or `None` once it is.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn catch_up(&self, session: SessionId, catching_up: &mut CatchUp) -> Result<Option<Bytes>, Reject> {
        self.core.catch_up(session, catching_up).await
    }
}

/// What is asked of those who moderate, and by them.
async fn moderate(core: &Core, actor: &Actor, command: Command) -> Result<Reply, Reject> {
    match command {
        Command::Report(report) => core.report(actor, report).await,
        Command::ListCases(list) => core.list_cases(actor, list).await,
        Command::Case(case) => core.case(actor, case).await,
        Command::UpdateCase(update) => core.update_case(actor, update).await,
        Command::Appeal(appeal) => core.appeal(actor, appeal).await,
        Command::ListAudit(list) => core.list_audit(actor, list).await,
        _ => Err(RejectCode::Unsupported.into()),
    }
}

fn is_same_name(peer: &Peer, username: &str) -> bool {
    peer.actor.as_ref().is_none_or(|actor| actor.username.as_str().eq_ignore_ascii_case(username))
}

fn same_user(peer: &Peer, identity: Identity) -> Result<Identity, Reject> {
    match &peer.actor {
        Some(actor) if actor.user != identity.user => Err(RejectCode::TokenInvalid.into()),
        _ => Ok(identity),
    }
}
