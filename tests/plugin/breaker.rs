//! What a reload keeps and what it leaves alone, and how it is told that a plugin is out of service.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use confab::clock::{Clock, SystemClock};
use confab::config::{Config, Isolation, Mode, OnError, Plugins};
use confab::core::hook::{Act, ActEvent, MessageEvent, Moderator, Ruling, TextKind, Verdict};
use confab::core::observe::{Happening, Observers, Shown, What};
use confab::metrics::Metrics;
use confab::plugin::PluginSet;
use confab_client::{Command, Reply};
use confab_protocol::codec::decode_audit;
use confab_protocol::command::{AuditRecord, ListAudit};
use confab_protocol::model::{AuditId, Millis, RoomId, Seq, ServerRole, UserId};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use super::acts::register_owner;
use super::observe::observer;
use super::shadow::ask;
use super::{built, folder, generous, plugins, post, with_replaced};
use crate::support::guests::message_event;
use crate::support::people::Person;
use crate::support::process::PATIENCE;
use crate::support::{TestServer, Transport, until_so};

/// What happens with one of the next looks at the clock, and how many come before it.
type Soon = (u32, Box<dyn FnOnce() + Send>);

/// Time that a test moves.
struct Movable {
    real: SystemClock,
    ahead_ms: AtomicU64,
    soon: Mutex<Option<Soon>>,
}

impl Movable {
    fn new() -> Arc<Self> {
        Arc::new(Self { real: SystemClock::new(), ahead_ms: AtomicU64::new(0), soon: Mutex::default() })
    }

    /// Who looks at it then is held up by that.
    fn after_looks(&self, count: u32, act: impl FnOnce() + Send + 'static) {
        *self.soon.lock().unwrap() = Some((count, Box::new(act)));
    }

    fn take_due(&self) -> Option<Soon> {
        let mut soon = self.soon.lock().unwrap();
        let (left, _) = soon.as_mut()?;
        if *left == 0 {
            return soon.take();
        }
        *left -= 1;
        None
    }

    fn pass(&self, seconds: u64) {
        self.ahead_ms.fetch_add(seconds * 1_000, Ordering::SeqCst);
    }
}

impl Clock for Movable {
    fn now(&self) -> Millis {
        self.real.now()
    }

    fn elapsed(&self) -> Duration {
        if let Some((_, act)) = self.take_due() {
            act();
        }
        self.real.elapsed() + Duration::from_millis(self.ahead_ms.load(Ordering::SeqCst))
    }

    fn random(&self) -> u128 {
        self.real.random()
    }
}

fn hostile(folder: &Path) -> Plugins {
    Plugins { chain: vec!["hostile".into()], ..generous(plugins(folder)) }
}

/// One that is refused once its first plugin was loaded.
fn refused(plugins: &Plugins) -> Plugins {
    Plugins { chain: vec!["hostile".into(), "nobody".into()], ..plugins.clone() }
}

fn configured(plugins: &Plugins, config: serde_json::Value) -> Plugins {
    Plugins { config: [("hostile".to_owned(), config)].into(), ..plugins.clone() }
}

fn load(plugins: &Plugins, metrics: &Metrics, clock: &Arc<Movable>) -> PluginSet {
    let clock: Arc<dyn Clock> = Arc::<Movable>::clone(clock);
    PluginSet::load(plugins, confab::assets::PLUGINS, None, &clock, metrics).unwrap()
}

fn state(metrics: &Metrics) -> i64 {
    metrics.plugin_breaker_state.with_label_values(&["hostile"]).get()
}

/// Verdicts and rules of what is to be noted.
fn told(ruling: &Ruling) -> Vec<(&str, &str)> {
    ruling.marks.iter().map(|mark| (mark.verdict, mark.rule.as_str())).collect()
}

/// Hooks that went out of service, or are back, and why, since this was last asked.
fn turned(set: &PluginSet) -> Vec<(&'static str, bool, &'static str)> {
    let (turned, omitted) = set.take_turned();
    assert_eq!(omitted, 0);
    turned.iter().map(|it| (it.hook, it.is_open, it.why)).collect()
}

