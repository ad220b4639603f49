//! A private PostgreSQL for a test: a temporary cluster in a folder and on a port of its own, which ends with the
//! process that started it however that ends. Databases come and go in it by PostgreSQL's own programs.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The parent of the postmaster: obeys a line at a time and answers each with `done` or `failed`. The end of its input
/// is the end of its owner, by whatever signal: then it stops the postmaster and removes the folder, its only argument.
///
/// It ignores signals that a terminal or a closed pipe sends, so that it lives to do that; PostgreSQL sets its own
/// handlers. Readiness is asked for at the socket in the folder: at the port a stranger could answer.
const WATCHDOG: &str = r#"
trap '' HUP INT TERM PIPE
folder=$1 pid=

create() {
    initdb -D "$folder/data" -U confab -A trust -E UTF8 --locale=C --no-sync </dev/null >&2
}

start() {
    postgres -D "$folder/data" -p "$1" </dev/null >&2 &
    pid=$! tries=0
    until pg_isready -q -h "$folder" -p "$1" -U confab -d postgres </dev/null; do
        tries=$((tries + 1))
        if [ $tries -gt 1200 ] || ! kill -0 $pid 2>/dev/null; then
            stop
            return 1
        fi
        sleep 0.05
    done
}

stop() {
    [ -z "$pid" ] || { kill -QUIT $pid; wait $pid; } 2>/dev/null
    pid=
}

while read -r order; do
    if $order; then echo done; else echo failed; fi
done
stop
cd / && rm -rf "$folder"
"#;

/// As durable as a production server, for tests kill it; small, for there are several.
const SETTINGS: &str = "
listen_addresses = '127.0.0.1'
max_connections = 100
shared_buffers = 32MB
fsync = on
synchronous_commit = on
wal_level = minimal
max_wal_senders = 0
";

/// Of its log hardly more than a crash takes to recover from.
const SMALL: &str = "
min_wal_size = 32MB
max_wal_size = 64MB
";

/// A server of its own with the one superuser `confab`, who needs no password; dropping it removes all of it.
pub struct Cluster {
    folder: PathBuf,
    data_dir: PathBuf,
    port: u16,
    watchdog: Child,
    answers: BufReader<ChildStdout>,
}

impl Cluster {
    /// A new cluster that accepts connections.
    pub fn start() -> Self {
        Self::start_in(None)
    }

    /// One with its data in this folder, which it makes and does not remove. It is small there.
    pub fn start_on(data_dir: &Path) -> Self {
        Self::start_in(Some(data_dir))
    }

    fn start_in(elsewhere: Option<&Path>) -> Self {
        let mut cluster = Self::watched(new_folder());
        if let Some(elsewhere) = elsewhere {
            let owner = fs::metadata(&cluster.folder).unwrap();
            fs::create_dir(elsewhere).unwrap();
            chown(elsewhere, Some(owner.uid()), Some(owner.gid())).unwrap();
            symlink(elsewhere, &cluster.data_dir).unwrap();
        }
        assert!(cluster.order("create"), "initdb failed; is PostgreSQL installed? Its log:\n{}", cluster.log());
        cluster.configure(if elsewhere.is_some() { SMALL } else { "" });
        // Another process may take the port between the look and the start.
        for _ in 0..3 {
            cluster.port = free_port();
            if cluster.order(&format!("start {}", cluster.port)) {
                return cluster;
            }
        }
        panic!("PostgreSQL did not start; its log:\n{}", cluster.log());
    }

    /// The one of this process, started at first use. As a static it is never dropped: it ends with the process.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// The address of a database for any client.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://confab@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// The same without a word on TLS, by a name of this machine.
    pub fn url_by(&self, host: &str, database: &str) -> String {
        format!("postgres://confab@{host}:{}/{database}", self.port)
    }

    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    pub fn create_database(&self, name: &str) {
        self.run("createdb", &[name]);
    }

    /// An empty database by a name that nobody else in this process gets.
    pub fn fresh_database(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("fresh_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.create_database(&name);
        name
    }

    /// Also when it is in use: its sessions are ended.
    pub fn drop_database(&self, name: &str) {
        self.run("dropdb", &["--force", name]);
    }

    /// What the statements print, as bare rows of `a|b` without the last line end. Panics when one fails.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        let rows = self.run("psql", &["-At", "-X", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", sql]);
        rows.strip_suffix('\n').unwrap_or(&rows).to_owned()
    }

    /// The schema and all rows as SQL. Equal databases have equal dumps, so the random key that newer versions
    /// put around theirs is left out.
    pub fn dump(&self, database: &str) -> String {
        let dump = self.run("pg_dump", &["-d", database]);
        let has_key = |line: &&str| line.starts_with("\\restrict ") || line.starts_with("\\unrestrict ");
        dump.split_inclusive('\n').filter(|line| !has_key(line)).collect()
    }

    /// Ends it without a checkpoint or a farewell, as a crash would; every process of it is gone when this returns.
    pub fn kill(&mut self) {
        assert!(self.order("stop"), "PostgreSQL did not end; its log:\n{}", self.log());
    }

    /// Whether it runs, be it that it recovers from a crash. It may have ended by itself.
    pub fn is_up(&self) -> bool {
        self.data_dir.join("postmaster.pid").exists()
    }

    /// Starts it on the same data and port, after a kill if it still runs; it accepts connections when this returns.
    pub fn restart(&mut self) {
        self.kill();
        let order = format!("start {}", self.port);
        assert!(self.order(&order), "PostgreSQL did not start again; its log:\n{}", self.log());
    }

