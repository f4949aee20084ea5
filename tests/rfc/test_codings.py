"""Accept-Encoding: RFC 9110 section 12.5.3."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parparchik.rfc import choose_coding
from parparchik.rfc.codings import parse_accept_encoding

OURS = ("br", "zstd", "gzip")

CHOICES = {
    "": "identity",
    "gzip": "gzip",
    "GZip": "gzip",
    "x-gzip": "gzip",
    "br": "br",
    "compress, gzip": "gzip",
    "compress;q=0.5, gzip;q=1.0": "gzip",
    "gzip;q=1.0, identity; q=0.5, *;q=0": "gzip",
    "gzip, deflate, br, zstd": "br",
    "gzip, deflate": "gzip",
    "gzip;q=1, br;q=0.9": "gzip",
    "br;q=0.001": "br",
    "br;q=0.000, gzip;q=0": "identity",
    "*": "br",
    "*;q=0": "identity",
    "br;q=0, *;q=0.1": "zstd",
    "identity": "identity",
    "identity, gzip": "gzip",
    "identity;q=1, gzip;q=0.5": "identity",
    "identity;q=0.5, gzip;q=0.5": "gzip",
    "identity;q=0": "identity",
    "identity;q=0, deflate": "identity",
    "identity;q=0, gzip;q=0.1": "gzip",
    "identity;q=1, *;q=0": "identity",
    "identity;q=0.3, *;q=0.2": "identity",
    "gzip;q=0.8, *;q=0.5": "gzip",
    "gzip ;q=0.5 , br ; q=0.6": "br",
    "gzip;Q=0.5": "gzip",
    "gzip;q=": "identity",
    "gzip;q=2": "identity",
    "gzip;q=0.1234": "identity",
    "gzip;q=1.5": "identity",
    "gzip;level=9": "identity",
    "gzip;q=.5": "identity",
    "gz ip": "identity",
    "br;q=x, gzip": "gzip",
    ",,gzip,": "gzip",
    "gzip;q=0, gzip": "identity",
    "gzip," + "a" * 2000: "identity",
}


@pytest.mark.parametrize("text", CHOICES)
def test_the_choice(text: str) -> None:
    assert choose_coding(text, OURS) == CHOICES[text]


def test_with_nothing_to_offer() -> None:
    for text in CHOICES:
        assert choose_coding(text, ()) == "identity"


def _accepts(text: str, coding: str) -> bool:
    """Section 12.5.3's three rules for a coding."""
    weights = parse_accept_encoding(text)
    weight = weights.get(coding, weights.get("*"))
    return coding == "identity" if weight is None else weight > 0


@given(st.text(st.characters(max_codepoint=255)), st.permutations(OURS))
def test_what_is_chosen_is_acceptable(text: str, offered: list[str]) -> None:
    chosen = choose_coding(text, offered)
    assert _accepts(text, chosen) or (
        chosen == "identity" and not any(_accepts(text, coding) for coding in offered)
    )
    assert all(0 <= weight <= 1 for weight in parse_accept_encoding(text).values())


_weights = st.integers(0, 1000).map(lambda n: n / 1000)


@given(st.dictionaries(st.sampled_from([*OURS, "identity", "deflate"]), _weights))
def test_nothing_acceptable_weighs_more(weights: dict[str, float]) -> None:
    text = ", ".join(f"{coding};q={weight:.3f}" for coding, weight in weights.items())
    chosen = choose_coding(text, OURS)
    best = max((weights.get(coding, 0.0) for coding in (*OURS, "identity")), default=0.0)
    assert weights.get(chosen, 0.0) == best
