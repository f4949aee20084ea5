"""Every way in which a PUT cannot be done without a task, and what it comes to in one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from parparchik.dedup.types import Written
from parparchik.dedup.unclaimed import SIGHT_S
from parparchik.errors import MetadataUnavailable, ParparchikError, PathConflict, Unavailable
from tests.dedup.soon_scene import Scene, Slow, Told

OLD = b"what was there " * 30
NEW = b"what comes " * 30
DONE = Written(5, done=True)
PATH = "a/b"

Way = Callable[[Scene], Awaitable[Told]]


async def begun(scene: Scene, *done: str, refused: str = "") -> Told:
    """A PUT of NEW, of which these steps are done."""
    told = scene.begin(PATH, NEW)
    scene.steps.refused = {refused}
    for name in done:
        await scene.steps.next(name).done()
    return told


async def s3_cannot_begin(scene: Scene) -> Told:
    return await begun(scene, "look", refused="store")


async def s3_is_slow(scene: Scene) -> Told:
    told = await begun(scene, "look")
    scene.steps.next("store").fails(Slow())
    return told


async def s3_is_slow_and_it_is_garbage_meanwhile(scene: Scene) -> Told:
    told = await s3_is_slow(scene)
    await scene.metadata.unknown([scene.bed.key(NEW)])
    return told


async def s3_fails(scene: Scene) -> Told:
    told = await begun(scene, "look")
    scene.steps.next("store").fails(Unavailable("500"))
    return told


async def s3_fails_and_has_it(scene: Scene) -> Told:
    told = await begun(scene, "look")
    await scene.steps.next("store").done_but_fails(Unavailable("500"))
    return told


async def metadata_cannot_begin(scene: Scene) -> Told:
    return await begun(scene, "look", "store", refused="put")


async def it_is_garbage_when_it_is_stored(scene: Scene) -> Told:
    told = await begun(scene, "look", "store")
    await scene.metadata.unknown([scene.bed.key(NEW)])
    await scene.steps.next("put").done()
    return told


async def a_known_blob_is_garbage_when_it_is_seen(scene: Scene) -> Told:
    await scene.put("c", NEW)
    told = await begun(scene, "look")
    await scene.bed.store.delete("c", 9)
    now_s = scene.bed.now()
    await scene.metadata.discard_orphans(older_than_s=now_s + 1, now_s=now_s, limit=9)
    await scene.steps.next("put").done()
    return told


async def a_file_stands_in_its_way(scene: Scene) -> Told:
    await scene.put("a", OLD)
    return await begun(scene, "look")


async def a_file_comes_in_its_way(scene: Scene) -> Told:
    told = await begun(scene, "look", "store")
    await scene.bed.store.put(scene.put_of("a", OLD))
    await scene.steps.next("put").done()
    return told


async def metadata_is_away_at_first(scene: Scene) -> Told:
    told = scene.begin(PATH, NEW)
    scene.steps.next("look").fails(MetadataUnavailable("away"))
    return told


async def metadata_is_away_at_last(scene: Scene) -> Told:
    told = await begun(scene, "look", "store")
    scene.steps.next("put").fails(MetadataUnavailable("away"))
    return told


async def metadata_is_away_when_it_has_done_it(scene: Scene) -> Told:
    told = await begun(scene, "look", "store")
    await scene.steps.next("put").done_but_fails(MetadataUnavailable("away"))
    return told


async def a_fault_at_first(scene: Scene) -> Told:
    told = scene.begin(PATH, NEW)
    scene.steps.next("look").fails(ZeroDivisionError())
    return told


async def a_fault_at_last(scene: Scene) -> Told:
    told = await begun(scene, "look", "store")
    scene.steps.next("put").fails(ZeroDivisionError())
    return told


async def it_slept_while_it_was_stored(scene: Scene) -> Told:
    told = await begun(scene, "look")
    scene.bed.late_s += SIGHT_S + 1
    await scene.steps.next("store").done()
    return told


async def it_slept_when_it_was_seen(scene: Scene) -> Told:
    await scene.put("c", NEW)
    told = scene.begin(PATH, NEW)
    scene.bed.late_s += SIGHT_S + 1
    await scene.steps.next("look").done()
    return told


@dataclass(frozen=True)
class Case:
    """`comes_to`: what the client is told in the end. `uploads` is how often S3 has taken something
    then, `lost` how often it was taken for garbage; `is_there`: the file, before all is finished.
    """

    way: Way
    comes_to: Written | type[ParparchikError] = DONE
    uploads: int = 1
    lost: int = 0
    is_there: bool = False
    is_logged: bool = False


CASES = [
    Case(s3_cannot_begin),
    Case(s3_is_slow),
    Case(s3_is_slow_and_it_is_garbage_meanwhile, uploads=2, lost=1),
    Case(s3_fails, Unavailable, uploads=0),
    Case(s3_fails_and_has_it, Unavailable, uploads=0),
    Case(metadata_cannot_begin, uploads=2),
    Case(it_is_garbage_when_it_is_stored, uploads=2, lost=1),
    Case(a_known_blob_is_garbage_when_it_is_seen, uploads=2, lost=1),
    Case(a_file_stands_in_its_way, PathConflict),
    Case(a_file_comes_in_its_way, PathConflict, uploads=2),
    Case(metadata_is_away_at_first, MetadataUnavailable, uploads=0),
    Case(metadata_is_away_at_last, MetadataUnavailable),
    Case(metadata_is_away_when_it_has_done_it, MetadataUnavailable, is_there=True),
    Case(a_fault_at_first, is_logged=True),
    Case(a_fault_at_last, uploads=2, is_logged=True),
    Case(it_slept_while_it_was_stored, uploads=2),
    Case(it_slept_when_it_was_seen),
]
