//! The real binary as a child of this process: a server in a folder of its own, and short runs of the other
//! subcommands. Only children that were started here are ever signalled.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use tokio::time::Instant;

use super::Transport;
use super::people::Person;

/// Anything that should happen has happened by then, or the test fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The binary that Cargo built for these tests.
pub fn confab() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_confab"));
    command.env_remove("CONFAB_PASSWORD").stdin(Stdio::null());
    command
}

/// A port that nothing listens on, for TCP and UDP, outside the range that the kernel hands out by itself.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..10_000 {
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(15_000 + (std::process::id().wrapping_mul(97) + n) % 15_000).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok() {
            return port;
        }
    }
    panic!("no free port");
}

/// Looks again and again, until there is something or patience ends.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What a finished run left.
#[derive(Debug)]
pub struct Finished {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Finished {
    /// That it failed with this code and one clear line that holds the words.
    pub fn assert_refused(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        let lines: Vec<&str> = self.err.lines().filter(|line| !line.trim().is_empty()).collect();
        assert_eq!(lines.len(), 1, "one line: {self:?}");
        assert!(lines[0].starts_with("confab: "), "{self:?}");
        for word in words {
            assert!(lines[0].contains(word), "{word:?} is missing in {self:?}");
        }
    }

    /// That it went well; gives what it printed.
    pub fn assert_good(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }
}

/// Runs to the end, with some input. A run that takes too long is killed and fails the test.
pub fn run(command: &mut Command, input: &str) -> Finished {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("in"), input).unwrap();
    let create = |name: &str| File::create(path(name)).unwrap();
    command.stdin(File::open(path("in")).unwrap()).stdout(create("out")).stderr(create("err"));
    let mut running = Running(command.spawn().unwrap());
    let code = running.wait().code();
    Finished { code, out: read(&path("out")), err: read(&path("err")) }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned()
}

/// A child; dropping it kills it.
pub struct Running(Child);

impl Running {
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Its end, or the end of patience.
    pub fn wait(&mut self) -> ExitStatus {
        eventually("the process ends", || self.0.try_wait().unwrap())
    }

    pub fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    /// SIGKILL, and gone when this returns.
    pub fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        let status = Command::new("sh").args(["-c", &format!("kill -TERM {}", self.pid())]).status().unwrap();
        assert!(status.success());
    }

    /// SIGHUP.
    pub fn reload(&self) {
        assert!(Command::new("kill").args(["-HUP", &self.pid().to_string()]).status().unwrap().success());
    }

    /// Resident memory, bytes.
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A folder with a configuration and ports of its own; servers come and go in it.
pub struct Place {
    pub folder: tempfile::TempDir,
    pub data_dir: PathBuf,
    pub http: SocketAddr,
    pub quic: SocketAddr,
    pub ops: SocketAddr,
}

impl Place {
    pub fn new() -> Self {
        Self::with("")
    }

    /// With further configuration: lines of dotted keys.
    pub fn with(keys: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = folder.path().join("data");
        Self::at(folder, data_dir, keys)
    }

    /// With its data elsewhere.
    pub fn at(folder: tempfile::TempDir, data_dir: PathBuf, keys: &str) -> Self {
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let (http, quic, ops) = (local(free_port()), local(free_port()), local(free_port()));
        // The others have tests of their own, and each start compiles what is in the chain.
        let chain = if keys.contains("plugins.chain") { "" } else { "plugins.chain = [\"sanitize\"]\n" };
        let config = format!(
            "data_dir = {data_dir:?}\nlisten.http = \"{http}\"\nlisten.quic = \"{quic}\"\nlisten.ops = \"{ops}\"\n\
             auth.bcrypt_cost = 10\nlimits.strangers_per_minute = 100000\nlimits.sends_per_second = 100000\nlimits.sends_burst = 100000\n\
             limits.sends_per_room_per_second = 100000\nlimits.room_deliveries_per_second = 100000000\n\
             limits.holds_per_minute = 100000\nlimits.holds_burst = 100000\n\
             limits.commands_per_second = 1000000\nlimits.commands_burst = 1000000\n\
             log.filter = \"warn\"\n{keys}\n{chain}"
        );
        std::fs::write(folder.path().join("confab.toml"), config).unwrap();
        Self { folder, data_dir, http, quic, ops }
    }

