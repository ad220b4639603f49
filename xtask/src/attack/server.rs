//! A program that is attacked: started for it, its addresses read from what it prints, ended with it.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::shell::{self, Cmd};

/// A server prints its addresses within this time.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Lines that are looked at for an address.
const LINES_MAX: usize = 64;

/// The server as `cargo xtask run` builds it.
pub(super) fn build() -> Result<PathBuf> {
    Cmd::cargo().args(["build", "--profile", "quick", "--package", "confab", "--bin", "confab"]).run()?;
    Ok(shell::root().join("target/quick/confab"))
}

/// The server's accept path with an echo behind it, and with what checks itself switched on.
pub(super) fn build_echo() -> Result<PathBuf> {
    Cmd::cargo().args(["build", "--package", "confab", "--example", "echo"]).run()?;
    Ok(shell::root().join("target/debug/examples/echo"))
}

/// A running program; it ends with this value.
pub(super) struct Running {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    /// Starts it. What it says on standard error is kept beside; its standard input ends with this process, however
    /// that ends.
    pub(super) fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let program = command.get_program().display().to_string();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(log)?);
        let mut child = command.spawn().with_context(|| format!("cannot start {program}"))?;
        let stdout = child.stdout.take().context("a pipe was asked for")?;
        let (send, lines) = mpsc::sync_channel(LINES_MAX);
        // To the end, or it could not print.
        thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).for_each(|line| drop(send.try_send(line)));
        });
        Ok(Self { child, lines })
    }

    /// The server, on free ports of this machine and with nothing in its folder; `settings` are of its configuration.
    pub(super) fn server(program: &Path, folder: &Path, settings: &[(&str, String)]) -> Result<Self> {
        let mut command = Command::new(program.canonicalize().with_context(|| program.display().to_string())?);
        command.arg("serve").current_dir(folder);
        command.env("CONFAB__DATA_DIR", folder.join("data")).env("CONFAB__PLUGINS__CHAIN", "[]");
        for listener in ["HTTP", "QUIC", "OPS"] {
            command.env(format!("CONFAB__LISTEN__{listener}"), "127.0.0.1:0");
        }
        command.envs(settings.iter().map(|(name, value)| (*name, value)));
        Self::start(&mut command, &folder.join("server.log"))
    }

    /// The next address with this scheme that it prints, up to its path.
    pub(super) fn address(&self, scheme: &str) -> Result<String> {
        let url = self.url(scheme)?;
        let authority = url.split('/').nth(2).unwrap_or_default();
        Ok(format!("{scheme}://{authority}"))
    }

    /// The next address with this scheme that it prints.
    pub(super) fn url(&self, scheme: &str) -> Result<String> {
        let scheme = format!("{scheme}://");
        loop {
            let line =
                self.lines.recv_timeout(START_TIMEOUT).with_context(|| format!("it prints no {scheme} address"))?;
            if let Some(at) = line.find(&scheme) {
                return Ok(line[at..].split(' ').next().unwrap_or_default().to_owned());
            }
        }
    }

    /// Fails if it has ended.
    pub(super) fn check_up(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the server ended: {status}");
        }
        Ok(())
    }
}
