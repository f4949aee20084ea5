"""What a client is answered: redirects, and the bodies and headers of everything else."""

from __future__ import annotations

from functools import partial

import pytest
import trio
from trio.testing import MockClock

from parparchik.errors import BadTarget, NoBucket, Unavailable
from parparchik.model import Bucket, Method, Request
from tests.fakes import denied, unavailable
from tests.routes.front import FILES, VAULT, body, header, site


async def test_a_public_file_is_redirected_to_its_plain_url(autojump_clock: MockClock) -> None:
    answer = await site("a/b.tar.gz").answer("/files/a/b.tar.gz")
    assert answer.status == 302
    assert dict(answer.headers) == {
        b"location": b"https://public.example/files/a/b.tar.gz",
        b"cache-control": b"no-cache",
        b"x-parparchik-verified": b"fresh",
    }
    assert answer.body == b""
    assert answer.kind == "bucket"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_private_file_is_redirected_to_a_url_signed_for_the_method(
    autojump_clock: MockClock, method: Method
) -> None:
    answer = await site(vault="a", presign_expires_s=1234).answer("/vault/a", method=method)
    assert answer.status == 302
    location = header(answer, b"location")
    assert location == f"https://signed.example/vault/a?for={method}&life=1234&n=1"
    assert header(answer, b"cache-control") == "private, no-store"


@pytest.mark.parametrize("target", ["/files/a b/ü", "/files/nowhere", "/vault/x", "/public/x"])
async def test_what_no_bucket_has_is_not_found(autojump_clock: MockClock, target: str) -> None:
    answer = await site().answer(target)
    assert answer.status == 404
    assert body(answer) == {"error": "file not found", "route": target}


@pytest.mark.parametrize("target", ["/", "/files", "/files/", "/other/a", "//files/a"])
async def test_what_is_no_route_is_not_found_and_s3_is_not_asked(
    autojump_clock: MockClock, target: str
) -> None:
    asked = site("a")
    answer = await asked.answer(target)
    assert answer.status == 404
    assert body(answer) == {"error": "file not found", "route": target.rstrip("/") or "/"}
    assert not asked.files.asked


@pytest.mark.parametrize("target", ["/files/..", "/files/%00", "/files/%zz", "*", "/files/%FF"])
async def test_what_can_be_no_route_is_refused_with_the_reason(
    autojump_clock: MockClock, target: str
) -> None:
    asked = site("a")
    answer = await asked.answer(target)
    assert answer.status == BadTarget.status == 400
    assert answer.kind == "invalid"
    assert body(answer)["error"].startswith(("the key has", "the path", "the request target"))
    assert not asked.files.asked


async def test_the_query_of_a_route_is_none_of_our_business(autojump_clock: MockClock) -> None:
    asked = site("a")
    assert await asked.location("/files/a?x=../..&y=%zz") == await asked.location("/files/a")


@pytest.mark.parametrize("target", [b"http://evil.example/files/a", b"https://x@evil:1/vault/a"])
async def test_a_redirects_host_never_comes_from_the_request(
    autojump_clock: MockClock, target: bytes
) -> None:
    location = await site("a", "b").location(target.replace(b"vault/a", b"vault/b"))
    assert location.startswith(("https://public.example/", "https://signed.example/"))
    assert "evil" not in location


async def test_what_memory_cannot_answer_is_for_who_may_wait(autojump_clock: MockClock) -> None:
    asked = site("a")
    question = asked.responder.ask(Request("GET", b"/files/a"))
    assert question.answer_nowait() is None
    answer = await question.answer()
    assert question.answer_nowait() == answer
    await trio.sleep(3)
    assert question.answer_nowait() is None


async def test_both_ways_to_answer_give_the_same(autojump_clock: MockClock) -> None:
    asked = site("a", "b")
    for target in (b"/files/a", b"/vault/b", b"/files/nowhere", b"/files/..", b"/other/x", b"/"):
        question = asked.responder.ask(Request("GET", target))
        waited = await question.answer()
        assert question.answer_nowait() == waited


@pytest.mark.parametrize(
    ("verify", "expected"), [("ttl", b"fresh"), ("always", b"fresh"), ("never", None)]
)
async def test_the_verified_header(
    autojump_clock: MockClock, verify: str, expected: bytes | None
) -> None:
    answer = await site("a", verify=verify).answer("/files/a")
    assert dict(answer.headers).get(b"x-parparchik-verified") == expected
    answer = await site("a", verify=verify, verified_header=False).answer("/files/a")
    assert b"x-parparchik-verified" not in dict(answer.headers)


