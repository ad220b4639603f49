//! Tells what is known of a message beside its text, to who asks; and flags and holds what asks for it.

mod decide;

use confab_plugin::Verdict;
use confab_plugin::message::{Event, Guest};

struct Surveyor;

impl Guest for Surveyor {
    fn decide(event: Event) -> Verdict {
        decide::decide(&event)
    }
}

confab_plugin::export!(Surveyor: message);
