//! Places in the stores that no other run uses.
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use serde_json::{Value, json};

use crate::rival;

/// A name that no other run uses, in what every store allows.
pub fn names(of: &str) -> String {
    format!("{}{of}", names_begin())
}

fn names_begin() -> String {
    format!("bench{}x", std::process::id())
}

/// Removes what this run wrote.
pub fn clean(class: &str) {
    rival::python("clean.py", &[class, &variable(variable_of(class)), &names_begin()]);
}

/// Which variable names the server of a class.
pub fn variable_of(class: &str) -> &'static str {
    match class {
        "postgres" => "SIGHTLINE_POSTGRES",
        "elasticsearch" => "SIGHTLINE_ELASTICSEARCH",
        "neo4j" => "SIGHTLINE_NEO4J",
        other => panic!("{other} is none of postgres, elasticsearch, neo4j"),
    }
}

/// A variable of `scripts/services env`.
pub fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set; eval \"$(scripts/services env)\""))
}

/// A store of its own for each round, so that every round begins with nothing.
pub fn options(class: &str, name: &str) -> Value {
    let url = variable(variable_of(class));
    match class {
        "postgres" => json!({ "url": url, "schema": name }),
        "elasticsearch" => json!({ "url": url, "prefix": name, "replicas": 0 }),
        _ => json!({ "url": url, "password": std::env::var("SIGHTLINE_NEO4J_PASSWORD").ok() }),
    }
}

/// Removes topics of Kafka.
pub fn delete_topics(bootstrap: &str, names: Vec<String>) {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new().set("bootstrap.servers", bootstrap).create().unwrap();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for outcome in runtime.block_on(admin.delete_topics(&names, &AdminOptions::new())).unwrap() {
        outcome.unwrap();
    }
}
