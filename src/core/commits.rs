//! What was committed, for those who follow the logs: which rooms grew, noted by the one who commits.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

use confab_protocol::model::RoomId;
use tokio::sync::Notify;

/// Rooms that are remembered one by one; past that all are looked through.
const FRESH_ROOMS_MAX: usize = 10_000;

/// Rooms that something was appended to, for one follower.
#[derive(Default)]
pub struct Fresh {
    rooms: Mutex<HashSet<RoomId>>,
    has_more: Notify,
}

impl Fresh {
    fn note(&self, rooms: impl Iterator<Item = RoomId>) {
        let mut fresh = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let was_empty = fresh.is_empty();
        if fresh.len() < FRESH_ROOMS_MAX {
            fresh.extend(rooms);
        }
        if was_empty && !fresh.is_empty() {
            drop(fresh);
            self.has_more.notify_one();
        }
    }

    /// Whether something was appended since the last look.
    pub fn has_some(&self) -> bool {
        !self.rooms.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Takes what was noted; `None`: too many to tell.
    pub fn take(&self) -> Option<Vec<RoomId>> {
        let fresh = std::mem::take(&mut *self.rooms.lock().unwrap_or_else(PoisonError::into_inner));
        (fresh.len() < FRESH_ROOMS_MAX).then(|| fresh.into_iter().collect())
    }

    /// Resolves when there is something to take, and perhaps when there was.
    pub async fn more(&self) {
        self.has_more.notified().await;
    }
}

/// Those who follow: each has its own [`Fresh`], and ends with dropping it.
#[derive(Default)]
pub struct Commits(RwLock<Vec<Weak<Fresh>>>);

impl Commits {
    /// For one more follower.
    pub fn follow(&self) -> Arc<Fresh> {
        let fresh = Arc::new(Fresh::default());
        let mut followers = self.0.write().unwrap_or_else(PoisonError::into_inner);
        followers.retain(|follower| follower.strong_count() > 0);
        followers.push(Arc::downgrade(&fresh));
        fresh
    }

    /// Something was appended to these.
    pub fn note(&self, rooms: impl Iterator<Item = RoomId> + Clone) {
        let followers = self.0.read().unwrap_or_else(PoisonError::into_inner);
        followers.iter().filter_map(Weak::upgrade).for_each(|follower| follower.note(rooms.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_follower_is_told_of_everything_and_nobody_else_is() {
        let commits = Commits::default();
        let rooms = [1, 2, 1].map(RoomId::from_u128);
        commits.note(rooms.into_iter());
        let (one, other) = (commits.follow(), commits.follow());
        assert!(!one.has_some(), "what was before is found in the store");
        commits.note(rooms.into_iter());
        one.more().await;
        assert_eq!((one.take().map(|it| it.len()), one.has_some()), (Some(2), false));
        drop(one);
        commits.note(std::iter::once(RoomId::from_u128(3)));
        assert_eq!(other.take().map(|it| it.len()), Some(3));
        commits.note((0..20_000).map(RoomId::from_u128));
        assert_eq!((other.take(), other.take()), (None, Some(Vec::new())), "too many to tell");
    }
}
