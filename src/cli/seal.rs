//! `confab seal`: keys for what people say, and their change beside a running server.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Subcommand;

use super::backup::teller;
use crate::clock::random_bytes;
use crate::config::Config;
use crate::core::seal::{Opener, Resealed, ResealedTo, Vault};
use crate::core::store::Store;
use crate::{files, open_existing_store, open_vault};

/// Rows of one transaction: the writer is not held up for long.
const ROWS_MAX: usize = 200;
/// Somebody may write with the old key while we look.
const PASSES_MAX: usize = 8;

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Add a new key at the end of the file that `store.seal_keys` names, or of another. A server uses it from its next
    /// start on.
    NewKey {
        /// Made when it is missing.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Seal everything that is not sealed with the newest key, beside a running server that was started with it.
    /// After it, older keys may be taken out of the file.
    Rotate {
        /// Write the store's files anew at the end, so that nothing of what was there before is left in them. PostgreSQL's
        /// tables are locked for as long as that takes, and the embedded store refuses sends.
        #[arg(long)]
        compact: bool,
    },
}

pub(super) fn run(config: &Config, args: Args) -> anyhow::Result<()> {
    match args.action {
        Action::NewKey { file } => new_key(config, file),
        Action::Rotate { compact } => super::runtime()?.block_on(rotate(config, compact)),
    }
}

fn new_key(config: &Config, file: Option<PathBuf>) -> anyhow::Result<()> {
    let Some(path) = file.or_else(|| config.store.seal_keys.clone()) else {
        bail!("name a file: --file FILE, and set store.seal_keys to it")
    };
    let text = match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        read => read.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let mut whole = text.clone();
    if !whole.is_empty() && !whole.ends_with('\n') {
        whole.push('\n');
    }
    match Vault::new_line(&text, random_bytes::<32>(), random_bytes) {
        Ok(line) => whole.push_str(&line),
        Err(what) => bail!("{}: {what}", path.display()),
    }
    files::write_private(&path, whole.as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
    println!(
        "A new key stands in {}. Keep a copy of it apart from backups: what it seals is lost without it.",
        path.display()
    );
    println!("Start the server again, then seal what is there already: confab seal rotate");
    Ok(())
}

async fn rotate(config: &Config, compact: bool) -> anyhow::Result<()> {
    let Some(newest) = open_vault(config, Opener::Server)?.current() else {
        bail!("store.seal_keys is not set: nothing is sealed")
    };
    let store = open_existing_store(config).await?;
    if store.sealing_key() != Some(newest) {
        bail!("no server was started with key {newest} yet: start it first, so that it can read what is sealed anew");
    }
    pass_until_done(&*store, newest).await?;
    // From here on nobody writes with another; what they wrote meanwhile is found by another look.
    store.forget_keys().await?;
    pass_until_done(&*store, newest).await?;
    println!(
        "Everything is sealed with key {newest}: older ones may be taken out of the file, when no server was started with them."
    );
    let is_tidy = compact && store.compact().await?;
    println!(
        "{}",
        match (compact, is_tidy) {
            (_, true) => "The files hold nothing of what was there, PostgreSQL's WAL and backups of before aside.",
            (true, false) => "The files still hold some of what was there, because somebody reads: run this again.",
            (false, false) => "The files can still hold pieces of what was there: run this with --compact.",
        }
    );
    store.close().await;
    Ok(())
}

async fn pass_until_done(store: &dyn Store, newest: u32) -> anyhow::Result<()> {
    for _ in 0..PASSES_MAX {
        let done = pass(store).await?;
        println!("{} rows were looked at, {} sealed with key {newest}.", done.looked, done.sealed);
        if done.sealed == 0 {
            return Ok(());
        }
    }
    bail!("somebody still writes with an older key: start every server anew, then run this again")
}

async fn pass(store: &dyn Store) -> anyhow::Result<Resealed> {
    let tell = teller();
    let mut done = Resealed::START;
    while done.at != ResealedTo::End {
        done = store.reseal(done, ROWS_MAX).await?;
        tell(&format!("{} rows looked at, {} sealed", done.looked, done.sealed));
        std::io::stderr().flush()?;
    }
    Ok(done)
}
