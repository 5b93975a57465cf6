//! `export`: all live records as NDJSON, zstd-compressed.

use std::io::{IsTerminal, Write};

use serde_json::json;
use shared::archive::Payload;
use shared::records;

use super::get;
use crate::args::{Export, ExportFormat};
use crate::failure::{Exit, Failure};
use crate::session::Session;

const PAGE: i64 = 1000;

/// Runs the command. A file appears under its name only when it is complete.
pub async fn run(session: &Session, args: &Export) -> Result<Exit, Failure> {
    match &args.out {
        None if std::io::stdout().is_terminal() => {
            Err(Failure::usage("the output is compressed: give a file with --out, or pipe it into `zstd -dc`"))
        }
        None => {
            let (records, left_out) = write(session, args.format, std::io::stdout().lock()).await?;
            eprintln!("{records} records");
            Ok(if left_out > 0 { Exit::Partial } else { Exit::Done })
        }
        Some(path) => {
            let unfinished = path.with_extension("unfinished");
            let file = std::fs::File::create(&unfinished)
                .map_err(|error| Failure::usage(format!("cannot write {}: {error}", unfinished.display())))?;
            let written = write(session, args.format, &file).await.and_then(|records| {
                file.sync_all()?;
                std::fs::rename(&unfinished, path)?;
                Ok(records)
            });
            if written.is_err() {
                let _ = std::fs::remove_file(&unfinished);
            }
            let (records, left_out) = written?;
            eprintln!("{records} records in {}", path.display());
            Ok(if left_out > 0 { Exit::Partial } else { Exit::Done })
        }
    }
}

async fn write(session: &Session, format: ExportFormat, out: impl Write) -> Result<(u64, u64), Failure> {
    let mut out = zstd::stream::write::Encoder::new(out, 3)?;
    let (mut records, mut left_out) = (0, 0);
    let mut after = None;
    loop {
        let page = records::page(session.db(), after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.pmid);
        for pointer in page.iter().filter(|pointer| !pointer.order.deleted) {
            let envelope = match get::envelope(session, pointer.pmid, &pointer.s3_uri).await {
                Ok(envelope) => envelope,
                Err(failure) if failure.exit == Exit::Unavailable => return Err(failure),
                Err(failure) => {
                    eprintln!("bio-mcp: left out: PMID {}: {}", pointer.pmid, failure.message);
                    left_out += 1;
                    continue;
                }
            };
            let hash = envelope.content_hash();
            let Payload::Xml(xml) = envelope.payload else { continue };
            let written = match format {
                ExportFormat::Json => match get::parse(pointer.pmid, &xml) {
                    Ok(article) => serde_json::to_writer(&mut out, &article),
                    Err(failure) => {
                        eprintln!("bio-mcp: left out: {}", failure.message);
                        left_out += 1;
                        continue;
                    }
                },
                ExportFormat::Xml => {
                    let line = json!({ "pmid": pointer.pmid, "content_hash": hash, "xml": xml });
                    serde_json::to_writer(&mut out, &line)
                }
            };
            written.map_err(std::io::Error::from)?;
            out.write_all(b"\n")?;
            records += 1;
        }
    }
    out.finish()?.flush()?;
    Ok((records, left_out))
}
