"""One act of a page: by the viewer, with the reason and the key of its form, done once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from tallystick.domain.operator_act import ActKeyReused, ActName, AskedAct, OperatorAct, WordsRefused
from tallystick.flows.compliance.approvable import done_for
from tallystick.flows.operations.acts import asked_act, perform
from tallystick.interfaces.console.page import PageRequest, Refused


async def act_once(
    request: PageRequest,
    name: ActName,
    target: str,
    do: Callable[[AskedAct], Awaitable[OperatorAct]],
    **arguments: Any,
) -> OperatorAct:
    """The act as recorded, done now or before. Raises Refused for a reason or a key that cannot be taken, and what
    ``do`` raises."""
    form, runtime = request.form, request.runtime
    asked = asked_act(request.viewer.actor, form.get("key") or None, name, target, form.get("reason"), **arguments)
    try:
        if (known := await done_for(runtime, asked)) is not None:
            return known
        done, _ = await perform(runtime.stores.acts, runtime.settings, asked, lambda: do(asked))
    except (WordsRefused, ActKeyReused) as error:
        raise Refused(400, f"{error}. Nothing was done.") from None
    return done
