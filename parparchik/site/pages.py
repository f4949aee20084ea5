"""The pages that a site makes itself where the bucket has none: errors. Pure.

A person gets a page, a program that asks for it JSON. Neither may be kept by a cache: a 404 is
true for the moment, a 401 or a 5xx for this caller and this moment.
"""

from __future__ import annotations

import base64
import hashlib
from html import escape
from http import HTTPStatus

import msgspec

from parparchik.errors import ParparchikError, Unavailable
from parparchik.model import Answer, Headers

KIND = "site"

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem}"
    "table{border-collapse:collapse;width:100%}"
    "td,th{padding:.2rem .8rem .2rem 0;text-align:left}"
    "td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}"
    "@media(prefers-color-scheme:dark){body{background:#111;color:#ddd}a{color:#8bf}}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

NO_SNIFFING = (b"x-content-type-options", b"nosniff")
HTML = (b"content-type", b"text/html; charset=utf-8")
JSON = (b"content-type", b"application/json")
POLICY = (
    b"content-security-policy",
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'".encode(),
)
"""Nothing runs and nothing is loaded, whatever the names of objects hold."""

_NO_STORE = (b"cache-control", b"no-store")


class _Problem(msgspec.Struct):
    error: str


def page(title: str, body: str) -> bytes:
    """A whole document. `title` is text, `body` HTML."""
    head = f'<meta charset="utf-8"><title>{escape(title)}</title>'
    view = '<meta name="viewport" content="width=device-width">'
    return (
        f'<!doctype html><html lang="en"><head>{head}{view}<style>{_STYLE}</style></head>'
        f"<body><h1>{escape(title)}</h1>{body}</body></html>\n"
    ).encode()


def problem(status: int, message: str, *, as_json: bool, headers: Headers = ()) -> Answer:
    """An error's page, or its JSON."""
    shared = (_NO_STORE, NO_SNIFFING, *headers)
    if as_json:
        return Answer(status, (JSON, *shared), msgspec.json.encode(_Problem(message)), KIND)
    body = page(f"{status} {HTTPStatus(status).phrase}", f"<p>{escape(message)}</p>")
    return Answer(status, (HTML, POLICY, *shared), body, KIND)


def failure(error: ParparchikError, *, as_json: bool, headers: Headers = ()) -> Answer:
    """What an error of ours looks like to a client."""
    if isinstance(error, Unavailable):
        headers = (*headers, (b"retry-after", b"%d" % error.retry_after_s))
    return problem(error.status, error.client_message, as_json=as_json, headers=headers)
