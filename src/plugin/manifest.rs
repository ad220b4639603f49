//! What a plugin says of itself, in `<id>.toml` beside its component.

use std::ops::RangeInclusive;
use std::time::Duration;

use confab_plugin::kept::is_tame;
use serde::Deserialize;

use super::check_capability;
use super::engine::capability_of;
use super::limits::Limits;
use crate::config::OnError;

/// Contract versions that this server speaks.
pub(super) const API: &str = "0.1";
const ID_BYTES_MAX: usize = 64;
/// A version, and the name of a capability.
const PLAIN_BYTES_MAX: usize = 64;
/// By this name the audit knows the server itself.
pub(super) const SERVER_ID: &str = "server";
/// How often a plugin may tick.
const TICK_SECONDS: RangeInclusive<u64> = 1..=3_600;

/// What a plugin can take part in, by the names of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Hook {
    Message,
    Join,
    Invite,
    RoleChange,
    Register,
    Login,
    Report,
    Appeal,
    Attachment,
    MlsHandshake,
    E2eeMessage,
    Tick,
    Observe,
    ObserveSession,
}

impl Hook {
    pub(super) const ALL: [Self; 14] = [
        Self::Message,
        Self::Join,
        Self::Invite,
        Self::RoleChange,
        Self::Register,
        Self::Login,
        Self::Report,
        Self::Appeal,
        Self::Attachment,
        Self::MlsHandshake,
        Self::E2eeMessage,
        Self::Tick,
        Self::Observe,
        Self::ObserveSession,
    ];

    /// Whether anything asks it: some are declared for what is to come.
    pub(super) const fn is_live(self) -> bool {
        !matches!(self, Self::Attachment | Self::MlsHandshake | Self::E2eeMessage)
    }

    /// Whether it is called beside the messages, and decides nothing.
    pub(super) const fn is_aside(self) -> bool {
        matches!(self, Self::Tick | Self::Observe | Self::ObserveSession)
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Join => "join",
            Self::Invite => "invite",
            Self::RoleChange => "role-change",
            Self::Register => "register",
            Self::Login => "login",
            Self::Report => "report",
            Self::Appeal => "appeal",
            Self::Attachment => "attachment",
            Self::MlsHandshake => "mls-handshake",
            Self::E2eeMessage => "e2ee-message",
            Self::Tick => "tick",
            Self::Observe => "observe",
            Self::ObserveSession => "observe-session",
        }
    }
}

/// What a guest is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Class {
    /// Machine code of its own: microseconds, called where the message is handled.
    #[default]
    Compiled,
    /// An interpreter with a script, JavaScript or Python: called on threads of their own, with a larger budget.
    Interpreted,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    pub(super) id: String,
    pub(super) version: String,
    pub(super) api: String,
    pub(super) hooks: Vec<Hook>,
    #[serde(default)]
    pub(super) capabilities: Vec<String>,
    /// Without it messages and acts pass, and nobody registers or logs in. What the configuration says takes its place.
    pub(super) on_error: Option<OnError>,
    #[serde(default)]
    pub(super) class: Class,
    /// Of a plugin that ticks.
    #[serde(default)]
    tick_seconds: Option<u64>,
    /// Less than the server gives.
    #[serde(default)]
    pub(super) limits: Limits,
}

/// What a plugin is told that was made for another server.
pub(super) fn other_contract(version: &str) -> String {
    format!(
        "made for contract {version}, this server speaks {API}: build it anew with the SDK that this server's `confab \
         plugin new` writes, and api = \"{API}\" in its manifest"
    )
}

/// Where something is wrong. What is missing is missing in no line.
fn line_of(error: &toml::de::Error, text: &str) -> String {
    let before = error.span().and_then(|span| text.get(..span.start)).filter(|before| !before.is_empty());
    before.map_or_else(String::new, |before| format!(", line {}", before.matches('\n').count() + 1))
}

/// It quotes what stands there.
fn tame(error: &toml::de::Error) -> String {
    error.message().chars().filter(|c| *c == '\n' || is_tame(*c)).collect()
}

/// An id is a name of files and metrics, and no path.
pub(super) fn check_id(id: &str) -> Result<(), String> {
    let is_name = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '-');
    if id == SERVER_ID {
        return Err(format!("no id of a plugin: the audit calls the server itself {SERVER_ID}"));
    }
    let begins_well = id.starts_with(|c: char| c.is_ascii_lowercase());
    if begins_well && id.len() <= ID_BYTES_MAX && id.chars().all(is_name) {
        return Ok(());
    }
    Err(format!("no id of a plugin: it begins with a small letter and has at most {ID_BYTES_MAX} of a-z 0-9 -"))
}

/// It is shown on terminals and stands in logs: nothing in it moves or hides what stands beside it.
fn check_plain(key: &str, text: &str) -> Result<(), String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+' | '_');
    if !text.is_empty() && text.len() <= PLAIN_BYTES_MAX && text.chars().all(is_plain) {
        return Ok(());
    }
    Err(format!("{key} in the manifest: 1 to {PLAIN_BYTES_MAX} of A-Z a-z 0-9 . - + _"))
}

