//! The HTTP port with a certificate and a token: who has both is served, who lacks either is not, and a certificate that cannot be used is told at the start.
#![allow(clippy::unwrap_used, missing_docs)]
mod cell;

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use cell::certificate::{authority, write_certificate};
use cell::{Beside, eventually};
use rcgen::KeyPair;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

const TOKEN: &str = "open sesame";

/// A cell without stores that listens with TLS.
fn cell(port: u16) -> Beside {
    Beside::with(|folder| {
        let path = |name: &str| folder.join(name).display().to_string();
        format!(
            "log: {}\nstate_dir: {}\nhttp: {{ listen: \"127.0.0.1:{port}\", token: {TOKEN}, cert_file: {}, key_file: {} }}\n",
            path("log"),
            path("state"),
            path("cert.pem"),
            path("key.pem")
        )
    })
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn request(path: &str, token: Option<&str>) -> String {
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{token}Connection: close\r\n\r\n")
}

/// The status that a client gets who trusts this authority.
fn get(port: u16, trusted: &CertificateDer<'static>, path: &str, token: Option<&str>) -> io::Result<u16> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let connection = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let mut stream = StreamOwned::new(connection, TcpStream::connect(("127.0.0.1", port))?);
    stream.write_all(request(path, token).as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.split_whitespace().nth(1).and_then(|status| status.parse().ok()).unwrap_or(0))
}

#[test]
fn whoever_trusts_the_certificate_and_has_the_token_is_served_and_nobody_else() {
    let (authority, port) = (authority("cell"), free_port());
    let ca = authority.der();
    let cell = cell(port);
    write_certificate(cell.folder(), &authority, "localhost");
    let service = cell.run(1);
    let served = eventually(|| get(port, ca, "/consistency", Some(TOKEN)).map_err(|error| error.to_string()));
    assert_eq!(served, 200);
    assert_eq!(get(port, ca, "/consistency", None).unwrap(), 401);
    assert_eq!(get(port, ca, "/consistency", Some("guess")).unwrap(), 401);
    assert_eq!(get(port, ca, "/healthz", None).unwrap(), 200, "whoever watches processes needs no token");

    let stranger = cell::certificate::authority("stranger");
    let distrusted = get(port, stranger.der(), "/healthz", None).unwrap_err();
    assert!(distrusted.to_string().contains("invalid peer certificate"), "{distrusted}");

    let mut plain = TcpStream::connect(("127.0.0.1", port)).unwrap();
    plain.write_all(request("/healthz", Some(TOKEN)).as_bytes()).unwrap();
    let mut answer = Vec::new();
    // Closed or reset: both refuse.
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/"), "plain HTTP is answered: {}", String::from_utf8_lossy(&answer));
    service.terminate();
}

#[test]
fn a_certificate_that_cannot_be_used_is_told_at_the_start() {
    let (authority, cell) = (authority("cell"), cell(free_port()));
    let refused = || {
        let done = cell.command("run").output().unwrap();
        let message = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(1), "{message}");
        assert!(message.contains("cert.pem") && message.contains("`http.cert_file`"), "it does not say which file: {message}");
    };
    // No file; a file of something else; the key of another certificate.
    refused();
    write_certificate(cell.folder(), &authority, "localhost");
    std::fs::write(cell.folder().join("cert.pem"), "no certificate").unwrap();
    refused();
    write_certificate(cell.folder(), &authority, "localhost");
    std::fs::write(cell.folder().join("key.pem"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    refused();
}
