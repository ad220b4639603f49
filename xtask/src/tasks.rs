//! `run`, `test`, `bench`, `simulate`: what people type.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::shell::{self, Cmd};
use crate::{assets, check, examples, fuzz, image_test};

/// Builds the page, the stock plugins and the server, and runs it. Needs nothing but cargo and a C compiler.
pub(crate) fn run(args: &[&str]) -> Result<()> {
    let program = shell::root().join("target/quick/confab");
    if !program.exists() {
        eprintln!("xtask: the first build takes some minutes, later ones seconds");
    }
    assets::plugins()?;
    assets::page()?;
    // Not quiet: who waits for minutes wants to see that something happens.
    Cmd::cargo().args(["build", "--profile", "quick", "--package", "confab", "--bin", "confab"]).run()?;
    let args = if args.is_empty() { &["serve"] } else { args };
    Cmd::new(program.to_str().context("paths are UTF-8")?).args(args).run()
}

/// Everything: `check`, then every layer of tests. Prints how long each part took.
pub(crate) fn test(layer: Option<&str>) -> Result<()> {
    let mut times = BTreeMap::new();
    let mut timed = |name: &'static str, work: &dyn Fn() -> Result<()>| -> Result<()> {
        eprintln!("xtask: {name}");
        let start = now();
        work()?;
        times.insert(name, start.elapsed().as_secs());
        Ok(())
    };
    let is_wanted = |name: &str| layer.is_none_or(|layer| layer == name);
    if !["check", "protocol", "server", "image"].iter().any(|name| is_wanted(name)) {
        bail!("layers: check, protocol, server, image");
    }
    if is_wanted("check") {
        timed("check", &check::run)?;
    }
    if is_wanted("protocol") {
        timed("protocol", &|| {
            let packages =
                ["confab-protocol", "confab-plugin", "confab-client", "confab-hosts", "confab-fuzz", "xtask"]
                    .map(str::to_owned);
            let plugins = assets::STOCK.map(|id| format!("confab-{id}"));
            let cargo = Cmd::cargo().args(["test", "--quiet"]);
            let all = packages.iter().chain(&plugins);
            all.fold(cargo, |cargo, package| cargo.args(["--package", package])).run()?;
            fuzz::smoke_of_protocol()
        })?;
    }
    if is_wanted("server") {
        timed("guests and page", &|| {
            assets::plugins()?;
            assets::test_plugins()?;
            examples::run()?;
            assets::page()
        })?;
        timed("server", &|| {
            shell::ensure_apt(&[
                ("chromium", "chromium"),
                ("chromedriver", "chromium-driver"),
                ("capnp", "capnproto"),
                ("initdb", "postgresql"),
                ("faketime", "faketime"),
            ])?;
            // What a linker has no room for it says in ways that are hard to read.
            let build = Cmd::cargo().args(["test", "--quiet", "--package", "confab", "--no-run"]).run();
            build.inspect_err(|_| shell::tell_room())?;
            Cmd::cargo().args(["test", "--package", "confab"]).run()
        })?;
    }
    if is_wanted("image") {
        timed("image", &image_test::run)?;
    }
    for (name, seconds) in &times {
        eprintln!("xtask: {name}: {seconds} s");
    }
    eprintln!("{}", closing(times.values().sum(), &shell::left_out()));
    Ok(())
}

/// The last words of a green run: what it says nothing of is in them.
fn closing(seconds: u64, left_out: &[String]) -> String {
    let named = left_out.iter().map(|what| format!("xtask: {what}\n"));
    let but = match left_out.len() {
        0 => String::new(),
        count => format!(", but for {count} that could not be had here"),
    };
    format!("{}xtask: all passed in {seconds} s{but}", named.collect::<String>())
}

/// Every fault of the simulation, hundreds of times. In the environment `CONFAB_SIMULATE_SECONDS`, `_ROUNDS_SQLITE` and
/// `_ROUNDS_POSTGRES` shorten it, and `_ROWS` has a part of the names of the rows that are wanted.
pub(crate) fn simulate(seed: Option<&str>) -> Result<()> {
    shell::ensure_apt(&[("initdb", "postgresql"), ("faketime", "faketime")])?;
    let cmd = Cmd::cargo().args(["test", "--package", "confab", "--test", "main", "--"]);
    let cmd = cmd.args(["--ignored", "--exact", "--nocapture", "simulate::runs::simulate"]);
    seed.into_iter().fold(cmd, |cmd, seed| cmd.env("CONFAB_SIMULATE_SEED", seed)).run()
}

/// In the order in which they run.
const BENCHES: [&str; 11] = [
    "fanout",
    "publish",
    "resume",
    "slow",
    "logins",
    "plugins",
    "moderation",
    "moderated",
    "replay",
    "hostile",
    "idle",
];

/// All benches, or one by name.
pub(crate) fn bench(name: Option<&str>) -> Result<()> {
    if let Some(name) = name.filter(|name| !BENCHES.contains(name)) {
        bail!("there is no bench {name}, but {}", BENCHES.join(", "));
    }
    assets::plugins()?;
    assets::test_plugins()?;
    for bench in BENCHES.iter().filter(|bench| name.is_none_or(|name| name == **bench)) {
        Cmd::cargo().args(["bench", "--quiet", "--package", "confab", "--bench", bench]).run()?;
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a tool tells how long it took")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::closing;

    #[test]
    fn a_green_run_ends_with_what_it_left_out() {
        assert_eq!(closing(7, &[]), "xtask: all passed in 7 s");
        let told = closing(7, &["NOT TESTED: the example in c: there is no clang".to_owned()]);
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(lines[0], "xtask: NOT TESTED: the example in c: there is no clang");
        assert_eq!(lines[1..], ["xtask: all passed in 7 s, but for 1 that could not be had here"]);
    }
}
