//! A Python 2.7 for tools that never learnt another: of Debian 11, unpacked into a folder of its own. Nothing of it is
//! installed, and the machine's own packages and lists stay as they are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::shell::{self, Cmd};

/// The last Debian that had it.
const SUITE: &str = "bullseye";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// The interpreter, headers for modules in C, and what its modules link that later releases have not.
const PACKAGES: [&str; 9] = [
    "python2.7",
    "python2.7-minimal",
    "libpython2.7-minimal",
    "libpython2.7-stdlib",
    "libpython2.7",
    "libpython2.7-dev",
    "python2.7-dev",
    "libssl1.1",
    "libffi7",
];
/// What installs other packages: the last of each that speak it.
const WHEELS: [&str; 3] = ["pip==20.3.4", "setuptools==44.1.1", "wheel==0.37.1"];

/// Where it was unpacked.
pub(super) struct Python27 {
    home: PathBuf,
}

impl Python27 {
    /// The one that was unpacked before, or a new one.
    ///
    /// # Errors
    /// Where the machine is no Debian, or the package mirror has that release no more.
    pub(super) fn find_or_unpack() -> Result<Self> {
        let home = shell::root().join("target/attack/python27");
        let python = Self { home };
        if !python.works() {
            if python.home.exists() {
                fs::remove_dir_all(&python.home)?;
            }
            python.unpack()?;
            ensure!(python.works(), "it does not start");
        }
        Ok(python)
    }

    /// A command of its modules; `folders` are searched for them first.
    pub(super) fn command(&self, folders: &[&Path]) -> Command {
        let root = self.home.join("root");
        let libraries =
            ["usr/lib", "lib"].map(|lib| format!("{}/{lib}/{}-linux-gnu", root.display(), std::env::consts::ARCH));
        let paths: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
        let headers = root.join("usr/include");
        let mut command = Command::new(root.join("usr/bin/python2.7"));
        command.env("LD_LIBRARY_PATH", libraries.join(":")).env("PYTHONPATH", paths.join(":"));
        command.env("CFLAGS", format!("-I{0}/python2.7 -I{0}", headers.display()));
        command
    }

    /// Installs a package and what it needs into a folder.
    pub(super) fn install(&self, package: &str, site: &Path) -> Result<()> {
        let log = fs::File::create(self.home.join("pip.log"))?;
        let mut pip = self.command(&[&self.home.join("wheels")]);
        pip.args(["-m", "pip", "install", "--quiet", "--no-cache-dir", "--target"]).arg(site).arg(package);
        let status = pip.stdout(log.try_clone()?).stderr(log).status()?;
        ensure!(status.success(), "pip could not install {package}: {}", self.home.join("pip.log").display());
        Ok(())
    }

    fn works(&self) -> bool {
        let mut command = self.command(&[&self.home.join("wheels")]);
        let output = command.args(["-c", "import ssl, ctypes, zlib, pip, sys; print(sys.version_info[:2])"]).output();
        output.is_ok_and(|output| output.status.success() && output.stdout.starts_with(b"(2, 7)"))
    }

    fn unpack(&self) -> Result<()> {
        let (apt, debs, root) = (self.home.join("apt"), self.home.join("debs"), self.home.join("root"));
        for folder in [apt.join("lists/partial"), apt.join("archives/partial"), debs.clone(), root.clone()] {
            fs::create_dir_all(folder)?;
        }
        let mirror = mirror().context("apt names no mirror of Debian")?;
        fs::write(apt.join("status"), "")?;
        fs::write(apt.join("sources.list"), format!("deb [signed-by={KEYRING}] {mirror} {SUITE} main\n"))?;
        let here = apt.display();
        let config = format!(
            "Dir::Etc::sourcelist \"{here}/sources.list\";\nDir::Etc::sourceparts \"/dev/null\";\n\
             Dir::State::lists \"{here}/lists\";\nDir::State::status \"{here}/status\";\nDir::Cache \"{here}\";\n\
             APT::Sandbox::User \"root\";\nAcquire::Languages \"none\";\n"
        );
        fs::write(apt.join("apt.conf"), config)?;
        let client = || Cmd::new("apt-get").args(["--quiet=2", "--config-file"]).arg(apt.join("apt.conf")).dir(&debs);
        client().arg("update").run()?;
        client().arg("download").args(PACKAGES).run()?;
        for deb in fs::read_dir(&debs)? {
            Cmd::new("dpkg-deb").arg("--extract").arg(deb?.path()).arg(&root).run()?;
        }
        self.unpack_wheels()
    }

    fn unpack_wheels(&self) -> Result<()> {
        let (files, wheels) = (self.home.join("files"), self.home.join("wheels"));
        let pip = Cmd::new("python3").args(["-m", "pip", "download", "--quiet", "--no-deps", "--dest"]).arg(&files);
        pip.args(WHEELS).run()?;
        for wheel in fs::read_dir(&files)? {
            Cmd::new("python3").args(["-m", "zipfile", "-e"]).arg(wheel?.path()).arg(&wheels).run()?;
        }
        Ok(())
    }
}

/// The mirror of Debian that this machine's apt has its packages from.
fn mirror() -> Option<String> {
    let policy = Cmd::new("apt-cache").arg("policy").read().ok()?;
    // `500 ADDRESS SUITE/main amd64 Packages`
    let of_debian = |line: &str| {
        let address = line.split_whitespace().nth(1)?;
        (address.ends_with("/debian") && line.contains("/main ")).then(|| address.to_owned())
    };
    policy.lines().find_map(of_debian)
}
