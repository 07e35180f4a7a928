"""Settlement files of two providers, written by hand, and payments at doubles of them: what news needs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

from msgspec.structs import replace as with_fields

from tallystick.domain.verdicts import Verdict
from tallystick.flows.assembly import open_runtime
from tallystick.flows.runtime import Runtime
from tallystick.providers.port import ProviderCall
from tests.support.database import Database
from tests.support.inbox import PATIENT_WEBHOOKS
from tests.support.runtime import BookedProvider

_STRIPE: Final = (
    "balance_transaction_id,created_utc,currency,gross,fee,net,reporting_category,source_id,charge_id,payment_intent_id,"
    "automatic_payout_id,payment_metadata[tallystick_attempt],refund_metadata[tallystick_attempt]"
)

_ADYEN: Final = (
    "Psp Reference,Type,Modification Reference,Gross Currency,Gross Debit (GC),Gross Credit (GC),Net Currency,"
    "Net Debit (NC),Net Credit (NC),Batch Number"
)

#: Kind of row -> what it is called in Stripe's reports, and in Adyen's.
_TYPES: Final[Mapping[str, tuple[str, str]]] = {
    "charge": ("charge", "Settled"),
    "charge_reversal": ("partial_capture_reversal", ""),
    "refund": ("refund", "Refunded"),
    "refund_reversal": ("refund_failure", "RefundedReversed"),
    "dispute": ("dispute", "Chargeback"),
    "dispute_reversal": ("dispute_reversal", "ChargebackReversed"),
}


class Stripe:
    """A payout's report. ``name``: of the payout; a dispute's movements are named by the rows."""

    provider: Final = "stripe"
    can_fetch: Final = True

    def __init__(self, name: str) -> None:
        self.name = name
        self._rows: list[tuple[str, int]] = []

    def row(self, kind: str, amount: int, *, charge: str, effect: str, movement: str, attempt: str = "") -> None:
        """``movement``: the name of the balance transaction."""
        of_charge = kind in ("charge", "charge_reversal")
        source = f"ch_{charge}" if of_charge else effect
        paid_by, given_by = (attempt, "") if kind == "charge" else ("", attempt)
        named = f"{_TYPES[kind][0]},{source},ch_{charge},{charge},{self.name},{paid_by},{given_by}"
        money = f"eur,{_major(amount)},0.00,{_major(amount)}"
        self._rows.append((f"{movement},2026-03-02 10:00:00,{money},{named}", amount))

    def text(self) -> str:
        return "\n".join([_STRIPE, *(line for line, _ in self._rows), ""])

    def payout(self) -> str:
        """The report of payouts: with it the batch adds up."""
        total = _major(-sum(amount for _, amount in self._rows))
        return (
            "payout_id,effective_at_utc,currency,gross,fee,net,reporting_category,balance_transaction_id\n"
            f"{self.name},2026-03-04 00:00:00,eur,{total},0.00,{total},payout,txn_{self.name}\n"
        )


class Adyen:
    """The settlement details of a batch."""

    provider: Final = "adyen"
    can_fetch: Final = False

    def __init__(self, name: str) -> None:
        self.name = name
        self._rows: list[tuple[str, int]] = []

    def row(self, kind: str, amount: int, *, charge: str, effect: str, movement: str, attempt: str = "") -> None:
        self._write(_TYPES[kind][1], amount, charge, effect)

    def _write(self, kind: str, amount: int, charge: str, effect: str) -> None:
        sides = f"{_major(-amount)}," if amount < 0 else f",{_major(amount)}"
        self._rows.append((f"{charge},{kind},{effect},EUR,{sides},EUR,{sides},{self.name}", amount))

    def text(self) -> str:
        total = -sum(amount for _, amount in self._rows)
        sides = f"{_major(-total)}," if total < 0 else f",{_major(total)}"
        payout = f",MerchantPayout,,,,,EUR,{sides},{self.name}"
        return "\n".join([_ADYEN, *(line for line, _ in self._rows), payout, ""])

    def payout(self) -> str | None:
        return None


File = Stripe | Adyen


def _major(amount: int) -> str:
    return f"{'-' if amount < 0 else ''}{abs(amount) // 100}.{abs(amount) % 100:02d}"


class Double(BookedProvider):
    """A provider. ``says``: what a look-up of an attempt says, instead of what was booked."""

    def __init__(self, name: str, *, can_fetch: bool) -> None:
        super().__init__()
        self.name = name
        self.traits = with_fields(self.traits, can_fetch=can_fetch, keeps_references=can_fetch)
        self.says: dict[str, Verdict] = {}
        self.asked: list[str] = []

    async def fetch(self, call: ProviderCall) -> Verdict:
        self.asked.append(call.attempt_id)
        return self.says.get(call.attempt_id) or await super().fetch(call)


@asynccontextmanager
async def at_providers(database: Database) -> AsyncIterator[tuple[Runtime, dict[str, Double]]]:
    """A runtime with both providers. Nothing is due by itself."""
    doubles = {each.provider: Double(each.provider, can_fetch=each.can_fetch) for each in (Stripe, Adyen)}
    settings = replace(PATIENT_WEBHOOKS, clock_shift_ms=0, journal_commit_timeout_ms=60_000)  # it may wait for a test
    async with open_runtime(settings, database.app_url, providers=dict(doubles)) as runtime:
        yield runtime, doubles
