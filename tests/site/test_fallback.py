"""Which object answers a path, and what stands in where there is none."""

from __future__ import annotations

import json

import pytest
from trio.testing import MockClock

from parparchik.errors import Unavailable
from tests.fakes import unavailable
from tests.site.stage import header, request, stage

PAGE = "text/html,application/xhtml+xml,*/*;q=0.8"


@pytest.mark.parametrize(
    ("target", "key"),
    [
        ("/", "index.html"),
        ("/docs/", "docs/index.html"),
        ("/a.txt", "a.txt"),
        ("/docs/b%20c+d.txt", "docs/b c+d.txt"),
        ("/%C3%BC/%E2%82%AC.html", "ü/€.html"),
        ("/%2525", "%25"),
        ("//x", "/x"),
        ("/a%2Fb", "a/b"),
        ("/a.txt?v=1", "a.txt"),
        ("/nowhere", "404"),
        ("/DOCS/", "404"),
        ("/nowhere/", "404"),
    ],
)
async def test_paths_are_keys(autojump_clock: MockClock, target: str, key: str) -> None:
    site = stage(
        *("index.html", "docs/index.html", "a.txt", "docs/b c+d.txt", "ü/€.html", "%25", "/x"),
        "a/b",
    )
    assert await site.path_served(target) == key
    assert await site.path_served(target) == key  # from memory


async def test_a_site_is_a_part_of_a_bucket_at_a_part_of_a_host(autojump_clock: MockClock) -> None:
    site = stage("web/v1/index.html", "web/v1/a", "a", mount="/docs/", prefix="web/v1/")
    assert await site.path_served("/docs/") == "web/v1/index.html"
    assert await site.path_served("/docs/a") == "web/v1/a"
    assert await site.path_served("/d%6fcs/a") == "web/v1/a"
    assert await site.path_served("/docs/web/v1/a") == "404"
    assert await site.path_served("/other") == "400"


async def test_the_mount_without_its_slash_gets_one(autojump_clock: MockClock) -> None:
    answer = await stage("index.html", mount="/my/docs/").get("/my/docs?x=1")
    assert answer.status == 301
    assert header(answer, "location") == "./docs/?x=1"


@pytest.mark.parametrize(
    "target",
    [
        *("/..", "/../a", "/a/..", "/a/../b", "/%2e%2e/a", "/.%2E", "/a%2F..%2Fb", "/./a"),
        *("/%00", "/a%0D%0Ab", "/a%1f", "/%7f", "/%C2%80", "/%", "/%4", "/%zz", "/%ff", "/a\\..%"),
        "/" + "a" * 1025,
    ],
)
async def test_what_can_be_no_key_is_refused_and_s3_is_not_asked(
    autojump_clock: MockClock, target: str
) -> None:
    site = stage("index.html", spa="index.html")
    answer = await site.get(target, accept=PAGE)
    assert answer.status == 400
    assert not site.bytes.asked


async def test_a_key_that_is_too_long_with_its_prefix_is_missing(autojump_clock: MockClock) -> None:
    site = stage(prefix="p" * 20 + "/", clean_urls=True)
    assert (await site.get("/" + "a" * 1010)).status == 404
    assert (await site.get("/" + "a" * 1000)).status == 404
    assert [len(asked.key) for asked in site.bytes.asked] == [1021]


@pytest.mark.parametrize(("target", "status"), [("/a?", 200), ("/a?x", 400), ("/a?page=eA", 400)])
async def test_queries_may_be_refused(autojump_clock: MockClock, target: str, status: int) -> None:
    site = stage("a", reject_query_strings=True)
    assert (await site.get(target)).status == status


async def test_clean_urls(autojump_clock: MockClock) -> None:
    site = stage("about.html", "both", "both.html", "v1.2.html", clean_urls=True)
    assert await site.path_served("/about") == "about.html"
    assert await site.path_served("/about.html") == "about.html"
    assert await site.path_served("/both") == "both"
    assert await site.path_served("/v1.2") == "404"
    assert await stage("about.html").path_served("/about") == "404"


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("/docs", "./docs/"),
        ("/docs?a=b&c=%20d", "./docs/?a=b&c=%20d"),
        ("/a/b%20c", "./b%20c/"),
        ("//evil.example", "./evil.example/"),
        ("/%2Fevil.example", "./evil.example/"),
        ("///evil.example/x", "./x/"),
        ("/http:%2F%2Fevil.example", "./evil.example/"),
        ("/javascript:alert(1)", "./javascript%3Aalert%281%29/"),
        ("/%5Cevil.example", "./%5Cevil.example/"),
        ("/%40evil.example", "./%40evil.example/"),
        ('/docs?\xff"<x>'.encode("latin-1"), "./docs/?%FF%22%3Cx%3E"),
    ],
)
async def test_a_folder_gets_its_slash_and_nobody_another_host(
    autojump_clock: MockClock, target: str, location: str
) -> None:
    keys = ("docs", "a/b c", "/evil.example", "//evil.example/x", "http://evil.example")
    names = (*keys, "javascript:alert(1)", "\\evil.example", "@evil.example")
    site = stage(*(f"{name}/index.html" for name in names))
    for _ in range(2):
        answer = await site.get(target)
        assert answer.status == 301
        assert header(answer, "location") == location


