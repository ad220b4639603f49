//! Stories with the verdicts that they must have, and the rules one by one.

use confab_plugin::golden::{Hooks, check_folder};
use confab_plugin::message::{Event, Guest as Message};
use confab_plugin::{Verdict, join, lifecycle, register};

use super::{Newcomer, links, text};

fn hooks(message: fn(Event) -> Verdict) -> Hooks {
    Hooks {
        init: Some(<Newcomer as lifecycle::Guest>::init),
        message: Some(message),
        join: Some(<Newcomer as join::Guest>::decide),
        register: Some(<Newcomer as register::Guest>::decide),
        ..Hooks::default()
    }
}

#[test]
fn goldens() {
    check_folder(concat!(env!("CARGO_MANIFEST_DIR"), "/goldens"), hooks(<Newcomer as Message>::decide));
}

#[test]
fn operators_are_told_what_is_wrong() {
    let init = |json: &str| <Newcomer as lifecycle::Guest>::init(json.to_owned());
    for (json, expected) in [
        (r#"{"join": 3}"#, "unknown field `join`"),
        (r#"{"joins": -1}"#, "invalid value"),
        (r#"{"mentions": 21}"#, "mentions = 21: give 0 to 20"),
        (r#"{"within_seconds": 0}"#, "within_seconds = 0: give 1 to 86400"),
        (r#"{"joins_action": "hold"}"#, "unknown variant `hold`"),
        ("[", "configuration of newcomer: "),
    ] {
        let error = init(json).expect_err(json);
        assert!(error.contains(expected) && !error.contains('\n'), "{error}");
    }
    init(r#"{"joins": 0, "message_action": "bounce"}"#).expect("good");
}

fn has_link(text: &str) -> bool {
    links::has_link(text, text, text)
}

#[test]
fn links_are_told_from_what_looks_like_them() {
    for link in [
        "see https://example.org",
        "see:www.example.org",
        "hxxp://example.org",
        "(discord.gg/abc)",
        "t.me/abc",
        "**bit.ly/abc**",
        "<https://example.org/a?b>",
        "http://[2001:db8::1]/",
    ] {
        assert!(has_link(link), "{link:?}");
    }
    for other in [
        "meh :///",
        "a ://",
        "c://windows",
        "file:///etc/fstab",
        "www",
        "www. what",
        "awww.so cute",
        "src/main.rs/",
        "node.js/express and asp.net/core",
        "/etc/apt/sources.list.d/x",
        "and/or e.g./i.e. 24/7 v1.2/v1.3",
        "z.b./u.a.",
        "done.yes/no",
        "example.org",
        "std::io::read",
        "....//....",
    ] {
        assert!(!has_link(other), "{other:?}");
    }
    assert!(links::has_bare_host("free-coins.xyz!") && links::has_bare_host("join example.com now"));
    assert!(!links::has_bare_host("j. r. r. t.") && !links::has_bare_host("node.js") && !links::has_bare_host(".com"));
}

#[test]
fn names_are_counted_as_the_server_reads_them() {
    for (body, count) in
        [("@a @b @c @d", 3), ("@a @A, @a!", 1), ("mail a@example.org", 0), ("@ @@ @\u{e9}", 0), ("(@a)@b", 2)]
    {
        assert_eq!(text::mentions(body, 2), count, "{body:?}");
    }
}

#[test]
fn names_that_differ_in_digits_are_alike() {
    let shape = |name: &str| text::shape(name);
    assert!(shape("user0001").is_some());
    assert_eq!(shape("user0001"), shape("User-2"));
    assert_eq!(shape("a1.b2.c3"), shape("a77b8c9"));
    assert_ne!(shape("user1"), shape("1user"));
    assert_ne!(shape("user1"), shape("users1"));
    for name in ["anna", "a1", "12345", ""] {
        assert_eq!(shape(name), None, "{name:?}");
    }
}

#[test]
fn anything_is_read() {
    let pieces = ["://", "www.", "a", ".com/", "@", "\u{e9}", "/", "\u{200d}", " ", "1", "]", "."];
    for seed in 0..2_000_u32 {
        let at = |n: u32| (seed.wrapping_add(n).wrapping_mul(2_654_435_761) >> 9) as usize % pieces.len();
        let body: String = (0..seed % 40).map(|n| pieces[at(n * seed)]).collect();
        let _ = (has_link(&body), links::has_bare_host(&body), text::print(&body, 0), text::shape(&body));
        assert!(text::mentions(&body, 2) <= 3, "{body:?}");
    }
}
