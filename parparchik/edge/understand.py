"""From a request head to what it asks, where the edge answers that: GET and HEAD of a file, with
no body, nothing to negotiate and nothing of unusual size.
"""

from __future__ import annotations

from collections.abc import Callable

from parparchik.access import is_sane_request_id
from parparchik.edge.head import Head
from parparchik.edge.limits import Limits
from parparchik.edge.memo import Understood
from parparchik.model import Method, Question, Request
from parparchik.rfc import trace_parent
from parparchik.routes import normalise, presented_key

Ask = Callable[[Request], Question | None]
"""What a request asks; None where somebody else has to answer."""

_METHODS: dict[bytes, Method] = {b"GET": "GET", b"HEAD": "HEAD"}
_PERSONAL = frozenset({b"authorization", b"proxy-authorization", b"x-api-key", b"cookie"})
_ITS_OWN = frozenset({b"x-request-id", b"traceparent"})


def understand(head: Head, ask: Ask, limits: Limits) -> Understood | None:
    """What `head` asks; None where somebody else has to answer."""
    method = _METHODS.get(head.method)
    if (
        method is None
        or head.content_length
        or head.chunked
        or head.upgrade
        or head.expects
        or len(head.target) > limits.max_target_bytes
    ):
        return None
    target, headers = normalise(head.target, tuple(head.fields))
    request_id = next((value for name, value in headers if name == b"x-request-id"), b"")
    if not is_sane_request_id(request_id):
        request_id = b""
    request = Request(method, target, presented_key(headers), headers)
    question = ask(request)
    if question is None:
        return None
    return Understood(
        *(question, method, target),
        ends=not head.keep_alive,
        request_id=request_id,
        forwarded_for=request.header(b"x-forwarded-for"),
        knows_chunks=head.version == b"1",
        api_key=request.api_key,
        trace=trace_parent(headers),
    )


def may_be_kept(head: Head) -> bool:
    """Whether the bytes of `head` may stay in memory: not with a secret, and to no purpose with an
    id that differs every time."""
    return not any(name in _PERSONAL or name in _ITS_OWN for name, _ in head.fields)
