//! For operators: which plugins count, and how. A running server takes it up on SIGHUP.

use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use serde_json::{Value, json};

use super::patience::patiently;
use crate::assets;
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Mode, OnError};
use crate::plugin::installed::{Entry, Home, Installed};
use crate::plugin::{check_capability, check_declared, is_configured, keys_of, try_installed};

/// Told beside what was done.
const NEXT: &str = "A running server takes it up on SIGHUP.";

pub(super) const fn name(mode: Mode) -> &'static str {
    match mode {
        Mode::Enforce => "enforce",
        Mode::Shadow => "shadow",
        Mode::Off => "off",
    }
}

/// Writes the list once a server would start with it: one that reloads meanwhile reads the list that there was. Who calls
/// this has the lock since before the list was read.
pub(super) fn put(config: &Config, home: &Home, installed: &Installed) -> anyhow::Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let load = || try_installed(&config.plugins, assets::PLUGINS, &config.data_dir, installed, &clock);
    patiently("Loading all plugins as a server would", load)
        .map_err(|error| anyhow!("nothing was changed: {error}"))?;
    write(home, installed)
}

/// Without a trial.
fn write(home: &Home, installed: &Installed) -> anyhow::Result<()> {
    home.write(installed).map_err(anyhow::Error::msg)?;
    home.sweep(installed);
    eprintln!("{NEXT}");
    Ok(())
}

/// How it is meant: what the configuration says holds.
pub(super) fn mode_of(config: &Config, entry: &Entry) -> Mode {
    config.plugins.mode.get(&entry.id).copied().unwrap_or(entry.mode)
}

/// What it is granted: what the configuration says holds.
fn grant_of<'a>(config: &'a Config, entry: &'a Entry) -> &'a [String] {
    config.plugins.grant.get(&entry.id).unwrap_or(&entry.grant)
}

/// What holds while it is out of service, where that is not what its manifest says.
fn rule_of(config: &Config, id: &str) -> &'static str {
    match config.plugins.on_error.get(id) {
        None => "",
        Some(OnError::Open) => "\ton error open",
        Some(OnError::Closed) => "\ton error closed",
        Some(OnError::Hold) => "\ton error hold",
    }
}

/// For programs: the same of an entry, whatever command shows it.
pub(super) fn shown(config: &Config, entry: &Entry) -> Value {
    let (mode, grant) = (mode_of(config, entry), grant_of(config, entry));
    let Entry { id, sha256, files, earlier, .. } = entry;
    let on_error = config.plugins.on_error.get(id);
    json!({ "id": id, "mode": mode, "sha256": sha256, "files": files, "grant": grant, "on_error": on_error,
        "earlier": earlier })
}

pub(super) fn list(config: &Config, json: bool) -> anyhow::Result<()> {
    let installed = Home::of(&config.data_dir).read().map_err(anyhow::Error::msg)?;
    if json {
        let entries: Vec<Value> = installed.plugins.iter().map(|entry| shown(config, entry)).collect();
        println!("{}", json!({ "chain": config.plugins.chain, "installed": entries }));
        return Ok(());
    }
    let print = |entry: &Entry| {
        let (mode, grant) = (name(mode_of(config, entry)), grant_of(config, entry));
        println!("{}\t{mode}\t{}\tgranted {grant:?}{}", entry.id, entry.sha256, rule_of(config, &entry.id));
    };
    // In the order in which they are asked.
    let is_named = |entry: &Entry| {
        config.plugins.chain.contains(&entry.id) && !is_configured(&config.plugins, assets::PLUGINS, &entry.id)
    };
    for id in &config.plugins.chain {
        if let Some(entry) = installed.plugins.iter().find(|entry| entry.id == *id && is_named(entry)) {
            print(entry);
            continue;
        }
        let mode = config.plugins.mode.get(id).copied().unwrap_or(Mode::Enforce);
        println!("{id}\t{}\tconfigured{}", name(mode), rule_of(config, id));
    }
    installed.plugins.iter().filter(|entry| !is_named(entry)).for_each(print);
    Ok(())
}

