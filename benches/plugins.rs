//! What the plugin chain costs a message, beside the same filter in native Rust: the stock chain as the
//! server runs it, decision by decision, on one core.

mod support;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use confab::clock::{Clock, SystemClock};
use confab::config::Config;
use confab::core::hook::{MessageEvent, Moderator, Verdict};
use confab::metrics::Metrics;
use confab::plugin::PluginSet;
use confab_protocol::model::{Millis, RoomId, ServerRole, UserId};
use support::process::Cores;
use support::session::BODY_BYTES;
use support::{elapsed, median, now, print_table, verdict};

/// Measurements of each; the median counts.
const ROUNDS: usize = 15;
/// A round takes this long.
const ROUND: Duration = Duration::from_millis(100);
/// Decisions between two looks at the clock.
const BATCH: u32 = 200;
/// One stock plugin, microseconds a message.
const PLUGIN_MAX_US: f64 = 4.0;

fn main() {
    if !support::is_wanted() {
        return;
    }
    // Loading starts threads, which inherit the core.
    let _cores = Cores::claim();
    let config = Config::default();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let plugins = PluginSet::load(&config.plugins, confab::assets::PLUGINS, None, &clock, &Metrics::new());
    let plugins = plugins.unwrap_or_else(|error| panic!("{error}"));
    // Composed letters and emoji are clean; what is decomposed or hidden is replaced.
    let cases = [
        ("ASCII, clean", text("The quick brown fox jumps over the lazy dog. "), false),
        ("non-ASCII, clean", text("Zw\u{f6}lf gro\u{df}e Boxk\u{e4}mpfer \u{65e5}\u{672c}\u{8a9e} \u{1f44d} "), false),
        ("non-ASCII, replaced", text("Zwo\u{308}lf gro\u{df}e Boxka\u{308}mpfer \u{200b}\u{202e} "), true),
    ];
    let rows: Vec<_> = cases.iter().map(|(name, body, is_replaced)| row(&plugins, name, body, *is_replaced)).collect();
    let head = ["200-byte body", "plugin us", "native us", "difference us", "target", "met"];
    print_table("Plugin chain (sanitize), microseconds per message", &head, &rows);
}

/// A body of exactly [`BODY_BYTES`].
fn text(pattern: &str) -> String {
    let mut text = pattern.repeat(BODY_BYTES / pattern.len() + 1);
    text.truncate(text.floor_char_boundary(BODY_BYTES));
    text.extend(std::iter::repeat_n('.', BODY_BYTES - text.len()));
    text
}

fn row(plugins: &PluginSet, name: &str, body: &str, is_replaced: bool) -> Vec<String> {
    let event = MessageEvent {
        kind: confab::core::hook::TextKind::New,
        room: RoomId::from_u128(1),
        author: UserId::from_u128(2),
        username: "bench",
        role: ServerRole::User,
        account_created: Millis(0),
        member: None,
        now: now(),
        body,
        earlier: None,
        context: None,
        about: None,
    };
    // Both must say the same, or the comparison is of different things.
    let native = confab_sanitize::clean(body);
    assert_eq!(native.is_some(), is_replaced, "{name}: not what this case is to be");
    let decision = support::run(plugins.decide_message(event));
    assert_eq!(
        decision.verdict,
        native.map_or(Verdict::Allow, Verdict::Replace),
        "{name}: plugin and native filter disagree"
    );

    let plugin_us = support::run(async {
        let mut rounds = [0.0; ROUNDS];
        for round in &mut rounds {
            let (start, mut count) = (elapsed(), 0);
            while elapsed() - start < ROUND {
                for _ in 0..BATCH {
                    black_box(plugins.decide_message(black_box(event)).await);
                }
                count += BATCH;
            }
            *round = us_per(start, count);
        }
        median(&rounds)
    });
    let native_us = median(&[(); ROUNDS].map(|()| {
        let (start, mut count) = (elapsed(), 0);
        while elapsed() - start < ROUND {
            for _ in 0..BATCH {
                black_box(confab_sanitize::clean(black_box(body)));
            }
            count += BATCH;
        }
        us_per(start, count)
    }));
    vec![
        name.to_owned(),
        format!("{plugin_us:.2}"),
        format!("{native_us:.2}"),
        format!("{:.2}", plugin_us - native_us),
        format!("<= {PLUGIN_MAX_US}"),
        verdict(plugin_us <= PLUGIN_MAX_US),
    ]
}

fn us_per(start: Duration, count: u32) -> f64 {
    (elapsed() - start).as_secs_f64() * 1e6 / f64::from(count)
}
