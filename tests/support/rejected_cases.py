"""Cases of refused transitions: a payment whose provider reports another amount than was asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from tallystick.domain.rejected_case import RejectedCase
from tallystick.domain.snapshot import PaymentSnapshot
from tallystick.domain.verdicts import Approved, Verdict
from tallystick.flows.runtime import Runtime
from tallystick.providers.port import ProviderCall
from tests.support.acts import cases_of, refused_event
from tests.support.database import Database
from tests.support.inbox import WEBHOOK_SETTINGS, pending, waiting_payment
from tests.support.runtime import BookedProvider, runtime_of


class WrongBooks(BookedProvider):
    """Answers the outcome later; asked about a charge, it says another amount until its books are mended."""

    def __init__(self) -> None:
        super().__init__()
        self.after = pending
        self.is_mended = False

    async def fetch(self, call: ProviderCall) -> Verdict:
        amount = call.amount if self.is_mended else call.amount + 1
        return Approved(amount=amount, currency=call.currency, effect="captured", reference="ch_wrong")


class Refused(NamedTuple):
    """A payment whose provider reported another amount: one case is open."""

    runtime: Runtime
    stored: PaymentSnapshot
    bank: WrongBooks
    event_id: str


@asynccontextmanager
async def refused(database: Database, merchant_id: str) -> AsyncIterator[Refused]:
    """Such a payment, in a runtime that is open."""
    bank = WrongBooks()
    async with runtime_of(database.app_url, bank, settings=WEBHOOK_SETTINGS) as runtime:
        stored = await waiting_payment(runtime, merchant_id)
        event_id = await refused_event(runtime, database, stored)
        yield Refused(runtime, stored, bank, event_id)


async def only_case(runtime: Runtime, merchant_id: str) -> RejectedCase:
    """The one case of the merchant that waits."""
    [case] = await cases_of(runtime, merchant_id)
    return case