/// Those of the chain are listed too, and are the configuration's.
fn not_installed(config: &Config, id: &str) -> anyhow::Error {
    if config.plugins.chain.iter().any(|it| it == id) {
        return anyhow!(
            "{id} was not installed: it is in plugins.chain of the configuration, where plugins.mode.{id} says \
             \"enforce\", \"shadow\" or \"off\" and plugins.grant.{id} what it may"
        );
    }
    anyhow!("{id} is not installed: see `confab plugin list`")
}

fn change(
    config: &Config,
    id: &str,
    json: bool,
    change: impl FnOnce(&mut Entry) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let home = Home::of(&config.data_dir);
    let _lock = home.lock().map_err(anyhow::Error::msg)?;
    let mut installed = home.read().map_err(anyhow::Error::msg)?;
    let entry = installed.find(id).ok_or_else(|| not_installed(config, id))?;
    change(entry)?;
    if entry.mode == Mode::Off {
        // Whatever else is wrong: with one less it is not worse.
        write(&home, &installed)?;
    } else {
        put(config, &home, &installed)?;
    }
    let entry = installed.find(id).context("it was just there")?;
    if json {
        println!("{}", shown(config, entry));
    } else {
        let (mode, grant) = (name(mode_of(config, entry)), grant_of(config, entry));
        println!("{id} {}: {mode}, granted {grant:?}", entry.sha256);
    }
    Ok(())
}

pub(super) fn set_mode(config: &Config, id: &str, mode: Mode, json: bool) -> anyhow::Result<()> {
    if config.plugins.mode.contains_key(id) {
        bail!("plugins.mode.{id} in the configuration says how it is meant: change it there");
    }
    change(config, id, json, |entry| {
        entry.mode = mode;
        Ok(())
    })
}

/// What is written into the list counts only where the configuration is silent.
pub(super) fn check_grant(config: &Config, id: &str) -> anyhow::Result<()> {
    if config.plugins.grant.contains_key(id) {
        bail!("plugins.grant.{id} in the configuration says what it is granted: change it there");
    }
    Ok(())
}

/// Capabilities as they are given on the command line: nothing between the quotes is none.
pub(super) fn known(mut capabilities: Vec<String>) -> anyhow::Result<Vec<String>> {
    if capabilities == [""] {
        capabilities.clear();
    }
    capabilities.iter().try_for_each(|name| check_capability(name)).map_err(anyhow::Error::msg)?;
    Ok(capabilities)
}

pub(super) fn grant(config: &Config, id: &str, capabilities: Vec<String>, json: bool) -> anyhow::Result<()> {
    check_grant(config, id)?;
    let capabilities = known(capabilities)?;
    change(config, id, json, |entry| {
        // To take all away its files need not be good.
        if !capabilities.is_empty() {
            let files = Home::of(&config.data_dir).open(entry).map_err(|error| anyhow!("{id}: {error}"))?;
            check_declared(id, &files.manifest, &capabilities).map_err(|error| anyhow!("{id}: {error}"))?;
        }
        entry.grant = capabilities;
        Ok(())
    })
}

pub(super) fn roll_back(config: &Config, id: &str, json: bool) -> anyhow::Result<()> {
    change(config, id, json, |entry| {
        if !entry.roll_back() {
            bail!("{id} has no version before this one: `confab plugin off {id}` asks it nothing more");
        }
        Ok(())
    })
}

pub(super) fn remove(config: &Config, id: &str, json: bool) -> anyhow::Result<()> {
    let home = Home::of(&config.data_dir);
    let _lock = home.lock().map_err(anyhow::Error::msg)?;
    let mut installed = home.read().map_err(anyhow::Error::msg)?;
    let count = installed.plugins.len();
    installed.plugins.retain(|entry| entry.id != id);
    if installed.plugins.len() == count {
        return Err(not_installed(config, id));
    }
    let keys = keys_of(&config.plugins, assets::PLUGINS, id);
    if !keys.is_empty() {
        bail!(
            "no server starts with keys that are for nobody: take {} out of the configuration first",
            keys.join(", ")
        );
    }
    // Whatever else is wrong: with one less it is not worse.
    write(&home, &installed)?;
    let files = config.data_dir.join("plugins").join(id);
    if json {
        println!("{}", json!({ "id": id, "removed": true, "files": files }));
    } else {
        println!("{id} is taken out; its files stay in {}", files.display());
    }
    Ok(())
}
