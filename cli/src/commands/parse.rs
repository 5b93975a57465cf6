//! `parse`: PubMed XML to JSON, one record per line.

use std::io::{Read, Write};
use std::path::Path;
use std::sync::mpsc;

use rayon::{ThreadPool, ThreadPoolBuilder};
use serde_json::json;
use shared::config::Config;
use shared::observability;
use shared::pubmed::source::{FileError, FileSource, IgnoredBytes};
use shared::pubmed::{Article, Item, Splitter, TextForm, identity};

use crate::args::Parse;
use crate::failure::{CliError, Exit};
use crate::{input_files, out};

/// Bytes of XML that one thread parses at a time.
const CHUNK_BYTES: usize = 512 * 1024;

/// Slices of a file that one parser gets.
struct Chunk {
    bytes: Vec<u8>,
    slices: Vec<Slice>,
    /// Position of the first slice in the file.
    first: u64,
}

/// One item of a file in a chunk.
struct Slice {
    end: usize,
    is_deletion: bool,
}

/// The output of a parser for a chunk.
struct Parsed {
    json: Vec<u8>,
    deletions: u64,
    bad: Vec<String>,
}

/// Counts and errors of one file.
#[derive(Default)]
struct Report {
    deletions: u64,
    bad: u64,
    /// Why the rest of the file could not be read.
    unreadable: Option<FileError>,
    ignored: Option<IgnoredBytes>,
}

/// One thread reads, several parse, and this one writes in order. An unreadable file does not stop the others.
pub fn run(args: &Parse, config: &Config, as_json: bool) -> Result<Exit, CliError> {
    let threads = args.threads.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from);
    let parsers = ThreadPoolBuilder::new().num_threads(threads).thread_name(|n| format!("parse-{n}")).build();
    let parsers = parsers
        .map_err(|error| CliError::internal(format!("cannot start {}: {error}", out::counted(threads, "thread"))))?;
    let (mut any_bad, mut any_unreadable) = (false, false);
    for file in input_files::expand(&args.files)? {
        let name = shown(&file);
        let report = tokio::task::block_in_place(|| parse_file(&file, &parsers, args, config))?;
        if report.deletions > 0 {
            let left_out = if args.deletions { "" } else { ", omitted" };
            out::note(format_args!("{name}: {}{left_out}", out::counted(report.deletions, "deletion")));
        }
        if let Some(ignored) = report.ignored {
            out::note(format_args!("warning: {name}: {ignored}"));
        }
        any_bad |= report.bad > 0;
        if let Some(error) = report.unreadable {
            any_unreadable = true;
            CliError::usage(format!("{name}: {}", observability::chain(&error))).show(as_json);
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

/// Name of a file in messages.
fn shown(path: &Path) -> String {
    if is_stdin(path) { "standard input".to_owned() } else { path.display().to_string() }
}

fn parse_file(path: &Path, parsers: &ThreadPool, args: &Parse, config: &Config) -> Result<Report, CliError> {
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
    let read_and_write = |parsing: &rayon::Scope<'_>| -> Result<Report, CliError> {
        // Results in the order of the file. The bound limits memory: the reader waits when it is reached.
        let (in_order, results) = mpsc::sync_channel::<mpsc::Receiver<Parsed>>(parsers.current_num_threads() * 2);
        let parse = move |chunk: Chunk| {
            let (parsed, result) = mpsc::sync_channel(1);
            parsing.spawn(move |_| {
                // The receiver is gone if the command has stopped writing.
                let _ = parsed.send(parse_chunk(&chunk, deletions, form));
            });
            in_order.send(result).is_ok()
        };
        std::thread::scope(|scope| {
            let reading = scope.spawn(move || read_chunks(source, max_record_bytes, parse));
            let mut out = std::io::BufWriter::with_capacity(256 * 1024, out::stdout());
            let mut report = Report::default();
            // A parser that panicked sends nothing; the panic is propagated when the others are done.
            for parsed in results.into_iter().map_while(|result| result.recv().ok()) {
                out.write_all(&parsed.json)?;
                report.deletions += parsed.deletions;
                for problem in parsed.bad {
                    out::note(format_args!("bio-mcp: {name}: {problem}"));
                    report.bad += 1;
                }
            }
            out.flush()?;
            report.unreadable = reading.join().expect("reading does not panic").err();
            report.ignored = progress.ignored();
            Ok(report)
        })
    };
    parsers.in_place_scope(read_and_write)
}

/// Passes chunks to `parse` until the end of the file, or until `parse` returns false.
fn read_chunks(reader: impl Read, max_record_bytes: usize, parse: impl Fn(Chunk) -> bool) -> Result<(), FileError> {
    let mut splitter = Splitter::new(reader, max_record_bytes);
    let mut position = 0;
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
            if !parse(std::mem::replace(&mut chunk, next)) {
                return Ok(());
            }
        }
    };
    parse(chunk);
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
    article.write_json(json).map_err(|error| error.to_string())
}

fn write_deletion(slice: &[u8], json: &mut Vec<u8>) -> Result<(), String> {
    let (pmid, version) = identity::of_deletion(slice).map_err(|error| format!("deletion: {error}"))?;
    let line = json!({ "kind": "deletion", "pmid": pmid, "version": version });
    serde_json::to_writer(json, &line).map_err(|error| error.to_string())
}
