//! Stages of an ingest, measured separately.
//!
//! ```text
//! bench generate FILE RECORDS BYTES   writes a record file (about BYTES a record)
//! bench pipeline FILE THREADS         (a) split + hash + envelope + zstd, output discarded
//! bench floor FILE                    inflate, SHA-256 and zstd of the same data, one thread, each alone
//! bench submit ADDRESS CONNECTIONS REQUESTS FIRST   POST /v1/jobs, each a new job of one PMID from FIRST on
//! bench read ADDRESS CONNECTIONS REQUESTS JOB       GET /v1/jobs/JOB
//! ```

mod http;

use std::hint::black_box;
use std::io::Read;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use shared::archive::codec::Encoder;
use shared::archive::{Compression, Source, envelope};
use shared::core::{RecordOrder, Sha256};
use shared::pubmed::source::FileSource;
use shared::pubmed::{Item, Splitter, identity};

/// As in production: 64 MiB per record.
const MAX_RECORD_BYTES: usize = 64 << 20;

/// Bytes of records that a thread gets at once.
const CHUNK_BYTES: usize = 256 * 1024;

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["generate", file, records, bytes] => {
            samples::files::write_large(Path::new(file), records.parse()?, bytes.parse()?)?;
        }
        ["pipeline", file, threads] => pipeline(Path::new(file), threads.parse()?)?,
        ["floor", file] => floor(Path::new(file))?,
        ["submit", address, connections, requests, first] => {
            let first: u64 = first.parse()?;
            http::load(address, connections.parse()?, requests.parse()?, |n| http::submit(first + n))?;
        }
        ["read", address, connections, requests, job] => {
            http::load(address, connections.parse()?, requests.parse()?, |_| http::read(job))?;
        }
        _ => bail!("usage: bench generate FILE RECORDS BYTES | pipeline FILE THREADS | floor FILE | submit … | read …"),
    }
    Ok(())
}

/// The per-record work of one thread.
struct Stage {
    encoder: Encoder,
    json: Vec<u8>,
    source: Source,
    stored: usize,
}

impl Stage {
    fn new() -> Self {
        let source =
            Source { api: "bulk_file".into(), endpoint: "bench.xml.gz".into(), http_status: 0, http_etag: None };
        Self { encoder: Encoder::new(Compression::Zstd), json: Vec::new(), source, stored: 0 }
    }

    fn record(&mut self, slice: &[u8]) -> anyhow::Result<()> {
        let (identity, xml) = identity::of_record(slice)?;
        let hash = Sha256::of(slice);
        let order = RecordOrder {
            version: identity.version,
            date_revised: identity.date_revised,
            as_of: chrono::DateTime::default(),
            file_number: 0,
            position: 1,
            file_id: None,
            deleted: false,
        };
        self.json.clear();
        let at = chrono::DateTime::default();
        envelope::write_json(&mut self.json, identity.pmid, at, &self.source, &order, Some((xml, hash)));
        self.stored += black_box(self.encoder.encode(&self.json)).len();
        Ok(())
    }
}

type Chunk = (Vec<u8>, Vec<usize>);

fn pipeline(file: &Path, threads: usize) -> anyhow::Result<()> {
    let mut splitter = Splitter::new(FileSource::open(file, u64::MAX)?, MAX_RECORD_BYTES);
    let mut records = 0u64;
    let stored = if threads <= 1 {
        let mut stage = Stage::new();
        while let Some(item) = splitter.next()? {
            if let Item::Record { bytes, .. } = item {
                stage.record(bytes)?;
                records += 1;
            }
        }
        stage.stored
    } else {
        // The reading thread is one of the threads: it processes a chunk itself if the others are busy.
        let (sender, receiver) = mpsc::sync_channel::<Chunk>(threads);
        let receiver = &std::sync::Mutex::new(receiver);
        std::thread::scope(|scope| -> anyhow::Result<usize> {
            let helpers: Vec<_> = (1..threads)
                .map(|_| {
                    scope.spawn(move || -> anyhow::Result<usize> {
                        let mut stage = Stage::new();
                        loop {
                            let next = receiver.lock().map_err(|_| anyhow::anyhow!("a thread panicked"))?.recv();
                            let Ok(chunk) = next else { return Ok(stage.stored) };
                            work(&mut stage, &chunk)?;
                        }
                    })
                })
                .collect();
            let mut own = Stage::new();
            let mut chunk: Chunk = (Vec::with_capacity(CHUNK_BYTES * 2), Vec::new());
            while let Some(item) = splitter.next()? {
                let Item::Record { bytes, .. } = item else { continue };
                chunk.0.extend_from_slice(bytes);
                chunk.1.push(chunk.0.len());
                records += 1;
                if chunk.0.len() >= CHUNK_BYTES {
                    let full = std::mem::replace(&mut chunk, (Vec::with_capacity(CHUNK_BYTES * 2), Vec::new()));
                    match sender.try_send(full) {
                        Ok(()) => {}
                        Err(mpsc::TrySendError::Full(full)) => work(&mut own, &full)?,
                        Err(mpsc::TrySendError::Disconnected(_)) => break,
                    }
                }
            }
            work(&mut own, &chunk)?;
            drop(sender);
            let mut stored = own.stored;
            for helper in helpers {
                stored += helper.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??;
            }
            Ok(stored)
        })?
    };
    println!("{records} records, {stored} bytes stored");
    Ok(())
}

fn work(stage: &mut Stage, (bytes, ends): &Chunk) -> anyhow::Result<()> {
    let mut start = 0;
    for end in ends {
        stage.record(&bytes[start..*end])?;
        start = *end;
    }
    Ok(())
}

/// The minimum work of one thread for the same bytes.
fn floor(file: &Path) -> anyhow::Result<()> {
    let began = Instant::now();
    let mut source = FileSource::open(file, u64::MAX)?;
    let mut buffer = vec![0; 256 * 1024];
    while source.read(&mut buffer)? > 0 {
        black_box(&buffer);
    }
    let inflate = began.elapsed();
    let (mut hash, mut compress) = (Duration::ZERO, Duration::ZERO);
    let mut zstd = zstd::bulk::Compressor::new(3).context("level 3")?;
    let mut splitter = Splitter::new(FileSource::open(file, u64::MAX)?, MAX_RECORD_BYTES);
    while let Some(item) = splitter.next()? {
        let Item::Record { bytes, .. } = item else { continue };
        let began = Instant::now();
        black_box(Sha256::of(bytes));
        let hashed = Instant::now();
        black_box(zstd.compress(bytes)?);
        hash += hashed - began;
        compress += hashed.elapsed();
    }
    let sum = inflate + hash + compress;
    println!(
        "{{\"inflate\": {:.3}, \"sha256\": {:.3}, \"zstd\": {:.3}, \"sum\": {:.3}}}",
        inflate.as_secs_f64(),
        hash.as_secs_f64(),
        compress.as_secs_f64(),
        sum.as_secs_f64()
    );
    Ok(())
}
