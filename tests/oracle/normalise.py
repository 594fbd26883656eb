"""Normal forms and identifiers of observables, by docs/identities.md."""
import ipaddress
import json
import re
import uuid

import ada_url

NAMESPACE = uuid.UUID("00abedb4-aa42-466c-9c01-fed23315a9b7")
LONGEST = 8192
DOTS = ("[.", ".]", "(.)", "{.}", "[dot]", "(dot)", "{dot}", "\\.")
REFANGS = [(mark, ".") for mark in DOTS]
REFANGS += [(mark, "@") for mark in ("[at]", "(at)", "{at}", "[@]")]
REFANGS += [("[:]", ":"), ("[://]", "://"), ("[/]", "/")]
HIVES = {"hklm": "hkey_local_machine", "hkcu": "hkey_current_user", "hkcr": "hkey_classes_root", "hku": "hkey_users", "hkcc": "hkey_current_config"}
HASHES = {"file-md5": 32, "file-sha1": 40, "file-sha256": 64, "file-sha512": 128, "ja3": 32}
HASH_NAMES = {"file-md5": "MD5", "file-sha1": "SHA-1", "file-sha256": "SHA-256", "file-sha512": "SHA-512", "file-ssdeep": "SSDEEP", "file-tlsh": "TLSH"}


class Refused(ValueError):
    """No value of its kind."""


def refang(text):
    out = ""
    for character in text:
        out += character
        again = True
        while again:
            again = False
            for mark, plain in REFANGS:
                if out[-len(mark):].lower() == mark:
                    out, again = out[: -len(mark)] + plain, True
                    break
    return "http" + out[4:] if out[:4].lower() in ("hxxp", "htxp", "hxtp") else out


def address(text, family, bits):
    head, slash, prefix = text.partition("/")
    if slash and (not re.fullmatch(r"0|[1-9][0-9]*", prefix) or int(prefix) > bits):
        raise Refused("prefix")
    if "%" in head or (bits == 32 and not re.fullmatch(r"(0|[1-9]\d*)(\.(0|[1-9]\d*)){3}", head, re.ASCII)):
        raise Refused("address")
    try:
        network = family((head, int(prefix) if slash else bits), strict=False)
    except ValueError as error:
        raise Refused(str(error)) from None
    base = network.network_address
    shown = str(base)
    mapped = base.ipv4_mapped if bits == 128 else None
    if mapped is not None:
        shown = f"::ffff:{mapped}"
    return f"{shown}/{network.prefixlen}" if network.prefixlen < bits else shown


def domain(text):
    text = text[:-1] if text.endswith(".") else text
    try:
        name = ada_url.idna_to_ascii(text).decode() if not text.isascii() or "xn--" in text.lower() else text.lower()
    except ValueError as error:
        raise Refused(str(error)) from None
    if len(name) > 253 or not all(re.fullmatch(r"[a-z0-9_-]{1,63}", label) for label in name.split(".")) or re.fullmatch(r"[0-9]+", name.split(".")[-1]):
        raise Refused("domain")
    return name


def url(text):
    for _ in range(5):
        try:
            parsed = ada_url.URL(refang(text))
        except ValueError as error:
            raise Refused(str(error)) from None
        opaque = not parsed.pathname.startswith("/")
        if opaque or (not parsed.host and parsed.protocol != "file:"):
            raise Refused("no host")
        if parsed.href == text or not re.search(r"[\[\](){}\\]", parsed.href):
            return parsed.href
        text = parsed.href
    raise Refused("does not stand still")


def email(text):
    local, at, host = text.rpartition("@")
    if not at or not local or re.search(r"[\s@<>,;]", local):
        raise Refused("e-mail")
    return local.lower() + "@" + domain(host)


def registry_key(text):
    parts = [part.strip() for part in text.lower().split("\\")]
    parts = [part for part in parts if part]
    if text.startswith("\\") and parts and parts[0] == "registry":
        parts = parts[1:]
        if parts and parts[0] in ("machine", "user"):
            parts[0] = {"machine": "hkey_local_machine", "user": "hkey_users"}[parts[0]]
    if not parts:
        raise Refused("registry key")
    first = parts[0].removesuffix(":")
    return "\\".join([HIVES.get(first, parts[0])] + parts[1:])


def digits(text, sizes):
    if not re.fullmatch(r"[0-9a-fA-F]+", text) or len(text) not in sizes:
        raise Refused("digits")
    return text.lower()


def by_kind(kind, text):
    if kind == "ipv4-addr":
        return address(refang(text), ipaddress.IPv4Network, 32)
    if kind == "ipv6-addr":
        return address(refang(text), ipaddress.IPv6Network, 128)
    if kind == "domain-name":
        return domain(refang(text))
    if kind == "url":
        return url(text)
    if kind == "email-addr":
        return email(refang(text))
    if kind == "mac-addr":
        plain = digits(re.sub(r"[:.-]", "", text), [12])
        return ":".join(plain[at:at + 2] for at in range(0, 12, 2))
    if kind in HASHES:
        return digits(text, [HASHES[kind]])
    if kind == "x509-fingerprint":
        return digits(re.sub("[: ]", "", text), [32, 40, 64])
    if kind == "file-ssdeep":
        plain = text.split(",")[0]
        if not re.fullmatch(r"\d+:[A-Za-z0-9+/]*:[A-Za-z0-9+/]*", plain, re.ASCII):
            raise Refused("ssdeep")
        return plain
    if kind == "file-tlsh":
        plain = text.upper().removeprefix("T1")
        if not re.fullmatch("[0-9A-F]{70}", plain):
            raise Refused("tlsh")
        return "T1" + plain
    if kind == "windows-registry-key":
        return registry_key(text)
    if kind == "autonomous-system":
        plain = re.sub(r"^(ASN|AS)\s*", "", text, flags=re.IGNORECASE)
        if not re.fullmatch("[0-9]+", plain) or int(plain) >= 1 << 32:
            raise Refused("number")
        return str(int(plain))
    if kind == "user-agent":
        return " ".join(text.split())
    if kind == "vulnerability":
        if not re.fullmatch(r"CVE-\d{4}-\d{4,10}", text.upper(), re.ASCII):
            raise Refused("CVE")
        return text.upper()
    if kind in ("file-name", "mutex", "user-account", "process"):
        return text
    raise Refused(f"{kind} does not come out of STIX")


def normalise(kind, text):
    text = text.strip()
    if not text or len(text.encode()) > LONGEST or "\0" in text:
        raise Refused("empty, too long, or NUL")
    value = by_kind(kind, text)
    if len(value.encode()) > LONGEST:
        raise Refused("too long")
    return value


def identifier(kind, value):
    if kind in HASH_NAMES:
        ty, content = "file", {"hashes": {HASH_NAMES[kind]: value}}
    elif kind == "x509-fingerprint":
        ty, content = "x509-certificate", {"hashes": {{32: "MD5", 40: "SHA-1", 64: "SHA-256"}[len(value)]: value}}
    elif kind == "file-name":
        ty, content = "file", {"name": value}
    else:
        ty = kind
        content = {
            "mutex": {"name": value},
            "windows-registry-key": {"key": value},
            "autonomous-system": {"number": int(value) if value.isdigit() else 0},
            "user-account": {"account_login": value},
        }.get(kind)
        if content is None:
            standard = kind in ("ipv4-addr", "ipv6-addr", "domain-name", "url", "email-addr", "mac-addr")
            content = {"value": value} if standard else {"type": kind, "value": value}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"{ty}--{uuid.uuid5(NAMESPACE, text)}"
