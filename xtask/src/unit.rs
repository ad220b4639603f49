//! The systemd unit, held against systemd's own judgement where that is installed: that it is understood, and how
//! much a service that is taken over could reach.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::shell::{self, Cmd};

const UNIT: &str = "packaging/systemd/confab.service";
const NAME: &str = "confab.service";
/// Where the unit expects the server.
const PROGRAM: &str = "/usr/local/bin/confab";
/// Of 100 tenths, and 11 today: sockets of the internet are what the server is for, and pages that become executable
/// what its plugins are.
const EXPOSURE_MAX: &str = "15";
/// The first systemd that judges a file instead of a service that runs.
const OFFLINE_SINCE: u32 = 250;

pub(crate) fn check() -> Result<()> {
    if version().is_none_or(|version| version < OFFLINE_SINCE) {
        let why = format!("no systemd-analyze of version {OFFLINE_SINCE} or later");
        shell::leave_out(format!("THE SYSTEMD UNIT IS NOT CHECKED: {why}"));
        return Ok(());
    }
    // The server need not be installed here: in its place stands a program that is everywhere.
    let text = fs::read_to_string(shell::root().join(UNIT)).context(UNIT)?;
    let folder = shell::root().join("target/systemd");
    fs::create_dir_all(&folder)?;
    let unit = folder.join(NAME);
    fs::write(&unit, text.replace(PROGRAM, "/bin/sh"))?;
    let verify = Cmd::new("systemd-analyze").args(["verify", "--man=no", "--recursive-errors=no"]).arg(&unit);
    let said = verify.read_all()?;
    // It looks into the units of this machine as well, which are not ours to judge.
    let ours: Vec<&str> = said.lines().filter(|line| line.contains(NAME)).collect();
    if !ours.is_empty() {
        bail!("{UNIT}:\n{}", ours.join("\n"));
    }
    let security = Cmd::new("systemd-analyze").args(["security", "--no-pager", "--offline=yes"]);
    let verdict = security.arg(format!("--threshold={EXPOSURE_MAX}")).arg(&unit).read();
    let verdict = verdict.with_context(|| format!("{UNIT} exposes more than {EXPOSURE_MAX} tenths"))?;
    let line = verdict.lines().rfind(|line| line.contains("exposure level")).context("systemd-analyze judges")?;
    eprintln!("xtask: systemd:{}", line.trim_start_matches(|c: char| !c.is_ascii()));
    Ok(())
}

/// `systemd 252 (252.38-1~deb12u1)`
fn version() -> Option<u32> {
    shell::find_program("systemd-analyze")?;
    let version = Cmd::new("systemd-analyze").arg("--version").read().ok()?;
    version.split_whitespace().nth(1)?.parse().ok()
}
