//! What commands are called, and which of them strangers may ask.

use super::Command;

impl Command {
    /// Whether a connection without identity may ask this.
    #[must_use]
    pub const fn is_public(&self) -> bool {
        matches!(
            self,
            Self::Ping
                | Self::Register(_)
                | Self::Login(_)
                | Self::Authenticate(_)
                | Self::Refresh(_)
                | Self::ResetPassword { .. }
        )
    }

    /// The name, as metrics and logs spell it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Register(_) => "register",
            Self::Login(_) => "login",
            Self::Authenticate(_) => "authenticate",
            Self::Refresh(_) => "refresh",
            Self::Logout => "logout",
            Self::CreateRoom(_) => "create_room",
            Self::JoinRoom(_) => "join_room",
            Self::LeaveRoom(_) => "leave_room",
            Self::ListRooms { .. } => "list_rooms",
            Self::ListMembers { .. } => "list_members",
            Self::Profiles(_) => "profiles",
            Self::Publish(_) => "publish",
            Self::Edit(_) => "edit",
            Self::Delete(_) => "delete",
            Self::React(_) => "react",
            Self::Pin(_) => "pin",
            Self::MarkRead { .. } => "mark_read",
            Self::UpdateRoom(_) => "update_room",
            Self::SetRole(_) => "set_role",
            Self::Sanction(_) => "sanction",
            Self::Revisions { .. } => "revisions",
            Self::Direct { .. } => "direct",
            Self::Invite { .. } => "invite",
            Self::History(_) => "history",
            Self::Sync { .. } => "sync",
            Self::Resume(_) => "resume",
            Self::Unsubscribe(_) => "unsubscribe",
            Self::Search(_) => "search",
            Self::Typing { .. } => "typing",
            Self::SetPresence(_) => "presence",
            Self::WhoIsHere(_) => "who_is_here",
            Self::Knock(_) => "knock",
            Self::Admit(_) => "admit",
            Self::UpdateProfile(_) => "update_profile",
            Self::Notice(_) => "notice",
            Self::Sessions => "sessions",
            Self::EndSession(_) => "end_session",
            Self::ChangePassword { .. } => "change_password",
            Self::ResetPassword { .. } => "reset_password",
            Self::Restrict { .. } => "restrict",
            Self::SetServerRole { .. } => "set_server_role",
            Self::IssueReset(_) => "issue_reset",
            Self::InviteAccount { .. } => "invite_account",
            Self::Report(_) => "report",
            Self::ListCases(_) => "cases",
            Self::Case(_) => "case",
            Self::UpdateCase(_) => "update_case",
            Self::Appeal(_) => "appeal",
            Self::ListAudit(_) => "audit",
        }
    }
}
