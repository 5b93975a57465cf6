//! `mcp`: serves tools to an MCP client that starts this program, on standard input and output.

use api::mcp::{McpServer, stdio};

use super::{interrupted, serve};
use crate::failure::{CliError, Exit};
use crate::session::Session;
use crate::workers::Workers;

/// Serves until the client closes the input. Jobs that are still running then resume in the next program with workers.
pub async fn run(session: &Session) -> Result<Exit, CliError> {
    let _keeper = session.keep_database_alive();
    let mut workers = Workers::start(session)?;
    let ended = tokio::select! {
        spoken = stdio::serve(McpServer::new(serve::api(session))) => spoken.map_err(CliError::from),
        failed = workers.failed() => failed,
        () = interrupted() => Ok(()),
    };
    workers.stop().await;
    ended.map(|()| Exit::Done)
}
