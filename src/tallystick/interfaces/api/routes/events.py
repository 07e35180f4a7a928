"""Events of providers and dead letters over HTTP: one event with all its checkpoints, and the dead-letter list."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

import asyncpg
from msgspec import Meta, Struct

from tallystick.domain.errors import ProblemField, problem
from tallystick.domain.requests.json_body import safe_name
from tallystick.domain.views import encode
from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.inbound.dead_letters import DeadLetter, DeadLetters, NotReplayable
from tallystick.interfaces.api.authentication import Caller
from tallystick.interfaces.api.http import ApiRequest, HttpResponse
from tallystick.interfaces.api.problems import Refused, not_found, refused_fields
from tallystick.interfaces.api.routes.queries import payment_asked_for
from tallystick.interfaces.api.typed_body import read_typed
from tallystick.kit.ids import is_id
from tallystick.oversight.trace.event import EventTrace, trace_event
from tallystick.record.postgres.inbox import DeadLetterFilter, Inbox

#: Dead letters on a page, and by default.
MAX_PAGE: Final = 100
DEFAULT_PAGE: Final = 20

#: More events than any payment has.
MAX_EVENTS: Final = 1_000

_Name = Annotated[str, Meta(min_length=1, max_length=255)]
_Reason = Annotated[str, Meta(min_length=1, max_length=500, pattern=r"\S")]


class DeadLetterPage(Struct, frozen=True, kw_only=True):
    """Dead letters, oldest first. ``next_cursor`` is set exactly when ``has_more``."""

    data: list[DeadLetter]
    has_more: bool
    next_cursor: str | None


class EventLine(Struct, frozen=True, kw_only=True):
    """One event of a provider; ``GET /v1/events/{id}`` has its whole story."""

    id: str
    provider: str
    type: str
    state: str
    detail: str | None
    received_at: datetime
    tries: int
    replays: int


class EventList(Struct, frozen=True, kw_only=True):
    """The events of a payment, as they arrived."""

    data: list[EventLine]


class Act(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why one dead letter is replayed or discarded."""

    reason: _Reason


