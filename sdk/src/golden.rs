//! Golden files: events, one JSON object a line, each with the verdict that it must have. The lines of a file are one
//! story: what the plugin remembers of a line holds for those below. A line of its own may give the configuration:
//! `{"config": {..}}`, before all others.
//!
//! `{"body": "buy now", "expect": "reject", "rule": "spam"}`: what is left out has the value of [`Case::default`].
//!
//! ```
//! use confab_plugin::golden::{Case, Found};
//!
//! let case = Case { body: "buy now".into(), expect: "reject".into(), rule: Some("spam".into()), ..Case::default() };
//! let refused = Found { verdict: "reject".into(), rule: Some("spam".into()), ..Found::default() };
//! assert_eq!(case.differs(&refused), None);
//! let posted = Found { verdict: "allow".into(), ..Found::default() };
//! let why = case.differs(&posted).unwrap_or_default();
//! assert_eq!(why, "\"buy now\": expected reject, rule \"spam\"; found allow");
//!
//! let case = Case { expect: "refuse".into(), ..case };
//! assert!(case.differs(&posted).is_some_and(|why| why.contains("no verdict refuse; there are allow, replace,")));
//! ```

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// An event, and what is expected of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs, reason = "as in the hooks' events")]
pub struct Case {
    /// `message`, `join`, `invite`, `role-change`, `register`, `login`, `report` or `appeal`.
    pub hook: String,
    /// Of a message: `new`, `edit`, `reaction`, `room` or `display-name`.
    pub kind: String,
    /// 0: none, as of an invitation to the server.
    pub room: u64,
    pub author: u64,
    pub username: String,
    /// `owner`, `admin`, `moderator`, `user` or `bot`.
    pub role: String,
    /// `none`, `owner`, `admin`, `moderator`, `member` or `guest`.
    pub room_role: String,
    pub account_age_seconds: u64,
    pub member_seconds: u64,
    /// 0: a second after the line before.
    pub time_ms: u64,
    /// Of a registration: the name that is shown; of a report or an appeal: what is said.
    pub body: String,
    /// Of a message, new or edited: what was said in the room before, the oldest first, for `history`.
    pub history: Vec<Earlier>,
    /// Of a message, new or edited, or of an act but `register`: what else is known of it, for `context`; of a reaction which
    /// message it is about.
    pub context: Context,
    pub by_invitation: bool,
    /// Of an invitation: how many may come by it, and for how long.
    pub uses: u32,
    pub duration_ms: u64,
    /// Of a change of roles: whose it is, and the role that they are to have, in the words of `room_role` but `none`.
    pub target: u64,
    pub new_role: String,
    /// Of a report: whom it is about.
    pub about: u64,
    /// Of a report: the message; 0: none.
    pub seq: u64,
    /// Of a report: `spam`, `harassment` and so on, as the contract spells it.
    pub reason: String,
    /// Of an appeal: how the case began, as `held`, and what was decided, as `drop`.
    pub case: String,
    pub decision: String,
    /// `allow`, `replace`, `flag`, `hold`, `bounce`, `reject` or `shadow`.
    pub expect: String,
    /// What else the verdict says, where it is given.
    pub rule: Option<String>,
    /// The text instead.
    pub text: Option<String>,
    pub label: Option<String>,
    /// Instructions that it may take, and 20 % more (1,000 at least). Counted in the sandbox alone; written by
    /// `confab plugin test --bless`.
    pub fuel: Option<u64>,
}

/// A message that was there before: `{"author": 2, "body": "hello"}`. What is left out has the value of
/// [`Earlier::default`], and 0 stands for what [`Case::earlier`] fills in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs, reason = "as in the capability's messages")]
pub struct Earlier {
    pub seq: u64,
    pub author: u64,
    pub body: String,
    pub time_ms: u64,
    pub edited: bool,
}

impl Default for Earlier {
    fn default() -> Self {
        Self { seq: 0, author: 1, body: String::new(), time_ms: 0, edited: false }
    }
}

/// What else is known of a message: `{"transport": "quic", "room": {"members": 3}, "messages_here": 2}`. What is left out is
/// not known, or 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs, reason = "as in the capability's functions")]
pub struct Context {
    /// `quic`, `websocket` or nothing.
    pub transport: String,
    pub room: Option<RoomSettings>,
    pub prior_flags: u32,
    pub messages_here: u32,
    /// Of an edit, an answer or a reaction: which message it is about, for `target`.
    pub about: Option<About>,
}

