"""Which mount answers for a host and a path, or none."""

from __future__ import annotations

import pytest

from parparchik.errors import BadTarget, OutOfRange
from parparchik.model import Request
from parparchik.web import Mounts, Place
from tests.mounts import FakeMount
from tests.site.stage import stage
from tests.web.conftest import FakeRoutes, StartWeb

OBJECTS, DOCS, DEEP, SITE, ROOT = (FakeMount() for _ in range(5))
NAMES = {id(OBJECTS): "objects", id(DOCS): "docs", id(DEEP): "deep", id(SITE): "site"}
PLACES = (
    Place("", "/docs/", DOCS),
    Place("", "/docs/deep/", DEEP),
    Place("", "/objects/", OBJECTS),
    Place("Site.Example.", "/", SITE),
    Place("part.example", "/docs/", DOCS),
)

TABLE = [
    ("t", "/objects/b/k", "objects"),
    ("t", "/objects/", "objects"),
    ("t", "/objects", "objects"),
    ("t", "/objectsx", None),
    ("t", "/objects2/k", None),
    ("t", "/Objects/k", None),
    ("t", "//objects/k", None),
    ("t", "/%6fbjects/k", "objects"),
    ("t", "/%6Fbjects", "objects"),
    ("t", "/docs%2fdeep%2Fa", "deep"),
    ("t", "/docs/%64eep/a", "deep"),
    ("t", "/docs/d%65ep", "deep"),
    ("t", "/%64ocs/deep/a", "deep"),
    ("t", "/docs%2Fa", "docs"),
    ("t", "/docs%252Fa", None),
    ("t", "/docs/%zz%", "docs"),
    ("t", "/%73tatus", None),
    ("t", "/docs/a", "docs"),
    ("t", "/docs/deep/a", "deep"),
    ("t", "/docs/deep", "deep"),
    ("t", "/docs/deeper", "docs"),
    ("t", "/", None),
    ("t", "/status", None),
    ("t", "*", None),
    ("", "/docs/a", "docs"),
    ("site.example", "/", "site"),
    ("SITE.example:8080", "/docs/a", "site"),
    ("site.example.", "/status", "site"),
    ("site.example:", "/readiness", "site"),
    ("site.example", "/_proxy/_private/_cache/clear", "site"),
    ("www.site.example", "/x", None),
    ("site.example.org", "/docs/a", "docs"),
    ("[::1]:80", "/docs/a", "docs"),
    ("part.example", "/docs/a", "docs"),
    ("part.example", "/other", "nobody"),
    ("part.example", "/status", "nobody"),
]


@pytest.mark.parametrize(("host", "path", "whose"), TABLE)
def test_the_host_then_the_longest_prefix(host: str, path: str, whose: str | None) -> None:
    found = Mounts(PLACES, FakeRoutes()).find(host.encode(), path.encode())
    assert (None if found is None else NAMES.get(id(found), "nobody")) == whose


@pytest.mark.parametrize("places", [PLACES, PLACES[::-1]])
def test_the_order_of_places_does_not_matter(places: tuple[Place, ...]) -> None:
    assert Mounts(places, FakeRoutes()).find(b"", b"/docs/deep/a") is DEEP


def test_a_mount_of_everything_leaves_the_management_api_its_paths() -> None:
    mounts = Mounts([Place("", "/", ROOT), Place("", "/docs/", DOCS)], FakeRoutes())
    assert mounts.find(b"h", b"/status") is None
    assert mounts.ask(Request("GET", b"/status?x")) is None
    assert mounts.find(b"h", b"/status/x") is ROOT
    assert mounts.find(b"h", b"/docs/x") is DOCS
    assert mounts.find(b"h", b"/bucket/key") is ROOT


@pytest.mark.parametrize("path", [b"/%C3%A9%20d/x", b"/%c3%a9%20%64/x", b"/\xc3\xa9 d/x"])
def test_a_prefix_is_the_same_in_every_encoding(path: bytes) -> None:
    mounts = Mounts([Place("", "/é d/", DOCS)], FakeRoutes())
    assert mounts.find(b"", path) is DOCS


