//! A fresh place in each store.
use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sightline_connectors::runtime::ConnectorConfig;
use sightline_connectors::runtime::registry::build;
use sightline_connectors::{SinkConnector, Stored, Wrong};
use sightline_schemas::ContentHash;
use sightline_schemas::avro::{OutputRecord, RecordType};
use tokio::sync::OwnedMutexGuard;

/// A place that no other test uses.
pub struct Store {
    pub config: ConnectorConfig,
    _alone: Option<OwnedMutexGuard<()>>,
    _directory: Option<tempfile::TempDir>,
}

impl Store {
    fn new(class: &str, options: Value) -> Self {
        let Value::Object(options) = options else { panic!("options are an object") };
        Self { config: ConnectorConfig::new("conformance", class, options), _alone: None, _directory: None }
    }

    /// Another sink on the same place, for the same connector.
    pub fn sink(&self) -> Box<dyn SinkConnector> {
        build(&self.config).unwrap()
    }

    /// Tells the server, in its own language and as a person would: SQL, with the connector's schema as the place, or Cypher. (Not Elasticsearch.)
    pub async fn by_hand(&self, statement: &str) {
        let option = |name: &str| self.config.options[name].as_str().unwrap().to_owned();
        match self.config.class.as_str() {
            #[cfg(feature = "postgres")]
            "postgres" => {
                let (client, connection) = tokio_postgres::connect(&option("url"), tokio_postgres::NoTls).await.unwrap();
                tokio::spawn(connection);
                client.batch_execute(&format!("SET search_path TO {}; {statement}", option("schema"))).await.unwrap();
            }
            #[cfg(feature = "neo4j")]
            "neo4j" => {
                let graph = neo4rs::Graph::new(option("url"), option("user"), option("password")).await.unwrap();
                graph.run(neo4rs::query(statement)).await.unwrap();
            }
            _ => rusqlite::Connection::open(option("path")).unwrap().execute_batch(statement).unwrap(),
        }
    }

    /// Removes all that the connector wrote, as a person would who errs: its positions stay.
    pub async fn lose_everything(&self) {
        match self.config.class.as_str() {
            "elasticsearch" => {
                use elasticsearch::http::headers::{CONTENT_TYPE, HeaderMap, HeaderValue};
                use elasticsearch::http::{Method, transport::Transport};
                let option = |name: &str| self.config.options[name].as_str().unwrap().to_owned();
                let transport = Transport::single_node(&option("url")).unwrap();
                let ask = async |path: &str, body: String| {
                    let json = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"))]);
                    let done = transport.send(Method::Post, path, json, None::<&()>, Some(body), None).await.unwrap();
                    assert!(done.status_code().is_success(), "{}", done.status_code());
                    done.json::<Value>().await.unwrap()
                };
                let indices = format!("/{0}-entities,{0}-observables,{0}-relations,{0}-sightings,{0}-events", option("prefix"));
                let found = ask(&format!("{indices}/_search"), json!({ "size": 10_000, "_source": false }).to_string()).await;
                let delete = |hit: &Value| format!("{}\n", json!({ "delete": { "_index": hit["_index"], "_id": hit["_id"] } }));
                let body: String = found["hits"]["hits"].as_array().unwrap().iter().map(delete).collect();
                let done = ask("/_bulk?refresh=true", body).await;
                assert_eq!(done["errors"], false, "{done}");
            }
            "neo4j" => self.by_hand("MATCH (n:IntelEntity|Observable) DETACH DELETE n").await,
            _ => {
                for table in sightline_connectors::relational::TABLES {
                    self.by_hand(&format!("DELETE FROM {}", table.name)).await;
                }
            }
        }
    }

    /// Another sink on the same place, opened.
    pub async fn opened(&self) -> Box<dyn SinkConnector> {
        let mut sink = self.sink();
        sink.open().await.unwrap();
        sink
    }
}

/// A server takes a thousand shards: whoever makes indices removes them.
#[cfg(feature = "elasticsearch")]
impl Drop for Store {
    fn drop(&mut self) {
        if self.config.class != "elasticsearch" {
            return;
        }
        let option = |name: &str| self.config.options[name].as_str().unwrap().to_owned();
        let (url, prefix) = (option("url"), option("prefix"));
        // A test's own runtime cannot wait within a destructor.
        let done = std::thread::spawn(move || tokio::runtime::Runtime::new().unwrap().block_on(remove_indices(&url, &prefix))).join();
        assert!(done.is_ok() || std::thread::panicking(), "the indices of a test could not be removed");
    }
}

