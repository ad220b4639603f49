//! Whoever has a name that says so may not; `trapper` is not survived.

use confab_plugin::{ActVerdict, Finding, Flagging, Refusal, invite, join, login, register, role_change};

use crate::Hostile;

fn by_name(name: &str, act: &str) -> ActVerdict {
    let finding = Finding::of(act);
    if name == format!("no-{act}") {
        return ActVerdict::Reject(Refusal { reason: format!("not this {act}"), finding });
    }
    if name == format!("odd-{act}") {
        return ActVerdict::Flag(Flagging { label: "odd".into(), score: 50, finding });
    }
    assert!(name != format!("trap-{act}"), "as told");
    ActVerdict::Allow
}

impl join::Guest for Hostile {
    fn decide(event: join::Event) -> ActVerdict {
        by_name(&event.who.username, if event.by_invitation { "come" } else { "join" })
    }
}

impl invite::Guest for Hostile {
    fn decide(event: invite::Event) -> ActVerdict {
        by_name(if event.uses == 13 { "no-invite" } else { "" }, "invite")
    }
}

impl role_change::Guest for Hostile {
    fn decide(event: role_change::Event) -> ActVerdict {
        let is_guest = matches!(event.role, confab_plugin::RoomRole::Guest);
        by_name(if is_guest { "no-role" } else { "" }, "role")
    }
}

impl register::Guest for Hostile {
    fn decide(event: register::Event) -> ActVerdict {
        by_name(&event.username, "register")
    }
}

impl login::Guest for Hostile {
    fn decide(event: login::Event) -> ActVerdict {
        by_name(&event.who.username, "login")
    }
}
