"""A HEAD as anybody on the Internet would send it: no credentials, no settings of ours."""

from __future__ import annotations

from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

_TIMEOUT_S = 5.0


def anonymous_status(url: str) -> int | None:
    """The status of HEAD `url`; None when no answer came. Blocks: call it in a thread."""
    parts = urlsplit(url)
    connect = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = connect(parts.netloc, timeout=_TIMEOUT_S)
    try:
        connection.request("HEAD", parts.path)
        return connection.getresponse().status
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()
