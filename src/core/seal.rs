//! Sealing of what people say where it is stored: AES-256-GCM (NIST SP 800-38D) under a key for each room, which HKDF
//! (RFC 5869) makes of a key that stands in a file beside the database and not in it. What it hides and what not:
//! docs/decisions/0008-sealing.md.

mod resealed;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use aws_lc_rs::{hkdf, hmac};
use bytes::Bytes;
use confab_protocol::model::{ClientId, RoomId, Seq, UserId};

pub use self::resealed::{Resealed, ResealedTo};
use super::store::{Error, Result};

/// What is sealed begins with it. What is in clear never does: it is a message of Cap'n Proto, whose first bytes are
/// the number of its segments less one, and ours have fewer than 256.
const MARK: u8 = 0xff;
/// Behind the mark: the number of the key, and the nonce.
const HEAD_BYTES: usize = 1 + 4 + NONCE_BYTES;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
/// What sealing adds to a payload.
pub const SEALED_EXTRA_BYTES: usize = HEAD_BYTES + TAG_BYTES;
const DIGEST_BYTES: usize = 16;
/// Stores keep the number of a key as a signed one of 32 bits.
const KEY_ID_MAX: u32 = i32::MAX.cast_unsigned();
/// Keys in one file.
const KEYS_MAX: usize = 64;
/// Rooms whose keys are kept at hand.
const ROOMS_KEPT: usize = 4_096;

/// Draws a nonce.
pub type Random = fn() -> [u8; NONCE_BYTES];

/// Where a payload stands: sealed with it, so that it opens nowhere else.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// An entry as it read from a revision on.
    Entry(RoomId, Seq, u32),
    /// What was held or refused.
    Unappended(RoomId, UserId, ClientId),
}

impl Place {
    const fn room(self) -> RoomId {
        match self {
            Self::Entry(room, ..) | Self::Unappended(room, ..) => room,
        }
    }

    fn associated(self, key: u32) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64);
        match self {
            Self::Entry(room, seq, rev) => {
                bytes.push(1);
                bytes.extend(room.to_bytes());
                bytes.extend(seq.0.to_be_bytes());
                bytes.extend(rev.to_be_bytes());
            }
            Self::Unappended(room, author, client_id) => {
                bytes.push(2);
                bytes.extend(room.to_bytes());
                bytes.extend(author.to_bytes());
                bytes.extend(client_id.to_bytes());
            }
        }
        bytes.extend(key.to_be_bytes());
        bytes
    }
}

/// Whether, and how, words are found where messages are sealed.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Words {
    /// They are not.
    #[default]
    Off,
    /// The index holds a keyed hash of each.
    Hashed,
}

/// A key of the file.
struct Key {
    id: u32,
    master: hkdf::Prk,
}

impl Key {
    fn derive<const N: usize>(&self, purpose: &str, room: RoomId) -> [u8; N] {
        struct Length(usize);
        impl hkdf::KeyType for Length {
            fn len(&self) -> usize {
                self.0
            }
        }
        let mut derived = [0; N];
        let room = room.to_bytes();
        let info = [b"confab at rest/", purpose.as_bytes(), b"/", &room];
        self.master
            .expand(&info, Length(N))
            .and_then(|material| material.fill(&mut derived))
            .expect("HKDF gives up to 255 hashes");
        derived
    }
}

/// What a room's payloads and digests are sealed with.
struct RoomKeys {
    cipher: Aes256Gcm,
    digests: hmac::Key,
}

/// Who opens a store.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Opener {
    /// A server: from now on the last key of its file seals.
    #[default]
    Server,
    /// A command beside a server, which may not have read the file again yet: it seals with a key that a server began to
    /// use.
    Tool,
}

/// The keys, of which one seals and all open; or none, and everything is in clear.
#[derive(Default)]
pub struct Vault {
    keys: Vec<Key>,
    /// The number of the key that seals.
    current: Option<u32>,
    /// Numbers of keys that the store knew when it was opened.
    known: Vec<u32>,
    opener: Opener,
    words: Words,
    random: Option<Random>,
    rooms: Mutex<HashMap<(u32, RoomId), Arc<RoomKeys>>>,
}

