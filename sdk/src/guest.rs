//! The guest's side of the contract: bindings, a module for each capability, and the words for verdicts.

#[doc(hidden)]
#[allow(missing_docs, clippy::all, clippy::pedantic, unsafe_code, unreachable_pub, reason = "generated")]
pub mod capabilities {
    wit_bindgen::generate!({
        world: "capabilities-and-target",
        path: "wit/since_v0_1",
        generate_unused_types: true,
    });
}

pub use self::capabilities::confab::plugin::types::{
    ActVerdict, Finding, Flagging, Form, Id, Person, Refusal, Role, RoomRole, Span, Verdict,
};

/// Capability `log`: lines in the server's log. Outside wasm they go to standard error.
///
/// ```
/// use confab_plugin::log::{self, Level};
///
/// log::write(Level::Warn, "a list is empty: nothing will be found");
/// ```
pub mod log {
    pub use super::capabilities::confab::plugin::log::Level;

    /// At most 1 KiB is kept, at most 50 lines a second.
    pub fn write(level: Level, text: &str) {
        #[cfg(target_arch = "wasm32")]
        super::capabilities::confab::plugin::log::write(level, text);
        #[cfg(not(target_arch = "wasm32"))]
        eprintln!("{level:?}: {text}");
    }
}

/// Capability `metrics`: counters among the server's metrics. Outside wasm they are not kept.
///
/// ```
/// // confab_plugin_custom_total{plugin="...", name="adverts"}
/// confab_plugin::metrics::count("adverts", 1);
/// ```
pub mod metrics {
    /// Counts something; at most 20 names.
    pub fn count(name: &str, by: u64) {
        #[cfg(target_arch = "wasm32")]
        super::capabilities::confab::plugin::metrics::count(name, by);
        #[cfg(not(target_arch = "wasm32"))]
        let _ = (name, by);
    }
}

impl Finding {
    /// Found by this rule.
    #[must_use]
    pub fn of(rule: &str) -> Self {
        Self { rule: rule.to_owned(), where_: None, note: String::new() }
    }

    /// In these bytes of that form of the text.
    #[must_use]
    pub fn at(self, form: Form, range: std::ops::Range<usize>) -> Self {
        let number = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Self { where_: Some(Span { form, start: number(range.start), end: number(range.end) }), ..self }
    }

    /// With a word for moderators.
    #[must_use]
    pub fn noting(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }
}

/// Not like this: the author may change it.
#[must_use]
pub fn bounce(rule: &str, reason: &str) -> Verdict {
    Verdict::Bounce(Refusal { reason: reason.to_owned(), finding: Finding::of(rule) })
}

/// Not at all.
#[must_use]
pub fn reject(rule: &str, reason: &str) -> Verdict {
    Verdict::Reject(Refusal { reason: reason.to_owned(), finding: Finding::of(rule) })
}

/// Kept for review.
#[must_use]
pub fn hold(rule: &str) -> Verdict {
    Verdict::Hold(Finding::of(rule))
}

/// Posted, and noted.
#[must_use]
pub fn flag(rule: &str, label: &str, score: u8) -> Verdict {
    Verdict::Flag(Flagging { label: label.to_owned(), score, finding: Finding::of(rule) })
}
