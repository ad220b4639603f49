//! A run: what is done to the server while it is loaded, and the judgement of everything that was seen.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::Rng;
use super::cast::{Failures, Person, Reader, Scene, Writer, Written};
use super::checker::check;
use super::crowd::Crowd;
use super::finals::{Auditor, Following, catch_up};
use super::history::{Event, History, Id, Report};
use super::outcome::Outcome;
use super::proxy::{Cut, Outage};
use super::stage::{Kind, Props, Stage};
use crate::support::disk::SmallDisk;
use crate::support::process::PATIENCE;
use crate::support::raw::spawn;

const ROOMS: u64 = 5;
const WRITERS: usize = 6;
const READERS: usize = 4;

/// What is done to the server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// kill -9 of the server.
    Kill,
    /// Its database crashes and comes back; the server runs on.
    DatabaseDies,
    /// A COMMIT or its answer is lost.
    CommitLost,
    /// The same, and the database is out of reach for longer than authors wait.
    CommitLostForLong,
    /// SIGTERM, and a start.
    Drain,
    /// SIGTERM while the database is down.
    DrainWithoutDatabase,
    /// The server's wall clock jumps, forward and back.
    ClockJumps,
    /// Peers that stop reading, or never say anything.
    StuckPeers,
    /// There is no space for its data, or its database's, until authors are told so.
    DiskFull,
}

/// Rounds that are played on the slowest machine: with none, a run would say nothing.
const LEAST_ROUNDS: u64 = 2;

/// What is to be done. The same plan has the same faults in the same order.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub kind: Kind,
    /// Drawn from in each round.
    pub faults: Vec<Fault>,
    pub rounds: u64,
    /// No round begins this long after the first did; but [`LEAST_ROUNDS`] are played whatever they take.
    pub budget: Duration,
    /// The database is told to acknowledge what is not durable: then the run must find that something is lost.
    pub is_careless: bool,
}

/// A run under way.
struct Play {
    plan: Plan,
    rng: Rng,
    stage: Stage,
    scene: Arc<Scene>,
    writers: Vec<(JoinHandle<Written>, Arc<Notify>)>,
    readers: Vec<Following>,
    auditors: Vec<Auditor>,
    crowd: Option<Crowd>,
    /// When each fault came.
    faults: Vec<u64>,
    outcome: Outcome,
}

/// Plays it. Fails when anything is not as it must be; the figures are printed before that.
pub async fn run(plan: Plan) -> Outcome {
    let faults = plan.faults.clone();
    let (report, outcome) = play(plan).await;
    if !report.violations.is_empty() {
        outcome.print(&format!("FAILED, {faults:?}"));
    }
    let summary = report.expect_clean();
    assert_eq!(summary.caught_up, summary.followed, "each reader has got everything: {summary:?}");
    assert_eq!(summary.acked + summary.unknown, summary.sent, "nothing was refused: {summary:?}");
    // Who was too far behind was told so and began anew: on a busy machine that is most of them.
    let have_read = summary.seen > summary.acked || (summary.resets > 0 && summary.seen > 0);
    assert!(summary.in_real_time > 0 && have_read, "{summary:?}");
    outcome
}

/// Plays it, and gives what is wrong and the figures. Fails when anybody stops taking part.
pub async fn play(plan: Plan) -> (Report, Outcome) {
    let mut play = Play::open(plan).await;
    // From here: on a busy machine a database takes longer to stand than a run does.
    let deadline = Instant::now() + play.plan.budget;
    for round in 0..play.plan.rounds {
        if round >= LEAST_ROUNDS && Instant::now() >= deadline {
            eprintln!("    time is up: {round} of {} rounds", play.plan.rounds);
            break;
        }
        play.round(round).await;
    }
    let history = play.close().await;
    play.judge(&history)
}