/// The same as the audit has it, the oldest first.
async fn kept(owner: &Person, plugin: &str) -> Vec<String> {
    let plugin = Some(plugin.to_owned());
    let list = ListAudit { room: None, user: None, case: None, plugin, before: AuditId::NONE, limit: 0 };
    let Ok(Reply::Audit { records, .. }) = owner.client.request(Command::ListAudit(list)).await else { panic!() };
    let read = records.iter().rev().map(|entry| decode_audit(&entry.record).unwrap());
    let turns = read.filter(|record| record.act == "breaker");
    let told = |AuditRecord { finding, detail, .. }: AuditRecord| {
        finding.map(|found| format!("{} {} {} {detail}", found.hook, found.verdict, found.rule))
    };
    turns.filter_map(told).collect()
}

/// Until the audit has these.
async fn until_kept(owner: &Person, plugin: &str, expected: &[&str]) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let kept = kept(owner, plugin).await;
        if kept == expected {
            return;
        }
        assert!(Instant::now() < deadline, "{kept:?}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Five people on whom it fails.
async fn open(set: &PluginSet) -> Vec<Ruling> {
    let mut rulings = Vec::new();
    for author in 1..=5 {
        rulings.push(ask(set, author, "trap").await);
    }
    rulings
}

async fn is_out_of_service(set: &PluginSet) -> bool {
    told(&ask(set, 9, "innocent").await) == [("hold", "out-of-service")]
}

#[tokio::test(flavor = "multi_thread")]
async fn that_it_is_out_of_service_from_now_on_is_noted_once() {
    let (folder, metrics, clock) = (folder(), Metrics::new(), Movable::new());
    let set = load(&hostile(folder.path()), &metrics, &clock);
    let rulings = open(&set).await;
    for ruling in &rulings {
        assert_eq!(told(ruling), [("hold", "failed")]);
    }
    assert_eq!(turned(&set), [("message", true, "trap")]);
    assert!(is_out_of_service(&set).await && is_out_of_service(&set).await);
    assert_eq!(state(&metrics), 2);

    // A probe that fails opens nothing that was closed, and shows what is so, whoever wrote over it.
    clock.pass(6);
    metrics.plugin_breaker_state.with_label_values(&["hostile"]).set(0);
    assert_eq!(told(&ask(&set, 1, "trap").await), [("hold", "failed")]);
    assert_eq!((state(&metrics), turned(&set)), (2, Vec::new()));
    clock.pass(60);
    assert_eq!(ask(&set, 1, "innocent").await, Ruling::ALLOW);
    assert_eq!((state(&metrics), turned(&set)), (0, vec![("message", false, "probe")]));
    open(&set).await;
    assert_eq!(turned(&set), [("message", true, "trap")], "once each time");
}

/// Who registers is asked for two names, and may wait before the second: a stranger with five of them opens nothing.
#[tokio::test(flavor = "multi_thread")]
async fn those_who_register_are_one_however_long_it_takes() {
    let (folder, metrics, clock) = (folder(), Metrics::new(), Movable::new());
    let set = load(&hostile(folder.path()), &metrics, &clock);
    let now = clock.now();
    let (kind, account_created) = (TextKind::DisplayName, Millis(now.0 - 4_000));
    for author in 1..=6 {
        let author = UserId::from_u128(author);
        let event = MessageEvent { kind, author, now, account_created, ..message_event("trap") };
        assert_eq!(told(&set.decide_message(event).await), [("hold", "failed")]);
    }
    assert_eq!((state(&metrics), turned(&set)), (0, Vec::new()));
}

/// There is nobody else who could, so that its rule is asked for nothing, and each is told to come again.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_opens_the_breaker_of_registrations() {
    let (folder, metrics, clock) = (folder(), Metrics::new(), Movable::new());
    let on_error = [("hostile".to_owned(), OnError::Open)].into();
    let set = load(&Plugins { on_error, ..hostile(folder.path()) }, &metrics, &clock);
    // More than the fewest calls that a share is taken of.
    for n in 1..=120 {
        let (who, now, username) = (UserId::from_u128(n), clock.now(), "trap-register");
        let act = Act::Register { display_name: "Ann", invited: false };
        let (role, account_created, context) = (ServerRole::User, now, None);
        let event = ActEvent { who, username, role, account_created, now, act, context };
        assert_eq!(told(&set.decide_act(event).await), [("unavailable", "failed")]);
    }
    assert_eq!((state(&metrics), turned(&set)), (0, Vec::new()));
}

