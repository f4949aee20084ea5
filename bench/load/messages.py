"""What a load process tells the one that started it: a line of JSON each, on standard output."""

from __future__ import annotations

import base64
import pickle

import msgspec

from bench.load.outcome import Report
from bench.load.plan import Plan


class Ready(msgspec.Struct, tag="ready"):
    """Has read its plan, and waits for a line."""


class Progressed(msgspec.Struct, tag="progressed"):
    """So far; the first one says that the measuring begins."""

    requests: int
    errors: int


class Finished(msgspec.Struct, tag="finished"):
    report: Report


class Failed(msgspec.Struct, tag="failed"):
    """It cannot do what it was told to."""

    message: str


Message = Ready | Progressed | Finished | Failed

_encode = msgspec.json.Encoder().encode
_decoder: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)


def encode(message: Message) -> bytes:
    return _encode(message) + b"\n"


def decode(line: bytes) -> Message:
    return _decoder.decode(line)


def encode_order(plan: Plan, process: int) -> bytes:
    """What a load process is to do: a line, pickled, for decks are objects. It goes to a process
    of our own only."""
    return base64.b64encode(pickle.dumps((plan, process))) + b"\n"


def decode_order(line: bytes) -> tuple[Plan, int]:
    plan, process = pickle.loads(base64.b64decode(line))
    if not isinstance(plan, Plan) or not isinstance(process, int):
        raise TypeError("not an order")
    return plan, process
