//! The figures of runs, and the line of the table that they end in.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::history::{Event, History, Summary, Violation};

/// What came of one run or of several.
#[derive(Clone, Default, Debug)]
pub struct Outcome {
    pub runs: u64,
    pub sent: usize,
    pub acked: usize,
    pub refused: usize,
    /// Given up by writers that crashed themselves.
    pub unknown: usize,
    /// Answers that meant "not now".
    pub put_off: u64,
    /// Messages in flight at a fault and acknowledged after it.
    pub across: usize,
    /// Acknowledged resends of what was there already.
    pub duplicates: usize,
    pub lost: usize,
    pub doubled: usize,
    pub reconnections: usize,
    /// From the fault to the first new acknowledgement; where a drain or a full disk is ended, from there.
    pub recoveries: Vec<Duration>,
    /// That an author waited for the answer to one message, resends and all.
    pub longest_wait: Duration,
    /// From the first to the last time of messages, as the server's clock has it.
    pub clock_span: Duration,
}

impl Outcome {
    pub fn add(&mut self, other: Self) {
        self.runs += other.runs;
        self.sent += other.sent;
        self.acked += other.acked;
        self.refused += other.refused;
        self.unknown += other.unknown;
        self.put_off += other.put_off;
        self.across += other.across;
        self.duplicates += other.duplicates;
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.reconnections += other.reconnections;
        self.recoveries.extend(other.recoveries);
        self.longest_wait = self.longest_wait.max(other.longest_wait);
        self.clock_span = self.clock_span.max(other.clock_span);
    }

    /// What of the judgement goes into the figures.
    pub fn judged(&mut self, violations: &[Violation], summary: &Summary) {
        let count = |is_it: fn(&Violation) -> bool| violations.iter().filter(|violation| is_it(violation)).count();
        (self.sent, self.acked, self.refused) = (summary.sent, summary.acked, summary.refused);
        (self.unknown, self.duplicates) = (summary.unknown, summary.duplicates);
        self.reconnections = summary.reconnections;
        self.lost = count(|violation| matches!(violation, Violation::Lost { .. }));
        self.doubled = count(|violation| matches!(violation, Violation::Twice { .. }));
    }

    /// A line of the table that somebody greps for, and one for whom it is not enough.
    pub fn print(&self, fault: &str) {
        eprintln!("fault table: {fault} | {self}");
        let Self { sent, refused, unknown, put_off, across, duplicates, reconnections, .. } = self;
        eprintln!(
            "    {sent} sent, {unknown} given up, {refused} refused, {put_off} put off, {across} acknowledged across a \
             fault, {duplicates} told as duplicates, {reconnections} reconnections of readers in all rooms, longest \
             wait {} ms",
            self.longest_wait.as_millis()
        );
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runs, acked, lost, doubled, .. } = self;
        let mut times: Vec<u128> = self.recoveries.iter().map(Duration::as_millis).collect();
        times.sort_unstable();
        let at = |index: usize| times.get(index).map_or("-".to_owned(), u128::to_string);
        let (middle, most) = (at(times.len() / 2), at(times.len().saturating_sub(1)));
        write!(f, "{runs} | {acked} | {lost} | {doubled} | {middle}/{most}")
    }
}

impl Outcome {
    /// What was under way at one of these times, and how long authors waited.
    pub fn timed(&mut self, history: &History, faults: &[u64]) {
        let times = history
            .events
            .iter()
            .filter_map(|event| if let Event::Acked(acked) = event { Some(acked.time_ms) } else { None });
        let (first, last) = times.fold((u64::MAX, 0), |(first, last), time| (first.min(time), last.max(time)));
        self.clock_span = Duration::from_millis(last.saturating_sub(first));
        let mut sent = BTreeMap::new();
        for event in &history.events {
            match event {
                Event::Intent(intent) => drop(sent.insert(intent.message, intent.at)),
                Event::Acked(ack) => {
                    let (from, to) = (sent[&ack.message], ack.at);
                    self.across += usize::from(faults.iter().any(|fault| (from..to).contains(fault)));
                    self.longest_wait = self.longest_wait.max(Duration::from_nanos(to - from));
                }
                _ => {}
            }
        }
    }
}
