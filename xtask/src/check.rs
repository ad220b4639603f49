//! `check`: everything that can be said about the code without running it.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::shell::{self, Cmd};
use crate::{advisories, assets, codegen, tidy, unit};

const DENY_VERSION: &str = "0.20.2";

pub(crate) fn run() -> Result<()> {
    Cmd::cargo().args(["fmt", "--all", "--check"]).run().context("run `cargo fmt --all`")?;
    tidy::run()?;
    codegen::run(true)?;
    let wasm_only = [
        "confab-deputy",
        "confab-historian",
        "confab-hostile",
        "confab-imports",
        "confab-observer",
        "confab-surveyor",
        "confab-web",
    ];
    let excluded = wasm_only.iter().flat_map(|package| ["--exclude", *package]);
    let clippy = Cmd::cargo().args(["clippy", "--quiet", "--workspace", "--all-targets"]).args(excluded);
    clippy.args(["--", "--deny", "warnings"]).run()?;
    assets::check_for_wasm("confab-protocol").context("the protocol must build for wasm32: it does no I/O")?;
    for guest in wasm_only {
        assets::clippy_for_wasm(guest)?;
    }
    for id in assets::STOCK {
        assets::clippy_for_wasm(&format!("confab-{id}"))?;
    }
    let doc = Cmd::cargo().env("RUSTDOCFLAGS", "--deny warnings").args([
        "doc",
        "--quiet",
        "--no-deps",
        "--document-private-items",
    ]);
    doc.args(["--package", "confab-protocol", "--package", "confab-plugin", "--package", "confab-client"]).run()?;
    unit::check()?;
    deny()
}

/// Licences, sources, bans, and known vulnerabilities where there is a database of them.
pub(crate) fn deny() -> Result<()> {
    let home = tools_home()?;
    let program = home.join("bin/cargo-deny");
    let program = program.to_str().context("paths are UTF-8")?;
    let version = Cmd::new(program).arg("--version").read().unwrap_or_default();
    if !version.contains(DENY_VERSION) {
        eprintln!("xtask: building cargo-deny {DENY_VERSION} once, into {}", home.display());
        let install = Cmd::cargo().args(["install", "cargo-deny", "--quiet", "--locked", "--version", DENY_VERSION]);
        let build = home.join("build");
        install.arg("--root").arg(&home).arg("--target-dir").arg(&build).run()?;
        // Only the program is used again.
        fs::remove_dir_all(&build)?;
    }
    // It reads the sources of every platform's crates, of which a build fetched only ours.
    Cmd::cargo().args(["fetch", "--quiet", "--locked"]).run()?;
    // The whole workspace: the page and the plugins are in what is shipped, and this tool makes it.
    let deny = Cmd::new(program).args(["--log-level", "error", "--offline", "--workspace", "check"]);
    let deny = deny.args(["--hide-inclusion-graph", "licenses", "bans", "sources"]);
    match advisories::database(program)? {
        Some(folder) => advisories::apart(deny).arg("advisories").env("CONFAB_ADVISORIES", folder).run(),
        None => deny.run(),
    }
}

/// Outside `target`, so that it is built once for a machine and not once for a clone.
fn tools_home() -> Result<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"));
    let home = cache.or_else(home).unwrap_or_else(|| shell::root().join("target")).join("confab-tools");
    fs::create_dir_all(&home)?;
    Ok(home)
}
