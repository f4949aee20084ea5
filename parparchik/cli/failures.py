"""How commands end: exit codes, and one line for what went wrong.

| code | meaning |
|---|---|
| 0 | done; for `check`: every check passed |
| 1 | it failed while running: S3, the network, a file; for `check`: some check failed |
| 2 | the settings or the command line cannot work |
| 130 | interrupted |
"""

from __future__ import annotations

from parparchik.errors import ClientError, ConfigError, ParparchikError

OK = 0
FAILED = 1
MISCONFIGURED = 2
INTERRUPTED = 130


class CommandError(Exception):
    """A command cannot go on; the message says why and what to do. `exit_code` as above."""

    def __init__(self, message: str, exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def describe(error: BaseException) -> tuple[str, int] | None:
    """Message and exit code of a failure that is the operator's business; None for a bug of ours,
    which deserves its traceback. Looks into the groups that nurseries raise."""
    while isinstance(error, BaseExceptionGroup):
        # The first that is not expected decides: a bug must not hide behind an outage.
        error = next(
            (one for one in error.exceptions if describe(one) is None), error.exceptions[0]
        )
    match error:
        case KeyboardInterrupt():
            return "", INTERRUPTED
        case CommandError():
            return one_line(str(error)), error.exit_code
        case ConfigError() | ClientError():
            return one_line(str(error)), MISCONFIGURED
        case ParparchikError():
            return one_line(str(error)), FAILED
        case OSError():
            named = f"{error.filename}: " if error.filename else ""
            return one_line(f"{named}{error.strerror or error}"), FAILED
    return None


def one_line(message: str) -> str:
    """A message as one line without control characters: it may quote what others wrote."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(message.split()))
