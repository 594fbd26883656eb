"""Ten differences by hand in a store, through its own client: `drift.py postgres=URL,SCHEMA | elasticsearch=URL,PREFIX | neo4j=URL`.

Prints what `verify` has to find, a line each: type, how, key. Touches only what belongs to indicators, malware and their observables."""
import json
import os
import sys

HAND = "malware--00000000-dead-4eef-8000-000000000001"


def postgres(url, schema):
    import psycopg2
    from psycopg2 import sql

    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(sql.SQL("SET search_path TO {}").format(sql.Identifier(schema)))

        def ask(query):
            cursor.execute(query)
            return cursor.fetchone()

        (entity,) = ask("DELETE FROM entity WHERE id = (SELECT min(id) FROM entity WHERE type = 'indicator') RETURNING id")
        yield "entities", "missing", entity
        (observable,) = ask("DELETE FROM observable WHERE id = (SELECT min(id) FROM observable) RETURNING id")
        yield "observables", "missing", observable
        link = ask("DELETE FROM entity_observable WHERE ctid = (SELECT min(ctid) FROM entity_observable) RETURNING entity_id, observable_id, role")
        yield "links", "missing", "|".join(link)
        (relation,) = ask("DELETE FROM relation WHERE id = (SELECT min(id) FROM relation WHERE source_id LIKE 'indicator%') RETURNING id")
        yield "relations", "missing", relation
        (entity,) = ask("UPDATE entity SET name = 'by hand' WHERE id = (SELECT min(id) FROM entity WHERE type = 'indicator') RETURNING id")
        yield "entities", "different", entity
        # Deep within the document, and of an epoch that no record will ever reach.
        (entity,) = ask(
            """UPDATE entity SET doc = jsonb_set(doc, '{pattern_type}', '"by hand"'), epoch = 9000000000
               WHERE id = (SELECT max(id) FROM entity WHERE type = 'indicator') RETURNING id"""
        )
        yield "entities", "different", entity
        (observable,) = ask("UPDATE observable SET last_seen = now() WHERE id = (SELECT max(id) FROM observable) RETURNING id")
        yield "observables", "different", observable
        (relation,) = ask(
            "UPDATE relation SET target_id = 'malware--x' WHERE id = (SELECT max(id) FROM relation WHERE source_id LIKE 'indicator%') RETURNING id"
        )
        yield "relations", "different", relation
        cursor.execute(
            "INSERT INTO entity (tenant, id, type, revoked, labels, sources, doc, epoch, origin) VALUES ('default', %s, 'malware', false, '{}', '{}', '{}', 1, '')",
            (HAND,),
        )
        yield "entities", "extra", HAND
        cursor.execute(
            "INSERT INTO entity_observable (tenant, entity_id, observable_id, role, epoch, origin) VALUES ('default', %s, 'url--x', 'by-hand', 1, '')",
            (HAND,),
        )
        yield "links", "extra", f"{HAND}|url--x|by-hand"


def elasticsearch(url, prefix):
    from elasticsearch import Elasticsearch

    client = Elasticsearch(url, request_timeout=60)

    def some(name, size, query):
        client.indices.refresh(index=f"{prefix}-{name}")
        found = client.search(index=f"{prefix}-{name}", size=size, query=query, sort=[{"id": "asc"}])
        return [(hit["_index"], hit["_id"], hit["_source"]) for hit in found["hits"]["hits"]]

    entities = some("entities", 5, {"term": {"type": "indicator"}})
    observables = some("observables", 3, {"match_all": {}})
    relations = some("relations", 2, {"prefix": {"source_id": "indicator--"}})
    index, key, _ = entities[0]
    client.delete(index=index, id=key)
    yield "entities", "missing", entities[0][2]["id"]
    index, key, _ = observables[0]
    client.delete(index=index, id=key)
    yield "observables", "missing", observables[0][2]["id"]
    # Marked as deleted: the alias hides it.
    index, key, source = relations[0]
    client.index(index=index, id=key, document={**source, "deleted": True})
    yield "relations", "missing", source["id"]
    index, key, source = entities[1]
    client.update(index=index, id=key, doc={"name": "by hand"})
    yield "entities", "different", source["id"]
    index, key, source = entities[2]
    for _ in range(3):
        client.index(index=index, id=key, document={**source, "labels": source["labels"] + ["by hand"]})
    yield "entities", "different", source["id"]
    # Of an epoch, and a version, that no record will ever reach.
    index, key, source = entities[3]
    client.index(index=index, id=key, document={**source, "revoked": True, "epoch": 9_000_000_000}, version=9_000_000_000, version_type="external")
    yield "entities", "different", source["id"]
    index, key, source = observables[1]
    client.index(index=index, id=key, document={**source, "entities": []})
    yield "observables", "different", source["id"]
    index, key, source = relations[1]
    client.index(index=index, id=key, document={**source, "target_id": "malware--x"})
    yield "relations", "different", source["id"]
    index, _, source = entities[4]
    client.index(index=index, id=f"default:{HAND}", document={**source, "id": HAND})
    yield "entities", "extra", HAND
    # A second copy, under an `_id` of its own.
    index, _, source = observables[2]
    client.index(index=index, document=source)
    yield "observables", "extra", source["id"]


