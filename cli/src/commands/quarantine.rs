//! `quarantine`: records that could not be archived.

use serde_json::json;
use shared::archive::{Key, codec, uri};
use shared::ingest::{quarantined, quarantined_one};

use crate::args::Quarantine;
use crate::failure::{Exit, Failure};
use crate::out;
use crate::session::{Session, archive_dir};

/// Runs the command.
pub async fn run(session: &Session, action: Quarantine, json: bool) -> Result<Exit, Failure> {
    match action {
        Quarantine::List { job, limit } => {
            let entries = quarantined(session.db(), job.map(|job| job.0), limit).await?;
            if json {
                out::json(&json!({ "quarantine": entries }))?;
                return Ok(Exit::Done);
            }
            let rows: Vec<Vec<String>> = entries
                .iter()
                .map(|entry| {
                    let pmid = entry.pmid.clone().unwrap_or_else(|| "-".to_owned());
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
            let entry = entry.ok_or_else(|| Failure::not_found(format!("there is no quarantined record {id}")))?;
            let bytes = bytes_of(session, &entry.uri).await?;
            if json {
                let mut answer = serde_json::to_value(&entry).map_err(|error| Failure::internal(error.to_string()))?;
                answer["text"] = json!(String::from_utf8_lossy(&bytes));
                out::json(&answer)?;
            } else {
                eprintln!("record {} of {}: {}", entry.n, entry.source, out::plain(&entry.reason));
                out::bytes(&bytes)?;
            }
            Ok(Exit::Done)
        }
    }
}

async fn bytes_of(session: &Session, address: &str) -> Result<Vec<u8>, Failure> {
    let root = archive_dir(&session.config, &session.data_dir);
    let path = uri::path_of(address);
    let key = path
        .as_deref()
        .and_then(|path| path.strip_prefix(root.to_str()?))
        .and_then(|key| Key::parse(key.trim_start_matches('/')))
        .ok_or_else(|| Failure::not_found(format!("{address} is not in this archive")))?;
    let object = session.engine.archive.store().get(&key, None).await?;
    codec::decode(&object.bytes, session.config.max_record_bytes.saturating_add(1 << 20))
        .map_err(|error| Failure::internal(error.to_string()))
}
