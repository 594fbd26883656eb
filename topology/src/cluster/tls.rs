//! TLS between processes: both show a certificate of the cell's own authority.
use std::io;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection};
use serde::{Deserialize, Serialize};

use super::ClusterError;
use super::channel::Channel;

/// PEM files of a process.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// Its certificate, for the name or address that the host file has for it, and its chain. It is shown to those before it and those after it.
    pub cert_file: PathBuf,
    /// The certificate's key.
    pub key_file: PathBuf,
    /// The authorities whose certificates the others must show: the cell's own, for whoever has one of them may try the secret.
    pub ca_file: PathBuf,
}

/// Both sides of TLS, ready for any number of connections.
pub(super) struct Tls {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl Tls {
    /// Reads the files.
    pub(super) fn read(files: &TlsFiles) -> Result<Self, ClusterError> {
        let TlsFiles { cert_file, key_file, ca_file } = files;
        let (mut roots, authorities) = (RootCertStore::empty(), certificates(ca_file)?);
        for authority in authorities {
            roots.add(authority).map_err(failed(ca_file))?;
        }
        let (roots, chain) = (Arc::new(roots), certificates(cert_file)?);
        let key = PrivateKeyDer::from_pem_file(key_file).map_err(failed(key_file))?;
        // All processes are of one version, so there is no older protocol to speak.
        let (provider, versions) = (Arc::new(rustls::crypto::ring::default_provider()), [&rustls::version::TLS13]);
        let client =
            ClientConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&versions).map_err(failed(cert_file))?;
        let client = client.with_root_certificates(Arc::clone(&roots)).with_client_auth_cert(chain.clone(), key.clone_key());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider)).build().map_err(failed(ca_file))?;
        let server = ServerConfig::builder_with_provider(provider).with_protocol_versions(&versions).map_err(failed(cert_file))?;
        let server = server.with_client_cert_verifier(verifier).with_single_cert(chain, key);
        Ok(Self { client: Arc::new(client.map_err(failed(cert_file))?), server: Arc::new(server.map_err(failed(cert_file))?) })
    }

    /// The side that connects, to `address` of the host file.
    pub(super) fn connect(&self, mut socket: TcpStream, address: &str) -> io::Result<Channel> {
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']']);
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let mut tls = ClientConnection::new(Arc::clone(&self.client), name).map_err(io::Error::other)?;
        tls.complete_io(&mut socket)?;
        Ok(Channel::within(socket, Connection::Client(tls)))
    }

    /// The side that accepts.
    pub(super) fn accept(&self, mut socket: TcpStream) -> io::Result<Channel> {
        let mut tls = ServerConnection::new(Arc::clone(&self.server)).map_err(io::Error::other)?;
        tls.complete_io(&mut socket)?;
        Ok(Channel::within(socket, Connection::Server(tls)))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ClusterError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    match found {
        Ok(found) if found.is_empty() => Err(failed(path)(pem::Error::NoItemsFound)),
        found => found.map_err(failed(path)),
    }
}

fn failed<E: std::fmt::Display>(path: &Path) -> impl Fn(E) -> ClusterError + '_ {
    move |error| ClusterError::Tls { path: path.to_owned(), message: error.to_string() }
}
