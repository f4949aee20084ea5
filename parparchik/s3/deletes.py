"""Deleting objects: one, or up to a thousand with one request."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence

import trio

from parparchik.errors import NotSupported, ParparchikError, UpstreamError
from parparchik.s3.addressing import Address
from parparchik.s3.asking import Asking
from parparchik.s3.failures import Operation, Rejection
from parparchik.s3.request import PiecewiseBody
from parparchik.s3.xml_writes import delete_document, parse_delete_result, sayable

BATCH_KEYS = 1000  # the most that S3 takes
DELETE_OPERATIONS: tuple[Operation, ...] = ("delete", "delete_many")

_SINGLES_AT_ONCE = 8


class Deletes:
    """Of one bucket."""

    __slots__ = ("_address", "_asking")

    def __init__(self, asking: Asking, address: Address) -> None:
        self._asking = asking
        self._address = address

    async def one(self, key: str) -> None:
        """Only S3's own word that there is no such key counts as done; another 404 may come from
        who knows whom."""
        await self._asking.ask(
            "delete", "DELETE", self._address.path(key), lambda _: True, refused=self._need_absence
        )

    async def many(self, keys: Sequence[str]) -> dict[str, str]:
        """The reasons of those that failed: S3's codes, or our messages. Keys that XML has no
        words for, and all where S3 knows no batches, are deleted one by one. Raises ValueError for
        more than BATCH_KEYS."""
        if len(keys) > BATCH_KEYS:
            raise ValueError(f"{len(keys)} keys are more than S3 deletes at once")
        batch = [key for key in keys if sayable(key)]
        singles = [key for key in keys if not sayable(key)]
        failed: dict[str, str] = {}
        if batch:
            try:
                failed = await self._batch(batch)
            except NotSupported:
                singles = list(keys)
        return failed | await self._singles(singles)

    async def _batch(self, keys: Sequence[str]) -> dict[str, str]:
        document = delete_document(keys)
        md5 = hashlib.md5(document, usedforsecurity=False).digest()
        failures = await self._asking.ask(
            "delete_many",
            "POST",
            self._address.bucket_path,
            lambda reply: parse_delete_result(reply.body),
            query=[("delete", "")],
            headers={
                "content-type": "application/xml",
                "content-length": str(len(document)),
                "content-md5": base64.b64encode(md5).decode("ascii"),
                "x-amz-content-sha256": hashlib.sha256(document).hexdigest(),
            },
            body=PiecewiseBody([document]),
        )
        if not {key for key, _ in failures} <= set(keys):
            raise UpstreamError("S3 failed to delete an object that it was not asked to delete")
        return {key: code for key, code in failures if code != "NoSuchKey"}

    async def _singles(self, keys: Sequence[str]) -> dict[str, str]:
        failed: dict[str, str] = {}
        slots = trio.Semaphore(_SINGLES_AT_ONCE)

        async def delete(key: str) -> None:
            async with slots:
                try:
                    await self.one(key)
                except ParparchikError as error:
                    failed[key] = error.client_message

        async with trio.open_nursery() as nursery:
            for key in keys:
                nursery.start_soon(delete, key)
        return failed

    def _need_absence(self, rejection: Rejection) -> None:
        if not rejection.says_no_key:
            raise self._asking.error(rejection, "delete")
