"""The merchant's ledger: accounts with their balances, and the entries of a payment."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from msgspec import Struct
from msgspec.structs import asdict

from tallystick.flows.runtime import Runtime
from tallystick.interfaces.api.authentication import Caller
from tallystick.interfaces.api.endpoint import READ, Endpoint, Narrowed, read
from tallystick.interfaces.api.http import ApiRequest
from tallystick.interfaces.api.listing import payment_in_query
from tallystick.interfaces.api.parameters import query_id
from tallystick.interfaces.api.schemas import AMOUNT, AMOUNT_MOVED, CURRENCY


class Account(Struct, frozen=True, kw_only=True):
    """One account and currency of a merchant's book. ``balance`` is debits less credits, in minor units."""

    account: str
    currency: str
    debits: int
    credits: int
    balance: int


class AccountList(Struct, frozen=True, kw_only=True):
    """All accounts of the merchant."""

    data: list[Account]


class TransferEntry(Struct, frozen=True, kw_only=True):
    """One ledger row. ``id`` is the transition it belongs to (subject and version) and its leg."""

    id: str
    payment_id: str
    subject_id: str
    version: int
    leg: int
    kind: str
    debit: str
    credit: str
    amount: int
    currency: str
    at: datetime


class TransferList(Struct, frozen=True, kw_only=True):
    """The ledger rows of a payment and its refunds, oldest first."""

    data: list[TransferEntry]


async def list_accounts(runtime: Runtime, request: ApiRequest, caller: Caller) -> object:
    """The accounts of the merchant."""
    accounts = await runtime.reads.accounts(caller.merchant_id)
    return AccountList(data=[Account(**asdict(row), balance=row.debits - row.credits) for row in accounts])


async def list_transfers(runtime: Runtime, request: ApiRequest, caller: Caller) -> object:
    """The ledger rows of one payment and its refunds."""
    payment_id = await payment_in_query(runtime, request, caller)
    transfers = await runtime.reads.transfers(caller.merchant_id, payment_id)
    return TransferList(
        data=[
            TransferEntry(id=f"{row.subject_id}-{row.version}-{row.leg}", payment_id=payment_id, **asdict(row))
            for row in transfers
        ]
    )


_NARROWED: Final[Narrowed] = {
    "Account": {"currency": CURRENCY, "debits": AMOUNT, "credits": AMOUNT},
    "TransferEntry": {"currency": CURRENCY, "amount": AMOUNT_MOVED},
}

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        method="GET",
        path="/v1/ledger/accounts",
        name="listAccounts",
        summary="The merchant's accounts, one for each currency",
        handle=read(list_accounts),
        responses={200: AccountList},
        codes=READ,
    ),
    Endpoint(
        method="GET",
        path="/v1/ledger/transfers",
        name="listTransfers",
        summary="The ledger rows of a payment and its refunds",
        handle=read(list_transfers),
        responses={200: TransferList},
        codes=(*READ, "not_found"),
        parameters=(query_id("pay", "payment"),),
        narrowed=_NARROWED,
    ),
)
