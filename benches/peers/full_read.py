"""Has the server read every row and add something of it up: what a comparison of a store is measured against. Usage: full_read.py CLASS PLACE NAME

Prints the seconds. User and password of Neo4j come from SIGHTLINE_NEO4J_USER and SIGHTLINE_NEO4J_PASSWORD.
"""
import os
import sys
import time

store, place, name = sys.argv[1:]
TABLES = ["entity", "observable", "entity_observable"]
COLUMNS = {
    "entity": "length(tenant || id || type || name || description || tlp) + length(doc::text)",
    "observable": "length(tenant || id || kind || value)",
    "entity_observable": "length(tenant || entity_id || observable_id || role)",
}
if store == "postgres":
    import psycopg2

    with psycopg2.connect(place) as connection, connection.cursor() as cursor:
        start = time.perf_counter()
        for table in TABLES:
            cursor.execute(f"SELECT count(*), sum({COLUMNS[table]}) FROM {name}.{table}")
            cursor.fetchone()
elif store == "sqlite":
    import sqlite3

    connection = sqlite3.connect(place)
    start = time.perf_counter()
    for table in TABLES:
        columns = COLUMNS[table].replace("doc::text", "doc")
        connection.execute(f"SELECT count(*), sum({columns}) FROM {table}").fetchone()
elif store == "elasticsearch":
    from elasticsearch import Elasticsearch

    client = Elasticsearch(place, request_timeout=120)
    start = time.perf_counter()
    for alias in ["entities", "observables"]:
        total = {"total": {"sum": {"field": "epoch"}}, "ids": {"value_count": {"field": "id"}}, "tenants": {"terms": {"field": "tenant"}}}
        client.search(index=f"{name}-{alias}", size=0, aggs=total, request_cache=False)
else:
    from neo4j import GraphDatabase

    auth = (os.environ.get("SIGHTLINE_NEO4J_USER", "neo4j"), os.environ.get("SIGHTLINE_NEO4J_PASSWORD", ""))
    with GraphDatabase.driver(place, auth=auth) as driver, driver.session() as session:
        start = time.perf_counter()
        for label, text in [("IntelEntity", "n.id + n.type + n.name + n.description + n.tlp"), ("Observable", "n.id + n.kind + n.value")]:
            session.run(f"MATCH (n:{label}) RETURN count(n), sum(size({text}))").consume()
        session.run("MATCH (a:IntelEntity)-[r:HAS_OBSERVABLE]->(b:Observable) RETURN count(r), sum(size(a.id + b.id + r.role))").consume()
print(time.perf_counter() - start)