/// A key that sealed something, as the store remembers it: `(number, fingerprint)`.
pub type KnownKey = (u32, String);

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vault").field("keys", &self.keys.len()).field("words", &self.words).finish_non_exhaustive()
    }
}

impl Vault {
    /// Reads a file of keys: a line for each, its number and 64 hexadecimal digits. The last one seals.
    ///
    /// # Errors
    /// What is wrong with which line, without its content.
    pub fn parse(text: &str, opener: Opener, words: Words, random: Random) -> std::result::Result<Self, String> {
        let mut keys: Vec<Key> = Vec::new();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let wrong = |what: &str| format!("line {}: {what}", index + 1);
            let (id, key) = line.trim().split_once(' ').ok_or_else(|| wrong("is to be a number and a key"))?;
            let is_number = |id: &u32| (1..=KEY_ID_MAX).contains(id);
            let id = id.parse().ok().filter(is_number).ok_or_else(|| wrong("the number is to be 1 to 2147483647"))?;
            let key = from_hex(key.trim()).ok_or_else(|| wrong("the key is to be 64 hexadecimal digits"))?;
            if keys.iter().any(|other| other.id == id) {
                return Err(wrong("the number is there twice"));
            }
            let master = hkdf::Salt::new(hkdf::HKDF_SHA256, b"confab at rest").extract(&key);
            keys.push(Key { id, master });
        }
        match keys.len() {
            0 => Err("has no key".to_owned()),
            1..=KEYS_MAX => {
                let current = keys.last().map(|key| key.id);
                let (known, rooms) = (Vec::new(), Mutex::default());
                Ok(Self { keys, current, known, opener, words, random: Some(random), rooms })
            }
            _ => Err(format!("has more than {KEYS_MAX} keys")),
        }
    }

    /// A line for a new key, whose number follows those of a file.
    ///
    /// # Errors
    /// A file that cannot be used.
    pub fn new_line(text: &str, key: [u8; 32], random: Random) -> std::result::Result<String, String> {
        let last = if text.trim().is_empty() {
            0
        } else {
            Self::parse(text, Opener::Tool, Words::Off, random)?.keys.iter().map(|key| key.id).max().unwrap_or_default()
        };
        Ok(format!("{} {}\n", last + 1, to_hex(&key)))
    }

    /// The number of the key that seals.
    #[must_use]
    pub const fn current(&self) -> Option<u32> {
        self.current
    }

    /// Who opens the store with it.
    #[must_use]
    pub const fn opener(&self) -> Opener {
        self.opener
    }

    /// Whether this may be written to a store that knows these keys, as of its transaction.
    ///
    /// # Errors
    /// Another server has gone on to other keys since: what would be written now might not be readable, or not be sealed.
    pub fn check(&self, known: &[u32]) -> Result<()> {
        let what = match self.current {
            Some(id) if !known.contains(&id) => format!("key {id} seals here, which was rotated out"),
            None if !known.is_empty() => "messages here are sealed since this was started".to_owned(),
            _ => return Ok(()),
        };
        Err(Error::Unavailable(format!("{what}: start it anew with the present store.seal_keys")))
    }

    /// Numbers of keys that are not needed once everything is sealed with the present one.
    #[must_use]
    pub fn replaced(&self) -> Vec<u32> {
        self.known.iter().copied().filter(|id| Some(*id) != self.current).collect()
    }

    fn current_key(&self) -> Option<&Key> {
        self.current.and_then(|id| self.keys.iter().find(|key| key.id == id))
    }

    /// Compares with the keys that sealed something in a store. `Some`: it is to remember this one too, before anything is
    /// sealed with it.
    ///
    /// # Errors
    /// A key that sealed something there is missing, or is another one.
    pub fn admit(&mut self, known: &[KnownKey]) -> std::result::Result<Option<KnownKey>, String> {
        for (id, fingerprint) in known {
            match self.keys.iter().find(|key| key.id == *id) {
                Some(key) if print_of(key) == *fingerprint => {}
                Some(_) => return Err(format!("key {id} is another than the one that messages here are sealed with")),
                None => return Err(format!("messages here are sealed with key {id}, which is missing")),
            }
        }
        self.known = known.iter().map(|(id, _)| *id).collect();
        if self.opener == Opener::Tool {
            let is_known = |key: &&Key| known.iter().any(|(id, _)| *id == key.id);
            self.current = self.keys.iter().rev().find(is_known).map(|key| key.id);
        }
        let current = self.current_key().map(|key| (key.id, print_of(key)));
        Ok(current.filter(|current| !known.contains(current)))
    }

    /// What the index of words holds: another number, another index.
    #[must_use]
    pub fn index_mode(&self) -> i32 {
        match (self.current_key(), self.words) {
            (None, _) => 0,
            (Some(_), Words::Off) => 1,
            (Some(key), Words::Hashed) => {
                (i32::from_be_bytes(key.derive("index mode", RoomId::NONE)) & i32::MAX).max(2)
            }
        }
    }

    /// How words are made unreadable for the index; `None`: there is none.
    #[must_use]
    pub fn blinder(&self) -> Option<Blinder> {
        match (self.current_key(), self.words) {
            (None, _) => Some(Blinder(None)),
            (Some(_), Words::Off) => None,
            (Some(key), Words::Hashed) => {
                let key = key.derive::<32>("words", RoomId::NONE);
                Some(Blinder(Some(hmac::Key::new(hmac::HMAC_SHA256, &key))))
            }
        }
    }

    /// The number of the key that bytes of a store are sealed with; `None`: they are in clear.
    #[must_use]
    pub fn key_of(stored: &[u8]) -> Option<u32> {
        key_of(stored)
    }

    /// Whether bytes of a store can be opened: they are in clear, or their key is at hand.
    #[must_use]
    pub fn has_key_of(&self, stored: &[u8]) -> bool {
        key_of(stored).is_none_or(|id| self.keys.iter().any(|key| key.id == id))
    }

    /// Whether they are as they would be now.
    #[must_use]
    pub fn is_as_now(&self, stored: &[u8]) -> bool {
        key_of(stored) == self.current
    }

    /// As [`Self::is_as_now`], of a digest.
    #[must_use]
    pub fn is_digest_as_now(&self, stored: &[u8]) -> bool {
        // Of what was erased. Masked, it would be the mask, and open what an older backup has under it.
        if stored == [0; DIGEST_BYTES] {
            return true;
        }
        let key = stored.first_chunk().filter(|_| stored.len() > DIGEST_BYTES).map(|id| u32::from_be_bytes(*id));
        key == self.current
    }

    /// A payload as it is stored.
    #[must_use]
    pub fn seal<'a>(&self, place: Place, payload: &'a [u8]) -> Cow<'a, [u8]> {
        let (Some(key), Some(random)) = (self.current_key(), self.random) else { return Cow::Borrowed(payload) };
        let nonce = random();
        let mut sealed = Vec::with_capacity(payload.len() + SEALED_EXTRA_BYTES);
        sealed.push(MARK);
        sealed.extend(key.id.to_be_bytes());
        sealed.extend(nonce);
        let payload = Payload { msg: payload, aad: &place.associated(key.id) };
        let keys = self.room_keys(key, place.room());
        sealed.extend(keys.cipher.encrypt(&Nonce::from(nonce), payload).expect("a payload is shorter than 64 GiB"));
        Cow::Owned(sealed)
    }

    /// A payload as it was said.
    ///
    /// # Errors
    /// A key that is missing; bytes that were altered or moved.
    pub fn open(&self, place: Place, stored: Bytes) -> Result<Bytes> {
        let Some(id) = key_of(&stored) else { return Ok(stored) };
        let corrupt = |what: &str| Error::Corrupt(format!("{place:?}, sealed with key {id}: {what}"));
        let key = self.keys.iter().find(|key| key.id == id).ok_or_else(|| corrupt("that key is missing"))?;
        let parts = stored.get(HEAD_BYTES..).zip(stored.get(HEAD_BYTES - NONCE_BYTES..HEAD_BYTES));
        let (sealed, nonce) = parts.ok_or_else(|| corrupt("is cut off"))?;
        let nonce: [u8; NONCE_BYTES] = nonce.try_into().map_err(|_| corrupt("is cut off"))?;
        let payload = Payload { msg: sealed, aad: &place.associated(id) };
        let opened = self.room_keys(key, place.room()).cipher.decrypt(&Nonce::from(nonce), payload);
        opened.map(Bytes::from).map_err(|_| corrupt("was altered"))
    }

    /// A digest as it is stored: in clear it would tell whether somebody said a text that can be guessed.
    #[must_use]
    pub fn seal_digest(&self, place: Place, digest: [u8; DIGEST_BYTES]) -> Vec<u8> {
        if digest == [0; DIGEST_BYTES] {
            return digest.to_vec();
        }
        let Some(key) = self.current_key() else { return digest.to_vec() };
        let mut sealed = key.id.to_be_bytes().to_vec();
        sealed.extend(self.mask(key, place, digest));
        sealed
    }

    /// A digest as it was made.
    ///
    /// # Errors
    /// A key that is missing, or no digest.
    pub fn open_digest(&self, place: Place, stored: &[u8]) -> Result<[u8; DIGEST_BYTES]> {
        let corrupt = |what: &str| Error::Corrupt(format!("the digest of {place:?} {what}"));
        if let Ok(digest) = stored.try_into() {
            return Ok(digest);
        }
        let (id, sealed) = stored.split_first_chunk::<4>().ok_or_else(|| corrupt("is cut off"))?;
        let id = u32::from_be_bytes(*id);
        let key = self.keys.iter().find(|key| key.id == id).ok_or_else(|| corrupt("is sealed with a missing key"))?;
        Ok(self.mask(key, place, sealed.try_into().map_err(|_| corrupt("is cut off"))?))
    }

    /// Its own inverse. A place has one digest, and one that was erased is not masked, so no mask is used for two.
    fn mask(&self, key: &Key, place: Place, mut digest: [u8; DIGEST_BYTES]) -> [u8; DIGEST_BYTES] {
        let keys = self.room_keys(key, place.room());
        let mask = hmac::sign(&keys.digests, &place.associated(key.id));
        digest.iter_mut().zip(mask.as_ref()).for_each(|(byte, mask)| *byte ^= mask);
        digest
    }

    fn room_keys(&self, key: &Key, room: RoomId) -> Arc<RoomKeys> {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(keys) = rooms.get(&(key.id, room)) {
            return Arc::clone(keys);
        }
        if rooms.len() >= ROOMS_KEPT {
            rooms.clear();
        }
        let cipher = Aes256Gcm::new(&key.derive::<32>("payloads", room).into());
        let digests = hmac::Key::new(hmac::HMAC_SHA256, &key.derive::<32>("digests", room));
        let keys = Arc::new(RoomKeys { cipher, digests });
        rooms.insert((key.id, room), Arc::clone(&keys));
        keys
    }
}

