//! `confab plugin top`: what the plugins of the running server do, from two looks at its metrics a moment apart.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};

use crate::config::Config;

/// How long a server may take to tell its metrics.
const PATIENCE: Duration = Duration::from_secs(5);
/// Rates are of what happens in this time.
const LOOK: Duration = Duration::from_secs(1);
/// Of a hundred calls so many took no longer than what is told.
const MOST: f64 = 0.99;

/// Calls of one hook.
#[derive(Default)]
struct Calls {
    count: f64,
    seconds: f64,
    /// Bounds in seconds, and how many calls took no longer.
    buckets: Vec<(f64, f64)>,
    verdicts: BTreeMap<String, f64>,
}

impl Calls {
    /// Between which two bounds of the metric most calls end: the upper one.
    fn most_us(&self) -> Option<f64> {
        let enough = self.buckets.iter().find(|(_, count)| *count >= self.count * MOST);
        enough.map(|(seconds, _)| seconds * 1e6).filter(|us| us.is_finite())
    }

    fn mean_us(&self) -> f64 {
        if self.count > 0.0 { self.seconds / self.count * 1e6 } else { 0.0 }
    }
}

/// One plugin, as the metrics have it.
#[derive(Default)]
struct Row {
    hooks: BTreeMap<String, Calls>,
    traps: BTreeMap<String, f64>,
    /// What it was not asked about or shown, by why.
    missed: BTreeMap<String, f64>,
    /// Absent: it was taken out, or never taken up, and what is left is what was counted.
    breaker: Option<f64>,
    memory_bytes: f64,
    kv_bytes: f64,
}

impl Row {
    const fn breaker(&self) -> &'static str {
        match self.breaker {
            Some(0.0) | None => "closed",
            Some(1.0) => "half open",
            _ => "open",
        }
    }
}

/// Prints a row for each hook of each plugin that was asked, and a line for each plugin.
pub(super) fn top(config: &Config, json: bool) -> anyhow::Result<()> {
    let address = config.listen.ops;
    let look = || {
        read_metrics(address).with_context(|| {
            format!(
                "no server answers on {address}, which is listen.ops: start it with `confab serve`, or name the \
                 configuration that it runs with, `confab --config FILE plugin top`"
            )
        })
    };
    let before = parse(&look()?);
    std::thread::sleep(LOOK);
    let now = parse(&look()?);
    let rate = |plugin: &str, hook: &str, calls: &Calls| {
        let earlier = before.get(plugin).and_then(|row| row.hooks.get(hook)).map_or(0.0, |calls| calls.count);
        // A server that was started in between counts from 0.
        (calls.count - earlier).max(0.0) / LOOK.as_secs_f64()
    };
    if now.is_empty() {
        eprintln!("No plugin runs there. One that was installed is taken up on SIGHUP: see `confab plugin list`.");
    }
    if json {
        println!("{}", now.iter().map(|(id, row)| as_json(id, row, &rate)).collect::<Value>());
    } else {
        print!("{}", as_text(&now, &rate));
    }
    Ok(())
}

fn as_json(plugin: &str, row: &Row, rate: &dyn Fn(&str, &str, &Calls) -> f64) -> Value {
    let hooks = row.hooks.iter().map(|(hook, calls)| {
        json!({
            "hook": hook, "calls": calls.count, "calls_per_second": rate(plugin, hook, calls),
            "mean_us": calls.mean_us(), "p99_us_at_most": calls.most_us(), "verdicts": calls.verdicts,
        })
    });
    json!({
        "plugin": plugin, "breaker": row.breaker(), "memory_bytes": row.memory_bytes, "kv_bytes": row.kv_bytes,
        "traps": row.traps, "missed": row.missed, "hooks": hooks.collect::<Value>(),
    })
}

fn as_text(rows: &BTreeMap<String, Row>, rate: &dyn Fn(&str, &str, &Calls) -> f64) -> String {
    const KIB: f64 = 1024.0;
    let mut text = String::new();
    let width = rows.keys().map(String::len).max().unwrap_or_default().max("plugin".len());
    let _ = writeln!(
        text,
        "{:width$}  {:>9}  {:>10}  {:>10}  {:20}  missed",
        "plugin", "breaker", "memory KiB", "kv KiB", "traps"
    );
    for (plugin, row) in rows {
        let (memory, kv) = (row.memory_bytes / KIB, row.kv_bytes / KIB);
        let (breaker, traps, missed) = (row.breaker(), listed(&row.traps), listed(&row.missed));
        let _ = writeln!(text, "{plugin:width$}  {breaker:>9}  {memory:>10.0}  {kv:>10.1}  {traps:20}  {missed}");
    }
    let _ = writeln!(
        text,
        "\n{:width$}  {:15}  {:>10}  {:>8}  {:>8}  {:>9}  verdicts",
        "plugin", "hook", "calls", "calls/s", "mean us", "p99 us <="
    );
    for (plugin, hook, calls) in rows.iter().flat_map(hooks_of) {
        let (count, per_second, mean) = (calls.count, rate(plugin, hook, calls), calls.mean_us());
        let most = calls.most_us().map_or_else(|| "-".to_owned(), |us| format!("{us:.0}"));
        let verdicts = listed(&calls.verdicts);
        let _ = writeln!(
            text,
            "{plugin:width$}  {hook:15}  {count:>10}  {per_second:>8.1}  {mean:>8.1}  {most:>9}  {verdicts}"
        );
    }
    text
}

fn hooks_of<'a>((plugin, row): (&'a String, &'a Row)) -> impl Iterator<Item = (&'a str, &'a str, &'a Calls)> {
    row.hooks.iter().map(move |(hook, calls)| (plugin.as_str(), hook.as_str(), calls))
}

