//! What the operator's listener tells: readiness and counters.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const TIMEOUT: Duration = Duration::from_secs(5);

/// Status and body of a GET.
pub(crate) async fn get(address: SocketAddr, path: &str) -> anyhow::Result<(u16, String)> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut response = String::new();
        stream.read_to_string(&mut response).await?;
        let (head, body) = response.split_once("\r\n\r\n").context("not HTTP")?;
        let status = head.split(' ').nth(1).context("not HTTP")?.parse()?;
        Ok((status, body.to_owned()))
    };
    tokio::time::timeout(TIMEOUT, exchange).await?
}

/// The samples whose names begin with one of these, less the empty buckets of histograms.
pub(crate) async fn samples(address: SocketAddr, names: &[&str]) -> anyhow::Result<Vec<String>> {
    let (_, body) = get(address, "/metrics").await?;
    let is_wanted = |line: &&str| names.iter().any(|name| line.starts_with(name)) && !line.contains("_bucket{");
    Ok(body.lines().filter(is_wanted).map(str::to_owned).collect())
}
