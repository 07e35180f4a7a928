"""The command tree, and how every failure leaves it: one line on standard error and exit 2, without a traceback."""

from __future__ import annotations

import signal
import sys
from typing import Annotated, Final, NoReturn

import aiohttp
import asyncpg
import psycopg
import typer

from tallystick import __version__
from tallystick.cli import about, checks, demonstration, in_doubt, keys, roles
from tallystick.errors import TallystickError
from tallystick.processes import EXIT_MISCONFIGURED

app: Final = typer.Typer(
    name="tallystick",
    help="A payment core with one financial outcome per instruction.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.command()(roles.up)
app.command()(roles.serve)
app.command()(roles.work)
app.command()(roles.simulate)
app.command()(roles.migrate)
app.add_typer(keys.app, name="keys")
app.command()(checks.verify)
app.command()(demonstration.demo)
app.add_typer(in_doubt.app, name="in-doubt")
app.command()(about.contract)
app.command()(about.settings)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    _: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """A payment core with one financial outcome per instruction."""


def main() -> None:
    """Run the command line. Exits with 0, with 1 where a check failed, and with 2 where the command cannot run."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        app()
    except asyncpg.UndefinedTableError:
        _fail("the database has no schema, or an older one; run `tallystick migrate`")
    except (asyncpg.PostgresError, asyncpg.InterfaceError, psycopg.Error) as error:
        _fail(f"the database does not answer as it should: {_one_line(error)}")
    except (TallystickError, OSError, aiohttp.ClientError) as error:
        _fail(_one_line(error))


def _terminate(*_: object) -> NoReturn:
    """SIGTERM leaves as an exception, so that whatever a command started is stopped on the way out."""
    sys.exit(128 + signal.SIGTERM)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _fail(message: str) -> NoReturn:
    print(f"tallystick: {message}", file=sys.stderr)
    sys.exit(EXIT_MISCONFIGURED)
