//! What a plugin says of itself, in `<id>.toml` beside its component.

use serde::Deserialize;

/// Contract versions that this server speaks.
const API: &str = "0.1";

/// What holds while a plugin's breaker is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum OnError {
    /// Messages pass.
    Open,
    /// Messages are refused.
    Closed,
    /// Messages wait for review.
    Hold,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    pub(super) id: String,
    pub(super) version: String,
    pub(super) api: String,
    pub(super) hooks: Vec<String>,
    #[serde(default)]
    pub(super) capabilities: Vec<String>,
    #[serde(default = "open")]
    pub(super) on_error: OnError,
}

const fn open() -> OnError {
    OnError::Open
}

impl Manifest {
    pub(super) fn parse(id: &str, bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "the manifest is not UTF-8".to_owned())?;
        let manifest: Self = toml::from_str(text).map_err(|error| format!("manifest: {}", error.message()))?;
        if manifest.id != id {
            return Err(format!("the manifest is for {}", manifest.id));
        }
        if manifest.api != API {
            return Err(format!("made for contract {}, this server speaks {API}", manifest.api));
        }
        if manifest.hooks != ["message"] {
            return Err("hooks: this server knows \"message\"".into());
        }
        Ok(manifest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests() {
        let good = "id = \"x\"\nversion = \"1\"\napi = \"0.1\"\nhooks = [\"message\"]\non_error = \"closed\"";
        let manifest = Manifest::parse("x", good.as_bytes()).unwrap();
        assert_eq!((manifest.on_error, manifest.capabilities.len()), (OnError::Closed, 0));
        for (id, text, word) in [
            ("y", good.to_owned(), "is for x"),
            ("x", good.replace("0.1", "9.0"), "contract 9.0"),
            ("x", good.replace("message", "login"), "hooks"),
            ("x", format!("{good}\nextra = 1"), "unknown field"),
        ] {
            let error = Manifest::parse(id, text.as_bytes()).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }
}
