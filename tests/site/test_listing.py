"""Directory listings: hostile names, pages, and what S3 is asked."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from urllib.parse import unquote, urljoin, urlsplit

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from parparchik.content import Folder
from parparchik.model import Answer, ListedObject, ObjectHead
from parparchik.site import listing as pure
from tests.fakes import unavailable
from tests.site.stage import header, stage

BASE = "http://host.example/docs/"
AS_JSON = {"accept": "application/json"}


class Page(HTMLParser):
    """What a browser would make of it."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(answer.body.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name == "href"]

    def handle_data(self, data: str) -> None:
        self.text += data + "\n"


async def test_listings_are_off(autojump_clock: MockClock) -> None:
    site = stage("docs/a")
    assert (await site.get("/docs/")).status == 404
    assert site.bytes.count("list") == 0


async def test_folders_first_then_files_with_size_and_date(autojump_clock: MockClock) -> None:
    site = stage("docs/a", "docs/z/1", "docs/z/2", "docs/m.txt", "other", listing=True)
    page = Page(answer := await site.get("/docs/"))
    assert answer.status == 200
    assert page.links == ["../", "./z/", "./a", "./m.txt"]
    assert "2026-05-28 20:26:40" in page.text
    assert "\n8\n" in page.text
    assert header(answer, "content-type") == "text/html; charset=utf-8"
    assert header(answer, "x-content-type-options") == "nosniff"
    assert header(answer, "content-security-policy").startswith("default-src 'none'; style-src 's")
    assert header(answer, "vary") == "accept"
    assert header(answer, "cache-control") == "max-age=5"
    root = Page(await site.get("/"))
    assert root.links == ["./docs/", "./other"]


async def test_json_for_programs(autojump_clock: MockClock) -> None:
    site = stage("p/docs/a ü", "p/docs/z/1", listing=True, prefix="p/", mount="/web/")
    answer = await site.get("/web/docs/", **AS_JSON)
    assert header(answer, "content-type") == "application/json"
    assert json.loads(answer.body) == {
        "path": "/web/docs/",
        "folders": ["z"],
        "files": [{"name": "a ü", "size": 13, "last_modified": "2026-05-28T20:26:40Z"}],
        "next": None,
    }


async def test_an_index_goes_first(autojump_clock: MockClock) -> None:
    site = stage("docs/index.html", "docs/a", listing=True)
    assert await site.path_served("/docs/") == "docs/index.html"


async def test_a_folder_without_an_index_gets_its_slash_too(autojump_clock: MockClock) -> None:
    site = stage("docs/a", listing=True)
    answer = await site.get("/docs")
    assert (answer.status, header(answer, "location")) == (301, "./docs/")
    assert (await site.get("/doc")).status == 404
    assert (await site.get("/doc/")).status == 404


async def test_the_empty_object_that_stands_for_a_folder_is_not_in_it(
    autojump_clock: MockClock,
) -> None:
    site = stage("docs/", listing=True)
    answer = await site.get("/docs/", **AS_JSON)
    assert json.loads(answer.body)["files"] == []


async def test_pages(autojump_clock: MockClock) -> None:
    names = [f"n{number:04}" for number in range(2 * pure.PAGE_OBJECTS + 1)]
    site = stage(*names, listing=True, reject_query_strings=True)
    target, seen, pages = "/", [], 0
    while target:
        document = json.loads((await site.get(target, **AS_JSON)).body)
        seen += [file["name"] for file in document["files"]]
        target, pages = (document["next"] or "").removeprefix("."), pages + 1
    assert seen == names
    assert pages == 3
    page = Page(await site.get("/"))
    assert page.links[-1].startswith("./?page=")
    assert (await site.get(page.links[-1][1:])).status == 200


@pytest.mark.parametrize("query", ["page=", "page=%41", "page=!!!", "page=_w", "page=eA&x", "x=1"])
async def test_what_is_no_page_of_ours(autojump_clock: MockClock, query: str) -> None:
    site = stage("a", listing=True, reject_query_strings=True)
    assert (await site.get("/?" + query)).status == 400
    assert not site.bytes.asked


