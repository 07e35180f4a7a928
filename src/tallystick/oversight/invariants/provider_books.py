"""The tally: the provider's own list of charges compared with our record, payment by payment.

The provider's list is read first and our snapshot is taken after it: an attempt is in our record before it is sent, so
every charge in the list must be for a payment in the snapshot. Payments that moved here meanwhile are reported as open.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import asyncpg
import msgspec
from msgspec import Struct

from tallystick.domain.ledger import accounts
from tallystick.domain.lifecycles.attempt import ATTEMPT_OPEN
from tallystick.kit.clock import Clock
from tallystick.oversight.invariants.finding import Finding
from tallystick.oversight.invariants.ledger import HOLDING, LATE_KINDS
from tallystick.oversight.invariants.report import Findings, InvariantName, InvariantReport, Progress
from tallystick.record.postgres.invariant_statements import STATEMENT_TIMEOUT_S, STATEMENTS
from tallystick.record.postgres.payment_record import PaymentRecord, payment_records
from tallystick.record.postgres.stream_record import merchants

ONE_CHARGE: Final = InvariantName(
    "one_charge_per_payment", "The provider holds or took a payment's money at most once."
)
KNOWN: Final = InvariantName(
    "charges_are_known", "Every charge is for a payment, and for attempts, that we sent there."
)
AS_ASKED: Final = InvariantName("charges_are_as_asked", "Every charge has its payment's amount and currency.")
MONEY: Final = InvariantName(
    "money_agrees", "For a payment without open attempts, the provider authorized, captured and refunded the same."
)
CHARGED: Final = InvariantName(
    "captured_payments_are_charged", "The provider lists a charge for every captured payment."
)
TALLIED: Final = (ONE_CHARGE, KNOWN, AS_ASKED, MONEY, CHARGED)


class ListedCharge(Struct, frozen=True, kw_only=True):
    """A charge as the provider lists it, amounts in minor units. ``authorized`` is what it holds or took when it
    authorized, 0 once that was released."""

    id: str
    payment_id: str
    merchant_id: str
    attempt_ids: tuple[str, ...]
    amount: int
    currency: str
    authorized: int
    captured: int
    refunded: int
    disputed_withdrawn: int = 0

    @property
    def has_money(self) -> bool:
        """Whether it holds or took the payer's money."""
        return self.authorized > 0 or self.captured > 0


_CHARGE: Final = msgspec.json.Decoder(ListedCharge)


