//! What it decides. The tests include this file too, and run it natively.

use confab_plugin::history::{MESSAGES_MAX, Message, recent};
use confab_plugin::message::Event;
use confab_plugin::{Verdict, bounce};

/// "tell 3" is the three messages before it, "measure" how many there are, and of how many bytes.
pub(crate) fn decide(event: &Event) -> Verdict {
    if let Some(count) = event.body.strip_prefix("tell ").and_then(|count| count.parse().ok()) {
        return Verdict::Replace(told(&recent(count), event.time_ms));
    }
    let before = recent(u32::MAX);
    if event.body == "measure" {
        let bytes: usize = before.iter().map(|it| it.body.len()).sum();
        return Verdict::Replace(format!("{} messages, {bytes} bytes", before.len()));
    }
    assert_eq!(before.len(), recent(MESSAGES_MAX).len(), "nobody is given more");
    let last = before.iter().rev().find(|it| it.author == event.author);
    if last.is_some_and(|it| it.body == event.body) { bounce("echo", "you said that") } else { Verdict::Allow }
}

fn told(messages: &[Message], now_ms: u64) -> String {
    assert!(messages.is_sorted_by_key(|it| it.seq), "the oldest come first");
    assert!(messages.iter().all(|it| it.time_ms > 0 && it.time_ms <= now_ms), "they were said before");
    let texts = messages.iter().map(|it| format!("{} {}{}", it.seq, it.body, if it.edited { " (edited)" } else { "" }));
    let texts: Vec<String> = texts.collect();
    if texts.is_empty() { "nothing".into() } else { format!("{}: {}", texts.len(), texts.join(", ")) }
}
