"""Small request bodies, and those that nothing here has a use for.

They are read before an answer is written, wanted or not: a connection closed on unread bytes is
reset, and the client may lose the answer; and Hypercorn's queue to the app is bounded, so an app
that leaves it full can never finish its answer.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from parparchik.errors import ClientGone
from parparchik.web.protocols import Message, Receive

LARGEST_BYTES = 65_536
SLOWEST_S = 10.0


async def take_body(receive: Receive, largest_bytes: int) -> bytes | int:
    """A request's body, or the status to refuse the request with: 413 when it is too large, 408
    when it takes too long (RFC 9110 section 15.5).

    Raises ClientGone.
    """
    body = bytearray()
    with trio.move_on_after(SLOWEST_S):
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone("the client has left")
            body += message["body"]
            if len(body) > largest_bytes:
                return 413
            if not message["more_body"]:
                return bytes(body)
    return 408


async def discard_rest(receive: Receive) -> None:
    """Keep the queue empty until the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


def with_body(receive: Receive, answered: Callable[[], bool], body: bytes = b"") -> Receive:
    """`receive` for an app behind us: `body`, then, if the client leaves early, that.

    A stream that has ended because its answer is written also counts as a disconnect. Quart would
    take it as one and cancel the very `send` that is just telling Hypercorn to reuse the
    connection, whose idle time-out would be lost.
    """
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        if first:
            return first.pop()
        message = await receive()
        if answered():
            await trio.sleep_forever()
        return message

    return receive_again
