"""Every row of a store as its own client reads it, one JSON object a line, sorted: `rows.py postgres=URL,SCHEMA | elasticsearch=URL,PREFIX | neo4j=URL | sqlite=PATH`.

Two stores that hold the same print the same. What belongs to a connector and not to the records (positions, leases) is left out. With `--lose` the rows are deleted instead."""
import json
import os
import sys

TABLES = ["package", "entity", "observable", "entity_observable", "relation", "event", "sighting"]
INDICES = ["entities", "observables", "relations", "sightings", "events"]


def postgres(lose, url, schema):
    import psycopg2
    from psycopg2 import sql

    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        for table in TABLES:
            name = sql.Identifier(schema, table)
            if lose:
                cursor.execute(sql.SQL("TRUNCATE {}").format(name))
                continue
            cursor.execute(sql.SQL("SELECT to_jsonb(row) FROM {} AS row").format(name))
            yield from ((table, row) for (row,) in cursor)


def sqlite(lose, path):
    import sqlite3

    with sqlite3.connect(path, timeout=60) as connection:
        connection.row_factory = sqlite3.Row
        for table in TABLES:
            if lose:
                connection.execute(f"DELETE FROM {table}")
                continue
            yield from ((table, dict(row)) for row in connection.execute(f"SELECT * FROM {table}"))


def elasticsearch(lose, url, prefix):
    from elasticsearch import Elasticsearch
    from elasticsearch.helpers import bulk, scan

    client = Elasticsearch(url, request_timeout=60)
    for name in INDICES:
        index = f"{prefix}-{name}"
        client.indices.refresh(index=index)
        hits = scan(client, index=index, query={"query": {"match_all": {}}}, size=2000)
        if lose:
            bulk(client, ({"_op_type": "delete", "_index": hit["_index"], "_id": hit["_id"]} for hit in hits), refresh=True)
            continue
        yield from ((name, hit["_id"], hit["_source"]) for hit in hits)


def neo4j(lose, url):
    from neo4j import GraphDatabase

    auth = (os.environ.get("SIGHTLINE_NEO4J_USER", "neo4j"), os.environ.get("SIGHTLINE_NEO4J_PASSWORD", ""))
    with GraphDatabase.driver(url, auth=auth) as driver, driver.session() as session:
        if lose:
            session.run("MATCH (n:IntelEntity|Observable) CALL { WITH n DETACH DELETE n } IN TRANSACTIONS OF 10000 ROWS").consume()
            return
        for row in session.run("MATCH (n:IntelEntity|Observable) RETURN labels(n) AS labels, properties(n) AS held"):
            held = row["held"]
            # A stub stands for a node that is not there; when it became one is nothing that the topics say.
            yield row["labels"], {"key": held["key"], "stub": True} if held.get("stub") else held
        edges = "MATCH (a)-[r]->(b) WHERE a:IntelEntity RETURN a.key AS a, type(r) AS type, properties(r) AS held, b.key AS b"
        yield from ((row["a"], row["type"], row["held"], row["b"]) for row in session.run(edges))


def main():
    name, _, place = sys.argv[1].partition("=")
    read = {"postgres": postgres, "sqlite": sqlite, "elasticsearch": elasticsearch, "neo4j": neo4j}[name]
    rows = read("--lose" in sys.argv[2:], *place.split(","))
    sys.stdout.writelines(sorted(json.dumps(row, sort_keys=True, default=str) + "\n" for row in rows))


main()
