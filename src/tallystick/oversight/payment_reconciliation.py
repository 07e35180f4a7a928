"""How far a payment, or all of a provider, is reconciled, by the calendars of the accounts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache

from tallystick.domain.business_days import DueRule
from tallystick.domain.payment_reconciliation import PaymentReconciliationView, payment_reconciliation_view
from tallystick.domain.subjects import Payment
from tallystick.record.postgres.settlement_evidence import EvidenceBook, StateSum
from tallystick.settings.load import Settings
from tallystick.settings.settlements import due_rules


@lru_cache(maxsize=16)
def _rules(given: str | None) -> Mapping[tuple[str, str], DueRule]:
    return due_rules(given)


def rule_of(settings: Settings, provider: str, account: str) -> DueRule | None:
    """When the account's money is due; None where no calendar is set for it."""
    return _rules(settings.settlement_due).get((provider, account))


async def states_of(book: EvidenceBook, settings: Settings, provider: str, now: datetime) -> Sequence[StateSum]:
    """Everything of a provider by account, state and currency. Raises what the pool raises."""
    rules = _rules(settings.settlement_due)
    late = {account: rule.late_before(now) for (of, account), rule in rules.items() if of == provider}
    return await book.states(provider, late)


async def reconciliation_of(
    book: EvidenceBook, settings: Settings, payment: Payment, now: datetime
) -> PaymentReconciliationView | None:
    """None where there is nothing that a provider could settle. Raises what the pool raises."""
    found = await book.parts_of_payment(payment.merchant_id, payment.payment_id, payment.provider)
    rule = None if found.account is None else rule_of(settings, payment.provider, found.account)
    return payment_reconciliation_view(found.postings, found.rows, rule, now)
