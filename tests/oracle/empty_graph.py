"""Empties the graph of the tests' own Neo4j: `empty_graph.py URL`. Its community edition has one database, which the cells of the tests take in turn."""
import os
import sys

from neo4j import GraphDatabase

auth = (os.environ.get("SIGHTLINE_NEO4J_USER", "neo4j"), os.environ.get("SIGHTLINE_NEO4J_PASSWORD", ""))
with GraphDatabase.driver(sys.argv[1], auth=auth) as driver, driver.session() as session:
    session.run("MATCH (n) CALL { WITH n DETACH DELETE n } IN TRANSACTIONS OF 10000 ROWS").consume()
