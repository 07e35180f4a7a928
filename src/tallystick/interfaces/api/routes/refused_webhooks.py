"""How many webhook deliveries were rejected, for operators; and kinds of them, which are taken and closed."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Struct
from msgspec.structs import asdict

from tallystick.domain.json_types import AccountName, Count, Hour, ProviderName, Time, described
from tallystick.domain.operator_views import RefusedKindView
from tallystick.flows.hourly_counts import counted_until
from tallystick.flows.operations import refusals
from tallystick.flows.operations.refusals import RefusalsClosed
from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.inbound.rejected import KEEP_HOURS
from tallystick.interfaces.api.act_endpoints import ActTarget, act_endpoint, owner_endpoints
from tallystick.interfaces.api.authentication import Caller
from tallystick.interfaces.api.endpoint import READ, Endpoint, read
from tallystick.interfaces.api.http import ApiRequest
from tallystick.interfaces.api.parameters import integer, path_id

PATH: Final = "/v1/webhook-refusals"

KIND_ID: Final = path_id("wrf", "kind of refused webhooks")

#: A day, unless asked otherwise.
DEFAULT_HOURS: Final = 24


class RefusedWebhooks(Struct, frozen=True, kw_only=True):
    """How many deliveries were rejected for one reason in one hour."""

    provider: ProviderName
    account: AccountName
    reason: Annotated[str, described("The error code of the response.", "webhook_signature_invalid")]
    hour: Hour
    count: Count


class WebhookRefusals(Struct, frozen=True, kw_only=True):
    """Counts by hour. There are a few for each configured account, so the list has no pages."""

    data: Annotated[list[RefusedWebhooks], described("The newest hour first.")]
    waiting: Annotated[
        list[RefusedKindView],
        described("What each account refused for one reason since somebody last closed it, the oldest first."),
    ]
    as_of: Annotated[Time, described("What came until then is counted; of what came later, a part may be.")]


async def list_refusals(runtime: Runtime, request: ApiRequest, _: Caller) -> object:
    """The counts of the last ``hours`` hours."""
    as_of = counted_until(runtime.clock)
    counts = await runtime.stores.refused_webhooks.of_last(request.query["hours"])
    data = [RefusedWebhooks(**asdict(row)) for row in counts]
    return WebhookRefusals(data=data, waiting=list(await refusals.waiting(runtime)), as_of=as_of)


async def _is_there(runtime: Runtime, kind_id: str) -> bool:
    return bool(await refusals.counts_of(runtime, kind_id))


_TARGET: Final = ActTarget(
    path=PATH,
    parameter=KIND_ID,
    one="kind of refused webhooks",
    scope="webhook_refusals:write",
    is_there=_is_there,
    refused={RefusalsClosed: "refusals_closed"},
)

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        method="GET",
        path=PATH,
        name="listWebhookRefusals",
        summary="Rejected webhook deliveries, counted by hour and reason",
        description="How many deliveries of providers were rejected, by account, reason and hour.",
        handle=read(list_refusals),
        scope="webhook_refusals:read",
        responses={200: WebhookRefusals},
        codes=READ,
        parameters=(integer("hours", 1, KEEP_HOURS, DEFAULT_HOURS, "How many hours back."),),
        callers="operator",
    ),
    act_endpoint(
        _TARGET,
        "close",
        "closeWebhookRefusals",
        "Close what an account refused for one reason",
        "What was counted until now needs nobody any more; what is refused after that waits anew.",
        "webhook_refusal.close",
        refusals.close,
        "refusals_closed",
    ),
    *owner_endpoints(
        _TARGET,
        "refused_webhooks",
        ("takeWebhookRefusals", "handWebhookRefusalsOn", "giveWebhookRefusalsBack"),
    ),
)
