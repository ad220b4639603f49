//! What it decides. The tests include this file too, and run it natively.

use confab_plugin::context::{messages_here, prior_flags, room, transport};
use confab_plugin::message::Event;
use confab_plugin::target::{Kind, about};
use confab_plugin::{ActVerdict, Finding, Refusal, Verdict, bounce, flag, hold, join};

pub(crate) fn decide(event: &Event) -> Verdict {
    match event.body.as_str() {
        "tell" => Verdict::Replace(told()),
        // A replay prints rules.
        "count" => bounce(&format!("members-{}.{}", room().map_or(0, |it| it.members), messages_here()), "counted"),
        "?" => bounce("told-to", &told_about()),
        "which" => bounce(&format!("about-{}", about().map_or(0, |it| it.seq)), "counted"),
        "flag this" => flag("told-to", "test", 60),
        "hold this" => hold("told-to"),
        // Of these a server keeps a part.
        "bounce at length" => bounce(&"Rule ".repeat(40), &"\u{202e}reason ".repeat(60)),
        "flag at length" => flag(&"A Rule ".repeat(40), &"Label ".repeat(40), 60),
        "replace by the same" => Verdict::Replace(event.body.clone()),
        _ => Verdict::Allow,
    }
}

/// Who asks by their name is told, and not let in.
pub(crate) fn decide_join(event: &join::Event) -> ActVerdict {
    if event.who.username == "asker" {
        return ActVerdict::Reject(Refusal { reason: told(), finding: Finding::of("told-to") });
    }
    ActVerdict::Allow
}

fn told() -> String {
    let by = transport();
    let by = if by.is_empty() { "unknown" } else { by.as_str() };
    let place = room().map_or_else(
        || "nowhere".to_owned(),
        |it| format!("{}, slow {}, {} members, {} messages", it.kind, it.slow_mode_ms, it.members, it.messages),
    );
    format!("{by}; {place}; {} flags, {} here", prior_flags(), messages_here())
}

fn told_about() -> String {
    let Some(it) = about() else { return "about nothing".to_owned() };
    let does = match it.kind {
        Kind::Edited => "edits",
        Kind::RepliedTo => "answers",
        Kind::ReactedTo => "reacts to",
    };
    let (first, last) = it.author;
    let author = (u128::from(first) << 64) | u128::from(last);
    format!("{does} {} by {author:x}: {}", it.seq, it.body.as_deref().unwrap_or("nothing"))
}
