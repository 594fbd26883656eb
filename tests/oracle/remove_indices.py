"""Removes the indices and data streams of a cell: `remove_indices.py URL CELL`."""
import sys

from elasticsearch import ApiError, Elasticsearch

url, cell = sys.argv[1:]
# Late joiners are named after the cell, with a suffix.
pattern = f"{cell}*-*"
client = Elasticsearch(url)
try:
    client.indices.delete_data_stream(name=pattern)
except ApiError as error:
    # A distribution without the module of data streams makes them, and cannot remove them.
    if error.status_code != 405:
        raise
for line in client.cat.indices(index=pattern, h="index", expand_wildcards="open,closed").splitlines():
    if not line.startswith("."):
        client.indices.delete(index=line)
