//! `export`: records as NDJSON, for a mirror or for other programs.
//!
//! An export contains the archive as of one event of its log, in a fixed order, so an export that was interrupted and
//! resumed equals one that was not, whatever is archived meanwhile.

mod compression;
mod records;
mod selection;
mod sink;

use serde_json::json;
use shared::checkpoints;
use shared::core::crash;
use shared::records::first_event;

use crate::args::Export;
use crate::failure::{CliError, Exit};
use crate::out;
use crate::session::Session;
use selection::Selection;
use sink::{ExportPlan, ExportProgress, Sink};

pub async fn run(session: &Session, args: &Export, json: bool) -> Result<Exit, CliError> {
    let now = checkpoints::now(session.db()).await?.last_seq;
    let selection = Selection::of(session, args, now).await?;
    let archive = &session.engine.archive;
    let log = (archive.location(), first_event(session.db()).await?);
    let plan = ExportPlan { format: args.format, selection: selection.description(), seq: selection.seq(now), log };
    let failed = |error: &std::io::Error| sink::failed(args.out.as_deref(), error);
    let (mut sink, plan, mut progress) = Sink::open(args.out.as_deref(), plan, args.restart)?;
    while let Some(page) = selection.page(session.db(), plan.seq, &progress.cursor).await? {
        for pmid in &page.unknown {
            records::leave_out(*pmid, "not in the archive");
            progress.left_out += 1;
            progress.absent += 1;
        }
        let mut frame = sink.frame()?;
        let written = records::write(session, args.format, &page.records, &mut frame, &mut progress, failed).await;
        written.and(frame.finish().map_err(|error| failed(&error)))?;
        progress.cursor = page.next;
        crash::point("after_frame");
        sink.commit(&plan, &mut progress)?;
        crash::point("after_page");
    }
    sink.finish()?;
    report(args, &plan, &progress, json)?;
    Ok(if progress.left_out > 0 { Exit::Partial } else { Exit::Done })
}

fn report(args: &Export, plan: &ExportPlan, progress: &ExportProgress, json: bool) -> Result<(), CliError> {
    let ExportProgress { records, deletions, left_out, absent, .. } = progress;
    if let Some(path) = args.out.as_deref().filter(|_| json) {
        return out::json(&json!({
            "file": path.display().to_string(), "records": records, "deletions": deletions, "left_out": left_out,
            "last_event": plan.seq,
        }));
    }
    let place = args.out.as_ref().map(|path| format!(" in {}", path.display())).unwrap_or_default();
    let deletions =
        if *deletions > 0 { format!(" and {}", out::counted(*deletions, "deletion")) } else { String::new() };
    out::note(format_args!("{}{deletions}{place}", out::counted(*records, "record")));
    if *absent > 0 {
        out::note(format_args!("{} omitted: not in the archive", out::counted(*absent, "record")));
    }
    let bad = left_out.saturating_sub(*absent);
    if bad > 0 {
        out::note(format_args!("{} omitted: `bio-mcp verify` reports the cause", out::counted(bad, "record")));
    }
    out::note(format_args!("last event: {}; `--since {}` exports later changes", plan.seq, plan.seq));
    Ok(())
}