/// What is called beside the messages has nobody's message to be told with.
#[tokio::test(flavor = "multi_thread")]
async fn that_an_observer_is_out_of_service_is_noted_too() {
    let (folder, metrics, clock) = (super::observe::folder(), Metrics::new(), Movable::new());
    let set = load(&observer(folder.path(), Mode::Enforce), &metrics, &clock);
    let show = async |author: u128, body: &str| {
        let (room, seq, author, time) = (RoomId::from_u128(1), Seq(1), UserId::from_u128(author), clock.now());
        let what = What::Message { body: body.to_owned(), edited: false };
        set.show("observer", Arc::new(Happening { room, seq, author, time, what })).await
    };
    for author in 1..=5 {
        assert_eq!(show(author, "say trap").await, Shown::Failed);
    }
    assert_eq!(show(6, "say well").await, Shown::Paused);
    assert_eq!(turned(&set), [("observe", true, "trap")]);
    clock.pass(6);
    assert_eq!(show(5, "say trap").await, Shown::Failed);
    assert_eq!(show(5, "say well").await, Shown::Barred, "somebody else is waited for");
    assert_eq!(show(6, "say well").await, Shown::Seen);
    assert_eq!(turned(&set), [("observe", false, "probe")]);
    assert_eq!(show(5, "say well").await, Shown::Seen);
}

/// What grows so much in a call that the next one needs a new instance costs what no budget sees: its breaker is told.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_anew_for_each_call_is_taken_out_of_service() {
    let (folder, metrics, clock) = (folder(), Metrics::new(), Movable::new());
    // A feast is 20 MiB: there is room for it, and then little is left.
    let set = load(&Plugins { memory_mib: 26, ..hostile(folder.path()) }, &metrics, &clock);
    let failures = || metrics.plugin_traps_total.with_label_values(&["hostile", "memory"]).get();
    for _ in 0..10 {
        assert_eq!(ask(&set, 1, "feast").await, Ruling::ALLOW);
    }
    assert_eq!(failures(), 0, "it may come to that");
    for author in [1, 1, 1, 1, 1, 1, 2, 3, 4] {
        assert_eq!(ask(&set, author, "feast").await, Ruling::ALLOW, "it was survived");
    }
    assert_eq!((failures(), state(&metrics)), (9, 0));
    assert_eq!(ask(&set, 5, "feast").await, Ruling::ALLOW);
    assert_eq!(turned(&set), [("message", true, "memory")]);
    assert!(is_out_of_service(&set).await);
    assert_eq!(state(&metrics), 2);

    clock.pass(6);
    assert_eq!(ask(&set, 1, "feast").await, Ruling::ALLOW);
    assert_eq!(state(&metrics), 2, "the probe was as bad");
    clock.pass(60);
    assert_eq!(ask(&set, 1, "innocent").await, Ruling::ALLOW);
    assert_eq!((failures(), state(&metrics)), (11, 0));

    // Now and then it is nothing.
    for author in 1..=30 {
        for _ in 0..10 {
            assert_eq!(ask(&set, author, "innocent").await, Ruling::ALLOW);
        }
        assert_eq!(ask(&set, author, "feast").await, Ruling::ALLOW);
    }
    assert_eq!((failures(), state(&metrics)), (11, 0));
}

