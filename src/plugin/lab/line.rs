//! One golden line: the event that it tells, and what came of it.

use std::sync::Arc;

use confab_plugin::golden::{self, Case, Found, HOOKS, KINDS, ROLES, ROOM_ROLES, none_such, not_its_hook};
use confab_protocol::model::{
    CaseDecision, CaseKind, Millis, ReportReason, RoomId, RoomKind, RoomRole, Seq, ServerRole, UserId,
};

use crate::clock::SystemClock;
use crate::core::cases::{decision_name, kind_name, reason_name};
use crate::core::context::{Context, RoomContext};
use crate::core::earlier::{Earlier, Window};
use crate::core::hook::{Act, ActEvent, FAILED, MessageEvent, Presently, Ruling, TextKind, Verdict};
use crate::core::target::{About, Target};
use crate::plugin::chain::Chain;
use crate::plugin::manifest::{Hook, Manifest};

pub(super) fn decide(chain: &Chain, manifest: &Manifest, case: &Case) -> Result<Ruling, String> {
    let (clock, now) = (SystemClock::new(), Millis(case.time_ms));
    let (who, room) = (UserId::from_u128(case.author.into()), RoomId::from_u128(case.room.into()));
    let account_created = ago(case, case.account_age_seconds);
    let (username, role, known) = (case.username.as_str(), role(&case.role)?, context(case)?);
    let act = |act| ActEvent { who, username, role, account_created, now, act, context: Some(known) };
    let (hook, ruling) = match case.hook.as_str() {
        "message" => (Hook::Message, ask_about(case, |event| chain.decide_message(event, &clock))?),
        "join" => {
            let event = act(Act::Join { room, by_invitation: case.by_invitation });
            (Hook::Join, chain.decide_act(&event, &clock))
        }
        "invite" => {
            let event = act(Act::Invite { room, uses: case.uses, duration_ms: case.duration_ms });
            (Hook::Invite, chain.decide_act(&event, &clock))
        }
        "role-change" => {
            let role = room_role(&case.new_role)?.ok_or("no room role to give: none")?;
            let event = act(Act::RoleChange { room, target: UserId::from_u128(case.target.into()), role });
            (Hook::RoleChange, chain.decide_act(&event, &clock))
        }
        "register" => {
            let event = act(Act::Register { display_name: &case.body, invited: case.by_invitation });
            (Hook::Register, chain.decide_act(&event, &clock))
        }
        "login" => (Hook::Login, chain.decide_act(&act(Act::Login), &clock)),
        "report" => {
            let (about, seq) = (UserId::from_u128(case.about.into()), (case.seq > 0).then_some(Seq(case.seq)));
            let reason = named(&case.reason, ReportReason::from_number, reason_name)?;
            let event = act(Act::Report { room, about, seq, reason, text: &case.body });
            (Hook::Report, chain.decide_act(&event, &clock))
        }
        "appeal" => {
            let kind = named(&case.case, CaseKind::from_number, kind_name)?;
            let decision = named(&case.decision, CaseDecision::from_number, decision_name)?;
            let event = act(Act::Appeal { room, kind, decision, text: &case.body });
            (Hook::Appeal, chain.decide_act(&event, &clock))
        }
        other => return Err(none_such("hook", other, &HOOKS)),
    };
    if manifest.hooks.contains(&hook) {
        return Ok(ruling);
    }
    Err(not_its_hook(hook.name(), &manifest.hooks.iter().map(|hook| hook.name()).collect::<Vec<_>>()))
}

