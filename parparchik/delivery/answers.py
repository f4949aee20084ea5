"""The answer with an object: what is sent of it (`decide`), and that as an Answer, whose content
is opened last (`Prepared`)."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from parparchik.cache import Found
from parparchik.content import Representation, Span
from parparchik.delivery import headers
from parparchik.delivery.plan import Plan, etag_of, offers, plan
from parparchik.delivery.spans import PartsContent, parts_of
from parparchik.delivery.types import Serving
from parparchik.delivery.wishes import Wishes
from parparchik.model import Answer, Content, Headers
from parparchik.rfc import (
    IDENTITY,
    ByteRanges,
    choose_coding,
    content_range,
    frame,
    unsatisfied_range,
)

_WITH_BODY = frozenset({200, 206})
_NOTHING = Span(0, -1)
_JUST_COME = frozenset({"MISS", "BYPASS"})


@dataclass(frozen=True, slots=True)
class Decision:
    """`varies`: another client may get it in another coding. `needs_body`: bytes of the object
    are sent; `needs_variant`: what is said of the answer depends on the coded bytes."""

    plan: Plan
    content_type: str
    varies: bool
    needs_body: bool
    needs_variant: bool


@dataclass(frozen=True, slots=True)
class Prepared:
    """An answer but for its content: a span of `source`, or the parts of a multipart/byteranges.
    Without a source it is whole as it is."""

    answer: Answer
    source: Found | None = None
    sent: Span | ByteRanges = _NOTHING

    def give(self) -> Answer:
        if self.source is None:
            return self.answer
        if isinstance(self.sent, ByteRanges):
            return self._with(PartsContent(self.source, self.sent))
        return self._with(self.source.content(self.sent))

    def give_nowait(self) -> Answer | None:
        """None where the content is not at hand."""
        if self.source is None:
            return self.answer
        if isinstance(self.sent, ByteRanges):
            return None
        content = self.source.content_nowait(self.sent)
        return None if content is None else self._with(content)

    def _with(self, content: Content) -> Answer:
        answer = self.answer
        return Answer(
            answer.status, answer.headers, kind=answer.kind, content=content, length=answer.length
        )


def decide(
    wishes: Wishes,
    serving: Serving,
    representation: Representation,
    *,
    codings: Sequence[str],
    compress_max_bytes: int,
    now_s: float,
    coded: bool = True,
) -> Decision:
    """`codings` are those that can be made, best first; `coded` False: not of this object, as has
    turned out."""
    content_type = headers.media_type(representation, serving.name.key)
    offered: Sequence[str] = ()
    if serving.compress_min_bytes is not None:
        sizes = range(serving.compress_min_bytes, compress_max_bytes + 1)
        offered = offers(representation, content_type, codings, sizes)
    varies = bool(offered)
    if not coded:
        offered = ()
    if serving.status == 200:
        planned = plan(wishes, representation, offered, now_s)
    else:
        planned = Plan(serving.status, choose_coding(wishes.accept_encoding, offered))
    sends = planned.status in _WITH_BODY or serving.status != 200
    return Decision(
        planned,
        content_type,
        varies,
        needs_body=sends and not wishes.head,
        needs_variant=sends and planned.coding != IDENTITY,
    )


def prepare_answer(
    wishes: Wishes,
    serving: Serving,
    found: Found,
    source: Found,
    *,
    decision: Decision,
    now_s: float,
) -> Prepared:
    """`source` is what is sent: `found` or a coded variant of it."""
    planned, representation = decision.plan, found.representation
    status, size_bytes = planned.status, representation.size_bytes
    said = _headers(serving, found, decision, now_s)
    if status == 304:
        kept = headers.for_304(said, serving.headers)
        return Prepared(Answer(304, kept, kind=serving.kind))
    if status == 412:
        refusal = _of_a_refusal(said, serving.headers)
        return Prepared(Answer(412, refusal, kind=serving.kind))
    if status == 416:
        unsatisfied = (b"content-range", unsatisfied_range(size_bytes).encode("ascii"))
        refusal = (*_of_a_refusal(said, serving.headers), unsatisfied)
        return Prepared(Answer(416, refusal, kind=serving.kind))
    if len(planned.spans) > 1:
        return _many(serving, found, decision, said)
    span = Span(0, source.representation.size_bytes - 1)
    if planned.spans:
        span = planned.spans[0]
        said += ((b"content-range", content_range(span, size_bytes).encode("ascii")),)
    if wishes.head:
        return Prepared(Answer(status, said, kind=serving.kind, length=span.size_bytes))
    body = b"" if span.size_bytes == 0 else source.body
    if body is None:
        answer = Answer(status, said, kind=serving.kind, length=span.size_bytes)
        return Prepared(answer, source, span)
    if planned.spans:
        body = body[span.first : span.last + 1]
    return Prepared(Answer(status, said, body, serving.kind))


def _headers(serving: Serving, found: Found, decision: Decision, now_s: float) -> Headers:
    representation, planned = found.representation, decision.plan
    age_s = found.age_s
    if serving.status == 200:
        said = headers.of_object(
            representation,
            content_type=decision.content_type,
            etag=etag_of(representation, planned.coding),
            default_max_age_s=serving.default_max_age_s,
            confirmed_at_s=now_s - age_s,
        )
    else:
        said = headers.of_page(representation, decision.content_type)
    if planned.coding != IDENTITY:
        said.append((b"content-encoding", planned.coding.encode("ascii")))
    return headers.finish(
        said,
        varies=decision.varies,
        status=found.status,
        age_s=None if found.status in _JUST_COME and not representation.age_s else age_s,
        added=serving.headers,
    )


def _many(serving: Serving, found: Found, decision: Decision, said: Headers) -> Prepared:
    framing = frame(
        decision.plan.spans,
        size_bytes=found.representation.size_bytes,
        content_type=next(
            value.decode("latin-1") for name, value in said if name == b"content-type"
        ),
        boundary=secrets.token_hex(16),
    )
    said = (
        (b"content-type", framing.content_type.encode("ascii")),
        *(header for header in said if header[0] != b"content-type"),
    )
    if found.body is not None:
        return Prepared(Answer(206, said, parts_of(found.body, framing), serving.kind))
    answer = Answer(206, said, kind=serving.kind, length=framing.size_bytes)
    return Prepared(answer, found, framing)


def _of_a_refusal(said: Headers, added: Headers) -> Headers:
    """Of a 412 or a 416: nothing of the object's but its validators."""
    kept = {b"etag", b"last-modified", b"accept-ranges", b"vary", b"x-cache"}
    kept |= {name for name, _ in added if not name.startswith(b"content-")}
    return tuple(header for header in said if header[0] in kept)
