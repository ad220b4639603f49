//! Tells what was said before, to who asks; and bounces what its author said just before.

mod decide;

use confab_plugin::Verdict;
use confab_plugin::message::{Event, Guest};

struct Historian;

impl Guest for Historian {
    fn decide(event: Event) -> Verdict {
        decide::decide(&event)
    }
}

confab_plugin::export!(Historian: message);
