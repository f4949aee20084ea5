"""Parsers of single values: from an environment's text or a TOML value to what Config holds.

Each takes the raw value and returns the parsed one, or raises ValueError whose text says what was
expected. They never repeat the value (it may be a secret): who calls them knows whether it may be
shown. An environment gives text only, so every parser takes text; TOML's own types are taken
where they mean the same.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from ipaddress import AddressValueError, IPv6Address
from pathlib import Path
from urllib.parse import urlsplit

_LARGEST = 1_000_000_000
_INTEGER = re.compile(r"[0-9]{1,10}")
_DURATION = re.compile(r"([0-9]{1,10}(?:\.[0-9]{1,9})?)\s*(ms|s|m|h|d)?")
_SECONDS = {None: 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_BOOLEANS = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}
_SERVICE_LINK = re.compile(r"(tcp|udp|sctp)://")
_HOST = re.compile(r"[A-Za-z0-9._:%-]{1,255}")
_URL_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,253}[A-Za-z0-9])?")
_URL_PATH = re.compile(r"[A-Za-z0-9._~/-]*")  # what signatures need not encode
_REGION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_VISIBLE = re.compile(r"[\x21-\x7e]+")


def text(raw: object) -> str:
    """Text on one line, without spaces around it."""
    stripped = raw.strip() if isinstance(raw, str) else ""
    if not stripped or not stripped.isprintable():
        raise ValueError("expected text on one line")
    return stripped


def visible(raw: object) -> str:
    """A credential or a name that travels in HTTP headers: ASCII without spaces."""
    if not isinstance(raw, str) or not _VISIBLE.fullmatch(raw.strip()):
        raise ValueError("expected ASCII characters without spaces")
    return raw.strip()


def boolean(raw: object) -> bool:
    parsed = _BOOLEANS.get(str(raw).strip().lower()) if isinstance(raw, (str, int)) else None
    if parsed is None:
        raise ValueError("expected true or false (or yes/no, on/off, 1/0)")
    return parsed


def integer(low: int, high: int = _LARGEST) -> Callable[[object], int]:
    """A whole number within bounds, the bounds included."""

    def parse(raw: object) -> int:
        number = raw if isinstance(raw, int) and not isinstance(raw, bool) else None
        if isinstance(raw, str) and _INTEGER.fullmatch(raw.strip()):
            number = int(raw.strip())
        if number is None or not low <= number <= high:
            raise ValueError(f"expected a whole number from {low} to {high}")
        return number

    return parse


def port(raw: object) -> int:
    """A TCP port; 0 lets the system choose.

    Kubernetes puts `PARPARCHIK_PORT=tcp://10.0.0.1:8080` into every pod of a namespace that has
    a Service named parparchik, so that reading needs an explanation of its own.
    """
    if isinstance(raw, str) and _SERVICE_LINK.match(raw):
        raise ValueError(
            "this is a Kubernetes service link, injected because a Service bears our name: set"
            " enableServiceLinks: false in the pod's spec, or set the port there explicitly"
        )
    return _PORT_NUMBER(raw)


_PORT_NUMBER = integer(0, 65_535)

fixed_port = integer(1, 65_535)
"""A TCP port that has to be known before."""


def workers(raw: object) -> int:
    """How many processes; `auto` is 0: as many as there are processors."""
    if isinstance(raw, str) and raw.strip().lower() == "auto":
        return 0
    try:
        return _WORKERS(raw)
    except ValueError as error:
        raise ValueError(f"{error}, or auto") from None


_WORKERS = integer(1, 256)


def seconds(*, above: float | None = None) -> Callable[[object], float]:
    """A duration: a number of seconds, or a number with a unit (`500ms 2s 5m 24h 7d`).

    Without `above` zero is allowed; with it the duration must exceed it.
    """
    bounds = "0 or more" if above is None else f"more than {above:g}"

    def parse(raw: object) -> float:
        number = _duration(raw)
        if not number <= _LARGEST or not (number >= 0 if above is None else number > above):
            raise ValueError(f"expected seconds, {bounds}, or a duration such as 500ms, 2s or 24h")
        return number

    return parse


def whole_seconds(low: int, high: int) -> Callable[[object], int]:
    """A duration of whole seconds within bounds, the bounds included."""

    def parse(raw: object) -> int:
        number = _duration(raw)
        if not low <= number <= high or number != int(number):
            raise ValueError(f"expected whole seconds from {low} to {high}, or such as 15m or 24h")
        return int(number)

    return parse


def _duration(raw: object) -> float:
    """Seconds; NaN, which is within no bounds, where `raw` is no duration."""
    if isinstance(raw, (int, float)) and not isinstance(raw, bool):
        return float(raw) if abs(raw) <= _LARGEST else math.nan
    match = _DURATION.fullmatch(raw.strip().lower()) if isinstance(raw, str) else None
    if match is None:
        return math.nan
    # Milliseconds by division: 200 * 0.001 is not 0.2.
    number = float(match[1])
    return number / 1000 if match[2] == "ms" else number * _SECONDS[match[2]]


def choice(*allowed: str) -> Callable[[object], str]:
    """One of a few words, in any case."""

    def parse(raw: object) -> str:
        chosen = raw.strip().lower() if isinstance(raw, str) else ""
        if chosen not in allowed:
            raise ValueError(f"expected one of {', '.join(allowed)}")
        return chosen

    return parse


def host(raw: object) -> str:
    """An address or name to listen on; an IPv6 address may stand in brackets."""
    name = raw.strip() if isinstance(raw, str) else ""
    if name.startswith("[") and name.endswith("]"):
        name = name[1:-1]
    if not _HOST.fullmatch(name):
        raise ValueError("expected an address or a host name, such as 127.0.0.1, :: or localhost")
    return name


def region(raw: object) -> str:
    """A region goes into AWS host names and into signatures."""
    if not isinstance(raw, str) or not _REGION.fullmatch(raw.strip()):
        raise ValueError("expected a region such as us-east-1")
    return raw.strip()


def manifest_key(raw: object) -> str:
    """An object key that routes can keep apart: no empty, `.` or `..` segment, 1,024 bytes."""
    key = raw.strip() if isinstance(raw, str) else ""
    odd = any(segment in ("", ".", "..") for segment in key.split("/"))
    if odd or not key.isprintable() or len(key.encode(errors="replace")) > 1024:
        raise ValueError("expected an object key such as .parparchik/files.json")
    return key


def path(raw: object) -> Path:
    return Path(text(raw))


def api_keys(raw: object) -> tuple[str, ...]:
    """API keys, separated by commas or as a TOML array; at least one.

    A list that turns out empty is refused: it would silently ask nobody for a key.
    """
    given = raw.split(",") if isinstance(raw, str) else raw
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        raise ValueError("expected keys separated by commas, or an array of them")
    keys = [one.strip() for one in given if one.strip()]
    if not keys or not all(_VISIBLE.fullmatch(one) for one in keys):
        raise ValueError("expected at least one key, each of ASCII characters without spaces")
    return tuple(dict.fromkeys(keys))


def endpoint(raw: object) -> str:
    """An S3 endpoint as a URL without a trailing slash; '' means AWS.

    `host:port` means http. What is allowed is what can stand before a key in a URL (RFC 3986
    section 3): no user, no query, no fragment.
    """
    given = raw.strip() if isinstance(raw, str) else "?"
    if not given:
        return ""
    if not _VISIBLE.fullmatch(given):
        raise ValueError(f"{_ENDPOINT_EXPECTED}, in ASCII (a host name in its xn-- form)")
    scheme, authority, url_path = _split(given if "://" in given else f"http://{given}")
    if scheme not in ("http", "https"):
        raise ValueError("expected the scheme http or https")
    if not _URL_PATH.fullmatch(url_path) or any(s in (".", "..") for s in url_path.split("/")):
        raise ValueError("expected a URL without a query, a fragment or odd characters")
    return f"{scheme}://{authority}{url_path.rstrip('/')}"


_ENDPOINT_EXPECTED = "expected host:port or a URL such as https://s3.example.com"


def _split(url: str) -> tuple[str, str, str]:
    """Scheme, authority (host in lower case, port) and path, which keeps any query: the caller
    refuses its '?'."""
    try:
        parts = urlsplit(url)
        name, number = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError(_ENDPOINT_EXPECTED) from None
    if "@" in parts.netloc:
        raise ValueError("expected a URL without a user: keys belong in AWS_ACCESS_KEY_ID")
    if ":" in name:
        try:
            name = f"[{IPv6Address(name)}]"
        except AddressValueError:
            raise ValueError(_ENDPOINT_EXPECTED) from None
    elif not _URL_HOST.fullmatch(name):
        raise ValueError(_ENDPOINT_EXPECTED)
    if number == 0 or parts.netloc.endswith(":"):
        raise ValueError(_ENDPOINT_EXPECTED)
    rest = url.split("://", 1)[1]
    return parts.scheme, name + (f":{number}" if number else ""), rest[len(parts.netloc) :]
