"""The object gateway, asked as its clients ask it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import quote

import httpx

from tests.contract.scene import Server


def path_of(bucket: str, key: str) -> str:
    return f"/objects/{bucket}/{quote(key, safe='/')}"


async def put(
    server: Server, bucket: str, key: str, data: bytes | AsyncIterator[bytes], **headers: str
) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await server.http.put(server.url + path_of(bucket, key), content=data, headers=named)


async def get(server: Server, bucket: str, key: str, **headers: str) -> httpx.Response:
    named = {"accept-encoding": "identity"}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    return await server.http.get(server.url + path_of(bucket, key), headers=named)


async def head(server: Server, bucket: str, key: str) -> httpx.Response:
    return await server.http.head(server.url + path_of(bucket, key))


async def delete(server: Server, bucket: str, key: str) -> httpx.Response:
    return await server.http.delete(server.url + path_of(bucket, key))


def check_problem(answer: httpx.Response, status: int, error: str | None = None) -> None:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    assert answer.json().keys() == {"error", "code", "message"}
    assert answer.json()["code"] == status
    if error is not None:
        assert answer.json()["error"] == error
