"""Forgetting very much at a time. Pure.

That all below a prefix is forgotten holds from the moment at which it is said: whatever is looked
up from then on is asked whether it was there before. What it took is given back afterwards, a
little at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

from parparchik.content import ObjectName

AT_ONCE = 500
"""So many names are gone through before other tasks have their turn."""


@dataclass(frozen=True, slots=True)
class Purge:
    """All that begins with the prefix ('': all), and is not younger than `age`."""

    bucket: str
    prefix: str
    age: int

    def covers(self, name: ObjectName) -> bool:
        return name.bucket == self.bucket and name.key.startswith(self.prefix)

    def takes(self, name: ObjectName, age: int) -> bool:
        return age <= self.age and self.covers(name)


class Purges:
    """Those that are not done with. `age` is what is new gets, and with it tells whether it was
    there when one began. Falsy while there is none."""

    __slots__ = ("_under_way", "age")

    def __init__(self) -> None:
        self.age = 0
        self._under_way: list[Purge] = []

    def __len__(self) -> int:
        return len(self._under_way)

    def begin(self, bucket: str, prefix: str) -> Purge:
        purge = Purge(bucket, prefix, self.age)
        self.age += 1
        self._under_way.append(purge)
        return purge

    def end(self, purge: Purge) -> None:
        """Nothing is left of what it takes."""
        self._under_way.remove(purge)

    def find(self, name: ObjectName, age: int) -> Purge | None:
        """The first of them that took what has that name and that age."""
        return next((purge for purge in self._under_way if purge.takes(name, age)), None)