/// The key that something is sealed with.
fn key_of(stored: &[u8]) -> Option<u32> {
    let (mark, rest) = stored.split_first()?;
    (*mark == MARK).then(|| rest.first_chunk().map_or(0, |id| u32::from_be_bytes(*id)))
}

/// Tells keys of the same number apart, and nothing else.
fn print_of(key: &Key) -> String {
    to_hex(&key.derive::<8>("fingerprint", RoomId::NONE))
}

/// Makes words unreadable, the same word always alike.
#[derive(Clone, Debug)]
pub struct Blinder(Option<hmac::Key>);

impl Blinder {
    /// Whether it leaves words as they are.
    #[must_use]
    pub const fn is_clear(&self) -> bool {
        self.0.is_none()
    }

    /// A word as the index holds it.
    #[must_use]
    pub fn blind(&self, word: String) -> String {
        match &self.0 {
            None => word,
            Some(key) => to_hex(hmac::sign(key, word.as_bytes()).as_ref().first_chunk::<10>().unwrap_or(&[0; 10])),
        }
    }
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut key = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (index, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(index * 2..index * 2 + 2)?, 16).ok()?;
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "1 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n";
    const TWO: &str = "2 ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100\n";

    fn vault(text: &str) -> Vault {
        Vault::parse(text, Opener::Server, Words::Hashed, crate::clock::random_bytes).unwrap()
    }

