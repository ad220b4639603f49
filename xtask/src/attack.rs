//! `attack`: other people's tools against the real server. What each needs is installed by its ordinary package
//! client, and what it found is printed, also when that is nothing.

mod autobahn;
mod python27;
mod server;
mod slow;
mod tls;

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, bail};

use crate::shell;

pub(crate) fn run(args: &[&str]) -> Result<()> {
    match args {
        ["slow"] => slow::run(&server::build()?),
        ["slow", program] => slow::run(&PathBuf::from(program)),
        ["tls"] => tls::run(&server::build()?),
        ["tls", program] => tls::run(&PathBuf::from(program)),
        ["autobahn"] => autobahn::run(&server::build_echo()?, &[]),
        ["autobahn", program, left_out @ ..] => autobahn::run(&PathBuf::from(program), left_out),
        _ => bail!("attack slow [PROGRAM] | tls [PROGRAM] | autobahn [ECHO_PROGRAM [CASES LEFT OUT]]"),
    }
}

/// A folder of an attack, empty.
fn fresh_folder(name: &str) -> Result<PathBuf> {
    let folder = shell::root().join("target/attack").join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

#[expect(clippy::disallowed_methods, reason = "a tool measures and gives up")]
fn now() -> Instant {
    Instant::now()
}
