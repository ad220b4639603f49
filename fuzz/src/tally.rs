//! What became of the frames: how many of each kind, and the figures of the run.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use confab_protocol::codec::FrameError;

/// Memory that a decoder held, and the length of the frame, bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Weight {
    held: usize,
    len: usize,
}

impl Weight {
    fn per_byte(self) -> f64 {
        self.held as f64 / self.len.max(1) as f64
    }
}

/// Counts by who said what.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    counts: BTreeMap<(&'static str, &'static str), u64>,
    /// By target: most memory that one frame made its decoder hold, and that for each byte of a frame.
    weights: BTreeMap<&'static str, [Weight; 2]>,
}

impl Tally {
    pub(crate) fn count(&mut self, who: &'static str, what: &'static str) {
        *self.counts.entry((who, what)).or_default() += 1;
    }

    /// What decoding a frame of this length held at its height.
    pub(crate) fn weigh(&mut self, target: &'static str, held: usize, len: usize) {
        let [highest, steepest] = self.weights.entry(target).or_default();
        let weight = Weight { held, len };
        if held > highest.held {
            *highest = weight;
        }
        // What is short is mostly the decoder's own.
        if len >= 512 && weight.per_byte() > steepest.per_byte() {
            *steepest = weight;
        }
    }

    /// A line for each who, most frequent first, and for each target.
    pub(crate) fn lines(&self) -> String {
        let mut by_who: BTreeMap<&str, Vec<(u64, &str)>> = BTreeMap::new();
        self.counts.iter().for_each(|((who, what), count)| by_who.entry(who).or_default().push((*count, what)));
        let mut text = String::new();
        for (who, mut counts) in by_who {
            counts.sort_unstable_by(|a, b| b.cmp(a));
            let all: u64 = counts.iter().map(|(count, _)| count).sum();
            let each: Vec<String> = counts.iter().map(|(count, what)| format!("{what} {count}")).collect();
            let _ = writeln!(text, "{who}: {all} ({} kinds): {}", counts.len(), each.join(", "));
        }
        for (target, [highest, steepest]) in &self.weights {
            let Weight { held, len } = highest;
            let _ = writeln!(
                text,
                "{target}: decoding held at most {held} bytes (for a frame of {len}), and {:.1} for each byte of one (of {})",
                steepest.per_byte(),
                steepest.len
            );
        }
        text
    }
}

pub(crate) const fn error_name(error: FrameError) -> &'static str {
    match error {
        FrameError::TooLarge => "too large",
        FrameError::Framing => "framing",
        FrameError::Invalid => "invalid",
        FrameError::UnknownKind => "unknown kind",
    }
}
