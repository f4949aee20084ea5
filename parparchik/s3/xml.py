"""S3's XML answers as values: list pages, error bodies, STS credentials.

Straight on expat, which reads a page of 1,000 keys in a few milliseconds. An S3 answer has no
document type: a DOCTYPE is refused, and with it every entity declaration, so that nothing can be
expanded or fetched. Whatever is not the document that was asked for is an UpstreamError, never an
empty page: a listing cut short must not look like a bucket without files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import unquote_plus
from xml.parsers.expat import ExpatError, ParserCreate

from parparchik.errors import UpstreamError
from parparchik.model import ListedObject, ListPage, ObjectHead
from parparchik.rfc import parse_iso8601
from parparchik.s3.sigv4 import Credentials

_MESSAGE_MAX = 500  # characters kept of an error's message

# Called for every element that ends: its parent's name ('' for the root), its name, its text.
OnEnd = Callable[[str, str, str], None]


@dataclass(frozen=True, slots=True)
class S3ErrorBody:
    """The body of an error answer. `region` and `endpoint` come with a bucket asked for in the
    wrong place."""

    code: str
    message: str = ""
    region: str | None = None
    endpoint: str | None = None


class ListPageParser:
    """Reads one ListObjectsV2 answer, in pieces of any size.

    Keys are decoded where the answer says that they are encoded (`encoding-type=url`), which it
    may say before or after them. Every method raises UpstreamError on what is no such answer.
    """

    def __init__(self) -> None:
        self._document = _Document("ListBucketResult", self._on_end)
        self._page: dict[str, str] = {}
        self._object: dict[str, str] = {}
        self._objects: list[tuple[str, ObjectHead]] = []

    def feed(self, data: bytes) -> None:
        self._document.feed(data)

    def close(self) -> ListPage:
        self._document.close()
        truncated = self._page.get("IsTruncated")
        token = self._page.get("NextContinuationToken") or None
        if truncated not in ("true", "false"):
            raise UpstreamError("S3's listing does not say whether it is complete (IsTruncated)")
        if truncated == "true" and token is None:
            raise UpstreamError("S3's listing is incomplete and holds no NextContinuationToken")
        if self._page.get("EncodingType") == "url":
            objects = [ListedObject(unquote_plus(key), head) for key, head in self._objects]
        else:
            objects = [ListedObject(key, head) for key, head in self._objects]
        return ListPage(objects, token if truncated == "true" else None)

    def _on_end(self, parent: str, name: str, text: str) -> None:
        if parent == "Contents":
            self._object[name] = text
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


def parse_list_page(data: bytes) -> ListPage:
    """A whole ListObjectsV2 answer."""
    parser = ListPageParser()
    parser.feed(data)
    return parser.close()


def parse_error(data: bytes) -> S3ErrorBody | None:
    """The body of an error answer, S3's or STS's; None when it is something else.

    HEAD answers have no body, and proxies answer with HTML: none of that is worth an error of its
    own, for the status says enough.
    """
    fields: dict[str, str] = {}

    def on_end(parent: str, name: str, text: str) -> None:
        if parent == "Error":
            fields[name] = text

    document = _Document(("Error", "ErrorResponse"), on_end)
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
    )


def parse_assume_role(data: bytes) -> Credentials:
    """The credentials in an answer to STS AssumeRole or AssumeRoleWithWebIdentity.

    Raises UpstreamError for anything else; no message quotes the answer, which holds a secret.
    """
    fields: dict[str, str] = {}

    def on_end(parent: str, name: str, text: str) -> None:
        if parent == "Credentials":
            fields[name] = text.strip()

    document = _Document(("AssumeRoleResponse", "AssumeRoleWithWebIdentityResponse"), on_end)
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


class _Document:
    """Feeds expat and reports each element's text when it ends.

    Names are taken as they are written: S3 has a default namespace and no prefixes. `roots` is
    what the outermost element may be called.
    """

    def __init__(self, roots: str | tuple[str, ...], on_end: OnEnd) -> None:
        self._roots = (roots,) if isinstance(roots, str) else roots
        self._on_end = on_end
        self._open = [""]
        self._text: list[str] = []
        parser = ParserCreate("utf-8")
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text.append
        parser.StartDoctypeDeclHandler = self._refuse
        parser.EntityDeclHandler = self._refuse
        self._parser = parser

    def feed(self, data: bytes) -> None:
        self._parse(data, last=False)

    def close(self) -> None:
        self._parse(b"", last=True)

    def _parse(self, data: bytes, *, last: bool) -> None:
        try:
            self._parser.Parse(data, last)
        except ExpatError as error:
            raise UpstreamError(f"S3's answer is not the XML it should be: {error}") from error

    def _start(self, name: str, _attributes: object) -> None:
        if len(self._open) == 1 and name not in self._roots:
            raise UpstreamError(f"S3 answered with {name!r:.80} in place of {self._roots[0]}")
        self._open.append(name)
        self._text.clear()

    def _end(self, name: str) -> None:
        self._open.pop()
        self._on_end(self._open[-1], name, "".join(self._text))
        self._text.clear()

    def _refuse(self, *_declaration: object) -> NoReturn:
        raise UpstreamError("S3's answer declares a document type or an entity: refused")
