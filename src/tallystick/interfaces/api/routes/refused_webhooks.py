"""How many webhook deliveries were rejected, for operators."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.inbound.rejected import KEEP_HOURS, RefusedWebhooks
from tallystick.interfaces.api.authentication import Caller
from tallystick.interfaces.api.endpoint import READ, Endpoint, read
from tallystick.interfaces.api.http import ApiRequest
from tallystick.interfaces.api.parameters import integer

#: A day, unless asked otherwise.
DEFAULT_HOURS: Final = 24


class WebhookRefusals(Struct, frozen=True, kw_only=True):
    """Counts by hour, the newest hour first; a reason is the code of the response. There are a few for each configured
    account, so the list has no pages."""

    data: list[RefusedWebhooks]


async def list_refusals(runtime: Runtime, request: ApiRequest, _: Caller) -> object:
    """The counts of the last ``hours`` hours."""
    return WebhookRefusals(data=list(await runtime.stores.refused_webhooks.of_last(request.query["hours"])))


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        method="GET",
        path="/v1/webhook-refusals",
        name="listWebhookRefusals",
        summary="Rejected webhook deliveries, counted by hour and reason",
        handle=read(list_refusals),
        responses={200: WebhookRefusals},
        codes=READ,
        parameters=(integer("hours", 1, KEEP_HOURS, DEFAULT_HOURS, "How many hours back."),),
        callers="operator",
    ),
)
