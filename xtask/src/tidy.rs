//! The habits that no compiler keeps: headers, sizes, module edges, no SQL from parts.
//! Each finding is one line with its reason.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::shell;

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;

/// Module of the server -> modules it must never name, and why (docs/ARCHITECTURE.md, "who may know whom").
const EDGES: &[(&str, &[&str], &str)] = &[
    (
        "src/transport",
        &["core", "store", "plugin", "hub", "router", "connection", "http"],
        "transports carry frames and nothing else",
    ),
    (
        "src/connection.rs",
        &["store", "plugin", "sequencer", "tail", "http"],
        "the driver knows a link, a session and the router",
    ),
    ("src/router.rs", &["store", "plugin", "hub", "transport", "sequencer"], "the router only calls the core"),
    (
        "src/core",
        &["transport", "connection", "router", "store::sqlite", "plugin", "hub", "http", "sequencer", "tail"],
        "the core knows traits",
    ),
    ("src/hub", &["core", "store", "transport", "plugin"], "the hub only enqueues"),
    ("src/tail.rs", &["transport", "plugin", "store", "http"], "the tail feeds the hub"),
    ("src/sequencer.rs", &["transport", "plugin", "hub", "http"], "the sequencer commits"),
    ("src/store", &["hub", "transport", "plugin", "router", "http", "connection"], "drivers know their trait"),
    (
        "src/backup",
        &["store::sqlite", "store::postgres", "hub", "transport", "router", "http"],
        "any store, by its trait",
    ),
    ("src/plugin", &["store", "hub", "transport", "router", "http", "connection"], "plugins get values"),
    ("src/http", &["store", "plugin", "hub", "sequencer", "tail"], "HTTP goes through the core"),
    ("src/metrics.rs", &["core", "hub", "store", "config"], "leaf"),
    ("src/clock.rs", &["core", "hub", "store", "config"], "leaf"),
    ("src/lifecycle.rs", &["core", "hub", "store", "config"], "leaf"),
];

/// External crates that only some folders may name.
const CRATES: &[(&str, &[&str])] = &[
    ("rusqlite", &["src/store/sqlite"]),
    ("tokio_postgres", &["src/store/postgres"]),
    ("deadpool_postgres", &["src/store/postgres"]),
    ("quinn", &["src/transport/quic.rs", "src/lib.rs", "client/src/link.rs"]),
    ("tokio_tungstenite", &["src/transport/websocket.rs", "src/http/socket.rs", "client/src/link.rs"]),
    ("wasmtime", &["src/plugin"]),
    ("axum", &["src/http"]),
    (
        "chat_capnp",
        &[
            "schema/src/codec",
            "schema/src/lib.rs",
            "schema/src/close.rs",
            "schema/src/reject.rs",
            "schema/src/session.rs",
        ],
    ),
];

