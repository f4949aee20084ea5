"""Who answers a request: by its host first, then by the beginning of its path.

What is mounted on a host has all of that host: its other paths are nobody's, and the management
API is not there either, not even its probes; these are for whoever reaches the process by another
name or by address. Where no host is named, the management API's exact paths go before every mount,
and the file routes have what is left.

The beginnings of paths are compared decoded, however they came over the wire: what means a path of
one mount must not find another mount, which might serve the same object to anybody.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from parparchik.errors import ParparchikError
from parparchik.model import Action, Answer, Mount, Question, Request, Upload
from parparchik.routes import Settled, failure, path_of, problem
from parparchik.web.endpoints import BY_PATH
from parparchik.web.protocols import FileRoutes


class Place(NamedTuple):
    """`host` is a name, '' for any; `prefix` a path that begins and ends with a slash. `exactly`
    are paths below it that it answers before the management API does."""

    host: str
    prefix: str
    mount: Mount
    exactly: frozenset[bytes] = frozenset()


class Mounts:
    """`places` in any order: the longest prefix wins, and of equal ones the first."""

    def __init__(
        self,
        places: Iterable[Place],
        routes: FileRoutes,
        *,
        reserved: Container[bytes] = BY_PATH,
    ) -> None:
        self._routes = routes
        self._reserved = reserved
        self._anywhere: list[tuple[bytes, Mount]] = []
        self._by_host: dict[bytes, list[tuple[bytes, Mount]]] = {}
        places = tuple(places)
        for place in sorted(places, key=lambda place: -len(place.prefix)):
            at = self._anywhere
            if place.host:
                at = self._by_host.setdefault(_name_of(place.host.encode("idna")), [])
            at.append((place.prefix.encode(), place.mount))
        self._exactly = {
            path: place.mount for place in places if not place.host for path in place.exactly
        }

    def find(self, host: bytes, path: bytes) -> Mount | None:
        """Whose a path of a host is, both as they came; None: the management API's or a file
        route."""
        if self._by_host:
            there = self._by_host.get(_name_of(host))
            if there is not None:
                return _longest(there, path) or NOBODY
        if path in self._reserved:
            return self._exactly.get(path)
        return _longest(self._anywhere, path)

    def ask(self, request: Request) -> Question | None:
        """What a GET or a HEAD asks; None where that is for the web plane to answer."""
        path = path_of(request.target)
        mount = self.find(request.header(b"host"), path)
        if mount is None:
            return None if path in self._reserved else self._routes.ask(request)
        if request.method not in mount.methods:
            return None
        try:
            return mount.ask(request)
        except ParparchikError as error:
            return Settled(failure(error, kind="other"))

    def act(self, request: Request) -> Action | None:
        """What any other method wants; None where that is for the web plane to answer."""
        mount = self.find(request.header(b"host"), path_of(request.target))
        if mount is None:
            return None
        act_soon = getattr(mount, "act_soon", None)
        soon = None if act_soon is None else partial(act_soon, request)
        return Action(partial(mount.act, request), soon)


class _Nobody:
    methods = ("GET", "HEAD")

    def ask(self, request: Request) -> Question:
        return Settled(problem(404, kind="unknown"))

    async def act(self, request: Request, upload: Upload) -> Answer:
        refusal = problem(405)
        allow = (b"allow", ", ".join(self.methods).encode())
        return replace(refusal, headers=(*refusal.headers, allow))


NOBODY = _Nobody()
"""Of a host, what no mount has."""


def _longest(places: Sequence[tuple[bytes, Mount]], path: bytes) -> Mount | None:
    if b"%" in path:
        path = unquote_to_bytes(path)
    for prefix, mount in places:
        # Without its last slash it is the mount's too: that knows where to send whoever asks.
        if path.startswith(prefix) or path == prefix[:-1]:
            return mount
    return None


def _name_of(host: bytes) -> bytes:
    """A Host field's name: without its port and the dot of the root, in lower case."""
    name, colon, port = host.rpartition(b":")
    if not colon or not (port.isdigit() or not port):
        name = host
    return name.lower().removesuffix(b".")
