//! `quarantine`: lists, shows and retries records that could not be archived.

use std::collections::BTreeSet;

use serde_json::json;
use shared::ingest::{quarantined, quarantined_one};
use shared::sources::operator::{self, QuarantinedRecord, Retried};

use crate::args::Quarantine;
use crate::failure::{CliError, Exit};
use crate::out;
use crate::session::Session;

pub async fn run(session: &Session, action: Quarantine, json: bool) -> Result<Exit, CliError> {
    match action {
        Quarantine::List { job, limit } => {
            let entries = quarantined(session.db(), job.map(|job| job.0), limit).await?;
            if json {
                let shown: Vec<QuarantinedRecord<'_>> = entries.iter().map(QuarantinedRecord::of).collect();
                out::json(&json!({ "quarantine": shown }))?;
                return Ok(Exit::Done);
            }
            let rows: Vec<Vec<String>> = entries
                .iter()
                .map(|entry| {
                    let pmid = entry.record_id.clone().unwrap_or_else(|| "-".to_owned());
                    vec![
                        entry.id.to_string(),
                        entry.source.clone(),
                        entry.n.to_string(),
                        pmid,
                        out::plain(&entry.reason),
                    ]
                })
                .collect();
            out::table(&["id", "file", "record", "pmid", "reason"], &rows)?;
            Ok(Exit::Done)
        }
        Quarantine::Show { id } => {
            let entry = quarantined_one(session.db(), id).await?;
            let entry = entry.ok_or_else(|| CliError::not_found(format!("quarantined record {id} not found")))?;
            let bytes = operator::quarantined_bytes(&session.engine, &entry).await?;
            if json {
                let mut output = serde_json::to_value(QuarantinedRecord::of(&entry))
                    .map_err(|error| CliError::internal(error.to_string()))?;
                output["text"] = json!(String::from_utf8_lossy(&bytes));
                out::json(&output)?;
            } else {
                out::note(format_args!("record {} of {}: {}", entry.n, entry.source, out::plain(&entry.reason)));
                out::bytes(&bytes)?;
            }
            Ok(Exit::Done)
        }
        Quarantine::Retry { ids, all } => retry(session, ids, all, json).await,
    }
}

async fn retry(session: &Session, ids: Vec<i64>, all: bool, json: bool) -> Result<Exit, CliError> {
    let entries = if all {
        quarantined(session.db(), None, i64::MAX).await?
    } else {
        let mut entries = Vec::new();
        for id in ids {
            let entry = quarantined_one(session.db(), id).await?;
            entries.push(entry.ok_or_else(|| CliError::not_found(format!("quarantined record {id} not found")))?);
        }
        entries
    };
    let (mut archived, mut by_pmid) = (0, BTreeSet::new());
    let mut outputs = Vec::new();
    for entry in &entries {
        let retried = operator::retry_quarantined(&session.engine, entry).await?;
        outputs.push(json!({ "id": entry.id, "retried": retried }));
        match retried {
            Retried::Archived { .. } => archived += 1,
            Retried::StillBad { pmid, reason } => {
                if !json {
                    out::line(&format!("{}: {}", entry.id, out::plain(&reason)))?;
                }
                by_pmid.extend(pmid);
            }
        }
    }
    let still = entries.len() - archived;
    if json {
        out::json(&json!({ "archived": archived, "still_bad": still, "entries": outputs }))?;
    } else {
        out::line(&format!("{archived} of {} archived", entries.len()))?;
        if !by_pmid.is_empty() {
            out::line(&format!(
                "fetch the rest again: bio-mcp sync --pmids {}",
                by_pmid.into_iter().collect::<Vec<_>>().join(",")
            ))?;
        }
    }
    Ok(if still == 0 { Exit::Done } else { Exit::Partial })
}
