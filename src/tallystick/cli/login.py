"""``login``: signs an operator in on the command line; and out."""

from __future__ import annotations

from typing import Annotated

import typer

from tallystick.access.sessions import Sessions
from tallystick.cli.acts import with_runtime
from tallystick.cli.context import AsJson, DataDir, console, print_json, settings_from
from tallystick.cli.session_file import forget_session, keep_session, kept_session
from tallystick.flows.runtime import Runtime

#: Tries of a command line are counted as those of one address: whoever reaches the database is on a trusted host.
_ADDRESS = "command line"


def login(
    operator: Annotated[str | None, typer.Argument(help="The operator's name.", show_default=False)] = None,
    out: Annotated[bool, typer.Option("--out", help="Sign out.")] = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Sign in for commands that act: they are recorded as this operator's. Without it they are recorded as
    shell:<user>@<host>, which never approves anything."""
    settings = settings_from(data_dir)
    if out:
        token = kept_session()

        async def signed_out(runtime: Runtime) -> None:
            if token is not None:
                await _sessions(runtime).sign_out(token)

        with_runtime(settings, signed_out)
        forget_session()
        _say({"operator": None}, "You are signed out.", as_json)
        return
    name = operator or typer.prompt("Name", err=True)
    password = typer.prompt("Password", hide_input=True, err=True)
    code = typer.prompt("Code of your authenticator, if you have one", default="", show_default=False, err=True)

    async def signed_in(runtime: Runtime) -> str:
        return await _sessions(runtime).sign_in(name.lower(), password, code, _ADDRESS, "command_line")

    file = keep_session(with_runtime(settings, signed_in))
    _say({"operator": name.lower(), "file": str(file)}, f"You are signed in as {name.lower()}, in {file}.", as_json)


def _sessions(runtime: Runtime) -> Sessions:
    return Sessions(runtime.pool, runtime.clock, runtime.settings, runtime.sealer)


def _say(document: object, sentence: str, as_json: bool) -> None:
    if as_json:
        print_json(document)
    else:
        console.print(sentence, highlight=False, markup=False)
