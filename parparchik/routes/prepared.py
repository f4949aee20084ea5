"""Redirects that are ready to be sent again, by method and key."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence

from parparchik.config.model import RoutesConfig
from parparchik.model import Answer, Entry, Method, ObjectStore
from parparchik.routes import answers

_REUSE_SHARE = 20


class Prepared:
    """The redirect to `entry` for one method, for wall-clock times in [`from_s`, `until_s`)."""

    __slots__ = ("_answers", "entry", "from_s", "location", "until_s")

    def __init__(self, entry: Entry, location: str, from_s: float, until_s: float) -> None:
        self.entry = entry
        self.location = location
        self.from_s = from_s
        self.until_s = until_s
        self._answers: dict[tuple[bool | None, str], Answer] = {}

    def serves(self, entry: Entry, now_s: float) -> bool:
        return self.from_s <= now_s < self.until_s and (self.entry is entry or self.entry == entry)

    def answer(self, fresh: bool | None, kind: str) -> Answer:
        """The redirect with its X-Parparchik-Verified, to be counted as `kind`."""
        answer = self._answers.get((fresh, kind))
        if answer is None:
            private = not self.entry.bucket.public
            answer = self._answers[fresh, kind] = answers.redirect(
                self.location, kind=kind, private=private, verified=fresh
            )
        return answer


class PreparedRedirects:
    """At most `prepared_max` for each method; those made or looked up last stay.

    By key, not by URL: the many spellings of one URL share what was made for the first.
    """

    def __init__(self, stores: Sequence[ObjectStore], config: RoutesConfig) -> None:
        self._stores = {store.bucket.name: store for store in stores}
        self._expires_s = config.presign_expires_s
        self._max = config.prepared_max
        self._kept: dict[Method, OrderedDict[str, Prepared]] = {
            "GET": OrderedDict(),
            "HEAD": OrderedDict(),
        }

    def get(self, method: Method, entry: Entry, now_s: float) -> Prepared:
        """The redirect to `entry`, made anew where there is none or it is too old. Raises
        NoCredentials."""
        kept = self._kept[method]
        prepared = kept.get(entry.key)
        if prepared is None or not prepared.serves(entry, now_s):
            prepared = kept[entry.key] = self._prepare(method, entry, now_s)
        kept.move_to_end(entry.key)
        if len(kept) > self._max:
            kept.popitem(last=False)
        return prepared

    def _prepare(self, method: Method, entry: Entry, now_s: float) -> Prepared:
        store = self._stores[entry.bucket.name]
        if entry.bucket.public:
            return Prepared(entry, store.public_url(entry.key), -math.inf, math.inf)
        # Signed for the method asked: S3 refuses a HEAD on a URL that was signed for GET.
        signed = store.presign(method, entry.key, expires_s=self._expires_s)
        life_s = signed.expires_at_s - now_s
        return Prepared(entry, signed.url, now_s, now_s + life_s / _REUSE_SHARE)
