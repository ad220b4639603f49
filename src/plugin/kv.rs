//! What a plugin remembers between calls: a bounded map that all its instances share. The time is that of the event
//! that is decided, so that a replay finds what the first run found.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use confab_protocol::model::UserId;

/// Keys are kept in two halves; when the young one is full it becomes the old one, and what nobody asked for since goes.
const HALF_KEYS_MAX: usize = 10_000;
const HALF_BYTES_MAX: usize = 4 << 20;
pub(super) const KEY_BYTES_MAX: usize = 256;
pub(super) const VALUE_BYTES_MAX: usize = 4096;
/// What a key costs beside its bytes, about.
const KEY_OVERHEAD: usize = 64;

struct Value {
    bytes: Box<[u8]>,
    until_ms: u64,
}

impl Value {
    fn number(&self) -> i64 {
        self.bytes.first_chunk().map_or(0, |it| i64::from_le_bytes(*it))
    }
}

#[derive(Default)]
struct Half {
    values: HashMap<Box<str>, Value>,
    bytes: usize,
}

impl Half {
    fn put(&mut self, key: &str, value: Value) {
        self.take(key);
        self.bytes += cost(key, &value);
        self.values.insert(key.into(), value);
    }

    fn take(&mut self, key: &str) -> Option<Value> {
        let value = self.values.remove(key)?;
        self.bytes -= cost(key, &value);
        Some(value)
    }

    fn forget(&mut self, user: UserId) {
        let Self { values, bytes } = self;
        values.retain(|key, value| {
            let stays = !is_about(key, user);
            if !stays {
                *bytes -= cost(key, value);
            }
            stays
        });
    }
}

/// By its form, as the contract has it: one part is the person's id, as 32 hex digits or as the text of a UUID.
fn is_about(key: &str, user: UserId) -> bool {
    key.split(['/', ':']).any(|part| part.parse::<UserId>().is_ok_and(|id| id == user))
}

fn cost(key: &str, value: &Value) -> usize {
    key.len() + value.bytes.len() + KEY_OVERHEAD
}

#[derive(Default)]
struct Halves {
    young: Half,
    old: Half,
}

impl Halves {
    fn put(&mut self, key: &str, value: Value) {
        self.old.take(key);
        // Else the turn below would make an old value of it, which the next look finds first.
        self.young.take(key);
        if self.young.values.len() >= HALF_KEYS_MAX || self.young.bytes + cost(key, &value) > HALF_BYTES_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.put(key, value);
    }

    /// What is asked for is young again.
    fn find(&mut self, key: &str, now_ms: u64) -> Option<&mut Value> {
        if let Some(value) = self.old.take(key) {
            self.put(key, value);
        }
        self.young.values.get_mut(key).filter(|value| now_ms < value.until_ms)
    }
}

/// See the head of this file. Keys and values that are too long are not kept.
#[derive(Default)]
pub(super) struct Kv(Mutex<Halves>);

