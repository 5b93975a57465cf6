//! `parse`: PubMed XML to JSON, one record a line.

use std::io::{Read, Write};
use std::path::Path;
use std::sync::mpsc;

use serde_json::json;
use shared::pubmed::source::{FileError, FileSource, IgnoredBytes};
use shared::pubmed::{Article, Item, Splitter, TextForm, identity};
use shared::words::config::Config;
use shared::words::telemetry;

use crate::args::Parse;
use crate::failure::{Exit, Failure};
use crate::{input_files, out};

/// Bytes of XML that one thread parses at a time.
const CHUNK_BYTES: usize = 512 * 1024;

/// Slices of a file on their way to a parser.
struct Chunk {
    bytes: Vec<u8>,
    slices: Vec<Slice>,
    /// Position of the first one in the file.
    first: u64,
}

/// One item of a file in a chunk.
struct Slice {
    end: usize,
    is_deletion: bool,
}

/// What a parser made of a chunk.
struct Parsed {
    json: Vec<u8>,
    deletions: u64,
    bad: Vec<String>,
}

/// How a file was read.
#[derive(Default)]
struct Report {
    deletions: u64,
    bad: u64,
    /// Why the rest of it could not be read.
    unreadable: Option<FileError>,
    ignored: Option<IgnoredBytes>,
}

/// Runs the command: a reader, several parsers, and a writer that keeps the order. A file that cannot be read does not
/// keep the others from being read.
pub fn run(args: &Parse, config: &Config, as_json: bool) -> Result<Exit, Failure> {
    let threads = args.threads.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from);
    let (mut any_bad, mut any_unreadable) = (false, false);
    for file in input_files::expand(&args.files)? {
        let name = shown(&file);
        let report = tokio::task::block_in_place(|| parse_file(&file, threads, args, config))?;
        if report.deletions > 0 {
            let left_out = if args.deletions { "" } else { ", left out" };
            let records = if report.deletions == 1 { "deletion" } else { "deletions" };
            out::note(format_args!("{name}: {} {records}{left_out}", report.deletions));
        }
        if let Some(ignored) = report.ignored {
            out::note(format_args!("warning: {name}: {ignored}"));
        }
        any_bad |= report.bad > 0;
        if let Some(error) = report.unreadable {
            any_unreadable = true;
            Failure::usage(format!("{name}: {}", telemetry::chain(&error))).show(as_json);
        }
    }
    Ok(match (any_unreadable, any_bad) {
        (true, _) => Exit::Usage,
        (false, true) => Exit::Partial,
        (false, false) => Exit::Done,
    })
}

fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

/// A file in messages.
fn shown(path: &Path) -> String {
    if is_stdin(path) { "standard input".to_owned() } else { path.display().to_string() }
}

fn parse_file(path: &Path, threads: usize, args: &Parse, config: &Config) -> Result<Report, Failure> {
    let (deletions, form): (bool, TextForm) = (args.deletions, args.markup.into());
    let source = if is_stdin(path) {
        FileSource::new(std::io::stdin(), config.max_file_bytes)
    } else {
        FileSource::open(path, config.max_file_bytes)
    };
    let source = match source {
        Ok(source) => source,
        Err(error) => return Ok(Report { unreadable: Some(error), ..Report::default() }),
    };
    let progress = source.progress();
    let name = shown(path);
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
                    if parsed.send(parse_chunk(&chunk, deletions, form)).is_err() {
                        return;
                    }
                }
            });
            to_parsers.push(chunks);
            from_parsers.push(parsed_here);
        }
        let reading = scope.spawn(move || read_chunks(source, max_record_bytes, &to_parsers));
        let mut out = std::io::BufWriter::with_capacity(256 * 1024, out::stdout());
        let mut report = Report::default();
        for n in 0.. {
            let Ok(parsed) = from_parsers[n % threads].recv() else { break };
            out.write_all(&parsed.json)?;
            report.deletions += parsed.deletions;
            for problem in parsed.bad {
                out::note(format_args!("bio-mcp: {name}: {problem}"));
                report.bad += 1;
            }
        }
        out.flush()?;
        // Parsers stop when nothing takes their results any more.
        drop(from_parsers);
        report.unreadable = reading.join().expect("reading does not panic").err();
        report.ignored = progress.ignored();
        Ok(report)
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
    let mut chunk = Chunk { bytes: Vec::with_capacity(CHUNK_BYTES * 2), slices: Vec::new(), first: 1 };
    let result = loop {
        let (bytes, is_deletion) = match splitter.next() {
            Ok(Some(Item::Record { bytes, .. })) => (bytes, false),
            Ok(Some(Item::Deletion { bytes })) => (bytes, true),
            Ok(None) => break Ok(()),
            Err(error) => break Err(error.into()),
        };
        position += 1;
        chunk.bytes.extend_from_slice(bytes);
        chunk.slices.push(Slice { end: chunk.bytes.len(), is_deletion });
        if chunk.bytes.len() >= CHUNK_BYTES {
            let next = Chunk { bytes: Vec::with_capacity(CHUNK_BYTES * 2), slices: Vec::new(), first: position + 1 };
            if parsers[turn].send(std::mem::replace(&mut chunk, next)).is_err() {
                return Ok(());
            }
            turn = (turn + 1) % parsers.len();
        }
    };
    let _ = parsers[turn].send(chunk);
    result
}

fn parse_chunk(chunk: &Chunk, deletions: bool, form: TextForm) -> Parsed {
    let mut parsed = Parsed { json: Vec::with_capacity(chunk.bytes.len()), deletions: 0, bad: Vec::new() };
    let mut start = 0;
    for (n, Slice { end, is_deletion }) in (chunk.first..).zip(&chunk.slices) {
        let slice = &chunk.bytes[start..*end];
        start = *end;
        let written = if *is_deletion {
            parsed.deletions += 1;
            if !deletions {
                continue;
            }
            write_deletion(slice, &mut parsed.json)
        } else {
            write_record(slice, form, &mut parsed.json)
        };
        match written {
            Ok(()) => parsed.json.push(b'\n'),
            Err(problem) => parsed.bad.push(format!("record {n}: {problem}")),
        }
    }
    parsed
}

fn write_record(slice: &[u8], form: TextForm, json: &mut Vec<u8>) -> Result<(), String> {
    let xml = std::str::from_utf8(slice).map_err(|_| "not UTF-8")?;
    let article = Article::parse_as(xml, form).map_err(|error| error.to_string())?;
    serde_json::to_writer(json, &article).map_err(|error| error.to_string())
}

fn write_deletion(slice: &[u8], json: &mut Vec<u8>) -> Result<(), String> {
    let (pmid, version) = identity::of_deletion(slice).map_err(|error| format!("deletion: {error}"))?;
    let line = json!({ "kind": "deletion", "pmid": pmid, "version": version });
    serde_json::to_writer(json, &line).map_err(|error| error.to_string())
}
