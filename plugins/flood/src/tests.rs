//! Stories with the verdicts that they must have, and the rules one by one.

use confab_plugin::golden::{Hooks, check_folder};
use confab_plugin::message::{Event, Guest as Message};
use confab_plugin::{Verdict, lifecycle};

use super::{Config, Flood, Look, Print};

fn init(config: String) -> Result<(), String> {
    <Flood as lifecycle::Guest>::init(config)
}

#[test]
fn goldens() {
    let message = Some(<Flood as Message>::decide as fn(Event) -> Verdict);
    check_folder(
        concat!(env!("CARGO_MANIFEST_DIR"), "/goldens"),
        Hooks { init: Some(init), message, ..Hooks::default() },
    );
}

#[test]
fn operators_are_told_what_is_wrong() {
    for (json, expected) in [
        (r#"{"mesages": 3}"#, "unknown field `mesages`"),
        (r#"{"messages": "3"}"#, "invalid type"),
        (r#"{"messages": 101}"#, "messages = 101: give 0 to 100"),
        (r#"{"caps_percent": 10}"#, "caps_percent = 10: give 50 to 100"),
        (r#"{"within_seconds": 0}"#, "within_seconds = 0: give 1 to 3600"),
        (r#"{"repeat_action": "ban"}"#, "unknown variant `ban`"),
        ("[", "configuration of flood: "),
    ] {
        let error = init(json.to_owned()).expect_err(json);
        assert!(error.contains(expected) && !error.contains('\n'), "{error}");
    }
    init(r#"{"messages": 0, "caps_action": "off"}"#.to_owned()).expect("good");
}

#[test]
fn texts_that_look_the_same_are_the_same() {
    let print = |text: &str| Print::of(text, 80).hash;
    let long = "come all of you to the very best place of them all";
    for (one, other, is_same) in [
        ("buy it now", "buy  it\nnow!!", true),
        ("buy it now", "buy it not", false),
        ("c", "c++", false),
        ("guess 41", "guess 42", false),
        (long, &format!("12 {long} - 4821 :)"), true),
        (long, &format!("{long} tomorrow"), false),
        ("+1", "-1", false),
    ] {
        assert_eq!(print(one) == print(other), is_same, "{one:?} {other:?}");
    }
}

#[test]
fn lines_letters_and_emoji_are_counted() {
    for (body, lines, emoji, upper, lower) in [
        ("one\ntwo\r\nthree\rfour\u{2028}five\n", 5, 0, 0, 19),
        ("\u{130}STANBUL \u{df}\u{17f}", 1, 0, 8, 2),
        ("\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}\u{1f44d}\u{1f3fd}\u{1f1e9}\u{1f1ea}", 1, 3, 0, 0),
        ("\u{1f7e9}\u{1f7e8}\u{2b1b}\u{2b1c}", 1, 1, 0, 0),
        ("\u{13a0}\u{13a1} \u{65e5}\u{672c} \u{2654} \u{2192}", 1, 0, 0, 0),
    ] {
        assert_eq!(Look::of(body), Look { lines, emoji, upper, lower }, "{body:?}");
    }
}

#[test]
fn anything_is_decided() {
    let pieces = ["A", "\u{1f600}", "\u{200d}", " ", "\n", "\u{130}", "\u{301}", "'", "\u{0}", "9", ","];
    for (seed, length) in (0..400_u32).zip((0..).step_by(7)) {
        let at = |n: u32| (n.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 7) as usize % pieces.len();
        let body: String = (0..length).map(|n| pieces[at(n * seed)]).collect();
        let look = Look::of(&body);
        super::shout::is_shouting(&Config::DEFAULT, &look, &body);
        assert!(Print::of(&body, 80).length <= body.len() as u32);
    }
}
