//! Where to listen, and who may ask.
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The section `http` of the configuration.
#[derive(Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// `127.0.0.1:8080`; nobody listens when it is absent. Another address than a loopback one needs `token`, `cert_file` and `key_file`.
    #[serde(default)]
    pub listen: Option<SocketAddr>,
    /// What a client has to send, as `Authorization: Bearer …`; write it as `${VAR}` or `${file:PATH}`.
    #[serde(default)]
    pub token: Option<String>,
    /// PEM file with the certificate and its chain, for HTTPS.
    #[serde(default)]
    pub cert_file: Option<PathBuf>,
    /// PEM file with its key.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
}

impl fmt::Debug for HttpConfig {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpConfig").field("listen", &self.listen).field("cert_file", &self.cert_file).finish_non_exhaustive()
    }
}

impl HttpConfig {
    /// What cannot be, with the key that is to blame.
    pub fn contradictions(&self) -> Vec<(&'static str, &'static str)> {
        let mut found = Vec::new();
        match (&self.cert_file, &self.key_file) {
            (Some(_), None) => found.push(("http.cert_file", "`http.key_file` is missing: HTTPS needs both")),
            (None, Some(_)) => found.push(("http.key_file", "`http.cert_file` is missing: HTTPS needs both")),
            _ => {}
        }
        if self.token.as_ref().is_some_and(String::is_empty) {
            found.push(("http.token", "is empty; leave it out, or give a secret"));
        }
        let public = self.listen.is_some_and(|address| !address.ip().is_loopback());
        if public && (self.token.is_none() || self.cert_file.is_none()) {
            found.push((
                "http.listen",
                "is not a loopback address: give `http.token`, `http.cert_file` and `http.key_file`, or listen on 127.0.0.1",
            ));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn contradictions(json: &str) -> usize {
        serde_json::from_str::<HttpConfig>(json).unwrap().contradictions().len()
    }

    #[test]
    fn an_address_that_others_can_reach_needs_a_token_and_tls() {
        let tls = r#""cert_file": "c", "key_file": "k""#;
        assert_eq!(contradictions(r#"{ "listen": "127.0.0.1:80" }"#), 0);
        assert_eq!(contradictions(r#"{ "listen": "[::1]:80" }"#), 0);
        assert_eq!(contradictions(r#"{ "listen": "0.0.0.0:80" }"#), 1);
        assert_eq!(contradictions(r#"{ "listen": "0.0.0.0:80", "token": "t" }"#), 1);
        assert_eq!(contradictions(&format!(r#"{{ "listen": "0.0.0.0:80", {tls} }}"#)), 1);
        assert_eq!(contradictions(&format!(r#"{{ "listen": "0.0.0.0:80", "token": "t", {tls} }}"#)), 0);
        assert_eq!(contradictions(r#"{ "cert_file": "c" }"#), 1);
        assert_eq!(contradictions(r#"{ "token": "" }"#), 1);
    }
}
