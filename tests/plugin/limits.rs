//! What a plugin is held to by its own manifest.

use std::path::Path;

use confab::config::{Config, Plugins};
use confab::core::hook::{Ruling, Verdict};
use confab::metrics::Metrics;

use super::shadow::ask;
use super::{folder, plugins};
use crate::support::guests::{load, load_with};

/// The hostile guest alone, on a server that gives much.
fn hostile(folder: &Path) -> Plugins {
    let chain = vec!["hostile".into()];
    let plugins = Plugins { chain, memory_mib: 64, ..plugins(folder) };
    Plugins { call_budget_ms: 2_000, average_budget_ms: 2_000, chain_budget_ms: 2_000, ..plugins }
}

/// The same, with a manifest that says less.
fn limited(folder: &Path, limits: &str) -> Plugins {
    let path = folder.join("hostile.toml");
    let manifest = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{manifest}\nlimits = {{ {limits} }}\n")).unwrap();
    hostile(folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_is_held_to_less_than_the_server_gives() {
    let unlimited = folder();
    let set = load(&hostile(unlimited.path())).unwrap();
    assert_eq!(ask(&set, 1, "feast").await, Ruling::ALLOW, "there is room for it");
    for (limits, body, why) in [("memory_mib = 16", "feast", "memory"), ("call_ms = 50", "loop", "timeout")] {
        let (folder, metrics) = (folder(), Metrics::new());
        let set = load_with(&limited(folder.path(), limits), None, &metrics).unwrap();
        let verdict = ask(&set, 1, body).await.verdict;
        assert_eq!(verdict, Verdict::Hold { note: format!("plugin hostile failed: {why}") }, "{limits}");
        let seconds = metrics.plugin_call_seconds.with_label_values(&["hostile", "message"]).get_sample_sum();
        assert!(seconds < 1.0, "{limits}: {seconds} s");
    }
}

#[test]
fn what_the_server_does_not_give_is_refused_by_name() {
    for (limits, words) in [
        ("call_ms = 2001", ["limits.call_ms is 2001", "at most 2000"]),
        ("memory_mib = 65", ["limits.memory_mib is 65", "at most 64"]),
        ("average_ms = 2001", ["limits.average_ms is 2001", "at most 2000"]),
        ("call_ms = 0", ["manifest", "nonzero"]),
    ] {
        let folder = folder();
        let Err(error) = load(&limited(folder.path(), limits)) else { panic!("{limits}: loaded") };
        assert!(error.contains("plugin hostile"), "{error}");
        assert!(words.iter().all(|word| error.contains(word)), "{limits}: {error}");
    }
    let folder = folder();
    load(&limited(folder.path(), "call_ms = 2000, memory_mib = 64")).map(drop).unwrap();
}

/// An instance that has little room left is made anew for each call, which costs more than any budget of calls sees.
#[test]
fn what_would_be_made_anew_for_each_call_is_refused() {
    let config = Config::default().plugins;
    let stock = |memory_mib| Plugins { chain: vec!["words".into()], memory_mib, ..config.clone() };
    let refused = |memory_mib| load(&stock(memory_mib)).err();
    let errors: Vec<String> = (1..=64).map_while(refused).collect();
    eprintln!("{errors:?}");
    assert!(errors.last().is_some_and(|error| error.contains("three quarters")), "{errors:?}");
}
