//! Real servers, as `scripts/services env` names them, each store behind a proxy.
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::broker::{Broker, var};
use crate::proxy::{Mode, Proxy, ask};

/// Where they are.
pub struct Servers {
    /// Kafka and the registry.
    pub broker: Broker,
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

/// The names of the connectors, in the order of the configuration.
pub const STORES: [&str; 3] = ["postgres", "elasticsearch", "neo4j"];

impl Servers {
    /// From the environment.
    pub fn of_environment() -> Result<Self> {
        Ok(Self {
            broker: Broker::of_environment()?,
            postgres: Store::of_environment("SIGHTLINE_POSTGRES", false)?,
            elasticsearch: Store::of_environment("SIGHTLINE_ELASTICSEARCH", true)?,
            neo4j: Store::of_environment("SIGHTLINE_NEO4J", false)?,
            neo4j_http: var("SIGHTLINE_NEO4J_HTTP")?,
        })
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

    /// Lets an index of a cell take writes, or not. Says whether it is there yet.
    pub fn block(&self, cell: &str, index: &str, blocked: bool) -> Result<bool> {
        let body = serde_json::json!({ "index.blocks.write": blocked }).to_string();
        let answer = self.http(&self.elasticsearch.address, "PUT", &format!("/{cell}-{index}/_settings"), &body)?;
        match answer.split_whitespace().nth(1) {
            Some("200") => Ok(true),
            Some("404") => Ok(false),
            _ => bail!("the index {cell}-{index} cannot be blocked: {answer}"),
        }
    }

    /// Locks the entities of a cell and then its lease, again and again; the sink takes the lease first. Whoever waits for a second is refused, which is the sink,
    /// for the other is more patient. Returns at once.
    pub fn lock_crosswise(&self, cell: &str, times: usize) -> Result<Child> {
        let round = format!(
            "BEGIN; SET LOCAL deadlock_timeout = '8s'; LOCK TABLE {cell}.entity IN EXCLUSIVE MODE; SELECT pg_sleep(0.2);\n\
             SELECT 1 FROM {cell}.sink_lease FOR UPDATE; COMMIT; SELECT pg_sleep(0.1);\n"
        );
        self.psql(&round.repeat(times)).stdout(Stdio::null()).spawn().context("failed to start psql")
    }

    /// How many deadlocks PostgreSQL has ended so far.
    pub fn deadlocks(&self) -> Result<u64> {
        let out = self.psql("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").output()?;
        String::from_utf8_lossy(&out.stdout).trim().parse().context("psql gives no number")
    }

    fn psql(&self, sql: &str) -> Command {
        let mut psql = Command::new("psql");
        psql.args(["-q", "-A", "-t", &self.postgres.url]).stderr(Stdio::null());
        // One `-c` a statement: a failed transaction must not end what comes after it.
        sql.split_inclusive(';').map(str::trim).filter(|statement| !statement.is_empty()).for_each(|statement| {
            psql.args(["-c", statement]);
        });
        psql
    }

    fn http(&self, address: &str, method: &str, path: &str, body: &str) -> Result<String> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\naccept: */*\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        Ok(String::from_utf8_lossy(&ask(address, request.as_bytes())?).into_owned())
    }
}
