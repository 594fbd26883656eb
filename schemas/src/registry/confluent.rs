//! A registry that speaks Confluent's REST API: Confluent's own, Karapace, or Apicurio under `/apis/ccompat/v7`.
use std::fmt;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::blocking::{Client, ClientBuilder};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use schema_registry_converter::blocking::schema_registry::{SrSettings, get_schema_by_id, post_schema};
use schema_registry_converter::error::SRCError;
use schema_registry_converter::schema_registry_common::{SchemaType, SuppliedSchema};
use serde::{Deserialize, Serialize};

use super::{RegistryError, SchemaRegistry};
use crate::avro::SchemaId;

/// How to reach the registry.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfluentSettings {
    /// `http(s)://host:port/path`; several separated by commas are tried in turn. Apicurio: `http://host:8080/apis/ccompat/v7`.
    pub url: String,
    /// User name of basic authentication.
    #[serde(default)]
    pub username: Option<String>,
    /// Password of basic authentication.
    #[serde(default)]
    pub password: Option<String>,
    /// PEM file with the authorities to trust instead of the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// How long a call may take, in milliseconds.
    #[serde(default = "default_timeout_ms")]
    pub timeout_ms: u64,
}

/// A registry answers in milliseconds; Apicurio over Kafka takes seconds for its first write.
fn default_timeout_ms() -> u64 {
    10_000
}

impl ConfluentSettings {
    /// The registry at `url`, everything else by default.
    pub fn new(url: &str) -> Self {
        Self { url: url.into(), username: None, password: None, ca_file: None, timeout_ms: default_timeout_ms() }
    }
}

impl fmt::Debug for ConfluentSettings {
    /// Without the password, and without one that somebody put into the URL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let urls: Vec<_> = self.url.split(',').map(|url| url.rsplit('@').next().unwrap_or(url)).collect();
        f.debug_struct("ConfluentSettings").field("hosts", &urls).field("username", &self.username).finish_non_exhaustive()
    }
}

/// The client. Calls block; each runs on a thread of its own, because the blocking client refuses to run within an async
/// task, and callers should not need to know that. There is one call a schema and process.
pub struct ConfluentRegistry {
    urls: Vec<String>,
    credentials: Option<(String, Option<String>)>,
    client: Client,
    settings: SrSettings,
}

impl ConfluentRegistry {
    /// Prepares a client; nothing is sent yet.
    ///
    /// # Errors
    /// [`RegistryError::Settings`] when the URL or the authorities can't be used.
    pub fn new(settings: &ConfluentSettings) -> Result<Self, RegistryError> {
        let wrong = |message: String| RegistryError::Settings { message };
        let urls: Vec<String> = settings.url.split(',').map(|url| url.trim().trim_end_matches('/').to_owned()).collect();
        for url in &urls {
            let parsed = url::Url::parse(url).map_err(|e| wrong(format!("registry.url {url:?} is not a URL: {e}")))?;
            if !matches!(parsed.scheme(), "http" | "https") || !parsed.has_host() {
                return Err(wrong(format!("registry.url {url:?} must begin with http:// or https://")));
            }
        }
        let credentials = settings.username.clone().map(|username| (username, settings.password.clone()));
        let timeout = Duration::from_millis(settings.timeout_ms);
        let tls = tls(settings)?;
        apart(|| {
            let builder = |tls: ClientConfig| ClientBuilder::new().timeout(timeout).tls_backend_preconfigured(tls);
            let client = builder(tls.clone()).build().map_err(|e| wrong(format!("the HTTP client of the registry: {}", chain(&e))))?;
            let mut converter = SrSettings::new_builder(urls[0].clone());
            for url in &urls[1..] {
                converter.add_url(url.clone());
            }
            if let Some((username, password)) = &credentials {
                converter.set_basic_authorization(username, password.as_deref());
            }
            let converter = converter.set_timeout(timeout).build_with(builder(tls)).map_err(|e| wrong(message(&e)))?;
            Ok(Self { urls, credentials, client, settings: converter })
        })
    }

