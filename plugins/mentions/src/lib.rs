//! Messages that call too many.
//!
//! A mention is what the server takes for one: `@name`, where the `@` begins a word. Mail addresses, prompts
//! (`user@host:`), a lone `@`, prices, usual decorators (`@property`, `@Override`, `@media`) and scopes of packages
//! (`@types/node`) are none. Everything that has a text is looked at: new messages, edits, reactions, names of rooms and of
//! people; only messages and edits use up what an author has for a minute. All keys, with their defaults:
//!
//! ```toml
//! [plugins.config.mentions]
//! most = 5                        # different names in one text
//! most_action = "bounce"          # actions: "off", "flag", "hold", "bounce", "reject"
//! same = 3                        # times the same name in one text
//! same_action = "bounce"
//! everyone = ["all", "channel", "everyone", "here"]
//! everyone_action = "bounce"      # who calls everyone; spelled with letters of other scripts, too
//! per_minute = 20                 # names that an author mentions in all rooms
//! per_minute_action = "bounce"
//! exempt_moderators = true        # of the server; of the room but for names of rooms; bots of a room never are
//! ```
//!
//! What was bounced, held or rejected uses up nothing of the minute, which begins with the first mention.

mod config;
mod judge;
mod scan;
#[cfg(test)]
mod tests;

use std::cell::RefCell;

use confab_plugin::message::Event;
use confab_plugin::{Verdict, lifecycle, message};

use self::judge::Judge;

thread_local! {
    static JUDGE: RefCell<Option<Judge>> = const { RefCell::new(None) };
}

/// The plugin.
pub struct Mentions;

impl lifecycle::Guest for Mentions {
    fn init(config: String) -> Result<(), String> {
        JUDGE.set(Some(Judge::new(config::parse(&config)?)));
        Ok(())
    }
}

impl message::Guest for Mentions {
    fn decide(event: Event) -> Verdict {
        JUDGE.with_borrow(|judge| judge.as_ref().map_or(Verdict::Allow, |judge| judge.decide(&event)))
    }
}

confab_plugin::export!(Mentions: message, lifecycle);
