"""What one person may move alone in a day: small acts count together.

An act is judged by what it moves, and then by what its operator moved that day. What they moved is in the record: each
act adds a row in its own transaction, under the next place of the operator's day. Two acts at once, by whichever
processes, that counted on the same sum take the same place; one of them looks again. An act that a second person
approved counts nothing, for it was not moved alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from typing import Any

from tallystick.domain.operator_act import AskedAct, OperatorAct
from tallystick.flows.compliance.amounts import NeedsSecondPerson, is_above, is_approved
from tallystick.flows.runtime import Runtime
from tallystick.record.postgres.moved_alone import MovedAlone, MovedOn
from tallystick.settings.alerts import amounts_by_currency
from tallystick.settings.load import Settings


async def moves_alone(
    runtime: Runtime, asked: AskedAct, target: str, amounts: Mapping[str, int], shown: Mapping[str, Any]
) -> Mapping[str, int]:
    """What the act counts in its operator's day, in minor units by currency: ``amounts``; nothing where a second person
    approved exactly this, as it was ``shown``, or where a day has no bound. Raises NeedsSecondPerson where this is more
    than one person may move, in one act or in a day."""
    if await is_approved(runtime, asked, target, shown):
        return {}
    settings = runtime.settings
    if any(is_above(settings, currency, amount) for currency, amount in amounts.items()):
        said = ", ".join(f"{amount} {currency}" for currency, amount in sorted(amounts.items()))
        raise NeedsSecondPerson(f"{said} (minor units) in one act is more than one person may move; nothing was done")
    moved = {} if settings.second_person_above_a_day is None else {name: n for name, n in amounts.items() if n}
    if moved:
        day = runtime.clock.now().astimezone(UTC).date()
        _require_within(settings, await MovedAlone(runtime.pool).on(asked.operator, day, moved), moved)
    return moved


async def count_in_day(settings: Settings, days: MovedAlone, act: OperatorAct, moved: Mapping[str, int]) -> None:
    """The act counts what ``moves_alone`` said: a part of its transaction, right before the act is written, for whoever
    else acts for this operator waits from here on. Raises NeedsSecondPerson and PlaceTaken."""
    if not moved:
        return
    day = act.at.astimezone(UTC).date()
    before = await days.on(act.operator, day, moved)
    _require_within(settings, before, moved)
    for currency, amount in sorted(moved.items()):
        await days.add(act, day, currency, before[currency], amount)


def _require_within(settings: Settings, before: Mapping[str, MovedOn], moved: Mapping[str, int]) -> None:
    limits = amounts_by_currency(settings.second_person_above_a_day)
    for currency, amount in sorted(moved.items()):
        in_all = before[currency].amount + amount
        if in_all > limits.get(currency, 0):
            raise NeedsSecondPerson(
                f"{in_all} {currency} (minor units) in a day is more than one person may move; nothing was done"
            )
