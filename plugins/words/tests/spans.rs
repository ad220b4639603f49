//! Whatever is written: a decision is made, and its finding stands between two letters of the text that it names.

use confab_plugin::message::{Event, Guest, Kind};
use confab_plugin::normal::{plain, skeleton};
use confab_plugin::{Finding, Form, Role, RoomRole, Verdict, lifecycle};
use confab_words::Words;

const CONFIG: &str = r#"{"profanity": "reject", "allow": ["死ねな"], "lists": [
    {"name": "own", "action": "bounce", "words": ["死ね", "*ab*", "é", "🖕", "c++"],
     "regexes": ["\\s\\w{3}é", "(?-i)[A-Z]{4}"]}]}"#;

/// Letters of several lengths, look-alikes, marks, what is left out, digits and signs for letters, and words.
const PIECES: [&str; 40] = [
    "f",
    "u",
    "c",
    "k",
    "fuck",
    "nigger",
    "kill",
    "yourself",
    "a",
    "b",
    "s",
    "1",
    "3",
    "0",
    "$",
    "@",
    "!",
    " ",
    " ",
    ".",
    "'",
    "\u{2019}",
    "\u{e9}",
    "e\u{301}",
    "\u{336}",
    "\u{430}",
    "\u{441}",
    "\u{43a}",
    "\u{130}",
    "\u{df}",
    "\u{6b7b}",
    "\u{306d}",
    "\u{306a}",
    "\u{1f595}",
    "\u{200b}",
    "%6e",
    "%C3%A9",
    "\u{ff46}",
    "\n",
    "ABCD",
];

fn event(body: &str) -> Event {
    let plain = plain(body).into_owned();
    Event {
        kind: Kind::New,
        room: (0, 1),
        author: (0, 1),
        username: "somebody".into(),
        role: Role::User,
        room_role: RoomRole::Member,
        account_age_seconds: 0,
        member_seconds: 0,
        time_ms: 0,
        body: body.into(),
        skeleton: skeleton(&plain).into_owned(),
        plain,
    }
}

fn finding(verdict: Verdict) -> Option<Finding> {
    match verdict {
        Verdict::Allow | Verdict::Replace(_) => None,
        Verdict::Flag(it) => Some(it.finding),
        Verdict::Hold(it) | Verdict::Shadow(it) => Some(it),
        Verdict::Bounce(it) | Verdict::Reject(it) => Some(it.finding),
    }
}

#[test]
fn findings_stand_between_letters() {
    <Words as lifecycle::Guest>::init(CONFIG.into()).unwrap();
    let (mut seed, mut found) = (1_u64, 0);
    for _ in 0..30_000 {
        let mut piece = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            PIECES[(seed >> 33) as usize % PIECES.len()]
        };
        let body: String = (0..9).map(|_| piece()).collect();
        let asked = event(&body);
        let (plain, skeleton) = (asked.plain.clone(), asked.skeleton.clone());
        let Some(finding) = finding(Words::decide(asked)) else { continue };
        let span = finding.where_.unwrap();
        let text = match span.form {
            Form::Body => &body,
            Form::Plain => &plain,
            Form::Skeleton => &skeleton,
        };
        let part = text.get(span.start as usize..span.end as usize);
        assert!(part.is_some_and(|it| !it.is_empty()), "{body:?}: {span:?}");
        assert!(
            finding.note.is_empty() || !part.is_some_and(|it| it.len() > 3 && finding.note.contains(it)),
            "a note quotes nothing"
        );
        found += 1;
    }
    assert!(found > 1_000, "{found}");
}