/// One that stays within its budget each time and takes most of it holds the whole server up: its breaker is told, in shadow
/// mode too.
#[tokio::test(flavor = "multi_thread")]
async fn what_takes_long_each_time_is_taken_out_of_service() {
    for mode in [Mode::Enforce, Mode::Shadow] {
        let (folder, metrics, clock) = (folder(), Metrics::new(), Movable::new());
        let mode = [("hostile".to_owned(), mode)].into();
        let config = Plugins { average_budget_ms: 1, mode, ..hostile(folder.path()) };
        let set = load(&config, &metrics, &clock);
        let failures = || metrics.plugin_traps_total.with_label_values(&["hostile", "too-slow"]).get();
        let mut calls = 0;
        while failures() == 0 {
            assert_eq!(ask(&set, 1, "dawdle").await, Ruling::ALLOW, "it was survived");
            calls += 1;
            assert!(calls < 2_000, "it is never noticed");
        }
        eprintln!("noticed after {calls} calls");
        assert!(calls > 1, "one slow call is nothing");
        // Who says what is decided quickly is not to blame, and nobody alone opens it.
        for author in 1..=9 {
            assert_eq!(ask(&set, author, "innocent").await, Ruling::ALLOW);
            assert_eq!(ask(&set, 1, "dawdle").await, Ruling::ALLOW);
        }
        assert_eq!((state(&metrics), turned(&set)), (0, Vec::new()));
        for author in 2..=5 {
            ask(&set, author, "dawdle").await;
        }
        assert_eq!((state(&metrics), turned(&set)), (2, vec![("message", true, "too-slow")]));
        let count = failures();
        ask(&set, 9, "dawdle").await;
        assert_eq!(failures(), count, "it is not asked");
        // The probe says whether it is well.
        clock.pass(6);
        ask(&set, 9, "dawdle").await;
        assert_eq!((state(&metrics), failures()), (2, count + 1));
        clock.pass(60);
        assert_eq!(ask(&set, 9, "innocent").await, Ruling::ALLOW);
        assert_eq!((state(&metrics), turned(&set)), (0, vec![("message", false, "probe")]));
    }
}

/// On threads of its own it holds nobody up.
#[tokio::test(flavor = "multi_thread")]
async fn an_interpreted_plugin_may_take_long() {
    let (folder, metrics, clock) = (folder(), Metrics::new(), Movable::new());
    let path = folder.path().join("hostile.toml");
    let manifest = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{manifest}\nclass = \"interpreted\"\n")).unwrap();
    let set = load(&Plugins { average_budget_ms: 1, ..hostile(folder.path()) }, &metrics, &clock);
    for author in 1..=100 {
        assert_eq!(ask(&set, author, "dawdle").await, Ruling::ALLOW);
    }
    assert!(turned(&set).is_empty());
}

/// One that cannot be asked holds what is said, but not what another has left nothing of: that would wait for people, and
/// be released, as it was sent.
#[tokio::test(flavor = "multi_thread")]
async fn what_nothing_is_left_of_is_not_held() {
    let (folder, metrics, clock) = (folder(), Metrics::new(), Movable::new());
    let set = load(&generous(plugins(folder.path())), &metrics, &clock);
    open(&set).await;
    assert!(is_out_of_service(&set).await);
    let ruling = ask(&set, 9, "\u{202e}\u{200b}").await;
    assert!(matches!(&ruling.verdict, Verdict::Replace(text) if text.trim().is_empty()), "{ruling:?}");
    assert_eq!((told(&ruling), &ruling.replaced), (vec![("replace", "")], &None));
}

#[tokio::test(flavor = "multi_thread")]
async fn that_it_is_out_of_service_and_back_is_in_the_audit() {
    let folder = folder();
    let server = TestServer::start_with(|config| config.plugins = generous(plugins(folder.path()))).await;
    let owner = register_owner(&server).await;
    let room = owner.enter("den").await;
    // All before it opens: then nobody registers, for their names cannot be checked.
    let mut people = Vec::new();
    for n in 0..6 {
        let author = Person::register(&server, Transport::WebSocket, &format!("author-{n}")).await;
        author.enter("den").await;
        people.push(author);
    }
    for author in &people {
        assert!(matches!(post(author, &room, "trap").await, Ok(Reply::Held(_))));
    }
    let opened = "message breaker-open out-of-service trap";
    until_kept(&owner, "hostile", &[opened]).await;
    // The first message after the pause is the probe.
    let deadline = Instant::now() + PATIENCE;
    while !matches!(post(&people[0], &room, "are you well?").await, Ok(Reply::Appended(_))) {
        assert!(Instant::now() < deadline, "it never probed");
        sleep(Duration::from_millis(100)).await;
    }
    until_kept(&owner, "hostile", &[opened, "message breaker-close in-service probe"]).await;
}

