//! Requests and what their statuses mean.
use std::time::Duration;

use bytes::Bytes;
use elasticsearch::auth::Credentials;
use elasticsearch::cert::{Certificate, CertificateValidation};
use elasticsearch::http::Method;
use elasticsearch::http::headers::{CONTENT_TYPE, HeaderMap, HeaderValue};
use elasticsearch::http::transport::{SingleNodeConnectionPool, Transport, TransportBuilder};
use serde::de::DeserializeOwned;

use super::config::ElasticsearchConfig;
use crate::sink::SinkError;

/// How much of a refusal is worth reporting.
const MESSAGE: usize = 500;

#[derive(Clone)]
pub(super) struct Client {
    transport: Transport,
    timeout: Duration,
}

/// A status that is neither a success nor a reason to try again, with the beginning of the answer.
#[derive(Debug)]
pub(super) struct Refusal {
    pub status: u16,
    pub message: String,
}

impl Refusal {
    /// Whatever it is, nobody expected it here.
    pub(super) fn fatal(self, what: &'static str) -> SinkError {
        SinkError::fatal(what, format!("status {}: {}", self.status, self.message))
    }
}

impl Client {
    pub(super) fn new(config: &ElasticsearchConfig) -> Result<Self, SinkError> {
        let bad = |message: String| SinkError::fatal("read the options", message);
        if !config.prefix_is_plain() {
            return Err(bad(format!("prefix {:?} is not lower-case letters, digits and `-`", config.prefix)));
        }
        // The parser's message may repeat the URL, and so a password.
        let mut url = elasticsearch::http::Url::parse(&config.url).map_err(|_| bad("url is not of the form http://host:port".into()))?;
        let written = (url.username().to_owned(), url.password().unwrap_or_default().to_owned());
        // `set_*` fails only for URLs that cannot have a user.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        let mut transport = TransportBuilder::new(SingleNodeConnectionPool::new(url)).timeout(config.timeout());
        if let Some(key) = &config.api_key {
            transport = transport.auth(Credentials::EncodedApiKey(key.clone()));
        } else if let Some(user) = config.user.clone().or(Some(written.0)).filter(|user| !user.is_empty()) {
            transport = transport.auth(Credentials::Basic(user, config.password.clone().unwrap_or(written.1)));
        }
        if let Some(path) = &config.ca_file {
            let pem = std::fs::read(path).map_err(|error| bad(format!("{}: {error}", path.display())))?;
            let certificate = Certificate::from_pem(&pem).map_err(|error| bad(format!("{}: {error}", path.display())))?;
            transport = transport.cert_validation(CertificateValidation::Full(certificate));
        }
        let transport = transport.build().map_err(|error| bad(error.to_string()))?;
        Ok(Self { transport, timeout: config.timeout() })
    }

    /// Sends a request; time-outs, 401, 403, 408, 429 and 5xx are retriable, other failures come back as [`Refusal`].
    pub(super) async fn send(
        &self,
        what: &'static str,
        method: Method,
        path: &str,
        body: Option<Bytes>,
    ) -> Result<Result<Bytes, Refusal>, SinkError> {
        let mut headers = HeaderMap::new();
        let json = if path.contains("_bulk") { "application/x-ndjson" } else { "application/json" };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(json));
        let response = self.transport.send(method, path, headers, None::<&()>, body, Some(self.timeout)).await;
        let response = response.map_err(|error| SinkError::retriable(what, with_causes(&error)))?;
        let status = response.status_code().as_u16();
        let bytes = response.bytes().await.map_err(|error| SinkError::retriable(what, with_causes(&error)))?;
        if (200..300).contains(&status) {
            return Ok(Ok(bytes));
        }
        let message = String::from_utf8_lossy(&bytes[..bytes.len().min(MESSAGE)]).into_owned();
        if may_pass(status) {
            return Err(SinkError::retriable(what, format!("status {status}: {message}")));
        }
        Ok(Err(Refusal { status, message }))
    }

    /// Sends a request and reads its answer; none on 404.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        what: &'static str,
        method: Method,
        path: &str,
        body: Option<Bytes>,
    ) -> Result<Option<T>, SinkError> {
        match self.send(what, method, path, body).await? {
            Ok(bytes) => parse(what, &bytes).map(Some),
            Err(Refusal { status: 404, .. }) => Ok(None),
            Err(refusal) => Err(refusal.fatal(what)),
        }
    }
}

/// Reads an answer. A proxy's page under status 200 passes when the proxy comes to its senses.
pub(super) fn parse<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, SinkError> {
    serde_json::from_slice(bytes).map_err(|error| SinkError::retriable(what, format!("unexpected answer: {error}")))
}

/// Statuses that may be another the next time: credentials are rotated, queues drain, nodes come back.
pub(super) fn may_pass(status: u16) -> bool {
    matches!(status, 401 | 403 | 408 | 429 | 500..=599)
}

/// The error with its causes: the outer one says only that sending failed.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