def test_a_host_of_other_letters() -> None:
    mounts = Mounts([Place("bücher.example", "/", SITE)], FakeRoutes())
    assert mounts.find(b"xn--bcher-kva.example", b"/") is SITE


def test_routes_have_the_rest() -> None:
    routes = FakeRoutes()
    mounts = Mounts(PLACES, routes)
    assert mounts.ask(Request("GET", b"/bucket/key", headers=((b"host", b"t"),))) is not None
    assert [request.target for request in routes.asked] == [b"/bucket/key"]


def test_what_a_mount_does_not_answer_is_for_the_web_plane() -> None:
    mounts = Mounts([Place("", "/d/", FakeMount(methods=("POST",)))], FakeRoutes())
    assert mounts.ask(Request("GET", b"/d/x")) is None


async def test_every_failure_of_a_mount_is_an_answer(start_web: StartWeb) -> None:
    mount = FakeMount(
        {
            b"/d/bad": BadTarget("no"),
            b"/d/range": OutOfRange("beyond", size_bytes=7),
            b"/d/bug": RuntimeError("a bug"),
        }
    )
    web = await start_web(places=[Place("", "/d/", mount)])
    assert (await web.ask("GET", "/d/bad")).json == {"error": "no"}
    reply = await web.ask("GET", "/d/range")
    assert (reply.status, reply.header("content-range")) == (416, "bytes */7")
    assert (await web.ask("GET", "/d/bug")).status == 500


async def test_methods_that_a_mount_has_not(start_web: StartWeb) -> None:
    mount = FakeMount(methods=("GET", "HEAD", "PUT"))
    web = await start_web(places=[Place("", "/d/", mount)])
    reply = await web.ask("DELETE", "/d/x")
    assert (reply.status, reply.header("allow")) == (405, "GET, HEAD, PUT")
    assert (await web.ask("PUT", "/bucket/key")).header("allow") == "GET, HEAD"
    assert not mount.asked


async def test_a_host_without_a_mount_there_is_only_read(start_web: StartWeb) -> None:
    web = await start_web(places=[Place("site.example", "/m/", FakeMount())])
    reply = await web.ask("PUT", "http://site.example/elsewhere")
    assert (reply.status, reply.header("allow")) == (405, "GET, HEAD")


@pytest.mark.parametrize("method", ["POST", "DELETE", "PATCH"])
async def test_a_refusal_is_the_mounts_own(start_web: StartWeb, method: str) -> None:
    """What another path of it can be asked for is not said to be had here."""
    web = await start_web(places=[Place("", "/", stage("a", auth_key="key").site)])
    reply = await web.ask(method, "/a")
    assert (reply.status, reply.header("allow")) == (405, "GET, HEAD, OPTIONS")
    reply = await web.ask("POST", "/_proxy/_private/_cache/clear")
    assert (reply.status, reply.header("allow")) == (405, "GET, DELETE")


async def test_an_absolute_target_names_the_host(start_web: StartWeb) -> None:
    web = await start_web(places=[Place("site.example", "/", FakeMount())])
    reply = await web.ask("GET", "http://SITE.example:80/x?y=z")
    assert reply.body == b"at /x?y=z"
    assert (await web.ask("GET", "http://site.example")).body == b"at /"
    assert (await web.ask("GET", "http://other.example/x")).status == 302


async def test_a_mount_sees_the_headers(start_web: StartWeb) -> None:
    mount = FakeMount()
    web = await start_web(places=[Place("", "/d/", mount)])
    await web.ask("GET", "/d/x", ["Range: bytes=0-", "Accept: a", "Accept: b"])
    (request,) = mount.asked
    assert request.header(b"range") == b"bytes=0-"
    assert request.header(b"accept") == b"a, b"
    assert request.header(b"host") == b"test"