impl Manifest {
    pub(super) fn parse(id: &str, bytes: &[u8]) -> Result<Self, String> {
        check_id(id)?;
        let text = std::str::from_utf8(bytes).map_err(|_| "the manifest is not UTF-8".to_owned())?;
        let manifest: Self =
            toml::from_str(text).map_err(|error| format!("manifest{}: {}", line_of(&error, text), tame(&error)))?;
        check_id(&manifest.id).map_err(|reason| format!("id in the manifest: {reason}"))?;
        check_plain("version", &manifest.version)?;
        manifest.capabilities.iter().try_for_each(|name| check_plain("capabilities", name))?;
        if manifest.id != id {
            return Err(format!(
                "the manifest is for {}: the component of that is {}.wasm, beside {}.toml",
                manifest.id, manifest.id, manifest.id
            ));
        }
        if manifest.api != API {
            return Err(other_contract(&manifest.api));
        }
        if manifest.hooks.is_empty() {
            let known: Vec<&str> = Hook::ALL.into_iter().map(Hook::name).collect();
            return Err(format!("hooks: there is none; this server knows {}", known.join(", ")));
        }
        manifest.check_capabilities()?;
        manifest.check_tick()?;
        Ok(manifest)
    }

    /// What there is not cannot be granted: its author reads so before it is installed.
    fn check_capabilities(&self) -> Result<(), String> {
        for name in &self.capabilities {
            let whole = capability_of(name);
            if whole != name.as_str() {
                return Err(format!("capabilities: {name} is a part of {whole}: declare {whole}"));
            }
            check_capability(name).map_err(|why| format!("capabilities: {why}"))?;
        }
        Ok(())
    }

    fn check_tick(&self) -> Result<(), String> {
        match (self.hooks.contains(&Hook::Tick), self.tick_seconds) {
            (true, Some(seconds)) if TICK_SECONDS.contains(&seconds) => Ok(()),
            (false, None) => Ok(()),
            (true, _) => {
                let (least, most) = (TICK_SECONDS.start(), TICK_SECONDS.end());
                Err(format!("tick_seconds: the hook tick takes a number from {least} to {most}"))
            }
            (false, Some(_)) => Err("tick_seconds: it is for the hook tick, which is not declared".to_owned()),
        }
    }

    /// How often it ticks, if it does.
    pub(super) fn tick_every(&self) -> Option<Duration> {
        self.tick_seconds.map(Duration::from_secs)
    }

    /// What holds for a hook while the plugin is out of service.
    pub(super) fn on_error(&self, hook: Hook) -> OnError {
        let default = if matches!(hook, Hook::Register | Hook::Login) { OnError::Closed } else { OnError::Open };
        self.on_error.unwrap_or(default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests() {
        let good = "id = \"x\"\nversion = \"1\"\napi = \"0.1\"\nhooks = [\"message\", \"role-change\"]";
        let manifest = Manifest::parse("x", good.as_bytes()).unwrap();
        Manifest::parse("x", good.replace("\"1\"", "\"1.0.0-rc_1+A\"").as_bytes()).unwrap();
        assert_eq!(
            (manifest.on_error(Hook::Message), manifest.on_error(Hook::Login)),
            (OnError::Open, OnError::Closed)
        );
        assert_eq!((manifest.hooks, manifest.class), (vec![Hook::Message, Hook::RoleChange], Class::Compiled));
        for (id, text, word) in [
            ("y", good.to_owned(), "is for x"),
            ("x", good.replace("0.1", "9.0"), "contract 9.0"),
            ("x", good.replace("message", "sleep"), "hooks"),
            ("x", good.replace("\"message\", \"role-change\"", ""), "hooks"),
            ("x", format!("{good}\nextra = 1"), "unknown field"),
            ("x", format!("{good}\n\"\\u202eextra\" = 1"), "unknown field `extra`"),
            ("x", format!("{good}\nextra"), "manifest, line 5"),
            ("x", format!("{good}\ncapabilities = [\"kv\", \"network\"]"), "\"network\": there are log,"),
            ("x", format!("{good}\ncapabilities = [\"target\"]"), "declare context"),
            ("x", good.replace("message", "tick"), "tick_seconds"),
            ("x", format!("{}\ntick_seconds = 0", good.replace("message", "tick")), "from 1 to 3600"),
            ("x", format!("{}\ntick_seconds = 3601", good.replace("message", "tick")), "from 1 to 3600"),
            ("x", format!("{good}\ntick_seconds = 5"), "not declared"),
            ("x", format!("{good}\nlimits = {{ call_ms = 0 }}"), "nonzero"),
            ("x", format!("{good}\nlimits = {{ calls = 1 }}"), "unknown field"),
            ("x", good.replace("\"1\"", "\"1\\u202e\""), "version in the manifest"),
            ("x", good.replace("\"1\"", "\"\\u001b[31m1\""), "version in the manifest"),
            ("x", good.replace("\"1\"", "\"\""), "version in the manifest"),
            ("x", good.replace("\"1\"", &format!("\"{}\"", "1".repeat(65))), "version in the manifest"),
            ("x", format!("{good}\ncapabilities = [\"kv\\u202e\"]"), "capabilities in the manifest"),
            ("x", good.replace("\"x\"", "\"x\\u202e\""), "id in the manifest"),
            ("../x", good.replace("\"x\"", "\"../x\""), "no id"),
            ("X", good.replace("\"x\"", "\"X\""), "no id"),
            ("", good.replace("\"x\"", "\"\""), "no id"),
            ("server", good.replace("\"x\"", "\"server\""), "no id"),
        ] {
            let error = Manifest::parse(id, text.as_bytes()).unwrap_err();
            assert!(error.contains(word) || error.contains("unknown variant"), "{error}");
        }
    }

    #[test]
    fn hooks_are_called_as_the_contract_calls_them() {
        for hook in Hook::ALL {
            let tick = if hook == Hook::Tick { "tick_seconds = 3600" } else { "" };
            let name = hook.name();
            let manifest = format!("id = \"x\"\nversion = \"1\"\napi = \"0.1\"\nhooks = [\"{name}\"]\n{tick}");
            assert_eq!(Manifest::parse("x", manifest.as_bytes()).unwrap().hooks, [hook]);
        }
    }
}
