"""The same redirect as a Quart application on Hypercorn (asyncio, which is Quart's own)."""

from __future__ import annotations

from quart import Quart, redirect
from werkzeug.wrappers import Response

from bench.peers.signing import presign

app = Quart(__name__)


@app.get("/<bucket>/<path:key>")
async def file(bucket: str, key: str) -> Response:
    return redirect(presign(f"/{bucket}/{key}"))
