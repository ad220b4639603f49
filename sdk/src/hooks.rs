//! The guest's side of the hooks: a module for each, with its event and the trait to implement.

/// The bindings of one hook. They are alike but for their names.
macro_rules! hook {
    ($(#[$doc:meta])* $hook:ident $world:tt $export:tt $path:tt { $($name:ident),+ }) => {
        $(#[$doc])*
        #[allow(missing_docs, clippy::all, clippy::pedantic, unsafe_code, unreachable_pub, reason = "generated")]
        pub mod $hook {
            wit_bindgen::generate!({
                world: $world,
                path: "wit/since_v0_1",
                pub_export_macro: true,
                export_macro_name: $export,
                default_bindings_module: $path,
                with: { "confab:plugin/types@0.1.0": crate::capabilities::confab::plugin::types },
            });
            pub use self::exports::confab::plugin::$hook::{$($name),+};
        }
    };
}

hook! {
    /// Hook `message`: somebody wants to write something that others will read.
    message "message-hook" "export_message" "confab_plugin::message" { Event, Guest, Kind }
}
hook! {
    /// Hook `join`: somebody wants to come into a room.
    join "join-hook" "export_join" "confab_plugin::join" { Event, Guest }
}
hook! {
    /// Hook `invite`: somebody wants to make an invitation.
    invite "invite-hook" "export_invite" "confab_plugin::invite" { Event, Guest }
}
hook! {
    /// Hook `role-change`: somebody wants to give another a role in a room.
    role_change "role-change-hook" "export_role_change" "confab_plugin::role_change" { Event, Guest }
}
hook! {
    /// Hook `register`: somebody wants an account.
    register "register-hook" "export_register" "confab_plugin::register" { Event, Guest }
}
hook! {
    /// Hook `login`: somebody logs in, and their password was right.
    login "login-hook" "export_login" "confab_plugin::login" { Event, Guest }
}
hook! {
    /// Hook `report`: somebody reports a message or a person.
    report "report-hook" "export_report" "confab_plugin::report" { Event, Guest }
}
hook! {
    /// Hook `appeal`: somebody asks for another look at a decision about them.
    appeal "appeal-hook" "export_appeal" "confab_plugin::appeal" { Event, Guest }
}
hook! {
    /// Shown what happened, after it did.
    observe "observe-hook" "export_observe" "confab_plugin::observe" { Guest, Message, Sanction }
}
hook! {
    /// Shown who comes and goes, after they did.
    observe_session "observe-session-hook" "export_observe_session" "confab_plugin::observe_session" {
        Closed, Guest, Opened
    }
}
hook! {
    /// Hook `attachment`: somebody wants to attach a file. Nothing asks it yet.
    attachment "attachment-hook" "export_attachment" "confab_plugin::attachment" { Event, Guest }
}
hook! {
    /// Hook `mls-handshake`: a message of an encrypted group's protocol. Nothing asks it yet.
    mls_handshake "mls-handshake-hook" "export_mls_handshake" "confab_plugin::mls_handshake" { Event, Guest }
}
hook! {
    /// Hook `e2ee-message`: a message that the server cannot read. Nothing asks it yet.
    e2ee_message "e2ee-message-hook" "export_e2ee_message" "confab_plugin::e2ee_message" { Event, Guest }
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

/// Life: called every so often.
#[allow(missing_docs, clippy::all, clippy::pedantic, unsafe_code, unreachable_pub, reason = "generated")]
pub mod tick {
    wit_bindgen::generate!({
        world: "tick-hook",
        path: "wit/since_v0_1",
        pub_export_macro: true,
        export_macro_name: "export_tick",
        default_bindings_module: "confab_plugin::tick",
    });
    pub use self::exports::confab::plugin::tick::Guest;
}
