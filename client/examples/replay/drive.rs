//! Everything in one go: a configuration, the accounts, a server as a child process, half of the users over
//! QUIC and half over WebSocket, and the comparison.

use std::fs::File;
use std::io::Read;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::chatlog::{ChatLog, LogArgs};
use crate::post::{self, Pace};
use crate::record::Record;
use crate::{Access, ops, verify};

const START_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
/// Tokens outlive the longest run.
const TOKEN_TTL_SECONDS: &str = "86400";
/// What the server itself counted.
const SAMPLES: &[&str] = &[
    "confab_entries_total",
    "confab_entries_duplicate_total",
    "confab_rejects_total",
    "confab_closes_total",
    "confab_connections_total",
    "confab_connections_refused_total",
    "confab_connection_panics_total",
    "confab_requests_total",
    "confab_request_seconds_sum",
    "confab_request_seconds_count",
    "confab_append_batch_entries_sum",
    "confab_append_batch_entries_count",
    "confab_append_seconds_sum",
    "confab_plugin_call_seconds_sum",
    "confab_plugin_verdicts_total",
    "confab_plugin_traps_total",
    "confab_store_errors_total",
];

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    pace: Pace,
    /// The server's program.
    #[arg(long, value_name = "PATH")]
    confab: PathBuf,
    /// Gets configuration, data, record and the server's output; must not hold an earlier run.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
}

struct Addresses {
    http: SocketAddr,
    quic: SocketAddr,
    ops: SocketAddr,
}

struct Run<'a> {
    args: &'a Args,
    dir: PathBuf,
    config: PathBuf,
    addresses: Addresses,
}

/// The child; killed if it is not stopped before.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        // Not running any more is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) async fn run(args: &Args) -> anyhow::Result<()> {
    let started = Instant::now();
    let log = Arc::new(ChatLog::read(&args.log)?);
    let run = Run::new(args)?;
    run.provision(&log)?;
    let mut serving = run.serve().await?;
    let pin = std::fs::read_to_string(run.dir.join("data/dev-cert/fingerprint"))?.trim().to_owned();
    // Even nicks over the first, odd ones over the second.
    let servers = vec![format!("quic://{}", run.addresses.quic), format!("ws://{}", run.addresses.http)];
    let access = Access { tokens: run.dir.join("tokens.tsv"), servers, pin: Some(pin) };
    let record = run.dir.join("sent.tsv");

    let before = Cpu::now(&serving);
    let summary = post::run(Arc::clone(&log), &access, &args.pace, &record).await?;
    println!("\n{summary}");
    Cpu::now(&serving).print_since(&before);
    println!("\nthe server counted:");
    for sample in ops::samples(run.addresses.ops, SAMPLES).await? {
        println!("  {sample}");
    }

    let before = Cpu::now(&serving);
    let report = verify::run(&log, &access, Record::read(&record)?, args.pace.window > 1).await?;
    println!("\n{report}");
    Cpu::now(&serving).print_since(&before);
    print_memory(&serving);
    println!();
    run.stop(&mut serving).await?;
    println!(
        "all in {:.1} s; {} holds the record and the server's output",
        started.elapsed().as_secs_f64(),
        run.dir.display()
    );

    report.check()?;
    summary.check()?;
    if summary.altered() != report.altered() {
        bail!("{} were acknowledged as altered, {} are", summary.altered(), report.altered());
    }
    Ok(())
}

impl<'a> Run<'a> {
    fn new(args: &'a Args) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&args.dir)?;
        let dir = args.dir.canonicalize()?;
        if dir.join("data").exists() {
            bail!("{} holds an earlier run: take another directory", dir.display());
        }
        let tcp = [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
        let udp = UdpSocket::bind("127.0.0.1:0")?;
        let [http, ops] = tcp;
        let addresses = Addresses { http: http.local_addr()?, quic: udp.local_addr()?, ops: ops.local_addr()? };
        let config = dir.join("confab.toml");
        let text = config_text(&dir, &addresses);
        println!("\n{}:\n{text}", config.display());
        std::fs::write(&config, text)?;
        Ok(Self { args, dir, config, addresses })
    }

    fn confab(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.args.confab);
        command.arg("--config").arg(&self.config).args(args);
        command
    }

    /// Imports the accounts and mints a token for each, as an operator would.
    fn provision(&self, log: &ChatLog) -> anyhow::Result<()> {
        let (users, names) = (self.dir.join("users.tsv"), self.dir.join("names.txt"));
        log.write_accounts(&users, Some(&names))?;
        let import = self.confab(&["user", "import", users.to_str().context("paths are UTF-8")?]);
        complete("confab user import", import)?;
        let tokens = self.dir.join("tokens.tsv");
        let mut mint = self.confab(&["token", "mint", "-", "--ttl", TOKEN_TTL_SECONDS]);
        let options = File::options().write(true).create_new(true).mode(0o600).open(&tokens);
        mint.stdin(File::open(&names)?).stdout(options?);
        complete("confab token mint", mint)
    }

