"""`tickstorm config`: the settings of a server, checked, shown and explained."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tickstorm.declarations import Setting
    from tickstorm.settings import Settings

_FILE = click.argument("file", type=click.Path(path_type=Path), required=False)


def environment_table(settings: Iterable[Setting]) -> str:
    """Return the names in the environment, each with its setting and that one's default."""
    from tickstorm.kinds import toml

    rows = [("VARIABLE", "SETTING", "DEFAULT")]
    for setting in settings:
        default = "" if setting.default in ("", ()) else toml(setting.default)
        rows += [(name, setting.name, default) for name in setting.environment]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    lines = (
        f"{name:<{widths[0]}}  {setting:<{widths[1]}}  {default}" for name, setting, default in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def _load(file: Path | None) -> Settings:
    from tickstorm.agreement import check_users
    from tickstorm.config import load
    from tickstorm.errors import ConfigError

    try:
        settings = load(file=file, environ=os.environ, options={})
        check_users(settings)  # beside a user name twistd takes no other logins
    except ConfigError as error:
        raise click.ClickException(str(error)) from None
    return settings


@click.group()
def config() -> None:
    """Check, show and explain a server's settings."""


@config.command(short_help="Say whether a file can be used.")
@_FILE
def check(file: Path | None) -> None:
    """Say whether FILE and the environment can be used together."""
    _load(file)
    click.echo(f"{file or 'the environment'}: can be used")


@config.command(short_help="Print the settings in effect.")
@_FILE
def show(file: Path | None) -> None:
    """Print the settings that FILE and the environment give, and where each comes from.

    Secrets are not shown.
    """
    from tickstorm.config import describe

    click.echo(describe(_load(file)), nl=False)


@config.command(short_help="Print a commented file with every default.")
def defaults() -> None:
    """Print a commented configuration file with every default."""
    from tickstorm.config import defaults_toml

    click.echo(defaults_toml(), nl=False)


@config.command(short_help="List the names in the environment.")
def env() -> None:
    """List the names in the environment, each with its setting and the default."""
    from tickstorm.config import SETTINGS

    click.echo(environment_table(SETTINGS))
