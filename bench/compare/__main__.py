"""`python -m bench.compare`: measure, write the figures, and make the document from them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import trio

from bench.compare.document import charts, document, tried
from bench.compare.effort import FULL, SHORT
from bench.compare.figures import Comparison, load, save
from bench.compare.filetracker import BUILT
from bench.compare.judge import WrongAnswer
from bench.compare.machine import machine, missing_packages
from bench.compare.run import compare
from bench.load import LoadFailed
from bench.local import StartFailed

BENCH = Path(__file__).parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.compare", description="parparchik beside its peers, on this machine."
    )
    parser.add_argument("--short", action="store_true", help="a minute, to see that it works")
    parser.add_argument(
        "--to", type=Path, default=BENCH, help="folder for RESULTS.md and results/ (default: bench)"
    )
    parser.add_argument(
        "--from", type=Path, dest="figures", help="measure nothing: make the document of this JSON"
    )
    parser.add_argument(
        "--filetracker",
        type=Path,
        default=BUILT,
        metavar="PYTHON",
        help="one that has filetracker's server (default: what `make filetracker` made)",
    )
    options = parser.parse_args()
    if options.figures:
        comparison = load(options.figures)
    else:
        comparison = _measure(options.filetracker, short=options.short)
        save(comparison, options.to / "results" / f"{comparison.date}.json")
    _write(comparison, options.to)


def _measure(filetracker: Path, *, short: bool) -> Comparison:
    if missing := missing_packages():
        sys.exit(f"bench: missing; apt-get install --no-install-recommends {' '.join(missing)}")
    if machine().processors < 2:
        sys.exit("bench: it takes two processors, one for the server and one for the load")
    try:
        return trio.run(compare, SHORT if short else FULL, filetracker, _say)
    except* (StartFailed, WrongAnswer, LoadFailed) as errors:
        sys.exit("\n".join(f"bench: {error}" for error in _leaves(errors)))


def _leaves(group: BaseExceptionGroup[Exception]) -> list[Exception]:
    found: list[Exception] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


def _say(line: str) -> None:
    print(line, flush=True)


def _write(comparison: Comparison, folder: Path) -> None:
    results = folder / "results"
    results.mkdir(parents=True, exist_ok=True)
    for name, drawing in charts(comparison).items():
        (results / name).write_text(drawing)
    (folder / "RESULTS.md").write_text(document(comparison, tried()))
    print(f"{folder / 'RESULTS.md'}")


if __name__ == "__main__":
    main()
