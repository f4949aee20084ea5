"""How instructions are counted, without counting any: that takes a minute."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.instructions import CASES, NoCounter, callgrind_total, pick_counter

DUMP = """# callgrind format
version: 1
cmd: python -m parparchik serve
events: Ir

fn=(1)
0 1000000
{total}
"""


@pytest.mark.parametrize("line", ["totals: 123456", "summary: 123456"])
def test_what_callgrind_counted_is_read_from_its_dump(tmp_path: Path, line: str) -> None:
    (tmp_path / "dump.1").write_text(DUMP.format(total=line))
    assert callgrind_total(tmp_path / "dump.1") == 123_456


def test_a_dump_without_totals_is_no_count_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "dump.1").write_text(DUMP.format(total=""))
    with pytest.raises(NoCounter, match="no totals"):
        callgrind_total(tmp_path / "dump.1")


def test_a_machine_without_counters_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoCounter, match="apt-get install valgrind"):
        pick_counter()


def test_a_perf_that_cannot_count_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for program, says in {
        "perf": "echo '<not supported>,,instructions:u,0,100.00,,' >&2",
        "valgrind": "",
        "vgdb": "",
    }.items():
        file = tmp_path / program
        file.write_text(f"#!/bin/sh\n{says}\n")
        file.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert pick_counter().name == "callgrind"
    (tmp_path / "perf").write_text("#!/bin/sh\necho '4711,,instructions:u,1,100.00,,' >&2\n")
    assert pick_counter().name == "perf"


def test_each_case_has_a_name_of_its_own() -> None:
    assert len({case.name for case in CASES}) == len(CASES) == 4
