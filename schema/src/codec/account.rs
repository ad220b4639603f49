//! Logins, passwords, and what those may do to accounts who run the server: both ways.

use super::read::{invite_bounds, secret, some};
use super::values::{
    malformed, read_id, read_sanction_kind, read_server_role, sanction_kind_to, server_role_to, server_text, write_id,
};
use super::{FrameError, moderation};
use crate::chat_capnp as wire;
use crate::command::{Command, EndSession, Login, Register, SessionInfo};
use crate::limits::{INVITE_BYTES_MAX, PASSWORD_BYTES_MAX};
use crate::model::{Millis, ServerRole};
use crate::reject::Reject;

pub(super) fn read(which: wire::request::WhichReader<'_>) -> Result<Command, Reject> {
    use wire::request::Which;
    Ok(match which {
        Which::Sessions(()) => Command::Sessions,
        Which::EndSession(end) => {
            let end = some(end)?;
            let device = read_id(some(end.get_device())?);
            Command::EndSession(if end.get_others() { EndSession::AllOthers } else { EndSession::Of(device) })
        }
        Which::ChangePassword(change) => {
            let change = some(change)?;
            let (current, next) = (change.get_current(), change.get_next());
            Command::ChangePassword {
                current: secret(current, PASSWORD_BYTES_MAX)?,
                next: secret(next, PASSWORD_BYTES_MAX)?,
            }
        }
        Which::ResetPassword(reset) => {
            let reset = some(reset)?;
            let (token, password) = (reset.get_token(), reset.get_password());
            Command::ResetPassword {
                token: secret(token, INVITE_BYTES_MAX)?,
                password: secret(password, PASSWORD_BYTES_MAX)?,
            }
        }
        Which::Restrict(restrict) => {
            let restrict = some(restrict)?;
            let kind = read_sanction_kind(restrict.get_kind()).ok_or_else(malformed)?;
            let (user, duration_ms) = (read_id(some(restrict.get_user())?), restrict.get_duration_ms());
            Command::Restrict { user, kind, duration_ms }
        }
        Which::SetServerRole(set) => {
            let set = some(set)?;
            let role = read_server_role(set.get_role()).ok_or_else(malformed)?;
            if !matches!(role, ServerRole::Admin | ServerRole::Moderator | ServerRole::User) {
                return Err(malformed());
            }
            Command::SetServerRole { user: read_id(some(set.get_user())?), role }
        }
        Which::IssueReset(user) => Command::IssueReset(read_id(some(user)?)),
        Which::InviteAccount(invite) => {
            let invite = some(invite)?;
            let (uses, duration_ms) = invite_bounds(invite.get_uses(), invite.get_duration_ms())?;
            Command::InviteAccount { uses, duration_ms }
        }
        which => return moderation::read(which),
    })
}

pub(super) fn write(mut out: wire::request::Builder<'_>, command: &Command) {
    match command {
        Command::Register(register) => write_register(out.init_register(), register),
        Command::Login(login) => write_login(out.init_login(), login),
        Command::Authenticate(token) => out.set_authenticate(token.expose()),
        Command::Refresh(token) => out.set_refresh(token.expose()),
        Command::Logout => out.set_logout(()),
        Command::Sessions => out.set_sessions(()),
        Command::EndSession(end) => {
            let mut out = out.init_end_session();
            match end {
                EndSession::AllOthers => out.set_others(true),
                EndSession::Of(device) => write_id(out.init_device(), *device),
            }
        }
        Command::ChangePassword { current, next } => {
            let mut out = out.init_change_password();
            out.set_current(current.expose());
            out.set_next(next.expose());
        }
        Command::ResetPassword { token, password } => {
            let mut out = out.init_reset_password();
            out.set_token(token.expose());
            out.set_password(password.expose());
        }
        Command::Restrict { user, kind, duration_ms } => {
            let mut out = out.init_restrict();
            out.set_kind(sanction_kind_to(*kind));
            out.set_duration_ms(*duration_ms);
            write_id(out.init_user(), *user);
        }
        Command::SetServerRole { user, role } => {
            let mut out = out.init_set_server_role();
            out.set_role(server_role_to(*role));
            write_id(out.init_user(), *user);
        }
        Command::IssueReset(user) => write_id(out.init_issue_reset(), *user),
        Command::InviteAccount { uses, duration_ms } => {
            let mut out = out.init_invite_account();
            out.set_uses(*uses);
            out.set_duration_ms(*duration_ms);
        }
        _ => {}
    }
}

pub(super) fn write_sessions(
    mut list: capnp::struct_list::Builder<'_, wire::session_info::Owned>,
    sessions: &[SessionInfo],
) {
    for (index, session) in (0..).zip(sessions) {
        write_session(list.reborrow().get(index), session);
    }
}

fn write_session(mut out: wire::session_info::Builder<'_>, session: &SessionInfo) {
    write_id(out.reborrow().init_device(), session.device);
    out.set_name(session.name.as_str());
    out.set_created_ms(session.created.0);
    out.set_seen_ms(session.seen.0);
    out.set_current(session.current);
    out.set_is_key(session.is_key);
}

pub(super) fn read_session(session: wire::session_info::Reader<'_>) -> Result<SessionInfo, FrameError> {
    Ok(SessionInfo {
        device: read_id(session.get_device()?),
        name: server_text(session.get_name())?,
        created: Millis(session.get_created_ms()),
        seen: Millis(session.get_seen_ms()),
        current: session.get_current(),
        is_key: session.get_is_key(),
    })
}

fn write_register(mut out: wire::register::Builder<'_>, register: &Register) {
    out.set_username(register.username.as_str());
    out.set_password(register.password.expose());
    if let Some(name) = &register.display_name {
        out.set_display_name(name.as_str());
    }
    out.set_device(register.device.as_str());
    if let Some(token) = &register.owner_token {
        out.set_owner_token(token.expose());
    }
    if let Some(token) = &register.invite {
        out.set_invite(token.expose());
    }
}

fn write_login(mut out: wire::login::Builder<'_>, login: &Login) {
    out.set_username(login.username.as_str());
    out.set_password(login.password.expose());
    out.set_device(login.device.as_str());
    if let Some(id) = login.device_id {
        write_id(out.init_device_id(), id);
    }
}
