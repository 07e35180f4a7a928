"""What all changes made by recovery share: their cause, and whether one was committed first."""

from __future__ import annotations

from typing import Final

from tallystick.decisions.change_builder import Cause
from tallystick.domain.change import Change
from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import new_id
from tallystick.record.journal import Fresh

ACTOR: Final = "recovery"


def recovery_cause(runtime: Runtime, reason: str) -> Cause:
    """The cause of a new change, with an id of its own."""
    return Cause(change_id=new_id("chg"), at=runtime.clock.now(), trigger=f"recovery: {reason}", actor=ACTOR)


async def commit_first(runtime: Runtime, change: Change) -> bool:
    """Commit the change. False if another change was first; the next round decides on the new state. Raises what the
    journal raises."""
    return isinstance(await runtime.journal.commit(change), Fresh)