    fn place(room: u128, seq: u64, rev: u32) -> Place {
        Place::Entry(RoomId::from_u128(room), Seq(seq), rev)
    }

    #[test]
    fn what_was_sealed_opens_there_and_nowhere_else() {
        let (one, both, two) = (vault(ONE), vault(&format!("{ONE}{TWO}")), vault(TWO));
        let sealed = Bytes::from(one.seal(place(7, 1, 0), b"hello").into_owned());
        assert_eq!(sealed.len(), 5 + SEALED_EXTRA_BYTES);
        assert_ne!(sealed, one.seal(place(7, 1, 0), b"hello").into_owned(), "a nonce is used once");
        for vault in [&one, &both] {
            assert_eq!(vault.open(place(7, 1, 0), sealed.clone()).unwrap(), b"hello"[..]);
            for other in [place(8, 1, 0), place(7, 2, 0), place(7, 1, 1)] {
                assert!(vault.open(other, sealed.clone()).unwrap_err().to_string().contains("altered"));
            }
        }
        for vault in [&two, &Vault::default()] {
            assert!(vault.open(place(7, 1, 0), sealed.clone()).unwrap_err().to_string().contains("missing"));
        }
        assert!(one.is_as_now(&sealed) && !both.is_as_now(&sealed) && !one.is_as_now(b"\0clear"));
        for at in 0..sealed.len() {
            let mut altered = sealed.to_vec();
            altered[at] ^= 1;
            match one.open(place(7, 1, 0), altered.into()) {
                Err(error) => assert!(!error.to_string().contains("hello")),
                Ok(opened) => assert_eq!((at, opened.first()), (0, Some(&0xfe)), "not sealed, and no entry either"),
            }
            assert!(one.open(place(7, 1, 0), sealed.slice(..at)).is_ok_and(|it| it.is_empty() && at == 0) || at > 0);
        }
        let clear = Bytes::from_static(b"\0\0\0\0entry");
        assert_eq!(one.open(place(7, 1, 0), clear.clone()).unwrap(), clear, "what was there before");
        assert_eq!(Vault::default().seal(place(7, 1, 0), &clear), &clear[..]);
    }

