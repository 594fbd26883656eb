//! The main job on real servers: what PostgreSQL, Elasticsearch and Neo4j hold is what an oracle says that shares no code with the product.
#![allow(clippy::unwrap_used, missing_docs)]
mod cell;

use cell::{Cell, corpus, paths_in, services};

const ALL: [&str; 3] = ["postgres", "elasticsearch", "neo4j"];

#[test]
fn every_entity_link_and_relation_is_in_the_three_stores_as_the_oracle_says() {
    let Some(cell) = Cell::new(&ALL) else { return };
    let corpus = corpus();
    let paths = paths_in(corpus.path());
    let service = cell.run(2);
    cell.process(&paths, &["--format", "stix"]);
    cell.await_packages(paths.len());
    cell.assert_oracle(corpus.path(), &ALL, &[]);
    let verified = cell.verify(None, &[]);
    println!("{}", String::from_utf8_lossy(&verified.stdout));
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    service.terminate();
}

#[test]
fn a_store_that_is_away_during_the_whole_ingest_catches_up_alone() {
    let Some(cell) = Cell::new(&ALL) else { return };
    let corpus = corpus();
    let paths = paths_in(corpus.path());
    services("stop", "neo4j");
    let service = cell.run(2);
    cell.process(&paths, &["--format", "stix"]);
    cell.await_packages(paths.len());
    cell.assert_oracle(corpus.path(), &ALL[..2], &[]);
    for sink in ["pg", "es"] {
        assert!(cell.verify(Some(sink), &[]).status.success(), "{sink} waits for the graph");
    }
    services("start", "neo4j");
    cell.assert_oracle(corpus.path(), &ALL, &[]);
    let verified = cell.verify(None, &[]);
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    service.terminate();
}