/// Asks about the message that a line tells.
pub(super) fn ask_about<T>(case: &Case, ask: impl FnOnce(&MessageEvent<'_>) -> T) -> Result<T, String> {
    let (kind, joined) = (kind(&case.kind)?, ago(case, case.member_seconds));
    let (earlier, about) = (kind.is_said().then(|| earlier(case)), about(case)?);
    Ok(ask(&MessageEvent {
        kind,
        room: RoomId::from_u128(case.room.into()),
        author: UserId::from_u128(case.author.into()),
        username: &case.username,
        role: role(&case.role)?,
        account_created: ago(case, case.account_age_seconds),
        member: room_role(&case.room_role)?.map(|role| Presently { role, joined }),
        now: Millis(case.time_ms),
        body: &case.body,
        earlier: earlier.as_ref(),
        context: Some(context(case)?),
        about: Some(&about),
    }))
}

/// So long before the line.
const fn ago(case: &Case, seconds: u64) -> Millis {
    Millis(case.time_ms.saturating_sub(seconds.saturating_mul(1000)))
}

/// What the line says that was said before, within the bounds of a server.
fn earlier(case: &Case) -> Arc<[Earlier]> {
    let mut window = Window::default();
    window.extend(case.earlier().into_iter().map(|said| {
        let (author, body) = (UserId::from_u128(said.author.into()), said.body.into());
        Earlier { seq: Seq(said.seq), author, body, time: Millis(said.time_ms), edited: said.edited }
    }));
    window.messages()
}

/// What else the line says is known.
fn context(case: &Case) -> Result<Context, String> {
    let known = case.known()?;
    let room = known.room.map(|room| {
        let kind = match room.kind.as_str() {
            "private" => RoomKind::Private,
            "direct" => RoomKind::Direct,
            _ => RoomKind::Channel,
        };
        RoomContext { kind, slow_mode_ms: room.slow_mode_ms, members: room.members, messages: room.messages }
    });
    let transport = match known.transport.as_str() {
        "quic" => "quic",
        "websocket" => "websocket",
        _ => "",
    };
    let (prior_flags, messages_here) = (known.prior_flags, known.messages_here);
    Ok(Context { transport, room, prior_flags, messages_here })
}

/// Which message the line says that it is about.
fn about(case: &Case) -> Result<About, String> {
    let target = |said: golden::About| Target {
        seq: Seq(said.seq),
        author: UserId::from_u128(said.author.into()),
        body: said.body.map(Into::into),
    };
    Ok(About(case.known()?.about.map(target)))
}

/// The value that a word of the contract stands for.
fn named<T: Copy>(word: &str, of_number: fn(u8) -> Option<T>, name: fn(T) -> &'static str) -> Result<T, String> {
    let values = || (1..=u8::MAX).map_while(of_number);
    let known = || values().map(name).collect::<Vec<_>>().join(", ");
    let found = values().find(|value| name(*value) == word);
    found.ok_or_else(|| format!("no word of the contract: {word}; there are {}", known()))
}

fn role(name: &str) -> Result<ServerRole, String> {
    Ok(match name {
        "owner" => ServerRole::Owner,
        "admin" => ServerRole::Admin,
        "moderator" => ServerRole::Moderator,
        "user" => ServerRole::User,
        "bot" => ServerRole::Bot,
        other => return Err(none_such("role", other, &ROLES)),
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
        other => return Err(none_such("room role", other, &ROOM_ROLES)),
    }))
}

fn kind(name: &str) -> Result<TextKind, String> {
    Ok(match name {
        "new" => TextKind::New,
        "edit" => TextKind::Edit,
        "reaction" => TextKind::Reaction,
        "room" => TextKind::Room,
        "display-name" => TextKind::DisplayName,
        other => return Err(none_such("kind", other, &KINDS)),
    })
}

/// By the names of the contract.
pub(super) fn verdict(ruling: &Ruling) -> &'static str {
    ruling.marks.last().map_or("allow", |mark| mark.verdict)
}

/// What the server says where a call failed is no verdict of the plugin. By the note, since a plugin may have a rule of
/// that name.
///
/// # Errors
/// That it failed, and how.
pub(super) fn check_survived(ruling: &Ruling) -> Result<(), String> {
    let mark = ruling.marks.last().filter(|mark| mark.rule == FAILED);
    let Some(mark) = mark else { return Ok(()) };
    let how = mark.note.strip_prefix(&format!("plugin {} failed: ", mark.plugin));
    how.map_or(Ok(()), |how| Err(format!("the plugin failed: {how}")))
}

/// What came of a line. Only one that says so by itself may be one that the plugin fails at.
pub(super) fn outcome(case: &Case, ruling: &Ruling) -> Result<Found, String> {
    if case.rule.as_deref() != Some(FAILED) {
        check_survived(ruling)?;
    }
    Ok(found(ruling))
}

fn found(ruling: &Ruling) -> Found {
    let (mark, verdict) = (ruling.marks.last(), verdict(ruling).to_owned());
    let rule = mark.map(|mark| mark.rule.clone());
    let label = mark.filter(|mark| mark.verdict == "flag").map(|mark| mark.label.clone());
    let text = match &ruling.verdict {
        Verdict::Replace(text) => Some(text.clone()),
        Verdict::Bounce { reason } | Verdict::Reject { reason, .. } => Some(reason.clone()),
        _ => None,
    };
    Found { verdict, rule, text, label }
}
