//! The database of known vulnerabilities that `check` reads through cargo-deny: where it is had, and how old it is.
//! A fresh one where the network gives it, else the newest copy at hand; without any the check goes on, aloud.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};

use crate::shell::{self, Cmd};

/// A database that is not there by then is looked for elsewhere.
const FETCH_LIMIT: Duration = Duration::from_secs(30);
/// Below the path that deny.toml names; cargo-deny makes it of the database's address.
const FOLDER: &str = "advisory-db-3157b0e258782691";
/// Copies for machines without a network stand beside the clone, and carry their day in their name.
const COPIES: &str = "../shared/data";
const COPY_PREFIX: &str = "rustsec-advisory-db-";
const COPY_SUFFIX: &str = ".tar.gz";
const DAY_SECONDS: u64 = 86_400;

/// The folder for deny.toml's `db-path`, if there is a database at all. Says how old it is.
pub(crate) fn database(deny: &str) -> Result<Option<PathBuf>> {
    let base = shell::root().join("target/advisories");
    let (fetched, unpacked) = (base.join("fetched"), base.join("copy"));
    fs::create_dir_all(&fetched)?;
    let is_fresh = fetch(deny, &fetched);
    if !is_fresh {
        eprintln!("xtask: no fresh database of advisories can be fetched; looking for a copy");
        if let Some((copy, date)) = newest_copy(&shell::root().join(COPIES)) {
            unpack(&copy, &date, &unpacked).with_context(|| copy.display().to_string())?;
        }
    }
    let known = [fetched, unpacked].into_iter().filter_map(|folder| Some((changed(&folder)?, folder)));
    let Some((changed, folder)) = known.max() else {
        shell::leave_out("NO DATABASE OF ADVISORIES: known vulnerabilities are not checked for".to_owned());
        return Ok(None);
    };
    let whence = if is_fresh { "fetched now" } else { "a copy" };
    let days = days_between(changed, now());
    eprintln!("xtask: advisories: {whence}, last changed {days} days ago");
    Ok(Some(folder))
}

/// Through cargo-deny, whose git would wait for ever, or for a password.
fn fetch(deny: &str, folder: &Path) -> bool {
    let limit = FETCH_LIMIT.as_secs().to_string();
    let bounded = Cmd::new("timeout").args(["--kill-after=5", &limit, deny, "fetch", "db"]);
    let is_fresh = apart(bounded).env("CONFAB_ADVISORIES", folder).env("GIT_TERMINAL_PROMPT", "0").succeeds();
    if !is_fresh && changed(folder).is_none() {
        // Half a clone would be in the way of the next one.
        let _ = fs::remove_dir_all(folder.join(FOLDER));
    }
    is_fresh
}

/// The newest copy and its day.
fn newest_copy(folder: &Path) -> Option<(PathBuf, String)> {
    let names = fs::read_dir(folder).ok()?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let date = |name: String| Some(name.strip_prefix(COPY_PREFIX)?.strip_suffix(COPY_SUFFIX)?.to_owned());
    // Days as they are written there sort by time.
    let date = names.filter_map(date).max()?;
    Some((folder.join(format!("{COPY_PREFIX}{date}{COPY_SUFFIX}")), date))
}

/// As cargo-deny wants it: a git repository whose last commit has the day of the copy.
fn unpack(copy: &Path, date: &str, folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    let repository = folder.join(FOLDER);
    fs::create_dir_all(&repository)?;
    Cmd::new("tar").args(["--extract", "--gzip", "--no-same-owner", "--file"]).arg(copy).dir(&repository).read()?;
    let git = |args: &[&str]| {
        let time = format!("{date}T00:00:00Z");
        // Nothing of the user's own settings: no hooks, no signatures, no other name of the branch.
        let git = apart(Cmd::new("git")).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
        let git = git.env("GIT_AUTHOR_DATE", &time).env("GIT_COMMITTER_DATE", &time);
        git.args(["-c", "user.name=confab", "-c", "user.email=confab@localhost"]).args(args).dir(&repository).read()
    };
    git(&["init", "--quiet", "--initial-branch=main"])?;
    git(&["add", "--all"])?;
    git(&["commit", "--quiet", "--message", date])?;
    Ok(())
}

/// In a hook git is told by its environment to work on the repository that is checked.
pub(crate) fn apart(cmd: Cmd) -> Cmd {
    ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"].into_iter().fold(cmd, Cmd::env_remove)
}

/// When a database last changed, seconds since 1970; nothing if there is none.
fn changed(folder: &Path) -> Option<u64> {
    let repository = folder.join(FOLDER);
    // Without this git would look into the repository that the folder lies in.
    if !repository.join(".git").exists() {
        return None;
    }
    let git = apart(Cmd::new("git")).args(["show", "--no-patch", "--format=%ct", "HEAD"]);
    // Of half a clone: no number, but what is wrong with it.
    let time = git.dir(&repository).read_all().ok()?;
    time.trim().parse().ok()
}

fn days_between(then: u64, now: u64) -> u64 {
    now.saturating_sub(then) / DAY_SECONDS
}

#[expect(clippy::disallowed_methods, reason = "the age of a file is told to people")]
fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_copy_is_taken() {
        let folder = shell::root().join("target/advisories-test");
        let _ = fs::remove_dir_all(&folder);
        assert_eq!(newest_copy(&folder), None);
        fs::create_dir_all(&folder).unwrap();
        assert_eq!(newest_copy(&folder), None);
        for name in ["rustsec-advisory-db-2026-08-21.tar.gz", "rustsec-advisory-db-2025-12-31.tar.gz", "words"] {
            fs::write(folder.join(name), "").unwrap();
        }
        let (path, date) = newest_copy(&folder).unwrap();
        assert_eq!(date, "2026-08-21");
        assert!(path.ends_with("rustsec-advisory-db-2026-08-21.tar.gz") && path.exists());
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn ages_are_whole_days() {
        assert_eq!(days_between(0, DAY_SECONDS * 97 + 5), 97);
        assert_eq!(days_between(10, 0), 0, "a clock that is behind is no reason to fail");
    }
}
