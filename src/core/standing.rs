//! How accounts stand on the whole server: what they may, what was taken from them, and what lets somebody in without a
//! password. What changes here is heard by every server on the same store.

use confab_protocol::close::CloseCode;
use confab_protocol::model::{DeviceId, Millis, UserId};

use super::store::User;

/// What an API key may be used for, as a set of bits. A login by password may everything that its account may.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scopes(u8);

impl Scopes {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Rooms, histories and who is there.
    pub const READ: Self = Self(1);
    /// Messages, and rooms of one's own.
    pub const WRITE: Self = Self(2);
    /// What moderators do, as far as the account is one.
    pub const MODERATE: Self = Self(4);
    /// Passwords, sessions, and what those do who run the server: for people alone.
    pub const ACCOUNT: Self = Self(8);
    /// Everything.
    pub const ALL: Self = Self(15);
    /// Those that a key can be given, by name.
    pub const NAMED: [(&'static str, Self); 3] =
        [("read", Self::READ), ("write", Self::WRITE), ("moderate", Self::MODERATE)];

    /// Whether all of the other are among these.
    #[must_use]
    pub const fn allow(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// These and those.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// As stores keep it.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// What is unknown to this version is not granted.
    #[must_use]
    pub const fn from_number(number: u8) -> Self {
        Self(number & Self::ALL.0)
    }
}

/// A device that is logged in, with its account as it is now.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The account.
    pub user: User,
    /// Which of the device's logins it is.
    pub login: u32,
    /// What it may be used for.
    pub scopes: Scopes,
    /// [`Controls::epoch`] as of this reading: what is revoked later is not in it yet.
    pub epoch: u64,
}

/// What a one-time token is good for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum TicketKind {
    /// A new password for an account.
    Reset = 1,
    /// A new account.
    Account = 2,
}

/// A token to keep, by hash only.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct NewTicket {
    pub hash: [u8; 32],
    pub kind: TicketKind,
    /// Whose password, or who invites.
    pub user: UserId,
    /// Who gave it: it is good while they may do so. [`UserId::NONE`]: the operator.
    pub author: UserId,
    pub uses: u32,
    pub expires: Millis,
    pub now: Millis,
}

/// An API key to keep, by hash only. It is a login of its account on a device of its own.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct NewKey {
    pub hash: [u8; 32],
    pub user: UserId,
    pub device: DeviceId,
    pub name: String,
    pub scopes: Scopes,
    pub expires: Millis,
    pub now: Millis,
}

/// Whose key it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct FoundKey {
    pub user: UserId,
    pub device: DeviceId,
    pub expires: Millis,
}

/// A login, as its owner sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct LoginRow {
    pub device: DeviceId,
    pub name: String,
    pub created: Millis,
    pub seen: Millis,
    pub is_key: bool,
}

/// How much the server lets happen, from everything down.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
#[repr(u8)]
pub enum Level {
    /// Everything.
    #[default]
    Normal = 0,
    /// Nobody registers.
    NoNewcomers = 1,
    /// And accounts younger than a day only read.
    NewcomersRead = 2,
    /// And nobody writes but those who run the server.
    StaffOnly = 3,
}

impl Level {
    /// Every level, upwards.
    pub const ALL: [Self; 4] = [Self::Normal, Self::NoNewcomers, Self::NewcomersRead, Self::StaffOnly];

    /// As stores and people write it. What is unknown is the strictest.
    #[must_use]
    pub fn from_number(number: u8) -> Self {
        Self::ALL.get(usize::from(number)).copied().unwrap_or(Self::StaffOnly)
    }

    /// For people.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::NoNewcomers => "nobody registers",
            Self::NewcomersRead => "nobody registers, accounts younger than a day only read",
            Self::StaffOnly => "nobody registers, and only those who run the server write",
        }
    }
}

/// Logins that ended, or whose rights changed: their connections are to be closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Revoked {
    /// When that was said. Who was found in good standing at this epoch or later is not meant.
    pub epoch: u64,
    /// Whose.
    pub user: UserId,
    /// Where; `None`: everywhere.
    pub device: Option<DeviceId>,
    /// As what they are closed.
    pub code: CloseCode,
}

/// What every server on the store has to heed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Controls {
    /// Counts the changes.
    pub epoch: u64,
    /// How much the server lets happen.
    pub level: Level,
    /// What was revoked since the epoch that was asked for.
    pub revoked: Vec<Revoked>,
}

/// Revocations that are kept: far more than happen while a server is not listening.
pub const REVOKED_KEPT: u64 = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_sets_and_levels_are_strict() {
        let both = Scopes::READ.and(Scopes::WRITE);
        assert!(both.allow(Scopes::READ) && !both.allow(Scopes::MODERATE) && Scopes::ALL.allow(both));
        assert_eq!(Scopes::from_number(0xff), Scopes::ALL);
        assert_eq!(Level::from_number(9), Level::StaffOnly);
        assert!(Level::ALL.iter().enumerate().all(|(number, level)| usize::from(*level as u8) == number));
    }
}
