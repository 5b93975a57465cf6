//! Sends requests as fast as the server responds, over keep-alive connections.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A request that submits a job for this PMID.
pub fn submit(pmid: u64) -> String {
    let body = format!("{{\"tool\":\"pubmed.sync\",\"params\":{{\"pmids\":[\"{pmid}\"]}}}}");
    let length = body.len();
    format!(
        "POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

/// A request that reads a job.
pub fn read(job: &str) -> String {
    format!("GET /v1/jobs/{job} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

/// Sends requests `0..requests` over `connections` connections and prints the durations as JSON.
pub fn load(address: &str, connections: u64, requests: u64, request: impl Fn(u64) -> String) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (all, mut took) = runtime.block_on(async {
        let mut opened = Vec::new();
        for _ in 0..connections {
            let stream = TcpStream::connect(address).await.context("the server does not listen")?;
            stream.set_nodelay(true)?;
            opened.push(stream);
        }
        let began = Instant::now();
        let work = opened.into_iter().zip(0..).map(|(stream, first)| {
            let own = (first..requests).step_by(usize::try_from(connections).unwrap_or(1)).map(&request);
            one_by_one(stream, own.collect())
        });
        let took: Vec<Vec<Duration>> = futures_util::future::try_join_all(work).await?;
        anyhow::Ok((began.elapsed(), took.concat()))
    })?;
    took.sort_unstable();
    let at = |percent: usize| took.get(took.len() * percent / 100).or(took.last()).map_or(0.0, Duration::as_secs_f64);
    println!(
        "{{\"requests\":{},\"seconds\":{:.6},\"p50_ms\":{:.3},\"p99_ms\":{:.3}}}",
        took.len(),
        all.as_secs_f64(),
        at(50) * 1000.0,
        at(99) * 1000.0
    );
    Ok(())
}

async fn one_by_one(mut stream: TcpStream, requests: Vec<String>) -> anyhow::Result<Vec<Duration>> {
    let mut took = Vec::with_capacity(requests.len());
    let mut response = Vec::new();
    for request in requests {
        let began = Instant::now();
        stream.write_all(request.as_bytes()).await?;
        response.clear();
        let end = loop {
            if stream.read_buf(&mut response).await? == 0 {
                bail!("the server hung up");
            }
            if let Some(end) = end_of(&response)?
                && response.len() >= end
            {
                break end;
            }
        };
        took.push(began.elapsed());
        let status = std::str::from_utf8(response.get(9..12).unwrap_or_default()).unwrap_or_default();
        if !status.starts_with('2') {
            bail!("the server responded: {}", String::from_utf8_lossy(&response[..end]));
        }
    }
    Ok(took)
}

/// End of the response, once its header is complete.
fn end_of(response: &[u8]) -> anyhow::Result<Option<usize>> {
    let Some(head) = response.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&response[..head])?.to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.context("a response without a length")?.trim().parse()?;
    Ok(Some(head + 4 + length))
}
