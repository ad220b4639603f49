//! `confab backup`: everything durable out of a running server's store, checked, and into an empty one.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::Subcommand;

use crate::backup::{self, Keys, Manifest, Progress, Watch};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::{lock, open_store};

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
    let clock = Arc::new(SystemClock::new());
    let watch = watch(Arc::clone(&clock));
    match args.action {
        Action::Create { folder, with_keys } => {
            let manifest = super::runtime()?.block_on(async {
                let store = open_store(config).await?;
                let made = backup::create(&*store, &keys, &folder, with_keys, &*clock, &watch).await;
                store.close().await;
                anyhow::Ok(made?)
            })?;
            println!("{}: {}", folder.display(), told(&manifest));
            if !with_keys {
                println!(
                    "The keys in {} are not in it: keep a copy of them elsewhere. Without keys/pepper no password is \
                     good after a restore.",
                    keys.display()
                );
            }
        }
        Action::Verify { folder } => {
            let manifest = backup::verify(&folder, &watch)?;
            println!("{} is whole: {}", folder.display(), told(&manifest));
        }
        Action::Restore { folder } => {
            // Before anything is made here.
            let manifest = backup::verify(&folder, &watch)?;
            let _lock = lock(config)?;
            let found = super::runtime()?.block_on(async {
                let store = open_store(config).await?;
                let restored = backup::restore(&*store, &keys, &folder, &manifest, clock, &watch).await;
                store.close().await;
                anyhow::Ok(restored?)
            })?;
            println!("Restored {}.", told(&manifest));
            println!("Everybody logs in anew, and readers are told that histories are others now.");
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

fn told(manifest: &Manifest) -> String {
    let rows = |table| manifest.rows(table);
    format!(
        "{} entries in {} logs, {} accounts, {} bytes, of {}",
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

fn watch(clock: Arc<SystemClock>) -> Watch {
    let is_terminal = std::io::stderr().is_terminal();
    let every = if is_terminal { TELL_EVERY[0] } else { TELL_EVERY[1] };
    let told = Mutex::new(clock.elapsed());
    Arc::new(move |progress: Progress| {
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        if clock.elapsed() < *told + every {
            return;
        }
        *told = clock.elapsed();
        let Progress { table, rows, of } = progress;
        match of {
            Some(of) => eprintln!("{table}: {rows} of {of}"),
            None => eprintln!("{table}: {rows}"),
        }
    })
}
