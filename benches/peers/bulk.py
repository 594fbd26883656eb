"""A bare bulk loop with the official Python client: what the Elasticsearch sink is measured against. Usage: bulk.py DIR URL PREFIX MODEL

Makes indices that begin with PREFIX, with the mappings of those that the sink made under MODEL. Prints documents and seconds.
"""
import json
import sys
import time

from elasticsearch import Elasticsearch
from elasticsearch.helpers import bulk

directory, url, prefix, model = sys.argv[1:]
client = Elasticsearch(url, request_timeout=120)
for name in ("entities", "observables"):
    mappings = next(iter(client.indices.get_mapping(index=f"{model}-{name}").values()))["mappings"]
    client.indices.create(index=f"{prefix}-{name}", mappings=mappings, settings={"number_of_replicas": 0})

TIMES = {"created", "modified", "valid_from", "valid_until", "first_seen", "last_seen"}


def actions(name):
    with open(f"{directory}/{name}.ndjson") as lines:
        for line in lines:
            record = json.loads(line)
            for field in TIMES & record.keys():
                record[field] = record[field] and time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record[field] // 1_000_000))
            if "doc" in record:
                record["doc"] = json.loads(record["doc"])
            record |= {"epoch": 1, "origin": "soc.in.intel:0:1", "deleted": False}
            yield {"_index": f"{prefix}-{name}", "_id": f"{record['tenant']}:{record['id']}", "_source": record}


# The sink's requests: one sort after the other, at most 8 MiB each.
documents = {name: list(actions(name)) for name in ("entities", "observables")}
client.cluster.health()
start = time.monotonic()
count = sum(bulk(client, documents[name], chunk_size=5_000, max_chunk_bytes=8 << 20)[0] for name in documents)
seconds = time.monotonic() - start
print(count, seconds)
