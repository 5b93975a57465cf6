//! Records.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use serde_json::{Value, json};

use crate::Api;
use crate::call::{known, run};
use crate::error::Failure;
use crate::query::Query;

/// `GET /v1/pubmed/{pmid}`: as `pubmed.get`.
pub async fn get(
    State(api): State<Api>,
    Path(pmid): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Failure> {
    let mut query = Query::read(query.as_deref());
    let (as_of, checkpoint_id) = (query.text("as_of"), query.text("checkpoint_id"));
    query.end()?;
    let params = json!({ "pmid": pmid, "as_of": as_of, "checkpoint_id": checkpoint_id });
    Ok(Json(run(&api, known(&api, "pubmed.get")?, params, "").await?))
}
