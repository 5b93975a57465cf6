//! `db`: the private Postgres.

use std::path::Path;

use shared::words::config::Config;

use crate::args::Db;
use crate::data_dir::DataDir;
use crate::failure::{Exit, Failure};
use crate::out;
use crate::postgres;
use crate::session::Session;

/// Runs the command.
pub async fn run(action: Db, data_dir: Option<&Path>, config: Config) -> Result<Exit, Failure> {
    if config.database.is_given() {
        return Err(Failure::usage(
            "BIO_MCP_DATABASE_URL is set: there is no private Postgres, use that server's own tools",
        ));
    }
    match action {
        Db::Start => {
            let data_dir = DataDir::find_or_create(data_dir, &config)?;
            let session = Session::open(config, data_dir).await?;
            if let Some(postgres) = session.postgres() {
                postgres.keep()?;
            }
            out::line(&session.database_url())?;
            session.close().await;
        }
        Db::Stop => {
            let dir = DataDir::find(data_dir, &config)?;
            let stopped = tokio::task::block_in_place(|| postgres::stop(&dir.postgres(), &config))?;
            out::line(if stopped { "stopped" } else { "it was not running" })?;
        }
        Db::Url => {
            let data_dir = DataDir::find(data_dir, &config)?;
            let session = Session::open(config, data_dir).await?;
            out::line(&session.database_url())?;
            session.close().await;
        }
        Db::Psql => {
            let data_dir = DataDir::find(data_dir, &config)?;
            let session = Session::open(config, data_dir).await?;
            let mut psql = std::process::Command::new("psql");
            if let Some(postgres) = session.postgres() {
                let own = postgres.binaries().program("psql");
                if own.exists() {
                    psql = std::process::Command::new(own);
                }
                psql.arg("-h").arg(postgres.socket_dir()).args(["-U", "postgres", "-d", postgres::DATABASE]);
            }
            // Ctrl-C belongs to psql while it runs: it must not end this program before psql.
            tokio::spawn(async { while tokio::signal::ctrl_c().await.is_ok() {} });
            let status = tokio::task::block_in_place(|| psql.status());
            session.close().await;
            let status = status
                .map_err(|error| Failure::usage(format!("cannot run psql ({error}): install the PostgreSQL client")))?;
            return Ok(if status.success() { Exit::Done } else { Exit::Failed });
        }
    }
    Ok(Exit::Done)
}
