"""What a client is sent of an object: RFC 9110 sections 12 to 14 taken together. Pure.

An object that can be coded has several representations, each with an entity tag of its own. Those
that the client accepts are candidates, the one that it likes best first: 304 if it has any of them
already, else the first for which its conditions hold, and 412 where they hold for none. Ranges are
of the object as it is stored: nobody can continue a coded download with bytes of another coding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from parparchik.content import Representation, Span
from parparchik.delivery.wishes import Wishes
from parparchik.rfc import (
    IDENTITY,
    ETag,
    Outcome,
    choose_coding,
    coded_etag,
    evaluate,
    is_compressible,
    parse_cache_control,
    parse_etag,
    range_applies,
    satisfy,
)

_PREFERRED: tuple[Outcome, ...] = ("not modified", "proceed")


class Plan(NamedTuple):
    """`coding` is "identity" or one of those offered; `spans` are those of a 206."""

    status: int
    coding: str = IDENTITY
    spans: tuple[Span, ...] = ()


def plan(
    wishes: Wishes, representation: Representation, offered: Sequence[str], now_s: float
) -> Plan:
    """`offered`: the codings, best first, that the object can be had in beside its own."""
    etag = parse_etag(representation.etag)
    modified_s = last_modified_s(representation)
    spans = None
    if wishes.ranges is not None and range_applies(
        wishes.if_range, etag=etag, last_modified_s=modified_s, now_s=now_s
    ):
        spans = satisfy(wishes.ranges, representation.size_bytes)
    coding = choose_coding(wishes.accept_encoding, offered) if spans is None else IDENTITY
    if wishes.conditions:
        outcome, coding = _best(
            wishes, tuple(dict.fromkeys((coding, IDENTITY))), etag, modified_s, now_s
        )
        if outcome != "proceed":
            return Plan(304 if outcome == "not modified" else 412, coding)
    if spans is None:
        return Plan(200, coding)
    return Plan(206 if spans else 416, spans=spans)


def _best(
    wishes: Wishes,
    candidates: Sequence[str],
    etag: ETag | None,
    modified_s: int | None,
    now_s: float,
) -> tuple[Outcome, str]:
    """What becomes of the request, and the candidate for which it does."""
    outcomes = [
        evaluate(
            wishes.conditions,
            reading=True,
            etag=_tag(etag, coding),
            last_modified_s=modified_s,
            now_s=now_s,
        )
        for coding in candidates
    ]
    for outcome in _PREFERRED:
        if outcome in outcomes:
            return outcome, candidates[outcomes.index(outcome)]
    return "failed", IDENTITY


def offers(
    representation: Representation,
    media_type: str,
    codings: Sequence[str],
    sizes: range,
) -> Sequence[str]:
    """Which of `codings` are worth making: of an object that is not coded already, of a type that
    gets smaller, of a size in `sizes`, and that its owner lets be changed on its way
    (RFC 9110 section 7.7, no-transform)."""
    if (
        representation.size_bytes not in sizes
        or not is_compressible(media_type)
        or representation.header("content-encoding")
        or parse_cache_control(representation.header("cache-control")).no_transform
    ):
        return ()
    return codings


def etag_of(representation: Representation, coding: str) -> str:
    """The entity tag as it is sent; '' where S3 gave none. One that is malformed is sent as it is
    with the object as it is, and matches nothing."""
    if coding == IDENTITY:
        return representation.etag
    return str(_tag(parse_etag(representation.etag), coding) or "")


def last_modified_s(representation: Representation) -> int | None:
    return representation.last_modified_s or None


def _tag(etag: ETag | None, coding: str) -> ETag | None:
    return etag if etag is None or coding == IDENTITY else coded_etag(etag, coding)