impl Play {
    async fn open(plan: Plan) -> Self {
        let mut rng = Rng::new(plan.seed);
        let has = |fault| plan.faults.contains(&fault);
        let props = Props {
            proxy: has(Fault::CommitLost) || has(Fault::CommitLostForLong),
            false_clock: has(Fault::ClockJumps),
            small_disk: has(Fault::DiskFull),
        };
        let mut stage = Stage::set(plan.kind, props, rng.between(1, 2)).await;
        if plan.is_careless {
            stage.make_careless();
        }
        let names = |what: &str, count| (0..count).map(|n| format!("{what}-{n}")).collect::<Vec<_>>();
        let names = [names("writer", WRITERS), names("reader", READERS), names("other", 4)].concat();
        let people = stage.invite(&names);
        let (writing, rest) = people.split_at(WRITERS);
        let (reading, others) = rest.split_at(READERS);
        let failures = Failures::default();
        let rooms = stage.furnish(ROOMS, &people, &failures).await;
        let is_stuck = plan.faults.contains(&Fault::StuckPeers);
        let scene = Arc::new(Scene::new(rooms, is_stuck, failures));
        let readers = reading.iter().enumerate().map(|(n, person)| follow(&scene, n, person, &mut rng)).collect();
        let writers = writing.iter().map(|person| write(&scene, person, &mut rng)).collect();
        let mut auditors = Vec::new();
        for (person, id) in others[..2].iter().zip([0xa0, 0xa1]) {
            auditors.push(Auditor::new(person, &scene, id).await);
        }
        let crowd = is_stuck.then(|| Crowd::new(&stage, Arc::clone(&scene), &others[2..]));
        let outcome = Outcome::default();
        Self { plan, rng, stage, scene, writers, readers, auditors, crowd, faults: Vec::new(), outcome }
    }

    async fn round(&mut self, round: u64) {
        let fault = self.rng.pick(&self.plan.faults);
        self.wait_for_acks(self.rng.clone().between(30, 250)).await;
        if self.rng.percent(25) {
            let index = self.rng.below(WRITERS as u64) as usize;
            self.writers[index].1.notify_one();
        }
        self.wait_for_moment().await;
        let at = self.scene.recorder.now();
        self.faults.push(at);
        let back = self.strike(fault).await;
        let first = self.wait_for_first_ack(fault).await;
        let has_end = matches!(fault, Fault::Drain | Fault::DrainWithoutDatabase | Fault::DiskFull);
        let from = if has_end { back } else { at };
        self.outcome.recoveries.push(Duration::from_nanos(first - from));
        self.outcome.runs += 1;
        self.stage.assert_alive();
        self.check().await;
        if round % 20 == 19 {
            eprintln!("    {} of {} rounds", round + 1, self.plan.rounds);
        }
    }

    /// Nobody has failed silently.
    async fn check(&mut self) {
        let failures = self.scene.failures.lock().unwrap().clone();
        assert!(failures.is_empty(), "{failures:#?}");
        for reader in &mut self.readers {
            reader.check().await;
        }
        for (writer, _) in &mut self.writers {
            if writer.is_finished() {
                writer.await.expect("a writer failed");
                panic!("a writer ended");
            }
        }
    }

