//! Migrates the schema before the other functions are deployed: called by Terraform, by CloudFormation as a custom
//! resource, or manually.
//!
//! Migrations expand first and contract in a later release, so functions of the previous release continue to serve
//! meanwhile; functions of this one refuse an older schema.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use shared::db::{self, DatabaseRole, DbError};
use shared::deployment::{Deployment, StartError};
use shared::observability;

/// An event: a request of CloudFormation, or anything else.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// `Create`, `Update` or `Delete`.
    pub request_type: Option<String>,
    /// Where CloudFormation waits for the response: a presigned URL.
    pub response_url: Option<String>,
    /// Repeated in the response.
    pub stack_id: String,
    /// Repeated in the response.
    pub request_id: String,
    /// Repeated in the response.
    pub logical_resource_id: String,
}

impl Request {
    /// Parses an event of any form: a manual call may send `null`, a string or a list.
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

/// The result of a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Migrated {
    /// The version of the schema before; 0 if there was none.
    pub from: i64,
    /// The version of the schema now.
    pub to: i64,
}

/// Why the migration failed, or CloudFormation could not be notified.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The function could not start.
    #[error("the function cannot start")]
    Start(#[from] StartError),
    /// The schema is unchanged.
    #[error("the schema was not migrated")]
    Db(#[from] DbError),
    /// CloudFormation does not know the result, and waits until the custom resource times out.
    #[error("CloudFormation could not be notified")]
    Notify(#[source] reqwest::Error),
}

/// Migrates, and notifies CloudFormation if it sent the request: also if `deployment` fails, because otherwise it would
/// wait until its timeout. A failure that CloudFormation was notified of is not a failure of this invocation: it must
/// not be retried.
pub async fn handle(
    request: Request,
    deployment: impl Future<Output = Result<Deployment, StartError>>,
) -> Result<Option<Migrated>, MigrateError> {
    // Deleting a stack does not delete the schema: the archive outlives its functions.
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

const MAX_NOTIFY_ATTEMPTS: u32 = 4;

async fn notify(url: &str, response: &Value) -> Result<(), reqwest::Error> {
    // Fails only if a provider is already installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // No redirects: the response is sent only to the requested URL.
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(20))
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    let mut tried = 0;
    loop {
        let sent = client.put(url).header("content-type", "").body(response.to_string()).send().await;
        // The URL grants access: it is not logged.
        match sent.and_then(reqwest::Response::error_for_status).map_err(reqwest::Error::without_url) {
            Ok(_) => return Ok(()),
            Err(error) if tried + 1 == MAX_NOTIFY_ATTEMPTS => return Err(error),
            Err(error) => tracing::warn!(%error, "CloudFormation could not be notified: trying again"),
        }
        tokio::time::sleep(Duration::from_secs(1 << tried)).await;
        tried += 1;
    }
}
