//! Plugins outside a server: golden files in the real sandbox, for those who write plugins and before one is taken up.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use confab_plugin::golden::{Case, Found, Story, read_folder};
use confab_protocol::model::{Millis, RoomId, RoomRole, ServerRole, UserId};
use serde_json::{Map, Value};

use super::chain::Chain;
use super::engine::{Engine, Loaded, Wish};
use super::manifest::{Hook, Manifest};
use super::member::Member;
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Isolation, Mode};
use crate::core::hook::{Act, ActEvent, MessageEvent, Presently, Ruling, TextKind, Verdict};
use crate::metrics::Metrics;

/// More lines than this are not told at once.
const TOLD_MAX: usize = 3;
/// A golden line may take so long; what counts is the verdict.
const BUDGET: std::time::Duration = std::time::Duration::from_millis(500);

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
}

/// A plugin that can be asked.
pub struct Subject {
    chain: Chain,
    clock: SystemClock,
}

impl Lab {
    /// Compiles a component.
    ///
    /// # Errors
    /// As [`super::PluginSet::load`].
    pub fn open(id: &str, wasm: &[u8], manifest: &[u8]) -> Result<Self, String> {
        let (clock, plugins): (Arc<dyn Clock>, _) = (Arc::new(SystemClock::new()), Config::default().plugins);
        let engine = Engine::new(&plugins, &clock, None)?;
        let manifest = Manifest::parse(id, manifest)?;
        let loaded = engine.load(&manifest, wasm, &manifest.capabilities)?;
        Ok(Self { engine, manifest, loaded })
    }

    /// Runs the golden files of a folder in the sandbox.
    ///
    /// # Errors
    /// A file that cannot be read, a configuration that the plugin does not take.
    pub fn goldens(&self, folder: &Path) -> Result<Report, String> {
        let mut report = Report::default();
        for story in read_folder(folder)? {
            report.stories += 1;
            report.lines += story.cases.len();
            report.wrong.extend(run_story(&self.engine, &self.manifest, &self.loaded, &story)?);
        }
        Ok(report)
    }

    /// Writes what the sandbox says into the golden files of a folder as what is expected. Returns how many lines changed.
    ///
    /// # Errors
    /// As [`Self::goldens`], and files that cannot be written.
    pub fn bless(&self, folder: &Path) -> Result<usize, String> {
        let mut changed = 0;
        for story in read_folder(folder)? {
            let chain = chain_of(&self.engine, &self.manifest, &self.loaded, &story.config)?;
            let mut found_by_line = HashMap::new();
            for (number, case) in &story.cases {
                let found = found(&decide(&chain, &self.manifest, case)?);
                if case.differs(&found).is_some() {
                    found_by_line.insert(*number, found);
                }
            }
            changed += found_by_line.len();
            if !found_by_line.is_empty() {
                rewrite(&story.path, &found_by_line)?;
            }
        }
        Ok(changed)
    }

    /// The hooks that it takes part in, by the names of the contract.
    #[must_use]
    pub fn hooks(&self) -> Vec<&'static str> {
        self.manifest.hooks.iter().map(|hook| hook.name()).collect()
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
    /// Asks it about a text.
    #[must_use]
    pub fn decide(&self, event: &MessageEvent<'_>) -> Ruling {
        self.chain.decide_message(event, &self.clock)
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
    let mut wrong = Vec::new();
    for story in read_folder(folder)? {
        wrong.extend(run_story(engine, manifest, loaded, &story)?);
    }
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
    let wish = Wish { isolation: Isolation::Pooled, config, lasting: Arc::default(), counters };
    let pool = engine.open(manifest, loaded, &wish)?;
    let member = Member::new(manifest.clone(), pool, "".into(), Mode::Enforce, &metrics).in_the_lab(BUDGET);
    Ok(Chain { members: vec![member], chain_budget: BUDGET, call_budget: BUDGET })
}

/// What is not as expected, by line.
fn run_story(engine: &Engine, manifest: &Manifest, loaded: &Loaded, story: &Story) -> Result<Vec<String>, String> {
    let chain = chain_of(engine, manifest, loaded, &story.config)?;
    let outcome = |(number, case): &(usize, Case)| {
        let place = format!("{}:{number}", story.path.display());
        match decide(&chain, manifest, case) {
            Ok(ruling) => case.differs(&found(&ruling)).map(|why| format!("{place}: {why}")),
            Err(error) => Some(format!("{place}: {error}")),
        }
    };
    Ok(story.cases.iter().filter_map(outcome).collect())
}

fn rewrite(path: &Path, found_by_line: &HashMap<usize, Found>) -> Result<(), String> {
    let fail = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| fail(&error))?;
    let mut lines = String::new();
    for (number, line) in (1..).zip(text.lines()) {
        match found_by_line.get(&number) {
            Some(found) => {
                let mut object: Map<String, Value> = serde_json::from_str(line).map_err(|error| fail(&error))?;
                object.insert("expect".into(), found.verdict.clone().into());
                for (key, said) in [("rule", &found.rule), ("text", &found.text), ("label", &found.label)] {
                    object.remove(key);
                    if let Some(said) = said.as_ref().filter(|said| !said.is_empty()) {
                        object.insert(key.into(), said.clone().into());
                    }
                }
                lines.push_str(&Value::Object(object).to_string());
            }
            None => lines.push_str(line),
        }
        lines.push('\n');
    }
    std::fs::write(path, lines).map_err(|error| fail(&error))
}

