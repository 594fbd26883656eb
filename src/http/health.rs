//! `/healthz` and `/readyz`.
use std::sync::Arc;

use axum::Json;
use axum::extract;
use axum::http::StatusCode;
use serde_json::{Value, json};
use sightline_connectors::runtime::ConnectorState;

use super::State;

/// The process is alive.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// The process does its work: no connector has failed. One that waits for its store is at work; its lag shows.
pub(super) async fn readyz(extract::State(state): extract::State<Arc<State>>) -> (StatusCode, Json<Value>) {
    let failed: Vec<Value> = state
        .connectors
        .states()
        .into_iter()
        .filter(|(_, state, _)| *state == ConnectorState::Failed)
        .map(|(name, _, error)| json!({ "connector": name, "error": error }))
        .collect();
    let status = if failed.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "ready": failed.is_empty(), "failed": failed })))
}
