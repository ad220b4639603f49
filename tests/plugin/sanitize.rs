//! The stock filter: the sandbox says what the same code says outside, and what people see of it.

use confab::config::Config;
use confab::core::hook::{Moderator, Verdict};
use confab::plugin::PluginSet;
use confab_client::Reply;
use confab_protocol::limits::BODY_BYTES_MAX;
use confab_protocol::reject::RejectCode;

use super::{post, publish};
use crate::support::guests::{load, message_event};
use crate::support::people::Person;
use crate::support::{TRANSPORTS, TestServer, Transport};

struct Sandbox(PluginSet);

impl Sandbox {
    fn new(call_budget_ms: u64) -> Self {
        let chain = vec!["sanitize".to_owned()];
        let config = confab::config::Plugins { call_budget_ms, chain, ..Config::default().plugins };
        Self(load(&config).unwrap())
    }

    async fn decide(&self, body: &str) -> Verdict {
        self.0.decide_message(message_event(body)).await.verdict
    }
}

/// splitmix64: the same texts in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % bound as u64).unwrap()
    }

    /// A character that this filter has an opinion on, or an innocent one, or any at all.
    fn char(&mut self) -> char {
        const LIKELY: &[char] = &[
            'a',
            'e',
            ' ',
            '\n',
            '\t',
            '\r',
            '<',
            '&',
            '\u{7}',
            '\u{1b}',
            '\u{85}',
            '\u{ad}',
            '\u{300}',
            '\u{301}',
            '\u{323}',
            '\u{34f}',
            '\u{5d0}',
            '\u{5b8}',
            '\u{62e}',
            '\u{6cc}',
            '\u{915}',
            '\u{93c}',
            '\u{94d}',
            '\u{958}',
            '\u{1100}',
            '\u{115f}',
            '\u{1160}',
            '\u{1161}',
            '\u{11a8}',
            '\u{1820}',
            '\u{180b}',
            '\u{180e}',
            '\u{200b}',
            '\u{200c}',
            '\u{200d}',
            '\u{200e}',
            '\u{2028}',
            '\u{202a}',
            '\u{202e}',
            '\u{2060}',
            '\u{2066}',
            '\u{2069}',
            '\u{20dd}',
            '\u{2764}',
            '\u{3164}',
            '\u{fb2c}',
            '\u{fe00}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{ffa0}',
            '\u{fff9}',
            '\u{fffe}',
            '\u{fdd0}',
            '\u{1d160}',
            '\u{1f468}',
            '\u{1f3f4}',
            '\u{1f3fd}',
            '\u{e0001}',
            '\u{e0067}',
            '\u{e007f}',
            '\u{e0100}',
            '\u{1ffff}',
            '\u{10ffff}',
        ];
        match self.below(8) {
            0 => char::from_u32(u32::try_from(self.below(0x11_0000)).unwrap()).unwrap_or('x'),
            _ => LIKELY[self.below(LIKELY.len())],
        }
    }
}

