"""Every endpoint there is, as one table: the application's routes and the OpenAPI document are both made from it."""

from __future__ import annotations

from typing import Any, Final

from tallystick.domain.views import DisputeView, PaymentView, RefundView
from tallystick.interfaces.api.bodies import AccountList, DisputeList, History, PaymentPage, TransferList
from tallystick.interfaces.api.endpoint import ACT, BODY, KEYED, READ, Endpoint, Handle, read
from tallystick.interfaces.api.routes import events, instructions, queries, refused_webhooks
from tallystick.interfaces.api.routes.events import Act, Acted, ActOnMany, DeadLetterPage, EventList
from tallystick.interfaces.api.routes.instructions import InstructionKind
from tallystick.interfaces.api.routes.refused_webhooks import WebhookRefusals
from tallystick.interfaces.api.routes.webhook_endpoint_table import WEBHOOK_ENDPOINTS
from tallystick.oversight.trace.event import EventTrace

_INSTRUCTION: Final = (
    *KEYED,
    *BODY,
    "unsupported_media_type",
    "idempotency_key_missing",
    "idempotency_key_invalid",
    "json_invalid",
    "idempotency_key_reused",
    "instruction_in_flight",
    "card_data_refused",
    "validation_failed",
    "overloaded",
    "not_ready",
    "outcome_unknown",
)
_ON_PAYMENT: Final = (*_INSTRUCTION, "not_found", "transition_rejected")


def _follow_up(
    kind: InstructionKind[Any],
    name: str,
    summary: str,
    body: str,
    answers: dict[int, type[Any]],
    *,
    creates: bool = False,
) -> Endpoint:
    return Endpoint(
        method="POST",
        path=kind.path,
        name=name,
        summary=summary,
        handle=kind.answer,
        answers=answers,
        codes=_ON_PAYMENT,
        body=body,
        parameters=("payment_id", "idempotency_key_header"),
        creates=creates,
    )


