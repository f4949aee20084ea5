"""Values that cross rooms, and the Protocols that rooms meet at.

Values are frozen and slotted. Times are whole seconds since 1970 UTC (`_s` with a wall-clock
meaning is named `last_modified_s`, `expires_at_s`); durations are seconds; sizes are bytes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, NamedTuple, Protocol, TypeVar

Method = Literal["GET", "HEAD"]
BucketType = Literal["public", "private"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket that routes answer for. The order of the configured buckets is their priority.

    `manifest_key` is the object in this bucket that holds its part of the registry.
    """

    name: str
    manifest_key: str = ".parparchik/files.json"
    public: bool = False

    @property
    def type(self) -> BucketType:
        return "public" if self.public else "private"

    def reserves(self, key: str) -> bool:
        """Whether `key` is the manifest or lies in its folder: never an entry, never a route.

        A manifest at the bucket's top level has no folder of its own: then the manifest and the
        copies kept beside it (`<manifest key>.*`) are reserved.
        """
        folder, slash, _ = self.manifest_key.rpartition("/")
        if slash:
            return key.startswith(folder + "/")
        return key == self.manifest_key or key.startswith(self.manifest_key + ".")


@dataclass(frozen=True, slots=True)
class Entry:
    """A file that routes know: which bucket has it, and what S3 last said of it.

    `size_bytes` and `last_modified_s` are 0 while S3 has not been asked (an entry of a manifest
    that held only the key).
    """

    key: str
    bucket: Bucket
    size_bytes: int = 0
    last_modified_s: int = 0

    @property
    def route(self) -> str:
        return f"/{self.bucket.name}/{self.key}"


@dataclass(frozen=True, slots=True)
class ObjectHead:
    """What a HEAD or a listing says of an object. `etag` keeps its quotes ('' if S3 sent none)."""

    size_bytes: int
    last_modified_s: int
    etag: str = ""


@dataclass(frozen=True, slots=True)
class ListedObject:
    key: str
    head: ObjectHead


