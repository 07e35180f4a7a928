"""What was sent to a merchant's endpoint, and sending it again."""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import asyncpg
from msgspec import Meta, Struct

from tallystick.domain.errors import problem
from tallystick.domain.requests.commands import DEFAULT_PAGE_SIZE, MAX_CURSOR_CHARS, MAX_PAGE_SIZE
from tallystick.domain.requests.fields import Fields
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.api.authentication import Caller
from tallystick.interfaces.api.http import ApiRequest, HttpResponse
from tallystick.interfaces.api.problems import Refused, not_found, refused_fields
from tallystick.interfaces.api.routes.webhook_endpoints import (
    actor_of,
    answer,
    book_of,
    endpoints_of,
    existing,
    no_query,
    path_endpoint,
)
from tallystick.interfaces.api.typed_body import read_typed
from tallystick.kit.card_data import looks_like_card_number
from tallystick.kit.ids import is_id

#: open: on its way, or its next try is due at a time that is shown. canceled: given up because the endpoint was
#: disabled, or came while it was. exhausted: every try failed.
DELIVERY_STATES: Final = ("open", "delivered", "exhausted", "canceled")

#: Tries that are shown of a message: every one of two rounds, and more than anybody reads.
SHOWN_TRIES: Final = 25

_LOG_FIELDS: Final = frozenset({"state", "limit", "cursor"})

_CURSOR: Final = struct.Struct(">Bq16s")
_CURSOR_VERSION: Final = 1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class WebhookAttempt(Struct, frozen=True, kw_only=True):
    """One try: ``result`` delivered, refused, redirected, gone, timed_out, unreachable, tls_failed, broken or
    address_refused; or ``resend_requested``, by ``actor``."""

    number: int
    at: datetime
    result: str
    status: int | None
    duration_ms: int
    error: str | None
    actor: str | None


class WebhookDelivery(Struct, frozen=True, kw_only=True):
    """One message on its way to one endpoint. ``attempts``: the latest, oldest first. ``version`` is the payment's."""

    message_id: str
    type: str
    payment_id: str
    version: int
    state: str
    resends: int
    dispatched_at: datetime
    closed_at: datetime | None
    next_attempt_at: datetime | None
    attempts: list[WebhookAttempt]


class WebhookDeliveryPage(Struct, frozen=True, kw_only=True):
    """Deliveries, newest first. ``next_cursor`` is set exactly when ``has_more``."""

    data: list[WebhookDelivery]
    has_more: bool
    next_cursor: str | None


class ResendSince(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Since when: messages dispatched then or later."""

    since: Annotated[datetime, Meta(tz=True)]


class Resent(Struct, frozen=True, kw_only=True):
    """How many messages will be sent again. ``has_more``: the same request again does the rest."""

    count: int
    has_more: bool


async def list_deliveries(runtime: Runtime, exchange: ApiRequest, caller: Caller) -> object:
    """A page of the log, newest first."""
    endpoint_id = path_endpoint(exchange)
    given = exchange.parameters()
    query = Fields({name: values[0] for name, values in given.items() if values}, _LOG_FIELDS)
    for name, values in given.items():
        if len(values) > 1 and name in _LOG_FIELDS:
            query.refuse(name, "repeated", "may be given only once")
    state = query.one_of("state", DELIVERY_STATES)
    limit = query.integer("limit", 1, MAX_PAGE_SIZE, DEFAULT_PAGE_SIZE)
    cursor = query.text("cursor", MAX_CURSOR_CHARS, min_chars=1)
    after = None if cursor is None else _read_cursor(cursor)
    if cursor is not None and after is None:
        query.refuse("cursor", "invalid_value", "must be a next_cursor of an earlier page")
    if query.errors:
        raise refused_fields(query.errors, exchange.request_id)
    await existing(runtime, exchange, caller, endpoint_id)
    rows = await book_of(runtime).log(caller.merchant_id, endpoint_id, state=state, after=after, limit=limit + 1)
    shown, more = rows[:limit], len(rows) > limit
    return WebhookDeliveryPage(
        data=await _views(runtime, caller, endpoint_id, shown),
        has_more=more,
        next_cursor=_write_cursor(shown[-1]) if more else None,
    )


async def resend_one(runtime: Runtime, exchange: ApiRequest, caller: Caller) -> HttpResponse:
    """Send one message again, whatever became of it, from the first try on."""
    no_query(exchange)
    endpoint_id, message_id = await _enabled(runtime, exchange, caller), exchange.path_ids["message_id"]
    if looks_like_card_number(message_id):
        raise exchange.card_data("path")
    book = book_of(runtime)
    sent = is_id("msg", message_id) and await book.resend(
        caller.merchant_id, endpoint_id, [message_id], actor=actor_of(caller)
    )
    record = await book.delivery(caller.merchant_id, endpoint_id, message_id) if sent else None
    if record is None:
        raise not_found(exchange.request_id, "delivery")
    return answer(exchange, (await _views(runtime, caller, endpoint_id, [record]))[0])


async def resend_since(runtime: Runtime, exchange: ApiRequest, caller: Caller) -> HttpResponse:
    """Send again what it did not hear since a time, oldest first."""
    body = await read_typed(exchange, ResendSince)
    endpoint_id = await _enabled(runtime, exchange, caller)
    done = await endpoints_of(runtime).resend_since(caller.merchant_id, endpoint_id, body.since, actor=actor_of(caller))
    return answer(exchange, Resent(count=done.count, has_more=done.more))


async def _enabled(runtime: Runtime, exchange: ApiRequest, caller: Caller) -> str:
    endpoint_id = path_endpoint(exchange)
    if (await existing(runtime, exchange, caller, endpoint_id))["state"] != "enabled":
        detail = "Nothing is sent to a disabled endpoint: enable it first."
        raise Refused(problem("webhook_endpoint_disabled", detail, request_id=exchange.request_id))
    return endpoint_id


async def _views(
    runtime: Runtime, caller: Caller, endpoint_id: str, records: Sequence[asyncpg.Record]
) -> list[WebhookDelivery]:
    ids = [record["message_id"] for record in records]
    tries = await book_of(runtime).tries(caller.merchant_id, endpoint_id, ids, SHOWN_TRIES)
    return [
        WebhookDelivery(
            **{name: record[name] for name in _SAME},
            next_attempt_at=record["next_try_at"],
            attempts=[_attempt(one) for one in tries.get(record["message_id"], ())],
        )
        for record in records
    ]


_SAME: Final = ("message_id", "type", "payment_id", "version", "state", "resends", "dispatched_at", "closed_at")


def _attempt(record: asyncpg.Record) -> WebhookAttempt:
    return WebhookAttempt(
        number=record["number"],
        at=record["started_at"],
        result=record["result"],
        status=record["status"],
        duration_ms=record["duration_ms"],
        error=record["detail"],
        actor=record["actor"],
    )


def _write_cursor(record: asyncpg.Record) -> str:
    """A position in the log: after this delivery. Opaque to clients."""
    moment = (record["dispatched_at"] - _EPOCH) // _MICROSECOND
    packed = _CURSOR.pack(_CURSOR_VERSION, moment, bytes.fromhex(record["message_id"].removeprefix("msg_")))
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def _read_cursor(cursor: str) -> tuple[datetime, str] | None:
    """The position that a cursor is; None for one that we did not write."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        read_version, moment, message = _CURSOR.unpack(raw)
        return (_EPOCH + moment * _MICROSECOND, f"msg_{message.hex()}") if read_version == _CURSOR_VERSION else None
    except (binascii.Error, ValueError, OverflowError, struct.error):
        return None
