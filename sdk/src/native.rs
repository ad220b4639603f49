//! Golden files natively: what a plugin decides where it is no component yet.

use std::path::Path;

use crate::golden::{Case, Found, HOOKS, KINDS, ROLES, ROOM_ROLES, Story, none_such, not_its_hook, read_folder};
#[cfg(not(target_arch = "wasm32"))]
use crate::golden::{Context, Earlier};
use crate::kept;
use crate::normal::{plain, skeleton};
use crate::{
    ActVerdict, Id, Person, Role, RoomRole, Verdict, appeal, invite, join, login, message, register, report,
    role_change,
};

/// What of a plugin is asked; a line for a hook that is none fails.
#[derive(Clone, Copy, Default)]
#[allow(missing_docs, reason = "by hook")]
pub struct Hooks {
    pub init: Option<fn(String) -> Result<(), String>>,
    pub message: Option<fn(message::Event) -> Verdict>,
    pub join: Option<fn(join::Event) -> ActVerdict>,
    pub invite: Option<fn(invite::Event) -> ActVerdict>,
    pub role_change: Option<fn(role_change::Event) -> ActVerdict>,
    pub register: Option<fn(register::Event) -> ActVerdict>,
    pub login: Option<fn(login::Event) -> ActVerdict>,
    pub report: Option<fn(report::Event) -> ActVerdict>,
    pub appeal: Option<fn(appeal::Event) -> ActVerdict>,
}

/// Runs all stories of a folder natively, each with nothing remembered. For a plugin's own tests:
///
/// ```no_run
/// use confab_plugin::golden::{Hooks, check_folder};
/// use confab_plugin::message::{Event, Guest};
/// use confab_plugin::{Verdict, bounce};
///
/// struct NoAdverts;
///
/// impl Guest for NoAdverts {
///     fn decide(event: Event) -> Verdict {
///         if event.plain.contains("buy now") { bounce("advert", "no advertising") } else { Verdict::Allow }
///     }
/// }
///
/// check_folder("goldens", Hooks { message: Some(NoAdverts::decide), ..Hooks::default() });
/// ```
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
    {
        crate::kv::host::set_time(case.time_ms);
        crate::history::host::set(case.earlier().into_iter().map(earlier).collect());
        crate::context::host::set(known(case.known()?));
        crate::target::host::set(target(case)?);
    }
    let none = || not_its_hook(&case.hook, &named(hooks));
    match case.hook.as_str() {
        "message" => Ok(match hooks.message.ok_or_else(none)?(event(case)?) {
            // It changes nothing, and a server says that it is allowed.
            Verdict::Replace(text) if text == case.body => Verdict::Allow,
            verdict => verdict,
        }
        .into()),
        "join" => {
            let (who, room, by_invitation, time_ms) = (person(case)?, id(case.room), case.by_invitation, case.time_ms);
            Ok(hooks.join.ok_or_else(none)?(join::Event { who, room, by_invitation, time_ms }).into())
        }
        "invite" => Ok(hooks.invite.ok_or_else(none)?(invited(case)?).into()),
        "role-change" => Ok(hooks.role_change.ok_or_else(none)?(role_changed(case)?).into()),
        "register" => {
            let (username, display_name) = (case.username.clone(), case.body.clone());
            let (id, invited, time_ms) = (id(case.author), case.by_invitation, case.time_ms);
            let event = register::Event { id, username, display_name, invited, time_ms };
            Ok(hooks.register.ok_or_else(none)?(event).into())
        }
        "login" => {
            let (who, time_ms) = (person(case)?, case.time_ms);
            Ok(hooks.login.ok_or_else(none)?(login::Event { who, time_ms }).into())
        }
        "report" => Ok(hooks.report.ok_or_else(none)?(reported(case)?).into()),
        "appeal" => Ok(hooks.appeal.ok_or_else(none)?(appealed(case)?).into()),
        other => Err(none_such("hook", other, &HOOKS)),
    }
}

/// The hooks that its author gave here.
fn named(hooks: Hooks) -> Vec<&'static str> {
    let Hooks { init: _, message, join, invite, role_change, register, login, report, appeal } = hooks;
    let is_there = [
        message.is_some(),
        join.is_some(),
        invite.is_some(),
        role_change.is_some(),
        register.is_some(),
        login.is_some(),
        report.is_some(),
        appeal.is_some(),
    ];
    HOOKS.into_iter().zip(is_there).filter(|(_, is_there)| *is_there).map(|(name, _)| name).collect()
}

const fn id(number: u64) -> Id {
    (0, number)
}

#[cfg(not(target_arch = "wasm32"))]
fn earlier(said: Earlier) -> crate::history::Message {
    let Earlier { seq, author, body, time_ms, edited } = said;
    crate::history::Message { seq, author: id(author), body, time_ms, edited }
}

