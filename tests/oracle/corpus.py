"""The STIX packages below a folder, as files of their own: `corpus.py FROM INTO` unpacks archives and takes bundles out of recordings.

A package's file is named after where it came from; its feed is that name, which `process` gives it too. Prints what it leaves out, and why.
"""
import gzip
import hashlib
import json
import lzma
import pathlib
import re
import sys
import tarfile


def packages(folder):
    """Yields (name, bytes) of all that looks like STIX JSON, in the order of names."""
    for path in sorted(folder.rglob("*")):
        name = re.sub("[^A-Za-z0-9]+", "-", str(path.relative_to(folder)).split(".json")[0])
        if path.name.endswith(".json"):
            yield name, path.read_bytes()
        elif path.name.endswith((".json.xz", ".json.gz")):
            yield name, (lzma if path.suffix == ".xz" else gzip).open(path).read()
        elif path.name.endswith((".jsonl", ".jsonl.xz")) and "misp" in path.parts:
            lines = (lzma.open(path) if path.suffix == ".xz" else open(path, "rb")).read().splitlines()
            for number, line in enumerate(lines):
                for at, bundle in enumerate(bundles(json.loads(line))):
                    yield f"{re.sub('[^A-Za-z0-9]+', '-', path.name.split('.')[0])}-{number}-{at}", json.dumps(bundle).encode()
        elif path.name.endswith(".tar.xz") and "stix" in path.name:
            with tarfile.open(path) as archive:
                for member in sorted(archive.getmembers(), key=lambda member: member.name):
                    if member.isfile() and member.name.endswith(".json"):
                        yield re.sub("[^A-Za-z0-9]+", "-", member.name.removesuffix(".json")), archive.extractfile(member).read()


def bundles(value):
    """Every bundle at any depth of a recording."""
    if isinstance(value, dict):
        if value.get("type") == "bundle":
            yield value
        else:
            for inner in value.values():
                yield from bundles(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from bundles(inner)


def is_stix(data):
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return False
    if isinstance(value, dict) and isinstance(value.get("objects"), list):
        things = value["objects"]
    else:
        things = value if isinstance(value, list) else [value]
    return bool(things) and all(isinstance(thing, dict) and "--" in str(thing.get("id")) and "type" in thing for thing in things)


def main(source, target):
    target.mkdir(parents=True, exist_ok=True)
    seen, left_out = set(), []
    for name, data in packages(source):
        digest = hashlib.sha256(data).hexdigest()
        if digest in seen:
            left_out.append(f"{name}: the same bytes as another")
        elif not is_stix(data):
            left_out.append(f"{name}: not STIX")
        else:
            seen.add(digest)
            (target / f"{name}.json").write_bytes(data)
    print(f"{len(seen)} packages")
    for line in left_out:
        print(line, file=sys.stderr)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
