"""`parparchik settings`: every setting there is."""

from __future__ import annotations

import click

from parparchik.cli.table import table
from parparchik.config import setting_rows, settings_markdown


@click.command()
@click.option("--markdown", is_flag=True, help="As the tables in the README.")
def settings(markdown: bool) -> None:
    """List every setting, its default and its meaning."""
    if markdown:
        click.echo(settings_markdown(), nl=False)
        return
    click.echo(table([("ENVIRONMENT", "TOML", "DEFAULT", "MEANING"), *setting_rows()]))
