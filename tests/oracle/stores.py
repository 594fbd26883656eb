"""What a store holds, each read with its own official client and as a user would query it."""
import json
import os
import pathlib


class Held:
    """Rows of one tenant. `links` are (entity, observable, role); `relations` map an identifier to (type, source, target)."""

    def __init__(self):
        self.entities, self.sources, self.observables, self.links, self.relations = {}, {}, {}, set(), {}


def ndjson(folder, _name):
    held, folder = Held(), pathlib.Path(folder)

    def lines(name):
        with open(folder / f"{name}.ndjson", encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    for row in lines("entities"):
        held.entities[row["id"]], held.sources[row["id"]] = row["doc"], row["sources"]
    held.observables = {row["id"]: (row["kind"], row["value"]) for row in lines("observables")}
    held.links = {(row["entity_id"], row["observable_id"], row["role"]) for row in lines("links")}
    held.relations = {row["id"]: (row["type"], row["source_id"], row["target_id"]) for row in lines("relations")}
    return held


def postgres(url, schema):
    import psycopg2
    from psycopg2 import sql

    held = Held()
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(sql.SQL("SET search_path TO {}").format(sql.Identifier(schema)))
        cursor.execute("SELECT id, doc, sources FROM entity")
        for key, doc, sources in cursor:
            held.entities[key], held.sources[key] = doc, sources
        cursor.execute("SELECT id, kind, value FROM observable")
        held.observables = {key: (kind, value) for key, kind, value in cursor}
        cursor.execute("SELECT entity_id, observable_id, role FROM entity_observable")
        held.links = set(cursor)
        cursor.execute("SELECT id, type, source_id, target_id FROM relation")
        held.relations = {key: row for key, *row in cursor}
    held.relations = {key: tuple(row) for key, row in held.relations.items()}
    return held


def elasticsearch(url, prefix):
    from elasticsearch import Elasticsearch
    from elasticsearch.helpers import scan

    held, client = Held(), Elasticsearch(url, request_timeout=60)

    def documents(name):
        index = f"{prefix}-{name}"
        client.indices.refresh(index=index)
        query = {"query": {"bool": {"must_not": {"term": {"deleted": True}}}}}
        return (hit["_source"] for hit in scan(client, index=index, query=query, size=2000))

    for row in documents("entities"):
        held.entities[row["id"]], held.sources[row["id"]] = row["doc"], row["sources"]
        held.links |= {(row["id"], link["id"], link["role"]) for link in row["observables"]}
    mirrored = set()
    for row in documents("observables"):
        held.observables[row["id"]] = (row["kind"], row["value"])
        listed = {(holder["id"], row["id"], holder["role"]) for holder in row["entities"]}
        # The list of holders is bounded; `holders` is not.
        assert len(listed) == row["holders"] or len(listed) < row["holders"], row["id"]
        mirrored |= listed
    # A relationship is no entity document: what its description names stands with the observables only.
    held.links |= {link for link in mirrored if link[0].startswith("relationship--")}
    assert mirrored <= held.links, f"soc-observables names holders that soc-entities does not know: {sorted(mirrored - held.links)[:5]}"
    held.relations = {row["id"]: (row["type"], row["source_id"], row["target_id"]) for row in documents("relations")}
    return held


def neo4j(url, tenant):
    from neo4j import GraphDatabase

    held = Held()
    user, password = os.environ.get("SIGHTLINE_NEO4J_USER"), os.environ.get("SIGHTLINE_NEO4J_PASSWORD")
    with GraphDatabase.driver(url, auth=(user, password) if user else None) as driver, driver.session() as session:
        def rows(query):
            return session.run(query, tenant=tenant)

        for row in rows("MATCH (n:IntelEntity {tenant: $tenant}) WHERE n.stub IS NULL RETURN n.id AS id, n.type AS type, n.name AS name, n.revoked AS revoked, n.sources AS sources"):
            # The graph keeps columns, not documents.
            held.entities[row["id"]], held.sources[row["id"]] = {name: row[name] for name in ("id", "type", "name", "revoked")}, row["sources"]
        for row in rows("MATCH (n:Observable {tenant: $tenant}) WHERE n.stub IS NULL RETURN n.id AS id, n.kind AS kind, n.value AS value"):
            held.observables[row["id"]] = (row["kind"], row["value"])
        for row in rows("MATCH (a:IntelEntity {tenant: $tenant})-[r:HAS_OBSERVABLE]->(b:Observable) RETURN a.id AS a, b.id AS b, r.role AS role"):
            held.links.add((row["a"], row["b"], row["role"]))
        for row in rows("MATCH (a:IntelEntity {tenant: $tenant})-[r]->(b:IntelEntity) WHERE r.id IS NOT NULL RETURN r.id AS id, type(r) AS type, a.id AS a, b.id AS b"):
            held.relations[row["id"]] = (row["type"].lower().replace("_", "-"), row["a"], row["b"])
    return held


READERS = {"ndjson": ndjson, "postgres": postgres, "elasticsearch": elasticsearch, "neo4j": neo4j}
