//! What else plugins that are granted it are told of a message or an act: how its author is connected, the room, and what was
//! known of the author before. It is read before they are asked, as [`super::earlier`] is; where none of them wants it, nothing is read.

use confab_protocol::model::{CaseId, Millis, RoomId, RoomKind, UserId};

use super::Core;
use super::auth::Actor;

/// Cases this old still count, milliseconds.
pub const PRIOR_MS: u64 = 180 * 24 * 3600 * 1000;
/// Nothing is counted further than to this.
pub const COUNTED_MAX: usize = 100;
/// So many of the newest cases about an author are looked at ...
pub const CASES_MAX: usize = 200;
/// ... and so many of the newest entries of the room: there is no index of either that would answer at once.
pub const ENTRIES_MAX: usize = 1_000;

/// What is known of a message beside its text, or of an act.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Context {
    /// How its author is connected, by the name that metrics have; empty: not known.
    pub transport: &'static str,
    /// Where it is to stand.
    pub room: Option<RoomContext>,
    /// Cases about its author that plugins, reports or holds opened, and that were neither dismissed nor let pass since.
    pub prior_flags: u32,
    /// Messages of its author among the newest entries of the room.
    pub messages_here: u32,
}

/// The room of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct RoomContext {
    pub kind: RoomKind,
    pub slow_mode_ms: u32,
    pub members: u64,
    /// Appended ever.
    pub messages: u64,
}

/// The least id of a case that was opened then or later.
#[must_use]
pub fn first_case(since: Millis) -> CaseId {
    CaseId::from_u128(u128::from(since.0) << 80)
}

impl Core {
    /// What plugins that want it are given; `None`: the store failed, and those who need it decide nothing.
    pub(super) async fn context(&self, actor: &Actor, room: RoomId) -> Option<Context> {
        self.context_of(actor.user, actor.transport, room).await
    }

    /// The same of somebody who may be about to log in.
    pub(super) async fn context_of(&self, user: UserId, transport: &'static str, room: RoomId) -> Option<Context> {
        let since = Millis(self.clock.now().0.saturating_sub(PRIOR_MS));
        match self.store.context(room, user, first_case(since)).await {
            Ok(known) => Some(Context { transport, ..known }),
            Err(error) => {
                self.unavailable(&error);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_told_apart_by_when_they_were_opened() {
        let then = Millis(1_770_000_000_000);
        let [before, first, after] = [Millis(then.0 - 1), then, then.after(1)].map(|time| CaseId::new(time, 0));
        assert!(before < first_case(then) && first_case(then) <= first && first < after);
    }
}
