"""credential_process: a program that prints credentials as JSON.

Format: AWS SDKs and Tools Reference Guide, "Process credential provider". As AWS's tools do, it is
run without a shell. What it writes to stderr goes nowhere: it may hold secrets.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Mapping

import trio

from parparchik.s3.credentials.reply import parse_process_reply
from parparchik.s3.credentials.source import SourceError
from parparchik.s3.sigv4 import Credentials

_LIMIT_S = 60.0  # some of them ask an identity provider first


async def run_credential_process(
    command: str, environ: Mapping[str, str], *, limit_s: float = _LIMIT_S
) -> Credentials:
    """Run `command` and read its answer; it is killed when `limit_s` are over.

    Raises SourceError, which names the program alone, for its arguments may be secrets.
    """
    try:
        words = shlex.split(command)
    except ValueError:
        words = []
    if not words or "\0" in command:
        raise SourceError("credential_process is not a command line")
    program = words[0]
    try:
        with trio.fail_after(limit_s):
            finished = await trio.run_process(
                words,
                capture_stdout=True,
                stderr=subprocess.DEVNULL,
                check=False,
                env=dict(environ),
            )
    except OSError as error:
        raise SourceError(f"credential_process {program} cannot run ({error.strerror})") from None
    except trio.TooSlowError:
        raise SourceError(f"credential_process {program} took over {limit_s:g} s") from None
    if finished.returncode:
        raise SourceError(
            f"credential_process {program} failed with exit status {finished.returncode}; "
            "run it by hand to see why"
        )
    try:
        return parse_process_reply(finished.stdout)
    except SourceError as error:
        raise SourceError(f"credential_process {program}: {error}") from None