/// Reads every file and fails with the whole list of findings.
pub(crate) fn run() -> Result<()> {
    let root = shell::root();
    let mut findings = Vec::new();
    for folder in [
        "src",
        "schema/src",
        "sdk/src",
        "client/src",
        "plugins",
        "web/src",
        "xtask",
        "benches",
        "examples",
        "tests",
        "schema/tests",
        "fuzz",
    ] {
        for file in rust_files(&root.join(folder)) {
            let name = file.strip_prefix(&root)?.to_string_lossy().into_owned();
            check_file(&name, &fs::read_to_string(&file)?, &mut findings);
        }
    }
    if findings.is_empty() {
        return Ok(());
    }
    for finding in &findings {
        eprintln!("tidy: {finding}");
    }
    bail!("{} findings", findings.len())
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files = Vec::new();
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() && !path.ends_with("generated") && !path.ends_with("target") {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

fn check_file(name: &str, text: &str, findings: &mut Vec<String>) {
    if !text.starts_with("//!") {
        findings.push(format!("{name}: begin with a `//!` line that says what lives here"));
    }
    let is_test = name.contains("tests/") || ["benches/", "examples/"].iter().any(|it| name.starts_with(it));
    let code = text.split("#[cfg(test)]").next().unwrap_or(text);
    if text.lines().count() > FILE_LINES_MAX {
        findings.push(format!("{name}: over {FILE_LINES_MAX} lines are two subjects"));
    }
    if !is_test {
        check_functions(name, code, findings);
        check_edges(name, code, findings);
    }
    for (number, line) in text.lines().enumerate() {
        let number = number + 1;
        if !is_test && line.trim_end() != line {
            findings.push(format!("{name}:{number}: trailing space"));
        }
    }
    if name.starts_with("src/store") {
        for (at, _) in code.match_indices("format!(") {
            if has_sql(call_text(&code[at..])) {
                let number = code[..at].lines().count();
                findings.push(format!("{name}:{number}: SQL is never built from parts: bind parameters"));
            }
        }
    }
}

/// From a macro's name to the bracket that closes it; a bracket inside a string only makes it longer or shorter.
fn call_text(code: &str) -> &str {
    let mut depth = 0;
    let is_end = |c: char| {
        depth += match c {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        c == ')' && depth == 0
    };
    code.find(is_end).map_or(code, |end| &code[..end])
}

fn has_sql(line: &str) -> bool {
    ["SELECT ", "INSERT ", "UPDATE ", "DELETE ", "WHERE "].iter().any(|word| line.contains(word))
}

/// Counts from `fn` to the line that closes it at the same indentation, which rustfmt guarantees.
fn check_functions(name: &str, code: &str, findings: &mut Vec<String>) {
    let mut open: Option<(usize, usize, String)> = None;
    for (number, line) in code.lines().enumerate() {
        let indent = line.len() - line.trim_start().len();
        match &open {
            None if is_function(line.trim_start()) && line.ends_with(['{', '(', '>', ',']) => {
                open = Some((number, indent, line.trim().to_owned()));
            }
            Some((start, at, head)) if indent == *at && line.trim_start().starts_with('}') => {
                if number - start + 1 > FUNCTION_LINES_MAX {
                    findings
                        .push(format!("{name}:{}: `{head}` is over {FUNCTION_LINES_MAX} lines: split it", start + 1));
                }
                open = None;
            }
            _ => {}
        }
    }
}

fn is_function(line: &str) -> bool {
    let words = ["pub", "pub(super)", "pub(crate)", "const", "async", "unsafe", "extern", "\"C\""];
    line.split(' ').find(|word| !words.contains(word)) == Some("fn")
}

fn check_edges(name: &str, code: &str, findings: &mut Vec<String>) {
    for (module, never, why) in EDGES {
        if !(name == *module || name.strip_prefix(module).is_some_and(|rest| rest.starts_with(['/', '.']))) {
            continue;
        }
        for other in *never {
            for (number, line) in uses(code, &format!("crate::{other}")) {
                // `core::store` is the trait; the drivers are `store::*`.
                if !line.contains("crate::core::store") || *other != "store" {
                    findings.push(format!("{name}:{number}: must not know {other}: {why}"));
                }
            }
            for number in grouped_uses(code, other) {
                findings.push(format!("{name}:{number}: must not know {other}: {why}"));
            }
        }
    }
    for (external, homes) in CRATES {
        if homes.iter().any(|home| name.starts_with(home))
            || !(name.starts_with("src") || name.starts_with("schema/src"))
        {
            continue;
        }
        for (number, _) in uses(code, &format!("{external}::")) {
            findings.push(format!("{name}:{number}: only {} may name {external}", homes.join(", ")));
        }
    }
}

fn uses<'a>(code: &'a str, path: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
    let is_use = move |line: &str| {
        !line.trim_start().starts_with("//")
            && line.match_indices(path).any(|(at, _)| {
                let before = line[..at].chars().next_back();
                let after = line[at + path.len()..].chars().next();
                let is_word = |c: char| c.is_alphanumeric() || c == '_';
                !before.is_some_and(is_word) && (path.ends_with("::") || !after.is_some_and(is_word))
            })
    };
    code.lines().enumerate().filter(move |(_, line)| is_use(line)).map(|(number, line)| (number + 1, line))
}

/// Lines of `use crate::{..}` groups that name a module.
fn grouped_uses<'a>(code: &'a str, module: &'a str) -> impl Iterator<Item = usize> {
    const OPEN: &str = "crate::{";
    code.match_indices(OPEN).filter_map(move |(at, _)| {
        let group = code[at + OPEN.len()..].split(';').next().unwrap_or_default();
        let mut depth = 0;
        let members = group.split(|c: char| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            c == ',' && depth == 0
        });
        let is_it = |member: &str| {
            member.trim().strip_prefix(module).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
        };
        members.into_iter().any(is_it).then(|| code[..=at].lines().count())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(name: &str, text: &str) -> Vec<String> {
        let mut findings = Vec::new();
        check_file(name, text, &mut findings);
        findings
    }

    #[test]
    fn each_habit_is_kept() {
        let long = format!("//! x\n{}", "// line\n".repeat(600));
        let function = format!("//! x\nfn f() {{\n{}}}\n", "    g();\n".repeat(70));
        for (name, text, word) in [
            ("src/x.rs", "fn f() {}\n", "//!"),
            ("src/x.rs", long.as_str(), "two subjects"),
            ("src/x.rs", function.as_str(), "split it"),
            ("src/x.rs", "//! x\nlet a = 1; \n", "trailing"),
            ("src/hub/outbox.rs", "//! x\nuse crate::core::Core;\n", "must not know core"),
            ("src/transport/quic.rs", "//! x\nuse crate::hub;\n", "must not know hub"),
            ("src/core/rooms.rs", "//! x\nuse rusqlite::params;\n", "only src/store/sqlite"),
            ("src/store/sqlite/x.rs", "//! x\nlet q = format!(\"SELECT {x}\");\n", "bind"),
            ("src/store/sqlite/x.rs", "//! x\nlet q = format!(\n    \"SELECT {x}\"\n);\n", "bind"),
            ("src/hub/outbox.rs", "//! x\nuse crate::{core::{Core, hook}, metrics};\n", "must not know core"),
        ] {
            let found = findings(name, text);
            assert!(found.len() == 1 && found[0].contains(word), "{name} {text:.30}: {found:?}");
        }
    }

    #[test]
    fn what_is_allowed_passes() {
        assert_eq!(findings("src/core/rooms.rs", "//! x\nuse crate::core::store::Store;\n"), [""; 0]);
        assert_eq!(findings("src/store/sqlite.rs", "//! x\nuse rusqlite::Connection;\n"), [""; 0]);
    }
}