#[cfg(not(target_arch = "wasm32"))]
fn known(of: Context) -> crate::context::host::Known {
    let Context { transport, room, prior_flags, messages_here, about: _ } = of;
    let room = room.map(|room| {
        let crate::golden::RoomSettings { kind, slow_mode_ms, members, messages } = room;
        crate::context::RoomSettings { kind, slow_mode_ms, members, messages }
    });
    crate::context::host::Known { transport, room, prior_flags, messages_here }
}

#[cfg(not(target_arch = "wasm32"))]
fn target(case: &Case) -> Result<Option<crate::target::Target>, String> {
    use crate::target::{Kind, Target};
    let kind = match case.kind.as_str() {
        "edit" => Kind::Edited,
        "reaction" => Kind::ReactedTo,
        _ => Kind::RepliedTo,
    };
    let about = case.known()?.about;
    Ok(about.map(|it| Target { seq: it.seq, author: id(it.author), body: it.body, kind }))
}

fn person(case: &Case) -> Result<Person, String> {
    let (username, account_age_seconds) = (case.username.clone(), case.account_age_seconds);
    Ok(Person { id: id(case.author), username, role: role(&case.role)?, account_age_seconds })
}

fn invited(case: &Case) -> Result<invite::Event, String> {
    let (who, room, time_ms) = (person(case)?, id(case.room), case.time_ms);
    let (uses, duration_ms) = (case.uses, case.duration_ms);
    Ok(invite::Event { who, room, uses, duration_ms, time_ms })
}

fn role_changed(case: &Case) -> Result<role_change::Event, String> {
    let (who, room, target, time_ms) = (person(case)?, id(case.room), id(case.target), case.time_ms);
    let role = room_role(&case.new_role)?;
    if matches!(role, RoomRole::None) {
        return Err("no room role to give: none".into());
    }
    Ok(role_change::Event { who, room, target, role, time_ms })
}

fn reported(case: &Case) -> Result<report::Event, String> {
    let (who, room, about, time_ms) = (person(case)?, id(case.room), id(case.about), case.time_ms);
    let (reason, text) = (case.reason.clone(), case.body.clone());
    Ok(report::Event { who, room, about, seq: (case.seq > 0).then_some(case.seq), reason, text, time_ms })
}

fn appealed(case: &Case) -> Result<appeal::Event, String> {
    let (who, room, time_ms) = (person(case)?, id(case.room), case.time_ms);
    let (kind, decision, text) = (case.case.clone(), case.decision.clone(), case.body.clone());
    Ok(appeal::Event { who, room, kind, decision, text, time_ms })
}

fn role(name: &str) -> Result<Role, String> {
    Ok(match name {
        "owner" => Role::Owner,
        "admin" => Role::Admin,
        "moderator" => Role::Moderator,
        "user" => Role::User,
        "bot" => Role::Bot,
        other => return Err(none_such("role", other, &ROLES)),
    })
}

fn room_role(name: &str) -> Result<RoomRole, String> {
    Ok(match name {
        "none" => RoomRole::None,
        "owner" => RoomRole::Owner,
        "admin" => RoomRole::Admin,
        "moderator" => RoomRole::Moderator,
        "member" => RoomRole::Member,
        "guest" => RoomRole::Guest,
        other => return Err(none_such("room role", other, &ROOM_ROLES)),
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
            other => return Err(none_such("kind", other, &KINDS)),
        },
        room: id(case.room),
        author: id(case.author),
        username: case.username.clone(),
        role: role(&case.role)?,
        room_role: room_role(&case.room_role)?,
        account_age_seconds: case.account_age_seconds,
        member_seconds: case.member_seconds,
        time_ms: case.time_ms,
        body: case.body.clone(),
        skeleton: skeleton(&plain).into_owned(),
        plain,
    })
}

/// As a server keeps it.
impl From<Verdict> for Found {
    fn from(verdict: Verdict) -> Self {
        let found = |verdict: &str, rule: String| {
            let rule = Some(kept::name(&rule));
            Self { verdict: verdict.into(), rule, ..Self::default() }
        };
        match verdict {
            Verdict::Allow => Self { verdict: "allow".into(), ..Self::default() },
            Verdict::Replace(text) => Self { verdict: "replace".into(), text: Some(text), ..Self::default() },
            Verdict::Flag(it) => Self { label: Some(kept::name(&it.label)), ..found("flag", it.finding.rule) },
            Verdict::Hold(it) => found("hold", it.rule),
            Verdict::Bounce(it) => Self { text: Some(kept::text(it.reason)), ..found("bounce", it.finding.rule) },
            Verdict::Reject(it) => Self { text: Some(kept::text(it.reason)), ..found("reject", it.finding.rule) },
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
