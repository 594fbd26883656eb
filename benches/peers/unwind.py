"""A bare UNWIND loop with the official Python driver: what the Neo4j sink is measured against. Usage: unwind.py DIR URL BATCH

Writes the sink's properties under the labels Rival1 and Rival2, BATCH rows of each of the three sorts in a transaction, as the sink does. Prints records and
seconds. User and password come from SIGHTLINE_NEO4J_USER and SIGHTLINE_NEO4J_PASSWORD.
"""
import json
import os
import sys
import time
from datetime import datetime, timedelta, timezone

from neo4j import GraphDatabase

directory, url, batch = sys.argv[1], sys.argv[2], int(sys.argv[3])
auth = (os.environ.get("SIGHTLINE_NEO4J_USER", "neo4j"), os.environ.get("SIGHTLINE_NEO4J_PASSWORD", ""))
ENTITIES = "UNWIND $rows AS row MERGE (n:Rival1 {key: row.key}) SET n = row"
OBSERVABLES = "UNWIND $rows AS row MERGE (n:Rival2 {key: row.key}) SET n = row"
LINKS = """UNWIND $rows AS row MATCH (a:Rival1 {key: row.a}) MATCH (b:Rival2 {key: row.b})
           MERGE (a)-[r:RIVAL {role: row.role}]->(b) SET r.epoch = row.epoch, r.origin = row.origin"""
TIMES = {"created", "modified", "valid_from", "valid_until", "first_seen", "last_seen"}
HEADERS = {"epoch": 1, "origin": "soc.in.intel:0:1"}


def load(name):
    with open(f"{directory}/{name}.ndjson") as lines:
        for line in lines:
            record = json.loads(line)
            if name == "links":
                ends = {"a": f"{record['tenant']}:{record['entity_id']}", "b": f"{record['tenant']}:{record['observable_id']}"}
                yield ends | {"role": record["role"]} | HEADERS
                continue
            for extra in ("doc", "observables", "entities", "holders"):
                record.pop(extra, None)
            for field in TIMES & record.keys():
                if record[field] is not None:
                    record[field] = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=record[field])
            yield record | {"key": f"{record['tenant']}:{record['id']}"} | HEADERS


def write(tx, at):
    for statement, rows in work:
        tx.run(statement, rows=rows[at : at + batch]).consume()


with GraphDatabase.driver(url, auth=auth) as driver, driver.session() as session:
    for label in ("Rival1", "Rival2"):
        session.run(f"CREATE CONSTRAINT IF NOT EXISTS FOR (n:{label}) REQUIRE n.key IS UNIQUE").consume()
    session.run("CALL db.awaitIndexes()").consume()
    work = [(ENTITIES, list(load("entities"))), (OBSERVABLES, list(load("observables"))), (LINKS, list(load("links")))]
    start = time.monotonic()
    for at in range(0, len(work[0][1]), batch):
        session.execute_write(write, at)
    seconds = time.monotonic() - start
    print(sum(len(rows) for _, rows in work), seconds)
