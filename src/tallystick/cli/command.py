"""The command tree. Every failure is one line on standard error and exit code 2, without a traceback; 75 where a role
met a database that is away."""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Final, NoReturn

import typer
from typer.core import TyperGroup

from tallystick import __version__
from tallystick.cli import missing_package
from tallystick.domain.errors import TallystickError
from tallystick.kit.log_capture import captures_output
from tallystick.kit.logs import get_logger
from tallystick.kit.tried_address import tried_address
from tallystick.run.supervisor import EXIT_AWAY, EXIT_MISCONFIGURED
from tallystick.settings.config_file import CONFIG_VARIABLE

#: Said by -h and in errors, however it was started, and what completion is set up for.
PROGRAM: Final = "tallystick"

#: Command -> module and attribute. A command is loaded when it is used: roles are started often, and the acquirer needs
#: no database driver.
COMMANDS: Final[Mapping[str, str]] = {
    "up": "tallystick.cli.up:up",
    "serve": "tallystick.cli.serve:serve",
    "work": "tallystick.cli.work:work",
    "console": "tallystick.cli.console:console",
    "simulate": "tallystick.cli.simulate:simulate",
    "trigger": "tallystick.cli.trigger:trigger",
    "listen": "tallystick.cli.listen:listen",
    "migrate": "tallystick.cli.migrate:migrate",
    "doctor": "tallystick.cli.doctor:doctor",
    "status": "tallystick.cli.status:status",
    "trace": "tallystick.cli.trace:trace",
    "payments": "tallystick.cli.payments:app",
    "refunds": "tallystick.cli.refunds:app",
    "disputes": "tallystick.cli.disputes:app",
    "provider-events": "tallystick.cli.provider_events:app",
    "webhooks": "tallystick.cli.webhooks:app",
    "merchants": "tallystick.cli.merchants:merchants",
    "keys": "tallystick.cli.keys:app",
    "versions": "tallystick.cli.versions:versions",
    "verify": "tallystick.cli.verify:verify",
    "audit": "tallystick.cli.audit:app",
    "demo": "tallystick.cli.demo:demo",
    "bench": "tallystick.cli.bench:app",
    "contract": "tallystick.cli.contract:app",
    "openapi": "tallystick.cli.openapi:openapi",
    "settings": "tallystick.cli.settings:settings",
    "recover": "tallystick.cli.recover:recover",
    "in-doubt": "tallystick.cli.in_doubt:app",
    "late-money": "tallystick.cli.late_money:app",
    "dead-letters": "tallystick.cli.dead_letters:app",
    "rejections": "tallystick.cli.rejections:app",
    "acts": "tallystick.cli.operator_acts:app",
    "operators": "tallystick.cli.operators:app",
    "erase": "tallystick.cli.erase:app",
    "login": "tallystick.cli.login:login",
    "providers": "tallystick.cli.providers:app",
    "settlements": "tallystick.cli.settlements:app",
    "release": "tallystick.cli.release:app",
    "fees": "tallystick.cli.fees:app",
    "reconciliation": "tallystick.cli.reconciliation:app",
    "sealing-keys": "tallystick.cli.sealing_keys:app",
    "webhook-refusals": "tallystick.cli.webhook_refusals:app",
    "alerts": "tallystick.cli.alerts:app",
    "metrics": "tallystick.cli.metrics:metrics",
    "contract-drift": "tallystick.cli.contract_drift:contract_drift",
}

#: Libraries whose errors mean that the database or the acquirer cannot be reached. By name, so that commands which
#: do not use them need not load them.
TRANSPORTS: Final = frozenset({"asyncpg", "psycopg", "aiohttp"})

#: What asyncpg passes on when a host's addresses were all tried in vain: an error of the system without a number.
NO_CONNECTION: Final = "Connect call failed"

#: Said where the database is not there: the system's own words do not name it.
DATABASE_IS_AWAY: Final = (
    "cannot reach the database{at}; nothing was done. Check that it runs, and the host and port in"
    " TALLYSTICK_DATABASE_URL (`migrate` takes TALLYSTICK_MIGRATION_DATABASE_URL)"
)

#: What a supervisor starts, and starts again where that may help.
ROLES: Final = frozenset({"serve", "work", "console", "simulate"})

#: Classes of SQLSTATEs that say nothing of what was asked: the connection, too few resources, the server's own state
#: (57P03: it starts, stops or recovers), the system below it. A later start may succeed.
AWAY_CLASSES: Final = frozenset({"08", "53", "57", "58"})

#: PostgreSQL's SQLSTATE insufficient_privilege.
NOT_PERMITTED: Final = "42501"

#: SQLSTATEs statement_completion_unknown and transaction_resolution_unknown: the commit may have happened.
COMPLETION_UNKNOWN: Final = frozenset({"40003", "08007"})

#: PostgreSQL's SQLSTATE undefined_table.
UNDEFINED_TABLE: Final = "42P01"


def _name_config(file: Path | None) -> None:
    """The last ``--config`` counts; without one TALLYSTICK_CONFIG does."""
    if file is not None:
        os.environ[CONFIG_VARIABLE] = str(file.absolute())


Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help=f"Settings in TOML; the environment wins. Also {CONFIG_VARIABLE}.",
        show_default=False,
        expose_value=False,
        callback=_name_config,
    ),
]


