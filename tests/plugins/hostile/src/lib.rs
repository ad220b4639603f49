//! Does what no plugin should, as the message tells it: the host must survive each.

use confab_plugin::log::{Level, write};
use confab_plugin::message::{Event, Guest, Rejection, Verdict};

struct Hostile;

impl Guest for Hostile {
    fn decide(event: Event) -> Verdict {
        match event.body.as_str() {
            "loop" => spin(),
            "trap" => panic!("as told"),
            "eat" => eat(),
            "deep" => Verdict::Hold(deep(1).to_string()),
            "flood" => Verdict::Replace("x".repeat(8 << 20)),
            "long" => Verdict::Replace("x".repeat(100 << 10)),
            "blank" => Verdict::Replace(" ".into()),
            "nul" => Verdict::Replace("a\0b".into()),
            "reject" => Verdict::Reject(Rejection { public_reason: "no".into(), private_reason: "because".into() }),
            "bounce" => Verdict::Bounce("say it nicer\u{1b}[31m".into()),
            "hold" => Verdict::Hold("look at this".into()),
            "upper" => Verdict::Replace(event.body.to_uppercase()),
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

fn spin() -> Verdict {
    let mut n = 0_u64;
    loop {
        n = std::hint::black_box(n.wrapping_add(1));
    }
}

fn eat() -> Verdict {
    let mut eaten: Vec<Vec<u8>> = Vec::new();
    loop {
        eaten.push(vec![1; 1 << 20]);
        std::hint::black_box(&eaten);
    }
}

#[allow(unconditional_recursion, reason = "that is the point")]
fn deep(n: u64) -> u64 {
    let pad = std::hint::black_box([n; 64]);
    deep(n + 1) + pad[0]
}

confab_plugin::message_plugin!(Hostile);
