//! Too much, too fast, again and again: messages faster than a room can read, the same text over and over, the same
//! long text from many, walls of lines or emoji, and shouting.
//!
//! ```toml
//! [plugins.config.flood]           # all of it may be left out; 0 turns a rule off
//! messages = 12                    # messages and edits of one author in one room ..
//! within_seconds = 10              # .. within so long; more are bounced: wait
//! reactions = 30                   # reactions of one author, all rooms, in the same time
//!
//! repeats = 3                      # the same text of one author, in any rooms ..
//! repeats_within_seconds = 60
//! short_length = 12                # .. texts of so many characters ("ok", "+1") ..
//! short_repeats = 10               # .. more often
//! repeat_action = "hold"           # "off", "flag", "hold", "bounce" or "reject"
//!
//! copies = 4                       # authors in one room who may write the same text ..
//! copies_least = 40                # .. of at least so many characters ..
//! copies_within_seconds = 60
//! copies_action = "hold"
//!
//! lines = 40                       # longer messages are bounced
//! run = 80                         # the same character again; three times as often where it draws a line ("-----"), and
//!                                  # so many of up to four letters in turn ("abab")
//! emoji = 40
//!
//! caps_least = 24                  # capitals, at least ..
//! caps_percent = 85                # .. and more than so many of a hundred letters
//! caps_action = "flag"
//!
//! exempt_moderators = true         # of the room or of the server; bots never are
//! ```
//!
//! Texts are compared by what they look like: case, white space, what ends a text without being a letter, characters
//! that are not seen, and letters of other scripts that look the same make no difference; in long texts neither do
//! digits before and behind the words. Only a hash is remembered.

mod config;
mod look;
mod memory;
mod shout;
#[cfg(test)]
mod tests;

use std::cell::Cell;

use confab_plugin::message::{Event, Guest, Kind};
use confab_plugin::{Role, RoomRole, Verdict, bounce, lifecycle};

use self::config::Config;
use self::look::{Look, Print};
use self::memory::Past;

thread_local! {
    static CONFIG: Cell<Config> = const { Cell::new(Config::DEFAULT) };
}

/// The plugin.
pub struct Flood;

impl lifecycle::Guest for Flood {
    fn init(config: String) -> Result<(), String> {
        CONFIG.set(Config::parse(&config)?);
        Ok(())
    }
}

impl Guest for Flood {
    fn decide(event: Event) -> Verdict {
        let config = CONFIG.get();
        if config.exempt_moderators && is_moderator(&event) {
            return Verdict::Allow;
        }
        match event.kind {
            Kind::New | Kind::Edit => decide_text(&config, &event),
            Kind::Reaction => decide_reaction(&config, &event),
            // Few and short: the server's limits are enough.
            Kind::Room | Kind::DisplayName => Verdict::Allow,
        }
    }
}

fn is_moderator(event: &Event) -> bool {
    matches!(event.role, Role::Owner | Role::Admin | Role::Moderator)
        || (event.role != Role::Bot
            && matches!(event.room_role, RoomRole::Owner | RoomRole::Admin | RoomRole::Moderator))
}

fn decide_text(config: &Config, event: &Event) -> Verdict {
    let (look, print) = (Look::of(&event.body), Print::of(&event.skeleton, config.run));
    if let Some(verdict) = wall(config, &look, &print) {
        return verdict;
    }
    let past = memory::note(config, event, &print);
    if past.is_too_fast {
        return bounce("flood.rate", "too many messages at once: wait a few seconds, then send it again");
    }
    if let Some(verdict) = repeated(config, event, &print, past) {
        return verdict;
    }
    if shout::is_shouting(config, &look, &event.body) {
        return config.caps_action.verdict("flood.caps", "shouting", "please do not shout: write it in small letters");
    }
    Verdict::Allow
}

fn decide_reaction(config: &Config, event: &Event) -> Verdict {
    if config.reactions > 0 && memory::reactions(config, event) > i64::from(config.reactions) {
        return bounce("flood.reactions", "too many reactions at once: wait a few seconds");
    }
    Verdict::Allow
}

fn wall(config: &Config, look: &Look, print: &Print) -> Option<Verdict> {
    if config.lines > 0 && look.lines > config.lines {
        return Some(bounce("flood.lines", &format!("too long: send at most {} lines at once", config.lines)));
    }
    if print.is_run {
        return Some(bounce("flood.run", "the same character too often: shorten it"));
    }
    if config.emoji > 0 && look.emoji > config.emoji {
        return Some(bounce("flood.emoji", &format!("too many emoji: send at most {}", config.emoji)));
    }
    None
}

fn repeated(config: &Config, event: &Event, print: &Print, past: Past) -> Option<Verdict> {
    let repeats = if print.length <= config.short_length { config.short_repeats } else { config.repeats };
    if repeats > 0 && past.same >= repeats && config.repeat_action.is_on() {
        let reason = "you have just sent this several times: once is enough";
        return Some(config.repeat_action.verdict("flood.repeat", "repeat", reason));
    }
    let counts = config.copies > 0 && print.length >= config.copies_least && config.copies_action.is_on();
    if counts && memory::copies(config, event, print, past) > i64::from(config.copies) {
        let reason = "many have just sent this: say it in your own words";
        return Some(config.copies_action.verdict("flood.copies", "raid", reason));
    }
    None
}

confab_plugin::export!(Flood: message, lifecycle);
