//! Text without characters that deceive or disturb: normalised to NFC (UAX #15), without control
//! characters, bidi overrides (Trojan Source, CVE-2021-42574), invisible characters outside the scripts and
//! emoji that need them, and without towers of combining marks. Markup is text and stays.

mod clean;

pub use clean::clean;
use confab_plugin::Verdict;
use confab_plugin::message::{Event, Guest};

/// The plugin.
pub struct Sanitize;

impl Guest for Sanitize {
    fn decide(event: Event) -> Verdict {
        match clean(&event.body) {
            None => Verdict::Allow,
            Some(text) => Verdict::Replace(text),
        }
    }
}

confab_plugin::export!(Sanitize: message);
