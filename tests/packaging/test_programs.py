"""A check by another project's program is skipped by name, and can be demanded."""

from __future__ import annotations

import pytest

from tests.packaging.programs import find


def test_a_missing_program_skips_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PARPARCHIK_REQUIRE_PROMETHEUS", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-tool is not installed"):
        find("no-such-tool")


def test_a_missing_program_that_is_demanded_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARPARCHIK_REQUIRE_PROMETHEUS", "1")
    with pytest.raises(pytest.fail.Exception, match="no-such-tool is not installed"):
        find("no-such-tool")
