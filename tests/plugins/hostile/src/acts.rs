//! Whoever has a name that says so may not, or is not survived.

use confab_plugin::{
    ActVerdict, Finding, Flagging, Refusal, appeal, attachment, e2ee_message, invite, join, login, mls_handshake,
    register, report, role_change,
};

use crate::{Hostile, spin};

/// Who is called so is told what the plugin knows of what they do.
const ASKER: &str = "asker";

fn told(reason: String) -> ActVerdict {
    ActVerdict::Reject(Refusal { reason, finding: Finding::of("told-to") })
}

fn by_name(name: &str, act: &str) -> ActVerdict {
    let finding = Finding::of(act);
    if name == format!("no-{act}") {
        return ActVerdict::Reject(Refusal { reason: format!("not this {act}"), finding });
    }
    if name == format!("odd-{act}") {
        return ActVerdict::Flag(Flagging { label: "odd".into(), score: 50, finding });
    }
    assert!(name != format!("trap-{act}"), "as told");
    if name == format!("loop-{act}") {
        spin();
    }
    ActVerdict::Allow
}

impl join::Guest for Hostile {
    fn decide(event: join::Event) -> ActVerdict {
        by_name(&event.who.username, if event.by_invitation { "come" } else { "join" })
    }
}

impl invite::Guest for Hostile {
    fn decide(event: invite::Event) -> ActVerdict {
        let invite::Event { who, room, uses, duration_ms, .. } = event;
        if who.username == ASKER {
            return told(format!("{} {uses} {duration_ms}", room.1));
        }
        by_name(if uses == 13 { "no-invite" } else { "" }, "invite")
    }
}

impl role_change::Guest for Hostile {
    fn decide(event: role_change::Event) -> ActVerdict {
        let role_change::Event { who, room, target, role, .. } = event;
        if who.username == ASKER {
            return told(format!("{} {} {role:?}", room.1, target.1));
        }
        // On the whole server, which is no room, nobody is a guest.
        let is_everywhere = (room.0, room.1) == (0, 0);
        let is_no_role = match role {
            confab_plugin::RoomRole::Guest => true,
            confab_plugin::RoomRole::Admin => is_everywhere,
            _ => false,
        };
        by_name(if is_no_role { "no-role" } else { "" }, "role")
    }
}

impl register::Guest for Hostile {
    fn decide(event: register::Event) -> ActVerdict {
        by_name(&event.username, "register")
    }
}

impl login::Guest for Hostile {
    fn decide(event: login::Event) -> ActVerdict {
        let who = event.who;
        if who.username == ASKER {
            return told(format!("{:?} {}", who.role, who.account_age_seconds));
        }
        by_name(&who.username, "login")
    }
}

/// What is reported is told back, so that a test sees what the plugin was told.
impl report::Guest for Hostile {
    fn decide(event: report::Event) -> ActVerdict {
        let report::Event { who, about, seq, reason, text, .. } = event;
        if text == "what do you know?" {
            return told(format!("{} {reason} {seq:?} {}", who.username, about != who.id));
        }
        by_name(&who.username, "report")
    }
}

impl appeal::Guest for Hostile {
    fn decide(event: appeal::Event) -> ActVerdict {
        let appeal::Event { who, kind, decision, text, .. } = event;
        if text == "what do you know?" {
            return told(format!("{} {kind} {decision}", who.username));
        }
        by_name(&who.username, "appeal")
    }
}

// Nothing asks these yet: who exports them loads.

impl attachment::Guest for Hostile {
    fn decide(_: attachment::Event) -> ActVerdict {
        ActVerdict::Allow
    }
}

impl mls_handshake::Guest for Hostile {
    fn decide(_: mls_handshake::Event) -> ActVerdict {
        ActVerdict::Allow
    }
}

impl e2ee_message::Guest for Hostile {
    fn decide(_: e2ee_message::Event) -> ActVerdict {
        ActVerdict::Allow
    }
}
