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
    ///
    /// ```
    /// use confab_plugin::join::{Event, Guest};
    /// use confab_plugin::{ActVerdict, Finding, Refusal};
    ///
    /// struct NotAtOnce;
    ///
    /// impl Guest for NotAtOnce {
    ///     fn decide(event: Event) -> ActVerdict {
    ///         if event.by_invitation || event.who.account_age_seconds >= 3_600 {
    ///             return ActVerdict::Allow;
    ///         }
    ///         let finding = Finding::of("too-new");
    ///         ActVerdict::Reject(Refusal { reason: "come again in an hour".into(), finding })
    ///     }
    /// }
    ///
    /// confab_plugin::export!(NotAtOnce: join);
    /// # fn main() {}
    /// ```
    join "join-hook" "export_join" "confab_plugin::join" { Event, Guest }
}
hook! {
    /// Hook `invite`: somebody wants to make an invitation.
    ///
    /// ```
    /// use confab_plugin::invite::{Event, Guest};
    /// use confab_plugin::{ActVerdict, Finding, Refusal};
    ///
    /// struct FewAtATime;
    ///
    /// impl Guest for FewAtATime {
    ///     fn decide(event: Event) -> ActVerdict {
    ///         if event.uses <= 10 {
    ///             return ActVerdict::Allow;
    ///         }
    ///         let finding = Finding::of("many-uses").noting(format!("{} uses", event.uses));
    ///         ActVerdict::Reject(Refusal { reason: "at most 10 people by one invitation".into(), finding })
    ///     }
    /// }
    ///
    /// confab_plugin::export!(FewAtATime: invite);
    /// # fn main() {}
    /// ```
    invite "invite-hook" "export_invite" "confab_plugin::invite" { Event, Guest }
}
hook! {
    /// Hook `role-change`: somebody wants to give another a role in a room or, where that is none, on the server.
    ///
    /// ```
    /// use confab_plugin::role_change::{Event, Guest};
    /// use confab_plugin::{ActVerdict, Finding, Flagging, RoomRole};
    ///
    /// struct TellOfAdmins;
    ///
    /// impl Guest for TellOfAdmins {
    ///     fn decide(event: Event) -> ActVerdict {
    ///         if !matches!(event.role, RoomRole::Owner | RoomRole::Admin) {
    ///             return ActVerdict::Allow;
    ///         }
    ///         let finding = Finding::of("new-admin").noting(format!("by {}", event.who.username));
    ///         ActVerdict::Flag(Flagging { label: "roles".into(), score: 50, finding })
    ///     }
    /// }
    ///
    /// confab_plugin::export!(TellOfAdmins: role_change);
    /// # fn main() {}
    /// ```
    role_change "role-change-hook" "export_role_change" "confab_plugin::role_change" { Event, Guest }
}
hook! {
    /// Hook `register`: somebody wants an account.
    ///
    /// ```
    /// use confab_plugin::register::{Event, Guest};
    /// use confab_plugin::{ActVerdict, Finding, Refusal};
    ///
    /// struct NoStaff;
    ///
    /// impl Guest for NoStaff {
    ///     fn decide(event: Event) -> ActVerdict {
    ///         if event.invited || !event.username.contains("staff") {
    ///             return ActVerdict::Allow;
    ///         }
    ///         let finding = Finding::of("staff-name");
    ///         ActVerdict::Reject(Refusal { reason: "that name is kept for those who work here".into(), finding })
    ///     }
    /// }
    ///
    /// confab_plugin::export!(NoStaff: register);
    /// # fn main() {}
    /// ```
    register "register-hook" "export_register" "confab_plugin::register" { Event, Guest }
}
hook! {
    /// Hook `login`: somebody logs in, and their password was right. The owner is not asked about.
    ///
    /// ```
    /// use confab_plugin::login::{Event, Guest};
    /// use confab_plugin::{ActVerdict, Finding, Flagging, Role};
    ///
    /// struct TellOfAdminLogins;
    ///
    /// impl Guest for TellOfAdminLogins {
    ///     fn decide(event: Event) -> ActVerdict {
    ///         if !matches!(event.who.role, Role::Admin) {
    ///             return ActVerdict::Allow;
    ///         }
    ///         let finding = Finding::of("admin-login");
    ///         ActVerdict::Flag(Flagging { label: "logins".into(), score: 10, finding })
    ///     }
    /// }
    ///
    /// confab_plugin::export!(TellOfAdminLogins: login);
    /// # fn main() {
    /// #     let who = |role| confab_plugin::Person { id: (0, 1), username: "root".into(), role, account_age_seconds: 1 };
    /// #     let decide = |role| TellOfAdminLogins::decide(Event { who: who(role), time_ms: 1 });
    /// #     assert!(matches!(decide(Role::Admin), ActVerdict::Flag(_)) && matches!(decide(Role::User), ActVerdict::Allow));
    /// # }
    /// ```
    login "login-hook" "export_login" "confab_plugin::login" { Event, Guest }
}
hook! {
    /// Hook `report`: somebody reports a message or a person.
    ///
    /// ```
    /// use confab_plugin::report::{Event, Guest};
    /// use confab_plugin::{ActVerdict, Finding, Flagging};
    ///
    /// struct Urgent;
    ///
    /// impl Guest for Urgent {
    ///     fn decide(event: Event) -> ActVerdict {
    ///         if event.reason != "self-harm" {
    ///             return ActVerdict::Allow;
    ///         }
    ///         let finding = Finding::of("urgent").noting("somebody may be in danger");
    ///         ActVerdict::Flag(Flagging { label: "urgent".into(), score: 90, finding })
    ///     }
    /// }
    ///
    /// confab_plugin::export!(Urgent: report);
    /// # fn main() {}
    /// ```
    report "report-hook" "export_report" "confab_plugin::report" { Event, Guest }
}
hook! {
    /// Hook `appeal`: somebody asks for another look at a decision about them.
    ///
    /// ```
    /// use confab_plugin::appeal::{Event, Guest};
    /// use confab_plugin::{ActVerdict, Finding, Refusal};
    ///
    /// struct SaySomething;
    ///
    /// impl Guest for SaySomething {
    ///     fn decide(event: Event) -> ActVerdict {
    ///         if !event.text.trim().is_empty() {
    ///             return ActVerdict::Allow;
    ///         }
    ///         let finding = Finding::of("no-words");
    ///         ActVerdict::Reject(Refusal { reason: "say why it should be looked at again".into(), finding })
    ///     }
    /// }
    ///
    /// confab_plugin::export!(SaySomething: appeal);
    /// # fn main() {}
    /// ```
    appeal "appeal-hook" "export_appeal" "confab_plugin::appeal" { Event, Guest }
}
hook! {
    /// Shown what happened, after it did.
    ///
    /// ```
    /// use confab_plugin::metrics;
    /// use confab_plugin::observe::{Guest, Message, Sanction};
    ///
    /// struct Count;
    ///
    /// impl Guest for Count {
    ///     fn after_message(event: Message) {
    ///         metrics::count(if event.edited { "edits" } else { "messages" }, 1);
    ///     }
    ///
    ///     fn after_sanction(event: Sanction) {
    ///         if event.kind == "ban" && event.until_ms.is_none() {
    ///             metrics::count("bans_for_good", 1);
    ///         }
    ///     }
    /// }
    ///
    /// confab_plugin::export!(Count: observe);
    /// # fn main() {}
    /// ```
    observe "observe-hook" "export_observe" "confab_plugin::observe" { Guest, Message, Sanction }
}
hook! {
    /// Shown who comes and goes, after they did.
    ///
    /// ```
    /// use confab_plugin::log::{self, Level};
    /// use confab_plugin::observe_session::{Closed, Guest, Opened};
    ///
    /// struct Door;
    ///
    /// impl Guest for Door {
    ///     fn session_opened(event: Opened) {
    ///         log::write(Level::Info, &format!("{} came by {}", event.username, event.transport));
    ///     }
    ///
    ///     fn session_closed(event: Closed) {
    ///         log::write(Level::Info, &format!("{} left after {} s", event.username, event.open_ms / 1_000));
    ///     }
    /// }
    ///
    /// confab_plugin::export!(Door: observe_session);
    /// # fn main() {}
    /// ```
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
///
/// ```
/// use confab_plugin::lifecycle::Guest;
///
/// struct NothingToConfigure;
///
/// impl Guest for NothingToConfigure {
///     fn init(config: String) -> Result<(), String> {
///         if config == "{}" { Ok(()) } else { Err(format!("it has nothing to configure: {config}")) }
///     }
/// }
///
/// confab_plugin::export!(NothingToConfigure: lifecycle);
/// # fn main() {}
/// ```
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
///
/// ```
/// use confab_plugin::kv;
/// use confab_plugin::tick::Guest;
///
/// struct Heartbeat;
///
/// impl Guest for Heartbeat {
///     fn tick(time_ms: u64) {
///         kv::set("last-tick", &time_ms.to_le_bytes(), 3_600_000);
///     }
/// }
///
/// confab_plugin::export!(Heartbeat: tick);
/// # fn main() {}
/// ```
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
