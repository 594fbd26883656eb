"""What a cell should hold of a set of packages: entities, relations, links, by docs/extraction.md, docs/identities.md and the rules of ARCHITECTURE.md."""
import datetime
import json
import pathlib
import re
import sys
import uuid
import warnings

import stix2
from blake3 import blake3
from stix2.exceptions import STIXError

import extract
from normalise import identifier

REFERENCES = uuid.UUID("6c1f5f0e-9a57-4d0b-8f3e-2b6d71c40a93")
UUIDS = re.compile(r"--([0-9a-f]{8}-[0-9a-f]{4}-)([0-9a-f])([0-9a-f]{3}-)([0-9a-f])([0-9a-f]{3}-[0-9a-f]{12})\b", re.IGNORECASE)


def instant(text):
    """Microseconds, or None. What the standard allows is a subset of what Python reads."""
    if text is None:
        return None
    whole, _, fraction = text.rstrip("Z").partition(".")
    seconds = datetime.datetime.fromisoformat(whole).replace(tzinfo=datetime.timezone.utc)
    return int(seconds.timestamp()) * 1_000_000 + int((fraction + "000000")[:6])


def objects_of(data):
    value = json.loads(data)
    if isinstance(value, dict) and value.get("type") in ("bundle", None):
        return value.get("objects", [])
    return value if isinstance(value, list) else [value]


def refusal(thing):
    """Why the stix2 library does not take an object, or None. Any UUID will do: the versions that the library asks for are a matter of taste."""
    versions = "45" if "spec_version" in thing else "4"

    def as_asked(match):
        head, version, middle, variant, tail = match.groups()
        return f"--{head}{version if version in versions else '4'}{middle}{variant if variant in '89ab' else '8'}{tail}".lower()

    text = UUIDS.sub(as_asked, json.dumps(thing))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            stix2.parse(text, allow_custom=True)
    except (STIXError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0][:160]}"
    return None


def spelt(reference):
    """An identifier with its UUID in lower case."""
    return reference.lower() if isinstance(reference, str) else reference


class Version:
    """One object of one package."""

    def __init__(self, thing, package):
        canonical = json.dumps(thing, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        self.thing, self.package = thing, package
        self.id, self.type = spelt(thing["id"]), thing["type"]
        self.modified = instant(thing.get("modified"))
        self.hash = blake3(canonical.encode()).digest()[:16]
        self.revoked = thing.get("revoked", False)

    def within(self):
        return (self.modified is not None, self.modified or 0, self.hash)

    def rank(self):
        newest = self.package.newest
        return (self.modified is not None, self.modified or 0, newest is not None, newest or 0, self.hash)

    def in_force(self, now):
        start, end = instant(self.thing.get("valid_from")), instant(self.thing.get("valid_until"))
        return not self.revoked and (start is None or start <= now) and (end is None or now < end)


class Package:
    """A file under a feed."""

    def __init__(self, name, feed, data, refused):
        self.name, self.feed = name, feed
        kept = {}
        for thing in objects_of(data):
            if refused(thing):
                continue
            version = Version(thing, self)
            if version.id not in kept or version.within() > kept[version.id].within():
                kept[version.id] = version
        self.versions = kept
        times = [version.modified for version in kept.values() if version.modified is not None]
        self.newest = max(times, default=None)


class State:
    """What all packages together say. `snapshots`: feeds whose newest package is the whole feed."""

    def __init__(self, packages, snapshots=(), now=None):
        now = now or int(datetime.datetime.now(datetime.timezone.utc).timestamp() * 1_000_000)
        packages = [package for package in packages if package.feed not in snapshots or package is newest_of(packages, package.feed)]
        winners, self.sources = {}, {}
        for package in packages:
            for version in package.versions.values():
                self.sources.setdefault(version.id, set()).add(package.feed)
                if version.id not in winners or version.rank() > winners[version.id].rank():
                    winners[version.id] = version
        self.entities = {at: version for at, version in winners.items() if version.type != "relationship"}
        self.links, self.relations = set(), {}
        self.observables = {}
        holding = {at: self.hold(version) if version.in_force(now) else set() for at, version in winners.items()}
        for at, holds in holding.items():
            version = self.entities.get(at)
            if version is not None and version.type == "observed-data" and version.in_force(now):
                for reference in version.thing.get("object_refs", []):
                    holds = holds | {(kind, value, "observed") for kind, value, role in holding.get(reference, ()) if role == "object"}
            for kind, value, role in holds:
                observable = identifier(kind, value)
                self.observables[observable] = (kind, value)
                self.links.add((at, observable, role))
        for at, version in winners.items():
            self.relate(version)

    @staticmethod
    def hold(version):
        return set(extract.of_object(version.thing))

    def relate(self, version):
        thing = version.thing
        if version.type == "relationship":
            ends = spelt(thing["source_ref"]), spelt(thing["target_ref"])
            if not version.revoked and all(end in self.entities for end in ends):
                self.relations[version.id] = (thing["relationship_type"], *ends)
            return
        for name, value in thing.items():
            if not name.endswith(("_ref", "_refs")):
                continue
            ty = re.sub("_refs?$", "", name).replace("_", "-")
            for target in map(spelt, value if isinstance(value, list) else [value]):
                if target in self.entities:
                    key = uuid.uuid5(REFERENCES, f"{version.id} {ty} {target}")
                    self.relations[f"reference--{key}"] = (ty, version.id, target)


def newest_of(packages, feed):
    """By newest `modified`, then by the hash of the bytes; the releases that are compared differ in the first."""
    return max((package for package in packages if package.feed == feed), key=lambda package: package.newest or 0)


def read(folder, refused, feed=None):
    """Every file below a folder as a package of one feed, or of the feed that `process` names after the file."""
    paths = sorted(path for path in pathlib.Path(folder).iterdir() if path.is_file())
    return [Package(path.name, feed or path.name.split(".")[0], path.read_bytes(), refused) for path in paths]


if __name__ == "__main__":
    reasons = {}
    for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
        for at, thing in enumerate(objects_of(path.read_bytes())):
            why = refusal(thing)
            if why:
                print(path.name, at, thing.get("id"), why, sep="\t")
