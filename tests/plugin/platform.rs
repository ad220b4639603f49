//! What the operator decides about plugins: how each is meant, what it is given, which component it is; and that all of
//! it can change while the server runs.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use confab::clock::{Clock, SystemClock};
use confab::config::{Isolation, Mode, Plugins};
use confab::core::hook::{MessageEvent, Moderator, Presently, Ruling, Verdict};
use confab::metrics::Metrics;
use confab::plugin::PluginSet;
use confab::plugin::installed::{Earlier, Entry, Home, Installed};
use confab::plugin::lab::Lab;
use confab_client::Reply;
use confab_protocol::model::{Millis, RoomRole};
use serde_json::json;

use super::{folder, generous, granted, plugins, post};
use crate::support::guests::{load_with, message_event};
use crate::support::people::Person;
use crate::support::{TestServer, Transport};

const HOUR: Duration = Duration::from_secs(60 * 60);

fn hostile(folder: &Path) -> Plugins {
    Plugins { chain: vec!["hostile".into()], ..generous(plugins(folder)) }
}

fn of_hostile<T>(value: T) -> BTreeMap<String, T> {
    [("hostile".to_owned(), value)].into()
}

fn load(plugins: &Plugins) -> PluginSet {
    load_with(plugins, None, &Metrics::new()).unwrap()
}

async fn ask(set: &PluginSet, body: &str) -> Ruling {
    let event = message_event(body);
    let member = Some(Presently { role: RoomRole::Member, joined: Millis(event.now.0 - 90_000) });
    set.decide_message(MessageEvent { member, ..event }).await
}

fn replaced(text: &str) -> Verdict {
    Verdict::Replace(text.to_owned())
}

