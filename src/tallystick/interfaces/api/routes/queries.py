"""The GET handlers. They move nothing, and are shed before any instruction is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import asyncpg

from tallystick.domain.errors import ProblemField
from tallystick.domain.lifecycles.payment import PAYMENT
from tallystick.domain.requests.commands import InvalidFields, parse_list_query
from tallystick.domain.requests.json_body import safe_name
from tallystick.domain.views import dispute_view, payment_view, refund_view
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.api.authentication import Caller
from tallystick.interfaces.api.bodies import (
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
from tallystick.interfaces.api.http import ApiRequest
from tallystick.interfaces.api.paging import read_cursor, write_cursor
from tallystick.interfaces.api.problems import not_found, refused_fields
from tallystick.kit.card_data import looks_like_card_number
from tallystick.kit.ids import id_floor, is_id

_STATES: Final = PAYMENT.states


async def get_payment(runtime: Runtime, exchange: ApiRequest, caller: Caller) -> object:
    """One payment. Reading a doubtful one hastens recovery, and never fakes an outcome."""
    payment_id = _path_id(exchange, "pay", "payment")
    found = await runtime.reads.payment(caller.merchant_id, payment_id)
    if found is None:
        raise not_found(exchange.request_id, "payment")
    payment, in_doubt = found
    if in_doubt:
        await runtime.reads.hasten(caller.merchant_id, payment_id, runtime.settings.in_doubt_hasten_interval_ms)
    return payment_view(payment, in_doubt=in_doubt, opened=runtime.actions.opened(payment))


async def get_refund(runtime: Runtime, exchange: ApiRequest, caller: Caller) -> object:
    """One refund; a doubtful one hastens recovery as a payment does."""
    refund_id = _path_id(exchange, "re", "refund")
    found = await runtime.reads.refund(caller.merchant_id, refund_id)
    if found is None:
        raise not_found(exchange.request_id, "refund")
    refund, in_doubt = found
    if in_doubt:
        await runtime.reads.hasten(caller.merchant_id, refund.payment_id, runtime.settings.in_doubt_hasten_interval_ms)
    return refund_view(refund, in_doubt=in_doubt)


async def get_dispute(runtime: Runtime, exchange: ApiRequest, caller: Caller) -> object:
    """One dispute."""
    dispute = await runtime.reads.dispute(caller.merchant_id, _path_id(exchange, "dp", "dispute"))
    if dispute is None:
        raise not_found(exchange.request_id, "dispute")
    return dispute_view(dispute)


async def list_disputes(runtime: Runtime, exchange: ApiRequest, caller: Caller) -> object:
    """The disputes of one payment."""
    payment_id = await payment_asked_for(runtime, exchange, caller)
    return DisputeList(
        data=[dispute_view(each) for each in await runtime.reads.disputes(caller.merchant_id, payment_id)]
    )


async def list_payments(runtime: Runtime, exchange: ApiRequest, caller: Caller) -> object:
    """A page of payments, newest first."""
    try:
        page = parse_list_query(exchange.parameters(), _STATES)
        before_id = None if page.cursor is None else read_cursor(page.cursor)
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


async def get_history(runtime: Runtime, exchange: ApiRequest, caller: Caller) -> object:
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


async def list_accounts(runtime: Runtime, exchange: ApiRequest, caller: Caller) -> object:
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


async def list_transfers(runtime: Runtime, exchange: ApiRequest, caller: Caller) -> object:
    """The ledger rows of one payment and its refunds."""
    payment_id = await payment_asked_for(runtime, exchange, caller)
    records = await runtime.reads.transfers(caller.merchant_id, payment_id)
    return TransferList(data=[_transfer(record) for record in records])


async def payment_asked_for(runtime: Runtime, exchange: ApiRequest, caller: Caller) -> str:
    """The payment that the query names. Raises Refused where the merchant has none such."""
    payment_id = _known_parameters(exchange, "payment")["payment"]
    known = is_id("pay", payment_id) and await runtime.reads.payment(caller.merchant_id, payment_id)
    if not known:
        raise not_found(exchange.request_id, "payment")
    return payment_id


def _path_id(exchange: ApiRequest, prefix: str, thing: str) -> str:
    """The id in the path of a request without parameters. Raises Refused: card data, a query, no id of ours."""
    path_id = exchange.path_id or ""
    well_formed = is_id(prefix, path_id)
    if not well_formed and looks_like_card_number(path_id):
        raise exchange.card_data("path")
    _known_parameters(exchange)
    if not well_formed:
        raise not_found(exchange.request_id, thing)
    return path_id


def _known_parameters(exchange: ApiRequest, *required: str) -> Mapping[str, str]:
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