fn listed(counts: &BTreeMap<String, f64>) -> String {
    let counts: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
    if counts.is_empty() { "-".to_owned() } else { counts.join(", ") }
}

/// What of the exposition format tells of plugins. What reads otherwise is left out.
fn parse(text: &str) -> BTreeMap<String, Row> {
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    for (name, labels, value) in text.lines().filter_map(sample) {
        let label =
            |wanted: &str| labels.iter().find(|(name, _)| *name == wanted).map(|(_, value)| (*value).to_owned());
        let Some(row) = label("plugin").map(|plugin| rows.entry(plugin).or_default()) else { continue };
        match (name, label("hook")) {
            ("breaker_state", _) => row.breaker = Some(value),
            ("memory_bytes", _) => row.memory_bytes = value,
            ("kv_bytes", _) => row.kv_bytes = value,
            ("shadow_dropped_total" | "passed_over_total" | "sessions_dropped_total", _) if value > 0.0 => {
                row.missed.insert(name.trim_end_matches("_total").to_owned(), value);
            }
            ("traps_total", _) if value > 0.0 => {
                row.traps.insert(label("kind").unwrap_or_default(), value);
            }
            ("call_seconds_count", Some(hook)) => row.hooks.entry(hook).or_default().count = value,
            ("call_seconds_sum", Some(hook)) => row.hooks.entry(hook).or_default().seconds = value,
            ("call_seconds_bucket", Some(hook)) => {
                if let Some(bound) = label("le").and_then(|le| le.parse().ok()) {
                    row.hooks.entry(hook).or_default().buckets.push((bound, value));
                }
            }
            ("verdicts_total", Some(hook)) if value > 0.0 => {
                let verdict = label("verdict").unwrap_or_default();
                row.hooks.entry(hook).or_default().verdicts.insert(verdict, value);
            }
            _ => {}
        }
    }
    rows.retain(|_, row| row.breaker.is_some());
    rows.values_mut().for_each(|row| row.hooks.retain(|_, calls| calls.count > 0.0));
    rows
}

/// Names and values.
type Labels<'a> = Vec<(&'a str, &'a str)>;

/// One line: the metric's name behind `confab_plugin_`, labels, value. No label of a plugin has a quote or a comma in it.
fn sample(line: &str) -> Option<(&str, Labels<'_>, f64)> {
    let (name, rest) = line.strip_prefix("confab_plugin_")?.split_once('{')?;
    let (labels, value) = rest.split_once("} ")?;
    let labels = labels.split(',').filter_map(|label| {
        let (name, value) = label.split_once('=')?;
        Some((name, value.trim_matches('"')))
    });
    Some((name, labels.collect(), value.parse().ok()?))
}

fn read_metrics(address: SocketAddr) -> anyhow::Result<String> {
    use std::io::{Read, Write};
    let mut socket = std::net::TcpStream::connect_timeout(&address, PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    write!(socket, "GET /metrics HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    socket.take(16 << 20).read_to_string(&mut answer)?;
    anyhow::ensure!(answer.starts_with("HTTP/1.1 200"), "what answers there tells no metrics");
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS: &str = r#"# HELP confab_plugin_call_seconds Time of one plugin call.
confab_plugin_breaker_state{plugin="words"} 2
confab_plugin_breaker_state{plugin="links"} 0
confab_plugin_call_seconds_bucket{hook="message",plugin="words",le="0.0001"} 98
confab_plugin_call_seconds_bucket{hook="message",plugin="words",le="0.00025"} 99
confab_plugin_call_seconds_bucket{hook="message",plugin="words",le="+Inf"} 100
confab_plugin_call_seconds_sum{hook="message",plugin="words"} 0.0005
confab_plugin_call_seconds_count{hook="message",plugin="words"} 100
confab_plugin_call_seconds_count{hook="login",plugin="words"} 0
confab_plugin_generation 3
confab_plugin_kv_bytes{plugin="words"} 2048
confab_plugin_memory_bytes{plugin="words"} 1048576
confab_plugin_shadow_dropped_total{plugin="words"} 2
confab_plugin_traps_total{kind="timeout",plugin="words"} 4
confab_plugin_traps_total{kind="timeout",plugin="taken-out"} 1
confab_plugin_verdicts_total{hook="message",plugin="words",verdict="allow"} 97
confab_plugin_verdicts_total{hook="message",plugin="words",verdict="hold"} 3
confab_plugin_verdicts_total{hook="message",plugin="words",verdict="bounce"} 0
a line that is none
"#;

    #[test]
    fn metrics_become_a_row_for_each_hook() {
        let rows = parse(METRICS);
        let json = as_json("words", &rows["words"], &|_, _, _| 7.0);
        let hook = json!({ "hook": "message", "calls": 100.0, "calls_per_second": 7.0, "mean_us": 5.0,
            "p99_us_at_most": 250.0, "verdicts": { "allow": 97.0, "hold": 3.0 } });
        assert_eq!(
            json,
            json!({ "plugin": "words", "breaker": "open", "memory_bytes": 1_048_576.0, "kv_bytes": 2048.0,
                "traps": { "timeout": 4.0 }, "missed": { "shadow_dropped": 2.0 }, "hooks": [hook] })
        );
        let text = as_text(&rows, &|_, _, _| 0.25);
        let cells: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(cells[1], ["links", "closed", "0", "0.0", "-", "-"]);
        assert_eq!(cells[2], ["words", "open", "1024", "2.0", "timeout", "4", "shadow_dropped", "2"]);
        assert_eq!(cells[5], ["words", "message", "100", "0.2", "5.0", "250", "allow", "97,", "hold", "3"]);
        assert_eq!(rows.len(), 2);
    }
}
