"""Request bodies, which nothing here has a use for.

They are read all the same before an answer is written: a connection closed on unread bytes is
reset, and the client may lose the answer; and Hypercorn's queue to the app is bounded, so an app
that leaves it full can never finish its answer.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from parparchik.web.protocols import Message, Receive

LARGEST_BYTES = 65_536
SLOWEST_S = 10.0


class ClientGone(Exception):
    """The client has closed the connection before its request was complete."""


async def discard_body(receive: Receive) -> int:
    """Read a request's body; 0 when it is done, else the status to refuse the request with:
    413 when it is too large, 408 when it takes too long (RFC 9110 section 15.5).

    Raises ClientGone.
    """
    size_bytes = 0
    with trio.move_on_after(SLOWEST_S):
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            size_bytes += len(message["body"])
            if size_bytes > LARGEST_BYTES:
                return 413
            if not message["more_body"]:
                return 0
    return 408


async def discard_rest(receive: Receive) -> None:
    """Keep the queue empty until the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


def without_body(receive: Receive, answered: Callable[[], bool]) -> Receive:
    """`receive` for an app behind us: no body, then, if the client leaves early, that.

    A stream that has ended because its answer is written also counts as a disconnect. Quart would
    take it as one and cancel the very `send` that is just telling Hypercorn to reuse the
    connection, whose idle time-out would be lost.
    """
    first: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive_without_body() -> Message:
        if first:
            return first.pop()
        message = await receive()
        if answered():
            await trio.sleep_forever()
        return message

    return receive_without_body
