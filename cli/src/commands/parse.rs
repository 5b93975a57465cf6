//! `parse`: PubMed XML to JSON, one record a line.

use std::io::{Read, Write};
use std::path::Path;
use std::sync::mpsc;

use shared::pubmed::source::{FileError, FileSource};
use shared::pubmed::{Article, Item, Splitter, TextForm};
use shared::words::config::Config;
use shared::words::telemetry;

use crate::args::Parse;
use crate::failure::{Exit, Failure};

/// Bytes of XML that one thread parses at a time.
const CHUNK_BYTES: usize = 512 * 1024;

/// Slices of records on their way to a parser.
struct Chunk {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// Position of the first one in the file.
    first: u64,
}

/// What a parser made of a chunk.
struct Parsed {
    json: Vec<u8>,
    bad: Vec<String>,
}

/// Runs the command: a reader, several parsers, and a writer that keeps the order.
pub fn run(args: &Parse, config: &Config) -> Result<Exit, Failure> {
    let threads = args.threads.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from);
    let mut exit = Exit::Done;
    for file in &args.files {
        if tokio::task::block_in_place(|| parse_file(file, threads, args.markup.into(), config))? > 0 {
            exit = Exit::Partial;
        }
    }
    Ok(exit)
}

fn parse_file(path: &Path, threads: usize, form: TextForm, config: &Config) -> Result<u64, Failure> {
    let name = path.display().to_string();
    let failed = |error: FileError| Failure::usage(format!("{name}: {}", telemetry::chain(&error)));
    let reader: Box<dyn Read + Send> = if path == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(FileSource::open(path, config.max_file_bytes).map_err(failed)?)
    };
    let max_record_bytes = config.max_record_bytes;
    std::thread::scope(|scope| {
        // Chunk n goes to parser n mod threads and comes back from it: in order, bounded memory.
        let mut to_parsers = Vec::new();
        let mut from_parsers = Vec::new();
        for _ in 0..threads {
            let (chunks, chunks_here) = mpsc::sync_channel::<Chunk>(1);
            let (parsed, parsed_here) = mpsc::sync_channel::<Parsed>(1);
            scope.spawn(move || {
                for chunk in chunks_here {
                    if parsed.send(parse_chunk(&chunk, form)).is_err() {
                        return;
                    }
                }
            });
            to_parsers.push(chunks);
            from_parsers.push(parsed_here);
        }
        let reading = scope.spawn(move || read_chunks(reader, max_record_bytes, &to_parsers));
        let mut out = std::io::BufWriter::with_capacity(256 * 1024, std::io::stdout().lock());
        let mut bad = 0;
        for n in 0.. {
            let Ok(parsed) = from_parsers[n % threads].recv() else { break };
            out.write_all(&parsed.json)?;
            for problem in parsed.bad {
                eprintln!("bio-mcp: {name}: {problem}");
                bad += 1;
            }
        }
        out.flush()?;
        // Parsers stop when nobody takes their results any more.
        drop(from_parsers);
        reading.join().expect("reading does not panic").map_err(failed)?;
        Ok(bad)
    })
}

fn read_chunks(
    reader: impl Read,
    max_record_bytes: usize,
    parsers: &[mpsc::SyncSender<Chunk>],
) -> Result<(), FileError> {
    let mut splitter = Splitter::new(reader, max_record_bytes);
    let mut position = 0;
    let mut turn = 0;
    let mut chunk = Chunk { bytes: Vec::with_capacity(CHUNK_BYTES * 2), ends: Vec::new(), first: 1 };
    let result = loop {
        match splitter.next() {
            Ok(Some(Item::Record { bytes, .. })) => {
                position += 1;
                chunk.bytes.extend_from_slice(bytes);
                chunk.ends.push(chunk.bytes.len());
            }
            Ok(Some(Item::Deletion { .. })) => position += 1,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error.into()),
        }
        if chunk.bytes.len() >= CHUNK_BYTES {
            let next = Chunk { bytes: Vec::with_capacity(CHUNK_BYTES * 2), ends: Vec::new(), first: position + 1 };
            if parsers[turn].send(std::mem::replace(&mut chunk, next)).is_err() {
                return Ok(());
            }
            turn = (turn + 1) % parsers.len();
        }
    };
    let _ = parsers[turn].send(chunk);
    result
}

fn parse_chunk(chunk: &Chunk, form: TextForm) -> Parsed {
    let mut parsed = Parsed { json: Vec::with_capacity(chunk.bytes.len()), bad: Vec::new() };
    let mut start = 0;
    for (n, end) in (chunk.first..).zip(&chunk.ends) {
        let slice = &chunk.bytes[start..*end];
        start = *end;
        let problem = match std::str::from_utf8(slice) {
            Err(_) => "not UTF-8".to_owned(),
            Ok(xml) => match Article::parse_as(xml, form) {
                Err(error) => error.to_string(),
                Ok(article) => match serde_json::to_writer(&mut parsed.json, &article) {
                    Ok(()) => {
                        parsed.json.push(b'\n');
                        continue;
                    }
                    Err(error) => error.to_string(),
                },
            },
        };
        parsed.bad.push(format!("record {n}: {problem}"));
    }
    parsed
}
