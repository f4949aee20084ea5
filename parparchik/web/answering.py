"""Answers as ASGI messages: bodies in small pieces, each when there is room for it.

A body that does not come to its end is not brought to one: the server then breaks off the
connection, or in HTTP/2 the stream.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import structlog
import trio

from parparchik.errors import ParparchikError, Truncated
from parparchik.model import Answer, Block, Content, FileBlock
from parparchik.routes import failure, problem
from parparchik.web.exchange import Exchange

PIECE_BYTES = 65_536

log = structlog.get_logger(__name__)


async def give(exchange: Exchange, answer: Answer) -> None:
    """Answer a request; whatever happens, the answer's content is closed. Never raises for what
    that does."""
    content = answer.content
    if content is None:
        await exchange.begin(answer)
        await _write(exchange, answer.body, more=False)
        return
    try:
        if exchange.request.method == "HEAD" or not answer.has_body:
            await exchange.begin(answer)
            await exchange.write(b"", more=False)
        else:
            await _stream(exchange, answer, content)
    finally:
        content.close()


async def _stream(exchange: Exchange, answer: Answer, content: Content) -> None:
    try:
        await _write_blocks(exchange, answer, content)
    except ParparchikError as error:
        await _fail(exchange, failure(error, kind=answer.kind), str(error))
    except Exception as error:
        log.exception("request failed")
        await _fail(exchange, problem(500, kind=answer.kind), type(error).__name__)


async def _write_blocks(exchange: Exchange, answer: Answer, content: Content) -> None:
    # First, since as long as nothing has been said a failure can still be told.
    block = await content.read()
    await exchange.begin(answer)
    left = answer.size_bytes
    while block is not None:
        left -= size_of(block)
        if left < 0 and not answer.open_ended:
            raise Truncated("the body is longer than was announced")
        await _write(exchange, block, more=True)
        block = await content.read()
    if left and not answer.open_ended:
        raise Truncated("the body is shorter than was announced")
    await exchange.write(b"", more=False)


async def _fail(exchange: Exchange, instead: Answer, reason: str) -> None:
    if exchange.status:
        log.warning("answer broken off", reason=reason)
    else:
        await give(exchange, instead)


async def _write(exchange: Exchange, block: Block, *, more: bool) -> None:
    """`more`: something comes behind it."""
    if isinstance(block, FileBlock):
        position, end = block.offset, block.offset + block.size_bytes
        while position < end:
            read = os.pread(block.fd, min(end - position, PIECE_BYTES), position)
            if not read:
                raise Truncated("the file ends before its block does")
            position += len(read)
            await exchange.write(read, more=True)
            await trio.lowlevel.checkpoint()
        return
    *firsts, last = _pieces(block)
    for piece in firsts:
        await exchange.write(piece, more=True)
    await exchange.write(last, more=more)


def _pieces(block: bytes | memoryview) -> Iterator[bytes | memoryview]:
    """At least one."""
    if len(block) <= PIECE_BYTES:
        yield block
        return
    view = memoryview(block).cast("B")
    for start in range(0, len(view), PIECE_BYTES):
        yield view[start : start + PIECE_BYTES]


def size_of(block: Block) -> int:
    return block.size_bytes if isinstance(block, FileBlock) else memoryview(block).nbytes
