//! A forger who knows the form of our tokens, and may even hold the server's key.

use std::path::Path;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

/// As JWTs have it.
pub fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A good token taken apart, and the keys to make others like it.
pub struct Forger {
    /// The good token.
    pub good: String,
    pub header: Value,
    pub claims: Value,
    own: Ed25519KeyPair,
    other: Ed25519KeyPair,
}

impl Forger {
    /// From a token of the server's, and its folder of keys.
    pub fn new(token: &str, keys: &Path) -> Self {
        let parts: Vec<&str> = token.split('.').collect();
        let json = |part: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
        let input = format!("{}.{}", parts[0], parts[1]);
        let signature = URL_SAFE_NO_PAD.decode(parts[2]).unwrap();
        let is_own = |pair: &Ed25519KeyPair| {
            UnparsedPublicKey::new(&ED25519, pair.public_key().as_ref()).verify(input.as_bytes(), &signature).is_ok()
        };
        let own = pairs(keys).into_iter().find(is_own).expect("one of the server's keys signed it");
        let other = Ed25519KeyPair::generate().unwrap();
        Self { good: token.to_owned(), header: json(parts[0]), claims: json(parts[1]), own, other }
    }

    /// The header with other fields; null takes one out.
    pub fn header_with(&self, fields: &Value) -> String {
        merged(&self.header, fields)
    }

    /// The claims with others.
    pub fn claims_with(&self, fields: &Value) -> String {
        merged(&self.claims, fields)
    }

    /// Whatever header and claims, signed by the server.
    pub fn own(&self, header: &str, claims: &str) -> String {
        let input = format!("{}.{}", base64(header), base64(claims));
        let signature = base64(self.own.sign(input.as_bytes()));
        format!("{input}.{signature}")
    }

    /// Signed by somebody else.
    pub fn other(&self, header: &str, claims: &str) -> String {
        let input = format!("{}.{}", base64(header), base64(claims));
        let signature = base64(self.other.sign(input.as_bytes()));
        format!("{input}.{signature}")
    }

    /// Somebody else's public key, as a header would bring it along.
    pub fn other_public(&self) -> String {
        base64(self.other.public_key().as_ref())
    }

    /// With what everybody may know of the server's key as a secret (RFC 8725 section 2.1).
    pub fn symmetric(&self, header: &str, claims: &str, encoding: PublicKeyAs) -> String {
        let public = self.own.public_key().as_ref();
        // SubjectPublicKeyInfo of Ed25519: a fixed head and the 32 bytes (RFC 8410 section 4).
        let head = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
        let der = [&head[..], public].concat();
        let secret = match encoding {
            PublicKeyAs::Raw => public.to_vec(),
            PublicKeyAs::Text => base64(public).into_bytes(),
            PublicKeyAs::Der => der,
            PublicKeyAs::Pem => {
                let body = base64::engine::general_purpose::STANDARD.encode(der);
                format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n").into_bytes()
            }
        };
        let input = format!("{}.{}", base64(header), base64(claims));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), input.as_bytes());
        format!("{input}.{}", base64(tag))
    }
}

/// Forms in which a public key may be at hand.
#[derive(Clone, Copy, Debug)]
pub enum PublicKeyAs {
    Raw,
    Text,
    Der,
    Pem,
}

/// All keys that sign tokens: there are several while they change.
fn pairs(keys: &Path) -> Vec<Ed25519KeyPair> {
    let files = std::fs::read_dir(keys).unwrap().map(|entry| entry.unwrap().path());
    let keys = files.filter(|path| path.extension().is_some_and(|extension| extension == "pk8"));
    keys.filter_map(|path| Ed25519KeyPair::from_pkcs8(&std::fs::read(path).unwrap()).ok()).collect()
}

fn merged(whole: &Value, fields: &Value) -> String {
    let mut whole = whole.clone();
    let object = whole.as_object_mut().unwrap();
    for (name, value) in fields.as_object().unwrap() {
        match value {
            Value::Null => object.remove(name),
            value => object.insert(name.clone(), value.clone()),
        };
    }
    whole.to_string()
}
