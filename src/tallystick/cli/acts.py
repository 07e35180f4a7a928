"""What commands share by which an operator acts on the record."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

import typer
from msgspec import Struct

from tallystick.access.operator import (
    NotAnOperator,
    operator_of_shell,
    operator_on_command_line,
    operator_signed_in,
)
from tallystick.access.sessions import Sessions
from tallystick.access.stored_keys import StoredKeys
from tallystick.cli.context import console, print_json
from tallystick.cli.database import existing_database
from tallystick.cli.session_file import kept_session
from tallystick.domain.api_keys import Scope
from tallystick.domain.errors import TallystickError
from tallystick.domain.operator_act import ActName, AskedAct, OperatorAct
from tallystick.domain.requests.idempotency_key import parse_idempotency_key
from tallystick.flows.assembly import open_runtime
from tallystick.flows.compliance.amounts import NeedsSecondPerson
from tallystick.flows.compliance.approvable import ask_second_person, done_for
from tallystick.flows.operations.acts import asked_act, perform
from tallystick.flows.runtime import Runtime
from tallystick.kit.clock import Clock
from tallystick.record.postgres.connections import open_pool
from tallystick.record.sealing import Sealer
from tallystick.settings.load import Settings

Result = TypeVar("Result")

Reason = Annotated[str, typer.Option(help="Why; it is recorded.")]
ActKey = Annotated[
    str | None,
    typer.Option(
        "--idempotency-key",
        metavar="KEY",
        help="A name of your own for this act: with the same one it is done once.",
        show_default="a new one",
    ),
]


class AskedFor(TallystickError):
    """The act waits for a second person; the message says how they approve it."""


#: What a second person types, before the request's id.
APPROVE = "tallystick operators approve"


class Done(Struct, frozen=True, kw_only=True):
    """An act as recorded. ``repeated``: it was done before, and this is what it came to then."""

    act: OperatorAct
    repeated: bool

    def document(self) -> dict[str, Any]:
        """For JSON: what it came to, and the act."""
        about = {
            "id": self.act.act_id,
            "operator": self.act.operator,
            "idempotency_key": self.act.idempotency_key,
            "repeated": self.repeated,
        }
        return {**self.act.result, "act": about}


def with_runtime(settings: Settings, action: Callable[[Runtime], Awaitable[Result]]) -> Result:
    """What ``action`` returns, on the database of the settings. Raises what opening the record raises."""

    async def run(database_url: str) -> Result:
        async with open_runtime(settings, database_url, registers_keys=False) as runtime:
            return await action(runtime)

    with existing_database(settings) as database:
        return asyncio.run(run(database.app_url))


class Asking(Struct, frozen=True, kw_only=True):
    """An act as the command line asks for it."""

    act: ActName
    target: str
    reason: str
    key: str | None = None
    scope: Scope = "acts:write"
    arguments: dict[str, Any] = {}


def act_on(settings: Settings, asking: Asking, do: Callable[[Runtime, AskedAct], Awaitable[OperatorAct]]) -> Done:
    """Do it, once. Raises what opening the record and ``do`` raise, NotAnOperator, WordsRefused and ActKeyReused."""

    async def acted(runtime: Runtime) -> Done:
        return await act_in(runtime, asking, do)

    return with_runtime(settings, acted)


async def act_in(runtime: Runtime, asking: Asking, do: Callable[[Runtime, AskedAct], Awaitable[OperatorAct]]) -> Done:
    """As ``act_on``, in a runtime that is open."""
    stores, settings = runtime.stores, runtime.settings
    sessions = Sessions(runtime.pool, runtime.clock, settings, runtime.sealer)
    if settings.operator_key is None and (token := kept_session()) is not None:
        who = await operator_signed_in(sessions, token, asking.act, runtime.clock.now(), settings.console_fresh_ms)
    else:
        who = await operator_on_command_line(stores.api_keys, settings.operator_key, asking.scope)
    asked = asked_act(
        who.name,
        checked_key(asking.key),
        asking.act,
        asking.target,
        asking.reason,
        key_kind=who.key_kind,
        **asking.arguments,
    )
    if asking.key is not None and (known := await done_for(runtime, asked)) is not None:
        return Done(act=known, repeated=True)
    try:
        act, repeated = await perform(stores.acts, settings, asked, lambda: do(runtime, asked))
    except NeedsSecondPerson as error:
        request = await ask_second_person(runtime, asked)
        people = "A second person has" if request.needed == 1 else f"{request.needed} people have"
        raise AskedFor(f"{error}. {people} to approve it: {APPROVE} {request.request_id}") from None
    return Done(act=act, repeated=repeated)


async def somebody_here(settings: Settings, database_url: str) -> str:
    """Who acts by a command that is for everybody who reaches the database: who signed in, or the owner of the
    operator's key; where neither proves anybody, the account of this machine. Raises what opening the database
    raises."""
    token = kept_session()
    if settings.operator_key is None and token is None:
        return operator_of_shell().name
    async with await open_pool(database_url, settings) as pool:
        if settings.operator_key is None and token is not None:
            viewer = await Sessions(pool, Clock(), settings, Sealer(list)).viewer(token)
            return operator_of_shell().name if viewer is None else viewer.actor
        try:
            return (await operator_on_command_line(StoredKeys(pool), settings.operator_key, "acts:write")).name
        except NotAnOperator:
            return operator_of_shell().name


def checked_key(key: str | None) -> str | None:
    """A key as the API takes it. Raises IdempotencyKeyInvalid."""
    return None if key is None else parse_idempotency_key([key])


def print_done(done: Done, as_json: bool, *sentences: str) -> None:
    """What an act came to: as JSON, or its steps and sentences."""
    if as_json:
        print_json(done.document())
        return
    console.print("\n".join([*steps_of(done.act), *sentences, *record_of(done)]), highlight=False, markup=False)


def steps_of(act: OperatorAct) -> list[str]:
    """The steps that an act recorded, for people."""
    moved = [f"{each['subject']} {each['subject_id']}: {each['event']}" for each in act.result.get("transitions", ())]
    return [*moved, *(f"rejected: {each['reason']}" for each in act.result.get("rejected", ()))]


def record_of(done: Done) -> list[str]:
    """Where the act is recorded, and whether it was done before now."""
    act = done.act
    before = f"This was done before ({act.act_id}, {act.at:%Y-%m-%d %H:%M} UTC)."
    return [before if done.repeated else f"Recorded as {act.act_id}."]


def require_words(*options: tuple[str, str]) -> None:
    """Each option (its name, its value) says something: an act is recorded with them. Raises typer.BadParameter."""
    for name, words in options:
        if not words.strip():
            raise typer.BadParameter("must not be empty", param_hint=name)