/// A message that a text is about: `{"seq": 3, "author": 2, "body": "hello"}`. What is left out has the value of
/// [`About::default`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs, reason = "as in the capability's record")]
pub struct About {
    pub seq: u64,
    pub author: u64,
    pub body: Option<String>,
}

impl Default for About {
    fn default() -> Self {
        Self { seq: 1, author: 1, body: None }
    }
}

/// The room of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs, reason = "as in the capability's record")]
pub struct RoomSettings {
    /// `open`, `private` or `direct`.
    pub kind: String,
    pub slow_mode_ms: u32,
    pub members: u64,
    pub messages: u64,
}

impl Default for RoomSettings {
    fn default() -> Self {
        Self { kind: "open".into(), slow_mode_ms: 0, members: 2, messages: 0 }
    }
}

/// Words that a line can have, each list in its field.
pub const HOOKS: [&str; 8] = ["message", "join", "invite", "role-change", "register", "login", "report", "appeal"];
/// Of a message.
pub const KINDS: [&str; 5] = ["new", "edit", "reaction", "room", "display-name"];
/// On the server.
pub const ROLES: [&str; 5] = ["owner", "admin", "moderator", "user", "bot"];
/// In the room.
pub const ROOM_ROLES: [&str; 6] = ["none", "owner", "admin", "moderator", "member", "guest"];
const VERDICTS: [&str; 7] = ["allow", "replace", "flag", "hold", "bounce", "reject", "shadow"];
/// What a server says of an act where a plugin failed: no verdict of a plugin.
const UNAVAILABLE: &str = "unavailable";
const TRANSPORTS: [&str; 2] = ["quic", "websocket"];
const ROOM_KINDS: [&str; 3] = ["open", "private", "direct"];

/// What is told of a word that is none of those.
#[must_use]
pub fn none_such(what: &str, word: &str, known: &[&str]) -> String {
    format!("no {what} {word}; there are {}", known.join(", "))
}

/// What is told of a hook that a line is for and the plugin does not have.
#[must_use]
pub fn not_its_hook(hook: &str, its: &[&str]) -> String {
    format!("the plugin has no hook {hook}; it has {}", its.join(", "))
}

/// A server counts no further for `context`.
const COUNTED_MAX: u32 = 100;

/// The time of a file's first line that gives none, milliseconds: a morning in 2026.
pub const FIRST_MS: u64 = 1_770_000_000_000;

impl Default for Case {
    fn default() -> Self {
        let month = 30 * 24 * 3600;
        Self {
            hook: "message".into(),
            kind: "new".into(),
            room: 1,
            author: 1,
            username: "somebody".into(),
            role: "user".into(),
            room_role: "member".into(),
            account_age_seconds: month,
            member_seconds: month,
            time_ms: 0,
            body: String::new(),
            history: Vec::new(),
            context: Context::default(),
            by_invitation: false,
            uses: 1,
            duration_ms: 24 * 3600 * 1000,
            target: 2,
            new_role: "member".into(),
            about: 2,
            seq: 0,
            reason: "other".into(),
            case: "held".into(),
            decision: "drop".into(),
            expect: "allow".into(),
            rule: None,
            text: None,
            label: None,
            fuel: None,
        }
    }
}

/// A file, read.
#[derive(Clone, Debug)]
pub struct Story {
    /// Where it stands.
    pub path: PathBuf,
    /// What the plugin is configured with, as JSON.
    pub config: String,
    /// Its lines, with their numbers; each has a time.
    pub cases: Vec<(usize, Case)>,
}

/// What came of a case, as far as it is compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "as in `Case`")]
pub struct Found {
    pub verdict: String,
    pub rule: Option<String>,
    pub text: Option<String>,
    pub label: Option<String>,
}

impl Case {
    /// What was said before, the oldest first: numbered from 1 on, with a second from each to the next. Nothing but for a
    /// message, new or edited.
    #[must_use]
    pub fn earlier(&self) -> Vec<Earlier> {
        if !self.is_said() {
            return Vec::new();
        }
        let mut earlier = self.history.clone();
        for (number, message) in (1..).zip(&mut earlier) {
            if message.seq == 0 {
                message.seq = number;
            }
        }
        for (seconds, message) in (1..).zip(earlier.iter_mut().rev()) {
            if message.time_ms == 0 {
                message.time_ms = self.time_ms.saturating_sub(seconds * 1_000);
            }
        }
        earlier
    }

