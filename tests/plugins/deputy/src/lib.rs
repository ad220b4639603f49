//! Does what people say that it should, and counts what of it waits.

use confab_plugin::message::{Event, Guest, Kind};
use confab_plugin::observe::{Message, Sanction};
use confab_plugin::{Finding, Id, Refusal, Verdict, actions, metrics, observe};

const MINUTE_MS: u64 = 60_000;

struct Deputy;

fn finding() -> Finding {
    Finding::of("told-to").noting("as they said")
}

fn why() -> Refusal {
    Refusal { reason: "as you said".to_owned(), finding: finding() }
}

fn do_to(room: Id, user: Id, kind: &str, duration_ms: Option<u64>) -> bool {
    actions::sanction(room, user, kind, duration_ms, &why())
}

/// From within a decision too.
impl Guest for Deputy {
    fn decide(event: Event) -> Verdict {
        if matches!(event.kind, Kind::New) && event.body.starts_with("file this") {
            let waits = actions::file_case(event.room, event.author, None, "boredom", &finding());
            note(waits);
            return confab_plugin::bounce("told-to", if waits { "it is filed" } else { "it is not" });
        }
        Verdict::Allow
    }
}

impl observe::Guest for Deputy {
    fn after_message(event: Message) {
        let Message { room, seq, author, body, .. } = event;
        match body.as_str() {
            "delete me" => note(actions::delete(room, seq, &finding())),
            "mute me" => note(do_to(room, author, "mute", Some(MINUTE_MS))),
            "kick me" => note(do_to(room, author, "kick", None)),
            "ban me" => note(do_to(room, author, "ban", None)),
            "delete all" => (1..=seq).for_each(|seq| note(actions::delete(room, seq, &finding()))),
            "flog me" => note(do_to(room, author, "flog", None)),
            "mute me for no time" => note(do_to(room, author, "mute", Some(0))),
            "slow" => note(actions::slow_mode(room, 30, &finding())),
            "slow for a day" => note(actions::slow_mode(room, 24 * 3600, &finding())),
            "case" => note(actions::file_case(room, author, Some(seq), "spam", &finding())),
            "flood" => (0..1_000).for_each(|n| note(actions::delete(room, seq + 1_000_000 + n, &finding()))),
            text => about_others(room, text),
        }
    }

    fn after_sanction(_: Sanction) {}
}

/// "delete" and a number, "lift" and an id in hex.
fn about_others(room: Id, text: &str) {
    if let Some(seq) = text.strip_prefix("delete ").and_then(|seq| seq.parse().ok()) {
        note(actions::delete(room, seq, &finding()));
    }
    if let Some(user) = text.strip_prefix("lift ").and_then(|user| u128::from_str_radix(user, 16).ok()) {
        note(do_to(room, ((user >> 64) as u64, user as u64), "lift", None));
    }
}

fn note(waits: bool) {
    metrics::count(if waits { "waits" } else { "does-not" }, 1);
}

confab_plugin::export!(Deputy: message, observe);
