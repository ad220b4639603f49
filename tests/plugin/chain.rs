//! In which order plugins are asked, and that those who decided are asked about the text that others read.

use std::path::Path;
use std::sync::Arc;

use confab::clock::{Clock, SystemClock};
use confab::config::{Config, Mode, Plugins};
use confab::core::hook::{Ruling, Verdict};
use confab::metrics::Metrics;
use confab::plugin::PluginSet;
use confab::plugin::installed::{Entry, Home, Installed, Kept};
use serde_json::{Value, json};

use super::shadow::ask;
use super::{built, generous};

/// The hostile guest as an installed plugin. It signs what begins with "sign" with its configuration.
fn installed(mode: Mode) -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    let read = |extension: &str| std::fs::read(built(&format!("test-plugins/hostile.{extension}"))).unwrap();
    let home = Home::of(place.path());
    let Kept { sha256, files } = home.keep("hostile", &read("wasm"), &read("toml"), None).unwrap();
    let (id, grant) = ("hostile".to_owned(), vec!["log".to_owned(), "kv".to_owned()]);
    home.write(&Installed { plugins: vec![Entry { id, mode, sha256, files, grant, earlier: Vec::new() }] }).unwrap();
    place
}

/// A chain of the stock plugins; what each is configured with.
fn chain<const N: usize>(ids: &[&str], config: [(&str, Value); N]) -> Plugins {
    let chain = ids.iter().map(|&id| id.to_owned()).collect();
    let config = config.into_iter().map(|(id, config)| (id.to_owned(), config)).collect();
    generous(Plugins { chain, config, ..Config::default().plugins })
}

fn words(action: &str, word: &str) -> Value {
    json!({ "lists": [{ "name": "own", "action": action, "words": [word], "reason": "not here" }] })
}

fn load(plugins: &Plugins, place: &Path, metrics: &Metrics) -> Result<PluginSet, String> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let set = PluginSet::load(plugins, confab::assets::PLUGINS, Some(place), &clock, metrics);
    set.map_err(|error| error.to_string())
}

/// Who found something, and what, in this order.
fn told(ruling: &Ruling) -> Vec<(&str, &str, &str)> {
    ruling.marks.iter().map(|mark| (&*mark.plugin, mark.verdict, mark.rule.as_str())).collect()
}

/// How often a plugin was asked about a message.
fn calls(metrics: &Metrics, id: &str) -> u64 {
    metrics.plugin_call_seconds.with_label_values(&[id, "message"]).get_sample_count()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_behind_them_makes_of_a_text_passes_those_who_decided() {
    let (place, metrics) = (installed(Mode::Enforce), Metrics::new());
    let config = [("words", words("reject", "zzbad")), ("hostile", json!("zzbad"))];
    let set = load(&chain(&["sanitize", "words"], config), place.path(), &metrics).unwrap();
    let ruling = ask(&set, 1, "sign here").await;
    assert!(matches!(&ruling.verdict, Verdict::Reject { reason, .. } if reason == "not here"), "{ruling:?}");
    assert_eq!(told(&ruling), [("hostile", "replace", ""), ("words", "reject", "words.own")]);
    assert_eq!([calls(&metrics, "words"), calls(&metrics, "hostile")], [2, 1], "it is not asked about its own text");

    // Where nothing is replaced nobody is asked again.
    assert_eq!(ask(&set, 1, "innocent").await, Ruling::ALLOW);
    assert_eq!(["sanitize", "words", "hostile"].map(|id| calls(&metrics, id)), [3, 3, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_in_shadow_mode_has_nobody_asked_again() {
    let (place, metrics) = (installed(Mode::Shadow), Metrics::new());
    let config = [("words", words("reject", "zzbad")), ("hostile", json!("zzbad"))];
    let set = load(&chain(&["sanitize", "words"], config), place.path(), &metrics).unwrap();
    assert_eq!(ask(&set, 1, "sign here").await.verdict, Verdict::Allow);
    assert_eq!(calls(&metrics, "words"), 1);
}

/// What was found of a message and counted of it the first time is so once.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_asked_again_neither_flags_nor_counts_twice() {
    let (place, metrics) = (installed(Mode::Enforce), Metrics::new());
    let (flags, flood) = (words("flag", "here"), json!({ "messages": 3, "within_seconds": 600 }));
    let config = [("words", flags), ("flood", flood), ("hostile", json!("me"))];
    let set = load(&chain(&["words", "flood"], config), place.path(), &metrics).unwrap();
    for body in ["sign here now", "sign here later"] {
        let ruling = ask(&set, 1, body).await;
        assert_eq!(ruling.verdict, Verdict::Replace(format!("{body} signed \"me\"")));
        assert_eq!(told(&ruling), [("words", "flag", "words.own"), ("hostile", "replace", "")]);
    }
    assert_eq!(calls(&metrics, "flood"), 4);
}

/// There is no third time: what would be changed again waits for people, as it was changed last.
#[tokio::test(flavor = "multi_thread")]
async fn what_would_be_replaced_again_is_held() {
    let (place, metrics) = (installed(Mode::Enforce), Metrics::new());
    let set = load(&chain(&["sanitize", "words"], [("hostile", json!("a\u{202e}b"))]), place.path(), &metrics).unwrap();
    let ruling = ask(&set, 1, "sign here").await;
    assert!(matches!(ruling.verdict, Verdict::Hold { .. }), "{ruling:?}");
    assert_eq!(ruling.replaced.as_deref(), Some("sign here signed \"ab\""));
    assert_eq!(told(&ruling).last(), Some(&("server", "hold", "unsettled")));
    assert_eq!([calls(&metrics, "sanitize"), calls(&metrics, "hostile")], [2, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installed_plugin_stands_where_the_chain_names_it() {
    let config = [("words", words("reject", "zzbad")), ("hostile", json!("zzbad"))];
    let plugins = chain(&["hostile", "sanitize", "words"], config);
    for (mode, is_rejected) in [(Mode::Enforce, true), (Mode::Shadow, false), (Mode::Off, false)] {
        let (place, metrics) = (installed(mode), Metrics::new());
        let set = load(&plugins, place.path(), &metrics).unwrap();
        let ruling = ask(&set, 1, "sign here").await;
        assert_eq!(matches!(ruling.verdict, Verdict::Reject { .. }), is_rejected, "{mode:?}: {ruling:?}");
        assert_eq!(calls(&metrics, "words"), 1, "{mode:?}");
        assert_eq!(calls(&metrics, "hostile"), u64::from(mode != Mode::Off), "{mode:?}");
    }
}

#[test]
fn a_plugin_stands_in_one_place() {
    let place = installed(Mode::Enforce);
    let refused = |plugins: &Plugins, words: &[&str]| {
        let Err(error) = load(plugins, place.path(), &Metrics::new()) else { panic!("{words:?}") };
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    };
    for twice in [&["sanitize", "words", "sanitize"][..], &["hostile", "sanitize", "hostile"]] {
        refused(&chain(twice, []), &["plugin", twice[0], "stands in plugins.chain twice"]);
    }
    // One of the chain's own, of the same id.
    let folder = super::folder();
    let both = Plugins { dir: Some(folder.path().to_owned()), ..chain(&["hostile"], []) };
    refused(&both, &["plugin hostile", "is installed", "plugins.chain"]);
    refused(&chain(&["nobody"], []), &["plugin nobody", "nobody.wasm"]);
}
