"""HTTP semantics as pure functions: what the RFCs say, without a socket, a clock or a framework.

Each module implements one subject and names the sections it follows. Fields are text as they came,
'' where there was none; no parser of a request's field raises, whatever it is given.
"""

from parparchik.rfc.byteranges import ByteRanges, frame
from parparchik.rfc.cache_control import CacheControl, parse_cache_control
from parparchik.rfc.codings import IDENTITY, choose_coding
from parparchik.rfc.conditions import Conditions, Outcome, evaluate, range_applies
from parparchik.rfc.dates import (
    format_http_date,
    format_iso8601,
    parse_http_date,
    parse_iso8601,
    parse_iso8601_many,
)
from parparchik.rfc.etags import ETag, coded_etag, parse_etag
from parparchik.rfc.freshness import (
    freshness_lifetime_s,
    may_be_shared,
    parse_age,
)
from parparchik.rfc.media_types import guess_media_type, is_compressible
from parparchik.rfc.ranges import (
    ByteRange,
    content_range,
    parse_ranges,
    satisfy,
    unsatisfied_range,
)
from parparchik.rfc.trace_context import TraceParent, trace_parent

__all__ = [
    "IDENTITY",
    "ByteRange",
    "ByteRanges",
    "CacheControl",
    "Conditions",
    "ETag",
    "Outcome",
    "TraceParent",
    "choose_coding",
    "coded_etag",
    "content_range",
    "evaluate",
    "format_http_date",
    "format_iso8601",
    "frame",
    "freshness_lifetime_s",
    "guess_media_type",
    "is_compressible",
    "may_be_shared",
    "parse_age",
    "parse_cache_control",
    "parse_etag",
    "parse_http_date",
    "parse_iso8601",
    "parse_iso8601_many",
    "parse_ranges",
    "range_applies",
    "satisfy",
    "trace_parent",
    "unsatisfied_range",
]
