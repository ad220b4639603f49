//! `fuzz`: libFuzzer where it is installed, the project's own driver everywhere; smoke runs, and hostile frames by
//! the million.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::shell::{self, Cmd};

/// Targets that need only the protocol: bodies in `fuzz/src/bodies`.
const PROTOCOL: [&str; 6] = ["frame", "client_frame", "server_frame", "entry", "server_session", "client_session"];
/// Targets that need the server: tests of `tests/security/fuzz.rs`.
const SERVER: [&str; 4] = ["config", "manifest", "token", "http_body"];
const SMOKE_SECONDS: &str = "3";
const FRAMES: &str = "10000000";

pub(crate) fn run(args: &[&str]) -> Result<()> {
    match args {
        ["--smoke"] => {
            smoke_of_protocol()?;
            SERVER.iter().try_for_each(|target| on_server(target, SMOKE_SECONDS))
        }
        ["--frames"] => at_speed(&["frames", FRAMES]),
        ["--frames", count] => at_speed(&["frames", count]),
        ["--seeds"] => at_speed(&["seeds"]),
        ["--replay", target, file] => at_speed(&["replay", target, file]),
        [target] => target_for(target, "60"),
        [target, "--secs", seconds] => target_for(target, seconds),
        _ => bail!("fuzz TARGET [--secs N] | --smoke | --frames [N] | --replay TARGET FILE | --seeds; {}", names()),
    }
}

/// Every target of the protocol for some seconds, with what the tests are built with anyway.
pub(crate) fn smoke_of_protocol() -> Result<()> {
    Cmd::cargo().args(["run", "--quiet", "--package", "confab-fuzz", "--", "smoke", SMOKE_SECONDS]).run()
}

fn target_for(target: &str, seconds: &str) -> Result<()> {
    if SERVER.contains(&target) {
        return on_server(target, seconds);
    }
    if !PROTOCOL.contains(&target) {
        bail!("no target {target}: {}", names());
    }
    if !Cmd::cargo().args(["+nightly", "fuzz", "--version"]).succeeds() {
        eprintln!("xtask: no nightly compiler with cargo-fuzz: our own driver mutates without looking at coverage.");
        eprintln!("xtask: for libFuzzer: rustup toolchain add nightly && cargo install cargo-fuzz");
        return at_speed(&["run", target, seconds]);
    }
    // What it finds goes into the first folder; the kept corpus only grows by hand.
    let found = shell::root().join("target/fuzz/found").join(target);
    fs::create_dir_all(&found)?;
    let kept = shell::root().join("fuzz/corpus").join(target);
    let folder = shell::root().join("fuzz/libfuzzer");
    let limit = format!("-max_total_time={seconds}");
    let fuzz = Cmd::cargo().args(["+nightly", "fuzz", "run", "--fuzz-dir"]).arg(&folder).arg(target);
    fuzz.arg(&found).arg(&kept).args(["--", &limit]).dir(&folder).run()
}

/// Our own driver, optimised, with checks for what overflows.
fn at_speed(args: &[&str]) -> Result<()> {
    let cargo = Cmd::cargo().args(["run", "--quiet", "--profile", "fuzz", "--package", "confab-fuzz", "--"]);
    cargo.args(args).run().context("inputs that broke something are in target/fuzz/broken")
}

fn on_server(target: &str, seconds: &str) -> Result<()> {
    let test = format!("security::fuzz::{target}");
    let cargo = Cmd::cargo().args(["test", "--quiet", "--package", "confab", "--test", "main", "--"]);
    let cargo = cargo.args(["--exact", "--nocapture", &test]).env("CONFAB_FUZZ_SECONDS", seconds);
    cargo.run().context("inputs that broke something are in target/fuzz/broken")
}

fn names() -> String {
    format!("targets: {}, {}", PROTOCOL.join(", "), SERVER.join(", "))
}
