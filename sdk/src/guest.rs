//! The guest's side of the contract: bindings, a module for each hook and capability, and the words for verdicts.

#[doc(hidden)]
#[allow(missing_docs, clippy::all, clippy::pedantic, unsafe_code, unreachable_pub, reason = "generated")]
pub mod capabilities {
    wit_bindgen::generate!({
        world: "capabilities",
        path: "wit/since_v0_1",
        generate_unused_types: true,
    });
}

pub use self::capabilities::confab::plugin::types::{
    ActVerdict, Finding, Flagging, Form, Id, Person, Refusal, Role, RoomRole, Span, Verdict,
};

/// Capability `log`: lines in the server's log. Outside wasm they go to standard error.
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
pub mod metrics {
    /// Counts something; at most 20 names.
    pub fn count(name: &str, by: u64) {
        #[cfg(target_arch = "wasm32")]
        super::capabilities::confab::plugin::metrics::count(name, by);
        #[cfg(not(target_arch = "wasm32"))]
        let _ = (name, by);
    }
}

/// Hook `message`: somebody wants to write something that others will read.
#[allow(missing_docs, clippy::all, clippy::pedantic, unsafe_code, unreachable_pub, reason = "generated")]
pub mod message {
    wit_bindgen::generate!({
        world: "message-hook",
        path: "wit/since_v0_1",
        pub_export_macro: true,
        export_macro_name: "export_message",
        default_bindings_module: "confab_plugin::message",
        with: { "confab:plugin/types@0.1.0": crate::capabilities::confab::plugin::types },
    });
    pub use self::exports::confab::plugin::message::{Event, Guest, Kind};
}

/// Hook `join`: somebody wants to come into a room.
#[allow(missing_docs, clippy::all, clippy::pedantic, unsafe_code, unreachable_pub, reason = "generated")]
pub mod join {
    wit_bindgen::generate!({
        world: "join-hook",
        path: "wit/since_v0_1",
        pub_export_macro: true,
        export_macro_name: "export_join",
        default_bindings_module: "confab_plugin::join",
        with: { "confab:plugin/types@0.1.0": crate::capabilities::confab::plugin::types },
    });
    pub use self::exports::confab::plugin::join::{Event, Guest};
}

/// Hook `invite`: somebody wants to make an invitation.
#[allow(missing_docs, clippy::all, clippy::pedantic, unsafe_code, unreachable_pub, reason = "generated")]
pub mod invite {
    wit_bindgen::generate!({
        world: "invite-hook",
        path: "wit/since_v0_1",
        pub_export_macro: true,
        export_macro_name: "export_invite",
        default_bindings_module: "confab_plugin::invite",
        with: { "confab:plugin/types@0.1.0": crate::capabilities::confab::plugin::types },
    });
    pub use self::exports::confab::plugin::invite::{Event, Guest};
}

/// Hook `role-change`: somebody wants to give another a role in a room.
#[allow(missing_docs, clippy::all, clippy::pedantic, unsafe_code, unreachable_pub, reason = "generated")]
pub mod role_change {
    wit_bindgen::generate!({
        world: "role-change-hook",
        path: "wit/since_v0_1",
        pub_export_macro: true,
        export_macro_name: "export_role_change",
        default_bindings_module: "confab_plugin::role_change",
        with: { "confab:plugin/types@0.1.0": crate::capabilities::confab::plugin::types },
    });
    pub use self::exports::confab::plugin::role_change::{Event, Guest};
}

/// Hook `register`: somebody wants an account.
#[allow(missing_docs, clippy::all, clippy::pedantic, unsafe_code, unreachable_pub, reason = "generated")]
pub mod register {
    wit_bindgen::generate!({
        world: "register-hook",
        path: "wit/since_v0_1",
        pub_export_macro: true,
        export_macro_name: "export_register",
        default_bindings_module: "confab_plugin::register",
        with: { "confab:plugin/types@0.1.0": crate::capabilities::confab::plugin::types },
    });
    pub use self::exports::confab::plugin::register::{Event, Guest};
}

