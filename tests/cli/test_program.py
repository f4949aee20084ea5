"""Usage, exit codes, and failures in one line."""

from __future__ import annotations

import subprocess
import sys

import pytest

from parparchik import __version__
from parparchik.cli.failures import CommandError, describe
from parparchik.config import settings_markdown
from parparchik.errors import BadTarget, ConfigError, Unavailable
from tests.cli.moto_buckets import Command


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("", "Missing command"),
        ("serv", "No such command 'serv'"),
        ("serve --prot 1", "No such option '--prot'"),
        ("serve --port 70000", "70000 is not in the range"),
        ("presign only-bucket", "Missing argument 'KEY'"),
        ("presign b k --method PUT", "'PUT' is not one of"),
        ("presign b k --expires 604801", "604801 is not in the range"),
        ("serve --config /nonexistent.toml", "--config: '/nonexistent.toml': No such file"),
        ("serve", "set PARPARCHIK_BUCKETS="),
        ("check", "set PARPARCHIK_BUCKETS="),
        ("explain /a/b", "set PARPARCHIK_BUCKETS="),
        ("manifest show", "set PARPARCHIK_BUCKETS="),
    ],
)
def test_what_cannot_work_is_one_line_and_exit_code_2(
    command: Command, line: str, told: str
) -> None:
    result = command(line)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("parparchik: ")
    assert result.stderr.count("\n") == 1
    assert told in result.stderr


def test_help_and_version(command: Command) -> None:
    assert command("--version").stdout == f"parparchik {__version__}\n"
    usage = command("--help")
    assert usage.exit_code == 0
    for name in ("serve", "check", "explain", "manifest", "presign", "demo", "settings"):
        assert f"\n  {name} " in usage.stdout
        assert command(f"{name} --help").exit_code == 0
    assert "Exit codes: 0 done" in " ".join(usage.stdout.split())


def test_settings_are_listed(command: Command) -> None:
    assert command("settings --markdown").stdout == settings_markdown()
    plain = command("settings").stdout
    assert "PARPARCHIK_VERIFY_TTL" in plain
    assert "[routes] verify_ttl" in plain


@pytest.mark.parametrize(
    "start", [["-m", "parparchik"], ["-c", "from parparchik.cli import main; main()"]]
)
def test_as_a_process(start: list[str]) -> None:
    def run(*arguments: str) -> tuple[int, str, str]:
        command = [sys.executable, *start, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    assert run("--version") == (0, f"parparchik {__version__}\n", "")
    told = "parparchik: --config: '/nonexistent.toml': No such file or directory\n"
    assert run("serve", "-c", "/nonexistent.toml") == (2, "", told)


def test_the_version_needs_no_server() -> None:
    """`--version` answers at once: nothing heavy is imported for it."""
    code = (
        "import sys; from parparchik.cli import main\n"
        "try: main(['--version'])\n"
        "except SystemExit: pass\n"
        "assert not {'trio', 'quart', 'httpx', 'hypercorn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize(
    ("error", "described"),
    [
        (ConfigError("PORT: no"), ("PORT: no", 2)),
        (BadTarget("two\nlines \x1b[31m"), ("two lines ?[31m", 2)),
        (Unavailable("S3 is away"), ("S3 is away", 1)),
        (CommandError("no"), ("no", 1)),
        (CommandError("no", 2), ("no", 2)),
        (FileNotFoundError(2, "No such file", "a.txt"), ("a.txt: No such file", 1)),
        (KeyboardInterrupt(), ("", 130)),
        (ZeroDivisionError(), None),
        (BaseExceptionGroup("", [KeyboardInterrupt()]), ("", 130)),
        (ExceptionGroup("", [ExceptionGroup("", [Unavailable("away")])]), ("away", 1)),
        (ExceptionGroup("", [Unavailable("away"), ZeroDivisionError()]), None),
    ],
)
def test_expected_failures_have_a_message_and_bugs_their_traceback(
    error: BaseException, described: tuple[str, int] | None
) -> None:
    assert describe(error) == described
