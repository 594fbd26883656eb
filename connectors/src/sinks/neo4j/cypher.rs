//! The statements. Names of types come from [`super::known::edge_type`] and are quoted; everything else is a parameter.

/// Locks the lease to the end of the transaction, then tells whether it is still ours: writing takes the lock, reading after it sees
/// what whoever held it before has committed.
pub(super) const LEASE: &str = "MATCH (l:SinkLease {connector: $connector}) SET l.used = datetime()
    WITH l WHERE l.generation = $generation RETURN coalesce(l.mended, 0) AS mended";

/// Locks the lease, whoever holds it.
pub(super) const LOCK: &str = "MATCH (l:SinkLease {connector: $connector}) SET l.used = datetime()";

/// Counts up that edges were added beside the connector, which does not know them.
pub(super) const MEND: &str = "MATCH (l:SinkLease {connector: $connector}) SET l.mended = coalesce(l.mended, 0) + 1";

/// The types whose edges can be found by key, as names of indices.
pub(super) const EDGE_INDICES: &str = "SHOW INDEXES YIELD name WHERE name STARTS WITH 'edge_key_' RETURN name";

/// The edges of one type with given keys.
pub(super) fn held_edges(ty: &str) -> String {
    format!("UNWIND $keys AS key MATCH ()-[r:`{ty}` {{key: key}}]->() RETURN key, max(r.epoch) AS epoch")
}

/// How often edges were added beside the connector.
pub(super) const MENDED: &str = "MATCH (l:SinkLease {connector: $connector}) RETURN coalesce(l.mended, 0) AS mended";

/// Takes out edges, and the stubs that nothing needs any more.
pub(super) const TAKE_OUT_EDGES: &str = "MATCH (a)-[x]->(b) WHERE id(x) IN $places DELETE x
    WITH a, b UNWIND [a, b] AS n WITH DISTINCT n WHERE n.stub = true AND NOT EXISTS { (n)--() } DELETE n";

/// Takes out nodes on which nothing hangs.
pub(super) const TAKE_OUT_NODES: &str = "MATCH (x) WHERE id(x) IN $places AND NOT EXISTS { (x)--() } DELETE x";

/// The others become stubs, of no epoch: the record in force becomes them again.
pub(super) const TAKE_OUT_TO_STUBS: &str = "MATCH (x) WHERE id(x) IN $places SET x = {key: x.key, tenant: x.tenant, id: x.id, stub: true}";

/// Entities: never over a newer one; a stub becomes the entity.
pub(super) const ENTITIES: &str = "UNWIND $rows AS row MERGE (n:IntelEntity {key: row.key})
    WITH n, row WHERE n.epoch IS NULL OR n.epoch <= row.epoch SET n = row";

/// Observables, likewise.
pub(super) const OBSERVABLES: &str = "UNWIND $rows AS row MERGE (n:Observable {key: row.key})
    WITH n, row WHERE n.epoch IS NULL OR n.epoch <= row.epoch SET n = row";

/// Links.
pub(super) const LINKS: &str = "UNWIND $rows AS row
    MERGE (a:IntelEntity {key: row.a}) ON CREATE SET a.tenant = row.tenant, a.id = row.a_id, a.stub = true
    MERGE (b:Observable {key: row.b}) ON CREATE SET b.tenant = row.tenant, b.id = row.b_id, b.stub = true
    MERGE (a)-[r:HAS_OBSERVABLE {role: row.role}]->(b)
    WITH r, row WHERE r.epoch IS NULL OR r.epoch <= row.epoch SET r.epoch = row.epoch, r.origin = row.origin, r.digest = row.digest, r.seal = row.seal";

/// Deleted links, and the stubs that nothing needs any more.
pub(super) const UNLINK: &str = "UNWIND $rows AS row
    MATCH (a:IntelEntity {key: row.a})-[r:HAS_OBSERVABLE {role: row.role}]->(b:Observable {key: row.b})
    WHERE r.epoch <= row.epoch DELETE r
    WITH a, b UNWIND [a, b] AS n WITH DISTINCT n WHERE n.stub = true AND NOT EXISTS { (n)--() } DELETE n";

/// Edges with a key, of one type. `fresh`: surely not in the graph yet.
pub(super) fn edges(ty: &str, to: &str, fresh: bool) -> String {
    let ends = format!(
        "UNWIND $rows AS row
         MERGE (a:IntelEntity {{key: row.a}}) ON CREATE SET a.tenant = row.edge.tenant, a.id = row.a_id, a.stub = true
         MERGE (b:{to} {{key: row.b}}) ON CREATE SET b.tenant = row.edge.tenant, b.id = row.b_id, b.stub = true\n"
    );
    if fresh {
        format!("{ends} CREATE (a)-[r:`{ty}`]->(b) SET r = row.edge")
    } else {
        format!(
            "{ends} MERGE (a)-[r:`{ty}` {{key: row.edge.key}}]->(b)
             WITH r, row WHERE r.epoch IS NULL OR r.epoch <= row.edge.epoch SET r = row.edge"
        )
    }
}

/// Removes edges of one type by key: all, or where `keep` is set those between other ends; then the stubs that nothing needs any more.
pub(super) fn remove_edges(ty: &str) -> String {
    format!(
        "UNWIND $rows AS row MATCH (a)-[r:`{ty}` {{key: row.key}}]->(b)
         WHERE r.epoch <= row.epoch AND (NOT row.keep OR a.key <> row.a OR b.key <> row.b) DELETE r
         WITH a, b UNWIND [a, b] AS n WITH DISTINCT n WHERE n.stub = true AND NOT EXISTS {{ (n)--() }} DELETE n"
    )
}

/// Deleted nodes: gone when nothing hangs on them.
pub(super) fn remove_nodes(label: &str) -> String {
    format!(
        "UNWIND $rows AS row MATCH (n:{label} {{key: row.key}})
         WHERE (n.epoch IS NULL OR n.epoch <= row.epoch) AND NOT EXISTS {{ (n)--() }} DELETE n"
    )
}

/// Deleted nodes on which edges hang become stubs, and keep their epoch.
pub(super) fn stub_nodes(label: &str) -> String {
    format!(
        "UNWIND $rows AS row MATCH (n:{label} {{key: row.key}}) WHERE n.epoch IS NULL OR n.epoch <= row.epoch
         SET n = {{key: row.key, tenant: row.tenant, id: row.id, stub: true, epoch: row.epoch}}"
    )
}

/// An index for finding edges of one type by key.
pub(super) fn edge_index(ty: &str) -> String {
    format!("CREATE INDEX `edge_key_{ty}` IF NOT EXISTS FOR ()-[r:`{ty}`]-() ON (r.key)")
}

/// What the digests of records add up to by slot, in halves: a sum must not leave 64 bits.
pub(super) fn sums(pattern: &str, held: &str) -> String {
    format!(
        "MATCH {pattern} WHERE {held} RETURN x.digest % 256 AS slot, count(*) AS count,
         sum(x.digest / 4294967296) AS high, sum(x.digest % 4294967296) AS low, sum(x.epoch) AS epochs"
    )
}

/// Positions.
pub(super) const POSITIONS: &str = "UNWIND $rows AS row MERGE (o:SinkOffset {connector: $connector, topic: row.topic, part: row.part})
    SET o.next_offset = row.next, o.generation = $generation,
        o.epoch = CASE WHEN o.epoch > $epoch THEN o.epoch ELSE $epoch END";
