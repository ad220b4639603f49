//! `confab plugin bench`: what a call costs, measured with the golden lines as they are.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{anyhow, bail};
use confab_plugin::golden::{self, Case, Story};
use serde_json::json;

use super::author::parts;
use super::open_as_served;
use crate::cli::backup::teller;
use crate::plugin::lab::{Lab, Subject};

/// Calls that are measured.
const CALLS: usize = 100_000;
/// After so many of them it is looked whether it is time to tell how far it is: too seldom for p99 to see it.
const LOOK_EVERY: usize = 500;
/// Lines of this hook are asked: only they have a budget that the mean is compared with.
const ASKED: &str = "message";
/// Between the end of a golden file and its next round. What is counted in seconds or minutes is over by then.
const REST_MS: u64 = 3_600_000;
/// Authors of a round have ids that are so far from those of the round before; those in golden files are smaller.
const AUTHORS_APART: u64 = 1 << 32;

/// A golden line that is asked in each round.
struct Line<'a> {
    /// With the configuration of its file, and with what it remembers of that alone.
    subject: &'a Subject,
    story: &'a Story,
    number: usize,
    case: &'a Case,
    /// From one round of its file to the next.
    apart_ms: u64,
}

impl Line<'_> {
    fn ask(&self, round: u64) -> anyhow::Result<(Duration, &'static str)> {
        let case = later(self.case, round, self.apart_ms);
        let place = || format!("{}:{}", self.story.path.display(), self.number);
        self.subject.timed(&case).map_err(|why| anyhow!("{}: {why}", place()))
    }
}

/// A line as other people say it at another time: else a plugin that counts what somebody says refuses nearly all of it.
fn later(case: &Case, round: u64, apart_ms: u64) -> Case {
    let other = |author: u64| author.wrapping_add(round.wrapping_mul(AUTHORS_APART));
    let moved = |time_ms: u64| time_ms.saturating_add(round.saturating_mul(apart_ms));
    let mut case = case.clone();
    (case.author, case.time_ms) = (other(case.author), moved(case.time_ms));
    for said in &mut case.history {
        said.author = other(said.author);
        // What has no time is as long before the line as ever.
        if said.time_ms > 0 {
            said.time_ms = moved(said.time_ms);
        }
    }
    if let Some(about) = &mut case.context.about {
        about.author = other(about.author);
    }
    case
}

fn lines<'a>(stories: &'a [Story], subjects: &'a [Subject]) -> Vec<Line<'a>> {
    let mut lines = Vec::new();
    for (story, subject) in stories.iter().zip(subjects) {
        let times = || story.cases.iter().map(|(_, case)| case.time_ms);
        let (first, last) = (times().min().unwrap_or_default(), times().max().unwrap_or_default());
        let apart_ms = (last - first).saturating_add(REST_MS);
        let asked = story.cases.iter().filter(|(_, case)| case.hook == ASKED);
        lines.extend(asked.map(|(number, case)| Line { subject, story, number: *number, case, apart_ms }));
    }
    lines
}

fn subject(lab: &Lab, story: &Story) -> anyhow::Result<Subject> {
    lab.subject(&story.config).map_err(|why| anyhow!("{}: {why}", story.path.display()))
}

/// What it does not have it would be asked for all the same, and let all of it pass.
fn check_asked(id: &str, hooks: &[&str]) -> anyhow::Result<()> {
    if !hooks.contains(&ASKED) {
        bail!("{id}: {}; a bench asks no other", golden::not_its_hook(ASKED, hooks));
    }
    Ok(())
}

pub(super) fn run(plugin: &Path, json: bool) -> anyhow::Result<()> {
    let (pair, goldens) = parts(plugin, |id| Ok(plugin.join("target").join(format!("{id}.wasm"))))?;
    let lab = open_as_served(&pair)?;
    check_asked(&pair.id, &lab.hooks())?;
    let mut stories = golden::read_folder(&goldens).map_err(anyhow::Error::msg)?;
    stories.retain(|story| story.cases.iter().any(|(_, case)| case.hook == ASKED));
    if stories.is_empty() {
        bail!("{} has no lines of the message hook to measure with", goldens.display());
    }
    let subjects = stories.iter().map(|story| subject(&lab, story)).collect::<anyhow::Result<Vec<_>>>()?;
    let lines = lines(&stories, &subjects);
    let calls = (0_u64..).flat_map(|round| lines.iter().map(move |line| (round, line))).take(CALLS);
    let mut verdicts = BTreeMap::<&str, usize>::new();
    let mut times = measure(calls, CALLS, &teller(), |(round, line)| {
        let (took, verdict) = line.ask(*round)?;
        *verdicts.entry(verdict).or_default() += 1;
        Ok(took)
    })?;
    times.sort_unstable();
    print(&lab, lines.len(), &times, &verdicts, json);
    Ok(())
}

