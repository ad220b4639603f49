//! Running programs, finding the root, installing Debian packages: what every task needs.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};

/// The folder of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace").to_owned()
}

/// A program to run from the workspace's folder, printed before it runs.
pub(crate) struct Cmd {
    inner: Command,
    shown: String,
}

impl Cmd {
    pub(crate) fn new(program: &str) -> Self {
        let mut inner = Command::new(program);
        inner.current_dir(root());
        Self { inner, shown: program.to_owned() }
    }

    /// The cargo that runs this task.
    pub(crate) fn cargo() -> Self {
        let mut cmd = Self::new("cargo");
        // Cargo sets these for us; a nested cargo must find out for itself.
        for name in ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME", "CARGO_PKG_VERSION"] {
            cmd.inner.env_remove(name);
        }
        cmd
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.shown = format!("{} {}", self.shown, arg.as_ref().to_string_lossy());
        self.inner.arg(arg);
        self
    }

    pub(crate) fn args<S: AsRef<OsStr>>(self, args: impl IntoIterator<Item = S>) -> Self {
        args.into_iter().fold(self, Self::arg)
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.inner.env(name, value);
        self
    }

    pub(crate) fn env_remove(mut self, name: &str) -> Self {
        self.inner.env_remove(name);
        self
    }

    pub(crate) fn dir(mut self, dir: &Path) -> Self {
        self.inner.current_dir(dir);
        self
    }

    /// Runs it and fails unless it exits with 0.
    pub(crate) fn run(mut self) -> Result<()> {
        eprintln!("  $ {}", self.shown);
        let status = self.inner.status().with_context(|| format!("cannot start {}", self.shown))?;
        if !status.success() {
            bail!("{} ended with {status}", self.shown);
        }
        Ok(())
    }

    /// Runs it silently; whether it exits with 0.
    pub(crate) fn succeeds(mut self) -> bool {
        self.inner.stdout(Stdio::null()).stderr(Stdio::null()).stdin(Stdio::null());
        self.inner.status().is_ok_and(|status| status.success())
    }

    /// Everything that it prints, whatever it exits with.
    pub(crate) fn read_all(mut self) -> Result<String> {
        let output = self.inner.output().with_context(|| format!("cannot start {}", self.shown))?;
        Ok([output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat())
    }

    /// Its standard output as text.
    pub(crate) fn read(mut self) -> Result<String> {
        let output =
            self.inner.stderr(Stdio::inherit()).output().with_context(|| format!("cannot start {}", self.shown))?;
        if !output.status.success() {
            bail!("{} ended with {}", self.shown, output.status);
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}

/// What this machine let us not do, in the order in which it was found.
static LEFT_OUT: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Says aloud what is not done, and why. A green run says it once more at its end, where somebody reads it.
pub(crate) fn leave_out(what: String) {
    eprintln!("xtask: {what}");
    LEFT_OUT.lock().unwrap_or_else(PoisonError::into_inner).push(what);
}

/// What was said so.
pub(crate) fn left_out() -> Vec<String> {
    LEFT_OUT.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Says how much room there is on the disk and in memory, as far as the machine tells.
pub(crate) fn tell_room() {
    for (program, args) in [("df", ["-h", "."]), ("free", ["-h", "-t"])] {
        let told = Cmd::new(program).args(args).read_all().unwrap_or_default();
        eprintln!("{told}");
    }
}

/// Where a program stands, if it does. Debian keeps PostgreSQL's out of the path, because several may be installed.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let databases = versions.map(|version| version.path().join("bin"));
    env::split_paths(&path).chain(databases).map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// Installs the Debian packages whose program is missing: `(program, package)`.
pub(crate) fn ensure_apt(wanted: &[(&str, &str)]) -> Result<()> {
    let missing: Vec<&str> =
        wanted.iter().filter(|(program, _)| find_program(program).is_none()).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages = missing.join(" ");
    let by_hand = format!("sudo apt-get install --yes --no-install-recommends {packages}");
    if find_program("apt-get").is_none() {
        bail!("these programs are missing and this is not Debian; install what is called there: {packages}");
    }
    let is_root = Cmd::new("id").arg("-u").read()?.trim() == "0";
    if !is_root && !Cmd::new("sudo").args(["-n", "true"]).succeeds() {
        bail!("missing packages; run this one line, then try again:\n\n    {by_hand}\n");
    }
    let apt = |args: &[&str]| {
        let start = if is_root { Cmd::new("apt-get") } else { Cmd::new("sudo").args(["-n", "apt-get"]) };
        start.args(args).env("DEBIAN_FRONTEND", "noninteractive").run()
    };
    apt(&["update", "--quiet"])?;
    let mut args = vec!["install", "--yes", "--quiet", "--no-install-recommends"];
    args.extend(missing);
    apt(&args).with_context(|| format!("apt failed; by hand: {by_hand}"))
}
