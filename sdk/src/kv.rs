//! Capability `kv`: what a plugin remembers, shared by all its instances on one server. Outside wasm it is a map of the
//! thread, by the same rules, so that plugins can be tested natively.
//!
//! ```
//! use confab_plugin::kv;
//!
//! const HOUR_MS: u64 = 3_600_000;
//!
//! // A number, forgotten an hour after its first addition.
//! assert_eq!(kv::add("adverts/7", 2, HOUR_MS), 2);
//! assert_eq!(kv::add("adverts/7", 1, HOUR_MS), 3);
//!
//! // Bytes, forgotten an hour after they were set last.
//! kv::set("warned/7", b"once", HOUR_MS);
//! assert_eq!(kv::get("warned/7"), Some(b"once".to_vec()));
//! kv::remove("warned/7");
//! assert_eq!(kv::get("warned/7"), None);
//! ```

use crate::Id;
#[cfg(target_arch = "wasm32")]
use crate::capabilities::confab::plugin::kv as host;

/// At most so many keys; the one that was not used for longest goes first.
pub const KEYS_MAX: usize = 20_000;

/// What may follow in a key about somebody before it has to grow: the id of a room and a number.
const FOLLOWS: usize = 48;

/// A key about somebody: the server forgets it when their account is erased. More may be added behind it.
///
/// ```
/// use confab_plugin::kv;
///
/// let key = kv::about((0x0197_0000_0000_7000, 0x8000_0000_0000_0001), "messages");
/// assert_eq!(key, "01970000000070008000000000000001:messages");
/// assert_eq!(kv::add(&key, 1, 60_000), 1);
/// ```
#[must_use]
pub fn about((high, low): Id, name: &str) -> String {
    let mut key = String::with_capacity(33 + name.len() + FOLLOWS);
    for byte in high.to_be_bytes().into_iter().chain(low.to_be_bytes()) {
        // Without the machinery of format!, which costs more than all else that a small plugin does.
        key.extend(char::from_digit(u32::from(byte >> 4), 16));
        key.extend(char::from_digit(u32::from(byte & 0xf), 16));
    }
    key.push(':');
    key.push_str(name);
    key
}

/// What was set.
#[must_use]
pub fn get(key: &str) -> Option<Vec<u8>> {
    host::get(key)
}

/// Forgotten after so many milliseconds.
pub fn set(key: &str, value: &[u8], ttl_ms: u64) {
    host::set(key, value, ttl_ms);
}

/// Adds to a number, which is 0 when it is not there, and returns it. It is forgotten so long after its first addition.
pub fn add(key: &str, by: i64, ttl_ms: u64) -> i64 {
    host::add(key, by, ttl_ms)
}

/// Forgets.
pub fn remove(key: &str) {
    host::remove(key);
}

#[cfg(not(target_arch = "wasm32"))]
pub(crate) mod host {
    use std::cell::{Cell, RefCell};
    use std::collections::HashMap;

    thread_local! {
        static NOW: Cell<u64> = const { Cell::new(0) };
        static KEYS: RefCell<HashMap<String, (Vec<u8>, u64)>> = RefCell::default();
    }

    /// The time of the event that is decided next; of a new run, with nothing remembered.
    #[cfg(feature = "golden")]
    pub(crate) fn set_time(now_ms: u64) {
        NOW.set(now_ms);
    }

    #[cfg(feature = "golden")]
    pub(crate) fn clear() {
        KEYS.with_borrow_mut(HashMap::clear);
    }

    pub(super) fn get(key: &str) -> Option<Vec<u8>> {
        KEYS.with_borrow(|keys| keys.get(key).filter(|(_, until)| NOW.get() < *until).map(|(value, _)| value.clone()))
    }

    pub(super) fn set(key: &str, value: &[u8], ttl_ms: u64) {
        let until = NOW.get().saturating_add(ttl_ms);
        KEYS.with_borrow_mut(|keys| keys.insert(key.to_owned(), (value.to_vec(), until)));
    }

    pub(super) fn add(key: &str, by: i64, ttl_ms: u64) -> i64 {
        KEYS.with_borrow_mut(|keys| {
            let fresh = || (0_i64.to_le_bytes().to_vec(), NOW.get().saturating_add(ttl_ms));
            let found = keys.entry(key.to_owned()).or_insert_with(fresh);
            if NOW.get() >= found.1 {
                *found = fresh();
            }
            let sum = found.0.first_chunk().map_or(0, |it| i64::from_le_bytes(*it)).saturating_add(by);
            found.0 = sum.to_le_bytes().to_vec();
            sum
        })
    }

    pub(super) fn remove(key: &str) {
        KEYS.with_borrow_mut(|keys| keys.remove(key));
    }
}
