//! Stock plugin: words, phrases and patterns that are not wanted. Four stock groups, lists of the operator's own, and
//! the rules of Discord's AutoMod.
//!
//! Every text is looked at, whatever it is and whoever writes it: messages, edits, reactions, names and topics of
//! rooms, names that people show; bots and moderators too. Words are whole words. They are found as they are written,
//! in capitals, full width, percent encoding and with characters that are not seen among them; in letters that only
//! look like theirs; and in odd spellings: `wooord`, `w o r d`, `w.o.r.d`, `w0rd`, `w**o**rd`.
//!
//! All of the configuration, with what holds when it is left out:
//!
//! ```toml
//! [plugins.config.words]
//! # Stock groups: off, flag, shadow, bounce, hold or reject. Words with innocent meanings are flagged at most.
//! slurs = "hold"          # against groups of people, in English and the commonest of some other languages
//! harassment = "flag"     # threats, calls to suicide, directed abuse
//! profanity = "off"       # coarse and sexual words
//! spam = "flag"           # prizes, premium numbers, giveaways
//! allow = []              # innocent words and phrases, for all groups and lists
//! exempt_moderators = false
//! lists = []
//! automod = []
//!
//! # A list of your own; only name, action, and words or regexes must be there.
//! [[plugins.config.words.lists]]
//! name = "rivals"         # findings are of `words.rivals`
//! action = "bounce"
//! words = [
//!     "acme",             # the word
//!     "acme*",            # words that begin so; `*acme` that end so, `*acme*` that have it anywhere
//!     "buy at acme",      # a phrase, whatever stands between its words
//!     "c++",              # with signs: just so
//! ]
//! regexes = ["acme-?[0-9]+"]   # as of the crate `regex`; capitals and small letters are the same, but for `(?-i)`
//! allow = ["acme road"]        # what covers a match makes it innocent
//! reason = "No rivals here."   # what the author is told when it is bounced or rejected
//! evasion = true               # whether look-alike letters and odd spellings of the words are found
//! ```
//!
//! All words and regexes together have 96 KiB, the stock lists' 36 among them. When several match, the strongest
//! action is taken: reject, hold, bounce, shadow, flag, in this order.
//!
//! `automod` takes rules as Discord's API gives them; `confab plugin automod` prints them so. Keywords (trigger types 1
//! and 6, the latter for names of people), patterns and allowances become a list `automod.<name>`, or with its number among
//! the rules where the name has no letter of a-z or another has it; presets (4) turn on
//! `slurs` and `profanity`, or make their action stronger. To block is to reject, with Discord's message; an alert is a
//! flag; a timeout is a hold. Spam (3) and mentions (5) are other plugins' work: the rule is named in an error until it
//! is taken out or disabled.
//! Discord's exempt roles and channels mean nothing here and are not used.

mod automod;
mod config;
mod entry;
mod evade;
mod fold;
mod hits;
mod matcher;
mod patterns;
mod words;

use std::cell::RefCell;

use confab_plugin::message::Event;
use confab_plugin::{Verdict, hold, lifecycle, message};

use crate::config::Config;
use crate::matcher::Matcher;

thread_local! {
    /// Made once by `init`; an instance has one thread.
    static MATCHER: RefCell<Option<Matcher>> = const { RefCell::new(None) };
}

/// The plugin.
pub struct Words;

impl lifecycle::Guest for Words {
    fn init(config: String) -> Result<(), String> {
        let matcher = Matcher::new(&Config::read(&config)?)?;
        MATCHER.set(Some(matcher));
        Ok(())
    }
}

impl message::Guest for Words {
    fn decide(event: Event) -> Verdict {
        MATCHER.with_borrow(|matcher| match matcher {
            Some(matcher) => matcher.decide(&event),
            // The server calls `init` before anything else.
            None => hold("words.not-ready"),
        })
    }
}

confab_plugin::export!(Words: message, lifecycle);

#[cfg(test)]
mod tests {
    use confab_plugin::golden::{Hooks, check_folder};

    use super::*;

    fn error(config: &str) -> String {
        <Words as lifecycle::Guest>::init(config.into()).unwrap_err()
    }

    #[test]
    fn goldens() {
        let hooks = Hooks {
            init: Some(<Words as lifecycle::Guest>::init),
            message: Some(<Words as message::Guest>::decide),
            ..Hooks::default()
        };
        check_folder(concat!(env!("CARGO_MANIFEST_DIR"), "/goldens"), hooks);
    }

    #[test]
    fn what_is_wrong_with_a_configuration_is_one_line_that_names_it() {
        for (config, told) in [
            (r#"{"slur": "hold"}"#, "slur"),
            (r#"{"slurs": "ban"}"#, "ban"),
            (r#"{"allow": ["*"]}"#, "allow: `*`"),
            (r#"{"lists": [{"name": "A b", "action": "flag", "words": ["x"]}]}"#, "\"A b\""),
            (r#"{"lists": [{"name": "a", "action": "flag"}]}"#, "neither words nor regexes"),
            (r#"{"lists": [{"name": "a", "action": "flag", "regexes": ["("]}]}"#, "list \"a\": regex `(`"),
            (r#"{"lists": [{"name": "a", "action": "flag", "words": ["\u2014"]}]}"#, "has no letter"),
            (r#"{"automod": [{"name": "M", "trigger_type": 5, "actions": [{"type": 1}]}]}"#, "\"M\": mention spam"),
            (r#"{"automod": [{"name": "M", "trigger_type": 1, "actions": []}]}"#, "\"M\": it has no actions"),
        ] {
            let error = error(config);
            assert!(error.contains(told) && !error.contains('\n'), "{config}: {error}");
        }
    }

    #[test]
    fn everything_may_be_left_out() {
        for config in ["", "{}"] {
            assert_eq!(<Words as lifecycle::Guest>::init(config.into()), Ok(()));
        }
    }
}
