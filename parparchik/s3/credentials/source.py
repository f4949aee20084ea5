"""What the sources of credentials have in common: the Protocol, and the three ways it can end."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

from parparchik.s3.sigv4 import Credentials

# What a header's value may carry (RFC 9110 section 5.5), without white space.
_TOKEN = re.compile(r"[!-~]+")
# A secret never travels; but one that ends in a line break was pasted or mounted wrongly.
_SECRET = re.compile(r"[^\s\x00-\x1f\x7f](?:[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f])?")


class SourceError(Exception):
    """A source that is set up yields no credentials now. The text says why, holds no secret, and
    reads on from the source's name: "instance metadata: answered 500"."""


@dataclass(frozen=True, slots=True)
class NotConfigured:
    """Nothing in the environment points to this source; the next one is asked."""

    reason: str


class Source(Protocol):
    """One place that credentials come from."""

    @property
    def name(self) -> str:
        """What an operator calls it: "environment", "profile 'backup'"."""
        ...

    async def fetch(self) -> Credentials | NotConfigured:
        """Ask afresh: files are read and endpoints are called at every call, bounded in time.

        Raises SourceError. Whether the answer has expired is for the caller to see.
        """
        ...


@dataclass(frozen=True, slots=True)
class Found:
    """Credentials, and the source to ask when they need renewal."""

    credentials: Credentials
    source: Source


def check_sound(credentials: Credentials) -> None:
    """Raises SourceError for what can't be signed with, or would break a request apart."""
    if not _TOKEN.fullmatch(credentials.access_key_id):
        raise SourceError("the access key id is empty or holds odd characters")
    if not _SECRET.fullmatch(credentials.secret_access_key):
        raise SourceError("the secret access key is empty or holds a line break")
    if credentials.session_token is not None and not _TOKEN.fullmatch(credentials.session_token):
        raise SourceError("the session token is empty or holds odd characters")
