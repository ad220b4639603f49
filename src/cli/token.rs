//! `confab token`: access tokens without a password, for operators and tests, and the keys that sign them.

use anyhow::Context;
use clap::Subcommand;
use confab_protocol::model::{DeviceId, Username};
use futures_util::{StreamExt, stream};

use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::core::auth::{Auth, LIFE_SECONDS_MAX, mint_token, rotate_keys};
use crate::core::names;
use crate::metrics::Metrics;
use crate::{StartError, open_store};

/// Tokens that are made at a time.
const AT_ONCE: usize = 64;

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Print one access token per user name, as `name<TAB>token`. Run it as the server's user.
    Mint {
        /// User names; `-` reads them from standard input, one a line.
        #[arg(required = true)]
        users: Vec<String>,
        /// How long they are good.
        #[arg(long, default_value_t = 3600, value_name = "SECONDS",
            value_parser = clap::value_parser!(u64).range(1..=LIFE_SECONDS_MAX))]
        ttl: u64,
    },
    /// The keys that sign access tokens.
    #[command(subcommand)]
    Keys(Keys),
}

#[derive(Subcommand)]
enum Keys {
    /// Sign with a new key from now on. Tokens of the key before stay good until they expire; those of older ones end.
    Rotate,
}

pub(super) fn run(config: &Config, args: Args) -> anyhow::Result<()> {
    let (users, ttl) = match args.action {
        Action::Mint { users, ttl } => (users, ttl),
        Action::Keys(Keys::Rotate) => {
            let path = rotate_keys(&config.data_dir.join("keys"), SystemClock::new().now()).map_err(StartError::Key)?;
            println!("{} signs from now on", path.display());
            return Ok(());
        }
    };
    let users = if users == ["-"] {
        std::io::read_to_string(std::io::stdin())?.lines().map(str::to_owned).collect()
    } else {
        users
    };
    let clock: std::sync::Arc<dyn Clock> = std::sync::Arc::new(SystemClock::new());
    super::runtime()?.block_on(async {
        let store = open_store(config).await?;
        let auth = Auth::open(config, &clock, &Metrics::new()).map_err(StartError::Key)?;
        let mint = |user: &String| {
            let (store, auth, clock, user) = (&*store, &auth, &clock, user.clone());
            async move {
                let username = Username::parse(&user).with_context(|| format!("{user:?} cannot be a user name"))?;
                anyhow::ensure!(!names::is_reserved(&username), "{user} is a plugin's: nobody logs in to it");
                let device = DeviceId::new(clock.now(), clock.random());
                let minted = mint_token(store, auth.tokens(), username, device, ttl, clock.now()).await?;
                anyhow::Ok((minted.with_context(|| format!("no such user: {user}"))?, user))
            }
        };
        // Together, because the store's writes share commits; in order, because people diff.
        let mut minted = stream::iter(&users).map(mint).buffered(AT_ONCE).enumerate();
        while let Some((index, result)) = minted.next().await {
            let (token, user) = result?;
            println!("{user}\t{}", token.expose());
            if (index + 1) % 1000 == 0 {
                eprintln!("{} of {}", index + 1, users.len());
            }
        }
        Ok(())
    })
}
