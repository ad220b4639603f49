//! Access tokens: Ed25519 JWTs (RFC 7519, RFC 9068 `at+jwt`) with everything required that the library
//! leaves optional. Refresh tokens are opaque and live in the store, by hash.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use confab_protocol::command::Secret;
use confab_protocol::limits::TOKEN_BYTES_MAX;
use confab_protocol::model::{DeviceId, Millis, UserId};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use super::{KeyError, read_or_create};
use crate::clock::random_bytes;

/// Who made a token, and for whom: this server, both.
const ISSUER: &str = "confab";
const TYPE: &str = "at+jwt";
/// The longest life that a token of ours can have: that of the configuration, and of `confab token mint`.
pub const LIFE_SECONDS_MAX: u64 = 86_400;
/// Clocks may differ by so much.
const LEEWAY_SECONDS: u64 = 5;

/// Who a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The account.
    pub user: UserId,
    /// Its device.
    pub device: DeviceId,
    /// The account's tokens of an older version are refused.
    pub version: u32,
    /// Which login of the device.
    pub login: u32,
}

/// What an access token says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Claims {
    pub user: UserId,
    pub device: DeviceId,
    pub version: u32,
    pub login: u32,
    pub expires: Millis,
}

/// Why a token is not accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TokenError {
    /// It was good once.
    #[error("the token has expired")]
    Expired,
    /// It never was.
    #[error("the token is not valid")]
    Invalid,
}

#[derive(Serialize, Deserialize)]
struct Wire {
    iss: String,
    aud: String,
    sub: String,
    dev: String,
    ver: u32,
    login: u32,
    iat: u64,
    nbf: u64,
    exp: u64,
}

/// The keys in use, the newest of which signs. One algorithm per key; a key is found by its id, never from the token's
/// own header fields.
struct Ring {
    files: Vec<PathBuf>,
    kid: String,
    encoding: EncodingKey,
    decoding: HashMap<String, DecodingKey>,
}

/// Signs access tokens and checks them.
pub struct Tokens {
    folder: PathBuf,
    ring: RwLock<Arc<Ring>>,
    /// When the folder changed last, if it was listed so long after that nothing came in the same moment.
    listed: Mutex<Option<SystemTime>>,
    ttl_seconds: AtomicU64,
}

/// Before the first rotation there is this key alone; later ones carry the time in their names and so sort after it.
const FIRST_KEY: &str = "token-0-ed25519.pk8";
/// Keys that are kept by a rotation: the one that signs, and the one before, by which tokens were signed that are good
/// for some minutes yet.
const KEYS_KEPT: usize = 2;

/// File systems tell the time of a change in steps of up to so long, milliseconds: within one a second change does not show.
const STEP_MS_MAX: u64 = 2_000;