    pub fn config_file(&self) -> PathBuf {
        self.folder.path().join("confab.toml")
    }

    /// Writes the configuration anew, with another text for one that stands in it.
    pub fn rewrite(&self, from: &str, to: &str) {
        let text = read(&self.config_file());
        assert!(text.contains(from), "{from:?} is not in {text}");
        std::fs::write(self.config_file(), text.replace(from, to)).unwrap();
    }

    /// SIGHUP, and what there is of plugins by then is taken up when this returns.
    pub fn reload(&self, server: &Running) {
        const GENERATION: &str = "confab_plugin_generation";
        let before = self.metric(GENERATION);
        server.reload();
        eventually("it is taken up", || {
            assert!(!self.err().contains("nothing was reloaded"), "{}", self.err());
            (self.metric(GENERATION) > before).then_some(())
        });
    }

    /// `confab --config <its file> <arguments>`.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = confab();
        command.arg("--config").arg(self.config_file()).args(arguments);
        command
    }

    /// A server, once it is ready.
    pub fn serve(&self) -> Running {
        self.serve_by(&mut self.command(&["serve"]))
    }

    /// A server started by another command, once it is ready.
    pub fn serve_by(&self, command: &mut Command) -> Running {
        let create = |name: &str| File::create(self.folder.path().join(name)).unwrap();
        let mut running = Running(command.stdout(create("out")).stderr(create("err")).spawn().unwrap());
        eventually("the server is ready", || {
            assert!(running.is_running(), "it ended at once: {}{}", self.out(), self.err());
            (self.ops_get("/readyz")?.0 == 200).then_some(())
        });
        running
    }

    /// What the newest server printed.
    pub fn out(&self) -> String {
        read(&self.folder.path().join("out"))
    }

    /// What the newest server logged.
    pub fn err(&self) -> String {
        read(&self.folder.path().join("err"))
    }

    /// A GET of the operator's listener: status and body, or nothing if nobody answers.
    pub fn ops_get(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(self.ops).ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.ops);
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    /// The value of a metric line, labels included; 0 when absent.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.ops_get("/metrics").expect("metrics").1;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        line.unwrap_or(0.0)
    }

    /// Its address for a client.
    pub fn address(&self, transport: Transport) -> confab_client::Server {
        let url = match transport {
            Transport::Quic => format!("quic://{}", self.quic),
            Transport::WebSocket => format!("ws://{}", self.http),
        };
        let pin = read(&self.data_dir.join("dev-cert/fingerprint"));
        confab_client::Server::parse(&url).unwrap().pin(&pin).unwrap()
    }

    pub async fn register(&self, transport: Transport, name: &str) -> Person {
        self.register_with(transport, name, None).await
    }

    pub async fn register_with(&self, transport: Transport, name: &str, owner_token: Option<&str>) -> Person {
        Person::register_at(self.address(transport), name, owner_token).await
    }

    pub async fn login(&self, transport: Transport, name: &str) -> Person {
        Person::login_at(self.address(transport), name).await
    }
}

/// A program that is talked to line by line.
pub struct Talk {
    pub running: Running,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    /// Everything it has printed so far.
    pub heard: Vec<String>,
}

impl Talk {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let (input, output) = (child.stdin.take(), child.stdout.take().unwrap());
        let (send, lines) = sync_channel(1_000);
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        Self { running: Running(child), input, lines, heard: Vec::new() }
    }

    pub fn type_line(&mut self, line: &str) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Waits for a line that holds the words.
    pub fn expect(&mut self, words: &str) -> String {
        loop {
            let Ok(line) = self.lines.recv_timeout(PATIENCE) else { panic!("no {words:?} after {:?}", self.heard) };
            self.heard.push(line.clone());
            if line.contains(words) {
                return line;
            }
        }
    }

    /// Nothing more is typed.
    pub fn hang_up(&mut self) {
        self.input = None;
    }
}
