//! The tables in docs/ say what the code says. `UPDATE_EXPECT=1` rewrites them.

use std::fmt::Write;

use confab::config::Config;
use confab::metrics::Metrics;
use confab_protocol::close::{Close, CloseCode, Comeback};
use confab_protocol::reject::RejectCode;
use expect_test::expect_file;

#[test]
fn metrics() {
    let mut text =
        "# Metrics\n\nWhat /metrics tells; made from `src/metrics.rs`.\n\n| name | kind | meaning |\n|---|---|---|\n"
            .to_owned();
    for (name, kind, help) in Metrics::TABLE {
        let kind = if kind.contains("Counter") {
            "counter"
        } else if kind.contains("Gauge") {
            "gauge"
        } else {
            "histogram"
        };
        writeln!(text, "| `{name}` | {kind} | {help} |").unwrap();
    }
    expect_file!["../../docs/METRICS.md"].assert_eq(&text);
}

#[test]
fn codes() {
    let mut text = "# Codes\n\nMade from the constants of `schema/chat.capnp`. A client that does not know a number acts on its range.\n\n".to_owned();
    text.push_str("## Rejects: one request failed\n\n1xxx the request, 2xxx identity and rights, 3xxx rooms and the log, 4xxx limits, 5xxx moderation, 9xxx the server.\n\n");
    text.push_str("| number | name | text |\n|---|---|---|\n");
    for code in RejectCode::ALL {
        writeln!(text, "| {} | {} | {} |", code.number(), code.name(), code.text()).unwrap();
    }
    text.push_str("\n## Closes: the connection ends\n\n| number | name | text | then |\n|---|---|---|---|\n");
    for code in CloseCode::ALL {
        let then = match Close::from(*code).comeback() {
            Comeback::Reconnect => "reconnect and resume",
            Comeback::ReconnectLater => "reconnect after 10 s or more",
            Comeback::NewCredentials => "reconnect with other credentials",
            Comeback::Never => "do not reconnect by yourself",
        };
        writeln!(text, "| {} | {} | {} | {then} |", code.number(), code.name(), code.text()).unwrap();
    }
    expect_file!["../../docs/CODES.md"].assert_eq(&text);
}

#[test]
fn config() {
    let text = format!(
        "# Configuration\n\nDefaults, then the file, then `CONFAB__SECTION__KEY`. What `confab config init` prints:\n\n```toml\n{}```\n",
        Config::TEMPLATE
    );
    expect_file!["../../docs/CONFIG.md"].assert_eq(&text);
}
