//! One's own logins and password, and what those do with accounts who run the server. Each form of the page asks for one
//! thing and is told how it went.

use confab_protocol::command::{Command, EndSession, Reply, Secret};
use confab_protocol::model::{DeviceId, RoomId, SanctionKind, ServerRole, UserId};
use confab_protocol::reject::Reject;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::Chat;

const HOUR_MS: f64 = 3_600_000.0;

/// What a reply is for.
pub(crate) enum Asked {
    Logins,
    EndLogin,
    Password,
    Invite,
    /// Members of the shown room, among whom is somebody of this name.
    Find {
        room: RoomId,
        username: String,
        deed: Deed,
    },
    Deed,
}

/// What is done to an account.
#[derive(Clone, Copy)]
pub(crate) enum Deed {
    /// A token for a new password.
    Reset,
    Restrict {
        kind: SanctionKind,
        duration_ms: u64,
    },
    Appoint(ServerRole),
}

impl Deed {
    fn parse(name: &str, hours: f64) -> Option<Self> {
        let duration_ms = (hours.max(0.0) * HOUR_MS) as u64;
        let restrict = |kind| Self::Restrict { kind, duration_ms };
        Some(match name {
            "reset" => Self::Reset,
            "mute" => restrict(SanctionKind::Mute),
            "kick" => restrict(SanctionKind::Kick),
            "ban" => restrict(SanctionKind::Ban),
            "lift" => restrict(SanctionKind::Lift),
            "admin" => Self::Appoint(ServerRole::Admin),
            "moderator" => Self::Appoint(ServerRole::Moderator),
            "user" => Self::Appoint(ServerRole::User),
            _ => return None,
        })
    }

    const fn command(self, user: UserId) -> Command {
        match self {
            Self::Reset => Command::IssueReset(user),
            Self::Restrict { kind, duration_ms } => Command::Restrict { user, kind, duration_ms },
            Self::Appoint(role) => Command::SetServerRole { user, role },
        }
    }
}

impl Asked {
    /// The form that asked, as the page names it.
    const fn form(&self) -> &'static str {
        match self {
            Self::Logins | Self::EndLogin => "logins",
            Self::Password => "password",
            Self::Invite => "invite",
            Self::Find { .. } | Self::Deed => "others",
        }
    }
}

pub(crate) const fn role_name(role: ServerRole) -> &'static str {
    match role {
        ServerRole::Owner => "owner",
        ServerRole::Admin => "admin",
        ServerRole::Moderator => "moderator",
        ServerRole::User => "user",
        ServerRole::Bot => "bot",
    }
}

#[wasm_bindgen]
impl Chat {
    /// Lists where I am logged in.
    pub fn logins(&mut self) {
        self.ask_account(Command::Sessions, Asked::Logins);
    }

    /// Ends one of these logins.
    #[wasm_bindgen(js_name = endLogin)]
    pub fn end_login(&mut self, device: &str) {
        let Ok(device) = device.parse::<DeviceId>() else { return };
        self.ask_account(Command::EndSession(EndSession::Of(device)), Asked::EndLogin);
    }

    /// Ends all logins but this one.
    #[wasm_bindgen(js_name = endOtherLogins)]
    pub fn end_other_logins(&mut self) {
        self.ask_account(Command::EndSession(EndSession::AllOthers), Asked::EndLogin);
    }

    /// Another password; the other logins end.
    #[wasm_bindgen(js_name = changePassword)]
    pub fn change_password(&mut self, current: &str, next: &str) {
        let (current, next) = (Secret::new(current), Secret::new(next));
        self.ask_account(Command::ChangePassword { current, next }, Asked::Password);
    }

    /// A token with which so many may register, for so many hours.
    #[wasm_bindgen(js_name = inviteAccount)]
    pub fn invite_account(&mut self, uses: u32, hours: f64) {
        let duration_ms = (hours.max(0.0) * HOUR_MS) as u64;
        self.ask_account(Command::InviteAccount { uses, duration_ms }, Asked::Invite);
    }

    /// Does something to the account of somebody in this room; `hours` of 0: until it is lifted.
    pub fn steward(&mut self, username: &str, deed: &str, hours: f64) {
        let (Some(deed), Some(room)) = (Deed::parse(deed, hours), self.shown) else {
            return self.page.refused("others", "enter a room first that they are in");
        };
        self.find(room, username.trim().to_lowercase(), deed, UserId::NONE);
        self.drain();
    }

    fn ask_account(&mut self, command: Command, asked: Asked) {
        self.ask(command, crate::Asked::Account(asked));
        self.drain();
    }

    fn find(&mut self, room: RoomId, username: String, deed: Deed, after: UserId) {
        let members = Command::ListMembers { room, after, limit: 0 };
        self.ask(members, crate::Asked::Account(Asked::Find { room, username, deed }));
    }

    pub(crate) fn handle_account(&mut self, asked: Asked, result: Result<Reply, Reject>) {
        match (asked, result) {
            (asked, Err(reject)) => self.page.refused(asked.form(), &reject.detail),
            (Asked::Logins, Ok(Reply::Sessions(logins))) => {
                self.page.logins_anew();
                for login in logins {
                    let kind = match (login.current, login.is_key) {
                        (true, _) => "current",
                        (false, true) => "key",
                        (false, false) => "",
                    };
                    let (created, seen) = (login.created.0 as f64, login.seen.0 as f64);
                    self.page.login(&login.device.to_string(), &login.name, created, seen, kind);
                }
            }
            (Asked::EndLogin, Ok(_)) => self.ask(Command::Sessions, crate::Asked::Account(Asked::Logins)),
            (Asked::Find { room, username, deed }, Ok(Reply::Members { members, next })) => {
                match members.iter().find(|member| member.username == username) {
                    Some(member) => self.ask(deed.command(member.user), crate::Asked::Account(Asked::Deed)),
                    None if next == UserId::NONE => {
                        self.page.refused("others", "nobody of that name is in this room");
                    }
                    None => self.find(room, username, deed, next),
                }
            }
            (asked, Ok(Reply::Invited { token, expires })) => {
                self.page.done(asked.form(), token.expose(), expires.0 as f64);
            }
            (asked, Ok(_)) => self.page.done(asked.form(), "", 0.0),
        }
    }
}
