"""From a request head to what it asks, where the edge answers that: GET and HEAD of a file without
a body, and what changes files by a small body of announced length. There is nothing to negotiate,
and nothing of unusual size.
"""

from __future__ import annotations

from collections.abc import Callable

from parparchik.access import is_sane_request_id
from parparchik.edge.deed import Act, Deed
from parparchik.edge.head import Head
from parparchik.edge.limits import Limits
from parparchik.edge.memo import Understood
from parparchik.model import Question, Request
from parparchik.rfc import trace_parent
from parparchik.routes import normalise, presented_key

Ask = Callable[[Request], Question | None]
"""What a request asks; None where somebody else has to answer."""

_ASKING = {b"GET": "GET", b"HEAD": "HEAD"}
_ACTING = {b"PUT": "PUT", b"POST": "POST", b"DELETE": "DELETE"}
_NEED_NO_LENGTH = frozenset({b"DELETE"})
_PERSONAL = frozenset({b"authorization", b"proxy-authorization", b"x-api-key", b"cookie"})
_ITS_OWN = frozenset({b"x-request-id", b"traceparent"})


def understand(head: Head, ask: Ask, act: Act, limits: Limits) -> Understood | None:
    """What `head` asks; None where somebody else has to answer."""
    method = _method_of(head, limits)
    if not method:
        return None
    target, headers = normalise(head.target, tuple(head.fields))
    request_id = next((value for name, value in headers if name == b"x-request-id"), b"")
    if not is_sane_request_id(request_id):
        request_id = b""
    request = Request(method, target, presented_key(headers), headers)
    question: Question | None
    deed: Deed | None = None
    if head.method in _ASKING:
        question = ask(request)
    else:
        action = act(request)
        question = deed = None if action is None else Deed(action, head.content_length)
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
        deed=deed,
    )


def _method_of(head: Head, limits: Limits) -> str:
    """'' where somebody else has to answer, whatever is asked for."""
    if head.chunked or head.upgrade or head.expects or len(head.target) > limits.max_target_bytes:
        return ""
    if head.method in _ASKING:
        return "" if head.content_length else _ASKING[head.method]
    if head.content_length is None and head.method not in _NEED_NO_LENGTH:
        return ""
    if (head.content_length or 0) > limits.max_body_bytes:
        return ""
    return _ACTING.get(head.method, "")


def may_be_kept(head: Head) -> bool:
    """Whether the bytes of `head` may stay in memory: not with a secret, and to no purpose with an
    id that differs every time."""
    return not any(name in _PERSONAL or name in _ITS_OWN for name, _ in head.fields)
