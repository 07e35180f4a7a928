"""Stripe's lists: how look-ups read them to their end, and the time that they are asked about."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import timedelta
from itertools import count
from math import ceil, floor
from typing import Any, Final

from tallystick.domain.subjects import Operation
from tallystick.providers.heard import about_others_too
from tallystick.providers.port import ProviderCall, ProviderEffect
from tallystick.providers.stripe.objects import ATTEMPT, MERCHANT, PAYMENT, amount_of, moment, ours

#: Objects on one page of a list: the most that Stripe gives.
PAGE: Final = 100

#: Pages read for one look-up: 10,000 objects. What was not found by then is not known to be absent.
PAGES_LIMIT: Final = 100

#: A list is asked for this much more on both sides of the time in which the object can have been made: clocks are
#: compared by answers that may have taken a while.
CLOCK_MARGIN: Final = timedelta(seconds=120)


def answer_of(made: Any) -> Any:
    """The answer as it came, beside the object that the SDK made of it."""
    return made.last_response


async def pages(
    ask: Callable[[dict[str, Any]], Awaitable[Any]], *, bounded: bool = True
) -> AsyncIterator[dict[str, Any]]:
    """Every object of a list, of so many pages at most where ``bounded``. Raises LookupError past the bound, and where
    a page says that there is more and the next one is empty: what was not seen is not known to be absent."""
    page: dict[str, Any] = {"limit": PAGE}
    for number in range(PAGES_LIMIT) if bounded else count():
        with about_others_too():
            listed = answer_of(await ask(page)).data
        objects, more = listed["data"], listed["has_more"]
        if not isinstance(objects, list) or not isinstance(more, bool):
            raise LookupError("a page that cannot be read")
        if not objects and (more or number > 0):
            raise LookupError("the list broke off")
        for item in objects:
            yield item
        if not more:
            return
        page = {"limit": PAGE, "starting_after": objects[-1]["id"]}
    raise LookupError("the list is too long")


def window_of(call: ProviderCall) -> dict[str, Any]:
    """Stripe's filter for the time in which the call can have made its object, in whole seconds."""
    bounds: dict[str, int] = {}
    if call.earliest is not None:
        bounds["gte"] = floor((call.earliest - CLOCK_MARGIN).timestamp())
    if call.latest is not None:
        bounds["lte"] = ceil((call.latest + CLOCK_MARGIN).timestamp())
    return {"created": bounds} if bounds else {}


def effect_of(operation: Operation, listed: Mapping[str, Any]) -> ProviderEffect | None:
    """An object of a list; None for one without our names: other software uses the account too."""
    metadata = listed.get("metadata")
    merchant, payment, attempt = (ours(metadata, name) for name in (MERCHANT, PAYMENT, ATTEMPT))
    if merchant is None or payment is None or attempt is None:
        return None
    amount, currency, _ = amount_of(listed["amount"], listed["currency"])
    return ProviderEffect(
        reference=listed["id"],
        operation=operation,
        merchant_id=merchant,
        payment_id=payment,
        attempt_id=attempt,
        amount=amount,
        currency=currency,
        state=str(listed["status"]),
        at=moment(listed.get("created")),
    )
