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
    /// Seeing and deciding the cases of every room, and reading the audit.
    Cases,
}

/// The least role that has it, with the words of docs/PERMISSIONS.md.
pub const STEWARDS: [(Stewardship, ServerRole, &str); 6] = [
    (
        Stewardship::Restrict,
        ServerRole::Moderator,
        "mute, shadow, kick and ban accounts of lower rank on the whole server",
    ),
    (Stewardship::Cases, ServerRole::Moderator, "see and decide the cases of every room, and read the whole audit"),
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

macro_rules! commands {
    ($($name:ident: $command:pat => $scopes:expr, $effect:expr;)+) => {
        /// What each command takes, by name.
        pub const COMMANDS: &[(&str, Demand)] =
            &[$((stringify!($name), Demand { scopes: $scopes, effect: $effect })),+];

        /// What each command takes. A command that is missing in the table does not compile.
        #[must_use]
        pub const fn demand(command: &Command) -> Demand {
            use Command as C;
            match command { $($command => Demand { scopes: $scopes, effect: $effect }),+ }
        }
    };
}

commands! {
    ping: C::Ping => Scopes::NONE, Effect::Reads;
    register: C::Register(_) => Scopes::NONE, Effect::Reads;
    login: C::Login(_) => Scopes::NONE, Effect::Reads;
    reset_password: C::ResetPassword { .. } => Scopes::NONE, Effect::Reads;
    authenticate: C::Authenticate(_) => Scopes::NONE, Effect::Reads;
    refresh: C::Refresh(_) => Scopes::NONE, Effect::Reads;
    logout: C::Logout => Scopes::NONE, Effect::Reads;
    list_rooms: C::ListRooms { .. } => Scopes::READ, Effect::Reads;
    list_members: C::ListMembers { .. } => Scopes::READ, Effect::Reads;
    profiles: C::Profiles(_) => Scopes::READ, Effect::Reads;
    history: C::History(_) => Scopes::READ, Effect::Reads;
    sync: C::Sync { .. } => Scopes::READ, Effect::Reads;
    resume: C::Resume(_) => Scopes::READ, Effect::Reads;
    unsubscribe: C::Unsubscribe(_) => Scopes::READ, Effect::Reads;
    search: C::Search(_) => Scopes::READ, Effect::Reads;
    who_is_here: C::WhoIsHere(_) => Scopes::READ, Effect::Reads;
    presence: C::SetPresence(_) => Scopes::WRITE, Effect::Reads;
    mark_read: C::MarkRead { .. } => Scopes::WRITE, Effect::Reads;
    leave_room: C::LeaveRoom(_) => Scopes::WRITE, Effect::Reads;
    delete: C::Delete(_) => Scopes::WRITE, Effect::Reads;
    join_room: C::JoinRoom(_) => Scopes::WRITE, Effect::Enters;
    publish: C::Publish(_) => Scopes::WRITE, Effect::Writes;
    edit: C::Edit(_) => Scopes::WRITE, Effect::Writes;
    react: C::React(_) => Scopes::WRITE, Effect::Writes;
    typing: C::Typing { .. } => Scopes::WRITE, Effect::Writes;
    create_room: C::CreateRoom(_) => Scopes::WRITE, Effect::Writes;
    direct: C::Direct { .. } => Scopes::WRITE, Effect::Writes;
    knock: C::Knock(_) => Scopes::WRITE, Effect::Writes;
    update_profile: C::UpdateProfile(_) => Scopes::WRITE, Effect::Writes;
    report: C::Report(_) => Scopes::WRITE, Effect::Reads;
    appeal: C::Appeal(_) => Scopes::WRITE, Effect::Reads;
    pin: C::Pin(_) => Scopes::MODERATE, Effect::Writes;
    update_room: C::UpdateRoom(_) => Scopes::MODERATE, Effect::Writes;
    invite: C::Invite { .. } => Scopes::MODERATE, Effect::Writes;
    set_role: C::SetRole(_) => Scopes::MODERATE, Effect::Writes;
    sanction: C::Sanction(_) => Scopes::MODERATE, Effect::Writes;
    admit: C::Admit(_) => Scopes::MODERATE, Effect::Writes;
    notice: C::Notice(_) => Scopes::MODERATE, Effect::Writes;
    revisions: C::Revisions { .. } => Scopes::MODERATE, Effect::Reads;
    cases: C::ListCases(_) => Scopes::MODERATE, Effect::Reads;
    case: C::Case(_) => Scopes::MODERATE, Effect::Reads;
    update_case: C::UpdateCase(_) => Scopes::MODERATE, Effect::Writes;
    audit: C::ListAudit(_) => Scopes::MODERATE, Effect::Reads;
    sessions: C::Sessions => Scopes::ACCOUNT, Effect::Reads;
    end_session: C::EndSession(_) => Scopes::ACCOUNT, Effect::Reads;
    change_password: C::ChangePassword { .. } => Scopes::ACCOUNT, Effect::Reads;
    restrict: C::Restrict { .. } => Scopes::ACCOUNT, Effect::Reads;
    set_server_role: C::SetServerRole { .. } => Scopes::ACCOUNT, Effect::Reads;
    issue_reset: C::IssueReset(_) => Scopes::ACCOUNT, Effect::Reads;
    invite_account: C::InviteAccount { .. } => Scopes::ACCOUNT, Effect::Reads;
}

/// May this actor ask for that, as the server is now?
///
/// # Errors
/// [`RejectCode::ScopeMissing`], [`RejectCode::Muted`].
pub fn check(actor: &Actor, command: &Command, level: Level, now: Millis) -> Result<(), RejectCode> {
    check_demand(actor, demand(command), level, now)
}

fn check_demand(actor: &Actor, demand: Demand, level: Level, now: Millis) -> Result<(), RejectCode> {
    let Demand { scopes, effect } = demand;
    if !actor.scopes.allow(scopes) {
        return Err(RejectCode::ScopeMissing);
    }
    let is_muted = actor.restriction.is_some_and(|it| it.kind == SanctionKind::Mute && it.holds(now));
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
    /// Deleting what others said is more than taking back one's own.
    ///
    /// # Errors
    /// As [`check`], of what moderators do.
    pub(super) fn check_moderating(&self, actor: &Actor) -> Result<(), RejectCode> {
        let demand = Demand { scopes: Scopes::MODERATE, effect: Effect::Writes };
        check_demand(actor, demand, self.watch.level(), self.clock.now())
    }

    /// As [`check`].
    ///
    /// # Errors
    /// As [`check`].
    pub fn check_command(&self, actor: &Actor, command: &Command) -> Result<(), RejectCode> {
        check(actor, command, self.watch.level(), self.clock.now())
    }
}