/// What is flagged is posted; what is shadowed is posted for its author.
#[tokio::test(flavor = "multi_thread")]
async fn flagged_and_shadowed() {
    let folder = folder();
    let server = TestServer::start_with(|config| config.plugins = plugins(folder.path())).await;
    let author = Person::register(&server, Transport::WebSocket, "author").await;
    let other = Person::register(&server, Transport::Quic, "other").await;
    let room = author.enter("den").await;
    other.enter("den").await;
    for body in ["flag", "shadow", "plain"] {
        assert!(matches!(post(&author, &room, body).await, Ok(Reply::Appended(it)) if !it.altered), "{body}");
    }
    let texts = |history: Vec<(_, String)>| history.into_iter().map(|(_, text)| text).collect::<Vec<_>>();
    assert_eq!(texts(author.history(&room).await), ["flag", "shadow", "plain"], "its author is not told");
    assert_eq!(texts(other.history(&room).await), ["flag", "plain"]);
    for verdict in ["flag", "shadow"] {
        let labels = format!("{{hook=\"message\",plugin=\"hostile\",verdict=\"{verdict}\"}}");
        assert_eq!(server.metric(&format!("confab_plugin_verdicts_total{labels}")).await, 1.0, "{verdict}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_shadow_mode_it_says_what_it_would_do_and_off_it_says_nothing() {
    let folder = folder();
    let metrics = Metrics::new();
    let shadow = Plugins { mode: of_hostile(Mode::Shadow), ..hostile(folder.path()) };
    let set = load_with(&shadow, None, &metrics).unwrap();
    for body in ["reject", "hold", "upper", "trap", "shadow"] {
        let ruling = ask(&set, body).await;
        assert_eq!((ruling.verdict, ruling.marks.len()), (Verdict::Allow, 1), "{body}");
        assert!(!ruling.marks[0].enforced);
    }
    let count = |verdict: &str| metrics.plugin_verdicts_total.with_label_values(&["hostile", "message", verdict]).get();
    assert_eq!((count("reject"), count("hold"), count("replace"), count("shadow")), (1, 2, 1, 1));
    let off = Plugins { mode: of_hostile(Mode::Off), ..hostile(folder.path()) };
    assert_eq!(ask(&load(&off), "reject").await, Ruling::ALLOW);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_finds_is_told_in_bounds() {
    let folder = folder();
    let set = load(&hostile(folder.path()));
    let Ruling { verdict, marks, .. } = ask(&set, "forge").await;
    assert_eq!((verdict, marks.len()), (Verdict::Allow, 1));
    let mark = &marks[0];
    assert_eq!((mark.rule.as_str(), mark.score, mark.label.len(), mark.note.len()), ("31m--", 100, 64, 256));
    assert_eq!((&*mark.plugin, mark.hash.len(), mark.verdict), ("hostile", 64, "flag"));
    assert_eq!(ask(&set, "shadow").await.marks[0].span, Some(("body", 0, 6)));
    assert_eq!(ask(&set, "upper").await.marks[0].span, Some(("body", 0, 5)), "where another text was put");
    assert_eq!(ask(&set, "context").await.verdict, replaced("RoomRole::Member 90 context"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_remembers_is_shared_bounded_and_outlives_a_reload() {
    let folder = folder();
    let config = Plugins { isolation: of_hostile(Isolation::PerCall), ..hostile(folder.path()) };
    let metrics = Metrics::new();
    let set = load_with(&config, None, &metrics).unwrap();
    for n in 1..=3 {
        assert_eq!(ask(&set, "count").await.verdict, replaced(&n.to_string()), "by all instances");
        assert_eq!(ask(&set, "again").await.verdict, replaced("1"), "an instance for each call");
    }
    set.replace(&hostile(folder.path())).unwrap();
    assert_eq!(ask(&set, "count").await.verdict, replaced("4"));
    assert_eq!(ask(&set, "again").await.verdict, replaced("2"), "the same instance");
    assert_eq!(ask(&set, "hoard").await.verdict, replaced("not kept"));
    set.note_bytes();
    let bytes = metrics.plugin_kv_bytes.with_label_values(&["hostile"]).get();
    assert!((1 << 20..9 << 20).contains(&bytes), "{bytes}");
    assert_eq!(metrics.plugin_generation.get(), 2);
}

/// Slow leaks stay small: an instance serves so many calls, and then another takes its place.
#[tokio::test(flavor = "multi_thread")]
async fn an_instance_is_replaced_after_ten_thousand_calls() {
    const CALLS_MAX: u32 = 10_000;
    let folder = folder();
    let set = load(&hostile(folder.path()));
    for n in 1..=CALLS_MAX {
        assert_eq!(ask(&set, "again").await.verdict, replaced(&n.to_string()), "the same instance");
    }
    assert_eq!(ask(&set, "again").await.verdict, replaced("1"), "a new instance");
}

/// One that took more than three quarters of what it may have is not asked again; one that took less is.
#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_took_much_memory_is_replaced() {
    let folder = folder();
    // A feast is 20 MiB, and with the guest's own memory not 24.
    for (memory_mib, next) in [(26, "1"), (32, "2")] {
        let set = load(&Plugins { memory_mib, ..hostile(folder.path()) });
        assert_eq!(ask(&set, "feast").await.verdict, Verdict::Allow, "{memory_mib} MiB are enough");
        assert_eq!(ask(&set, "again").await.verdict, replaced(next), "{memory_mib} MiB");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn which_component_it_is_and_what_it_is_given() {
    let folder = folder();
    let config = hostile(folder.path());
    let configured = Plugins { config: of_hostile(json!({"name": "you"})), ..config.clone() };
    assert_eq!(ask(&load(&configured), "greet").await.verdict, replaced("hello {\"name\":\"you\"}"));
    let hash = ask(&load(&config), "flag").await.marks[0].hash.to_string();
    load(&Plugins { sha256: of_hostile(hash.to_uppercase()), ..config.clone() });
    for (wrong, words) in [
        (Plugins { sha256: of_hostile("00".repeat(32)), ..config.clone() }, ["plugins.sha256.hostile", &hash]),
        (
            Plugins { config: of_hostile(json!({"is": "impossible"})), ..config.clone() },
            ["does not take its configuration", "nobody can be configured like this"],
        ),
        (Plugins { grant: granted(&["log"]), ..config.clone() }, ["capability kv", "plugins.grant.hostile"]),
        (
            Plugins { mode: [("hostle".to_owned(), Mode::Off)].into(), ..config.clone() },
            ["plugin hostle", "plugins.mode.hostle is for no plugin"],
        ),
    ] {
        let Err(error) = load_with(&wrong, None, &Metrics::new()) else { panic!("{words:?}") };
        assert!(words.iter().all(|word| error.contains(word)) && !error.contains('\n'), "{error}");
        // A running chain stays as it is.
        let set = load(&config);
        set.replace(&wrong).unwrap_err();
        assert_eq!(ask(&set, "upper").await.verdict, replaced("UPPER"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_fails_its_golden_files_is_not_taken_up() {
    let folder = folder();
    let config = hostile(folder.path());
    let set = load(&config);
    let goldens = folder.path().join("hostile.goldens");
    std::fs::create_dir(&goldens).unwrap();
    let file = goldens.join("story.jsonl");
    std::fs::write(&file, "{\"body\": \"reject\", \"expect\": \"reject\", \"rule\": \"told-to\"}\n").unwrap();
    set.replace(&config).unwrap();
    std::fs::write(&file, "{\"body\": \"reject\"}\n").unwrap();
    let error = set.replace(&config).unwrap_err().to_string();
    assert!(error.contains("golden") && error.contains("story.jsonl:1"), "{error}");
    assert_eq!(ask(&set, "upper").await.verdict, replaced("UPPER"));
}

/// Machine code is kept, closed to others, and compiled anew when it is not as it was written.
#[tokio::test(flavor = "multi_thread")]
async fn compiled_code_is_kept_and_checked() {
    let folder = folder();
    let config = hostile(folder.path());
    let place = tempfile::tempdir().unwrap();
    let cache = place.path().join("plugin-cache");
    let kept = || {
        let files = std::fs::read_dir(&cache).unwrap().map(|file| file.unwrap().path());
        files.map(|path| std::fs::read(&path).map(|bytes| (path, bytes)).unwrap()).collect::<Vec<_>>()
    };
    let start = async || {
        let set = load_with(&config, Some(place.path()), &Metrics::new()).unwrap();
        assert_eq!(ask(&set, "upper").await.verdict, replaced("UPPER"));
    };
    start().await;
    let first = kept();
    assert_eq!(first.len(), 1);
    assert_eq!(std::fs::metadata(&cache).unwrap().permissions().mode() & 0o777, 0o700);
    start().await;
    assert_eq!(kept(), first);
    let (path, good) = &first[0];
    for at in [0, 40, good.len() / 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        std::fs::write(path, bad).unwrap();
        start().await;
        assert_eq!(kept(), first, "byte {at}");
    }
    std::fs::write(path, &good[..20]).unwrap();
    start().await;
    assert_eq!(kept(), first);
    // Where others may write, nothing is read.
    std::fs::set_permissions(&cache, PermissionsExt::from_mode(0o777)).unwrap();
    std::fs::write(path, b"").unwrap();
    start().await;
    assert_eq!(kept()[0].1, b"");
}

/// `confab plugin install` looks at a component first, and loads it then as a server would.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_compiled_to_be_looked_at_is_compiled_once() {
    let folder = folder();
    let config = hostile(folder.path());
    let place = tempfile::tempdir().unwrap();
    let part = |extension: &str| std::fs::read(folder.path().join(format!("hostile.{extension}"))).unwrap();
    Lab::open_as_served_by(&config, place.path(), "hostile", &part("wasm"), &part("toml")).unwrap();
    // A file that is written anew is another one.
    let kept = || {
        let files = std::fs::read_dir(place.path().join("plugin-cache")).unwrap().map(|file| file.unwrap().path());
        files.map(|path| (std::fs::metadata(&path).unwrap().ino(), path)).collect::<Vec<_>>()
    };
    let first = kept();
    assert_eq!(first.len(), 1, "{first:?}");
    let set = load_with(&config, Some(place.path()), &Metrics::new()).unwrap();
    assert_eq!(ask(&set, "upper").await.verdict, replaced("UPPER"));
    assert_eq!(kept(), first);
}

/// What is not named any more goes once it is old, for commands compile beside a server; what another engine compiled at once.
#[test]
fn compiled_code_that_nobody_needs_goes() {
    let folder = folder();
    let place = tempfile::tempdir().unwrap();
    let cache = place.path().join("plugin-cache");
    let set = load_with(&hostile(folder.path()), Some(place.path()), &Metrics::new()).unwrap();
    let own = std::fs::read_dir(&cache).unwrap().next().unwrap().unwrap().file_name().into_string().unwrap();
    let engine = own.split_once('-').unwrap().1.strip_suffix(".cwasm").unwrap();
    let hash = |byte: &str| byte.repeat(32);
    // One that is off, and one that it can go back to.
    let earlier = Earlier { mode: Mode::Off, sha256: hash("0b"), files: hash("00"), grant: Vec::new() };
    let (id, mode, sha256, files) = ("other".to_owned(), Mode::Off, hash("0a"), hash("01"));
    let entry = Entry { id, mode, sha256, files, grant: Vec::new(), earlier: vec![earlier] };
    Home::of(place.path()).write(&Installed { plugins: vec![entry] }).unwrap();

    let named = |byte: &str, ending: &str| format!("{}-{ending}", hash(byte));
    let other = format!("{:016x}.cwasm", 1);
    let (live, fresh, long) = (format!("{engine}.cwasm"), format!("{engine}.7.new"), format!("{engine}.cwasm.cwasm"));
    let yesterday = SystemTime::UNIX_EPOCH + Duration::from_millis(SystemClock::new().now().0) - HOUR * 25;
    let make = |name: &str, is_old: bool| {
        let file = std::fs::File::create(cache.join(name)).unwrap();
        if is_old {
            file.set_modified(yesterday).unwrap();
        }
    };
    let stays = [
        (named("0a", &live), true),
        (named("0b", &live), true),
        (named("0c", &live), false),
        (named("0d", &fresh), false),
        (named("0e", &long), true),
        ("notes.cwasm".to_owned(), true),
    ];
    let goes = [
        (named("1a", &live), true),
        (named("1b", &other), false),
        (named("1c", &fresh), true),
        (named("0a", &other), true),
    ];
    stays.iter().chain(&goes).for_each(|(name, is_old)| make(name, *is_old));
    let link = cache.join(named("1d", &other));
    symlink(cache.join("notes.cwasm"), &link).unwrap();
    std::fs::File::options().append(true).open(cache.join(&own)).unwrap().set_modified(yesterday).unwrap();

    // What is not taken up takes nothing away.
    let wrong = Plugins { chain: vec!["nobody".into()], ..hostile(folder.path()) };
    set.replace(&wrong).unwrap_err();
    assert!(goes.iter().all(|(name, _)| cache.join(name).exists()));
    set.replace(&hostile(folder.path())).unwrap();
    let is_there = |name: &String| cache.join(name).exists();
    assert_eq!(stays.iter().map(|(name, _)| name).find(|name| !is_there(name)), None, "is needed");
    assert_eq!(goes.iter().map(|(name, _)| name).find(|name| is_there(name)), None, "is needed by nobody");
    assert!(is_there(&own) && link.is_symlink());
    // So does a start.
    make(&goes[0].0, true);
    load_with(&hostile(folder.path()), Some(place.path()), &Metrics::new()).unwrap();
    assert!(!is_there(&goes[0].0));
}

/// 100 generations while messages are decided all the time: each is decided once, by one of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_hundred_reloads_under_load_lose_nothing_and_decide_nothing_twice() {
    let folder = folder();
    let place = tempfile::tempdir().unwrap();
    let metrics = Metrics::new();
    let generation = |n: u32| Plugins { config: of_hostile(json!(n)), ..hostile(folder.path()) };
    let set = Arc::new(load_with(&generation(0), Some(place.path()), &metrics).unwrap());
    let (is_over, decided) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let asking = (0..2).map(|_| {
        let (set, is_over, decided) = (Arc::clone(&set), Arc::clone(&is_over), Arc::clone(&decided));
        tokio::spawn(async move {
            while !is_over.load(Ordering::SeqCst) {
                match ask(&set, "upper").await.verdict {
                    Verdict::Replace(text) if text == "UPPER" => decided.fetch_add(1, Ordering::SeqCst),
                    other => panic!("{other:?}"),
                };
                tokio::task::yield_now().await;
            }
        })
    });
    let asking: Vec<_> = asking.collect();
    for n in 1..=100 {
        set.replace(&generation(n)).unwrap();
        // A new one is asked from now on.
        assert_eq!(ask(&set, "greet").await.verdict, replaced(&format!("hello {n}")));
    }
    is_over.store(true, Ordering::SeqCst);
    for task in asking {
        task.await.unwrap();
    }
    let decided = decided.load(Ordering::SeqCst) + 100;
    let counted = metrics.plugin_verdicts_total.with_label_values(&["hostile", "message", "replace"]).get();
    eprintln!("{decided} decisions over 100 reloads");
    assert_eq!((counted, metrics.plugin_generation.get()), (decided, 101));
    assert!(decided > 1_000, "{decided}");
}