#: How every command is asked what it does.
HELP_OPTIONS: Final = ["-h", "--help"]


class Commands(TyperGroup):
    """The commands above, each loaded when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        """In the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """One command, or None for an unknown name."""
        return _command(cmd_name) if cmd_name in COMMANDS else None


@cache  # a process that runs many commands makes each once
def _command(name: str) -> Any:
    module, _, attribute = COMMANDS[name].partition(":")
    found = getattr(_imported(module), attribute)
    if isinstance(found, typer.Typer):
        group = typer.main.get_group(found)
        group.name = name
        return _with_config(group)
    alone = typer.Typer(add_completion=False)
    alone.command(name)(found)
    return _with_config(typer.main.get_command(alone))


def _imported(name: str) -> ModuleType:
    """Modules stay until the process ends: to look for garbage among them takes a tenth of a command's start."""
    collects = gc.isenabled()
    gc.disable()
    try:
        return import_module(name)
    finally:
        if collects:
            gc.enable()


@cache
def _config_params() -> list[Any]:
    """``--config`` as a parameter of any command."""
    alone = typer.Typer(add_completion=False)

    @alone.command()
    def bare(_: Config = None) -> None:
        """What it is taken from."""

    return [each for each in typer.main.get_command(alone).params if "--config" in each.opts]


def _with_config(command: Any) -> Any:
    """The command, and each below it, with ``--config``: it may stand anywhere on the line. Lists of commands show the
    first sentence of its help."""
    command.params.extend(_config_params())
    # Not only taken over from the program's context: a command makes its help option once, whoever asks for it first.
    command.context_settings.setdefault("help_option_names", HELP_OPTIONS)
    command.get_help_option(typer.Context(command, help_option_names=HELP_OPTIONS))
    command.short_help = " ".join((command.help or "").split()).partition(". ")[0].removesuffix(".")
    for below in getattr(command, "commands", {}).values():
        _with_config(below)
    return command


app: Final = typer.Typer(
    name=PROGRAM,
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": HELP_OPTIONS},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    config: Config = None,
    _: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """A payment core with one financial outcome per instruction."""


def main() -> None:
    """Run the command line. Exit code 0, 1 if a check failed, 2 if the command cannot run; 75 of a role that may run
    later."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        app(prog_name=PROGRAM)
    except ModuleNotFoundError as error:
        if (said := missing_package.in_words(error)) is None:
            raise
        _fail(said, EXIT_MISCONFIGURED)
    except Exception as error:
        if not isinstance(error, TallystickError | OSError) and _library(error) not in TRANSPORTS:
            raise
        later = is_away(error) and _command_in(sys.argv[1:]) in ROLES
        _fail(in_words(error), EXIT_AWAY if later else EXIT_MISCONFIGURED)


def is_away(error: BaseException) -> bool:
    """Whether the database or the provider could not be reached, or cannot serve now, whatever was asked of it."""
    sqlstate = getattr(error, "sqlstate", None)
    return bool(_away(error)) if sqlstate is None else sqlstate[:2] in AWAY_CLASSES


def in_words(error: Exception) -> str:
    """What a person is told of an error of ours, of the system, of the database or of a provider: one line."""
    said = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, TallystickError):
        return said
    if getattr(error, "sqlstate", None) == UNDEFINED_TABLE:
        return "the database schema is missing or too old; run `tallystick migrate`"
    return f"{away}: {said}" if (away := _away(error)) else said


def _command_in(line: Sequence[str]) -> str:
    """The command's name; options of the program itself stand before it."""
    words = iter(line)
    for word in words:
        if word == "--config":
            next(words, None)
        elif not word.startswith("-"):
            return word
    return ""


def _terminate(*_: object) -> NoReturn:
    """Turn SIGTERM into an exception, so that everything the command started is stopped on the way out."""
    sys.exit(128 + signal.SIGTERM)


def _away(error: BaseException) -> str:
    """What could not be reached, or did not do as asked; empty for an error of this machine, such as a full disk."""
    library = _library(error)
    if library == "aiohttp":
        return "cannot reach the provider; check that it runs, and the host and port in its settings"
    sqlstate = getattr(error, "sqlstate", None)
    if sqlstate == NOT_PERMITTED:
        return "the database's role may not do this (`migrate` needs the owner, in TALLYSTICK_MIGRATION_DATABASE_URL)"
    if sqlstate in COMPLETION_UNKNOWN:
        return "the database does not know whether it has committed; look before you do it again"
    if sqlstate is not None:
        return "the database cannot be used now" if is_away(error) else "the database refused"
    lost = isinstance(error, ConnectionError | TimeoutError | socket.gaierror) or NO_CONNECTION in str(error)
    return DATABASE_IS_AWAY.format(at=_address(error)) if lost or library in TRANSPORTS else ""


def _address(error: BaseException) -> str:
    """Which host and port were tried, where the error came from connecting: its own words often do not name them."""
    tried = tried_address(error)
    return f" at {tried}" if tried else ""


def _library(error: BaseException) -> str:
    return type(error).__module__.partition(".")[0]


def _fail(message: str, code: int) -> NoReturn:
    if captures_output() and not sys.stderr.isatty():
        get_logger("tallystick.cli").error(message, exit_code=code)
    else:
        print(f"tallystick: {message}", file=sys.stderr)
    sys.exit(code)
