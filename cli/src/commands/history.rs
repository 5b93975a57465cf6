//! `history`: every accepted change of a record.

use serde_json::json;
use shared::core::Pmid;
use shared::records;

use crate::failure::{CliError, Exit};
use crate::out;
use crate::session::Session;

pub async fn run(session: &Session, pmid: Pmid, json: bool) -> Result<Exit, CliError> {
    let events = records::events(session.db(), pmid).await?;
    if json {
        out::json(&json!({ "pmid": pmid, "events": events }))?;
    }
    if events.is_empty() {
        return Err(CliError::not_found(format!("PMID {pmid} is not in the archive")));
    }
    if !json {
        let rows: Vec<Vec<String>> = events
            .iter()
            .map(|event| {
                vec![
                    event.seq.to_string(),
                    event.accepted_at.format("%Y-%m-%d %H:%M:%S").to_string(),
                    event.outcome.clone(),
                    event.content_hash.as_deref().map_or("-", |hash| &hash[..16]).to_owned(),
                    event.s3_uri.clone(),
                ]
            })
            .collect();
        out::table(&["seq", "accepted", "outcome", "hash", "version"], &rows)?;
    }
    Ok(Exit::Done)
}