def _act(path: str, name: str, summary: str, handle: Handle, answer: type[Any]) -> Endpoint:
    """What an operator does with one dead letter (named in the path) or with many (named in the body)."""
    one = "{id}" in path
    return Endpoint(
        method="POST",
        path=path,
        name=name,
        summary=summary,
        handle=handle,
        answers={200: answer},
        codes=(*ACT, "not_found", "not_replayable") if one else ACT,
        body_type=Act if one else ActOnMany,
        body_required=True,
        parameters=("event_id",) if one else (),
        callers="operator",
    )


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        method="POST",
        path=instructions.CREATE_PAYMENT.path,
        name="createPayment",
        summary="Charge a payment method, or hold the money",
        handle=instructions.CREATE_PAYMENT.answer,
        answers={201: PaymentView, 202: PaymentView},
        codes=_INSTRUCTION,
        body="CreatePayment",
        body_required=True,
        parameters=("idempotency_key_header",),
        creates=True,
    ),
    Endpoint(
        method="GET",
        path="/v1/payments",
        name="listPayments",
        summary="Payments, newest first",
        handle=read(queries.list_payments),
        answers={200: PaymentPage},
        codes=READ,
        parameters=("state", "created_gte", "idempotency_key", "provider_reference", "limit", "cursor"),
    ),
    Endpoint(
        method="GET",
        path="/v1/payments/{id}",
        name="getPayment",
        summary="One payment",
        handle=read(queries.get_payment),
        answers={200: PaymentView},
        codes=(*READ, "not_found"),
        parameters=("payment_id",),
    ),
    _follow_up(
        instructions.CAPTURE_PAYMENT,
        "capturePayment",
        "Capture a hold, all of it or a part; a part releases the rest",
        "CapturePayment",
        {200: PaymentView, 202: PaymentView},
    ),
    _follow_up(
        instructions.CANCEL_PAYMENT,
        "cancelPayment",
        "Release a hold",
        "CancelPayment",
        {200: PaymentView, 202: PaymentView},
    ),
    _follow_up(
        instructions.CREATE_REFUND,
        "createRefund",
        "Pay back all that is left of a payment, or a part",
        "CreateRefund",
        {201: RefundView, 202: RefundView},
        creates=True,
    ),
    Endpoint(
        method="GET",
        path="/v1/payments/{id}/history",
        name="getHistory",
        summary="Every transition of a payment, and every refused one",
        handle=read(queries.get_history),
        answers={200: History},
        codes=(*READ, "not_found"),
        parameters=("payment_id",),
    ),
    Endpoint(
        method="GET",
        path="/v1/refunds/{id}",
        name="getRefund",
        summary="One refund",
        handle=read(queries.get_refund),
        answers={200: RefundView},
        codes=(*READ, "not_found"),
        parameters=("refund_id",),
    ),
    Endpoint(
        method="GET",
        path="/v1/disputes",
        name="listDisputes",
        summary="The disputes of a payment",
        handle=read(queries.list_disputes),
        answers={200: DisputeList},
        codes=(*READ, "not_found"),
        parameters=("payment",),
    ),
    Endpoint(
        method="GET",
        path="/v1/disputes/{id}",
        name="getDispute",
        summary="One dispute",
        handle=read(queries.get_dispute),
        answers={200: DisputeView},
        codes=(*READ, "not_found"),
        parameters=("dispute_id",),
    ),
    Endpoint(
        method="GET",
        path="/v1/ledger/accounts",
        name="listAccounts",
        summary="The merchant's book: every account and currency",
        handle=read(queries.list_accounts),
        answers={200: AccountList},
        codes=READ,
    ),
    Endpoint(
        method="GET",
        path="/v1/ledger/transfers",
        name="listTransfers",
        summary="The ledger rows of a payment and its refunds",
        handle=read(queries.list_transfers),
        answers={200: TransferList},
        codes=(*READ, "not_found"),
        parameters=("payment",),
    ),
    Endpoint(
        method="GET",
        path="/v1/events",
        name="listEvents",
        summary="What providers said of a payment, as it arrived",
        handle=read(events.list_events),
        answers={200: EventList},
        codes=(*READ, "not_found"),
        parameters=("payment",),
    ),
    Endpoint(
        method="GET",
        path="/v1/events/{id}",
        name="getEvent",
        summary="One event of a provider, with every checkpoint and try",
        handle=read(events.get_event),
        answers={200: EventTrace},
        codes=(*READ, "not_found"),
        parameters=("event_id",),
        callers="either",
    ),
    Endpoint(
        method="GET",
        path="/v1/dead-letters",
        name="listDeadLetters",
        summary="Events that bounded retries could not process, oldest first",
        handle=read(events.list_dead_letters),
        answers={200: DeadLetterPage},
        codes=READ,
        parameters=("event_provider", "event_type", "event_merchant", "limit", "cursor"),
        callers="operator",
    ),
    _act(
        "/v1/dead-letters/{id}/replay",
        "replayDeadLetter",
        "Have one closed event processed again by the very same guards",
        events.replay_one,
        EventTrace,
    ),
    _act(
        "/v1/dead-letters/{id}/discard",
        "discardDeadLetter",
        "Close one dead letter for good",
        events.discard_one,
        EventTrace,
    ),
    _act(
        "/v1/dead-letters/replay",
        "replayDeadLetters",
        "Replay the dead letters that a filter means, or all",
        events.replay_many,
        Acted,
    ),
    _act(
        "/v1/dead-letters/discard",
        "discardDeadLetters",
        "Discard the dead letters that a filter means, or all",
        events.discard_many,
        Acted,
    ),
    Endpoint(
        method="GET",
        path=refused_webhooks.PATH,
        name="listWebhookRefusals",
        summary="How many deliveries of providers were refused, by hour and reason",
        handle=read(refused_webhooks.list_refusals),
        answers={200: WebhookRefusals},
        codes=READ,
        parameters=("refusal_hours",),
        callers="operator",
    ),
    *WEBHOOK_ENDPOINTS,
)
