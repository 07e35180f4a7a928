"""How many deliveries of providers were refused, over HTTP for operators."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from tallystick.domain.errors import ProblemField
from tallystick.domain.requests.json_body import safe_name
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.api.authentication import Caller
from tallystick.interfaces.api.http import ApiRequest
from tallystick.interfaces.api.problems import refused_fields
from tallystick.record.postgres.refused_webhooks import KEEP_HOURS, RefusalBook, RefusedWebhooks

PATH: Final = "/v1/webhook-refusals"

#: A day, unless asked otherwise.
DEFAULT_HOURS: Final = 24


#: The parameter, as it is documented.
HOURS: Final = {"type": "integer", "minimum": 1, "maximum": KEEP_HOURS, "default": DEFAULT_HOURS}


class WebhookRefusals(Struct, frozen=True, kw_only=True):
    """Counts by hour, the newest hour first; a reason is the code that was answered. There are a few for each account
    that is set up, so that they need no pages."""

    data: list[RefusedWebhooks]


async def list_refusals(runtime: Runtime, exchange: ApiRequest, _: Caller) -> object:
    """The counts of the last ``hours`` hours."""
    given = exchange.parameters()
    errors = [
        ProblemField(safe_name(name), "unknown_field", "is not a parameter of this request")
        for name in given
        if name != "hours"
    ]
    values = given.get("hours", [str(DEFAULT_HOURS)])
    if len(values) > 1:
        errors.append(ProblemField("hours", "repeated", "may be given only once"))
    hours = values[0]
    if not (hours.isascii() and hours.isdigit() and len(hours) < 5 and 1 <= int(hours) <= KEEP_HOURS):
        errors.append(ProblemField("hours", "out_of_range", f"must be a number from 1 to {KEEP_HOURS}"))
    if errors:
        raise refused_fields(errors, exchange.request_id)
    book = RefusalBook(runtime.pool, clock_shift_ms=runtime.settings.clock_shift_ms)
    return WebhookRefusals(data=list(await book.of_last(int(hours))))
