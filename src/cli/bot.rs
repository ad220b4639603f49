//! `confab bot`: accounts of programs, and the keys by which they come.

use anyhow::bail;
use clap::Subcommand;
use confab_protocol::model::{DeviceId, ServerRole};

use super::account::audit;
use super::duration;
use super::user::{find, new_user};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::core::auth::create_key;
use crate::core::standing::Scopes;
use crate::core::store::{Created, Store};
use crate::open_store;

/// A key that nobody gave a time.
const KEY_TIME: &str = "365d";

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Create the account of a program. It has no password.
    Create {
        /// User name.
        name: String,
        /// The name that it shows.
        #[arg(long, value_name = "NAME")]
        display_name: Option<String>,
    },
    /// Print a new API key of a bot, once. `confab user sessions` lists and ends them.
    Key {
        /// User name or id.
        name: String,
        /// What it is for.
        #[arg(long, default_value = "key")]
        label: String,
        /// What it may be used for.
        #[arg(long, value_delimiter = ',', default_value = "read,write", value_parser = scope)]
        scopes: Vec<Scopes>,
        /// How long it is good, as 12h or 90d.
        #[arg(long = "for", value_name = "TIME", default_value = KEY_TIME, value_parser = duration)]
        time: u64,
    },
}

fn scope(name: &str) -> Result<Scopes, String> {
    let found = Scopes::NAMED.iter().find(|(known, _)| *known == name).map(|(_, scope)| *scope);
    found.ok_or_else(|| format!("one of {}", Scopes::NAMED.map(|(name, _)| name).join(", ")))
}

pub(super) fn run(config: &Config, args: Args) -> anyhow::Result<()> {
    super::runtime()?.block_on(async {
        let store = open_store(config).await?;
        let done = act(&*store, args.action).await;
        store.close().await;
        done
    })
}

async fn act(store: &dyn Store, action: Action) -> anyhow::Result<()> {
    let clock = SystemClock::new();
    let now = clock.now();
    match action {
        Action::Create { name, display_name } => {
            let user = new_user(&clock, &name, display_name.as_deref().unwrap_or(&name), ServerRole::Bot)?;
            let id = user.id;
            match store.create_user(user).await? {
                Created::Yes => println!("{id}"),
                _ => bail!("that user name is taken"),
            }
        }
        Action::Key { name, label, scopes, time } => {
            let user = find(store, &name).await?;
            if user.role != ServerRole::Bot {
                bail!("{name} is no bot: people log in by password");
            }
            let scopes = scopes.into_iter().fold(Scopes::NONE, Scopes::and);
            let device = DeviceId::new(now, clock.random());
            // What cannot be kept does not happen. The label is in words, of which the audit has none.
            let given: Vec<&str> =
                Scopes::NAMED.into_iter().filter(|(_, scope)| scopes.allow(*scope)).map(|(name, _)| name).collect();
            audit(store, &clock, "bot-key", user.id, &given.join(", ")).await?;
            let key = create_key(store, user.id, device, label, scopes, now, now.after(time)).await?;
            println!("{}", key.expose());
        }
    }
    Ok(())
}
