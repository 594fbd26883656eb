//! `/consistency`: the epoch at which each store equals the outputs.
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sightline_connectors::runtime::Agreement;
use sightline_connectors::verify::Follower;
use tokio::sync::Mutex;

use super::State;

/// A store that does not answer in this time is not told of.
const PATIENCE: Duration = Duration::from_secs(30);
/// Stores are added up no more often than this, whoever asks.
const FRESH: Duration = Duration::from_secs(1);

/// What is kept between questions.
#[derive(Default)]
pub(super) struct Kept(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// Started by the first question: it holds 32 bytes a record, which nobody has to pay who does not ask.
    follower: Option<Follower>,
    last: Option<(Instant, Consistency)>,
}

/// The answer.
#[derive(Clone, Serialize)]
struct Consistency {
    /// The highest epoch in the outputs.
    epoch: u64,
    /// Whether every store agrees; none when that cannot be told of one, and no other differs.
    agrees: Option<bool>,
    connectors: Vec<Agreement>,
}

pub(super) async fn consistency(extract::State(state): extract::State<Arc<State>>) -> Response {
    let mut kept = state.consistency.0.lock().await;
    if let Some((_, last)) = kept.last.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
        return Json(last.clone()).into_response();
    }
    if kept.follower.is_none() {
        match Follower::start(Arc::clone(&state.log), state.topics.clone(), state.connectors.types()) {
            Ok(follower) => kept.follower = Some(follower),
            Err(error) => return (StatusCode::SERVICE_UNAVAILABLE, format!("failed to follow the outputs: {error}\n")).into_response(),
        }
    }
    let Some(follower) = &kept.follower else { return StatusCode::SERVICE_UNAVAILABLE.into_response() };
    let connectors = state.connectors.agreement(follower, PATIENCE).await;
    let agrees = if connectors.iter().any(|connector| connector.agrees == Some(false)) {
        Some(false)
    } else {
        connectors.iter().all(|connector| connector.agrees == Some(true)).then_some(true)
    };
    let answer = Consistency { epoch: follower.epoch(), agrees, connectors };
    kept.last = Some((Instant::now(), answer.clone()));
    Json(answer).into_response()
}
