//! Messages that call too many.
//!
//! A mention is what the server takes for one: `@name`, where the `@` begins a word. Mail addresses, prompts
//! (`user@host:`), a lone `@` and prices (`@1.50`) are none. Everything that has a text is looked at: new messages, edits,
//! reactions, names of rooms and of people; only messages and edits use up what an author has for a minute.
//!
//! The server knows no code, and rings whoever is called like something in it. So code is let through, but not without
//! end: three different decorators (`@app.route("/")`) or numbers (`@1234`), and 16 usual annotations, tags and scopes of
//! packages (`@Override`, `@param`, `@types/node`), three where no line looks like code, are not counted. Where most of the
//! names are variables of Perl, Ruby or SQL or such words, too many are flagged, and held from twice as many on. Calls of
//! everyone, for which nobody is rung, count neither as variables nor in backquotes and quotations.
//!
//! All keys, with their defaults:
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

mod code;
mod config;
mod judge;
mod scan;
#[cfg(test)]
mod tests;
mod words;

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
