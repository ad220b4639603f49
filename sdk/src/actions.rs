//! Capability `actions`: to act, as an account of the plugin's own, with the rank of a moderator of the server. Each call asks
//! for something and returns at once: true, and it is done soon after, in that order, if the account may; false, and it is
//! not, because the plugin asks for too much or for what there is not. Outside wasm what is asked for is kept, for tests:
//!
//! ```
//! use confab_plugin::actions::{self, Wanted};
//! use confab_plugin::{Finding, Refusal};
//!
//! let (room, seq, author) = ((0, 1), 7, (0, 2));
//! let finding = Finding::of("advert").noting("the third today");
//! assert!(actions::delete(room, seq, &finding));
//! let why = Refusal { reason: "no advertising here".into(), finding };
//! assert!(actions::sanction(room, author, "mute", Some(60_000), &why));
//! let deleted = Wanted::Delete { room, seq, rule: "advert".into() };
//! assert_eq!((actions::wanted()[0].clone(), actions::wanted().len()), (deleted, 0));
//! ```

use crate::{Finding, Id, Refusal};

#[cfg(target_arch = "wasm32")]
use crate::capabilities::confab::plugin::actions as host;

/// A message goes.
pub fn delete(room: Id, seq: u64, finding: &Finding) -> bool {
    host::delete(room, seq, finding)
}

/// Something is done to somebody, or taken back: mute, kick, ban, shadow or lift; a mute, ban or shadow for so many
/// milliseconds, or until it is lifted. Everybody in the room reads the reason.
pub fn sanction(room: Id, user: Id, kind: &str, duration_ms: Option<u64>, why: &Refusal) -> bool {
    host::sanction(room, user, kind, duration_ms, why)
}

/// A case about a message, or, where that is none, about somebody. The reason is a word of the hook `report`.
pub fn file_case(room: Id, about: Id, seq: Option<u64>, reason: &str, finding: &Finding) -> bool {
    host::file_case(room, about, seq, reason, finding)
}

/// The least time between two messages of a member; 0: none. It takes the role of an admin.
pub fn slow_mode(room: Id, seconds: u32, finding: &Finding) -> bool {
    host::slow_mode(room, seconds, finding)
}

/// What was asked for, outside wasm.
#[cfg(not(target_arch = "wasm32"))]
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "as in the functions")]
pub enum Wanted {
    Delete { room: Id, seq: u64, rule: String },
    Sanction { room: Id, user: Id, kind: String, duration_ms: Option<u64>, reason: String, rule: String },
    Case { room: Id, about: Id, seq: Option<u64>, reason: String, rule: String },
    SlowMode { room: Id, seconds: u32, rule: String },
}

/// What this thread asked for since it was last looked at, the oldest first; at most 1,000. Outside wasm only.
#[cfg(not(target_arch = "wasm32"))]
#[must_use]
pub fn wanted() -> Vec<Wanted> {
    host::wanted()
}

#[cfg(not(target_arch = "wasm32"))]
mod host {
    use std::cell::RefCell;

    use super::{Finding, Id, Refusal, Wanted};

    const KEPT_MAX: usize = 1_000;

    thread_local! {
        static WANTED: RefCell<Vec<Wanted>> = const { RefCell::new(Vec::new()) };
    }

    fn want(what: Wanted) -> bool {
        WANTED.with_borrow_mut(|wanted| {
            if wanted.len() < KEPT_MAX {
                wanted.push(what);
            }
        });
        true
    }

    pub(super) fn wanted() -> Vec<Wanted> {
        WANTED.take()
    }

    pub(super) fn delete(room: Id, seq: u64, finding: &Finding) -> bool {
        want(Wanted::Delete { room, seq, rule: finding.rule.clone() })
    }

    pub(super) fn sanction(room: Id, user: Id, kind: &str, duration_ms: Option<u64>, why: &Refusal) -> bool {
        let (kind, reason, rule) = (kind.to_owned(), why.reason.clone(), why.finding.rule.clone());
        want(Wanted::Sanction { room, user, kind, duration_ms, reason, rule })
    }

    pub(super) fn file_case(room: Id, about: Id, seq: Option<u64>, reason: &str, finding: &Finding) -> bool {
        let (reason, rule) = (reason.to_owned(), finding.rule.clone());
        want(Wanted::Case { room, about, seq, reason, rule })
    }

    pub(super) fn slow_mode(room: Id, seconds: u32, finding: &Finding) -> bool {
        want(Wanted::SlowMode { room, seconds, rule: finding.rule.clone() })
    }
}
