//! Properties: what is encoded decodes to the same, no bytes panic, hostile frames cost no more than
//! they weigh, and no sequence of inputs upsets a session. Seeds are fixed: a failure comes back.

#[path = "properties/bounds.rs"]
mod bounds;
#[path = "properties/generators.rs"]
mod generators;
#[path = "properties/greeting.rs"]
mod greeting;
#[path = "properties/hostile.rs"]
mod hostile;
#[path = "properties/moderation.rs"]
mod moderation;
#[path = "properties/operations.rs"]
mod operations;
#[path = "properties/round_trips.rs"]
mod round_trips;

use proptest::test_runner::{Config, RngSeed};

/// The same cases in every run, and no files left behind.
fn cases(count: u32) -> Config {
    Config { cases: count, rng_seed: RngSeed::Fixed(0xc0_fab), failure_persistence: None, ..Config::default() }
}
