"""The program `parparchik`: its commands, and what becomes of their failures."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import click

from parparchik import __version__
from parparchik.cli.failures import INTERRUPTED, OK, describe, one_line

_COMMANDS = (
    *("serve", "site", "check", "explain", "manifest", "cache", "dedup", "presign", "bench"),
    *("demo", "settings"),
)
_HIDDEN = ("worker",)  # what the program starts of itself
_EXIT_CODES = (
    "Exit codes: 0 done, 1 it failed while running (check: some check failed),"
    " 2 the settings or the command line cannot work, 130 interrupted."
)


class Program(click.Group):
    """A group of commands that return exit codes and whose expected failures are one line.

    A command is in the module of its name, which is imported when it is asked for.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in (*_COMMANDS, *_HIDDEN):
            return None
        command: click.Command = getattr(import_module(f"parparchik.cli.{cmd_name}"), cmd_name)
        return command

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run and exit, whatever click's `standalone_mode` would have meant."""
        kwargs |= {"prog_name": "parparchik", "standalone_mode": False}
        message, code = "", OK
        try:
            code = super().main(*args, **kwargs) or OK
        except click.Abort:
            code = INTERRUPTED
        except click.ClickException as error:
            context = getattr(error, "ctx", None)
            hint = f" (see {context.command_path} --help)" if context else ""
            message, code = f"{error.format_message().rstrip('.')}{hint}", error.exit_code
        except BaseException as error:
            explained = describe(error)
            if explained is None:
                raise
            message, code = explained
        if message:
            click.echo(f"parparchik: {one_line(message)}", err=True)
        sys.exit(code)


@click.group(
    cls=Program,
    no_args_is_help=False,
    epilog=_EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, message="%(prog)s %(version)s")
def main() -> None:
    """The front door to S3: redirects clients to the objects in a set of buckets, or serves them.

    Settings come from the environment and a TOML file (--config); the environment wins.
    """
