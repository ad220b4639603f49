//! Tells what is known of a message beside its text, or of a join, to who asks, and which message one is about; and flags and
//! holds what asks for it.

mod decide;

use confab_plugin::message::{Event, Guest};
use confab_plugin::{ActVerdict, Verdict, join};

struct Surveyor;

impl Guest for Surveyor {
    fn decide(event: Event) -> Verdict {
        decide::decide(&event)
    }
}

impl join::Guest for Surveyor {
    fn decide(event: join::Event) -> ActVerdict {
        decide::decide_join(&event)
    }
}

confab_plugin::export!(Surveyor: message, join);
