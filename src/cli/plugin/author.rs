//! For those who write plugins: build, test, inspect.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, anyhow, bail};
use serde_json::{Value, json};

use super::patience::patiently;
use super::{Pair, RUNNING_GOLDENS, fuel_json, open_as_served, open_lab, read_pair};
use crate::cli::chat::printable;
use crate::clock::{Clock, SystemClock};
use crate::plugin::lab::{Blessed, Fuel};
use crate::plugin::{check_manifest, installed};

const TARGET: &str = "wasm32-unknown-unknown";

/// What `build` made.
pub(super) struct Built {
    pub(super) component: PathBuf,
    bytes: usize,
    sha256: String,
}

pub(super) fn print_built(built: &Built, json: bool) {
    let Built { component, bytes, sha256 } = built;
    if json {
        println!("{}", json!({ "component": component, "bytes": bytes, "sha256": sha256 }));
    } else {
        println!("{}: {} KiB, SHA-256 {sha256}", component.display(), bytes.div_ceil(1024));
    }
}

fn cargo(folder: &Path, arguments: &[&str]) -> anyhow::Result<Command> {
    let program = which("cargo").context("cargo is missing: install Rust with rustup")?;
    let mut command = Command::new(program);
    command.current_dir(folder).args(arguments).stdout(Stdio::null());
    Ok(command)
}

/// Programs are found where the shell finds them.
fn which(name: &str) -> Option<PathBuf> {
    let known = Command::new("sh").args(["-c", &format!("command -v {name}")]).output().ok()?;
    let path = PathBuf::from(String::from_utf8(known.stdout).ok()?.trim());
    path.is_file().then_some(path)
}

fn ensure_target(folder: &Path) {
    let rustup = |arguments: &[&str]| {
        let mut command = Command::new("rustup");
        command.current_dir(folder).args(arguments);
        command
    };
    let known = rustup(&["target", "list", "--installed"]).stderr(Stdio::null()).output();
    if known.is_ok_and(|known| String::from_utf8_lossy(&known.stdout).lines().any(|line| line == TARGET)) {
        return;
    }
    // It is fetched, which rustup tells. Where there is no rustup, cargo says what is missing.
    let _ = rustup(&["target", "add", TARGET]).stdout(Stdio::null()).status();
}

fn read_toml(path: &Path) -> anyhow::Result<toml::Table> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    toml::from_str(&text).map_err(|error| anyhow!("{}: {}", path.display(), error.message()))
}

/// Its id, from its manifest, which is checked as loading would.
fn plugin_id(folder: &Path) -> anyhow::Result<String> {
    let path = folder.join("plugin.toml");
    if !path.exists() {
        let place = folder.display();
        bail!(
            "{place} is no folder of a plugin: it has no plugin.toml; `confab plugin new FOLDER` makes a new one, and a \
             component in it is named as {place}/<id>.wasm"
        );
    }
    let id = read_toml(&path)?.get("id").and_then(toml::Value::as_str).map(str::to_owned);
    let id = id.with_context(|| format!("{}: id is missing", path.display()))?;
    check_manifest(&id, &fs::read(&path)?).map_err(|error| anyhow!("{}: {error}", path.display()))?;
    Ok(id)
}

/// Whether it is a component that some tool built, and no folder of Rust.
fn is_component(plugin: &Path) -> bool {
    !plugin.is_dir() && plugin.extension().is_some_and(|it| it == "wasm")
}

/// A plugin and where its golden files are: beside a component as `install` finds them, else in its folder, whose
/// component stands where `made` says of its id.
pub(super) fn parts(
    plugin: &Path,
    made: impl FnOnce(&str) -> anyhow::Result<PathBuf>,
) -> anyhow::Result<(Pair, PathBuf)> {
    if is_component(plugin) {
        return Ok((read_pair(plugin)?, goldens_in(plugin.with_extension("goldens"))?));
    }
    let id = plugin_id(plugin)?;
    // Before it is built, which takes long.
    let goldens = goldens_in(plugin.join("goldens"))?;
    Ok((read_pair(&made(&id)?)?, goldens))
}

