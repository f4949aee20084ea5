"""Redirects that are kept ready: for how long, for whom, and how many."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from tests.routes.front import header, site


async def test_a_presigned_url_is_reused_for_a_twentieth_of_its_life(
    autojump_clock: MockClock,
) -> None:
    asked = site(vault="a", presign_expires_s=3600)
    first = await asked.location("/vault/a")
    asked.clock.now_s += 179
    assert await asked.location("/vault/a") == first
    asked.clock.now_s += 2
    second = await asked.location("/vault/a")
    assert second != first
    asked.clock.now_s += 179
    assert await asked.location("/vault/a") == second
    assert asked.vault.presigned == 2


async def test_a_url_that_ends_with_its_credentials_is_reused_for_less(
    autojump_clock: MockClock,
) -> None:
    asked = site(vault="a", presign_expires_s=3600)
    asked.vault.credentials_end_s = asked.clock.now_s + 100
    first = await asked.location("/vault/a")
    asked.clock.now_s += 4.9
    assert await asked.location("/vault/a") == first
    asked.clock.now_s += 0.2
    assert await asked.location("/vault/a") != first


async def test_each_method_has_a_url_of_its_own(autojump_clock: MockClock) -> None:
    asked = site(vault="a")
    get, head = await asked.location("/vault/a"), await asked.location("/vault/a", method="HEAD")
    assert "for=GET" in get
    assert "for=HEAD" in head
    assert await asked.location("/vault/a") == get
    assert await asked.location("/vault/a", method="HEAD") == head
    assert asked.vault.presigned == 2


async def test_a_clock_that_is_set_back_does_not_prolong_a_url(autojump_clock: MockClock) -> None:
    asked = site(vault="a")
    ahead = await asked.location("/vault/a")
    asked.clock.now_s -= 86_400
    assert await asked.location("/vault/a") != ahead


async def test_fresh_and_stale_share_the_url(autojump_clock: MockClock) -> None:
    asked = site(vault="a")
    fresh = await asked.answer("/vault/a")
    await trio.sleep(3)
    asked.vault.fail()
    stale = await asked.answer("/vault/a")
    assert header(stale, b"location") == header(fresh, b"location")
    assert asked.vault.presigned == 1


async def test_a_file_that_changed_hands_gets_no_old_redirect(autojump_clock: MockClock) -> None:
    asked = site(vault="a")
    old = await asked.location("/vault/a")
    asked.files.add("a")
    asked.vault.remove("a")
    await trio.sleep(3)
    assert await asked.location("/vault/a") == "https://public.example/files/a"
    asked.vault.add("a")
    asked.files.remove("a")
    await trio.sleep(3)
    again = await asked.location("/vault/a")
    assert again.startswith("https://signed.example/vault/a")
    assert again != old


async def test_redirects_kept_ready_are_bounded_and_the_latest_stay(
    autojump_clock: MockClock,
) -> None:
    keys = [f"k{n}" for n in range(10)]
    asked = site(vault=" ".join(keys), prepared_max=3, verify_ttl_s=3600.0)
    urls = {key: await asked.location(f"/vault/{key}") for key in keys}
    assert await asked.location("/vault/k7") == urls["k7"]  # now the latest
    await asked.location("/vault/k0")
    assert asked.vault.presigned == 11
    kept = [key for key in ("k7", "k9") if await asked.location(f"/vault/{key}") == urls[key]]
    assert kept == ["k7", "k9"]
    assert await asked.location("/vault/k8") != urls["k8"]


async def test_neither_misses_nor_refusals_push_them_out(autojump_clock: MockClock) -> None:
    asked = site("open", "a b", prepared_max=2, keys=("sesame",), verify_ttl_s=3600.0)
    for key in ("a", "b"):
        assert await asked.status(f"/vault/{key}", key=b"sesame") == 302
    for n in range(50):
        assert await asked.status(f"/files/unknown{n}") == 404
        assert await asked.status(f"/files/..{n}/../x") == 400
        assert await asked.status(f"/other/{n}") == 404
        assert await asked.status(f"/vault/a?{n}") == 401
        assert await asked.status("/files/a") == 401
    for key in ("a", "b"):
        assert await asked.status(f"/vault/{key}", key=b"sesame") == 302
    assert asked.vault.presigned == 2


@pytest.mark.parametrize("prepared_max", [0, 1])
async def test_hardly_any_memory_for_them(autojump_clock: MockClock, prepared_max: int) -> None:
    asked = site("a", "b c", prepared_max=prepared_max)
    for _ in range(2):
        assert await asked.status("/files/a") == 302
        assert await asked.status("/vault/b") == 302
        assert await asked.status("/vault/c") == 302
    assert asked.vault.presigned == 4


async def test_a_query_makes_no_other_redirect(autojump_clock: MockClock) -> None:
    asked = site(vault="a", prepared_max=1)
    for n in range(10):
        await asked.location(f"/vault/a?{n}")
    assert asked.vault.presigned == 1
