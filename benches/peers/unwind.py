"""A bare UNWIND loop with the official Python driver: what the Neo4j sink is measured against. Usage: unwind.py DIR URL [USER PASSWORD]

Uses the labels Rival1 and Rival2, and removes them first. Prints records and seconds.
"""
import json
import sys
import time

from neo4j import GraphDatabase

directory, url, *auth = sys.argv[1:]
driver = GraphDatabase.driver(url, auth=tuple(auth) or None)
ROWS = 5_000
ENTITIES = "UNWIND $rows AS row MERGE (n:Rival1 {key: row.key}) SET n = row"
OBSERVABLES = "UNWIND $rows AS row MERGE (n:Rival2 {key: row.key}) SET n = row"
LINKS = """UNWIND $rows AS row MATCH (a:Rival1 {key: row.a}) MATCH (b:Rival2 {key: row.b})
           MERGE (a)-[r:RIVAL {role: row.role}]->(b) SET r.epoch = 1"""


def load(name):
    with open(f"{directory}/{name}.ndjson") as lines:
        for line in lines:
            record = json.loads(line)
            if name == "links":
                yield {"a": f"{record['tenant']}:{record['entity_id']}", "b": f"{record['tenant']}:{record['observable_id']}", "role": record["role"]}
            else:
                for extra in ("doc", "observables", "entities", "holders"):
                    record.pop(extra, None)
                yield record | {"key": f"{record['tenant']}:{record['id']}", "epoch": 1, "origin": "soc.in.intel:0:1"}


with driver.session() as session:
    session.run("MATCH (n:Rival1) CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 10000 ROWS").consume()
    session.run("MATCH (n:Rival2) CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 10000 ROWS").consume()
    for label in ("Rival1", "Rival2"):
        session.run(f"CREATE CONSTRAINT IF NOT EXISTS FOR (n:{label}) REQUIRE n.key IS UNIQUE").consume()
    work = [(ENTITIES, list(load("entities"))), (OBSERVABLES, list(load("observables"))), (LINKS, list(load("links")))]
    start = time.monotonic()
    for statement, rows in work:
        for at in range(0, len(rows), ROWS):
            session.execute_write(lambda tx: tx.run(statement, rows=rows[at : at + ROWS]).consume())
    seconds = time.monotonic() - start
    count = sum(len(rows) for _, rows in work)
    print(count, seconds)
