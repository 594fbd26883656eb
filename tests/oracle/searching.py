"""Searches and counts on the aliases of an Elasticsearch store, again and again, until its standard input ends: `searching.py elasticsearch=URL,PREFIX`.

Fails when a search fails, or finds fewer documents than before the first one. Prints how many there were."""
import sys
import threading

from elasticsearch import Elasticsearch

INDICES = ["entities", "observables", "relations"]


def main():
    url, prefix = sys.argv[1].partition("=")[2].split(",")
    # A search is to be answered at the first try.
    client = Elasticsearch(url, request_timeout=60, max_retries=0, retry_on_timeout=False)
    stop = threading.Event()

    def wait():
        sys.stdin.read()
        stop.set()

    threading.Thread(target=wait, daemon=True).start()
    aliases = [f"{prefix}-{name}" for name in INDICES]
    least = {alias: client.count(index=alias)["count"] for alias in aliases}
    assert all(least.values()), least
    print("searching", flush=True)
    searches = 0
    while not stop.is_set():
        for alias in aliases:
            found = client.search(index=alias, size=3, track_total_hits=True, query={"match_all": {}})
            assert found["_shards"]["failed"] == 0, found
            total, count = found["hits"]["total"]["value"], client.count(index=alias)["count"]
            assert min(total, count) >= least[alias], f"{alias}: {total} found, {count} counted, {least[alias]} before"
            searches += 2
    print(f"{searches} searches, none failed and none found less")


main()
