//! `confab user`: many accounts at once, for those who move from another chat; what is held on somebody as an archive;
//! and its erasure.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Subcommand;
use confab_protocol::model::{DisplayName, RoomId, ServerRole, UserId, Username};

use super::backup::teller;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::core::audit::AuditKey;
use crate::core::names::{self, user_key};
use crate::core::personal::{self, Erased, Passed};
use crate::core::store::{Error, NewUser, Store, User, new_incarnation};
use crate::{files, open_store};

/// Accounts of one transaction.
const CHUNK: usize = 1_000;

#[derive(clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Create an account for each line `username<TAB>display name`; names that are taken, or look like one that is, are
    /// skipped.
    Import {
        /// The file; `-` reads standard input.
        file: PathBuf,
    },
    /// Write what is held on somebody, one JSON object a line.
    Export {
        /// User name or id.
        name: String,
        /// Where to; standard output otherwise.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Take away what is held on somebody; what remains, and why, is printed.
    #[command(group = clap::ArgGroup::new("how").required(true).args(["dry_run", "yes"]))]
    Erase {
        /// User name or id.
        name: String,
        /// Only say what would be taken away.
        #[arg(long)]
        dry_run: bool,
        /// Do it. It cannot be taken back.
        #[arg(long)]
        yes: bool,
        /// Write PostgreSQL's tables anew, so that nothing of it is left in their files; each is locked for as long as
        /// that takes. The embedded store is always written anew.
        #[arg(long)]
        compact: bool,
    },
    #[command(flatten)]
    Account(super::account::Action),
}

pub(super) fn run(config: &Config, args: Args) -> anyhow::Result<()> {
    match args.action {
        Action::Import { file } => import(config, &file),
        Action::Export { name, output } => super::runtime()?.block_on(export(config, &name, output.as_deref())),
        Action::Account(action) => super::runtime()?.block_on(super::account::run(config, action)),
        Action::Erase { name, compact, yes, .. } => super::runtime()?.block_on(erase(config, &name, yes, compact)),
    }
}

pub(super) async fn find(store: &dyn Store, name: &str) -> anyhow::Result<User> {
    let by_id = match name.parse::<UserId>() {
        Ok(id) => store.find_users(vec![id]).await?.pop().map(|member| member.username),
        Err(_) => None,
    };
    let Ok(username) = Username::parse(by_id.as_deref().unwrap_or(name)) else {
        bail!("{name:?} cannot be a user name")
    };
    let found = store.find_login(username).await?;
    found.map(|(user, _)| user).with_context(|| format!("there is no user {name}"))
}

async fn export(config: &Config, name: &str, output: Option<&Path>) -> anyhow::Result<()> {
    let store = open_store(config).await?;
    let user = find(&*store, name).await?;
    // What somebody said is for whoever asked for it alone, and an archive is whole or not there.
    let partial = output.map(|path| path.with_extension("partial"));
    let mut out: Box<dyn Write + Send> = match &partial {
        Some(path) => {
            let _ = std::fs::remove_file(path);
            files::create_private(path).with_context(|| format!("cannot write {}", path.display()))?;
            Box::new(BufWriter::new(File::options().append(true).open(path)?))
        }
        None => Box::new(BufWriter::new(std::io::stdout())),
    };
    let (tell, mut count) = (teller(), 0_u64);
    let failed = |error: std::io::Error| Error::Unavailable(format!("the archive cannot be written: {error}"));
    let mut give = |record: serde_json::Value| {
        count += 1;
        writeln!(out, "{record}").map_err(failed)
    };
    let mut tell = |Passed { entries, of }: Passed| tell(&format!("{entries} of {of} entries looked at"));
    personal::export(&*store, &user, &mut give, &mut tell).await?;
    out.flush()?;
    if let (Some(partial), Some(path)) = (partial, output) {
        std::fs::rename(partial, path)?;
    }
    eprintln!("{count} records of {name}");
    store.close().await;
    Ok(())
}

