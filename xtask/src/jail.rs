//! A program in a root file system of its own, by the tools of util-linux: namespaces for mounts and processes, a
//! read-only root, an empty /data, and of the devices those that every container has and the server asks for. Root becomes the server's user; somebody else maps themselves to it, where the
//! machine lets them. Nothing is mounted outside, and killing one process ends everything in there.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::image;
use crate::shell::{self, Cmd};

/// Anything that should happen has happened by then.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Run by a shell that is alone with its mounts: `$1` is the root, `$2` who owns /data, the rest the
/// program that takes the shell's place.
const PREPARE: &str = r#"set -eu
root=$1 owner=$2; shift 2
mount --bind "$root" "$root"
mount -t tmpfs -o size=64k,mode=755,nosuid,noexec tmpfs "$root/dev"
for name in null random urandom; do
    : > "$root/dev/$name"
    mount --bind "/dev/$name" "$root/dev/$name"
done
mount -o remount,ro "$root/dev"
mount -o remount,bind,ro,nosuid,nodev "$root"
mount -t tmpfs -o size=512m,mode=700,nosuid,nodev,noexec"$owner" tmpfs "$root/data"
exec "$@""#;

/// What this machine lets us do.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Place {
    /// We are root and become the server's user.
    Root,
    /// We are somebody, and map ourselves to the server's user.
    Mapped,
}

impl Place {
    /// Nothing, and that aloud, where neither is allowed: in a container, or where user namespaces are switched off.
    pub(crate) fn find() -> Option<Self> {
        let is_root = Cmd::new("id").arg("-u").read().is_ok_and(|id| id.trim() == "0");
        let place = if is_root { Self::Root } else { Self::Mapped };
        let [program, arguments @ ..] = place.apart() else { return None };
        let probe = Cmd::new(program).args(arguments).args(["mount", "-t", "tmpfs", "tmpfs", "/tmp"]);
        if !probe.succeeds() {
            shell::leave_out("THE IMAGE IS NOT TESTED: this machine lets us have no namespaces (unshare)".to_owned());
            return None;
        }
        Some(place)
    }

    /// The command that makes the namespaces and waits for what is in them.
    fn apart(self) -> &'static [&'static str] {
        match self {
            Self::Root => &["unshare", "--mount", "--pid", "--fork", "--kill-child", "--"],
            Self::Mapped => {
                &["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child", "--"]
            }
        }
    }

    /// The command that comes into the mounts of a process later.
    fn join(self, pid: u32) -> Vec<String> {
        let mut join = vec!["nsenter".to_owned(), format!("--target={pid}"), "--mount".to_owned()];
        if self == Self::Mapped {
            join.extend(["--user".to_owned(), "--preserve-credentials".to_owned()]);
        }
        join.push("--".to_owned());
        join
    }

    /// The command that gives up every privilege, and everything but the root, for good.
    fn inside(self, root: &Path) -> Vec<String> {
        let (uid, root) = (image::UID, root.display());
        let words = match self {
            // What `chroot` needs on its way; becoming somebody who is not root takes it away.
            Self::Root => vec![
                "setpriv".to_owned(),
                "--no-new-privs".to_owned(),
                "--bounding-set=-all,+sys_chroot,+setuid,+setgid".to_owned(),
                "chroot".to_owned(),
                format!("--userspec={uid}:{uid}"),
                "--groups=".to_owned(),
                root.to_string(),
            ],
            // A second user namespace: who is not root in it keeps nothing when the program starts.
            Self::Mapped => vec![
                "setpriv".to_owned(),
                "--no-new-privs".to_owned(),
                "unshare".to_owned(),
                "--user".to_owned(),
                format!("--map-user={uid}"),
                format!("--map-group={uid}"),
                format!("--root={root}"),
            ],
        };
        words.into_iter().chain([format!("/{}", image::PROGRAM)]).collect()
    }
}

/// Who a process is.
pub(crate) struct Identity {
    pub(crate) uid: u32,
    /// All that it has or could get back, as bits.
    pub(crate) capabilities: u64,
    /// No program that it starts can give it any.
    pub(crate) is_confined: bool,
}

/// A running program; dropping it ends it.
pub(crate) struct Jail {
    place: Place,
    root: PathBuf,
    outer: Child,
    log: PathBuf,
}

impl Jail {
    /// Starts it in the root file system at `root`, with this environment and no other.
    pub(crate) fn start(
        place: Place,
        root: &Path,
        environment: &BTreeMap<String, String>,
        arguments: &[&str],
    ) -> Result<Self> {
        let root = root.canonicalize()?;
        let log = root.with_extension("log");
        let [program, apart @ ..] = place.apart() else { bail!("no command") };
        let mut command = Command::new(program);
        let uid = image::UID;
        let owner = if place == Place::Root { format!(",uid={uid},gid={uid}") } else { String::new() };
        command.args(apart).args(["sh", "-c", PREPARE, "prepare"]).arg(&root).arg(owner);
        command.args(place.inside(&root)).args(arguments);
        clean(&mut command, environment);
        let out = File::create(&log)?;
        command.stdout(out.try_clone()?).stderr(out);
        let outer = command.spawn().context("unshare")?;
        Ok(Self { place, root, outer, log })
    }

