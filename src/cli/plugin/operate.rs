//! For operators: which plugins count, and how. A running server takes it up on SIGHUP.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use serde_json::json;

use super::{Pair, open_as_served, read_pair};
use crate::assets;
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Mode};
use crate::metrics::Metrics;
use crate::plugin::PluginSet;
use crate::plugin::installed::{Entry, Home, Installed};

/// How long a server may take to tell its metrics.
const PATIENCE: Duration = Duration::from_secs(5);

const fn name(mode: Mode) -> &'static str {
    match mode {
        Mode::Enforce => "enforce",
        Mode::Shadow => "shadow",
        Mode::Off => "off",
    }
}

/// Writes the list if a server would start with it; else everything stays.
fn put(config: &Config, home: &Home, before: &Installed, after: &Installed) -> anyhow::Result<()> {
    home.write(after).map_err(anyhow::Error::msg)?;
    let clock: std::sync::Arc<dyn Clock> = std::sync::Arc::new(SystemClock::new());
    let tried = PluginSet::load(&config.plugins, assets::PLUGINS, Some(&config.data_dir), &clock, &Metrics::new());
    if let Err(error) = tried {
        home.write(before).map_err(anyhow::Error::msg)?;
        bail!("nothing was changed: {error}");
    }
    eprintln!("A running server takes it up on SIGHUP.");
    Ok(())
}

/// What would be refused touches no file of what is installed already.
fn check(pair: &Pair, goldens: Option<&Path>, before: &Installed, grant: &[String]) -> anyhow::Result<()> {
    let lab = open_as_served(pair)?;
    if let Some(folder) = goldens {
        let report = lab.goldens(folder).map_err(anyhow::Error::msg)?;
        if let Some(wrong) = report.wrong.first() {
            bail!("{} golden lines are not as expected: {wrong}", report.wrong.len());
        }
    }
    let known = before.plugins.iter().find(|entry| entry.id == pair.id);
    let granted = if grant.is_empty() { known.map_or(grant, |entry| &entry.grant) } else { grant };
    if let Some(missing) = lab.imports().into_iter().find(|it| !granted.contains(it)) {
        bail!("{} wants the capability {missing}: install it with --grant {missing}", pair.id);
    }
    Ok(())
}

pub(super) fn install(config: &Config, component: &Path, grant: Vec<String>) -> anyhow::Result<()> {
    let pair = read_pair(component)?;
    let home = Home::of(&config.data_dir);
    let before = home.read().map_err(anyhow::Error::msg)?;
    let goldens = component.with_extension("goldens");
    let goldens = goldens.is_dir().then_some(goldens.as_path());
    check(&pair, goldens, &before, &grant)?;
    let sha256 = home.keep(&pair.id, &pair.wasm, &pair.manifest, goldens).map_err(anyhow::Error::msg)?;
    let mut after = before.clone();
    if let Some(entry) = after.find(&pair.id) {
        entry.change_to(sha256);
        if !grant.is_empty() {
            entry.grant = grant;
        }
    } else {
        let entry = Entry { id: pair.id.clone(), mode: Mode::Shadow, sha256, grant, earlier: Vec::new() };
        after.plugins.push(entry);
    }
    put(config, &home, &before, &after)?;
    let entry = after.find(&pair.id).context("it was just put there")?;
    println!("{} {} is installed: {}", entry.id, entry.sha256, name(entry.mode));
    if entry.mode != Mode::Enforce {
        println!("Next: look at `confab plugin top` for a while, then `confab plugin promote {}`", entry.id);
    }
    Ok(())
}

pub(super) fn list(config: &Config, json: bool) -> anyhow::Result<()> {
    let installed = Home::of(&config.data_dir).read().map_err(anyhow::Error::msg)?;
    if json {
        println!("{}", json!({ "chain": config.plugins.chain, "installed": installed.plugins }));
        return Ok(());
    }
    for id in &config.plugins.chain {
        let mode = config.plugins.mode.get(id).copied().unwrap_or(Mode::Enforce);
        println!("{id}\t{}\tconfigured", name(mode));
    }
    for entry in &installed.plugins {
        let mode = config.plugins.mode.get(&entry.id).copied().unwrap_or(entry.mode);
        println!("{}\t{}\t{}\tgranted {:?}", entry.id, name(mode), entry.sha256, entry.grant);
    }
    Ok(())
}

pub(super) fn change(config: &Config, id: &str, change: impl FnOnce(&mut Entry)) -> anyhow::Result<()> {
    let home = Home::of(&config.data_dir);
    let before = home.read().map_err(anyhow::Error::msg)?;
    let mut after = before.clone();
    change(after.find(id).ok_or_else(|| anyhow!("{id} is not installed: see `confab plugin list`"))?);
    put(config, &home, &before, &after)?;
    let entry = after.find(id).context("it was just there")?;
    println!("{id} {}: {}, granted {:?}", entry.sha256, name(entry.mode), entry.grant);
    Ok(())
}

pub(super) fn set_mode(config: &Config, id: &str, mode: Mode) -> anyhow::Result<()> {
    if config.plugins.mode.contains_key(id) {
        bail!("plugins.mode.{id} in the configuration says how it is meant: change it there");
    }
    change(config, id, |entry| entry.mode = mode)
}

pub(super) fn roll_back(config: &Config, id: &str) -> anyhow::Result<()> {
    let mut is_done = false;
    let mut installed = Home::of(&config.data_dir).read().map_err(anyhow::Error::msg)?;
    if installed.find(id).is_some_and(|entry| entry.earlier.is_empty()) {
        bail!("{id} has no component before this one");
    }
    change(config, id, |entry| is_done = entry.roll_back())
}

pub(super) fn remove(config: &Config, id: &str) -> anyhow::Result<()> {
    let home = Home::of(&config.data_dir);
    let before = home.read().map_err(anyhow::Error::msg)?;
    let mut after = before.clone();
    after.plugins.retain(|entry| entry.id != id);
    if after.plugins.len() == before.plugins.len() {
        bail!("{id} is not installed: see `confab plugin list`");
    }
    // Whatever else is wrong: with one less it is not worse.
    home.write(&after).map_err(anyhow::Error::msg)?;
    println!("{id} is taken out; its files stay in {}", config.data_dir.join("plugins").join(id).display());
    Ok(())
}

/// Lines of plugins in the metrics of the running server.
pub(super) fn top(config: &Config, json: bool) -> anyhow::Result<()> {
    let address = config.listen.ops;
    let text = read_metrics(address).with_context(|| format!("no server answers on {address}"))?;
    let lines = text.lines().filter(|line| line.starts_with("confab_plugin_") && !line.contains("_bucket{"));
    let pairs: Vec<(&str, &str)> =
        lines.filter_map(|line| line.rsplit_once(' ')).filter(|(_, it)| *it != "0").collect();
    if json {
        let object: serde_json::Map<String, serde_json::Value> =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        println!("{}", serde_json::Value::Object(object));
    } else {
        pairs.iter().for_each(|(name, value)| println!("{value:>14}  {name}"));
    }
    Ok(())
}

fn read_metrics(address: std::net::SocketAddr) -> anyhow::Result<String> {
    use std::io::{Read, Write};
    let mut socket = std::net::TcpStream::connect_timeout(&address, PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    write!(socket, "GET /metrics HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    socket.take(16 << 20).read_to_string(&mut answer)?;
    Ok(answer)
}