async fn erase(config: &Config, name: &str, is_meant: bool, compact: bool) -> anyhow::Result<()> {
    let store = open_store(config).await?;
    let user = find(&*store, name).await?;
    if user.role == ServerRole::Owner {
        bail!("{name} owns this server: make somebody else its owner first");
    }
    let erased = if is_meant {
        personal::erase(&*store, &SystemClock::new(), &user, &mut |so_far: Erased| {
            eprintln!("{} messages, {} entries with the name", so_far.messages, so_far.names);
        })
        .await?
    } else {
        personal::rehearse(&*store, &user).await?
    };
    let Erased { rooms, messages, names, left, held } = erased;
    println!("{} {name} ({}):", if is_meant { "Erased" } else { "Would erase" }, user.id);
    println!("  account: name, display name, password, {} devices and their logins, own log", held.devices);
    println!("  the key without which no hash in the audit tells what they said");
    println!("  messages: {messages} in {rooms} rooms, with earlier texts, and their words in the index");
    println!("  reactions: {}, mentions: {}, held or refused: {}", held.reactions, held.mentions, held.unappended);
    println!("  kept with cases: {} messages of theirs, and what was said of {} cases", held.evidence, held.cases);
    println!("  invitations: {}, entries that named them: {names}, rooms left: {left}", held.invites);
    println!("  what plugins of servers that run remember about the id, within a second of the end");
    println!("Remains, because others' records need it:");
    println!(
        "  the id {} as author of tombstones, reactions' entries and settings of rooms, and as their member",
        user.id
    );
    println!("  names and topics that they gave to rooms, and what others wrote about them in messages");
    println!("  cases that are about them and records of the audit: ids, states and times, without words");
    println!("  what plugins remember under keys that do not name the id, until its time is over or the server stops");
    println!("  archives and backups that were made before; remove or renew them");
    if is_meant {
        super::account::audit(&*store, &SystemClock::new(), "erase", user.id, "").await?;
        let is_wanted = compact || config.store.url.is_none();
        if is_wanted {
            eprintln!("Writing the files anew. What is sent to a running server meanwhile waits, or is sent again.");
        }
        let is_done = is_wanted && store.compact().await?;
        println!("{}", files_told(config.store.url.is_some(), is_done));
    }
    store.close().await;
    Ok(())
}

fn files_told(is_postgres: bool, is_done: bool) -> &'static str {
    match (is_postgres, is_done) {
        (false, true) => "The files hold nothing of it any more.",
        (false, false) => "The WAL still holds some of it, because somebody reads: it goes when the server stops.",
        (true, true) => "The tables were written anew. The WAL and its archives hold it until they are recycled.",
        (true, false) => {
            "The rows are gone; the tables' files hold it until VACUUM FULL: run this again with the id and --compact."
        }
    }
}

fn import(config: &Config, file: &Path) -> anyhow::Result<()> {
    let text = if file.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin())?
    } else {
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?
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
    new_user(clock, username, display_name, ServerRole::User)
}

/// An account without a password. What a person could not be called, nobody is by the way of the command line.
pub(super) fn new_user(
    clock: &SystemClock,
    username: &str,
    display_name: &str,
    role: ServerRole,
) -> anyhow::Result<NewUser> {
    let Ok(username) = Username::parse(username) else { bail!("{username:?} cannot be a user name") };
    names::check_user_name(&username)?;
    let Ok(display_name) = DisplayName::parse(display_name) else { bail!("{display_name:?} cannot be a display name") };
    names::check_display_name(&display_name)?;
    let now = clock.now();
    Ok(NewUser {
        id: UserId::new(now, clock.random()),
        username_key: user_key(&username),
        username,
        display_name,
        role,
        password_hash: None,
        self_room: RoomId::new(now, clock.random()),
        incarnation: new_incarnation(clock.random()),
        created: now,
        audit_key: AuditKey::from_u128(clock.random()),
        ticket: None,
    })
}