    /// Starts it again with this certificate and its key, PEM: who wants to speak TLS to it can.
    pub fn use_tls(&mut self, certificate: &str, key: &str) {
        let owner = fs::metadata(&self.data_dir).unwrap();
        // PostgreSQL takes no key that others could read.
        for (name, pem) in [("server.crt", certificate), ("server.key", key)] {
            let path = self.data_dir.join(name);
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).unwrap();
            file.write_all(pem.as_bytes()).unwrap();
            chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
        }
        let mut file = OpenOptions::new().append(true).open(self.data_dir.join("postgresql.conf")).unwrap();
        writeln!(file, "ssl = on").unwrap();
        self.restart();
    }

    /// The watchdog alone, from here on responsible for the folder.
    fn watched(folder: PathBuf) -> Self {
        let log = File::create(folder.join("log")).unwrap();
        let mut command = command("sh");
        command.args(["-c", WATCHDOG, "watchdog"]).arg(&folder).current_dir(&folder);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).process_group(0);
        if let Some((user, group)) = substitute(&folder) {
            chown(&folder, Some(user), Some(group)).unwrap();
            command.uid(user).gid(group);
        }
        let mut watchdog = command.spawn().unwrap_or_else(|error| {
            let _ = fs::remove_dir_all(&folder);
            panic!("no shell in {}, which the user of PostgreSQL must be able to enter: {error}", folder.display())
        });
        let answers = BufReader::new(watchdog.stdout.take().unwrap());
        Self { data_dir: folder.join("data"), folder, port: 0, watchdog, answers }
    }

    fn configure(&self, more: &str) {
        let folder = self.folder.to_str().unwrap().replace('\'', "''");
        let mut file = OpenOptions::new().append(true).open(self.data_dir.join("postgresql.conf")).unwrap();
        writeln!(file, "{SETTINGS}{more}unix_socket_directories = '{folder}'").unwrap();
    }

    /// Has the watchdog do it; whether it could.
    fn order(&mut self, order: &str) -> bool {
        let sent = writeln!(self.watchdog.stdin.as_mut().unwrap(), "{order}");
        let mut answer = String::new();
        let heard = sent.and_then(|()| self.answers.read_line(&mut answer));
        match answer.trim_end() {
            "done" => true,
            "failed" => false,
            _ => panic!("the watchdog of PostgreSQL is gone, {heard:?}; the log:\n{}", self.log()),
        }
    }

    /// The last lines of everything that the watchdog's children said.
    fn log(&self) -> String {
        let text = fs::read(self.folder.join("log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// Runs one of PostgreSQL's clients on this cluster; what it printed. Panics when it fails.
    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let mut command = command(program);
        command.args(arguments).stdin(Stdio::null());
        command.env("PGHOST", "127.0.0.1").env("PGPORT", self.port.to_string()).env("PGUSER", "confab");
        command.env("PGSSLMODE", "disable").env("PGCONNECT_TIMEOUT", "30");
        let output = command.output().unwrap_or_else(|error| panic!("{program} does not run: {error}"));
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {}\n{error}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Waiting closes its input first, and so it stops PostgreSQL and removes the folder.
        let _ = self.watchdog.wait();
        // If somebody ended the watchdog, this is left to do.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A program that is found where PostgreSQL's are and knows nothing of the tester's settings.
fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", search_path()).env("LC_ALL", "C").env("TZ", "UTC");
    command
}

/// `PATH`, behind the newest server in Debian's place, which is in nobody's `PATH`.
fn search_path() -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions
        .filter(|entry| entry.path().join("bin/initdb").exists())
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin"))))
        .max();
    let folders = newest.map(|(_, folder)| folder).into_iter().chain(std::env::split_paths(&path));
    std::env::join_paths(folders).unwrap()
}

/// The address of a database that nobody used before, in the cluster of this process.
pub async fn fresh_url() -> String {
    let fresh = || {
        let cluster = Cluster::shared();
        cluster.url(&cluster.fresh_database())
    };
    tokio::task::spawn_blocking(fresh).await.unwrap()
}

/// User and group for PostgreSQL when this process is root, whom it refuses.
fn substitute(own_folder: &Path) -> Option<(u32, u32)> {
    if own_folder.metadata().unwrap().uid() != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let ids = |name: &str| {
        let line = users.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        let mut ids = line.split(':').skip(1).map_while(|id| id.parse().ok());
        Some((ids.next()?, ids.next()?))
    };
    let found = ids("postgres").or_else(|| ids("nobody"));
    Some(found.expect("PostgreSQL refuses root, and there is neither a user postgres nor a user nobody"))
}

/// A folder for one user only. Its name is short enough for the sockets in it, and its parent is open to everyone, for
/// that user may become another than this process's and has to remove it.
fn new_folder() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let mut parent = std::env::temp_dir();
    let is_open = parent.metadata().is_ok_and(|parent| parent.mode() & 0o002 != 0);
    if parent.as_os_str().len() > 50 || !is_open {
        parent = PathBuf::from("/tmp");
    }
    loop {
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = parent.join(format!("confab-pg-{}-{n}", std::process::id()));
        match DirBuilder::new().mode(0o700).create(&folder) {
            Ok(()) => return folder,
            // Left by an earlier process of that number.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => panic!("no folder {}: {error}", folder.display()),
        }
    }
}

/// A port that nothing listens on, outside the range that the kernel hands out by itself, so that it is still free
/// after a kill; and beside the range of the servers under test.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..5_000 {
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(10_000 + (std::process::id().wrapping_mul(97) + n) % 5_000).unwrap();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no free port");
}