    async fn wait_for_acks(&mut self, count: u64) {
        let (target, deadline) = (self.scene.acks.load(Ordering::SeqCst) + count, Instant::now() + PATIENCE);
        while self.scene.acks.load(Ordering::SeqCst) < target {
            self.check().await;
            let log = || self.stage.place.err();
            assert!(Instant::now() < deadline, "nothing is acknowledged any more: {}", log());
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// At any time; or when an answer has just arrived, so that others of the same commit have not; or a push.
    async fn wait_for_moment(&mut self) {
        let counter = match self.rng.below(4) {
            0 | 1 => return sleep(Duration::from_micros(self.rng.below(300_000))).await,
            2 => &self.scene.acks,
            _ => &self.scene.seen,
        };
        let (now, deadline) = (counter.load(Ordering::SeqCst), Instant::now() + PATIENCE);
        // Without giving the thread away: that is what a moment is.
        while counter.load(Ordering::SeqCst) == now && Instant::now() < deadline {
            std::thread::sleep(Duration::from_micros(20));
        }
    }

    async fn wait_for_first_ack(&mut self, fault: Fault) -> u64 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(first) = self.scene.first_ack() {
                return first;
            }
            self.check().await;
            let log = || self.stage.place.err();
            assert!(Instant::now() < deadline, "nothing is acknowledged after {fault:?}: {}", log());
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// Does it, and gives the time from which on it is over.
    async fn strike(&mut self, fault: Fault) -> u64 {
        match fault {
            Fault::Kill => {
                self.stage.crash(&mut self.rng);
                self.scene.watch();
                self.stage.serve();
            }
            Fault::Drain => {
                self.stage.drain();
                self.scene.watch();
                let back = self.scene.recorder.now();
                self.stage.serve();
                return back;
            }
            Fault::DatabaseDies => {
                let pause = Duration::from_millis(self.rng.between(30, 1_500));
                let cluster = self.stage.cluster.as_mut().expect("a database");
                cluster.kill();
                sleep(pause).await;
                self.scene.watch();
                cluster.restart();
            }
            Fault::DrainWithoutDatabase => {
                self.stage.cluster.as_mut().expect("a database").kill();
                sleep(Duration::from_millis(self.rng.below(300))).await;
                self.stage.drain();
                self.stage.cluster.as_mut().expect("a database").restart();
                self.scene.watch();
                let back = self.scene.recorder.now();
                self.stage.serve();
                return back;
            }
            Fault::ClockJumps => {
                self.scene.watch();
                // Not before the tokens were made.
                self.stage.set_clock(self.rng.between(120, 7_200));
            }
            Fault::CommitLost | Fault::CommitLostForLong => self.cut(fault == Fault::CommitLostForLong).await,
            Fault::StuckPeers => {
                let crowd = self.crowd.as_mut().expect("a crowd");
                crowd.gather(&mut self.rng).await;
                crowd.wait_until_felt(&self.stage).await;
                self.scene.watch();
            }
            Fault::DiskFull => return self.fill_disk().await,
        }
        self.scene.recorder.now()
    }

    /// Until somebody is told of it, and for a while. Gives the time from which on there is space again.
    async fn fill_disk(&mut self) -> u64 {
        let told = self.scene.put_off.load(Ordering::SeqCst);
        let more = Duration::from_millis(self.rng.below(1_500));
        self.disk().fill();
        let deadline = Instant::now() + PATIENCE;
        while self.scene.put_off.load(Ordering::SeqCst) == told {
            self.check().await;
            assert!(Instant::now() < deadline, "nobody is told of a full disk: {}", self.stage.place.err());
            sleep(Duration::from_millis(2)).await;
        }
        sleep(more).await;
        let back = self.scene.recorder.now();
        self.disk().make_room();
        self.scene.watch();
        // PostgreSQL ends where there is no space for its log; then its operator starts it again.
        let deadline = Instant::now() + PATIENCE;
        while self.scene.first_ack().is_none() && Instant::now() < deadline {
            if let Some(cluster) = self.stage.cluster.as_mut().filter(|cluster| !cluster.is_up()) {
                eprintln!("    PostgreSQL has ended");
                cluster.restart();
            }
            self.check().await;
            sleep(Duration::from_millis(2)).await;
        }
        back
    }

    fn disk(&self) -> &SmallDisk {
        self.stage.disk.as_ref().expect("a small disk")
    }

    async fn cut(&mut self, for_long: bool) {
        let rng = &mut self.rng;
        let lasts = if for_long { rng.between(5_500, 7_000) } else { rng.between(50, 700) };
        let lasts = Duration::from_millis(lasts);
        let outages: &[Outage] = match for_long {
            true => &[Outage::Refuse(lasts), Outage::Hang(lasts)],
            false => &[Outage::None, Outage::None, Outage::Refuse(lasts), Outage::Hang(lasts)],
        };
        let outage = rng.pick(outages);
        let cuts: &[Cut] = match outage {
            Outage::None => &[Cut::NotForwarded, Cut::Forwarded, Cut::Done],
            _ => &[Cut::NotForwarded, Cut::Forwarded, Cut::Done, Cut::Silent],
        };
        let cut = rng.pick(cuts);
        let proxy = self.stage.proxy.as_ref().expect("a proxy");
        let back = proxy.cut(cut, outage, PATIENCE).await;
        tokio::time::sleep_until(back).await;
        self.scene.watch();
    }

    /// Writers stop, everything comes to rest, and all is read.
    async fn close(&mut self) -> History {
        self.check().await;
        self.scene.is_over.store(true, Ordering::SeqCst);
        let mut unanswered = 0;
        for (writer, _) in std::mem::take(&mut self.writers) {
            let written = tokio::time::timeout(PATIENCE * 2, writer).await.expect("a writer does not end");
            unanswered += written.expect("a writer failed").unanswered;
        }
        assert_eq!(unanswered, 0, "messages without an answer {PATIENCE:?} after the last fault");
        if let Some(crowd) = &mut self.crowd {
            self.readers.extend(crowd.disperse());
        }
        let asked = self.scene.recorder.now();
        let heads = self.auditors[0].rest(&self.scene.rooms).await;
        catch_up(&self.scene, &mut self.readers, &heads, asked).await;
        let mut views = Vec::new();
        for room in &self.scene.rooms {
            views.push(self.auditors[0].sync(room, self.rng.between(0, 200) as usize).await);
        }
        // What is there is also there after a crash.
        self.stage.crash(&mut self.rng);
        self.stage.serve();
        for room in 0..views.len() {
            let limit = self.rng.between(1, 200) as usize;
            let view = self.auditors[1].history(&self.scene.rooms[room], limit, &views[room]).await;
            views.push(view);
        }
        views.into_iter().for_each(|view| self.scene.recorder.record(view));
        self.stage.assert_alive();
        self.check().await;
        self.history()
    }

    /// What was written down. What was sent anew after a "not now" has lost its place in the order of its writer.
    fn history(&self) -> History {
        let (mut history, anew) = (self.scene.recorder.history(), self.scene.sent_anew());
        for event in &mut history.events {
            if let Event::Intent(intent) = event
                && anew.contains(&intent.message)
            {
                intent.lane = None;
            }
        }
        history
    }

    fn judge(&self, history: &History) -> (Report, Outcome) {
        let (report, mut outcome) = (check(history), self.outcome.clone());
        outcome.judged(&report.violations, &report.summary);
        outcome.put_off = self.scene.put_off.load(Ordering::SeqCst);
        outcome.timed(history, &self.faults);
        let summary = &report.summary;
        assert_eq!(summary.followed, self.readers.len() * ROOMS as usize, "{summary:?}");
        assert_eq!(summary.rooms, ROOMS as usize, "{summary:?}");
        assert_eq!(summary.acked, self.scene.acks.load(Ordering::SeqCst) as usize, "each was recorded once");
        (report, outcome)
    }
}

fn follow(scene: &Arc<Scene>, n: usize, person: &Person, rng: &mut Rng) -> Following {
    let (id, is_from_start, laziness) = (0x100 + n as Id, n >= READERS / 2, [0, 0, 2, 1][n % 4]);
    let reader = Reader::new(scene, person, id, rng.fork());
    Following::start(Reader { is_from_start, laziness, ..reader }, &Handle::current())
}

fn write(scene: &Arc<Scene>, person: &Person, rng: &mut Rng) -> (JoinHandle<Written>, Arc<Notify>) {
    let (scene, person, mut rng) = (Arc::clone(scene), person.clone(), rng.fork());
    let (crash, depth) = (Arc::new(Notify::new()), rng.pick(&[8, 8, 8, 4, 2, 1]));
    let writer = Writer { scene, person, rng, depth, crash: Arc::clone(&crash) };
    (spawn(writer.run()), crash)
}
