#!/usr/bin/env bash
# Bare COPY and upsert by psql, of the rows that the bench wrote into DIR: what the PostgreSQL sink is measured against.
# Usage: copy.sh DIR URL. Prints rows and seconds. Makes the schema `rival` anew; tables, keys and indices are the sink's.
set -euo pipefail
dir=$1 url=$2
python3 - "$dir" <<'PY'
import csv, datetime, json, sys
directory = sys.argv[1]
def time(micros):
    return "" if micros is None else (datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=micros)).isoformat() + "Z"
def texts(values):
    return "{" + ",".join(json.dumps(value) for value in values) + "}"
def convert(name, row):
    with open(f"{directory}/{name}.ndjson") as lines, open(f"{directory}/{name}.csv", "w", newline="") as out:
        writer = csv.writer(out)
        for line in lines:
            writer.writerow(row(json.loads(line)) + [1, "soc.in.intel:0:1"])
convert("entities", lambda r: [r["tenant"], r["id"], r["type"], r["name"], r["description"], time(r["created"]), time(r["modified"]),
    r["revoked"], r["confidence"], r["tlp"], texts(r["labels"]), texts(r["sources"]), time(r["valid_from"]), time(r["valid_until"]), r["doc"]])
convert("observables", lambda r: [r["tenant"], r["id"], r["kind"], r["value"], time(r["first_seen"]), time(r["last_seen"])])
convert("links", lambda r: [r["tenant"], r["entity_id"], r["observable_id"], r["role"]])
PY
psql -q -v ON_ERROR_STOP=1 "$url" <<'SQL'
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS rival CASCADE;
CREATE SCHEMA rival;
CREATE TABLE rival.entity (tenant text NOT NULL, id text NOT NULL, type text NOT NULL, name text, description text, created timestamptz,
  modified timestamptz, revoked boolean NOT NULL, confidence bigint, tlp text, labels text[] NOT NULL, sources text[] NOT NULL,
  valid_from timestamptz, valid_until timestamptz, doc jsonb NOT NULL, epoch bigint NOT NULL, origin text NOT NULL, PRIMARY KEY (tenant, id));
CREATE INDEX ON rival.entity (type);
CREATE TABLE rival.observable (tenant text NOT NULL, id text NOT NULL, kind text NOT NULL, value text NOT NULL, first_seen timestamptz,
  last_seen timestamptz, epoch bigint NOT NULL, origin text NOT NULL, PRIMARY KEY (tenant, id));
CREATE INDEX ON rival.observable (kind);
CREATE INDEX ON rival.observable USING hash (value);
CREATE TABLE rival.entity_observable (tenant text NOT NULL, entity_id text NOT NULL, observable_id text NOT NULL, role text NOT NULL,
  epoch bigint NOT NULL, origin text NOT NULL, PRIMARY KEY (tenant, entity_id, observable_id, role));
CREATE INDEX ON rival.entity_observable (observable_id);
SQL
rows=$(cat "$dir"/{entities,observables,links}.csv | wc -l)
start=$(date +%s.%N)
psql -q -v ON_ERROR_STOP=1 "$url" <<SQL
BEGIN;
CREATE TEMPORARY TABLE stage_entity (LIKE rival.entity) ON COMMIT DROP;
CREATE TEMPORARY TABLE stage_observable (LIKE rival.observable) ON COMMIT DROP;
CREATE TEMPORARY TABLE stage_link (LIKE rival.entity_observable) ON COMMIT DROP;
\copy stage_entity from '$dir/entities.csv' csv
\copy stage_observable from '$dir/observables.csv' csv
\copy stage_link from '$dir/links.csv' csv
INSERT INTO rival.entity SELECT * FROM stage_entity ON CONFLICT (tenant, id) DO UPDATE SET type = excluded.type, name = excluded.name,
  description = excluded.description, modified = excluded.modified, doc = excluded.doc, epoch = excluded.epoch;
INSERT INTO rival.observable SELECT * FROM stage_observable ON CONFLICT (tenant, id) DO UPDATE SET value = excluded.value, epoch = excluded.epoch;
INSERT INTO rival.entity_observable SELECT * FROM stage_link
  ON CONFLICT (tenant, entity_id, observable_id, role) DO UPDATE SET epoch = excluded.epoch;
COMMIT;
SQL
end=$(date +%s.%N)
echo "$rows $(awk -v start="$start" -v end="$end" 'BEGIN { print end - start }')"
