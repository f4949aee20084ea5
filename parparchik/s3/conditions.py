"""Conditions of a write, also where S3 does not keep them, or keeps them in a way of its own.

| server | `If-Match`, `If-None-Match: *` of a PUT |
|---|---|
| AWS, MinIO, RADOS Gateway of 2025 | kept, as RFC 9110 section 13 has it |
| RADOS Gateway 16 | kept, but an ETag is compared as it is stored: without its quotes |
| Swift | refused (501) |
| rclone, and any for a multipart upload before 2024 | ignored |

So we look ourselves before anything is sent, which leaves a moment in between, and send them all
the same, for those servers that leave none.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping

from parparchik.content import Representation
from parparchik.errors import Denied, PreconditionFailed
from parparchik.rfc import Conditions, evaluate, parse_etag
from parparchik.s3.representation import quoted

Stat = Callable[[], Awaitable[Representation | None]]

_ONE_ETAG = re.compile(r'"([^"]+)"')


async def check_conditions(stat: Stat, conditions: Mapping[str, str]) -> bool:
    """Whether they hold for what `stat` says; False: who may only write is not told. Raises
    PreconditionFailed where they do not. An If-Match without quotes is taken as if it had them."""
    if not conditions:
        return True
    try:
        there = await stat()
    except Denied:
        return False
    if_match = conditions.get("if-match", "")
    asked = Conditions(
        if_match=if_match if if_match == "*" else quoted(if_match),
        if_none_match=conditions.get("if-none-match", ""),
    )
    etag = parse_etag(there.etag) if there is not None else None
    if evaluate(asked, reading=False, exists=there is not None, etag=etag) == "failed":
        raise PreconditionFailed("the object is not what the condition of storing it says")
    return True


async def store_if(
    stat: Stat,
    conditions: Mapping[str, str],
    put: Callable[[Mapping[str, str]], Awaitable[str]],
) -> str:
    """What `put` returns, given the conditions in the form that the server compares. Raises
    PreconditionFailed."""
    await check_conditions(stat, conditions)
    try:
        return await put(conditions)
    except PreconditionFailed:
        etag = _ONE_ETAG.fullmatch(conditions.get("if-match", ""))
        # The object is the one that was named, and the server says that it is not.
        if etag is None or not await check_conditions(stat, conditions):
            raise
    return await put({**conditions, "if-match": etag[1]})