/// Hook `login`: somebody logs in, and their password was right.
#[allow(missing_docs, clippy::all, clippy::pedantic, unsafe_code, unreachable_pub, reason = "generated")]
pub mod login {
    wit_bindgen::generate!({
        world: "login-hook",
        path: "wit/since_v0_1",
        pub_export_macro: true,
        export_macro_name: "export_login",
        default_bindings_module: "confab_plugin::login",
        with: { "confab:plugin/types@0.1.0": crate::capabilities::confab::plugin::types },
    });
    pub use self::exports::confab::plugin::login::{Event, Guest};
}

/// Life: called once for each instance, before anything else.
#[allow(missing_docs, clippy::all, clippy::pedantic, unsafe_code, unreachable_pub, reason = "generated")]
pub mod lifecycle {
    wit_bindgen::generate!({
        world: "lifecycle-hook",
        path: "wit/since_v0_1",
        pub_export_macro: true,
        export_macro_name: "export_lifecycle",
        default_bindings_module: "confab_plugin::lifecycle",
    });
    pub use self::exports::confab::plugin::lifecycle::Guest;
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

/// Exports a type that implements the traits of these hooks: `export!(MyPlugin: message, join, lifecycle)`. Outside
/// wasm it does nothing, so that plugins can be tested natively.
#[macro_export]
macro_rules! export {
    ($plugin:ident: $($hook:ident),+ $(,)?) => {
        $($crate::export!(@ $plugin $hook);)+
    };
    (@ $plugin:ident message) => {
        const _: () = {
            const fn implements<T: $crate::message::Guest>() {}
            implements::<$plugin>();
        };
        #[cfg(target_arch = "wasm32")]
        mod __confab_export_message {
            use super::$plugin;
            $crate::message::export_message!($plugin with_types_in $crate::message);
        }
    };
    (@ $plugin:ident join) => {
        const _: () = {
            const fn implements<T: $crate::join::Guest>() {}
            implements::<$plugin>();
        };
        #[cfg(target_arch = "wasm32")]
        mod __confab_export_join {
            use super::$plugin;
            $crate::join::export_join!($plugin with_types_in $crate::join);
        }
    };
    (@ $plugin:ident invite) => {
        const _: () = {
            const fn implements<T: $crate::invite::Guest>() {}
            implements::<$plugin>();
        };
        #[cfg(target_arch = "wasm32")]
        mod __confab_export_invite {
            use super::$plugin;
            $crate::invite::export_invite!($plugin with_types_in $crate::invite);
        }
    };
    (@ $plugin:ident role_change) => {
        const _: () = {
            const fn implements<T: $crate::role_change::Guest>() {}
            implements::<$plugin>();
        };
        #[cfg(target_arch = "wasm32")]
        mod __confab_export_role_change {
            use super::$plugin;
            $crate::role_change::export_role_change!($plugin with_types_in $crate::role_change);
        }
    };
    (@ $plugin:ident register) => {
        const _: () = {
            const fn implements<T: $crate::register::Guest>() {}
            implements::<$plugin>();
        };
        #[cfg(target_arch = "wasm32")]
        mod __confab_export_register {
            use super::$plugin;
            $crate::register::export_register!($plugin with_types_in $crate::register);
        }
    };
    (@ $plugin:ident login) => {
        const _: () = {
            const fn implements<T: $crate::login::Guest>() {}
            implements::<$plugin>();
        };
        #[cfg(target_arch = "wasm32")]
        mod __confab_export_login {
            use super::$plugin;
            $crate::login::export_login!($plugin with_types_in $crate::login);
        }
    };
    (@ $plugin:ident lifecycle) => {
        const _: () = {
            const fn implements<T: $crate::lifecycle::Guest>() {}
            implements::<$plugin>();
        };
        #[cfg(target_arch = "wasm32")]
        mod __confab_export_lifecycle {
            use super::$plugin;
            $crate::lifecycle::export_lifecycle!($plugin with_types_in $crate::lifecycle);
        }
    };
}
