"""Acts that move more than one person may."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tallystick.domain.errors import TallystickError
from tallystick.domain.operator_act import AskedAct
from tallystick.flows.compliance import four_eyes
from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import is_id
from tallystick.settings.alerts import amounts_by_currency
from tallystick.settings.load import Settings


class NeedsSecondPerson(TallystickError):
    """The act moves more than one person may, and nobody else has approved it; nothing was done."""


def is_above(settings: Settings, currency: str, amount: int) -> bool:
    """Whether the amount, in minor units, needs a second person. With a limit for some currencies, any amount of the
    others does: nobody has said how much of them one person may move."""
    if settings.second_person_above is None:
        return False
    return amount > amounts_by_currency(settings.second_person_above).get(currency, 0)


def currencies_above(settings: Settings, moved: Iterable[tuple[int, str]]) -> dict[str, int]:
    """What one act on many comes to in each currency of which that needs a second person. ``moved``: what it moves of
    each, in minor units with their currency. What goes out and what comes in are moved alike."""
    sums: dict[str, int] = {}
    for amount, currency in moved:
        sums[currency] = sums.get(currency, 0) + abs(amount)
    return {currency: total for currency, total in sums.items() if is_above(settings, currency, total)}


async def require_second_person(
    runtime: Runtime, asked: AskedAct | None, target: str, currency: str, amount: int
) -> None:
    """The act may move the amount: it is small, or its key is a request for exactly this that was approved. Raises
    NeedsSecondPerson."""
    shown = {"currency": currency, "amount": amount}
    if not is_above(runtime.settings, currency, amount):
        return
    if asked is None or not await is_approved(runtime, asked, target, shown):
        raise NeedsSecondPerson(f"{amount} {currency} (minor units) is more than one person may move; nothing was done")


async def is_approved(runtime: Runtime, asked: AskedAct, target: str, shown: Mapping[str, Any]) -> bool:
    """Whether the key of the act is a request for exactly this that was approved."""
    if not is_id("apr", asked.idempotency_key):
        return False
    found = await four_eyes.read(runtime, asked.idempotency_key)
    return (
        found is not None
        and found.outcome is not None
        and found.outcome.outcome == "approved"
        and (found.request.act, found.request.target) == (asked.act, target)
        and found.request.arguments == asked.arguments
        and found.request.requested_by == asked.operator
        and all(found.request.shown.get(name) == value for name, value in shown.items())
    )
