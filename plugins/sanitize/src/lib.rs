//! Text without characters that deceive or disturb: normalised to NFC (UAX #15), without control
//! characters, bidi overrides (Trojan Source, CVE-2021-42574), invisible characters outside the scripts and
//! emoji that need them, variation selectors but for one behind what has forms, and without towers of combining marks.
//! Separators of lines and paragraphs are new lines; in names they are spaces. Markup is text and stays.
//!
//! There is nothing to configure: a table `plugins.config.sanitize` with any key in it is refused.

mod clean;
mod forms;

pub use clean::clean;
use clean::is_line_end;
use confab_plugin::message::{Event, Guest, Kind};
use confab_plugin::{Verdict, lifecycle};

/// The plugin.
pub struct Sanitize;

impl lifecycle::Guest for Sanitize {
    fn init(config: String) -> Result<(), String> {
        // No parser of JSON for this: all that matters is whether there is a key, and its name is the first string.
        if config.chars().all(|c| c.is_whitespace() || matches!(c, '{' | '}')) {
            return Ok(());
        }
        let key = config.split('"').nth(1).unwrap_or_default();
        Err(format!("sanitize: unknown field `{key}`: it has nothing to configure"))
    }
}

impl Guest for Sanitize {
    fn decide(event: Event) -> Verdict {
        let cleaned = match event.kind {
            Kind::New | Kind::Edit => clean(&event.body),
            Kind::Reaction | Kind::Room | Kind::DisplayName => clean_line(&event.body),
        };
        cleaned.map_or(Verdict::Allow, Verdict::Replace)
    }
}

/// Of a name, which is one line: what would begin another is a space. The topic of a room begins with the next line.
fn clean_line(text: &str) -> Option<String> {
    if !text.contains(is_line_end) {
        return clean(text);
    }
    let text = text.replace(is_line_end, " ");
    Some(clean(&text).unwrap_or(text))
}

confab_plugin::export!(Sanitize: message, lifecycle);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_refused_by_name() {
        for config in ["", "{}", " { } "] {
            assert_eq!(<Sanitize as lifecycle::Guest>::init(config.into()), Ok(()), "{config:?}");
        }
        for config in [r#"{"marks": 3}"#, r#"{"marks":{}, "other": 1}"#] {
            let error = <Sanitize as lifecycle::Guest>::init(config.into()).unwrap_err();
            assert!(error.contains("unknown field `marks`") && !error.contains('\n'), "{error}");
        }
    }
}
