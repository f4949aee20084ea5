"""One request as the front sees it, and the record of how it was answered."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from parparchik.access import RequestIds, is_sane_request_id
from parparchik.model import Answer
from parparchik.web.protocols import Message, Scope, Send

_ABSOLUTE_FORM = re.compile(rb"https?://[^/]*", re.IGNORECASE)


@dataclass(slots=True)
class Exchange:
    """`target` is the request target in origin form, undecoded: path and, if any, `?query`.

    `request_id` is the client's, if it is a sane one, else one of ours.
    `send` passes ASGI messages on, adds the request id to the answer, and keeps what the log
    wants to know of it: `status` is 0 until an answer began, `complete` is set with its last part.
    """

    method: str
    path: bytes
    target: bytes
    request_id: bytes
    client: str
    _send: Send = field(repr=False)
    status: int = 0
    complete: bool = False
    location: bytes = b""
    kind: str = "other"

    @classmethod
    def of(cls, scope: Scope, send: Send, request_ids: RequestIds) -> Exchange:
        path: bytes = scope["raw_path"]
        if not path.startswith(b"/"):
            # Absolute form must be accepted (RFC 9112 section 3.2.2); its authority names us.
            path = _ABSOLUTE_FORM.sub(b"", path, count=1) or b"/"
        query: bytes = scope["query_string"]
        request_id = next((v for name, v in scope["headers"] if name == b"x-request-id"), b"")
        if not is_sane_request_id(request_id):
            request_id = request_ids.new()
        client = scope["client"]
        return cls(
            method=scope["method"],
            path=path,
            target=path + b"?" + query if query else path,
            request_id=request_id,
            client=client[0] if client else "",
            _send=send,
        )

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message["headers"], (b"x-request-id", self.request_id)]
            message = {**message, "headers": headers}
        elif message["type"] == "http.response.body" and not message.get("more_body", False):
            self.complete = True
        await self._send(message)

    def is_answered(self) -> bool:
        return self.complete

    async def answer(self, answer: Answer) -> None:
        """Write a whole answer, with the headers that its author leaves to the plane: here
        Content-Length and the request id; Hypercorn adds Date and, where needed, Connection."""
        self.kind = answer.kind
        self.location = next((v for name, v in answer.headers if name == b"location"), b"")
        length = (b"content-length", b"%d" % len(answer.body))
        headers = [*answer.headers, length]
        await self.send(
            {"type": "http.response.start", "status": answer.status, "headers": headers}
        )
        # For HEAD Hypercorn writes the headers alone.
        await self.send({"type": "http.response.body", "body": answer.body})
