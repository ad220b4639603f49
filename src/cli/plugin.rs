//! `confab plugin`: from an idea to a plugin that is tested, tried on what was said, and enforced.

mod author;
mod automod;
mod bench;
mod install;
mod operate;
mod patience;
mod replay;
mod scaffold;
mod top;
mod wit;

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use clap::Subcommand;
use serde_json::json;

use self::patience::patiently;
use crate::config::{Config, Mode};
use crate::plugin::installed::read_part;
use crate::plugin::lab::{Fuel, Lab};

/// What goes on, where that takes long.
const COMPILING: &str = "Compiling the component";
const RUNNING_GOLDENS: &str = "Running the golden files in the sandbox";

#[derive(clap::Args)]
pub(super) struct Args {
    /// Print JSON, for programs.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Write a new plugin with everything that it needs.
    New {
        /// Its folder; the last part is its id.
        folder: PathBuf,
    },
    /// Build a plugin: into target/<id>.wasm and target/<id>.toml, with its golden files in target/<id>.goldens/.
    Build {
        /// Its folder.
        #[arg(default_value = ".")]
        folder: PathBuf,
    },
    /// Build it, and run its golden files natively and in the sandbox; of a component that is built already, of whatever
    /// language, in the sandbox alone.
    Test {
        /// Its folder, or a component, <id>.wasm; beside that stand the manifest, <id>.toml, and golden files, in
        /// <id>.goldens/.
        #[arg(default_value = ".")]
        plugin: PathBuf,
        /// Write down what the sandbox says as what is expected, and the instructions that each line takes.
        #[arg(long)]
        bless: bool,
    },
    /// What a call costs: the golden lines of messages as they are, of other authors and later in each round.
    Bench {
        /// Its folder, built, or a component, as `test` takes it.
        #[arg(default_value = ".")]
        plugin: PathBuf,
    },
    /// Write the contract as files of WIT, for the tools of other languages than Rust.
    Wit {
        /// Where to. What stands there already and says something else is not touched.
        folder: PathBuf,
    },
    /// What a component is: hooks, capabilities, size and hash.
    Inspect {
        /// A component; the manifest stands beside it.
        component: PathBuf,
    },
    /// What it would have said of what was said already, in open rooms, in the order of time. Nothing is changed. Its hook
    /// `message` is asked and no other.
    Replay {
        /// A component; the manifest stands beside it.
        component: PathBuf,
        /// This room alone: an open one by its name, any by its id.
        #[arg(long, value_name = "NAME|ID")]
        room: Option<String>,
        /// Of so long ago and later, as 24h or 30d.
        #[arg(long, value_name = "TIME", value_parser = super::duration)]
        since: Option<u64>,
        /// What it is configured with, as a file of TOML.
        #[arg(long, value_name = "FILE")]
        settings: Option<PathBuf>,
        /// So many examples of each verdict are named, by room and seq.
        #[arg(long, default_value_t = 3)]
        samples: usize,
    },
    /// Discord's AutoMod rules as configuration of the stock plugins `words` and `mentions`, with a remark for each part that
    /// has no counterpart.
    Automod {
        /// What Discord's API gives for the rules of a server: JSON.
        file: PathBuf,
    },
    /// Install a component, in shadow mode: it says what it would do. `promote` lets it decide. So it is with another
    /// version of one that is there, unless that is off; `rollback` goes back.
    Install {
        /// A component, <id>.wasm; beside it stand the manifest, <id>.toml, and perhaps golden files, in <id>.goldens/.
        component: PathBuf,
        /// What it is granted of what it declares, as kv,log; "" is nothing. Without it, what the one before it was, as far
        /// as it is called for.
        #[arg(long, value_delimiter = ',')]
        grant: Option<Vec<String>>,
        /// It is meant as the one before it is: where that one is enforced, it decides at once.
        #[arg(long)]
        keep_mode: bool,
    },
    /// Installed plugins.
    List,
    /// Let an installed plugin have these capabilities, and no others.
    Grant {
        /// Which.
        id: String,
        /// Capabilities, as kv,log; "" is none.
        #[arg(value_delimiter = ',', required = true)]
        capabilities: Vec<String>,
    },
    /// Let an installed plugin decide.
    Promote {
        /// Which.
        id: String,
    },
    /// Let an installed plugin say what it would do, and decide nothing.
    Shadow {
        /// Which.
        id: String,
    },
    /// Ask an installed plugin nothing.
    Off {
        /// Which.
        id: String,
    },
    /// Go back to the version that counted before, with its grant and its mode.
    Rollback {
        /// Which.
        id: String,
    },
    /// Take an installed plugin out; no key of the configuration may be for it any more.
    Remove {
        /// Which.
        id: String,
    },
    /// What plugins do in the running server, from its metrics.
    Top,
}