    #[test]
    fn digests_are_hidden_and_come_back() {
        let (one, both) = (vault(ONE), vault(&format!("{ONE}{TWO}")));
        let at = |n| Place::Unappended(RoomId::from_u128(7), UserId::from_u128(n), ClientId::from_u128(9));
        let sealed = one.seal_digest(at(1), [5; 16]);
        assert_ne!(sealed, one.seal_digest(at(2), [5; 16]), "the same text of two people is not seen to be the same");
        assert_eq!(both.open_digest(at(1), &sealed).unwrap(), [5; 16]);
        assert_ne!(both.open_digest(at(2), &sealed).unwrap(), [5; 16]);
        assert_eq!(both.open_digest(at(1), &[0; 16]).unwrap(), [0; 16], "one in clear");
        assert!(vault(TWO).open_digest(at(1), &sealed).is_err() && one.open_digest(at(1), &sealed[..9]).is_err());
        assert_eq!(Vault::default().seal_digest(at(1), [5; 16]), [5; 16]);
        let erased = [0; 16];
        assert!(one.is_digest_as_now(&erased) && one.seal_digest(at(1), erased) == erased, "no mask is given away");
    }

    #[test]
    fn a_file_of_keys_is_read_strictly_and_nothing_of_it_is_told() {
        for (text, word) in [
            ("", "no key"),
            ("1", "number and a key"),
            ("0 00", "1 to 2147483647"),
            ("2147483648 00", "1 to 2147483647"),
            ("x 00", "1 to 2147483647"),
            ("1 0011", "64 hex"),
            (&ONE.replace("00", "0g"), "64 hex"),
            (&ONE.replace("00", "é"), "64 hex"),
            (&format!("{ONE}\n{ONE}"), "line 3: the number is there twice"),
        ] {
            let error = Vault::parse(text, Opener::Server, Words::Off, crate::clock::random_bytes).unwrap_err();
            assert!(error.contains(word) && !error.contains("0011"), "{text}: {error}");
        }
        let line = Vault::new_line(&format!("{TWO}{ONE}"), [1; 32], crate::clock::random_bytes).unwrap();
        assert_eq!(line, format!("3 {}\n", "01".repeat(32)));
        assert!(Vault::new_line("", [1; 32], crate::clock::random_bytes).unwrap().starts_with("1 "));
        assert!(!format!("{:?}", vault(ONE)).contains("0011"));
        assert!(vault(ONE).check(&[1]).is_ok() && Vault::default().check(&[]).is_ok());
        assert!(
            vault(ONE).check(&[2]).is_err() && vault(ONE).check(&[]).is_err() && Vault::default().check(&[1]).is_err()
        );
    }

