//! `confab user role | ban | mute | kick | lift | sessions | reset-password | invite`: what those do to accounts who run the
//! server. A running server hears of it within half a second.

use anyhow::{Context, bail};
use clap::{Subcommand, ValueEnum};
use confab_protocol::command::AuditRecord;
use confab_protocol::model::{AuditId, Millis, SanctionKind, ServerRole, UserId};

use super::duration;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::core::auth;
use crate::core::cases::NewRecord;
use crate::core::names;
use crate::core::standing::{NewTicket, TicketKind};
use crate::core::steward::{RESET_MS, server_word};
use crate::core::store::{Restrict, Store, User};
use crate::open_existing_store;

/// A role on the server.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Role {
    Admin,
    Moderator,
    User,
}

impl From<Role> for ServerRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Admin => Self::Admin,
            Role::Moderator => Self::Moderator,
            Role::User => Self::User,
        }
    }
}

#[derive(Subcommand)]
pub(super) enum Action {
    /// Give an account another role on the server.
    Role {
        /// User name or id.
        name: String,
        /// Which.
        role: Role,
    },
    /// End all sessions of an account, and let none begin.
    Ban {
        /// User name or id.
        name: String,
        /// For how long, as 30m, 12h or 7d; until it is lifted otherwise.
        #[arg(long = "for", value_name = "TIME", value_parser = duration)]
        time: Option<u64>,
    },
    /// Let an account read, and write nothing.
    Mute {
        /// User name or id.
        name: String,
        /// For how long, as 30m, 12h or 7d; until it is lifted otherwise.
        #[arg(long = "for", value_name = "TIME", value_parser = duration)]
        time: Option<u64>,
    },
    /// What they say from now on is seen by them alone, and by moderators in the history; they are not told.
    Shadow {
        /// User name or id.
        name: String,
        /// For how long, as 30m, 12h or 7d; until it is lifted otherwise.
        #[arg(long = "for", value_name = "TIME", value_parser = duration)]
        time: Option<u64>,
    },
    /// End all sessions of an account.
    Kick {
        /// User name or id.
        name: String,
    },
    /// End a mute or ban of an account.
    Lift {
        /// User name or id.
        name: String,
    },
    /// Print where an account is logged in, and its API keys.
    Sessions {
        /// User name or id.
        name: String,
        /// End this one.
        #[arg(long, value_name = "ID")]
        end: Option<String>,
    },
    /// Print a token with which the owner of an account chooses a new password within the hour.
    ResetPassword {
        /// User name or id.
        name: String,
    },
    /// Print a token to register with.
    Invite {
        /// How many may register with it.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
        uses: u32,
        /// How long it is good, as 30m, 12h or 7d.
        #[arg(long = "for", value_name = "TIME", default_value = "1d", value_parser = duration)]
        time: u64,
    },
}

pub(super) async fn run(config: &Config, action: Action) -> anyhow::Result<()> {
    let store = open_existing_store(config).await?;
    let done = act(&*store, action).await;
    store.close().await;
    done
}

async fn act(store: &dyn Store, action: Action) -> anyhow::Result<()> {
    let clock = SystemClock::new();
    match action {
        Action::Role { name, role } => {
            let user = super::user::find(store, &name).await?;
            let record = record(&clock, "server-role", user.id, "");
            if !store.set_server_role(user.id, None, role.into(), record).await? {
                bail!("{name} owns this server: the owner's role stays");
            }
            println!("{} is {} of this server now", user.username, format!("{role:?}").to_lowercase());
        }
        Action::Ban { name, time } => restrict(store, &clock, &name, SanctionKind::Ban, time).await?,
        Action::Mute { name, time } => restrict(store, &clock, &name, SanctionKind::Mute, time).await?,
        Action::Shadow { name, time } => restrict(store, &clock, &name, SanctionKind::Shadow, time).await?,
        Action::Kick { name } => restrict(store, &clock, &name, SanctionKind::Kick, None).await?,
        Action::Lift { name } => restrict(store, &clock, &name, SanctionKind::Lift, None).await?,
        Action::Sessions { name, end } => sessions(store, &name, end).await?,
        Action::ResetPassword { name } => {
            let user = super::user::find(store, &name).await?;
            if names::is_reserved(&user.username) {
                bail!("{name} is the account of a plugin: nobody logs in to it");
            }
            audit(store, &clock, "reset-token", user.id, "").await?;
            ticket(store, &clock, TicketKind::Reset, user.id, 1, RESET_MS).await?;
        }
        Action::Invite { uses, time } => {
            audit(store, &clock, "invite-account", UserId::NONE, "").await?;
            ticket(store, &clock, TicketKind::Account, UserId::NONE, uses, time).await?;
        }
    }
    Ok(())
}

/// Whoever has the machine has no name; that they did it is kept.
pub(super) fn record(clock: &SystemClock, act: &str, user: UserId, detail: &str) -> NewRecord {
    let (time, act, detail) = (clock.now(), act.to_owned(), detail.to_owned());
    let record = AuditRecord { time, act, user, detail, ..AuditRecord::default() };
    debug_assert!(crate::core::vocabulary::has(&record), "nobody finds it: {record:?}");
    NewRecord { id: AuditId::new(time, clock.random()), record, note: None }
}

/// Keeps a record of what is no single change of the store.
pub(super) async fn audit(
    store: &dyn Store,
    clock: &SystemClock,
    act: &str,
    user: UserId,
    detail: &str,
) -> anyhow::Result<()> {
    Ok(store.audit(vec![record(clock, act, user, detail)]).await?)
}

async fn restrict(
    store: &dyn Store,
    clock: &SystemClock,
    name: &str,
    kind: SanctionKind,
    time: Option<u64>,
) -> anyhow::Result<()> {
    let User { id: user, username, .. } = super::user::find(store, name).await?;
    let now = clock.now();
    let (below, until) = (None, time.map(|ms| now.after(ms)));
    let record = record(clock, server_word(kind), user, "");
    if !store.restrict(Restrict { user, below, kind, until, now, record }).await? {
        bail!("{name} is banned: lift that first");
    }
    let what = match kind {
        SanctionKind::Mute => "is muted",
        SanctionKind::Shadow => "is heard by nobody, and is not told",
        SanctionKind::Ban => "is banned",
        SanctionKind::Kick => "was logged out everywhere",
        SanctionKind::Lift => "is restricted no more",
    };
    println!("{username} {what}");
    Ok(())
}

async fn sessions(store: &dyn Store, name: &str, end: Option<String>) -> anyhow::Result<()> {
    let user = super::user::find(store, name).await?;
    if let Some(id) = end {
        let device = id.parse().ok().with_context(|| format!("{id:?} is no id of a session"))?;
        store.log_out(user.id, device).await?;
    }
    let day = |time: Millis| time.0 / 1000;
    for login in store.logins(user.id).await? {
        let kind = if login.is_key { "key" } else { "login" };
        // Times as `date -d @` takes them.
        println!("{}\t{kind}\t@{}\t@{}\t{}", login.device, day(login.created), day(login.seen), login.name);
    }
    Ok(())
}

async fn ticket(
    store: &dyn Store,
    clock: &SystemClock,
    kind: TicketKind,
    user: UserId,
    uses: u32,
    ms: u64,
) -> anyhow::Result<()> {
    let (token, hash) = auth::opaque();
    let now = clock.now();
    store
        .create_ticket(NewTicket { hash, kind, user, author: UserId::NONE, uses, expires: now.after(ms), now })
        .await?;
    println!("{}", token.expose());
    Ok(())
}
