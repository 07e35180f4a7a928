"""A test message to one of a merchant's endpoints, and what came of it."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Struct

from tallystick.decisions.messages import TEST_TYPE
from tallystick.domain.errors import Overloaded
from tallystick.domain.json_types import TestMessageId, Time, described
from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.outbound.try_results import DELIVERED, TRY_RESULTS
from tallystick.interfaces.api.authentication import Caller
from tallystick.interfaces.api.endpoint import Endpoint
from tallystick.interfaces.api.http import ApiRequest, HttpResponse, json_response
from tallystick.interfaces.api.problems import busy
from tallystick.interfaces.api.rate_limit import Rate
from tallystick.interfaces.api.routes.webhook_endpoints import actor_of, existing, on_endpoint

#: Of one merchant: a few at once while somebody tries, and then one every five seconds. Each is a connection to a host
#: of the merchant's choice.
RATE: Final = Rate(per_s=0.2, burst=5)


class WebhookTest(Struct, frozen=True, kw_only=True):
    """What came of a test message."""

    id: TestMessageId
    type: Annotated[str, described("The type of the message.", const=TEST_TYPE)]
    delivered: Annotated[bool, described("Whether the endpoint accepted it.", True)]
    result: Annotated[
        str,
        described(
            "What came of it: stable, made for programs; the codes are those of deliveries.",
            DELIVERED,
            enum=tuple(TRY_RESULTS),
        ),
    ]
    message: Annotated[str, described("The same in words, for people; it may change.", "answered with 204")]
    status: Annotated[int | None, described("The status of the response; null where there was none.", 204)]
    at: Annotated[Time, described("When it was signed.")]
    duration_ms: Annotated[
        int, described("How long it took, in milliseconds; of `address_refused` only roughly.", 84, minimum=0)
    ]


async def test_endpoint(runtime: Runtime, request: ApiRequest, caller: Caller) -> HttpResponse:
    """Send a test message now, also to a disabled endpoint."""
    endpoint_id = request.id_in_path()
    request.require_no_query()
    endpoint = await existing(runtime, request, caller, endpoint_id)
    try:
        test = await runtime.stores.endpoint_tester.test(caller.merchant_id, endpoint, actor=actor_of(caller))
    except Overloaded:
        raise busy("overloaded", "Too many test messages are in transit.", request.request_id) from None
    except LookupError:
        detail = "This process does not serve the version of the endpoint."
        raise busy("not_ready", detail, request.request_id) from None
    result = test.result
    answer = WebhookTest(
        id=test.message_id,
        type=TEST_TYPE,
        delivered=result.result == DELIVERED,
        result=result.result,
        message=result.detail or f"answered with {result.status}",
        status=result.status,
        at=test.at,
        duration_ms=result.duration_ms,
    )
    return json_response(request, answer)


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    on_endpoint(
        "POST",
        "/test",
        "testWebhookEndpoint",
        "Send a test message to a webhook endpoint",
        (
            "One try, at once: signed as every message is, of the type `webhook_endpoint.test`. The answer says what"
            " came of it, and comes when the endpoint has answered or its time is up. A test message reports nothing"
            " that happened: it is not in the delivery log, is not sent again, and changes nothing of the endpoint,"
            f" which may be disabled. A merchant has {RATE.burst} at once, and one every {round(1 / RATE.per_s)}"
            " seconds."
        ),
        test_endpoint,
        WebhookTest,
        codes=("overloaded",),
        rate=RATE,
    ),
)
