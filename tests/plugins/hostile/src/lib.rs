//! Does what no plugin should, as the message tells it: the host must survive each. And decides about acts, by name.

mod acts;

use std::cell::{Cell, RefCell};

use confab_plugin::log::{Level, write};
use confab_plugin::message::{Event, Guest};
use confab_plugin::{Finding, Form, Verdict, bounce, flag, hold, kv, lifecycle, reject};

struct Hostile;

thread_local! {
    static GREETING: RefCell<String> = RefCell::default();
    static CALLS: Cell<u32> = const { Cell::new(0) };
}

impl lifecycle::Guest for Hostile {
    fn init(config: String) -> Result<(), String> {
        if config.contains("impossible") {
            return Err("nobody can be configured\nlike this".into());
        }
        if config.contains("remember") {
            kv::add("count", 1, 60_000);
        }
        GREETING.set(config);
        Ok(())
    }
}

impl Guest for Hostile {
    fn decide(event: Event) -> Verdict {
        CALLS.set(CALLS.get() + 1);
        match event.body.as_str() {
            "loop" => spin(),
            "dawdle" => dawdle(),
            "trap" => panic!("as told"),
            "eat" => eat(),
            "feast" => feast(),
            "deep" => Verdict::Hold(Finding::of("deep").noting(deep(1).to_string())),
            "flood" => Verdict::Replace("x".repeat(8 << 20)),
            "long" => Verdict::Replace("x".repeat(100 << 10)),
            "blank" => Verdict::Replace(" ".into()),
            "nul" => Verdict::Replace("a\0b".into()),
            "reject" => reject("told-to", "no"),
            "spill" => {
                let finding = Finding::of("told-to").noting("they said spill");
                Verdict::Reject(confab_plugin::Refusal { reason: "no".into(), finding })
            }
            "bounce" => bounce("told-to", "say it nicer\u{1b}[31m"),
            "hold" => hold("told-to"),
            "flag" => flag("told-to", "odd", 70),
            "shadow" => Verdict::Shadow(Finding::of("told-to").at(Form::Body, 0..6)),
            "forge" => forge(),
            "upper" => Verdict::Replace(event.body.to_uppercase()),
            "greet" => Verdict::Replace(format!("hello {}", GREETING.take())),
            "again" => Verdict::Replace(CALLS.get().to_string()),
            "count" => Verdict::Replace(kv::add("count", 1, 60_000).to_string()),
            "hoard" => hoard(),
            // Whatever is said, and by which component and configuration it was let through.
            body if body.starts_with("sign ") => {
                Verdict::Replace(GREETING.with_borrow(|config| format!("{body} signed {config}")))
            }
            "context" => Verdict::Replace(format!("{:?} {} {}", event.room_role, event.member_seconds, event.skeleton)),
            "storm" => {
                for _ in 0..10_000 {
                    write(Level::Debug, "storm");
                }
                Verdict::Allow
            }
            _ => Verdict::Allow,
        }
    }
}

/// A verdict that wants to be more than it is.
fn forge() -> Verdict {
    let finding =
        Finding::of("UPPER \n\u{1b}[31m\"};--").at(Form::Body, usize::MAX - 1..usize::MAX).noting("n".repeat(10_000));
    Verdict::Flag(confab_plugin::Flagging { label: "l".repeat(10_000), score: 255, finding })
}

/// More keys and larger values than it may have.
fn hoard() -> Verdict {
    for n in 0..30_000_u32 {
        kv::set(&format!("key {n}"), &[1; 100], 60_000);
    }
    kv::set("large", &[1; 5_000], 60_000);
    kv::set(&"k".repeat(300), &[1], 60_000);
    let kept = kv::get("large").is_some() || kv::get(&"k".repeat(300)).is_some();
    Verdict::Replace(if kept { "kept" } else { "not kept" }.into())
}

fn spin() -> ! {
    let mut n = 0_u64;
    loop {
        n = std::hint::black_box(n.wrapping_add(1));
    }
}

/// Some milliseconds, whatever the machine; and nothing is wrong.
fn dawdle() -> Verdict {
    let mut n = 0_u64;
    while n < 10_000_000 {
        n = std::hint::black_box(n.wrapping_add(1));
    }
    Verdict::Allow
}

fn eat() -> Verdict {
    let mut eaten: Vec<Vec<u8>> = Vec::new();
    loop {
        eaten.push(vec![1; 1 << 20]);
        std::hint::black_box(&eaten);
    }
}

/// More memory than a guest has by default, and no more than it can be given.
fn feast() -> Verdict {
    let eaten = vec![1_u8; 20 << 20];
    std::hint::black_box(&eaten);
    Verdict::Allow
}

#[allow(unconditional_recursion, reason = "that is the point")]
fn deep(n: u64) -> u64 {
    let pad = std::hint::black_box([n; 64]);
    deep(n + 1) + pad[0]
}

confab_plugin::export!(Hostile: message, lifecycle, join, invite, role_change, register, login, report, appeal,
    attachment, mls_handshake, e2ee_message);
