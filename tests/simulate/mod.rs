//! Fault runs: the real binary, many clients and one fault after the other, all of it written down and judged by a
//! checker that knows nothing of the server. A seed decides which faults come when; what the machine makes of it is
//! its own, so a seed replays the plan and not each interleaving.

mod cast;
mod checker;
mod crowd;
mod damage;
mod finals;
mod history;
mod mutations;
mod outcome;
mod plan;
mod proxy;
mod runs;
mod stage;
mod twins;

use std::time::{SystemTime, UNIX_EPOCH};

/// Names the seed of a plan; without it the time is one.
const SEED: &str = "CONFAB_SIMULATE_SEED";

/// SplitMix64: small, and the same on every machine.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below the bound, which is not 0.
    pub const fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Either end included.
    pub const fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    pub const fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    /// Another generator, so that what one task draws does not hang on how fast the others are.
    pub const fn fork(&mut self) -> Self {
        Self(self.next())
    }
}

/// The seed of this run, which it prints.
pub fn seed() -> u64 {
    let seed = number(SEED, || {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        since.as_nanos() as u64 % 1_000_000_000
    });
    eprintln!("seed {seed}");
    seed
}

/// A number from the environment.
pub fn number(name: &str, default: impl FnOnce() -> u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")),
        Err(_) => default(),
    }
}

/// FNV-1a: what the checker compares instead of bodies.
pub fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
