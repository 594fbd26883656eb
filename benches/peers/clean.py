"""Removes what a run of the bench `sinks` wrote: clean.py CLASS URL PREFIX. Of Neo4j, whose community edition has one graph, that is all there is."""
import os
import sys

store, url, prefix = sys.argv[1:]
if len(prefix) < 6:
    sys.exit(f"{prefix!r} may begin the names of others")
if store == "postgres":
    import psycopg2

    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT nspname FROM pg_namespace WHERE starts_with(nspname, %s)", (prefix,))
        for (schema,) in cursor.fetchall():
            cursor.execute(f'DROP SCHEMA "{schema}" CASCADE')
elif store == "elasticsearch":
    from elasticsearch import Elasticsearch

    client = Elasticsearch(url, request_timeout=120)
    # By name: a cluster may refuse to delete by pattern.
    for index in client.indices.get(index=f"{prefix}*", expand_wildcards="all"):
        client.indices.delete(index=index)
    for template in client.indices.get_index_template()["index_templates"]:
        if template["name"].startswith(prefix):
            client.indices.delete_index_template(name=template["name"])
else:
    from neo4j import GraphDatabase

    auth = (os.environ.get("SIGHTLINE_NEO4J_USER", "neo4j"), os.environ.get("SIGHTLINE_NEO4J_PASSWORD", ""))
    with GraphDatabase.driver(url, auth=auth) as driver, driver.session() as session:
        session.run("MATCH (n) CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 10000 ROWS").consume()
