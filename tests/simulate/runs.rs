//! The fault runs of the suite, short; and all of them at length for `cargo xtask simulate`.

use std::time::Duration;

use tokio::time::Instant;

use super::history::Rule;
use super::outcome::Outcome;
use super::plan::{Fault, Plan, play, run};
use super::stage::Kind;
use super::{Rng, damage, number, seed, twins};
use crate::support::disk::SmallDisk;

/// How long rounds of a short run begin; on a busy machine there are fewer of them.
const SHORT: Duration = Duration::from_secs(25);
/// Rounds of a run that begins with nothing: what is written down of a longer one would fill the memory.
const ROUNDS_A_RUN: u64 = 20;

fn plan(kind: Kind, faults: &[Fault], rounds: u64) -> Plan {
    Plan { seed: seed(), kind, faults: faults.to_vec(), rounds, budget: SHORT, is_careless: false }
}

/// What every run of faults must have had, or it says nothing.
fn assert_eventful(outcome: &Outcome) {
    assert!(outcome.runs > 0 && outcome.recoveries.len() as u64 == outcome.runs, "{outcome:?}");
    assert!(outcome.acked as u64 > outcome.runs * 30 && outcome.across > 0, "{outcome:?}");
    assert_eq!((outcome.lost, outcome.doubled, outcome.refused), (0, 0, 0), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_on_sqlite() {
    let outcome = run(plan(Kind::Sqlite, &[Fault::Kill], 8)).await;
    outcome.print("kill -9, SQLite");
    assert_eventful(&outcome);
    assert!(outcome.reconnections > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_on_postgres() {
    let outcome = run(plan(Kind::Postgres, &[Fault::Kill], 4)).await;
    outcome.print("kill -9, PostgreSQL");
    assert_eventful(&outcome);
    assert!(outcome.reconnections > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_dies_under_load() {
    let outcome = run(plan(Kind::Postgres, &[Fault::DatabaseDies], 3)).await;
    outcome.print("PostgreSQL dies");
    // Whether authors wait or are told depends on when it is back; that they are told of a long outage is shown below.
    assert_eventful(&outcome);
}

/// That a loss is found: this database acknowledges what is not durable, and the server warns of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_promises_too_little_is_found_out() {
    let plan = Plan { is_careless: true, ..plan(Kind::Postgres, &[Fault::DatabaseDies], 2) };
    let (report, outcome) = play(plan).await;
    eprintln!("{} lost of {} acknowledged", outcome.lost, outcome.acked);
    assert!(outcome.lost > 0, "nothing was lost: {outcome:?}");
    assert!(report.violations.iter().any(|violation| violation.rule() == Rule::Stream), "readers saw what is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_to_a_commit_is_lost() {
    let outcome = run(plan(Kind::Postgres, &[Fault::CommitLost], 12)).await;
    outcome.print("a commit or its answer is lost");
    assert_eventful(&outcome);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_to_a_commit_is_lost_for_long() {
    let outcome = run(plan(Kind::Postgres, &[Fault::CommitLostForLong], 1)).await;
    outcome.print("a commit or its answer is lost for long");
    assert_eventful(&outcome);
    assert!(outcome.put_off > 0, "authors were told: {outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn drain_under_load() {
    let outcome = run(plan(Kind::Sqlite, &[Fault::Drain], 2)).await;
    outcome.print("drain, SQLite");
    assert_eventful(&outcome);
    assert!(outcome.reconnections > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn drain_while_the_database_is_down() {
    let outcome = run(plan(Kind::Postgres, &[Fault::DrainWithoutDatabase], 1)).await;
    outcome.print("drain without a database");
    assert_eventful(&outcome);
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_and_half_open_peers_beside_the_load() {
    let outcome = run(plan(Kind::Sqlite, &[Fault::StuckPeers], 1)).await;
    outcome.print("stuck peers");
    assert_eventful(&outcome);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_disk_is_full() {
    if !SmallDisk::is_allowed() {
        eprintln!("mounting is not allowed here: a full disk is not tried");
        return;
    }
    for (kind, rounds) in [(Kind::Sqlite, 2), (Kind::Postgres, 1)] {
        let outcome = run(plan(kind, &[Fault::DiskFull], rounds)).await;
        outcome.print(&format!("the disk is full, {kind:?}"));
        assert_eventful(&outcome);
        assert!(outcome.put_off > 0, "authors were told: {outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clock_jumps() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let outcome = run(plan(kind, &[Fault::ClockJumps], 6)).await;
        outcome.print(&format!("the clock jumps, {kind:?}"));
        assert_eventful(&outcome);
        assert_eq!(outcome.put_off, 0, "nobody has to notice: {outcome:?}");
        assert!(outcome.clock_span > Duration::from_secs(60), "the clock went as always: {outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_connections_one_client_id() {
    let seed = seed();
    for (kind, count) in [(Kind::Sqlite, 400), (Kind::Postgres, 200)] {
        let outcome = twins::run(seed, kind, count, SHORT / 2).await;
        outcome.print(&format!("one client id on two connections, {kind:?}"));
        assert!(outcome.acked > 0 && outcome.duplicates == outcome.acked, "{outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_page_is_not_given_for_a_good_one() {
    let toll = damage::run(seed(), 14, SHORT).await;
    damage::judge(&toll);
}

/// A row of the table, and how far it has got.
struct Row {
    name: &'static str,
    kind: Kind,
    faults: Vec<Fault>,
    rounds: u64,
    outcome: Outcome,
}

fn rows() -> Vec<Row> {
    let sqlite = number("CONFAB_SIMULATE_ROUNDS_SQLITE", || 200);
    let postgres = number("CONFAB_SIMULATE_ROUNDS_POSTGRES", || 50);
    let row = |name, kind, faults: &[Fault], rounds: u64| Row {
        name,
        kind,
        faults: faults.to_vec(),
        rounds,
        outcome: Outcome::default(),
    };
    let some_of = |rounds: u64| (rounds / 10).max(1);
    let mut rows = vec![
        row("kill -9, SQLite", Kind::Sqlite, &[Fault::Kill], sqlite),
        row("kill -9, PostgreSQL", Kind::Postgres, &[Fault::Kill], postgres),
        row("PostgreSQL dies", Kind::Postgres, &[Fault::DatabaseDies], postgres),
        row("a commit or its answer is lost", Kind::Postgres, &[Fault::CommitLost], postgres),
        row("the same, for long", Kind::Postgres, &[Fault::CommitLostForLong], some_of(postgres)),
        row("drain, SQLite", Kind::Sqlite, &[Fault::Drain], some_of(sqlite)),
        row("drain without a database", Kind::Postgres, &[Fault::DrainWithoutDatabase], some_of(postgres)),
        row("the clock jumps, SQLite", Kind::Sqlite, &[Fault::ClockJumps], some_of(sqlite)),
        row("the clock jumps, PostgreSQL", Kind::Postgres, &[Fault::ClockJumps], some_of(postgres)),
        row("stuck peers", Kind::Sqlite, &[Fault::StuckPeers], some_of(sqlite).div_ceil(4)),
        row("the disk is full, SQLite", Kind::Sqlite, &[Fault::DiskFull], some_of(sqlite)),
        row("the disk is full, PostgreSQL", Kind::Postgres, &[Fault::DiskFull], some_of(postgres * 2)),
        row(
            "one after the other, PostgreSQL",
            Kind::Postgres,
            &[Fault::Kill, Fault::DatabaseDies, Fault::CommitLost, Fault::Drain],
            postgres,
        ),
    ];
    if !SmallDisk::is_allowed() {
        eprintln!("fault table: the disk is full | not tried: mounting is not allowed here");
        rows.retain(|row| !row.faults.contains(&Fault::DiskFull));
    }
    rows
}

/// So that each has had some when time is up.
async fn in_turns(rows: &mut [Row], rng: &mut Rng, deadline: Instant) {
    while rows.iter().any(|row| row.outcome.runs < row.rounds) {
        for row in rows.iter_mut().filter(|row| row.outcome.runs < row.rounds) {
            let (seed, left) = (rng.next(), row.rounds - row.outcome.runs);
            if Instant::now() >= deadline {
                return;
            }
            let (kind, faults, rounds) = (row.kind, row.faults.clone(), left.min(ROUNDS_A_RUN));
            eprintln!("{}: {left} rounds to go, plan {seed}", row.name);
            row.outcome.add(
                run(Plan { seed, kind, faults, rounds, budget: deadline - Instant::now(), is_careless: false }).await,
            );
        }
    }
}

// Hundreds of rounds take half an hour. Every suite runs a few rounds of each
// fault in the tests beside this one; `cargo xtask simulate` runs these.
#[test]
#[ignore = "long: cargo xtask simulate"]
fn simulate() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut rng = Rng::new(seed());
        let seconds = number("CONFAB_SIMULATE_SECONDS", || 2_400);
        let deadline = Instant::now() + Duration::from_secs(seconds);
        let mut rows = rows();
        if let Ok(part) = std::env::var("CONFAB_SIMULATE_ROWS") {
            rows.retain(|row| row.name.contains(&part));
            assert!(!rows.is_empty(), "no fault is called {part:?}");
        }
        // What the promise is about first, and whole.
        let first = rows.len().min(2);
        let (kills, others) = rows.split_at_mut(first);
        in_turns(kills, &mut rng, deadline).await;
        in_turns(others, &mut rng, deadline).await;
        let twins = [(Kind::Sqlite, 1_000), (Kind::Postgres, 500)];
        // Also when time is up: they are short.
        let last = Duration::from_secs(60);
        for row in &rows {
            row.outcome.print(row.name);
            if row.outcome.runs < row.rounds {
                eprintln!("    stopped after {} of {} rounds: {seconds} s are over", row.outcome.runs, row.rounds);
            }
        }
        for (kind, count) in twins {
            let outcome = twins::run(rng.next(), kind, count, last).await;
            outcome.print(&format!("one client id on two connections, {kind:?}"));
        }
        damage::judge(&damage::run(rng.next(), 70, last).await);
    });
}