@dataclass(frozen=True, slots=True)
class ListPage:
    """One answer of ListObjectsV2. `next_token` is opaque; None on the last page."""

    objects: Sequence[ListedObject]
    next_token: str | None


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A whole small object: its bytes and what S3 says of it."""

    data: bytes
    head: ObjectHead


@dataclass(frozen=True, slots=True)
class PresignedUrl:
    """A URL that needs no credentials. `expires_at_s` is when S3 stops honouring it: the life
    asked for, or less where the credentials that signed it end before."""

    url: str
    expires_at_s: float


@dataclass(frozen=True, slots=True)
class Unfinished(Generic[T]):
    """A question that could not be answered without a task. `finish`, to be awaited once or not at
    all, goes on from there: what was asked is not asked again, and time that passed has passed."""

    finish: Callable[[], Awaitable[T]]


class ObjectStore(Protocol):
    """One bucket on one S3 endpoint. Every method that asks S3 raises `UpstreamError` when S3
    gives no usable answer; only None says that an object does not exist."""

    @property
    def bucket(self) -> Bucket: ...

    async def head(self, key: str) -> ObjectHead | None:
        """Existence probe; None when S3 says 404 NoSuchKey (or 403, where the operator has
        declared that denied means missing). Retried and bounded in time."""
        ...

    def head_soon(
        self, key: str, then: Callable[[ObjectHead | Unfinished[ObjectHead | None]], None]
    ) -> bool:
        """The same without a task: where that can begin at once, `then` is called later, once,
        from the event loop; it must not raise. False: nothing was begun, `head` is the way."""
        ...

    async def get(self, key: str) -> StoredObject | None:
        """A whole object; None when absent. For manifests, not for bodies of users."""
        ...

    async def put(
        self,
        key: str,
        pieces: Sequence[bytes],
        *,
        content_type: str,
        if_match: str | None = None,
        if_none_match: str | None = None,
    ) -> str:
        """Store the object that the pieces make together; returns its ETag. Nothing of their
        total size is ever copied at once. `if_match` is sent as it is given, quotes or not.

        Raises PreconditionFailed when the condition does not hold and NotSupported when the
        server knows no conditional writes.
        """
        ...

    async def list_page(
        self, *, token: str | None = None, start_after: str | None = None, prefix: str = ""
    ) -> ListPage:
        """Up to 1,000 objects in the order of their UTF-8 bytes."""
        ...

    def public_url(self, key: str) -> str:
        """The plain URL that clients are sent to."""
        ...

    def presign(self, method: Method, key: str, *, expires_s: int) -> PresignedUrl:
        """A URL signed for `method` alone, for `expires_s` seconds from now. No I/O: raises
        NoCredentials when no valid credentials are at hand."""
        ...


Headers = tuple[tuple[bytes, bytes], ...]
"""Names in lower case, in the order in which they stand in a message; one may stand twice."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the answer depends on, free of any framework.

    `target` is the request target as it came over the wire (origin form, percent-encoded, with
    its query). `api_key` is what the caller presented (Bearer or X-API-Key), '' if nothing.
    """

    method: str
    target: bytes
    api_key: bytes = b""
    headers: Headers = ()

    def header(self, name: bytes) -> bytes:
        """The value of a header, b'' if there is none; of a list in several lines, the whole list
        (RFC 9110 section 5.3)."""
        return b", ".join([value for given, value in self.headers if given == name])


@dataclass(frozen=True, slots=True)
class FileBlock:
    """Part of an open file, which neither closes nor changes before the next block is read."""

    fd: int
    offset: int
    size_bytes: int


Block = bytes | memoryview | FileBlock


class Content(Protocol):
    """A body that goes out as it comes in: read by one reader, once, block by block."""

    async def read(self) -> Block | None:
        """The next block, of no more than a megabyte where it is bytes; None at the end. Raises
        UpstreamError when the rest will never come: what has been sent must then not look whole.
        """
        ...

    def close(self) -> None:
        """Give back what it holds. Whoever takes a Content closes it, read or not; once or more."""
        ...


class ReadyContent(Content, Protocol):
    """A body of which the next block may be at hand: any that has `read_nowait` is one."""

    def read_nowait(self) -> Block | None:
        """As `read`. Raises BlockingIOError where the block has to be waited for: then `read` is
        the way, now and from now on."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer. `headers` are lower-case names in the order to be written, without Date, Server,
    Content-Length and Connection: the plane that writes adds these.

    The body is ready bytes, or, where `content` is given, what that reads: then the answer is good
    for one request. `length` is what Content-Length says where that is not the size of `body`: of
    `content`, and of what an answer to HEAD leaves out. `kind` is what metrics count the request
    under. With `open_ended` nobody knows how long the content is before it ends: then there is no
    Content-Length.
    """

    status: int
    headers: Headers = ()
    body: bytes = b""
    kind: str = "other"
    content: Content | None = None
    length: int | None = None
    open_ended: bool = False

    @property
    def size_bytes(self) -> int:
        """What Content-Length says, if there is one."""
        return len(self.body) if self.length is None else self.length

    @property
    def has_body(self) -> bool:
        """Whether it has one for GET, be it empty (RFC 9110 sections 15.3.5 and 15.4.5)."""
        return self.status not in (204, 304)


class Upload(Protocol):
    """The body of a request, read by one reader as fast as that takes it and no faster."""

    @property
    def size_bytes(self) -> int | None:
        """What Content-Length says; None where the client does not."""
        ...

    async def read(self) -> bytes:
        """The next piece; b'' at the end. A client that waits to be asked for the body (`Expect:
        100-continue`) is asked by the first call. Raises ClientGone when the rest will never come,
        and ClientError for one that sends too slowly."""
        ...


class WholeUpload(Upload, Protocol):
    """One that has come whole."""

    @property
    def data(self) -> bytes:
        """All of it, whatever has been read."""
        ...


Soon = Callable[[WholeUpload, Callable[[Answer | Unfinished[Answer]], None]], bool]
"""Do something without a task: where that can begin at once, the callback is called later, once,
from the event loop; it must not raise. False: nothing was begun, and nothing is read; nor where it
raises."""


class Action(NamedTuple):
    """What is to be done; `do` raises as `Mount.act` does. `soon` need not be able to."""

    do: Callable[[Upload], Awaitable[Answer]]
    soon: Soon | None = None


class Mount(Protocol):
    """Answers for all that lies below a path, or for a host. What it raises of ParparchikError is
    the answer too, as `errors` has its status."""

    @property
    def methods(self) -> tuple[str, ...]:
        """What it answers, somewhere below its path; `act` refuses the rest."""
        ...

    def ask(self, request: Request) -> Question:
        """What a GET or a HEAD asks."""
        ...

    async def act(self, request: Request, upload: Upload) -> Answer:
        """Do what any other method wants, or answer 405 with what there is at that path in Allow.
        The body need not be read to its end."""
        ...


class PromptMount(Mount, Protocol):
    """One that may do it without a task: any that has `act_soon` is one."""

    def act_soon(
        self,
        request: Request,
        upload: WholeUpload,
        then: Callable[[Answer | Unfinished[Answer]], None],
    ) -> bool:
        """As `Soon`."""
        ...


class Question(Protocol):
    """A request for a file that has been understood. It may be asked again and again, by several
    tasks at once, and its answer may change. Never raises a ParparchikError: it is the answer."""

    def answer_nowait(self) -> Answer | None:
        """The answer from what is at hand; None when it must be waited for (`answer`). As long as
        nothing has changed this is the same object, and what was made of it may be used again; one
        with content is another each time, and its content is the caller's to close."""
        ...

    def answer_soon(self, then: Callable[[Answer | Unfinished[Answer]], None]) -> bool:
        """`answer` without a task: where S3 can be asked at once, `then` is called later, once,
        from the event loop; it must not raise. False: nothing was begun, `answer` is the way."""
        ...

    async def answer(self) -> Answer:
        """The answer, S3 asked."""
        ...
