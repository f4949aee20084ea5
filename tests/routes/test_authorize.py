"""API keys: which are taken, where they are read from."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parparchik.config.model import AuthConfig
from parparchik.routes import Authenticator, presented_key

KEYS = ("alpha-key", "beta-key", "ключ")


@pytest.mark.parametrize("key", KEYS)
def test_every_configured_key_is_allowed(key: str) -> None:
    authenticator = Authenticator(AuthConfig(api_keys=KEYS))
    assert authenticator.required
    assert authenticator.allows(key.encode())


@given(st.binary(max_size=40))
def test_nothing_else_is_allowed(presented: bytes) -> None:
    authenticator = Authenticator(AuthConfig(api_keys=KEYS))
    assert authenticator.allows(presented) is (presented in {key.encode() for key in KEYS})


@pytest.mark.parametrize("presented", [b"alpha", b"alpha-key ", b"ALPHA-KEY", b"alpha-keybeta-key"])
def test_nearly_right_is_wrong(presented: bytes) -> None:
    assert not Authenticator(AuthConfig(api_keys=KEYS)).allows(presented)


def test_showing_nothing_is_never_enough_where_keys_are_configured() -> None:
    assert not Authenticator(AuthConfig(api_keys=("", "alpha-key"))).allows(b"")


@given(st.binary(max_size=40))
def test_without_keys_everybody_is_allowed(presented: bytes) -> None:
    authenticator = Authenticator(AuthConfig())
    assert not authenticator.required
    assert authenticator.allows(presented)


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ([], b""),
        ([(b"authorization", b"Bearer abc")], b"abc"),
        ([(b"authorization", b"bearer   abc ")], b"abc"),
        ([(b"x-api-key", b" abc ")], b"abc"),
        ([(b"x-api-key", b"one"), (b"authorization", b"Bearer two")], b"two"),
        ([(b"authorization", b"Basic dTpw"), (b"x-api-key", b"one")], b"one"),
        ([(b"authorization", b"Basic dTpw")], b""),
        ([(b"authorization", b"Bearer")], b""),
        ([(b"x-api-key", b"one"), (b"x-api-key", b"two")], b"one"),
        ([(b"cookie", b"x-api-key=one")], b""),
    ],
)
def test_presented_key(headers: list[tuple[bytes, bytes]], key: bytes) -> None:
    assert presented_key(headers) == key


def test_keys_do_not_print() -> None:
    config = AuthConfig(api_keys=KEYS)
    assert "alpha" not in repr(config) + repr(Authenticator(config))