    /// Runs the program of the image once more beside the first, in the same root and as the same user.
    pub(crate) fn run(&mut self, environment: &BTreeMap<String, String>, arguments: &[&str]) -> Result<ExitStatus> {
        let join = self.place.join(self.outer.id());
        let [program, join @ ..] = &join[..] else { bail!("no command") };
        let mut command = Command::new(program);
        command.args(join).args(self.place.inside(&self.root)).args(arguments);
        clean(&mut command, environment).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().context("nsenter")?;
        let ended = self.eventually("a second program ends", |_| Ok(child.try_wait()?));
        if ended.is_err() {
            let _ = child.kill();
            let _ = child.wait();
        }
        ended
    }

    /// Looks again and again until there is something, the program ends, or patience does.
    pub(crate) fn eventually<T>(
        &mut self,
        what: &str,
        mut look: impl FnMut(&mut Self) -> Result<Option<T>>,
    ) -> Result<T> {
        let deadline = now() + PATIENCE;
        loop {
            if let Some(seen) = look(self)? {
                return Ok(seen);
            }
            if let Some(status) = self.outer.try_wait()? {
                bail!("{what}: the program ended before, with {status}");
            }
            ensure!(now() < deadline, "not within {PATIENCE:?}: {what}");
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// The process id of the program, as we see it: the only child of what made its namespaces.
    fn pid(&self) -> Result<u32> {
        let outer = self.outer.id().to_string();
        for entry in fs::read_dir("/proc")?.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            // Processes end while they are listed.
            let Ok(status) = fs::read_to_string(entry.path().join("status")) else { continue };
            if field(&status, "PPid") == Some(&outer) {
                return Ok(pid);
            }
        }
        bail!("the program is not there")
    }

    fn proc(&self, name: &str) -> Result<PathBuf> {
        Ok(Path::new("/proc").join(self.pid()?.to_string()).join(name))
    }

    /// Its root directory, through its own mounts.
    pub(crate) fn root(&self) -> PathBuf {
        // Of a process that is gone: a path that is not there, which whoever opens it notices.
        self.proc("root").unwrap_or_else(|_| PathBuf::from("/nowhere"))
    }

    pub(crate) fn identity(&self) -> Result<Identity> {
        let status = fs::read_to_string(self.proc("status")?)?;
        let line = |name| field(&status, name).with_context(|| format!("/proc: no {name}"));
        let uid = match self.place {
            Place::Root => {
                let ids: Vec<&str> = line("Uid")?.split_whitespace().chain(line("Gid")?.split_whitespace()).collect();
                ensure!(ids.iter().all(|id| *id == ids[0]), "real, effective and saved ids differ: {ids:?}");
                ensure!(line("Groups")?.is_empty(), "it has further groups");
                ids[0].parse()?
            }
            // From outside it is ours; the first number is what it is inside.
            Place::Mapped => {
                let map = fs::read_to_string(self.proc("uid_map")?)?;
                map.split_whitespace().next().context("a map of one line")?.parse()?
            }
        };
        let mut capabilities = 0;
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            capabilities |= u64::from_str_radix(line(set)?, 16)?;
        }
        Ok(Identity { uid, capabilities, is_confined: line("NoNewPrivs")? == "1" })
    }

    /// Where something is mounted below its root, and whether that can be written; sorted.
    pub(crate) fn mounts(&self) -> Result<Vec<(String, bool)>> {
        let text = fs::read_to_string(self.proc("mountinfo")?)?;
        let mount = |line: &str| {
            let mut fields = line.split(' ').skip(4);
            let at = fields.next()?.to_owned();
            Some((at, fields.next()?.split(',').any(|option| option == "rw")))
        };
        // The devices are the engine's.
        let is_device = |at: &str| Path::new(at).starts_with("/dev");
        let mut mounts: Vec<_> = text.lines().filter_map(mount).filter(|(at, _)| !is_device(at)).collect();
        mounts.sort();
        Ok(mounts)
    }

    /// SIGTERM, and how it ended.
    pub(crate) fn terminate(&mut self) -> Result<ExitStatus> {
        ensure!(self.signal("TERM"), "it cannot be signalled");
        let deadline = now() + PATIENCE;
        while now() < deadline {
            if let Some(status) = self.outer.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(LOOK_EVERY);
        }
        bail!("it still runs {PATIENCE:?} after SIGTERM")
    }

    fn signal(&self, name: &str) -> bool {
        let kill = |pid: u32| Cmd::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &pid.to_string()]).succeeds();
        self.pid().is_ok_and(kill)
    }

    /// What it printed.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Jail {
    fn drop(&mut self) {
        // The end of its parent would not end it: a process that changes its user is no longer told of that. It is
        // the first of its namespace, so that the kernel ends everything else in there with it.
        if !matches!(self.outer.try_wait(), Ok(Some(_))) && !self.signal("KILL") {
            let _ = self.outer.kill();
        }
        let _ = self.outer.wait();
    }
}

/// Only where the tools are, and what the image and the test say.
fn clean<'a>(command: &'a mut Command, environment: &BTreeMap<String, String>) -> &'a mut Command {
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").envs(environment).stdin(Stdio::null())
}

/// A line of /proc's `status`.
fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
}

#[expect(clippy::disallowed_methods, reason = "a real process is waited for")]
fn now() -> Instant {
    Instant::now()
}
