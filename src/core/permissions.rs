//! Who may ask for what at all: the tables. Rooms have their own say after this one ([`super::access`]).

use confab_protocol::command::Command;
use confab_protocol::model::{Millis, SanctionKind, ServerRole};
use confab_protocol::reject::RejectCode;

use super::Core;
use super::auth::Actor;
use super::standing::{Level, Scopes};

/// Accounts younger than this are newcomers, milliseconds.
pub const NEWCOMER_MS: u64 = 24 * 3600 * 1000;

/// What a command does to others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Nothing that they see.
    Reads,
    /// Somebody comes.
    Enters,
    /// Something is said or changed.
    Writes,
}

/// What a command takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Demand {
    /// An API key must have been given these.
    pub scopes: Scopes,
    /// What it does.
    pub effect: Effect,
}

/// What lies in the hands of those who run the server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stewardship {
    /// Muting, kicking and banning accounts.
    Restrict,
    /// Inviting new accounts.
    Invite,
    /// Making moderators and admins, below one's own rank.
    Appoint,
    /// Letting somebody choose a new password.
    Reset,
    /// Speaking in the name of the server.
    Notice,
}

/// The least role that has it, with the words of docs/PERMISSIONS.md.
pub const STEWARDS: [(Stewardship, ServerRole, &str); 5] = [
    (Stewardship::Restrict, ServerRole::Moderator, "mute, kick and ban accounts of lower rank on the whole server"),
    (Stewardship::Invite, ServerRole::Moderator, "invite new accounts"),
    (Stewardship::Appoint, ServerRole::Admin, "make others moderators or admins, below one's own rank"),
    (Stewardship::Reset, ServerRole::Admin, "issue a token for a new password to an account of lower rank"),
    (Stewardship::Notice, ServerRole::Admin, "speak in the name of the server in any room"),
];

/// Does this role have it?
#[must_use]
pub fn may(role: ServerRole, what: Stewardship) -> bool {
    STEWARDS.iter().any(|(it, least, _)| *it == what && role.number() <= least.number())
}

/// What each command takes. A command that is missing here does not compile.
#[must_use]
pub const fn demand(command: &Command) -> Demand {
    use Command as C;
    let (scopes, effect) = match command {
        C::Ping | C::Register(_) | C::Login(_) | C::ResetPassword { .. } => (Scopes::NONE, Effect::Reads),
        C::Authenticate(_) | C::Refresh(_) | C::Logout => (Scopes::NONE, Effect::Reads),
        C::ListRooms { .. }
        | C::ListMembers { .. }
        | C::Profiles(_)
        | C::History(_)
        | C::Sync { .. }
        | C::Resume(_)
        | C::Unsubscribe(_)
        | C::Search(_)
        | C::WhoIsHere(_)
        | C::SetPresence(_)
        | C::MarkRead { .. } => (Scopes::READ, Effect::Reads),
        C::LeaveRoom(_) | C::Delete(_) => (Scopes::WRITE, Effect::Reads),
        C::JoinRoom(_) => (Scopes::READ, Effect::Enters),
        C::Publish(_)
        | C::Edit(_)
        | C::React(_)
        | C::Typing { .. }
        | C::CreateRoom(_)
        | C::Direct { .. }
        | C::Knock(_)
        | C::UpdateProfile(_) => (Scopes::WRITE, Effect::Writes),
        C::Pin(_)
        | C::UpdateRoom(_)
        | C::Invite { .. }
        | C::SetRole(_)
        | C::Sanction(_)
        | C::Admit(_)
        | C::Notice(_) => (Scopes::MODERATE, Effect::Writes),
        C::Revisions { .. } => (Scopes::MODERATE, Effect::Reads),
        C::Sessions | C::EndSession(_) | C::ChangePassword { .. } => (Scopes::ACCOUNT, Effect::Reads),
        C::Restrict { .. } | C::SetServerRole { .. } | C::IssueReset(_) | C::InviteAccount { .. } => {
            (Scopes::ACCOUNT, Effect::Reads)
        }
    };
    Demand { scopes, effect }
}

/// May this actor ask for that, as the server is now?
///
/// # Errors
/// [`RejectCode::ScopeMissing`], [`RejectCode::Muted`].
pub fn check(actor: &Actor, command: &Command, level: Level, now: Millis) -> Result<(), RejectCode> {
    let Demand { scopes, effect } = demand(command);
    if !actor.scopes.allow(scopes) {
        return Err(RejectCode::ScopeMissing);
    }
    let is_muted = actor.restriction.is_some_and(|it| it.kind != SanctionKind::Ban && it.holds(now));
    if effect == Effect::Writes && is_muted {
        return Err(RejectCode::Muted);
    }
    if effect == Effect::Reads || is_staff(actor.role) {
        return Ok(());
    }
    let is_newcomer = now.since(actor.user.created()) < NEWCOMER_MS;
    match level {
        Level::Normal | Level::NoNewcomers => Ok(()),
        Level::NewcomersRead if !is_newcomer => Ok(()),
        Level::NewcomersRead | Level::StaffOnly => Err(RejectCode::Muted),
    }
}

const fn is_staff(role: ServerRole) -> bool {
    matches!(role, ServerRole::Owner | ServerRole::Admin | ServerRole::Moderator)
}

impl Core {
    /// As [`check`].
    ///
    /// # Errors
    /// As [`check`].
    pub fn check_command(&self, actor: &Actor, command: &Command) -> Result<(), RejectCode> {
        check(actor, command, self.watch.level(), self.clock.now())
    }
}