fn goldens_in(goldens: PathBuf) -> anyhow::Result<PathBuf> {
    if !goldens.is_dir() {
        let place = goldens.display();
        bail!(r#"{place} is missing: in it golden files say what is expected, as {{"body": "hello"}} in first.jsonl"#);
    }
    Ok(goldens)
}

pub(super) fn build(folder: &Path) -> anyhow::Result<Built> {
    let id = plugin_id(folder)?;
    let manifest = folder.join("Cargo.toml");
    if !manifest.exists() {
        bail!(
            "{} is missing: this builds plugins in Rust; a component that other tools made is ready for `confab plugin \
             inspect`, `test` and `install`",
            manifest.display()
        );
    }
    let manifest = read_toml(&manifest)?;
    let package = manifest.get("package").and_then(|package| package.get("name")).and_then(toml::Value::as_str);
    let package = package.context("Cargo.toml: package.name is missing")?.replace('-', "_");
    ensure_target(folder);
    let target = folder.join("target");
    let status = cargo(folder, &["build", "--release", "--target", TARGET, "--target-dir", "target"])?.status()?;
    if !status.success() {
        bail!("cargo did not build it");
    }
    let module = target.join(TARGET).join("release").join(format!("{package}.wasm"));
    let module = fs::read(&module).with_context(|| {
        format!("{}: [lib] in Cargo.toml has to say crate-type = [\"cdylib\", \"rlib\"]", module.display())
    })?;
    let bytes = componentize(&module).map_err(|error| anyhow!("no component: {error:#}"))?;
    let component = target.join(format!("{id}.wasm"));
    fs::write(&component, &bytes)?;
    fs::copy(folder.join("plugin.toml"), component.with_extension("toml"))?;
    let goldens = target.join(format!("{id}.goldens"));
    let _ = fs::remove_dir_all(&goldens);
    if folder.join("goldens").is_dir() {
        fs::create_dir_all(&goldens)?;
        for file in fs::read_dir(folder.join("goldens"))? {
            let file = file?;
            fs::copy(file.path(), goldens.join(file.file_name()))?;
        }
    }
    Ok(Built { component, bytes: bytes.len(), sha256: installed::hash(&bytes) })
}

fn componentize(module: &[u8]) -> anyhow::Result<Vec<u8>> {
    wit_component::ComponentEncoder::default().validate(true).module(module)?.encode()
}

pub(super) fn test(plugin: &Path, bless: bool, json: bool) -> anyhow::Result<()> {
    let (pair, goldens) = parts(plugin, |_| Ok(build(plugin)?.component))?;
    let lab = open_lab(&pair)?;
    if bless {
        let blessed = patiently(RUNNING_GOLDENS, || lab.bless(&goldens)).map_err(anyhow::Error::msg)?;
        let Blessed { verdicts, fuel } = blessed;
        eprintln!("{verdicts} golden lines say something else now, {fuel} another fuel: look before you commit them");
    }
    // What else its author tests is a matter of their language: of Rust alone it is known how.
    let native = if is_component(plugin) { None } else { Some(test_natively(plugin)?) };
    let report = patiently(RUNNING_GOLDENS, || lab.goldens(&goldens)).map_err(anyhow::Error::msg)?;
    let is_good = native != Some(false) && report.wrong.is_empty();
    if json {
        let (lines, wrong, fuel) = (report.lines, &report.wrong, fuel_json(&report.fuel));
        println!("{}", json!({ "native": native, "lines": lines, "wrong": wrong, "fuel": fuel }));
    } else {
        let natively = match native {
            Some(true) => "passed",
            Some(false) => "FAILED",
            None => "not run: that is for a folder of Rust",
        };
        println!("natively: {natively}");
        println!("in the sandbox: {} golden lines, {} wrong", report.lines, report.wrong.len());
        report.wrong.iter().for_each(|wrong| println!("  {wrong}"));
        let Fuel { total, max, max_at, .. } = &report.fuel;
        if report.lines > 0 {
            println!("fuel: {total} in all, at most {max} a line ({max_at})");
        }
    }
    if report.lines == 0 {
        bail!("{} has no golden lines: they stand in files that end in .jsonl", goldens.display());
    }
    if is_good { Ok(()) } else { bail!("{} does not do what its golden files say", pair.id) }
}

/// What cargo compiles it tells by itself; what the tests print is told where they fail.
fn test_natively(folder: &Path) -> anyhow::Result<bool> {
    let mut command = cargo(folder, &["test", "--target-dir", "target"])?;
    let ran = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).output()?;
    if !ran.status.success() {
        eprint!("{}", String::from_utf8_lossy(&ran.stdout));
    }
    Ok(ran.status.success())
}

pub(super) fn inspect(component: &Path, json: bool) -> anyhow::Result<()> {
    let pair = read_pair(component)?;
    let clock = SystemClock::new();
    let start = clock.elapsed();
    let lab = open_as_served(&pair)?;
    let compiled = (clock.elapsed().saturating_sub(start)).as_millis();
    let Pair { id, wasm, manifest } = &pair;
    let manifest: toml::Table = toml::from_str(&String::from_utf8_lossy(manifest))?;
    let said = |key: &str| manifest.get(key).cloned().map_or(Value::Null, |it| json!(it));
    let (hooks, idle, imports) = (lab.hooks(), lab.idle_hooks(), lab.imports());
    let class = said("class").as_str().unwrap_or("compiled").to_owned();
    if json {
        let (bytes, sha256) = (wasm.len(), installed::hash(wasm));
        let found = json!({ "id": id, "version": said("version"), "bytes": bytes, "sha256": sha256, "hooks": hooks,
            "not_asked_yet": idle, "imports": imports, "capabilities": said("capabilities"),
            "limits": said("limits"), "class": class, "on_error": said("on_error"), "compiled_ms": compiled });
        println!("{found}");
        return Ok(());
    }
    println!("{id} {}", printable(said("version").as_str().unwrap_or("?")));
    println!("  size           {} KiB, compiled in {compiled} ms", wasm.len().div_ceil(1024));
    println!("  SHA-256        {}", installed::hash(wasm));
    println!("  class          {class}");
    println!("  hooks          {}", hooks.join(", "));
    if !idle.is_empty() {
        println!("  not asked yet  {}", idle.join(", "));
    }
    println!("  imports        {}", if imports.is_empty() { "nothing".to_owned() } else { imports.join(", ") });
    println!("  wants          {}", printable(&said("capabilities").to_string()));
    if let Some(limits) = manifest.get("limits").and_then(toml::Value::as_table) {
        let own: Vec<String> = limits.iter().map(|(key, most)| format!("{key} {most}")).collect();
        println!("  at most        {}", own.join(", "));
    }
    println!("  on error       {}", said("on_error").as_str().unwrap_or("open; register and login: closed"));
    Ok(())
}