    fn put_compatibility(&self, url: &str, subject: &str) -> Result<(), RegistryError> {
        let mut request = self.client.put(format!("{url}/config/{subject}"));
        if let Some((username, password)) = &self.credentials {
            request = request.basic_auth(username, password.as_ref());
        }
        let answer = request
            .header("Content-Type", "application/vnd.schemaregistry.v1+json")
            .body(r#"{"compatibility":"BACKWARD"}"#)
            .send()
            .map_err(|e| RegistryError::Unreachable(chain(&e)))?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            status => {
                let message = format!("compatibility BACKWARD: {status} {}", answer.text().unwrap_or_default().trim());
                Err(if passes(status) {
                    RegistryError::Unreachable(message)
                } else {
                    RegistryError::Refused { subject: subject.into(), message }
                })
            }
        }
    }
}

impl SchemaRegistry for ConfluentRegistry {
    fn register(&self, subject: &str, schema: &str) -> Result<SchemaId, RegistryError> {
        let supplied = SuppliedSchema::new(None, SchemaType::Avro, schema.into());
        apart(|| post_schema(&self.settings, subject.into(), supplied))
            .map(|registered| SchemaId(registered.id))
            .map_err(|e| failure(&e, |message| RegistryError::Refused { subject: subject.into(), message }))
    }

    fn schema(&self, id: SchemaId) -> Result<String, RegistryError> {
        apart(|| get_schema_by_id(id.0, &self.settings))
            .map(|registered| registered.schema)
            .map_err(|e| failure(&e, |_| RegistryError::Unknown { id }))
    }

    fn set_compatibility_backward(&self, subject: &str) -> Result<(), RegistryError> {
        apart(|| {
            let mut result = Err(RegistryError::Unreachable("no URL".into()));
            for url in &self.urls {
                result = self.put_compatibility(url, subject);
                if !matches!(result, Err(RegistryError::Unreachable(_))) {
                    break;
                }
            }
            result
        })
    }
}

/// Runs a call on a thread of its own.
fn apart<T: Send>(call: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| match scope.spawn(call).join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// The authorities of the system, or those of `ca_file` alone.
fn tls(settings: &ConfluentSettings) -> Result<ClientConfig, RegistryError> {
    let wrong = |message: String| RegistryError::Settings { message };
    let mut roots = RootCertStore::empty();
    if let Some(path) = &settings.ca_file {
        let failed = |e: &dyn fmt::Display| wrong(format!("registry.ca_file {}: {e}; expected certificates in PEM form", path.display()));
        for certificate in CertificateDer::pem_file_iter(path).map_err(|e| failed(&e))? {
            roots.add(certificate.map_err(|e| failed(&e))?).map_err(|e| failed(&e))?;
        }
        if roots.is_empty() {
            return Err(failed(&"no certificate in it"));
        }
    } else if settings.url.contains("https://") {
        let system = rustls_native_certs::load_native_certs().map_err(|e| wrong(format!("the system's certificate authorities: {e}")))?;
        roots.add_parsable_certificates(system);
    }
    ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .map(|builder| builder.with_root_certificates(roots).with_no_client_auth())
        .map_err(|e| wrong(format!("TLS: {e}")))
}

/// Whether waiting helps: an overloaded or failing registry, or credentials that are being rolled over.
fn passes(status: StatusCode) -> bool {
    status.is_server_error() || matches!(status.as_u16(), 401 | 403 | 408 | 429)
}

/// What a failed call of the converter means. It calls only 502 and 503 retriable and has the status in its text alone.
fn failure(error: &SRCError, refused: impl FnOnce(String) -> RegistryError) -> RegistryError {
    let status = error
        .error
        .rsplit_once("failed with status ")
        .and_then(|(_, rest)| rest.get(..3)?.parse().ok())
        .and_then(|code: u16| StatusCode::from_u16(code).ok());
    if error.retriable || status.is_some_and(passes) { RegistryError::Unreachable(message(error)) } else { refused(message(error)) }
}

fn message(error: &SRCError) -> String {
    match &error.cause {
        Some(cause) => format!("{}: {cause}", error.error),
        None => error.error.clone(),
    }
}

/// An error with its causes: reqwest's own text stops at "error sending request".
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
