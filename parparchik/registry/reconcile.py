"""Holding the registry against the buckets: what is gone goes, what has moved moves.

Every key is looked for in every bucket (`survey`), all buckets in parallel. Then each entry is
judged on its own: an answer that S3 did not give never removes anything, and an entry that changed
while the survey ran has been verified since and is left alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import trio

from parparchik.registry.entries import Registry, bucket_index
from parparchik.registry.presence import Prober
from parparchik.registry.progress import Progress
from parparchik.registry.survey import UNKNOWN, Survey
from parparchik.registry.verify import Resolver

_SLICE = 1000


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What a pass did. `heads` and `pages` are requests; `unknown` entries could not be told of
    and stayed as they were."""

    entries: int
    dropped: int
    moved: int
    unknown: int
    heads: int
    pages: int


async def reconcile(
    registry: Registry,
    resolver: Resolver,
    prober: Prober,
    progress: Progress,
    max_in_flight: int,
) -> Reconciliation:
    """One pass over every entry. Ends when every bucket has answered for every key, or kept
    failing for single ones; raises nothing of S3's."""
    since = trio.current_time()
    keys: list[str] = []
    values: list[int] = []
    for rows in registry.sorted_slices():
        for key, packed in rows:
            keys.append(key)
            values.append(packed)
        await trio.lowlevel.checkpoint()
    progress.begin("verifying entries", len(keys) * len(prober.stores))
    surveys = [Survey(prober, index, keys, progress) for index in range(len(prober.stores))]
    if keys:
        async with trio.open_nursery() as nursery:
            for survey in surveys:
                nursery.start_soon(survey.run, max_in_flight)

    dropped = moved = unknown = 0
    answers = [survey.answers for survey in surveys]
    for start in range(0, len(keys), _SLICE):
        for n in range(start, min(start + _SLICE, len(keys))):
            key, value = keys[n], values[n]
            if registry.packed(key) != value or resolver.settled_since(key, since):
                continue
            said = [answer[n] for answer in answers]
            winner, certain = _judge(value, said)
            unknown += not certain
            if winner is not None:
                moved += bucket_index(winner) != bucket_index(value)
                registry.put(key, winner)
            elif certain:
                dropped += 1
                registry.discard(key)
            registry.set_duplicate(key, sum(answer >= 0 for answer in said) > 1)
        await trio.lowlevel.checkpoint()
    return Reconciliation(
        entries=len(keys),
        dropped=dropped,
        moved=moved,
        unknown=unknown,
        heads=sum(survey.heads for survey in surveys),
        pages=sum(survey.pages for survey in surveys),
    )


def _judge(value: int, said: Sequence[int]) -> tuple[int | None, bool]:
    """(where the key is, whether every bucket that matters could tell) from what each bucket
    said, in priority order. None: nowhere that answered."""
    own = bucket_index(value)
    for index, answer in enumerate(said):
        if answer >= 0:
            return answer, True
        if answer == UNKNOWN and index == own:
            # Its own bucket cannot tell, and none before it has it: it stays where it is.
            return value, False
    return None, UNKNOWN not in said
