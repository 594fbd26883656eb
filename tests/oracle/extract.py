"""What a STIX object holds, by docs/extraction.md; patterns are read by the stix2 library's grammar."""
import re

from stix2 import pattern_visitor, patterns
from stix2.pattern_visitor import create_pattern_object

from normalise import Refused, normalise

ALGORITHMS = {"MD5": "file-md5", "SHA1": "file-sha1", "SHA256": "file-sha256", "SHA512": "file-sha512", "SSDEEP": "file-ssdeep", "TLSH": "file-tlsh"}
BY_LENGTH = {32: "file-md5", 40: "file-sha1", 64: "file-sha256", 128: "file-sha512"}
VALUES = ("ipv4-addr", "ipv6-addr", "domain-name", "url", "email-addr", "mac-addr")
DOT = r"(?:\.|\[\.\]|\(\.\)|\[dot\]|\(dot\))"
FANGED = r"(?:\[\.\]|\(\.\)|\[dot\]|\(dot\))"
TLDS = "com|net|org|info|biz|edu|gov|mil|int|ru|cn|su|ir|kp|ua|de|uk|fr|nl|br|jp|kr|tw|hk|vn|top|xyz|online|club|shop|icu|cc|tk|ga|cf|gq|eu|io"
PROSE = [
    ("url", r"(?i)\b(?:h(?:tt|xx)ps?|ftp)(?::|\[:\])(?://|\[/\]\[/\]|/\[/\])[^\s<>\"'`|\\^{}]+"),
    ("email-addr", rf"(?i)[a-z0-9._%+-]+(?:@|\[at\]|\(at\)|\[@\])(?:[a-z0-9-]+{DOT})+[a-z]{{2,24}}\b"),
    ("ipv4-addr", rf"(?i)\b\d{{1,3}}(?:{DOT}\d{{1,3}}){{3}}\b"),
    ("domain-name", rf"(?i)\b[a-z0-9-]+(?:{DOT}[a-z0-9-]+)*{FANGED}[a-z][a-z0-9-]+(?:{DOT}[a-z0-9-]+)*"),
    ("domain-name", rf"\b(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+(?:{TLDS})\b"),
    ("hash", r"\b(?:[A-Fa-f0-9]{128}|[A-Fa-f0-9]{64}|[A-Fa-f0-9]{40}|[A-Fa-f0-9]{32})\b"),
    ("vulnerability", r"(?i)\bCVE-\d{4}-\d{4,10}\b"),
]
PROSE = [(kind, re.compile(rule, re.ASCII)) for kind, rule in PROSE]


class Together(patterns._BooleanExpression):
    """`AND` as the grammar has it: real feeds join properties of several objects, which the library's own class refuses."""

    def __init__(self, operands):
        self.operator, self.operands = "AND", list(operands)
        self.root_types = set().union(*(operand.root_types for operand in operands))


pattern_visitor.AndBooleanExpression = Together


def algorithm(name):
    return ALGORITHMS.get(re.sub("[^A-Za-z0-9]", "", name).upper())


class Holds(set):
    """(kind, value, role)"""

    def add_text(self, kind, text, role):
        if kind and isinstance(text, str):
            try:
                self.add((kind, normalise(kind, text), role))
            except Refused:
                pass


def of_object(thing):
    holds = Holds()
    ty = thing["type"]
    if ty == "indicator" and thing.get("pattern_type", "stix") == "stix":
        of_pattern(thing["pattern"], "spec_version" in thing, holds)
    if ty == "observed-data":
        for item in thing.get("objects", {}).values():
            of_observable(item, "observed", holds)
    elif ty == "vulnerability":
        holds.add_text("vulnerability", thing.get("name"), "object")
        for reference in thing.get("external_references", []):
            if reference.get("source_name", "").lower() == "cve":
                holds.add_text("vulnerability", reference.get("external_id"), "object")
    else:
        of_observable(thing, "object", holds)
    if isinstance(thing.get("description"), str):
        of_prose(thing["description"], holds)
    return holds


