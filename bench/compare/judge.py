"""Whether a contestant answers rightly: looked at before anybody is timed, and again afterwards."""

from __future__ import annotations

import calendar
import ssl
import time
from http.client import HTTPConnection, HTTPSConnection

from bench.compare.programs import Contestant
from bench.compare.stage import EXPIRES_S, KEYS, Stage

_CLOCKS_DIFFER_S = 3


class WrongAnswer(Exception):
    """A contestant does not do what it is compared at."""


def judge(contestant: Contestant, stage: Stage) -> int:
    """Asks for every key once, and returns the length of the Locations. Raises WrongAnswer.

    Those that sign must have signed as our presigner, which the tests hold against botocore's,
    does at that second; a URL that was prepared earlier counts by the second that it names.
    """
    connection = _connection(contestant, stage)
    lengths = set()
    try:
        for key in KEYS:
            connection.request("GET", stage.path(key))
            response = connection.getresponse()
            response.read()
            location = response.headers.get("Location", "")
            if response.status != 302:
                raise WrongAnswer(f"{contestant.name}: {response.status} for {stage.path(key)}")
            if contestant.kind != "fixed" and not _is_right(stage, key, location):
                raise WrongAnswer(f"{contestant.name} sends {stage.path(key)} to {location}")
            lengths.add(len(location))
    finally:
        connection.close()
    if len(lengths) != 1:
        raise WrongAnswer(f"{contestant.name}: Locations of several lengths: {sorted(lengths)}")
    return lengths.pop()


def judge_absence(contestant: Contestant, stage: Stage) -> None:
    """Who asks S3 for each request has to say 404 where S3 does. Raises WrongAnswer."""
    connection = _connection(contestant, stage)
    try:
        connection.request("GET", stage.path("no-such-file"))
        status = connection.getresponse().status
    finally:
        connection.close()
    if status != 404:
        raise WrongAnswer(f"{contestant.name}: {status} for a file that S3 does not have")


def _connection(contestant: Contestant, stage: Stage) -> HTTPConnection:
    port = stage.port(contestant.port)
    if contestant.tls:
        trust = ssl.create_default_context(cafile=stage.certificate)
        return HTTPSConnection("127.0.0.1", port, timeout=10, context=trust)
    return HTTPConnection("127.0.0.1", port, timeout=10)


def _is_right(stage: Stage, key: str, location: str) -> bool:
    """Whether this is the key's URL, signed at the second that it says itself."""
    stamp = location.partition("X-Amz-Date=")[2][:16]
    try:
        signed_s = calendar.timegm(time.strptime(stamp, "%Y%m%dT%H%M%SZ"))
    except ValueError:
        return False
    now_s = time.time()
    in_time = now_s - EXPIRES_S < signed_s < now_s + _CLOCKS_DIFFER_S
    return in_time and location == stage.location(key, now_s=signed_s)
