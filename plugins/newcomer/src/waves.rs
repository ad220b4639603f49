//! Many at once: into a room, or with names that are alike.

use confab_plugin::{ActVerdict, Finding, Refusal, join, register};

use crate::config::Config;
use crate::memory::{Key, count};
use crate::{links, text};

const DAY_SECONDS: u64 = 24 * 3_600;

/// Young accounts without an invitation are counted, each once in a window. A window begins with the clock's, for all
/// alike, and what is left of it counts from the one before: who is refused and comes again counts again.
pub(crate) fn join(config: &Config, event: &join::Event) -> ActVerdict {
    let is_young = event.who.account_age_seconds < u64::from(config.account_days) * DAY_SECONDS;
    if event.by_invitation || !is_young || config.joins == 0 || !config.joins_action.is_on() {
        return ActVerdict::Allow;
    }
    let length_ms = u64::from(config.within_seconds) * 1_000;
    let (window, elapsed_ms) = (event.time_ms / length_ms, event.time_ms % length_ms);
    let keep_seconds = config.within_seconds * 2;
    let own = Key::about(event.who.id, "i").id(event.room).number(window);
    let is_again = count(&own, 1, config.within_seconds) > 1;
    let joins_in = |window, by| count(&Key::of('j').id(event.room).number(window), by, keep_seconds);
    let before = joins_in(window.saturating_sub(1), 0).saturating_mul((length_ms - elapsed_ms) as i64);
    let joins = joins_in(window, i64::from(!is_again)).saturating_add(before / length_ms as i64);
    if joins <= i64::from(config.joins) {
        return ActVerdict::Allow;
    }
    config.joins_action.verdict("newcomer.wave", "raid", "many are coming at once; try again in a minute")
}

pub(crate) fn register(config: &Config, event: &register::Event) -> ActVerdict {
    let small = event.display_name.to_lowercase();
    if config.name_links && (links::has_link(&small, &small, &event.display_name) || links::has_bare_host(&small)) {
        let reason = "no links in names: choose another display name".to_owned();
        return ActVerdict::Reject(Refusal { reason, finding: Finding::of("newcomer.name") });
    }
    let is_counted = config.alike > 0 && config.alike_action.is_on() && (config.count_invited || !event.invited);
    if !is_counted {
        return ActVerdict::Allow;
    }
    let alike = |name: &str| {
        text::shape(name).map_or(0, |shape| count(&Key::of('a').number(shape), 1, config.alike_within_seconds))
    };
    let (by_name, by_display) = (text::shape(&event.username), text::shape(&event.display_name));
    let most = match by_display == by_name {
        true => alike(&event.username),
        false => alike(&event.username).max(alike(&event.display_name)),
    };
    if most <= i64::from(config.alike) {
        return ActVerdict::Allow;
    }
    config.alike_action.verdict("newcomer.alike", "raid", "many with such names are registering; choose another name")
}