/// Key files, the oldest first.
fn key_files(folder: &Path) -> Result<Vec<PathBuf>, KeyError> {
    let failed = |error: std::io::Error| KeyError::new(folder, error);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with("token-") && name.ends_with("-ed25519.pk8") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn new_key() -> Vec<u8> {
    let made = Ed25519KeyPair::generate().and_then(|pair| pair.to_pkcs8()).map(|doc| doc.as_ref().to_vec());
    made.unwrap_or_default()
}

/// Makes a key that signs from now on, and removes those before the last; servers on this folder take it up by themselves.
///
/// # Errors
/// Files that cannot be written or removed.
pub fn rotate_keys(keys: &Path, now: Millis) -> Result<PathBuf, KeyError> {
    let path = keys.join(format!("token-{:015}-ed25519.pk8", now.0));
    crate::files::write_private(&path, &new_key()).map_err(|error| KeyError::new(&path, error))?;
    let files = key_files(keys)?;
    for old in files.iter().take(files.len().saturating_sub(KEYS_KEPT)) {
        std::fs::remove_file(old).map_err(|error| KeyError::new(old, error))?;
    }
    Ok(path)
}

impl Ring {
    fn read(folder: &Path) -> Result<Self, KeyError> {
        let files = key_files(folder)?;
        let mut decoding = HashMap::new();
        let mut newest = None;
        for path in &files {
            let pkcs8 = std::fs::read(path).map_err(|error| KeyError::new(path, error))?;
            let pair = Ed25519KeyPair::from_pkcs8(&pkcs8).map_err(|error| KeyError::new(path, error))?;
            let public = pair.public_key().as_ref();
            let digest = digest::digest(&digest::SHA256, public);
            let kid: String = digest.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            decoding.insert(kid.clone(), DecodingKey::from_ed_der(public));
            newest = Some((kid, EncodingKey::from_ed_der(&pkcs8)));
        }
        let (kid, encoding) = newest.ok_or_else(|| KeyError::new(folder, "holds no key of tokens"))?;
        Ok(Self { files, kid, encoding, decoding })
    }
}

impl Tokens {
    pub(super) fn open(keys: &Path, ttl_seconds: u64) -> Result<Self, KeyError> {
        let path = keys.join(FIRST_KEY);
        // The folder may not be there yet; then there is no key either.
        if key_files(keys).unwrap_or_default().is_empty() {
            read_or_create(&path, new_key)?;
        }
        Ok(Self {
            folder: keys.to_owned(),
            ring: RwLock::new(Arc::new(Ring::read(keys)?)),
            listed: Mutex::default(),
            ttl_seconds: AtomicU64::new(ttl_seconds),
        })
    }

    /// Another life for tokens that are issued from now on, seconds.
    pub(super) fn set_ttl(&self, seconds: u64) {
        self.ttl_seconds.store(seconds, Ordering::Relaxed);
    }

    fn ring(&self) -> Arc<Ring> {
        Arc::clone(&self.ring.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes up keys that came or went; what cannot be read changes nothing and is tried again.
    pub fn reload_if_changed(&self, now: Millis) {
        // Before the listing: what changes meanwhile is for the next time.
        let changed = std::fs::metadata(&self.folder).and_then(|folder| folder.modified()).ok();
        let mut listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        if changed.is_some() && *listed == changed {
            return;
        }
        *listed = self.reload().then_some(changed).flatten().filter(|at| is_past(*at, now));
    }

    /// Whether the keys are those of the folder now.
    fn reload(&self) -> bool {
        match key_files(&self.folder) {
            Ok(files) if files == self.ring().files || files.is_empty() => return true,
            Ok(_) => match Ring::read(&self.folder) {
                Ok(ring) => {
                    tracing::info!(kid = ring.kid, keys = ring.decoding.len(), "another key signs access tokens");
                    *self.ring.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ring);
                    return true;
                }
                Err(error) => tracing::error!(%error, "the keys of access tokens changed and cannot be read"),
            },
            Err(error) => tracing::error!(%error, "the keys of access tokens cannot be listed"),
        }
        false
    }

    /// A token for a device, and when it expires.
    ///
    /// # Errors
    /// A key that cannot sign.
    pub fn issue(&self, holder: Holder, now: Millis) -> Result<(Secret, Millis), TokenError> {
        self.issue_for(holder, now, self.ttl_seconds.load(Ordering::Relaxed))
    }

    /// As [`Self::issue`], with a life of its own; for `confab token mint`.
    ///
    /// # Errors
    /// A key that cannot sign.
    pub fn issue_for(&self, holder: Holder, now: Millis, ttl_seconds: u64) -> Result<(Secret, Millis), TokenError> {
        let seconds = now.0 / 1000;
        let exp = seconds.saturating_add(ttl_seconds);
        let wire = Wire {
            iss: ISSUER.into(),
            aud: ISSUER.into(),
            sub: holder.user.to_string(),
            dev: holder.device.to_string(),
            ver: holder.version,
            login: holder.login,
            iat: seconds,
            nbf: seconds,
            exp,
        };
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TYPE.into());
        let ring = self.ring();
        header.kid = Some(ring.kid.clone());
        let token = jsonwebtoken::encode(&header, &wire, &ring.encoding).map_err(|_| TokenError::Invalid)?;
        Ok((Secret::new(token), Millis(exp.saturating_mul(1000))))
    }

    /// Checks a token completely; the store still has to know user and device.
    ///
    /// # Errors
    /// [`TokenError::Expired`] only for one of ours; everything else is invalid.
    pub fn verify(&self, token: &Secret, now: Millis) -> Result<Claims, TokenError> {
        let token = token.expose();
        if token.len() > TOKEN_BYTES_MAX || token.bytes().filter(|byte| *byte == b'.').count() != 2 {
            return Err(TokenError::Invalid);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Invalid)?;
        let known_type = header.typ.as_deref() == Some(TYPE);
        if header.alg != Algorithm::EdDSA || !known_type || header.crit.is_some() {
            return Err(TokenError::Invalid);
        }
        let ring = self.ring();
        let key = header.kid.as_ref().and_then(|kid| ring.decoding.get(kid)).ok_or(TokenError::Invalid)?;
        let wire = jsonwebtoken::decode::<Wire>(token, key, &validation()).map_err(|_| TokenError::Invalid)?.claims;
        // Time is ours to judge: the library would read the machine's clock.
        let seconds = now.0 / 1000;
        let latest = seconds.saturating_add(LEEWAY_SECONDS);
        let life = wire.exp.saturating_sub(wire.iat);
        let is_life_ours = (1..=LIFE_SECONDS_MAX + LEEWAY_SECONDS).contains(&life);
        if wire.nbf > latest || wire.iat > latest || !is_life_ours {
            return Err(TokenError::Invalid);
        }
        if wire.exp.saturating_add(LEEWAY_SECONDS) <= seconds {
            return Err(TokenError::Expired);
        }
        Ok(Claims {
            user: wire.sub.parse().map_err(|_| TokenError::Invalid)?,
            device: wire.dev.parse().map_err(|_| TokenError::Invalid)?,
            version: wire.ver,
            login: wire.login,
            expires: Millis(wire.exp.saturating_mul(1000)),
        })
    }
}

/// Whether a change was so long ago that another one would show by another time.
fn is_past(changed: SystemTime, now: Millis) -> bool {
    let since_1970 = changed.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).is_ok_and(|at| at.saturating_add(STEP_MS_MAX) < now.0)
}

