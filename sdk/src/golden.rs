//! Golden files: events, one JSON object a line, each with the verdict that it must have. The lines of a file are one
//! story: what the plugin remembers of a line holds for those below. A line of its own may give the configuration:
//! `{"config": {..}}`, before all others.
//!
//! `{"body": "buy now", "expect": "reject", "rule": "spam"}`: what is left out has the value of [`Case::default`].

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// An event, and what is expected of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs, reason = "as in the hooks' events")]
pub struct Case {
    /// `message`, `join` or `register`.
    pub hook: String,
    /// Of a message: `new`, `edit`, `reaction`, `room` or `display-name`.
    pub kind: String,
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
    /// Of a registration: the name that is shown.
    pub body: String,
    pub by_invitation: bool,
    /// `allow`, `replace`, `flag`, `hold`, `bounce`, `reject` or `shadow`.
    pub expect: String,
    /// What else the verdict says, where it is given.
    pub rule: Option<String>,
    /// The text instead.
    pub text: Option<String>,
    pub label: Option<String>,
}

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
            by_invitation: false,
            expect: "allow".into(),
            rule: None,
            text: None,
            label: None,
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
    /// Why what was found is not what is expected; `None`: it is.
    #[must_use]
    pub fn differs(&self, found: &Found) -> Option<String> {
        let same = |wanted: &Option<String>, got: &Option<String>| wanted.is_none() || wanted == got;
        let is_good = self.expect == found.verdict
            && same(&self.rule, &found.rule)
            && same(&self.text, &found.text)
            && same(&self.label, &found.label);
        (!is_good).then(|| format!("{:?}: expected {} {:?}, found {found:?}", self.body, self.expect, self.rule))
    }
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
        if line.starts_with("{\"config\"") {
            let Config { config } = serde_json::from_str(line).map_err(fail)?;
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

#[cfg(feature = "guest")]
pub use self::native::{Hooks, check_folder};

#[cfg(feature = "guest")]
mod native {
    use super::{Case, Found, Path, Story, read_folder};
    use crate::normal::{plain, skeleton};
    use crate::{ActVerdict, Id, Person, Role, RoomRole, Verdict, join, message, register};

    /// What of a plugin is asked; a line for a hook that is none fails.
    #[derive(Clone, Copy, Default)]
    #[allow(missing_docs, reason = "by hook")]
    pub struct Hooks {
        pub init: Option<fn(String) -> Result<(), String>>,
        pub message: Option<fn(message::Event) -> Verdict>,
        pub join: Option<fn(join::Event) -> ActVerdict>,
        pub register: Option<fn(register::Event) -> ActVerdict>,
    }

    /// Runs all stories of a folder natively, each with nothing remembered. For a plugin's own tests.
    ///
    /// # Panics
    /// With all lines whose verdict is not the expected one; when there are none.
    pub fn check_folder(folder: &str, hooks: Hooks) {
        let stories = read_folder(Path::new(folder)).unwrap_or_else(|error| panic!("{error}"));
        let wrong: Vec<String> = stories.iter().flat_map(|story| run(story, hooks)).collect();
        assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
        assert!(stories.iter().any(|story| !story.cases.is_empty()), "no golden lines in {folder}");
    }

    fn run(story: &Story, hooks: Hooks) -> Vec<String> {
        #[cfg(not(target_arch = "wasm32"))]
        crate::kv::host::clear();
        let place = |number: &usize| format!("{}:{number}", story.path.display());
        if let Some(init) = hooks.init
            && let Err(error) = init(story.config.clone())
        {
            return vec![format!("{}: init: {error}", place(&1))];
        }
        let outcome = |(number, case): &(usize, Case)| match decide(case, hooks) {
            Ok(found) => case.differs(&found).map(|why| format!("{}: {why}", place(number))),
            Err(error) => Some(format!("{}: {error}", place(number))),
        };
        story.cases.iter().filter_map(outcome).collect()
    }

    fn decide(case: &Case, hooks: Hooks) -> Result<Found, String> {
        #[cfg(not(target_arch = "wasm32"))]
        crate::kv::host::set_time(case.time_ms);
        let none = || format!("the plugin has no hook {}", case.hook);
        match case.hook.as_str() {
            "message" => Ok(hooks.message.ok_or_else(none)?(event(case)?).into()),
            "join" => {
                let (who, room, by_invitation, time_ms) =
                    (person(case)?, id(case.room), case.by_invitation, case.time_ms);
                Ok(hooks.join.ok_or_else(none)?(join::Event { who, room, by_invitation, time_ms }).into())
            }
            "register" => {
                let (username, display_name) = (case.username.clone(), case.body.clone());
                let (id, invited, time_ms) = (id(case.author), case.by_invitation, case.time_ms);
                let event = register::Event { id, username, display_name, invited, time_ms };
                Ok(hooks.register.ok_or_else(none)?(event).into())
            }
            other => Err(format!("no hook {other}")),
        }
    }

    const fn id(number: u64) -> Id {
        (0, number)
    }

    fn person(case: &Case) -> Result<Person, String> {
        let (username, account_age_seconds) = (case.username.clone(), case.account_age_seconds);
        Ok(Person { id: id(case.author), username, role: role(&case.role)?, account_age_seconds })
    }

    fn role(name: &str) -> Result<Role, String> {
        Ok(match name {
            "owner" => Role::Owner,
            "admin" => Role::Admin,
            "moderator" => Role::Moderator,
            "user" => Role::User,
            "bot" => Role::Bot,
            other => return Err(format!("no role {other}")),
        })
    }

    fn event(case: &Case) -> Result<message::Event, String> {
        let plain = plain(&case.body).into_owned();
        Ok(message::Event {
            kind: match case.kind.as_str() {
                "new" => message::Kind::New,
                "edit" => message::Kind::Edit,
                "reaction" => message::Kind::Reaction,
                "room" => message::Kind::Room,
                "display-name" => message::Kind::DisplayName,
                other => return Err(format!("no kind {other}")),
            },
            room: id(case.room),
            author: id(case.author),
            username: case.username.clone(),
            role: role(&case.role)?,
            room_role: match case.room_role.as_str() {
                "none" => RoomRole::None,
                "owner" => RoomRole::Owner,
                "admin" => RoomRole::Admin,
                "moderator" => RoomRole::Moderator,
                "member" => RoomRole::Member,
                "guest" => RoomRole::Guest,
                other => return Err(format!("no room role {other}")),
            },
            account_age_seconds: case.account_age_seconds,
            member_seconds: case.member_seconds,
            time_ms: case.time_ms,
            body: case.body.clone(),
            skeleton: skeleton(&plain).into_owned(),
            plain,
        })
    }

    impl From<Verdict> for Found {
        fn from(verdict: Verdict) -> Self {
            let found =
                |verdict: &str, rule: String| Self { verdict: verdict.into(), rule: Some(rule), ..Self::default() };
            match verdict {
                Verdict::Allow => Self { verdict: "allow".into(), ..Self::default() },
                Verdict::Replace(text) => Self { verdict: "replace".into(), text: Some(text), ..Self::default() },
                Verdict::Flag(it) => Self { label: Some(it.label), ..found("flag", it.finding.rule) },
                Verdict::Hold(it) => found("hold", it.rule),
                Verdict::Bounce(it) => Self { text: Some(it.reason), ..found("bounce", it.finding.rule) },
                Verdict::Reject(it) => Self { text: Some(it.reason), ..found("reject", it.finding.rule) },
                Verdict::Shadow(it) => found("shadow", it.rule),
            }
        }
    }

    impl From<ActVerdict> for Found {
        fn from(verdict: ActVerdict) -> Self {
            match verdict {
                ActVerdict::Allow => Verdict::Allow.into(),
                ActVerdict::Flag(it) => Verdict::Flag(it).into(),
                ActVerdict::Reject(it) => Verdict::Reject(it).into(),
            }
        }
    }
}
