"""Compares stores with the oracle.

    compare.py FOLDER [--snapshot-feed FEED] [--feed FEED] ndjson=DIR postgres=URL,SCHEMA elasticsearch=URL,PREFIX neo4j=URL,TENANT

FOLDER holds the packages that were ingested. Prints counts by type of the oracle and of each store; exit code 1 on any difference.
"""
import argparse
import collections
import sys

import leniency
import state
import stores


def difference(name, expected, found, show):
    """Prints how two maps or sets differ; returns in how many places."""
    missing, extra = expected.keys() - found.keys(), found.keys() - expected.keys()
    different = [key for key in expected.keys() & found.keys() if expected[key] != found[key]]
    for word, keys in (("missing", missing), ("extra", extra), ("different", different)):
        if keys:
            print(f"  {name}: {len(keys)} {word}")
            for key in sorted(keys)[:show]:
                print(f"    {key} expected {str(expected.get(key))[:300]} found {str(found.get(key))[:300]}")
    return len(missing) + len(extra) + len(different)


def plain(pairs):
    return {pair: True for pair in pairs}


def columns(thing):
    named = thing.get("name")
    return {"id": thing["id"], "type": thing["type"], "name": named if named is not None else thing.get("value"), "revoked": thing.get("revoked", False)}


def compare(expected, held, is_graph, show):
    entities = {key: columns(version.thing) if is_graph else version.thing for key, version in expected.entities.items()}
    found = held.entities
    if is_graph:
        # `value` names cyber-observables only; any other object without a name has none.
        found = {key: dict(row) for key, row in found.items()}
        for key, row in found.items():
            if key in entities and row["name"] is None and "name" not in expected.entities[key].thing:
                row["name"] = entities[key]["name"]
    wrong = difference("entity", entities, found, show)
    wrong += difference("sources", {key: sorted(expected.sources[key]) for key in entities}, {key: sorted(value) for key, value in held.sources.items()}, show)
    wrong += difference("observable", expected.observables, held.observables, show)
    wrong += difference("link", plain(expected.links), plain(held.links), show)
    wrong += difference("relation", expected.relations, held.relations, show)
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("stores", nargs="+")
    parser.add_argument("--feed", help="all packages came under this feed")
    parser.add_argument("--snapshot-feed", action="append", default=[])
    parser.add_argument("--show", type=int, default=5)
    arguments = parser.parse_args()
    expected = state.State(state.read(arguments.folder, leniency.refused, arguments.feed), arguments.snapshot_feed)
    counts = collections.Counter(version.type for version in expected.entities.values())
    print(f"oracle: {len(expected.entities)} entities, {len(expected.observables)} observables, {len(expected.links)} links, {len(expected.relations)} relations")
    print("  " + ", ".join(f"{ty} {count}" for ty, count in sorted(counts.items())))
    if not expected.entities:
        sys.exit("the oracle found nothing to compare")
    wrong = 0
    for store in arguments.stores:
        kind, _, where = store.partition("=")
        address, _, name = where.partition(",")
        held = stores.READERS[kind](address, name)
        by_type = collections.Counter(thing["type"] for thing in held.entities.values())
        print(f"{kind}: {len(held.entities)} entities, {len(held.observables)} observables, {len(held.links)} links, {len(held.relations)} relations")
        differences = compare(expected, held, kind == "neo4j", arguments.show)
        print(f"  {'equal' if not differences else f'{differences} DIFFERENCES'}; counts by type {'equal' if by_type == counts else 'DIFFER'}")
        wrong += differences
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
