"""HTTP semantics as pure functions: what the RFCs say, without a socket, a clock or a framework.

Each module implements one subject and names the sections it follows.
"""

from parparchik.rfc.dates import (
    format_http_date,
    format_iso8601,
    parse_http_date,
    parse_iso8601,
    parse_iso8601_many,
)

__all__ = [
    "format_http_date",
    "format_iso8601",
    "parse_http_date",
    "parse_iso8601",
    "parse_iso8601_many",
]
