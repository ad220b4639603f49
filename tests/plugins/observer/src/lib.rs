//! Remembers what it is shown, and tells who asks. What it is to remember begins with "say ".

use confab_plugin::message::{Event, Guest};
use confab_plugin::observe::{Message, Sanction};
use confab_plugin::observe_session::{Closed, Opened};
use confab_plugin::{Id, Verdict, kv, observe, observe_session, tick};

const DAY_MS: u64 = 24 * 3600 * 1000;

struct Observer;

/// "count" is how much it was shown, "told 3" the third of that; "sessions" and "session 3" are the same of who came and
/// went; "ticks" is how often it was called. All else is as it is.
impl Guest for Observer {
    fn decide(event: Event) -> Verdict {
        match event.body.as_str() {
            "count" => number("told"),
            "sessions" => number("session"),
            "ticks" => number("ticks"),
            body if body.starts_with("told ") || body.starts_with("session ") => {
                let text = kv::get(body).and_then(|text| String::from_utf8(text).ok());
                Verdict::Replace(text.unwrap_or_else(|| "nothing".into()))
            }
            _ => Verdict::Allow,
        }
    }
}

fn number(key: &str) -> Verdict {
    Verdict::Replace(kv::add(key, 0, DAY_MS).to_string())
}

/// How many there are stands under the name of the list, each under that and its number.
fn keep(list: &str, text: &str) {
    let count = kv::add(list, 1, DAY_MS);
    kv::set(&format!("{list} {count}"), text.as_bytes(), DAY_MS);
}

impl observe::Guest for Observer {
    fn after_message(event: Message) {
        let Message { seq, body, edited, .. } = event;
        assert!(!body.ends_with("trap"), "as told");
        if body.ends_with("loop") {
            spin();
        }
        if body.starts_with("say ") {
            keep("told", &format!("{seq} {body}{}", if edited { " (edited)" } else { "" }));
        }
    }

    fn after_sanction(event: Sanction) {
        let Sanction { author, user, kind, until_ms, .. } = event;
        keep("told", &format!("{kind} {} {}", until_ms.is_some(), author != user));
    }
}

/// What is not to be had of somebody whose name begins with "trap".
fn look_at(username: &str, time_ms: u64) {
    assert!(!username.starts_with("trap") && time_ms > 0, "as told");
}

fn open_key(session: Id) -> String {
    format!("open {}-{}", session.0, session.1)
}

impl observe_session::Guest for Observer {
    fn session_opened(event: Opened) {
        let Opened { session, username, transport, time_ms, .. } = event;
        look_at(&username, time_ms);
        kv::set(&open_key(session), username.as_bytes(), DAY_MS);
        keep("session", &format!("{username} opened {transport}"));
    }

    fn session_closed(event: Closed) {
        let Closed { session, username, transport, time_ms, open_ms, .. } = event;
        look_at(&username, time_ms);
        assert!(open_ms < DAY_MS, "no session of a test is that long");
        let is_known = kv::get(&open_key(session)).is_some_and(|name| name == username.as_bytes());
        keep("session", &format!("{username} closed {transport} {is_known}"));
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

confab_plugin::export!(Observer: message, observe, observe_session, tick);
