"""Parsers of where things are: below which path and host, in which part of a bucket, for whom.

The same rules as in `values`: a ValueError says what was expected and never repeats the value.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv6Address, ip_network
from typing import get_args
from urllib.parse import urlsplit

from parparchik.config.model import Permission

# Characters that stand in a URL as they are: nobody can spell such a path in a second way.
_PATH = re.compile(r"[A-Za-z0-9._~/-]{0,255}")
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,251}[a-z0-9])?")
_ORIGIN = re.compile(r"(https?://)([^/:@\[\]]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_PERMISSIONS = get_args(Permission)
_LONGEST_KEY_BYTES = 1024


def mount(raw: object) -> str:
    """A path that begins and ends with a slash; slashes that are missing at the ends are added."""
    given = raw.strip() if isinstance(raw, str) else ""
    inner = given.removeprefix("/").removesuffix("/")
    if not _PATH.fullmatch(inner) or (_odd(inner) and given != "/"):
        raise ValueError("expected a path such as /docs/, of letters, digits, '-', '_', '.', '~'")
    return f"/{inner}/" if inner else "/"


def own_mount(raw: object) -> str:
    """The same, for what cannot answer for everything."""
    path = mount(raw)
    if path == "/":
        raise ValueError("expected a path of its own, such as /objects/")
    return path


def site_host(raw: object) -> str:
    """The host of a URL as clients send it, in lower case and without its port; '' is any."""
    name = raw.strip().lower().removesuffix(".") if isinstance(raw, str) else "?"
    if name.startswith("[") and name.endswith("]"):
        try:
            address = IPv6Address(name[1:-1])
        except AddressValueError:
            name = "?"
        else:
            name = "?" if address.scope_id else f"[{address}]"
            if name != "?":
                return name
    if name and not _HOST.fullmatch(name):
        raise ValueError("expected a host name without a port, such as www.example.com")
    return name


def key_prefix(raw: object) -> str:
    """What keys begin with, a folder: '' or with a slash at its end and none at its beginning."""
    inner = _key(raw, "expected the beginning of keys, such as docs/").removesuffix("/")
    return f"{inner}/" if inner else ""


def optional_key(raw: object) -> str:
    """An object key without a slash at its beginning; '' is none."""
    key = _key(raw, "expected an object key such as 404.html")
    if key.endswith("/"):
        raise ValueError("expected an object key such as 404.html, not a folder")
    return key


def file_name(raw: object) -> str:
    """The last segment of keys."""
    name = _key(raw, _FILE_EXPECTED)
    if not name or "/" in name:
        raise ValueError(_FILE_EXPECTED)
    return name


_FILE_EXPECTED = "expected the name of a file, such as index.html"


def _key(raw: object, expected: str) -> str:
    key = raw.strip().removeprefix("/") if isinstance(raw, str) else "\n"
    too_long = len(key.encode(errors="replace")) > _LONGEST_KEY_BYTES
    if not key.isprintable() or too_long or (key and _odd(key.removesuffix("/"))):
        raise ValueError(expected)
    return key


def _odd(path: str) -> bool:
    """Whether a segment is empty, `.` or `..`."""
    return any(segment in ("", ".", "..") for segment in path.split("/"))


def origins(raw: object) -> tuple[str, ...]:
    """Origins (RFC 6454 section 6.2) as browsers send them, or `*` alone: separated by commas or
    as a TOML array; none at all is nobody."""
    given = raw.split(",") if isinstance(raw, str) else raw
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        raise ValueError(_ORIGINS_EXPECTED)
    found = [one.strip().lower().removesuffix("/") for one in given if one.strip()]
    if "*" in found and len(found) > 1:
        raise ValueError("expected either * or origins, not both")
    if not all(one == "*" or _is_origin(one) for one in found):
        raise ValueError(_ORIGINS_EXPECTED)
    return tuple(dict.fromkeys(found))


_ORIGINS_EXPECTED = "expected origins such as https://app.example.com, or *"


def _is_origin(one: str) -> bool:
    match = _ORIGIN.fullmatch(one)
    if match is None:
        return False
    if match[3] and not 0 < int(match[3][1:]) < 65_536:
        return False
    try:
        return site_host(match[2]) == match[2]
    except ValueError:
        return False


def networks(raw: object) -> tuple[str, ...]:
    """Addresses and networks in CIDR notation, separated by commas or as a TOML array."""
    given = raw.split(",") if isinstance(raw, str) else raw
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        raise ValueError(_NETWORKS_EXPECTED)
    try:
        found = [str(ip_network(one.strip(), strict=False)) for one in given if one.strip()]
    except ValueError:
        raise ValueError(_NETWORKS_EXPECTED) from None
    return tuple(dict.fromkeys(found))


_NETWORKS_EXPECTED = "expected addresses or networks such as 10.0.0.0/8, separated by commas"


def sink_url(raw: object) -> str:
    """Where request metrics go; which schemes fit is a matter of the kind of sink."""
    url = raw.strip() if isinstance(raw, str) else ""
    scheme, separator, rest = url.partition("://")
    if not url.isascii() or not url.isprintable() or " " in url or not separator or not rest:
        raise ValueError(_SINK_EXPECTED)
    try:
        # A connection string may name several hosts, each with its port.
        host = urlsplit(url).hostname
        usable = bool(host) and ("mongodb" in scheme.lower() or urlsplit(url).port != 0)
    except ValueError:
        usable = False
    if scheme.lower() not in _SINK_SCHEMES or not usable:
        raise ValueError(_SINK_EXPECTED)
    return f"{scheme.lower()}://{rest}"


_SINK_SCHEMES = ("tcp", "http", "https", "mongodb", "mongodb+srv")

_SINK_EXPECTED = "expected a URL such as tcp://host:8089, https://host/write?db=x, mongodb://host"


def bucket_name(raw: object) -> str:
    """Which names a server allows is its own matter."""
    name = raw.strip() if isinstance(raw, str) else ""
    if not _BUCKET.fullmatch(name):
        raise ValueError("expected the name of a bucket")
    return name


def bucket_permissions(raw: object) -> tuple[tuple[str, Permission], ...]:
    """Who may do what, as estrois writes it (`public:read,private:all`), or as a TOML array of
    such items, or as a TOML table."""
    if isinstance(raw, dict):
        pairs = list(raw.items())
    else:
        items = raw.split(",") if isinstance(raw, str) else raw
        if not isinstance(items, list) or not all(isinstance(one, str) for one in items):
            raise ValueError(_PERMISSIONS_EXPECTED)
        pairs = [tuple(one.split(":")) for one in items]
    found: dict[str, Permission] = {}
    for pair in pairs:
        name, permission = (_word(pair, 0), _word(pair, 1).lower())
        if len(pair) != 2 or not _BUCKET.fullmatch(name) or permission not in _PERMISSIONS:
            raise ValueError(_PERMISSIONS_EXPECTED)
        if name in found:
            raise ValueError("expected each bucket once")
        found[name] = permission  # type: ignore[assignment]  # it is one of them
    if not found:
        raise ValueError(_PERMISSIONS_EXPECTED)
    return tuple(found.items())


_PERMISSIONS_EXPECTED = (
    "expected bucket:permission,... with the permission read, write or all, such as"
    " public:read,private:all"
)


def _word(pair: tuple[object, ...], index: int) -> str:
    word = pair[index] if index < len(pair) else ""
    return word.strip() if isinstance(word, str) else ""
