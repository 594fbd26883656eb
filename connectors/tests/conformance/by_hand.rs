//! What a hand does to records, in the stores that keep a seal beside each.
use std::collections::BTreeSet;

use sightline_connectors::digest::{Slot, Sums, slot_of};
use sightline_connectors::relational::TABLES;
use sightline_connectors::{SinkConnector, Stored};
use sightline_schemas::avro::RecordType;

use super::claims::supported;
use super::records::{batch, entity, one_of_each};
use super::stores::{Store, expected, held};

async fn sums(sink: &mut dyn SinkConnector, ty: RecordType) -> Option<Sums> {
    sink.sealed_sums(ty).await.unwrap()
}

pub async fn a_change_puts_the_slot_of_its_record_in_doubt_and_no_other(store: &Store) {
    let mut sink = store.opened().await;
    sink.put(&batch((0..50).map(|n| entity(&format!("malware--{n}"), "x")).collect(), 1, 1)).await.unwrap();
    let doubtful = async || Vec::from_iter(sums(&mut *store.sink(), RecordType::Entity).await.unwrap().doubtful);
    assert!(doubtful().await.is_empty());
    let set_confidence = |value: u8| match store.config.class.as_str() {
        "neo4j" => format!("MATCH (n:IntelEntity {{id: 'malware--7'}}) SET n.confidence = {value}"),
        _ => format!("UPDATE entity SET confidence = {value} WHERE id = 'malware--7'"),
    };
    store.by_hand(&set_confidence(86)).await;
    assert_eq!(doubtful().await, [slot_of(b"acme:malware--7")]);
    store.by_hand(&set_confidence(85)).await;
    assert!(doubtful().await.is_empty(), "it is again what was written");
    store
        .by_hand(match store.config.class.as_str() {
            "neo4j" => "CREATE (:IntelEntity {key: 'acme:malware--x', tenant: 'acme', id: 'malware--x', type: 'malware'})",
            _ => {
                "INSERT INTO entity (tenant, id, type, revoked, labels, sources, doc, epoch, origin)
                 SELECT tenant, 'malware--x', type, revoked, labels, sources, doc, epoch, origin FROM entity WHERE id = 'malware--7'"
            }
        })
        .await;
    assert_eq!(doubtful().await, [slot_of(b"acme:malware--x")], "nobody of ours wrote it");
}

/// As a connector of an older version left them.
pub async fn what_has_no_digest_is_read_in_full_until_it_is_written_again(store: &Store) {
    let mut sink = store.opened().await;
    let values = supported(&*sink, one_of_each());
    let types: BTreeSet<RecordType> = values.iter().map(|value| value.record_type()).collect();
    let written = batch(values.clone(), 1, 1);
    sink.put(&written).await.unwrap();
    let mut whole = Vec::new();
    for ty in &types {
        whole.push(sums(&mut *sink, *ty).await);
    }
    assert!(whole.iter().flatten().all(|sums| sums.count() > 0 && sums.doubtful.is_empty()));
    if store.config.class == "neo4j" {
        store.by_hand("MATCH (n) REMOVE n.digest, n.seal").await;
        store.by_hand("MATCH ()-[r]->() REMOVE r.digest, r.seal").await;
    } else {
        for table in TABLES {
            store.by_hand(&format!("ALTER TABLE {0} DROP COLUMN digest; ALTER TABLE {0} DROP COLUMN seal", table.name)).await;
        }
    }
    for opened in [false, true] {
        let mut sink = if opened { store.opened().await } else { store.sink() };
        for ty in &types {
            let of_type: Vec<_> = values.iter().filter(|value| value.record_type() == *ty).cloned().collect();
            let all = expected(&*sink, &of_type);
            let slots: BTreeSet<Slot> = all.keys().map(|key| slot_of(key.as_bytes())).collect();
            let told = sums(&mut *sink, *ty).await;
            assert!(told.is_none_or(|sums| sums.count() == 0 && sums.doubtful == slots), "{ty}");
            assert_eq!(held(&mut *sink, *ty).await, all, "{ty}");
            if opened {
                let mut found = BTreeSet::new();
                sink.scan_slots(*ty, &slots, &mut |Stored { key, .. }| found.extend([key])).await.unwrap();
                assert!(found.iter().eq(all.keys()), "{ty}: {found:?}");
            }
        }
    }
    let mut sink = store.opened().await;
    sink.put(&written).await.unwrap();
    for (ty, whole) in types.iter().zip(whole) {
        assert_eq!(sums(&mut *sink, *ty).await, whole, "{ty}: a replay gives digests to what is there");
    }
}
