//! Brings the schema up to date before the other functions are deployed: called by Terraform, by CloudFormation as a
//! custom resource, or by hand.
//!
//! Migrations expand first and contract in a later release, so functions of the release before go on serving
//! meanwhile; functions of this one refuse an older schema.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use shared::db::{self, DatabaseRole, DbError};
use shared::deployment::{Deployment, StartError};
use shared::observability;

/// An event: anything, or a request of CloudFormation.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// `Create`, `Update` or `Delete`.
    pub request_type: Option<String>,
    /// Where CloudFormation waits for the response: an address that is itself the permission.
    pub response_url: Option<String>,
    /// Sent back.
    pub stack_id: String,
    /// Sent back.
    pub request_id: String,
    /// Sent back.
    pub logical_resource_id: String,
}

impl Request {
    /// Reads an event, whatever it is: who calls by hand may send `null`, a text or a list.
    pub fn read(event: &Value) -> Self {
        let text = |name: &str| event.get(name).and_then(Value::as_str).map(str::to_owned);
        Self {
            request_type: text("RequestType"),
            response_url: text("ResponseURL"),
            stack_id: text("StackId").unwrap_or_default(),
            request_id: text("RequestId").unwrap_or_default(),
            logical_resource_id: text("LogicalResourceId").unwrap_or_default(),
        }
    }
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Migrated {
    /// The version of the schema before; 0 when there was none.
    pub from: i64,
    /// The version of the schema now.
    pub to: i64,
}

/// It was not done, or CloudFormation could not be notified.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// It could not begin.
    #[error("the function cannot start")]
    Start(#[from] StartError),
    /// The schema is as it was.
    #[error("the schema was not migrated")]
    Db(#[from] DbError),
    /// CloudFormation does not know, and waits until the time of the custom resource is over.
    #[error("CloudFormation could not be notified")]
    Notify(#[source] reqwest::Error),
}

/// Migrates, and notifies CloudFormation where it asked: whatever happens, also when `deployment` cannot be made,
/// because else it would wait for long. A failure it was notified of is no failure of this function: it is not to be
/// invoked again.
pub async fn handle(
    request: Request,
    deployment: impl Future<Output = Result<Deployment, StartError>>,
) -> Result<Option<Migrated>, MigrateError> {
    // A stack that goes takes no schema with it: the archive outlives its functions.
    let migrated = match request.request_type.as_deref() {
        Some("Delete") => Ok(None),
        _ => migrate(deployment).await.map(Some),
    };
    let Some(url) = &request.response_url else { return migrated };
    notify(url, &response(&request, &migrated)).await.map_err(MigrateError::Notify)?;
    Ok(migrated.unwrap_or_else(|error| {
        tracing::error!(error = observability::chain(&error), "not migrated; CloudFormation was notified");
        None
    }))
}

async fn migrate(deployment: impl Future<Output = Result<Deployment, StartError>>) -> Result<Migrated, MigrateError> {
    let Deployment { access, config, .. } = deployment.await?;
    let role = config.database.role.as_ref().map(DatabaseRole::parse).transpose().map_err(StartError::from)?;
    access.ensure_connected().await?;
    let pool = access.pool();
    db::refuse_transaction_pooler(pool).await?;
    let db::PreparedDatabase { from, to } = db::prepare(pool, role.as_ref()).await?;
    db::set_role(pool).await?;
    Ok(Migrated { from, to })
}

fn response(request: &Request, migrated: &Result<Option<Migrated>, MigrateError>) -> Value {
    let mut response = json!({
        "Status": if migrated.is_ok() { "SUCCESS" } else { "FAILED" },
        "PhysicalResourceId": "bio-mcp-schema", "StackId": request.stack_id, "RequestId": request.request_id,
        "LogicalResourceId": request.logical_resource_id,
    });
    match migrated {
        Ok(Some(migrated)) => response["Data"] = json!(migrated),
        Ok(None) => {}
        Err(error) => response["Reason"] = json!(observability::chain(error)),
    }
    response
}

/// How often it is tried to notify CloudFormation.
const MAX_NOTIFY_ATTEMPTS: u32 = 4;

async fn notify(url: &str, response: &Value) -> Result<(), reqwest::Error> {
    // Fails only when there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // It responds where it was asked to and nowhere else.
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(20))
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    let mut tried = 0;
    loop {
        let sent = client.put(url).header("content-type", "").body(response.to_string()).send().await;
        // The address is a permission: it is not shown.
        match sent.and_then(reqwest::Response::error_for_status).map_err(reqwest::Error::without_url) {
            Ok(_) => return Ok(()),
            Err(error) if tried + 1 == MAX_NOTIFY_ATTEMPTS => return Err(error),
            Err(error) => tracing::warn!(%error, "CloudFormation could not be notified: trying again"),
        }
        tokio::time::sleep(Duration::from_secs(1 << tried)).await;
        tried += 1;
    }
}