async def tally(
    connection: asyncpg.Connection,
    charges: AsyncIterator[Mapping[str, Any]],
    provider: str = "simulator",
    *,
    merchant_id: str | None = None,
    clock: Clock | None = None,
    progress: Progress | None = None,
) -> InvariantReport:
    """Compare the provider's ``charges`` with our record, of all merchants or one. ``checked`` counts as ``open`` the
    payments with open attempts; for these only duplicate and unknown charges are violations.

    Raises what the database and the iterator raise, and msgspec.ValidationError for a charge that cannot be read.
    """
    started_ns = time.monotonic_ns()
    clock = clock or Clock()
    findings = Findings(TALLIED, ("charges", "payments", "open"))
    since: datetime = await connection.fetchval("SELECT clock_timestamp()")
    listed = _Listed()
    try:
        async for charge in charges:
            if merchant_id is None or charge["merchant_id"] == merchant_id:
                listed.add(msgspec.convert(charge, ListedCharge))
                findings.checked["charges"] += 1
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            comparison = _Comparison(findings, listed, provider, since + timedelta(milliseconds=clock.shift_ms))
            total = await connection.fetchval(STATEMENTS["payment_count"], merchant_id, timeout=STATEMENT_TIMEOUT_S)
            async for each in merchants(connection, merchant_id):
                async for page in payment_records(connection, each, clock):
                    for record in page:
                        comparison.compare(record)
                    if progress is not None:
                        progress(findings.checked["payments"], total)
        for charge_left in listed.left():
            stranger = Finding(charge_left.payment_id, f"charge {charge_left.id} is for a payment that we do not know")
            findings.add(KNOWN.name, charge_left.merchant_id, [stranger])
    finally:
        listed.close()
    return findings.report(elapsed_ms=(time.monotonic_ns() - started_ns) // 1_000_000)


class _Listed:
    """The provider's charges by payment, in a temporary file of SQLite: they may be millions."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.execute("CREATE TABLE charge (merchant_id TEXT, payment_id TEXT, body BLOB)")
        self._db.execute("CREATE INDEX by_payment ON charge (merchant_id, payment_id)")
        self._db.execute("BEGIN")

    def add(self, charge: ListedCharge) -> None:
        row = (charge.merchant_id, charge.payment_id, msgspec.json.encode(charge))
        self._db.execute("INSERT INTO charge VALUES (?, ?, ?)", row)

    def take(self, merchant_id: str, payment_id: str) -> list[ListedCharge]:
        """Remove and return the charges of a payment."""
        rows = self._db.execute(
            "DELETE FROM charge WHERE merchant_id = ? AND payment_id = ? RETURNING body", (merchant_id, payment_id)
        ).fetchall()
        return [_CHARGE.decode(row[0]) for row in rows]

    def left(self) -> Iterator[ListedCharge]:
        """The charges that are left."""
        for row in self._db.execute("SELECT body FROM charge"):
            yield _CHARGE.decode(row[0])

    def close(self) -> None:
        self._db.close()


class _Comparison:
    def __init__(self, findings: Findings, listed: _Listed, provider: str, since: datetime) -> None:
        self._findings = findings
        self._listed = listed
        self._provider = provider
        self._since = since

    def compare(self, record: PaymentRecord) -> None:
        payment = record.payment
        charges = self._listed.take(payment.merchant_id, payment.payment_id)
        if payment.provider != self._provider:
            elsewhere = f"was charged at {self._provider}, we sent it to {payment.provider}"
            self._add(KNOWN, record, [Finding(payment.payment_id, elsewhere) for _ in charges])
            return
        self._findings.checked["payments"] += 1
        with_money = [charge for charge in charges if charge.has_money]
        if len(with_money) > 1:
            ids = ", ".join(charge.id for charge in with_money)
            self._add(ONE_CHARGE, record, [Finding(payment.payment_id, f"{len(with_money)} charges: {ids}")])
        self._add(KNOWN, record, _strange_attempts(record, charges))
        self._add(AS_ASKED, record, _not_as_asked(record, charges))
        if self._is_open(record):
            self._findings.checked["open"] += 1
        elif payment.amount_captured > 0 and not charges:
            uncharged = f"{payment.amount_captured} is captured here, the provider has no charge"
            self._add(CHARGED, record, [Finding(payment.payment_id, uncharged)])
        elif len(with_money) <= 1:
            self._add(MONEY, record, _money_differs(record, charges))

    def _is_open(self, record: PaymentRecord) -> bool:
        moving = any(watched.attempt.state in ATTEMPT_OPEN for watched in record.attempts)
        return moving or record.payment.updated_at >= self._since

    def _add(self, invariant: InvariantName, record: PaymentRecord, findings: list[Finding]) -> None:
        self._findings.add(invariant.name, record.payment.merchant_id, findings)


def _strange_attempts(record: PaymentRecord, charges: list[ListedCharge]) -> list[Finding]:
    ours = {watched.attempt.attempt_id for watched in record.attempts}
    return [
        Finding(record.payment.payment_id, f"charge {charge.id} has attempt {attempt_id}, which we do not know")
        for charge in charges
        for attempt_id in charge.attempt_ids
        if attempt_id not in ours
    ]


def _not_as_asked(record: PaymentRecord, charges: list[ListedCharge]) -> list[Finding]:
    payment = record.payment
    asked = f"we asked {payment.amount} {payment.currency}"
    return [
        Finding(payment.payment_id, f"charge {charge.id} is {charge.amount} {charge.currency}, {asked}")
        for charge in charges
        if (charge.amount, charge.currency) != (payment.amount, payment.currency)
    ]


def _money_differs(record: PaymentRecord, charges: list[ListedCharge]) -> list[Finding]:
    payment = record.payment
    suspense = accounts.suspense_account(payment.provider)
    disputes = {dispute.dispute_id for dispute in record.disputes}
    late = [t for t in record.transfers if t.kind in LATE_KINDS and t.subject_id not in disputes]
    late_in = sum(transfer.amount for transfer in late if transfer.credit == suspense)
    late_out = sum(transfer.amount for transfer in late if transfer.debit == suspense)
    late_withdrawn = sum(
        each.amount * (1 if each.way == "out" else -1) for each in payment.late_movements if each.dispute is not None
    )
    late_refunded = payment.amount_late_returned - late_withdrawn
    compared = [
        (
            "captured",
            payment.amount_captured - payment.amount_reversed + late_in,
            sum(charge.captured for charge in charges),
        ),
        ("refunded", payment.amount_refunded + late_out + late_refunded, sum(charge.refunded for charge in charges)),
    ]
    withdrawn = sum(dispute.amount for dispute in record.disputes if dispute.funds_withdrawn) + late_withdrawn
    compared.append(("withdrawn for disputes", withdrawn, sum(charge.disputed_withdrawn for charge in charges)))
    # A late hold or release moves no money: it is only in the history, and an alert was raised.
    if not any(watched.attempt.late_effect for watched in record.attempts):
        held = payment.amount_authorized if payment.state in HOLDING or payment.state == "captured" else 0
        compared.append(("authorized", held, sum(charge.authorized for charge in charges)))
    findings = [
        Finding(payment.payment_id, f"is {payment.state}: {name} {ours} by us, {theirs} by the provider")
        for name, ours, theirs in compared
        if ours != theirs
    ]
    charged = [charge.id for charge in charges if charge.has_money]
    if charged and payment.provider_reference not in (None, charged[0]):
        named = f"its charge is {payment.provider_reference} here, and {charged[0]} at the provider"
        findings.append(Finding(payment.payment_id, named))
    return findings
