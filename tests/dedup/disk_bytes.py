"""A bucket that outlives the process: FakeBytes whose objects are files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from urllib.parse import quote, unquote

from parparchik.content import Representation
from tests.fakes_bytes import FakeBytes, Stored


class FileObjects(MutableMapping[str, Stored]):
    """Each is one file, whole or not there, whatever kills us."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(exist_ok=True)

    def __getitem__(self, key: str) -> Stored:
        try:
            head, _, data = self._file(key).read_bytes().partition(b"\n")
        except FileNotFoundError:
            raise KeyError(key) from None
        size_bytes, modified_s, etag, content_type, headers = json.loads(head)
        representation = Representation(
            size_bytes, modified_s, etag, content_type, tuple((n, v) for n, v in headers)
        )
        return Stored(data, representation)

    def __setitem__(self, key: str, stored: Stored) -> None:
        said = stored.representation
        head = json.dumps(
            [said.size_bytes, said.last_modified_s, said.etag, said.content_type, said.headers]
        )
        part = self._directory / f".part-{os.getpid()}"
        part.write_bytes(head.encode() + b"\n" + stored.data)
        part.rename(self._file(key))

    def __delitem__(self, key: str) -> None:
        try:
            self._file(key).unlink()
        except FileNotFoundError:
            raise KeyError(key) from None

    def __iter__(self) -> Iterator[str]:
        return (unquote(name) for name in os.listdir(self._directory) if name[0] != ".")

    def __len__(self) -> int:
        return len(list(iter(self)))

    def _file(self, key: str) -> Path:
        return self._directory / quote(key, safe="")


def disk_bytes(directory: Path) -> FakeBytes:
    bucket = FakeBytes()
    bucket.objects = FileObjects(directory)  # type: ignore[assignment]
    return bucket
