"""A real HTTP server on 127.0.0.1 that plays the endpoints which hand out credentials.

It runs in threads of its own, so that both a trio program and botocore can talk to it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from parparchik.rfc import format_iso8601


@dataclass(frozen=True)
class Canned:
    """`cut`: promise the whole body and close in its middle. `silent`: say nothing."""

    status: int = 200
    body: bytes = b""
    cut: bool = False
    silent: bool = False
    location: str | None = None


@dataclass(frozen=True)
class Seen:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class EndpointServer:
    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.url = ""
        self.closing = threading.Event()
        self._script: dict[tuple[str, str], list[Canned]] = {}

    def on(self, method: str, path: str, *answers: Canned) -> None:
        """Each answer once, the last one for ever. What is not scripted is 404."""
        self._script[method, path] = list(answers)

    def answer(self, seen: Seen) -> Canned:
        self.seen.append(seen)
        answers = self._script.get((seen.method, seen.path), [Canned(404)])
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def play_instance(self, keys: bytes, role: str = "instance-role") -> None:
        root = "/latest/meta-data/iam/security-credentials/"
        self.on("PUT", "/latest/api/token", Canned(body=b"imds-token"))
        self.on("GET", root, Canned(body=role.encode()))
        self.on("GET", f"{root}{role}", Canned(body=keys))


@contextmanager
def endpoint_server() -> Iterator[EndpointServer]:
    endpoint = EndpointServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 65_536  # head and body in one packet, or Nagle's algorithm costs 40 ms

        def do_GET(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            seen = Seen(
                self.command,
                self.path,
                {name.lower(): value for name, value in self.headers.items()},
                self.rfile.read(length),
            )
            answer = endpoint.answer(seen)
            if answer.silent:
                endpoint.closing.wait()
                self.close_connection = True
                return
            self.send_response(answer.status)
            self.send_header("content-length", str(len(answer.body)))
            if answer.location:
                self.send_header("location", answer.location)
            if answer.cut:
                self.close_connection = True
            self.end_headers()
            self.wfile.write(answer.body[: len(answer.body) // 2] if answer.cut else answer.body)

        do_POST = do_PUT = do_GET  # noqa: N815

        def log_message(self, *_arguments: object) -> None:
            pass

        def address_string(self) -> str:
            return "client"

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    endpoint.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield endpoint
    finally:
        endpoint.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()


def keys_json(name: str, *, expires_at_s: float, **changed: Any) -> bytes:
    """What IMDS and a container's endpoint answer. A changed field that is None is left out."""
    fields: dict[str, Any] = {
        "Code": "Success",
        "Type": "AWS-HMAC",
        "AccessKeyId": f"ASIA{name.upper()}",
        "SecretAccessKey": f"{name}-secret-value",
        "Token": f"{name}-session-token",
        "Expiration": format_iso8601(int(expires_at_s)),
        **changed,
    }
    return json.dumps({k: v for k, v in fields.items() if v is not None}).encode()


def assume_role_xml(name: str, *, expires_at_s: float, action: str) -> bytes:
    """What STS answers."""
    return f"""<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <{action}Result>
    <AssumedRoleUser>
      <Arn>arn:aws:sts::123456789012:assumed-role/reader/session</Arn>
      <AssumedRoleId>AROAEXAMPLE:session</AssumedRoleId>
    </AssumedRoleUser>
    <Credentials>
      <AccessKeyId>ASIA{name.upper()}</AccessKeyId>
      <SecretAccessKey>{name}-secret-value</SecretAccessKey>
      <SessionToken>{name}-session-token</SessionToken>
      <Expiration>{format_iso8601(int(expires_at_s))}</Expiration>
    </Credentials>
  </{action}Result>
  <ResponseMetadata><RequestId>b1</RequestId></ResponseMetadata>
</{action}Response>""".encode()


def sts_error_xml(code: str, message: str) -> bytes:
    return f"""<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>
  <RequestId>b2</RequestId>
</ErrorResponse>""".encode()