/// While a server drains its plugins are still asked: here it waits for one who may reload them.
#[tokio::test(flavor = "multi_thread")]
async fn what_turns_while_the_server_drains_is_in_the_audit() {
    let (guests, data) = (folder(), Arc::new(tempfile::tempdir().unwrap()));
    let start = || TestServer::start_in(Arc::clone(&data), |config| config.plugins = hostile(guests.path()));
    let server = start().await;
    let owner = register_owner(&server).await;
    let room = owner.enter("den").await;
    for n in 0..5 {
        let author = Person::register(&server, Transport::WebSocket, &format!("author-{n}")).await;
        author.enter("den").await;
        assert!(matches!(post(&author, &room, "trap").await, Ok(Reply::Held(_))));
    }
    let opened = "message breaker-open out-of-service trap";
    until_kept(&owner, "hostile", &[opened]).await;
    let (reloader, health) = (server.reloader.clone(), server.addresses.ops);
    let otherwise = configured(&server.config.plugins, json!({"name": "you"}));
    let prepared = reloader.preparer().prepare(Config { plugins: otherwise, ..server.config.clone() }).unwrap();
    drop((owner, server));
    until_so("it drains", async || TcpStream::connect(health).await.is_err()).await;
    reloader.take_up(prepared);
    drop(reloader);

    let server = start().await;
    let owner = Person::login(&server, Transport::Quic, "owner").await;
    assert_eq!(kept(&owner, "hostile").await, [opened, "message breaker-close in-service reload"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_closes_no_breaker_of_a_plugin_that_runs_by_the_same() {
    let (folder, metrics, clock) = (folder(), Metrics::new(), Movable::new());
    let config = hostile(folder.path());
    let set = load(&config, &metrics, &clock);
    open(&set).await;

    set.replace(&refused(&config)).unwrap_err();
    assert_eq!(state(&metrics), 2, "what was refused is not to be seen");
    assert!(is_out_of_service(&set).await);
    set.replace(&config).unwrap();
    assert_eq!(state(&metrics), 2);
    assert!(is_out_of_service(&set).await);

    for otherwise in [
        configured(&config, json!({"name": "you"})),
        Plugins { mode: [("hostile".to_owned(), Mode::Shadow)].into(), ..config.clone() },
        Plugins { isolation: [("hostile".to_owned(), Isolation::PerCall)].into(), ..config.clone() },
        Plugins { memory_mib: config.memory_mib + 1, ..config.clone() },
        Plugins { call_budget_ms: config.call_budget_ms + 1, ..config.clone() },
        Plugins { chain_budget_ms: config.chain_budget_ms + 1, ..config.clone() },
        Plugins { average_budget_ms: config.average_budget_ms + 1, ..config.clone() },
        config.clone(),
    ] {
        set.replace(&otherwise).unwrap();
        assert_eq!(state(&metrics), 0, "by these it may be well: {otherwise:?}");
        assert_eq!(turned(&set), [("message", true, "trap"), ("message", false, "reload")], "{otherwise:?}");
        assert_eq!(ask(&set, 9, "innocent").await, Ruling::ALLOW);
        open(&set).await;
        assert_eq!(state(&metrics), 2);
    }

    let path = folder.path().join("hostile.toml");
    let manifest = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{manifest}\nlimits = {{ call_ms = 100 }}\n")).unwrap();
    set.replace(&config).unwrap();
    assert_eq!(state(&metrics), 0, "by other limits it may be well");
    open(&set).await;
    assert_eq!(state(&metrics), 2);

    let wasm = std::fs::read(built("test-plugins/hostile.wasm")).unwrap();
    std::fs::write(folder.path().join("hostile.wasm"), with_replaced(&wasm, "as told", "as tale")).unwrap();
    set.replace(&config).unwrap();
    assert_eq!(state(&metrics), 0, "another component begins anew");
    assert_eq!(ask(&set, 9, "innocent").await, Ruling::ALLOW);

    open(&set).await;
    assert_eq!(state(&metrics), 2);
    let without = Plugins { chain: vec!["sanitize".into()], grant: [].into(), ..config };
    set.replace(&without).unwrap();
    for gauge in ["breaker_state", "memory_bytes", "kv_bytes"] {
        let shown = |id: &str| metrics.render().contains(&format!("confab_plugin_{gauge}{{plugin=\"{id}\"}}"));
        assert_eq!((shown("hostile"), shown("sanitize")), (false, true), "{gauge}: what is not there is not seen");
    }
}

/// Who runs the server answers for what passes unseen, and not who wrote the plugin.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_operator_says_holds_over_the_manifest() {
    let (folder, clock) = (folder(), Movable::new());
    let rule = |id: &str, rule: OnError| Plugins { on_error: [(id.to_owned(), rule)].into(), ..hostile(folder.path()) };
    for (on_error, verdict) in [(OnError::Open, "flag"), (OnError::Closed, "unavailable"), (OnError::Hold, "hold")] {
        let set = load(&rule("hostile", on_error), &Metrics::new(), &clock);
        open(&set).await;
        assert_eq!(told(&ask(&set, 9, "innocent").await), [(verdict, "out-of-service")], "{on_error:?}");
    }
    // It makes no plugin well, and holds at once.
    let metrics = Metrics::new();
    let set = load(&hostile(folder.path()), &metrics, &clock);
    open(&set).await;
    set.replace(&rule("hostile", OnError::Closed)).unwrap();
    assert_eq!(told(&ask(&set, 9, "innocent").await), [("unavailable", "out-of-service")]);
    assert_eq!(state(&metrics), 2);
    let error = set.replace(&rule("hostle", OnError::Open)).unwrap_err().to_string();
    assert!(error.contains("plugins.on_error.hostle is for no plugin"), "{error}");
}

/// The fifth call that fails begins before a reload and ends after it.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_generation_before_fails_on_is_not_seen_of_the_new_one() {
    let (folder, metrics, clock) = (folder(), Metrics::new(), Movable::new());
    let config = hostile(folder.path());
    let set = Arc::new(load(&config, &metrics, &clock));
    for author in 1..=4 {
        ask(&set, author, "trap").await;
    }
    let (of_reload, otherwise) = (Arc::clone(&set), configured(&config, json!({"name": "you"})));
    // The first look is for the breaker that lets it pass, the second is taken within the call.
    clock.after_looks(1, move || of_reload.replace(&otherwise).unwrap());
    assert_eq!(told(&ask(&set, 5, "trap").await), [("hold", "failed")]);
    assert_eq!(metrics.plugin_generation.get(), 2);
    assert!(turned(&set).is_empty(), "what is over is told of no more");
    assert_eq!(state(&metrics), 0);
    assert_eq!(ask(&set, 9, "innocent").await, Ruling::ALLOW);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_reload_leaves_what_a_plugin_remembers() {
    let (folder, metrics, clock) = (folder(), Metrics::new(), Movable::new());
    let config = hostile(folder.path());
    let remembering = configured(&config, json!({"remember": true}));
    let set = load(&config, &metrics, &clock);
    let count = async || match ask(&set, 1, "count").await.verdict {
        Verdict::Replace(count) => count,
        other => panic!("{other:?}"),
    };
    assert_eq!(count().await, "1");
    set.replace(&refused(&remembering)).unwrap_err();
    assert_eq!(count().await, "2");
    // `init` of the instance that serves counts, that of the one which was tried does not.
    set.replace(&remembering).unwrap();
    assert_eq!(count().await, "4");
}
