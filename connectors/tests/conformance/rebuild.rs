//! A rebuild beside the running connector: no search fails or sees less than before, nothing is lost, and it can be cut off anywhere.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use elasticsearch::http::headers::HeaderMap;
use elasticsearch::http::{Method, transport::Transport};
use serde_json::Value;
use sightline_connectors::replay::{self, ReplayError, Summary};
use sightline_connectors::runtime::ConnectorConfig;
use sightline_connectors::runtime::registry::build;
use sightline_schemas::avro::RecordType;

use super::pipeline::{PATIENCE, Source, entities, quick, stop};
use super::records::*;
use super::replay::source_of;
use super::stores::{self, Store};

const WAIT: Duration = Duration::from_secs(20);

async fn ask(store: &Store, method: Method, path: &str) -> (u16, Value) {
    let transport = Transport::single_node(store.config.options["url"].as_str().unwrap()).unwrap();
    let answer = transport.send(method, path, HeaderMap::new(), None::<&()>, None::<String>, None).await.unwrap();
    (answer.status_code().as_u16(), answer.json().await.unwrap())
}

/// What there is of an alias's indices: their names, sorted.
async fn indices(store: &Store) -> Vec<String> {
    let prefix = store.config.options["prefix"].as_str().unwrap();
    let (_, found) = ask(store, Method::Get, &format!("/{prefix}-entities*?expand_wildcards=all&filter_path=*.settings.index.uuid")).await;
    let mut names: Vec<String> = found.as_object().unwrap().keys().map(|name| name.replace(prefix, "soc")).collect();
    names.sort();
    names
}

/// Searches the alias without a pause, until told to stop.
struct Searching {
    stop: Arc<AtomicBool>,
    searches: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Searching {
    /// Fails when a search fails, or finds less than the one before it.
    fn start(store: &Store) -> Self {
        let (url, prefix) = (store.config.options["url"].as_str().unwrap().to_owned(), store.config.options["prefix"].as_str().unwrap());
        let path = format!("/{prefix}-entities/_search?size=5&track_total_hits=true");
        let (stop, searches) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&searches));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let transport = Transport::single_node(&url).unwrap();
            let mut before = 0;
            while !stopped.load(Ordering::Relaxed) {
                let answer: Value = runtime.block_on(async {
                    let sent = transport.send(Method::Get, &path, HeaderMap::new(), None::<&()>, None::<String>, None).await;
                    sent.unwrap().json().await.unwrap()
                });
                assert_eq!(answer["_shards"]["failed"], 0, "{answer}");
                let found = answer["hits"]["total"]["value"].as_u64().unwrap_or_else(|| panic!("a search failed: {answer}"));
                assert!(found >= before, "{found} documents after {before}");
                before = found;
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { stop, searches, thread }
    }

    fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        self.searches.load(Ordering::Relaxed)
    }
}

async fn rebuild(source: &Source, config: &ConnectorConfig, keep_old: bool) -> Result<(Summary, Vec<String>), ReplayError> {
    let mut sink = build(config).unwrap();
    replay::rebuild(&source_of(source), config, keep_old, &mut *sink, &mut |_, _| {}).await
}

