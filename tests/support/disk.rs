//! A file system of its own that can run out of space: a tmpfs, where mounting is allowed.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// Unmounted when dropped.
pub struct SmallDisk {
    folder: TempDir,
    bytes: u64,
}

impl SmallDisk {
    /// Of this size; nothing where mounting is not allowed.
    pub fn mount(bytes: u64) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "confab-test"]).arg(folder.path());
        match mount.output() {
            Ok(output) if output.status.success() => Some(Self { folder, bytes }),
            _ => None,
        }
    }

    /// Whether there can be one.
    pub fn is_allowed() -> bool {
        Self::mount(1 << 20).is_some()
    }

    /// Where everybody may write.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Of another size from now on, if what is there fits.
    pub fn resize(&self, bytes: u64) -> bool {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("remount,size={bytes}")]).arg(self.path());
        mount.output().unwrap().status.success()
    }

    /// Leaves no more space than a moment of writing takes, whoever writes meanwhile.
    pub fn fill(&self) {
        const MOMENT_BYTES: u64 = 256 << 10;
        const TRIES_MAX: u64 = 50;
        let is_full = (1..=TRIES_MAX).any(|tries| self.resize(self.used() + tries * MOMENT_BYTES));
        assert!(is_full, "it grows faster than it is made smaller");
    }

    /// There is as much space as at first.
    pub fn make_room(&self) {
        assert!(self.resize(self.bytes), "it was larger before");
    }

    fn used(&self) -> u64 {
        let output = Command::new("df").args(["--block-size=1", "--output=used"]).arg(self.path()).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().nth(1).and_then(|line| line.trim().parse().ok()).unwrap_or_else(|| panic!("df says {text:?}"))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}