async def test_a_stale_redirect_says_so_and_a_fresh_one_again(autojump_clock: MockClock) -> None:
    asked = site("a", "b")
    for target in ("/files/a", "/vault/b"):
        fresh = await asked.answer(target)
        await trio.sleep(3)
        for store in (asked.files, asked.vault):
            store.fail()
        stale = await asked.answer(target)
        assert stale.status == 302
        assert header(stale, b"x-parparchik-verified") == "stale"
        assert header(stale, b"location") == header(fresh, b"location")
        for store in (asked.files, asked.vault):
            store.mend()
        assert await asked.answer(target) == fresh


async def test_s3_that_cannot_be_reached_is_503_with_a_time_to_come_again(
    autojump_clock: MockClock,
) -> None:
    asked = site()
    asked.files.fail(unavailable)
    answer = await asked.answer("/files/unknown")
    assert answer.status == Unavailable.status == 503
    assert body(answer) == {"error": "S3 is away"}
    assert header(answer, b"retry-after") == "7"


@pytest.mark.parametrize("error", [denied, partial(NoBucket, "S3 knows no bucket 'files'")])
async def test_s3_that_refuses_is_502(autojump_clock: MockClock, error: partial[NoBucket]) -> None:
    asked = site()
    asked.files.fail(error)
    answer = await asked.answer("/files/unknown")
    assert answer.status == 502
    assert body(answer) == {"error": str(error())}
    assert b"retry-after" not in dict(answer.headers)


async def test_without_credentials_a_private_route_is_503_and_a_public_one_is_served(
    autojump_clock: MockClock,
) -> None:
    asked = site("a", "b")
    asked.vault.has_credentials = False
    answer = await asked.answer("/vault/b")
    assert answer.status == 503
    assert int(header(answer, b"retry-after")) >= 1
    assert await asked.status("/files/a") == 302
    asked.vault.has_credentials = True
    assert await asked.status("/vault/b") == 302


MOVED = {
    # target: status when strict (lenient: always a redirect). `a` is in files, `b` in vault.
    "/files/a": 302,
    "/public/a": 302,
    "/vault/b": 302,
    "/private/b": 302,
    "/vault/a": 404,
    "/private/a": 404,
    "/files/b": 404,
    "/public/b": 404,
}


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("target", MOVED)
async def test_moved_files(autojump_clock: MockClock, target: str, strict: bool) -> None:
    asked = site("a", "b", strict=strict)
    for _ in range(2):  # searched for, then known
        answer = await asked.answer(target)
        if strict and MOVED[target] == 404:
            assert answer.status == 404
            assert body(answer) == {"error": "file not found", "route": target}
        else:
            home = "public.example/files/a" if target.endswith("a") else "signed.example/vault/b"
            assert header(answer, b"location").startswith(f"https://{home}")


async def test_a_file_that_moves_is_followed(autojump_clock: MockClock) -> None:
    asked = site("a")
    assert await asked.location("/files/a") == "https://public.example/files/a"
    asked.files.remove("a")
    asked.vault.add("a")
    await trio.sleep(3)
    assert (await asked.location("/files/a")).startswith("https://signed.example/vault/a")
    asked.vault.remove("a")
    await trio.sleep(3)
    assert await asked.status("/files/a") == 404


async def test_a_bucket_really_called_public_is_a_bucket(autojump_clock: MockClock) -> None:
    asked = site("a", "b", buckets=(Bucket("public"), FILES), strict=True)
    assert (await asked.location("/public/a")).startswith("https://signed.example/public/a")
    assert await asked.status("/public/b") == 404
    assert (await asked.answer("/public/a")).kind == "bucket"


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("/files/a", "bucket"),
        ("/public/a", "public"),
        ("/private/a", "private"),
        ("/x/a", "unknown"),
    ],
)
async def test_what_metrics_count_a_route_under(
    autojump_clock: MockClock, target: str, kind: str
) -> None:
    for asked in (site("a"), site()):
        assert (await asked.answer(target)).kind == kind


async def test_the_manifest_is_no_route(autojump_clock: MockClock) -> None:
    asked = site()
    await asked.service.start_up()
    assert VAULT.manifest_key in asked.vault.objects
    for key in (VAULT.manifest_key, ".parparchik/x"):
        assert await asked.status(f"/vault/{key}") == 404