fn validation() -> Validation {
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_required_spec_claims(&["iss", "aud", "sub"]);
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[ISSUER]);
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation
}

/// A new refresh token and the hash that the store keeps of it.
pub(in crate::core) fn opaque_token() -> (Secret, [u8; 32]) {
    let token = URL_SAFE_NO_PAD.encode(random_bytes::<32>());
    let hash = opaque_hash(&token);
    (Secret::new(token), hash)
}

/// The hash of an offered one.
pub(in crate::core) fn opaque_hash(token: &str) -> [u8; 32] {
    digest::digest(&digest::SHA256, token.as_bytes()).as_ref().first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const NOW: Millis = Millis(1_800_000_000_000);

    fn tokens() -> (Tokens, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        (Tokens::open(dir.path(), 900).unwrap(), dir)
    }

    fn good() -> Value {
        let now = NOW.0 / 1000;
        let id = UserId::new(NOW, 7).to_string();
        json!({"iss": "confab", "aud": "confab", "sub": id, "dev": id, "ver": 0, "login": 0, "iat": now, "nbf": now, "exp": now + 900})
    }

    fn header(tokens: &Tokens) -> Value {
        json!({"alg": "EdDSA", "typ": "at+jwt", "kid": tokens.ring().kid})
    }

    /// Signs whatever header and claims with the server's own key.
    fn forge(dir: &tempfile::TempDir, header: &str, claims: &str) -> Secret {
        let pkcs8 = std::fs::read(dir.path().join(FIRST_KEY)).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(&pkcs8).unwrap();
        let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = URL_SAFE_NO_PAD.encode(pair.sign(input.as_bytes()));
        Secret::new(format!("{input}.{signature}"))
    }

    #[test]
    fn issued_tokens_verify_until_they_expire() {
        let (tokens, _dir) = tokens();
        let (user, device) = (UserId::new(NOW, 1), DeviceId::new(NOW, 2));
        let (token, expires) = tokens.issue(Holder { user, device, version: 3, login: 2 }, NOW).unwrap();
        let claims = Claims { user, device, version: 3, login: 2, expires };
        assert_eq!(tokens.verify(&token, NOW), Ok(claims.clone()));
        assert_eq!(tokens.verify(&token, NOW.after(904_000)), Ok(claims));
        assert_eq!(tokens.verify(&token, NOW.after(905_000)), Err(TokenError::Expired));
        assert_eq!(tokens.verify(&token, Millis(NOW.0 - 6_000)), Err(TokenError::Invalid), "not yet");
    }

    #[test]
    fn the_folder_is_listed_when_it_changed_and_within_the_moment_of_a_change() {
        let (tokens, dir) = tokens();
        let changed_at = |at: Millis| {
            let time = UNIX_EPOCH + std::time::Duration::from_millis(at.0);
            std::fs::File::open(dir.path()).unwrap().set_modified(time).unwrap();
        };
        let keys = |now: Millis| {
            tokens.reload_if_changed(now);
            tokens.ring().files.len()
        };
        changed_at(NOW);
        assert_eq!(keys(NOW.after(500)), 1);
        // Another key, in the same moment to the file system.
        rotate_keys(dir.path(), NOW).unwrap();
        changed_at(NOW);
        assert_eq!(keys(NOW.after(1_000)), 2);
        assert_eq!(keys(NOW.after(5_000)), 2);
        // From here on the folder is not looked into, until it says that it changed.
        std::fs::remove_file(dir.path().join(FIRST_KEY)).unwrap();
        changed_at(NOW);
        assert_eq!(keys(NOW.after(6_000)), 2, "listed for nothing");
        changed_at(NOW.after(6_000));
        assert_eq!(keys(NOW.after(6_100)), 1);
    }

    #[test]
    fn a_flipped_bit_anywhere_is_refused() {
        let (tokens, dir) = tokens();
        let token = forge(&dir, &header(&tokens).to_string(), &good().to_string());
        assert!(tokens.verify(&token, NOW).is_ok());
        for index in 0..token.expose().len() {
            let mut bytes = token.expose().as_bytes().to_vec();
            bytes[index] ^= 1;
            let flipped = Secret::new(String::from_utf8_lossy(&bytes));
            assert_eq!(tokens.verify(&flipped, NOW), Err(TokenError::Invalid), "byte {index}");
        }
    }

    #[test]
    fn headers_that_are_not_ours_are_refused() {
        let (tokens, dir) = tokens();
        let cases = [
            json!({"alg": "none", "typ": "at+jwt", "kid": tokens.ring().kid}),
            json!({"alg": "HS256", "typ": "at+jwt", "kid": tokens.ring().kid}),
            json!({"alg": "EdDSA", "typ": "JWT", "kid": tokens.ring().kid}),
            json!({"alg": "EdDSA", "kid": tokens.ring().kid}),
            json!({"alg": "EdDSA", "typ": "at+jwt"}),
            json!({"alg": "EdDSA", "typ": "at+jwt", "kid": "../../etc/passwd"}),
            json!({"alg": "EdDSA", "typ": "at+jwt", "kid": "' OR 1=1 --"}),
            json!({"alg": "EdDSA", "typ": "at+jwt", "kid": "k".repeat(10_000)}),
            json!({"alg": "EdDSA", "typ": "at+jwt", "kid": tokens.ring().kid, "crit": ["x"], "x": 1}),
        ];
        for case in cases {
            let token = forge(&dir, &case.to_string(), &good().to_string());
            assert_eq!(tokens.verify(&token, NOW), Err(TokenError::Invalid), "{case}");
        }
    }

    #[test]
    fn claims_that_are_missing_or_wrong_are_refused() {
        let (tokens, dir) = tokens();
        let now = NOW.0 / 1000;
        let cases = [
            ("iss", Value::Null),
            ("iss", json!("other")),
            ("aud", Value::Null),
            ("aud", json!(5)),
            ("aud", json!(["confab", "x"])),
            ("sub", Value::Null),
            ("sub", json!("root")),
            ("dev", Value::Null),
            ("exp", Value::Null),
            ("exp", json!("soon")),
            ("exp", json!(1.5)),
            ("exp", json!(-1)),
            ("exp", json!(u64::MAX)),
            ("nbf", Value::Null),
            ("nbf", json!(now + 60)),
            ("iat", json!(now + 60)),
            ("exp", json!(now)),
        ];
        for (claim, value) in cases {
            let mut claims = good();
            let object = claims.as_object_mut().unwrap();
            match value {
                Value::Null => object.remove(claim),
                value => object.insert(claim.into(), value),
            };
            let token = forge(&dir, &header(&tokens).to_string(), &claims.to_string());
            let verdict = tokens.verify(&token, NOW);
            assert_eq!(verdict, Err(TokenError::Invalid), "{claim} {claims}");
        }
    }

    #[test]
    fn shapes_that_are_no_token_are_refused() {
        let (tokens, _dir) = tokens();
        for shape in ["", "a", "a.b", "a.b.c", "....", "a.b.c.d.e", &"x".repeat(1 << 20), &"[".repeat(2_000)] {
            assert_eq!(tokens.verify(&Secret::new(shape), NOW), Err(TokenError::Invalid));
        }
    }
}
