"""``take``, ``hand-on`` and ``give-back``: who looks at a row of a list, for every list whose rows have no place for an
owner."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import typer

from tallystick.cli.acts import ActKey, Asking, Reason, act_on, print_done, require_words
from tallystick.cli.context import AsJson, DataDir, settings_from
from tallystick.cli.reading import id_of
from tallystick.domain.api_keys import Scope
from tallystick.domain.operator_act import ActName, AskedAct, OperatorAct
from tallystick.flows.operations import work_owners
from tallystick.flows.runtime import Runtime
from tallystick.record.postgres.work_lists import OwnedList

To = Annotated[str, typer.Option("--to", metavar="OPERATOR", help="Who has to look at it: an operator's name.")]


def owner_commands(app: typer.Typer, of_list: OwnedList, prefix: str, one: str, scope: Scope) -> None:
    """Add the three to the commands of a list. ``one``: a row of it, in words; ``prefix``: of its ids."""
    item: Any = typer.Argument(..., metavar="ID", help=f"The id of {one}, {prefix}_….", callback=id_of(prefix, one))

    def act(name: ActName, do: Callable[[Runtime, AskedAct], Awaitable[OperatorAct]], said: dict[str, Any]) -> None:
        require_words(("--reason", said["reason"]), *([("--to", said["to"])] if "to" in said else []))
        arguments = {"owner": said["to"]} if "to" in said else {}
        asking = Asking(
            act=name, target=said["target"], reason=said["reason"], key=said["key"], scope=scope, arguments=arguments
        )
        done = act_on(settings_from(said["data_dir"]), asking, do)
        owner = done.act.result["owner"]
        print_done(done, said["as_json"], f"{owner} has it." if owner else "Nobody has it.")

    @app.command("take", help=f"Take {one}: you look at it. What somebody else has stays theirs.")
    def take(
        *,
        target: str = item,
        reason: Reason,
        key: ActKey = None,
        as_json: AsJson = False,
        data_dir: DataDir = None,
    ) -> None:
        async def taken(runtime: Runtime, asked: AskedAct) -> OperatorAct:
            return await work_owners.take(runtime, asked, of_list)

        said = {"target": target, "reason": reason, "key": key, "as_json": as_json, "data_dir": data_dir}
        act("work.take", taken, said)

    @app.command("hand-on", help=f"Hand {one} on to another operator, whoever has it.")
    def hand_on(
        *,
        target: str = item,
        to: To,
        reason: Reason,
        key: ActKey = None,
        as_json: AsJson = False,
        data_dir: DataDir = None,
    ) -> None:
        async def handed_on(runtime: Runtime, asked: AskedAct) -> OperatorAct:
            return await work_owners.hand_on(runtime, asked, of_list, to)

        said = {"target": target, "reason": reason, "key": key, "as_json": as_json, "data_dir": data_dir, "to": to}
        act("work.hand_on", handed_on, said)

    @app.command("give-back", help=f"Give {one} back: nobody looks at it any more.")
    def give_back(
        *,
        target: str = item,
        reason: Reason,
        key: ActKey = None,
        as_json: AsJson = False,
        data_dir: DataDir = None,
    ) -> None:
        async def given_back(runtime: Runtime, asked: AskedAct) -> OperatorAct:
            return await work_owners.give_back(runtime, asked, of_list)

        said = {"target": target, "reason": reason, "key": key, "as_json": as_json, "data_dir": data_dir}
        act("work.give_back", given_back, said)
