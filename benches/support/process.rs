//! Processes under measurement: each on a core of its own, with its CPU time and memory from `/proc`.

use std::ffi::OsStr;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Ticks of `/proc/<pid>/stat` per second: the same on every Linux that we know.
const TICKS_PER_SECOND: u32 = 100;
/// Sockets of the largest bench, and some.
const FILES_MAX: u32 = 16_384;

/// Cores, as bits.
type Mask = u64;

/// Who runs where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores {
    /// For what is measured.
    pub(crate) server: Mask,
    /// For the load.
    pub(crate) load: Mask,
}

impl Cores {
    /// Takes the first two cores that we may use and moves this process to the second. Call it before any
    /// thread is started.
    pub(crate) fn claim() -> Self {
        let allowed = allowed_cores();
        let server = 1 << allowed.first().copied().unwrap_or_default();
        let load = allowed.get(1).map_or(server, |core| 1 << core);
        if load == server {
            println!("one core only: server and load share it, and the figures say little");
        }
        move_to(load);
        // Children inherit this.
        run("prlimit", &["--pid", &std::process::id().to_string(), &format!("--nofile={FILES_MAX}:")]);
        Self { server, load }
    }

    /// Moves this process to where the load is.
    pub(crate) fn take(self) {
        move_to(self.load);
    }

    /// Both for both, from now on: nobody keeps a core free that another could use.
    pub(crate) fn together(self) -> Self {
        let both = self.server | self.load;
        let together = Self { server: both, load: both };
        together.take();
        together
    }

    /// Whether server and load have cores of their own.
    pub(crate) const fn are_apart(self) -> bool {
        self.server & self.load == 0
    }

    /// Does something on the core of what is measured and comes back. Threads that it starts meanwhile stay there.
    pub(crate) async fn on_server_core<T>(self, work: impl Future<Output = T>) -> T {
        move_to(self.server);
        let done = work.await;
        move_to(self.load);
        done
    }
}

/// Moves the main thread, and nothing but it: threads that it starts from then on begin where it is.
fn move_to(cores: Mask) {
    run("taskset", &["--pid", &format!("{cores:#x}"), &std::process::id().to_string()]);
}

fn run(program: &str, args: &[&str]) {
    let status = Command::new(program).args(args).stdout(Stdio::null()).status();
    let succeeded = status.is_ok_and(|status| status.success());
    assert!(succeeded, "`{program} {}` failed; the program belongs to the package util-linux", args.join(" "));
}

fn allowed_cores() -> Vec<usize> {
    let list = proc_field("self", "Cpus_allowed_list:");
    let number = |text: &str| text.trim().parse::<usize>().expect("a core's number");
    let range = |range: &str| match range.split_once('-') {
        Some((first, last)) => number(first)..=number(last),
        None => number(range)..=number(range),
    };
    list.split(',').flat_map(range).collect()
}

fn proc_field(pid: &str, name: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.expect("Linux tells it").trim().to_owned()
}

/// A process that ends with this value.
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts a program on these cores. What it prints is dropped, what it complains about is shown.
    pub(crate) fn start<S: AsRef<OsStr>>(cores: Mask, program: impl AsRef<OsStr>, args: &[S]) -> Self {
        let mut command = Command::new("taskset");
        // taskset becomes the program, so the id stays.
        command.arg(format!("{cores:#x}")).arg(program).args(args);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        Self { child: child.expect("taskset starts; it belongs to the package util-linux") }
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    /// CPU time used so far, user and system, all threads.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("the process lives");
        // The name of the program may hold anything, also spaces; the state after it is field 3.
        let (_, fields) = stat.rsplit_once(')').expect("a name in parentheses");
        let ticks = |field: usize| -> u32 {
            let text = fields.split_whitespace().nth(field - 3);
            text.and_then(|text| text.parse().ok()).expect("fields 14 and 15 are utime and stime")
        };
        Duration::from_secs(1) * (ticks(14) + ticks(15)) / TICKS_PER_SECOND
    }

    /// Holds it where it is, so that its core is another's, until [`Self::go_on`].
    pub(crate) fn pause(&self) {
        self.signal("-STOP");
    }

    /// Ends a pause.
    pub(crate) fn go_on(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "`kill {signal}` failed");
    }

    /// Resident memory.
    pub(crate) fn rss_kib(&self) -> f64 {
        let field = proc_field(&self.child.id().to_string(), "VmRSS:");
        field.trim_end_matches("kB").trim().parse().expect("a number of KiB")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