fn decide(chain: &Chain, manifest: &Manifest, case: &Case) -> Result<Ruling, String> {
    let (clock, now) = (SystemClock::new(), Millis(case.time_ms));
    let (who, room) = (UserId::from_u128(case.author.into()), RoomId::from_u128(case.room.into()));
    let ago = |seconds: u64| Millis(case.time_ms.saturating_sub(seconds.saturating_mul(1000)));
    let (username, role, account_created) = (case.username.as_str(), role(&case.role)?, ago(case.account_age_seconds));
    let act = |act| ActEvent { who, username, role, account_created, now, act };
    let (hook, ruling) = match case.hook.as_str() {
        "message" => {
            let (kind, joined) = (kind(&case.kind)?, ago(case.member_seconds));
            let member = room_role(&case.room_role)?.map(|role| Presently { role, joined });
            let body = case.body.as_str();
            let event = MessageEvent { kind, room, author: who, username, role, account_created, member, now, body };
            (Hook::Message, chain.decide_message(&event, &clock))
        }
        "join" => {
            let event = act(Act::Join { room, by_invitation: case.by_invitation });
            (Hook::Join, chain.decide_act(&event, &clock))
        }
        "register" => {
            let event = act(Act::Register { display_name: &case.body, invited: case.by_invitation });
            (Hook::Register, chain.decide_act(&event, &clock))
        }
        other => return Err(format!("no hook {other}")),
    };
    if manifest.hooks.contains(&hook) { Ok(ruling) } else { Err(format!("the plugin has no hook {}", hook.name())) }
}

fn role(name: &str) -> Result<ServerRole, String> {
    Ok(match name {
        "owner" => ServerRole::Owner,
        "admin" => ServerRole::Admin,
        "moderator" => ServerRole::Moderator,
        "user" => ServerRole::User,
        "bot" => ServerRole::Bot,
        other => return Err(format!("no role {other}")),
    })
}

fn room_role(name: &str) -> Result<Option<RoomRole>, String> {
    Ok(Some(match name {
        "none" => return Ok(None),
        "owner" => RoomRole::Owner,
        "admin" => RoomRole::Admin,
        "moderator" => RoomRole::Moderator,
        "member" => RoomRole::Member,
        "guest" => RoomRole::Guest,
        other => return Err(format!("no room role {other}")),
    }))
}

fn kind(name: &str) -> Result<TextKind, String> {
    Ok(match name {
        "new" => TextKind::New,
        "edit" => TextKind::Edit,
        "reaction" => TextKind::Reaction,
        "room" => TextKind::Room,
        "display-name" => TextKind::DisplayName,
        other => return Err(format!("no kind {other}")),
    })
}

fn found(ruling: &Ruling) -> Found {
    let mark = ruling.marks.last();
    let verdict = mark.map_or("allow", |mark| mark.verdict).to_owned();
    let rule = mark.map(|mark| mark.rule.clone());
    let label = mark.filter(|mark| mark.verdict == "flag").map(|mark| mark.label.clone());
    let text = match &ruling.verdict {
        Verdict::Replace(text) => Some(text.clone()),
        Verdict::Bounce { reason } | Verdict::Reject { reason, .. } => Some(reason.clone()),
        _ => None,
    };
    Found { verdict, rule, text, label }
}
