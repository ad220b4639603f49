//! Plugins outside a server: golden files in the real sandbox, for those who write plugins and before one is taken up.

mod bless;
mod fuel;
mod line;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use confab_plugin::golden::{Case, Found, Story, read_folder};

pub use self::bless::Blessed;
pub use self::fuel::Fuel;
use self::fuel::excess;
use self::line::{ask_about, check_survived, decide, outcome, verdict};
use super::CACHE;
use super::actions::Hand;
use super::cache::Cache;
use super::chain::Chain;
use super::engine::{Engine, Loaded, Wish};
use super::fuel::BACKSTOP;
use super::installed::check_stories;
use super::manifest::Manifest;
use super::member::Member;
use super::outages::Outages;
use super::translate::Speaker;
use crate::clock::{Clock, SystemClock, thread_cpu_time};
use crate::config::{Config, Isolation, Mode, Plugins};
use crate::core::hook::{MessageEvent, Ruling};
use crate::metrics::Metrics;

/// More lines than this are not told at once.
const TOLD_MAX: usize = 3;
/// A golden line may take so long where instructions are not counted; what counts is the verdict.
const BUDGET: Duration = Duration::from_millis(500);

/// A plugin alone, granted what it declares.
pub struct Lab {
    engine: Engine,
    manifest: Manifest,
    loaded: Loaded,
}

/// How the golden files of a folder went.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Report {
    pub stories: usize,
    pub lines: usize,
    /// What is not as expected, by line.
    pub wrong: Vec<String>,
    /// What all lines took; nothing where it is not counted.
    pub fuel: Fuel,
}

/// What came of a golden line.
struct Ran {
    /// Or why it cannot be run, or how the plugin failed at it.
    found: Result<Found, String>,
    /// `None`: it is not counted.
    fuel: Option<u64>,
}

/// A plugin that can be asked.
pub struct Subject {
    chain: Chain,
    clock: SystemClock,
}

impl Lab {
    /// Compiles a component so that its instructions are counted: how many a call may take is bounded, not how long.
    ///
    /// # Errors
    /// As [`super::PluginSet::load`].
    pub fn open(id: &str, wasm: &[u8], manifest: &[u8]) -> Result<Self, String> {
        let (clock, plugins): (Arc<dyn Clock>, _) = (Arc::new(SystemClock::new()), Config::default().plugins);
        Self::with(Engine::counting(&plugins, &clock)?, id, wasm, manifest)
    }

    /// Compiles a component as a server does: for what takes time, and for what a server is to take up.
    ///
    /// # Errors
    /// As [`super::PluginSet::load`].
    pub fn open_as_served(id: &str, wasm: &[u8], manifest: &[u8]) -> Result<Self, String> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        Self::with(Engine::new(&Config::default().plugins, &clock, None)?, id, wasm, manifest)
    }

    /// The same with the limits of a server of this configuration, and with what it compiled already: what is compiled here
    /// is kept for it.
    ///
    /// # Errors
    /// As [`super::PluginSet::load`].
    pub fn open_as_served_by(
        plugins: &Plugins,
        data_dir: &Path,
        id: &str,
        wasm: &[u8],
        manifest: &[u8],
    ) -> Result<Self, String> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        Self::with(Engine::new(plugins, &clock, Cache::open(&data_dir.join(CACHE)))?, id, wasm, manifest)
    }

    fn with(engine: Engine, id: &str, wasm: &[u8], manifest: &[u8]) -> Result<Self, String> {
        let manifest = Manifest::parse(id, manifest)?;
        let loaded = engine.load(&manifest, wasm, &manifest.capabilities)?;
        Ok(Self { engine, manifest, loaded })
    }

    /// Runs the golden files of a folder in the sandbox. Fuel is judged where it is given and counted.
    ///
    /// # Errors
    /// A file that cannot be read, a configuration that the plugin does not take.
    pub fn goldens(&self, folder: &Path) -> Result<Report, String> {
        run_folder(&self.engine, &self.manifest, &self.loaded, folder)
    }

    /// The hooks that it takes part in, by the names of the contract.
    #[must_use]
    pub fn hooks(&self) -> Vec<&'static str> {
        self.manifest.hooks.iter().map(|hook| hook.name()).collect()
    }

    /// Those of them that nothing asks yet.
    #[must_use]
    pub fn idle_hooks(&self) -> Vec<&'static str> {
        self.manifest.hooks.iter().filter(|hook| !hook.is_live()).map(|hook| hook.name()).collect()
    }

    /// CPU time that a call which decides has on a server with the defaults; an interpreter has more.
    #[must_use]
    pub fn call_budget(&self) -> Duration {
        let given = Duration::from_millis(Config::default().plugins.call_budget_ms);
        self.manifest.limits.call(self.manifest.class, given)
    }

    /// CPU time that its calls for messages may take on average on such a server. `None`: it is interpreted, and nothing
    /// bounds that.
    #[must_use]
    pub fn average_budget(&self) -> Option<Duration> {
        let given = Duration::from_millis(Config::default().plugins.average_budget_ms);
        self.manifest.limits.average(self.manifest.class, given)
    }

    /// What it calls of the host.
    #[must_use]
    pub fn imports(&self) -> Vec<String> {
        self.engine.imports(&self.loaded)
    }

    /// With a configuration, as JSON, and nothing remembered.
    ///
    /// # Errors
    /// A configuration that the plugin does not take.
    pub fn subject(&self, config: &str) -> Result<Subject, String> {
        let chain = chain_of(&self.engine, &self.manifest, &self.loaded, config)?;
        Ok(Subject { chain, clock: SystemClock::new() })
    }
}