pub(super) fn run(file: Option<&Path>, args: Args) -> anyhow::Result<()> {
    let json = args.json;
    let config = || -> anyhow::Result<Config> { super::load(file) };
    match args.action {
        Action::New { folder } => scaffold::new(&folder, json),
        Action::Build { folder } => author::build(&folder).map(|built| author::print_built(&built, json)),
        Action::Test { plugin, bless } => author::test(&plugin, bless, json),
        Action::Bench { plugin } => bench::run(&plugin, json),
        Action::Wit { folder } => wit::write(&folder, json),
        Action::Inspect { component } => author::inspect(&component, json),
        Action::Replay { component, room, since, settings, samples } => {
            replay::run(&config()?, &replay::Wanted { component, room, since, settings, samples, json })
        }
        Action::Automod { file } => automod::run(&file, json),
        Action::Install { component, grant, keep_mode } => {
            let grant = grant.map(operate::known).transpose()?;
            install::run(&config()?, &install::Wanted { component, grant, keep_mode, json })
        }
        Action::List => operate::list(&config()?, json),
        Action::Grant { id, capabilities } => operate::grant(&config()?, &id, capabilities, json),
        Action::Promote { id } => operate::set_mode(&config()?, &id, Mode::Enforce, json),
        Action::Shadow { id } => operate::set_mode(&config()?, &id, Mode::Shadow, json),
        Action::Off { id } => operate::set_mode(&config()?, &id, Mode::Off, json),
        Action::Rollback { id } => operate::roll_back(&config()?, &id, json),
        Action::Remove { id } => operate::remove(&config()?, &id, json),
        Action::Top => top::top(&config()?, json),
    }
}

/// A component with the manifest that stands beside it.
struct Pair {
    id: String,
    wasm: Vec<u8>,
    manifest: Vec<u8>,
}

fn read_pair(component: &Path) -> anyhow::Result<Pair> {
    let place = component.display();
    if component.is_dir() {
        bail!(
            "{place} is a folder: its component is target/<id>.wasm in it, which `confab plugin build {place}` makes"
        );
    }
    let wasm = read_part(component)
        .with_context(|| format!("{place}: `confab plugin build` makes the component of a plugin, target/<id>.wasm"))?;
    let manifest = component.with_extension("toml");
    let manifest = read_part(&manifest)
        .with_context(|| format!("{} has to be there, the manifest beside the component", manifest.display()))?;
    let id = component.file_stem().and_then(|stem| stem.to_str()).context("a component is called <id>.wasm")?;
    Ok(Pair { id: id.to_owned(), wasm, manifest })
}

/// Where instructions are counted.
fn open_lab(pair: &Pair) -> anyhow::Result<Lab> {
    let open = || Lab::open(&pair.id, &pair.wasm, &pair.manifest);
    patiently(COMPILING, open).map_err(|error| anyhow!("{}: {error}", pair.id))
}

/// As a server runs it: what takes time takes as long there.
fn open_as_served(pair: &Pair) -> anyhow::Result<Lab> {
    let open = || Lab::open_as_served(&pair.id, &pair.wasm, &pair.manifest);
    patiently(COMPILING, open).map_err(|error| anyhow!("{}: {error}", pair.id))
}

/// For programs.
fn fuel_json(fuel: &Fuel) -> serde_json::Value {
    json!({ "total": fuel.total, "mean": fuel.mean(), "max": fuel.max, "max_at": fuel.max_at })
}
