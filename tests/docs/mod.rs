//! The tables in docs/ say what the code says. `UPDATE_EXPECT=1` rewrites them.

mod contract;

use std::fmt::Write;
use std::path::Path;

use confab::config::Config;
use confab::core::access::{ACTIONS, RIGHTS, least};
use confab::core::costs::{COSTS, Cost};
use confab::core::limits::LIMITS;
use confab::core::permissions::{COMMANDS, STEWARDS};
use confab::core::standing::Scopes;
use confab::metrics::Metrics;
use confab_protocol::close::{Close, CloseCode, Comeback};
use confab_protocol::reject::RejectCode;
use confab_protocol::rights::RoomRights;
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
    text.push_str(
        "\n## Limits\n\nValues of the label `limit` of `confab_limited_total`; from `src/core/limits.rs`. Networks are /24 and \
         /48. Keys are those of `[limits]`.\n\n| limit | what it bounds |\n|---|---|\n",
    );
    for (name, what) in LIMITS {
        writeln!(text, "| `{name}` | {what} |").unwrap();
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

fn scopes(scopes: Scopes) -> String {
    let named = Scopes::NAMED.iter().chain(&[("account", Scopes::ACCOUNT)]);
    let names: Vec<&str> = named.filter(|(_, scope)| scopes.allow(*scope)).map(|(name, _)| *name).collect();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

#[test]
fn permissions() {
    let mut text = "# Permissions\n\nMade from the tables of `src/core/permissions.rs` and `src/core/access.rs`.\n\n\
        Nobody acts on their own rank or above. Roles are read from the store, never from a token.\n\n\
        ## On the server\n\n| role, and those above | may |\n|---|---|\n"
        .to_owned();
    for (_, role, what) in STEWARDS {
        writeln!(text, "| {role:?} | {what} |").unwrap();
    }
    text.push_str(
        "\n## In a room\n\nWho runs the server has the rank of the same name in the rooms that they are in, and none in \
         rooms of two people.\n\n| role, and those above | may |\n|---|---|\n",
    );
    for (_, role, what) in RIGHTS {
        writeln!(text, "| {role:?} | {what} |").unwrap();
    }
    text.push_str("| Guest | read, delete what they said |\n");
    text.push_str("\nFor these a room may have another least role (`updateRoom`); without:\n\n| role, and those above | may |\n|---|---|\n");
    for (action, what) in ACTIONS {
        writeln!(text, "| {:?} | {what} |", least(RoomRights::default(), action)).unwrap();
    }
    text.push_str(
        "\n## Commands\n\nAn API key must have been given the scope; `account` is for people alone. Who is muted on the server \
         does nothing that writes; at level 2 newcomers, and at level 3 all but those who run the server, do nothing that \
         enters or writes. What a command costs counts against `limits.commands_per_second` and `commands_burst`, from \
         `src/core/costs.rs`; some cost more for each thing that they name.\n\n| command | scope | effect | cost |\n|---|---|---|---|\n",
    );
    for (name, demand) in COMMANDS {
        let effect = format!("{:?}", demand.effect).to_lowercase();
        let (_, Cost { base, item }) = COSTS.iter().find(|(other, _)| other == name).expect("each has one");
        let cost = if *item == 0 { base.to_string() } else { format!("{base} + {item} each") };
        writeln!(text, "| `{name}` | {} | {effect} | {cost} |", scopes(demand.scopes)).unwrap();
    }
    expect_file!["../../docs/PERMISSIONS.md"].assert_eq(&text);
}

/// A promise names the test that holds it, and the test is there.
#[test]
fn security_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("SECURITY.md")).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_suffix(" |")?.rsplit_once(" | ").map(|(_, tests)| tests));
    let named: Vec<&str> = rows.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    assert!(named.len() > 30, "the table is read: {named:?}");
    for name in named {
        if let Some(task) = name.strip_prefix("cargo xtask ") {
            let words: Vec<&str> = task.split(' ').collect();
            let help = std::fs::read_to_string(root.join("xtask/src/main.rs")).unwrap();
            assert!(help.contains(words[0]), "no task {name}");
            continue;
        }
        if name.ends_with('/') {
            assert!(root.join(name).is_dir(), "no folder {name}");
            continue;
        }
        let path = name.replace("::", "/");
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent).to_owned();
        let files = ["tests", "src", "plugins", "schema/src", "schema/tests"].iter().flat_map(|top| {
            [
                format!("{top}/{path}.rs"),
                format!("{top}/{path}/mod.rs"),
                format!("{top}/{path}"),
                format!("{top}/{parent}.rs"),
            ]
        });
        let last = name.rsplit("::").next().unwrap();
        let is_there = files.clone().any(|file| {
            let file = root.join(file);
            let is_of_it = file.file_stem().is_some_and(|stem| stem == last || stem == "mod") || file.is_dir();
            file.exists()
                && (is_of_it || std::fs::read_to_string(&file).is_ok_and(|it| it.contains(&format!("fn {last}"))))
        });
        assert!(is_there, "no test {name}");
    }
}
