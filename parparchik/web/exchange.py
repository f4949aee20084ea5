"""One request as the front sees it, and the record of how it was answered."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from parparchik.access import RequestIds, is_sane_request_id
from parparchik.model import Answer, Headers, Request
from parparchik.rfc import TraceParent, trace_parent
from parparchik.routes import normalise, path_of, presented_key
from parparchik.web.protocols import Message, Scope, Send


@dataclass
class Exchange:
    """`request` is what was asked, its target in origin form.

    `request_id` is the client's, if it is a sane one, else one of ours.
    `send` passes ASGI messages on, adds the request id to the answer, and keeps what the log
    wants to know of it: `status` is 0 until an answer began, `sent_bytes` of its body have been
    passed on, `complete` is set with its last part.
    """

    request: Request
    request_id: bytes
    client: str
    _send: Send = field(repr=False)
    status: int = 0
    sent_bytes: int = 0
    complete: bool = False
    headers: Headers = ()
    kind: str = "other"

    @classmethod
    def of(cls, scope: Scope, send: Send, request_ids: RequestIds) -> Exchange:
        target, headers = normalise(
            b"%b?%b" % (scope["raw_path"], scope["query_string"]), tuple(scope["headers"])
        )
        request_id = next((v for name, v in headers if name == b"x-request-id"), b"")
        if not is_sane_request_id(request_id):
            request_id = request_ids.new()
        client = scope["client"]
        return cls(
            Request(scope["method"], target, presented_key(headers), headers),
            request_id=request_id,
            client=client[0] if client else "",
            _send=send,
        )

    @cached_property
    def trace(self) -> TraceParent | None:
        return trace_parent(self.request.headers)

    @cached_property
    def path(self) -> bytes:
        return path_of(self.request.target)

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = tuple(message["headers"])
            headers = [*message["headers"], (b"x-request-id", self.request_id)]
            message = {**message, "headers": headers}
        elif message["type"] == "http.response.body":
            # Hypercorn writes the headers alone for these.
            if self.request.method != "HEAD" and self.status not in (204, 304):
                self.sent_bytes += len(message.get("body", b""))
            self.complete = not message.get("more_body", False)
        await self._send(message)

    def is_answered(self) -> bool:
        return self.complete

    async def begin(self, answer: Answer) -> None:
        """Write an answer's head, with what its author leaves to the plane: here Content-Length and
        the request id; Hypercorn adds Date and, where needed, Connection and Transfer-Encoding."""
        self.kind = answer.kind
        headers = list(answer.headers)
        if answer.has_body and not answer.open_ended:
            headers.append((b"content-length", b"%d" % answer.size_bytes))
        await self.send(
            {"type": "http.response.start", "status": answer.status, "headers": headers}
        )

    async def write(self, piece: bytes | memoryview, *, more: bool) -> None:
        """Write the next part of a body; returns when there is room for another."""
        await self.send({"type": "http.response.body", "body": piece, "more_body": more})
