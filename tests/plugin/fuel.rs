//! Instructions of golden lines and of calls: the same number each time, a bound where a line gives one, and the end of
//! a call that has none.

use std::path::Path;

use confab::core::hook::{MessageEvent, Presently, Verdict};
use confab::plugin::lab::{Blessed, Lab};
use confab_protocol::model::{Millis, RoomRole};

use super::built;
use crate::support::Transport;
use crate::support::guests::{lab, message_event, opened};
use crate::support::process::Place;

fn event(body: &str) -> MessageEvent<'_> {
    let member = Some(Presently { role: RoomRole::Member, joined: Millis(1) });
    MessageEvent { member, ..message_event(body) }
}

/// A golden line with a text that takes some instructions.
fn long_line() -> String {
    format!("{{\"body\": \"{}\"}}", "été ".repeat(2_000).trim())
}

fn with_fuel(line: &str, fuel: u64) -> String {
    format!("{}, \"fuel\": {fuel}}}\n", line.trim().strip_suffix('}').unwrap())
}

/// With what the plugin remembers from line to line, in another engine too.
#[test]
fn the_same_lines_take_the_same_number_each_time() {
    for id in ["flood", "words"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins").join(id).join("goldens");
        let (one, other) = (lab(&format!("plugins/{id}")), lab(&format!("plugins/{id}")));
        let first = one.goldens(&folder).unwrap().fuel;
        assert_eq!(
            (one.goldens(&folder).unwrap().fuel, other.goldens(&folder).unwrap().fuel),
            (first.clone(), first.clone())
        );
        assert!(first.calls > 100 && first.total > first.max && first.max > 0, "{id}: {first:?}");
        assert!(Path::new(first.max_at.split(".jsonl:").next().unwrap()).starts_with(&folder), "{first:?}");

        let (one, other) = (one.subject("{}").unwrap(), other.subject("{}").unwrap());
        let counts = [&one, &other].map(|subject| subject.decide_counted(&event("the same text, twice")).1);
        assert!(counts[0] > 0 && counts[0] == counts[1], "{id}: {counts:?}");
        let served = opened(Lab::open_as_served, &format!("plugins/{id}"));
        assert_eq!(served.goldens(&folder).unwrap().fuel.total, 0, "a server does not count");
    }
}

#[test]
fn a_line_that_takes_far_more_than_it_gives_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("long.jsonl");
    std::fs::write(&file, long_line()).unwrap();
    let sanitize = lab("plugins/sanitize");
    let taken = sanitize.goldens(folder.path()).unwrap().fuel.total;
    assert!(taken > 20_000, "{taken}");
    for enough in [taken, taken * 2, taken - taken / 10] {
        std::fs::write(&file, with_fuel(&long_line(), enough)).unwrap();
        assert_eq!(sanitize.goldens(folder.path()).unwrap().wrong, Vec::<String>::new(), "{enough}");
    }
    let half = taken / 2;
    for (given, why) in [
        (half, format!("fuel {taken}, at most {} ({half} + 20 %)", half + half * 20 / 100)),
        (1, format!("fuel {taken}, at most 1001 (1 + 1000)")),
    ] {
        std::fs::write(&file, with_fuel(&long_line(), given)).unwrap();
        let wrong = sanitize.goldens(folder.path()).unwrap().wrong;
        assert!(wrong.len() == 1 && wrong[0].ends_with(&format!("long.jsonl:1: {why}")), "{wrong:?}");
    }
    // Before a server takes a plugin up it runs what will run, and that counts nothing.
    let served = opened(Lab::open_as_served, "plugins/sanitize");
    assert_eq!(served.goldens(folder.path()).unwrap().wrong, Vec::<String>::new());
}