    /// What else is known of it, within the bounds of a server. Of registrations and names nothing; of a reaction, which
    /// message it is about, which is known of no act.
    ///
    /// # Errors
    /// A word that is none of the contract.
    pub fn known(&self) -> Result<Context, String> {
        if !self.is_said() && matches!(self.hook.as_str(), "message" | "register") {
            let about = self.context.about.clone().filter(|_| self.hook == "message" && self.kind == "reaction");
            return Ok(Context { about, ..Context::default() });
        }
        let mut known = self.context.clone();
        known.about = known.about.filter(|_| self.is_said());
        let transport = known.transport.as_str();
        if !transport.is_empty() && !TRANSPORTS.contains(&transport) {
            return Err(none_such("transport", transport, &TRANSPORTS));
        }
        if let Some(room) = &known.room
            && !ROOM_KINDS.contains(&room.kind.as_str())
        {
            return Err(none_such("kind of room", &room.kind, &ROOM_KINDS));
        }
        known.prior_flags = known.prior_flags.min(COUNTED_MAX);
        known.messages_here = known.messages_here.min(COUNTED_MAX);
        Ok(known)
    }

    /// Whether it is about something that is said in a room.
    fn is_said(&self) -> bool {
        self.hook == "message" && matches!(self.kind.as_str(), "new" | "edit")
    }

    /// Why what was found is not what is expected; `None`: it is.
    #[must_use]
    pub fn differs(&self, found: &Found) -> Option<String> {
        let same = |wanted: &Option<String>, got: &Option<String>| wanted.is_none() || wanted == got;
        let is_good = self.expect == found.verdict
            && same(&self.rule, &found.rule)
            && same(&self.text, &found.text)
            && same(&self.label, &found.label);
        if is_good {
            return None;
        }
        let expect = self.expect.as_str();
        if !VERDICTS.contains(&expect) && expect != UNAVAILABLE {
            return Some(format!("{:?}: {}", self.body, none_such("verdict", expect, &VERDICTS)));
        }
        let wanted = in_words(expect, [&self.rule, &self.text, &self.label].map(Option::as_deref));
        let got = in_words(&found.verdict, [&found.rule, &found.text, &found.label].map(Option::as_deref));
        Some(format!("{:?}: expected {wanted}; found {got}", self.body))
    }
}

/// A verdict, with its rule, text and label, so far as there are such.
fn in_words(verdict: &str, more: [Option<&str>; 3]) -> String {
    let more = ["rule", "text", "label"].into_iter().zip(more);
    let more = more.filter_map(|(what, said)| said.map(|said| format!(", {what} {said:?}")));
    format!("{verdict}{}", more.collect::<Vec<_>>().concat())
}

/// Reads all stories of a folder, by name.
///
/// # Errors
/// What cannot be read, with its place.
pub fn read_folder(folder: &Path) -> Result<Vec<Story>, String> {
    let fail = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut paths = Vec::new();
    for file in std::fs::read_dir(folder).map_err(fail)? {
        let path = file.map_err(fail)?.path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            paths.push(path);
        }
    }
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

/// Reads one.
///
/// # Errors
/// As [`read_folder`].
pub fn read(path: &Path) -> Result<Story, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Config {
        config: serde_json::Value,
    }
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let (mut story, mut time) = (Story { path: path.to_owned(), config: "{}".into(), cases: Vec::new() }, FIRST_MS);
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let fail = |error: serde_json::Error| format!("{}:{number}: {error}", path.display());
        if is_config(line) {
            let Config { config } = serde_json::from_str(line).map_err(fail)?;
            if !story.cases.is_empty() {
                return Err(format!("{}:{number}: the configuration stands before all other lines", path.display()));
            }
            story.config = config.to_string();
            continue;
        }
        let mut case: Case = serde_json::from_str(line).map_err(fail)?;
        time = if case.time_ms == 0 { time + 1_000 } else { case.time_ms };
        case.time_ms = time;
        story.cases.push((number, case));
    }
    Ok(story)
}

/// Whether it is the configuration, however it is spaced.
fn is_config(line: &str) -> bool {
    let first = line.trim_start().strip_prefix('{').map(str::trim_start);
    first.is_some_and(|name| name.starts_with("\"config\""))
}

#[cfg(feature = "guest")]
pub use crate::native::{Hooks, check_folder};