#[tokio::test]
async fn new_indices_swap_in_while_searches_and_ingestion_go_on() {
    let Some(store) = stores::elasticsearch("new_indices_swap_in").await else { return };
    let (source, config) = (Arc::new(Source::new()), quick(&store));
    let connectors = source.start(vec![config.clone()]);
    source.write(&one_of_each(), 1, true);
    let many = entities(3_000);
    source.write(&many, 2, true);
    source.write(&many[..500], 3, false);
    connectors.caught_up(PATIENCE).await.unwrap();
    let searching = Searching::start(&store);
    let done = Arc::new(AtomicBool::new(false));
    let writing = {
        let (source, done) = (Arc::clone(&source), Arc::clone(&done));
        std::thread::spawn(move || {
            let mut epoch = 4;
            while !done.load(Ordering::Relaxed) {
                // New ones, and new versions of old ones.
                let new = |n: u64| entity(&format!("malware--{n:08x}-2222-4222-8222-222222222222"), "new");
                let changed = |at: usize| entity(&many[at].id(), &format!("at {epoch}"));
                source.write(&(0..20).map(|n| new(epoch * 100 + n)).chain((600..620).map(changed)).collect::<Vec<_>>(), epoch, true);
                source.write(&[relation(&format!("relationship--{epoch}"), "uses")], epoch, true);
                epoch += 1;
                std::thread::sleep(Duration::from_millis(50));
            }
            epoch
        })
    };
    let (summary, left) = rebuild(&source, &config, false).await.unwrap();
    assert!(left.is_empty() && summary.written > 2_500, "{summary:?} {left:?}");
    assert_eq!(indices(&store).await, ["soc-entities-2"]);
    // And once more, from 2 to 3, the old ones kept.
    rebuild(&source, &config, true).await.unwrap();
    assert_eq!(indices(&store).await, ["soc-entities-2", "soc-entities-3"]);
    rebuild(&source, &config, false).await.unwrap();
    assert_eq!(indices(&store).await, ["soc-entities-2", "soc-entities-4"], "what was kept stays kept");
    done.store(true, Ordering::Relaxed);
    let epochs = writing.join().unwrap();
    connectors.caught_up(PATIENCE).await.unwrap();
    let searches = searching.end();
    assert!(searches > 20 && epochs > 20, "{searches} searches, {epochs} epochs");
    let report = source.verify(&config).await;
    assert!(report.is_equal(), "{report:?}");
    stop(connectors).await;
}

#[tokio::test]
async fn a_rebuild_that_was_cut_off_anywhere_is_done_right_the_next_time() {
    let Some(store) = stores::elasticsearch("a_rebuild_that_was_cut_off").await else { return };
    let (source, config) = (Source::new(), quick(&store));
    let connectors = source.start(vec![config.clone()]);
    source.write(&entities(200), 1, true);
    connectors.caught_up(PATIENCE).await.unwrap();
    let types = [RecordType::Entity, RecordType::Observable, RecordType::Relation, RecordType::Sighting];
    let searching = Searching::start(&store);
    for steps in 1..=5 {
        let mut sink = build(&config).unwrap();
        let new = sink.rebuild().unwrap();
        new.begin(&types).await.unwrap();
        if steps >= 2 {
            new.fill(&batch(entities(50), 1, 1)).await.unwrap();
        }
        if steps >= 3 {
            new.hold().await.unwrap();
        }
        if steps >= 4 {
            new.fill(&batch(entities(200), 1, 1)).await.unwrap();
            new.fill(&batch(vec![entity(INDICATOR, &format!("after {}", steps - 1))], steps, 1)).await.unwrap();
            new.swap(false).await.unwrap();
        }
        if steps >= 5 {
            new.finish(WAIT).await.unwrap();
        }
        drop(sink);
        // The connector has something to write meanwhile; while it is held it waits.
        source.write(&[entity(INDICATOR, &format!("after {steps}"))], steps + 1, true);
        let (_, left) = rebuild(&source, &config, false).await.unwrap();
        assert!(left.is_empty());
        connectors.caught_up(PATIENCE).await.unwrap();
        assert_eq!(indices(&store).await.len(), 1, "after step {steps}");
        let report = source.verify(&config).await;
        assert!(report.is_equal(), "after step {steps}: {report:?}");
    }
    assert!(searching.end() > 5);
    stop(connectors).await;
}

