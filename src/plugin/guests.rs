//! The hooks of one component: found once when it is loaded, and bound for each instance.

use wasmtime::Store;
use wasmtime::component::{Instance, InstancePre};

use super::host::HostState;
use super::host::bindings::exports::confab::plugin::{
    appeal, attachment, e2ee_message, invite, join, lifecycle, login, message, mls_handshake, observe, observe_session,
    register, report, role_change, tick,
};
use super::manifest::{Hook, Manifest};

macro_rules! hooks {
    (asked: $($field:ident),+; idle: $($idle:ident),+) => {
        /// Where each hook stands in a component that has it; of those that nothing asks yet, whether it has it.
        pub(super) struct Indices {
            $($field: Option<$field::GuestIndices>,)+
            $($idle: bool,)+
        }

        /// The hooks of an instance.
        pub(super) struct Guests { $(pub(super) $field: Option<$field::Guest>),+ }

        impl Indices {
            fn find(prepared: &InstancePre<HostState>) -> Self {
                Self {
                    $($field: $field::GuestIndices::new(prepared).ok(),)+
                    $($idle: $idle::GuestIndices::new(prepared).is_ok(),)+
                }
            }

            pub(super) fn load(&self, store: &mut Store<HostState>, instance: &Instance) -> wasmtime::Result<Guests> {
                Ok(Guests { $($field: self.$field.as_ref().map(|it| it.load(&mut *store, instance)).transpose()?),+ })
            }
        }
    };
}

hooks!(
    asked: message, join, invite, role_change, register, login, report, appeal, lifecycle, tick, observe,
        observe_session;
    idle: attachment, mls_handshake, e2ee_message
);

impl Indices {
    /// Finds the hooks, and that they are those that the manifest declares.
    pub(super) fn check(prepared: &InstancePre<HostState>, manifest: &Manifest) -> Result<Self, String> {
        let indices = Self::find(prepared);
        for hook in Hook::ALL {
            let (name, is_declared) = (hook.name(), manifest.hooks.contains(&hook));
            if is_declared && !indices.has(hook) {
                return Err(format!("does not export the hook {name}, which its manifest declares"));
            }
            if !is_declared && indices.has(hook) {
                return Err(format!("exports the hook {name}, which its manifest does not declare"));
            }
        }
        Ok(indices)
    }

    /// Whether it is given its configuration.
    pub(super) const fn takes_config(&self) -> bool {
        self.lifecycle.is_some()
    }

    const fn has(&self, hook: Hook) -> bool {
        match hook {
            Hook::Message => self.message.is_some(),
            Hook::Join => self.join.is_some(),
            Hook::Invite => self.invite.is_some(),
            Hook::RoleChange => self.role_change.is_some(),
            Hook::Register => self.register.is_some(),
            Hook::Login => self.login.is_some(),
            Hook::Report => self.report.is_some(),
            Hook::Appeal => self.appeal.is_some(),
            Hook::Attachment => self.attachment,
            Hook::MlsHandshake => self.mls_handshake,
            Hook::E2eeMessage => self.e2ee_message,
            Hook::Tick => self.tick.is_some(),
            Hook::Observe => self.observe.is_some(),
            Hook::ObserveSession => self.observe_session.is_some(),
        }
    }
}
