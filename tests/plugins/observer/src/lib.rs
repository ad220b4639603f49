//! Remembers what it is shown, and tells who asks. What it is to remember begins with "say ".

use confab_plugin::message::{Event, Guest};
use confab_plugin::observe::{Message, Sanction};
use confab_plugin::{Verdict, kv, observe, tick};

const DAY_MS: u64 = 24 * 3600 * 1000;

struct Observer;

/// "count" is how much it was shown, "told 3" the third of that, "ticks" how often it was called; all else is as it is.
impl Guest for Observer {
    fn decide(event: Event) -> Verdict {
        match event.body.as_str() {
            "count" | "ticks" => Verdict::Replace(kv::add(&event.body, 0, DAY_MS).to_string()),
            body if body.starts_with("told ") => {
                let text = kv::get(body).and_then(|text| String::from_utf8(text).ok());
                Verdict::Replace(text.unwrap_or_else(|| "nothing".into()))
            }
            _ => Verdict::Allow,
        }
    }
}

fn keep(text: &str) {
    let count = kv::add("count", 1, DAY_MS);
    kv::set(&format!("told {count}"), text.as_bytes(), DAY_MS);
}

impl observe::Guest for Observer {
    fn after_message(event: Message) {
        let Message { seq, body, edited, .. } = event;
        assert!(!body.ends_with("trap"), "as told");
        if body.ends_with("loop") {
            spin();
        }
        if body.starts_with("say ") {
            keep(&format!("{seq} {body}{}", if edited { " (edited)" } else { "" }));
        }
    }

    fn after_sanction(event: Sanction) {
        let Sanction { author, user, kind, until_ms, .. } = event;
        keep(&format!("{kind} {} {}", until_ms.is_some(), author != user));
    }
}

impl tick::Guest for Observer {
    fn tick(time_ms: u64) {
        if time_ms > 0 {
            kv::add("ticks", 1, DAY_MS);
        }
    }
}

fn spin() {
    let mut n = 0_u64;
    loop {
        n = std::hint::black_box(n.wrapping_add(1));
    }
}

confab_plugin::export!(Observer: message, observe, tick);
