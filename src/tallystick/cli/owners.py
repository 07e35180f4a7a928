"""``take``, ``hand-on`` and ``give-back``: who looks at what waits, for every list."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from tallystick.cli.acts import ActKey, Asking, Done, Reason, act_on, print_done, require_words
from tallystick.cli.context import AsJson, DataDir, settings_from
from tallystick.cli.reading import id_of
from tallystick.domain.api_keys import Scope
from tallystick.domain.work_owner import PERSON
from tallystick.flows.operations.owner_acts import OWNER, OWNER_ACTS, OwnerAct
from tallystick.record.postgres.work_lists import WorkList

To = Annotated[str, typer.Option("--to", metavar="OPERATOR", help="Who has to look at it: an operator's name.")]

#: What the three are called, unless a list had other names before.
NAMES: Final = ("take", "hand-on", "give-back")


def owner_commands(
    app: typer.Typer, of_list: WorkList, prefix: str, one: str, scope: Scope, names: tuple[str, str, str] = NAMES
) -> None:
    """Add the three to the commands of a list. ``one``: a row of it, in words; ``prefix``: of its ids."""
    item: Any = typer.Argument(..., metavar="ID", help=f"The id of {one}, {prefix}_….", callback=id_of(prefix, one))
    own, (take_name, hand_on_name, give_back_name) = OWNER_ACTS[of_list], names

    def act(what: OwnerAct, target: str, reason: str, key: str | None, data_dir: Any, **to: str) -> Done:
        require_words(("--reason", reason), *(("--to", value) for value in to.values()))
        asking = Asking(act=what.act, target=target, reason=reason, key=key, scope=scope, arguments=to)
        return act_on(settings_from(data_dir), asking, what.do)

    @app.command(take_name, help=f"Take {one}: you look at it. What somebody else has stays theirs.")
    def take(
        *, target: str = item, reason: Reason, key: ActKey = None, as_json: AsJson = False, data_dir: DataDir = None
    ) -> None:
        done = act(own.take, target, reason, key, data_dir)
        print_done(done, as_json, f"{done.act.operator} has it.")

    @app.command(hand_on_name, help=f"Hand {one} on to another operator, whoever has it.")
    def hand_on(
        *,
        target: str = item,
        to: To,
        reason: Reason,
        key: ActKey = None,
        as_json: AsJson = False,
        data_dir: DataDir = None,
    ) -> None:
        done = act(own.hand_on, target, reason, key, data_dir, **{OWNER: to})
        print_done(done, as_json, f"{PERSON}{to.strip().removeprefix(PERSON)} has it.")

    @app.command(give_back_name, help=f"Give {one} back: nobody looks at it any more.")
    def give_back(
        *, target: str = item, reason: Reason, key: ActKey = None, as_json: AsJson = False, data_dir: DataDir = None
    ) -> None:
        print_done(act(own.give_back, target, reason, key, data_dir), as_json, "Nobody has it.")
