//! What is kept between texts, so that the store is not asked for each: who says it, and what was said in the room
//! before. All of it can be read again, so there is a bound on how much it is.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use confab_protocol::model::{Millis, RoomId, ServerRole, UserId};

use super::merge::Text;
use crate::core::earlier::{Earlier, Window, window};
use crate::core::hook::{Presently, TextKind};
use crate::core::store::Store;

/// Half of the people that are known at a time ...
const PEOPLE_HALF: usize = 50_000;
/// ... of their places in rooms ...
const PLACES_HALF: usize = 100_000;
/// ... and of the rooms of which it is known what was said before, 64 KiB each at most.
const ROOMS_HALF: usize = 500;

/// The newest of it, in two halves: when the young one is full it becomes the old one, and what nobody took since goes.
struct Recent<K, V, const HALF: usize> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K, V, const HALF: usize> Default for Recent<K, V, HALF> {
    fn default() -> Self {
        Self { young: HashMap::new(), old: HashMap::new() }
    }
}

impl<K: Eq + Hash, V, const HALF: usize> Recent<K, V, HALF> {
    fn take(&mut self, key: &K) -> Option<V> {
        self.young.remove(key).or_else(|| self.old.remove(key))
    }

    /// What was taken before.
    fn put(&mut self, key: K, value: V) {
        if self.young.len() >= HALF {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

/// How somebody stands now, which is not how they stood then.
#[derive(Clone)]
pub(super) struct Standing {
    pub(super) username: Arc<str>,
    pub(super) role: ServerRole,
    /// `None`: they are not in the room any more.
    pub(super) member: Option<Presently>,
}

impl Standing {
    /// Whether it is known how long they were in the room at that time.
    pub(super) fn is_known_at(&self, time: Millis) -> bool {
        self.member.is_some_and(|member| member.joined <= time)
    }
}

/// Who says it.
#[derive(Default)]
pub(super) struct People {
    users: Recent<UserId, (Arc<str>, ServerRole), PEOPLE_HALF>,
    places: Recent<(RoomId, UserId), Option<Presently>, PLACES_HALF>,
}

impl People {
    pub(super) async fn standing(&mut self, store: &dyn Store, text: &Text) -> anyhow::Result<Standing> {
        let (room, user) = (text.room, text.message.author);
        let (username, role) = match self.users.take(&user) {
            Some(known) => known,
            None => match store.find_user(user).await? {
                Some(found) => (Arc::from(found.username.as_str()), found.role),
                None => (Arc::from(""), ServerRole::User),
            },
        };
        self.users.put(user, (Arc::clone(&username), role));
        let member = match self.places.take(&(room, user)) {
            Some(known) => known,
            None => {
                let found = store.membership(room, user).await?;
                found.map(|it| Presently { role: it.role, joined: it.joined })
            }
        };
        self.places.put((room, user), member);
        Ok(Standing { username, role, member })
    }
}

/// What was said in rooms before.
#[derive(Default)]
pub(super) struct Windows(Recent<RoomId, Window, ROOMS_HALF>);

impl Windows {
    /// What everybody sees today of what was there before a text. Texts of a room come in their order.
    pub(super) async fn before(&mut self, store: &dyn Store, text: &Text) -> anyhow::Result<Arc<[Earlier]>> {
        let mut window = match self.0.take(&text.room) {
            Some(known) => known,
            None => window(store, text.room, text.at).await?,
        };
        let messages = window.messages();
        let messages = match text.kind {
            // It reads already as it is to read, and would be an echo of itself.
            TextKind::Edit => messages.iter().filter(|it| it.seq != text.message.seq).cloned().collect(),
            _ => messages,
        };
        if text.kind == TextKind::New && text.is_seen {
            window.push(text.message.clone());
        }
        self.0.put(text.room, window);
        Ok(messages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_takes_goes() {
        let mut recent = Recent::<u32, u32, 10>::default();
        recent.put(0, 0);
        for n in 1..100 {
            recent.put(n, n);
            let asked = recent.take(&0);
            assert_eq!(asked, Some(0), "{n}");
            recent.put(0, 0);
            assert!(recent.young.len() + recent.old.len() <= 20);
        }
        assert_eq!((recent.take(&1), recent.take(&99)), (None, Some(99)));
    }
}