    async fn serve(&self) -> anyhow::Result<Serving> {
        let output = File::create(self.dir.join("server.log"))?;
        let started = Instant::now();
        let mut serve = self.confab(&["serve"]);
        serve.stdin(Stdio::null()).stderr(output.try_clone()?).stdout(output);
        let mut serving = Serving(serve.spawn().with_context(|| self.args.confab.display().to_string())?);
        loop {
            if let Some(status) = serving.0.try_wait()? {
                bail!("the server ended: {status}; {} says why", self.dir.join("server.log").display());
            }
            if matches!(ops::get(self.addresses.ops, "/readyz").await, Ok((200, _))) {
                println!("server ready after {:.1} s\n", started.elapsed().as_secs_f64());
                return Ok(serving);
            }
            if started.elapsed() > START_TIMEOUT {
                bail!("the server is not ready in time");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn stop(&self, serving: &mut Serving) -> anyhow::Result<()> {
        let started = Instant::now();
        let sent = Command::new("kill").args(["-TERM", &serving.0.id().to_string()]).status()?;
        if !sent.success() {
            bail!("cannot signal the server");
        }
        while started.elapsed() < STOP_TIMEOUT {
            if let Some(status) = serving.0.try_wait()? {
                println!("server stopped on SIGTERM after {:.1} s: {status}", started.elapsed().as_secs_f64());
                let mut output = String::new();
                File::open(self.dir.join("server.log"))?.read_to_string(&mut output)?;
                let warnings: Vec<&str> =
                    output.lines().filter(|line| line.contains("WARN") || line.contains("ERROR")).collect();
                println!("warnings and errors in its output: {}", warnings.len());
                warnings.iter().take(5).for_each(|line| println!("  {line}"));
                if !status.success() {
                    bail!("the server ended badly");
                }
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!("the server does not stop")
    }
}

/// Raised limits, in a file like any operator's.
fn config_text(dir: &Path, addresses: &Addresses) -> String {
    let Addresses { http, quic, ops } = addresses;
    let data = dir.join("data");
    let data = data.to_string_lossy();
    format!(
        r#"data_dir = {data:?}

[listen]
http = "{http}"
quic = "{quic}"
ops = "{ops}"

[auth]
bcrypt_cost = 10

[limits]                       # one address is everybody here
sends_per_second = 10000
sends_burst = 10000
sends_per_room_per_second = 10000
room_deliveries_per_second = 10000000
commands_per_second = 1000000
commands_burst = 1000000
connections_per_user = 50
connections_per_ip = 1000

[plugins]
chain = ["sanitize"]

[log]
filter = "warn"
"#
    )
}

fn complete(what: &str, mut command: Command) -> anyhow::Result<()> {
    let started = Instant::now();
    let status = command.stderr(Stdio::null()).status().with_context(|| what.to_owned())?;
    if !status.success() {
        bail!("{what}: {status}");
    }
    println!("{what}: {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}

/// CPU time of the server and of this process so far, where the system tells (Linux).
struct Cpu {
    at: Instant,
    server: Option<f64>,
    client: Option<f64>,
}

impl Cpu {
    fn now(serving: &Serving) -> Self {
        Self { at: Instant::now(), server: cpu_seconds(serving.0.id()), client: cpu_seconds(std::process::id()) }
    }

    fn print_since(&self, before: &Self) {
        let seconds = self.at.duration_since(before.at).as_secs_f64();
        if let (Some(server), Some(server_before), Some(client), Some(client_before)) =
            (self.server, before.server, self.client, before.client)
        {
            let (server, client) = (server - server_before, client - client_before);
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            println!(
                "  CPU: server {server:.1} s, this client {client:.1} s, of {:.1} s on {cores} cores",
                seconds * cores as f64
            );
        }
    }
}

fn cpu_seconds(pid: u32) -> Option<f64> {
    /// USER_HZ of every Linux (proc(5)).
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name in parentheses and may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let ticks = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(ticks as f64 / TICKS_PER_SECOND)
}

fn print_memory(serving: &Serving) {
    let status = std::fs::read_to_string(format!("/proc/{}/status", serving.0.id())).unwrap_or_default();
    if let Some(peak) = status.lines().find_map(|line| line.strip_prefix("VmHWM:")) {
        println!("  memory of the server at most:{peak}");
    }
}
