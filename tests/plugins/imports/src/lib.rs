//! Calls each function of each capability, and says of each whether it did what the contract says. It is kept small: built
//! once, it is part of every clone.

use confab_plugin::log::{self, Level};
use confab_plugin::message::{Event, Guest};
use confab_plugin::{Finding, Refusal, Verdict, actions, bounce, context, flag, history, hold, kv, metrics, reject};

const MINUTE_MS: u64 = 60_000;

struct Imports;

impl Guest for Imports {
    fn decide(event: Event) -> Verdict {
        log::write(Level::Debug, "asked");
        metrics::count("asked", 1);
        let is_asked_again = kv::add(&kv::about(event.author, "asked"), 1, MINUTE_MS) > 1;
        match event.body.as_str() {
            "again" if is_asked_again && remembers() => bounce("kv", "you said something before"),
            "echo" if history::recent(1).iter().any(|it| it.body == "echo") => hold("history"),
            "where" if is_known() => flag("context", "here", 50),
            "act" if acts(&event) => reject("actions", "it is asked for"),
            _ => Verdict::Allow,
        }
    }
}

fn remembers() -> bool {
    kv::set("word", b"kept", MINUTE_MS);
    let is_kept = kv::get("word").is_some_and(|it| it == b"kept");
    kv::remove("word");
    is_kept && kv::get("word").is_none()
}

fn is_known() -> bool {
    let is_room = context::room().is_some_and(|it| it.members == 3);
    is_room && context::transport() == "quic" && context::prior_flags() == 1 && context::messages_here() == 2
}

/// Whether each waits for its turn.
fn acts(event: &Event) -> bool {
    let finding = Finding::of("told-to");
    let why = Refusal { reason: "as you said".to_owned(), finding: finding.clone() };
    let waits = [
        actions::delete(event.room, 1, &finding),
        actions::sanction(event.room, event.author, "mute", Some(MINUTE_MS), &why),
        actions::file_case(event.room, event.author, None, "spam", &finding),
        actions::slow_mode(event.room, 30, &finding),
    ];
    waits == [true; 4]
}

confab_plugin::export!(Imports: message);