/// As when a rebuild is killed with its swap on the way.
#[tokio::test]
async fn a_swap_that_comes_while_the_next_rebuild_begins_takes_no_index_away() {
    let Some(store) = stores::elasticsearch("a_swap_that_comes_late").await else { return };
    let (source, config) = (Source::new(), quick(&store));
    let connectors = source.start(vec![config.clone()]);
    source.write(&entities(200), 1, true);
    source.write(&[entity(INDICATOR, "before 0")], 1, true);
    connectors.caught_up(PATIENCE).await.unwrap();
    let types = [RecordType::Entity];
    let searching = Searching::start(&store);
    let mut swapped = 0;
    for round in 0..4 {
        let (mut killed, mut next) = (build(&config).unwrap(), build(&config).unwrap());
        let old = killed.rebuild().unwrap();
        old.begin(&types).await.unwrap();
        old.hold().await.unwrap();
        old.fill(&batch(entities(200), 1, 1)).await.unwrap();
        old.fill(&batch(vec![entity(INDICATOR, &format!("before {round}"))], round + 1, 1)).await.unwrap();
        let later = async {
            tokio::time::sleep(Duration::from_millis(round * 60)).await;
            next.rebuild().unwrap().begin(&types).await
        };
        let (swap, begun) = tokio::join!(old.swap(false), later);
        begun.unwrap();
        swapped += u32::from(swap.is_ok());
        if let Err(error) = swap {
            assert!(error.to_string().contains("another rebuild"), "{error}");
            old.release().await.unwrap();
        }
        source.write(&[entity(INDICATOR, &format!("before {}", round + 1))], round + 2, true);
        rebuild(&source, &config, false).await.unwrap();
        connectors.caught_up(PATIENCE).await.unwrap();
        assert_eq!(indices(&store).await.len(), 1, "round {round}");
    }
    println!("{swapped} of 4 swaps came first");
    assert!(searching.end() > 5);
    let report = source.verify(&config).await;
    assert!(report.is_equal(), "{report:?}");
    stop(connectors).await;
}

#[tokio::test]
async fn a_release_that_was_cut_off_is_ended_by_the_next_try() {
    let Some(store) = stores::elasticsearch("a_release_that_was_cut_off").await else { return };
    let (source, config) = (Source::new(), quick(&store));
    let connectors = source.start(vec![config.clone()]);
    source.write(&entities(10), 1, true);
    connectors.caught_up(PATIENCE).await.unwrap();
    let mut sink = build(&config).unwrap();
    let new = sink.rebuild().unwrap();
    new.begin(&[RecordType::Entity]).await.unwrap();
    new.hold().await.unwrap();
    // What a release does first; its connection then broke.
    let alias = format!("{}-entities", store.config.options["prefix"].as_str().unwrap());
    let moved = serde_json::json!({ "actions": [
        { "remove": { "index": format!("{alias}-2"), "alias": format!("{alias}-next"), "must_exist": true } },
        { "add": { "index": format!("{alias}-2"), "alias": format!("{alias}-old") } },
    ] });
    let transport = Transport::single_node(store.config.options["url"].as_str().unwrap()).unwrap();
    let answer = transport.send(Method::Post, "/_aliases", HeaderMap::new(), None::<&()>, Some(moved.to_string()), None).await.unwrap();
    assert_eq!(answer.status_code().as_u16(), 200);
    new.release().await.unwrap();
    source.write(&[entity(INDICATOR, "after")], 2, true);
    connectors.caught_up(PATIENCE).await.unwrap();
    assert!(source.verify(&config).await.is_equal(), "the block was lifted");
    stop(connectors).await;
}

#[tokio::test]
async fn an_old_index_stays_while_somebody_reads_it() {
    let Some(store) = stores::elasticsearch("an_old_index_stays").await else { return };
    let (source, config) = (Source::new(), quick(&store));
    let connectors = source.start(vec![config.clone()]);
    source.write(&entities(10), 1, true);
    connectors.caught_up(PATIENCE).await.unwrap();
    let alias = format!("{}-entities", store.config.options["prefix"].as_str().unwrap());
    let (_, opened) = ask(&store, Method::Post, &format!("/{alias}/_pit?keep_alive=10m")).await;
    assert!(opened["id"].is_string(), "{opened}");
    let mut sink = build(&config).unwrap();
    let mut patient = source_of(&source);
    patient.patience = Duration::from_secs(3);
    let (_, left) = replay::rebuild(&patient, &config, false, &mut *sink, &mut |_, _| {}).await.unwrap();
    assert_eq!(left, [format!("{alias}-1")]);
    assert_eq!(indices(&store).await, ["soc-entities-1", "soc-entities-2"]);
    stop(connectors).await;
}

#[tokio::test]
async fn a_store_without_a_second_place_says_what_to_do() {
    let store = stores::sqlite("").await.unwrap();
    let refused = rebuild(&Source::new(), &quick(&store), false).await.unwrap_err().to_string();
    assert!(refused.contains("class sqlite cannot be rebuilt beside its live store"), "{refused}");
}