async def test_an_object_goes_before_the_folder_of_its_name(autojump_clock: MockClock) -> None:
    assert await stage("docs", "docs/index.html").path_served("/docs") == "docs"


@pytest.mark.parametrize(
    ("target", "headers", "served"),
    [
        ("/app/settings", {"accept": PAGE}, "app.html"),
        ("/app/settings/", {"accept": PAGE, "sec_fetch_mode": "navigate"}, "app.html"),
        ("/app/settings", {"accept": PAGE, "sec_fetch_mode": "cors"}, "404"),
        ("/app/settings", {"accept": "*/*"}, "404"),
        ("/app/settings", {"accept": "text/html;q=0"}, "404"),
        ("/app/settings", {}, "404"),
        ("/app/logo.png", {"accept": PAGE}, "404"),
        ("/real", {"accept": PAGE}, "real"),
    ],
)
async def test_the_application_answers_for_its_pages_alone(
    autojump_clock: MockClock, target: str, headers: dict[str, str], served: str
) -> None:
    site = stage("app.html", "real", spa="app.html")
    assert await site.path_served(target, **headers) == served


async def test_caches_are_told_on_what_the_application_depends(autojump_clock: MockClock) -> None:
    site = stage("app.html", "real", spa="app.html")
    assert "sec-fetch-mode" in header(await site.get("/x", accept=PAGE), "vary")
    assert header(await site.get("/real", accept=PAGE), "vary") == ""


async def test_the_buckets_own_error_page_has_the_right_status(autojump_clock: MockClock) -> None:
    site = stage("oops.html", error="oops.html")
    answer = await site.get("/nowhere")
    assert (answer.status, answer.body) == (404, b"<oops.html>")
    assert (await site.get("/oops.html")).status == 200


async def test_without_an_error_page_there_is_a_plain_one(autojump_clock: MockClock) -> None:
    for site in (stage(), stage(error="not-there.html")):
        answer = await site.get("/nowhere", accept=PAGE)
        assert answer.status == 404
        assert header(answer, "content-type") == "text/html; charset=utf-8"
        assert header(answer, "x-content-type-options") == "nosniff"
        assert b"404 Not Found" in answer.body
        answer = await site.get("/nowhere", accept="application/json")
        assert header(answer, "content-type") == "application/json"
        assert json.loads(answer.body) == {"error": "there is no such page"}


async def test_an_error_page_that_cannot_be_had_leaves_a_404(autojump_clock: MockClock) -> None:
    site = stage("oops.html", error="oops.html")
    site.bytes.failing_keys["oops.html"] = unavailable
    assert (await site.get("/nowhere")).status == 404


async def test_absence_is_remembered_for_the_ttl(autojump_clock: MockClock) -> None:
    site = stage(ttl_s=100.0, spa="app.html", index="")
    answer = await site.get("/nowhere")
    assert header(answer, "x-cache") == "MISS"
    for _ in range(5):
        answer = await site.get("/nowhere")
        assert header(answer, "x-cache") == "HIT"
    assert site.bytes.count("open") == 1
    autojump_clock.jump(101)
    site.put("nowhere")
    assert await site.path_served("/nowhere") == "nowhere"


async def test_absence_may_be_forgotten_sooner(autojump_clock: MockClock) -> None:
    site = stage(ttl_s=100.0, negative_ttl_s=1.0)
    assert await site.path_served("/late") == "404"
    autojump_clock.jump(2)
    site.put("late")
    assert await site.path_served("/late") == "late"


@pytest.mark.parametrize("target", ["/", "/a", "/a/"])
async def test_what_s3_cannot_tell_is_no_absence(autojump_clock: MockClock, target: str) -> None:
    site = stage("app.html", spa="app.html", error="oops.html", listing=True, clean_urls=True)
    site.bytes.failing["open"] = lambda: Unavailable("S3 is away", retry_after_s=7)
    answer = await site.get(target, accept=PAGE)
    assert answer.status == 503
    assert header(answer, "retry-after") == "7"
    assert header(answer, "cache-control") == "no-store"
    site.bytes.failing.clear()
    assert (await site.get(target, accept=PAGE)).status == 200  # nothing of it was remembered


async def test_what_s3_cannot_tell_in_a_later_step_is_no_absence(
    autojump_clock: MockClock,
) -> None:
    site = stage(clean_urls=True)
    site.bytes.failing_keys["a/index.html"] = unavailable
    assert (await site.get("/a")).status == 503


async def test_hidden_keys_are_not_there(autojump_clock: MockClock) -> None:
    site = stage(".p/files.json", "a", listing=True, hides=lambda key: key.startswith(".p/"))
    for target in ("/.p/files.json", "/.p/", "/.p"):
        assert (await site.get(target)).status == 404
    assert b".p" not in (await site.get("/")).body


async def test_the_same_answer_as_long_as_nothing_has_changed(autojump_clock: MockClock) -> None:
    site = stage("a", "d/index.html")
    for target in ("/a", "/nowhere", "/d"):
        question = site.site.ask(request(target))
        await question.answer()
        first = question.answer_nowait()
        assert first is not None
        assert question.answer_nowait() is first