impl Subject {
    /// Whether it asks what was said in the room before.
    #[must_use]
    pub fn reads_history(&self) -> bool {
        self.chain.demands.wants.history
    }

    /// Whether it asks what else is known of a message.
    #[must_use]
    pub fn reads_context(&self) -> bool {
        self.chain.demands.wants.context
    }

    /// Asks it about a text.
    #[must_use]
    pub fn decide(&self, event: &MessageEvent<'_>) -> Ruling {
        self.chain.decide_message(event, &self.clock)
    }

    /// Asks it about a text, nobody else meanwhile, and tells how many instructions that took; 0 where they are not
    /// counted.
    #[must_use]
    pub fn decide_counted(&self, event: &MessageEvent<'_>) -> (Ruling, u64) {
        take_fuel(&self.chain);
        let ruling = self.decide(event);
        (ruling, take_fuel(&self.chain).unwrap_or_default())
    }

    /// Asks it about the message of a golden line; gives the CPU time that the answer took, and the verdict.
    ///
    /// # Errors
    /// A line that cannot be run, or that the plugin fails at.
    pub fn timed(&self, case: &Case) -> Result<(Duration, &'static str), String> {
        let (took, ruling) = ask_about(case, |event| {
            let start = thread_cpu_time();
            let ruling = self.decide(event);
            (thread_cpu_time().saturating_sub(start), ruling)
        })?;
        check_survived(&ruling)?;
        Ok((took, verdict(&ruling)))
    }
}

/// Runs the golden files of a folder, if it is there.
pub(super) fn check_goldens(
    engine: &Engine,
    manifest: &Manifest,
    loaded: &Loaded,
    folder: &Path,
) -> Result<(), String> {
    if !folder.is_dir() {
        return Ok(());
    }
    let wrong = run_folder(engine, manifest, loaded, folder)?.wrong;
    if wrong.is_empty() {
        return Ok(());
    }
    let told = wrong.iter().take(TOLD_MAX).cloned().collect::<Vec<_>>().join("; ");
    Err(format!("does not pass its golden files, {} lines: {told}", wrong.len()))
}

fn chain_of(engine: &Engine, manifest: &Manifest, loaded: &Loaded, config: &str) -> Result<Chain, String> {
    // Nothing of it touches what a server remembers or counts.
    let metrics = Metrics::new();
    let counters = &metrics.plugin_custom_total;
    // Nor does anything that it wants happen.
    let speaker = Speaker { plugin: manifest.id.as_str().into(), hash: "".into(), enforced: true };
    let nobody = Speaker { enforced: false, ..speaker.clone() };
    let hand = Hand::of(nobody, false, &metrics.plugin_actions_total, None);
    let wish = Wish { isolation: Isolation::Pooled, config, lasting: Arc::default(), counters, hand };
    let pool = engine.open(manifest, loaded, &wish)?;
    let patience = if engine.counts_fuel() { BACKSTOP.cpu } else { BUDGET };
    let terms = (Mode::Enforce, Duration::MAX, String::new());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let told = (&metrics, &Outages::new(&clock));
    let member = Member::new(manifest.clone(), pool, speaker, terms, told, None).in_the_lab(patience);
    Ok(Chain::new(vec![member], patience, patience))
}

/// Instructions since this was last asked.
fn take_fuel(chain: &Chain) -> Option<u64> {
    chain.members.first().and_then(|member| member.pool.take_fuel())
}

fn run_folder(engine: &Engine, manifest: &Manifest, loaded: &Loaded, folder: &Path) -> Result<Report, String> {
    check_stories(folder)?;
    let mut report = Report::default();
    for story in read_folder(folder)? {
        report.stories += 1;
        report.lines += story.cases.len();
        let ran = run_story(engine, manifest, loaded, &story)?;
        for ((number, case), Ran { found, fuel }) in story.cases.iter().zip(ran) {
            let place = format!("{}:{number}", story.path.display());
            let too_much = || case.fuel.zip(fuel).and_then(|(given, found)| excess(given, found));
            let why = found.map_or_else(Some, |found| case.differs(&found).or_else(too_much));
            report.wrong.extend(why.map(|why| format!("{place}: {why}")));
            if let Some(fuel) = fuel {
                report.fuel.note(&place, fuel);
            }
        }
    }
    Ok(report)
}

/// Its lines in their order, with nothing remembered before the first.
fn run_story(engine: &Engine, manifest: &Manifest, loaded: &Loaded, story: &Story) -> Result<Vec<Ran>, String> {
    let chain = chain_of(engine, manifest, loaded, &story.config);
    let chain = chain.map_err(|why| format!("{}: {why}", story.path.display()))?;
    let run = |(_, case): &(usize, Case)| {
        let found = decide(&chain, manifest, case).and_then(|ruling| outcome(case, &ruling));
        Ran { found, fuel: take_fuel(&chain) }
    };
    Ok(story.cases.iter().map(run).collect())
}
