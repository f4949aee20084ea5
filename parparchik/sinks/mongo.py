"""MongoDB: a document a request, inserted by the batch, through pymongo in a thread."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import trio

from parparchik.errors import ConfigError
from parparchik.sinks.destination import SinkFailed, SinkRefused
from parparchik.sinks.measurement import Measurement

_DUPLICATE_KEY = 11000

Document = dict[str, Any]


def document(measurement: Measurement) -> Document:
    """The fields by the names that s3-proxy gave them; `timestamp` is a date."""
    second, nanosecond = divmod(measurement.timestamp_ns, 1_000_000_000)
    time = datetime.fromtimestamp(second, UTC).replace(microsecond=nanosecond // 1000)
    return {**dict(measurement.labels()), **dict(measurement.figures()), "timestamp": time}


class MongoDestination:
    """Raises ConfigError without pymongo, and for a connection string that is none."""

    def __init__(self, url: str, database: str, collection: str, timeout_s: float) -> None:
        try:
            import pymongo
            import pymongo.errors
        except ImportError:
            raise ConfigError("a MongoDB sink needs pymongo: install parparchik[mongodb]") from None
        timeout_ms = int(timeout_s * 1000)
        self._errors = pymongo.errors
        try:
            self._client: pymongo.MongoClient[Document] = pymongo.MongoClient(
                url,
                connect=False,  # nothing is asked before there is something to say
                serverSelectionTimeoutMS=timeout_ms,
                connectTimeoutMS=timeout_ms,
                socketTimeoutMS=timeout_ms,
                maxPoolSize=1,
            )
            self._collection = self._client[database][collection]
        except (pymongo.errors.PyMongoError, ValueError) as error:
            # Its message may quote the string, with the password in it.
            raise ConfigError(f"a MongoDB sink's URL: {type(error).__name__}") from None

    def prepare(self, measurements: Sequence[Measurement]) -> list[Document]:
        return [document(each) for each in measurements]

    async def send(self, batch: list[Document]) -> None:
        """A batch that is sent again keeps the ids that it was given the first time, so nothing is
        there twice. Whoever gives up waiting leaves the thread to its own time-outs."""
        await trio.to_thread.run_sync(self._insert, batch, abandon_on_cancel=True)

    async def aclose(self) -> None:
        await trio.to_thread.run_sync(self._client.close, abandon_on_cancel=True)

    def _insert(self, batch: list[Document]) -> None:
        errors = self._errors
        try:
            self._collection.insert_many(batch, ordered=False)
        except errors.BulkWriteError as error:
            found: list[Document] = (error.details or {}).get("writeErrors", [])
            others = [each for each in found if each.get("code") != _DUPLICATE_KEY]
            if others:
                raise SinkRefused(
                    f"MongoDB: {others[0].get('errmsg')} ({len(others)} of {len(batch)})"
                ) from error
        except errors.PyMongoError as error:
            raise SinkFailed(f"MongoDB: {error}") from error
