//! A connection and what is prepared on it.
use std::collections::HashMap;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sightline_schemas::avro::RecordType;
use tokio_postgres::{Client, NoTls, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{PostgresConfig, Tls, failed, schema};
use crate::relational::Table;
use crate::sink::SinkError;

pub(super) struct Session {
    pub client: Client,
    pub prepared: HashMap<RecordType, Prepared>,
}

/// The statements of one table.
#[derive(Clone)]
pub(super) struct Prepared {
    pub copy: Statement,
    pub upsert: Statement,
    pub delete: Statement,
}

impl Session {
    pub(super) fn is_alive(&self) -> bool {
        !self.client.is_closed()
    }

    /// The statements of a table, prepared, and its staging table, on first use: an hour without events costs nothing for events.
    pub(super) async fn prepare(&mut self, schema: &str, table: &'static Table) -> Result<Prepared, SinkError> {
        if let Some(prepared) = self.prepared.get(&table.ty) {
            return Ok(prepared.clone());
        }
        let failed = failed("prepare a statement");
        self.client.batch_execute(&schema::staging(schema, table)).await.map_err(failed)?;
        let prepared = Prepared {
            copy: self.client.prepare(&schema::copy(table)).await.map_err(failed)?,
            upsert: self.client.prepare(&schema::upsert(schema, table)).await.map_err(failed)?,
            delete: self.client.prepare(&schema::delete(schema, table)).await.map_err(failed)?,
        };
        self.prepared.insert(table.ty, prepared.clone());
        Ok(prepared)
    }
}

pub(super) async fn connect(config: &PostgresConfig, connector: &str) -> Result<Session, SinkError> {
    let bad = |message: String| SinkError::fatal("read the options", message);
    if !config.schema_is_plain() {
        return Err(bad(format!("schema {:?} is not lower-case letters, digits and `_`", config.schema)));
    }
    // The parser's message may repeat the URL, and so the password.
    let mut options: tokio_postgres::Config =
        config.url.parse().map_err(|_| bad("url is not of the form postgresql://user@host:port/database".into()))?;
    if let Some(password) = &config.password {
        options.password(password);
    }
    options.application_name(format!("sightline sink {connector}")).connect_timeout(config.timeout());
    let client = match config.tls {
        Tls::Off => {
            let (client, connection) = options.connect(NoTls).await.map_err(failed("connect"))?;
            drive(connection);
            client
        }
        Tls::Verify => {
            options.ssl_mode(tokio_postgres::config::SslMode::Require);
            let (client, connection) = options.connect(tls(config)?).await.map_err(failed("connect"))?;
            drive(connection);
            client
        }
    };
    Ok(Session { client, prepared: HashMap::new() })
}

/// Runs the connection beside its client, to its end. Its failure also fails the client's calls, so it is reported there.
fn drive(connection: impl Future<Output = Result<(), tokio_postgres::Error>> + Send + 'static) {
    tokio::spawn(async move {
        let _ = connection.await;
    });
}

fn tls(config: &PostgresConfig) -> Result<MakeRustlsConnect, SinkError> {
    let failed = |message: String| SinkError::fatal("set up TLS", message);
    let mut roots = rustls::RootCertStore::empty();
    match &config.ca_file {
        Some(path) => {
            let certificates = CertificateDer::pem_file_iter(path).map_err(|error| failed(format!("{}: {error}", path.display())))?;
            for certificate in certificates {
                let certificate = certificate.map_err(|error| failed(format!("{}: {error}", path.display())))?;
                roots.add(certificate).map_err(|error| failed(format!("{}: {error}", path.display())))?;
            }
        }
        None => {
            let certificates = rustls_native_certs::load_native_certs().map_err(|error| failed(error.to_string()))?;
            roots.add_parsable_certificates(certificates);
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(client))
}
