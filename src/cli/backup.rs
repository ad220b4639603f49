//! `confab backup`: everything durable out of a running server's store, checked, and into an empty one.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::Subcommand;

use crate::backup::{self, Checked, Keys, Progress, Watch};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::core::seal::Opener;
use crate::{lock, open_existing_store, open_store, open_vault};

/// How often progress is told on a terminal, and elsewhere.
const TELL_EVERY: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(5)];

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Write everything that is stored into a new folder, beside a running server, and read it back.
    Create {
        /// Must not be there yet.
        folder: PathBuf,
        /// Also copy the server's keys, the pepper of passwords among them: whoever has such a backup can act as
        /// the server. Without, keep a copy of the keys' folder elsewhere.
        #[arg(long)]
        with_keys: bool,
    },
    /// Read all of a backup and say whether it is whole.
    Verify {
        /// What `create` made.
        folder: PathBuf,
    },
    /// Fill an empty store, embedded or PostgreSQL, from a backup of either. The server must be stopped.
    Restore {
        /// What `create` made.
        folder: PathBuf,
    },
}

pub(super) fn run(config: &Config, args: Args) -> anyhow::Result<()> {
    let keys = config.data_dir.join("keys");
    let vault = open_vault(config, Opener::Tool)?;
    let clock = Arc::new(SystemClock::new());
    let watch = watch();
    match args.action {
        Action::Create { folder, with_keys } => {
            let checked = super::runtime()?.block_on(async {
                let store = open_existing_store(config).await?;
                let made = backup::create(&*store, &vault, &keys, &folder, with_keys, &*clock, &watch).await;
                store.close().await;
                anyhow::Ok(made?)
            })?;
            println!("{}: {}", folder.display(), told(&checked));
            if !with_keys {
                println!(
                    "The keys in {} are not in it: keep a copy of them elsewhere. Without keys/pepper no password is \
                     good after a restore.",
                    keys.display()
                );
            }
        }
        Action::Verify { folder } => {
            let checked = backup::verify(&folder, &vault, &watch)?;
            println!("{} is whole: {}", folder.display(), told(&checked));
        }
        Action::Restore { folder } => {
            // Before anything is made here.
            let checked = backup::verify(&folder, &vault, &watch)?;
            let _lock = lock(config)?;
            let (found, level) = super::runtime()?.block_on(async {
                let store = open_store(config).await?;
                let restored = backup::restore(&*store, &keys, &folder, &checked.manifest, clock, &watch).await;
                let controls = store.controls(i64::MAX.cast_unsigned()).await;
                store.close().await;
                anyhow::Ok((restored?, controls?.level))
            })?;
            println!("Restored {}.", told(&checked));
            println!("Everybody logs in anew, and readers are told that histories are others now.");
            println!("API keys, and what was issued to reset a password or to register, are void.");
            println!("The emergency level is {}: {}.", level as u8, level.text());
            if found == Keys::Missing {
                println!(
                    "NO PASSWORD IS GOOD: {} is not the one of the backup. Put that there before the server starts.",
                    keys.join("pepper").display()
                );
            }
        }
    }
    Ok(())
}

fn told(checked: &Checked) -> String {
    let Checked { manifest, unopened } = checked;
    let sealed = match unopened {
        0 => String::new(),
        count => format!("; {count} ARE SEALED WITH KEYS THAT ARE NOT IN store.seal_keys and could not be read"),
    };
    let rows = |table| manifest.rows(table);
    format!(
        "{} entries in {} logs, {} accounts, {} bytes, of {}{sealed}",
        rows("entries"),
        rows("rooms"),
        rows("users"),
        manifest.bytes(),
        date(manifest.created_ms)
    )
}

/// In UTC, to the second.
fn date(millis: u64) -> String {
    let seconds = i64::try_from(millis / 1_000).unwrap_or_default();
    let at = time::OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    let (hour, minute, second) = at.to_hms();
    format!("{} {hour:02}:{minute:02}:{second:02} UTC", at.date())
}

/// Tells on standard error how far something is, now and then.
pub(super) fn teller() -> impl Fn(&str) + Send + Sync {
    let clock = SystemClock::new();
    let every = if std::io::stderr().is_terminal() { TELL_EVERY[0] } else { TELL_EVERY[1] };
    let told = Mutex::new(clock.elapsed());
    move |what| {
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        if clock.elapsed() >= *told + every {
            *told = clock.elapsed();
            eprintln!("{what}");
        }
    }
}

fn watch() -> Watch {
    let tell = teller();
    Arc::new(move |Progress { table, rows, of }| match of {
        Some(of) => tell(&format!("{table}: {rows} of {of}")),
        None => tell(&format!("{table}: {rows}")),
    })
}
