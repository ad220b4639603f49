//! `plugins` and `page`: what the server embeds, built for wasm32 into target/assets.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::shell::{self, Cmd};

const TARGET: &str = "wasm32-unknown-unknown";
/// Guests are built apart, so that their flags never rebuild the server.
const GUEST_DIR: &str = "target/guests";

/// How std for wasm32 is had.
#[derive(Clone, Copy)]
enum Std {
    /// Installed.
    Target,
    /// Built from `rust-src`, of the same version.
    Source,
}

/// The stock plugins, each a folder of `plugins`.
pub(crate) const STOCK: [&str; 6] = ["sanitize", "words", "links", "flood", "mentions", "newcomer"];

/// Builds the stock plugins as components.
pub(crate) fn plugins() -> Result<()> {
    let out = shell::root().join("target/assets/plugins");
    fs::create_dir_all(&out)?;
    for id in STOCK {
        build_plugin(&format!("confab-{id}"), &Path::new("plugins").join(id), &out.join(id))?;
    }
    Ok(())
}

/// Builds the guests that the tests load.
pub(crate) fn test_plugins() -> Result<()> {
    let out = shell::root().join("target/assets/test-plugins");
    fs::create_dir_all(&out)?;
    for id in ["deputy", "historian", "hostile", "imports", "observer", "surveyor"] {
        build_plugin(&format!("confab-{id}"), &Path::new("tests/plugins").join(id), &out.join(id))?;
    }
    Ok(())
}

fn build_plugin(package: &str, folder: &Path, out: &Path) -> Result<()> {
    let module = build_guest(package)?;
    let component = out.with_extension("wasm");
    let fresh = out.with_extension("wasm.new");
    tool(&["component", path(&module)?, path(&fresh)?])?;
    replace_if_changed(&fresh, &component)?;
    let manifest = fs::read(shell::root().join(folder).join("plugin.toml"))?;
    write_if_changed(&manifest, &out.with_extension("toml"))
}

/// Builds the page: static files, and the client session compiled to wasm with its glue.
pub(crate) fn page() -> Result<()> {
    let module = build_guest("confab-web")?;
    let fresh = shell::root().join("target/assets/page.new");
    let out = shell::root().join("target/assets/page");
    fs::create_dir_all(&fresh)?;
    fs::create_dir_all(&out)?;
    tool(&["page", path(&module)?, path(&fresh)?])?;
    for name in ["confab.js", "confab_bg.wasm"] {
        replace_if_changed(&fresh.join(name), &out.join(name))?;
    }
    for file in fs::read_dir(shell::root().join("web/page"))? {
        let file = file?.path();
        write_if_changed(&fs::read(&file)?, &out.join(file.file_name().context("a file has a name")?))?;
    }
    Ok(())
}

/// Checks that a crate builds for wasm32: the proof that it does no I/O.
pub(crate) fn check_for_wasm(package: &str) -> Result<()> {
    guest_cargo("check", package)?.run()
}

/// Lints what only wasm32 compiles.
pub(crate) fn clippy_for_wasm(package: &str) -> Result<()> {
    guest_cargo("clippy", package)?.args(["--", "--deny", "warnings"]).run()
}

fn build_guest(package: &str) -> Result<PathBuf> {
    guest_cargo("build", package)?.run()?;
    let file = format!("{}.wasm", package.replace('-', "_"));
    Ok(shell::root().join(GUEST_DIR).join(TARGET).join("release").join(file))
}

fn guest_cargo(verb: &str, package: &str) -> Result<Cmd> {
    let std = ensure_std()?;
    let mut cargo = Cmd::cargo().args([verb, "--quiet", "--release", "--package", package, "--target", TARGET]);
    cargo = cargo.args(["--target-dir", GUEST_DIR, "--config", "profile.release.debug=false"]);
    Ok(match std {
        Std::Target => cargo,
        Std::Source => cargo.env("RUSTC_BOOTSTRAP", "1").arg("-Zbuild-std=std,panic_abort"),
    })
}

fn ensure_std() -> Result<Std> {
    let lib = Cmd::new("rustc").args(["--print", "sysroot"]).read()?;
    let lib = Path::new(lib.trim()).join("lib/rustlib");
    if lib.join(TARGET).is_dir() {
        return Ok(Std::Target);
    }
    if Cmd::new("rustup").args(["target", "add", TARGET]).succeeds() {
        return Ok(Std::Target);
    }
    if lib.join("src/rust/library/std").is_dir() || Cmd::new("rustup").args(["component", "add", "rust-src"]).succeeds()
    {
        return Ok(Std::Source);
    }
    bail!("the standard library for {TARGET} is missing and could not be added; run: rustup target add {TARGET}")
}

pub(crate) fn tool(args: &[&str]) -> Result<()> {
    Cmd::cargo().args(["run", "--quiet", "--package", "confab-assets", "--"]).args(args).run()
}

pub(crate) fn path(path: &Path) -> Result<&str> {
    path.to_str().context("paths are UTF-8")
}

/// Keeps the time of a file that did not change, so that cargo does not build the server anew.
fn write_if_changed(bytes: &[u8], to: &Path) -> Result<()> {
    if fs::read(to).ok().as_deref() != Some(bytes) {
        fs::write(to, bytes)?;
    }
    Ok(())
}

fn replace_if_changed(from: &Path, to: &Path) -> Result<()> {
    write_if_changed(&fs::read(from)?, to)?;
    Ok(fs::remove_file(from)?)
}
