//! `db`: manages the private Postgres; migrates any database.

use std::path::Path;

use serde_json::json;
use shared::config::Config;
use shared::db::{self, PreparedDatabase};

use crate::args::Db;
use crate::data_dir::DataDir;
use crate::failure::{CliError, Exit};
use crate::out;
use crate::postgres;
use crate::session::{self, Session};

pub async fn run(action: Db, data_dir: Option<&Path>, config: Config, json: bool) -> Result<Exit, CliError> {
    if matches!(action, Db::Migrate) {
        return migrate(data_dir, &config, json).await;
    }
    if config.database.is_given() {
        return Err(CliError::usage(
            "BIO_MCP_DATABASE_URL is set, so there is no private Postgres: use the tools of that server",
        ));
    }
    match action {
        Db::Migrate => unreachable!("handled above"),
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
            // psql handles Ctrl-C while it runs: it must not end this program before psql.
            tokio::spawn(async { while tokio::signal::ctrl_c().await.is_ok() {} });
            let status = tokio::task::block_in_place(|| psql.status());
            session.close().await;
            let status = status.map_err(|error| {
                CliError::usage(format!("cannot run psql ({error}): install the PostgreSQL client"))
            })?;
            return Ok(if status.success() { Exit::Done } else { Exit::Failed });
        }
    }
    Ok(Exit::Done)
}

/// Migrates as the owner of the tables, and creates the role that programs log in as, if there is one.
async fn migrate(data_dir: Option<&Path>, config: &Config, json: bool) -> Result<Exit, CliError> {
    let (postgres, owner, role) = session::database(config, || DataDir::find_or_create(data_dir, config))?;
    let owner = db::connect(owner, 2).await?;
    let prepared = db::prepare(&owner, role.as_ref()).await;
    owner.close().await;
    tokio::task::block_in_place(|| drop(postgres));
    let PreparedDatabase { from, to } = prepared?;
    let role = role.as_ref().map(db::DatabaseRole::name);
    if json {
        out::json(&json!({ "from": from, "to": to, "role": role }))?;
    } else {
        let role = role.map(|role| format!("; programs log in as {role}")).unwrap_or_default();
        out::line(&format!("schema version {to} (was {from}){role}"))?;
    }
    Ok(Exit::Done)
}
