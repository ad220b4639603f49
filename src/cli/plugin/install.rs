//! A component becomes one of the installed plugins, or takes the place of the one of its id.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};

use super::operate::{check_grant, mode_of, name, put, shown};
use super::patience::patiently;
use super::{COMPILING, Pair, RUNNING_GOLDENS, read_pair};
use crate::config::{Config, Mode};
use crate::plugin::check_declared;
use crate::plugin::installed::{Entry, Home, Installed, Kept};
use crate::plugin::lab::Lab;

/// What is asked for.
pub(super) struct Wanted {
    pub(super) component: PathBuf,
    /// `None`: what the one before it is granted, as far as this one calls for it.
    pub(super) grant: Option<Vec<String>>,
    pub(super) keep_mode: bool,
    pub(super) json: bool,
}

pub(super) fn run(config: &Config, wanted: &Wanted) -> anyhow::Result<()> {
    let pair = read_pair(&wanted.component)?;
    let id = pair.id.as_str();
    let home = Home::of(&config.data_dir);
    let _lock = home.lock().map_err(anyhow::Error::msg)?;
    let before = home.read().map_err(anyhow::Error::msg)?;
    let known = before.plugins.iter().find(|entry| entry.id == id);
    let goldens = wanted.component.with_extension("goldens");
    let goldens = goldens.is_dir().then_some(goldens.as_path());
    let imports = check(config, &pair, goldens, known, wanted.grant.as_deref())?;
    let kept = home.keep(id, &pair.wasm, &pair.manifest, goldens).map_err(anyhow::Error::msg)?;
    let mut after = before.clone();
    let is_other = take_up(&mut after, id, kept, wanted, &imports);
    let entry = after.find(id).context("it was just put there")?.clone();
    let mode = mode_of(config, &entry);
    let taken = if is_other && !wanted.keep_mode && mode == Mode::Enforce {
        Err(anyhow!(
            "plugins.mode.{id} in the configuration says enforce, and this one would decide at once: say shadow there \
             first, or install it with --keep-mode"
        ))
    } else {
        put(config, &home, &after)
    };
    // What is not in the list is kept for nobody.
    if taken.is_err() && home.read().is_ok_and(|list| !list.has(id, &entry.files)) {
        home.discard(id, &entry.files);
    }
    taken?;
    if wanted.json {
        println!("{}", shown(config, &entry));
    } else {
        let exchanged = known.filter(|_| is_other).map(|entry| mode_of(config, entry));
        print(&entry, mode, exchanged);
    }
    Ok(())
}

/// What would be refused is kept nowhere, but as compiled code: who is taken up is compiled once. Gives what it calls of
/// the host.
fn check(
    config: &Config,
    pair: &Pair,
    goldens: Option<&Path>,
    known: Option<&Entry>,
    grant: Option<&[String]>,
) -> anyhow::Result<Vec<String>> {
    if let Some(grant) = grant {
        check_grant(config, &pair.id)?;
        check_declared(&pair.id, &pair.manifest, grant).map_err(|error| anyhow!("{}: {error}", pair.id))?;
    }
    // Within the limits that it will have: what needs more than the defaults may have it.
    let open = || Lab::open_as_served_by(&config.plugins, &config.data_dir, &pair.id, &pair.wasm, &pair.manifest);
    let lab = patiently(COMPILING, open).map_err(|error| anyhow!("{}: {error}", pair.id))?;
    if let Some(folder) = goldens {
        let report = patiently(RUNNING_GOLDENS, || lab.goldens(folder)).map_err(anyhow::Error::msg)?;
        if let Some(wrong) = report.wrong.first() {
            bail!("{} golden lines are not as expected: {wrong}", report.wrong.len());
        }
    }
    let of_list = || grant.or_else(|| known.map(|entry| entry.grant.as_slice())).unwrap_or_default();
    let granted = config.plugins.grant.get(&pair.id).map_or_else(of_list, Vec::as_slice);
    let imports = lab.imports();
    let (had, lacking): (Vec<_>, Vec<_>) = imports.iter().map(String::as_str).partition(|it| has(granted, it));
    if let Some(missing) = lacking.first() {
        let (id, all) = (&pair.id, lacking.iter().chain(&had).copied().collect::<Vec<_>>());
        if config.plugins.grant.contains_key(id) {
            bail!("{id} wants the capability {missing}: say plugins.grant.{id} = {all:?} in the configuration");
        }
        // Of those that it has as well: what is granted is that and no more.
        bail!("{id} wants the capability {missing}: install it with --grant {}", all.join(","));
    }
    Ok(imports)
}

fn has(granted: &[String], name: &str) -> bool {
    granted.iter().any(|it| it == name)
}

/// `false`: it is there already, file for file. Another one decides nothing until somebody says so, whoever decided
/// before: what it says was seen by nobody yet. One that is off is asked nothing before either.
fn take_up(installed: &mut Installed, id: &str, kept: Kept, wanted: &Wanted, imports: &[String]) -> bool {
    let Some(entry) = installed.find(id) else {
        let (id, grant, Kept { sha256, files }) = (id.to_owned(), wanted.grant.clone().unwrap_or_default(), kept);
        installed.plugins.push(Entry { id, mode: Mode::Shadow, sha256, files, grant, earlier: Vec::new() });
        return true;
    };
    let is_other = entry.change_to(kept);
    if is_other && !wanted.keep_mode && entry.mode == Mode::Enforce {
        entry.mode = Mode::Shadow;
    }
    match &wanted.grant {
        Some(grant) => entry.grant.clone_from(grant),
        // A version that comes later and calls for more than this one has to be granted it anew.
        None if is_other => entry.grant.retain(|it| imports.contains(it)),
        None => {}
    }
    is_other
}

/// `exchanged`: how the one was meant whose place it took.
fn print(entry: &Entry, mode: Mode, exchanged: Option<Mode>) {
    let Entry { id, sha256, .. } = entry;
    let is_after = exchanged == Some(Mode::Enforce);
    if mode == Mode::Enforce {
        let before =
            if is_after { format!(", as before; `confab plugin rollback {id}` goes back") } else { String::new() };
        println!("{id} {sha256} is installed: enforce{before}");
        return;
    }
    println!("{id} {sha256} is installed: {}", name(mode));
    if is_after {
        println!("The one before it was enforced, and decides no more: `confab plugin rollback {id}` brings it back");
    }
    if mode == Mode::Off {
        println!("Next: `confab plugin shadow {id}`, and look at `confab plugin top` for a while");
    } else {
        println!("Next: look at `confab plugin top` for a while, then `confab plugin promote {id}`");
    }
}
