//! Names that nobody takes or shows: those of the accounts under which plugins act. Nor does anybody take one of those that
//! accounts have after their erasure.

use confab_protocol::limits::USERNAME_BYTES_MAX;
use confab_protocol::model::{DisplayName, TextError, Username};
use confab_protocol::reject::{Reject, RejectCode};

use super::check;
use super::key::{skeleton, user_key};

/// What the user name of a plugin's account begins with; behind it comes the plugin's id. Stores know it too: such an
/// account is nobody who could be told of a case.
pub const DEPUTY_PREFIX: &str = "plugin.";

/// What the user name of an erased account begins with. By it servers tell that an account is one.
pub const ERASED_PREFIX: &str = "erased-";

/// Bytes that are left for the id.
pub const DEPUTY_ID_BYTES_MAX: usize = USERNAME_BYTES_MAX - DEPUTY_PREFIX.len();

/// The user name of a plugin's account.
///
/// # Errors
/// An id that is longer than [`DEPUTY_ID_BYTES_MAX`], or holds what user names do not.
pub fn deputy_name(plugin: &str) -> Result<Username, TextError> {
    Username::parse(&format!("{DEPUTY_PREFIX}{plugin}"))
}

/// Whether a user name is one of a plugin's account, or looks like one.
#[must_use]
pub fn is_reserved(name: &Username) -> bool {
    begins_with(name, DEPUTY_PREFIX)
}

/// As the eye reads it.
fn begins_with(name: &Username, prefix: &str) -> bool {
    user_key(name).as_str().starts_with(skeleton(prefix).as_str())
}

/// Whether a person, or a bot, may be called so.
///
/// # Errors
/// [`RejectCode::NameInvalid`], with the reason.
pub fn check_user_name(name: &Username) -> Result<(), Reject> {
    let reserved = [(DEPUTY_PREFIX, "plugins"), (ERASED_PREFIX, "erased accounts")];
    let Some((prefix, whose)) = reserved.into_iter().find(|(prefix, _)| begins_with(name, prefix)) else {
        return Ok(());
    };
    let detail = format!("user names that begin with \"{prefix}\" are those of {whose}: choose another");
    Err(Reject::new(RejectCode::NameInvalid, detail))
}

/// Whether a name that is shown reads like one of those. It is shown as it was given, so a capital I may stand for a small l.
fn reads_reserved(name: &str) -> bool {
    let read = |text: &str| skeleton(text).as_str().replace('i', "l");
    read(name).starts_with(&read(DEPUTY_PREFIX))
}

/// Whether a person, or a bot, may be shown by this name.
///
/// # Errors
/// [`RejectCode::NameInvalid`], with the reason.
pub fn check_display_name(name: &DisplayName) -> Result<(), Reject> {
    check(name.as_str()).map_err(|error| error.reject("display name"))?;
    if reads_reserved(name.as_str()) {
        let detail = format!("display names that begin with \"{DEPUTY_PREFIX}\" are those of plugins: choose another");
        return Err(Reject::new(RejectCode::NameInvalid, detail));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_called_like_a_plugin() {
        for (name, expected) in [
            ("plugin.words", true),
            ("Plugin.Words", true),
            ("plugin.", true),
            // As the eye reads them.
            ("p1ugin.words", true),
            ("plugin", false),
            ("plugins", false),
            ("plugin-words", false),
            ("plugin_words", false),
            ("my.plugin.words", false),
            ("words", false),
        ] {
            let name = Username::parse(name).unwrap();
            assert_eq!((is_reserved(&name), check_user_name(&name).is_err()), (expected, expected), "{name}");
        }
    }

    #[test]
    fn nobody_is_called_like_who_was_erased() {
        for (name, expected) in [
            ("erased-0123456789abcdef", true),
            ("Erased-Bob", true),
            ("erased-", true),
            ("erased", false),
            ("erased.bob", false),
            ("bob-erased-1", false),
        ] {
            let name = Username::parse(name).unwrap();
            let refused = check_user_name(&name).err();
            assert_eq!(refused.is_some(), expected, "{name}");
            assert!(refused.is_none_or(|it| it.is(RejectCode::NameInvalid) && it.detail.contains("erased")), "{name}");
            assert!(!is_reserved(&name), "{name} is no plugin's");
        }
    }

    #[test]
    fn nobody_is_shown_like_a_plugin() {
        for (name, expected) in [
            ("plugin.words", true),
            ("Plugin.Words", true),
            ("PLUGIN.x", true),
            ("pIugin.words", true),
            ("plugin. words", true),
            ("ｐｌｕｇｉｎ．words", true),
            ("plugin", false),
            ("plugins and words", false),
            ("my plugin.words", false),
            ("Ilya", false),
        ] {
            let Ok(name) = DisplayName::parse(name) else { panic!("{name}") };
            assert_eq!(check_display_name(&name).is_err(), expected, "{name:?}");
        }
    }

    #[test]
    fn a_plugin_has_a_name_if_its_id_is_short_enough() {
        let longest = "a".repeat(DEPUTY_ID_BYTES_MAX);
        assert_eq!(deputy_name("words").unwrap().as_str(), "plugin.words");
        assert!(is_reserved(&deputy_name(&longest).unwrap()));
        assert!(deputy_name(&format!("{longest}a")).is_err());
    }
}
