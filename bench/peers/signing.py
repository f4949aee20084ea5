"""A presigned URL as an application makes it that signs for each request: SigV4 by the book.

The signing key is kept for its day, as everybody does; the rest is made anew. (parparchik's own
presigner also shares what all URLs of a second have in common: that is a contestant too.)
"""

from __future__ import annotations

import hashlib
import hmac
import os
import time
from functools import lru_cache
from urllib.parse import urlencode, urlsplit

ORIGIN = os.environ["S3_ENDPOINT"]
HOST = urlsplit(ORIGIN).netloc
REGION = os.environ["AWS_REGION"]
ACCESS_KEY_ID = os.environ["AWS_ACCESS_KEY_ID"]
SECRET_ACCESS_KEY = os.environ["AWS_SECRET_ACCESS_KEY"]
EXPIRES_S = os.environ["BENCH_EXPIRES_S"]


@lru_cache(maxsize=2)
def _signing_key(day: str) -> bytes:
    key = f"AWS4{SECRET_ACCESS_KEY}".encode()
    for part in (day, REGION, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def presign(path: str) -> str:
    """The URL that allows a GET of `path`, which needs no encoding."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    scope = f"{stamp[:8]}/{REGION}/s3/aws4_request"
    query = urlencode(
        {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": f"{ACCESS_KEY_ID}/{scope}",
            "X-Amz-Date": stamp,
            "X-Amz-Expires": EXPIRES_S,
            "X-Amz-SignedHeaders": "host",
        }
    )
    canonical = f"GET\n{path}\n{query}\nhost:{HOST}\n\nhost\nUNSIGNED-PAYLOAD"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"
    signature = hmac.new(_signing_key(stamp[:8]), text.encode(), "sha256").hexdigest()
    return f"{ORIGIN}{path}?{query}&X-Amz-Signature={signature}"