    #[test]
    fn a_store_knows_the_keys_that_sealed_it() {
        let (mut one, mut both) = (vault(ONE), vault(&format!("{ONE}{TWO}")));
        let first = one.admit(&[]).unwrap().unwrap();
        assert_eq!(one.admit(std::slice::from_ref(&first)).unwrap(), None);
        let second = both.admit(std::slice::from_ref(&first)).unwrap().unwrap();
        assert_eq!(second.0, 2);
        let known = [first, second];
        assert_eq!(both.admit(&known).unwrap(), None);
        assert!(one.admit(&known).unwrap_err().contains("key 2, which is missing"));
        assert!(Vault::default().admit(&known).is_err());
        let mut other = vault(&ONE.replace("33", "34"));
        assert!(other.admit(&known[..1]).unwrap_err().contains("another"));
        let file = format!("{ONE}{TWO}");
        let mut tool = Vault::parse(&file, Opener::Tool, Words::Off, crate::clock::random_bytes).unwrap();
        assert_eq!((tool.admit(&known[..1]).unwrap(), tool.current()), (None, Some(1)), "the server has the other yet");
        assert_eq!((tool.admit(&[]).unwrap(), tool.current()), (None, None), "none has begun to seal");
        assert_eq!((tool.admit(&known).unwrap(), tool.current()), (None, Some(2)));
        assert!(both.index_mode() != one.index_mode() && one.index_mode() > 1 && Vault::default().index_mode() == 0);
    }

    /// Two keys never share an index, whatever the sign of what is derived of them.
    #[test]
    fn each_key_has_an_index_of_its_own() {
        let mode = |n: u8| vault(&format!("1 {}\n", format!("{n:02x}").repeat(32))).index_mode();
        let modes: std::collections::HashSet<i32> = (0..=255).map(mode).collect();
        assert!(modes.len() == 256 && modes.iter().all(|mode| *mode > 1), "{} of 256", modes.len());
    }

    /// Computed with another implementation (Python's `cryptography`), so that another server can open it.
    #[test]
    fn the_form_is_the_documented_one() {
        let fixed: Random = || *b"nonce-of-12b";
        let vault = Vault::parse(ONE, Opener::Server, Words::Hashed, fixed).unwrap();
        let place = place(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10, 42, 3);
        assert_eq!(
            to_hex(&vault.seal(place, b"hello")),
            "ff000000016e6f6e63652d6f662d3132623058ca73bb58d7a4c32bb5339fba81e142bbe35c8a"
        );
        assert_eq!(to_hex(&vault.seal_digest(place, [1; 16])), "00000001fb3afce6860efbeb400a49e5e0c22f7f");
        assert_eq!(vault.blinder().unwrap().blind("hello".to_owned()), "ed54f302947084dea4b3");
    }
}
