"""The endpoints under /v1/webhook-endpoints, for the table of all."""

from __future__ import annotations

from typing import Any, Final

from tallystick.flows.webhooks.outbound.endpoints import DISABLED_REASONS
from tallystick.interfaces.api.endpoint import ACT, KEYED, READ, Endpoint, Handle, read
from tallystick.interfaces.api.routes import webhook_deliveries, webhook_endpoints
from tallystick.interfaces.api.routes.webhook_deliveries import (
    DELIVERY_STATES,
    ResendSince,
    Resent,
    WebhookDelivery,
    WebhookDeliveryPage,
)
from tallystick.interfaces.api.routes.webhook_endpoints import (
    EVENT_TYPES,
    CreateWebhookEndpoint,
    DeletedWebhookEndpoint,
    NewSecret,
    NewWebhookEndpoint,
    RotateSecret,
    WebhookEndpoint,
    WebhookEndpointList,
)

#: Of those without a body.
_BARE: Final = (*KEYED, "card_data_refused", "validation_failed", "not_ready", "internal_error")


def _on_endpoint(
    method: str,
    path: str,
    name: str,
    summary: str,
    handle: Handle,
    answer: type[Any],
    *,
    body_type: type[Any] | None = None,
    body_required: bool = False,
    parameters: tuple[str, ...] = (),
    codes: tuple[str, ...] = (),
) -> Endpoint:
    """What a merchant does with one of its webhook endpoints."""
    return Endpoint(
        method=method,
        path=f"{webhook_endpoints.PATH}/{{id}}{path}",
        name=name,
        summary=summary,
        handle=handle,
        answers={200: answer},
        codes=(*(ACT if body_type else _BARE), "not_found", *codes),
        body_type=body_type,
        body_required=body_required,
        parameters=("webhook_endpoint_id", *parameters),
    )


WEBHOOK_ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        method="POST",
        path=webhook_endpoints.PATH,
        name="createWebhookEndpoint",
        summary="Register an endpoint; the answer is the only one that shows its secret",
        handle=webhook_endpoints.create_endpoint,
        answers={201: NewWebhookEndpoint},
        codes=(*ACT, "webhook_endpoint_exists", "webhook_endpoint_limit", "overloaded"),
        body_type=CreateWebhookEndpoint,
        body_required=True,
        creates=True,
    ),
    Endpoint(
        method="GET",
        path=webhook_endpoints.PATH,
        name="listWebhookEndpoints",
        summary="All webhook endpoints, oldest first",
        handle=read(webhook_endpoints.list_endpoints),
        answers={200: WebhookEndpointList},
        codes=READ,
    ),
    _on_endpoint(
        "GET",
        "",
        "getWebhookEndpoint",
        "One webhook endpoint",
        read(webhook_endpoints.get_endpoint),
        WebhookEndpoint,
        codes=("overloaded",),
    ),
    _on_endpoint(
        "DELETE",
        "",
        "deleteWebhookEndpoint",
        "Send nothing there any more",
        webhook_endpoints.delete_endpoint,
        DeletedWebhookEndpoint,
    ),
    _on_endpoint(
        "POST",
        "/disable",
        "disableWebhookEndpoint",
        "Send nothing there until it is enabled",
        webhook_endpoints.disable_endpoint,
        WebhookEndpoint,
    ),
    _on_endpoint(
        "POST",
        "/enable",
        "enableWebhookEndpoint",
        "Send what comes from now on",
        webhook_endpoints.enable_endpoint,
        WebhookEndpoint,
    ),
    _on_endpoint(
        "POST",
        "/rotate-secret",
        "rotateWebhookSecret",
        "Sign with another secret, and for a while with the old one too",
        webhook_endpoints.rotate_secret,
        NewSecret,
        body_type=RotateSecret,
    ),
    _on_endpoint(
        "GET",
        "/deliveries",
        "listWebhookDeliveries",
        "What was sent there, newest first, with every try",
        read(webhook_deliveries.list_deliveries),
        WebhookDeliveryPage,
        parameters=("delivery_state", "limit", "cursor"),
        codes=("overloaded",),
    ),
    _on_endpoint(
        "POST",
        "/deliveries/{message_id}/resend",
        "resendWebhook",
        "Send one message again, from the first try on",
        webhook_deliveries.resend_one,
        WebhookDelivery,
        parameters=("message_id",),
        codes=("webhook_endpoint_disabled",),
    ),
    _on_endpoint(
        "POST",
        "/deliveries/resend",
        "resendWebhooks",
        "Send again what the endpoint did not hear since a time",
        webhook_deliveries.resend_since,
        Resent,
        body_type=ResendSince,
        body_required=True,
        codes=("webhook_endpoint_disabled",),
    ),
)


_TYPE: Final = {"type": "string", "enum": EVENT_TYPES}
_TYPES: Final = {"type": "array", "items": _TYPE}
_NULL: Final = {"type": "null"}

#: What the bodies' types do not say by themselves.
NARROWED: Final[dict[str, dict[str, dict[str, Any]]]] = {
    "WebhookEndpoint": {
        "object": {"type": "string", "const": "webhook_endpoint"},
        "state": {"type": "string", "enum": ["enabled", "disabled"]},
        "disabled_reason": {"anyOf": [{"type": "string", "enum": list(DISABLED_REASONS)}, _NULL]},
        "event_types": {"anyOf": [_TYPES, _NULL]},
    },
    "CreateWebhookEndpoint": {"event_types": {"anyOf": [_TYPES | {"minItems": 1, "uniqueItems": True}, _NULL]}},
    "WebhookDelivery": {
        "type": _TYPE,
        "state": {"type": "string", "enum": list(DELIVERY_STATES)},
    },
}
