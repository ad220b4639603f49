//! The plugin as a whole: its goldens, and texts that nobody writes.

use confab_hosts::scan::Links;
use confab_plugin::golden::{Hooks, check_folder};
use confab_plugin::message::{Event, Kind};
use confab_plugin::normal::{plain, skeleton};
use confab_plugin::{Role, RoomRole, Verdict, lifecycle, message};

use crate::Links as Plugin;

#[test]
fn goldens() {
    let init = Some(<Plugin as lifecycle::Guest>::init as fn(String) -> Result<(), String>);
    let message = Some(<Plugin as message::Guest>::decide as fn(Event) -> Verdict);
    check_folder(concat!(env!("CARGO_MANIFEST_DIR"), "/goldens"), Hooks { init, message, ..Hooks::default() });
}

/// Whatever comes, scanning ends soon, and says what is in the text.
#[test]
fn hostile_texts_are_scanned_in_a_pass() {
    <Plugin as lifecycle::Guest>::init(r#"{"deny": ["evil.example"], "others": "flag"}"#.into()).unwrap();
    for part in [
        "a.",
        "http://",
        "http://[",
        "a@",
        ".",
        "://",
        "1.2.3.4:1",
        "x.com/",
        "[.]",
        "例.",
        "a(dot)",
        "http:/a@",
        "http:a@",
        "paypal.paypal-",
        "xn--a.",
    ] {
        let body = part.repeat(16 * 1024 / part.len());
        for link in Links::of(&body, &body, skeleton) {
            assert!(body.get(link.range.clone()).is_some(), "{part}: {:?}", link.range);
        }
        let _ = decide(&body);
    }
}

fn decide(body: &str) -> Verdict {
    let plain = plain(body).into_owned();
    <Plugin as message::Guest>::decide(Event {
        kind: Kind::New,
        room: (0, 1),
        author: (0, 1),
        username: "somebody".into(),
        role: Role::User,
        room_role: RoomRole::Member,
        account_age_seconds: 1 << 20,
        member_seconds: 1 << 20,
        time_ms: 0,
        body: body.into(),
        skeleton: skeleton(&plain).into_owned(),
        plain,
    })
}
