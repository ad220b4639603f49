//! The layer `image` of the tests: the image's root file system is run as a container would be, without an engine.
//! The server is the first process of its namespace and sees one program, a read-only root and an empty /data.

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::image::{self, Files, Profile};
use crate::jail::{Jail, Place};
use crate::{elf, shell};

/// Exit code of a server whose data directory cannot be used.
const EXIT_STORE: i32 = 69;
/// What it is told besides what the image sets: the cheapest hash, because nobody logs in.
const SETTINGS: &[(&str, &str)] = &[("CONFAB__AUTH__BCRYPT_COST", "10")];

/// Builds, assembles and runs it; says aloud where this machine does not let it.
pub(crate) fn run() -> Result<()> {
    let Some(place) = Place::find() else { return Ok(()) };
    try_program(place, &image::build(Profile::Quick)?)
}

/// The same with a program that is built already.
pub(crate) fn run_with(program: &str) -> Result<()> {
    let Some(place) = Place::find() else { return Ok(()) };
    let program = Path::new(program);
    elf::check_static(program)?;
    try_program(place, program)
}

fn try_program(place: Place, program: &Path) -> Result<()> {
    let folder = Scratch::new("target/image-test")?;
    let root = folder.0.join("root");
    let files = image::assemble(program, &root)?;
    let before = stamps(&root)?;
    check(place, &root, &files)?;
    ensure!(stamps(&root)? == before, "the folder of the image changed");
    eprintln!("xtask: image: {}", image::describe(&files));
    Ok(())
}

/// The whole life of one server.
fn check(place: Place, root: &Path, files: &Files) -> Result<()> {
    let environment = environment();
    let mut jail = Jail::start(place, root, &environment, &["serve"])?;
    let health = jail.eventually("`confab health` succeeds", |jail| {
        let health = jail.run(&environment, &["health"])?;
        Ok(health.success().then_some(()))
    });
    health.with_context(|| format!("the server said:\n{}", jail.said()))?;

    let identity = jail.identity()?;
    ensure!(identity.uid == image::UID, "it runs as uid {}", identity.uid);
    ensure!(identity.capabilities == 0, "it has capabilities {:x}", identity.capabilities);
    ensure!(identity.is_confined, "it could gain privileges");
    let mounts = jail.mounts()?;
    let expected = [("/".to_owned(), false), (format!("/{}", image::DATA), true)];
    ensure!(mounts == expected, "mounts and whether they can be written: {mounts:?}");

    // Seen through the server's eyes, everything outside its data is what the image holds.
    let seen = image::files(&jail.root())?;
    let is_device = |name: &str| Path::new(name).starts_with(image::DEVICES);
    let seen = seen.into_iter().filter(|(name, _)| !is_device(name));
    let (written, rest): (Files, Files) = seen.partition(|(name, _)| Path::new(name).starts_with(image::DATA));
    ensure!(rest == *files, "there is more than in the image: {rest:?}");
    ensure!(!written.is_empty(), "it stored nothing");

    // Nobody can write there, by any path: not root from outside, and not another server.
    ensure!(fs::write(jail.root().join("planted"), "x").is_err(), "a file could be planted in the root");
    let mut elsewhere = environment.clone();
    elsewhere.insert("CONFAB__DATA_DIR".into(), "/elsewhere".into());
    let refused = jail.run(&elsewhere, &["serve"])?;
    ensure!(refused.code() == Some(EXIT_STORE), "a server with its data elsewhere ended with {refused}");

    let status = jail.terminate()?;
    ensure!(status.success(), "after SIGTERM it ended with {status}:\n{}", jail.said());
    let bytes: u64 = written.values().sum();
    eprintln!(
        "xtask: image: read-only root, uid {}, no capability; {} files with {} kB, all below /{}; drained, exit 0",
        identity.uid,
        written.len(),
        bytes / 1000,
        image::DATA
    );
    Ok(())
}

/// What the image sets, and ports that are free.
fn environment() -> BTreeMap<String, String> {
    let ports = ["HTTP", "QUIC", "OPS"].into_iter().zip(free_ports());
    let ports = ports.map(|(name, port)| (format!("CONFAB__LISTEN__{name}"), format!("127.0.0.1:{port}")));
    let fixed = image::ENVIRONMENT.iter().chain(SETTINGS);
    fixed.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).chain(ports).collect()
}

/// Outside the range that the kernel hands out by itself, for TCP and UDP.
fn free_ports() -> impl Iterator<Item = u16> {
    let first = 15_000 + std::process::id() % 15_000;
    let is_free = |port: &u16| {
        let address = SocketAddr::from(([127, 0, 0, 1], *port));
        TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok()
    };
    (first..first + 2_000).filter_map(|port| u16::try_from(port).ok()).filter(is_free)
}

/// Name, size, mode and time of everything in a folder: what a write would change.
fn stamps(folder: &Path) -> Result<Vec<String>> {
    let mut stamps = Vec::new();
    for name in ["", image::PROGRAM, image::DATA] {
        let metadata = folder.join(name).metadata()?;
        stamps.push(format!("{name} {} {:?} {:?}", metadata.len(), metadata.permissions(), metadata.modified()?));
    }
    let names = image::files(folder)?;
    stamps.extend(names.into_keys());
    Ok(stamps)
}

/// A folder of its own, gone when this is.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new(name: &str) -> Result<Self> {
        let folder = shell::root().join(format!("{name}-{}", std::process::id()));
        if folder.exists() {
            bail!("{} is there already", folder.display());
        }
        fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
