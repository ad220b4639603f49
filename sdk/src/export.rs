//! How a plugin says which hooks it takes part in.

/// Exports a type that implements the traits of these hooks: `export!(MyPlugin: message, join, lifecycle)`. Outside
/// wasm it does nothing, so that plugins can be tested natively.
#[macro_export]
macro_rules! export {
    ($plugin:ident: $($hook:ident),+ $(,)?) => {
        $($crate::export!(@ $plugin $hook);)+
    };
    (@ $plugin:ident message) => {
        $crate::export!(@ $plugin message export_message);
    };
    (@ $plugin:ident join) => {
        $crate::export!(@ $plugin join export_join);
    };
    (@ $plugin:ident invite) => {
        $crate::export!(@ $plugin invite export_invite);
    };
    (@ $plugin:ident role_change) => {
        $crate::export!(@ $plugin role_change export_role_change);
    };
    (@ $plugin:ident register) => {
        $crate::export!(@ $plugin register export_register);
    };
    (@ $plugin:ident login) => {
        $crate::export!(@ $plugin login export_login);
    };
    (@ $plugin:ident report) => {
        $crate::export!(@ $plugin report export_report);
    };
    (@ $plugin:ident appeal) => {
        $crate::export!(@ $plugin appeal export_appeal);
    };
    (@ $plugin:ident attachment) => {
        $crate::export!(@ $plugin attachment export_attachment);
    };
    (@ $plugin:ident mls_handshake) => {
        $crate::export!(@ $plugin mls_handshake export_mls_handshake);
    };
    (@ $plugin:ident e2ee_message) => {
        $crate::export!(@ $plugin e2ee_message export_e2ee_message);
    };
    (@ $plugin:ident lifecycle) => {
        $crate::export!(@ $plugin lifecycle export_lifecycle);
    };
    (@ $plugin:ident tick) => {
        $crate::export!(@ $plugin tick export_tick);
    };
    (@ $plugin:ident observe) => {
        $crate::export!(@ $plugin observe export_observe);
    };
    (@ $plugin:ident observe_session) => {
        $crate::export!(@ $plugin observe_session export_observe_session);
    };
    (@ $plugin:ident $hook:ident $export:ident) => {
        const _: () = {
            const fn implements<T: $crate::$hook::Guest>() {}
            implements::<$plugin>();
        };
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            $crate::$hook::$export!($plugin with_types_in $crate::$hook);
        };
    };
}
