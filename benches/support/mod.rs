//! What the benches share: processes on cores of their own, clients that cost little, tables. What is
//! measured and how stands in the bench itself.
#![allow(clippy::format_push_string, dead_code, reason = "each bench is a crate and uses its part")]
#![allow(clippy::print_stdout, reason = "a bench prints what it found")]

pub(crate) mod floor;
pub(crate) mod process;
pub(crate) mod quic;
pub(crate) mod readers;
pub(crate) mod server;
pub(crate) mod session;
pub(crate) mod websocket;

use std::sync::LazyLock;
use std::time::Duration;

use confab::clock::{Clock, SystemClock};
use confab_protocol::model::Millis;

static CLOCK: LazyLock<SystemClock> = LazyLock::new(SystemClock::new);

/// Time that never goes back.
pub(crate) fn elapsed() -> Duration {
    CLOCK.elapsed()
}

/// Wall-clock time.
pub(crate) fn now() -> Millis {
    CLOCK.now()
}

/// Whether `cargo bench` runs this. `cargo test --all-targets` also starts benches, and must not wait for them.
pub(crate) fn is_wanted() -> bool {
    let wanted = std::env::args().any(|argument| argument == "--bench");
    if !wanted {
        println!("not measured: this is for `cargo bench`");
    }
    wanted
}

/// The parts of a bench that are to be run: all, or those that are named, as in `cargo bench --bench publish -- sqlite`.
pub(crate) fn parts<'a>(all: &[&'a str]) -> Vec<&'a str> {
    let named: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    for name in &named {
        assert!(all.contains(&name.as_str()), "there is no part `{name}`, but {}", all.join(", "));
    }
    all.iter().copied().filter(|part| named.is_empty() || named.iter().any(|name| name == part)).collect()
}

/// Runs a measurement on this thread alone.
pub(crate) fn run<T>(measurement: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, measurement)
}

/// The middle value.
pub(crate) fn median(values: &[f64]) -> f64 {
    percentile(values, 50)
}

/// The value that so many percent do not exceed; 0 of nothing.
pub(crate) fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let index = sorted.len().saturating_sub(1) * percent / 100;
    sorted.get(index).copied().unwrap_or_default()
}

/// `yes` or `NO`, for a column of targets.
pub(crate) fn verdict(is_met: bool) -> String {
    if is_met { "yes".into() } else { "NO".into() }
}

/// Prints a table; the first column is text, the others are figures.
pub(crate) fn print_table(title: &str, head: &[&str], rows: &[Vec<String>]) {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(head.get(column).map(|cell| cell.chars().count())).max().unwrap_or_default()
    };
    let print = |cells: &[String]| {
        let mut line = String::new();
        for (column, cell) in cells.iter().enumerate() {
            let width = width(column);
            line.push_str(&if column == 0 { format!("| {cell:<width$} ") } else { format!("| {cell:>width$} ") });
        }
        println!("{line}|");
    };
    println!("\n{title}\n");
    print(&head.iter().map(ToString::to_string).collect::<Vec<_>>());
    print(&(0..head.len()).map(|column| "-".repeat(width(column))).collect::<Vec<_>>());
    for row in rows {
        print(row);
    }
    println!();
}
