//! Real servers, as `scripts/services env` names them, each store behind a proxy.
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::proxy::{Mode, Proxy, ask};

/// Where they are.
pub struct Servers {
    /// Bootstrap address.
    pub kafka: String,
    registry: String,
    postgres: Store,
    elasticsearch: Store,
    neo4j: Store,
    /// Neo4j over HTTP: to empty it, for it has one graph for all cells.
    neo4j_http: String,
}

/// A store and the proxy before it.
struct Store {
    url: String,
    address: String,
    proxy: Proxy,
}

impl Store {
    fn of_environment(name: &str, http: bool) -> Result<Self> {
        let url = var(name)?;
        let rest = url.split_once("://").map_or(&*url, |(_, rest)| rest);
        let authority = rest.split('/').next().unwrap_or_default();
        let address = authority.rsplit('@').next().unwrap_or_default().to_owned();
        let proxy = Proxy::start(&address, http)?;
        Ok(Self { url, address, proxy })
    }

    /// The same URL, by way of the proxy.
    fn url(&self) -> String {
        self.url.replace(&self.address, &self.proxy.address.to_string())
    }
}

fn var(name: &str) -> Result<String> {
    std::env::var(name).with_context(|| format!("{name} is not set; say: scripts/services start; eval \"$(scripts/services env)\""))
}

/// The names of the connectors, in the order of the configuration.
pub const STORES: [&str; 3] = ["postgres", "elasticsearch", "neo4j"];

impl Servers {
    /// From the environment.
    pub fn of_environment() -> Result<Self> {
        let base: u32 = std::env::var("SIGHTLINE_PORT_BASE").ok().and_then(|base| base.parse().ok()).unwrap_or(39_000);
        Ok(Self {
            kafka: var("SIGHTLINE_KAFKA")?,
            registry: var("SIGHTLINE_REGISTRY")?,
            postgres: Store::of_environment("SIGHTLINE_POSTGRES", false)?,
            elasticsearch: Store::of_environment("SIGHTLINE_ELASTICSEARCH", true)?,
            neo4j: Store::of_environment("SIGHTLINE_NEO4J", false)?,
            neo4j_http: format!("127.0.0.1:{}", base + 74),
        })
    }

    /// The part of a configuration that says where the log is.
    pub fn log(&self) -> String {
        format!("kafka: {{ bootstrap: \"{}\" }}\nregistry: {{ url: \"{}\" }}\n", self.kafka, self.registry)
    }

    /// Connectors: name, class and options.
    pub fn connectors(&self, cell: &str) -> Vec<(&'static str, String)> {
        let (postgres, elasticsearch, neo4j) = (self.postgres.url(), self.elasticsearch.url(), self.neo4j.url());
        vec![
            ("postgres", format!("class: postgres, options: {{ url: \"{postgres}\", schema: {cell}, timeout_s: 5 }}")),
            (
                "elasticsearch",
                format!("class: elasticsearch, options: {{ url: \"{elasticsearch}\", prefix: {cell}, replicas: 0, timeout_s: 5 }}"),
            ),
            ("neo4j", format!("class: neo4j, options: {{ url: \"{neo4j}\", timeout_s: 10 }}")),
        ]
    }

    /// What passes to a store.
    pub fn set(&self, store: &str, mode: Mode) {
        match store {
            "postgres" => self.postgres.proxy.set(mode),
            "elasticsearch" => self.elasticsearch.proxy.set(mode),
            _ => self.neo4j.proxy.set(mode),
        }
    }

    /// All stores are reached again.
    pub fn pass(&self) {
        STORES.into_iter().for_each(|store| self.set(store, Mode::Pass));
    }

    /// Empties the graph.
    pub fn empty_graph(&self) -> Result<()> {
        let body = serde_json::json!({ "statements": [{ "statement": "MATCH (n) DETACH DELETE n" }] }).to_string();
        let answer = self.http(&self.neo4j_http, "POST", "/db/neo4j/tx/commit", &body)?;
        if answer.contains("\"errors\":[]") { Ok(()) } else { bail!("the graph cannot be emptied: {answer}") }
    }

    /// Removes the indices of a cell: a node takes only so many.
    pub fn remove_indices(&self, cell: &str) -> Result<()> {
        self.http(&self.elasticsearch.address, "DELETE", &format!("/_data_stream/{cell}-*"), "")?;
        let listed = self.http(&self.elasticsearch.address, "GET", &format!("/_cat/indices/{cell}-*?h=index&expand_wildcards=all"), "")?;
        for index in listed.lines().filter(|line| line.starts_with(&format!("{cell}-"))) {
            self.http(&self.elasticsearch.address, "DELETE", &format!("/{}", index.trim()), "")?;
        }
        Ok(())
    }

    fn http(&self, address: &str, method: &str, path: &str, body: &str) -> Result<String> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\naccept: */*\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        Ok(String::from_utf8_lossy(&ask(address, request.as_bytes())?).into_owned())
    }

    /// The broker is killed, and started again; returns when it takes connections.
    pub fn restart_broker(&self) -> Result<()> {
        self.signal_broker(Signal::KILL)?;
        // Until somebody has taken note of its end it counts as running.
        for _ in 0..100 {
            if services(&["pid", "kafka"]).is_err() {
                return services(&["start", "kafka"]).map(drop);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        bail!("the broker does not end")
    }

    /// The broker takes and gives no byte for so long.
    pub fn freeze_broker(&self, time: Duration) -> Result<()> {
        self.signal_broker(Signal::STOP)?;
        std::thread::sleep(time);
        self.signal_broker(Signal::CONT)
    }

    fn signal_broker(&self, signal: Signal) -> Result<()> {
        let pid = services(&["pid", "kafka"])?;
        let pid = Pid::from_raw(pid.trim().parse().context("scripts/services gives no pid")?).context("no broker")?;
        Ok(kill_process(pid, signal)?)
    }
}

fn services(arguments: &[&str]) -> Result<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/services");
    // Files, not pipes: the servers keep what they inherit open.
    let out = tempfile::NamedTempFile::new()?;
    let status = Command::new(script).args(arguments).stdout(out.reopen()?).stderr(std::process::Stdio::null()).status()?;
    if !status.success() {
        bail!("scripts/services {} failed", arguments.join(" "));
    }
    Ok(std::fs::read_to_string(out.path())?)
}
