"""A documentation tree as a generator makes it: pages that link to each other, styles, scripts,
images, a search index, a video, an error page. Always the same, byte for byte."""

from __future__ import annotations

import json
import struct
import subprocess
import zlib
from pathlib import Path

CHAPTERS = 12
PAGES = 24  # of a chapter
ODD_PAGE = "appendix/a+b & ü 100%.html"
_STYLE = "body{font-family:sans-serif;color:#123}nav a{margin:.2em}img{width:32px}\n" * 40
_FILM = (
    "ffmpeg -loglevel error -y -f lavfi -i testsrc2=duration=120:size=480x270:rate=25"
    " -c:v libx264 -preset ultrafast -g 50 -pix_fmt yuv420p -movflags +faststart"
)
_SCRIPT = """
document.documentElement.dataset.script = "ran";
fetch(document.currentScript.dataset.root + "assets/search.json")
  .then((answer) => answer.json())
  .then((index) => { document.documentElement.dataset.search = index.length; });
"""


def docs_tree() -> dict[str, bytes]:
    """Key to bytes, without the video."""
    files = {
        "assets/style.css": _STYLE.encode(),
        "assets/site.js": _SCRIPT.encode(),
        "assets/logo.png": _png(32),
        "assets/figure.svg": _figure(),
        "404.html": _page("Not here", "", "<p id=lost>This page is lost.</p>").encode(),
    }
    index = []
    for chapter in range(CHAPTERS):
        for number in range(PAGES):
            key = f"chapter-{chapter}/page-{number}.html"
            index.append({"title": f"Page {chapter}.{number}", "href": key})
            files[key] = _chapter_page(chapter, number).encode()
        files[f"chapter-{chapter}/index.html"] = _chapter_index(chapter).encode()
    files[ODD_PAGE] = _page("Odd", "../", "<p>An odd name.</p>").encode()
    chapters = "".join(f'<a href="chapter-{n}/">Chapter {n}</a>' for n in range(CHAPTERS))
    odd = '<a id=odd href="appendix/a+b%20&amp;%20%C3%BC%20100%25.html">odd</a>'
    film = '<video id=film src="assets/film.mp4" preload=metadata muted></video>'
    files["index.html"] = _page("Start", "", f"<nav>{chapters}{odd}</nav>{film}").encode()
    files["assets/search.json"] = json.dumps(index).encode()
    return files


def film(path: Path) -> bytes:
    """Two minutes that can be sought in: some megabytes of H.264, the index first."""
    subprocess.run(
        [*_FILM.split(), str(path)],
        check=True,
        stdin=subprocess.DEVNULL,
    )
    return path.read_bytes()


def _chapter_page(chapter: int, number: int) -> str:
    following = f"page-{number + 1}.html" if number + 1 < PAGES else "../"
    text = f"<p>{'Lorem ipsum of its own. ' * (20 + 7 * number)}</p>"
    return _page(f"Page {chapter}.{number}", "../", f'{text}<a id=next href="{following}">next</a>')


def _chapter_index(chapter: int) -> str:
    links = "".join(f'<a href="page-{n}.html">{n}</a>' for n in range(PAGES))
    return _page(f"Chapter {chapter}", "../", f"<nav>{links}</nav>")


def _page(title: str, root: str, body: str) -> str:
    return (
        f"<!doctype html><html lang=en><head><meta charset=utf-8><title>{title}</title>"
        f'<link rel=icon href="{root}assets/logo.png">'
        f'<link rel=stylesheet href="{root}assets/style.css"></head><body><h1>{title}</h1>'
        f'<img src="{root}assets/logo.png" alt=""><img src="{root}assets/figure.svg" alt="">'
        f'{body}<script src="{root}assets/site.js" data-root="{root}"></script></body></html>'
    )


def _figure() -> bytes:
    return (
        b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><circle cx="4" cy="4" r="4"/>'
        b"</svg>"
    )


def _png(size: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        checked = kind + data
        return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))

    rows = b"".join(b"\0" + bytes((x * y) % 256 for x in range(size)) for y in range(size))
    head = struct.pack(">IIBBBBB", size, size, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
