//! The first messages of newcomers, and the names that they give.

use confab_plugin::message::{Event, Kind};
use confab_plugin::{Verdict, bounce};

use crate::config::Config;
use crate::memory::{Key, count};
use crate::{links, text};

pub(crate) fn is_name(kind: Kind) -> bool {
    matches!(kind, Kind::Room | Kind::DisplayName)
}

pub(crate) fn decide(config: &Config, event: &Event) -> Verdict {
    let is_young = event.account_age_seconds < u64::from(config.young_seconds);
    match event.kind {
        _ if !is_young => Verdict::Allow,
        Kind::New | Kind::Edit if event.member_seconds < u64::from(config.member_seconds) => decide_text(config, event),
        Kind::Room | Kind::DisplayName => decide_name(config, event),
        Kind::New | Kind::Edit | Kind::Reaction => Verdict::Allow,
    }
}

fn decide_name(config: &Config, event: &Event) -> Verdict {
    let is_link = has_link(event) || (event.kind == Kind::DisplayName && links::has_bare_host(&event.skeleton));
    if config.name_links && is_link {
        return bounce("newcomer.name", "no links in names yet: take it out");
    }
    Verdict::Allow
}

fn decide_text(config: &Config, event: &Event) -> Verdict {
    let key = Key::about(event.author, "n").id(event.room);
    let first = i64::from(config.first_messages);
    if config.message_action.is_on()
        && let Some((rule, reason)) = finding(config, event)
    {
        // It is not counted: it is none of the innocent ones.
        if count(&key, 0, config.member_seconds) >= first {
            return Verdict::Allow;
        }
        return config.message_action.verdict(rule, "newcomer", reason);
    }
    let by = i64::from(event.kind == Kind::New);
    let messages = count(&key, by, config.member_seconds);
    if messages <= first && is_same(config, event) {
        if by > 0 {
            count(&key, -by, config.member_seconds);
        }
        return config.same_action.verdict("newcomer.same", "raid", "many began with this: say it in your own words");
    }
    Verdict::Allow
}

fn finding(config: &Config, event: &Event) -> Option<(&'static str, &'static str)> {
    if config.links && has_link(event) {
        return Some(("newcomer.link", "no links in your first messages here: say hello first"));
    }
    if config.mentions > 0 && text::mentions(&event.body, config.mentions) > config.mentions {
        return Some(("newcomer.mentions", "too many people named in your first messages: name fewer"));
    }
    let most = config.long_text as usize;
    let is_long = most > 0 && event.body.len() > most && event.body.chars().nth(most).is_some();
    is_long.then_some(("newcomer.long", "too long for your first messages here: shorten it"))
}

fn has_link(event: &Event) -> bool {
    links::has_link(&event.plain, &event.skeleton, &event.body)
}

/// Whether several began with this text; it is counted.
fn is_same(config: &Config, event: &Event) -> bool {
    if config.same_first == 0 || !config.same_action.is_on() {
        return false;
    }
    let Some(hash) = text::print(&event.skeleton, config.same_least) else { return false };
    count(&Key::of('f').number(hash), 1, config.same_within_seconds) > i64::from(config.same_first)
}
