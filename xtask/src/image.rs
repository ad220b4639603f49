//! `image [DIR]`: the root file system of the container: one static program, and a folder for its data. What the
//! program is told in there stands here and in the Dockerfile; a test compares them.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::shell::{self, Cmd};
use crate::{assets, elf};

/// The user of the server: one that no distribution gives to anybody, and not root.
pub(crate) const UID: u32 = 65532;
pub(crate) const PROGRAM: &str = "confab";
pub(crate) const DATA: &str = "data";
pub(crate) const DEVICES: &str = "dev";
/// What the image sets. There is no /tmp: SQLite's temporary files lie with the data, which is private.
pub(crate) const ENVIRONMENT: &[(&str, &str)] = &[("CONFAB__DATA_DIR", "/data"), ("TMPDIR", "/data")];

/// How much the compiler optimises.
#[derive(Clone, Copy)]
pub(crate) enum Profile {
    /// For an image that is run.
    Release,
    /// For the test of the image.
    Quick,
}

/// Path below the root -> bytes of each file.
pub(crate) type Files = BTreeMap<String, u64>;

/// Builds the program and assembles the folder, which must not exist yet or be empty.
pub(crate) fn run(folder: Option<&str>) -> Result<()> {
    let folder = folder.map_or_else(|| shell::root().join("target/image"), PathBuf::from);
    let program = build(Profile::Release)?;
    if folder == shell::root().join("target/image") && folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let files = assemble(&program, &folder)?;
    eprintln!("xtask: {}: {}", folder.display(), describe(&files));
    Ok(())
}

/// A program that needs no loader and no library, with the page and the plugins in it.
pub(crate) fn build(profile: Profile) -> Result<PathBuf> {
    assets::plugins()?;
    assets::page()?;
    let target = host()?;
    let profile = match profile {
        Profile::Release => "release",
        Profile::Quick => "quick",
    };
    // With a target that is named the flags do not hold for build scripts and macros, which must load libraries.
    let cargo = Cmd::cargo().args(["build", "--locked", "--package", PROGRAM, "--bin", PROGRAM]);
    let cargo = cargo.args(["--profile", profile, "--target", &target]);
    // Names of functions stay, for the backtrace of a panic; where each line is does not.
    let cargo = cargo.arg("--config").arg(format!("profile.{profile}.strip=\"debuginfo\""));
    let folder = shell::root().join("target");
    let cargo = cargo.arg("--target-dir").arg(&folder);
    cargo.env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static").run()?;
    let program = folder.join(target).join(profile).join(PROGRAM);
    elf::check_static(&program)?;
    Ok(program)
}

/// The triple of this machine.
fn host() -> Result<String> {
    let version = Cmd::new("rustc").arg("-vV").read()?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.context("rustc names its host")?;
    if !host.ends_with("-linux-gnu") {
        bail!("an image is built on Linux with the GNU C library, and this is {host}");
    }
    Ok(host.to_owned())
}

/// Puts the program and the folder for its data into a folder; gives its files.
pub(crate) fn assemble(program: &Path, folder: &Path) -> Result<Files> {
    fs::create_dir_all(folder)?;
    if fs::read_dir(folder)?.next().is_some() {
        bail!("{} is not empty", folder.display());
    }
    let inside = folder.join(PROGRAM);
    fs::copy(program, &inside).with_context(|| program.display().to_string())?;
    fs::set_permissions(&inside, Permissions::from_mode(0o755))?;
    let data = folder.join(DATA);
    fs::create_dir(&data)?;
    fs::set_permissions(&data, Permissions::from_mode(0o700))?;
    // Where an engine puts the devices that every container has.
    fs::create_dir(folder.join(DEVICES))?;
    fs::set_permissions(folder, Permissions::from_mode(0o755))?;
    if chown(&data, Some(UID), Some(UID)).is_err() {
        eprintln!("xtask: not root: /{DATA} belongs to you and not to {UID}");
    }
    files(folder)
}

/// Every file below a folder that is no folder itself.
pub(crate) fn files(folder: &Path) -> Result<Files> {
    let mut found = Files::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).with_context(|| next.display().to_string())? {
            let entry = entry?;
            // A server that runs removes files while they are listed.
            let Ok(metadata) = entry.path().symlink_metadata() else { continue };
            if metadata.is_dir() {
                open.push(entry.path());
            } else {
                found.insert(entry.path().strip_prefix(folder)?.display().to_string(), metadata.len());
            }
        }
    }
    Ok(found)
}

/// `47.1 MB in 1 file, uid 65532`.
pub(crate) fn describe(files: &Files) -> String {
    let tenths = files.values().sum::<u64>() / 100_000;
    let s = if files.len() == 1 { "" } else { "s" };
    format!("{}.{} MB in {} file{s}, uid {UID}", tenths / 10, tenths % 10, files.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dockerfile_says_the_same() {
        let file = fs::read_to_string(shell::root().join("Dockerfile")).unwrap();
        let (_, image) = file.split_once("\nFROM scratch\n").expect("the image begins with nothing");
        let lines: Vec<&str> = image.lines().collect();
        let has = |line: &str| assert!(lines.contains(&line), "no line {line:?}");
        for (name, value) in ENVIRONMENT {
            has(&format!("ENV {name}={value}"));
        }
        has(&format!("USER {UID}:{UID}"));
        has(&format!("VOLUME /{DATA}"));
        has(&format!("COPY --from=build --chown={UID}:{UID} /image/{DATA} /{DATA}"));
        has(&format!("COPY --from=build --chown=0:0 /image/{PROGRAM} /{PROGRAM}"));
        has(&format!("ENTRYPOINT [\"/{PROGRAM}\"]"));
        assert!(image.contains(&format!("CMD [\"/{PROGRAM}\", \"health\"]")));
        let toolchain = fs::read_to_string(shell::root().join("rust-toolchain.toml")).unwrap();
        let compiler = toolchain.split('"').nth(1).unwrap();
        assert!(file.contains(&format!("FROM rust:{compiler}-bookworm AS build\n")), "built by {compiler}");
        assert!(file.contains(&format!("ENV RUSTUP_TOOLCHAIN={compiler}\n")), "built by {compiler}");
        let sets = lines.iter().filter(|line| line.starts_with("ENV ")).count();
        let copies = lines.iter().filter(|line| line.starts_with("COPY ")).count();
        assert_eq!((sets, copies), (ENVIRONMENT.len(), 2), "and nothing else");
    }

    #[test]
    fn a_folder_holds_the_program_and_nothing_else() {
        let folder = shell::root().join("target/image-unit");
        let _ = fs::remove_dir_all(&folder);
        let program = shell::root().join("Cargo.toml");
        let files = assemble(&program, &folder).unwrap();
        assert_eq!(files.keys().map(String::as_str).collect::<Vec<_>>(), [PROGRAM]);
        let mode = |name: &str| folder.join(name).metadata().unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(PROGRAM), mode(DATA), mode("")), (0o755, 0o700, 0o755));
        assert!(assemble(&program, &folder).is_err(), "not over something else");
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn sizes_are_told_for_people() {
        assert_eq!(describe(&Files::from([("confab".into(), 47_149_000)])), "47.1 MB in 1 file, uid 65532");
        assert_eq!(describe(&Files::new()), "0.0 MB in 0 files, uid 65532");
    }
}
