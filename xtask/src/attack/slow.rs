//! slowhttptest: heads, bodies and readers that take for ever, while somebody from another address wants the page.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::server::Running;
use super::{fresh_folder, now};
use crate::shell;

/// Connections that the attacker opens, and how many a second.
const CONNECTIONS: &str = "800";
const RATE: &str = "200";
/// Another network than the attacker's.
const OTHER_ADDRESS: &str = "127.77.0.1";
const PAUSE: Duration = Duration::from_millis(100);
/// Others wait no longer than this for the page, milliseconds.
const LATENCY_MAX_MS: f64 = 1_000.0;

/// A name, where it goes, and how. Bodies go on for longer than the server gives a whole request.
const ATTACKS: [(&str, &str, &[&str]); 3] = [
    ("slow heads", "/", &["-H", "-l", "20", "-i", "2", "-x", "24"]),
    (
        "slow bodies",
        "/api/v1/login",
        &["-B", "-l", "40", "-i", "2", "-s", "8000", "-x", "10", "-f", "application/json"],
    ),
    ("slow readers", "/", &["-X", "-l", "20", "-w", "1", "-y", "16", "-n", "3", "-z", "8", "-k", "3"]),
];

pub(super) fn run(program: &Path) -> Result<()> {
    shell::ensure_apt(&[("slowhttptest", "slowhttptest"), ("curl", "curl")])?;
    // First as it is shipped, then with room for all that the attacker opens.
    for (name, limits) in [("as shipped", None), ("without a limit by address", Some("100000"))] {
        let folder = fresh_folder("slow")?;
        let names = ["CONFAB__LIMITS__CONNECTIONS_PER_IP", "CONFAB__LIMITS__CONNECTIONS"];
        let settings: Vec<(&str, String)> =
            limits.iter().flat_map(|limit| names.map(|name| (name, (*limit).to_owned()))).collect();
        let mut server = Running::server(program, &folder, &settings)?;
        let page = server.address("http")?;
        println!("{name}: {CONNECTIONS} connections at {RATE} a second");
        let calm = Latencies::of((0..30).map(|_| ask(&page)).collect());
        println!("  {:14} {calm}", "before");
        calm.check()?;
        for (attack, path, flags) in ATTACKS {
            let during = one(&page, path, flags, &folder.join("slowhttptest.log"))?;
            server.check_up()?;
            println!("  {attack:14} {during}; {}", last_word(&folder.join("slowhttptest.log"))?);
            during.check().with_context(|| attack.to_owned())?;
        }
        thread::sleep(Duration::from_secs(1));
        let after = Latencies::of((0..30).map(|_| ask(&page)).collect());
        println!("  {:14} {after}", "after");
        after.check()?;
    }
    println!("the server stayed up, and others were answered");
    Ok(())
}

/// Attacks to the end, and asks for the page all the while.
fn one(page: &str, path: &str, flags: &[&str], log: &Path) -> Result<Latencies> {
    let mut attacker = Command::new("slowhttptest");
    attacker.args(flags).args(["-c", CONNECTIONS, "-r", RATE, "-p", "3", "-u"]);
    attacker.arg(format!("{page}{path}")).stdin(Stdio::null()).stdout(File::create(log)?).stderr(Stdio::null());
    let mut attacker = attacker.spawn().context("cannot start slowhttptest")?;
    let mut answers = Vec::new();
    while attacker.try_wait()?.is_none() {
        answers.push(ask(page));
        thread::sleep(PAUSE);
    }
    Ok(Latencies::of(answers))
}

/// The page from another address: milliseconds, or `None` without an answer of 200.
fn ask(page: &str) -> Option<f64> {
    let start = now();
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--output", "/dev/null", "--max-time", "5", "--interface", OTHER_ADDRESS]);
    let output = curl.args(["--write-out", "%{http_code} %{time_total}", page]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (code, seconds) = text.split_once(' ')?;
    let seconds: f64 = seconds.parse().ok().unwrap_or_else(|| start.elapsed().as_secs_f64());
    (code == "200").then_some(seconds * 1_000.0)
}

struct Latencies {
    asked: usize,
    /// Of those that were answered, ascending, milliseconds.
    answered: Vec<f64>,
}

impl Latencies {
    fn of(answers: Vec<Option<f64>>) -> Self {
        let asked = answers.len();
        let mut answered: Vec<f64> = answers.into_iter().flatten().collect();
        answered.sort_by(f64::total_cmp);
        Self { asked, answered }
    }

    fn at(&self, share: f64) -> f64 {
        let last = self.answered.len().saturating_sub(1);
        self.answered.get((last as f64 * share).round() as usize).copied().unwrap_or(f64::INFINITY)
    }

    fn check(&self) -> Result<()> {
        ensure!(self.asked > 0 && self.answered.len() == self.asked, "others were not always answered: {self}");
        if self.at(1.0) > LATENCY_MAX_MS {
            bail!("others waited longer than {LATENCY_MAX_MS} ms: {self}");
        }
        Ok(())
    }
}

impl std::fmt::Display for Latencies {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (asked, answered) = (self.asked, self.answered.len());
        let (median, p99, longest) = (self.at(0.5), self.at(0.99), self.at(1.0));
        write!(out, "{answered} of {asked} answered, median {median:.1} ms, p99 {p99:.1} ms, longest {longest:.1} ms")
    }
}

/// How it ended for the attacker: what became of its connections.
fn last_word(log: &Path) -> Result<String> {
    let text = std::fs::read_to_string(log)?;
    // Coloured, and drawn again and again.
    let plain: String = text.split('\u{1b}').map(|part| part.split_once('m').map_or(part, |(_, rest)| rest)).collect();
    let last = |name: &str| {
        let line = plain.lines().rev().find_map(|line| line.trim().strip_prefix(name)?.trim().strip_prefix(':'));
        format!("{name} {}", line.unwrap_or("?").trim())
    };
    let end = plain.lines().rev().find(|line| line.contains("Test ended")).unwrap_or_default().trim();
    let status =
        plain.lines().rev().find_map(|line| line.trim().strip_prefix("Exit status:")).unwrap_or_default().trim();
    let counts = ["connected", "closed"].map(last).join(", ");
    Ok(format!("attacker: {counts} when last looked at; {}: {status}", end.to_lowercase()))
}