def of_observable(thing, role, holds):
    ty = thing["type"]
    if ty in VALUES:
        holds.add_text(ty, thing.get("value"), role)
    elif ty in ("file", "artifact"):
        if ty == "file":
            holds.add_text("file-name", thing.get("name"), role)
        for name, value in thing.get("hashes", {}).items():
            holds.add_text(algorithm(name), value, role)
    elif ty == "x509-certificate":
        for value in thing.get("hashes", {}).values():
            holds.add_text("x509-fingerprint", value, role)
    elif ty == "autonomous-system" and isinstance(thing.get("number"), int):
        holds.add_text(ty, str(thing["number"]), role)
    else:
        properties = {"mutex": "name", "windows-registry-key": "key", "process": "command_line", "user-account": "account_login"}
        if ty in properties:
            value = thing.get(properties[ty])
            holds.add_text(ty, value if value is not None or ty != "user-account" else thing.get("user_id"), role)


def of_prose(text, holds):
    for kind, rule in PROSE:
        taken = []
        for match in rule.finditer(text):
            value, of = match.group(), kind
            if kind == "url":
                value = trim(value)
            elif kind == "hash":
                of = BY_LENGTH[len(value)]
            try:
                holds.add((of, normalise(of, value), "description"))
                taken.append(match.span())
            except Refused:
                pass
        for start, end in taken:
            text = text[:start] + " " * (end - start) + text[end:]


def trim(url):
    while True:
        cut = url.rstrip(".,;:!?*")
        for opening, closing in ("()", "[]"):
            if cut.endswith(closing) and cut.count(closing) > cut.count(opening):
                cut = cut[:-1]
                break
        if cut == url:
            return url
        url = cut


def of_pattern(text, is_21, holds):
    found = {}
    walk(create_pattern_object(text, version="2.1" if is_21 else "2.0"), True, found)
    for (kind, value), suffices in found.items():
        holds.add((kind, value, "pattern" if suffices else "pattern-part"))


def walk(node, suffices, found):
    if isinstance(node, patterns.QualifiedObservationExpression):
        qualifier = node.qualifier
        alone = isinstance(qualifier, patterns.WithinQualifier) or (isinstance(qualifier, patterns.RepeatQualifier) and int(str(qualifier.times_to_repeat)) == 1)
        walk(node.observation_expression, suffices and alone, found)
    elif isinstance(node, patterns.ParentheticalExpression):
        walk(node.expression, suffices, found)
    elif isinstance(node, patterns.ObservationExpression):
        walk(node.operand, suffices, found)
    elif isinstance(node, (patterns._CompoundObservationExpression, patterns._BooleanExpression)):
        for part in node.operands:
            walk(part, suffices and node.operator == "OR", found)
    elif isinstance(node, (patterns.EqualityComparisonExpression, patterns.InComparisonExpression)) and not node.negated:
        literals = node.rhs.value if isinstance(node.rhs, patterns.ListConstant) else [node.rhs]
        for literal in literals:
            # The library keeps the text as it stands between the quotes.
            value = re.sub(r"\\(.)", r"\1", str(literal.value)) if isinstance(literal, patterns.StringConstant) else str(literal.value)
            for kind in kinds(node.lhs):
                try:
                    key = (kind, normalise(kind, value))
                except Refused:
                    continue
                found[key] = found.get(key, False) or suffices
                break


def kinds(path):
    """The kinds that a property may be, the first that fits counting."""
    ty = path.object_type_name
    names = [component.property_name.strip("'") for component in path.property_path]
    if len(names) == 1:
        plain = {("mutex", "name"), ("windows-registry-key", "key"), ("autonomous-system", "number"), ("vulnerability", "name")}
        if ty in VALUES and names == ["value"] or (ty, names[0]) in plain:
            return [ty]
        return {("user-account", "account_login"): ["user-account"], ("user-account", "user_id"): ["user-account"],
                ("process", "command_line"): ["process"], ("file", "name"): ["file-name"]}.get((ty, names[0]), [])
    if ty == "email-message" and names[-1] == "value" and re.search("_refs?$", names[-2]):
        return ["email-addr"]
    if ty == "x509-certificate" and len(names) == 2 and names[0] == "hashes":
        return ["x509-fingerprint"]
    if ty in ("file", "artifact", "process") and names[-2] == "hashes":
        return [algorithm(names[-1])] if algorithm(names[-1]) else []
    if ty == "network-traffic" and [name.lower() for name in names] == ["extensions", "http-request-ext", "request_header", "user-agent"]:
        return ["user-agent"]
    if (ty, names) in [("network-traffic", ["src_ref", "value"]), ("network-traffic", ["dst_ref", "value"]), ("domain-name", ["resolves_to_refs", "value"])]:
        return ["ipv4-addr", "ipv6-addr", "mac-addr", "domain-name"]
    return []
