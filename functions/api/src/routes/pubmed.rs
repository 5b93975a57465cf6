//! Routes of records.

use axum::extract::{Path, RawQuery, State};
use axum::{Extension, Json};
use serde_json::{Value, json};
use shared::core::Caller;

use crate::Api;
use crate::call::{known, run};
use crate::error::ApiError;
use crate::query::QueryParams;

/// `GET /v1/pubmed/{pmid}`: the same as the tool `pubmed.get`.
pub async fn get(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(pmid): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let mut query = QueryParams::read(query.as_deref());
    let mut params = json!({ "pmid": pmid });
    for name in ["as_of", "checkpoint_id", "include", "max_chars"] {
        params[name] = json!(query.text(name));
    }
    query.end()?;
    Ok(Json(run(&api, known(&api, "pubmed.get")?, caller, params, "").await?))
}
