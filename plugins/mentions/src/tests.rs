//! The plugin as a whole: its goldens, and texts of any size.

use confab_plugin::golden::{Hooks, check_folder};
use confab_plugin::message::{Event, Kind};
use confab_plugin::normal::{plain, skeleton};
use confab_plugin::{Role, RoomRole, Verdict, lifecycle, message};

use crate::Mentions;

#[test]
fn goldens() {
    let init = Some(<Mentions as lifecycle::Guest>::init as fn(String) -> Result<(), String>);
    let message = Some(<Mentions as message::Guest>::decide as fn(Event) -> Verdict);
    check_folder(concat!(env!("CARGO_MANIFEST_DIR"), "/goldens"), Hooks { init, message, ..Hooks::default() });
}

#[test]
fn texts_of_any_size_are_decided() {
    <Mentions as lifecycle::Guest>::init("{}".into()).unwrap();
    for part in ["@a ", "@", "@a.b(", "@а ", "x@y", "\u{200b}@a ", "@property ", "@1 ", "`@all` ", "f(@a,", "@a\n"] {
        let verdict = decide(&part.repeat(16 * 1024 / part.len()), 1);
        let is_fine = matches!(verdict, Verdict::Allow);
        assert_eq!(is_fine, matches!(part, "@" | "x@y" | "@property " | "@1 "), "{part}: {verdict:?}");
    }
    let many: String = (0..2_000).map(|number| format!("@u{number} ")).collect();
    let Verdict::Bounce(it) = decide(&many, 1) else { panic!("it calls too many") };
    assert_eq!((it.finding.rule.as_str(), it.finding.where_.map(|it| it.start)), ("mentions.most", Some(20)));
}

fn decide(body: &str, author: u64) -> Verdict {
    let plain = plain(body).into_owned();
    <Mentions as message::Guest>::decide(Event {
        kind: Kind::New,
        room: (0, 1),
        author: (0, author),
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
