//! Less for those who just came, and a brake on waves of them: links, many mentions and very long texts among the first
//! messages, the same first messages from several, many young accounts in one room at once, and registrations with
//! names that differ only in their digits. Moderators and up, and bots, are let alone.
//!
//! ```toml
//! [plugins.config.newcomer]        # all of it may be left out; 0 turns a rule off
//! joins = 20                       # young accounts without an invitation into one room ..
//! within_seconds = 60              # .. within so long; more are a wave
//! account_days = 7                 # younger is young
//! joins_action = "flag"            # "off", "flag" or "reject": while it lasts
//!
//! alike = 5                        # registrations with names that are alike ..
//! alike_within_seconds = 600
//! alike_action = "flag"            # "off", "flag" or "reject"
//! count_invited = false            # also those with an invitation: a class "pupil01", "pupil02" has one
//!
//! young_seconds = 3600             # accounts younger than this that are in a room ..
//! member_seconds = 600             # .. for less than this are newcomers in it
//! first_messages = 3               # so many of their messages there must be without ..
//! links = true                     # .. links
//! mentions = 2                     # .. more mentions
//! long_text = 2000                 # .. more characters
//! message_action = "hold"          # "off", "flag", "hold", "bounce" or "reject"
//!
//! same_first = 3                   # how often the same text may be among first messages, in any rooms ..
//! same_least = 24                  # .. one of at least so many letters
//! same_within_seconds = 600
//! same_action = "hold"
//!
//! name_links = true                # no links in names of rooms and people by young accounts
//! ```
//!
//! A link is what the plugin `links` takes for one (the crate `confab-hosts`) and leads somewhere: with a scheme, `www.`, a
//! path, or a dot that hides. The name of a host is none, but in names of people. Neither are one's own machine, names of
//! packages (`com.example.app/Main`, `go get example.com/x`) and of files on both sides of a slash.
//!
//! What is held or refused here is not one of the first messages, so waiting is no way past, and neither is repeating.

mod config;
mod first;
mod links;
mod memory;
#[cfg(test)]
mod tests;
mod text;
mod waves;

use std::cell::Cell;

use confab_plugin::message::{Event, Guest};
use confab_plugin::{ActVerdict, Role, RoomRole, Verdict, join, lifecycle, register};

use self::config::Config;

thread_local! {
    static CONFIG: Cell<Config> = const { Cell::new(Config::DEFAULT) };
}

/// The plugin.
pub struct Newcomer;

impl lifecycle::Guest for Newcomer {
    fn init(config: String) -> Result<(), String> {
        CONFIG.set(Config::parse(&config)?);
        Ok(())
    }
}

impl Guest for Newcomer {
    fn decide(event: Event) -> Verdict {
        let is_moderator = matches!(event.room_role, RoomRole::Owner | RoomRole::Admin | RoomRole::Moderator);
        if is_exempt(event.role) || (is_moderator && !first::is_name(event.kind)) {
            return Verdict::Allow;
        }
        first::decide(&CONFIG.get(), &event)
    }
}

impl join::Guest for Newcomer {
    fn decide(event: join::Event) -> ActVerdict {
        if is_exempt(event.who.role) { ActVerdict::Allow } else { waves::join(&CONFIG.get(), &event) }
    }
}

impl register::Guest for Newcomer {
    fn decide(event: register::Event) -> ActVerdict {
        waves::register(&CONFIG.get(), &event)
    }
}

fn is_exempt(role: Role) -> bool {
    role != Role::User
}

confab_plugin::export!(Newcomer: message, join, register, lifecycle);
