"""Who may have what: permission follows the object, not the URL."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock

from parparchik.errors import UpstreamError
from tests.fakes import denied, unavailable
from tests.routes.front import KEY, body, header, site

KEYS = (KEY.decode(), "another key")

# `a` is in the public bucket, `b` in the private one, `x` in none.
TABLE = {
    # target: (status without a key, status with one)
    "/files/a": (302, 302),
    "/vault/a": (302, 302),
    "/public/a": (302, 302),
    "/private/a": (302, 302),
    "/files/b": (401, 302),
    "/vault/b": (401, 302),
    "/public/b": (401, 302),
    "/private/b": (401, 302),
    "/files/x": (404, 404),
    "/public/x": (404, 404),
    "/vault/x": (401, 404),
    "/private/x": (401, 404),
    "/other/b": (404, 404),
    "/vault/": (404, 404),
    "/vault/..": (400, 400),
}
STRICT = {
    # A file asked for where it is not is as good as none: nobody learns that it is elsewhere.
    **TABLE,
    "/vault/a": (401, 404),
    "/private/a": (401, 404),
    "/files/b": (404, 404),
    "/public/b": (404, 404),
}


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("target", TABLE)
async def test_with_and_without_a_key(autojump_clock: MockClock, target: str, strict: bool) -> None:
    without, with_one = (STRICT if strict else TABLE)[target]
    asked = site("a", "b", keys=KEYS, strict=strict)
    for _ in range(2):  # searched for, then known
        assert await asked.status(target) == without
        assert await asked.status(target, key=b"wrong") == without
        assert await asked.status(target, key=KEY[:-1]) == without
        assert await asked.status(target, key=KEY) == with_one
        assert await asked.status(target, key=b"another key") == with_one
        assert await asked.status(target) == without


@pytest.mark.parametrize("target", ["/vault/b", "/files/b", "/vault/x"])
async def test_a_refusal_says_how_to_show_a_key_and_nothing_else(
    autojump_clock: MockClock, target: str
) -> None:
    answer = await site("a", "b", keys=KEYS).answer(target)
    assert answer.status == 401
    assert header(answer, b"www-authenticate") == "Bearer"
    assert set(body(answer)) == {"error"}
    assert b"location" not in dict(answer.headers)
    assert not any(key.encode() in answer.body for key in KEYS)


async def test_without_configured_keys_nobody_is_asked_for_one(autojump_clock: MockClock) -> None:
    asked = site("a", "b")
    for target in ("/files/a", "/vault/b", "/private/b"):
        assert await asked.status(target) == 302
        assert await asked.status(target, key=b"whatever") == 302
    assert await asked.status("/vault/x") == 404


async def test_a_file_that_moves_takes_its_permission_along(autojump_clock: MockClock) -> None:
    asked = site("a", keys=KEYS)
    assert await asked.status("/files/a") == 302
    asked.files.remove("a")
    asked.vault.add("a")
    await trio.sleep(3)
    assert await asked.status("/files/a") == 401
    assert await asked.status("/files/a", key=KEY) == 302
    asked.vault.remove("a")
    asked.files.add("a")
    await trio.sleep(3)
    assert await asked.status("/vault/a") == 302


@pytest.mark.parametrize("error", [unavailable, denied])
async def test_an_outage_does_not_tell_which_private_files_there_are(
    autojump_clock: MockClock, error: Callable[[], UpstreamError]
) -> None:
    asked = site("a", "b", keys=KEYS)
    assert await asked.status("/vault/b", key=KEY) == 302
    await trio.sleep(3)
    for store in (asked.files, asked.vault):
        store.fail(error)
    for key in ("b", "x"):
        answer = await asked.answer(f"/vault/{key}")
        assert answer.status == 401
        assert header(answer, b"www-authenticate") == "Bearer"
    assert await asked.status("/vault/b", key=KEY) == 302
    assert await asked.status("/vault/x", key=KEY) in (502, 503)


async def test_without_credentials_who_has_no_key_learns_no_more(autojump_clock: MockClock) -> None:
    asked = site("a", "b", keys=KEYS)
    asked.vault.has_credentials = False
    assert await asked.status("/vault/b") == 401
    assert await asked.status("/vault/b", key=KEY) == 503
