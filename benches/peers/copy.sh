#!/usr/bin/env bash
# Bare COPY and upsert by psql, of the rows that the bench wrote into DIR: what the PostgreSQL sink is measured against.
# Usage: copy.sh DIR URL SCHEMA BATCH. Makes SCHEMA with the sink's tables, keys and indices; a transaction holds BATCH rows of each of the three.
# Prints rows and seconds, by the server's clock in one session, so that neither psql's start nor its connecting counts.
set -euo pipefail
dir=$1 url=$2 schema=$3 batch=$4
if [ ! -d "$dir/csv" ]; then
  mkdir "$dir/csv"
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
  for name in entities observables links; do split -a 5 -d -l "$batch" "$dir/$name.csv" "$dir/csv/$name-"; done
fi
psql -q -v ON_ERROR_STOP=1 "$url" <<SQL
SET client_min_messages = warning;
CREATE SCHEMA $schema;
CREATE TABLE $schema.entity (tenant text NOT NULL, id text NOT NULL, type text NOT NULL, name text, description text, created timestamptz,
  modified timestamptz, revoked boolean NOT NULL, confidence bigint, tlp text, labels text[] NOT NULL, sources text[] NOT NULL,
  valid_from timestamptz, valid_until timestamptz, doc jsonb NOT NULL, epoch bigint NOT NULL, origin text NOT NULL, PRIMARY KEY (tenant, id));
CREATE INDEX ON $schema.entity (type);
CREATE TABLE $schema.observable (tenant text NOT NULL, id text NOT NULL, kind text NOT NULL, value text NOT NULL, first_seen timestamptz,
  last_seen timestamptz, epoch bigint NOT NULL, origin text NOT NULL, PRIMARY KEY (tenant, id));
CREATE INDEX ON $schema.observable (kind);
CREATE INDEX ON $schema.observable USING hash (value);
CREATE TABLE $schema.entity_observable (tenant text NOT NULL, entity_id text NOT NULL, observable_id text NOT NULL, role text NOT NULL,
  epoch bigint NOT NULL, origin text NOT NULL, PRIMARY KEY (tenant, entity_id, observable_id, role));
CREATE INDEX ON $schema.entity_observable (observable_id);
SQL
{
  cat <<SQL
CREATE TEMPORARY TABLE stage_entity (LIKE $schema.entity) ON COMMIT DELETE ROWS;
CREATE TEMPORARY TABLE stage_observable (LIKE $schema.observable) ON COMMIT DELETE ROWS;
CREATE TEMPORARY TABLE stage_link (LIKE $schema.entity_observable) ON COMMIT DELETE ROWS;
SELECT clock_timestamp() AS began \gset
SQL
  for entities in "$dir"/csv/entities-*; do
    number=${entities##*-}
    cat <<SQL
BEGIN;
\copy stage_entity from '$entities' csv
\copy stage_observable from '$dir/csv/observables-$number' csv
\copy stage_link from '$dir/csv/links-$number' csv
INSERT INTO $schema.entity SELECT * FROM stage_entity ON CONFLICT (tenant, id) DO UPDATE SET type = excluded.type, name = excluded.name,
  description = excluded.description, modified = excluded.modified, doc = excluded.doc, epoch = excluded.epoch;
INSERT INTO $schema.observable SELECT * FROM stage_observable ON CONFLICT (tenant, id) DO UPDATE SET value = excluded.value, epoch = excluded.epoch;
INSERT INTO $schema.entity_observable SELECT * FROM stage_link
  ON CONFLICT (tenant, entity_id, observable_id, role) DO UPDATE SET epoch = excluded.epoch;
COMMIT;
SQL
  done
  cat <<SQL
SELECT extract(epoch FROM clock_timestamp() - :'began'::timestamptz) AS seconds \gset
SELECT (SELECT count(*) FROM $schema.entity) + (SELECT count(*) FROM $schema.observable) + (SELECT count(*) FROM $schema.entity_observable), :seconds;
SQL
} >"$dir/copy.sql"
psql -q -A -t -F ' ' -v ON_ERROR_STOP=1 -f "$dir/copy.sql" "$url"
