//! `confab user import`: many accounts at once, without passwords, for those who move from another chat.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Subcommand;
use confab_protocol::model::{DisplayName, RoomId, ServerRole, UserId, Username};

use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::core::store::{NewUser, new_incarnation};
use crate::open_store;

/// Accounts of one transaction.
const CHUNK: usize = 1_000;

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Create an account for each line `username<TAB>display name`; names that are taken are skipped.
    Import {
        /// The file; `-` reads standard input.
        file: PathBuf,
    },
}

pub(super) fn run(config: &Config, args: Args) -> anyhow::Result<()> {
    let Action::Import { file } = args.action;
    let text = if file.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin())?
    } else {
        std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?
    };
    let clock = SystemClock::new();
    let users = text
        .lines()
        .enumerate()
        .map(|(index, line)| parse(&clock, line).with_context(|| format!("line {}", index + 1)))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let total = users.len();
    let created = super::runtime()?.block_on(async {
        let store = open_store(config).await?;
        let mut created = 0;
        for chunk in users.chunks(CHUNK) {
            created += store.import_users(chunk.to_vec()).await?;
            eprintln!("{created} of {total}");
        }
        anyhow::Ok(created)
    })?;
    println!("{created} accounts created, {} names were taken", total - created);
    Ok(())
}

fn parse(clock: &SystemClock, line: &str) -> anyhow::Result<NewUser> {
    let (username, display_name) = line.split_once('\t').unwrap_or((line, line));
    let Ok(username) = Username::parse(username) else { bail!("{username:?} cannot be a user name") };
    let Ok(display_name) = DisplayName::parse(display_name) else { bail!("{display_name:?} cannot be a display name") };
    let now = clock.now();
    Ok(NewUser {
        id: UserId::new(now, clock.random()),
        username,
        display_name,
        role: ServerRole::User,
        password_hash: None,
        self_room: RoomId::new(now, clock.random()),
        incarnation: new_incarnation(clock.random()),
        created: now,
    })
}