HOSTILE = (
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "javascript:alert(1)",
    "data:text/html,<b>",
    "&lt;b&gt;",
    "a?b#c",
    "100%41",
    "\\\\evil.example",
    "ü €",
    "x\u202egpj.exe",
    "+",
)


async def test_hostile_names_are_text(autojump_clock: MockClock) -> None:
    site = stage(*(f"docs/{n}" for n in HOSTILE), *(f"docs/f{n}/x" for n in HOSTILE), listing=True)
    page = Page(await site.get("/docs/"))
    known = {"html", "head", "meta", "title", "style", "body", "h1"}
    assert set(page.tags) <= known | {"table", "thead", "tbody", "tr", "th", "td", "a"}
    assert not {name for name in page.attributes if name.startswith(("on", "src", "style"))}
    assert "\u202e" not in page.text
    reached = {unquote(urlsplit(urljoin(BASE, link)).path) for link in page.links}
    files = {name for name in HOSTILE if "/" not in name}
    assert reached >= {"/docs/" + name for name in files}
    for link in page.links:
        assert urljoin(BASE, link).startswith("http://host.example/")


async def test_a_hostile_folder_is_text_too(autojump_clock: MockClock) -> None:
    site = stage("<script>alert(1)<!--/a", listing=True)
    page = Page(await site.get("/%3Cscript%3Ealert(1)%3C!--/"))
    assert "script" not in page.tags
    assert page.text.count("Index of /<script>alert(1)<!--/") == 2


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30))
def test_any_name_is_a_link_to_itself(name: str) -> None:
    objects = [ListedObject(f"docs/{name}", ObjectHead(1, 0))]
    shown = pure.listing_of(
        Folder(objects, [], None), "docs/", "/docs/", is_root=True, hides=lambda key: False
    )
    links = Page(pure.as_html(shown)).links
    if shown.files:
        address = urlsplit(urljoin(BASE, links[0]))
        assert (address.netloc, address.query) == ("host.example", "")
        assert unquote(address.path) == "/docs/" + name
    else:
        assert name in (".", "..") or any(ord(c) < 32 or 127 <= ord(c) < 160 for c in name)


async def test_s3_is_asked_once_for_all_and_for_a_while(autojump_clock: MockClock) -> None:
    site = stage("docs/a", listing=True)
    answers = []

    async def ask() -> None:
        answers.append(await site.get("/docs/"))

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(ask)
    assert [answer.status for answer in answers] == [200] * 20
    autojump_clock.jump(pure.CACHED_FOR_S - 1)
    await ask()
    assert site.bytes.count("list") == 1
    autojump_clock.jump(pure.CACHED_FOR_S + 1)
    await ask()
    assert site.bytes.count("list") == 2


async def test_who_leaves_takes_nobody_along(autojump_clock: MockClock) -> None:
    site = stage("docs/a", listing=True, index="")
    asking, go_on = trio.Event(), trio.Event()

    async def hold(point: str, asked: object) -> None:
        asking.set()
        await go_on.wait()

    site.bytes.at = hold
    answers = []

    async def ask() -> None:
        answers.append(await site.get("/docs/"))

    async with trio.open_nursery() as nursery:
        first = trio.CancelScope()

        async def ask_and_leave() -> None:
            with first:
                await ask()

        nursery.start_soon(ask_and_leave)
        await asking.wait()
        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        first.cancel()
        await trio.testing.wait_all_tasks_blocked()
        go_on.set()
    assert [answer.status for answer in answers] == [200]


async def test_a_failure_is_an_error_and_not_kept(autojump_clock: MockClock) -> None:
    site = stage("docs/a", listing=True)
    site.bytes.failing["list"] = unavailable
    assert (await site.get("/docs/")).status == 503
    assert (await site.get("/docs")).status == 503
    site.bytes.failing.clear()
    assert (await site.get("/docs/")).status == 200
