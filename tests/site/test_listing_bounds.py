"""What listings cost S3, whatever names are made up; and what they show after a change."""

from __future__ import annotations

import json

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from parparchik.content import ObjectName
from parparchik.errors import BadTarget, Overloaded
from parparchik.site import listing as pure
from parparchik.site.folders import KEPT
from parparchik.site.pace import BURST_S, LONGEST_WAIT_S, Pace
from tests.site.stage import Stage, header, stage

AS_JSON = {"accept": "application/json"}


async def names(site: Stage, target: str = "/docs/") -> list[str]:
    document = json.loads((await site.get(target, **AS_JSON)).body)
    return [*document["folders"], *(file["name"] for file in document["files"])]


@pytest.mark.parametrize(
    "target", ["/docs/?page={}", "/docs/{}/", "/docs/{}"], ids=["page", "folder", "no slash"]
)
async def test_made_up_names_are_asked_of_s3_at_a_bounded_rate(
    autojump_clock: MockClock, target: str
) -> None:
    site = stage("docs/a", listing=True, index="", listings_per_second=2)
    statuses: list[int] = []
    refused: list[str] = []

    async def ask(number: int) -> None:
        answer = await site.get(target.format(pure.token_text(f"made-up-{number}")))
        statuses.append(answer.status)
        if answer.status == 503:
            refused.append(header(answer, "retry-after"))

    begun_s = trio.current_time()
    async with trio.open_nursery() as nursery:
        for number in range(1000):
            nursery.start_soon(ask, number)
    took_s = trio.current_time() - begun_s
    asked = site.bytes.count("list")
    assert asked <= 2 * (BURST_S + LONGEST_WAIT_S) + 1
    assert took_s <= LONGEST_WAIT_S
    assert len(refused) == 1000 - asked == statuses.count(503)
    assert set(refused) <= {"5", "6"}


async def test_who_waits_is_served_in_the_order_of_coming(autojump_clock: MockClock) -> None:
    pace = Pace(10)
    begun_s = trio.current_time()
    served: list[int] = []

    async def come(number: int) -> None:
        await pace.turn()
        served.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(come, number)
            await wait_all_tasks_blocked()
    assert served == list(range(100))
    assert trio.current_time() - begun_s == pytest.approx((99 - 10 * BURST_S) / 10)
    await trio.sleep(BURST_S + LONGEST_WAIT_S)
    for _ in range(50):  # all of a burst is there again
        with trio.fail_after(0.001):
            await pace.turn()


async def test_without_a_rate_nobody_waits(autojump_clock: MockClock) -> None:
    pace = Pace(0)
    with trio.fail_after(0.001):
        for _ in range(10_000):
            await pace.turn()


async def test_the_rate_is_not_for_what_is_known(autojump_clock: MockClock) -> None:
    site = stage("docs/a", listing=True, index="", listings_per_second=1)
    for _ in range(100):
        assert (await site.get("/docs/")).status == 200
    assert site.bytes.count("list") == 1


@pytest.mark.parametrize("target", ["/docs/?page={}", "/{}/", "/made-up-{}"])
async def test_a_flood_of_names_takes_nobodys_page_away(
    autojump_clock: MockClock, target: str
) -> None:
    site = stage("docs/a", listing=True, index="", listings_per_second=0)
    await names(site)
    for number in range(2 * max(KEPT.values())):
        await site.get(target.format(pure.token_text(f"{number}")))
    asked = site.bytes.count("list")
    await names(site)
    assert site.bytes.count("list") == asked


async def test_folders_that_are_not_there_are_remembered(autojump_clock: MockClock) -> None:
    site = stage("docs/a", listing=True, index="")
    for _ in range(20):
        assert (await site.get("/none/")).status == 404
    assert site.bytes.count("list") == 1


async def test_a_page_that_s3_does_not_know(autojump_clock: MockClock) -> None:
    """It is the client's fault, for those who waited for the same answer too."""
    site = stage("docs/a", listing=True)
    site.bytes.failing["list"] = lambda: BadTarget("there is no such page")
    statuses = []

    async def ask() -> None:
        statuses.append((await site.get("/docs/?page=YQ")).status)

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(ask)
    assert statuses == [400] * 5
    assert site.bytes.count("list") == 1


@pytest.mark.parametrize(
    ("key", "below", "seen"),
    [
        ("docs/b", "", True),
        ("docs/new/b", "", True),
        ("other/b", "", False),
        ("", "docs/", True),
        ("", "docs/deep/", True),
        ("", "", True),
        ("", "do", True),
        ("", "other/", False),
    ],
)
async def test_a_change_is_seen_at_once(
    autojump_clock: MockClock, key: str, below: str, seen: bool
) -> None:
    site = stage("docs/a", listing=True, index="")
    assert await names(site) == ["a"]
    site.put("docs/b")
    where = "web"
    site.site.forget([ObjectName(where, key)] if key else [], [] if key else [(where, below)])
    assert await names(site) == (["a", "b"] if seen else ["a"])


async def test_a_folder_that_has_come_into_being_is_seen_at_once(
    autojump_clock: MockClock,
) -> None:
    site = stage("docs/a", listing=True, index="")
    assert (await site.get("/new/")).status == 404
    site.put("new/b")
    site.site.forget([ObjectName("web", "new/b")], [])
    assert await names(site, "/new/") == ["b"]


async def test_a_change_of_very_many_and_one_of_another_bucket(autojump_clock: MockClock) -> None:
    site = stage("docs/a", listing=True, index="")
    await names(site)
    site.put("docs/b")
    site.site.forget([ObjectName("elsewhere", f"docs/{n}") for n in range(100)], [])
    assert await names(site) == ["a"]
    site.site.forget([ObjectName("web", f"x/{n}") for n in range(100)], [])
    assert await names(site) == ["a", "b"]


async def test_what_was_asked_before_a_change_is_not_kept(autojump_clock: MockClock) -> None:
    site = stage("docs/a", listing=True, index="")
    asking, go_on = trio.Event(), trio.Event()

    async def hold(point: str, asked: object) -> None:
        asking.set()
        await go_on.wait()

    site.bytes.at = hold
    async with trio.open_nursery() as nursery:
        nursery.start_soon(names, site)
        await asking.wait()
        site.site.forget([ObjectName("web", "docs/b")], [])
        go_on.set()
    site.put("docs/b")
    assert await names(site) == ["a", "b"]


async def test_too_many_at_once_is_an_error_of_its_own() -> None:
    pace = Pace(0.01, now=lambda: 0.0)
    await pace.turn()
    with pytest.raises(Overloaded) as refused:
        await pace.turn()
    assert refused.value.retry_after_s == 95
