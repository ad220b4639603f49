//! Links by list, and hosts that look like others.
//!
//! Everything that has a text is looked at: new messages, edits, reactions, names of rooms and of people. What counts as
//! a link: `scheme://host`, `www.host`, a bare host of a known top-level domain (`example.com`, `example[.]com`,
//! `example (dot) com`), and `hxxp`: what the crate `confab-hosts` finds. Files, versions, abbreviations and mail
//! addresses are none.
//!
//! Of all that is found in a text the strictest action is taken. All keys, with their defaults:
//!
//! ```toml
//! [plugins.config.links]
//! # Hosts, with all below them. Where both lists have one, the longer entry rules; of equal ones the denied.
//! allow = []                         # nothing else is asked about these
//! deny = []                          # "evil.example"; spelled with letters of other scripts, too
//! deny_action = "reject"             # actions: "off" (or "allow"), "flag", "hold", "bounce", "reject"
//! others = "allow"                   # hosts of neither list
//! lookalike_action = "hold"          # paypa1.com, paypal.com.evil.example, steamcommunnity.com
//! near_action = "flag"               # paypal-login.com, paypal.evil.example, instagran.com
//! protected = []                     # own hosts that nobody may imitate, beside the stock list
//! stock_protected = true             # whether there is a stock list: often imitated shops, banks, services
//! userinfo_action = "hold"           # https://paypal.com@evil.example
//! ip_action = "flag"                 # http://203.0.113.7, http://0xcb007107; one's own network is no link
//! shorteners_action = "flag"         # bit.ly and the like
//! shorteners = []                    # own ones
//! invites_action = "off"             # invitations into rooms of other chat services
//! newcomers_action = "off"           # any link that is not allowed, by those who are new
//! newcomers_account_seconds = 86400  # an account younger than this is new
//! newcomers_member_seconds = 3600    # and so is who came into the room less than this ago
//! exempt_moderators = true           # of the server and, in their room, of the room; "server": of the server alone
//! ```
//!
//! Moderators of the server are let be. Those of a room are, in what they say there, but for look-alikes, what comes
//! near them and names before an @: anybody opens a room and owns it. Names are looked at whatever their author is in a
//! room, and bots always.

mod alike;
mod config;
mod hosts;
mod judge;
mod punycode;
mod stock;
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
pub struct Links;

impl lifecycle::Guest for Links {
    fn init(config: String) -> Result<(), String> {
        JUDGE.set(Some(Judge::new(config::parse(&config)?)?));
        Ok(())
    }
}

impl message::Guest for Links {
    fn decide(event: Event) -> Verdict {
        JUDGE.with_borrow(|judge| judge.as_ref().map_or(Verdict::Allow, |judge| judge.decide(&event)))
    }
}

confab_plugin::export!(Links: message, lifecycle);
