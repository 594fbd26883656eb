"""Which objects the product refuses: those that the stix2 library refuses, but for the exceptions that docs/extraction.md names."""
import re

import state
from normalise import Refused, normalise

# The library's complaint, and what the product says to it.
ACCEPTED = [
    "TLPMarkingDefinitionError",  # a TLP marking of one's own making
    "is not a valid (MD5|SHA-1|SHA-256|SHA-512|SSDEEP|TLSH) hash",  # what is no hash is not linked; the object stays
    "Invalid value for \\w+ 'extensions'",  # nothing depends on what extensions require
    "for ExtensionDefinition: \\(created_by_ref\\)",
    "analysis_sco_refs, result",
    "Invalid value for Sighting 'count'",
    "'(contains|resolves_to)_refs': The type-specifying prefix",
    "Location",
    "\\(object_refs, objects\\) properties for ObservedData are mutually exclusive",
]
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*[:\[]")


def refused(thing):
    why = state.refusal(thing)
    if why is not None and not any(re.search(accepted, why) for accepted in ACCEPTED):
        return True
    # The library takes any text for a value, a relationship of any name, and an end before its start.
    if thing["type"] == "malware-analysis" and thing.get("analysis_ended", "~") < thing.get("analysis_started", ""):
        return True
    if thing["type"] == "relationship" and not re.fullmatch("[a-z0-9-]+", thing["relationship_type"]):
        return True
    embedded = thing.get("objects", {}).values() if thing["type"] == "observed-data" else ()
    return any(worthless(item) for item in (thing, *embedded))


def worthless(item):
    """An address that is none, a URL without a scheme, traffic from nowhere to nowhere."""
    ty, value = item["type"], item.get("value")
    try:
        if ty in ("ipv4-addr", "ipv6-addr") and isinstance(value, str):
            normalise(ty, value)
    except Refused:
        return True
    if ty == "network-traffic":
        return "src_ref" not in item and "dst_ref" not in item
    return ty == "url" and isinstance(value, str) and not SCHEME.match(value)
