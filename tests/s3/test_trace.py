"""Requests to S3 tell of the trace that they belong to; no signature depends on it."""

from __future__ import annotations

import pytest
import trio

from parparchik.s3 import S3Bucket, S3Client, pass_on_traceparent
from tests.s3.fake_s3 import OBJECT, answer, open_bucket
from tests.s3.scripted import Seen, replying, serve

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def ask(bucket: S3Bucket, traceparent: str) -> None:
    if traceparent:
        pass_on_traceparent(traceparent)
    await bucket.get("k")
    for _ in range(2):  # the second over a connection that lies ready
        await bucket.head("k")


@pytest.mark.parametrize("runs", [True, False])
async def test_it_goes_with_the_task(nursery: trio.Nursery, s3: S3Client, runs: bool) -> None:
    def reply(seen: Seen) -> bytes:
        return answer(200, OBJECT, b"data", to_head=seen.method == "HEAD")

    server = await nursery.start(serve, replying(reply))
    if runs:
        await nursery.start(s3.run)
    bucket = open_bucket(s3, server)
    for traceparent in (TRACEPARENT, "", TRACEPARENT.replace("4bf9", "5bf9")):
        before = len(server.requests)
        async with trio.open_nursery() as asking:
            asking.start_soon(ask, bucket, traceparent)
        seen = server.requests[before:]
        assert [one.method for one in seen] == ["GET", "HEAD", "HEAD"]
        assert [one.headers.get("traceparent", "") for one in seen] == [traceparent] * 3
        assert all("traceparent" not in one.headers["authorization"] for one in seen)
    nursery.cancel_scope.cancel()
