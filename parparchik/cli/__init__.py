"""The command line: the only room that reads the process's environment, prints and exits.

Idea: a command is a function that returns an exit code or raises; `program` turns what is raised
into one line on standard error and an exit code. Commands import what they need when they run, so
that `--version` and a mistyped option answer at once.
"""

from parparchik.cli.program import main

__all__ = ["main"]
