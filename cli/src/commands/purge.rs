//! `purge`: removes a record.

use serde_json::json;
use shared::core::Caller;
use shared::core::access::LOCAL;
use shared::sources::operator;

use crate::args::Purge;
use crate::failure::{CliError, Exit};
use crate::out;
use crate::session::Session;

/// Maximum length of a reason, in characters.
const MAX_REASON: usize = 500;

pub async fn run(session: &Session, args: &Purge, json: bool) -> Result<Exit, CliError> {
    let reason = args.reason.trim();
    if reason.is_empty() || reason.chars().count() > MAX_REASON || reason.chars().any(char::is_control) {
        return Err(CliError::usage(format!("--reason must be 1 to {MAX_REASON} characters on one line")));
    }
    let purged = operator::purge(&session.engine, args.pmid, reason, LOCAL, args.versions).await?;
    let purged = purged.ok_or_else(|| CliError::not_found(format!("PMID {} is not in the archive", args.pmid)))?;
    Caller::command_line().audit("record.purge", &args.pmid.to_string());
    if json {
        out::json(&json!({ "purged": purged, "reason": reason }))?;
        return Ok(Exit::Done);
    }
    out::line(&format!("PMID {} is purged; its tombstone is {}", purged.pmid, purged.s3_uri))?;
    out::line(&match (args.versions, purged.versions_deleted) {
        (true, n) => format!("{} permanently deleted", out::counted(n, "stored version")),
        (false, _) => "its earlier versions remain readable (`history`); --versions deletes them".to_owned(),
    })?;
    out::line("a sync that still finds it at NCBI archives it again")?;
    Ok(Exit::Done)
}
