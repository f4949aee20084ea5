"""Directory listings as documents, and the tokens of their pages. Pure.

Names come from whoever may write to the bucket: they are escaped as text, encoded as links, and a
link begins with a dot, so that no name is a scheme (`javascript:`) or another host (`//`).
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from urllib.parse import quote

import msgspec

from parparchik.content import Folder
from parparchik.errors import BadTarget
from parparchik.model import Answer, Headers
from parparchik.rfc import format_iso8601
from parparchik.site.pages import HTML, JSON, KIND, NO_SNIFFING, POLICY, page

PAGE_OBJECTS = 500
CACHED_FOR_S = 5

_CACHE_CONTROL = (b"cache-control", b"max-age=%d" % CACHED_FOR_S)
_MAX_TOKEN_BYTES = 4096
# What no request of ours may have in a path: a link to it would lead to an error.
_NOT_ASKED_FOR = re.compile("[\x00-\x1f\x7f-\x9f]|^\\.{1,2}/?$")
# These reverse the text around them, and so can show one name as another.
_MISLEADING = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_PAGE = re.compile(rb"page=([A-Za-z0-9_-]{1,%d})" % (_MAX_TOKEN_BYTES * 4 // 3))


@dataclass(frozen=True, slots=True)
class File:
    name: str
    size_bytes: int
    last_modified_s: int


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of a folder as a reader sees it: `path` begins and ends with a slash, names are
    relative to it, those of folders without theirs. `following` is the next page's token."""

    path: str
    folders: tuple[str, ...]
    files: tuple[File, ...]
    following: str
    is_root: bool


class _FileDocument(msgspec.Struct):
    name: str
    size: int
    last_modified: str


class _Document(msgspec.Struct):
    path: str
    folders: list[str]
    files: list[_FileDocument]
    next: str | None


def listing_of(
    folder: Folder, prefix: str, path: str, *, is_root: bool, hides: Callable[[str], bool]
) -> Listing:
    """What is below `prefix` and may be shown."""
    start = len(prefix)
    folders = [key[start:-1] for key in folder.prefixes if not hides(key)]
    files = [
        File(item.key[start:], item.head.size_bytes, item.head.last_modified_s)
        for item in folder.objects
        if item.key != prefix and not hides(item.key)
    ]
    return Listing(
        path,
        tuple(name for name in folders if not _NOT_ASKED_FOR.search(name)),
        tuple(file for file in files if not _NOT_ASKED_FOR.search(file.name)),
        token_text(folder.next_token),
        is_root,
    )


def token_text(token: str | None) -> str:
    """S3's token as one word of a URL; '' for none."""
    return urlsafe_b64encode((token or "").encode()).rstrip(b"=").decode()


def page_token(query: bytes) -> str | None:
    """S3's token from a query; None where it asks for no page. Raises BadTarget for a token that
    can be none of ours."""
    if not query.startswith(b"page="):
        return None
    if found := _PAGE.fullmatch(query):
        with suppress(ValueError):
            return urlsafe_b64decode(found[1] + b"=" * (-len(found[1]) % 4)).decode()
    raise BadTarget("there is no such page")


def as_html(listing: Listing, headers: Headers = ()) -> Answer:
    rows = [] if listing.is_root else [_row("../", "../", "", "")]
    rows += [_row(_link(name) + "/", name + "/", "", "") for name in listing.folders]
    rows += [
        _row(_link(file.name), file.name, f"{file.size_bytes:,}", _time(file.last_modified_s))
        for file in listing.files
    ]
    head = '<tr><th>Name</th><th class="n">Bytes</th><th class="n">Last modified (UTC)</th></tr>'
    body = f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"
    if listing.following:
        body += f'<p><a rel="next" href="{escape(_next(listing))}">More</a></p>'
    data = page(f"Index of {_shown(listing.path)}", body)
    shared = (HTML, POLICY, NO_SNIFFING, _CACHE_CONTROL)
    return Answer(200, (*shared, *headers), data, KIND)


def as_json(listing: Listing, headers: Headers = ()) -> Answer:
    """`{path, folders: [name], files: [{name, size, last_modified}], next}`; `next` is a relative
    URL or null."""
    document = _Document(
        listing.path,
        list(listing.folders),
        [
            _FileDocument(f.name, f.size_bytes, format_iso8601(f.last_modified_s))
            for f in listing.files
        ],
        _next(listing) if listing.following else None,
    )
    shared = (JSON, NO_SNIFFING, _CACHE_CONTROL)
    return Answer(200, (*shared, *headers), msgspec.json.encode(document), KIND)


def _row(link: str, name: str, size: str, modified: str) -> str:
    return (
        f'<tr><td><a href="{escape(link)}">{escape(_shown(name))}</a></td>'
        f'<td class="n">{size}</td><td class="n">{modified}</td></tr>'
    )


def _link(name: str) -> str:
    return "./" + quote(name, safe="")


def _next(listing: Listing) -> str:
    return "./?page=" + listing.following


def _shown(name: str) -> str:
    return _MISLEADING.sub("�", name)


def _time(time_s: int) -> str:
    return format_iso8601(time_s).replace("T", " ").rstrip("Z")
