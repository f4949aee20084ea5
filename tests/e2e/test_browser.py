"""A documentation tree in a private bucket, clicked through in a real browser."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.cli.conftest import bare_environment, buckets, moto_endpoint
from tests.cli.moto_buckets import Buckets
from tests.e2e.browser import Browser, browser
from tests.e2e.docs_tree import CHAPTERS, ODD_PAGE, PAGES, docs_tree, film
from tests.plain_http import NO_TLS
from tests.real_s3.serving import Server, serving

__all__ = ["bare_environment", "buckets", "moto_endpoint"]

_NEEDED = [name for name in ("chromium", "ffmpeg") if shutil.which(name) is None]
pytestmark = pytest.mark.skipif(
    bool(_NEEDED) and not os.environ.get("PARPARCHIK_REQUIRE_BROWSER"),
    reason=f"not installed: {', '.join(_NEEDED)}",
)
_SETTINGS = """
[[site]]
bucket = "{bucket}"
prefix = "docs/"
error = "404.html"
"""


@dataclass(frozen=True)
class Visit:
    browser: Browser
    server: Server
    film: bytes

    @property
    def statuses(self) -> Counter[int]:
        return Counter(each.status for each in self.browser.loaded)


@pytest.fixture(scope="module")
def moving(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return film(tmp_path_factory.mktemp("film") / "film.mp4")


@pytest.fixture
def visit(buckets: Buckets, moving: bytes, tmp_path: Path) -> Iterator[Visit]:
    for key, data in {**docs_tree(), "assets/film.mp4": moving}.items():
        buckets.put(buckets.private, f"docs/{key}", data)
    settings = tmp_path / "site.toml"
    settings.write_text(_SETTINGS.format(bucket=buckets.private))
    environ = {
        **{name: value for name, value in buckets.environ.items() if name != "PARPARCHIK_BUCKETS"},
        "PARPARCHIK_CONFIG": str(settings),
        "PARPARCHIK_PORT": "0",
        "PARPARCHIK_LOG_FORMAT": "json",
    }
    with serving(environ) as server, browser(tmp_path / "profile") as window:
        yield Visit(window, server, moving)


def test_every_page_is_reached_by_clicking(visit: Visit) -> None:
    window = visit.browser
    window.open(visit.server.url + "/")
    assert window.evaluate("getComputedStyle(document.body).color") == "rgb(17, 34, 51)"
    titles = set()
    for chapter in range(CHAPTERS):
        window.click(f"document.querySelectorAll('nav a')[{chapter}]")
        assert urlsplit(window.url).path == f"/chapter-{chapter}/"
        window.click("document.querySelector('nav a')")
        for _ in range(PAGES):
            titles.add(window.evaluate("document.title"))
            assert window.evaluate("[...document.images].every((i) => i.naturalWidth > 0)")
            window.click("document.querySelector('#next')")
        assert urlsplit(window.url).path == "/"
    assert len(titles) == CHAPTERS * PAGES
    window.until(
        lambda: window.evaluate("document.documentElement.dataset.search") == str(len(titles))
    )
    assert set(visit.statuses) <= {200, 206, 304}
    assert not window.complaints
    kinds = {each.mime_type for each in window.loaded}
    assert kinds == {
        *("text/html", "text/css", "text/javascript", "application/json"),
        *("image/png", "image/svg+xml", "video/mp4"),
    }


def test_odd_names_lost_pages_and_folders(visit: Visit) -> None:
    window = visit.browser
    window.open(visit.server.url + "/")
    window.click("document.querySelector('#odd')")
    assert window.evaluate("document.title") == "Odd"
    assert window.evaluate("decodeURIComponent(location.pathname)") == f"/{ODD_PAGE}"
    window.loaded.clear()
    window.open(visit.server.url + "/no/such/page")
    assert window.evaluate("document.querySelector('#lost') !== null")
    assert window.loaded[0].status == 404
    window.open(visit.server.url + "/chapter-3?from=mail")
    assert window.evaluate("location.pathname + location.search") == "/chapter-3/?from=mail"
    assert window.evaluate("document.title") == "Chapter 3"


def test_a_page_loaded_again_is_not_sent_again(visit: Visit) -> None:
    window = visit.browser
    page = visit.server.url + "/chapter-1/page-1.html"
    first = httpx.get(page, verify=NO_TLS)
    again = httpx.get(page, headers={"if-none-match": first.headers["etag"]}, verify=NO_TLS)
    assert (again.status_code, again.content) == (304, b"")
    window.open(page)
    window.reload()
    assert window.evaluate("document.title") == "Page 1.1"
    told = '"path":"/chapter-1/page-1.html","status":304'
    visit.server.until(lambda: visit.server.process.output.count(told) == 2)


def test_a_film_is_played_and_sought_in(visit: Visit) -> None:
    window = visit.browser
    window.open(visit.server.url + "/")
    window.until(lambda: window.evaluate("film.readyState") >= 1)
    assert abs(window.evaluate("film.duration") - 120) < 1
    for second in (100, 5, 60, 119):
        window.evaluate(
            f"new Promise((done) => {{ film.onseeked = done; film.currentTime = {second} }})"
        )
        assert abs(window.evaluate("film.currentTime") - second) < 1
    assert window.evaluate("film.play().then(() => film.error === null)")
    parts = [each for each in window.loaded if each.url.endswith(".mp4")]
    assert {each.status for each in parts} == {206}
    assert len({each.headers["content-range"] for each in parts}) > 1, "it never sought"


def test_what_a_player_asks_first(visit: Visit) -> None:
    """`bytes=0-` is a range like any other: Safari plays nothing that answers it with 200."""
    url = visit.server.url + "/assets/film.mp4"
    size = len(visit.film)
    answer = httpx.get(url, verify=NO_TLS, headers={"range": "bytes=0-"})
    assert answer.status_code == 206
    assert answer.headers["content-range"] == f"bytes 0-{size - 1}/{size}"
    assert answer.content == visit.film
    answer = httpx.get(url, verify=NO_TLS, headers={"range": "bytes=0-1"})
    assert (answer.status_code, answer.content) == (206, visit.film[:2])
    answer = httpx.get(url, verify=NO_TLS, headers={"range": "bytes=-1000"})
    assert (answer.status_code, answer.content) == (206, visit.film[-1000:])
    answer = httpx.get(url, verify=NO_TLS, headers={"range": f"bytes={size}-"})
    assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{size}")


def test_what_a_script_reads(visit: Visit) -> None:
    answer = httpx.get(visit.server.url + "/assets/search.json", verify=NO_TLS)
    assert len(json.loads(answer.content)) == CHAPTERS * PAGES
