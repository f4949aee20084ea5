"""filetracker's protocol, version 2, below one path.

    GET     version/                     {"protocol_versions":[2]}
    GET     files/<path>                 the file, as gzip unless the client refuses that; HEAD too
    PUT     files/<path>?last_modified=  store it, unless a newer version is stored
    DELETE  files/<path>?last_modified=  likewise
    GET     list/<folder>?last_modified= the files below it that are not newer, a path a line

Versions are times (`versions`). What is wrong is told as JSON and in X-Exception.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from parparchik.dedup import answers
from parparchik.dedup.headers import accepts_gzip, api_key_of, expected_of, is_gzip
from parparchik.dedup.listing import Listing
from parparchik.dedup.parting import Closing
from parparchik.dedup.paths import Place, parameter, parse
from parparchik.dedup.put import Put
from parparchik.dedup.question import Asked
from parparchik.dedup.recent import Recent, whole
from parparchik.dedup.soon import Then
from parparchik.dedup.store import Opened
from parparchik.dedup.types import File, Written
from parparchik.dedup.versions import BadVersion, parse_version
from parparchik.errors import (
    BadTarget,
    ClientError,
    ClientGone,
    ParparchikError,
    Unauthorized,
)
from parparchik.model import Answer, Question, Request, Unfinished, Upload, WholeUpload
from parparchik.routes import Authenticator, Settled

_OF_A_FILE = ("GET", "HEAD", "PUT", "DELETE")
_READ_ONLY = ("GET", "HEAD")
_METHODS = {"files": _OF_A_FILE, "list": _READ_ONLY, "version": _READ_ONLY}


class Store(Protocol):
    """What keeps the files: a DedupStore, or what stands before it."""

    async def stat(self, path: str) -> File | None: ...

    async def open(self, path: str, *, gzip: bool = True) -> Opened | None: ...

    async def put(self, put: Put) -> Written: ...

    def put_soon(self, put: Put, data: bytes, then: Then) -> bool: ...

    async def delete(self, path: str, version_s: int) -> Written: ...

    def list(self, folder: str, *, until_s: int) -> AsyncIterator[Sequence[File]]: ...

    def part(self, closing: Closing) -> None: ...


@dataclass(frozen=True, slots=True)
class Permissions:
    """`reading` and `writing`: whether that wants one of the API keys, where there are any."""

    authenticator: Authenticator
    reading: bool = True
    writing: bool = True

    def check(self, request: Request, *, writes: bool) -> None:
        """Raises Unauthorized."""
        needs_key = self.writing if writes else self.reading
        if needs_key and not self.authenticator.allows(api_key_of(request)):
            raise Unauthorized("an API key is needed: Authorization, or X-API-Key")


class DedupMount:
    """`model.Mount`. `mount` begins and ends with a slash; `recent` has what was read lately.
    `received` is told the size of each body that was taken, in bytes; `now` is the wall clock."""

    methods: tuple[str, ...] = _OF_A_FILE

    def __init__(
        self,
        mount: str,
        store: Store,
        permissions: Permissions,
        recent: Recent,
        *,
        received: Callable[[int], None] = lambda _: None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._mount = mount
        self._store = store
        self._permissions = permissions
        self._recent = recent
        self._received = received
        self._now = now

    def ask(self, request: Request) -> Question:
        try:
            place = parse(request.target, self._mount)
            if place.endpoint == "version" and not place.path:
                return Settled(answers.VERSION)
            self._permissions.check(request, writes=False)
            if place.endpoint == "list":
                until_s = self._until_s(place)
                return Asked(partial(self._list, place.path, until_s))
            if place.endpoint == "files":
                _need_path(place)
                return self._ask_file(place.path, request)
        except ParparchikError as error:
            return Settled(answers.failure(error))
        return Settled(_NO_ENDPOINT)

    async def act(self, request: Request, upload: Upload) -> Answer:
        """Raises ClientGone alone."""
        try:
            place = parse(request.target, self._mount)
            self._permissions.check(request, writes=True)
            if place.endpoint not in _METHODS:
                return _NO_ENDPOINT
            if request.method not in _METHODS[place.endpoint]:
                return _not_here(_METHODS[place.endpoint])
            _need_path(place)
            if request.method == "PUT":
                return await self._put(place, request, upload)
            return await self._delete(place)
        except ParparchikError as error:
            if isinstance(error, ClientGone):
                raise
            return answers.failure(error)

    def act_soon(
        self,
        request: Request,
        upload: WholeUpload,
        then: Callable[[Answer | Unfinished[Answer]], None],
    ) -> bool:
        """A PUT of what is small. What is wrong with a request is for `act` to say."""
        if request.method != "PUT":
            return False

        def tell(came: Written | Unfinished[Written]) -> None:
            if isinstance(came, Written):
                then(answers.changed(came.version_s))
            else:
                then(Unfinished(partial(_told, came)))

        try:
            place = parse(request.target, self._mount)
            self._permissions.check(request, writes=True)
            if place.endpoint != "files" or not place.path:
                return False
            begun = self._store.put_soon(_put_of(place, request, upload), upload.data, tell)
        except ParparchikError:
            return False
        if begun:
            self._received(len(upload.data))
        return begun

    def _ask_file(self, path: str, request: Request) -> Question:
        gzip = accepts_gzip(request)
        if request.method == "HEAD":
            return Asked(partial(self._head, path, gzip=gzip))
        if gzip:
            return Asked(partial(self._get_stored, path), partial(self._recent.answer_nowait, path))
        return Asked(partial(self._get, path, gzip=False))

    async def _head(self, path: str, *, gzip: bool) -> Answer:
        file = await self._store.stat(path)
        if file is None:
            return answers.not_found(path)
        headers = answers.file_headers(file, gzip=gzip)
        length = answers.file_length(file, gzip=gzip)
        return Answer(200, headers, kind=answers.KIND, length=length)

    async def _get_stored(self, path: str) -> Answer:
        """As it is stored: what is small is kept."""
        return await self._recent.answer(path) or await self._get(path, gzip=True)

    async def _get(self, path: str, *, gzip: bool) -> Answer:
        state = self._recent.state()
        opened = await self._store.open(path, gzip=gzip)
        if opened is None:
            return answers.not_found(path)
        headers = answers.file_headers(opened.file, gzip=opened.gzip)
        if opened.gzip and self._recent.takes(opened.size_bytes):
            answer = Answer(200, headers, await whole(opened), answers.KIND)
            self._recent.keep(state, opened.file, answer)
            return answer
        return Answer(
            200, headers, kind=answers.KIND, content=opened.content, length=opened.size_bytes
        )

    async def _list(self, folder: str, until_s: int | None) -> Answer:
        until = int(self._now()) if until_s is None else until_s
        listing = Listing(self._store.list(folder, until_s=until), folder, part=self._store.part)
        try:
            body = await listing.begin()
        except BaseException:
            listing.close()
            raise
        # Where there are files below it, it is none itself.
        if body == b"" and folder and await self._store.stat(folder) is not None:
            raise ClientError(f"{folder} is a file, and has no files below it")
        if body is not None:
            return answers.listed(body)
        return Answer(
            200, answers.LIST_HEADERS, kind=answers.KIND, content=listing, open_ended=True
        )

    async def _put(self, place: Place, request: Request, upload: Upload) -> Answer:
        counted = _Counted(upload)
        try:
            written = await self._store.put(_put_of(place, request, counted))
        finally:
            self._received(counted.received_bytes)
        return answers.changed(written.version_s)

    async def _delete(self, place: Place) -> Answer:
        written = await self._store.delete(place.path, _version_of(place))
        if not written.done and written.version_s is None:
            return answers.not_found(place.path)
        return answers.changed(written.version_s)

    def _until_s(self, place: Place) -> int | None:
        given = parameter(place.query, "last_modified")
        return parse_version(given) if given else None


class _Counted:
    """An Upload. `received_bytes` is what came of it."""

    def __init__(self, upload: Upload) -> None:
        self._upload = upload
        self.received_bytes = 0

    @property
    def size_bytes(self) -> int | None:
        return self._upload.size_bytes

    async def read(self) -> bytes:
        piece = await self._upload.read()
        self.received_bytes += len(piece)
        return piece


def _put_of(place: Place, request: Request, upload: Upload) -> Put:
    """Raises ClientError."""
    expected, version_s = expected_of(request), _version_of(place)
    return Put(place.path, version_s, upload, gzip=is_gzip(request), expected=expected)


async def _told(unfinished: Unfinished[Written]) -> Answer:
    try:
        return answers.changed((await unfinished.finish()).version_s)
    except ParparchikError as error:
        return answers.failure(error)


def _need_path(place: Place) -> None:
    if not place.path:
        raise BadTarget("the path names no file")


def _version_of(place: Place) -> int:
    given = parameter(place.query, "last_modified")
    if not given:
        raise BadVersion("?last_modified= is required: a date as in RFC 2822")
    return parse_version(given)


_NO_ENDPOINT = answers.problem(404, "here there is files/, list/ and version/")


def _not_here(methods: Sequence[str]) -> Answer:
    names = ", ".join(methods)
    refusal = answers.problem(405, f"here there is {names}")
    return replace(refusal, headers=(*refusal.headers, (b"allow", names.encode())))
