"""S3's XML answers as values: list pages, error bodies, STS credentials.

Whatever is not the document that was asked for is an UpstreamError, never an empty page: a listing
cut short must not look like a bucket without files. What writing needs is in `xml_writes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote_plus

from parparchik.content import Folder
from parparchik.errors import UpstreamError
from parparchik.model import ListedObject, ListPage, ObjectHead
from parparchik.rfc import parse_iso8601
from parparchik.s3.document import Document
from parparchik.s3.sigv4 import Credentials

_MESSAGE_MAX = 500  # characters kept of an error's message


@dataclass(frozen=True, slots=True)
class S3ErrorBody:
    """The body of an error answer. `region` and `endpoint` come with a bucket asked for in the
    wrong place, the object's `size_bytes` with a range that lies beyond it (-1: not said)."""

    code: str
    message: str = ""
    region: str | None = None
    endpoint: str | None = None
    size_bytes: int = -1


class ListPageParser:
    """Reads one ListObjectsV2 answer, in pieces of any size.

    Keys are decoded where the answer says that they are encoded (`encoding-type=url`), which it
    may say before or after them. Every method raises UpstreamError on what is no such answer.
    """

    def __init__(self) -> None:
        self._document = Document("ListBucketResult", self._on_end)
        self._page: dict[str, str] = {}
        self._object: dict[str, str] = {}
        self._objects: list[tuple[str, ObjectHead]] = []
        self._prefixes: list[str] = []

    def feed(self, data: bytes) -> None:
        self._document.feed(data)

    def close(self) -> ListPage:
        objects, _, token = self._finish()
        return ListPage(objects, token)

    def close_folder(self) -> Folder:
        """Of a listing with `delimiter=/`. The order is made sure of: not every S3 sorts by bytes
        what it has cut at the delimiter."""
        objects, prefixes, token = self._finish()
        objects = sorted(objects, key=lambda each: each.key.encode())
        return Folder(objects, sorted(prefixes, key=str.encode), token)

    def _finish(self) -> tuple[Sequence[ListedObject], Sequence[str], str | None]:
        self._document.close()
        truncated = self._page.get("IsTruncated")
        token = self._page.get("NextContinuationToken") or None
        if truncated not in ("true", "false"):
            raise UpstreamError("S3's listing does not say whether it is complete (IsTruncated)")
        if truncated == "true" and token is None:
            raise UpstreamError("S3's listing is incomplete and holds no NextContinuationToken")
        if self._page.get("EncodingType") == "url":
            objects = [ListedObject(unquote_plus(key), head) for key, head in self._objects]
            prefixes = [unquote_plus(prefix) for prefix in self._prefixes]
        else:
            objects = [ListedObject(key, head) for key, head in self._objects]
            prefixes = self._prefixes
        return objects, prefixes, token if truncated == "true" else None

    def _on_end(self, parent: str, name: str, text: str) -> None:
        if parent == "Contents":
            self._object[name] = text
        elif parent == "CommonPrefixes":
            if name == "Prefix":
                self._prefixes.append(text)
        elif parent == "ListBucketResult":
            if name == "Contents":
                self._finish_object()
            else:
                self._page[name] = text

    def _finish_object(self) -> None:
        fields = self._object
        self._object = {}
        try:
            head = ObjectHead(
                _parse_size(fields["Size"]),
                parse_iso8601(fields["LastModified"]),
                fields.get("ETag", ""),
            )
            self._objects.append((fields["Key"], head))
        except KeyError as error:
            raise UpstreamError(f"S3's listing holds an object without {error}") from error
        except ValueError as error:
            raise UpstreamError(f"S3's listing holds an object that is odd: {error}") from error


def _parse_size(text: str) -> int:
    if not (text.isascii() and text.isdigit()):  # int() would also take "+1" and "1_000"
        raise ValueError(f"not a size: {text!r:.80}")
    return int(text)


def _size_or_unknown(text: str) -> int:
    try:
        return _parse_size(text)
    except ValueError:
        return -1


def parse_list_page(data: bytes) -> ListPage:
    """A whole ListObjectsV2 answer."""
    parser = ListPageParser()
    parser.feed(data)
    return parser.close()


def parse_folder(data: bytes) -> Folder:
    """A whole ListObjectsV2 answer with `delimiter=/`."""
    parser = ListPageParser()
    parser.feed(data)
    return parser.close_folder()


def parse_error(data: bytes) -> S3ErrorBody | None:
    """The body of an error answer, S3's or STS's; None when it is something else.

    HEAD answers have no body, and proxies answer with HTML: none of that is worth an error of its
    own, for the status says enough.
    """
    fields: dict[str, str] = {}

    def on_end(parent: str, name: str, text: str) -> None:
        if parent == "Error":
            fields[name] = text

    document = Document(("Error", "ErrorResponse"), on_end)
    try:
        document.feed(data)
        document.close()
    except UpstreamError:
        return None
    code = fields.get("Code", "").strip()
    if not code:
        return None
    return S3ErrorBody(
        code=code,
        message=" ".join(fields.get("Message", "").split())[:_MESSAGE_MAX],
        region=fields.get("Region") or None,
        endpoint=fields.get("Endpoint") or None,
        size_bytes=_size_or_unknown(fields.get("ActualObjectSize", "")),
    )


def parse_assume_role(data: bytes) -> Credentials:
    """The credentials in an answer to STS AssumeRole or AssumeRoleWithWebIdentity.

    Raises UpstreamError for anything else; no message quotes the answer, which holds a secret.
    """
    fields: dict[str, str] = {}

    def on_end(parent: str, name: str, text: str) -> None:
        if parent == "Credentials":
            fields[name] = text.strip()

    document = Document(("AssumeRoleResponse", "AssumeRoleWithWebIdentityResponse"), on_end)
    document.feed(data)
    document.close()
    for name in ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"):
        if not fields.get(name):
            raise UpstreamError(f"the answer of STS holds no {name}")
    try:
        expires_at_s = parse_iso8601(fields["Expiration"])
    except ValueError as error:
        raise UpstreamError("the answer of STS holds an Expiration that is no date") from error
    return Credentials(
        access_key_id=fields["AccessKeyId"],
        secret_access_key=fields["SecretAccessKey"],
        session_token=fields["SessionToken"],
        expires_at_s=expires_at_s,
    )
