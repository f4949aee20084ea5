"""Scenarios that are a load with certain requests: which, and what stands behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from bench.load import Ask, Counting, Cycle, Deck, Expected, Family, Zipf
from bench.report import Result
from bench.scenarios.stage import BUCKET, Options, Stage, measure, result_of, stage
from bench.stand_in import BucketSpec

HOT_KEYS = 200
MIXED_KEYS = 100_000
HIDDEN_FROM = 1_000_000
HIDDEN = 9_000_000

_PUBLIC = "bench-public"
_SPECS = (BucketSpec(BUCKET, HOT_KEYS, hidden=HIDDEN, hidden_from=HIDDEN_FROM),)
_ONLY_LISTED = (BucketSpec(BUCKET, HOT_KEYS),)
_MIXED_SPECS = (
    BucketSpec(_PUBLIC, MIXED_KEYS // 2),
    BucketSpec(BUCKET, MIXED_KEYS // 2, first=MIXED_KEYS // 2),
)


def found(place: Stage, bucket: str = BUCKET) -> Family:
    """Redirects to the objects of a bucket, by number."""
    path = f"/{bucket}/file-{{n:07}}"
    location = "" if place.location is None else f"{place.location}{path}"
    return Family(path, Expected(302, location))


def hot(place: Stage) -> Deck:
    return Cycle(tuple(found(place).ask(number) for number in range(HOT_KEYS)))


def cold(place: Stage) -> Deck:
    return Counting(replace(found(place), first=HIDDEN_FROM, count=HIDDEN))


def misses(_place: Stage) -> Deck:
    return Counting(Family(f"/{BUCKET}/nothing-{{n}}", Expected(404)))


def mixed(place: Stage) -> Deck:
    half = MIXED_KEYS // 2
    return Zipf(
        (
            replace(found(place, _PUBLIC), count=half),
            replace(found(place), first=half, count=half),
        )
    )


@dataclass(frozen=True, slots=True)
class LoadScenario:
    """`deck` makes the requests when it is known where the server is."""

    name: str
    line: str
    deck: Callable[[Stage], Deck]
    specs: tuple[BucketSpec, ...] = _ONLY_LISTED
    buckets: str = BUCKET
    settings: tuple[tuple[str, str], ...] = ()

    async def run(self, options: Options) -> Result:
        async with stage(
            options, self.specs, buckets=self.buckets, settings=self.settings
        ) as place:
            deck = replaced(options) or self.deck(place)
            run, _ = await measure(self.name, options, place, options.plan(place.target, deck))
        return result_of(self.name, options, [run])


def replaced(options: Options, status: int = 302) -> Deck | None:
    """The requests that the options name, if any: redirects to wherever the first answer says."""
    location = "" if status == 302 else None
    if not options.paths:
        return None
    return Cycle(tuple(Ask(path, Expected(status, location)) for path in options.paths))


LOADS = (
    LoadScenario("redirect-hot", f"{HOT_KEYS} keys over and over: answers from memory", hot),
    LoadScenario(
        "redirect-strict",
        "the same with PARPARCHIK_VERIFY=always: a HEAD to S3 behind each redirect",
        hot,
        settings=(("PARPARCHIK_VERIFY", "always"),),
    ),
    LoadScenario(
        "redirect-cold",
        "every key for the first time: found by HEAD, signed, entered, and written to the manifest",
        cold,
        specs=_SPECS,
    ),
    LoadScenario("miss-flood", "unknown keys, never the same twice: 404", misses),
    LoadScenario(
        "mixed",
        f"{MIXED_KEYS:,} keys of a public and a private bucket, as popular as Zipf says",
        mixed,
        specs=_MIXED_SPECS,
        buckets=f"{_PUBLIC}::public,{BUCKET}",
    ),
)
