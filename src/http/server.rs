//! The routes, the token, and the socket.
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, extract};
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use sightline_connectors::runtime::Connectors;
use sightline_log::Log;
use sightline_schemas::ContentHash;
use sightline_schemas::topic::Topics;

use super::config::HttpConfig;
use super::{consistency, health};

/// Answers under way at the end are waited for so long.
const DRAIN: Duration = Duration::from_secs(2);

/// What the answers are made from.
pub struct State {
    /// The log.
    pub log: Arc<dyn Log>,
    /// Names of topics.
    pub topics: Topics,
    /// The stores.
    pub connectors: Arc<Connectors>,
    /// Between questions.
    pub(super) consistency: consistency::Kept,
}

impl State {
    /// Nothing has been asked yet.
    pub fn new(log: Arc<dyn Log>, topics: Topics, connectors: Arc<Connectors>) -> Self {
        Self { log, topics, connectors, consistency: consistency::Kept::default() }
    }
}

/// A listening server.
pub struct Serving {
    handle: Handle<std::net::SocketAddr>,
    task: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Serving {
    /// Ends it, and lets go of what its answers are made from.
    pub async fn stop(self) {
        self.handle.graceful_shutdown(Some(DRAIN));
        let _ = self.task.await;
    }
}

/// Listens, if the configuration says where.
pub async fn serve(config: &HttpConfig, state: State) -> Result<Option<Serving>> {
    let Some(address) = config.listen else { return Ok(None) };
    let handle = Handle::new();
    let service = router(config, state).into_make_service();
    let listener = std::net::TcpListener::bind(address).with_context(|| format!("failed to listen on {address} (`http.listen`)"))?;
    listener.set_nonblocking(true)?;
    let task = match (&config.cert_file, &config.key_file) {
        (Some(cert), Some(key)) => {
            // One provider in the whole build; an error says that it is set already.
            let _ = rustls::crypto::ring::default_provider().install_default();
            let tls = RustlsConfig::from_pem_file(cert, key).await;
            let tls = tls
                .with_context(|| format!("failed to read {} and {} (`http.cert_file`, `http.key_file`)", cert.display(), key.display()))?;
            tokio::spawn(axum_server::from_tcp_rustls(listener, tls)?.handle(handle.clone()).serve(service))
        }
        _ => tokio::spawn(axum_server::from_tcp(listener)?.handle(handle.clone()).serve(service)),
    };
    tracing::info!(%address, "listening");
    Ok(Some(Serving { handle, task }))
}

fn router(config: &HttpConfig, state: State) -> Router {
    let token = config.token.as_ref().map(|token| ContentHash::of(token.as_bytes()));
    Router::new()
        .route("/consistency", get(consistency::consistency))
        .route_layer(middleware::from_fn_with_state(token, authorised))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .with_state(Arc::new(state))
}

/// Lets a request pass that has the token. Hashes are compared, so that the time it takes tells nothing of the token.
async fn authorised(extract::State(token): extract::State<Option<ContentHash>>, request: Request, next: Next) -> Response {
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    if token.is_none_or(|token| given.is_some_and(|given| ContentHash::of(given.as_bytes()) == token)) {
        return next.run(request).await;
    }
    let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
    (StatusCode::UNAUTHORIZED, challenge, "send the header `Authorization: Bearer …` with the token of `http.token`\n").into_response()
}
