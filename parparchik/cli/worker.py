"""`parparchik worker`: one of the processes of `parparchik serve --workers`, which starts it."""

from __future__ import annotations

import os
import socket
import stat
import sys

import click

from parparchik.cli.options import run_for_long
from parparchik.server.workers import build_worker, run_worker


@click.command(hidden=True)
def worker() -> None:
    """Answer requests for the process at the other end of standard input."""
    if not stat.S_ISSOCK(os.fstat(0).st_mode):
        raise click.UsageError("it is `parparchik serve --workers` that starts workers")
    end = socket.socket(fileno=os.dup(0))
    with open(os.devnull, "rb") as nothing:  # for the programs that this one may start
        os.dup2(nothing.fileno(), 0)
    run_for_long(run_worker, end, build_worker)


def worker_command() -> list[str]:
    """What starts one: this very program, however it was started (a script, a module, an
    archive), with the options that its Python was given."""
    own = sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv) + 1]
    return [sys.executable, *own, "worker"]