def neo4j(url):
    from neo4j import GraphDatabase

    auth = (os.environ.get("SIGHTLINE_NEO4J_USER", "neo4j"), os.environ.get("SIGHTLINE_NEO4J_PASSWORD", ""))
    with GraphDatabase.driver(url, auth=auth) as driver, driver.session() as session:

        def ask(query, **parameters):
            return [tuple(record.values()) for record in session.run(query, **parameters)]

        # An observable that one edge holds goes with it: two differences.
        ((observable, entity, role),) = ask(
            """MATCH (o:Observable)<-[r:HAS_OBSERVABLE]-(e) WITH o, count(r) AS edges, min(e.id) AS entity, min(r.role) AS role WHERE edges = 1
               AND NOT EXISTS { (o)<-[:SIGHTED]-() } WITH o, o.id AS id, entity, role ORDER BY id LIMIT 1 DETACH DELETE o RETURN id, entity, role"""
        )
        yield "observables", "missing", observable
        yield "links", "missing", f"{entity}|{observable}|{role}"
        for entity, observable, role in ask(
            """MATCH (e:IntelEntity)-[r:HAS_OBSERVABLE]->(o:Observable) WITH e, r, o ORDER BY e.id DESC, o.id DESC LIMIT 2
               WITH r, e.id AS e, o.id AS o, r.role AS role DELETE r RETURN e, o, role"""
        ):
            yield "links", "missing", f"{entity}|{observable}|{role}"
        ((relation,),) = ask(
            """MATCH (e:IntelEntity {type: 'indicator'})-[r:INDICATES]->() WITH r, r.id AS id ORDER BY id LIMIT 1 DELETE r RETURN id"""
        )
        yield "relations", "missing", relation
        ((relation,),) = ask(
            """MATCH (e:IntelEntity {type: 'indicator'})-[r:INDICATES]->() WITH r ORDER BY r.id DESC LIMIT 1 SET r.type = 'by hand' RETURN r.id"""
        )
        yield "relations", "different", relation
        ((entity,),) = ask("MATCH (e:IntelEntity {type: 'indicator'}) WITH e ORDER BY e.id LIMIT 1 SET e.name = 'by hand', e.epoch = 9000000000 RETURN e.id")
        yield "entities", "different", entity
        # Of another type than it ever had.
        ((entity,),) = ask("MATCH (e:IntelEntity {type: 'indicator'}) WITH e ORDER BY e.id DESC LIMIT 1 SET e.modified = 'by hand' RETURN e.id")
        yield "entities", "different", entity
        ask("CREATE (:IntelEntity {key: 'default:' + $id, tenant: 'default', id: $id, type: 'malware', name: 'by hand'})", id=HAND)
        yield "entities", "extra", HAND
        ask(
            """MATCH (e:IntelEntity {id: $id}), (o:Observable) WITH e, o ORDER BY o.id LIMIT 1
               CREATE (e)-[r:HAS_OBSERVABLE {role: 'by-hand'}]->(o)""",
            id=HAND,
        )
        ((observable,),) = ask("MATCH (:IntelEntity {id: $id})-[:HAS_OBSERVABLE]->(o) RETURN o.id", id=HAND)
        yield "links", "extra", f"{HAND}|{observable}|by-hand"


if __name__ == "__main__":
    store, _, address = sys.argv[1].partition("=")
    for ty, how, key in {"postgres": postgres, "elasticsearch": elasticsearch, "neo4j": neo4j}[store](*address.split(",")):
        print(f"{ty} {how} default:{key}")
