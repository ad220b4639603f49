//! The driver: the kept inputs as they are, then mutated ones until the time is up. The input that breaks a
//! target is written to a file before the panic goes on.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::mutate::{Mutator, Shape};
use crate::{Target, corpus};

/// One input takes microseconds; one that takes so long is as good a find as a panic.
const INPUT_TIME_MAX: Duration = Duration::from_secs(5);

/// How long to go on.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Time for mutated inputs; those of the corpus come first, however long they take.
    pub time: Duration,
    /// Where to start.
    pub seed: u64,
}

/// What was done.
#[derive(Clone, Copy, Debug)]
pub struct Summary {
    /// Inputs that were kept, and tried as they are.
    pub kept: usize,
    /// Inputs that were made.
    pub mutated: u64,
    /// The longest that one took.
    pub slowest: Duration,
    /// In all.
    pub time: Duration,
}

impl std::fmt::Display for Summary {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kept, mutated, slowest, time } = self;
        let rate = *mutated as f64 / time.as_secs_f64().max(0.001);
        write!(out, "{kept} kept and {mutated} mutated inputs, {rate:.0} a second, slowest {slowest:.1?}")
    }
}

/// One of the protocol's targets.
pub fn target(target: &Target, effort: Effort) -> Summary {
    run(target.name, target.shape, effort, target.body)
}

/// Any body: it panics when a promise is broken.
///
/// # Panics
/// When the body does, or takes too long; the message before names the file with the input.
pub fn run(name: &str, shape: Shape, effort: Effort, mut body: impl FnMut(&[u8])) -> Summary {
    let kept = corpus::load(name);
    let start = now();
    let mut summary = Summary { kept: kept.len(), mutated: 0, slowest: Duration::ZERO, time: Duration::ZERO };
    for input in &kept {
        summary.slowest = summary.slowest.max(guarded(name, input, &mut body));
    }
    let mut mutator = Mutator::new(&kept, shape, effort.seed);
    let begun = now();
    while begun.elapsed() < effort.time {
        let took = guarded(name, mutator.next_input(), &mut body);
        summary.slowest = summary.slowest.max(took);
        summary.mutated += 1;
    }
    summary.time = start.elapsed();
    summary
}

fn guarded(name: &str, input: &[u8], body: &mut impl FnMut(&[u8])) -> Duration {
    let start = now();
    let result = catch_unwind(AssertUnwindSafe(|| body(input)));
    let took = start.elapsed();
    if result.is_err() || took > INPUT_TIME_MAX {
        match keep_broken(name, input) {
            Ok(path) => eprintln!("fuzz: {name}: broken by {}", path.display()),
            Err(error) => eprintln!("fuzz: {name}: broken by {input:02x?} ({error})"),
        }
    }
    if let Err(panic) = result {
        resume_unwind(panic);
    }
    assert!(took <= INPUT_TIME_MAX, "{name}: one input of {} bytes took {took:?}", input.len());
    took
}

/// Writes an input that broke something to a file of its own.
///
/// # Errors
/// A folder that cannot be written.
pub fn keep_broken(name: &str, input: &[u8]) -> std::io::Result<PathBuf> {
    let folder = corpus::broken_folder(name);
    fs::create_dir_all(&folder)?;
    // FNV-1a: the same input is the same file.
    let hash = input
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let path = folder.join(format!("{hash:016x}"));
    fs::write(&path, input)?;
    Ok(path.canonicalize().unwrap_or(path))
}

#[expect(clippy::disallowed_methods, reason = "a driver stops when its time is up")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_that_breaks_something_is_kept() {
        let folder = corpus::broken_folder("client_frame");
        let files = || -> Vec<PathBuf> {
            fs::read_dir(&folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
        };
        let before = files();
        let effort = Effort { time: Duration::from_secs(60), seed: 1 };
        let found = catch_unwind(|| run("client_frame", Shape::Frame, effort, |input| assert!(input.len() < 3_000)));
        assert!(found.is_err(), "an input of 3,000 bytes comes soon");
        let new: Vec<PathBuf> = files().into_iter().filter(|path| !before.contains(path)).collect();
        assert!(matches!(&new[..], [path] if fs::read(path).unwrap().len() >= 3_000), "{new:?}");
        fs::remove_file(&new[0]).unwrap();
    }
}
