//! What those who moderate the whole server do to accounts: as `confab user` does, and without its machine.

use clap::Subcommand;
use confab_protocol::command::Command;
use confab_protocol::limits::INVITE_USES_MAX;
use confab_protocol::model::{SanctionKind, UserId};

use super::deeds::print_token;
use super::desk::Desk;
use crate::cli::account::Role;
use crate::cli::chat::say;
use crate::cli::duration;

#[derive(Subcommand)]
pub(super) enum Deed {
    /// Let an account read, and write nothing.
    Mute(Lasting),
    /// End all sessions of an account.
    Kick(Account),
    /// End all sessions of an account, and let none begin.
    Ban(Lasting),
    /// What they say from now on is seen by them alone, and by moderators in the history; they are not told.
    Shadow(Lasting),
    /// End a mute, ban or shadow of an account.
    Lift(Account),
    /// Give an account another role on the server.
    Role {
        #[command(flatten)]
        account: Account,
        /// Which.
        role: Role,
    },
    /// Print a token with which the owner of an account chooses a new password within the hour.
    ResetPassword(Account),
    /// Print a token to register with.
    Invite {
        /// How many may register with it.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(INVITE_USES_MAX)))]
        uses: u32,
        /// How long it is good, as 30m, 12h or 7d; at most 30d.
        #[arg(long = "for", value_name = "TIME", default_value = "1d", value_parser = duration)]
        time: u64,
    },
}

// Whose. A doc comment here would be taken for what the command does.
#[derive(clap::Args)]
pub(super) struct Account {
    /// A room that they are a member of, by name or id: there they are found by name.
    #[arg(long, value_name = "ROOM")]
    room: Option<String>,
    /// By id, or by the user name of a member of --room.
    who: String,
}

// As above, and until when.
#[derive(clap::Args)]
pub(super) struct Lasting {
    #[command(flatten)]
    account: Account,
    /// For how long, as 30m, 12h or 7d; until it is lifted otherwise.
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    time: Option<u64>,
}

pub(super) async fn act(desk: &mut Desk, deed: Deed) -> anyhow::Result<()> {
    match deed {
        Deed::Mute(Lasting { account, time }) => restrict(desk, SanctionKind::Mute, &account, time).await,
        Deed::Kick(account) => restrict(desk, SanctionKind::Kick, &account, None).await,
        Deed::Ban(Lasting { account, time }) => restrict(desk, SanctionKind::Ban, &account, time).await,
        Deed::Shadow(Lasting { account, time }) => restrict(desk, SanctionKind::Shadow, &account, time).await,
        Deed::Lift(account) => restrict(desk, SanctionKind::Lift, &account, None).await,
        Deed::Role { account, role } => {
            let user = find(desk, &account).await?;
            desk.order(Command::SetServerRole { user, role: role.into() }).await?;
            let named = format!("{role:?}").to_lowercase();
            say(&format!("{} is {named} of this server now.", desk.names.person(user)))
        }
        Deed::ResetPassword(account) => {
            let user = find(desk, &account).await?;
            print_token(desk, Command::IssueReset(user)).await
        }
        Deed::Invite { uses, time } => print_token(desk, Command::InviteAccount { uses, duration_ms: time }).await,
    }
}

async fn restrict(desk: &mut Desk, kind: SanctionKind, account: &Account, time: Option<u64>) -> anyhow::Result<()> {
    let user = find(desk, account).await?;
    desk.order(Command::Restrict { user, kind, duration_ms: time.unwrap_or_default() }).await?;
    let what = match kind {
        SanctionKind::Mute => "is muted on this server",
        SanctionKind::Kick => "was logged out everywhere",
        SanctionKind::Ban => "is banned from this server",
        SanctionKind::Lift => "is restricted no more on this server",
        SanctionKind::Shadow => "is heard by nobody else on this server",
    };
    say(&format!("{} {what}.", desk.names.person(user)))
}

async fn find(desk: &mut Desk, account: &Account) -> anyhow::Result<UserId> {
    let room = desk.find_optional_room(account.room.as_deref()).await?;
    desk.find_person(&account.who, room).await
}
