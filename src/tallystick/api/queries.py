"""The GET handlers. They move nothing, and are shed before any instruction is."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import asyncpg

from tallystick.api.authentication import Caller
from tallystick.api.bodies import (
    Account,
    AccountList,
    DisputeList,
    History,
    HistoryEntry,
    PaymentPage,
    RejectionEntry,
    TransferEntry,
    TransferList,
)
from tallystick.api.exchange import Answer, Exchange
from tallystick.api.problems import not_found, refused_fields
from tallystick.domain.errors import ProblemField
from tallystick.domain.lifecycles.payment import PaymentState
from tallystick.domain.requests.commands import InvalidFields, parse_list_query
from tallystick.domain.requests.json_body import safe_name
from tallystick.domain.views import dispute_view, encode, payment_view, refund_view
from tallystick.flows.runtime import Runtime
from tallystick.kit.card_data import looks_like_card_number
from tallystick.kit.ids import id_floor, is_id

Query = Callable[[Runtime, Exchange, Caller], Awaitable[object]]

#: The first byte of a cursor: another way to page gets another one.
_CURSOR_VERSION: Final = b"\x01"

_STATES: Final = [state.value for state in PaymentState]


async def answer_query(query: Query, runtime: Runtime, exchange: Exchange, caller: Caller) -> Answer:
    """Read and render. Raises Refused, and what the database raises."""
    view = await query(runtime, exchange, caller)
    return Answer(200, encode(view), headers=tuple(exchange.answer_headers))


async def get_payment(runtime: Runtime, exchange: Exchange, caller: Caller) -> object:
    """One payment. Reading a doubtful one hastens recovery, and never fakes an outcome."""
    payment_id = _path_id(exchange, "pay", "payment")
    found = await runtime.reads.payment(caller.merchant_id, payment_id)
    if found is None:
        raise not_found(exchange.request_id, "payment")
    payment, in_doubt = found
    if in_doubt:
        await runtime.reads.hasten(caller.merchant_id, payment_id, runtime.settings.in_doubt_hasten_interval_ms)
    return payment_view(payment, in_doubt=in_doubt, opened=runtime.actions.opened(payment))


async def get_refund(runtime: Runtime, exchange: Exchange, caller: Caller) -> object:
    """One refund; a doubtful one hastens recovery as a payment does."""
    refund_id = _path_id(exchange, "re", "refund")
    found = await runtime.reads.refund(caller.merchant_id, refund_id)
    if found is None:
        raise not_found(exchange.request_id, "refund")
    refund, in_doubt = found
    if in_doubt:
        await runtime.reads.hasten(caller.merchant_id, refund.payment_id, runtime.settings.in_doubt_hasten_interval_ms)
    return refund_view(refund, in_doubt=in_doubt)


async def get_dispute(runtime: Runtime, exchange: Exchange, caller: Caller) -> object:
    """One dispute."""
    dispute = await runtime.reads.dispute(caller.merchant_id, _path_id(exchange, "dp", "dispute"))
    if dispute is None:
        raise not_found(exchange.request_id, "dispute")
    return dispute_view(dispute)


async def list_disputes(runtime: Runtime, exchange: Exchange, caller: Caller) -> object:
    """The disputes of one payment."""
    payment_id = await payment_asked_for(runtime, exchange, caller)
    return DisputeList(
        data=[dispute_view(each) for each in await runtime.reads.disputes(caller.merchant_id, payment_id)]
    )


async def list_payments(runtime: Runtime, exchange: Exchange, caller: Caller) -> object:
    """A page of payments, newest first."""
    try:
        page = parse_list_query(exchange.parameters(), _STATES)
        before_id = None if page.cursor is None else _read_cursor(page.cursor)
    except InvalidFields as invalid:
        raise refused_fields(invalid.errors, exchange.request_id) from None
    rows = await runtime.reads.payments(
        caller.merchant_id,
        state=page.state,
        floor_id=None if page.created_gte is None else id_floor("pay", page.created_gte),
        provider_reference=page.provider_reference,
        before_id=before_id,
        idempotency_key=page.idempotency_key,
        limit=page.limit + 1,
    )
    if page.created_gte is not None:
        # Ids are as exact as a millisecond: what is older than asked for is at the end of the page.
        rows = [row for row in rows if row[0].created_at >= page.created_gte]
    shown, more = rows[: page.limit], len(rows) > page.limit
    return PaymentPage(
        data=[payment_view(payment, in_doubt=in_doubt) for payment, in_doubt in shown],
        has_more=more,
        next_cursor=write_cursor(shown[-1][0].payment_id) if more else None,
    )


async def get_history(runtime: Runtime, exchange: Exchange, caller: Caller) -> object:
    """Every transition of a payment, and every refused one of it, its attempts and its refunds."""
    payment_id = _path_id(exchange, "pay", "payment")
    transitions = await runtime.reads.history(caller.merchant_id, payment_id)
    if not transitions:
        raise not_found(exchange.request_id, "payment")
    rejections = await runtime.reads.rejections(caller.merchant_id, payment_id)
    return History(
        data=[_of_record(HistoryEntry, record) for record in transitions],
        rejected=[_of_record(RejectionEntry, record) for record in rejections],
    )


async def list_accounts(runtime: Runtime, exchange: Exchange, caller: Caller) -> object:
    """The merchant's book."""
    _known_parameters(exchange)
    records = await runtime.reads.accounts(caller.merchant_id)
    return AccountList(
        data=[
            Account(
                account=record["account"],
                currency=record["currency"],
                debits=int(record["debits"]),
                credits=int(record["credits"]),
                balance=int(record["debits"] - record["credits"]),
            )
            for record in records
        ]
    )