class ActOnMany(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which dead letters are replayed or discarded, and why. ``all``: every one of them; else at least one filter."""

    reason: _Reason
    all: bool = False
    provider: _Name | None = None
    type: _Name | None = None
    merchant_id: _Name | None = None
    dead_before: Annotated[datetime, Meta(tz=True)] | None = None


class Acted(Struct, frozen=True, kw_only=True):
    """How many dead letters it was."""

    count: int


async def get_event(runtime: Runtime, exchange: ApiRequest, caller: Caller) -> object:
    """One event, to the merchant whose payment it is about, and to operators."""
    event_id = _event_id(exchange)
    exchange.parameters()
    trace = await trace_event(_inbox(runtime), event_id)
    if trace is None or not (caller.operator or trace.merchant_id == caller.merchant_id):
        raise not_found(exchange.request_id, "event")
    return trace


async def list_events(runtime: Runtime, exchange: ApiRequest, caller: Caller) -> object:
    """What providers said of one payment, as it arrived."""
    payment_id = await payment_asked_for(runtime, exchange, caller)
    records = await _inbox(runtime).events_of(caller.merchant_id, payment_id, MAX_EVENTS)
    return EventList(data=[EventLine(id=record["event_id"], **_line(record)) for record in records])


def _line(record: asyncpg.Record) -> dict[str, Any]:
    return {name: record[name] for name in EventLine.__struct_fields__ if name != "id"}


async def list_dead_letters(runtime: Runtime, exchange: ApiRequest, _: Caller) -> object:
    """A page of the list, oldest first."""
    given, errors = exchange.parameters(), []
    known = ("provider", "type", "merchant_id", "limit", "cursor")
    errors += [
        ProblemField(safe_name(name), "unknown_field", "is not a parameter of this request")
        for name in given
        if name not in known
    ]
    errors += [
        ProblemField(name, "repeated", "may be given only once") for name, values in given.items() if len(values) > 1
    ]
    values = {name: given[name][0] for name in known if name in given}
    limit = values.get("limit", str(DEFAULT_PAGE))
    if not (limit.isascii() and limit.isdigit() and len(limit) < 5 and 1 <= int(limit) <= MAX_PAGE):
        errors.append(ProblemField("limit", "out_of_range", f"must be a number from 1 to {MAX_PAGE}"))
    after = values.get("cursor")
    if after is not None and not is_id("evt", after):
        errors.append(ProblemField("cursor", "invalid_value", "must be a next_cursor of an earlier page"))
    if errors:
        raise refused_fields(errors, exchange.request_id)
    which = DeadLetterFilter(
        provider=_text(values, "provider"), type=_text(values, "type"), merchant_id=_text(values, "merchant_id")
    )
    rows = await _dead_letters(runtime).page(which, after, int(limit) + 1)
    shown, more = list(rows[: int(limit)]), len(rows) > int(limit)
    return DeadLetterPage(data=shown, has_more=more, next_cursor=shown[-1].event_id if more else None)


async def replay_one(runtime: Runtime, exchange: ApiRequest, caller: Caller) -> HttpResponse:
    """Have one closed event processed again by the very same guards."""
    event_id, act = _event_id(exchange), await read_typed(exchange, Act)
    return await _acted(
        runtime, exchange, _dead_letters(runtime).replay(event_id, actor=_actor(caller), reason=act.reason), event_id
    )


async def discard_one(runtime: Runtime, exchange: ApiRequest, caller: Caller) -> HttpResponse:
    """Close one dead letter for good."""
    event_id, act = _event_id(exchange), await read_typed(exchange, Act)
    return await _acted(
        runtime, exchange, _dead_letters(runtime).discard(event_id, actor=_actor(caller), reason=act.reason), event_id
    )


async def replay_many(runtime: Runtime, exchange: ApiRequest, caller: Caller) -> HttpResponse:
    """Replay the dead letters that a filter means, or all."""
    act = await read_typed(exchange, ActOnMany)
    count = await _dead_letters(runtime).replay_all(_which(act, exchange), actor=_actor(caller), reason=act.reason)
    return HttpResponse(200, encode(Acted(count=count)), headers=tuple(exchange.answer_headers))


async def discard_many(runtime: Runtime, exchange: ApiRequest, caller: Caller) -> HttpResponse:
    """Discard the dead letters that a filter means, or all."""
    act = await read_typed(exchange, ActOnMany)
    count = await _dead_letters(runtime).discard_all(_which(act, exchange), actor=_actor(caller), reason=act.reason)
    return HttpResponse(200, encode(Acted(count=count)), headers=tuple(exchange.answer_headers))


async def _acted(runtime: Runtime, exchange: ApiRequest, act: Any, event_id: str) -> HttpResponse:
    if await _inbox(runtime).event(event_id) is None:
        act.close()
        raise not_found(exchange.request_id, "event")
    try:
        await act
    except NotReplayable as error:
        raise Refused(problem("not_replayable", f"{error}.", request_id=exchange.request_id)) from None
    trace: EventTrace | None = await trace_event(_inbox(runtime), event_id)
    return HttpResponse(200, encode(trace), headers=tuple(exchange.answer_headers))


def _which(act: ActOnMany, exchange: ApiRequest) -> DeadLetterFilter:
    which = DeadLetterFilter(
        provider=act.provider, type=act.type, merchant_id=act.merchant_id, dead_before=act.dead_before
    )
    if act.all == (which != DeadLetterFilter()):
        wrong = ProblemField("all", "invalid_value", "say all, or give a filter; not both, and not neither")
        raise refused_fields([wrong], exchange.request_id)
    return which


def _text(values: dict[str, str], name: str) -> str | None:
    """A filter's value; what no database holds finds nothing."""
    value = values.get(name)
    return None if value is None else value.encode("utf-8", "replace").decode().replace("\x00", "")


def _event_id(exchange: ApiRequest) -> str:
    event_id = exchange.path_id or ""
    if not is_id("evt", event_id):
        raise not_found(exchange.request_id, "event")
    return event_id


def _actor(caller: Caller) -> str:
    return f"key:{caller.key_id}"


def _inbox(runtime: Runtime) -> Inbox:
    return Inbox(runtime.pool, clock_shift_ms=runtime.settings.clock_shift_ms)


def _dead_letters(runtime: Runtime) -> DeadLetters:
    return DeadLetters(_inbox(runtime), runtime.settings)