#[cfg(feature = "elasticsearch")]
async fn remove_indices(url: &str, prefix: &str) {
    use elasticsearch::http::headers::HeaderMap;
    use elasticsearch::http::{Method, transport::Transport};
    let transport = Transport::single_node(url).unwrap();
    let ask = async |method: Method, path: &str| {
        let answer = transport.send(method, path, HeaderMap::new(), None::<&()>, None::<&str>, None).await.unwrap();
        (answer.status_code(), answer.text().await.unwrap())
    };
    // A distribution without the module of data streams makes them, and cannot remove them.
    ask(Method::Delete, &format!("/_data_stream/{prefix}-*")).await;
    let (_, indices) = ask(Method::Get, &format!("/_cat/indices/{prefix}-*?h=index&format=json&expand_wildcards=open,closed")).await;
    let indices: Vec<BTreeMap<String, String>> = serde_json::from_str(&indices).unwrap();
    for index in indices.iter().map(|index| &index["index"]).filter(|index| !index.starts_with('.')) {
        let (status, text) = ask(Method::Delete, &format!("/{index}")).await;
        assert!(status.is_success(), "{status} {text}");
    }
}

/// What a sink holds of a type.
pub async fn held(sink: &mut dyn SinkConnector, ty: RecordType) -> BTreeMap<String, ContentHash> {
    let mut held = BTreeMap::new();
    sink.scan(ty, &mut |Stored { key, digest, .. }| assert!(held.insert(key, digest).is_none(), "a key came twice")).await.unwrap();
    held
}

/// What a sink holds under a key, as a repair would name it.
pub async fn wrong(sink: &mut dyn SinkConnector, ty: RecordType, key: &str) -> Wrong {
    let mut found = None;
    sink.scan(ty, &mut |stored| found = if stored.key == key { Some(stored) } else { found.take() }).await.unwrap();
    Wrong { ty, stored: found.unwrap() }
}

/// What a sink should hold of a type.
pub fn expected(sink: &dyn SinkConnector, records: &[OutputRecord]) -> BTreeMap<String, ContentHash> {
    records.iter().map(|record| (format!("{}:{}", record.tenant(), record.id()), sink.digest(record))).collect()
}

fn server(variable: &str, claim: &str) -> Option<String> {
    let server = std::env::var(variable).ok().filter(|url| !url.is_empty());
    if server.is_none() {
        println!("skipped: {claim} needs a server; set {variable} (see scripts/services env)");
    }
    server
}

fn unique(claim: &str) -> String {
    let digest = ContentHash::of_parts([claim.as_bytes(), &std::process::id().to_be_bytes()]).to_string();
    format!("t_{}", &digest[..16])
}

pub async fn sqlite(_: &str) -> Option<Store> {
    let directory = tempfile::tempdir().unwrap();
    let mut store = Store::new("sqlite", json!({ "path": directory.path().join("store.db"), "durable": false }));
    store._directory = Some(directory);
    Some(store)
}

#[cfg(feature = "postgres")]
pub async fn postgres(claim: &str) -> Option<Store> {
    let url = server("SIGHTLINE_POSTGRES", claim)?;
    let mut options = Map::new();
    options.insert("url".into(), url.into());
    options.insert("schema".into(), unique(claim).into());
    Some(Store::new("postgres", options.into()))
}

#[cfg(feature = "elasticsearch")]
pub async fn elasticsearch(claim: &str) -> Option<Store> {
    let url = server("SIGHTLINE_ELASTICSEARCH", claim)?;
    Some(Store::new("elasticsearch", json!({ "url": url, "prefix": unique(claim).replace('_', "-"), "refresh": "true" })))
}

#[cfg(feature = "neo4j")]
pub async fn neo4j(claim: &str) -> Option<Store> {
    static ALONE: std::sync::OnceLock<std::sync::Arc<tokio::sync::Mutex<()>>> = std::sync::OnceLock::new();
    let url = server("SIGHTLINE_NEO4J", claim)?;
    let alone = std::sync::Arc::clone(ALONE.get_or_init(Default::default)).lock_owned().await;
    let (user, password) = (std::env::var("SIGHTLINE_NEO4J_USER"), std::env::var("SIGHTLINE_NEO4J_PASSWORD"));
    let (user, password) = (user.unwrap_or_else(|_| "neo4j".into()), password.unwrap_or_default());
    let graph = neo4rs::Graph::new(&url, &user, &password).await.unwrap();
    graph.run(neo4rs::query("MATCH (n) CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 10000 ROWS")).await.unwrap();
    let mut store = Store::new("neo4j", json!({ "url": url, "user": user, "password": password }));
    store._alone = Some(alone);
    Some(store)
}