#[test]
fn bless_writes_it_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("some.jsonl");
    let bless = |lab: &Lab| lab.bless(folder.path()).unwrap();
    let lines =
        [long_line(), String::new(), "{\"room\": 2,\"body\": \"a\\u202eb\", \"expect\": \"reject\"}".to_owned()];
    std::fs::write(&file, lines.join("\n")).unwrap();
    let sanitize = lab("plugins/sanitize");
    assert_eq!(bless(&sanitize), Blessed { verdicts: 1, fuel: 2 });
    let text = std::fs::read_to_string(&file).unwrap();
    let written: Vec<&str> = text.split('\n').collect();
    let taken: u64 = written[0].rsplit(' ').next().unwrap().trim_end_matches('}').parse().unwrap();
    assert_eq!((written.len(), written[0], written[1]), (3, with_fuel(&lines[0], taken).trim(), ""));
    let begins = "{\"room\": 2,\"body\": \"a\\u202eb\", \"expect\": \"replace\", ";
    assert!(written[2].starts_with(begins) && written[2].contains("\"text\": \"ab\", \"fuel\": "), "{text}");
    let report = sanitize.goldens(folder.path()).unwrap();
    assert_eq!((report.lines, report.wrong, report.fuel.max), (2, Vec::new(), taken));

    // What is near enough stays.
    assert_eq!(bless(&sanitize), Blessed::default());
    for (given, is_stale) in [(taken / 2, true), (taken * 2, true), (taken + taken / 10, false)] {
        std::fs::write(&file, with_fuel(&long_line(), given)).unwrap();
        assert_eq!(bless(&sanitize), Blessed { verdicts: 0, fuel: usize::from(is_stale) }, "{given}");
        let expected = with_fuel(&long_line(), if is_stale { taken } else { given });
        assert_eq!(std::fs::read_to_string(&file).unwrap(), expected);
    }
    let served = opened(Lab::open_as_served, "plugins/sanitize");
    std::fs::write(&file, long_line()).unwrap();
    assert_eq!(bless(&served), Blessed::default(), "what is not counted is not written");
}

/// By a number of instructions, which is the same each time, and under its own name.
#[test]
fn an_endless_loop_ends_by_fuel_in_the_lab_and_by_time_in_a_server() {
    let subject = lab("test-plugins/hostile").subject("{}").unwrap();
    let mut counts = Vec::new();
    for _ in 0..2 {
        let (ruling, fuel) = subject.decide_counted(&event("loop"));
        assert!(matches!(ruling.verdict, Verdict::Hold { .. }), "{ruling:?}");
        assert_eq!(ruling.marks.last().unwrap().note, "plugin hostile failed: fuel");
        counts.push(fuel);
        let (ruling, fuel) = subject.decide_counted(&event("hello"));
        assert!(ruling.verdict == Verdict::Allow && fuel > 0 && fuel < counts[0] / 1_000, "{ruling:?} {fuel}");
    }
    assert!(counts[0] == counts[1] && counts[0] >= 100_000_000, "{counts:?}");
    // Others keep their names.
    let (ruling, fuel) = subject.decide_counted(&event("trap"));
    assert!(ruling.marks.last().unwrap().note.ends_with("failed: trap") && fuel > 0, "{ruling:?} {fuel}");

    let served = opened(Lab::open_as_served, "test-plugins/hostile").subject("{}").unwrap();
    let (ruling, fuel) = served.decide_counted(&event("loop"));
    assert_eq!((ruling.marks.last().unwrap().note.as_str(), fuel), ("plugin hostile failed: timeout", 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_replay_tells_the_same_cost() {
    let place = Place::with("plugins.chain = []");
    let _server = place.serve();
    let author = place.register(Transport::WebSocket, "author").await;
    let room = author.enter("lobby").await;
    for text in ["hello", "see https://example.org/page", "you piece of shit"] {
        author.client.say(room.id, text).await.unwrap();
    }
    let component = built("plugins/words.wasm");
    let replay = || {
        let arguments = ["plugin", "--json", "replay", component.to_str().unwrap()];
        let output = place.command(&arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    let (one, two) = (replay(), replay());
    assert_eq!((&one["messages"], &one["fuel"]), (&two["messages"], &two["fuel"]));
    let (mean, max) = (one["fuel"]["mean"].as_f64().unwrap(), one["fuel"]["max"].as_f64().unwrap());
    assert!(one["messages"] == 3 && 0.0 < mean && mean <= max, "{one}");
}
