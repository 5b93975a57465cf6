//! `checkpoints`: lists deleted checkpoints and restores them.

use serde_json::json;
use shared::checkpoints;
use shared::core::Caller;

use crate::args::Checkpoints;
use crate::failure::{CliError, Exit};
use crate::out;
use crate::session::Session;

pub async fn run(session: &Session, action: Checkpoints, json: bool) -> Result<Exit, CliError> {
    match action {
        Checkpoints::Deleted => deleted(session, json).await?,
        Checkpoints::Restore { checkpoint_id } => {
            if !checkpoints::restore(session.db(), &checkpoint_id).await? {
                let message =
                    format!("deleted checkpoint {checkpoint_id} not found: see `bio-mcp checkpoints deleted`");
                return Err(CliError::not_found(message));
            }
            Caller::command_line().audit("checkpoint.restore", &checkpoint_id);
            if json {
                out::json(&json!({ "checkpoint_id": checkpoint_id, "restored": true }))?;
            } else {
                out::line(&format!("checkpoint {} is restored", out::plain(&checkpoint_id)))?;
            }
        }
    }
    Ok(Exit::Done)
}

async fn deleted(session: &Session, json: bool) -> Result<(), CliError> {
    let all = checkpoints::deleted(session.db()).await?;
    if json {
        let shown = all.iter().map(|one| {
            json!({
                "checkpoint_id": one.checkpoint_id, "name": one.name, "principal": one.principal,
                "created_at": one.created_at, "deleted_at": one.deleted_at,
            })
        });
        return out::json(&json!({ "checkpoints": shown.collect::<Vec<_>>() }));
    }
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|one| {
            let deleted_at = one.deleted_at.map(|at| at.format("%Y-%m-%d %H:%M").to_string()).unwrap_or_default();
            vec![out::plain(&one.checkpoint_id), out::plain(&one.name), out::plain(&one.principal), deleted_at]
        })
        .collect();
    out::table(&["id", "name", "created by", "deleted"], &rows)
}
