//! Posts a chat log to a server with its real authors and rooms, and reads everything back.
//!
//! A log has a line `day<TAB>HH:MM<TAB>nick<TAB>text` for each message and may be gzipped. Each day becomes a
//! room, each nick an account that the operator imports beforehand:
//!
//! ```text
//! replay prepare chat.tsv.gz --users users.tsv --names names.txt
//! confab user import users.tsv
//! confab token mint - --ttl 86400 < names.txt > tokens.tsv
//! replay post chat.tsv.gz --tokens tokens.tsv --server ws://... --server quic://... --pin HEX --record sent.tsv
//! replay verify chat.tsv.gz --tokens tokens.tsv --server quic://... --pin HEX --record sent.tsv
//! ```
//!
//! `replay all` does all of that against a server of its own.
#![expect(clippy::disallowed_methods, reason = "a tool that measures real time and tracks its own tasks")]

mod chatlog;
mod drive;
mod ops;
mod pool;
mod post;
mod progress;
mod raw;
mod record;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::{Parser, Subcommand};
use confab_client::Server;

use crate::chatlog::{ChatLog, LogArgs};
use crate::record::Record;

/// Replays a chat log against a Confab server and verifies what came of it.
#[derive(Parser)]
#[command(name = "replay", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write the accounts of a log, for `confab user import` and `confab token mint -`.
    Prepare {
        #[command(flatten)]
        log: LogArgs,
        /// Gets a line `nick-<n><TAB>nick` for each author, and one for the reader.
        #[arg(long, value_name = "FILE")]
        users: PathBuf,
        /// Gets the user names alone.
        #[arg(long, value_name = "FILE")]
        names: Option<PathBuf>,
    },
    /// Post a log: a room for each day, an account for each nick.
    Post {
        #[command(flatten)]
        log: LogArgs,
        #[command(flatten)]
        access: Access,
        #[command(flatten)]
        pace: post::Pace,
        /// Gets a line for each message: what was sent as what, and how it fared.
        #[arg(long, value_name = "FILE")]
        record: PathBuf,
    },
    /// Read all history back, by another account, and compare it with log and record.
    Verify {
        #[command(flatten)]
        log: LogArgs,
        #[command(flatten)]
        access: Access,
        /// What `post` wrote.
        #[arg(long, value_name = "FILE")]
        record: PathBuf,
        /// The log was posted with a window above 1: the order is that of the acknowledgements.
        #[arg(long)]
        any_order: bool,
    },
    /// Everything: configuration, accounts, a server of its own, post over both transports, verify.
    All(drive::Args),
}

/// Which servers, and as whom.
#[derive(clap::Args)]
struct Access {
    /// What `confab token mint` printed: `name<TAB>token` for each account.
    #[arg(long, value_name = "FILE")]
    tokens: PathBuf,
    /// `ws://`, `wss://` or `quic://host:port`; users are split evenly between several.
    #[arg(long = "server", value_name = "URL", required = true)]
    servers: Vec<String>,
    /// SHA-256 of the server's certificate, for self-signed ones.
    #[arg(long, value_name = "HEX")]
    pin: Option<String>,
}

impl Access {
    fn servers(&self) -> anyhow::Result<Vec<Server>> {
        let parse = |url: &String| -> anyhow::Result<Server> {
            let server = Server::parse(url).with_context(|| url.clone())?;
            Ok(match &self.pin {
                Some(pin) => server.pin(pin)?,
                None => server,
            })
        };
        self.servers.iter().map(parse).collect()
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse().command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("replay: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Prepare { log, users, names } => {
            ChatLog::read(&log)?.write_accounts(&users, names.as_deref())?;
        }
        Command::Post { log, access, pace, record } => {
            let log = Arc::new(ChatLog::read(&log)?);
            let summary = post::run(log, &access, &pace, &record).await?;
            println!("{summary}");
            summary.check()?;
        }
        Command::Verify { log, access, record, any_order } => {
            let log = Arc::new(ChatLog::read(&log)?);
            let record = Record::read(&record)?;
            let report = verify::run(&log, &access, record, any_order).await?;
            println!("{report}");
            report.check()?;
        }
        Command::All(args) => drive::run(&args).await?,
    }
    Ok(())
}
