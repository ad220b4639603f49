//! `confab health`: one request to the ops listener, for containers without a shell.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::config::Config;

const TIMEOUT: Duration = Duration::from_secs(3);

pub(super) fn run(config: &Config) -> anyhow::Result<()> {
    let address = config.listen.ops;
    let mut stream =
        TcpStream::connect_timeout(&address, TIMEOUT).with_context(|| format!("no server at {address}"))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(8 * 1024).read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    print!("{body}");
    if head.starts_with("HTTP/1.1 200") { Ok(()) } else { bail!("not ready") }
}
