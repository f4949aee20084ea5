"""An XML document of S3's, element by element.

Straight on expat, which reads a page of 1,000 keys in a few milliseconds. An S3 answer has no
document type: a DOCTYPE is refused, and with it every entity declaration, so that nothing can be
expanded or fetched.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn
from xml.parsers.expat import ExpatError, ParserCreate

from parparchik.errors import UpstreamError

# Called for every element that ends: its parent's name ('' for the root), its name, its text.
OnEnd = Callable[[str, str, str], None]


class Document:
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
