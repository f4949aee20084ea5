"""The last answers of connections that bring what is no sound request."""

from __future__ import annotations

from parparchik.edge.framing import Refusal
from parparchik.edge.render import ENDS, date_line, render_beginning
from parparchik.model import Answer
from parparchik.routes import problem


def refuse(refusal: Refusal) -> Answer:
    return problem(refusal.status, refusal.reason, kind="invalid")


def render_refusal(refusal: Refusal, request_id: bytes, now_s: float) -> bytes:
    """The last answer of a connection, whole. Its method is not known to mean anything, so it has
    a body whatever it is."""
    answer = refuse(refusal)
    return b"".join((render_beginning(answer), request_id, date_line(now_s), ENDS, answer.body))