/// Times are sorted.
fn print(lab: &Lab, lines: usize, times: &[Duration], verdicts: &BTreeMap<&str, usize>, json: bool) {
    let at = |share: f64| times.get((times.len() as f64 * share) as usize).map_or(0.0, |it| it.as_secs_f64() * 1e6);
    let (p50, p99, worst) = (at(0.5), at(0.99), times.last().map_or(0.0, |it| it.as_secs_f64() * 1e6));
    let (calls, mean) = (times.len(), times.iter().sum::<Duration>().as_secs_f64() * 1e6 / times.len().max(1) as f64);
    if json {
        let measured = json!({ "calls": calls, "mean_us": mean, "p50_us": p50, "p99_us": p99, "worst_us": worst,
            "verdicts": verdicts });
        println!("{measured}");
        return;
    }
    println!("{calls} calls over {lines} golden lines, microseconds of CPU each, the clock's own included:");
    println!("  p50 {p50:.1}   p99 {p99:.1}   worst {worst:.1}   (budget {})", lab.call_budget().as_micros());
    let told = |most: Duration| {
        format!("   (budget {}; a plugin that stays above it is taken out of service)", most.as_micros())
    };
    println!("  mean {mean:.1}{}", lab.average_budget().map(told).unwrap_or_default());
    let verdicts: Vec<String> = verdicts.iter().map(|(verdict, count)| format!("{verdict} {count}")).collect();
    println!("  verdicts: {}", verdicts.join(", "));
}

/// What a call took for each, of so many.
fn measure<T>(
    all: impl Iterator<Item = T>,
    of: usize,
    tell: &dyn Fn(&str),
    mut call: impl FnMut(&T) -> anyhow::Result<Duration>,
) -> anyhow::Result<Vec<Duration>> {
    let mut times = Vec::with_capacity(of);
    for one in all {
        if !times.is_empty() && times.len().is_multiple_of(LOOK_EVERY) {
            tell(&format!("{} of {of} calls", times.len()));
        }
        times.push(call(&one)?);
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn a_bench_tells_of_how_many_calls() {
        let told = RefCell::new(Vec::new());
        let tell = |what: &str| told.borrow_mut().push(what.to_owned());
        let times = measure(0..1_200_u64, 1_200, &tell, |call| Ok(Duration::from_micros(*call))).unwrap();
        assert_eq!((times.len(), times.last()), (1_200, Some(&Duration::from_micros(1_199))));
        assert_eq!(told.take(), ["500 of 1200 calls", "1000 of 1200 calls"]);
    }

    #[test]
    fn a_plugin_that_is_not_asked_about_messages_is_not_measured() {
        check_asked("x", &["join", "message"]).unwrap();
        let error = check_asked("x", &["join", "login"]).unwrap_err().to_string();
        assert_eq!(error, "x: the plugin has no hook message; it has join, login; a bench asks no other");
    }

    #[test]
    fn a_later_round_is_the_same_line_of_others_at_another_time() {
        let line = r#"{"author": 2, "time_ms": 50, "kind": "edit", "body": "x", "history": [{"author": 2}, {"time_ms": 7}],
            "context": {"about": {"author": 2}}}"#;
        let case: Case = serde_json::from_str(line).unwrap();
        assert_eq!(later(&case, 0, 1_000), case);
        let moved = later(&case, 3, 1_000);
        let other = 2 + 3 * AUTHORS_APART;
        assert_eq!((moved.author, moved.time_ms), (other, 3_050));
        assert_eq!((moved.kind.as_str(), moved.body.as_str()), ("edit", "x"));
        let history: Vec<(u64, u64)> = moved.history.iter().map(|said| (said.author, said.time_ms)).collect();
        assert_eq!(history, [(other, 0), (other - 1, 3_007)]);
        assert_eq!(moved.context.about.map(|about| about.author), Some(other));
    }
}
