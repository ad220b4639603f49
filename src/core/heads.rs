//! What others append: another server on the same database, or a command beside this one. Nobody tells this process of it, so
//! heads of the rooms that are followed here are compared with the store's now and then.

use std::collections::HashMap;

use confab_protocol::model::{RoomId, Seq};

use super::Core;
use super::store::Result;

/// Rooms that are asked for at once.
const ROOMS_MAX: usize = 1_000;

/// Heads that were ahead of what was delivered here. What one's own commit appended is delivered a moment later: only what is still
/// missing with the next look is another's.
#[derive(Default)]
pub struct Heads {
    ahead: HashMap<RoomId, Seq>,
}

impl Heads {
    /// Compares once, and has readers fed with what nobody delivers.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn compare(&mut self, core: &Core) -> Result<()> {
        let before = std::mem::take(&mut self.ahead);
        let seen = core.delivery.seen();
        for some in seen.chunks(ROOMS_MAX) {
            let known: HashMap<RoomId, Seq> = some.iter().copied().collect();
            for (room, incarnation, head) in core.store.heads(known.keys().copied().collect()).await? {
                let Some(known) = known.get(&room).filter(|known| **known < head) else { continue };
                if before.get(&room).is_some_and(|then| known < then) {
                    let fed = core.delivery.feed_to(room, incarnation, head);
                    core.metrics.foreign_readers_total.inc_by(fed as u64);
                } else {
                    self.ahead.insert(room, head);
                }
            }
        }
        Ok(())
    }
}
