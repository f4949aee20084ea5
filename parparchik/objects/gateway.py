"""The mount: which object a request is about, whether it may, and who does it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from parparchik.cache import Cache, Policy
from parparchik.config.model import ObjectsConfig
from parparchik.content import ObjectBytes, ObjectName
from parparchik.delivery import Deliverer, ObjectQuestion, Serving
from parparchik.errors import ClientError, ClientGone, ConfigError, ParparchikError
from parparchik.model import Answer, Bucket, Question, Request, Upload
from parparchik.objects import problems
from parparchik.objects.batch import Batch
from parparchik.objects.bodies import Bodies
from parparchik.objects.permissions import Permissions
from parparchik.objects.reading import Counted
from parparchik.objects.statistics import GatewayStatistics, Operation, Operations
from parparchik.objects.target import EmptyKey, Place, encoded_mount, parse
from parparchik.objects.writing import Writing
from parparchik.routes import Authenticator, Settled

OF_AN_OBJECT = ("GET", "HEAD", "PUT", "DELETE")
_READING: dict[str, Operation] = {"GET": "get", "HEAD": "head"}
_BATCHES: dict[bytes, Operation] = {
    **dict.fromkeys((b"delete", b"delete="), "batch_delete"),
    **dict.fromkeys((b"stat", b"stat="), "batch_stat"),
}


class Gateway:
    """`model.Mount`.

    `sources` has the allowed buckets by name; `reserving` are those of them that hold a manifest of
    the registry, which nobody may touch. `compresses`: whether a GET may be answered in a coding.
    `received` is told the size of each body that was taken, in bytes.
    """

    methods: tuple[str, ...] = (*OF_AN_OBJECT, "POST")

    def __init__(
        self,
        config: ObjectsConfig,
        sources: Mapping[str, ObjectBytes],
        cache: Cache,
        delivery: Deliverer,
        *,
        policy: Policy,
        authenticator: Authenticator,
        reserving: Iterable[Bucket] = (),
        compresses: bool = True,
        received: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Raises ConfigError for an allowed bucket that is not among the sources."""
        for bucket, _ in config.allowed_buckets:
            if bucket not in sources:
                raise ConfigError(f"allowed_buckets names {bucket!r}, which is no bucket of ours")
        self._mount = encoded_mount(config.mount)
        self._delivery = delivery
        self._policy = policy
        self._compress_min_bytes = config.compress_min_bytes if compresses else None
        self._permissions = Permissions(config.allowed_buckets, authenticator, reserving)
        self._bodies = Bodies(config.max_uploads, received)
        self._operations = Operations()
        self._writing = Writing(sources, cache, self._bodies, config.max_upload_bytes)
        # Anybody may send a list: that must not take the places of those who may write.
        self._lists = Bodies(config.max_uploads, received)
        self._batch = Batch(sources, cache, self._lists, self._permissions)

    def ask(self, request: Request) -> Question:
        """What a GET or a HEAD asks. The query means nothing here."""
        try:
            place = parse(request.target, self._mount)
            self._permit(place, request, writes=False)
            _need_key(place)
        except ParparchikError as error:
            return Settled(problems.failure(error))
        serving = Serving(
            ObjectName(place.bucket, place.key),
            self._policy,
            problems.KIND,
            compress_min_bytes=self._compress_min_bytes,
        )
        question = ObjectQuestion(
            self._delivery,
            request,
            serving,
            absent=problems.not_found(place),
            failed=problems.failure,
        )
        return Counted(question, self._operations.tally(place.bucket, _READING[request.method]))

    async def act(self, request: Request, upload: Upload) -> Answer:
        """Store, delete, or answer a batch. Raises ClientGone alone."""
        try:
            place = parse(request.target, self._mount)
            if request.method == "POST":
                return await self._act_on_many(place, request, upload)
            if request.method not in OF_AN_OBJECT:
                return problems.no_such_method(OF_AN_OBJECT if place.key else ("POST",))
            return await self._act_on_one(place, request, upload)
        except ClientGone:
            raise
        except ParparchikError as error:
            return problems.failure(error)

    async def _act_on_one(self, place: Place, request: Request, upload: Upload) -> Answer:
        self._permit(place, request, writes=True)
        _need_key(place)
        if place.query:
            # S3's sub-resources (?acl, ?uploadId=): their bodies are not the object's bytes.
            raise ClientError(f"a {request.method} takes no query")
        if request.method == "PUT":
            self._count(place, "put")
            return await self._writing.put(place, request, upload)
        self._count(place, "delete")
        return await self._writing.delete(place, request)

    async def _act_on_many(self, place: Place, request: Request, upload: Upload) -> Answer:
        operation = _BATCHES.get(place.query)
        self._permit(place, request, writes=operation != "batch_stat")
        if place.key:
            return problems.no_such_method(OF_AN_OBJECT)
        if operation is None:
            raise ClientError("a POST is for ?delete or ?stat")
        self._count(place, operation)
        if operation == "batch_delete":
            return await self._batch.delete(place.bucket, upload)
        return await self._batch.stat(place.bucket, upload)

    def _permit(self, place: Place, request: Request, *, writes: bool) -> None:
        self._permissions.check(place.bucket, writes=writes, api_key=request.api_key)
        self._permissions.check_key(place.bucket, place.key)

    def _count(self, place: Place, operation: Operation) -> None:
        self._operations.tally(place.bucket, operation).count += 1

    def statistics(self) -> GatewayStatistics:
        return GatewayStatistics(
            operations=self._operations.counts(),
            bodies=self._bodies.inside + self._lists.inside,
            refused_bodies=self._bodies.refused + self._lists.refused,
        )


def _need_key(place: Place) -> None:
    if not place.key:
        raise EmptyKey("the path names a bucket and no object in it")
