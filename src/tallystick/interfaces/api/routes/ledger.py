"""The merchant's ledger: accounts with their balances, and the entries of a payment."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Struct
from msgspec.structs import asdict

from tallystick.domain.json_types import (
    Amount,
    AmountMoved,
    AnySubjectId,
    Currency,
    PaymentId,
    Time,
    described,
    example_id,
)
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.api.authentication import Caller
from tallystick.interfaces.api.endpoint import READ, Endpoint, read
from tallystick.interfaces.api.http import ApiRequest
from tallystick.interfaces.api.listing import payment_in_query
from tallystick.interfaces.api.parameters import query_id


class Account(Struct, frozen=True, kw_only=True):
    """One account and currency of a merchant's book."""

    account: Annotated[str, described("The account's name.", "provider:simulator")]
    currency: Currency
    debits: Annotated[Amount, described("The sum of its debits.", 5000)]
    credits: Annotated[Amount, described("The sum of its credits.", 1250)]
    balance: Annotated[int, described("Debits less credits, in the currency's minor unit.", 3750)]


class AccountList(Struct, frozen=True, kw_only=True):
    """All accounts of the merchant."""

    data: Annotated[list[Account], described("All of them, by account and currency.")]


class TransferEntry(Struct, frozen=True, kw_only=True):
    """One ledger row: an amount that left one account and arrived at another."""

    id: Annotated[
        str,
        described(
            "The step that it belongs to (subject and version), and its leg.",
            f"{example_id('pay')}-3-1",
            pattern="^[a-z]+_[0-9a-f]{32}-[0-9]+-[0-9]+$",
        ),
    ]
    payment_id: PaymentId
    subject_id: AnySubjectId
    version: Annotated[int, described("The subject's version that it belongs to.", 3, minimum=1)]
    leg: Annotated[int, described("Numbers the rows of one step.", 1, minimum=0)]
    kind: Annotated[str, described("What kind of movement it is.", "capture")]
    debit: Annotated[str, described("The account that the amount arrives at.", "provider:simulator")]
    credit: Annotated[str, described("The account that the amount leaves.", "merchant")]
    amount: AmountMoved
    currency: Currency
    at: Annotated[Time, described("When the step was recorded.")]


class TransferList(Struct, frozen=True, kw_only=True):
    """The ledger rows of a payment and its refunds, oldest first."""

    data: Annotated[list[TransferEntry], described("Oldest first.")]


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


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        method="GET",
        path="/v1/ledger/accounts",
        name="listAccounts",
        summary="The merchant's accounts, one for each currency",
        description="The balance of every account of the merchant's book, by currency.",
        handle=read(list_accounts),
        scope="ledger:read",
        responses={200: AccountList},
        codes=READ,
    ),
    Endpoint(
        method="GET",
        path="/v1/ledger/transfers",
        name="listTransfers",
        summary="The ledger rows of a payment and its refunds",
        description="Every movement between accounts that one payment and its refunds and disputes caused.",
        handle=read(list_transfers),
        scope="ledger:read",
        responses={200: TransferList},
        codes=(*READ, "not_found"),
        parameters=(query_id("pay", "payment"),),
    ),
)
