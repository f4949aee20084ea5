"""For tests that ask over plain HTTP, each on connections of its own.

A client of httpx reads the machine's certificates when it is made, and every `httpx.get` makes one:
20 ms of processor, more than most of what is asked costs.
"""

from __future__ import annotations

import ssl

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""`verify` for httpx: it trusts nobody, and is never asked to."""
