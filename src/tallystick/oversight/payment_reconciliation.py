"""How far a payment is reconciled, as it is shown: one read by its key, and the calendar of its account."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache

from tallystick.domain.business_days import DueRule
from tallystick.domain.payment_reconciliation import ReconciliationView, reconciliation_view
from tallystick.domain.subjects import Payment
from tallystick.record.postgres.settlement_evidence import EvidenceBook
from tallystick.settings.load import Settings
from tallystick.settings.settlements import due_rules


@lru_cache(maxsize=16)
def _rules(given: str | None) -> Mapping[tuple[str, str], DueRule]:
    return due_rules(given)


def rule_of(settings: Settings, provider: str, account: str) -> DueRule | None:
    """When the account's money is due; None where no calendar is set for it."""
    return _rules(settings.settlement_due).get((provider, account))


async def reconciliation_of(
    book: EvidenceBook, settings: Settings, payment: Payment, now: datetime
) -> ReconciliationView | None:
    """None where there is nothing that a provider could settle. Raises what the pool raises."""
    found = await book.parts_of_payment(payment.merchant_id, payment.payment_id, payment.provider)
    rule = None if found.account is None else rule_of(settings, payment.provider, found.account)
    return reconciliation_view(found.postings, found.rows, rule, now)
