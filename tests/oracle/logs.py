"""Counts the records of logs and archives below a folder, with nothing but the standard library.

    logs.py FOLDER    one JSON object a member: {"file", "member", "records", "kind"}

A record is a JSON object (on its own or in a list), a line that is not blank (of a text), a line without `#` (of Zeek's), or a row behind
the header (of CSV). What only looks like a log (packet captures, encrypted members) has kind "closed" and no records.
"""

import bz2
import csv
import io
import json
import lzma
import pathlib
import sys
import tarfile
import zipfile
import zlib


def gunzip(data):
    """All streams in a row; what follows them and is none is left out, as gzip does."""
    parts = []
    while data[:2] == b"\x1f\x8b":
        stream = zlib.decompressobj(31)
        parts.append(stream.decompress(data))
        data = stream.unused_data
    return b"".join(parts)


def members(name, data):
    """Yields (path, bytes or None) of everything within; None is what cannot be opened."""
    if data[:2] == b"\x1f\x8b":
        yield from members(name, gunzip(data))
    elif data[:6] == b"\xfd7zXZ\x00":
        yield from members(name, lzma.decompress(data))
    elif data[:3] == b"BZh" and data[4:10] == b"1AY&SY":
        yield from members(name, bz2.decompress(data))
    elif data[:4] == b"PK\x03\x04":
        archive = zipfile.ZipFile(io.BytesIO(data))
        for entry in archive.infolist():
            if entry.is_dir() or "__MACOSX/" in entry.filename or entry.filename.split("/")[-1].startswith("._"):
                continue
            path = f"{name}!{entry.filename}"
            if entry.flag_bits & 1:
                yield path, None
            else:
                yield from members(path, archive.read(entry))
    elif data[257:262] == b"ustar":
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for entry in archive:
                if entry.isfile() and not entry.name.split("/")[-1].startswith("._"):
                    yield from members(f"{name}!{entry.name}", archive.extractfile(entry).read())
    else:
        yield name, data


def kind_and_records(data):
    if data is None or data[:4] in (b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4", b"\n\r\r\n"):
        return "closed", 0
    text = data.decode("utf-8-sig", errors="replace")
    first = text.lstrip()[:1]
    if first in ("{", "["):
        return "json", json_records(text)
    lines = [line for line in text.splitlines() if line.strip()]
    if lines and lines[0].startswith("#separator"):
        return "zeek", sum(not line.startswith("#") for line in lines)
    if lines and lines[0].count(",") > 3 and "=" not in lines[0]:
        return "csv", sum(1 for row in csv.reader(io.StringIO(text)) if row) - 1
    return "text", len(lines)


def json_records(text):
    decoder, at, records = json.JSONDecoder(), 0, 0
    while True:
        while at < len(text) and text[at] in " \t\r\n":
            at += 1
        if at >= len(text):
            return records
        value, at = decoder.raw_decode(text, at)
        records += len(value) if isinstance(value, list) else 1


def main():
    root = pathlib.Path(sys.argv[1])
    files = [root] if root.is_file() else sorted(path for path in root.rglob("*") if path.is_file())
    for file in files:
        name = file.name if root.is_file() else file.relative_to(root).as_posix()
        if name.split("/")[-1].startswith(("LICENSE", "INDEX")):
            continue
        for path, data in members(name, file.read_bytes()):
            kind, records = kind_and_records(data)
            print(json.dumps({"file": name, "member": path, "kind": kind, "records": records}))


if __name__ == "__main__":
    main()
