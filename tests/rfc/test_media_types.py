"""Types by name: the same on every host."""

from __future__ import annotations

import mimetypes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parparchik.rfc import guess_media_type, is_compressible

GUESSES = {
    "index.html": "text/html; charset=utf-8",
    "a/b.c/INDEX.HTM": "text/html; charset=utf-8",
    "s.css": "text/css; charset=utf-8",
    "a.js": "text/javascript; charset=utf-8",
    "a.min.mjs": "text/javascript; charset=utf-8",
    "a.js.map": "application/json",
    "a.json": "application/json",
    "a.svg": "image/svg+xml",
    "a.wasm": "application/wasm",
    "a.woff2": "font/woff2",
    "site.webmanifest": "application/manifest+json",
    "a.avif": "image/avif",
    "a.webp": "image/webp",
    "a.mp4": "video/mp4",
    "a.webm": "video/webm",
    "segment.ts": "video/mp2t",
    "a.m3u8": "application/vnd.apple.mpegurl",
    "a.txt": "text/plain; charset=utf-8",
    "a.tar.gz": "application/gzip",
    "favicon.ico": "image/vnd.microsoft.icon",
    "a.pdf": "application/pdf",
    "html": "",
    ".html": "",
    "a/.html": "",
    "a.html/": "",
    "a.html/b": "",
    "a.": "",
    "a.unheard-of": "",
    "": "",
    ".": "",
    "\u00e4.\u00e4": "",
}


@pytest.mark.parametrize("name", GUESSES)
def test_guesses(name: str) -> None:
    assert guess_media_type(name) == GUESSES[name]


def test_the_host_has_no_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(mimetypes.types_map, ".html", "text/x-odd")
    monkeypatch.setitem(mimetypes.types_map, ".unheard-of", "text/x-odd")
    assert guess_media_type("a.html") == "text/html; charset=utf-8"
    assert guess_media_type("a.unheard-of") == ""


@given(st.text())
def test_any_name(name: str) -> None:
    guessed = guess_media_type(name)
    assert guessed == guess_media_type("dir/" + name)
    if guessed.startswith("text/"):
        assert guessed.endswith("; charset=utf-8")


@pytest.mark.parametrize(
    ("media_type", "worth_it"),
    [
        ("text/html; charset=utf-8", True),
        ("TEXT/HTML;charset=x", True),
        ("text/x-anything", True),
        ("application/json", True),
        ("application/vnd.api+json; v=1", True),
        ("image/svg+xml", True),
        ("application/javascript", True),
        ("application/wasm", True),
        ("font/ttf", True),
        ("font/woff2", False),
        ("image/png", False),
        ("video/mp4", False),
        ("application/zip", False),
        ("application/pdf", False),
        ("application/octet-stream", False),
        ("text/event-stream", False),
        ("", False),
        ("text", False),
    ],
)
def test_what_is_worth_compressing(media_type: str, worth_it: bool) -> None:
    assert is_compressible(media_type) is worth_it
