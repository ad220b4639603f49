//! What each command costs: the table. A unit is about the work of a ping; what a command makes the server read or write
//! counts, not how long it takes.

use confab_protocol::command::Command;

/// Answered from memory.
const MEMORY: u32 = 1;
/// One more thing of a list that is looked up.
const ITEM: u32 = 1;
/// A room that is looked up and followed, and may have to be caught up with.
const FOLLOW: u32 = 2;
/// A few rows are read.
const READ: u32 = 3;
/// A few rows are read and written, in a transaction that is shared with others.
const WRITE: u32 = 4;
/// As [`WRITE`], after more was read.
const ACT: u32 = 6;
/// Up to a page of rows is read and sent, or several writes are made.
const PAGE: u32 = 10;
/// A password is hashed, or an index is searched.
const HEAVY: u32 = 20;

/// What a command costs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cost {
    /// In any case.
    pub base: u32,
    /// For each thing that it names: rooms, people, messages.
    pub item: u32,
}

macro_rules! costs {
    ($($name:ident: $command:pat => $base:expr $(, $item:ident * $count:expr)?;)+) => {
        /// What each command costs, by name.
        pub const COSTS: &[(&str, Cost)] = &[$((stringify!($name), Cost { base: $base, item: 0 $(+ $item)? })),+];

        /// What this command costs. One that is missing in the table does not compile.
        #[must_use]
        pub fn cost(command: &Command) -> u32 {
            use Command as C;
            match command {
                $($command => $base $(+ $item.saturating_mul(u32::try_from($count).unwrap_or(u32::MAX)))?),+
            }
        }
    };
}

costs! {
    ping: C::Ping => MEMORY;
    register: C::Register(_) => HEAVY;
    login: C::Login(_) => HEAVY;
    reset_password: C::ResetPassword { .. } => HEAVY;
    authenticate: C::Authenticate(_) => WRITE;
    refresh: C::Refresh(_) => PAGE;
    logout: C::Logout => WRITE;
    list_rooms: C::ListRooms { .. } => PAGE;
    list_members: C::ListMembers { .. } => PAGE;
    profiles: C::Profiles(users) => READ, ITEM * users.len();
    history: C::History(_) => PAGE;
    sync: C::Sync { .. } => PAGE;
    resume: C::Resume(cursors) => READ, FOLLOW * cursors.len();
    unsubscribe: C::Unsubscribe(_) => MEMORY;
    search: C::Search(_) => HEAVY;
    who_is_here: C::WhoIsHere(_) => READ;
    presence: C::SetPresence(_) => MEMORY;
    mark_read: C::MarkRead { .. } => WRITE;
    leave_room: C::LeaveRoom(_) => ACT;
    delete: C::Delete(delete) => WRITE, ITEM * delete.seqs.len();
    join_room: C::JoinRoom(_) => PAGE;
    publish: C::Publish(_) => WRITE;
    edit: C::Edit(_) => ACT;
    react: C::React(_) => WRITE;
    typing: C::Typing { .. } => MEMORY;
    create_room: C::CreateRoom(_) => PAGE;
    direct: C::Direct { .. } => PAGE;
    knock: C::Knock(_) => WRITE;
    update_profile: C::UpdateProfile(_) => ACT;
    pin: C::Pin(_) => WRITE;
    update_room: C::UpdateRoom(_) => ACT;
    invite: C::Invite { .. } => ACT;
    set_role: C::SetRole(_) => ACT;
    sanction: C::Sanction(_) => ACT;
    admit: C::Admit(_) => PAGE;
    notice: C::Notice(_) => ACT;
    revisions: C::Revisions { .. } => PAGE;
    report: C::Report(_) => PAGE;
    appeal: C::Appeal(_) => ACT;
    cases: C::ListCases(_) => PAGE;
    case: C::Case(_) => PAGE;
    update_case: C::UpdateCase(_) => PAGE;
    audit: C::ListAudit(_) => PAGE;
    sessions: C::Sessions => READ;
    end_session: C::EndSession(_) => ACT;
    change_password: C::ChangePassword { .. } => HEAVY;
    restrict: C::Restrict { .. } => ACT;
    set_server_role: C::SetServerRole { .. } => ACT;
    issue_reset: C::IssueReset(_) => ACT;
    invite_account: C::InviteAccount { .. } => ACT;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::permissions::COMMANDS;
    use confab_protocol::limits::{RESUME_CURSORS_MAX, ROOMS_PER_USER_MAX};
    use confab_protocol::model::{Cursor, Incarnation, RoomId, Seq, UserId};

    #[test]
    fn every_command_has_one_under_its_name() {
        for (name, _) in COMMANDS {
            assert_eq!(COSTS.iter().filter(|(other, _)| other == name).count(), 1, "{name}");
        }
        assert_eq!(COSTS.len(), COMMANDS.len());
        assert!(COSTS.iter().all(|(_, cost)| cost.base >= 1), "nothing is free");
        for command in [Command::Ping, Command::Logout, Command::Sessions, Command::IssueReset(UserId::from_u128(1))] {
            let (_, stated) = COSTS.iter().find(|(name, _)| *name == command.name()).unwrap();
            assert_eq!(cost(&command), stated.base, "{}", command.name());
        }
    }

    #[test]
    fn what_names_many_things_costs_by_their_number() {
        let cursor = Cursor { room: RoomId::from_u128(1), incarnation: Incarnation(1), seq: Seq(0) };
        let resume = |rooms| cost(&Command::Resume(vec![cursor; rooms]));
        assert_eq!(resume(RESUME_CURSORS_MAX) - resume(0), FOLLOW * RESUME_CURSORS_MAX as u32);
        assert!(cost(&Command::Profiles(vec![UserId::from_u128(1); 50])) > cost(&Command::Profiles(Vec::new())));
    }

    /// Who comes back to all the rooms that one can be in is an ordinary client, with several devices at once.
    #[test]
    fn coming_back_to_every_room_is_within_the_defaults() {
        let limits = crate::config::Config::default().limits;
        let resumes = ROOMS_PER_USER_MAX.div_ceil(RESUME_CURSORS_MAX as u32);
        let comeback = resumes * READ + ROOMS_PER_USER_MAX * FOLLOW + 20 * PAGE;
        assert!(comeback * 2 < limits.commands_burst / 2, "a connection, twice: {comeback}");
        assert!(comeback * 5 < limits.commands_burst, "five devices: {comeback}");
    }
}