impl Kv {
    fn lock(&self) -> std::sync::MutexGuard<'_, Halves> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn find(&self, key: &str, now_ms: u64) -> Option<Vec<u8>> {
        self.lock().find(key, now_ms).map(|value| value.bytes.to_vec())
    }

    pub(super) fn set(&self, key: &str, bytes: Vec<u8>, ttl_ms: u64, now_ms: u64) {
        if key.len() <= KEY_BYTES_MAX && bytes.len() <= VALUE_BYTES_MAX {
            let until_ms = now_ms.saturating_add(ttl_ms);
            self.lock().put(key, Value { bytes: bytes.into(), until_ms });
        }
    }

    /// What was added up so far; 0 where nothing was.
    pub(super) fn number(&self, key: &str, now_ms: u64) -> i64 {
        self.lock().find(key, now_ms).map_or(0, |value| value.number())
    }

    pub(super) fn add(&self, key: &str, by: i64, ttl_ms: u64, now_ms: u64) -> i64 {
        let mut halves = self.lock();
        if let Some(value) = halves.find(key, now_ms) {
            let sum = value.number().saturating_add(by);
            let until_ms = value.until_ms;
            halves.put(key, Value { bytes: sum.to_le_bytes().into(), until_ms });
            return sum;
        }
        if key.len() <= KEY_BYTES_MAX {
            let until_ms = now_ms.saturating_add(ttl_ms);
            halves.put(key, Value { bytes: by.to_le_bytes().into(), until_ms });
        }
        by
    }

    pub(super) fn remove(&self, key: &str) {
        let mut halves = self.lock();
        halves.young.take(key);
        halves.old.take(key);
    }

    /// Everything about a person. It looks at each key, of which there are not many.
    pub(super) fn forget(&self, user: UserId) {
        let mut halves = self.lock();
        halves.young.forget(user);
        halves.old.forget(user);
    }

    /// About as much memory as it takes.
    pub(super) fn bytes(&self) -> usize {
        let halves = self.lock();
        halves.young.bytes + halves.old.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_add_up_until_their_time_is_over() {
        let kv = Kv::default();
        assert_eq!([kv.add("a", 1, 1_000, 5), kv.add("a", 2, 1_000, 1_004), kv.add("a", 3, 1_000, 1_005)], [1, 3, 3]);
        assert_eq!([kv.number("a", 1_005), kv.number("a", 1_005), kv.number("b", 1_005)], [3, 3, 0]);
        kv.set("a", b"12345678".to_vec(), 10, 2_000);
        assert_eq!((kv.find("a", 2_009), kv.find("a", 2_010)), (Some(b"12345678".to_vec()), None));
        kv.remove("a");
        assert_eq!(kv.find("a", 2_001), None);
    }

    #[test]
    fn what_nobody_asks_for_goes_and_the_rest_stays_in_bounds() {
        let kv = Kv::default();
        kv.set("asked", vec![1], u64::MAX, 0);
        kv.set("forgotten", vec![2], u64::MAX, 0);
        for n in 0..50_000 {
            kv.add(&format!("n{n}"), 1, u64::MAX, 0);
            if n % 1_000 == 0 {
                assert!(kv.find("asked", 1).is_some(), "{n}");
            }
        }
        assert!(kv.find("forgotten", 1).is_none());
        for n in 0..10_000 {
            kv.set(&format!("large{n}"), vec![0; VALUE_BYTES_MAX], u64::MAX, 0);
        }
        assert!(kv.bytes() <= 2 * HALF_BYTES_MAX, "{}", kv.bytes());
        // What was written when the halves turned is what is found.
        let kv = Kv::default();
        for n in 0..HALF_KEYS_MAX {
            kv.set(&format!("n{n}"), vec![1], u64::MAX, 0);
        }
        kv.set("n5", vec![2], u64::MAX, 0);
        kv.set("one more", vec![1], u64::MAX, 0);
        assert_eq!(kv.find("n5", 0), Some(vec![2]));
        kv.set("short", vec![3], u64::MAX, 0);
        assert_eq!((kv.add("short", 4, 1, 0), kv.add("short", 1, 1, 0)), (4, 5));
        kv.set("too large", vec![0; VALUE_BYTES_MAX + 1], u64::MAX, 0);
        assert_eq!(kv.find("too large", 0), None);
    }

    #[test]
    fn what_is_about_somebody_goes_with_them_from_both_halves() {
        let kv = Kv::default();
        let alice = UserId::from_u128(0x0197_ab00_0000_7000_8000_0000_0000_0001);
        let (hex, bob) = ("0197ab00000070008000000000000001", "0197ab00000070008000000000000002");
        let theirs = [
            format!("{hex}:n"),
            format!("seen/{}", hex.to_uppercase()),
            format!("room:{bob}/{alice}/last"),
            hex.to_owned(),
        ];
        // Ids that are parts of something else, and those of others.
        let others = [
            format!("{hex}c"),
            format!("n{hex}"),
            format!("{hex}{bob}:x"),
            format!("{hex}.x"),
            hex.replacen('0', "", 1),
            format!("{bob}:n"),
            "1:alice".to_owned(),
            "/::/".to_owned(),
        ];
        let set = |key: &String| kv.set(key, vec![1], u64::MAX, 0);
        let is_there = |key: &String| {
            let halves = kv.lock();
            halves.young.values.contains_key(key.as_str()) || halves.old.values.contains_key(key.as_str())
        };
        others.iter().for_each(set);
        let without = kv.bytes();
        theirs.iter().for_each(set);
        // What was set so far is old, and what comes is young.
        let turned = std::mem::take(&mut kv.lock().young);
        kv.lock().old = turned;
        let again = format!("{hex}:again");
        set(&again);
        assert!(theirs.iter().all(is_there) && is_there(&again));
        kv.forget(alice);
        assert!(!theirs.iter().any(is_there) && !is_there(&again));
        assert!(others.iter().all(is_there));
        assert_eq!(kv.bytes(), without, "and it weighs nothing any more");
    }
}