async def list_transfers(runtime: Runtime, exchange: Exchange, caller: Caller) -> object:
    """The ledger rows of one payment and its refunds."""
    payment_id = await payment_asked_for(runtime, exchange, caller)
    records = await runtime.reads.transfers(caller.merchant_id, payment_id)
    return TransferList(data=[_transfer(record) for record in records])


async def payment_asked_for(runtime: Runtime, exchange: Exchange, caller: Caller) -> str:
    """The payment that the query names. Raises Refused where the merchant has none such."""
    payment_id = _known_parameters(exchange, "payment")["payment"]
    known = is_id("pay", payment_id) and await runtime.reads.payment(caller.merchant_id, payment_id)
    if not known:
        raise not_found(exchange.request_id, "payment")
    return payment_id


def write_cursor(payment_id: str) -> str:
    """A position in a list of payments: after this one. Opaque to clients."""
    return (
        base64.urlsafe_b64encode(_CURSOR_VERSION + bytes.fromhex(payment_id.removeprefix("pay_"))).decode().rstrip("=")
    )


def _read_cursor(cursor: str) -> str:
    """The payment that a cursor comes after. Raises InvalidFields for one that we did not write."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    payment_id = f"pay_{raw[1:].hex()}"
    if raw[:1] != _CURSOR_VERSION or not is_id("pay", payment_id) or write_cursor(payment_id) != cursor:
        raise InvalidFields([ProblemField("cursor", "invalid_value", "must be a next_cursor of an earlier page")])
    return payment_id


def _path_id(exchange: Exchange, prefix: str, thing: str) -> str:
    """The id in the path of a request without parameters. Raises Refused: card data, a query, no id of ours."""
    path_id = exchange.path_id or ""
    well_formed = is_id(prefix, path_id)
    if not well_formed and looks_like_card_number(path_id):
        raise exchange.card_data("path")
    _known_parameters(exchange)
    if not well_formed:
        raise not_found(exchange.request_id, thing)
    return path_id


def _known_parameters(exchange: Exchange, *required: str) -> Mapping[str, str]:
    """Exactly the required parameters, once each. Raises Refused naming every one that is missing or too much."""
    given = exchange.parameters()
    errors = [
        ProblemField(safe_name(name), "unknown_field", "is not a parameter of this request")
        for name in given
        if name not in required
    ]
    for name in required:
        values = given.get(name, [])
        if not any(values):
            errors.append(ProblemField(name, "required", "is required"))
        elif len(values) > 1:
            errors.append(ProblemField(name, "repeated", "may be given only once"))
    if errors:
        raise refused_fields(errors, exchange.request_id)
    return {name: given[name][0] for name in required}


def _of_record(entry: type[Any], record: asyncpg.Record) -> Any:
    return entry(**{name: record[name] for name in entry.__struct_fields__})


def _transfer(record: asyncpg.Record) -> TransferEntry:
    return TransferEntry(
        id=f"{record['subject_id']}-{record['version']}-{record['leg']}",
        **{name: record[name] for name in TransferEntry.__struct_fields__ if name != "id"},
    )