fn corpus() -> Vec<String> {
    let mut texts: Vec<String> = [
        "plain",
        "<script>alert(1)</script> & <b>",
        "naïve ǅ ﬁ Ⅷ ½ Å Å",
        "tiếng Việt",
        "شلام می‌خواهم",
        "क्‍ष क्‌ष",
        "日本語 テキスト ガ が",
        "👨‍👩‍👧 ❤️‍🔥 👍🏽 🏴\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f} 🏳️‍🌈",
        "a\u{202e}b\u{2066}c\u{2069}",
        "\u{200b}",
        "\u{202e}\u{feff}",
        "line\r\nend",
    ]
    .map(str::to_owned)
    .to_vec();
    let mut dice = Dice(42);
    for _ in 0..3_000 {
        let length = 1 + dice.below(40);
        texts.push((0..length).map(|_| dice.char()).collect());
    }
    texts.push("ab\u{300}".repeat(4_000));
    texts.push("plain ".repeat(BODY_BYTES_MAX / 6));
    texts
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sandbox_says_what_native_code_says() {
    let sandbox = Sandbox::new(1_000);
    let mut changed = 0;
    for text in corpus() {
        let expected = match confab_sanitize::clean(&text) {
            None => Verdict::Allow,
            Some(cleaned) => {
                changed += 1;
                Verdict::Replace(cleaned)
            }
        };
        assert_eq!(sandbox.decide(&text).await, expected, "{text:?}");
    }
    assert!(changed > 1_000, "the corpus is worth its name: {changed}");
}

#[test]
fn cleaning_is_done_once() {
    for text in corpus() {
        let Some(cleaned) = confab_sanitize::clean(&text) else { continue };
        assert_eq!(confab_sanitize::clean(&cleaned), None, "{text:?} -> {cleaned:?}");
    }
}

/// Whatever a body may hold is cleaned within the budget. Otherwise five strangers who post the slowest text
/// open the breaker of a plugin whose rule is `closed`, and nobody can say anything any more.
#[tokio::test(flavor = "multi_thread")]
async fn no_body_takes_longer_than_the_budget() {
    let sandbox = Sandbox::new(Config::default().plugins.call_budget_ms);
    let fill = |start: &str, unit: &str| {
        let mut text = start.to_owned();
        while text.len() + unit.len() <= BODY_BYTES_MAX {
            text.push_str(unit);
        }
        text
    };
    for (what, text) in [
        ("ascii and one more", fill("é", "x")),
        ("overrides", fill("a", "\u{202e}")),
        ("marks in reverse order", fill("a", "\u{301}\u{323}")),
        ("marks of one class", fill("a", "\u{301}")),
        ("joiners", fill("\u{1f468}", "\u{200d}\u{1f468}")),
        ("lone joiners", fill("a", "\u{200d}")),
        ("selectors in a row", fill("\u{2764}", "\u{fe0f}")),
        ("signs with selectors", fill("", "\u{2261}\u{fe0f}")),
        ("marks of direction", fill("\u{5d0}", "\u{200e}\u{5d0}")),
        ("lines", fill("", "\u{2028}")),
        ("hangul", fill("", "\u{1100}\u{1161}\u{11a8}")),
        ("compositions to exclude", fill("", "\u{958}")),
        ("a flag of many tags", fill("\u{1f3f4}", "\u{e0067}")),
        ("tags without a flag", fill("a", "\u{e0067}")),
        ("flags", fill("", "\u{1f3f4}\u{e0067}\u{e0062}\u{e007f}")),
    ] {
        // A call that failed would be `Unavailable`, by the rule `closed`.
        match sandbox.decide(&text).await {
            Verdict::Allow | Verdict::Replace(_) => {}
            Verdict::Hold { note } => assert!(note.contains("too long"), "{what}: {note}"),
            other => panic!("{what}: {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn overrides_go_and_markup_stays() {
    let server = TestServer::start().await;
    for transport in TRANSPORTS {
        let author = Person::register(&server, transport, &format!("author-{transport:?}")).await;
        let mut reader = Person::register(&server, transport, &format!("reader-{transport:?}")).await;
        let name = format!("room {transport:?}");
        let room = author.enter(&name).await;
        reader.enter(&name).await;
        let script = "<script>alert('x')</script><img src=x onerror=alert(1)>";
        let said = author.client.say(room.id, &format!("\u{202e}{script}\u{2066}\u{202c}\u{2069}")).await.unwrap();
        assert!(said.altered);
        assert_eq!(reader.hear().await, [(said.seq, script.to_owned())]);
        let plain = author.client.say(room.id, script).await.unwrap();
        assert!(!plain.altered);
        let expected = [(said.seq, script.to_owned()), (plain.seq, script.to_owned())];
        assert_eq!(reader.history(&room).await, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_blank_is_refused_and_so_is_its_resend() {
    let server = TestServer::start().await;
    let author = Person::register(&server, Transport::Quic, "author").await;
    let room = author.enter("quiet").await;
    for text in ["\u{202e}\u{200b}", "\u{200b} \u{feff}\n"] {
        let id = author.client.new_client_id();
        for resend in [false, true, true] {
            let outcome = publish(&author, &room, id, resend, text).await;
            let reject = outcome.expect_err("it is blank");
            assert_eq!((reject.code, reject.detail.as_str()), (1010, RejectCode::BodyBlank.text()));
        }
    }
    assert!(matches!(post(&author, &room, "not blank").await, Ok(Reply::Appended(_))));
    assert_eq!(author.history(&room).await.len(), 1);
    assert_eq!(server.metric("confab_rejects_total{code=\"BodyBlank\"}").await, 6.0);
}
