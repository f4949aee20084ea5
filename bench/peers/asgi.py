"""A redirect as a bare ASGI application, for uvicorn and granian, in three ways.

`signed` makes each URL by the book; `framed` makes each with parparchik's own presigner, so that
only the servers differ; `prepared` makes each once and answers from a dictionary. Run from the
clone's root; settings are in the environment.
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from bench.peers.signing import presign
from parparchik.s3 import Credentials
from parparchik.s3.presign import Presigner

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

CREDENTIALS = Credentials(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
PRESIGNER = Presigner(os.environ["S3_ENDPOINT"], os.environ["AWS_REGION"])
EXPIRES_S = int(os.environ["BENCH_EXPIRES_S"])

_answers: dict[str, Message] = {}
_END: Message = {"type": "http.response.body", "body": b""}


def _start(location: str) -> Message:
    headers = [(b"location", location.encode()), (b"content-length", b"0")]
    return {"type": "http.response.start", "status": 302, "headers": headers}


async def signed(scope: Message, receive: Receive, send: Send) -> None:
    await send(_start(presign(scope["path"])))
    await send(_END)


async def framed(scope: Message, receive: Receive, send: Send) -> None:
    now_s = time.time()
    url = PRESIGNER.url(
        "GET", scope["path"], credentials=CREDENTIALS, now_s=now_s, expires_s=EXPIRES_S
    )
    await send(_start(url))
    await send(_END)


async def prepared(scope: Message, receive: Receive, send: Send) -> None:
    path = scope["path"]
    start = _answers.get(path)
    if start is None:
        start = _answers[path] = _start(presign(path))
    await send(start)
    await send(_END)
