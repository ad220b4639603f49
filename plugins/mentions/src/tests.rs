//! The plugin as a whole: its goldens, and a measurement on texts of others.

use std::collections::BTreeMap;
use std::process::Command;

use confab_plugin::golden::{Hooks, check_folder};
use confab_plugin::message::{Event, Kind};
use confab_plugin::normal::{plain, skeleton};
use confab_plugin::{Finding, Role, RoomRole, Verdict, lifecycle, message};

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
    for part in ["@a ", "@", "@a.b(", "@а ", "x@y", "\u{200b}@a ", "@property ", "@1 "] {
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

fn finding(verdict: Verdict) -> Option<(&'static str, Finding)> {
    match verdict {
        Verdict::Allow | Verdict::Replace(_) => None,
        Verdict::Flag(it) => Some(("flag", it.finding)),
        Verdict::Hold(it) => Some(("hold", it)),
        Verdict::Bounce(it) => Some(("bounce", it.finding)),
        Verdict::Reject(it) => Some(("reject", it.finding)),
        Verdict::Shadow(it) => Some(("shadow", it)),
    }
}

/// Lines of a packed file of the data folder; `None`, and a word about it, when it is not there.
fn data(name: &str) -> Option<String> {
    let path = format!("{}/../../../shared/data/{name}", env!("CARGO_MANIFEST_DIR"));
    let output = Command::new("zcat").arg(&path).output().ok().filter(|output| output.status.success());
    if output.is_none() {
        eprintln!("not measured: there is no {path}");
    }
    output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Each text is of an author of its own: what a minute holds is for the goldens.
fn measure(name: &str, of_line: fn(&str) -> Option<(&str, &str)>) {
    let Some(text) = data(name) else { return };
    <Mentions as lifecycle::Guest>::init("{}".into()).unwrap();
    let (mut counts, mut samples) = (BTreeMap::<String, usize>::new(), Vec::new());
    for (author, (class, body)) in (1..).zip(text.lines().filter_map(of_line)) {
        *counts.entry(format!("{class}: all")).or_default() += 1;
        let Some((verdict, finding)) = finding(decide(body, author)) else { continue };
        *counts.entry(format!("{class}: {verdict} {}", finding.rule)).or_default() += 1;
        samples.push(format!("{} {class} {body}", finding.rule));
    }
    eprintln!("{name}");
    counts.iter().for_each(|(what, count)| eprintln!("{count:8} {what}"));
    samples.iter().for_each(|sample| eprintln!("  {sample}"));
}

#[test]
#[ignore = "reads data beside the repository; run with --nocapture"]
fn measured_on_texts_of_others() {
    measure("chat-ubuntu-irc.tsv.gz", |line| Some(("chat", line.splitn(4, '\t').nth(3)?)));
    measure("labelled-spam-en.tsv.gz", |line| line.split_once('\t'));
    measure("labelled-offensive-en.tsv.gz", |line| line.split_once('\t'));
}
