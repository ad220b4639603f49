//! Subcommands, one file each, and their exit codes. The only place that prints.

mod account;
mod audit;
mod backup;
mod bot;
mod chat;
mod config;
mod emergency;
mod health;
mod migrate;
mod moderate;
mod plugin;
mod seal;
mod serve;
mod token;
mod user;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::backup::BackupError;
use crate::config::Config;
use crate::core::store::Error as StoreError;
use crate::{StartError, config::ConfigError};

/// The store or what it needs cannot be reached (EX_UNAVAILABLE of sysexits).
const EXIT_STORE: u8 = 69;
/// The configuration is wrong (EX_CONFIG of sysexits).
const EXIT_CONFIG: u8 = 78;

/// A self-hosted real-time chat server that its operators extend with sandboxed WebAssembly.
#[derive(Parser)]
#[command(version, propagate_version = true)]
struct Cli {
    /// Configuration file (TOML); without one the defaults hold.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server.
    Serve,
    /// Talk in a room from the terminal.
    Chat(chat::Args),
    /// Moderate: messages, people, reports, cases, appeals and the audit, over the network as `chat`; who you are stands
    /// before what you do.
    Mod(moderate::Args),
    /// Ask a running server whether it is ready.
    Health,
    /// Bring the store's schema up to date, as `serve` does when it starts.
    Migrate,
    /// Write, check or show the configuration.
    Config(config::Args),
    /// Access tokens.
    Token(token::Args),
    /// Accounts.
    User(user::Args),
    /// Accounts of programs, and their API keys.
    Bot(bot::Args),
    /// How much the server lets happen.
    Emergency(emergency::Args),
    /// Keys that what people say is sealed with where it is stored.
    Seal(seal::Args),
    /// Whether a text is the one that a record of the audit is about.
    Audit(audit::Args),
    /// Plugins: made, tested, tried on what was said, installed.
    Plugin(plugin::Args),
    /// Everything that is stored, out of one store and into another.
    Backup(backup::Args),
}

/// Reads the command line and runs it.
#[must_use]
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let file = cli.config.as_deref();
    let result = match cli.command {
        Command::Serve => load(file).and_then(|config| serve::run(file, config)),
        Command::Chat(args) => load(file).and_then(|config| chat::run(&config, args)),
        Command::Mod(args) => load(file).and_then(|config| moderate::run(&config, args)),
        Command::Health => load(file).and_then(|config| health::run(&config)),
        Command::Migrate => load(file).and_then(|config| migrate::run(&config)),
        Command::Config(args) => config::run(file, args),
        Command::Plugin(args) => plugin::run(file, args),
        Command::Token(args) => load(file).and_then(|config| token::run(&config, args)),
        Command::User(args) => load(file).and_then(|config| user::run(&config, args)),
        Command::Bot(args) => load(file).and_then(|config| bot::run(&config, args)),
        Command::Emergency(args) => load(file).and_then(|config| emergency::run(&config, args)),
        Command::Seal(args) => load(file).and_then(|config| seal::run(&config, args)),
        Command::Audit(args) => load(file).and_then(|config| audit::run(&config, args)),
        Command::Backup(args) => load(file).and_then(|config| backup::run(&config, args)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // It may quote what others wrote: a plugin's author, say.
            eprintln!("confab: {}", chat::printable(&format!("{error:#}")));
            exit_code(&error)
        }
    }
}

fn load(file: Option<&std::path::Path>) -> anyhow::Result<Config> {
    Ok(Config::load(file)?)
}

fn exit_code(error: &anyhow::Error) -> ExitCode {
    if error.is::<ConfigError>() {
        return ExitCode::from(EXIT_CONFIG);
    }
    let is_of_store = |error: &BackupError| matches!(error, BackupError::Store(_));
    if error.is::<StoreError>() || error.downcast_ref().is_some_and(is_of_store) {
        return ExitCode::from(EXIT_STORE);
    }
    match error.downcast_ref::<StartError>() {
        Some(StartError::Store(_) | StartError::Data { .. }) => ExitCode::from(EXIT_STORE),
        Some(StartError::Config(_) | StartError::Tls(_) | StartError::Plugin(_) | StartError::Key(_)) => {
            ExitCode::from(EXIT_CONFIG)
        }
        _ => ExitCode::FAILURE,
    }
}

/// `30m`, `12h`, `7d`: milliseconds.
fn duration(text: &str) -> Result<u64, String> {
    let wrong = || "a number with s, m, h or d behind it, as 12h".to_owned();
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 24 * 3600,
        _ => return Err(wrong()),
    };
    let count: u64 = text.trim_end_matches(unit).parse().map_err(|_| wrong())?;
    count.checked_mul(seconds * 1000).filter(|ms| *ms > 0).ok_or_else(wrong)
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}
